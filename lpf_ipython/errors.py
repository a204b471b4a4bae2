"""What a user sees when a cell is ended, or a command about one is refused.

    Exception
      ├ CellEnded          a cell was ended from outside
      │   ├ CellTimeout      … because its time was up (also a TimeoutError)
      │   └ CellCancelled    … because someone cancelled it
      └ JobError           a command cannot be carried out; one line, no traceback

`CellTimeout` and `CellCancelled` are a cell's outcome, not something that code in the cell can
catch: inside the cell `lpf.Cancelled` is raised. Their ``str()``, and so the ``evalue`` of the
reply, is a sentence followed by one JSON object; `details` finds it there again.
"""

from __future__ import annotations

import functools
import json
import linecache
import sys
from typing import Any, TypedDict

from . import durations
from .places import Place
from .values import clean, shorten

__all__ = ["CellCancelled", "CellEnded", "CellTimeout", "Details", "JobError", "details"]

_AROUND = 2
_ABANDONED = (
    "It could not be unwound: it is abandoned, its finally blocks did not run, its memory is kept."
)


class Details(TypedDict):
    """The machine-readable part. Seconds; ``limit`` is None where no limit was involved.

    ``cell`` is the number of the cell that ``line`` is in; outside of cells there is a ``file``.
    """

    kind: str
    limit: float | None
    cpu: bool
    elapsed: float
    where: str | None
    line: int | None
    cell: int | None
    file: str | None
    text: str | None
    job: int | None
    abandoned: bool


class CellEnded(Exception):
    """A cell was ended from outside; see the two kinds.

    ``details`` is the machine-readable part and `to_dict` a copy of it. ``place`` is where the
    cell stood, None when that is not known (a cell that had not begun).
    """

    def __init__(
        self,
        *,
        elapsed: float,
        place: Place | None = None,
        job: int | None = None,
        abandoned: bool = False,
        limit: float | None = None,
        cpu: bool = False,
    ) -> None:
        self.place = place
        self.details: Details = {
            "kind": type(self).__name__,
            "limit": limit,
            "cpu": cpu,
            "elapsed": round(elapsed, 6),
            "where": str(place) if place else None,
            "line": place.line if place else None,
            "cell": place.cell if place else None,
            "file": place.file if place and place.cell is None else None,
            "text": shorten(clean(place.text), 100) if place else None,
            "job": job,
            "abandoned": abandoned,
        }
        super().__init__(f"{self._sentence()} {json.dumps(self.details)}")

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("elapsed", "job", "abandoned", "limit", "cpu")
        known: dict[str, Any] = {name: self.details[name] for name in names}  # type: ignore[literal-required]
        return functools.partial(type(self), place=self.place, **known), ()

    def to_dict(self) -> Details:
        """Return a copy of ``details``."""
        return self.details.copy()

    def _sentence(self) -> str:
        return f"ended after {durations.show(self.details['elapsed'])}{self._at()}"

    def _at(self) -> str:
        where, text = self.details["where"], self.details["text"]
        return f" at {where}{': ' if text else ''}{text}" if where else ""

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this instead of formatting the traceback of our machinery."""
        head = f"{_coloured(type(self).__name__)}: {self._sentence()}"
        end = [_ABANDONED] if self.details["abandoned"] else []
        notes = [clean(str(note)) for note in getattr(self, "__notes__", ())]
        return [head, *_source(self.place), *notes, *end]


class CellTimeout(CellEnded, TimeoutError):
    """A cell ran into its time limit and was cancelled. ``limit`` and ``elapsed`` are seconds."""

    def __init__(
        self,
        *,
        limit: float,
        elapsed: float,
        place: Place | None = None,
        job: int | None = None,
        abandoned: bool = False,
        cpu: bool = False,
    ) -> None:
        self.limit = limit
        self.elapsed = elapsed
        super().__init__(
            elapsed=elapsed, place=place, job=job, abandoned=abandoned, limit=limit, cpu=cpu
        )

    def _sentence(self) -> str:
        kind = " of CPU time" if self.details["cpu"] else ""
        taken = durations.show(self.details["elapsed"])
        return (
            f"the cell's limit of {durations.show(self.limit)}{kind} passed; "
            f"stopped after {taken}{self._at()}"
        )


class CellCancelled(CellEnded):
    """A cell was cancelled: by ``%lpf cancel``, a message, or an interrupt that it swallowed."""

    def _sentence(self) -> str:
        return f"cancelled after {durations.show(self.details['elapsed'])}{self._at()}"


class JobError(Exception):
    """A command cannot be carried out. The text is one line: what was found and the way out."""

    def _render_traceback_(self) -> list[str]:
        return [f"{_coloured(type(self).__name__)}: {self}"]


def details(evalue: str) -> Details | None:
    """Return the machine-readable part of an error's *evalue*; None when there is none."""
    start = evalue.find('{"kind": "Cell')
    if start < 0:
        return None
    try:
        found: Details = json.JSONDecoder().raw_decode(evalue, start)[0]
    except ValueError:
        return None
    return found


def _source(place: Place | None) -> list[str]:
    if place is None:
        return []
    lines = linecache.getlines(place.file)
    first, last = max(1, place.line - _AROUND), min(len(lines), place.line + _AROUND)
    return [
        f"{'---->' if n == place.line else '     '} {n:>4} {shorten(_flat(lines[n - 1]), 120)}".rstrip()
        for n in range(first, last + 1)
    ]


def _flat(text: str) -> str:
    return clean(text.rstrip().expandtabs(8))


def _coloured(name: str) -> str:
    shells = sys.modules.get("IPython.core.interactiveshell")
    if shells is None or not shells.InteractiveShell.initialized():
        return name
    plain = str(shells.InteractiveShell.instance().colors).lower() == "nocolor"
    return name if plain else f"\x1b[31m{name}\x1b[39m"
