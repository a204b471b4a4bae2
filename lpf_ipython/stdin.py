"""``input()`` in cells: a wait that a cell can be left in.

ipykernel waits for an answer in code of its own and of zmq, which must not be left in the middle: a
cell that asks could neither be paused nor cancelled, and had no time limit. Here the wait is one
call that holds nothing (`wait`, which `lpf.guards` knows).

A cell that is paused while it asks keeps its question: an answer that is given meanwhile is there
when it goes on. If another cell has asked something since, the question is put again.

Main thread; questions of other threads (subshells) are left to ipykernel.
"""

from __future__ import annotations

import logging
import select
import sys
import threading
from typing import Any

import zmq

from . import private

__all__ = ["Stdin"]

# The answer is noticed at once; this is for the case that zmq has taken it in just before.
_LOOK_EVERY = 50  # Milliseconds.


class Stdin:
    """The questions of one kernel's cells."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._original: Any = private.input_request(kernel)
        self._asked = 0

    def install(self) -> None:
        """Take the place of the kernel's own method."""
        if self._original is not None:
            private.set_input_request(self._kernel, self._request)

    def uninstall(self) -> None:
        """Give it back, if it is still ours."""
        if private.input_request(self._kernel) == self._request:
            private.set_input_request(self._kernel, None)

    def _request(self, prompt: str, ident: Any, parent: Any, password: bool = False) -> str:
        """Ask the front end and return the answer. EOFError if that is the end of the input."""
        if threading.current_thread() is not threading.main_thread():
            return str(self._original(prompt, ident, parent, password))
        mine = self._ask(prompt, ident, parent, password)
        socket = self._kernel.stdin_socket
        poller = select.poll()
        poller.register(socket.getsockopt(zmq.FD), select.POLLIN)
        while True:
            if socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
                reply = self._received()
                if reply is not None:
                    break
                continue
            wait(poller)
            if mine != self._asked:
                mine = self._ask(prompt, ident, parent, password)
        value = reply.get("content", {}).get("value", "")
        if value == "\x04":
            raise EOFError
        return str(value)

    def _ask(self, prompt: str, ident: Any, parent: Any, password: bool) -> int:
        """Send the question; its number."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        while self._kernel.stdin_socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self._kernel.stdin_socket.recv_multipart(zmq.NOBLOCK)  # An answer that came too late.
        content = {"prompt": str(prompt), "password": bool(password)}
        session = self._kernel.session
        session.send(self._kernel.stdin_socket, "input_request", content, parent, ident=ident)
        self._asked += 1
        return self._asked

    def _received(self) -> dict[str, Any] | None:
        try:
            _, reply = self._kernel.session.recv(self._kernel.stdin_socket)
        except Exception:
            logging.getLogger(__name__).warning("lpf: an answer that cannot be read", exc_info=True)
            return None
        return reply  # type: ignore[no-any-return, unused-ignore]


def wait(poller: select.poll) -> None:
    """Wait for something to come, for a moment at most. A cell may be left here."""
    poller.poll(_LOOK_EVERY)
