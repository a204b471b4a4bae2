"""numpy's and pandas' own types: arrays, tables and columns in one line, and what is in them.

Neither library is imported: a value can only be of such a type if that was done already. All is
made of the first few items, sliced before they are looked at, so that the size does not matter.
A user's object among the items is never described here, but by the function that is handed in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sized
from itertools import islice
from typing import Any, Literal

__all__ = [
    "Describe",
    "Library",
    "describer",
    "has_own_values",
    "is_masked",
    "is_masked_array",
    "is_own",
    "is_record",
    "is_scalar",
    "kind_of",
    "listed",
    "own_member",
    "plain_array",
    "preview",
]

Describe = Callable[[Any], str]
Library = Literal["array", "table", "series", "index", "extension"]

_ITEMS = 6
_LENGTH = 40
_MODULE = type.__dict__["__module__"].__get__  # Runs no code of a metaclass.
_NAMES: tuple[tuple[Library, str, tuple[str, ...]], ...] = (
    ("array", "numpy", ("ndarray",)),
    ("table", "pandas", ("DataFrame",)),
    ("series", "pandas", ("Series",)),
    ("index", "pandas", ("Index",)),
    ("extension", "pandas", ("api", "extensions", "ExtensionArray")),
)


def is_own(kind: type) -> bool:
    """Say whether *kind* is numpy's or pandas' own and not a class that derives from theirs."""
    try:
        module = _MODULE(kind)
    except AttributeError:  # It was made where modules have no names.
        return False
    return type(module) is str and module.partition(".")[0] in ("numpy", "pandas")


def own_member(kind: type, name: str) -> object:
    """Return what *kind* or one of its bases has under *name*, as it is there: no code is run."""
    for base in type.__dict__["__mro__"].__get__(kind):
        members = type.__dict__["__dict__"].__get__(base)
        if name in members:
            return members[name]
    return None


def kind_of(kind: type) -> Library | None:
    """Return what objects of this type are to these libraries; None if nothing that is known here.

    Other's types that derive from theirs count as well.
    """
    for name, module, path in _NAMES:
        if _is(kind, module, *path):
            return name
    return None


def is_scalar(value: object) -> bool:
    """Say whether *value* is a number, a text or a time of numpy's, which has no code of others."""
    kind = type(value)
    return is_own(kind) and _is(kind, "numpy", "generic") and not _is(kind, "numpy", "void")


def is_record(value: object) -> bool:
    """Say whether *value* is an item of a structured array."""
    return is_own(type(value)) and _is(type(value), "numpy", "void")


def is_masked(value: object) -> bool:
    """Say whether *value* is what stands for the masked items of an array."""
    return is_own(type(value)) and _is(type(value), "numpy", "ma", "core", "MaskedConstant")


def is_masked_array(value: object) -> bool:
    """Say whether *value* is an array with a mask, of numpy's own type or a derived one."""
    return _is(type(value), "numpy", "ma", "MaskedArray")


def has_own_values(value: Any) -> bool:
    """Say whether *value*, its values and its labels are of numpy's or pandas' own types.

    If so, no other's code is run when the first of them are taken out. Runs none itself.
    """
    if not is_own(type(value)):
        return False
    kind = kind_of(type(value))
    if kind == "table":
        # All that is public may run code of the user's: to ask for a dtype, for a column.
        blocks = getattr(getattr(value, "_mgr", None), "blocks", None)
        if blocks is None:
            return False
        parts = (value.columns, value.index, *(block.values for block in blocks))
        return all(map(has_own_values, parts))
    if kind == "series":
        return has_own_values(value.index) and has_own_values(value.array)
    if kind == "index" and _is(type(value), "pandas", "MultiIndex"):
        return all(map(has_own_values, value.levels))
    if kind == "index" and not _is(type(value), "pandas", "RangeIndex"):
        return has_own_values(value.array)
    if _is(type(value), "pandas", "Categorical"):
        return value.dtype is None or has_own_values(value.categories)
    return True


def _is(kind: type, module: str, *path: str) -> bool:
    found: Any = sys.modules.get(module)
    for part in path:
        found = getattr(found, part, None)  # A module may be half imported.
    return isinstance(found, type) and issubclass(kind, found)


def plain_array(array: Any) -> Any:
    """Return *array* without what a type that derives from numpy's makes of it; shares its data."""
    numpy: Any = sys.modules["numpy"]
    return numpy.ndarray.view(
        array, numpy.ma.MaskedArray if is_masked_array(array) else numpy.ndarray
    )


def describer(kind: type) -> Callable[[Any, str, Describe], str] | None:
    """Return what describes an object of this type: itself, its type's name, a function for items."""
    return _DESCRIBERS.get(kind_of(kind))


def listed(parts: Iterable[str], whole: Sized) -> str:
    """Return the descriptions of the first items of *whole*, and how many more there are."""
    shown = list(parts)
    more = len(whole) - len(shown)
    return ", ".join([*shown, f"… {more:,} more"] if more > 0 else shown)


def preview(column: Any, item: Describe) -> str:
    """Return the type of a Series' or Index's values, and the first of them."""
    return _of_type(f"{column.dtype}", column, item)


def _array(value: Any, name: str, item: Describe) -> str:
    shape = " × ".join(str(n) for n in value.shape) or "scalar"
    head = f"{name} {value.dtype} {shape}"
    if value.dtype.kind not in "biufcSUmM" or not value.size:
        return head
    items = [item(each) for each in islice(value.flat, _ITEMS)]
    return f"{head}: {', '.join(items)}{', …' if value.size > len(items) else ''}"


def _table(value: Any, name: str, item: Describe) -> str:
    rows, columns = value.shape
    head = f"{name} {rows:,} rows × {columns:,} columns"
    parts = (f"{item(label)} {kind}" for label, kind in value.iloc[:, :_ITEMS].dtypes.items())
    return f"{head}: {listed(parts, value.columns)}" if columns else head


def _column(value: Any, name: str, item: Describe) -> str:
    called = f" {value.name!r}" if type(value.name) is str else ""
    if value.name is not None and not called:
        called = f" {item(value.name)}"
    return _of_type(f"{name}{called} {value.dtype} {len(value):,}", value, item)


def _of_type(head: str, column: Any, item: Describe) -> str:
    shown: list[str] = []
    # Sliced first: some make all of their values when they are iterated over.
    for each in getattr(column, "iloc", column)[:_ITEMS]:
        shown.append(item(each))
        if sum(map(len, shown)) > _LENGTH:
            break
    return f"{head}: {listed(shown, column)}" if shown else head


_DESCRIBERS: dict[Library | None, Callable[[Any, str, Describe], str]] = {
    "array": _array,
    "table": _table,
    "series": _column,
    "index": _column,
}
