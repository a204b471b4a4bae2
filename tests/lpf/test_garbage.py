"""Finalizers, weak references, the collector, reference counts: nothing leaks, nothing dies early."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import lpf
from reach import left_in, left_when


def spin() -> None:
    while True:
        pass


class Thing:
    pass


def test_a_function_and_its_arguments_live_as_long_as_they_must() -> None:
    thing = Thing()
    watched = weakref.ref(thing)

    def f(x: Thing) -> None:
        lpf.pause()

    c = lpf.launch(f, thing)
    del thing
    gc.collect()
    assert watched() is not None
    c.resume()
    assert watched() is None


def test_the_result_and_the_exception_live_as_long_as_the_continuation() -> None:
    c = lpf.launch(Thing)
    watched = weakref.ref(c.result())
    assert watched() is not None
    del c
    assert watched() is None


def test_a_continuation_can_be_referred_to_weakly() -> None:
    c = lpf.launch(lpf.pause)
    dead: list[object] = []
    watched = weakref.ref(c, dead.append)
    assert watched() is c
    c.resume()
    del c
    assert watched() is None
    assert dead == [watched]


def test_dropping_a_paused_one_cancels_it_at_once() -> None:
    log: list[str] = []

    def f() -> None:
        try:
            lpf.pause()
        except lpf.Cancelled:
            log.append("cancelled")
            raise
        finally:
            log.append("finally")

    c = lpf.launch(f)
    assert log == []
    del c
    assert log == ["cancelled", "finally"]
    assert lpf.live() == []


def test_dropping_a_ready_one_forgets_it() -> None:
    ran: list[int] = []
    c = lpf.launch(ran.append, 1, timeout=0)
    del c
    assert ran == []
    assert lpf.live() == []


def test_dropping_one_that_holds_others_cancels_them_too() -> None:
    log: list[int] = []

    def level(n: int) -> None:
        try:
            if n:
                lpf.launch(level, n - 1).result()
            spin()
        finally:
            log.append(n)

    c = left_in(spin, level, 3)
    assert c.state == "paused"
    del c
    assert log == [0, 1, 2, 3]


def test_what_a_dropped_one_raises_is_reported_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(unraisable))

    def f() -> None:
        try:
            lpf.pause()
        finally:
            raise ValueError("in finally")

    c = lpf.launch(f)
    del c
    assert lpf.live() == []
    assert all(isinstance(r.exc_value, ValueError) for r in reported)


def test_a_drop_while_an_exception_is_on_its_way_does_not_disturb_it() -> None:
    log: list[str] = []

    def f() -> None:
        try:
            lpf.pause()
        finally:
            log.append("finally")

    def g() -> None:
        c = lpf.launch(f)
        raise KeyError(c.state)

    with pytest.raises(KeyError, match="paused") as caught:
        g()
    assert caught.value.__context__ is None
    caught.value.__traceback__ = None
    del caught
    gc.collect()
    assert log == ["finally"]


def test_a_finalizer_that_pauses_while_a_continuation_is_dropped() -> None:
    class Pausing:
        def __del__(self) -> None:
            if lpf.current() is not None:
                lpf.pause()

    def f() -> str:
        thing = Pausing()
        del thing
        return "end"

    c = lpf.launch(f)
    assert c.state == "paused"
    assert c.resume().result() == "end"


def test_exceptions_in_finalizers_during_a_cancel_are_reported_and_the_cancel_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda unraisable: reported.append(type(unraisable.exc_value))
    )

    class Bad:
        def __del__(self) -> None:
            raise ValueError("in __del__")

    def f() -> None:
        bad = [Bad(), Bad()]
        spin()
        del bad

    def g() -> None:
        try:
            f()
        finally:
            Bad()

    c = left_in(spin, g)
    assert c.cancel() == "cancelled"
    del c
    gc.collect()
    assert reported == [ValueError] * 3


def test_a_cycle_of_a_finished_one_is_collected() -> None:
    def make() -> weakref.ref[Any]:
        box: list[Any] = []

        def f() -> list[Any]:
            return box

        box.append(lpf.launch(f))
        return weakref.ref(box[0])

    watched = make()
    gc.collect()
    assert watched() is None


def test_a_cycle_of_a_ready_one_is_collected() -> None:
    def make() -> weakref.ref[Any]:
        box: list[Any] = []
        box.append(lpf.launch(len, box, timeout=0))
        return weakref.ref(box[0])

    watched = make()
    gc.collect()
    assert watched() is None
    assert lpf.live() == []


def test_a_cycle_through_an_exception_is_collected() -> None:
    def make() -> weakref.ref[Any]:
        error = ValueError()

        def f() -> None:
            raise error

        error.c = lpf.launch(f)  # type: ignore[attr-defined]
        return weakref.ref(error.c)  # type: ignore[attr-defined]

    watched = make()
    gc.collect()
    assert watched() is None


def test_a_paused_one_that_refers_to_itself_stays_and_is_listed() -> None:
    """Its stack cannot be looked through: it may be doing anything with what it refers to."""

    def f() -> str:
        me = lpf.current()
        lpf.pause()
        return repr(me)

    lpf.launch(f)
    gc.collect()
    (c,) = lpf.live()
    assert c.state == "paused"
    assert c.resume().state == "finished"


def test_the_collector_runs_with_hundreds_paused() -> None:
    def f(n: int) -> int:
        rubbish: Any = [Thing() for _ in range(20)]
        rubbish.append(rubbish)
        cell = lambda: rubbish  # noqa: E731
        lpf.pause()
        return len(cell()) + n

    paused = [lpf.launch(f, n) for n in range(500)]
    for _ in range(3):
        gc.collect()
    assert [c.resume().result() for c in paused] == [21 + n for n in range(500)]


def test_a_collection_inside_is_not_left_in_the_middle() -> None:
    """The guard "gc": no collection could start while one stands still."""
    begun: list[bool] = []
    seen: list[bool] = []

    class Slow:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            begun.append(True)
            total = 0
            for i in range(200_000):
                total += i
            seen.append(True)

    def f() -> None:
        Slow()
        gc.collect()
        while not over:
            pass

    over: list[int] = []
    c = left_when(lambda: begun, f)
    assert seen == [True]
    assert c.state == "paused"
    over.append(1)
    c.resume()
    assert c.state == "finished"


def test_limits_hold_in_a_finalizer_that_the_collector_runs(child: Callable[..., Any]) -> None:
    """The collection that is under way is not the function's own."""
    done = child("""
import gc, lpf
def spin():
    while True: pass
class Thing:
    def __init__(self, f): self.itself, self.f = self, f
    def __del__(self): print(self.f())
def call():
    try: lpf.call(spin, timeout=.01)
    except lpf.TimedOut: return "timed out"
def block():
    try:
        with lpf.time_limit(.01): spin()
    except lpf.TimedOut: return "timed out"
def launch():
    c = lpf.launch(spin, timeout=.01)
    return c.state, c.cancel()
for f in call, block, launch: Thing(f)
gc.collect()
""")
    assert done.lines == ["timed out", "timed out", "('paused', 'cancelled')"]


