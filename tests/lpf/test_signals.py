"""Ordinary signals while functions run and stand still, and the library's own one from outside."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import lpf


def spin() -> None:
    while True:
        pass


@contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGALRM, signal.SIGPROF, signal.SIGIO])
def test_handlers_run_inside_and_the_function_goes_on(number: int) -> None:
    """Numbers below and above the library's own: they are dealt with in that order."""
    log: list[Any] = []

    def f() -> str:
        signal.raise_signal(number)
        while not log:
            pass
        return "end"

    with handled(number, lambda n, frame: log.append((n, lpf.current() is not None))):
        assert lpf.launch(f, timeout=60).result() == "end"
    assert log == [(number, True)]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGIO])
def test_a_signal_that_comes_together_with_the_tick_is_not_lost(number: int) -> None:
    log: list[int] = []

    def f() -> None:
        while True:
            os.kill(os.getpid(), number)

    with handled(number, lambda n, frame: log.append(n)):
        for _ in range(50):
            c = lpf.launch(f, timeout=0.0003)
            assert c.state == "paused"
            seen = len(log)
            os.kill(os.getpid(), number)
            while len(log) == seen:
                pass
            c.cancel()


def test_handlers_run_in_the_caller_while_a_function_stands_still() -> None:
    log: list[Any] = []
    c = lpf.launch(spin, timeout=0.005)
    with handled(signal.SIGUSR1, lambda n, frame: log.append(lpf.current())):
        signal.raise_signal(signal.SIGUSR1)
    assert log == [None]
    c.cancel()


def test_a_handler_that_raises_raises_inside() -> None:
    def handler(number: int, frame: object) -> None:
        raise KeyError("from the handler")

    def f() -> str:
        try:
            signal.raise_signal(signal.SIGUSR1)
            spin()
        except KeyError:
            return "caught"
        return "not reached"

    with handled(signal.SIGUSR1, handler):
        assert lpf.launch(f, timeout=60).result() == "caught"


def test_an_interrupt_inside_is_the_functions_own_exception() -> None:
    def f() -> None:
        signal.raise_signal(signal.SIGINT)
        spin()

    with handled(signal.SIGINT, signal.default_int_handler):
        c = lpf.launch(f, timeout=60)
    assert c.state == "finished"
    assert isinstance(c.exception(), KeyboardInterrupt)


def test_a_handler_is_left_in_the_middle_like_any_code_and_goes_on() -> None:
    log: list[str] = []

    def handler(number: int, frame: object) -> None:
        log.append("begun")
        lpf.pause()
        log.append("ended")

    def f() -> str:
        signal.raise_signal(signal.SIGUSR1)
        return "end"

    with handled(signal.SIGUSR1, handler):
        c = lpf.launch(f)
        assert log == ["begun"]
        assert c.resume().result() == "end"
    assert log == ["begun", "ended"]


def test_an_interval_timer_of_the_users_goes_on_under_preemption() -> None:
    ticks = [0]

    def handler(number: int, frame: object) -> None:
        ticks[0] += 1

    def f() -> int:
        while ticks[0] < 50:
            pass
        return ticks[0]

    with handled(signal.SIGVTALRM, handler):
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.001, 0.001)
        try:
            c = lpf.launch(f, timeout=0.0003)
            while not c.done:
                c.resume(timeout=0.0003)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert c.result() >= 50


def test_the_signal_mask_belongs_to_the_function() -> None:
    def blocked() -> set[int]:
        return signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def f() -> tuple[bool, bool]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        lpf.pause()
        inside = signal.SIGUSR2 in blocked()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        lpf.pause()
        return inside, signal.SIGUSR2 in blocked()

    before = blocked()
    c = lpf.launch(f)
    assert blocked() == before
    c.resume()
    assert blocked() == before
    assert c.resume().result() == (True, False)
    assert blocked() == before


