"""Cells of an ipykernel, from their requests to their replies, and what is told of them in between.

Each execute_request is served by a coroutine with a context of its own, in which ipykernel's own
handler is driven by `driver.Driver`. Its turn, see `queue`, is given up when the cell ends *or is
parked*: then the handler that was called returns, without a reply, and the kernel serves others.

    output        of a resumed cell goes to its own request: the parent is set before it goes on
    reply         is sent by ipykernel's handler, when that gets there, with the cell's own number
    status        a parked cell never gets an idle; one without a parent tells the front end that
                  the kernel is free. Busy and idle are published again around each later stretch
    sharing       a cell that computes is lent out after a quantum when there is something to serve:
                  its handler returns as if it were parked, and nobody is told. The order of cells
                  is kept by us from then on: those that come wait for its end
    background    cells beside the others: no turn, no order, a quantum each
    interrupts    hit the cell that runs, see `interrupt`; a cell that is lent out, see `lent`; if
                  none runs, paused ones of clients that ask nobody, see `idle`

Main thread and its event loop, but for `pause`, `resume` and `cancel`, which any thread may call.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import FrameType
from typing import Any

import lpf

from . import background, interrupt, messages, private, sigint
from .begun import Begun
from .cell import FIRST, Abandoned, Cell, Order, cancelled
from .config import LPF
from .driver import Driver
from .eager import EagerTasks
from .errors import JobError
from .handling import Handling
from .idle import AtIdle
from .jobs import Job, Jobs
from .lent import WhileLent
from .parents import Parents
from .pauses import Pauses
from .publisher import Publisher, flush
from .quantum import Quantum
from .queue import Queue
from .reporter import Reporter
from .request import Request
from .shell import ShellHooks, cell_limit
from .standins import StandIns
from .stdin import Stdin
from .swap import Swap, items
from .tasks import Tasks
from .variables import Variables

__all__ = ["KernelRunner"]

_ANNOUNCED = frozenset({"timeout", "memory", "signal", "pause"})


class KernelRunner:
    """Runs the cells of one kernel; see above for the threads."""

    def __init__(self, kernel: Any, config: LPF, jobs: Jobs, reporter: Reporter) -> None:
        self.kernel = kernel
        self._reporter = reporter
        self.shell = kernel.shell
        self.config = config
        self.jobs = jobs
        self.loop: asyncio.AbstractEventLoop = kernel.io_loop.asyncio_loop
        self.current: Cell | None = None
        self.hooks = ShellHooks(self.shell, self)
        self.in_transit = private.carriers(kernel)
        self._swap = Swap(items(self.shell, list(private.streams()), kernel))
        self._original: Any = None
        # Requests, and the tasks that serve them.
        self._queue = Queue(kernel, self.loop)
        self._beside = asyncio.Semaphore(config.background_cells)
        self._tasks = EagerTasks(kernel, self.loop)
        self.begun = Begun()
        self.pauses = Pauses()
        # What is told, in whose name.
        self._publisher = Publisher(kernel, config)
        self._parents = Parents(kernel)
        self._variables = Variables(kernel)
        # Who lets others in, and who is interrupted.
        quantum = Quantum(config, self.begun)
        lent = WhileLent(self.begun, self.loop, type(kernel).dispatch_shell.__code__)
        self.quantum, self.interrupted = quantum.get, lent.interrupted
        self._at_idle = AtIdle(
            self.begun, lent, self._publisher, self.loop, self._resume_with, self._meanwhile
        )
        self._interrupts = interrupt.Watch(self)
        self._parts = (
            quantum,
            Handling(kernel, self.begun, lent, self._at_idle),
            self.hooks,
            Stdin(kernel),
            StandIns(),
            Tasks(self, ShellHooks.driven.__code__),
        )

    # Loading and unloading.

    def install(self) -> None:
        """Take over the kernel's execute requests."""
        handlers = self.kernel.shell_handlers
        self._original = handlers["execute_request"]
        handlers["execute_request"] = self.execute_request
        for part in self._parts:
            part.install()
        self._interrupts.start()
        lpf.on_stray(self._stray_signal)
        self.jobs.runner = self

    def uninstall(self) -> None:
        """Give back what `install` took, as far as it is still ours."""
        self.jobs.runner = None
        lpf.on_stray(None)
        self._interrupts.stop()
        for part in reversed(self._parts):
            part.uninstall()
        self._at_idle.uninstall()
        handlers = self.kernel.shell_handlers
        if handlers.get("execute_request") == self.execute_request:
            handlers["execute_request"] = self._original
        private.forget_marks(self.kernel)

    # Requests.

    async def execute_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """Handle an execute_request; returns when the cell has ended, is parked or has to wait."""
        if threading.current_thread() is not threading.main_thread():
            await self._original(stream, ident, parent)  # A subshell's thread.
            return
        lent = sigint.put(self._meanwhile) == self.interrupted
        hears = self.interrupted if lent else signal.default_int_handler
        try:
            await self._handle(stream, ident, parent, hears)
        finally:
            # What is lent goes on. Else the kernel's hook puts another one.
            if lent and sigint.get() == self._meanwhile:
                sigint.put(self.interrupted)

    async def _handle(self, stream: Any, ident: Any, parent: Any, hears: Any) -> None:
        self._variables.hand_on()
        if self.begun:
            self._at_idle.goes_on(parent)
        request = Request(stream, ident, parent, self.loop)
        request.background = background.is_background(parent["content"].get("code", ""))
        if request.background:
            request.late, request.in_order = True, False
            parent["content"]["stop_on_error"] = False  # Nothing is queued behind it.
            served = self._serve_beside(request)
        else:
            served = self._serve(request, self._queue.enter(request), hears)
        context = contextvars.copy_context()
        if request.late:
            # Without a wait: the kernel's hooks around this must not enclose another cell's end.
            self._tasks.spawn(served, context)
            request.left.set_result(None)
        else:
            task = self._tasks.start(served, context)
            if task is not None and request.cell is not None:
                request.cell.moved(task)
            if not request.left.done():
                await request.left
        if not request.ended.done():
            private.parentless(self.kernel)
        if self.begun or self._at_idle.matters:
            self.loop.call_soon(self._at_idle.set_handler)
        if request.detached:
            self.loop.call_soon(self._still_busy, request)
        elif not request.late:
            self._queue.handler_returns(request)

    async def _serve(self, request: Request, before: list[Request], hears: Any) -> None:
        if request.late and not await self._queue.wait(request, before):
            self._publisher.aborted(request)
            self._queue.over(request, request.withdrawn.done())
            return
        try:
            if self._queue.is_withdrawn(request):
                self._publisher.aborted(request)
                self._queue.over(request, True)
            else:
                await self._run(request, signal.default_int_handler if request.late else hears)
        finally:
            self._queue.leave(request)

    async def _serve_beside(self, request: Request) -> None:
        async with self._beside:
            await self._run(request, self.interrupted)

    def _come_late(self, request: Request, cell: Cell) -> None:
        """Do what the kernel did before it called the handler, which has long returned."""
        private.publish_status(self.kernel, "busy", request.parent)
        self._parents.take(request, cell)
        sigint.put(self._meanwhile)

    def _meanwhile(self, number: int, frame: FrameType | None) -> None:
        """Hear an interrupt while a request is seen to: nothing of that is to be left half done.

        It is for the cell that is about to begin. One that has ended does not need it.
        """
        cell = self.current
        if cell is not None and not cell.began and not cell.is_parked:
            cell.order(Order("interrupt", FIRST))

    async def _run(self, request: Request, hears: Any) -> None:
        """Run its cell, of which *hears* is the first handler of interrupts."""
        cell = self._begin(request)
        cell.hears = hears
        if request.late:
            self._come_late(request, cell)
        self._reporter.belongs_to(request.parent)
        before = contextvars.copy_context()
        try:
            handler = self._original(request.stream, request.ident, request.parent)
            await Driver(cell).drive(handler)
        except (Abandoned, lpf.Cancelled, KeyboardInterrupt) as error:
            cell.abandon()
            cell.ending = cell.ending or cancelled(cell, isinstance(error, Abandoned))
            cell.ended_by_us = True
            self.hooks.count_up(cell)
            self._publisher.reply(request, cell.ending)
        except Exception:
            self.kernel.log.error("Exception in message handler:", exc_info=True)
        finally:
            self._end(request, cell)
            self._variables.note(before)

    def _begin(self, request: Request) -> Cell:
        content, metadata = request.parent["content"], request.parent.get("metadata") or {}
        code = background.below(content.get("code", ""))
        stores = content.get("store_history", True) and not content.get("silent", False)
        job = self.jobs.new(
            code,
            msg_id=request.parent["header"].get("msg_id"),
            cell_id=metadata.get("cellId"),
            execution_count=self.shell.execution_count if stores else None,
        )
        cell = request.cell = Cell(job, self, self._swap)
        cell.answerable = bool(content.get("allow_stdin", False))
        request.awaited = "cellId" not in metadata
        job.background = request.background
        cell.set_limit(cell_limit(code, metadata, self.config.default_limit))
        self.begun[job.id] = request
        request.in_order = not request.background
        self.current = cell
        return cell

    def _end(self, request: Request, cell: Cell) -> None:
        self.current = None
        state = cell.final_state()
        stops = request.parent["content"].get("stop_on_error", True)
        self._queue.over(request, state == "finished" or not stops)
        self.begun.pop(cell.job.id, None)
        self.jobs.change(cell.job, state)
        if cell.touched:
            self._publisher.state(request)
        if request.announced:
            self._publisher.announce(request)
        if cell.came_back:
            cell.swap.settle(cell.outside)
            self._parents.restore(cell)
        if request.left.done():
            flush()
            private.publish_status(self.kernel, "idle", request.parent)
            self.loop.call_soon(self._at_idle.set_handler)
        self.pauses.over(cell.job)

    # Sharing.

    @property
    def front(self) -> Cell | None:
        """The cell that is meant when somebody says "the running cell"."""
        return self.begun.front

    def changed_hands(self, cell: Cell, lent: bool) -> None:
        """A cell was lent out, or is back."""
        request = self.begun.get(cell.job.id)
        if request is None:  # Its handler was interrupted, and has ended without it.
            return
        if lent:
            self.hooks.count_up(cell)
            if not request.left.done():
                request.detached = True
                request.left.set_result(None)
            return
        self.current = cell
        if self._parents.retake(request, cell) and not request.background:
            private.publish_status(self.kernel, "busy", request.parent)

    def _still_busy(self, request: Request) -> None:
        """The handler has returned, and said idle; the cell runs."""
        if not request.ended.done():
            private.publish_status(self.kernel, "busy", request.parent)

    # Parked and resumed.

    def gate(self) -> asyncio.Future[None]:
        """Make what a parked cell waits for."""
        return self.loop.create_future()

    def parked(self, cell: Cell, reason: str) -> None:
        """Let others run, and tell that the cell is paused."""
        job = cell.job
        request = self.begun.get(job.id)
        if request is None:  # Its handler was interrupted, and has ended without it.
            return
        self.current = None
        cell.touched = True
        self._queue.let_pass()
        self.hooks.count_up(cell)
        self.pauses.begins(cell)
        self.jobs.change(job, "paused", reason)
        sigint.put(self._at_idle.in_place_of(sigint.IGNORED))
        flush()
        if reason in _ANNOUNCED or request.announced:
            self._publisher.announce(request)
        tell = functools.partial(self._tell_paused, request, messages.describe(job))
        if cell.came_back:
            self._parents.restore(cell)
            private.publish_status(self.kernel, "idle", {})
        if request.marked or request.background:
            tell()
        else:
            self._queue.collect(request, tell)
        self._queue.leave(request)

    def _tell_paused(self, request: Request, state: dict[str, Any]) -> None:
        """Say that the cell is paused: from then on, requests are not meant to run after it."""
        assert request.cell is not None
        self._publisher.send(messages.STATE, state, request)
        self.pauses.published(request.cell.job)
        self._queue.told(request)

    async def _resume(self, request: Request, timeout: float | None, order: Order | None) -> None:
        await self._queue.take_turn(request)
        cell = request.cell
        assert cell is not None
        if not cell.is_parked:
            self._queue.leave(request)
            return
        self.current = cell
        self._parents.take(request, cell)
        self._reporter.belongs_to(request.parent)
        private.publish_status(self.kernel, "busy", request.parent)
        cell.allow(timeout)
        if order is not None:
            cell.order(order)
        cell.unpark()  # Who hears that it runs may pause it at once.
        cell.job.pending = None
        self.jobs.change(cell.job, "running")
        self._publisher.state(request)
        if request.announced:
            self._publisher.announce(request)

    # What users ask for: any thread. Checked here, done on the main thread.

    def pause(self, reason: str = "request") -> Future[Job]:
        """Ask for the running cell to be paused; the future is done when it is, or has ended."""
        own = lpf.current() is not None and threading.current_thread() is threading.main_thread()
        cell = self.current if own else self.front
        if cell is None:
            raise JobError("no cell is running")
        done = self.pauses.ask(cell)
        cell.order(Order("pause", reason))
        if own:
            lpf.pause()  # The cell asks for itself: here, not a few lines further down.
            return done
        self.nudge(cell)
        return done

    def resume(self, job: Job, timeout: float | None = None) -> None:
        """Let *job* go on when it is its turn; after *timeout* seconds it is paused again."""
        request = self.begun.paused(job)
        job.pending = "resume"
        self.loop.call_soon_threadsafe(self._tasks.spawn, self._resume(request, timeout, None))

    def cancel(self, job: Job, grace: float | None = None) -> None:
        """End *job*, paused or running."""
        order = Order("end", outcome=cancelled, grace=grace)
        request = self.begun.get(job.id)
        if job.state == "running" and request is not None and request.cell is not None:
            request.cell.touched = True
            request.cell.order(order)
            self.nudge(request.cell)
            return
        request = self.begun.paused(job)
        job.pending = "cancel"
        self._resume_with(request, order)

    def withdraw(self, msg_id: str) -> None:
        """Take a request that has not begun out of the queue: it is answered as aborted."""
        if any(job.msg_id == msg_id for job in self.jobs):
            raise JobError("this cell does not wait, it has begun")
        self._queue.withdraw(msg_id)

    def wake(self) -> None:
        """Wake the event loop. Any thread."""
        with suppress(RuntimeError):  # It is closed: the kernel is about to end.
            self.loop.call_soon_threadsafe(lambda: None)

    def nudge(self, cell: Cell) -> None:
        """Let *cell*, if it waits, obey the order that stands. Any thread."""
        self.loop.call_soon_threadsafe(cell.nudge)

    def _resume_with(self, request: Request, order: Order) -> None:
        """Let a paused cell go on, to obey *order*. Any thread, signal handlers too."""
        self.loop.call_soon_threadsafe(self._tasks.spawn, self._resume(request, None, order))

    def _stray_signal(self) -> None:
        """The pause signal came while no step was running: pause a cell that awaits."""
        cell = self.front
        if cell is not None:
            cell.order(Order("pause", "signal"))
            self.nudge(cell)

    # Ends of everything.

    def unload_later(self, uninstall: Callable[[], None]) -> None:
        """Cancel the paused cells, and call *uninstall* when the last of them has ended."""
        requests = [self.begun[job.id] for job in self.jobs.unfinished()]
        for request in requests:
            assert request.cell is not None
            self.cancel(request.cell.job)

        async def wait() -> None:
            for request in requests:
                await asyncio.shield(request.ended)
            uninstall()

        self._tasks.spawn(wait())

    def end_all(self) -> None:
        """Unwind the paused cells, each in a bounded time, without replies. Main thread."""
        self.hooks.quiet = True
        for request in list(self.begun.values()):
            continuation = request.cell.job.continuation if request.cell is not None else None
            if continuation is not None and continuation.state == "paused":
                continuation.cancel(grace=self.config.grace)