def test_collections_under_preemption_find_everything() -> None:
    alive = weakref.WeakSet[Any]()

    def f() -> int:
        made = 0
        for _ in range(2000):
            thing = Thing()
            thing.me = thing  # type: ignore[attr-defined]
            alive.add(thing)
            made += 1
        return made

    before = gc.get_threshold()
    gc.set_threshold(50, 5, 5)
    try:
        c = lpf.launch(f, timeout=0.0002)
        while not c.done:
            c.resume(timeout=0.0002)
    finally:
        gc.set_threshold(*before)
    assert c.result() == 2000
    gc.collect()
    assert len(alive) <= 1


def test_a_dealloc_in_the_middle_of_a_switch_storm() -> None:
    class Chain:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __del__(self) -> None:
            if lpf.current() is not None:
                lpf.pause()

    def f() -> str:
        chain: Any = None
        for _ in range(200):
            chain = Chain(chain)
        del chain
        return "end"

    running = [lpf.launch(f) for _ in range(5)]
    while not all(c.done for c in running):
        for c in running:
            if not c.done:
                c.resume()
    assert [c.result() for c in running] == ["end"] * 5


# ---- Leaks ------------------------------------------------------------------------------------


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def mapped() -> int:
    with open("/proc/self/maps") as file:
        return len(file.readlines())


def finish() -> None:
    lpf.launch(sum, (1, 2), timeout=60)


def fail() -> None:
    lpf.launch(int, "x")


