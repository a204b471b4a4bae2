"""Kernels that are asked things while a cell computes: ours, stock ipykernel, and its subshells."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager

LIMIT = 60_000  # Milliseconds.
Message = dict[str, Any]
_ECHO = """
def _echo(comm, message):
    comm.on_msg(lambda m: comm.send(m["content"]["data"]))
get_ipython().kernel.comm_manager.register_target("echo", _echo)
"""


class _Spec(KernelSpecManager):
    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="benchmark", language="python")


class Kernel:
    """A kernel process, with an echo behind a comm."""

    def __init__(self, *cells: str) -> None:
        self.manager = KernelManager(kernel_spec_manager=_Spec())
        self.manager.start_kernel(stderr=subprocess.DEVNULL)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.subshell: str | None = None
        # What cells have printed, and those that have ended.
        self._printed: dict[str | None, str] = {}
        self._ended: set[str | None] = set()
        self._poller = zmq.Poller()
        for channel in (self.client.shell_channel, self.client.iopub_channel):
            self._poller.register(channel.socket, zmq.POLLIN)
        for cell in (_ECHO, *cells):
            self.run(cell)
        self._send("comm_open", comm_id="echo", target_name="echo", data={})

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def use_subshell(self) -> bool:
        """Send what is asked to a subshell from now on; False if the kernel has none."""
        self.client.kernel_info()
        info = self.client.get_shell_msg(timeout=60)["content"]
        if "kernel subshells" not in info.get("supported_features", []):
            return False
        channel = self.client.control_channel
        channel.send(self.client.session.msg("create_subshell_request"))
        self.subshell = channel.get_msg(timeout=60)["content"]["subshell_id"]
        return True

    def run(self, code: str) -> str:
        """Run a cell to its end; what it printed."""
        return self.end(self.start(code))

    def start(self, code: str) -> str:
        """Start a cell and wait until it says that it computes; its message's id."""
        cell = self._send("execute_request", code=code, main=True)
        self._wait(lambda m: _state(m) == "busy" and _parent(m) == cell)
        return cell

    def end(self, cell: str) -> str:
        """Wait for the end of a cell; what it has printed."""
        if cell not in self._ended:
            self._wait(lambda _: cell in self._ended)
        return self._printed.pop(cell, "")

    # What is asked: each returns seconds.

    def complete(self) -> float:
        return self._timed("complete_request", "complete_reply", code="print", cursor_pos=5)

    def comm(self) -> float:
        """There and back through a callback, as a slider's."""
        return self._timed("comm_msg", "comm_msg", comm_id="echo", data={"value": 1})

    def background(self) -> float:
        """A trivial cell, from the request to the reply."""
        head = "" if self.subshell is not None else "%%background\n"
        return self._timed("execute_request", "execute_reply", code=head + "1")

    def cell(self) -> float:
        return self._timed("execute_request", "execute_reply", code="1")

    def _timed(self, kind: str, answer: str, **content: Any) -> float:
        start = time.perf_counter()
        ident = self._send(kind, **content)
        self._wait(lambda m: m["msg_type"] == answer and _parent(m) == ident)
        return time.perf_counter() - start

    def _send(self, kind: str, main: bool = False, **content: Any) -> str:
        if kind == "execute_request":
            content |= {"silent": False, "store_history": False, "allow_stdin": False}
        message = self.client.session.msg(kind, content)
        if self.subshell is not None and not main:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def _wait(self, is_it: Callable[[Message], bool]) -> None:
        session = self.client.session
        while True:
            ready = self._poller.poll(LIMIT)
            if not ready:
                raise TimeoutError("the kernel does not answer")
            for socket, _ in ready:
                _, parts = session.feed_identities(socket.recv_multipart())
                message = session.deserialize(parts)
                self._note(message)
                if is_it(message):
                    return

    def _note(self, message: Message) -> None:
        cell = _parent(message)
        if message["msg_type"] == "stream":
            self._printed[cell] = self._printed.get(cell, "") + message["content"]["text"]
        if _state(message) == "idle":
            self._ended.add(cell)


def _parent(message: Message) -> str | None:
    return message["parent_header"].get("msg_id")


def _state(message: Message) -> str | None:
    return message["content"].get("execution_state")


def asked(ask: Callable[[], float], seconds: float) -> list[float]:
    """Ask again and again for so long, at any phase of a quantum; what each answer took."""
    end = time.monotonic() + seconds
    took = []
    while time.monotonic() < end:
        took.append(ask())
        time.sleep(random.uniform(0.0, 0.01))
    return took
