"""Other Python threads: they run meanwhile, they ask, they have functions of their own, they drop ours."""

from __future__ import annotations

import concurrent.futures
import gc
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lpf


def spin() -> None:
    while True:
        pass


@contextmanager
def hard_working_threads(count: int) -> Iterator[list[int]]:
    """Threads that want the GIL all the time; each one's rounds."""
    over = threading.Event()
    rounds = [0] * count

    def work(n: int) -> None:
        while not over.is_set():
            rounds[n] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield rounds
    finally:
        over.set()
        for thread in threads:
            thread.join()


def in_thread(f: Callable[[], Any]) -> Any:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(f).result()


def test_preemption_while_other_threads_run_hard() -> None:
    def work() -> int:
        total = 0
        for i in range(200_000):
            total += i
        return total

    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    try:
        with hard_working_threads(3) as rounds:
            c = lpf.launch(work, timeout=0.001)
            while not c.done:
                c.resume(timeout=0.001)
            assert all(rounds)
    finally:
        sys.setswitchinterval(before)
    assert c.result() == sum(range(200_000))


def test_other_threads_go_on_while_a_function_runs_without_end() -> None:
    with hard_working_threads(1) as rounds:
        before = rounds[0]
        c = lpf.launch(lambda: [None for _ in iter(lambda: rounds[0] < before + 1000, False)])
        assert c.done
    assert rounds[0] >= before + 1000


def test_every_thread_has_functions_of_its_own() -> None:
    def worker(n: int) -> list[int]:
        def f(x: int) -> int:
            lpf.pause()
            assert lpf.current() is not None
            lpf.pause()
            return x

        mine = [lpf.launch(f, n * 100 + i) for i in range(20)]
        while not all(c.done for c in mine):
            for c in mine:
                if not c.done:
                    c.resume()
                assert lpf.current() is None
                assert c.thread_id == threading.get_ident()
        return [c.result() for c in mine]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(worker, range(16)))
    assert results == [[n * 100 + i for i in range(20)] for n in range(16)]


def test_a_thread_that_ends_cancels_what_it_leaves_paused() -> None:
    log: list[Any] = []

    def f(x: int) -> None:
        value = [x]
        try:
            lpf.pause()
        finally:
            log.append((threading.get_ident(), value))

    def worker() -> None:
        box.append(lpf.launch(f, 7))
        box.append(lpf.launch(f, 8, timeout=0))
        box.append(threading.get_ident())

    box: list[Any] = []
    thread = threading.Thread(target=worker)
    thread.start()
    thread.join()
    paused, ready, ident = box
    assert (paused.state, ready.state) == ("cancelled", "cancelled")
    assert log == [(ident, [7])]


