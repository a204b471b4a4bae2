"""Runs a notebook as a person does: Shift-Enter, wait until the cell is done or paused, go on.
Nobody waits for one in the background.

Other than nbclient it answers when it is asked for input, so that cells may be paused; and it reads
on, so that what a resumed cell prints later ends up in that cell.

    python tests/notebooks/person.py notebooks/01-first-timeout.ipynb

runs the notebook and writes the outputs of those cells back that had outputs before, or all of them
with ``--all``.
"""

from __future__ import annotations

import argparse
import queue
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from lpf_ipython.background import is_background

__all__ = ["Person", "kernel", "run"]

_LONG = 120.0
# What is still on its way when a cell is done or paused comes within this time.
_QUIET = 0.3
_OUTPUTS = {"stream", "display_data", "update_display_data", "execute_result", "error"}


@contextmanager
def kernel(name: str = "python3") -> Iterator[BlockingKernelClient]:
    """A fresh kernel, shut down at the end."""
    manager = KernelManager(kernel_name=name)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_LONG)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(path: Path, typed: dict[str, list[str]] | None = None) -> tuple[Any, list[str]]:
    """Run the notebook at *path* on a fresh kernel; *typed* as in `Person`.

    Return it as it is then, and what it displayed in the meantime, as text.
    """
    notebook = nbformat.read(path, as_version=4)
    with kernel() as client:
        person = Person(client, typed or {})
        person.run(notebook)
    return notebook, person.notices


class Person:
    """Runs cells one after the other. *typed* are the lines to type, by how a cell begins."""

    def __init__(self, client: BlockingKernelClient, typed: dict[str, list[str]]) -> None:
        self._client = client
        self._typed = typed
        self._cells: dict[str, Any] = {}
        self._over: set[str] = set()
        self._begun: set[str] = set()
        self._displays: dict[str | None, list[Any]] = {}
        self.notices: list[str] = []
        self._answers: dict[str, list[str]] = {}

    def run(self, notebook: Any) -> None:
        """Run all code cells; their outputs and numbers are those of this run afterwards."""
        for cell in notebook.cells:
            if cell.cell_type == "code" and cell.source.strip():
                self._run(cell)

    def _run(self, cell: Any) -> None:
        cell.outputs, cell.execution_count = [], None
        ident = self._send(cell)
        self._cells[ident] = cell
        keys = [start for start in self._typed if cell.source.startswith(start)]
        self._answers[ident] = list(self._typed[keys[0]]) if keys else []
        end = time.monotonic() + _LONG
        over = self._begun if is_background(cell.source) else self._over
        while ident not in over:
            assert time.monotonic() < end, f"neither done nor paused: {cell.source!r}"
            self._listen(0.02)
        quiet = time.monotonic() + _QUIET
        while time.monotonic() < quiet:
            if self._listen(0.02):
                quiet = time.monotonic() + _QUIET

    def _send(self, cell: Any) -> str:
        """Send the cell as JupyterLab does, with its metadata."""
        content = {
            "code": cell.source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": True,
            "stop_on_error": "raises-exception" not in cell.metadata.get("tags", []),
        }
        metadata = {**cell.metadata, "cellId": cell.id}
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def _listen(self, seconds: float) -> bool:
        """Take what comes on any channel; whether something came."""
        heard = False
        for channel in (self._client.get_iopub_msg, self._client.get_shell_msg):
            while (message := _next(channel, seconds)) is not None:
                heard = True
                self._take(message)
        if self._client.stdin_channel.msg_ready():
            message = self._client.get_stdin_msg(timeout=1)
            answers = self._answers[message["parent_header"]["msg_id"]]
            self._client.input(answers.pop(0))
            heard = True
        return heard

    def _take(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        cell = self._cells.get(message["parent_header"].get("msg_id"))
        if kind == "lpf_state" and content["state"] == "paused":
            self._over.add(content["msg_id"])
        elif kind == "status" and cell is not None:
            self._begun.add(message["parent_header"]["msg_id"])
        elif kind == "execute_reply" and cell is not None:
            self._over.add(message["parent_header"]["msg_id"])
            cell.execution_count = content.get("execution_count")
        elif kind in _OUTPUTS and cell is not None:
            self._show(cell, message)

    def _show(self, cell: Any, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        name = content.get("transient", {}).get("display_id")
        if "data" in content:
            self.notices.append(content["data"].get("text/plain", ""))
        if kind == "update_display_data":
            for output in self._displays.get(name, []):
                output.data = content["data"]
        else:
            output = _add(cell.outputs, nbformat.v4.output_from_msg(message))
            self._displays.setdefault(name, []).append(output)


def _next(get: Any, seconds: float) -> dict[str, Any] | None:
    try:
        message: dict[str, Any] = get(timeout=seconds)
    except queue.Empty:
        return None
    return message


def _add(outputs: list[Any], new: Any) -> Any:
    last = outputs[-1] if outputs else None
    if last and new.output_type == last.output_type == "stream" and new.name == last.name:
        last.text += new.text
    else:
        outputs.append(new)
    return outputs[-1]


def text_of(cell: Any) -> str:
    """Return all that a cell shows, as a terminal would, without colours."""
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append("\n".join(output.traceback))
        else:
            parts.append(output.data.get("text/plain", ""))
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(parts))


def main() -> None:
    """Refresh the outputs that a notebook keeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--all", action="store_true", help="keep the outputs of all cells")
    options = parser.parse_args()
    kept = nbformat.read(options.notebook, as_version=4)
    fresh, _ = run(options.notebook)
    for before, after in zip(kept.cells, fresh.cells, strict=True):
        if before.cell_type == "code" and (options.all or before.outputs):
            # Warnings are about the machine it was run on.
            before.outputs = [o for o in after.outputs if o.get("name") != "stderr"]
            before.execution_count = after.execution_count
    nbformat.write(kept, options.notebook)


if __name__ == "__main__":
    main()
