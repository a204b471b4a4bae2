"""The current task of a loop: exchanged, and told of a cancellation that came too early.

On the loop's thread.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import events, tasks
from collections.abc import Callable
from typing import Any

__all__ = ["postpone", "swap_current_task"]

_Loop = asyncio.AbstractEventLoop
_AnyTask = asyncio.Task[Any]


if sys.version_info >= (3, 12):
    swap_current_task: Callable[[_Loop, _AnyTask | None], _AnyTask | None]
    swap_current_task = tasks._swap_current_task  # type: ignore[attr-defined]
else:

    def swap_current_task(loop: _Loop, task: _AnyTask | None) -> _AnyTask | None:
        former = tasks.current_task(loop)
        if former is not None:
            tasks._leave_task(loop, former)
        if task is not None:
            tasks._enter_task(loop, task)
        return former


def postpone(error: asyncio.CancelledError) -> bool:
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