def test_what_its_thread_has_no_time_to_cancel_stays_as_it_is(child: Callable[..., Any]) -> None:
    """Its frames lie on a stack of its own, which nobody gives back."""
    done = child(
        """
import lpf, threading, gc, sys
sys.unraisablehook = lambda u: None
def f(x):
    value = [x]
    while True:
        try: lpf.pause()
        except BaseException: pass
box = []
thread = threading.Thread(target=lambda: box.append(lpf.launch(f, 7)))
thread.start(); thread.join()
c = box.pop()
assert c.state == "abandoned", c
for verb in (c.resume, lambda: c.throw(KeyError)):
    try: verb()
    except lpf.StateError as error: assert "abandoned" in str(error)
    else: raise AssertionError
frame = c.frame
assert frame.f_locals["value"] == [7]
del c
gc.collect()
for _ in range(100): lpf.launch(lpf.pause).cancel()
assert frame.f_locals["value"] == [7]
assert len(lpf.live()) == 1
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_dropped_on_another_thread_it_is_cancelled_on_its_own() -> None:
    log: list[tuple[str, int]] = []

    def f() -> None:
        try:
            lpf.pause()
        finally:
            log.append(("finally", threading.get_ident()))

    box = [lpf.launch(f)]
    in_thread(box.clear)
    deadline = time.monotonic() + 30
    while not log and time.monotonic() < deadline:
        pass  # Any bytecode of the main thread will do.
    assert log == [("finally", threading.get_ident())]
    assert lpf.live() == []


def test_hundreds_dropped_on_another_thread_are_all_cancelled() -> None:
    """More than CPython's queue of pending calls has places."""
    log: list[int] = []

    def f(n: int) -> None:
        try:
            lpf.pause()
        finally:
            log.append(n)

    box = [lpf.launch(f, n) for n in range(300)]
    in_thread(box.clear)
    deadline = time.monotonic() + 30
    while len(log) < 300 and time.monotonic() < deadline:
        pass
    assert sorted(log) == list(range(300))


def test_dropping_another_threads_function_does_not_touch_it() -> None:
    """Not the main thread's: nobody can run code there, so it stays, and lpf.live() tells of it."""
    ready, go_on = threading.Event(), threading.Event()
    log: list[str] = []
    box: list[Any] = []

    def worker() -> None:
        def f() -> None:
            try:
                lpf.pause()
            finally:
                log.append("finally")

        box.append(lpf.launch(f))
        ready.set()
        go_on.wait()
        for c in lpf.live():
            if c.thread_id == threading.get_ident():
                log.append(c.state)
                c.cancel()

    thread = threading.Thread(target=worker)
    thread.start()
    ready.wait()
    frame = box[0].frame
    box.clear()
    gc.collect()
    for _ in range(1000):
        pass
    assert log == []
    assert frame.f_code.co_name == "f"
    go_on.set()
    thread.join()
    assert log == ["paused", "finally"]
    assert lpf.live() == []


def test_requests_from_many_threads_at_once() -> None:
    over = threading.Event()

    def f() -> str:
        while not over.is_set():
            pass
        return "end"

    c = lpf.launch(f, timeout=0)
    asked = [0]

    def ask() -> None:
        while not over.is_set():
            asked[0] += c.request_pause()
            time.sleep(0)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        c.resume()
        assert (c.state, c.reason) == ("paused", "request")
    over.set()
    for thread in threads:
        thread.join()
    while not c.done:
        c.resume()
    assert c.result() == "end"
    assert asked[0] >= 100


def test_waiting_on_locks_queues_and_events_is_left_and_resumed() -> None:
    items: queue.Queue[int] = queue.Queue()
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    event, condition, semaphore = threading.Event(), threading.Condition(), threading.Semaphore(0)
    barrier = threading.Barrier(2)
    thread = threading.Thread(target=event.wait)

    def waits_for_condition() -> bool:
        with condition:
            return condition.wait()

    for wait, wake in [
        (items.get, lambda: items.put(1)),
        (simple.get, lambda: simple.put(1)),
        (waits_for_condition, lambda: notify(condition)),
        (semaphore.acquire, semaphore.release),
        (event.wait, event.set),
    ]:
        c = lpf.launch(wait, timeout=0.01)
        assert (c.state, c.reason) == ("paused", "timeout"), wait
        c.resume(timeout=0.01)
        assert c.state == "paused", wait
        wake()
        c.resume(timeout=60)
        assert c.state == "finished", wait
        assert c.result() in (1, True, None)
    event.clear()
    thread.start()
    c = lpf.launch(thread.join, timeout=0.01)
    assert c.state == "paused"
    event.set()
    assert c.resume(timeout=60).state == "finished"
    assert not barrier.broken


def notify(condition: threading.Condition) -> None:
    with condition:
        condition.notify_all()


def test_a_thread_pool_used_from_inside() -> None:
    def f() -> int:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return sum(pool.map(lambda n: sum(range(n)), range(200)))

    expected = sum(sum(range(n)) for n in range(200))
    c = lpf.launch(f, timeout=0.0005)
    while not c.done:
        c.resume(timeout=0.0005)
    assert c.result() == expected


def test_threads_started_inside_are_ordinary_threads() -> None:
    def f() -> list[Any]:
        seen: list[Any] = []
        thread = threading.Thread(
            target=lambda: seen.append((lpf.current(), threading.get_ident()))
        )
        thread.start()
        thread.join()
        return seen

    ((current, ident),) = lpf.launch(f).result()
    assert current is None
    assert ident != threading.get_ident()


def test_the_interpreter_lock_held_through_gilstate_in_a_callback() -> None:
    """ctypes calls back into Python, which is left there: two C frames lie in between."""
    import ctypes

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
    def callback(x: int) -> int:
        if lpf.current() is not None:
            lpf.pause(x)
        return x + 1

    def f() -> list[int]:
        return [callback(i) for i in range(5)]

    first, second = lpf.launch(f), lpf.launch(f)
    while not (first.done and second.done):
        for c in (first, second):
            if not c.done:
                assert callback(10) == 11
                c.resume()
    assert first.result() == second.result() == [1, 2, 3, 4, 5]


def test_qsort_with_a_python_comparison_under_preemption() -> None:
    import ctypes

    libc = ctypes.CDLL(None)
    compare_type = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )

    def f(seed: int) -> list[int]:
        import random

        values = [random.Random(seed + i).randrange(1000) for i in range(2000)]
        array = (ctypes.c_int * len(values))(*values)
        compare = compare_type(lambda a, b: a[0] - b[0])
        libc.qsort(array, len(values), ctypes.sizeof(ctypes.c_int), compare)
        assert list(array) == sorted(values)
        return list(array)

    running = [lpf.launch(f, n, timeout=0.0005) for n in range(3)]
    while not all(c.done for c in running):
        for c in running:
            if not c.done:
                c.resume(timeout=0.0005)
    assert all(c.exception() is None for c in running)
