"""What the tests of lpf.aio and lpf.Scheduler share: the world is as it was afterwards."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import lpf
from lpf import aio

QUANTUM = 0.0005  # Seconds; short, so that many turns take little time.


def _alive() -> list[lpf.Continuation[Any]]:
    return [c for c in lpf.live() if c.state != "abandoned"]


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    """Nothing alive, nothing preempted, no thread left."""
    lpf.prepare()
    assert _alive() == []
    threads = set(threading.enumerate())
    yield
    if _alive():
        gc.collect()
    left = _alive()
    for c in left:
        if c.state in ("ready", "paused"):
            c.cancel()
    assert left == []
    assert aio._turns.standing == {}
    assert set(threading.enumerate()) <= threads


Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def run() -> Run:
    """asyncio.run, on a loop all of whose tasks are preemptible."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=lambda: aio.new_event_loop(QUANTUM)) as runner:
            try:
                return runner.run(main)
            finally:
                aio.uninstall(runner.get_loop())

    return run


class Work:
    """Computes, without an await, until others have had some turns: no clock is looked at."""

    def __init__(self) -> None:
        self.beats = 0

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.beats += 1

    def until(self, beats: int) -> int:
        """Never ends unless the loop goes on meanwhile."""
        last = self.beats + beats
        while self.beats < last:
            pass
        return self.beats


@pytest.fixture
def work() -> Work:
    return Work()
