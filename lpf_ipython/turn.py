"""Whose turn it is: one cell runs at a time, in the order in which they asked."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Turn"]


class Turn:
    """A lock that is handed on directly, so that nobody slips in between two who wait.

    Main thread, from the event loop.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def take_now(self) -> bool:
        """Take the turn if it is free; whether it was."""
        if self._taken:
            return False
        self._taken = True
        return True

    async def take(self) -> None:
        """Wait for the turn."""
        if self.take_now():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Hand the turn to the next who waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken = False
