"""Real kernels for tests: one place that starts them, talks to them and waits for their messages.

A thread reads iopub for as long as the kernel lives, so that nothing is lost between two waits.
Every wait is for something to be the case, and fails with what was seen instead.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

LIMIT = 20.0


class _Spec(KernelSpecManager):
    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        # -Xfrozen_modules=off keeps debugpy from writing a warning into the log.
        argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
        return KernelSpec(
            argv=[*argv, "-f", "{connection_file}", *self.more],
            display_name="test",
            language="python",
        )

    more: tuple[str, ...] = ()


class Kernel:
    """A kernel process with the extension loaded, and its client."""

    def __init__(self, *options: str, load: bool = True, env: dict[str, str] | None = None) -> None:
        specs = _Spec()
        specs.more = options
        self.manager = KernelManager(kernel_spec_manager=specs)
        self.manager.start_kernel(env={**os.environ, **(env or {})})
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.messages: list[dict[str, Any]] = []
        # Requests whose idle has come: not looked for among the messages, which may be many.
        self.idles: set[str | None] = set()
        self.news = threading.Condition()
        self._replies: dict[str, dict[str, Any]] = {}
        self._listen()
        if load:
            assert self.run("%load_ext lpf").reply["status"] == "ok"

    def _listen(self) -> None:
        self._closing = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _stop_listening(self) -> None:
        self._closing = True
        self._reader.join()

    def _read(self) -> None:
        # Not by the client's own get_iopub_msg: that would make an event loop in this thread.
        socket, session = self.client.iopub_channel.socket, self.client.session
        while not self._closing:
            if not socket.poll(100):
                continue
            _, parts = session.feed_identities(socket.recv_multipart())
            message = session.deserialize(parts)
            with self.news:
                self.messages.append(message)
                if message["content"].get("execution_state") == "idle":
                    self.idles.add(message["parent_header"].get("msg_id"))
                self.news.notify_all()

    def start(self, code: str, **options: Any) -> Cell:
        """Send a cell; `metadata`, `cell_id` and the fields of an execute_request are options."""
        metadata = options.pop("metadata", {})
        if "cell_id" in options:
            metadata = {**metadata, "cellId": options.pop("cell_id")}
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": True,
            "stop_on_error": True,
            **options,
        }
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return Cell(self, message["header"]["msg_id"])

    def run(self, code: str, **options: Any) -> Cell:
        """Send a cell and wait for its end."""
        cell = self.start(code, **options)
        cell.wait()
        return cell

    def value(self, expression: str) -> str:
        """Evaluate *expression* in a cell; its repr."""
        cell = self.run("", user_expressions={"value": expression})
        found = cell.reply["user_expressions"]["value"]
        assert found["status"] == "ok", found
        return str(found["data"]["text/plain"])

    def control(
        self, kind: str, limit: float = LIMIT, content: Any = None, **fields: Any
    ) -> dict[str, Any]:
        """Send a request on the control channel; the content of its reply.

        The request's content are the *fields*, unless it is given whole.
        """
        message = self.client.session.msg(kind, fields if content is None else content)
        self.client.control_channel.send(message)
        return self._reply(message["header"]["msg_id"], limit, self.client.get_control_msg)

    def send(self, kind: str, subshell: str | None = None, **content: Any) -> str:
        """Send a message on the shell channel; its id."""
        message = self.client.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def shell_reply(self, msg_id: str, limit: float) -> dict[str, Any]:
        return self._reply(msg_id, limit, self.client.get_shell_msg)

    def _reply(self, msg_id: str, limit: float, receive: Callable[..., Any]) -> dict[str, Any]:
        end = time.monotonic() + limit
        while msg_id not in self._replies:
            try:
                message = receive(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no reply; {self.seen()}") from None
            self._replies[message["parent_header"].get("msg_id")] = message["content"]
        return self._replies.pop(msg_id)

    def pause(self) -> dict[str, Any]:
        """Pause the running cell; the job."""
        reply = self.control("lpf_pause_request")
        assert reply["status"] == "ok", reply
        assert reply["job"]["state"] == "paused", reply
        return dict(reply["job"])

    def until(self, what: Callable[[list[dict[str, Any]]], Any], limit: float = LIMIT) -> Any:
        """Wait until *what*, given all iopub messages, is true; what it returned."""
        found = None

        def is_so() -> bool:
            nonlocal found
            found = what(self.messages)
            return bool(found)

        with self.news:
            assert self.news.wait_for(is_so, limit), self.seen()
        return found

    def until_at(self, cell: Cell, *lines: int) -> None:
        """Wait until *cell* runs at one of these lines."""

        def is_there() -> bool:
            jobs = self.control("lpf_jobs_request")["jobs"]
            return any(
                job["msg_id"] == cell.msg_id and job["where"].startswith(f"line {line} ")
                for job in jobs
                for line in lines
            )

        poll(is_there)

    def until_true(self, expression: str) -> None:
        """Wait until *expression* is true in the kernel, which is idle."""
        poll(lambda: self.value(expression) == "True")

    def seen(self) -> str:
        """The last messages, for a failure's text."""
        lines = (f"{m['msg_type']} {str(m['content'])[:120]}" for m in self.messages[-10:])
        return "last on iopub:\n" + "\n".join(lines)

    def states(self, job: int) -> list[str]:
        """The states that were published of a job."""
        return [
            m["content"]["state"]
            for m in self.messages
            if m["msg_type"] == "lpf_state" and m["content"]["job"] == job
        ]

    def wait_state(self, job: int, state: str) -> None:
        self.until(lambda _: state in self.states(job)[-1:])

    @property
    def pid(self) -> int:
        """The kernel's process."""
        return int(self.manager.provisioner.process.pid)

    def interrupt(self) -> None:
        """What the stop button does."""
        self.manager.interrupt_kernel()

    def restart(self) -> None:
        """Restart the kernel, as the menu does. The extension is not loaded then."""
        self._stop_listening()  # What follows reads iopub itself.
        self.manager.restart_kernel()
        self.client.wait_for_ready(timeout=60)
        self._listen()

    def close(self) -> None:
        """End the kernel, whatever it does."""
        self._stop_listening()
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def poll(is_so: Callable[[], bool]) -> None:
    """Ask until it is so."""
    end = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < end


