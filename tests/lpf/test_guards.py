"""Code that must not be left in the middle: what is guarded, what waits, what users add."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import lpf
from reach import left_in, left_when

SOURCE = """
import time

def holds(seconds, then=None):
    log.append("in")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    log.append("out")

def calls(f):
    log.append("in")
    try:
        return f()
    finally:
        log.append("out")

def spins():
    while True:
        pass
"""


@pytest.fixture
def module() -> ModuleType:
    """A module of the name guarded_for_a_test.inner, with functions that take their time."""
    made = ModuleType("guarded_for_a_test.inner")
    made.log = []  # type: ignore[attr-defined]
    exec(compile(SOURCE, "guarded.py", "exec"), made.__dict__)
    return made


@contextmanager
def guard(name: str, **kind: Any) -> Iterator[None]:
    lpf.guards.add(name, **kind)
    try:
        yield
    finally:
        lpf.guards.remove(name)


def spin() -> None:
    while True:
        pass


def test_the_list_shows_what_is_guarded() -> None:
    guards = lpf.guards.list()
    assert {"importlib._bootstrap", "logging", "threading", "queue", "IPython", "zmq"} <= set(
        guards
    )
    assert set(guards.values()) <= {"held", "running"}
    guards.clear()
    assert lpf.guards.list() != {}


def test_unguarded_code_is_left_anywhere(module: Any) -> None:
    c = left_when(lambda: module.log, module.holds, 600)
    assert c.state == "paused"
    assert module.log == ["in"]
    c.cancel()


def test_a_held_guard_is_not_left_before_it_is_done(module: Any) -> None:
    def f() -> None:
        module.holds(0.05)
        spin()

    with guard("guarded_for_a_test"):
        c = left_when(lambda: module.log, f)
    assert (c.state, c.reason) == ("paused", "timeout")
    assert module.log == ["in", "out"]
    c.cancel()


def test_a_held_guard_holds_for_what_it_calls(module: Any) -> None:
    def slow() -> None:
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            pass

    def f() -> None:
        module.calls(slow)
        spin()

    with guard("guarded_for_a_test"):
        c = left_when(lambda: module.log, f)
    assert module.log == ["in", "out"]
    c.cancel()


def test_a_running_guard_lets_what_it_calls_be_left(module: Any) -> None:
    with guard("guarded_for_a_test", kind="running"):
        c = left_when(lambda: module.log, module.calls, spin)
        assert c.state == "paused"
        assert module.log == ["in"]
        c.cancel()
    assert module.log == ["in", "out"]


def test_a_running_guard_is_not_left_in_its_own_code(module: Any) -> None:
    def f() -> None:
        module.holds(0.05)
        spin()

    with guard("guarded_for_a_test", kind="running"):
        c = left_when(lambda: module.log, f)
    assert module.log == ["in", "out"]
    c.cancel()


def test_the_longest_name_decides(module: Any) -> None:
    def f() -> None:
        module.holds(0.05)
        spin()

    with guard("guarded_for_a_test", kind="running"), guard("guarded_for_a_test.inner"):
        c = left_when(lambda: module.log, f)
    assert module.log == ["in", "out"]
    c.cancel()
    module.log.clear()
    with guard("guarded_for_a_test.inner.deeper"), guard("guarded_for_a"):
        c = left_when(lambda: module.log, f)
    assert module.log == ["in"]
    c.cancel()


def test_a_guard_can_be_removed_and_changed_at_any_time(module: Any) -> None:
    def f() -> None:
        module.holds(0.03)
        spin()

    for _ in range(3):
        module.log.clear()
        with guard("guarded_for_a_test"):
            c = left_when(lambda: module.log, f)
            assert module.log == ["in", "out"]
            c.cancel()
        module.log.clear()
        c = left_when(lambda: module.log, f)
        assert module.log == ["in"]
        c.cancel()


def test_a_wait_is_left_also_when_its_call_has_been_specialised() -> None:
    """The eighth call of a code object is another instruction than the first (PEP 659)."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    joining = [lpf.launch(thread.join, timeout=0.001) for _ in range(20)]
    waiting = [lpf.launch(over.wait, timeout=0.001) for _ in range(20)]
    assert {c.state for c in joining + waiting} == {"paused"}
    over.set()
    for c in joining + waiting:
        c.resume().result()


def test_frames_outside_of_the_function_do_not_guard_it(module: Any) -> None:
    def launches() -> Any:
        return lpf.launch(spin, timeout=0.005)

    with guard("guarded_for_a_test"):
        c = module.calls(launches)
    assert c.state == "paused"
    c.cancel()


def test_a_frame_of_a_guard_in_an_inner_function_guards_the_outer_one(module: Any) -> None:
    def inner() -> None:
        module.holds(0.05)
        spin()

    def outer() -> None:
        lpf.launch(inner)

    with guard("guarded_for_a_test"):
        c = left_when(lambda: module.log, outer)
    assert module.log == ["in", "out"]
    c.cancel()


