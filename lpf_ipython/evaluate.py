"""A value of a paused cell, one level deep: of a variable, of an expression, of something in it.

An expression is the user's own, typed to be run; it still has a time limit, for it may wait for a
lock that the paused cell holds. What is in a value is looked at without running any of its code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from types import FrameType, FunctionType, ModuleType
from typing import Any, TypedDict

import lpf

from .errors import JobError
from .inspect import JobLike, frames_of
from .places import visible
from .values import Values, clean, shorten, type_name

__all__ = ["Child", "ValueData", "evaluate", "expandable"]

_LIMIT = 1.0
_CHILDREN = 100
_LONGEST = 10_000
_CLOSED = (ModuleType, FunctionType, type)


class Child(TypedDict):
    """Something in a value; its ``index`` leads to it. ``expandable`` says that more is in it."""

    index: int
    name: str
    type: str
    value: str
    expandable: bool


class ValueData(TypedDict):
    """A value, and what is in it; ``more`` were left out."""

    type: str
    value: str
    expandable: bool
    children: list[Child]
    more: int


def evaluate(
    job: JobLike, expression: str, *, frame: int = 0, path: Sequence[int] = ()
) -> ValueData:
    """Return what *expression* is in a frame of *job*, or what *path* leads to in that.

    Each number in *path* is the index of a child. Runs the expression: main thread. JobError if it
    raises or takes long, ValueError or IndexError if there is nothing at *frame* or *path*.
    """
    if job.state != "paused":
        raise JobError(f"job {job.id} is {job.state}, not paused")
    frames = visible(frames_of(job))
    if not 0 <= frame < len(frames):
        raise IndexError(f"no frame {frame}; there are {len(frames)}, counted from 0")
    value = _value(expression, frames[frame])
    for index in path:
        found = next(islice(_inside(value), index, None), None) if index >= 0 else None
        if found is None:
            raise IndexError(f"{expression}: there is nothing at {list(path)} any more")
        value = found[1]
    return _data(value)


def expandable(value: object) -> bool:
    """Say whether there is something in *value*, without running its code."""
    return next(_inside(value), None) is not None


def _value(expression: str, frame: FrameType) -> object:
    names = dict(frame.f_locals)
    if expression in names:
        return names[expression]
    if len(expression) > _LONGEST:
        raise ValueError(f"expression is longer than {_LONGEST:,} characters")
    try:
        code = compile(expression.strip(), "<expression>", "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"expression: {clean(str(error))}") from None
    # Launched directly: a frame of this file around it would defer the time limit.
    call = lpf.launch(eval, code, frame.f_globals, names, timeout=_LIMIT)
    if not call.done and call.cancel(grace=_LIMIT) != "finished":
        raise JobError(f"the expression takes more than {_LIMIT:g} s")
    problem = call.exception()
    if problem is not None:
        text = shorten(clean(Values().text(problem)), 200)
        raise JobError(f"the expression raises {text}")
    return call.result()


def _data(value: object) -> ValueData:
    texts = Values()
    found = list(islice(_inside(value), _CHILDREN + 1))
    children: list[Child] = [
        {
            "index": index,
            "name": name if isinstance(name, str) else f"[{texts.text(name[0])}]",
            "type": type_name(child),
            "value": texts.text(child),
            "expandable": expandable(child),
        }
        for index, (name, child) in enumerate(found[:_CHILDREN])
    ]
    return {
        "type": type_name(value),
        "value": texts.text(value),
        "expandable": bool(children),
        "children": children,
        "more": _count(value) - len(children) if len(found) > _CHILDREN else 0,
    }


def _inside(value: Any) -> Iterator[tuple[Any, object]]:
    """Yield what is in a value: a name, or a key in a tuple of its own, and the thing itself."""
    kind = type(value)
    if issubclass(kind, dict):
        for key, item in dict.items(value):
            yield (key,), item
    for sequence in (list, tuple, deque, set, frozenset):
        if issubclass(kind, sequence):
            for index, item in enumerate(sequence.__iter__(value)):
                yield f"[{index}]" if sequence in (list, tuple, deque) else "", item
    for name, item in _attributes(value).items():
        yield f".{clean(name)}", item


def _attributes(value: object) -> dict[str, object]:
    if isinstance(value, _CLOSED):
        return {}
    try:
        found = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return {k: v for k, v in dict.items(found) if type(k) is str} if type(found) is dict else {}


def _count(value: Any) -> int:
    for sized in (dict, list, tuple, deque, set, frozenset):
        if issubclass(type(value), sized):
            return sized.__len__(value) + len(_attributes(value))
    return len(_attributes(value))
