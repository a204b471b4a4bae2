"""Our coroutines on the kernel's event loop: run at once, with a task only for what has to wait.

As asyncio.eager_task_factory does, which Python 3.11 has not, but without a task for what ends at
once. Main thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

__all__ = ["EagerTasks"]


class EagerTasks:
    """The tasks that serve a kernel's requests. What fails is told in the kernel's log."""

    def __init__(self, kernel: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._kernel = kernel
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self, coro: Coroutine[Any, Any, None], context: contextvars.Context
    ) -> asyncio.Task[None] | None:
        """Run *coro* at once, up to where it waits; the task in which it goes on, if it does.

        Most cells wait for nothing: making a task, and two rounds of the event loop, would be the
        greatest part of what an untouched cell costs.
        """
        try:
            awaited = context.run(coro.send, None)
        except StopIteration:
            return None
        return self.spawn(_continued(coro, awaited), context)

    def spawn(
        self, coro: Coroutine[Any, Any, None], context: contextvars.Context | None = None
    ) -> asyncio.Task[None]:
        """Run *coro* in a task, from the next round of the event loop on."""
        task = self._loop.create_task(coro, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self._kernel.log.error("lpf: a cell's task failed", exc_info=problem)


async def _continued(coro: Coroutine[Any, Any, None], awaited: Any) -> None:
    """Drive a coroutine to its end that has begun, and waits for *awaited*."""
    await _rest_of(coro, awaited)


@types.coroutine
def _rest_of(coro: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    while True:
        try:
            value = yield awaited
        except BaseException as error:
            go_on: Callable[[], Any] = functools.partial(coro.throw, error)
        else:
            go_on = functools.partial(coro.send, value)
        try:
            awaited = go_on()
        except StopIteration:
            return
