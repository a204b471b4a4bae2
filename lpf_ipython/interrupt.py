"""Interrupts that are not heard: noticed, waited for, raised again, turned into a cancel.

An interrupt may be swallowed (``except:``), ignored, go to a handler of the cell's own, or wake nothing: a
cell that awaits has a handler of ipykernel's, which leaves a note in the event loop and does not
wake that. Whatever the handler in Python does, the C-level handler writes the signal's number to
the file descriptor of ``signal.set_wakeup_fd``; a thread that reads the other end of it sees every
interrupt, and costs nothing until there is one: the numbers of other signals do not wake Python. It

    wakes the event loop, so that a cell that merely awaits is interrupted at once
    waits `LPF.interrupt_grace` seconds, longer while the cell is inside its own handler for it
    orders the cell to be interrupted again; `driver` makes a cancel of that when it is swallowed too

A second interrupt takes the last step at once. An event loop that handles signals itself
(``loop.add_signal_handler``) takes the descriptor for itself: then interrupts are what they were
without us until it gives it back.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from typing import Any, Protocol

from lpf import _native

from .cell import Cell, Order
from .config import LPF
from .sigint import Ignoring

__all__ = ["Watch"]

_SIGINT = bytes([signal.SIGINT])
_STOP = b"\0"
_AGAIN = 0.1
# Interrupts within this time are one: a process group's, say, and our own.
_BOUNCE = 0.3


class Runner(Protocol):
    """What is needed of a kernel's or a terminal's runner."""

    config: LPF

    @property
    def front(self) -> Cell | None:
        """The cell that an interrupt is meant for."""

    def wake(self) -> None:
        """Wake the event loop, if there is one. Any thread."""

    def nudge(self, cell: Cell) -> None:
        """Have `Cell.nudge` called on the main thread, if it waits. Any thread."""


class Watch:
    """Sees interrupts and follows them up. `start` and `stop` on the main thread."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._pipe: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._ignoring = Ignoring()

    def start(self) -> None:
        """Begin to watch."""
        read, write = self._pipe = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        self.arm()
        self._ignoring.install()
        self._thread = threading.Thread(target=self._watch, name="lpf interrupts", daemon=True)
        self._thread.start()

    def arm(self) -> None:
        """Take the descriptor, unless somebody else has it."""
        if self._pipe is not None:
            before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            if before not in (-1, self._pipe[1]):
                signal.set_wakeup_fd(before)

    def disarm(self) -> None:
        """Give the descriptor back, if it is still ours."""
        if self._pipe is not None:
            found = signal.set_wakeup_fd(-1)
            if found not in (-1, self._pipe[1]):
                signal.set_wakeup_fd(found)

    def stop(self) -> None:
        """End the watch."""
        if self._pipe is None or self._thread is None:
            return
        read, write = self._pipe
        self._ignoring.uninstall()
        self.disarm()
        self._stopping = True
        os.write(write, _STOP)
        self._thread.join()
        os.close(read)
        os.close(write)
        self._pipe = None

    def _watch(self) -> None:
        assert self._pipe is not None
        read = self._pipe[0]
        pursued: Cell | None = None
        due = first = 0.0
        while True:
            wait = None if pursued is None else max(0.0, due - time.monotonic())
            interrupted = _native._wait_for_bytes(read, _SIGINT + _STOP, wait)
            if self._stopping:
                return
            now = time.monotonic()
            if interrupted:
                cell = self._runner.front
                self._runner.wake()
                again = cell is not None and cell is pursued and now - first > _BOUNCE
                if cell is not None and cell is not pursued:
                    pursued, first = cell, now
                    due = now + self._patience(cell)
                elif again:
                    due = now
                    self._follow_up(cell)
                    pursued = None
                continue
            if pursued is None or now < due:
                continue
            if pursued is not self._runner.front or pursued.job.ended:
                pursued = None
            elif pursued.lent is not None or _is_handling():  # Lent: that cannot be seen now.
                due = now + _AGAIN
            else:
                self._follow_up(pursued)
                pursued = None

    def _patience(self, cell: Cell) -> float:
        """How long the interrupt may take. One that cannot arrive is followed up at once."""
        computing = len(cell.drivers) > 1 and cell.in_step
        return 0.0 if computing else self._runner.config.interrupt_grace

    def _follow_up(self, cell: Cell | None) -> None:
        if cell is None or not self._runner.config.escalate:
            return
        cell.touched = True
        cell.order(Order("interrupt"))
        self._runner.nudge(cell)
        # A press is lost when no step is running at that moment, or one may not be left.
        end = time.monotonic() + 2.0
        while cell.ordered is not None and not cell.job.ended and time.monotonic() < end:
            time.sleep(0.02)
            cell.press()


def _is_handling() -> bool:
    """Whether the main thread is inside an ``except`` or ``finally`` for an interrupt.

    That is where IPython shows its traceback, too. What awaits is interrupted by a CancelledError.
    """
    ident = threading.main_thread().ident
    found: Any = sys._current_exceptions().get(ident or 0)
    if isinstance(found, tuple):  # 3.11 gives what sys.exc_info() would.
        found = found[1]
    return isinstance(found, KeyboardInterrupt | asyncio.CancelledError)
