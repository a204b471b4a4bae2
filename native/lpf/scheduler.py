"""Preemptive user-level threads for plain functions: libturquoise's general form.

    s = lpf.Scheduler()
    a = s.spawn(parse, document)
    b = s.spawn(render, page, weight=3)     # gets three times as much of the processor
    s.run()                                 # until all have ended
    a.result(), b.cpu_time

All of them run on the thread that calls ``run`` or ``join``, one after the other, and none is asked
for anything: whoever has run for a quantum stands still, and the one that has had least for its
weight goes on.  A thread is a preemptible function with a stack of its own and a copy of the context
variables that it was spawned with.

Fairness is stride scheduling on processor time: every turn moves a thread's *pass* on by the time it
took, divided by the thread's weight, and the thread with the smallest pass is next.  One that is new
or has waited starts where the others are, so that nobody saves up time.

Locks: a threading.Lock that a preempted thread holds is waited for, since whoever waits is preempted
as well.  A threading.RLock does not keep user-level threads out, since all of them are one thread to
it; ``with lpf.uninterruptible():`` does.

Source: Waldspurger, Weihl, "Stride Scheduling: Deterministic Proportional-Share Resource Management",
MIT, 1995; and libturquoise, in: Boucher et al., Lightweight Preemptible Functions, USENIX ATC 2020.
"""

from __future__ import annotations

import contextvars
import functools
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from . import _native
from ._errors import Cancelled, NotFinished, StateError

__all__ = ["QUANTUM", "Scheduler", "Thread"]

QUANTUM = 0.002  # Seconds, as in the paper.

_T = TypeVar("_T")

State = Literal["ready", "running", "waiting", "finished", "cancelled", "abandoned"]


