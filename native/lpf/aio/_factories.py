"""Task factories: how the tasks of a loop come to be preemptible, eager ones too."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from asyncio import events, tasks
from collections.abc import Callable
from typing import Any

from .. import _native
from .._errors import StateError
from ._arguments import QUANTUM, seconds
from ._steps import Aside, Steps
from ._task import Task, steps_of

__all__ = ["Factory", "create_task_factory", "eager_task_factory", "task_factory"]

Factory = Callable[..., Any]

_Loop = asyncio.AbstractEventLoop


def create_task_factory(
    *, quantum: float = QUANTUM, eager: bool = False, then: Factory | None = None
) -> Factory:
    """A task factory, for ``loop.set_task_factory``, whose tasks are preemptible.

    Args:
        quantum: seconds of wall-clock time that a step may take until others are served.
        eager: the tasks start at once, as those of asyncio.eager_task_factory (Python 3.12+).
        then: another factory that makes the tasks, of preemptible coroutines; None: ``Task``.

    Raises:
        TypeError, ValueError: quantum is no positive number.
        RuntimeError: eager before Python 3.12.
    """
    quantum = seconds(quantum, "quantum")
    if eager and sys.version_info < (3, 12):
        raise RuntimeError("eager tasks need Python 3.12")

    def factory(loop: _Loop, coro: Any, **options: Any) -> Any:
        if not asyncio.iscoroutine(coro):
            return then(loop, coro, **options) if then is not None else Task(coro, loop=loop)
        steps = coro if isinstance(coro, Steps) else Steps(coro, quantum)
        if then is None and not (eager or options.get("eager_start")):
            return Task(steps, loop=loop, **options)
        if options.get("context") is None and eager:
            options["context"] = contextvars.copy_context()
        if then is not None:
            return aside(functools.partial(then, loop, steps, **options))
        options.setdefault("eager_start", True)
        return aside(functools.partial(Task, steps, loop=loop, **options))

    return factory


task_factory = create_task_factory()
"""``loop.set_task_factory(lpf.aio.task_factory)``: preemptible tasks with the usual quantum."""


def eager_task_factory(loop: _Loop, coro: Any, **options: Any) -> Any:
    """As asyncio.eager_task_factory, with preemptible tasks.  Python 3.12 or later."""
    return create_task_factory(eager=True)(loop, coro, **options)


def aside(make: Callable[[], Any]) -> Any:
    """Make a task whose first step may run at once, not inside the step that is under way."""
    step = _native.current()
    steps = steps_of(tasks.current_task()) if events._get_running_loop() is not None else None
    if step is None or steps is None:
        return make()
    if getattr(step.function, "__self__", None) is steps._coro:
        request = Aside(make)
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
