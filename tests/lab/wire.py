"""A network that can be cut: between the browser and the server."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class Wire:
    """Passes on what comes to a port of its own to another one, until it is cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and those that are tried from now on."""
        self._cut.set()
        with self._lock:
            for connection in self._connections:
                _shut(connection)

    def mend(self) -> None:
        """Let new connections through again."""
        self._cut.clear()

    def close(self) -> None:
        self.cut()
        _shut(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # Closed.
            while True:
                here, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(here,), daemon=True).start()

    def _pass_on(self, here: socket.socket) -> None:
        with contextlib.suppress(OSError), here:
            with socket.create_connection(("127.0.0.1", self._target)) as there:
                with self._lock:
                    if self._cut.is_set():
                        return
                    self._connections |= {here, there}
                try:
                    _shovel(here, there)
                finally:
                    with self._lock:
                        self._connections -= {here, there}


def _shovel(one: socket.socket, other: socket.socket) -> None:
    """Pass on what comes from each to the other until one of them ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                source = one if key.fileobj is one else other
                data = source.recv(65536)
                if not data:
                    return
                key.data.sendall(data)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
