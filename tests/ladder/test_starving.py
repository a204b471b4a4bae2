"""Rung 4: C code that holds the GIL and allocates is ended by an allocation that fails."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import lpf


def nested(depth: int = 17) -> list[Any]:
    tree: list[Any] = []
    for _ in range(depth):
        tree = [tree] * 3
    return tree


TREE = nested()


def dumps() -> Any:
    import json

    return json.dumps(TREE)


MANY = [[i] for i in range(1_000_000)]


def pickles() -> Any:
    import pickle

    while True:
        pickle.dumps(MANY)


def logarithm() -> Any:
    import decimal

    with decimal.localcontext() as context:
        context.prec = 2_000_000
        return decimal.Decimal(2).ln()


def sorting() -> Any:
    """Compares equal texts that are not the same; its memory is what it needs for merging."""
    texts = ["x" * 1_000_000, "".join(["x"] * 1_000_000)]
    return sorted((texts[i * 7919 % 1009 % 2], -i) for i in range(100_000))


ENDLESS = [dumps, pickles, logarithm, sorting]


@pytest.mark.parametrize("function", ENDLESS)
def test_it_ends_and_says_of_what(function: Callable[[], Any]) -> None:
    c = lpf.launch(function, timeout=0)
    c.resume(timeout=0.05, insist=True)
    if not c.done:  # Between two calls into C.
        c.cancel(grace=30)
    assert c.starved or c.state == "cancelled"
    assert isinstance(c.exception(), MemoryError | lpf.Cancelled)


def test_a_call_times_out() -> None:
    with pytest.raises(lpf.TimedOut) as caught:
        lpf.call(dumps, timeout=0.05)
    assert not caught.value.abandoned


def test_the_accounts_of_tracemalloc_stay_right() -> None:
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            with pytest.raises(lpf.TimedOut):
                lpf.call(dumps, timeout=0.02)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 200_000
    finally:
        tracemalloc.stop()


def test_tracing_may_begin_and_end_while_allocations_fail() -> None:
    def f() -> None:
        tracemalloc.start()
        try:
            dumps()
        finally:
            tracemalloc.stop()

    for _ in range(3):
        with pytest.raises(lpf.TimedOut):
            lpf.call(f, timeout=0.02)
    assert not tracemalloc.is_tracing()
    assert len([object() for _ in range(10_000)]) == 10_000


def test_tracing_that_begins_meanwhile_may_go_on() -> None:
    code = """
import json, tracemalloc
import lpf
value = []
for _ in range(17):
    value = [value] * 3
class Starting:
    __del__ = staticmethod(tracemalloc.start)
class Stopping:
    __del__ = staticmethod(tracemalloc.stop)
def f(what):
    while True:
        (Starting() if what == "start" else Stopping(), json.dumps(value))
# What is torn down behind the MemoryError finds the wrapped allocators still in their place.
for what in "start", "stop", "start", "stop":
    for _ in range(2):
        try:
            lpf.call(f, what, timeout=0.02)
        except lpf.TimedOut:
            pass
        else:
            raise SystemExit("not stopped")
    assert tracemalloc.is_tracing() == (what == "start")
    kept = [bytes(100) for _ in range(10_000)]
    if what == "start":
        assert tracemalloc.get_traced_memory()[0] > 1_000_000
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "done\n", (done.returncode, done.stderr[-1000:])


def test_other_threads_find_memory() -> None:
    failures: list[BaseException] = []
    made = 0
    done = threading.Event()

    def allocate() -> None:
        nonlocal made
        while not done.is_set():
            try:
                [bytearray(n) for n in range(0, 4000, 100)]
                made += 1
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=allocate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        with pytest.raises(lpf.TimedOut):
            lpf.call(dumps, timeout=0.02)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert made


CHILD = """
import gc, json, pickle, sys
import lpf
tree = []
for _ in range(17):
    tree = [tree] * 3
big = [[i] for i in range(50_000)]
for _ in range(3):
    try:
        lpf.call(lambda: json.dumps(tree), timeout=0.01)
    except lpf.TimedOut:
        pass
    gc.collect()
    assert pickle.loads(pickle.dumps(big)) == big
print("ok")
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONMALLOC": "debug"},
        {"PYTHONMALLOC": "malloc", "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"},
        {"PYTHONMALLOC": "pymalloc"},
    ],
    ids=["debug", "malloc", "pymalloc"],
)
def test_the_allocators_stay_intact(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CHILD],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_code_that_handles_the_memory_error_is_cancelled_all_the_same() -> None:
    seen = 0

    def f() -> None:
        nonlocal seen
        while True:
            try:
                dumps()
            except MemoryError:
                seen += 1

    c = lpf.launch(f, timeout=0)
    c.resume(timeout=0.02, insist=True)
    assert c.cancel(grace=60) == "cancelled"
    assert seen
