"""What ends the process says why; what need not end it does not.  All in child processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CRASH = Path(__file__).parent / "crash"


def overflow(how: str, when: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, str(CRASH / "overflow.py"), how, when],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        env=os.environ | {"LPF_STACK_SIZE": str(256 * 1024)} | environment,
        check=False,
    )


@pytest.mark.parametrize("when", ["off", "before", "after"])
@pytest.mark.parametrize("how", ["python", "ctypes"])
def test_a_full_stack_names_its_function(how: str, when: str) -> None:
    """Where CPython's own limits do not come first: these stacks are small on purpose."""
    done = overflow(how, when)
    if done.returncode == 0:
        assert done.stdout.strip() in ("RecursionError", "MemoryError")
        pytest.skip(f"this Python noticed it by itself: {done.stdout.strip()}")
    assert done.returncode == -signal.SIGSEGV, done
    assert "lpf: stack overflow in the preemptible function victim" in done.stderr
    assert "LPF_STACK_SIZE" in done.stderr
    if when != "off":
        assert "Fatal Python error: Segmentation fault" in done.stderr
        assert "overflow.py" in done.stderr


def test_a_fault_that_is_no_overflow_is_passed_on(child: Callable[..., Any]) -> None:
    for enable in ("", "faulthandler.enable();"):
        done = child(
            f"import lpf, ctypes, faulthandler; {enable} lpf.prepare();"
            "lpf.launch(ctypes.string_at, 16, timeout=5)",
            clean=False,
        )
        assert done.code == -signal.SIGSEGV, done
        assert "stack overflow" not in done.err
        assert ("Segmentation fault" in done.err) == bool(enable)


def test_the_default_stack_holds_what_the_main_threads_does(child: Callable[..., Any]) -> None:
    done = child(
        """
import lpf, sys
def through_c(n): return n if n == 0 else next(map(through_c, [n - 1]))
sys.setrecursionlimit(2**20)
depth = 100
while depth < 5000:
    try: through_c(depth + 100)
    except RecursionError: break
    depth += 100
assert depth >= 300, depth
assert lpf.launch(through_c, depth).result() == 0
assert lpf.launch(through_c, depth, timeout=20).result() == 0
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_a_huge_recursion_limit_alone_is_no_trouble(child: Callable[..., Any]) -> None:
    done = child(
        """
import lpf, sys
sys.setrecursionlimit(2**31 - 1)
def down(n): return 0 if n == 0 else 1 + down(n - 1)
c = lpf.launch(down, 100_000, timeout=.001)
while not c.done:
    sys.setrecursionlimit(2**31 - 1)
    c.resume(timeout=.001)
assert c.result() == 100_000
c = lpf.launch(lambda: lpf.pause())
sys.setrecursionlimit(100)
c.resume()
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_no_memory_for_a_stack_is_a_memory_error(child: Callable[..., Any]) -> None:
    done = child(
        """
import lpf, resource
paused = [lpf.launch(lpf.pause) for _ in range(10)]
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
try:
    while True: paused.append(lpf.launch(lpf.pause))
except MemoryError:
    print("MemoryError")
assert len(paused) > 10
for c in paused: c.resume()
assert lpf.launch(sum, (1, 2)).result() == 3
print("ok")
"""
    )
    assert done.lines == ["MemoryError", "ok"]


@pytest.mark.parametrize("size", ["65536", "1048576", "67108864"])
def test_the_stack_size_can_be_chosen(size: str, child: Callable[..., Any]) -> None:
    done = child(
        "import lpf\nc = lpf.launch(lpf.pause)\nc.resume()\nprint(lpf.launch(sum, (1, 2)).result())\n",
        environment={"LPF_STACK_SIZE": size},
    )
    assert done.lines == ["3"]


@pytest.mark.parametrize("size", ["", "0", "-5", "1", "x", "99999999999999999999"])
def test_a_stack_size_that_makes_no_sense_is_ignored(size: str, child: Callable[..., Any]) -> None:
    done = child(
        "import lpf\nc = lpf.launch(lpf.pause)\nc.resume()\nprint(lpf.launch(sum, (1, 2)).result())\n",
        environment={"LPF_STACK_SIZE": size},
    )
    assert done.lines == ["3"]


def test_a_name_that_is_replaced_meanwhile_is_still_good_in_the_message() -> None:
    done = overflow("ctypes", "off")
    if done.returncode:
        assert "victim" in done.stderr


def test_exceptions_in_finalizers_during_a_cancel_are_printed_only(
    child: Callable[..., Any],
) -> None:
    done = child(
        """
import lpf
class Bad:
    def __del__(self): raise ValueError("in __del__")
def f():
    bad = Bad()
    while True: pass
c = lpf.launch(f, timeout=.01)
print(c.cancel())
c = None
""",
        clean=False,
    )
    assert (done.code, done.lines) == (0, ["cancelled"])
    assert "in __del__" in done.err


def test_a_finalizer_that_never_ends_does_not_keep_a_cancel(child: Callable[..., Any]) -> None:
    done = child(
        """
import lpf, sys, time
sys.unraisablehook = lambda u: None
class Bad:
    def __del__(self):
        while True: pass
def f():
    bad = Bad()
    while True: pass
c = lpf.launch(f, timeout=.01)
begun = time.monotonic()
state = c.cancel(grace=.2)
assert state in ("cancelled", "abandoned"), state
assert time.monotonic() - begun < 10
print("ok")
import os; os._exit(0)  # The frame of f still holds one.
"""
    )
    assert done.lines == ["ok"]


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"PYTHONMALLOC": "debug"}, {"PYTHONDEVMODE": "1"}])
def test_random_work_on_everything_at_once(
    environment: dict[str, str], child: Callable[..., Any]
) -> None:
    """Six seconds each; crash/stress.py takes a duration and a seed for more."""
    source = (
        f"import sys, runpy; sys.argv = ['', '6']; runpy.run_path({str(CRASH / 'stress.py')!r})"
    )
    done = child(source, "-X", "faulthandler", environment=environment)
    assert done.lines[-1] == "ok", done
