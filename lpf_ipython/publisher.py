"""What front ends are told about cells, besides what ipykernel tells them. Main thread."""

from __future__ import annotations

import sys
from typing import Any

from . import display, memory, messages, private
from .config import LPF
from .errors import CellEnded
from .request import Request

__all__ = ["Publisher", "flush"]

_NO_PROMPT = "In a console without a prompt now, Ctrl-C twice ends it."


class Publisher:
    """Sends in the name of requests: below their cells, to who waits for them."""

    def __init__(self, kernel: Any, config: LPF) -> None:
        self._kernel = kernel
        self._config = config

    def send(self, kind: str, content: dict[str, Any], request: Request) -> None:
        """Publish a message that belongs to *request*."""
        self._kernel.session.send(
            self._kernel.iopub_socket,
            kind,
            content,
            parent=request.parent,
            ident=private.topic(self._kernel, kind),
        )

    def state(self, request: Request) -> None:
        """Publish what its job does now."""
        assert request.cell is not None
        self.send(messages.STATE, messages.describe(request.cell.job), request)

    def announce(self, request: Request) -> None:
        """Say under the cell what it does now; a later notice takes the place of the first."""
        assert request.cell is not None
        job = request.cell.job
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
            notice = f"{display.notice(job)}\n{self._memory()}"
            content["data"] = {"text/plain": notice}
        self.send(kind, content, request)

    def _memory(self) -> str:
        largest = ", ".join(
            f"{name} ({size / 1e6:.0f} MB)"
            for name, size in memory.largest(self._kernel.shell.user_ns)
        )
        return f"memory limit {self._config.memory_limit} reached; the largest are {largest}"

    def aborted(self, request: Request) -> None:
        """Send the reply of a request that is not going to run, and what goes with one."""
        private.publish_status(self._kernel, "busy", request.parent)
        private.abort(self._kernel, request.stream, request.ident, request.parent)
        private.publish_status(self._kernel, "idle", request.parent)

    def reply(self, request: Request, outcome: CellEnded) -> None:
        """Send the reply that ipykernel's handler, given up on, is not going to send."""
        kernel, shell = self._kernel, self._kernel.shell
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
        flush()
        parent = request.parent
        metadata = kernel.finish_metadata(parent, kernel.init_metadata(parent), reply)
        kernel.session.send(
            request.stream, "execute_reply", reply, parent, metadata=metadata, ident=request.ident
        )
        content = parent["content"]
        if not content.get("silent", False) and content.get("stop_on_error", True):
            private.aborts_queue(kernel)


def flush() -> None:
    """Send what has been printed: it comes before what is said of the cell."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
