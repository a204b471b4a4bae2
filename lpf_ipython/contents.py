"""What is in a value, one level deep: items, attributes, columns, rows, a generator's variables.

None of the value's own code is run: containers are read as the built-in types do it, also where
a class derives from them. numpy's and pandas' objects are sliced before they are looked at, under
a time limit, for a column may be of a type of the user's.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any, NamedTuple

import lpf

from . import tabular
from .errors import JobError
from .inspect import variables
from .values import Values, clean

__all__ = ["Contents", "Thing"]

_LIMIT = 1.0
_CLOSED = (ModuleType, FunctionType, type)
_SEQUENCES = (list, tuple, deque)
_SETS = (set, frozenset)
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_DICTIONARY = type.__dict__["__dict__"].__get__
_BASES = type.__dict__["__mro__"].__get__


class Thing(NamedTuple):
    """Something in a value: its name, or its key in a tuple of its own; and what describes it."""

    name: str | tuple[object]
    value: object
    describe: Callable[[Values, Any], str] = Values.text


class _Part(NamedTuple):
    """Things of one sort: how many, and what yields those from one number up to another."""

    size: int
    between: Callable[[int, int], Iterable[Thing]]


class Contents:
    """What is in *value* at this moment. Main thread.

    Nothing is taken out before it is asked for. A library may raise when something is, for the
    object may be half built; what has no shape that is known here shows its attributes.
    """

    def __init__(self, value: object) -> None:
        self._parts = list(_parts(value))
        self.count = sum(part.size for part in self._parts)

    def between(self, start: int, stop: int) -> Iterator[Thing]:
        """Yield the things from number *start* up to *stop*."""
        for size, between in self._parts:
            if start < size and stop > 0:
                yield from between(max(start, 0), min(stop, size))
            start, stop = start - size, stop - size


def _parts(value: Any) -> Iterator[_Part]:
    kind = type(value)
    library = tabular.kind_of(kind)
    if library is not None and (tabular.is_own(kind) or library in _PLAIN):
        # At once: it may look at labels, and they may be of a type of the user's.
        yield from _limited(lambda: list(_LIBRARIES[library](_plain(library, value))))
        return
    if issubclass(kind, dict):
        yield _walked(dict.__len__(value), lambda: (Thing((k,), v) for k, v in dict.items(value)))
    for sequence in _SEQUENCES:
        if issubclass(kind, sequence):
            yield _in_sequence(sequence, value)
    for unordered in (*_SETS, *_VIEWS):
        if issubclass(kind, unordered):
            yield _in_unordered(unordered, value)
    if tabular.is_record(value):
        yield _in_fields(value)
    frame = _frame_of(value)
    if frame is not None:
        yield _named(variables(frame), "")
    yield _named(_attributes(value), ".")


def _in_sequence(sequence: Any, value: Any) -> _Part:
    names = _field_names(value)
    return _walked(
        sequence.__len__(value),
        lambda: (
            Thing(f".{names[i]}" if names else f"[{i}]", item)
            for i, item in enumerate(sequence.__iter__(value))
        ),
    )


def _in_unordered(unordered: Any, value: Any) -> _Part:
    return _walked(
        unordered.__len__(value), lambda: (Thing("", item) for item in unordered.__iter__(value))
    )


def _walked(count: int, things: Callable[[], Iterable[Thing]]) -> _Part:
    # Taken out at once: what is done with the first may change the rest.
    return _Part(count, lambda start, stop: list(islice(things(), start, stop)))


def _named(found: Mapping[str, object], before: str) -> _Part:
    return _walked(len(found), lambda: (Thing(f"{before}{clean(k)}", v) for k, v in found.items()))


def _field_names(value: Any) -> tuple[str, ...]:
    """Return the names of a named tuple's items; none of another's."""
    if not issubclass(type(value), tuple):
        return ()
    for base in _BASES(type(value)):
        names = _DICTIONARY(base).get("_fields")
        if type(names) is tuple and all(type(name) is str for name in names):
            return tuple(map(clean, names)) if len(names) == tuple.__len__(value) else ()
    return ()


def _frame_of(value: Any) -> FrameType | None:
    """Return where a generator, or a coroutine, stands that has not come to its end."""
    frame: FrameType | None = None
    if type(value) is GeneratorType:
        frame = value.gi_frame
    elif type(value) is CoroutineType:
        frame = value.cr_frame
    elif type(value) is AsyncGeneratorType:
        frame = value.ag_frame
    return frame


def _attributes(value: object) -> dict[str, object]:
    if issubclass(type(value), _CLOSED):
        return {}
    attributes = {}
    for base in _BASES(type(value)):
        members = _DICTIONARY(base)
        if "__slots__" in members:
            for name, member in members.items():
                if type(name) is str and type(member) is MemberDescriptorType:
                    with contextlib.suppress(AttributeError):  # It may be not set.
                        attributes[name] = member.__get__(value)
        names = members.get("__dict__")
        if type(names) is GetSetDescriptorType:  # Else it is a property of the user's.
            found = names.__get__(value)
            attributes.update((k, v) for k, v in dict.items(found) if type(k) is str)
    return {k: v for k, v in attributes.items() if not (k.startswith("__") and k.endswith("__"))}


# numpy and pandas.


def _limited(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    # Launched directly: a frame of this file around it would defer the time limit.
    call = lpf.launch(function, *args, **options, timeout=_LIMIT)
    if not call.done and call.cancel(grace=_LIMIT) != "finished":
        raise JobError(f"that takes more than {_LIMIT:g} s")
    problem = call.exception()
    if problem is not None and not isinstance(problem, Exception):
        raise JobError(f"that raises {Values().text(problem)}")
    return call.result()


def _plain(library: tabular.Library, value: Any) -> Any:
    """Return *value* as an object of the library's own type, which shares its data."""
    own = tabular.is_own(type(value))
    if library == "array" and not (own and tabular.is_masked_array(value)):
        return tabular.plain_array(value)  # A row of a matrix is a matrix with a row, without end.
    return value if own else getattr(sys.modules["pandas"], _PLAIN[library])(value, copy=False)


