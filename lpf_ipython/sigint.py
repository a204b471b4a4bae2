"""Who gets an interrupt: in the driver of a cell, between two stretches of its code, and in cells
that ignore it.

While a cell runs, the handler for SIGINT is the cell's: mostly the one that raises
KeyboardInterrupt, which in the driver would do harm anywhere. So the driver has its own while it
works, and passes on what comes.

A signal that is ignored by the operating system leaves no trace, so that an interrupt of a cell
that ignores them could not be followed up (see `interrupt`). Therefore ``signal.signal`` gives a
cell that says SIG_IGN a handler that does nothing, and calls it SIG_IGN. What is still different:
programs that such a cell starts do not inherit that interrupts are ignored.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import lpf

__all__ = ["IGNORED", "Ignoring", "Sigint", "get", "named", "put"]

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
    if handler is None:
        return get()
    # Only the very numbers are taken for SIG_IGN and SIG_DFL, not their names in an enumeration.
    return _plain.signal(_SIGINT, handler if callable(handler) else int(handler))


def named(handler: Any) -> Any:
    """Return a handler that `get` or `put` returned as `signal` would, by its name."""
    return signal.Handlers(handler) if isinstance(handler, int) else handler


class Sigint:
    """The driver's handler and the cell's, one in place of the other. Main thread."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self._theirs: Any = None
        self._is_ours = False
        self._passes_on = True
        self._outer: Any = None

    def begin(self, theirs: Any) -> None:
        """Take interrupts from the start, and give back at the end what is there now.

        *theirs* is the handler of the cell.
        """
        self._outer, self._theirs, self._is_ours = put(self._take), theirs, True

    def ours(self) -> None:
        """Take interrupts; the cell is not running."""
        if not self._is_ours:
            self._theirs = put(self._take)
            self._is_ours = True

    def theirs(self) -> None:
        """Give them back to the cell."""
        self._passes_on = True
        if self._is_ours:
            self._is_ours = False
            put(self._theirs)

    def keep(self) -> None:
        """Take them, whatever handler the cell has, until they are given back: it is parked."""
        self.ours()
        self._passes_on = False

    def end(self) -> None:
        """Give them back for good."""
        if self._outer is None:
            self.theirs()
        else:
            put(self._outer)
        del self._arrived  # Its owner's, who has this.

    def step_aside(self, handler: Any) -> None:
        """Let *handler*, if any, take interrupts while others run; `ours` has been called."""
        put(handler)

    def back(self) -> None:
        """Take them again, after `step_aside`."""
        put(self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        handler = self._theirs
        if handler is signal.default_int_handler or not self._passes_on:
            self._arrived()
        elif callable(handler):
            handler(number, frame)


class Ignoring:
    """The functions of `signal` that cells are given, see above. Main thread."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._signal, self._getsignal = signal.signal, signal.getsignal
        self._ours = (self._wrapped_signal(), self._wrapped_getsignal())

    def install(self) -> None:
        """Put them into the module."""
        signal.signal, signal.getsignal = self._ours

    def uninstall(self) -> None:
        """Take them out, where they are still ours."""
        for name, ours, theirs in zip(
            ("signal", "getsignal"), self._ours, (self._signal, self._getsignal), strict=True
        ):
            if getattr(signal, name) is ours:
                setattr(signal, name, theirs)

    def _wrapped_signal(self) -> Any:
        original = self._signal

        @functools.wraps(original)
        def wrapper(signalnum: Any, handler: Any) -> Any:
            ignores = isinstance(handler, int) and handler == signal.SIG_IGN
            if ignores and signalnum == _SIGINT and self._in_cell():
                handler = _ignore
            return _named(original(signalnum, handler))

        return wrapper

    def _wrapped_getsignal(self) -> Any:
        original = self._getsignal

        @functools.wraps(original)
        def wrapper(signalnum: Any) -> Any:
            return _named(original(signalnum))

        return wrapper

    def _in_cell(self) -> bool:
        return lpf.current() is not None and os.getpid() == self._pid


def _ignore(number: int, frame: FrameType | None) -> None:
    """Stands for SIG_IGN."""


def _named(handler: Any) -> Any:
    return signal.SIG_IGN if handler is _ignore else handler
