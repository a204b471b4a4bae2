"""Locks that hold a loop up: reported, since nothing can be done about them."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import weakref

from . import _turns
from ._place import place

__all__ = ["Watchdog"]

_log = logging.getLogger("lpf.aio")


class Watchdog(threading.Thread):
    """Says so when the loop stands still while preempted tasks wait for their turn.

    A preemptible step that waits for a lock is itself preempted, and the holder of the lock gets its
    turn.  But a plain callback, or what lpf.guards guards, that waits for the lock of a preempted
    task waits for ever.  No one can go on then but a debugger; what can be done is to name both.

    Runs on a thread of its own, and only reads.  While something is preempted, the loop does not wait
    for events, and ``_turns.count()`` goes up with every few rounds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, after: float) -> None:
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
            f"{name} at {place(step.frame) or '?'}" for step, name in list(_turns.standing.items())
        ]
        _log.warning(
            "the event loop has stood still for %g s, at %s, while these tasks are preempted: %s. "
            "If it waits for a lock that one of them holds, it waits for ever: hold that lock inside "
            "lpf.uninterruptible()",
            self._after,
            place(frame),
            "; ".join(preempted),
        )

    def end(self) -> None:
        self._ended.set()
        self.join()
