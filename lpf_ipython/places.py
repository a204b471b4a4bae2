"""Where a cell stands: from frames to ``line 3 in <cell 5>``, and which frames are the user's.

Knows frames and IPython's cell names; knows nothing of jobs, values or how a place is drawn.
"""

from __future__ import annotations

import linecache
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

__all__ = ["Place", "is_ours", "own_cell", "place", "user_place", "visible"]

# Below the user's code: whatever carried the cell here.
_CARRIERS = frozenset(
    [
        "IPython",
        "ipykernel",
        "lpf",
        "lpf_ipython",
        "traitlets",
        "tornado",
        "asyncio",
        "decorator",
        "runpy",
        "contextlib",
    ]
)
# Above it: what the user's line merely called into to be paused or shown.
_ON_TOP = frozenset(["IPython", "ipykernel", "lpf", "lpf_ipython", "traitlets"])
_NONE: Mapping[str, int] = {}
_CELL_NAME = re.compile(r"<ipython-input-(\d+)-|^In ?\[(\d+)\]$")


@dataclass(frozen=True)
class Place:
    """A line of code, named as the user knows it.

    ``str(place)`` is ``line 3 in <cell 5>``, or ``line 3 in spin.py`` outside of cells; ``text`` is
    the source line without its indentation, empty when there is no source.
    """

    line: int
    name: str
    file: str
    cell: int | None
    function: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line} in {self.name}"


def place(frame: FrameType, numbers: Mapping[str, int] = _NONE) -> Place:
    """Return where *frame* stands now. Reads names and source lines only; never user objects.

    *numbers* are those of the cells in some files, as of `own_cell`.
    """
    code = frame.f_code
    line = frame.f_lineno or code.co_firstlineno
    cell = numbers.get(code.co_filename, _cell_number(code.co_filename))
    text = linecache.getline(code.co_filename, line, frame.f_globals).strip()
    name = os.path.basename(code.co_filename) if cell is None else f"<cell {cell}>"
    return Place(line, name or "?", code.co_filename, cell, code.co_name, text)


def own_cell(frames: Sequence[FrameType], number: int | None) -> Mapping[str, int]:
    """Return the file and the number of the cell that *frames*, innermost first, belong to.

    Cells with the same source have the same file, which bears the number of the one run last.
    """
    shown = visible(frames)
    file = shown[-1].f_code.co_filename if shown else ""
    return _NONE if number is None or _cell_number(file) is None else {file: number}


def user_place(frames: Sequence[FrameType], number: int | None = None) -> Place | None:
    """Return the innermost place in a cell, else the innermost in other code, else None.

    *frames* come innermost first, *number* is that of the cell that they belong to. A cell that
    waits deep in a library is shown at its own line: that is the one its author can change.
    """
    shown = visible(frames)
    in_cells = (frame for frame in shown if _cell_number(frame.f_code.co_filename) is not None)
    best = next(in_cells, shown[0] if shown else None)
    return place(best, own_cell(frames, number)) if best is not None else None


def visible(frames: Sequence[FrameType]) -> list[FrameType]:
    """Return *frames*, innermost first, without the machinery at both ends.

    Frames of IPython and of this package that stand between two of the user's stay: they explain
    how one came to call the other. When nothing but machinery is there, nothing is left.
    """
    start, stop = 0, len(frames)
    while start < stop and is_ours(frames[start], _ON_TOP):
        start += 1
    while start < stop and is_ours(frames[stop - 1]):
        stop -= 1
    return list(frames[start:stop])


def is_ours(frame: FrameType, packages: frozenset[str] = _CARRIERS) -> bool:
    """Say whether *frame* runs code of one of *packages*."""
    module = frame.f_globals.get("__name__")
    return type(module) is str and module.partition(".")[0] in packages


def _cell_number(filename: str) -> int | None:
    # ipykernel names a cell by a file under the temporary directory; only the compiler knows which.
    found = _CELL_NAME.match(_label(filename) or filename)
    return int(found[1] or found[2]) if found else None


def _label(filename: str) -> str | None:
    shells = sys.modules.get("IPython.core.interactiveshell")
    if shells is None or not shells.InteractiveShell.initialized():
        return None
    named = shells.InteractiveShell.instance().compile.format_code_name(filename)
    return str(named[1]) if named else None
