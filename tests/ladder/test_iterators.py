"""Rung 3: C code that holds the GIL and draws from iterators is left at a call to tp_iternext."""

from __future__ import annotations

import array
import collections
import csv
import functools
import heapq
import io
import itertools
import math
import operator
import re
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lpf

N = 1_000_000
ENDLESS: dict[str, Callable[[], Any]] = {
    "sum": lambda: sum(itertools.repeat(1)),
    "all": lambda: all(itertools.repeat(True)),
    "deque": lambda: collections.deque(itertools.count(), maxlen=0),
    "in": lambda: -1 in itertools.count(),
    "max": lambda: max(itertools.cycle(range(100))),
    "set": lambda: set(itertools.cycle("abc")),
    "dict": lambda: dict.fromkeys(itertools.cycle("abc")),
    "counter": lambda: collections.Counter(itertools.cycle("abc")),
    "islice": lambda: next(itertools.islice(itertools.count(), 2**60, None)),
    "zip": lambda: collections.deque(zip(itertools.count(), itertools.count()), maxlen=0),
    "map": lambda: sum(map(abs, itertools.count())),
    "filter": lambda: list(filter(None, itertools.repeat(0))),
    "reduce": lambda: functools.reduce(operator.or_, itertools.repeat(1)),
    "merge": lambda: collections.deque(heapq.merge(itertools.count(), itertools.count()), maxlen=0),
    "fsum": lambda: math.fsum(itertools.repeat(0.5)),
    "issuperset": lambda: {1}.issuperset(itertools.repeat(1)),
    "writelines": lambda: io.StringIO().writelines(itertools.repeat("")),
}
FINITE: dict[str, Callable[[], Any]] = {
    "sum": lambda: sum(range(N)),
    "all": lambda: all(itertools.repeat(True, 10 * N)),
    "deque": lambda: collections.deque(itertools.islice(itertools.count(), N), maxlen=3),
    "accumulate": lambda: max(itertools.accumulate(range(N))),
    "chain": lambda: min(itertools.chain(range(1, N), range(1, N))),
    "combinations": lambda: sum(1 for _ in itertools.combinations(range(120), 3)),
    "enumerate": lambda: collections.deque(enumerate(range(N)), maxlen=1),
    "pairwise": lambda: collections.deque(itertools.pairwise(range(N)), maxlen=1),
    "counter": lambda: collections.Counter(itertools.islice(itertools.cycle("abc"), N)),
    "join": lambda: len("".join(itertools.repeat("ab", N))),
    "array": lambda: max(array.array("i", range(N))),
    "lines": lambda: collections.deque(io.StringIO("a\n" * N), maxlen=1),
    "records": lambda: collections.deque(csv.reader(itertools.repeat("a,b", N)), maxlen=1),
    "unpacked": lambda: collections.deque(struct.iter_unpack("b", bytes(N)), maxlen=1),
    "matches": lambda: sum(1 for _ in re.finditer("a", "a" * N)),
}


@pytest.fixture(autouse=True)
def slots_are_as_they_were() -> Iterator[None]:
    before = {kind: kind.__next__ for kind in (type(iter([])), type(iter(range(1))), zip, map)}
    yield
    assert all(kind.__next__ is slot for kind, slot in before.items())


@pytest.mark.parametrize("name", ENDLESS)
def test_it_is_paused_and_cancelled(name: str) -> None:
    c = lpf.launch(ENDLESS[name], timeout=0.02)
    assert c.state == "paused"
    c.resume(timeout=0.02)
    assert c.state == "paused"
    assert c.cancel(grace=60) == "cancelled"


@pytest.mark.parametrize("name", FINITE)
def test_sliced_it_gives_the_result_of_the_plain_run(name: str) -> None:
    plain = FINITE[name]()
    c = lpf.launch(FINITE[name], timeout=0.003)
    while not c.done:
        sum(iter([1, 2, 3]))  # Another one uses the same types meanwhile.
        c.resume(timeout=0.003)
    assert c.result() == plain


