"""The tasks whose steps are preemptible."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from ._arguments import QUANTUM, seconds
from ._steps import Steps

__all__ = ["Task", "steps_of"]

_T = TypeVar("_T")


class Task(asyncio.Task[_T]):
    """An asyncio.Task whose steps are preempted when they have run for ``quantum`` seconds.

    What it promises is what asyncio.Task promises; it only takes more turns.  Steps on another thread
    than the main one fail with ThreadError.
    """

    _steps: Steps[_T] | None = None

    def __init__(self, coro: Any, *, quantum: float = QUANTUM, **options: Any) -> None:
        if asyncio.iscoroutine(coro) and not isinstance(coro, Steps):
            coro = Steps(coro, seconds(quantum, "quantum"))
        if isinstance(coro, Steps):
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
        return coro._coro if isinstance(coro, Steps) else coro


def steps_of(task: asyncio.Task[Any] | None) -> Steps[Any] | None:
    """The steps of a task, None if it has none or there is no task."""
    if isinstance(task, Task):
        return task._steps
    coro = task.get_coro() if task is not None else None
    return coro if isinstance(coro, Steps) else None