def test_a_function_that_ends_leaves_its_changes_of_the_mask_as_any_call_does() -> None:
    def blocked() -> set[int]:
        return signal.pthread_sigmask(signal.SIG_BLOCK, ()) - before

    def f() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
        lpf.pause()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})

    def g() -> None:
        lpf.launch(f).resume()
        seen.append(blocked())
        lpf.pause()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    seen: list[set[int]] = []
    try:
        c = lpf.launch(f)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
        c.resume()
        assert blocked() == {signal.SIGUSR1, signal.SIGWINCH}
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        c = lpf.launch(g)
        assert (seen, blocked()) == ([{signal.SIGUSR1}], set())
        c.resume()
        assert blocked() == {signal.SIGUSR1}
        c = lpf.launch(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGUSR1}, timeout=1)
        assert c.done
        assert blocked() == set()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_function_that_blocks_all_signals_is_left_all_the_same() -> None:
    def f() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            pass

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        c = lpf.launch(f, timeout=0.005)
        assert c.state == "paused"
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        c.cancel()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_the_signal_from_outside_pauses_the_outermost(child: Callable[..., Any]) -> None:
    done = child(
        """
import lpf, os, subprocess, sys
over = []
def inner():
    subprocess.Popen(["kill", "-URG", str(os.getpid())])
    while not over: pass
    return "end"
def outer():
    return lpf.launch(inner).result()
c = lpf.launch(outer)
assert (c.state, c.reason) == ("paused", "signal"), c
over.append(1)
assert c.resume().result() == "end"
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_the_signal_from_outside_is_ignored_or_told_when_nothing_runs(
    child: Callable[..., Any],
) -> None:
    done = child(
        """
import lpf, subprocess, os
lpf.prepare()
kill = lambda: subprocess.run(["kill", "-URG", str(os.getpid())], check=True)
kill()
heard = []
assert lpf.on_stray(lambda: heard.append(1)) is None
kill()
for _ in range(1000): pass
assert heard == [1], heard
c = lpf.launch(lpf.pause)
kill()
for _ in range(1000): pass
assert heard == [1, 1], heard
assert callable(lpf.on_stray(None))
kill()
for _ in range(1000): pass
assert heard == [1, 1]
c.resume()
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_what_on_stray_raises_comes_out_like_from_any_handler(child: Callable[..., Any]) -> None:
    done = child(
        """
import lpf, subprocess, os
lpf.prepare()
def fail(): raise KeyError("stray")
lpf.on_stray(fail)
try:
    subprocess.run(["kill", "-URG", str(os.getpid())], check=True)
    while True: pass
except KeyError:
    print("ok")
lpf.on_stray(None)
"""
    )
    assert done.lines == ["ok"]


def test_whoever_had_the_signal_before_goes_on_hearing_of_it(child: Callable[..., Any]) -> None:
    done = child(
        """
import signal, subprocess, os
heard = []
signal.signal(signal.SIGURG, lambda *args: heard.append(args))
import lpf
lpf.prepare()
subprocess.run(["kill", "-URG", str(os.getpid())], check=True)
for _ in range(1000): pass
assert len(heard) == 1, heard
print("ok")
"""
    )
    assert done.lines == ["ok"]


@pytest.mark.parametrize("number", [10, 12, 34, 50, 64])
def test_another_signal_can_be_chosen(number: int, child: Callable[..., Any]) -> None:
    done = child(
        """
import lpf, signal, os
def spin():
    while True: pass
c = lpf.launch(spin, timeout=0.005)
assert c.state == "paused"
assert c.cancel() == "cancelled"
assert callable(signal.getsignal(int(os.environ["LPF_SIGNAL"])))
assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL
print("ok")
""",
        environment={"LPF_SIGNAL": str(number)},
    )
    assert done.lines == ["ok"]


@pytest.mark.parametrize("text", ["", "0", "-1", "9", "19", "11", "999", "x"])
def test_a_signal_that_cannot_be_had_is_not_taken(text: str, child: Callable[..., Any]) -> None:
    done = child(
        "import lpf\n"
        "c = lpf.launch(lambda: [0 for _ in iter(int, 1)], timeout=0.005)\n"
        "assert c.state == 'paused'; c.cancel(); print('ok')\n",
        environment={"LPF_SIGNAL": text},
    )
    assert done.lines == ["ok"]


def test_blocking_system_calls_go_on_after_ticks() -> None:
    """EINTR is the interpreter's business (PEP 475): no data is lost, no call fails."""
    read, write = os.pipe()

    def f() -> bytes:
        data = b""
        while len(data) < 100:
            data += os.read(read, 10)
        return data

    c = lpf.launch(f, timeout=0.001)
    for i in range(10):
        for _ in range(5):
            c.resume(timeout=0.001)
            assert c.state == "paused"
        os.write(write, bytes([i]) * 10)
        c.resume(timeout=0.001)
    while not c.done:
        c.resume(timeout=0.001)
    assert c.result() == b"".join(bytes([i]) * 10 for i in range(10))
    os.close(read)
    os.close(write)


def test_select_and_sleep_keep_their_time_over_ticks() -> None:
    """Lower margin: none.  Upper: thirty seconds."""
    for wait in (lambda: time.sleep(0.05), lambda: select.select([], [], [], 0.05)):
        begun = time.monotonic()
        c = lpf.launch(wait, timeout=0.001)
        while not c.done:
            c.resume(timeout=0.001)
        assert 0.05 <= time.monotonic() - begun < 30
        assert c.exception() is None


def test_child_processes_are_started_and_waited_for_under_ticks() -> None:
    def f() -> list[str]:
        return [
            subprocess.run(
                [sys.executable, "-S", "-c", f"print({n})"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for n in range(5)
        ]

    c = lpf.launch(f, timeout=0.0005)
    while not c.done:
        c.resume(timeout=0.0005)
    assert c.result() == [f"{n}\n" for n in range(5)]


def test_a_child_process_has_the_default_dispositions() -> None:
    def f() -> str:
        return subprocess.run(
            ["grep", "Sig[BIC]", "/proc/self/status"], capture_output=True, text=True, check=True
        ).stdout

    plain = f()
    c = lpf.launch(f, timeout=0.0005)
    while not c.done:
        c.resume(timeout=0.0005)
    assert c.result() == plain


def test_faulthandler_dumps_inside_and_while_others_stand_still() -> None:
    def inner_most(file: Any) -> None:
        faulthandler.dump_traceback(file)
        lpf.pause()

    with tempfile.TemporaryFile("w+") as file:
        c = lpf.launch(inner_most, file)
        faulthandler.dump_traceback(file)
        file.seek(0)
        text = file.read()
        first, second = text.split("Current thread")[1:] if "Current thread" in text else ("", "")
        c.resume()
    if text.count("Current thread") == 0:
        first, _, second = text.partition("inner_most")
        first += "inner_most"
    assert "inner_most" in first
    assert "test_faulthandler_dumps" in text
    assert "inner_most" not in second


def test_faulthandler_dumps_from_its_own_thread_under_ticks() -> None:
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.cancel_dump_traceback_later()
        faulthandler.dump_traceback_later(0.005, repeat=True, file=file)
        try:
            c = lpf.launch(spin, timeout=0.0005)
            while file.tell() < 2000:
                c.resume(timeout=0.0005)
                file.seek(0, os.SEEK_END)
        finally:
            faulthandler.cancel_dump_traceback_later()
        c.cancel()


def test_a_signal_for_the_process_that_another_thread_receives() -> None:
    """The kernel may give it to any thread; the handler runs on the main one.

    Again and again: CPython does not notice one that comes just before that thread begins to wait.
    """
    log: list[int] = []
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    with handled(signal.SIGUSR1, lambda n, frame: log.append(threading.get_ident())):
        c = lpf.launch(spin, timeout=0.005)
        while not log:
            signal.pthread_kill(thread.ident or 0, signal.SIGUSR1)
        over.set()
        thread.join()
    assert set(log) == {threading.get_ident()}
    c.cancel()
