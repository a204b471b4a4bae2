"""Interrupts while a cell is lent out: they are for that cell, whoever happens to run. Main thread."""

from __future__ import annotations

import asyncio
import signal
from types import CodeType, FrameType

from .begun import Begun
from .cell import FIRST, Order

__all__ = ["WhileLent"]


class WhileLent:
    """Hears them."""

    def __init__(self, begun: Begun, loop: asyncio.AbstractEventLoop, handles: CodeType) -> None:
        self._begun = begun
        self._loop = loop
        # What calls the handlers of messages.
        self._handles = handles
        # What it calls besides, outside of the place where it catches interrupts.
        self.hooks: tuple[CodeType, ...] = ()
        # For each message that is being handled, see `handling`: whether a cell was lent out for it.
        self.handled: list[bool] = []

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the cell in front.

        The second one, if the first could not get there, is for whoever keeps it out.
        """
        cell = self._begun.front
        if cell is None:
            return
        if cell.ordered is not None and any(self.handled) and self.is_handled(frame):
            signal.default_int_handler(number, frame)
        cell.order(Order("interrupt", FIRST))
        self._loop.call_soon_threadsafe(cell.nudge)

    def is_handled(self, frame: FrameType | None) -> bool:
        """Whether a handler runs, and does not await: in the event loop, nobody would catch it."""
        inner = None
        while frame is not None and frame.f_code is not self._handles:
            inner, frame = frame, frame.f_back
        return frame is not None and inner is not None and inner.f_code not in self.hooks