def test_loops_specialised_for_a_type_go_on_through_a_pause() -> None:
    """FOR_ITER_LIST, _TUPLE, _RANGE and _GEN do not look at the slot."""

    def loops() -> int:
        total = 0
        for _ in range(300):
            for x in [1, 2, 3]:
                total += x
            for x in (4, 5):
                total += x
            for x in range(6):
                total += x
            for x in (y for y in "ab"):
                total += len(x)
            total += sum(iter([1] * 2000))
        return total

    plain = loops()
    c = lpf.launch(loops, timeout=0.001)
    while not c.done:
        c.resume(timeout=0.001)
    assert c.result() == plain


class Heir(zip):  # type: ignore[type-arg]
    """Inherits the slot."""


class Overrider(map):  # type: ignore[type-arg]
    def __next__(self) -> Any:
        return super().__next__() * 2


def test_classes_that_inherited_the_slot_keep_working() -> None:
    c = lpf.launch(lambda: collections.deque(Heir(itertools.count()), maxlen=0), timeout=0.02)
    assert c.state == "paused"
    late = type("Late", (zip,), {})  # Made while something stands still.
    assert list(late([1, 2])) == list(Heir([1, 2])) == [(1,), (2,)]
    assert list(Overrider(abs, [1, -2])) == [2, 4]
    c.cancel(grace=60)
    assert list(late([1, 2])) == [(1,), (2,)]


def test_a_class_made_while_the_wrappers_are_on_works() -> None:
    made: list[type] = []

    def make() -> Any:
        made.append(type("Made", (zip,), {}))
        return sum(itertools.repeat(1))

    def busy() -> Any:
        for _ in itertools.repeat(0):
            make()

    c = lpf.launch(busy, timeout=0.02)
    c.cancel(grace=60)
    assert list(made[0]([1, 2])) == [(1,), (2,)]


def test_other_threads_that_draw_at_the_same_moment_are_not_disturbed() -> None:
    wrong: list[Any] = []
    done = threading.Event()

    def draw() -> None:
        while not done.is_set():
            got = (sum(range(1000)), list(zip("ab", itertools.count())), max(iter([3, 1, 2])))
            if got != (499500, [("a", 0), ("b", 1)], 3):
                wrong.append(got)

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        c = lpf.launch(ENDLESS["sum"], timeout=0.01)
        c.cancel(grace=60)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters with their own GIL")
def test_another_interpreter_draws_from_the_same_types() -> None:
    code = """
import itertools, threading, sys
import lpf
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
other = interpreters.create()
thread = threading.Thread(target=interpreters.run_string if hasattr(interpreters, "run_string") else interpreters.exec, args=(other, '''
for _ in range(300):
    assert sum(range(10000)) == 49995000
    assert len(list(zip(range(1000), iter([1] * 1000)))) == 1000
print("other is right")
'''))
thread.start()
for _ in range(10):
    c = lpf.launch(lambda: sum(itertools.repeat(1)), timeout=0.01)
    assert c.state == "paused"
    assert c.cancel(grace=60) == "cancelled"
thread.join()
print("ok")
"""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["ok", "other is right"]), (
        done.stderr
    )


@pytest.mark.matrix
def test_it_costs_no_instruction_before_and_after() -> None:
    """Counted by valgrind: what twenty sums execute before anything was paused this way, and after."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("no valgrind")
    code = """
import itertools, sys
import lpf
paused, sums = map(int, sys.argv[1:])
for _ in range(2):
    c = lpf.launch(lambda: sum(itertools.repeat(1)), timeout=0.02) if paused else lpf.launch(int)
    c.cancel(grace=60)
for _ in range(sums):
    sum(range(50_000))
"""

    def instructions(paused: int, sums: int) -> int:
        command = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
        done = subprocess.run(
            [*command, "-c", code, str(paused), str(sums)],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        found = re.search(r"Collected : (\d+)", done.stderr)
        assert found is not None, done.stderr
        return int(found[1])

    before, after = (instructions(paused, 21) - instructions(paused, 1) for paused in (0, 1))
    # Reading the clock of a tick, and the like, is in the noise.
    assert abs(after - before) < 0.02 * before, (before, after)
