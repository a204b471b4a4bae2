"""call, time_limit, uninterruptible."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import lpf
from reach import left_when


def spin() -> None:
    while True:
        pass


# ---- call -------------------------------------------------------------------------------------


def test_call_gives_the_value_or_raises_what_the_function_raises() -> None:
    assert lpf.call(sum, range(4), timeout=60) == 6
    assert lpf.call(sum, range(4), timeout=None) == 6
    with pytest.raises(ZeroDivisionError):
        lpf.call(divmod, 1, 0, timeout=60)


def test_call_that_takes_too_long_says_what_where_and_how_long() -> None:
    with pytest.raises(lpf.TimedOut) as caught:
        lpf.call(spin, timeout=0.01)
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.limit == 0.01
    assert error.elapsed >= 0.01
    assert error.abandoned is False
    assert error.where is not None
    assert "in spin" in error.where
    assert "spin took longer than 0.01 s" in str(error)
    assert lpf.live() == []


def test_call_that_takes_too_long_unwinds() -> None:
    log: list[str] = []

    def f() -> Iterator[None]:
        try:
            yield  # So that the limit finds it in here, however soon it passes.
            spin()
        finally:
            log.append("finally")

    inside = f()
    next(inside)
    with pytest.raises(lpf.TimedOut):
        lpf.call(next, inside, timeout=0.01)
    assert log == ["finally"]


def test_the_cancellation_is_the_context_of_the_timeout() -> None:
    with pytest.raises(lpf.TimedOut) as caught:
        lpf.call(spin, timeout=0.01)
    assert isinstance(caught.value.__context__, lpf.Cancelled)


def test_call_within_a_call_whose_limit_is_shorter() -> None:
    def outer() -> None:
        lpf.call(spin, timeout=60)

    with pytest.raises(lpf.TimedOut) as caught:
        lpf.call(outer, timeout=0.01)
    assert "outer" in str(caught.value)
    assert caught.value.limit == 0.01


def test_call_within_a_call_whose_limit_is_longer() -> None:
    def outer() -> str:
        with pytest.raises(lpf.TimedOut):
            lpf.call(spin, timeout=0.01)
        return "went on"

    assert lpf.call(outer, timeout=60) == "went on"


# ---- time_limit -------------------------------------------------------------------------------


def test_a_block_that_ends_in_time_is_left_alone() -> None:
    with lpf.time_limit(60) as limit:
        assert limit.left is not None
        assert 0 < limit.left <= 60
    assert limit.left is None
    with lpf.time_limit(None) as limit:
        assert limit.left is None


def test_a_block_that_takes_too_long_ends_in_timed_out() -> None:
    log: list[str] = []
    with pytest.raises(lpf.TimedOut) as caught:
        with lpf.time_limit(0.01):
            try:
                spin()
            finally:
                log.append("finally")
    assert log == ["finally"]
    assert caught.value.limit == 0.01
    assert caught.value.elapsed >= 0.01


def test_what_the_block_raises_of_its_own_goes_through() -> None:
    with pytest.raises(KeyError):
        with lpf.time_limit(60):
            raise KeyError
    with pytest.raises(ZeroDivisionError):
        with lpf.time_limit(0.01):
            try:
                spin()
            finally:
                raise ZeroDivisionError


def test_a_block_that_swallows_it_is_asked_again() -> None:
    rounds = [0]
    with pytest.raises(lpf.TimedOut):
        with lpf.time_limit(0.01):
            for _ in range(3):
                try:
                    spin()
                except BaseException:
                    rounds[0] += 1
    assert rounds[0] >= 1


def test_limits_nest_and_the_outer_one_wins_when_it_has_passed() -> None:
    with pytest.raises(lpf.TimedOut) as caught:
        with lpf.time_limit(0.01):
            with lpf.time_limit(60):
                spin()
    assert caught.value.limit == 0.01


def test_limits_nest_and_the_inner_one_leaves_the_outer_one_running() -> None:
    with lpf.time_limit(60):
        with pytest.raises(lpf.TimedOut) as caught:
            with lpf.time_limit(0.01):
                spin()
        assert caught.value.limit == 0.01


def test_many_limits_nest() -> None:
    def nest(depth: int) -> None:
        if depth:
            with lpf.time_limit(60 + depth):
                nest(depth - 1)
        else:
            spin()

    with pytest.raises(lpf.TimedOut) as caught:
        with lpf.time_limit(0.02):
            nest(50)
    assert caught.value.limit == 0.02


def test_a_limit_inside_a_function_that_is_paused_stands_still_with_it() -> None:
    def f() -> str:
        with lpf.time_limit(0.2):
            lpf.pause()
        return "in time"

    c = lpf.launch(f)
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    assert c.resume().result() == "in time"


def test_a_limit_inside_a_function_fires_after_pauses() -> None:
    def f() -> None:
        with lpf.time_limit(0.05):
            for _ in range(5):
                lpf.pause()
            spin()

    c = lpf.launch(f)
    while not c.done:
        c.resume(timeout=0.005)
    assert isinstance(c.exception(), lpf.TimedOut)


def test_a_limit_around_a_launch_ends_the_launch() -> None:
    made: list[lpf.Continuation[Any]] = []
    with pytest.raises(lpf.TimedOut):
        with lpf.time_limit(0.01):
            made.append(lpf.launch(spin))
            spin()
    for c in made:
        assert c.state == "paused"
        c.cancel()


def test_a_limit_around_a_call_with_a_longer_one() -> None:
    log: list[str] = []

    def f() -> None:
        try:
            spin()
        finally:
            log.append("finally")

    with pytest.raises(lpf.TimedOut) as caught:
        with lpf.time_limit(0.01):
            lpf.call(f, timeout=60)
    assert log == ["finally"]
    assert caught.value.limit == 0.01
    assert lpf.live() == []


def test_a_limit_may_be_used_again_but_not_twice_at_once() -> None:
    limit = lpf.time_limit(60)
    with limit:
        with pytest.raises(lpf.StateError, match="in use"):
            limit.__enter__()
    with limit:
        pass
    with pytest.raises(lpf.StateError, match="not entered"):
        limit.__exit__(None, None, None)


def test_a_limit_that_fired_may_be_used_again() -> None:
    limit = lpf.time_limit(0.005)
    for _ in range(3):
        with pytest.raises(lpf.TimedOut), limit:
            spin()


def test_leaving_a_limit_in_another_function_says_so() -> None:
    limit = lpf.time_limit(60)
    limit.__enter__()
    c = lpf.launch(limit.__exit__, None, None, None)
    assert isinstance(c.exception(), lpf.StateError)
    assert limit.__exit__(None, None, None) is False


def test_a_limit_passes_an_exception_of_a_cancelled_function_around_it() -> None:
    def f() -> None:
        with lpf.time_limit(60):
            spin()

    assert lpf.launch(f, timeout=0.005).cancel() == "cancelled"


def test_a_limit_over_waiting_c_code() -> None:
    begun = time.monotonic()
    with pytest.raises(lpf.TimedOut):
        with lpf.time_limit(0.01):
            time.sleep(600)
    assert time.monotonic() - begun < 30


# ---- uninterruptible --------------------------------------------------------------------------


def test_a_pause_that_comes_due_inside_happens_at_the_end_of_the_block() -> None:
    begun: list[int] = []
    log: list[str] = []
    over = threading.Event()

    def f() -> None:
        with lpf.uninterruptible():
            begun.append(1)
            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                pass
            log.append("whole")
        while not over.is_set():
            pass

    c = left_when(lambda: begun, f)
    assert log == ["whole"]
    assert (c.state, c.reason) == ("paused", "timeout")
    over.set()
    c.resume()
    assert c.state == "finished"


def test_blocks_nest_and_the_outermost_counts() -> None:
    begun: list[int] = []
    log: list[int] = []

    def f() -> None:
        with lpf.uninterruptible():
            with lpf.uninterruptible():
                pass
            begun.append(1)
            end = time.monotonic() + 0.03
            while time.monotonic() < end:
                pass
            log.append(1)
        spin()

    c = left_when(lambda: begun, f)
    assert log == [1]
    c.cancel()


def test_a_time_limit_waits_for_it_too() -> None:
    log: list[int] = []
    with pytest.raises(lpf.TimedOut):
        with lpf.time_limit(0.005):
            with lpf.uninterruptible():
                end = time.monotonic() + 0.03
                while time.monotonic() < end:
                    pass
                log.append(1)
            spin()
    assert log == [1]


def test_an_inner_function_may_be_left_inside_an_outer_ones_block() -> None:
    def outer() -> str:
        with lpf.uninterruptible():
            c = lpf.launch(spin, timeout=0.005)
            state = c.state
            c.cancel()
        return state

    assert lpf.launch(outer, timeout=60).result() == "paused"


def test_the_block_works_everywhere_and_must_be_entered() -> None:
    with lpf.uninterruptible():
        pass
    with pytest.raises(lpf.StateError, match="not entered"):
        lpf.uninterruptible().__exit__(None, None, None)


def test_what_a_block_raises_goes_through() -> None:
    with pytest.raises(KeyError), lpf.uninterruptible():
        raise KeyError


def test_a_function_that_ends_inside_its_block_leaves_nothing_behind() -> None:
    def f() -> None:
        lpf.uninterruptible().__enter__()

    lpf.launch(f)
    c = lpf.launch(spin, timeout=0.005)
    assert c.state == "paused"
    c.cancel()


# ---- Requests ---------------------------------------------------------------------------------


def test_a_request_to_pause_from_another_thread_pauses_what_runs() -> None:
    def f() -> str:
        me = lpf.current()
        assert me is not None
        threading.Thread(target=me.request_pause).start()
        while not over.is_set():
            pass
        return "end"

    over = threading.Event()
    c = lpf.launch(f)
    assert (c.state, c.reason) == ("paused", "request")
    over.set()
    assert c.resume().result() == "end"


def test_a_request_to_pause_an_outer_one_pauses_the_chain() -> None:
    over = threading.Event()
    inside: list[Any] = []

    def inner() -> str:
        inside.append(lpf.current())
        ready.set()
        while not over.is_set():
            pass
        return "end"

    def outer() -> str:
        me = lpf.current()
        assert me is not None
        threading.Thread(target=lambda: ready.wait() and me.request_pause()).start()
        return lpf.launch(inner).result()

    ready = threading.Event()
    c = lpf.launch(outer)
    assert (c.state, c.reason, inside[0].state) == ("paused", "request", "paused")
    over.set()
    assert c.resume().result() == "end"
    assert inside[0].state == "finished"


def test_a_request_to_pause_what_does_not_run_is_false_and_forgotten() -> None:
    c = lpf.launch(lpf.pause)
    assert c.request_pause() is False
    assert c.resume().state == "finished"
    assert c.request_pause() is False
