"""For programs: pause, resume, cancel and look into the cells of a kernel one talks to.

    from jupyter_client.manager import start_new_kernel
    from lpf_ipython.client import Cells

    manager, client = start_new_kernel()
    client.execute("%load_ext lpf")
    cells = Cells(client)
    client.execute("while True: pass")
    job = cells.pause()          # {"id": 2, "state": "paused", "where": "line 1 in <cell 2>", …}
    cells.inspect(job["id"])     # its stack and variables
    cells.cancel(job["id"])

Works with a blocking client of jupyter_client; the control channel is used, and its other replies
are left to whoever waits for them next (see `Cells.others`). `messages` describes the fields.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from typing import Any

from .messages import reply_type

__all__ = ["Cells", "Refused"]


class Refused(RuntimeError):
    """The kernel has said why not; `content` is its whole reply."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(content.get("evalue", "refused"))
        self.content = content


class Cells:
    """The cells of one kernel.

    Parameters
    ----------
    client : a ``jupyter_client.BlockingKernelClient`` with running channels.
    timeout : seconds to wait for each reply; TimeoutError then, also from a kernel without lpf.

    Not thread-safe: replies are read from the client's control channel.
    """

    def __init__(self, client: Any, timeout: float = 5.0) -> None:
        self.client = client
        self.timeout = timeout
        self.others: list[dict[str, Any]] = []

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs the kernel knows, by number."""
        return list(self._ask("jobs")["jobs"])

    def pause(self) -> dict[str, Any]:
        """Pause the running cell and return its job. `Refused` when none is, or it takes long."""
        return dict(self._ask("pause")["job"])

    def resume(self, job: int | None = None, *, timeout: float | None = None) -> dict[str, Any]:
        """Let a paused cell go on, the one paused last by default, for *timeout* seconds."""
        return dict(self._ask("resume", job=job, timeout=timeout)["job"])

    def cancel(self, job: int | None = None, *, grace: float | None = None) -> dict[str, Any]:
        """End a cell, paused or running; after *grace* seconds it is abandoned.

        Returns when the kernel has taken note: the cell's own reply tells the end of it.
        """
        return dict(self._ask("cancel", job=job, grace=grace)["job"])

    def withdraw(self, msg_id: str) -> None:
        """Take an execute_request that has not begun out of the queue: it is aborted."""
        self._ask("withdraw", msg_id=msg_id)

    def inspect(self, job: int | None = None, *, frame: int | None = None) -> dict[str, Any]:
        """Return a cell's stack and variables, see `inspect.JobData`; of one frame, all."""
        return dict(self._ask("inspect", job=job, frame=frame)["inspect"])

    def evaluate(
        self,
        expression: str,
        job: int | None = None,
        *,
        frame: int = 0,
        path: Sequence[int] = (),
    ) -> dict[str, Any]:
        """Return an expression's value in a frame of a paused cell, see `evaluate.ValueData`."""
        asked = {"expression": expression, "frame": frame, "path": list(path)}
        return dict(self._ask("evaluate", job=job, **asked)["value"])

    def job_of(self, msg_id: str) -> dict[str, Any] | None:
        """Return the job of an execute_request, None while the kernel has not begun with it."""
        return next((job for job in self.jobs() if job["msg_id"] == msg_id), None)

    def wait(
        self, job: int, *states: str, timeout: float | None = None, every: float = 0.05
    ) -> dict[str, Any]:
        """Wait until *job* is in one of *states* and return it. TimeoutError after *timeout*."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            found = next((each for each in self.jobs() if each["id"] == job), None)
            if found is not None and found["state"] in states:
                return found
            if time.monotonic() > end:
                state = found["state"] if found is not None else "unknown"
                raise TimeoutError(f"job {job} is {state}, not {' or '.join(states)}")
            time.sleep(every)

    def _ask(self, verb: str, **content: Any) -> dict[str, Any]:
        kind = f"lpf_{verb}_request"
        given = {name: value for name, value in content.items() if value is not None}
        message = self.client.session.msg(kind, given)
        self.client.control_channel.send(message)
        reply = self._reply(message["header"]["msg_id"], reply_type(kind))
        if reply["status"] != "ok":
            raise Refused(reply)
        return reply

    def _reply(self, msg_id: str, kind: str) -> dict[str, Any]:
        end = time.monotonic() + self.timeout
        while True:
            try:
                left = max(0.0, end - time.monotonic())
                message = self.client.get_control_msg(timeout=left)
            except queue.Empty:
                raise TimeoutError(f"no {kind} within {self.timeout} s: is lpf loaded?") from None
            if message["parent_header"].get("msg_id") == msg_id:
                return dict(message["content"])
            self.others.append(message)
