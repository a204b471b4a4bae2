"""Cells of a terminal: jobs, as in a shell.

Each cell is one preemptible function: IPython's own ``run_cell``. When it is paused, by Ctrl-Z or
a time limit, ``run_cell`` returns and the prompt comes back; ``%lpf resume`` lets it go on when
the cell that says so has ended. There is no event loop around cells. One that awaits runs its own,
inside; when it is paused, so is that, and other cells get a new one (see `swap.RunningLoop`).

At the prompt Ctrl-Z stops the whole process, as ever: the signal is taken only while a cell runs.
Main thread, but for `pause`, `resume`, `cancel`, `wake` and `nudge`.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from types import FrameType
from typing import Any

import lpf

from . import display, interrupt, memory, private
from .cell import Abandoned, Cell, Order, cancelled
from .config import LPF
from .driver import Driver
from .errors import CellEnded, JobError
from .jobs import Job, Jobs
from .shell import ShellHooks, cell_limit
from .swap import Swap, items

__all__ = ["TerminalRunner"]


class Gate:
    """What a parked cell waits for; see `cell.Gate`."""

    def __init__(self) -> None:
        self._open = False

    def done(self) -> bool:
        return self._open

    def set_result(self, result: None, /) -> None:
        self._open = True

    def __iter__(self) -> Generator[Any, None, None]:
        while not self._open:
            yield self


class TerminalRunner:
    """Runs the cells of one terminal shell."""

    def __init__(self, shell: Any, config: LPF, jobs: Jobs) -> None:
        self.shell = shell
        self.config = config
        self.jobs = jobs
        self.current: Cell | None = None
        self.hooks = ShellHooks(shell, self)
        self._swap = Swap(items(shell, []))
        self._run_cell = shell.run_cell
        self._cells: dict[int, Cell] = {}
        self._steps: dict[int, Generator[Any, Any, Any]] = {}
        self._asked: list[tuple[Cell, float | None, Order | None]] = []
        self._interrupts = interrupt.Watch(self)
        self._ours: Any = None
        self._last: Callable[[], None] | None = None

    @property
    def front(self) -> Cell | None:
        """The cell that an interrupt is meant for."""
        return self.current

    # Loading and unloading.

    def install(self) -> None:
        """Take over the shell's cells."""
        self.hooks.install()
        self._ours = vars(self.shell)["run_cell"] = self._wrapped()
        self._interrupts.start()
        self._interrupts.disarm()
        lpf.on_stray(lambda: None)
        self.jobs.runner = self

    def uninstall(self) -> None:
        """Give them back, as far as they are still ours."""
        self.jobs.runner = None
        lpf.on_stray(None)
        self._interrupts.stop()
        if vars(self.shell).get("run_cell") is self._ours:
            del vars(self.shell)["run_cell"]
        self.hooks.uninstall()

    # Cells.

    def _wrapped(self) -> Any:
        original = self._run_cell

        @functools.wraps(original)
        def run_cell(raw_cell: str, *args: Any, **kwargs: Any) -> Any:
            main = threading.current_thread() is threading.main_thread()
            if not main or self.current is not None or lpf.current() is not None:
                return original(raw_cell, *args, **kwargs)
            return self._run(raw_cell, *args, **kwargs)

        return run_cell

    def _run(self, raw_cell: str, *args: Any, **kwargs: Any) -> Any:
        stores = bool(args[0] if args else kwargs.get("store_history", False))
        cell = self._begin(raw_cell, stores)

        async def whole() -> Any:
            return self._run_cell(raw_cell, *args, **kwargs)

        steps: Any = Driver(cell).drive(whole())
        self._steps[cell.job.id] = steps
        result = self._go_on(cell)
        while self._asked:
            self._resume(*self._asked.pop(0))
        if self._last is not None:
            self._last()
            self._last = None
        return result if result is not None else private.no_result(cell, cell.ending)

    def _begin(self, raw_cell: str, stores: bool) -> Cell:
        number = self.shell.execution_count if stores else None
        job = self.jobs.new(raw_cell, execution_count=number)
        cell = self._cells[job.id] = Cell(job, self, self._swap)
        cell.set_limit(cell_limit(raw_cell, {}, self.config.default_limit))
        return cell

    def _go_on(self, cell: Cell) -> Any:
        """Run *cell* until it ends or is parked; its result, None if it has none."""
        self.current = cell
        stopper = signal.signal(signal.SIGTSTP, self._stop_key)
        self._interrupts.arm()
        try:
            self._steps[cell.job.id].send(None)
        except StopIteration as end:
            self._end(cell)
            return end.value
        except (Abandoned, lpf.Cancelled) as error:
            self._give_up(cell, cell.ending or cancelled(cell, isinstance(error, Abandoned)))
        except BaseException:
            self._end(cell)
            raise
        finally:
            self.current = None
            self._interrupts.disarm()
            signal.signal(signal.SIGTSTP, stopper)
        return None

    def _end(self, cell: Cell) -> None:
        self.jobs.change(cell.job, cell.final_state())
        del self._cells[cell.job.id], self._steps[cell.job.id]
        if cell.came_back:
            cell.swap.settle(cell.outside)
            print(display.notice(cell.job))

    def _give_up(self, cell: Cell, outcome: CellEnded) -> None:
        cell.abandon()
        cell.ending, cell.ended_by_us = outcome, True
        self._count_up(cell)
        self.shell.showtraceback((type(outcome), outcome, None))
        self._end(cell)

    def _count_up(self, cell: Cell) -> None:
        # Before IPython 9.8 the number is counted up at a cell's end.
        number = cell.job.execution_count
        if number is not None:
            self.shell.execution_count = max(self.shell.execution_count, number + 1)

    def gate(self) -> Gate:
        """Make what a parked cell waits for."""
        return Gate()

    def quantum(self) -> float | None:
        """None: there is nobody to be let in."""
        return None

    def in_transit(self) -> bool:
        """Whether a message is on its way: there are none."""
        return False

    def changed_hands(self, cell: Cell, lent: bool) -> None:
        """Never: cells are not lent out."""

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """Never: cells are not lent out."""

    def parked(self, cell: Cell, reason: str) -> None:
        """Say that the cell is paused."""
        self._count_up(cell)
        self.jobs.change(cell.job, "paused", reason)
        if reason == "key":
            # Ctrl-Z stopped the processes that the cell started, too; they go on.
            signal.signal(signal.SIGCONT, signal.SIG_IGN)
            os.killpg(os.getpgrp(), signal.SIGCONT)
            signal.signal(signal.SIGCONT, signal.SIG_DFL)
            print()
        print(display.notice(cell.job))
        if reason == "memory":
            largest = memory.largest(self.shell.user_ns)
            print(
                "the largest:", ", ".join(f"{name} ({size / 1e6:.0f} MB)" for name, size in largest)
            )

    def _resume(self, cell: Cell, timeout: float | None, order: Order | None) -> None:
        if not cell.is_parked:
            return
        cell.came_back = True
        cell.job.pending = None
        self.jobs.change(cell.job, "running")
        if order is None:
            print(display.notice(cell.job))
        cell.allow(timeout)
        if order is not None:
            cell.order(order)
        self.current = cell
        cell.unpark()
        self._go_on(cell)

    def _stop_key(self, number: int, frame: FrameType | None) -> None:
        if self.current is not None:
            self.current.order(Order("pause", "key"))

    # What users ask for; see `jobs.Jobs`.

    def pause(self, reason: str = "request") -> None:
        """Ask for the running cell to be paused."""
        cell = self.current
        if cell is None:
            raise JobError("no cell is running")
        cell.order(Order("pause", reason))
        if lpf.current() is not None and threading.current_thread() is threading.main_thread():
            lpf.pause()

    def resume(self, job: Job, timeout: float | None = None) -> None:
        """Let *job* go on when the cell that asks for it has ended."""
        self._ask(job, "resume", timeout, None)

    def cancel(self, job: Job, grace: float | None = None) -> None:
        """End *job*, paused or running."""
        order = Order("end", outcome=cancelled, grace=grace)
        cell = self._cells.get(job.id)
        if job.state == "running" and cell is not None:
            cell.order(order)
        else:
            self._ask(job, "cancel", None, order)

    def _ask(self, job: Job, what: str, timeout: float | None, order: Order | None) -> None:
        cell = self._cells.get(job.id)
        if job.state != "paused" or cell is None:
            raise JobError(f"job {job.id} is {job.state}, not paused; %lpf jobs lists the paused")
        if job.pending is not None:
            raise JobError(f"job {job.id} is about to {job.pending}")
        job.pending = what
        self._asked.append((cell, timeout, order))
        if self.current is None:
            self._resume(*self._asked.pop())

    def wake(self) -> None:
        """Nothing: no event loop is around the cells."""

    def nudge(self, cell: Cell) -> None:
        """Nothing: a cell that awaits runs its loop in a step, which can be paused."""

    def unload_later(self, uninstall: Callable[[], None]) -> None:
        """Cancel the paused cells, and call *uninstall* when the last of them has ended."""
        self._last = uninstall
        for job in self.jobs.paused():
            self.cancel(job)

    def end_all(self) -> None:
        """Unwind the paused cells, each in a bounded time."""
        self.hooks.quiet = True
        for cell in list(self._cells.values()):
            continuation = cell.job.continuation
            if continuation is not None and continuation.state == "paused":
                with suppress(Exception):
                    continuation.cancel(grace=self.config.grace)
