"""cancel and request_cancel: finally blocks run, what swallows is asked again, and it always comes back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lpf
from reach import left_in, left_when


def spin() -> None:
    while True:
        pass


def test_finally_blocks_and_context_managers_run_innermost_first() -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def manager(name: str) -> Iterator[None]:
        try:
            yield
        finally:
            log.append(name)

    def f() -> None:
        with manager("outer"):
            try:
                with manager("inner"), contextlib.ExitStack() as stack:
                    stack.callback(log.append, "callback")
                    spin()
            finally:
                log.append("finally")

    c = left_in(spin, f)
    assert c.cancel() == "cancelled"
    assert log == ["callback", "inner", "finally", "outer"]


def test_the_function_sees_cancelled_at_the_line_where_it_stood() -> None:
    seen: list[BaseException] = []

    def f() -> None:
        try:
            spin()
        except lpf.Cancelled as error:
            seen.append(error)
            raise

    c = left_in(spin, f)
    c.cancel()
    (error,) = seen
    assert c.exception() is error
    with pytest.raises(lpf.Cancelled) as caught:
        c.result()
    assert caught.value is error
    names = [entry.name for entry in caught.traceback]
    assert names[-2:] == ["f", "spin"]


def test_except_exception_lets_it_pass() -> None:
    def f() -> None:
        while True:
            try:
                spin()
            except Exception:
                pass

    assert left_in(spin, f).cancel() == "cancelled"


def test_what_ends_with_a_value_in_spite_of_it_is_finished() -> None:
    def f() -> str:
        try:
            spin()
        except lpf.Cancelled:
            pass
        return "value"

    c = left_in(spin, f)
    assert c.cancel() == "finished"
    assert c.result() == "value"
    assert c.exception() is None


def test_what_raises_something_else_in_spite_of_it_is_finished_with_that() -> None:
    def f() -> None:
        try:
            spin()
        finally:
            raise ValueError("in finally")

    c = left_in(spin, f)
    assert c.cancel() == "finished"
    error = c.exception()
    assert isinstance(error, ValueError)
    assert isinstance(error.__context__, lpf.Cancelled)
    with pytest.raises(ValueError, match="in finally"):
        c.result()


def in_task_group() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup():
            spin()

    asyncio.run(main())


def in_except_group() -> None:
    try:
        in_task_group()
    except* ValueError:
        raise


def test_a_group_of_nothing_else_is_a_cancellation_too() -> None:
    for function in in_task_group, in_except_group:
        c = lpf.launch(function, timeout=0.02)
        assert c.cancel() == "cancelled"
        assert isinstance(c.exception(), lpf.Cancelled)
        with pytest.raises(lpf.TimedOut):
            lpf.call(function, timeout=0.02)
        with pytest.raises(lpf.TimedOut), lpf.time_limit(0.02):
            function()


def test_a_group_with_something_else_comes_out() -> None:
    async def fails() -> None:
        try:
            await asyncio.sleep(0.001)
            spin()
        finally:
            raise ValueError("tidying up")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.sleep(1000)

    c = lpf.launch(asyncio.run, main(), timeout=0)
    c.resume(timeout=0.05)
    assert c.cancel() == "finished"
    group = c.exception()
    assert isinstance(group, ExceptionGroup)
    assert isinstance(group.exceptions[0], ValueError)


def test_a_cancelled_of_its_own_making_is_no_cancellation() -> None:
    def f() -> None:
        raise lpf.Cancelled("mine")

    c = lpf.launch(f)
    assert c.state == "finished"
    assert isinstance(c.exception(), lpf.Cancelled)


def test_what_has_not_begun_is_cancelled_without_a_trace() -> None:
    ran: list[int] = []
    c = lpf.launch(ran.append, 1, timeout=0)
    assert c.cancel() == "cancelled"
    assert ran == []
    assert lpf.live() == []
    assert c.exception() is None or isinstance(c.exception(), lpf.Cancelled)


def test_a_generator_inside_is_closed_as_it_would_be() -> None:
    log: list[str] = []

    def generator() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            log.append("closed")

    def f() -> None:
        for _ in generator():
            rounds[0] += 1

    rounds = [0]
    assert left_when(lambda: rounds[0] > 1, f).cancel() == "cancelled"
    assert log == ["closed"]


def test_finalizers_on_the_way_run_whole() -> None:
    """They run while the exception waits in C code, where it cannot be seen."""
    log: list[int] = []

    class Thing:
        def __del__(self) -> None:
            total = 0
            for i in range(20_000):
                total += i
            log.append(total)

    def generator() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            thing = Thing()
            del thing

    def f(depth: int) -> None:
        thing = Thing()
        for _ in generator():
            if depth:
                f(depth - 1)
            spin()
        del thing

    c = left_in(spin, f, 5)
    assert c.cancel(grace=60) == "cancelled"
    assert log == [sum(range(20_000))] * 6  # The traceback keeps the others.
    del c
    assert log == [sum(range(20_000))] * 12


def test_what_swallows_it_and_keeps_it_comes_back_within_its_grace() -> None:
    kept: list[BaseException] = []

    def f() -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException as error:
                kept.append(error)
                if len(kept) == 1000:
                    return

    c = lpf.launch(f, timeout=0.005)
    assert c.cancel(grace=0.2) in ("cancelled", "finished", "abandoned")
    assert c.done


def test_a_pause_inside_a_finally_block_does_not_end_the_cancelling() -> None:
    log: list[str] = []

    def f() -> None:
        try:
            spin()
        finally:
            try:
                lpf.pause()
            finally:
                log.append("inner")

    assert left_in(spin, f).cancel() in ("cancelled", "finished")
    assert log == ["inner"]


def test_a_finally_block_may_take_its_time_within_half_of_the_grace() -> None:
    log: list[str] = []

    def f() -> None:
        try:
            spin()
        finally:
            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                pass
            log.append("done")

    assert left_in(spin, f).cancel(grace=30) == "cancelled"
    assert log == ["done"]


def test_a_finally_block_that_never_ends_is_broken_off() -> None:
    def f() -> None:
        try:
            spin()
        finally:
            spin()

    assert left_in(spin, f).cancel(grace=0.1) == "cancelled"


SWALLOWERS = """
import lpf, sys, time

