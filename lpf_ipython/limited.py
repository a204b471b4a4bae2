"""A time limit for a piece of a running cell: the body of a ``%%timeout`` below the first line.

A cell that *begins* with ``%%timeout`` is not run by this: it has the limit as a cell. Here the
magic is called in the middle of a cell, and runs its body as IPython runs any nested cell, but
step by step: each step a preemptible function within that of the cell. So the body may await,
although the code around it does not.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable, Coroutine
from typing import Any

import lpf
from lpf import _native
from lpf._stack import same_stack

from .cell import Cell, Ending, Order
from .errors import CellTimeout, JobError
from .limits import Limit, OnTimeout
from .places import user_place
from .shell import ShellHooks

__all__ = ["run_limited"]


def run_limited(
    hooks: ShellHooks,
    shell: Any,
    source: str,
    limit: float,
    on_timeout: OnTimeout | None = None,
    cpu: bool = False,
) -> None:
    """Run *source* in the running cell for at most *limit* seconds.

    Then the cell is paused, or the body is ended with CellTimeout. Raises what the body raised.
    Main thread, in a cell; JobError elsewhere.
    """
    cell = hooks.runner.current
    if cell is None or lpf.current() is None:
        raise JobError("%%timeout works in the main thread's cells only")
    coro = shell.run_cell_async(
        source, store_history=False, transformed_cell=shell.transform_cell(source)
    )
    hooks.quiet = True
    try:
        result = _Body(cell, Limit(limit, on_timeout, cpu)).run(coro)
    finally:
        hooks.quiet = False
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        raise error


class _Body:
    """One body while it runs."""

    def __init__(self, cell: Cell, limit: Limit) -> None:
        self._cell = cell
        self._limit = limit
        self._start = self._clock()
        self._over = False

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        send: Callable[[], Any] = functools.partial(coro.send, None)
        stack = None
        while True:
            stack = same_stack(stack)
            step = _native._launch_on(stack, send, timeout=self._left())
            while not step.done:
                self._passed(step)
            try:
                awaited = step.result()
            except StopIteration as end:
                return end.value
            send = self._await(coro, awaited)

    def _clock(self) -> float:
        job = self._cell.job
        return job.cpu_time if self._limit.cpu else job.elapsed

    def _left(self) -> float | None:
        if self._over:
            return None
        return max(self._limit.seconds - (self._clock() - self._start), 0.0001)

    def _is_up(self) -> bool:
        left = self._left()
        return left is not None and left <= 0.0001

    def _passed(self, step: lpf.Continuation[Any]) -> None:
        """The step came back unfinished."""
        if not self._is_up():
            if self._cell.ordered is not None:
                lpf.pause()
            step.resume(timeout=self._left())
            return
        self._over = True
        if self._pauses():
            self._park()
            step.resume()
        else:
            grace = self._cell.config.grace
            step.throw(self._ending(step), timeout=grace)
            if not step.done:
                step.cancel(grace=grace)

    def _await(self, coro: Coroutine[Any, Any, Any], awaited: Any) -> Callable[[], Any]:
        if awaited is None:
            self._wait_for(None)
            return functools.partial(coro.send, None)
        awaited._asyncio_future_blocking = False
        while not awaited.done():
            self._wait_for(awaited)
            if not awaited.done() and self._is_up():
                self._over = True
                if not self._pauses():
                    awaited.cancel()
                    return functools.partial(coro.throw, self._ending(None))
                self._park()
        return functools.partial(coro.send, None)

    def _wait_for(self, awaited: Any) -> None:
        """Let the event loop run until *awaited* is done or the time is up."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake(*_: Any) -> None:
            if not woken.done():
                woken.set_result(None)

        left = self._left() if awaited is not None else 0.0
        timer = loop.call_later(left, wake) if left is not None and left < math.inf else None
        if awaited is not None:
            awaited.add_done_callback(wake)
        try:
            self._cell.wait(woken)
        finally:
            if timer is not None:
                timer.cancel()

    def _pauses(self) -> bool:
        choice = self._limit.on_timeout or self._cell.config.on_timeout
        return choice == "pause" and self._cell.answerable

    def _park(self) -> None:
        self._cell.order(Order("pause", "timeout"))
        lpf.pause()

    def _ending(self, step: lpf.Continuation[Any] | None) -> Ending:
        cell = self._cell
        cell.ending = CellTimeout(
            limit=self._limit.seconds,
            elapsed=self._clock() - self._start,
            place=(
                cell.place() if step is None else user_place(step.stack(), cell.job.execution_count)
            ),
            job=cell.job.id,
            cpu=self._limit.cpu,
        )
        return Ending(cell.ending)
