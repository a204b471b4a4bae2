"""Which kernel is meant, and the way to it: by its id, its connection file or its process."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_core.paths import jupyter_runtime_dir

from ..client import Cells

__all__ = ["Kernel", "NoKernel", "connect", "find", "find_all", "has_lpf"]

# Seconds. A kernel's control thread answers at once, or the kernel is gone or holds the GIL.
_ANSWER = 3.0


class NoKernel(LookupError):
    """There is no such kernel, or it cannot be reached, or lpf is not in it."""


@dataclass(frozen=True)
class Kernel:
    """A kernel on this machine: its id, connection file and process, as far as they are known."""

    id: str
    file: Path
    pid: int | None


def find(
    *, kernel: str | None = None, existing: str | None = None, pid: int | None = None
) -> Kernel:
    """Return the kernel with this id or beginning of an id, connection file or process.

    Without any of them the only one there is. NoKernel when there is none, or are several.
    """
    if existing is not None:
        return _by_file(existing)
    kernels = find_all()
    if pid is not None:
        kernels = [each for each in kernels if each.pid == pid]
        wanted = f"with the process {pid}"
    elif kernel is not None:
        kernels = [each for each in kernels if each.id.startswith(kernel)]
        wanted = f"whose id begins with {kernel!r}"
    else:
        wanted = "running here"
    if not kernels:
        raise NoKernel(f"there is no kernel {wanted}; jupyter lpf list shows them")
    if len(kernels) > 1:
        ids = ", ".join(each.id[:8] for each in kernels)
        raise NoKernel(f"there are several kernels {wanted} ({ids}); choose one with --kernel")
    return kernels[0]


def find_all() -> list[Kernel]:
    """Return the kernels that run on this machine for this user, the oldest first.

    A connection file whose kernel is gone is left out; so is a kernel that was not started with a
    connection file on its command line, for which there is ``--existing``.
    """
    kernels = []
    for process in psutil.process_iter(["pid", "cmdline", "create_time"]):
        file = _connection_file(process.info["cmdline"] or [])
        if file is not None:
            found = Kernel(_id_of(file), file, process.info["pid"])
            kernels.append((process.info["create_time"], found))
    return [kernel for _, kernel in sorted(kernels, key=lambda pair: pair[0])]


def _connection_file(command: list[str]) -> Path | None:
    """Return the connection file on a kernel's command line, None if it is no kernel's."""
    for i, word in enumerate(command):
        file = word.partition("=")[2] if "=" in word else command[i + 1] if word == "-f" else ""
        if file.endswith(".json") and _is_connection_file(Path(file)):
            return Path(file)
    return None


def _is_connection_file(path: Path) -> bool:
    try:
        return "control_port" in json.loads(path.read_text())
    except (OSError, ValueError, TypeError):
        return False


def _by_file(name: str) -> Kernel:
    path = next((p for p in (Path(name), Path(jupyter_runtime_dir(), name)) if p.is_file()), None)
    if path is None:
        raise NoKernel(f"there is no connection file {name!r}, here or in {jupyter_runtime_dir()}")
    if not _is_connection_file(path):
        raise NoKernel(f"{path} is no connection file of a kernel")
    return Kernel(_id_of(path), path, None)


def _id_of(path: Path) -> str:
    return path.stem.removeprefix("kernel-")


@contextmanager
def connect(kernel: Kernel, *, listen: bool = False) -> Iterator[tuple[Any, Cells]]:
    """Give a client with a control channel, with *listen* also iopub, and the kernel's cells.

    NoKernel if it does not answer, or has no lpf.
    """
    client = BlockingKernelClient(connection_file=str(kernel.file))
    try:
        client.load_connection_file()
    except (OSError, ValueError) as problem:  # It has ended meanwhile.
        raise NoKernel(f"{kernel.file} cannot be read: {problem}") from None
    client.start_channels(shell=False, iopub=listen, stdin=False, hb=False, control=True)
    try:
        if not has_lpf(client):
            raise NoKernel(f"lpf is not loaded in kernel {kernel.id[:8]}: %load_ext lpf does that")
        yield client, Cells(client)
    finally:
        client.stop_channels()


def has_lpf(client: Any, limit: float = _ANSWER) -> bool:
    """Return whether lpf is loaded. NoKernel if there is no answer for *limit* seconds.

    A kernel does not answer a request of which it knows nothing; so another one is sent behind it.
    """
    ids = []
    for kind in ("lpf_jobs_request", "kernel_info_request"):
        message = client.session.msg(kind, {})
        client.control_channel.send(message)
        ids.append(message["header"]["msg_id"])
    end = time.monotonic() + limit
    answered = []
    while ids[-1] not in answered:
        try:
            reply = client.get_control_msg(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise NoKernel(
                f"the kernel has not answered for {limit:g} s: it is gone, or in native code that "
                "lets no other thread run"
            ) from None
        answered.append(reply["parent_header"].get("msg_id"))
    return ids[0] in answered
