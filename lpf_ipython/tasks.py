"""Tasks of asyncio that cells make: one that computes can be left as a cell can.

Such a task has the event loop to itself until its next ``await``, and with it the kernel: nothing
is served, nothing wakes the cell that awaits it. So each of its steps is a preemptible function.
Untouched, it runs as ever, without a quantum. It is left for the orders of the cell that runs:

    pause             it stands still as long as the cell does, the other tasks run on
    interrupt, end    CancelledError is raised in it where it stands; what swallows that and goes on
                      computing does so in slices, and is abandoned after a second
    a time limit      which orders one of these
    a quantum         of a responsive kernel: the others are let in

Main thread. `Tasks` is the task factory of the kernel's event loop, `Steps` the coroutine that
asyncio drives in place of the one that the task was made of.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from types import CodeType
from typing import Any, Protocol

import lpf
from lpf import _native
from lpf._stack import same_stack

from .cell import Cell, Order, keep

__all__ = ["Steps", "Task", "Tasks"]

# Seconds: of a turn while an order waits to be obeyed; and what a task has that was told to end.
_SLICE = 0.02
_PATIENCE = 1.0


class Runner(Protocol):
    """What is needed of a kernel's runner."""

    loop: asyncio.AbstractEventLoop

    @property
    def front(self) -> Cell | None:
        """The running cell, which orders are for."""


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine, each of whose steps can be left. To who looks at it, it is that coroutine."""

    def __init__(self, coro: Any, runner: Runner) -> None:
        self._coro = coro
        self._runner = runner
        self._step: lpf.Continuation[Any] | None = None
        self._stack: object | None = None  # Of all steps.
        self._cell: Cell | None = None
        # Whether it is still to be told that it has to end, and when it is given up, by time.monotonic.
        self._tell = False
        self._end: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)

    def __repr__(self) -> str:
        return repr(self._coro)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def send(self, value: Any, /) -> Any:
        step, self._step = self._step, None
        try:
            if step is None:
                self._stack = same_stack(self._stack)
                step = _native._launch_on(self._stack, self._coro.send, value, timeout=0)
                return self._run(step, step.resume)
            return self._go_on(step)
        finally:
            del step  # It may have an error, in whose traceback this frame is.

    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any:
        error = kind if value is None else value
        step, self._step = self._step, None
        try:
            if step is None:
                self._stack = same_stack(self._stack)
                step = _native._launch_on(self._stack, self._coro.throw, error, timeout=0)
                return self._run(step, step.resume)
            if self._has_to_end:
                self._told()
            return self._run(step, step.throw, error)
        finally:
            del step, error, kind, value, traceback

    def close(self) -> None:
        self._is_left(False)
        step, self._step = self._step, None
        if step is None or step.cancel() != "abandoned":
            self._coro.close()

    @property
    def _has_to_end(self) -> bool:
        cell = self._cell
        return self._tell or (self._end is None and cell is not None and cell.ending is not None)

    def _told(self) -> None:
        self._tell, self._end = False, time.monotonic() + _PATIENCE

    def _go_on(self, step: lpf.Continuation[Any]) -> Any:
        cell = self._cell
        if cell is not None and cell.is_parked:
            self._step = step
            resumed: Any = cell.resumed
            return _waiting(asyncio.shield(resumed))  # A cancelled task must not cancel that.
        if self._has_to_end:
            self._told()
            return self._run(step, step.throw, asyncio.CancelledError())
        if self._end is not None and time.monotonic() > self._end:
            if step.cancel(grace=0) == "abandoned":
                keep(self._coro)
            raise asyncio.CancelledError
        return self._run(step, step.resume)

    def _run(self, step: lpf.Continuation[Any], go: Callable[..., Any], *args: Any) -> Any:
        """Let the step run until it ends or is left; what it yields to asyncio."""
        self._is_left(False)
        cell = self._cell = self._runner.front
        if cell is None:
            go(*args, timeout=None if self._end is None else _SLICE)
        else:
            left = min(cell.remaining(), cell.host.quantum() or math.inf)
            if self._end is not None or cell.ordered is not None:
                left = min(left, _SLICE)
            before, cell.computing = cell.computing, step
            try:
                go(*args, timeout=None if left == math.inf else left)
            finally:
                cell.computing = before
        if step.done:
            try:
                return step.result()
            except BaseException:  # It has ended.
                self._stack = None
                raise
        self._step = step
        return None if cell is None else self._left(cell, step)

    def _left(self, cell: Cell, step: lpf.Continuation[Any]) -> Any:
        if cell.inner_wait is not None and step.reason == "pause":
            future, cell.inner_wait = cell.inner_wait, None
            return _waiting(future)
        if cell.ordered is None:
            order = cell.limit_order()
            if order is None and step.reason in ("pause", "signal"):
                order = Order("pause", step.reason)
            if order is not None:
                cell.order(order)
        order = cell.ordered
        if order is not None:
            self._tell = order.kind != "pause" and self._end is None
            self._is_left(order.kind == "pause")
            self._runner.loop.call_soon(cell.nudge)
        return None

    def _is_left(self, left: bool) -> None:
        """Note whether the cell has to wait: nothing of it runs within a step, as ever."""
        if self._cell is not None:
            (self._cell.left.add if left else self._cell.left.discard)(self)


def _waiting(future: Any) -> Any:
    """What a coroutine yields that waits for *future*."""
    future._asyncio_future_blocking = True
    return future


class Task(asyncio.Task[Any]):
    """A task made of `Steps`, which nobody gets to see."""

    def get_coro(self) -> Any:
        coro = super().get_coro()
        return coro._coro if isinstance(coro, Steps) else coro


class Tasks:
    """The task factory of a kernel's event loop. `own` is the code of coroutines to be left alone."""

    def __init__(self, runner: Runner, own: CodeType) -> None:
        self._runner = runner
        self._own = own
        self._former: Any = None

    def install(self) -> None:
        """Make the tasks of the loop."""
        self._former = self._runner.loop.get_task_factory()
        self._runner.loop.set_task_factory(self)

    def uninstall(self) -> None:
        """Let those make them who did before, if this is still the factory."""
        if self._runner.loop.get_task_factory() is self:
            self._runner.loop.set_task_factory(self._former)

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        if self._former is not None:
            return self._former(loop, coro, **options)
        if lpf.current() is not None and self._is_a_cells(coro):
            return Task(Steps(coro, self._runner), loop=loop, **options)
        return asyncio.Task(coro, loop=loop, **options)

    def _is_a_cells(self, coro: Any) -> bool:
        """Whether a task of *coro*, made within a step, is a cell's, and nobody preempts it yet."""
        return (
            threading.current_thread() is threading.main_thread()
            and getattr(coro, "cr_code", None) is not self._own
            and asyncio.iscoroutine(coro)
            and not type(coro).__module__.startswith((__name__, "lpf.aio."))
        )
