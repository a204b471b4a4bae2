"""Whose turn it is among what stands preempted on an event loop.

Preempted steps have had a whole quantum and wait for the next one in a queue of their own, first in,
first out, of which one goes on at a time; and not before the loop has gone round `ROUNDS` times, which
is how often it takes until a task runs that an event wakes (the event's callback, the task's own).
So what is short, new or awaited waits for the rest of one quantum, however many long ones there are;
in asyncio's own queue it would wait for a quantum of each.  The long ones share what is left, and
never get less than one quantum in so many rounds.

On the loop's thread; `standing` and `count` are read by others.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import Any

from .. import _native

__all__ = ["ROUNDS", "count", "goes_on", "next_turn", "standing", "stands"]

ROUNDS = 3

standing: dict[_native.Continuation[Any], str] = {}
_count = 0


def count() -> int:
    """A number that goes up whenever something is preempted or goes on."""
    return _count


def stands(step: _native.Continuation[Any], name: str) -> None:
    """The step has been preempted."""
    global _count
    _count += 1
    standing[step] = name


def goes_on(step: _native.Continuation[Any]) -> None:
    """It is about to be resumed or cancelled."""
    global _count
    _count += 1
    standing.pop(step, None)


class _Queue:
    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.goes_round = False

    def add(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        future = loop.create_future()
        self.waiting.append(future)
        if not self.goes_round:
            self.goes_round = True
            loop.call_soon(self.go_round, loop, ROUNDS)
        return future

    def go_round(self, loop: asyncio.AbstractEventLoop, rounds: int) -> None:
        if rounds <= 1:
            self._let_next_go_on()
            rounds = ROUNDS
        else:
            rounds -= 1
        self.goes_round = bool(self.waiting)
        if self.goes_round:
            loop.call_soon(self.go_round, loop, rounds)

    def _let_next_go_on(self) -> None:
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():  # A task that is cancelled does not wait.
                future.set_result(None)
                return


_queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = weakref.WeakKeyDictionary()


def next_turn(loop: asyncio.AbstractEventLoop | None) -> asyncio.Future[None] | None:
    """What a preempted step yields to its task, which goes on when it is its turn.

    None, as of ``asyncio.sleep(0)``, without a loop.
    """
    if loop is None:
        return None
    queue = _queues.get(loop)
    if queue is None:
        queue = _queues[loop] = _Queue()
    future = queue.add(loop)
    future._asyncio_future_blocking = True  # As Future.__await__ has it.
    return future