def _in_fields(value: Any) -> _Part:
    """Return what is in something of a structured type."""
    fields = value.dtype.names or ()
    return _walked(len(fields), lambda: (Thing((f,), value[f], Values.item) for f in fields))


def _in_array(array: Any) -> Iterator[_Part]:
    yield _in_fields(array)
    if array.ndim:

        def rows(start: int, stop: int) -> list[Thing]:
            return [Thing(f"[{i}]", array[i], Values.item) for i in range(start, stop)]

        yield _Part(len(array), lambda start, stop: _limited(rows, start, stop))
    elif array.dtype.kind == "O":
        yield _walked(1, lambda: [Thing("[()]", array[()])])


def _in_table(table: Any) -> Iterator[_Part]:
    def columns(start: int, stop: int) -> list[Thing]:
        part = table.iloc[:, start:stop]
        return [
            Thing((label,), part.iloc[:, number], Values.preview)
            for number, label in enumerate(part.columns)
        ]

    yield _Part(len(table.columns), lambda start, stop: _limited(columns, start, stop))


def _in_series(series: Any) -> Iterator[_Part]:
    def items(start: int, stop: int) -> list[Thing]:
        part = series.iloc[start:stop]
        pairs = zip(part.index, part, strict=True)
        return [Thing((label,), item, Values.item) for label, item in pairs]

    yield _Part(len(series), lambda start, stop: _limited(items, start, stop))


def _in_index(index: Any) -> Iterator[_Part]:
    def items(start: int, stop: int) -> list[Thing]:
        numbered = enumerate(index[start:stop], start)
        return [Thing(f"[{number}]", item, Values.item) for number, item in numbered]

    yield _Part(len(index), lambda start, stop: _limited(items, start, stop))


def _in_extension(array: Any) -> Iterator[_Part]:
    if array.dtype is None:  # Its __init__ has not come far; to ask for its length is a crash.
        raise ValueError("it is half built")
    yield from _in_index(array)


# Derived types of these are made plain; of others nothing is known.
_PLAIN: dict[tabular.Library, str] = {"array": "ndarray", "table": "DataFrame", "series": "Series"}
_LIBRARIES: dict[tabular.Library, Callable[[Any], Iterator[_Part]]] = {
    "array": _in_array,
    "table": _in_table,
    "series": _in_series,
    "index": _in_index,
    "extension": _in_extension,
}