def test_a_pause_of_its_own_is_not_deferred(module: Any) -> None:
    with guard("guarded_for_a_test"):
        c = lpf.launch(module.calls, lpf.pause)
        assert (c.state, c.reason) == ("paused", "pause")
        c.resume()
    assert c.state == "finished"


def test_a_cancel_waits_for_half_of_its_grace_and_then_says_what_it_broke_into(
    module: Any,
) -> None:
    def f() -> None:
        lpf.pause()
        module.spins()

    with guard("guarded_for_a_test"):
        c = lpf.launch(f)

        def ask() -> None:
            while not c.request_cancel(grace=0.2):
                time.sleep(0)

        thread = threading.Thread(target=ask)
        thread.start()
        c.resume()
        thread.join()
    assert c.state == "cancelled"
    assert c.broke_into == "guarded_for_a_test.inner"


def test_nothing_was_broken_into_normally() -> None:
    c = lpf.launch(spin, timeout=0.005)
    c.cancel()
    assert c.broke_into is None


def test_a_time_limit_waits_for_a_guard(module: Any) -> None:
    with guard("guarded_for_a_test"), pytest.raises(lpf.TimedOut):
        with lpf.time_limit(0.005):
            module.holds(0.05)
            spin()
    assert module.log == ["in", "out"]


def test_an_import_is_not_left_in_the_middle(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "slow_module_of_a_test.py").write_text(
        "import time\n"
        "end = time.monotonic() + 0.05\n"
        "while time.monotonic() < end:\n"
        "    pass\n"
        "done = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def f() -> None:
        importlib.import_module("slow_module_of_a_test")
        spin()

    c = left_when(lambda: "slow_module_of_a_test" in sys.modules, f)
    assert c.state == "paused"
    assert sys.modules["slow_module_of_a_test"].done
    c.cancel()
    del sys.modules["slow_module_of_a_test"]


def test_a_log_handler_is_not_left_with_its_lock_held() -> None:
    emitted: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            end = time.monotonic() + 0.02
            while time.monotonic() < end:
                pass
            emitted.append(record.getMessage())

    logger = logging.getLogger("lpf-test")
    logger.propagate = False
    logger.addHandler(Slow())
    try:

        def f() -> None:
            for i in range(100):
                logger.warning("%d", i)

        c = lpf.launch(f, timeout=0.005)
        while not c.done and len(emitted) < 5:
            before = len(emitted)
            thread = threading.Thread(target=logger.warning, args=("other",))
            thread.start()
            thread.join(30)
            assert not thread.is_alive(), "a paused function held the lock of the handler"
            emitted.remove("other")
            assert len(emitted) == before
            c.resume(timeout=0.005)
        c.cancel()
    finally:
        logger.handlers.clear()


def test_notify_is_not_left_but_wait_is() -> None:
    condition = threading.Condition()

    def waits() -> None:
        with condition:
            condition.wait()

    c = left_in(threading.Condition.wait, waits)
    assert c.state == "paused"
    assert condition.acquire(blocking=False), "a function that waits does not hold the lock"
    condition.release()

    class Slow:
        """In the place of the lock: it makes notify slow."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def acquire(self, *args: Any) -> bool:
            return self.lock.acquire(*args)

        def release(self) -> None:
            self.lock.release()

        def __enter__(self) -> bool:
            return self.lock.__enter__()

        def __exit__(self, *args: Any) -> None:
            self.lock.__exit__(*args)

        def _is_owned(self) -> bool:
            end = time.monotonic() + 0.03
            while time.monotonic() < end:
                pass
            log.append("checked")
            return True

    log: list[str] = []
    slow = threading.Condition(Slow())  # type: ignore[arg-type]

    def notifies() -> None:
        slow.acquire()
        slow.notify()
        slow.release()
        spin()

    d = left_when(lambda: log, notifies)
    assert log == ["checked"]
    assert d.state == "paused"
    d.cancel()
    with condition:
        condition.notify_all()
    assert c.resume(timeout=60).state == "finished"


def test_waiting_for_a_future_is_left() -> None:
    import concurrent.futures

    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    c = lpf.launch(future.result, timeout=0.01)
    assert c.state == "paused"
    future.set_result(5)
    assert c.resume(timeout=60).result() == 5


def test_code_without_a_module_name_is_free() -> None:
    space: dict[str, Any] = {}
    exec("def f():\n while True: pass", space)
    space.pop("__name__", None)
    c = lpf.launch(space["f"], timeout=0.005)
    assert c.state == "paused"
    c.cancel()
    space["__name__"] = 5
    c = lpf.launch(space["f"], timeout=0.005)
    assert c.state == "paused"
    c.cancel()
