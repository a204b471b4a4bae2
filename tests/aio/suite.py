"""Runs a module of CPython's own tests of asyncio with every task preemptible.

    python suite.py test_tasks 0.002        # module, quantum in seconds

Every loop that is made on the main thread has the task factory of lpf.aio, and the classes that test
asyncio's own Task test lpf.aio.Task.  Last line: JSON with what ran and what failed.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import sys
import threading
import unittest
from asyncio import base_events
from typing import Any

import lpf
from lpf import aio


def _install_everywhere(quantum: float) -> None:
    lpf.prepare()
    factory = aio.create_task_factory(quantum=quantum)
    original = base_events.BaseEventLoop.__init__

    @functools.wraps(original)
    def made(self: Any) -> None:
        original(self)
        if threading.current_thread() is threading.main_thread():
            self._task_factory = factory

    base_events.BaseEventLoop.__init__ = made  # type: ignore[method-assign]


def _test_our_task(module: Any) -> int:
    replaced = 0
    for kind in vars(module).values():
        if isinstance(kind, type) and vars(kind).get("Task") is asyncio.Task:
            kind.Task = aio.Task  # type: ignore[attr-defined]
            replaced += 1
    return replaced


def main(name: str, quantum: str) -> None:
    _install_everywhere(float(quantum))
    module = importlib.import_module(f"test.test_asyncio.{name}")
    replaced = _test_our_task(module)
    result = unittest.main(module=module, argv=[name], exit=False).result
    failed = [test.id().split(f"{name}.")[-1] for test, _ in result.failures + result.errors]
    print("\n" + json.dumps({"ran": result.testsRun, "failed": failed, "replaced": replaced}))


if __name__ == "__main__":
    main(*sys.argv[1:])
