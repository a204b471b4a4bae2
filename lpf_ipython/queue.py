"""The order of the kernel's requests, from their coming to their end: who waits for whom.

Kernels have a queue of their own, out of which requests come one by one. A request that finds the
turn free and nothing before it has its turn at once; another one is *late*: it waits for the end of
those before it, is aborted if one of them fails, and takes its turn. When a cell is first parked,

    those that are in the kernel's queue   were meant to run after it, and wait for its end
    those that are made after that         run at once

Requests in the background are beside all that. Main thread, but for `Queue.withdraw`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from . import private
from .request import Request
from .turn import Turn

__all__ = ["Queue"]


class Queue:
    """The requests of one kernel that have come and not ended, but for those beside."""

    def __init__(self, kernel: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._kernel = kernel
        self._loop = loop
        self._turn = Turn()
        self._open: list[Request] = []
        # Among them those that have not begun, and ids of others that are to be dropped when they come.
        self._waiting: dict[str, Request] = {}
        self._withdrawn: set[str] = set()

    def enter(self, request: Request) -> list[Request]:
        """Put *request*, which has come, in its place; those that it has to wait for.

        One that is not late has its turn now.
        """
        before = [other for other in self._open if other.is_before_all_that_come]
        request.late = bool(before) or not self._turn.take_now()
        request.in_order = not any(other.collecting for other in before)
        if not request.in_order:
            request.behind = [other for other in before if other.collecting]
        self._open.append(request)
        return before

    async def wait(self, request: Request, before: list[Request]) -> bool:
        """Let a late one wait for its turn; False, without it, if it is not to run any more."""
        self._waiting[request.msg_id] = request
        if request.msg_id in self._withdrawn:  # Before it came.
            self._drop(request.msg_id)
        try:
            if not await self._have_succeeded(request, before):
                return False
            await self._turn.take()
            return True
        finally:
            del self._waiting[request.msg_id]

    async def _have_succeeded(self, request: Request, before: list[Request]) -> bool:
        """Wait until those before have ended; whether all of them succeeded."""
        for other in before:
            both = (other.ended, request.withdrawn)
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if request.withdrawn.done() or not other.ended.result():
                return False
        return True

    def over(self, request: Request, succeeded: bool) -> None:
        """Let those that wait for its end know."""
        request.ended.set_result(succeeded)
        if request in self._open:
            self._open.remove(request)

    # Turns.

    async def take_turn(self, request: Request) -> None:
        """Wait until a parked one may go on."""
        if not request.background:
            await self._turn.take()

    def leave(self, request: Request) -> None:
        """Let the next one have its turn: by the handler, if that has not returned yet."""
        if request.background:
            return
        if not request.left.done():
            request.left.set_result(None)
        elif request.telling:
            request.owes_turn = True
        else:
            self._turn.give()

    def handler_returns(self, request: Request) -> None:
        """Give the turn of one that has left, whose handler is about to return."""
        if request.telling:
            request.owes_turn = True
            return
        # Only after the handler's idle: the next cell's busy must not come before it.
        if self._turn.is_wanted:
            self._loop.call_soon(self._turn.give)
        else:
            self._turn.give()

    # Parked ones.

    def let_pass(self) -> None:
        """Those that come from now on need not wait for those that have come, but see `collect`."""
        for other in self._open:
            other.in_order = False

    def collect(self, request: Request, tell: Callable[[], None]) -> None:
        """Have those in the kernel's queue wait for the end of *request*, which is being parked.

        *tell* is called when those that are made from then on count as later ones; it has to call
        `told`.
        """
        request.marked = request.telling = request.collecting = True

        def reached() -> None:
            request.collecting = False

        def posted() -> None:
            self._loop.call_soon_threadsafe(tell)

        private.after_queued(self._kernel, reached, posted)

    def told(self, request: Request) -> None:
        """It is known that its cell is paused: now the next one may compute."""
        request.telling = False
        if request.owes_turn:
            request.owes_turn = False
            self._turn.give()

    # Withdrawn ones.

    def withdraw(self, msg_id: str) -> None:
        """Take the request, which may be yet to come, out of the queue. Any thread."""
        self._withdrawn.add(msg_id)
        self._loop.call_soon_threadsafe(self._drop, msg_id)

    def is_withdrawn(self, request: Request) -> bool:
        """Whether *request*, whose turn it is, is not to run after all."""
        if not request.withdrawn.done() and request.msg_id not in self._withdrawn:
            return False
        self._withdrawn.discard(request.msg_id)
        return True

    def _drop(self, msg_id: str) -> None:
        request = self._waiting.get(msg_id)
        if request is not None and not request.withdrawn.done():
            self._withdrawn.discard(msg_id)
            request.withdrawn.set_result(None)
