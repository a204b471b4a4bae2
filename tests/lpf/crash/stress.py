"""Random work on all of the package at once: stress.py SECONDS [SEED].  Prints its seed, and "ok" at the end.

Every task computes a number that is known beforehand; tasks launch, pause, resume, cancel, throw into
and drop others, at limits of 20 to 500 microseconds, among generators, exceptions, finalizers,
coroutines, garbage, threads and signals.
"""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import gc
import json
import os
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import lpf

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(4), "big")
print("seed", SEED, flush=True)
rng = random.Random(SEED)

END = time.monotonic() + SECONDS
counts = dict.fromkeys(
    ("tasks", "slices", "cancelled", "abandoned", "thrown", "dropped", "signals"), 0
)
variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
finished: list[int] = []
unwound = [0]
entered = [0]


class Wanted(Exception):
    pass


class Noisy:
    """Runs Python code when it dies."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.me = self if n % 3 == 0 else None  # A cycle: the collector finalizes it.

    def __del__(self) -> None:
        finished.append(sum(range(self.n % 50)))
        if len(finished) > 1000:
            finished.clear()


def numbers(n: int) -> Iterator[int]:
    entered[0] += 1
    try:
        yield from range(n)
    finally:
        unwound[0] += 1


def arithmetic(n: int) -> int:
    return sum(i * n for i in range(500))


def generators(n: int) -> int:
    return sum(x * n for x in numbers(500))


def strings(n: int) -> int:
    text = json.dumps([{"k": i * n} for i in range(500)])
    return sum(int(m) for m in re.findall(r": (\d+)", text))


def exceptions(n: int) -> int:
    total = 0
    for i in range(500):
        try:
            try:
                raise Wanted(i)
            finally:
                Noisy(i)
        except Wanted as error:
            total += error.args[0] * n
            assert sys.exception() if sys.version_info >= (3, 11) else True
    assert sys.exc_info() == (None, None, None)
    return total


def decimals(n: int) -> int:
    def inside() -> int:
        with decimal.localcontext() as context:
            context.prec = 30 + n % 20
            total = decimal.Decimal(0)
            for i in range(500):
                total += decimal.Decimal(i) * n
                assert decimal.getcontext().prec == 30 + n % 20
        return int(total)

    return contextvars.copy_context().run(inside)


def contexts(n: int) -> int:
    def inside() -> int:
        variable.set(n)
        total = 0
        for i in range(500):
            total += i * variable.get()
        return total

    return contextvars.copy_context().run(inside)


def coroutines(n: int) -> int:
    async def leaf(i: int) -> int:
        return i * n

    async def agen() -> Any:
        for i in range(500):
            yield await leaf(i)

    async def main() -> int:
        return sum([x async for x in agen()])

    coroutine = main()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError


def recursion(n: int) -> int:
    def down(i: int) -> int:
        return 0 if i < 0 else i * n + down(i - 1)

    return down(499)


def sorting(n: int) -> int:
    items = [(i * 7919) % 500 for i in range(500)]
    items.sort(key=lambda x: -x)
    return sum(items) * n


def threads(n: int) -> int:
    box: list[int] = []
    thread = threading.Thread(target=lambda: box.append(arithmetic(n)))
    thread.start()
    thread.join()
    return box[0]


def rubbish(n: int) -> int:
    for i in range(20):
        a: list[Any] = [Noisy(3)]
        a.append(a)
        if i == 10 and rng.random() < 0.05:
            gc.collect()
    return arithmetic(n)


def pausing(n: int) -> int:
    total = 0
    for i in range(500):
        total += i * n
        if i % 100 == 0 and lpf.current() is not None:
            lpf.pause(i)
    return total


def protected(n: int) -> int:
    with lpf.uninterruptible():
        return arithmetic(n)


def limited(n: int) -> int:
    try:
        with lpf.time_limit(rng.choice([0.0001, 0.001, 60])):
            return generators(n)
    except lpf.TimedOut:
        return arithmetic(n)


def called(n: int) -> int:
    while True:
        try:
            return lpf.call(rng.choice(SIMPLE), n, timeout=rng.choice([0.0005, 0.005, 60]))
        except lpf.TimedOut:
            pass


def spinning(n: int) -> int:
    while True:
        n += 1


def stubborn(n: int) -> int:
    """Swallows its cancellation a few times."""
    for _ in range(3):
        try:
            while True:
                n += 1
        except BaseException:
            pass
    return n


SIMPLE: list[Callable[[int], int]] = [
    arithmetic,
    generators,
    strings,
    exceptions,
    decimals,
    contexts,
    coroutines,
    recursion,
    sorting,
    rubbish,
]
RIGHT: list[Callable[[int], int]] = [*SIMPLE, threads, pausing, protected, limited]


def limit() -> float | None:
    return rng.choice([0.00002, 0.00005, 0.0001, 0.0002, 0.0005, None])


def drive(c: lpf.Continuation[int]) -> int:
    while not c.done:
        counts["slices"] += 1
        c.resume(timeout=limit())
    return c.result()


def nested(n: int) -> int:
    """Launches others and gives the right number all the same."""
    kind = rng.random()
    if kind < 0.4:
        return drive(lpf.launch(rng.choice(ALL), n, timeout=limit()))
    if kind < 0.6:
        others = [lpf.launch(rng.choice(RIGHT), n, timeout=0) for _ in range(3)]
        rng.shuffle(others)
        for c in others:
            assert drive(c) == n * EACH
        return n * EACH
    if kind < 0.7:
        return called(n)
    doomed = lpf.launch(rng.choice([spinning, stubborn, *SIMPLE]), n, timeout=0.0003)
    if kind < 0.8 and not doomed.done:
        state = doomed.cancel(grace=0.5)
        counts["abandoned" if state == "abandoned" else "cancelled"] += 1
    elif kind < 0.9 and not doomed.done:
        counts["thrown"] += 1
        doomed.throw(Wanted, timeout=0.0005)
        if not doomed.done:
            doomed.cancel()
    else:
        counts["dropped"] += 1
        del doomed
    return arithmetic(n)


ALL = [*RIGHT, nested]
EACH = sum(range(500))


def background() -> None:
    """Other threads run hard, and use what needs no limit."""
    while time.monotonic() < END:
        time.sleep(0.001)
        c = lpf.launch(pausing, 3)
        while not c.done:
            c.resume()
        assert c.result() == 3 * EACH
        half = lpf.launch(pausing, 3)
        half.cancel()


def on_signal(number: int, frame: object) -> None:
    counts["signals"] += 1
    arithmetic(2)


def main() -> None:
    sys.setswitchinterval(0.0002)
    sys.unraisablehook = id  # In C: a cancel that comes right then cannot be raised in it.
    signal.signal(signal.SIGALRM, on_signal)
    signal.signal(signal.SIGPROF, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.0017)
    signal.setitimer(signal.ITIMER_PROF, 0.003, 0.0023)
    helpers = [threading.Thread(target=background) for _ in range(2)]
    for helper in helpers:
        helper.start()
    standing: list[tuple[lpf.Continuation[int], int]] = []
    while time.monotonic() < END:
        if len(standing) < 20 and rng.random() < 0.5:
            n = rng.randrange(1, 100)
            standing.append((lpf.launch(rng.choice(ALL), n, timeout=limit()), n))
            counts["tasks"] += 1
        elif standing:
            at = rng.randrange(len(standing))
            c, n = standing[at]
            if not c.done:
                counts["slices"] += 1
                c.resume(timeout=limit())
            if c.done:
                assert c.result() == n * EACH, (c, n)
                del standing[at]
            elif rng.random() < 0.01:
                c.cancel()
                counts["cancelled"] += 1
                del standing[at]
        assert lpf.current() is None
        assert variable.get() == 0
        assert decimal.getcontext().prec == 28
    for helper in helpers:
        helper.join()
    for c, n in standing:
        while not c.done:
            c.resume()
        assert c.result() == n * EACH
    del c, standing
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    gc.collect()
    left = [c for c in lpf.live() if c.state != "abandoned"]
    assert left == [], left
    assert asyncio.run(asyncio.sleep(0, 1)) == 1
    print(counts, flush=True)
    print("ok", flush=True)


main()
