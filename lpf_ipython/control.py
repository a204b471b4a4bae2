"""The requests of `messages` on the control channel. In the kernel's control thread.

The main thread is busy with a cell while these run, or is not: nothing here waits for it for
longer than a fixed time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from . import messages, private
from .errors import JobError
from .evaluate import evaluate
from .inspect import job_data
from .jobs import Job, Jobs
from .kernel import KernelRunner

__all__ = ["Control"]

# Seconds. The longest that a pause may take before the reply says that it takes longer.
_PAUSE_LIMIT = 1.5
_PRESS_AGAIN = 0.03
_INSPECT_LIMIT = 3.0
_BUSY_AGAIN = 0.05


class Control:
    """The control handlers of one kernel."""

    def __init__(self, kernel: Any, runner: KernelRunner, jobs: Jobs) -> None:
        self.kernel = kernel
        self.runner = runner
        self.jobs = jobs
        self._shutdown: Any = None

    def install(self) -> None:
        """Add the handlers."""
        for name in messages.REQUESTS:
            self.kernel.control_handlers[name] = self._handler(name)
        self._shutdown = self.kernel.control_handlers["shutdown_request"]
        self.kernel.control_handlers["shutdown_request"] = self._unwind_first

    def uninstall(self) -> None:
        """Take them back."""
        for name in messages.REQUESTS:
            self.kernel.control_handlers.pop(name, None)
        if self.kernel.control_handlers.get("shutdown_request") == self._unwind_first:
            self.kernel.control_handlers["shutdown_request"] = self._shutdown

    def _handler(self, name: str) -> Callable[..., Any]:
        act = getattr(self, "_" + name.removeprefix("lpf_").removesuffix("_request"))

        async def handle(stream: Any, ident: Any, parent: Any) -> None:
            try:
                content = await act(_fields(parent["content"]))
            except Exception as problem:  # Whatever it is: who asks waits for a reply.
                content = messages.error(problem)
            kind = messages.reply_type(name)
            self.kernel.session.send(stream, kind, content, parent, ident)
            asyncio.get_running_loop().call_later(_BUSY_AGAIN, self._busy_again)

        return handle

    def _busy_again(self) -> None:
        """The status around a control request says idle at its end, whatever runs: mend that."""
        cell = self.runner.front
        parent = self.runner.begun.parent_of(cell) if cell is not None else None
        if parent is not None:
            private.publish_status(self.kernel, "busy", parent)

    async def _pause(self, content: dict[str, Any]) -> dict[str, Any]:
        limit = messages.number(content, "within")
        running = self.jobs.running
        done = self.runner.pause()
        loop = asyncio.get_running_loop()
        end = loop.time() + min(_PAUSE_LIMIT if limit is None else limit, _PAUSE_LIMIT)
        waiting = asyncio.wrap_future(done)
        while not waiting.done() and loop.time() < end:
            await asyncio.wait([waiting], timeout=_PRESS_AGAIN)
            self.runner.pauses.press()
        if not waiting.done():
            where = running.where if running is not None else "?"
            problem = JobError(
                f"not paused yet: the cell has come to no point where it can be left ({where}); "
                "it will be paused as soon as it does"
            )
            return messages.error(problem, running)
        job = waiting.result()
        if job.state != "paused":
            return messages.error(
                JobError(f"the cell has {job.state} before it could be paused"), job
            )
        return messages.ok(job)

    async def _resume(self, content: dict[str, Any]) -> dict[str, Any]:
        job = self._job(content, self.jobs.current)
        self.jobs.resume(job, messages.number(content, "timeout"))
        return messages.ok(job)

    async def _cancel(self, content: dict[str, Any]) -> dict[str, Any]:
        job = self._job(content, self.jobs.current or self.jobs.running)
        self.jobs.cancel(job, messages.number(content, "grace"))
        return messages.ok(job)

    async def _withdraw(self, content: dict[str, Any]) -> dict[str, Any]:
        msg_id = content.get("msg_id")
        if not isinstance(msg_id, str):
            raise ValueError(f"msg_id is the id of an execute_request, not {msg_id!r}")
        self.runner.withdraw(msg_id)
        return messages.ok()

    async def _inspect(self, content: dict[str, Any]) -> dict[str, Any]:
        job = self._job(content, self.jobs.current or self.jobs.running)
        frame = content.get("frame")
        if frame is not None and type(frame) is not int:
            raise ValueError(f"frame is a number, not {type(frame).__name__}")
        data = await self._look(lambda: job_data(job, frame=frame))
        return messages.ok(job, inspect=data)

    async def _evaluate(self, content: dict[str, Any]) -> dict[str, Any]:
        job = self._job(content, self.jobs.current)
        expression, path = content.get("expression"), content.get("path") or []
        frame = content.get("frame") or 0
        if not isinstance(expression, str):
            raise ValueError(f"expression is text, not {type(expression).__name__}")
        if not (isinstance(path, list) and all(type(index) is int for index in (*path, frame))):
            raise ValueError("frame is a number, path a list of numbers")
        data = await self._look(lambda: evaluate(job, expression, frame=frame, path=path))
        return messages.ok(job, value=data)

    async def _look(self, ask: Callable[[], Any]) -> Any:
        """Return what *ask* finds, called on the main thread as soon as that is free."""
        look = asyncio.wrap_future(self._on_main(ask))
        try:
            return await asyncio.wait_for(look, _INSPECT_LIMIT)
        except TimeoutError:
            raise JobError(
                "the kernel is busy: its cells can be looked into when it is not"
            ) from None

    async def _jobs(self, content: dict[str, Any]) -> dict[str, Any]:
        return messages.ok(jobs=[messages.describe(job) for job in self.jobs])

    def _job(self, content: dict[str, Any], default: Job | None) -> Job:
        number = content.get("job")
        if number is None:
            if default is None:
                raise JobError("no cell is paused")
            return default
        if type(number) is not int:
            raise ValueError(f"job is a number, not {type(number).__name__}")
        try:
            return self.jobs.get(number)
        except KeyError:
            raise JobError(f"no job {number}") from None

    def _on_main(self, ask: Callable[[], Any]) -> Future[Any]:
        done: Future[Any] = Future()

        def answer() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(ask())
                except Exception as problem:
                    done.set_exception(problem)

        self.runner.loop.call_soon_threadsafe(answer)
        return done

    async def _unwind_first(self, stream: Any, ident: Any, parent: Any) -> None:
        """Unwind the paused cells, in bounded time, before the kernel shuts down."""
        unfinished = self.jobs.unfinished()
        if unfinished and threading.current_thread() is not threading.main_thread():
            unwound = asyncio.wrap_future(self._on_main(self.runner.end_all))
            await asyncio.wait([unwound], timeout=_PAUSE_LIMIT)
        await self._shutdown(stream, ident, parent)


def _fields(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"the content of a request has fields; it is no {type(content).__name__}")
    return content
