"""One cell, driven step by step: each step is a preemptible function.

IPython runs a cell as a coroutine. Each ``send`` into it is launched with `lpf` on a stack of its
own; when that comes back

    finished with StopIteration   the cell is done
    finished with an awaitable    it is handed to the event loop; the next step follows
    paused                        the cell does what it was ordered to: it is parked until somebody
                                  resumes it, or an exception is raised where it stands

A cell is *parked* when it is paused and its state (see `swap`) was taken away, so that others can
run. It can be parked in a step, and between two: then what it awaits goes on, and the next step is
held.

A cell that *shares* the main thread comes back after each quantum. When the event loop has something
to do, it is lent out: the state is taken away for a moment, and brought back before the cell goes on.

`Cell` is the part that everybody talks to, `Driver` the loop above. A top-level await makes ipykernel
run the cell in a task within the task of its request, each with a driver; they share the `Cell`.
All of it runs on the main thread, except `Cell.order` and what only reads.
"""

from __future__ import annotations

import asyncio
import functools
import math
import sys
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import lpf

from . import private
from .config import LPF
from .errors import CellCancelled, CellEnded, CellTimeout
from .jobs import Job
from .limits import Limit
from .places import Place, user_place
from .sigint import Sigint
from .swallow import Handlers, handlers_of, swallowed_at
from .swap import State, Swap

__all__ = ["FIRST", "Abandoned", "Cell", "Driver", "Ending", "Gate", "Order", "cancelled", "keep"]

# After `grace`, when a cancel was swallowed: how long the last attempts may take.
_LAST_ATTEMPT = 0.2
_BETWEEN_ATTEMPTS = 0.04
# How long a KeyboardInterrupt that is raised again has to end the cell.
_SECOND_INTERRUPT = 0.4
# The reason of an interrupt that is passed on; the others are raised again.
FIRST = "first"
_STRENGTH = {"pause": 0, "interrupt": 1, "end": 2}
# An order given while the driver is between two steps is pressed again, so many milliseconds.
_PRESSES = 50
# While a cell shares: the switch interval of threads, in quanta; and for how many seconds the threads
# that carry messages have the GIL for themselves when there is one, and how often in a quantum.
_SWITCHES = 0.05
_CARRYING = 0.0002
_CARRIES = 3
# A time limit of zero would mean: create only.
_INSTANT = 0.0001


# What was abandoned is never freed: that would unwind it after all, at some other cell's expense.
_kept: list[Coroutine[Any, Any, Any]] = []


def keep(coro: Coroutine[Any, Any, Any]) -> None:
    """Keep *coro*, which was abandoned, for ever."""
    _kept.append(coro)


class Ending(lpf.Cancelled):
    """What is raised inside a cell that has to end; `outcome` is what the user gets to see."""

    def __init__(self, outcome: CellEnded) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class Abandoned(Exception):
    """Nothing of the cell is going to run again; its caller has to clean up for it."""


@dataclass(frozen=True)
class Order:
    """What a running cell has to do next, the strongest of those given.

    ``pause``: be parked, for `reason`. ``interrupt``: KeyboardInterrupt, and if that is swallowed
    an end. ``end``: be cancelled with what `outcome` makes of the place where it stands.
    """

    kind: Literal["pause", "interrupt", "end"]
    reason: str = "request"
    outcome: Outcome | None = None
    grace: float | None = None


# What a cell that is ended shows, made when it is: of the cell, and whether it was abandoned.
Outcome = Callable[["Cell", bool], CellEnded]


