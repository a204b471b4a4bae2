"""Preemptive asyncio: tasks that share the loop's thread by time, and not by good manners alone.

    async def main():
        with lpf.aio.install():                     # every task made from now on
            ...
        total = await lpf.aio.run(sum, range(10**8))    # a plain function; the loop goes on serving

A step of a coroutine (from one ``await`` that waits to the next) is one preemptible function, launched
inside the task's own step.  When its quantum is spent, the coroutine that asyncio sees, ``_Steps``,
yields a future, as every ``await`` that waits does, and asyncio leaves the task by the same road as
ever: no task is current, its Context is not entered.  The future comes true when it is the task's turn
(``_turns``), and its next step resumes the function where it was.

Three things need more than that:

- Cancellation.  asyncio raises CancelledError where a task waits, never between two such places, and
  code relies on it.  A preempted task looks as if it waited, so that CancelledError arrives here too
  early: it is handed back to the task (``_postpone``), which delivers it at the next true ``await``.
  ``run`` is for functions without any; there it is raised where they stand.
- Eager tasks.  Their first step is a call inside the step of another task, and a tick of the outer one
  would leave two tasks at once, the inner one with its Context entered.  So the outer one pauses with
  a request, and its driver makes the task on the loop's own stack (``_aside``).
- The current task, where foreign code has put another in its place within the step: it is exchanged
  when the step is left and when it goes on.

What changes for the code of tasks: without preemption nothing else runs between two awaits, with it
another task may, as between threads.  asyncio itself and the libraries for it that ``lpf.guards``
lists are not left in the middle; code of your own that counts on it says so with
``lpf.uninterruptible()``, or its module is added to the guards.  The tasks are still on one thread, so
that a threading.RLock that a preempted task holds lets the next one in.  A threading.Lock is waited
for; see ``_Watchdog``.

Everything here works on the main thread only, where CPython delivers signals.

Source: libturquoise, in: Boucher et al., Lightweight Preemptible Functions, USENIX ATC 2020, section 5.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import math
import sys
import threading
import time
import types
import weakref
from asyncio import events, tasks
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import FrameType
from typing import Any, ParamSpec, Self, TypeVar, overload

from . import _direct, _native, _turns
from ._errors import Cancelled, StateError, ThreadError, TimedOut

__all__ = [
    "QUANTUM",
    "Installation",
    "Task",
    "create_task_factory",
    "eager_task_factory",
    "install",
    "new_event_loop",
    "preemptible",
    "run",
    "task_factory",
    "uninstall",
]

QUANTUM = 0.002  # Seconds, as in the paper.

_GRACE = 0.5  # Seconds that a function has to unwind after its time limit; as in lpf.call.

_T = TypeVar("_T")
_P = ParamSpec("_P")

_Loop = asyncio.AbstractEventLoop
_AnyTask = asyncio.Task[Any]
_Make = Callable[[], Any]

_log = logging.getLogger("lpf.aio")


def _seconds(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{name} must be positive and finite, not {value!r}")
    return float(value)


def _place(frame: FrameType | None) -> str | None:
    if frame is None:
        return None
    code = frame.f_code
    return f"line {frame.f_lineno} in {code.co_qualname} ({code.co_filename})"


# ---- The current task ---------------------------------------------------------------------

if sys.version_info >= (3, 12):
    _swap_current_task: Callable[[_Loop, _AnyTask | None], _AnyTask | None]
    _swap_current_task = tasks._swap_current_task  # type: ignore[attr-defined]
else:

    def _swap_current_task(loop: _Loop, task: _AnyTask | None) -> _AnyTask | None:
        former = tasks.current_task(loop)
        if former is not None:
            tasks._leave_task(loop, former)
        if task is not None:
            tasks._enter_task(loop, task)
        return former


def _postpone(error: asyncio.CancelledError) -> bool:
    """Give a cancellation that came too early back to the current task; False if there is none.

    Inside a step, ``cancel`` only notes that the task is to be cancelled at its next ``await``.
    ``uncancel`` takes back that it was counted twice; the first count still stands, so that it does
    not take back the note.
    """
    if events._get_running_loop() is None or (task := tasks.current_task()) is None:
        return False
    task.cancel(*error.args[:1])
    task.uncancel()
    return True


# ---- Steps --------------------------------------------------------------------------------


class _Aside:
    """What a step asks its driver to do on the loop's own stack, by pausing with it."""

    __slots__ = ("act", "error", "result")

    def __init__(self, act: _Make) -> None:
        self.act = act
        self.result: Any = None
        self.error: BaseException | None = None

    def do(self) -> None:
        try:
            self.result = self.act()
        except BaseException as error:
            self.error = error

    def get(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


class _Steps(Coroutine[Any, Any, _T]):
    """A coroutine, each of whose steps is a preemptible function.

    To asyncio and to whoever looks at it, it is the coroutine: other attributes are read from there.
    """

    __slots__ = (
        "__name__",
        "__qualname__",
        "__weakref__",
        "_coro",
        "_elapsed",
        "_inside",
        "_interrupt",
        "_quantum",
        "_step",
    )

    def __init__(self, coro: Any, quantum: float, interrupt: bool = False) -> None:
        self._coro = coro
        self._quantum = quantum
        self._interrupt = interrupt
        self._step: _native.Continuation[Any] | None = None
        self._elapsed = 0.0  # Of the step, when its present turn began.
        self._inside: _AnyTask | None = None
        self.__name__ = getattr(coro, "__name__", type(coro).__name__)
        self.__qualname__ = getattr(coro, "__qualname__", self.__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)

    def __repr__(self) -> str:
        return repr(self._coro)

    def __await__(self) -> Generator[Any, Any, _T]:
        return self

    __iter__ = __await__

    def __next__(self) -> Any:
        return self.send(None)

    # An error that leaves these methods has their frames in its traceback, and the step has the error:
    # what the frames know of either is deleted, or it would take a garbage collection to free them.

    def send(self, value: Any, /) -> Any:
        loop = events._get_running_loop()
        task = None if loop is None else tasks.current_task(loop)
        step = self._step
        try:
            if step is not None:
                return self._go_on(step, loop, task, None)
            step = _native._launch_step(self._coro.send, value, timeout=self._quantum)
            if step.done:
                return step.result()
            self._elapsed = 0.0
            return self._leave(step, loop, task)
        finally:
            del step

    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any:
        error = kind if value is None else value
        if not isinstance(error, BaseException):
            error = kind() if value is None else kind(value)
        if traceback is not None:
            error = error.with_traceback(traceback)
        loop = events._get_running_loop()
        task = None if loop is None else tasks.current_task(loop)
        step = self._step
        try:
            if step is not None:
                early = isinstance(error, asyncio.CancelledError) and not self._interrupt
                if early and _postpone(error):
                    error = None
                return self._go_on(step, loop, task, error)
            step = _native._launch_step(self._coro.throw, error, timeout=self._quantum)
            self._elapsed = 0.0
            return self._leave(step, loop, task)
        finally:
            del step, error, kind, value, traceback

    def close(self) -> None:
        step = self._step
        if step is not None:
            self._step = None
            _turns.goes_on(step)
            if step.cancel() == "abandoned":
                return
        self._coro.close()

    def _go_on(
        self,
        step: _native.Continuation[Any],
        loop: _Loop | None,
        task: _AnyTask | None,
        error: BaseException | None,
    ) -> Any:
        self._elapsed = step.elapsed
        self._step = None
        _turns.goes_on(step)
        if self._inside is not None and loop is not None:
            _swap_current_task(loop, self._inside)
            self._inside = None
        try:
            if error is None:
                step.resume(timeout=self._quantum)
            else:
                step.throw(error, timeout=self._quantum)
            return self._leave(step, loop, task)
        finally:
            del step, error

    def _leave(
        self, step: _native.Continuation[Any], loop: _Loop | None, task: _AnyTask | None
    ) -> Any:
        """The step has ended or stands still: what it yields to asyncio."""
        try:
            while not step.done:
                if isinstance(aside := step.value, _Aside):
                    aside.do()
                    left = self._quantum - (step.elapsed - self._elapsed)
                    if left > 0:
                        step.resume(timeout=left)
                        continue
                if loop is not None and (inside := tasks.current_task(loop)) is not task:
                    self._inside = inside
                    _swap_current_task(loop, task)
                self._step = step
                _turns.stands(step, self.__qualname__)
                return _turns.next_turn(loop)
            return step.result()
        finally:
            del step


def _steps_of(task: _AnyTask | None) -> _Steps[Any] | None:
    if isinstance(task, Task):
        return task._steps
    coro = task.get_coro() if task is not None else None
    return coro if isinstance(coro, _Steps) else None


def _aside(make: _Make) -> Any:
    """Make a task whose first step may run at once, not inside the step that is under way."""
    step = _native.current()
    steps = _steps_of(tasks.current_task()) if events._get_running_loop() is not None else None
    if step is None or steps is None:
        return make()
    if getattr(step.function, "__self__", None) is steps._coro:
        request = _Aside(make)
        try:
            _native.pause(request)
        except StateError:  # Inside uninterruptible().
            pass
        else:
            return request.get()
    # Inside a function that the step itself has launched, say.  Left here, the outer step would
    # leave the Context of the new task entered.
    with _native.uninterruptible():
        return make()


# ---- Tasks --------------------------------------------------------------------------------


class Task(asyncio.Task[_T]):
    """An asyncio.Task whose steps are preempted when they have run for ``quantum`` seconds.

    What it promises is what asyncio.Task promises; it only takes more turns.  Steps on another thread
    than the main one fail with ThreadError.
    """

    _steps: _Steps[_T] | None = None

    def __init__(self, coro: Any, *, quantum: float = QUANTUM, **options: Any) -> None:
        if asyncio.iscoroutine(coro) and not isinstance(coro, _Steps):
            coro = _Steps(coro, _seconds(quantum, "quantum"))
        if isinstance(coro, _Steps):
            self._steps = coro
        super().__init__(coro, **options)
        created = getattr(self, "_source_traceback", None)
        if created:  # In debug mode; its last line is this method.
            del created[-1]

    def set_name(self, value: object, /) -> None:
        # Some versions of loop.create_task set None if there is a task factory and no name.
        if value is not None:
            super().set_name(value)

    def get_coro(self) -> Any:
        """The coroutine that the task was made of."""
        coro = super().get_coro()
        return coro._coro if isinstance(coro, _Steps) else coro


_Factory = Callable[..., Any]


def create_task_factory(
    *, quantum: float = QUANTUM, eager: bool = False, then: _Factory | None = None
) -> _Factory:
    """A task factory, for ``loop.set_task_factory``, whose tasks are preemptible.

    Args:
        quantum: seconds of wall-clock time that a step may take until others are served.
        eager: the tasks start at once, as those of asyncio.eager_task_factory (Python 3.12+).
        then: another factory that makes the tasks, of preemptible coroutines; None: ``Task``.

    Raises:
        TypeError, ValueError: quantum is no positive number.
        RuntimeError: eager before Python 3.12.
    """
    quantum = _seconds(quantum, "quantum")
    if eager and sys.version_info < (3, 12):
        raise RuntimeError("eager tasks need Python 3.12")

    def factory(loop: _Loop, coro: Any, **options: Any) -> Any:
        if not asyncio.iscoroutine(coro):
            return then(loop, coro, **options) if then is not None else Task(coro, loop=loop)
        steps = coro if isinstance(coro, _Steps) else _Steps(coro, quantum)
        if then is None and not (eager or options.get("eager_start")):
            return Task(steps, loop=loop, **options)
        if options.get("context") is None and eager:
            options["context"] = contextvars.copy_context()
        if then is not None:
            return _aside(functools.partial(then, loop, steps, **options))
        options.setdefault("eager_start", True)
        return _aside(functools.partial(Task, steps, loop=loop, **options))

    return factory


task_factory = create_task_factory()
"""``loop.set_task_factory(lpf.aio.task_factory)``: preemptible tasks with the usual quantum."""


def eager_task_factory(loop: _Loop, coro: Any, **options: Any) -> Any:
    """As asyncio.eager_task_factory, with preemptible tasks.  Python 3.12 or later."""
    return create_task_factory(eager=True)(loop, coro, **options)


# ---- The watchdog -------------------------------------------------------------------------


class _Watchdog(threading.Thread):
    """Says so when the loop stands still while preempted tasks wait for their turn.

    A preemptible step that waits for a lock is itself preempted, and the holder of the lock gets its
    turn.  But a plain callback, or what lpf.guards guards, that waits for the lock of a preempted
    task waits for ever.  No one can go on then but a debugger; what can be done is to name both.

    Runs on a thread of its own, and only reads.  While something is preempted, the loop does not wait
    for events, and ``_turns.count()`` goes up with every few rounds.
    """

    def __init__(self, loop: _Loop, after: float) -> None:
        super().__init__(name="lpf.aio watchdog", daemon=True)
        self._loop = weakref.ref(loop)
        self._after = after
        self._ended = threading.Event()
        self._watched = threading.main_thread().ident

    def run(self) -> None:
        seen, reported = -1, False
        while not self._ended.wait(self._after):
            loop = self._loop()
            if loop is None or loop.is_closed():
                return
            if not loop.is_running() or not _turns.standing or _turns.count() != seen:
                seen, reported = _turns.count(), False
            elif not reported:
                reported = True
                self._report()
            del loop

    def _report(self) -> None:
        frame = sys._current_frames().get(self._watched or 0)
        preempted = [
            f"{name} at {_place(step.frame) or '?'}" for step, name in list(_turns.standing.items())
        ]
        _log.warning(
            "the event loop has stood still for %g s, at %s, while these tasks are preempted: %s. "
            "If it waits for a lock that one of them holds, it waits for ever: hold that lock inside "
            "lpf.uninterruptible()",
            self._after,
            _place(frame),
            "; ".join(preempted),
        )

    def end(self) -> None:
        self._ended.set()
        self.join()


# ---- Installing ---------------------------------------------------------------------------


class Installation:
    """What ``install`` has done to a loop; as a context manager, it is taken back at the end."""

    def __init__(self, loop: _Loop, quantum: float, report_after: float | None) -> None:
        self.loop = loop
        self.quantum = quantum
        self._former = former = loop.get_task_factory()
        eager = former is not None and former is getattr(asyncio, "eager_task_factory", None)
        self._factory = create_task_factory(
            quantum=quantum, eager=eager, then=None if eager else former
        )
        # Of those who call asyncio.Task, which no factory that was there before has seen either.
        self._direct = create_task_factory(quantum=quantum)
        self._watchdog = None if report_after is None else _Watchdog(loop, report_after)
        loop.set_task_factory(self._factory)
        _installations[loop] = self
        _direct.put_in(_maker_of)
        if self._watchdog is not None:
            self._watchdog.start()

    def uninstall(self) -> None:
        """Put the former task factory back, if ours is still there.  Once is enough.

        Tasks that exist stay preemptible.
        """
        if _installations.get(self.loop) is self:
            del _installations[self.loop]
            if not _installations:
                _direct.take_out()
        if self.loop.get_task_factory() is self._factory:
            self.loop.set_task_factory(self._former)
        if self._watchdog is not None:
            self._watchdog.end()
            self._watchdog = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.uninstall()


_installations: weakref.WeakKeyDictionary[_Loop, Installation] = weakref.WeakKeyDictionary()


def _maker_of(loop: _Loop) -> _Factory | None:
    installation = _installations.get(loop)
    return None if installation is None else installation._direct


def install(
    loop: _Loop | None = None, quantum: float = QUANTUM, *, report_after: float | None = 1.0
) -> Installation:
    """Make every task of the loop preemptible, from now on; tasks that exist stay as they are.

    A task factory that the loop has already goes on making the tasks.  Installed a second time, the
    quantum of the second time holds.

    Tasks that a library makes by calling ``asyncio.Task`` itself pass by every task factory; aiohttp does
    so on Python 3.12 and later.  For them, the name ``asyncio.Task`` stands for a subclass that knows the
    loops, until the last of them is uninstalled; to other loops it is what it was.  Who has imported the
    class itself before (``from asyncio import Task``) and calls it still makes ordinary tasks; ``run`` and
    ``preemptible`` work in them.

    Args:
        loop: None: the running one.
        quantum: seconds of wall-clock time that a step may take until the loop serves all others.
        report_after: seconds; if the loop stands still for so long while tasks are preempted, the
            logger ``lpf.aio`` says where it stands and which tasks are preempted.  None: never.

    Returns:
        An Installation: ``with lpf.aio.install():`` or its ``uninstall()``.

    Raises:
        RuntimeError: no loop is given and none is running.
        ThreadError: not called on the main thread.
        TypeError, ValueError: quantum or report_after is no positive number.

    Thread: the main one, where the loop must run.

    Source: libturquoise made tokio-threadpool preemptive in the same way, with no new API.
    """
    quantum = _seconds(quantum, "quantum")
    if report_after is not None:
        report_after = _seconds(report_after, "report_after")
    if threading.current_thread() is not threading.main_thread():
        raise ThreadError("install() works on the main thread only, where the loop must run, too")
    if loop is None:
        loop = asyncio.get_running_loop()
    _native.prepare()
    uninstall(loop)
    return Installation(loop, quantum, report_after)


def uninstall(loop: _Loop | None = None) -> None:
    """Take back what ``install`` did to the loop (None: the running one); nothing if it did nothing."""
    if loop is None:
        loop = asyncio.get_running_loop()
    installation = _installations.get(loop)
    if installation is not None:
        installation.uninstall()


def new_event_loop(quantum: float = QUANTUM) -> _Loop:
    """asyncio.new_event_loop(), installed: ``asyncio.Runner(loop_factory=lpf.aio.new_event_loop)``.

    So that the main task is preemptible, too.
    """
    loop = asyncio.new_event_loop()
    install(loop, quantum)
    return loop


# ---- One coroutine, one function -----------------------------------------------------------


class _Limit:
    """The time limit of one call of ``run``."""

    def __init__(self, seconds: float, name: str) -> None:
        self.seconds = seconds
        self.name = name
        self.end = time.monotonic() + seconds
        self.error: Cancelled | None = None
        self.where: str | None = None

    def slice(self, quantum: float) -> float:
        """How long the next turn may be."""
        if self.error is not None:
            return quantum
        return max(min(quantum, self.end - time.monotonic()), 1e-6)

    def passed(self) -> bool:
        return time.monotonic() >= self.end

    def broke(self, c: _native.Continuation[Any]) -> bool:
        """Whether c, which has ended, has ended because of it."""
        return self.error is not None and (c.state != "finished" or c.exception() is self.error)

    def timed_out(self, abandoned: bool = False) -> TimedOut:
        elapsed = time.monotonic() - self.end + self.seconds
        return TimedOut(self.name, self.seconds, self.where, elapsed, abandoned)


def _after_limit(c: _native.Continuation[Any], limit: _Limit, quantum: float) -> None:
    """A turn of a function whose limit has passed: it unwinds, and is given up in the end."""
    if limit.error is None:
        limit.where = _place(c.frame)
        limit.error = Cancelled("the time limit has passed")
        c.throw(limit.error, timeout=quantum)
    elif time.monotonic() < limit.end + _GRACE:
        c.resume(timeout=quantum)
    else:
        c.cancel(grace=_GRACE)


@types.coroutine
def _drive(
    call: Callable[[], _T], name: str, quantum: float, limit: _Limit | None
) -> Generator[Any, None, _T]:
    c = _native._launch_step(call, timeout=quantum if limit is None else limit.slice(quantum))
    while not c.done:
        error: BaseException | None = None
        _turns.stands(c, name)
        try:
            yield _turns.next_turn(events._get_running_loop())
        except GeneratorExit:
            _turns.goes_on(c)
            c.cancel()
            raise
        except BaseException as thrown:
            error = thrown
        _turns.goes_on(c)
        if error is not None:
            c.throw(error, timeout=quantum)
            del error
        elif limit is not None and limit.passed():
            _after_limit(c, limit, quantum)
        else:
            c.resume(timeout=quantum if limit is None else limit.slice(quantum))
    if limit is not None and limit.broke(c):
        raise limit.timed_out(c.state == "abandoned") from None
    try:
        return c.result()
    finally:
        del c  # Which has the error, in whose traceback this frame is.


async def run(
    f: Callable[..., _T],
    /,
    *args: Any,
    quantum: float = QUANTUM,
    timeout: float | None = None,
    **kwargs: Any,
) -> _T:
    """Call a plain function on the loop's own thread, and let the loop serve others meanwhile.

    No other thread, no other process: same thread-locals, same current task, nothing pickled.  It runs
    at once; whenever it has run for ``quantum`` seconds, everyone else comes first.

    It can be cancelled while it computes, by ``task.cancel()``, ``asyncio.timeout`` or the end of a
    task group: CancelledError is raised in it where it stands, and its finally blocks run.  What it
    swallows is swallowed, as asyncio has it.

    Args:
        quantum: seconds of wall-clock time.
        timeout: seconds from now; None: no limit.  Then lpf.Cancelled is raised in the function, and
            when it has unwound, TimedOut here.  If it has not ended half a second later, it is
            cancelled with the means of ``Continuation.cancel``, which ends by abandoning it.

    Raises:
        TimedOut: a TimeoutError; see timeout.
        ThreadError: not on the main thread.
        TypeError, ValueError: quantum or timeout is no positive number, or f is no plain function.
        What f raises.
    """
    call = functools.partial(_function(f), *args, **kwargs)
    name = getattr(f, "__qualname__", type(f).__qualname__)
    limit = None if timeout is None else _Limit(_seconds(timeout, "timeout"), name)
    return await _drive(call, name, _seconds(quantum, "quantum"), limit)


def _function(f: Callable[..., _T]) -> Callable[..., _T]:
    if not callable(f):
        raise TypeError(f"f must be callable, not {type(f).__name__}")
    if inspect.iscoroutinefunction(f):
        raise TypeError(f"{f.__qualname__} is a coroutine function: preemptible({f.__name__}(...))")
    return f


@overload
def preemptible(
    what: Coroutine[Any, Any, _T], quantum: float = ..., *, interrupt: bool | None = ...
) -> Coroutine[Any, Any, _T]: ...
@overload
def preemptible(
    what: Callable[[], _T], quantum: float = ..., *, interrupt: bool | None = ...
) -> Coroutine[Any, Any, _T]: ...
def preemptible(what: Any, quantum: float = QUANTUM, *, interrupt: bool | None = None) -> Any:
    """A coroutine, or a function without arguments, as an awaitable with preemptible steps.

    ``await preemptible(coro)`` takes as many turns as it needs: when a step has run for ``quantum``
    seconds, the event loop serves everyone else before it goes on.  Works with and without ``install``.

    Args:
        what: a coroutine, to be awaited once; or a function (then this is ``run``).
        quantum: seconds of wall-clock time.
        interrupt: True: a cancellation is raised where the code stands, even between two awaits.
            False: at the next await, as asyncio does.  None: False for a coroutine; a function has no
            awaits, and is always interrupted.

    Raises:
        TypeError: what is something else.
        TypeError, ValueError: quantum is no positive number.
        ThreadError: when awaited on another thread than the main one.
    """
    quantum = _seconds(quantum, "quantum")
    if asyncio.iscoroutine(what):
        return _Steps(what, quantum, bool(interrupt))
    if interrupt is False:
        raise ValueError("a function has no awaits at which it could be cancelled otherwise")
    if isinstance(what, Awaitable) or not callable(what):
        raise TypeError(f"a coroutine or a function is needed, not {type(what).__name__}")
    return run(_function(what), quantum=quantum)