def once():
    while True:
        try:
            while True: pass
        except BaseException: pass

def bare():
    while True:
        try: time.sleep(0.02)
        except: pass

def contextmanager():
    import contextlib
    while True:
        with contextlib.suppress(BaseException):
            while True: pass

def nested():
    while True:
        try:
            try:
                while True: pass
            except BaseException:
                while True: pass
        except BaseException: pass

def in_finally():
    while True:
        try:
            while True: pass
        finally:
            continue

def recursive():
    try:
        while True: pass
    finally:
        recursive()

def in_callback():
    class Bad:
        def __eq__(self, other):
            while True: pass
    while True:
        try: [Bad()].index(1)
        except BaseException: pass

def in_del():
    class Bad:
        def __del__(self):
            while True: pass
    while True: Bad()

def pauses():
    while True:
        try: lpf.pause()
        except BaseException: pass

sys.unraisablehook = lambda *a: None
f = globals()[sys.argv[1]]
c = lpf.launch(f, timeout=0.02)
assert c.state == "paused", c
begun = time.monotonic()
state = c.cancel(grace=0.2)
took = time.monotonic() - begun
assert state in ("cancelled", "finished", "abandoned"), state
assert c.state == state and c.done
assert took < 10, took
assert lpf.launch(sum, range(3), timeout=5).result() == 3
again = lpf.launch(f, timeout=0.02)
assert again.state == "paused"
if state == "abandoned":
    assert c in lpf.live()
    try: c.result()
    except lpf.Cancelled as error: assert "abandoned" in str(error)
    else: raise AssertionError
    try: c.resume()
    except lpf.StateError as error: assert "abandoned" in str(error)
    else: raise AssertionError
