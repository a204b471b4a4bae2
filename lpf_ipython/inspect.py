"""A paused cell as plain data: its stack, source lines and variables, ready for JSON.

The same data is drawn by `display`, sent in ``lpf_inspect_reply`` and asked for by programs. It
is a picture: it holds no frame and no value, and keeps nothing alive.
"""

from __future__ import annotations

import ast
import linecache
import re
import sys
from collections.abc import Sequence
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any, Protocol, TypedDict

import lpf

from .companions import Process, processes, threads
from .places import Place, own_cell, place, user_place, visible
from .values import Values, clean, shorten, type_name

__all__ = [
    "FrameData",
    "JobData",
    "JobLike",
    "SourceLine",
    "StackData",
    "Variable",
    "frames_of",
    "job_data",
    "stack_data",
    "variables",
]

_AROUND = 3
_LOCALS = 30
# Names that IPython keeps its history under, and Python's own.
_HISTORY = re.compile(r"_+$|_i+$|_i?\d+$|_[iods]h$|__.*__$")
_NOISE = (ModuleType, FunctionType, BuiltinFunctionType, type)


class SourceLine(TypedDict):
    """One line of source; ``current`` marks where the frame stands."""

    line: int
    text: str
    current: bool


class Variable(TypedDict):
    """One local variable: its name, its type's name, and its value in one safe line."""

    name: str
    type: str
    value: str


class FrameData(TypedDict):
    """One frame. ``index`` counts from 0, the innermost; ``more_locals`` were left out."""

    index: int
    function: str
    where: str
    file: str
    cell: int | None
    line: int
    source: list[SourceLine]
    locals: list[Variable]
    more_locals: int


class StackData(TypedDict):
    """The frames shown, innermost first, and how many of the machinery's are hidden."""

    frames: list[FrameData]
    hidden: int


class JobData(StackData):
    """A stack and whose it is. Durations are in seconds; ``limit`` is None without one.

    ``threads`` and ``processes`` are those of this interpreter that go on while it is paused.
    """

    job: int
    state: str
    reason: str | None
    where: str
    text: str
    elapsed: float
    cpu_time: float
    limit: float | None
    threads: list[str]
    processes: list[Process]


class JobLike(Protocol):
    """What is needed of a job here; `jobs.Job` has it."""

    @property
    def id(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def continuation(self) -> lpf.Continuation[Any] | None: ...
    @property
    def where(self) -> str: ...
    @property
    def elapsed(self) -> float: ...
    @property
    def cpu_time(self) -> float: ...
    @property
    def limit(self) -> float | None: ...
    @property
    def reason(self) -> str | None: ...


def frames_of(job: JobLike) -> list[FrameType]:
    """Return *job*'s frames, innermost first; none unless it is paused."""
    stack = getattr(job, "stack", None)
    if callable(stack):
        return list(stack())
    return list(job.continuation.stack()) if job.continuation is not None else []


def job_data(job: JobLike, *, all: bool = False, frame: int | None = None) -> JobData:
    """Return *job* with its stack; with *frame*, that one only and all of its variables.

    *all* shows the machinery's frames and every variable. IndexError when there is no such frame.
    Runs ``__repr__`` of the user's objects, each under a time limit: main thread.
    """
    frames = frames_of(job)
    found = user_place(frames)
    return {
        "job": job.id,
        "state": job.state,
        "reason": job.reason,
        "where": job.where,
        "text": shorten(clean(found.text), 100) if found else "",
        "elapsed": job.elapsed,
        "cpu_time": job.cpu_time,
        "limit": job.limit,
        "threads": threads(),
        "processes": processes(),
        **stack_data(frames, all=all, frame=frame, number=getattr(job, "execution_count", None)),
    }


def stack_data(
    frames: Sequence[FrameType],
    *,
    all: bool = False,
    frame: int | None = None,
    number: int | None = None,
) -> StackData:
    """Return *frames* (innermost first) as data; the arguments are those of `job_data`.

    *number* is that of the cell that they belong to.
    """
    shown = list(frames) if all else visible(frames)
    hidden = len(frames) - len(shown)
    values = Values()
    if frame is None:
        picked = list(enumerate(shown))
    elif 0 <= frame < len(shown):
        picked = [(frame, shown[frame])]
    else:
        raise IndexError(f"no frame {frame}; there are {len(shown)}, counted from 0")
    every = all or frame is not None
    own = own_cell(frames, number)
    return {
        "frames": [_frame_data(i, f, place(f, own), values, every) for i, f in picked],
        "hidden": hidden,
    }


def _frame_data(
    index: int, frame: FrameType, here: Place, values: Values, every: bool
) -> FrameData:
    found = variables(frame)
    names = _names(frame, found, every)
    shown = names if every else names[:_LOCALS]
    return {
        "index": index,
        "function": clean(frame.f_code.co_qualname),
        "where": clean(str(here)),
        "file": clean(here.file),
        "cell": here.cell,
        "line": here.line,
        "source": _source(frame, here.line),
        "locals": [
            {
                "name": clean(name),
                "type": type_name(found[name]),
                "value": values.text(found[name]),
            }
            for name in shown
        ],
        "more_locals": len(names) - len(shown),
    }


def _source(frame: FrameType, line: int) -> list[SourceLine]:
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    first, last = max(1, line - _AROUND), min(len(lines), line + _AROUND)
    return [
        {
            "line": number,
            "text": shorten(_clean_source(lines[number - 1]), 200),
            "current": number == line,
        }
        for number in range(first, last + 1)
    ]


def _clean_source(text: str) -> str:
    return clean(text.rstrip().expandtabs(8))


def variables(frame: FrameType) -> dict[str, object]:
    """Return the variables of *frame*, without running code of a class body's mapping."""
    names: Any = frame.f_locals
    if isinstance(names, dict):
        return {k: v for k, v in dict.items(names) if type(k) is str}
    return dict(names) if type(names).__name__ == "FrameLocalsProxy" else {}


def _names(frame: FrameType, names: dict[str, object], every: bool) -> list[str]:
    """Return which variables to show.

    A cell's own frame has all of the user's variables for locals. Shown are those that its code
    mentions, but for modules, classes and functions; *every* takes that restriction away.
    """
    if frame.f_locals is not frame.f_globals:
        return [name for name in names if not name.startswith((".", "@", "__"))]
    hidden, absent = _hidden_by_ipython(), object()
    found = [
        name
        for name, value in names.items()
        if not _HISTORY.match(name) and hidden.get(name, absent) is not value
    ]
    if every:
        return found
    mentioned = _mentioned(frame)
    return [name for name in found if name in mentioned and not _is_noise(names[name])]


def _mentioned(frame: FrameType) -> set[str]:
    # IPython compiles a cell statement by statement: the code object knows only the current one.
    source = "".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return set(frame.f_code.co_names)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _is_noise(value: object) -> bool:
    return any(type(value) is kind for kind in _NOISE)


def _hidden_by_ipython() -> dict[str, object]:
    shells = sys.modules.get("IPython.core.interactiveshell")
    if shells is None or not shells.InteractiveShell.initialized():
        return {}
    hidden: dict[str, object] = shells.InteractiveShell.instance().user_ns_hidden
    return hidden
