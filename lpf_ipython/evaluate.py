"""A value of a paused cell, one level deep: of a variable, of an expression, of something in it.

An expression is the user's own, typed to be run; it still has a time limit, for it may wait for a
lock that the paused cell holds. What is in a value is looked at without running any of its code.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType
from typing import TypedDict

import lpf

from . import tabular
from .contents import Contents, Thing
from .errors import JobError
from .inspect import JobLike, frames_of, variables
from .places import visible
from .values import Values, clean, shorten, type_name

__all__ = ["Child", "ValueData", "evaluate", "expandable"]

_LIMIT = 1.0
_CHILDREN = 100
_LONGEST = 10_000


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
        found = _at(value, index)
        if found is None:
            raise IndexError(f"{expression}: there is nothing at {list(path)} any more")
        value = found.value
    return _data(value)


def expandable(value: object) -> bool:
    """Say whether there is something in *value*, without running its code.

    True for what cannot be asked without: a table, say, of a type of the user's.
    """
    try:
        if tabular.kind_of(type(value)) not in (None, "array") and not tabular.has_own_values(
            value
        ):
            return True
        return Contents(value).count > 0
    except Exception:
        return True  # What is wrong with it, it says when it is opened.


def _value(expression: str, frame: FrameType) -> object:
    names = variables(frame)
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
    children: list[Child] = []
    more = 0
    try:
        contents = Contents(value)
        for name, child, describe in contents.between(0, _CHILDREN):
            children.append(
                {
                    "index": len(children),
                    "name": name if isinstance(name, str) else f"[{texts.item(name[0])}]",
                    "type": type_name(child),
                    "value": describe(texts, child),
                    "expandable": expandable(child),
                }
            )
        more = contents.count - len(children)
    except Exception as problem:  # Of the library, or because another thread is changing it.
        children.append(_problem(len(children), problem, texts))
    return {
        "type": type_name(value),
        "value": texts.text(value),
        "expandable": bool(children),
        "children": children,
        "more": more,
    }


def _problem(index: int, problem: Exception, texts: Values) -> Child:
    return {
        "index": index,
        "name": "cannot be shown",
        "type": type_name(problem),
        "value": clean(str(problem)) if type(problem) is JobError else texts.text(problem),
        "expandable": False,
    }


def _at(value: object, index: int) -> Thing | None:
    try:
        return next(Contents(value).between(index, index + 1), None) if index >= 0 else None
    except JobError:
        raise
    except Exception as problem:
        raise JobError(f"it cannot be shown: {Values().text(problem)}") from None
