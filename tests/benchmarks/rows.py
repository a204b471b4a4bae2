"""The rows of the table, in groups."""

import functools
import importlib
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable

from measure import in_turns, per_operation, show
from responsive import responsive
from row import Row, cost_row

import lpf

try:
    import greenlet
except ImportError:
    raise SystemExit("the benchmarks need the extra: pip install '.[bench]'") from None

NOTES = (
    "ratio: ours to theirs. noise: how much slower the median round was than the best one, ours and",
    "theirs; the figures are those of the best round (of calls, switches, workloads), or medians.",
    "plain call: f(*()), a call site that knows as little of f as launch does; f is lambda: None.",
    "inlined call: f(), for which the interpreter loop makes no call at all.",
    "C frames: 100 levels of sorted(…, key=…) below the switch.",
)


def nothing() -> None:
    pass


# ---- Calls ------------------------------------------------------------------------------------


def calls() -> Iterable[Row]:
    names = {"f": lambda: None, "a": (), "launch": lpf.launch, "greenlet": greenlet.greenlet}
    statements = ("launch(f)", "launch(f, timeout=1)", "f(*a)", "f()")
    free, limited, plain, inlined = per_operation(statements, names)
    yield cost_row("launch and finish, no limit", free, "plain call", plain, 5)
    yield cost_row("", free, "inlined call", inlined)
    free, switched = per_operation(
        ("launch(f)", "greenlet(f).switch()"), names, rounds=20, number=5_000
    )
    yield cost_row("", free, "greenlet made, switched to", switched, 0.1)
    yield cost_row("launch and finish, limit 1 s", limited, "plain call", plain, 8)
    yield cost_row("", limited, "inlined call", inlined)


# ---- Switches ---------------------------------------------------------------------------------


def below(levels: int, innermost: Callable[[], object]) -> object:
    if levels == 0:
        return innermost()
    return sorted([0], key=lambda _: below(levels - 1, innermost))


def pause_for_ever() -> None:
    pause = lpf.pause
    while True:
        pause()


def switch_for_ever() -> None:
    switch = greenlet.getcurrent().parent.switch
    while True:
        switch()


def switches() -> Iterable[Row]:
    ours = [lpf.launch(below, levels, pause_for_ever) for levels in (0, 100)]
    theirs = [
        greenlet.greenlet(functools.partial(below, levels, switch_for_ever)) for levels in (0, 100)
    ]
    for other in theirs:
        other.switch()
    names = {
        "r0": ours[0].resume,
        "r1": ours[1].resume,
        "s0": theirs[0].switch,
        "s1": theirs[1].switch,
    }
    shallow, their_shallow = per_operation(("r0()", "s0()"), names)
    deep, their_deep = per_operation(("r1()", "s1()"), names, rounds=20, number=1_000)
    both = per_operation(("r1()", "r0()"), names)
    yield cost_row("resume and pause", shallow, "greenlet, there and back", their_shallow, 0.4)
    yield cost_row("the same below 100 C frames", deep, "greenlet, there and back", their_deep, 0.4)
    yield cost_row("", both[0], "ours without C frames", both[1], 1.5)
    for continuation in ours:
        continuation.cancel()
    for other in theirs:
        other.throw()


# ---- Deadlines --------------------------------------------------------------------------------

LIMIT = 0.001


def spin() -> None:
    while True:
        pass


class Alarmed(Exception):
    pass


def raise_alarmed(number: int, frame: object) -> None:
    raise Alarmed


def late_launch() -> float:
    start = time.perf_counter()
    continuation = lpf.launch(spin, timeout=LIMIT)
    late = time.perf_counter() - start - LIMIT
    continuation.cancel()
    return late


def late_resume(continuation: lpf.Continuation[None]) -> float:
    start = time.perf_counter()
    continuation.resume(timeout=LIMIT)
    return time.perf_counter() - start - LIMIT


def late_alarm() -> float:
    start = time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        spin()
    except Alarmed:
        pass
    return time.perf_counter() - start - LIMIT


