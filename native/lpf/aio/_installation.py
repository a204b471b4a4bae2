"""Loops all of whose tasks are preemptible."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import Self

from .. import _native
from .._errors import ThreadError
from . import _direct
from ._arguments import QUANTUM, seconds
from ._factories import Factory, create_task_factory
from ._watchdog import Watchdog

__all__ = ["Installation", "install", "new_event_loop", "uninstall"]

_Loop = asyncio.AbstractEventLoop


class Installation:
    """What ``install`` has done to a loop; as a context manager, it is taken back at the end."""

    def __init__(self, loop: _Loop, quantum: float, report_after: float | None) -> None:
        self.loop = loop
        self.quantum = quantum
        self._former = former = loop.get_task_factory()
        eager = former is not None and former is getattr(asyncio, "eager_task_factory", None)
        self._factory = create_task_factory(
            quantum=quantum, eager=eager, then=None if eager else former
        )
        # Of those who call asyncio.Task, which no factory that was there before has seen either.
        self._direct = create_task_factory(quantum=quantum)
        self._watchdog = None if report_after is None else Watchdog(loop, report_after)
        loop.set_task_factory(self._factory)
        _installations[loop] = self
        _direct.put_in(_maker_of)
        if self._watchdog is not None:
            self._watchdog.start()

    def uninstall(self) -> None:
        """Put the former task factory back, if ours is still there.  Once is enough.

        Tasks that exist stay preemptible.
        """
        if _installations.get(self.loop) is self:
            del _installations[self.loop]
            if not _installations:
                _direct.take_out()
        if self.loop.get_task_factory() is self._factory:
            self.loop.set_task_factory(self._former)
        if self._watchdog is not None:
            self._watchdog.end()
            self._watchdog = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.uninstall()


_installations: weakref.WeakKeyDictionary[_Loop, Installation] = weakref.WeakKeyDictionary()


def _maker_of(loop: _Loop) -> Factory | None:
    installation = _installations.get(loop)
    return None if installation is None else installation._direct


def install(
    loop: _Loop | None = None, quantum: float = QUANTUM, *, report_after: float | None = 1.0
) -> Installation:
    """Make every task of the loop preemptible, from now on; tasks that exist stay as they are.

    A task factory that the loop has already goes on making the tasks.  Installed a second time, the
    quantum of the second time holds.

    Tasks that a library makes by calling ``asyncio.Task`` itself pass by every task factory; aiohttp does
    so on Python 3.12 and later.  For them, the name ``asyncio.Task`` stands for a subclass that knows the
    loops, until the last of them is uninstalled; to other loops it is what it was.  Who has imported the
    class itself before (``from asyncio import Task``) and calls it still makes ordinary tasks; ``run`` and
    ``preemptible`` work in them.

    Args:
        loop: None: the running one.
        quantum: seconds of wall-clock time that a step may take until the loop serves all others.
        report_after: seconds; if the loop stands still for so long while tasks are preempted, the
            logger ``lpf.aio`` says where it stands and which tasks are preempted.  None: never.

    Returns:
        An Installation: ``with lpf.aio.install():`` or its ``uninstall()``.

    Raises:
        RuntimeError: no loop is given and none is running.
        ThreadError: not called on the main thread.
        TypeError, ValueError: quantum or report_after is no positive number.

    Thread: the main one, where the loop must run.

    Source: libturquoise made tokio-threadpool preemptive in the same way, with no new API.
    """
    quantum = seconds(quantum, "quantum")
    if report_after is not None:
        report_after = seconds(report_after, "report_after")
    if threading.current_thread() is not threading.main_thread():
        raise ThreadError("install() works on the main thread only, where the loop must run, too")
    if loop is None:
        loop = asyncio.get_running_loop()
    _native.prepare()
    uninstall(loop)
    return Installation(loop, quantum, report_after)


def uninstall(loop: _Loop | None = None) -> None:
    """Take back what ``install`` did to the loop (None: the running one); nothing if it did nothing."""
    if loop is None:
        loop = asyncio.get_running_loop()
    installation = _installations.get(loop)
    if installation is not None:
        installation.uninstall()


def new_event_loop(quantum: float = QUANTUM) -> _Loop:
    """asyncio.new_event_loop(), installed: ``asyncio.Runner(loop_factory=lpf.aio.new_event_loop)``.

    So that the main task is preemptible, too.
    """
    loop = asyncio.new_event_loop()
    install(loop, quantum)
    return loop