def _positive(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{name} must be positive and finite, not {value!r}")
    return float(value)


class Thread(Generic[_T]):
    """A function that a Scheduler runs.  Made by ``Scheduler.spawn``.

    Attributes:
        name: of the function.
        turns: how many turns it has had.
    """

    def __init__(
        self, scheduler: Scheduler, name: str, weight: float, call: Callable[[], _T]
    ) -> None:
        self.name = name
        self.turns = 0
        self._scheduler = scheduler
        self._weight = weight
        self._call: Callable[[], _T] | None = call  # Until its first turn.
        self._context: contextvars.Context | None = contextvars.copy_context()
        self._continuation: _native.Continuation[_T] | None = None
        self._dropped = False  # Cancelled before its first turn.
        self._pass = 0.0
        self._waits_for: Thread[Any] | None = None
        self._waiters: list[Thread[Any]] = []

    def __repr__(self) -> str:
        return f"<lpf thread {self.name} {self.state}>"

    @property
    def state(self) -> State:
        """'ready' (its turn comes), 'running', 'waiting' (in join), or how it has ended."""
        c = self._continuation
        if c is None:
            return "cancelled" if self._dropped else "ready"
        if c.state == "finished" or c.state == "cancelled" or c.state == "abandoned":
            return c.state
        if self._waits_for is not None:
            return "waiting"
        return "running" if c.state == "running" else "ready"

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._dropped or (self._continuation is not None and self._continuation.done)

    @property
    def weight(self) -> float:
        """Its share of the processor, in relation to the weights of the others.  May be set."""
        return self._weight

    @weight.setter
    def weight(self, value: float) -> None:
        self._weight = _positive(value, "weight")

    @property
    def cpu_time(self) -> float:
        """Seconds of processor time that it has taken."""
        return 0.0 if self._continuation is None else self._continuation.cpu_time

    @property
    def elapsed(self) -> float:
        """Seconds of wall-clock time in its turns."""
        return 0.0 if self._continuation is None else self._continuation.elapsed

    @property
    def continuation(self) -> _native.Continuation[_T] | None:
        """The function as it stands, to look at (frame, stack()); None before its first turn."""
        return self._continuation

    def result(self) -> _T:
        """What the function has returned, or raises what it has raised.

        Raises:
            NotFinished: it has not ended; ``join`` waits.
            Cancelled: it was cancelled or abandoned.
        """
        if self._dropped:
            raise Cancelled(f"{self.name} was cancelled")
        if self._continuation is None or not self.done:
            raise NotFinished(f"{self.name} is {self.state}: run() its scheduler, or join() it")
        try:
            return self._continuation.result()
        finally:
            del self  # Else a cycle: it has the error, in whose traceback this frame is.

    def join(self) -> _T:
        """``Scheduler.join`` of this thread."""
        return self._scheduler.join(self)

    def cancel(self, *, grace: float | None = 0.5) -> State:
        """Raise lpf.Cancelled in the function and let it unwind; see ``Continuation.cancel``.

        Args:
            grace: seconds until it is given up and abandoned.  It unwinds at once, in one turn.

        Returns:
            Its state then.  Nothing happens to a thread that has ended.

        Raises:
            StateError: it is running, that is, it calls this itself.
        """
        if self.done:
            return self.state
        if self._continuation is None:
            self._dropped = True
            self._call = self._context = None
        else:
            self._continuation.cancel(grace=grace)
        self._scheduler._ended(self)
        return self.state

    def _take_turn(self, quantum: float) -> float:
        """Runs it for a quantum; returns the processor time that it took."""
        if self._continuation is None:
            assert self._call is not None
            assert self._context is not None
            self._continuation = _native.launch(self._context.run, self._call, timeout=0)
            self._call = self._context = None
        before = self._continuation.cpu_time
        self.turns += 1
        self._continuation.resume(timeout=quantum)
        return self._continuation.cpu_time - before


class _Join:
    """What a thread pauses with that waits for another one."""

    def __init__(self, thread: Thread[Any]) -> None:
        self.thread = thread


class Scheduler:
    """Runs functions by turns, preempted after a quantum each.

    Args:
        quantum: seconds of wall-clock time of one turn.

    Raises:
        TypeError, ValueError: quantum is no positive number.

    Thread: all methods on the one that runs it, which must be the main one, where CPython delivers
    signals; on another one the first turn fails with ThreadError.

    Example:
        >>> s = Scheduler()
        >>> threads = [s.spawn(sum, range(n)) for n in (10, 100)]
        >>> s.run()
        >>> [t.result() for t in threads]
        [45, 4950]
    """

    def __init__(self, *, quantum: float = QUANTUM) -> None:
        self.quantum = _positive(quantum, "quantum")
        self.current: Thread[Any] | None = None  # Whose turn it is.
        self._queue: list[tuple[float, int, Thread[Any]]] = []  # A heap, by pass.
        self._order = itertools.count()  # Among equals, who came first.
        self._pass = 0.0  # Of the thread that had the last turn.
        self._waiting: dict[Thread[Any], None] = {}

    @property
    def threads(self) -> list[Thread[Any]]:
        """Those that have not ended."""
        found = [thread for _, _, thread in self._queue if not thread.done] + list(self._waiting)
        if self.current is not None:
            found.append(self.current)
        return found

    def spawn(
        self, f: Callable[..., _T], /, *args: Any, weight: float = 1, **kwargs: Any
    ) -> Thread[_T]:
        """A new thread that calls f.  It starts when its turn comes; threads may spawn threads.

        Args:
            weight: its share of the processor; with weight 3 it gets three times as much as one
                with weight 1.

        Raises:
            TypeError: f is not callable.
            TypeError, ValueError: weight is no positive number.
        """
        if not callable(f):
            raise TypeError(f"f must be callable, not {type(f).__name__}")
        name = getattr(f, "__qualname__", type(f).__qualname__)
        call = functools.partial(f, *args, **kwargs)
        thread = Thread(self, name, _positive(weight, "weight"), call)
        self._enqueue(thread)
        return thread

    def run(self, turns: int | None = None) -> None:
        """Give turns until every thread has ended, or for so many turns.

        What threads raise is kept for ``result()``; a KeyboardInterrupt or SystemExit that ended a
        thread is raised here, too, and the others can be run on.

        Raises:
            StateError: called by a thread of this scheduler; or every thread waits for another.
        """
        self._check_outside("run")
        given = 0
        while turns is None or given < turns:
            thread = self._next()
            if thread is None:
                break
            self._turn(thread)
            given += 1
        else:
            return
        if self._waiting:
            raise StateError(self._deadlock())

    def join(self, thread: Thread[_T]) -> _T:
        """Wait until a thread has ended; returns its result or raises what it raised.

        Outside, runs the scheduler for so long.  In one of its threads, lets the others go on.

        Raises:
            StateError: it can never end, since every thread waits for another; a thread joins
                itself; the thread belongs to another scheduler; or the call comes from a function
                that a thread has launched itself.
        """
        if thread._scheduler is not self:
            raise StateError(f"{thread.name} belongs to another scheduler")
        if self.current is not None:
            self._wait_inside(self.current, thread)
        while not thread.done:
            following = self._next()
            if following is None:
                raise StateError(self._deadlock())
            self._turn(following)
        return thread.result()

    def _wait_inside(self, current: Thread[Any], thread: Thread[Any]) -> None:
        if thread is current:
            raise StateError(f"{thread.name} cannot join itself")
        if _native.current() is not current.continuation:
            raise StateError(f"join() in a function that {current.name} has launched itself")
        while not thread.done:
            _native.pause(_Join(thread))

    def _check_outside(self, verb: str) -> None:
        if self.current is not None:
            raise StateError(f"{verb}() in {self.current.name}, a thread of this scheduler")

    def _deadlock(self) -> str:
        waits = [f"{t.name} for {t._waits_for.name}" for t in self._waiting if t._waits_for]
        return "no thread can go on; there wait: " + ", ".join(waits)

    def _enqueue(self, thread: Thread[Any]) -> None:
        thread._pass = max(thread._pass, self._pass)
        heapq.heappush(self._queue, (thread._pass, next(self._order), thread))

    def _next(self) -> Thread[Any] | None:
        while self._queue:
            _, _, thread = heapq.heappop(self._queue)
            if not thread.done:
                return thread
        return None

    def _turn(self, thread: Thread[Any]) -> None:
        self._pass = thread._pass
        self.current = thread
        try:
            spent = thread._take_turn(self.quantum)
        finally:
            self.current = None
            if thread.continuation is not None and thread.continuation.state == "ready":
                self._enqueue(thread)  # It could not be started: an error on its way out.
        thread._pass += self._cost(spent) / thread.weight
        c = thread.continuation
        assert c is not None
        if thread.done:
            self._ended(thread)
            if isinstance(error := c.exception(), KeyboardInterrupt | SystemExit):
                raise error
        elif isinstance(wish := c.value, _Join) and not wish.thread.done:
            thread._waits_for = wish.thread
            wish.thread._waiters.append(thread)
            self._waiting[thread] = None
        else:
            self._enqueue(thread)

    def _cost(self, spent: float) -> float:
        """What a turn counts, by the processor time it took.  A seam for tests."""
        return spent

    def _ended(self, thread: Thread[Any]) -> None:
        self._waiting.pop(thread, None)
        if thread._waits_for is not None:
            thread._waits_for._waiters.remove(thread)
            thread._waits_for = None
        for waiter in thread._waiters:
            waiter._waits_for = None
            del self._waiting[waiter]
            self._enqueue(waiter)
        thread._waiters.clear()
