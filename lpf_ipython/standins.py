"""Functions that cells call and that cannot be left in C: what stands in for them can.

`os.system`       system(3) waits for its child with the thread's SIGCHLD blocked and the process's
                  SIGINT ignored, which must not outlive it. The same is done with posix_spawn and
                  waitpid; an interrupt is taken for the child's, as system(3) does.
`signal.sigwait`  sigwait(3) waits on after any other signal and does not ask Python, sigwaitinfo(2)
                  does.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import lpf

from . import sigint

__all__ = ["StandIns"]


class StandIns:
    """The functions as cells have them. Main thread; elsewhere they are the originals."""

    def __init__(self) -> None:
        self._places = [
            (module, name, getattr(module, name), _for_cells(getattr(module, name), ours))
            for module, name, ours in ((os, "system", _system), (signal, "sigwait", _sigwait))
        ]

    def install(self) -> None:
        """Put them into their modules."""
        for module, name, _, ours in self._places:
            setattr(module, name, ours)

    def uninstall(self) -> None:
        """Take them out, where they are still ours."""
        for module, name, original, ours in self._places:
            if getattr(module, name) is ours:
                setattr(module, name, original)


def _for_cells(original: Callable[[Any], Any], ours: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def function(argument: Any) -> Any:
        if lpf.current() is None or threading.current_thread() is not threading.main_thread():
            return original(argument)
        return ours(argument)

    return function


def _system(command: Any) -> int:
    command = os.fsencode(command)
    sys.audit("os.system", command)
    defaults = [signal.SIGINT, signal.SIGQUIT]
    before = sigint.put(_childs)  # First of all: the child may run before posix_spawn has returned.
    try:
        shell = [b"sh", b"-c", command]
        return wait(os.posix_spawn("/bin/sh", shell, os.environ, setsigdef=defaults))
    finally:
        sigint.put(before)


def _childs(number: int, frame: FrameType | None) -> None:
    """Hears an interrupt that is for the child."""


def wait(child: int) -> int:
    """Wait for the end of a process; its status. A cell may be left here."""
    return os.waitpid(child, 0)[1]


def wait_for_signal(sigset: Any) -> int:
    """Wait for one of these signals; its number. A cell may be left here."""
    return signal.sigwaitinfo(sigset).si_signo


def _sigwait(sigset: Any) -> int:
    number = wait_for_signal(sigset)
    try:
        return signal.Signals(number)
    except ValueError:  # A real-time signal without a name.
        return number
