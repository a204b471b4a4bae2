"""Where `lpf.watch` tells about C code that cannot be left: terminal and notebook.

While such code runs, no Python can. So everything that the native thread needs to write a message
to the notebook is handed over in advance: the socket of the outputs, the key that signs messages,
and before each step of a cell the header of its request (native/cpython/wire.c sends it).

ipykernel puts a pipe in place of the descriptor 2 and publishes what comes out of it: there goes
what could not be sent, to be seen as soon as Python runs again.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from lpf import _native

from . import private

__all__ = ["Reporter"]

_STDERR = 2
_NO_PIPE = -1


class Reporter:
    """Tells the native thread where to report. Main thread."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._kernel: Any = getattr(shell, "kernel", None)
        self._wired = False
        self._socket: Any = None

    def install(self) -> None:
        """Give it the terminal, and the kernel's front ends if there is a kernel."""
        prefix = _prefix(self._shell)
        terminal = private.real_descriptor(sys.stderr)
        if terminal is None:
            _native._report_to(_STDERR, _NO_PIPE, prefix)
        else:
            _native._report_to(terminal, _STDERR, prefix)
        if self._kernel is not None:
            self._wired = self._wire()

    def uninstall(self) -> None:
        """Take it all back."""
        if self._wired:
            del self._socket.send_multipart  # The class has its own.
            _native._report_wire(0, 0, "", "", b"")
            _native._report_parent(None)
            self._wired = False
        _native._report_to(_STDERR, _NO_PIPE, "")

    def belongs_to(self, request: Any) -> None:
        """From now on, reports appear under the cell of this request."""
        if self._wired:
            _native._report_parent(request["header"])

    def _wire(self) -> bool:
        session = self._kernel.session
        found = private.outputs(self._kernel)
        if found is None or (session.key and session.signature_scheme != "hmac-sha256"):
            return False
        self._socket, owner = found
        fields = {
            "msg_type": "stream",
            "version": "5.3",
            "session": session.session,
            "username": session.username,
        }
        header = json.dumps(fields)[:-1] + ", "
        if not _native._report_wire(
            self._socket.underlying, owner, "stream.stderr", header, session.key
        ):
            return False
        self._socket.send_multipart = _in_one_call(self._socket)
        return True


def _in_one_call(socket: Any) -> Any:
    """Its ``send_multipart``, with no place for a report between two parts of a message.

    The original waits for the GIL after each part. Plain messages are sent in one call, without it.
    """
    original = socket.send_multipart

    def send_multipart(
        msg_parts: Any, flags: int = 0, copy: bool = True, track: bool = False, **options: Any
    ) -> Any:
        plain = copy and not (flags or track or options or socket.closed)
        if plain and _native._report_send(msg_parts):
            return None
        _native._report_hold(True)
        try:
            return original(msg_parts, flags=flags, copy=copy, track=track, **options)
        finally:
            _native._report_hold(False)

    return send_multipart


def _prefix(shell: Any) -> str:
    """Return what the file names of cells begin with."""
    name: str = shell.compile.get_code_name("", "", 0)
    folder, slash, _ = name.rpartition("/")
    return folder + slash if slash else name.split("-0-")[0] + "-"
