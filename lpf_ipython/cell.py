"""A cell while it is run: what it is ordered to do, its time limit, its parking and its lending.

A cell is *parked* when it is paused and its state (see `swap`) was taken away, so that others can
run. It can be parked in a step, and between two: then what it awaits goes on, and the next step is
held (see `driver`).

A cell that *shares* the main thread comes back after each quantum. When the event loop has something
to do, it is lent out: the state is taken away for a moment, and brought back before the cell goes on.

All of it is for the main thread, except `Cell.order` and what only reads.
"""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, Protocol

import lpf

from . import private
from .config import LPF
from .errors import CellCancelled, CellEnded, CellTimeout
from .jobs import Job
from .limits import Limit
from .places import Place
from .swap import State, Swap

__all__ = [
    "FIRST",
    "INSTANT",
    "Abandoned",
    "Cell",
    "Drives",
    "Ending",
    "Gate",
    "Host",
    "Order",
    "Outcome",
    "cancelled",
    "keep",
]

# The reason of an interrupt that is passed on; the others are raised again.
FIRST = "first"
# Seconds: a time limit of zero would mean: create only.
INSTANT = 0.0001
_STRENGTH = {"pause": 0, "interrupt": 1, "end": 2}
# An order given while the driver is between two steps is pressed again, so many milliseconds.
_PRESSES = 50


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


class Host(Protocol):
    """What a cell needs of its runner. Main thread."""

    config: LPF

    def gate(self) -> Gate:
        """Make what a parked cell waits for."""

    def parked(self, cell: Cell, reason: str) -> None:
        """It has left."""

    def quantum(self) -> float | None:
        """Seconds after which a cell that computes lets others in; None: it does not."""

    def changed_hands(self, cell: Cell, lent: bool) -> None:
        """It was lent out, or is back."""

    def in_transit(self) -> bool:
        """Whether a message is on its way."""

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """Hears interrupts while a cell is lent out."""


class Drives(Protocol):
    """What drives a coroutine of the cell, see `driver`."""

    task: asyncio.Task[Any] | None
    in_step: bool
    waits: bool

    def wake(self) -> None: ...


class Cell:
    """A job while it is being run, by *host*."""

    # Of the class, since that costs nothing where a cell is not touched.
    mine: State | None = None
    limit: Limit | None = None
    until: float | None = None
    then: Literal["pause", "cancel"] = "pause"
    by_cpu = False
    hears: Any = None  # The first handler of interrupts that its code has; None: what is there.
    answerable = True
    ending: CellEnded | None = None
    outcome: Outcome | None = None
    patience: float | None = None
    result: Any = None
    began = False
    over = False
    unwound = False
    # Whether IPython shows a traceback at the moment, which on a busy machine takes its time.
    telling = False
    ended_by_us = False
    touched = False
    came_back = False
    previous_parent: tuple[Any, Any] = ([], {})
    # The step of one of its tasks that is running.
    computing: lpf.Continuation[Any] | None = None
    inner_wait: asyncio.Future[None] | None = None
    resumed: Gate | None = None
    # While it is lent out: its state.
    lent: State | None = None
    _order: Order | None = None

    def __init__(self, job: Job, host: Host, swap: Swap) -> None:
        self.job = job
        self.host = host
        self.config = host.config
        self.swap = swap
        self.outside: State = swap.take()
        self.drivers: list[Drives] = []
        # The tasks that were paused within a step.
        self.left: set[object] = set()

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

    @property
    def has_to_obey(self) -> bool:
        """Whether an order stands, or one has been obeyed whose end is waited for."""
        return self._order is not None or self.patience is not None

    @property
    def stands_by(self) -> bool:
        """Whether the next step may have to wait."""
        return self._order is not None or self.mine is not None or bool(self.left)

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
        return max(self.until - used, INSTANT)

    def limit_order(self) -> Order | None:
        """Return what the limit orders, if it has passed."""
        if self.remaining() > INSTANT:
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
        self.resumed = self.host.gate()
        self.host.parked(self, reason)

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
            self.host.changed_hands(self, True)

    def lend_if_shared(self) -> None:
        """Between a task of the cell that has ended and the one that awaits it: others run there."""
        if self.drivers and self.host.quantum() is not None:
            self.lend()

    def regain(self) -> None:
        """Bring the state back, as it was when it was lent."""
        if self.lent is not None:
            self.outside = self.swap.take()
            self.swap.load(self.lent)
            self.lent = None
            self.job.go_on()
            self.host.changed_hands(self, False)

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
            self.swap.give_up(self.outside)

    def final_state(self) -> str:
        """The state of its job, now that it is over."""
        if self.ended_by_us and self.ending is not None:
            return "abandoned" if self.ending.details["abandoned"] else "cancelled"
        succeeded = self.result is None or self.result.success
        return "finished" if succeeded else "failed"

    def place(self) -> Place | None:
        """Where it stands."""
        return self.job.place()


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
