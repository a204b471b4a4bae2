"""One cell, driven step by step: each step is a preemptible function.

IPython runs a cell as a coroutine. Each ``send`` into it is launched with `lpf` on a stack of its
own; when that comes back

    finished with StopIteration   the cell is done
    finished with an awaitable    it is handed to the event loop; the next step follows
    paused                        the cell does what it was ordered to: it is parked until somebody
                                  resumes it, or an exception is raised where it stands

`Cell` is the part that everybody talks to, `Driver` the loop above. A top-level await makes ipykernel
run the cell in a task within the task of its request, each with a driver; they share the `Cell`.
Main thread.
"""

from __future__ import annotations

import asyncio
import functools
import math
import sys
import time
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

import lpf
from lpf import _native
from lpf._stack import same_stack

from . import private
from .cell import FIRST, INSTANT, Abandoned, Cell, Ending, Order, Outcome, cancelled, keep
from .errors import CellEnded
from .sigint import Sigint
from .swallow import Handlers, handlers_of, swallowed_at

__all__ = ["Driver"]

# Seconds. After `grace`, when a cancel was swallowed: how long the last attempts may take.
_LAST_ATTEMPT = 0.2
_BETWEEN_ATTEMPTS = 0.04
# How long a KeyboardInterrupt that is raised again has to end the cell.
_SECOND_INTERRUPT = 0.4
# While a cell shares: the switch interval of threads, in quanta; and for how many seconds the threads
# that carry messages have the GIL for themselves when there is one, and how often in a quantum.
_SWITCHES = 0.05
_CARRYING = 0.0002
_CARRIES = 3


