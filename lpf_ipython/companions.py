"""What goes on while a cell is paused: the threads and child processes of this interpreter.

Pausing stops one stack on one thread. Nobody knows which cell started which thread; these are all
that are not IPython's, ipykernel's or a debugger's own.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import TypedDict

import psutil

from .values import clean

__all__ = ["Process", "processes", "threads"]

_SYSTEM = frozenset(
    [
        "IPython",
        "_pydevd_bundle",
        "debugpy",
        "ipykernel",
        "jupyter_client",
        "lpf_ipython",
        "pydevd",
        "tornado",
        "zmq",
    ]
)
# They stand around the functions of any thread; ipkernel does in ipykernel 6.
_WRAPPERS = frozenset(["decorator", "ipykernel.ipkernel", "threading"])


class Process(TypedDict):
    """A child process."""

    pid: int
    name: str


def threads() -> list[str]:
    """Return the names of the user's Python threads that are alive, without the main one."""
    frames = sys._current_frames()
    return [
        clean(str(thread.name))
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
        and thread is not threading.current_thread()
        and not _is_system(frames.get(thread.ident or 0))
    ]


def processes() -> list[Process]:
    """Return the child processes that are running."""
    try:
        return [
            {"pid": child.pid, "name": clean(child.name())}
            for child in psutil.Process().children()
            if child.status() != psutil.STATUS_ZOMBIE
        ]
    except psutil.Error:  # One ended while it was looked at.
        return []


def _is_system(frame: FrameType | None) -> bool:
    """Say by its outermost function whose thread it is."""
    outermost = ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        outermost = outermost if module in _WRAPPERS else module
        frame = frame.f_back
    return outermost.partition(".")[0] in _SYSTEM