class Cell:
    """A cell that was sent."""

    def __init__(self, kernel: Kernel, msg_id: str) -> None:
        self.kernel = kernel
        self.msg_id = msg_id
        self._reply: dict[str, Any] | None = None

    @property
    def reply(self) -> dict[str, Any]:
        """The content of its execute_reply; waits for it."""
        if self._reply is None:
            self._reply = self.kernel.shell_reply(self.msg_id, LIMIT)
        return self._reply

    def wait(self) -> Cell:
        """Wait for its reply and its idle."""
        assert self.reply is not None
        self.kernel.until(lambda _: self.idle)
        return self

    def answered(self) -> bool:
        """Whether the reply is there already."""
        try:
            self._reply = self._reply or self.kernel.shell_reply(self.msg_id, 0)
        except AssertionError:
            return False
        return True

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was published under it."""
        return [m for m in self.kernel.messages if m["parent_header"].get("msg_id") == self.msg_id]

    @property
    def idle(self) -> bool:
        return self.msg_id in self.kernel.idles

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    @property
    def text(self) -> str:
        """Its standard output."""
        return "".join(c["text"] for c in self.of_type("stream") if c["name"] == "stdout")

    @property
    def results(self) -> list[str]:
        return [c["data"]["text/plain"] for c in self.of_type("execute_result")]

    def prints(self, text: str) -> None:
        """Wait until it has printed *text*."""
        self.kernel.until(lambda _: text in self.text)
