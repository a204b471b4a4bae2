"""How far a notebook has come, on stderr: a bar on a terminal, a line for each cell elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from .. import durations

__all__ = ["Progress"]

_WIDTH = 24


class Progress:
    """Shows which of *total* cells runs, and for how long it has."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.done = 0
        self._stream = stream or sys.stderr
        self._draws = self._stream.isatty()
        self._cell: tuple[int, float] | None = None

    def begin(self, number: int) -> None:
        """Note that the cell with this number, from 1, begins."""
        self._cell = (number, time.monotonic())
        self.draw()

    def end(self, outcome: str) -> None:
        """Note that it has ended."""
        assert self._cell is not None
        number, start = self._cell
        self._cell = None
        self.done += 1
        if not self._draws:
            spent = durations.show(time.monotonic() - start)
            print(f"cell {number} of {self.total}: {outcome}, {spent}", file=self._stream)
        self.draw()

    def draw(self) -> None:
        """Draw the bar anew, on a terminal."""
        if not self._draws:
            return
        filled = _WIDTH * self.done // max(1, self.total)
        line = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {self.done}/{self.total}"
        if self._cell is not None:
            number, start = self._cell
            line += f"  cell {number}, {time.monotonic() - start:.0f} s"
        self._stream.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
        self._stream.flush()

    def close(self) -> None:
        """Leave the bar as it is and go to the next line."""
        if self._draws:
            self._stream.write("\n")
            self._stream.flush()
