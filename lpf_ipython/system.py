"""os.system in cells: the C function it calls cannot be left, what is called here can.

system(3) waits for its child with the thread's SIGCHLD blocked and the process's SIGINT ignored,
which must not outlive it. So cells get a function that does the same with posix_spawn and waitpid,
and takes an interrupt for the child's, as system(3) does.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

import lpf

__all__ = ["System"]


class System:
    """os.system as cells have it. Main thread; elsewhere it is the original."""

    def __init__(self) -> None:
        self._original = os.system
        self._ours = self._wrapped()

    def install(self) -> None:
        """Put it into the module."""
        os.system = self._ours

    def uninstall(self) -> None:
        """Take it out, if it is still ours."""
        if os.system is self._ours:
            os.system = self._original

    def _wrapped(self) -> Any:
        original = self._original

        @functools.wraps(original)
        def system(command: Any) -> int:
            if lpf.current() is None or threading.current_thread() is not threading.main_thread():
                return original(command)
            return _run(os.fsencode(command))

        return system


def _run(command: bytes) -> int:
    sys.audit("os.system", command)
    defaults = [signal.SIGINT, signal.SIGQUIT]
    child = os.posix_spawn("/bin/sh", [b"sh", b"-c", command], os.environ, setsigdef=defaults)
    while True:
        with suppress(KeyboardInterrupt):
            return wait(child)


def wait(child: int) -> int:
    """Wait for the end of a process; its status. A cell may be left here."""
    return os.waitpid(child, 0)[1]
