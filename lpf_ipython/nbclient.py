"""Notebooks run by programs: limits in a cell's metadata and tags, under nbclient and papermill.

nbclient sends a cell's source to the kernel and nothing of its metadata, so that a kernel behind it
cannot know of a tag ``lpf:timeout=30s``. What is here sends the metadata along, as JupyterLab does,
and loads the extension in the kernel before the first cell:

    NotebookClient       in place of ``nbclient.NotebookClient``
    ExecutePreprocessor  in place of nbconvert's, if that is installed
    SendsMetadata        for other subclasses of ``nbclient.NotebookClient``: put it first

`papermill` has the same for ``papermill --engine lpf``. This module is for the process that runs a
notebook, not for its kernel.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nbclient
from jupyter_core.utils import ensure_async, run_sync
from traitlets import Bool
from traitlets.config import Configurable

from .messages import STATE

__all__ = ["NotebookClient", "SendsMetadata"]


class SendsMetadata(Configurable):  # type: ignore[misc, unused-ignore]
    """Part of a notebook client: cells go to the kernel with their metadata.

    RuntimeError at the first cell if the extension cannot be loaded in the kernel.
    """

    load_lpf = Bool(True, help="Load lpf in the kernel before the first cell.").tag(config=True)

    kc: Any
    startup_timeout: Any
    _loaded: Any = None

    async def async_execute_cell(
        self, cell: Any, cell_index: int, *args: Any, **kwargs: Any
    ) -> Any:
        """Run one cell, as nbclient does; its request carries the cell's metadata."""
        if self.load_lpf and self._loaded is not self.kc:
            await _load(self.kc, self.startup_timeout)
            self._loaded = self.kc
        parent: Any = super()
        with _sending(self.kc.session, cell):
            return await parent.async_execute_cell(cell, cell_index, *args, **kwargs)

    execute_cell = run_sync(async_execute_cell)

    def process_message(self, msg: Any, *args: Any, **kwargs: Any) -> Any:
        """Leave out what nbclient would log as unknown."""
        if msg["msg_type"] == STATE:
            return None
        parent: Any = super()
        return parent.process_message(msg, *args, **kwargs)


class NotebookClient(SendsMetadata, nbclient.NotebookClient):  # type: ignore[misc, unused-ignore]
    """An ``nbclient.NotebookClient`` whose cells may have limits of their own."""


def __getattr__(name: str) -> Any:
    if name != "ExecutePreprocessor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nbconvert.preprocessors import (  # type: ignore[import-not-found, unused-ignore]
        ExecutePreprocessor,
    )

    return type(name, (SendsMetadata, ExecutePreprocessor), {"__module__": __name__})


@contextmanager
def _sending(session: Any, cell: Any) -> Iterator[None]:
    """While this lasts, execute requests of *session* carry the metadata of *cell*."""
    metadata = {**cell.metadata, **({"cellId": cell.id} if "id" in cell else {})}

    def msg(msg_type: str, *args: Any, **kwargs: Any) -> Any:
        message = type(session).msg(session, msg_type, *args, **kwargs)
        if msg_type == "execute_request":
            message["metadata"] = {**metadata, **message["metadata"]}
        return message

    session.msg = msg
    try:
        yield
    finally:
        del session.msg


async def _load(client: Any, limit: float) -> None:
    """Load the extension in the kernel of *client*, in at most *limit* seconds."""
    request = await ensure_async(
        client.execute("%load_ext lpf", silent=True, stop_on_error=False, allow_stdin=False)
    )
    reply: dict[str, Any] = {"parent_header": {}}
    while reply["parent_header"].get("msg_id") != request:
        try:
            reply = await ensure_async(client.shell_channel.get_msg(timeout=limit))
        except queue.Empty:
            raise RuntimeError(f"the kernel has not loaded lpf within {limit} s") from None
    content = reply["content"]
    if content["status"] != "ok":
        problem = f"{content.get('ename')}: {content.get('evalue')}"
        raise RuntimeError(f"lpf cannot be loaded in the kernel: {problem}")
