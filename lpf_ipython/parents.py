"""Whose message the kernel takes for the parent of what it publishes: the cell's that runs.

ipykernel sets it before it calls a handler. What outlives its handler sets it itself whenever it goes
on, and puts back what was there when it stops. Main thread.
"""

from __future__ import annotations

import contextvars
from typing import Any

from . import private
from .cell import Cell
from .request import Request

__all__ = ["Parents"]


class Parents:
    """The parent of one kernel's messages on the shell channel."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    def take(self, request: Request, cell: Cell) -> None:
        """Make it that of *request*, whose cell goes on; what it was is noted in *cell*."""
        self._note(cell)
        self._set(request)

    def retake(self, request: Request, cell: Cell) -> bool:
        """Make it so unless it is; whether it was another's, who has had the cell lent to him."""
        self._note(cell)
        if cell.previous_parent[1] is request.parent:
            return False
        self._set(request)
        return True

    def restore(self, cell: Cell) -> None:
        """Make it what it was when *cell* came back."""
        # In a context of its own: the cell's must keep the cell's parent.
        ident, parent = cell.previous_parent
        contextvars.copy_context().run(self._kernel.set_parent, ident, parent, "shell")

    def _note(self, cell: Cell) -> None:
        cell.came_back = True
        cell.previous_parent = private.parent(self._kernel)

    def _set(self, request: Request) -> None:
        self._kernel.set_parent(request.ident, request.parent, "shell")
