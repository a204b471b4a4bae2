"""Cells of an ipykernel: requests, replies, whose turn it is, and what front ends are told.

Each execute_request gets a task with a context of its own, in which ipykernel's own handler is
driven by `cell.Driver`. Its place in the kernel's queue is given up when the cell ends *or is
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
import math
import signal
import sys
import threading
import types
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import lpf

from . import background, display, interrupt, memory, messages, private, sigint
from .cell import FIRST, Abandoned, Cell, Driver, Order, cancelled
from .config import LPF, QUANTUM
from .errors import CellEnded, JobError
from .jobs import Job, Jobs
from .reporter import Reporter
from .shell import ShellHooks, cell_limit
from .stdin import Stdin
from .swap import Swap, items
from .system import System
from .tasks import Tasks
from .turn import Turn

__all__ = ["KernelRunner"]

# Seconds.
_SECOND_PRESS = 5
_NO_PROMPT = "In a console without a prompt now, Ctrl-C twice ends it."
_ANNOUNCED = frozenset({"timeout", "memory", "signal", "pause"})


@dataclass(eq=False)
class Request:
    """An execute_request. `left` is done when its handler may return."""

    stream: Any
    ident: Any
    parent: Any
    left: asyncio.Future[None]
    late: bool = False
    cell: Cell | None = None
    # Whether there is a notice below the cell that says what it does.
    announced: bool = False
    # Whether its client, a program or a console, has sent no other since.
    awaited: bool = False
    # When its user was asked whether the paused cell is to end; the clock of the event loop.
    asked_at: float = -math.inf
    # Whether requests that come out of the kernel's queue were in it when the cell was parked.
    collecting: bool = False
    # Whether those that come now are meant to run after it: until it, or one before it, is parked.
    in_order: bool = True
    background: bool = False
    # Whether its handler returned when it was lent out; it keeps its turn.
    detached: bool = False
    marked: bool = False
    ended: asyncio.Future[bool] = field(init=False)
    # Done when it is taken out of the queue.
    withdrawn: asyncio.Future[None] = field(init=False)

    def __post_init__(self) -> None:
        loop = self.left.get_loop()
        self.ended, self.withdrawn = loop.create_future(), loop.create_future()

    @property
    def msg_id(self) -> str:
        """The id of its message."""
        return str(self.parent["header"].get("msg_id"))


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
        self._in_transit = private.carriers(kernel)
        self._swap = Swap(items(self.shell, list(private.streams()), kernel))
        self._turn = Turn()
        self._requests: dict[int, Request] = {}
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
        self._changed: list[tuple[contextvars.ContextVar[Any], Any]] = []
        self._original: Any = None
        # For each message that is being handled: whether a cell was lent out for it.
        self._handling: list[bool] = []
        self._hears_at_idle = False
        self._interrupts = interrupt.Watch(self)
        self._system = System()
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
        self._system.install()
        self._tasks_of_cells.install()
        self._interrupts.start()
        lpf.on_stray(self._stray_signal)
        self.jobs.runner = self

    def uninstall(self) -> None:
        """Give back what `install` took, as far as it is still ours."""
        self.jobs.runner = None
        lpf.on_stray(None)
        self._interrupts.stop()
        self._stdin.uninstall()
        self._system.uninstall()
        self._tasks_of_cells.uninstall()
        self.hooks.uninstall()
        if sigint.get() == self._interrupted_at_idle:
            sigint.put(sigint.IGNORED)
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
        self._copy_back()
        if self._requests:
            self._goes_on(parent)
        request = Request(stream, ident, parent, self.loop.create_future())
        request.background = background.is_background(parent["content"].get("code", ""))
        if request.background:
            request.late, request.in_order = True, False
            parent["content"]["stop_on_error"] = False  # Nothing is queued behind it.
            served = self._serve_beside(request)
        else:
            blockers = [other for other in self._open if other.collecting or other.in_order]
            request.late = bool(blockers) or not self._turn.free
            request.in_order = not any(other.collecting for other in blockers)
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
        if self._requests or self._hears_at_idle:
            self.loop.call_soon(self._set_idle_handler)
        if request.detached:
            self.loop.call_soon(self._still_busy, request)
        elif not request.late:
            self._give_turn()

    def _give_turn(self) -> None:
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
        try:
            aborted = request.late and not await self._wait_for(request, blockers)
        finally:
            del self._waiting[request.msg_id]
        if aborted:
            self._abort(request)
            self._over(request, request.withdrawn.done())
            return
        await self._turn.take()
        try:
            if request.msg_id in self._withdrawn:
                self._drop(request)
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

    def _drop(self, request: Request) -> None:
        self._withdrawn.discard(request.msg_id)
        self._abort(request)
        self._over(request, True)

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
        sigint.put(self._interrupted if request.background else signal.default_int_handler)

    async def _run(self, request: Request) -> None:
        cell = self._begin(request)
        if request.late:
            self._come_late(request, cell)
        self._reporter.belongs_to(request.parent)
        before = dict(contextvars.copy_context())
        try:
            handler = self._original(request.stream, request.ident, request.parent)
            await Driver(cell).drive(handler)
        except (Abandoned, lpf.Cancelled, KeyboardInterrupt) as error:
            cell.abandon()
            cell.ending = cell.ending or cancelled(cell, isinstance(error, Abandoned))
            self._answer_for(request, cell, cell.ending)
        except Exception:
            self.kernel.log.error("Exception in message handler:", exc_info=True)
        finally:
            self._end(request, cell)
            self._changed += self._changes(before)

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
        cell = request.cell = Cell(job, self.config, self._swap)
        cell.answerable = bool(content.get("allow_stdin", False))
        request.awaited = "cellId" not in metadata
        cell.parked = functools.partial(self._parked, request)
        cell.quantum = self._quantum
        cell.in_transit = self._in_transit
        cell.stand_in = self._interrupted
        cell.changed_hands = functools.partial(self._changed_hands, request)
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
            self._publish_state(cell.job, request)
        if request.announced:
            self._announce(request, cell.job)
        if cell.came_back:
            cell.swap.settle(cell.outside)
            self._restore_parent(cell)
        if request.left.done():
            _flush()
            private.publish_status(self.kernel, "idle", request.parent)
            self.loop.call_soon(self._set_idle_handler)
        self._answer(self._served, cell.job)
        self._answer(self._waiters, cell.job)

    def _over(self, request: Request, succeeded: bool) -> None:
        """Let those that wait for its end know."""
        request.ended.set_result(succeeded)
        if request in self._open:
            self._open.remove(request)

    def _leave(self, request: Request) -> None:
        """Let the next one have its turn: by the handler, if that has not returned yet."""
        if request.background:
            return
        if request.left.done():
            self._turn.give()
        else:
            request.left.set_result(None)

    # Context variables: each cell has its own, and what it changed is for all that follow.

    def _changes(
        self, before: dict[contextvars.ContextVar[Any], Any]
    ) -> list[tuple[contextvars.ContextVar[Any], Any]]:
        absent = object()
        changed = [
            (variable, value)
            for variable, value in contextvars.copy_context().items()
            if before.get(variable, absent) is not value
        ]
        own = private.own_variables(self.kernel) if changed else set()
        return [(variable, value) for variable, value in changed if variable not in own]

    def _copy_back(self) -> None:
        for variable, value in self._changed:
            variable.set(value)
        self._changed.clear()

    # Sharing.

    @property
    def front(self) -> Cell | None:
        """The cell that is meant when somebody says "the running cell"."""
        running = [
            request
            for request in self._requests.values()
            if (cell := request.cell) is not None and cell.job.state == "running"
        ]
        running.sort(key=lambda request: not request.background)
        return running[-1].cell if running else None

    def _quantum(self) -> float | None:
        """Seconds after which a cell that computes lets others in; None: it does not."""
        if self.config.quantum > 0:
            return float(self.config.quantum)
        beside = any(request.background for request in self._requests.values())
        return QUANTUM if beside else None

    def _changed_hands(self, request: Request, cell: Cell, lent: bool) -> None:
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

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
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
        if not self._handling[-1]:
            type(self.kernel).pre_handler_hook(self.kernel)

    def _after_handler(self) -> None:
        if self._handling and self._handling.pop():
            return
        cell = self.front
        if cell is not None and cell.lent is not None:  # Its own handler returns; it runs on.
            self.kernel.saved_sigint_handler = self._interrupted
        type(self.kernel).post_handler_hook(self.kernel)

    # Parked and resumed.

    def _parked(self, request: Request, cell: Cell, reason: str) -> None:
        job = cell.job
        self.current = None
        cell.touched = True
        for other in self._open:
            other.in_order = False
        self.hooks.count_up(cell)
        for waiter in [waiter for waiter in self._waiters if waiter[0] is cell]:
            self._waiters.remove(waiter)
            self._served.append(waiter)
        self.jobs.change(job, "paused", reason)
        _flush()  # What it has printed comes before what is said of it.
        if reason in _ANNOUNCED or request.announced:
            self._announce(request, job)
        tell = functools.partial(self._tell_paused, request, messages.describe(job))
        if cell.came_back:
            self._restore_parent(cell)
            private.publish_status(self.kernel, "idle", {})
        if request.marked or request.background:
            tell()
        else:
            request.marked = True
            self._mark_queue(request, tell)
        self._leave(request)

    def _tell_paused(self, request: Request, state: dict[str, Any]) -> None:
        """Say that the cell is paused: from then on, requests are not meant to run after it."""
        assert request.cell is not None
        self._publish(messages.STATE, state, request)
        self._answer(self._served, request.cell.job)

    def _announce(self, request: Request, job: Job) -> None:
        """Say under the cell what it does now; a later notice takes the place of the first."""
        kind = "update_display_data" if request.announced else "display_data"
        request.announced = True
        content: dict[str, Any] = {
            "data": display.notice(job)._repr_mimebundle_(),
            "metadata": {},
            "transient": {"display_id": f"lpf-{job.msg_id}"},
        }
        if job.state == "paused" and request.awaited:
            content["data"]["text/plain"] += f"\n    {_NO_PROMPT}"
        if job.reason == "memory":
            content["data"] = {"text/plain": self._memory_notice(job)}
        self._publish(kind, content, request)

    def _memory_notice(self, job: Job) -> str:
        largest = ", ".join(
            f"{name} ({size / 1e6:.0f} MB)" for name, size in memory.largest(self.shell.user_ns)
        )
        limit = self.config.memory_limit
        return f"{display.notice(job)}\nmemory limit {limit} reached; the largest are {largest}"

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
        self._publish_state(cell.job, request)
        if request.announced:
            self._announce(request, cell.job)

    def _restore_parent(self, cell: Cell) -> None:
        # In a context of its own: the cell's must keep the cell's parent.
        ident, parent = cell.previous_parent
        contextvars.copy_context().run(self.kernel.set_parent, ident, parent, "shell")

    # Interrupts while no cell runs. A program such as nbclient sends one cell after the other and
    # asks nobody: when a cell of its own takes too long, paused or not, it interrupts the kernel.
    # A console has no prompt while it waits for a paused cell: its Ctrl-C asks, a second one ends it.

    def _awaited(self) -> list[Request]:
        """Return the requests of paused cells that their clients do nothing else than wait for."""
        return [
            request
            for request in self._requests.values()
            if request.cell is not None and request.cell.is_parked and request.awaited
        ]

    def _goes_on(self, parent: Any) -> None:
        """A client that sends another cell does not just wait for the paused one."""
        session = parent["header"].get("session")
        for request in self._requests.values():
            if request.parent["header"].get("session") == session:
                request.awaited = False

    def _set_idle_handler(self) -> None:
        """At idle interrupts are ignored, as ipykernel has it, unless such a cell is paused."""
        idle = (sigint.IGNORED, self._interrupted_at_idle, self._interrupted)
        if sigint.get() in idle:
            wanted = 2 if self.front is not None else bool(self._awaited())
            self._hears_at_idle = wanted > 0
            sigint.put(idle[wanted])

    def _interrupted_at_idle(self, number: int, frame: FrameType | None) -> None:
        now = self.loop.time()
        for request in self._awaited():
            assert request.cell is not None
            job = request.cell.job
            if job.pending is not None:
                continue
            asked, request.asked_at = now - request.asked_at < _SECOND_PRESS, now
            if request.cell.answerable and not asked:
                text = (
                    f"[{job.id}] is paused. Another interrupt within {_SECOND_PRESS} s ends it.\n"
                )
                self._publish("stream", {"name": "stderr", "text": text}, request)
                continue
            job.pending = "cancel"
            order = Order("interrupt", FIRST)
            self.loop.call_soon_threadsafe(self._spawn, self._resume(request, None, order))

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
        self.loop.call_soon_threadsafe(self._spawn, self._resume(request, None, order))

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

    # Messages.

    def _publish_state(self, job: Job, request: Request) -> None:
        self._publish(messages.STATE, messages.describe(job), request)

    def _publish(self, kind: str, content: dict[str, Any], request: Request) -> None:
        self.kernel.session.send(
            self.kernel.iopub_socket,
            kind,
            content,
            parent=request.parent,
            ident=private.topic(self.kernel, kind),
        )

    def _answer_for(self, request: Request, cell: Cell, outcome: CellEnded) -> None:
        """Send the reply that ipykernel's handler, given up on, is not going to send."""
        shell, content = self.shell, request.parent["content"]
        cell.ended_by_us = True
        self.hooks.count_up(cell)
        shell.showtraceback((type(outcome), outcome, None))
        reply = {
            "status": "error",
            "ename": type(outcome).__name__,
            "evalue": str(outcome),
            "traceback": getattr(*private.traceback(shell)) or [],
            "execution_count": shell.execution_count - 1,
            "user_expressions": {},
            "payload": [],
        }
        _flush()
        metadata = self.kernel.finish_metadata(
            request.parent, self.kernel.init_metadata(request.parent), reply
        )
        self.kernel.session.send(
            request.stream,
            "execute_reply",
            reply,
            request.parent,
            metadata=metadata,
            ident=request.ident,
        )
        if not content.get("silent", False) and content.get("stop_on_error", True):
            private.aborts_queue(self.kernel)

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


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
