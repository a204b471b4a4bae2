"""Rung 4: C code that holds the GIL and allocates is ended by an allocation that fails.

What comes out is what that stands for: a time limit, a cancel, an interrupt; no MemoryError.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lpf

pytestmark = pytest.mark.slow  # Some tenths of a second each, before the rung is climbed.


def endless() -> Any:
    """Lists of lists, which are one list on each level: a billion items in no memory."""
    nested: Any = [0.5] * 10
    for _ in range(8):
        nested = [nested] * 10
    return nested


@pytest.fixture
def dumps() -> Callable[[], str]:
    nested = endless()
    return lambda: json.dumps(nested)


@pytest.fixture
def interrupt() -> Iterator[Callable[[float], None]]:
    """SIGINT, later, from outside: no thread of this process would get to run."""
    senders = []

    def send(seconds: float) -> None:
        command = f"import os, time; time.sleep({seconds}); os.kill({os.getpid()}, {signal.SIGINT})"
        senders.append(subprocess.Popen([sys.executable, "-c", command]))

    lpf.watch(True)
    try:
        yield send
    finally:
        lpf.watch(False)
        for sender in senders:
            sender.wait()


def test_a_time_limit_comes_out_as_timed_out(dumps: Callable[[], str]) -> None:
    with pytest.raises(lpf.TimedOut) as caught:
        with lpf.time_limit(0.05):
            dumps()
    assert caught.value.limit == 0.05
    assert isinstance(caught.value.__context__, MemoryError)


def test_a_time_limit_around_another_comes_out_there(dumps: Callable[[], str]) -> None:
    with pytest.raises(lpf.TimedOut) as caught:
        with lpf.time_limit(0.05):
            with lpf.time_limit(60):
                dumps()
    assert caught.value.limit == 0.05


def test_a_time_limit_inside_another_comes_out_there(dumps: Callable[[], str]) -> None:
    with lpf.time_limit(600):
        with pytest.raises(lpf.TimedOut) as caught:
            with lpf.time_limit(0.05):
                dumps()
        assert caught.value.limit == 0.05


def test_a_time_limit_inside_a_function(dumps: Callable[[], str]) -> None:
    def f() -> None:
        with lpf.time_limit(0.05):
            dumps()

    c = lpf.launch(f)
    assert c.state == "finished"
    assert c.starved
    assert isinstance(c.exception(), lpf.TimedOut)


def test_a_time_limit_around_a_function(dumps: Callable[[], str]) -> None:
    made = lpf.launch(dumps, timeout=0)
    with pytest.raises(lpf.TimedOut):
        with lpf.time_limit(0.05):
            made.resume()
    assert made.state == "paused" or made.done
    made.cancel()


def test_a_call_comes_out_as_timed_out(dumps: Callable[[], str]) -> None:
    with pytest.raises(lpf.TimedOut) as caught:
        lpf.call(dumps, timeout=0.05)
    assert caught.value.limit == 0.05
    assert lpf.live() == []


def test_a_memory_error_of_its_own_goes_through() -> None:
    with pytest.raises(MemoryError):
        with lpf.time_limit(60):
            raise MemoryError
    with pytest.raises(MemoryError):
        lpf.call(lambda: bytearray(sys.maxsize), timeout=60)


def test_code_that_goes_on_after_it_is_asked_again(dumps: Callable[[], str]) -> None:
    seen: list[str] = []
    with pytest.raises(lpf.TimedOut):
        with lpf.time_limit(0.05):
            try:
                dumps()
            except MemoryError:
                seen.append("swallowed")
            while True:
                pass
    assert seen in ([], ["swallowed"])  # Not, if the limit is raised inside the handler.


def test_a_finally_block_has_half_of_the_grace_for_its_own_c_code() -> None:
    """json.dumps takes longer than the 0.1 s after which allocations would begin to fail."""
    nested: Any = [0.5] * 10
    for _ in range(5):
        nested = [nested] * 10
    written: list[int] = []

    def f() -> None:
        try:
            lpf.pause()
        finally:
            while len(written) < 3:
                written.append(len(json.dumps(nested)))

    c = lpf.launch(f)
    assert c.cancel(grace=60) == "cancelled"
    assert len(written) == 3
    assert not c.starved


def test_an_interrupt_comes_out_as_keyboard_interrupt(
    dumps: Callable[[], str], interrupt: Callable[[float], None]
) -> None:
    interrupt(0.2)
    c = lpf.launch(dumps)
    assert c.state == "finished"
    assert isinstance(c.exception(), KeyboardInterrupt)


def test_an_interrupt_comes_out_of_a_time_limit_as_keyboard_interrupt(
    dumps: Callable[[], str], interrupt: Callable[[float], None]
) -> None:
    seen: list[BaseException] = []

    def f() -> None:
        try:
            with lpf.time_limit(600):
                dumps()
        except BaseException as error:
            seen.append(error)
            raise

    interrupt(0.2)
    c = lpf.launch(f)
    assert isinstance(c.exception(), KeyboardInterrupt)
    assert [type(error) for error in seen] == [KeyboardInterrupt]


def test_there_is_all_the_memory_again_afterwards(dumps: Callable[[], str]) -> None:
    for _ in range(3):
        with pytest.raises(lpf.TimedOut):
            lpf.call(dumps, timeout=0.01)
        assert [len(json.dumps([0] * n)) for n in range(2000)][-1] == 5997
