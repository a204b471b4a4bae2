"""Rows: decoding what strangers send, with 10 ms for each input."""

import functools
import gc
import importlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bombs
from measure import Cost, in_turns, show
from rows import Row, cost_row

import lpf

LIMIT = 0.010
AIM = 100e-6
THOUSAND = 1_000
ROUNDS = 15

# Decodes data; raises something after the limit.
Limited = Callable[[Callable[[bytes], object], bytes], object]


def with_call(decode: Callable[[bytes], object], data: bytes) -> object:
    return lpf.call(decode, data, timeout=LIMIT)


@contextmanager
def alarm() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def with_alarm(decode: Callable[[bytes], object], data: bytes) -> object:
    with alarm():
        return decode(data)


def with_thread(decode: Callable[[bytes], object], data: bytes) -> object:
    return importlib.import_module("func_timeout").func_timeout(LIMIT, decode, (data,))


@functools.cache
def pool() -> object:
    made = importlib.import_module("pebble").ProcessPool(max_workers=1)
    made.schedule(len, args=(b"",)).result()
    return made


def with_process(decode: Callable[[bytes], object], data: bytes) -> object:
    return pool().schedule(decode, args=(data,), timeout=LIMIT).result()  # type: ignore[attr-defined]


PEERS: dict[str, Limited] = {
    "SIGALRM": with_alarm,
    "func_timeout, a thread": with_thread,
    "pebble, a process": with_process,
}


def seconds(limited: Limited, decode: Callable[[bytes], object], data: bytes) -> float:
    start = time.perf_counter()
    try:
        limited(decode, data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
    return time.perf_counter() - start


def paused(decode: Callable[[bytes], object], data: bytes) -> float:
    """Until control is back, with the function frozen; then it is unwound, outside of the measure."""
    start = time.perf_counter()
    c = lpf.launch(decode, data, timeout=LIMIT)
    took = time.perf_counter() - start
    c.cancel(grace=None)
    return took


def late(cost: Cost) -> float:
    return max(cost.quantile(0.5) - LIMIT, 1e-9)


def benign(kind: bombs.Input) -> Iterable[Row]:
    ours, plain = in_turns(
        40,
        lambda: seconds(with_call, kind.decode, kind.benign),
        lambda: seconds(lambda decode, data: decode(data), kind.decode, kind.benign),
    )
    yield cost_row(f"{kind.kind}, benign: lpf.call", ours, "plain call", plain, 1.05)


def bomb(kind: bombs.Input) -> Iterable[Row]:
    names = {name: limited for name, limited in PEERS.items() if name != "func_timeout, a thread"}
    back, unwound, *theirs = in_turns(
        ROUNDS,
        lambda: paused(kind.decode, kind.bomb),
        lambda: seconds(with_call, kind.decode, kind.bomb),
        *(
            lambda limited=limited: seconds(limited, kind.decode, kind.bomb)
            for limited in names.values()
        ),
    )
    aim = show(AIM)
    what = f"{kind.kind}, bomb: late, p50, launch"
    yield Row(what, show(late(back)), "aim", aim, late(back) / AIM, 1)
    yield Row(
        "  call: unwound, memory returned", show(late(unwound)), "aim", aim, late(unwound) / AIM
    )
    for name, cost in zip(names, theirs, strict=True):
        yield Row("", show(late(unwound)), name, show(late(cost)), late(unwound) / late(cost))


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def thousand(kinds: list[bombs.Input]) -> Iterable[Row]:
    """The short ones in turn; the first hundred fill the pools."""
    short = [kind for kind in kinds if kind.kind in ("zip", "regex", "XML", "JPEG")]
    for number in range(100):
        seconds(with_call, short[number % len(short)].decode, short[number % len(short)].bomb)
    gc.collect()
    before = resident()
    for number in range(THOUSAND):
        seconds(with_call, short[number % len(short)].decode, short[number % len(short)].bomb)
    gc.collect()
    grown = max(resident() - before, 0) / 2**20
    yield Row("memory more after 1,000 bombs", f"{grown:.1f} MB", "aim", "10 MB", grown / 10, 1)


def rows() -> Iterable[Row]:
    kinds = bombs.inputs()
    for kind in kinds:
        yield from benign(kind)
    for kind in kinds:
        yield from bomb(kind)
    yield from thousand(kinds)
    if pool.cache_info().currsize:
        pool().stop()  # type: ignore[attr-defined]
        pool().join()  # type: ignore[attr-defined]