def deadlines() -> Iterable[Row]:
    before = signal.signal(signal.SIGALRM, raise_alarmed)
    resumed = lpf.launch(spin, timeout=LIMIT)
    launch, resume, alarm = in_turns(
        1_000, late_launch, functools.partial(late_resume, resumed), late_alarm
    )
    resumed.cancel()
    signal.signal(signal.SIGALRM, before)
    peer = "SIGALRM handler that raises"
    for what, ours in (("launch", launch), ("resume", resume)):
        for name, part in (("p50", 0.5), ("p99", 0.99)):
            mine, other = ours.quantile(part), alarm.quantile(part)
            title = f"1 ms deadline to control in the caller, {what}, {name}"
            yield Row(title, show(mine), peer, show(other), mine / other, 1.0)


# ---- Workloads --------------------------------------------------------------------------------


class Particle:
    def __init__(self, x: float, v: float) -> None:
        self.x = x
        self.v = v

    def move(self, dt: float) -> None:
        self.v -= self.x * dt
        self.x += self.v * dt


def workload() -> float:
    """Attributes, floats, dictionaries, strings, generators, exceptions: some 30 ms."""
    particles = [Particle(i / 10, 1.0) for i in range(50)]
    for _ in range(400):
        for particle in particles:
            particle.move(0.01)
    counts: dict[str, int] = {}
    for i in range(40_000):
        key = f"k{i % 997}"
        counts[key] = counts.get(key, 0) + i
    caught = 0
    for i in range(10_000):
        try:
            if i % 3 == 0:
                raise ValueError(i)
        except ValueError:
            caught += 1
    total = sum(i * i % 7 for i in range(100_000))
    return sum(p.x for p in particles) + len(counts) + caught + total


def timed(run: Callable[[], object]) -> Callable[[], float]:
    def measured() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return measured


def sliced(quantum: float) -> None:
    continuation = lpf.launch(workload, timeout=quantum)
    while not continuation.done:
        continuation.resume(timeout=quantum)
    continuation.result()


def interrupted(interval: float) -> None:
    """Signals alone, whose handler does nothing: what no preemption can be cheaper than."""
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, interval, interval)
    workload()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def workloads() -> Iterable[Row]:
    outside, inside, coarse, fine, bare = in_turns(
        100,
        timed(workload),
        timed(lambda: lpf.launch(workload).result()),
        timed(lambda: sliced(0.001)),
        timed(lambda: sliced(0.0001)),
        timed(lambda: interrupted(0.0001)),
    )
    peer = "outside"
    yield cost_row("pure Python inside, no limit", inside, peer, outside, 1.01)
    yield cost_row("preempted, resumed every 1 ms", coarse, peer, outside, 1.03)
    yield cost_row("preempted, resumed every 100 µs", fine, peer, outside, 1.25)
    yield cost_row("", fine, "empty SIGALRM handler, 100 µs", bare)


# ---- Memory -----------------------------------------------------------------------------------

MEMORY = """
import re, sys
import lpf, greenlet
def resident():
    with open("/proc/self/status") as file:
        text = file.read()
    return sum(int(re.search(name + r":\\s+(\\d+)", text)[1]) for name in ("VmRSS", "VmPTE"))
def pauser():
    lpf.pause()
def switcher():
    greenlet.getcurrent().parent.switch()
def paused():
    return lpf.launch(pauser)
def switched():
    made = greenlet.greenlet(switcher)
    made.switch()
    return made
make, count = {"lpf": paused, "greenlet": switched}[sys.argv[1]], int(sys.argv[2])
kept = [make() for _ in range(8)]  # Whatever the first ones cost once for all.
kept += [None] * count
before = resident()
for i in range(count):
    kept[-1 - i] = make()
print((resident() - before) * 1024 / count)
sys.stdout.flush()
if sys.argv[1] == "greenlet":
    import os
    os._exit(0)
"""


