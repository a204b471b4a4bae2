"""Who gets an interrupt that arrives in the driver of a cell, between two stretches of its code.

While a cell runs, the handler for SIGINT is the cell's: mostly the one that raises
KeyboardInterrupt, which in the driver would do harm anywhere. So the driver has its own while it
works, and passes on what comes.
"""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["IGNORED", "Sigint", "get", "put"]

# What `signal` wraps: without making enumerations of numbers it takes a tenth of the time, which
# counts here, twice in every step of a cell.
_plain: Any = importlib.import_module("_signal")
_SIGINT = int(signal.SIGINT)
IGNORED = _plain.SIG_IGN


def get() -> Any:
    """Return the handler of SIGINT, None if it was not installed from Python."""
    return _plain.getsignal(_SIGINT)


def put(handler: Any) -> Any:
    """Install a handler of SIGINT that `get` returned, or a function; the one before it."""
    return get() if handler is None else _plain.signal(_SIGINT, handler)


class Sigint:
    """The driver's handler and the cell's, one in place of the other. Main thread."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self._theirs: Any = None
        self._is_ours = False

    def ours(self) -> None:
        """Take interrupts; the cell is not running."""
        if not self._is_ours:
            self._theirs = put(self._take)
            self._is_ours = True

    def theirs(self) -> None:
        """Give them back to the cell."""
        if self._is_ours:
            self._is_ours = False
            put(self._theirs)

    def _take(self, number: int, frame: FrameType | None) -> None:
        handler = self._theirs
        if handler is signal.default_int_handler:
            self._arrived()
        elif callable(handler):
            handler(number, frame)
