"""The time limit of a function on a loop."""

from __future__ import annotations

import time
from typing import Any

from .. import _native
from .._errors import Cancelled, TimedOut
from ._place import place

__all__ = ["Limit", "after_limit"]

_GRACE = 0.5  # Seconds that a function has to unwind after its time limit; as in lpf.call.


class Limit:
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


def after_limit(c: _native.Continuation[Any], limit: Limit, quantum: float) -> None:
    """A turn of a function whose limit has passed: it unwinds, and is given up in the end."""
    if limit.error is None:
        limit.where = place(c.frame)
        limit.error = Cancelled("the time limit has passed")
        c.throw(limit.error, timeout=quantum)
    elif time.monotonic() < limit.end + _GRACE:
        c.resume(timeout=quantum)
    else:
        c.cancel(grace=_GRACE)
