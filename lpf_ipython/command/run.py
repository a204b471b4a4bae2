"""``jupyter lpf run``: a notebook from top to bottom, each cell with a time limit.

The limit is the kernel's own: a cell that runs out of it is unwound, and the kernel, with all its
variables, is there for the next one. A cell's own limit, in its header, metadata or a tag, goes
first.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellExecutionError, DeadKernelError

from ..errors import details
from ..nbclient import NotebookClient
from .progress import Progress

__all__ = ["run"]

_TICK = 0.25
# It has no types.
_nbformat: Any = nbformat


def run(options: Any) -> int:
    """Run ``options.notebook``; the status to exit with."""
    try:
        notebook = _nbformat.read(options.notebook, as_version=4)
    except (OSError, ValueError) as problem:
        return _complain(f"{options.notebook} cannot be read: {problem}", 2)
    if options.output is not None and not options.output.parent.is_dir():
        return _complain(f"there is no directory {options.output.parent} for the output", 2)
    runner = _Runner(notebook, options)
    try:
        status = asyncio.run(runner.run())
    finally:
        if options.output is not None:
            _write(notebook, options.output)
    if options.json:
        print(json.dumps({"status": status, "cells": runner.outcomes}, indent=2))
    return status


class _Runner:
    """One run. `outcomes` has a dict for each code cell that was begun."""

    def __init__(self, notebook: Any, options: Any) -> None:
        self.notebook = notebook
        self.options = options
        self.outcomes: list[dict[str, Any]] = []
        code = [cell for cell in notebook.cells if _runs(cell)]
        self._numbers = {id(cell): number for number, cell in enumerate(code, 1)}
        self._progress = None if options.quiet else Progress(len(code))

    async def run(self) -> int:
        client = self._client()
        ticking = asyncio.ensure_future(self._tick())
        try:
            await client.async_execute()
        except CellExecutionError:
            pass  # It is in the notebook, and in the outcomes.
        except (DeadKernelError, NoSuchKernel, RuntimeError, TimeoutError) as problem:
            return _complain(str(problem), 3)
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking
            if self._progress is not None:
                self._progress.close()
        return self._status()

    def _client(self) -> Any:
        options = self.options
        limit = options.timeout
        goes_on = options.on_timeout == "cancel"
        client: Any = NotebookClient
        return client(
            self.notebook,
            **({"kernel_name": options.kernel_name} if options.kernel_name else {}),
            timeout=None,
            allow_errors=options.allow_errors,
            allow_error_names=["CellTimeout"] if goes_on else [],
            # Paused, a cell would wait for somebody to resume it, and there is nobody.
            extra_arguments=[
                "--LPF.on_timeout=cancel",
                *([] if limit is None else [f"--LPF.timeout={limit}"]),
            ],
            resources={"metadata": {"path": str(Path(options.notebook).parent or ".")}},
            on_cell_execute=self._begun,
            on_cell_executed=self._ended,
        )

    def _begun(self, cell: Any, cell_index: int) -> None:
        if self._progress is not None:
            self._progress.begin(self._numbers[id(cell)])

    def _ended(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        content = execute_reply["content"]
        outcome = {
            "cell": self._numbers[id(cell)],
            "id": cell.get("id"),
            "status": content["status"],
            "error": content.get("ename"),
            "details": details(content.get("evalue") or ""),
        }
        self.outcomes.append(outcome)
        if self._progress is not None:
            self._progress.end(outcome["error"] or outcome["status"])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            if self._progress is not None:
                self._progress.draw()

    def _status(self) -> int:
        names = [outcome["error"] for outcome in self.outcomes if outcome["status"] != "ok"]
        if any(name != "CellTimeout" for name in names):
            return 1
        return 4 if names else 0


def _complain(problem: str, status: int) -> int:
    print(f"jupyter lpf: {problem}", file=sys.stderr)
    return status


def _runs(cell: Any) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


def _write(notebook: Any, path: Path) -> None:
    """Write all of it or nothing: a reader never sees half a notebook."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    _nbformat.write(notebook, new)
    new.replace(path)
