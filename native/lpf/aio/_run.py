"""One plain function, or one coroutine, with or without ``install``."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from asyncio import events
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar, overload

from .. import _native
from . import _turns
from ._arguments import QUANTUM, seconds
from ._limit import Limit, after_limit
from ._steps import Steps

__all__ = ["preemptible", "run"]

_T = TypeVar("_T")


@types.coroutine
def _drive(
    call: Callable[[], _T], name: str, quantum: float, limit: Limit | None
) -> Generator[Any, None, _T]:
    c = _native._launch_step(None, call, timeout=quantum if limit is None else limit.slice(quantum))
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
            after_limit(c, limit, quantum)
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
    call = functools.partial(plain(f), *args, **kwargs)
    name = getattr(f, "__qualname__", type(f).__qualname__)
    limit = None if timeout is None else Limit(seconds(timeout, "timeout"), name)
    return await _drive(call, name, seconds(quantum, "quantum"), limit)


def plain(f: Callable[..., _T]) -> Callable[..., _T]:
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
    quantum = seconds(quantum, "quantum")
    if asyncio.iscoroutine(what):
        return Steps(what, quantum, bool(interrupt))
    if interrupt is False:
        raise ValueError("a function has no awaits at which it could be cancelled otherwise")
    if isinstance(what, Awaitable) or not callable(what):
        raise TypeError(f"a coroutine or a function is needed, not {type(what).__name__}")
    return run(plain(what), quantum=quantum)
