"""The exceptions of lpf.

BaseException
 └── Cancelled            raised inside a function that is being cancelled
Exception
 ├── TimeoutError
 │    └── TimedOut        out of call() and time_limit()
 └── RuntimeError
      └── StateError      the state of the continuation does not allow this
           ├── NotFinished    result() of what has not ended
           └── ThreadError    the thread does not allow this
"""

from __future__ import annotations

__all__ = ["Cancelled", "NotFinished", "StateError", "ThreadError", "TimedOut"]


class Cancelled(BaseException):
    """Raised inside a function that is being cancelled, at the point where it stood.

    A BaseException, so that ``except Exception`` lets it pass.  Code that catches it to clean up
    should raise it again: swallowed, it is raised anew, and in the end the function is abandoned.
    """


class TimedOut(TimeoutError):
    """The time limit of ``lpf.call`` or ``lpf.time_limit`` has passed.

    Attributes:
        what: the name of the function, or "the block".
        limit: the limit in seconds.
        where: the place that was reached, "line 3 in f (file.py)", or None if it is not known.
        elapsed: seconds of wall-clock time inside, unwinding included.
        abandoned: True if it did not let itself be cancelled and stays in memory as it is.
    """

    def __init__(
        self,
        what: str = "",
        limit: float = 0.0,
        where: str | None = None,
        elapsed: float = 0.0,
        abandoned: bool = False,
    ) -> None:
        super().__init__(what, limit, where, elapsed, abandoned)
        self.what = what
        self.limit = limit
        self.where = where
        self.elapsed = elapsed
        self.abandoned = abandoned

    def __str__(self) -> str:
        text = f"{self.what} took longer than {self.limit:g} s"
        if self.where is not None:
            text += f", at {self.where}"
        if self.abandoned:
            text += "; it did not let itself be cancelled and is abandoned"
        return text


class StateError(RuntimeError):
    """The state of the continuation does not allow this; the message names the way out."""


class NotFinished(StateError):
    """A result was asked of a function that has not ended."""


class ThreadError(StateError):
    """Not possible on this thread; the message says where it is."""
