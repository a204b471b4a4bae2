"""Cells of an ipykernel: requests, replies, whose turn it is, and what front ends are told.

Each execute_request gets a task with a context of its own, in which ipykernel's own handler is
driven by `driver.Driver`. Its place in the kernel's queue is given up when the cell ends *or is
parked*: then the handler that was called returns, without a reply, and the kernel serves others.

    output        of a resumed cell goes to its own request: the parent is set before it goes on
    reply         is sent by ipykernel's handler, when that gets there, with the cell's own number
    status        a parked cell never gets an idle; one without a parent tells the front end that
                  the kernel is free. Busy and idle are published again around each later stretch
    the queue     requests that were there when a cell was first parked wait for its end, and are
                  aborted if it fails; later ones run at once
    sharing       a cell that computes is lent out after a quantum when there is something to serve:
                  its handler returns as if it were parked, and nobody is told. The order of cells
                  is kept by us from then on: those that come wait for its end
    background    cells beside the others: no turn, no order, a quantum each
    interrupts    hit the cell that runs; if none does, paused ones of clients that ask nobody;
                  see `interrupt`

Main thread and its event loop, but for `pause`, `resume` and `cancel`, which any thread may call.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import signal
import threading
import types
from collections.abc import Callable, Collection, Coroutine, Generator
from concurrent.futures import Future
from contextlib import suppress
from types import FrameType
from typing import Any

import lpf

from . import background, interrupt, messages, private, sigint
from .cell import FIRST, Abandoned, Cell, Order, cancelled
from .config import LPF, QUANTUM
from .driver import Driver
from .errors import JobError
from .idle import AtIdle
from .jobs import Job, Jobs
from .publisher import Publisher, flush
from .reporter import Reporter
from .request import Request
from .shell import ShellHooks, cell_limit
from .standins import StandIns
from .stdin import Stdin
from .swap import Swap, items
from .tasks import Tasks
from .turn import Turn
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
        self._turn = Turn()
        self._requests: dict[int, Request] = {}
        self._publisher = Publisher(kernel, config)
        self._at_idle = AtIdle(self, self._publisher)
        # Those that have come and not ended, but for those beside; among them those that have not
        # begun, and ids of others that are to be dropped when they come.
        self._open: list[Request] = []
        self._waiting: dict[str, Request] = {}
        self._withdrawn: set[str] = set()
        self._beside = asyncio.Semaphore(config.background_cells)
        self._tasks: set[asyncio.Task[None]] = set()
        # Who asked for a pause, and apart from them those who have got it and are yet to be told.
        self._waiters: list[tuple[Cell, Future[Job]]] = []
        self._served: list[tuple[Cell, Future[Job]]] = []
        self._variables = Variables(kernel)
        self._original: Any = None
        # For each message that is being handled: whether a cell was lent out for it.
        self._handling: list[bool] = []
        self._sigint_only = private.handles_sigint_only(kernel)
        self._quantum = 0.0
        self._interrupts = interrupt.Watch(self)
        self._stand_ins = StandIns()
        self._tasks_of_cells = Tasks(self, ShellHooks.driven.__code__)
        self._stdin = Stdin(kernel)

    # Loading and unloading.

    def install(self) -> None:
        """Take over the kernel's execute requests."""
        handlers = self.kernel.shell_handlers
        self._original = handlers["execute_request"]
        handlers["execute_request"] = self.execute_request
        vars(self.kernel)["pre_handler_hook"] = self._before_handler
        vars(self.kernel)["post_handler_hook"] = self._after_handler
        self.hooks.install()
        self._stdin.install()
        self._stand_ins.install()
        self._tasks_of_cells.install()
        self._interrupts.start()
        self._set_quantum()
        self.config.observe(self._set_quantum, "quantum")
        lpf.on_stray(self._stray_signal)
        self.jobs.runner = self

    def uninstall(self) -> None:
        """Give back what `install` took, as far as it is still ours."""
        self.jobs.runner = None
        lpf.on_stray(None)
        self._interrupts.stop()
        self.config.unobserve(self._set_quantum, "quantum")
        self._stdin.uninstall()
        self._stand_ins.uninstall()
        self._tasks_of_cells.uninstall()
        self.hooks.uninstall()
        self._at_idle.uninstall()
        handlers = self.kernel.shell_handlers
        if handlers.get("execute_request") == self.execute_request:
            handlers["execute_request"] = self._original
        for name in ("pre_handler_hook", "post_handler_hook"):
            vars(self.kernel).pop(name, None)
        private.forget_marks(self.kernel)

    # Requests.

    async def execute_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """Handle an execute_request; returns when the cell has ended, is parked or has to wait."""
        if threading.current_thread() is not threading.main_thread():
            await self._original(stream, ident, parent)  # A subshell's thread.
            return
        self._variables.hand_on()
        if self._requests:
            self._at_idle.goes_on(parent)
        request = Request(stream, ident, parent, self.loop)
        request.background = background.is_background(parent["content"].get("code", ""))
        if request.background:
            request.late, request.in_order = True, False
            parent["content"]["stop_on_error"] = False  # Nothing is queued behind it.
            served = self._serve_beside(request)
        else:
            blockers = [other for other in self._open if other.is_before_all_that_come]
            request.late = bool(blockers) or not self._turn.free
            request.in_order = not any(other.collecting for other in blockers)
            if not request.in_order:
                request.behind = [other for other in blockers if other.collecting]
            self._open.append(request)
            served = self._serve(request, blockers)
        context = contextvars.copy_context()
        if request.late:
            # Without a wait: the kernel's hooks around this must not enclose another cell's end.
            self._spawn(served, context)
            request.left.set_result(None)
        else:
            self._start(request, served, context)
            if not request.left.done():
                await request.left
        if not request.ended.done():
            private.parentless(self.kernel)
        if self._requests or self._at_idle.matters:
            self.loop.call_soon(self._at_idle.set_handler)
        if request.detached:
            self.loop.call_soon(self._still_busy, request)
        elif not request.late:
            self._give_turn(request)

    def _give_turn(self, request: Request) -> None:
        if request.telling:
            request.owes_turn = True
            return
        # Only after the handler's idle: the next cell's busy must not come before it.
        if self._turn.is_wanted:
            self.loop.call_soon(self._turn.give)
        else:
            self._turn.give()

    def _start(
        self, request: Request, served: Coroutine[Any, Any, None], context: contextvars.Context
    ) -> None:
        """Run *served* at once, up to where it waits; only what goes on after that needs a task.

        Most cells wait for nothing: making a task, and two rounds of the event loop, would be the
        greatest part of what an untouched cell costs.
        """
        try:
            awaited = context.run(served.send, None)
        except StopIteration:
            return
        task = self._spawn(_continued(served, awaited), context)
        if request.cell is not None:
            request.cell.moved(task)

    def _spawn(
        self, coro: Coroutine[Any, Any, None], context: contextvars.Context | None = None
    ) -> asyncio.Task[None]:
        task = self.loop.create_task(coro, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._task_over)
        return task

    def _task_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self.kernel.log.error("lpf: a cell's task failed", exc_info=problem)

    async def _serve(self, request: Request, blockers: list[Request]) -> None:
        self._waiting[request.msg_id] = request
        if request.msg_id in self._withdrawn:  # Before it came.
            self._withdraw_waiting(request.msg_id)
        try:
            aborted = request.late and not await self._wait_for(request, blockers)
            if not aborted:
                await self._turn.take()
        finally:
            del self._waiting[request.msg_id]
        if aborted:
            self._abort(request)
            self._over(request, request.withdrawn.done())
            return
        try:
            if request.withdrawn.done() or request.msg_id in self._withdrawn:
                self._withdrawn.discard(request.msg_id)
                self._abort(request)
                self._over(request, True)
            else:
                await self._run(request)
        finally:
            self._leave(request)

    async def _serve_beside(self, request: Request) -> None:
        async with self._beside:
            await self._run(request)

    async def _wait_for(self, request: Request, blockers: list[Request]) -> bool:
        """Wait until the cells before have ended; whether all of them succeeded."""
        for blocker in blockers:
            both = (blocker.ended, request.withdrawn)
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if request.withdrawn.done() or not blocker.ended.result():
                return False
        return True

    def _abort(self, request: Request) -> None:
        private.publish_status(self.kernel, "busy", request.parent)
        private.abort(self.kernel, request.stream, request.ident, request.parent)
        private.publish_status(self.kernel, "idle", request.parent)

    def _come_late(self, request: Request, cell: Cell) -> None:
        """Do what the kernel did before it called the handler, which has long returned."""
        cell.came_back = True
        cell.previous_parent = private.parent(self.kernel)
        private.publish_status(self.kernel, "busy", request.parent)
        self.kernel.set_parent(request.ident, request.parent, "shell")
        sigint.put(self.interrupted if request.background else signal.default_int_handler)

    async def _run(self, request: Request) -> None:
        cell = self._begin(request)
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
        self._requests[job.id] = request
        request.in_order = not request.background
        self.current = cell
        return cell

    def _end(self, request: Request, cell: Cell) -> None:
        self.current = None
        state = cell.final_state()
        stops = request.parent["content"].get("stop_on_error", True)
        self._over(request, state == "finished" or not stops)
        self._requests.pop(cell.job.id, None)
        self.jobs.change(cell.job, state)
        if cell.touched:
            self._publisher.state(request)
        if request.announced:
            self._publisher.announce(request)
        if cell.came_back:
            cell.swap.settle(cell.outside)
            self._restore_parent(cell)
        if request.left.done():
            flush()
            private.publish_status(self.kernel, "idle", request.parent)
            self.loop.call_soon(self._at_idle.set_handler)
        for waiters in (self._served, self._waiters):
            if waiters:
                self._answer(waiters, cell.job)

    def _over(self, request: Request, succeeded: bool) -> None:
        """Let those that wait for its end know."""
        request.ended.set_result(succeeded)
        if request in self._open:
            self._open.remove(request)

    def _leave(self, request: Request) -> None:
        """Let the next one have its turn: by the handler, if that has not returned yet."""
        if request.background:
            return
        if not request.left.done():
            request.left.set_result(None)
        elif request.telling:
            request.owes_turn = True
        else:
            self._turn.give()

    # Sharing.

    @property
    def requests(self) -> Collection[Request]:
        """Those whose cells have begun and not ended."""
        return self._requests.values()

    @property
    def front(self) -> Cell | None:
        """The cell that is meant when somebody says "the running cell"."""
        if not self._requests:
            return None
        running = [
            request
            for request in self._requests.values()
            if (cell := request.cell) is not None and cell.job.state == "running"
        ]
        running.sort(key=lambda request: not request.background)
        return running[-1].cell if running else None

    def _set_quantum(self, change: Any = None) -> None:
        # Kept apart: traitlets take their time, and this is asked in every step.
        self._quantum = float(self.config.quantum)

    def quantum(self) -> float | None:
        """Seconds after which a cell that computes lets others in; None: it does not."""
        if self._quantum > 0:
            return self._quantum
        beside = any(request.background for request in self._requests.values())
        return QUANTUM if beside else None

    def changed_hands(self, cell: Cell, lent: bool) -> None:
        """A cell was lent out, or is back."""
        request = self._requests.get(cell.job.id)
        if request is None:  # Its handler was interrupted, and has ended without it.
            return
        if lent:
            self.hooks.count_up(cell)
            if not request.left.done():
                request.detached = True
                request.left.set_result(None)
            return
        self.current = cell
        cell.came_back = True
        cell.previous_parent = private.parent(self.kernel)
        if cell.previous_parent[1] is not request.parent:
            self.kernel.set_parent(request.ident, request.parent, "shell")
            if not request.background:
                private.publish_status(self.kernel, "busy", request.parent)

    def _still_busy(self, request: Request) -> None:
        """The handler has returned, and said idle; the cell runs."""
        if not request.ended.done():
            private.publish_status(self.kernel, "busy", request.parent)

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """An interrupt that is for the cell in front, whoever happens to run.

        The second one, if the first could not get there, is for whoever keeps it out.
        """
        cell = self.front
        if cell is None:
            return
        if cell.ordered is not None and any(self._handling):
            signal.default_int_handler(number, frame)
        cell.order(Order("interrupt", FIRST))
        self.nudge(cell)

    def _before_handler(self) -> None:
        """In place of the kernel's, which has interrupts raised in the handler of a message."""
        cell = self.front
        self._handling.append(cell is not None and cell.lent is not None)
        if self._handling[-1]:
            return
        if self._sigint_only:
            former = sigint.put(signal.default_int_handler)
            self.kernel.saved_sigint_handler = sigint.named(former)
        else:
            type(self.kernel).pre_handler_hook(self.kernel)

    def _after_handler(self) -> None:
        if self._handling and self._handling.pop():
            return
        cell = self.front
        if cell is not None and cell.lent is not None:  # Its own handler returns; it runs on.
            self.kernel.saved_sigint_handler = self.interrupted
        elif self._requests or self._at_idle.matters:
            saved = getattr(self.kernel, "saved_sigint_handler", None)
            self.kernel.saved_sigint_handler = self._at_idle.in_place_of(saved)
        if self._sigint_only:
            sigint.put(self.kernel.saved_sigint_handler)
        else:
            type(self.kernel).post_handler_hook(self.kernel)

    # Parked and resumed.

    def gate(self) -> asyncio.Future[None]:
        """Make what a parked cell waits for."""
        return self.loop.create_future()

    def parked(self, cell: Cell, reason: str) -> None:
        """Let others run, and tell that the cell is paused."""
        job = cell.job
        request = self._requests.get(job.id)
        if request is None:  # Its handler was interrupted, and has ended without it.
            return
        self.current = None
        cell.touched = True
        for other in self._open:
            other.in_order = False
        self.hooks.count_up(cell)
        for waiter in [waiter for waiter in self._waiters if waiter[0] is cell]:
            self._waiters.remove(waiter)
            self._served.append(waiter)
        self.jobs.change(job, "paused", reason)
        sigint.put(self._at_idle.in_place_of(sigint.IGNORED))
        flush()
        if reason in _ANNOUNCED or request.announced:
            self._publisher.announce(request)
        tell = functools.partial(self._tell_paused, request, messages.describe(job))
        if cell.came_back:
            self._restore_parent(cell)
            private.publish_status(self.kernel, "idle", {})
        if request.marked or request.background:
            tell()
        else:
            request.marked = request.telling = True
            self._mark_queue(request, tell)
        self._leave(request)

    def _tell_paused(self, request: Request, state: dict[str, Any]) -> None:
        """Say that the cell is paused: from then on, requests are not meant to run after it."""
        assert request.cell is not None
        self._publisher.send(messages.STATE, state, request)
        self._answer(self._served, request.cell.job)
        request.telling = False
        if request.owes_turn:
            request.owes_turn = False
            self._turn.give()

    def _mark_queue(self, request: Request, posted: Callable[[], None]) -> None:
        request.collecting = True

        def reached() -> None:
            request.collecting = False

        def told() -> None:
            self.loop.call_soon_threadsafe(posted)

        private.after_queued(self.kernel, reached, told)

    async def _resume(self, request: Request, timeout: float | None, order: Order | None) -> None:
        if not request.background:
            await self._turn.take()
        cell = request.cell
        assert cell is not None
        if not cell.is_parked:
            self._leave(request)
            return
        self.current = cell
        cell.came_back = True
        cell.previous_parent = private.parent(self.kernel)
        self.kernel.set_parent(request.ident, request.parent, "shell")
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

    def _restore_parent(self, cell: Cell) -> None:
        # In a context of its own: the cell's must keep the cell's parent.
        ident, parent = cell.previous_parent
        contextvars.copy_context().run(self.kernel.set_parent, ident, parent, "shell")

    # What users ask for: any thread. Checked here, done on the main thread.

    def pause(self, reason: str = "request") -> Future[Job]:
        """Ask for the running cell to be paused; the future is done when it is, or has ended."""
        own = lpf.current() is not None and threading.current_thread() is threading.main_thread()
        cell = self.current if own else self.front
        if cell is None:
            raise JobError("no cell is running")
        done: Future[Job] = Future()
        self._waiters.append((cell, done))
        cell.order(Order("pause", reason))
        if own:
            lpf.pause()  # The cell asks for itself: here, not a few lines further down.
            return done
        self.nudge(cell)
        return done

    def resume(self, job: Job, timeout: float | None = None) -> None:
        """Let *job* go on when it is its turn; after *timeout* seconds it is paused again."""
        request = self._paused_request(job)
        job.pending = "resume"
        self.loop.call_soon_threadsafe(self._spawn, self._resume(request, timeout, None))

    def cancel(self, job: Job, grace: float | None = None) -> None:
        """End *job*, paused or running."""
        order = Order("end", outcome=cancelled, grace=grace)
        request = self._requests.get(job.id)
        if job.state == "running" and request is not None and request.cell is not None:
            request.cell.touched = True
            request.cell.order(order)
            self.nudge(request.cell)
            return
        request = self._paused_request(job)
        job.pending = "cancel"
        self.resume_with(request, order)

    def withdraw(self, msg_id: str) -> None:
        """Take a request that has not begun out of the queue: it is answered as aborted."""
        if any(job.msg_id == msg_id for job in self.jobs):
            raise JobError("this cell does not wait, it has begun")
        self._withdrawn.add(msg_id)
        self.loop.call_soon_threadsafe(self._withdraw_waiting, msg_id)

    def _withdraw_waiting(self, msg_id: str) -> None:
        request = self._waiting.get(msg_id)
        if request is not None and not request.withdrawn.done():
            self._withdrawn.discard(msg_id)
            request.withdrawn.set_result(None)

    def parent_of(self, cell: Cell) -> Any:
        """Return the message that *cell* came with, None when it is over."""
        request = self._requests.get(cell.job.id)
        return request.parent if request is not None else None

    def press(self) -> None:
        """Ask again for what running cells were ordered to do."""
        for cell, _ in self._waiters.copy():
            # In this order: what has obeyed is paused before its order is forgotten.
            if cell.ordered is not None:
                cell.press()
            elif cell.job.state == "running":
                cell.order(Order("pause"))

    def wake(self) -> None:
        """Wake the event loop. Any thread."""
        with suppress(RuntimeError):  # It is closed: the kernel is about to end.
            self.loop.call_soon_threadsafe(lambda: None)

    def nudge(self, cell: Cell) -> None:
        """Let *cell*, if it waits, obey the order that stands. Any thread."""
        self.loop.call_soon_threadsafe(cell.nudge)

    def _paused_request(self, job: Job) -> Request:
        request = self._requests.get(job.id)
        if job.state != "paused" or request is None:
            raise JobError(f"job {job.id} is {job.state}, not paused; %lpf jobs lists the paused")
        if job.pending is not None:
            raise JobError(f"job {job.id} is about to {job.pending}")
        return request

    def resume_with(self, request: Request, order: Order) -> None:
        """Let a paused cell go on, to obey *order*. Any thread, signal handlers too."""
        self.loop.call_soon_threadsafe(self._spawn, self._resume(request, None, order))

    def _answer(self, waiters: list[tuple[Cell, Future[Job]]], job: Job) -> None:
        for waiter in [waiter for waiter in waiters if waiter[0].job is job]:
            waiters.remove(waiter)
            if not waiter[1].done():
                waiter[1].set_result(job)

    def _stray_signal(self) -> None:
        """The pause signal came while no step was running: pause a cell that awaits."""
        cell = self.front
        if cell is not None:
            cell.order(Order("pause", "signal"))
            self.nudge(cell)

    # Ends of everything.

    def unload_later(self, uninstall: Callable[[], None]) -> None:
        """Cancel the paused cells, and call *uninstall* when the last of them has ended."""
        requests = [self._requests[job.id] for job in self.jobs.unfinished()]
        for request in requests:
            assert request.cell is not None
            self.cancel(request.cell.job)

        async def wait() -> None:
            for request in requests:
                await asyncio.shield(request.ended)
            uninstall()

        self._spawn(wait())

    def end_all(self) -> None:
        """Unwind the paused cells, each in a bounded time, without replies. Main thread."""
        self.hooks.quiet = True
        for request in list(self._requests.values()):
            continuation = request.cell.job.continuation if request.cell is not None else None
            if continuation is not None and continuation.state == "paused":
                continuation.cancel(grace=self.config.grace)


async def _continued(coro: Coroutine[Any, Any, None], awaited: Any) -> None:
    """Drive a coroutine to its end that has begun, and waits for *awaited*."""
    await _rest_of(coro, awaited)


@types.coroutine
def _rest_of(coro: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    while True:
        try:
            value = yield awaited
        except BaseException as error:
            go_on: Callable[[], Any] = functools.partial(coro.throw, error)
        else:
            go_on = functools.partial(coro.send, value)
        try:
            awaited = go_on()
        except StopIteration:
            return