class Driver:
    """The loop that drives one coroutine of a cell."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.in_step = False
        self.waits = False
        self._sigint = Sigint(self._arrived_here)
        self.task: asyncio.Task[Any] | None = None
        self._woken = False
        self._awaited: Any = None

    def wake(self) -> None:
        """Interrupt what the coroutine awaits, so that an order is obeyed.

        What does not mind being cancelled is not waited for.
        """
        if self.task is None or self._woken:
            return
        self._woken = True
        self.task.cancel()
        if self._awaited is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(_SECOND_INTERRUPT, self._let_go, self._awaited)

    def _let_go(self, awaited: Any) -> None:
        if self.task is not None and awaited is self._awaited:
            private.let_go(self.task, awaited)

    @types.coroutine
    def drive(self, coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Run *coro* to its end and return its value, or raise what it raised.

        Raises Abandoned when it was given up.
        """
        # A terminal has no event loop around its cells.
        self.task = None if asyncio._get_running_loop() is None else asyncio.current_task()
        if self.cell.hears is not None and not self.cell.drivers:
            self._sigint.begin(self.cell.hears)
        self.cell.drivers.append(self)
        try:
            return (yield from self._steps(coro))
        except Abandoned:
            keep(coro)
            raise
        finally:
            self._sigint.end()
            self.cell.drivers.remove(self)
            self.cell.job.continuation = None
            self.cell.job.awaiting = None

    def _steps(self, coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        send: Callable[[], Any] = functools.partial(coro.send, None)
        cell = self.cell
        stack = None
        while True:
            if cell.stands_by:
                yield from self._gate()
            stack = same_stack(stack)
            step = _native._launch_on(
                stack, self._ordered(coro, send) if cell.has_to_obey else send, timeout=0
            )
            cell.job.continuation = step
            self.in_step = True
            self._run(step, step.resume)
            while not step.done:
                yield from self._obey(step)
            self.in_step = False
            if step.state == "abandoned" and cell.ending is None:
                # Without an order of ours: what was interrupted could not be unwound.
                cell.ending = cancelled(cell, True)
            cell.job.continuation = None
            try:
                awaitable = step.result()
            except StopIteration as end:
                return end.value
            except lpf.Cancelled:
                if step.state == "abandoned":
                    raise Abandoned from None
                raise
            finally:
                del step  # It may have an error, in whose traceback this frame is.
            send = yield from self._await(coro, awaitable)

    def _gate(self) -> Generator[Any, Any, None]:
        """Before a step: wait while the cell is held; be parked if that was ordered."""
        cell = self.cell
        order = cell.ordered
        if order is not None and order.kind == "pause" and not cell.is_parked:
            self._sigint.keep()
            cell.obey_pause(order)
        yield from self._held()
        while cell.left and cell.ordered is None:  # In the middle of their steps: they come first.
            yield
            yield from self._held()

    def _held(self) -> Generator[Any, Any, None]:
        while self.cell.is_parked:
            assert self.cell.resumed is not None
            yield from self.cell.resumed

    def _run(self, step: lpf.Continuation[Any], go: Callable[..., Any], *args: Any) -> None:
        """Let the step run until it ends, is paused or its time is up."""
        try:
            try:
                self._sigint.theirs()
                lpf.watch_interrupts()
                self.cell.regain()
                left = self.cell.remaining()
                quantum = self.cell.host.quantum()
                if quantum is not None:
                    left = min(left, quantum)
                    with _threads_let_in(quantum):
                        go(*args, timeout=left)
                else:
                    go(*args, timeout=None if left == math.inf else left)
            finally:
                self._sigint.ours()
        except KeyboardInterrupt:
            self._arrived_here()
            self._sigint.ours()

    def _let_others_in(self) -> Generator[Any, Any, None]:
        """A quantum is over: let the event loop do what has come up, for another one at most."""
        cell = self.cell
        self._let_messages_through()
        if not cell.has_company():
            return
        self._sigint.step_aside(cell.host.interrupted)
        cell.lend()
        end = time.monotonic() + (cell.host.quantum() or 0.0)
        yield
        while time.monotonic() < end and cell.has_company():
            yield
        self._let_messages_through()
        cell.regain()
        self._sigint.back()

    def _let_messages_through(self) -> None:
        for _ in range(_CARRIES):
            if not self.cell.host.in_transit():
                return
            time.sleep(_CARRYING)

    def _arrived_here(self) -> None:
        """An interrupt came to the driver rather than to the cell, for which it was meant."""
        self.cell.order(Order("interrupt", FIRST))

    def _obey(self, step: lpf.Continuation[Any]) -> Generator[Any, Any, None]:
        """The step came back unfinished: do what was ordered, or go on."""
        order = self.cell.ordered
        if order is None:
            order = self._own_order(step)
        elif order.kind != "pause":
            self.cell.take_order()
        if order is None:
            if self.cell.inner_wait is not None:
                yield from self._await_inside(self.cell.inner_wait)
            elif self.cell.host.quantum() is not None:
                yield from self._let_others_in()
            if self.cell.ordered is None:
                self._run(step, step.resume)
        elif order.kind == "pause":
            self._sigint.keep()
            self.cell.obey_pause(order)
            yield from self._held()
            if self.cell.ordered is None:
                self._run(step, step.resume)
        elif self.cell.over:  # Its reply is about to be sent: that comes first.
            self._run(step, step.resume)
        elif order.kind == "interrupt":
            if order.reason == FIRST:
                self._run(step, step.throw, KeyboardInterrupt())
            else:
                self._interrupt(step)
        else:
            assert order.outcome is not None
            self._end(step, order.outcome, order.grace)

    def _own_order(self, step: lpf.Continuation[Any]) -> Order | None:
        if step.reason == "pause":
            return Order("pause", "pause") if self.cell.inner_wait is None else None
        if step.reason == "signal":
            return Order("pause", "signal")
        return self.cell.limit_order()

    # Ends: what is raised inside, and how often.

    def _interrupt(self, step: lpf.Continuation[Any]) -> None:
        """Raise KeyboardInterrupt again; where that is swallowed as well, end the cell."""
        before, told = handlers_of(step.stack()), self.cell.telling
        step.throw(KeyboardInterrupt(), timeout=_SECOND_INTERRUPT)
        if step.done or self.cell.ordered is not None or (self.cell.telling and not told):
            return
        if step.reason == "timeout":
            self._end(step, functools.partial(_swallowed, before, step.stack()), None)

    def _end(
        self,
        step: lpf.Continuation[Any],
        outcome: Outcome,
        grace: float | None,
    ) -> None:
        """Raise the end inside; raise it once more when that was swallowed; then give up."""
        cell = self.cell
        self._begin_end(outcome, grace)
        assert cell.ending is not None
        assert cell.patience is not None
        step.throw(Ending(cell.ending), timeout=max(cell.patience - time.monotonic(), INSTANT))
        if step.done or cell.unwound:
            return
        given_up = outcome(cell, True)
        end = time.monotonic() + _LAST_ATTEMPT
        while not step.done and time.monotonic() < end:
            self._once_more(step)
        if not step.done and step.cancel(grace=0) == "abandoned":
            cell.ending = given_up

    def _once_more(self, step: lpf.Continuation[Any]) -> None:
        cell = self.cell
        if cell.unwound:  # What runs is IPython, which tells the user: that is let be.
            step.resume(timeout=_LAST_ATTEMPT)
        else:
            assert cell.ending is not None
            step.throw(Ending(cell.ending), timeout=_BETWEEN_ATTEMPTS)

    # Between two steps.

    def _await(
        self, coro: Coroutine[Any, Any, Any], awaitable: Any
    ) -> Generator[Any, Any, Callable[[], Any]]:
        """Hand *awaitable* to the event loop; return the next thing to do to *coro*."""
        cell = self.cell
        cell.job.awaiting = coro
        try:
            yield from self._suspended(awaitable)
        except asyncio.CancelledError as error:
            if not self._woken:
                return functools.partial(coro.throw, error)
            assert self.task is not None
            self.task.uncancel()
        except BaseException as error:
            return functools.partial(coro.throw, error)
        else:
            if self._woken and self.task is not None:
                self.task.uncancel()
        return functools.partial(coro.send, None)

    def _await_inside(self, future: asyncio.Future[None]) -> Generator[Any, Any, None]:
        """A step waits in the middle of itself, see `Cell.wait`."""
        self.cell.inner_wait = None
        future._asyncio_future_blocking = True  # What ``await`` sets.
        with suppress(asyncio.CancelledError):
            yield from self._suspended(future)
        if self._woken and self.task is not None:
            self.task.uncancel()
        yield from self._held()

    def _suspended(self, awaitable: Any) -> Generator[Any, Any, None]:
        self._woken = False
        shares = self.cell.host.quantum() is not None
        if shares:
            self._sigint.step_aside(self.cell.host.interrupted)
            self.cell.lend()
        else:
            self._sigint.theirs()
        timer = self._arm()
        self.waits = True
        self._awaited = awaitable
        try:
            yield awaitable
        finally:
            self._awaited = None
            if shares:
                self.cell.regain()
                self._sigint.back()
            self.waits = False
            if timer is not None:
                timer.cancel()

    def _arm(self) -> asyncio.TimerHandle | None:
        cell = self.cell
        if cell.patience is not None:
            left = max(0.0, cell.patience + _LAST_ATTEMPT - time.monotonic())
        else:
            left = cell.remaining()
        if left == math.inf or cell.drivers[-1] is not self:
            return None
        return asyncio.get_running_loop().call_later(left, self._time_is_up)

    def _time_is_up(self) -> None:
        cell = self.cell
        if cell.patience is not None:
            self.wake()
        elif not cell.is_parked:
            order = cell.limit_order()
            if order is not None:
                cell.order(order)
            cell.nudge()

    def _ordered(
        self, coro: Coroutine[Any, Any, Any], send: Callable[[], Any]
    ) -> Callable[[], Any]:
        """Return what to do to the coroutine instead of *send*, if an order stands."""
        cell = self.cell
        self._check_patience()
        order = cell.ordered
        if order is None or order.kind == "pause":
            return send
        cell.take_order()
        if order.kind == "interrupt":
            loop = asyncio.get_running_loop()
            loop.call_later(_SECOND_INTERRUPT, self._interrupt_swallowed)
            return functools.partial(coro.throw, KeyboardInterrupt())
        assert order.outcome is not None
        self._begin_end(order.outcome, order.grace)
        assert cell.ending is not None
        return functools.partial(coro.throw, Ending(cell.ending))

    def _interrupt_swallowed(self) -> None:
        if not self.cell.job.ended and self.cell.config.escalate:
            self.cell.order(Order("end", outcome=cancelled))
            self.cell.nudge()

    def _begin_end(self, outcome: Outcome, grace: float | None) -> None:
        cell = self.cell
        cell.ending, cell.outcome = outcome(cell, False), outcome
        patience = cell.config.grace if grace is None else grace
        cell.patience = time.monotonic() + max(patience, INSTANT)

    def _check_patience(self) -> None:
        """Give up a cell that was told to end, and still awaits things after its grace."""
        cell = self.cell
        if cell.patience is not None and time.monotonic() > cell.patience + _LAST_ATTEMPT:
            assert cell.outcome is not None
            cell.ending = cell.outcome(cell, True)
            cell.patience = None  # The outer driver goes on, to the reply.
            raise Abandoned


class _threads_let_in:
    """Let the threads that carry messages have the GIL within a quantum.

    A thread that wants the GIL asks for it after the switch interval, 5 ms, and waits anew whenever
    it was released and taken again: as it is after every quantum, so that they might never get it.
    And they need it once for each part of a message.
    """

    __slots__ = ("_before", "_interval")

    def __init__(self, quantum: float) -> None:
        self._before = self._interval = sys.getswitchinterval()
        if quantum * _SWITCHES < self._before:
            sys.setswitchinterval(quantum * _SWITCHES)
            self._interval = sys.getswitchinterval()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        if self._interval != self._before and sys.getswitchinterval() == self._interval:
            sys.setswitchinterval(self._before)


def _swallowed(
    before: Handlers, after: list[types.FrameType], cell: Cell, abandoned: bool
) -> CellEnded:
    where = swallowed_at(before, after)
    outcome = cancelled(cell, abandoned)
    if where is not None:
        outcome.add_note(f"The interrupt was swallowed at {where}.")
    return outcome
