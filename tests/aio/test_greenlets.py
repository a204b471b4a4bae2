"""Greenlets that wait across the steps of a task, as SQLAlchemy's asyncio makes them: a child process, for it may crash."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("greenlet")

SPAWN = """
import asyncio, greenlet
async def spawn(f, *args):
    g = greenlet.greenlet(f)
    awaited = g.switch(*args)
    while not g.dead:
        awaited = g.switch(await awaited)
    return awaited
def wait(awaitable):
    return greenlet.getcurrent().parent.switch(awaitable)
def deep(n, awaitable):
    return wait(awaitable) + n if n == 0 else deep(n - 1, awaitable) + 1
def work(n):
    return sum(deep(n, asyncio.sleep(0.0005, 1)) for _ in range(10))
"""
TASKS = """
import gc, sys, lpf.aio
def busy(n):
    for i in range(n): pass
async def task(n):
    total = 0
    for _ in range(10):
        total += await spawn(work, n)
        busy(20000 * (n % 3))
    return total
async def main():
    with lpf.aio.install(quantum=0.0003):
        return await asyncio.gather(*(asyncio.create_task(task(n)) for n in range(12)))
assert asyncio.run(main()) == [100 * (n + 1) for n in range(12)]
print("ok")
"""


def test_tasks_that_are_preempted_beside_each_other() -> None:
    command = [sys.executable, "-X", "faulthandler", "-c", SPAWN + TASKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-2000:]
