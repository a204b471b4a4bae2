"""What every test of the package shares: the world is as it was afterwards, and children can be run."""

from __future__ import annotations

import decimal
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lpf

CHILD_SECONDS = (
    60  # A child that takes longer hangs; none is meant to take more than a few seconds.
)


def _standing() -> list[lpf.Continuation[object]]:
    """All that is alive, except what a test has abandoned: that stays for ever."""
    return [c for c in lpf.live() if c.state != "abandoned"]


def _dispositions() -> dict[int, object]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


@pytest.fixture(scope="session", autouse=True)
def prepared() -> None:
    """The first use installs the handler, so that no single test does it."""
    lpf.prepare()


@pytest.fixture(autouse=True)
def world(prepared: None) -> Iterator[None]:
    """Nothing alive, and nothing changed that belongs to the process or the thread."""
    assert _standing() == []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    idle = signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    dispositions = _dispositions()
    hooks = sys.gettrace(), sys.getprofile(), sys.getrecursionlimit(), sys.getswitchinterval()
    guards = lpf.guards.list()
    threads = set(threading.enumerate())
    context = decimal.getcontext().copy()

    yield

    if _standing():
        gc.collect()  # Through a traceback, say, of a test that failed.
    left = _standing()
    for c in left:
        if c.state in ("ready", "paused") and c.thread_id == threading.get_ident():
            c.cancel()
    assert left == []
    assert lpf.current() is None
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert (signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)) == idle
    assert _dispositions() == dispositions
    assert (
        sys.gettrace(),
        sys.getprofile(),
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
    ) == hooks
    assert lpf.guards.list() == guards
    assert set(threading.enumerate()) <= threads
    assert repr(decimal.getcontext()) == repr(context)


class Child:
    """What a child process left behind."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@pytest.fixture
def child() -> Callable[..., Child]:
    """Runs Python source, or a script of the folder crash/, in a process of its own."""

    def run(
        source: str, *options: str, environment: dict[str, str] | None = None, clean: bool = True
    ) -> Child:
        import os

        script = Path(__file__).parent / "crash" / source
        what = [str(script)] if "\n" not in source and script.is_file() else ["-c", source]
        done = subprocess.run(
            [sys.executable, *options, *what],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHILD_SECONDS,
            env=os.environ | (environment or {}),
            check=False,
        )
        result = Child(done)
        if clean:
            assert result.code == 0, result
            assert result.err == "", result
        return result

    return run
