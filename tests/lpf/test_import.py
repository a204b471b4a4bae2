"""What importing the package does and does not do, and that its types are as declared."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lpf
from lpf import _native


def test_importing_starts_and_installs_nothing(child: Callable[..., Any]) -> None:
    done = child(
        """
import signal, sys, threading, os
before = {n: signal.getsignal(n) for n in signal.valid_signals()}
def signals():
    # Not SigQ, which counts what is queued for all processes of the user.
    return [l for l in open("/proc/self/status") if l.startswith(("SigB", "SigI", "SigC", "Threads"))]
status = signals()
import lpf
assert {n: signal.getsignal(n) for n in signal.valid_signals()} == before
assert len(status) == 4 and signals() == status, (status, signals())
assert threading.active_count() == 1
assert len(os.listdir("/proc/self/task")) == 1
heavy = {"IPython", "ipykernel", "traitlets", "cffi", "_cffi_backend", "asyncio", "numpy", "zmq",
         "jupyter_client", "tornado", "lpf_ipython", "lpf.native"} & set(sys.modules)
assert not heavy, heavy
assert sys.gettrace() is None and sys.getprofile() is None
lpf.launch(sum, (1, 2), timeout=5)
assert len(os.listdir("/proc/self/task")) == 1
assert threading.active_count() == 1
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_using_it_starts_no_thread_either(child: Callable[..., Any]) -> None:
    done = child(
        """
import lpf, os
def spin():
    while True: pass
c = lpf.launch(spin, timeout=.005); c.cancel()
try: lpf.call(spin, timeout=.005)
except lpf.TimedOut: pass
print(len(os.listdir("/proc/self/task")))
"""
    )
    assert done.lines == ["1"]


def test_importing_twice_and_reloading_is_harmless(child: Callable[..., Any]) -> None:
    done = child(
        """
import importlib, lpf
c = lpf.launch(lpf.pause)
importlib.reload(lpf); importlib.reload(lpf.guards)
assert c.resume().result() is None
def spin():
    while True: pass
try: lpf.call(spin, timeout=.005)
except lpf.TimedOut: print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_everything_public_is_there_and_documented() -> None:
    for name in lpf.__all__:
        thing = getattr(lpf, name)
        assert inspect.getdoc(thing), name
    assert set(lpf.__all__) <= set(dir(lpf)) | {"Scheduler", "aio", "native"}
    for name in dir(lpf.Continuation):
        if not name.startswith("_"):
            assert inspect.getdoc(getattr(lpf.Continuation, name)), name


def test_the_signatures_can_be_asked_for() -> None:
    assert str(inspect.signature(lpf.launch)) == "(f, /, *args, timeout=None, **kwargs)"
    assert "timeout" in inspect.signature(lpf.call).parameters
    assert inspect.signature(lpf.Continuation.cancel).parameters["grace"].default == 0.5
    assert inspect.signature(lpf.Continuation.resume).parameters["timeout"].default is None
    assert list(inspect.signature(lpf.time_limit).parameters) == ["seconds", "grace"]


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        lpf.nothing_of_the_kind  # type: ignore[attr-defined]


def test_the_package_says_that_it_is_typed() -> None:
    folder = Path(lpf.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_native.pyi").is_file() or "site-packages" in str(folder)


@pytest.mark.slow
def test_the_stubs_agree_with_the_module(tmp_path: Path) -> None:
    """Seconds: mypy reads the standard library's stubs first.

    It takes an alias of a Literal with several values for a Union, and does not know cffi's module.
    """
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy.stubtest",
            "--concise",
            "--ignore-disjoint-bases",
            "lpf",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ
        | {
            "MYPYPATH": str(Path(lpf.__file__).parent.parent),
            "MYPY_CACHE_DIR": str(tmp_path / "cache"),
        },
        check=False,
    )
    complaints = [
        line
        for line in done.stdout.splitlines()
        if not line.startswith(("Found", "Success"))
        and "native._core" not in line
        and not line.endswith("is not a Union")
    ]
    assert complaints == [], done.stdout + done.stderr


def test_the_native_module_is_private_and_complete() -> None:
    for name in ("launch", "call", "pause", "current", "live", "prepare", "on_stray"):
        assert getattr(lpf, name) is getattr(_native, name)
    assert isinstance(_native.signal, int)