def pause_and_resume() -> None:
    c = lpf.launch(lpf.pause, "value")
    c.resume()


def pause_and_drop() -> None:
    lpf.launch(lpf.pause, ["value"])


def pause_and_cancel() -> None:
    lpf.launch(lpf.pause).cancel()


def create_and_drop() -> None:
    lpf.launch(print, "never", sep="", timeout=0)


def throw() -> None:
    lpf.launch(lpf.pause).throw(KeyError("k"))


def nest() -> None:
    lpf.launch(lambda: lpf.launch(lambda: lpf.launch(lpf.pause)))


def inspect_it() -> None:
    c = lpf.launch(lambda: lpf.pause())
    (repr(c), c.stack(), c.frame, c.elapsed, c.cpu_time, c.name, c.function, c.thread_id)


def refuse() -> None:
    for bad in (-1, "x", float("nan"), -(10**400)):
        with pytest.raises((ValueError, TypeError)):
            lpf.launch(int, timeout=bad)  # type: ignore[arg-type]


def limit() -> None:
    with lpf.time_limit(60):
        pass


def deep() -> None:
    def down(n: int) -> Any:
        return lpf.pause() if n == 0 else down(n - 1)

    lpf.launch(down, 300).resume()


OPERATIONS = [
    finish,
    fail,
    pause_and_resume,
    pause_and_drop,
    pause_and_cancel,
    create_and_drop,
    throw,
    nest,
    inspect_it,
    refuse,
    limit,
    deep,
]


def counts() -> dict[str, int]:
    watched: dict[str, object] = {
        "None": None,
        "Continuation": lpf.Continuation,
        "Cancelled": lpf.Cancelled,
        "TimedOut": lpf.TimedOut,
        "time_limit": lpf.time_limit,
        "pause": lpf.pause,
        "KeyError": KeyError,
        "ValueError": ValueError,
        "type": type,
        "object": object,
        "str": str,
    }
    return {name: sys.getrefcount(thing) for name, thing in watched.items()}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
def test_nothing_is_left_after_ten_thousand(operation: Callable[[], None]) -> None:
    rounds = 1000 if operation in (deep, refuse) else 10_000

    def repeat(n: int) -> None:
        for _ in range(n):
            operation()

    repeat(500)
    gc.collect()
    objects, before, memory, maps = len(gc.get_objects()), counts(), resident(), mapped()
    blocks = sys.getallocatedblocks()
    repeat(rounds)
    gc.collect()
    after = counts()
    drift = {name: after[name] - before[name] for name in before}
    assert all(abs(d) < rounds // 20 for d in drift.values()), drift
    assert len(gc.get_objects()) - objects < rounds // 20
    assert sys.getallocatedblocks() - blocks < rounds // 20
    assert resident() - memory < 4 * 2**20
    assert mapped() - maps < 20
    assert lpf.live() == []


def test_nothing_is_left_after_timeouts() -> None:
    def repeat(n: int) -> None:
        for i in range(n):
            c = lpf.launch(spin, timeout=0.0001)
            if i % 2:
                c.cancel()
            del c
            with pytest.raises(lpf.TimedOut):
                lpf.call(spin, timeout=0.0001)

    repeat(100)
    gc.collect()
    blocks, memory, maps, before = sys.getallocatedblocks(), resident(), mapped(), counts()
    repeat(1000)
    gc.collect()
    after = counts()
    assert all(abs(after[name] - before[name]) < 50 for name in before), (before, after)
    assert sys.getallocatedblocks() - blocks < 50
    assert resident() - memory < 4 * 2**20
    assert mapped() - maps < 20


def test_many_at_once_give_their_memory_back() -> None:
    def use(depth: int) -> None:
        if depth:
            use(depth - 1)
        else:
            lpf.pause()

    def many() -> None:
        paused = [lpf.launch(use, 300) for _ in range(300)]
        for c in paused[::2]:
            c.resume()

    many()
    gc.collect()
    memory, maps = resident(), mapped()
    for _ in range(3):
        many()
    gc.collect()
    assert resident() - memory < 16 * 2**20
    assert mapped() - maps < 50


def test_a_paused_function_costs_little_memory() -> None:
    before = resident()
    paused = [lpf.launch(lpf.pause) for _ in range(2000)]
    each = (resident() - before) / len(paused)
    for c in paused:
        c.resume()
    assert each < 64 * 1024