def memory_of(kind: str, count: int) -> float:
    command = [sys.executable, "-c", MEMORY, kind, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def kilobytes(size: float) -> str:
    return f"{size / 1024:.1f} KB"


def memory() -> Iterable[Row]:
    aim = 64 * 1024
    one = statistics.median(memory_of("lpf", 1) for _ in range(5))
    yield Row(
        "a paused function, resident with page tables",
        kilobytes(one),
        "64 KB",
        kilobytes(aim),
        one / aim,
        1,
    )
    many = memory_of("lpf", 10_000)
    yield Row(
        "each of 10,000 paused at once", kilobytes(many), "64 KB", kilobytes(aim), many / aim, 1
    )
    other = memory_of("greenlet", 10_000)
    yield Row("", kilobytes(many), "greenlet", kilobytes(other), many / other)


# ---- Limits -----------------------------------------------------------------------------------

Limited = Callable[[Callable[[], None]], object]
"""Calls a function with a limit of 50 ms, and does not raise if it takes longer."""


def with_lpf(f: Callable[[], None]) -> None:
    try:
        lpf.call(f, timeout=0.05)
    except lpf.TimedOut:
        pass


def with_func_timeout() -> Limited:
    module = importlib.import_module("func_timeout")

    def limited(f: Callable[[], None]) -> None:
        try:
            module.func_timeout(0.05, f)
        except module.FunctionTimedOut:
            pass

    return limited


def with_stopit() -> Limited:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of pkg_resources.
        module = importlib.import_module("stopit")

    def limited(f: Callable[[], None]) -> None:
        with module.ThreadingTimeout(0.05):
            f()

    return limited


def with_pebble() -> Limited:
    decorate = importlib.import_module("pebble").concurrent.process(timeout=0.05)

    def limited(f: Callable[[], None]) -> None:
        try:
            decorate(f)().result()
        except TimeoutError:
            pass

    return limited


def with_decorator() -> Limited:
    module = importlib.import_module("timeout_decorator")

    def limited(f: Callable[[], None]) -> None:
        try:
            module.timeout(0.05)(f)()
        except module.TimeoutError:
            pass

    return limited


PEERS: dict[str, tuple[Callable[[], Limited], int, int]] = {
    # How it is made, rounds, and calls in a round.
    "func_timeout": (with_func_timeout, 30, 20),
    "stopit": (with_stopit, 30, 1_000),
    "timeout-decorator (SIGALRM)": (with_decorator, 30, 1_000),
    "pebble": (with_pebble, 10, 2),
}


def repeated(limited: Limited, number: int) -> Callable[[], float]:
    def measured() -> float:
        start = time.perf_counter()
        for _ in range(number):
            limited(nothing)
        return (time.perf_counter() - start) / number

    return measured


def overshoot(limited: Limited) -> Callable[[], float]:
    run = timed(lambda: limited(spin))
    return lambda: run() - 0.05


def limits() -> Iterable[Row]:
    found: dict[str, tuple[Limited, int, int]] = {}
    for name, (make, rounds, number) in PEERS.items():
        try:
            found[name] = (make(), rounds, number)
        except ImportError as error:
            yield Row(f"{name} is missing: {error}", "", "", "", 0.0)
    what = "50 ms limit on a Python loop: overshoot, p50"
    for name, (limited, rounds, _) in found.items():
        ours, theirs = in_turns(rounds, overshoot(with_lpf), overshoot(limited))
        mine, other = ours.quantile(0.5), theirs.quantile(0.5)
        yield Row(what, show(mine), name, show(other), mine / other, 1)
        what = ""
    what = "a call that finishes under a limit"
    for name, (limited, rounds, number) in found.items():
        ours, theirs = in_turns(rounds, repeated(with_lpf, 2_000), repeated(limited, number))
        yield cost_row(what, ours, name, theirs, 1)
        what = ""


# ---- Cells ------------------------------------------------------------------------------------


def cells() -> Iterable[Row]:
    try:
        kernels = importlib.import_module("kernels")
    except ImportError as error:
        yield Row(f"cells are left out: {error}", "", "", "", 0.0)
        return
    ours, stock = kernels.compare(30)
    yield cost_row("an empty cell, CPU time in a kernel", ours, "without the extension", stock)
    more, aim = ours.least - stock.least, 50e-6
    yield Row("what it costs more", show(more), "aim", show(aim), more / aim, 1)


# ---- Bombs ------------------------------------------------------------------------------------


def bombs() -> Iterable[Row]:
    try:
        denial = importlib.import_module("denial")
    except ImportError as error:
        yield Row(f"bombs are left out: {error}", "", "", "", 0.0)
        return
    yield from denial.rows()


GROUPS: dict[str, Callable[[], Iterable[Row]]] = {
    "calls": calls,
    "switches": switches,
    "deadlines": deadlines,
    "workloads": workloads,
    "memory": memory,
    "limits": limits,
    "cells": cells,
    "responsive": responsive,
    "bombs": bombs,
}