class Gate(Protocol):
    """What a parked cell waits for: opened by `set_result`. A future of asyncio is one."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...
    def __iter__(self) -> Generator[Any, None, None]: ...


class Cell:
    """A job while it is being run.

    `parked` is called, on the main thread, with the cell and the reason when it leaves, and `gate`
    makes what it waits for; its runner sets them.
    """

    def __init__(self, job: Job, config: LPF, swap: Swap) -> None:
        self.job = job
        self.config = config
        self.swap = swap
        self.outside: State = swap.take()
        self.mine: State | None = None
        self.limit: Limit | None = None
        self.until: float | None = None
        self.then: Literal["pause", "cancel"] = "pause"
        self.by_cpu = False
        self.answerable = True
        self.ending: CellEnded | None = None
        self.outcome: Outcome | None = None
        self.patience: float | None = None
        self.result: Any = None
        self.began = False
        self.over = False
        self.unwound = False
        # Whether IPython shows a traceback at the moment, which on a busy machine takes its time.
        self.telling = False
        self.ended_by_us = False
        self.touched = False
        self.came_back = False
        self.previous_parent: tuple[Any, Any] = ([], {})
        self.drivers: list[Driver] = []
        # The step of one of its tasks that is running, and the tasks that were paused within one.
        self.computing: lpf.Continuation[Any] | None = None
        self.left: set[object] = set()
        self.inner_wait: asyncio.Future[None] | None = None
        self.resumed: Gate | None = None
        # While it is lent out: its state.
        self.lent: State | None = None
        self.quantum: Callable[[], float | None] = lambda: None
        self.in_transit: Callable[[], bool] = lambda: False
        self.stand_in: Any = None  # Who gets interrupts then.
        self.changed_hands: Callable[[Cell, bool], None] = lambda cell, lent: None
        self.gate: Callable[[], Gate] = lambda: asyncio.get_running_loop().create_future()
        self.parked: Callable[[Cell, str], None] = lambda cell, reason: None
        self._order: Order | None = None

    def moved(self, task: asyncio.Task[Any]) -> None:
        """What this task ran so far goes on in *task*. Main thread."""
        here = asyncio.current_task()
        for driver in self.drivers:
            if driver.task is here:
                driver.task = task

    # Orders: any thread.

    def order(self, order: Order) -> None:
        """Let the cell obey *order* at its next safe point. Any thread."""
        standing = self._order
        if standing is None or _STRENGTH[order.kind] >= _STRENGTH[standing.kind]:
            self._order = order
        if threading.current_thread() is threading.main_thread():
            self.press()
            return
        for _ in range(_PRESSES):
            if self.press() or self._order is None or not self.in_step:
                break
            time.sleep(0.001)

    @property
    def in_step(self) -> bool:
        """Whether a step has begun that has not ended."""
        drivers = self.drivers.copy()
        return self.computing is not None or (bool(drivers) and drivers[-1].in_step)

    def press(self) -> bool:
        """Ask the running step to come back, if an order stands; whether one was running."""
        continuation = self.job.continuation or self.computing
        return self._order is not None and continuation is not None and continuation.request_pause()

    def has_company(self) -> bool:
        """Whether the event loop has anything to do besides this cell."""
        return private.has_work(asyncio.get_running_loop())

    @property
    def ordered(self) -> Order | None:
        """The order that stands."""
        return self._order

    def take_order(self) -> Order | None:
        """Return the order that stands and forget it. Main thread."""
        order, self._order = self._order, None
        return order

    # Limits.

    def set_limit(self, limit: Limit | None) -> None:
        """Give the cell its time limit, counted from its beginning."""
        self.limit = limit
        if limit is None:
            return
        self.job.limit, self.job.limit_cpu = limit.seconds, limit.cpu
        self.until, self.by_cpu = limit.seconds, limit.cpu
        choice = limit.on_timeout or self.config.on_timeout
        self.then = "pause" if choice == "pause" and self.answerable else "cancel"

    def allow(self, seconds: float | None) -> None:
        """Let it run for so many more seconds and be paused again; None: without a limit."""
        self.by_cpu, self.then = False, "pause"
        self.until = None if seconds is None else self.job.elapsed + seconds

    def remaining(self) -> float:
        """Seconds until the limit, infinite without one. At least an instant."""
        if self.until is None:
            return math.inf
        used = self.job.cpu_time if self.by_cpu else self.job.elapsed
        return max(self.until - used, _INSTANT)

    def limit_order(self) -> Order | None:
        """Return what the limit orders, if it has passed."""
        if self.remaining() > _INSTANT:
            return None
        limit, self.until = self.until, None
        if self.then == "pause":
            return Order("pause", "timeout")
        return Order("end", "timeout", functools.partial(_timeout, limit or 0.0, self.by_cpu))

    # Parking: main thread.

    @property
    def is_parked(self) -> bool:
        return self.mine is not None

    def obey_pause(self, order: Order) -> None:
        """Be parked for *order*; it stands until that is known, or somebody gives it again."""
        self.park(order.reason)
        if self._order is order:
            self._order = None

    def park(self, reason: str) -> None:
        """Take the cell's state away and let its runner go on with others."""
        self.regain()
        self.mine = self.swap.leave(self.outside)
        self.resumed = self.gate()
        self.parked(self, reason)

    def unpark(self) -> None:
        """Bring the cell's state back; it goes on as soon as the event loop is free."""
        assert self.mine is not None
        self.outside = self.swap.take()
        self.swap.load(self.mine)
        self.mine = None
        if self.resumed is not None and not self.resumed.done():
            self.resumed.set_result(None)
        self.nudge()

    # Lending: main thread.

    def lend(self) -> None:
        """Take the cell's state away while the event loop does other things."""
        if self.mine is None and self.lent is None:
            self.lent = self.swap.lend(self.outside)
            self.job.stand_aside()
            self.changed_hands(self, True)

    def lend_if_shared(self) -> None:
        """Between a task of the cell that has ended and the one that awaits it: others run there."""
        if self.drivers and self.quantum() is not None:
            self.lend()

    def regain(self) -> None:
        """Bring the state back, as it was when it was lent."""
        if self.lent is not None:
            self.outside = self.swap.take()
            self.swap.load(self.lent)
            self.lent = None
            self.job.go_on()
            self.changed_hands(self, False)

    def nudge(self) -> None:
        """Between two steps: obey the order that stands. From the event loop."""
        order, driver = self._order, self.drivers[-1] if self.drivers else None
        if order is None or driver is None or not driver.waits:
            return
        if order.kind == "pause":
            if not self.is_parked:
                self.obey_pause(order)
        elif not self.is_parked:
            driver.wake()

    def wait(self, future: asyncio.Future[None]) -> None:
        """Inside a step, in code that is not a coroutine: let the event loop run until *future*.

        It may also return earlier, when the cell has to do something else.
        """
        self.inner_wait = future
        lpf.pause()

    def abandon(self) -> None:
        """Put everything back that the cell, which will not run again, has borrowed."""
        if self.mine is None and self.lent is None:
            self.swap.leave(self.outside)

    def final_state(self) -> str:
        """The state of its job, now that it is over."""
        if self.ended_by_us and self.ending is not None:
            return "abandoned" if self.ending.details["abandoned"] else "cancelled"
        succeeded = self.result is None or self.result.success
        return "finished" if succeeded else "failed"

    def place(self) -> Place | None:
        """Where it stands."""
        return user_place(self.job.stack())


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
        with suppress(RuntimeError):  # A terminal has no event loop around its cells.
            self.task = asyncio.current_task()
        self.cell.drivers.append(self)
        try:
            return (yield from self._steps(coro))
        except Abandoned:
            keep(coro)
            raise
        finally:
            self._sigint.theirs()
            self.cell.drivers.remove(self)
            self.cell.job.continuation = None
            self.cell.job.awaiting = None

    def _steps(self, coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        send: Callable[[], Any] = functools.partial(coro.send, None)
        while True:
            yield from self._gate()
            step = lpf.launch(self._ordered(coro, send), timeout=0)
            self.cell.job.continuation = step
            self.in_step = True
            self._run(step, step.resume)
            while not step.done:
                yield from self._obey(step)
            self.in_step = False
            if step.state == "abandoned" and self.cell.ending is None:
                # Without an order of ours: what was interrupted could not be unwound.
                self.cell.ending = cancelled(self.cell, True)
            self.cell.job.continuation = None
            try:
                awaitable = step.result()
            except StopIteration as end:
                return end.value
            except lpf.Cancelled:
                if step.state == "abandoned":
                    raise Abandoned from None
                raise
            send = yield from self._await(coro, awaitable)

    def _gate(self) -> Generator[Any, Any, None]:
        """Before a step: wait while the cell is held; be parked if that was ordered."""
        cell = self.cell
        order = cell.ordered
        if order is not None and order.kind == "pause" and not cell.is_parked:
            self._sigint.theirs()
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
                quantum = self.cell.quantum()
                if quantum is not None:
                    left = min(left, quantum)
                with _threads_let_in(quantum):
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
        self._sigint.step_aside(cell.stand_in)
        cell.lend()
        end = time.monotonic() + (cell.quantum() or 0.0)
        yield
        while time.monotonic() < end and cell.has_company():
            yield
        self._let_messages_through()
        cell.regain()
        self._sigint.back()

    def _let_messages_through(self) -> None:
        for _ in range(_CARRIES):
            if not self.cell.in_transit():
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
            elif self.cell.quantum() is not None:
                yield from self._let_others_in()
            if self.cell.ordered is None:
                self._run(step, step.resume)
        elif order.kind == "pause":
            self._sigint.theirs()
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
        step.throw(Ending(cell.ending), timeout=max(cell.patience - time.monotonic(), _INSTANT))
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
        shares = self.cell.quantum() is not None
        if shares:
            self._sigint.step_aside(self.cell.stand_in)
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
        cell.patience = time.monotonic() + max(patience, _INSTANT)

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

    def __init__(self, quantum: float | None) -> None:
        self._before = self._interval = sys.getswitchinterval()
        if quantum is not None and quantum * _SWITCHES < self._before:
            sys.setswitchinterval(quantum * _SWITCHES)
            self._interval = sys.getswitchinterval()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        if self._interval != self._before and sys.getswitchinterval() == self._interval:
            sys.setswitchinterval(self._before)


def _timeout(limit: float, cpu: bool, cell: Cell, abandoned: bool) -> CellEnded:
    job = cell.job
    return CellTimeout(
        limit=limit,
        elapsed=job.cpu_time if cpu else job.elapsed,
        place=cell.place(),
        job=job.id,
        abandoned=abandoned,
        cpu=cpu,
    )


def cancelled(cell: Cell, abandoned: bool) -> CellEnded:
    """Make the outcome of a cell that somebody cancelled."""
    job = cell.job
    return CellCancelled(elapsed=job.elapsed, place=cell.place(), job=job.id, abandoned=abandoned)


def _swallowed(
    before: Handlers, after: list[types.FrameType], cell: Cell, abandoned: bool
) -> CellEnded:
    where = swallowed_at(before, after)
    outcome = cancelled(cell, abandoned)
    if where is not None:
        outcome.add_note(f"The interrupt was swallowed at {where}.")
    return outcome