print("ok")
"""


@pytest.mark.parametrize(
    "name",
    [
        "once",
        "bare",
        "contextmanager",
        "nested",
        "in_finally",
        "recursive",
        "in_callback",
        "in_del",
        "pauses",
    ],
)
def test_what_swallows_everything_comes_back_within_its_grace(
    name: str, child: Callable[..., Any], tmp_path: Any
) -> None:
    """In a child: an abandoned function stays for ever, and so does one that cannot be left."""
    script = tmp_path / "swallow.py"
    script.write_text(SWALLOWERS)
    done = child(f"import sys, runpy\nsys.argv = ['', {name!r}]\nrunpy.run_path({str(script)!r})\n")
    assert done.lines == ["ok"]


def test_a_request_to_cancel_from_another_thread_ends_what_runs() -> None:
    log: list[str] = []
    answers: list[bool] = []

    def f() -> None:
        me = lpf.current()
        assert me is not None
        inside = threading.Event()
        thread = threading.Thread(
            target=lambda: inside.wait() and answers.append(me.request_cancel())
        )
        thread.start()
        try:
            inside.set()
            spin()
        finally:
            log.append("finally")
            thread.join()

    c = lpf.launch(f)
    assert c.state == "cancelled"
    assert answers == [True]
    assert log == ["finally"]


def test_a_request_to_cancel_itself_is_answered_at_the_next_safe_point() -> None:
    def f() -> None:
        me = lpf.current()
        assert me is not None
        me.request_cancel()
        spin()

    assert lpf.launch(f).state == "cancelled"


def test_a_request_to_cancel_what_does_not_run_is_false() -> None:
    c = lpf.launch(lpf.pause)
    assert c.request_cancel() is False
    assert c.state == "paused"
    c.resume()
    assert c.state == "finished"


def test_a_request_to_cancel_an_outer_one_unwinds_the_inner_one_too() -> None:
    log: list[str] = []
    inside: list[lpf.Continuation[None]] = []

    def inner() -> None:
        me = lpf.current()
        assert me is not None
        inside.append(me)
        try:
            ready.set()
            spin()
        finally:
            log.append("inner")

    def outer() -> None:
        me = lpf.current()
        assert me is not None
        thread = threading.Thread(target=lambda: ready.wait() and me.request_cancel())
        thread.start()
        try:
            lpf.launch(inner).result()
        finally:
            log.append("outer")
            thread.join()

    ready = threading.Event()
    c = lpf.launch(outer)
    assert c.state == "cancelled"
    assert log == ["inner", "outer"]
    assert inside[0].done


def test_cancelling_an_outer_one_unwinds_what_is_held_inside() -> None:
    log: list[str] = []

    def level(n: int) -> None:
        try:
            if n:
                lpf.launch(level, n - 1).result()
            spin()
        finally:
            log.append(str(n))

    c = left_in(spin, level, 5)
    assert c.state == "paused"
    assert len(lpf.live()) == 6
    assert c.cancel() == "cancelled"
    assert log == ["0", "1", "2", "3", "4", "5"]
    assert lpf.live() == []


def test_a_paused_one_that_the_cancelled_one_owns_is_cancelled_too() -> None:
    log: list[str] = []

    def inner() -> None:
        try:
            lpf.pause()
        finally:
            log.append("inner")

    def outer() -> None:
        mine = lpf.launch(inner)
        assert mine.state == "paused"
        spin()

    c = left_in(spin, outer)
    assert c.cancel() == "cancelled"
    del c
    assert log == ["inner"]


def test_waiting_c_code_is_cancelled_at_once() -> None:
    def sleeps() -> None:
        time.sleep(600)

    def waits() -> None:
        threading.Lock().__enter__()
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    def computes() -> None:
        3**10_000_000_000

    for f in (sleeps, waits):
        begun = time.monotonic()
        c = lpf.launch(f, timeout=0.01)
        assert c.state == "paused"
        assert c.cancel() == "cancelled"
        assert time.monotonic() - begun < 30


def test_a_cancelled_function_can_be_launched_anew() -> None:
    for _ in range(50):
        c = lpf.launch(spin, timeout=0.001)
        assert c.cancel() == "cancelled"


def test_thousands_can_be_cancelled() -> None:
    ran = [0]

    def f() -> None:
        try:
            lpf.pause()
        finally:
            ran[0] += 1

    paused = [lpf.launch(f) for _ in range(3000)]
    for c in paused:
        assert c.cancel() == "cancelled"
    assert ran == [3000]
