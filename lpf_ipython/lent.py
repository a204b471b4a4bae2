"""Interrupts while a cell is lent out: they are for that cell, whoever happens to run. Main thread."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType

from .begun import Begun
from .cell import FIRST, Order

__all__ = ["WhileLent"]


class WhileLent:
    """Hears them."""

    def __init__(self, begun: Begun, loop: asyncio.AbstractEventLoop) -> None:
        self._begun = begun
        self._loop = loop
        # For each message that is being handled, see `handling`: whether a cell was lent out for it.
        self.handled: list[bool] = []

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the cell in front.

        The second one, if the first could not get there, is for whoever keeps it out.
        """
        cell = self._begun.front
        if cell is None:
            return
        if cell.ordered is not None and any(self.handled):
            signal.default_int_handler(number, frame)
        cell.order(Order("interrupt", FIRST))
        self._loop.call_soon_threadsafe(cell.nudge)
