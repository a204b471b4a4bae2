"""lpf.native: C functions of a cffi library, launched with a limit, alone and inside Python functions."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lpf

pytest.importorskip("cffi")
if shutil.which("cc") is None and shutil.which("gcc") is None:
    pytest.skip("no C compiler", allow_module_level=True)

DECLARATIONS = """
struct work { volatile long count; volatile long stop; long limit; double sum; };
void spin(void *arg);
void add_up(void *arg);
void nothing(void *arg);
void calls_back(void *arg);
extern void (*callback)(void *);
int not_of_the_kind(int x);
"""
SOURCE = """
struct work { volatile long count; volatile long stop; long limit; double sum; };
void spin(void *arg) { struct work *w = arg; while (!w->stop) w->count++; }
void add_up(void *arg)
{
    struct work *w = arg;
    double sum = 0;
    for (long i = 0; i < w->limit; i++) { sum += 1.0 / (double)(i + 1); w->count = i; }
    w->sum = sum;
}
void nothing(void *arg) { (void)arg; }
void (*callback)(void *);
void calls_back(void *arg) { callback(arg); }
int not_of_the_kind(int x) { return x; }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small library, compiled by cffi in its API mode."""
    import cffi

    folder = tmp_path_factory.mktemp("native")
    builder = cffi.FFI()
    builder.cdef(DECLARATIONS)
    builder.set_source("lpf_test_library", SOURCE, extra_compile_args=["-O1"])
    path = Path(builder.compile(tmpdir=str(folder)))
    spec = importlib.util.spec_from_file_location("lpf_test_library", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def work(library: Any) -> Any:
    return library.ffi.new("struct work *")


def address(library: Any, name: str) -> Any:
    return library.ffi.addressof(library.lib, name)


def test_a_function_that_ends_is_finished(library: Any, work: Any) -> None:
    work.limit = 1000
    c = lpf.native.launch(address(library, "add_up"), work, timeout=60)
    assert (c.state, c.done, c.result()) == ("finished", True, None)
    assert work.sum > 7


def test_no_limit_and_no_argument(library: Any) -> None:
    assert lpf.native.launch(address(library, "nothing")).state == "finished"
    assert lpf.native.launch(address(library, "nothing"), None, timeout=None).done


def test_a_loop_that_never_ends_is_left_and_resumed(library: Any, work: Any) -> None:
    c = lpf.native.launch(address(library, "spin"), work, timeout=0.005)
    assert (c.state, c.done) == ("paused", False)
    first = work.count
    assert first > 0
    assert work.count == first
    assert c.resume(timeout=0.005) is c
    assert c.state == "paused"
    assert work.count > first
    work.stop = 1
    assert c.resume().state == "finished"
    assert c.elapsed >= 0.0099
    assert c.cpu_time > 0


def test_preemption_at_any_instruction_keeps_the_registers(library: Any, work: Any) -> None:
    work.limit = 3_000_000
    lpf.native.launch(address(library, "add_up"), work)
    expected = work.sum
    work.sum = 0
    c = lpf.native.launch(address(library, "add_up"), work, timeout=0.0001)
    rounds = 0
    while not c.done:
        c.resume(timeout=0.0001)
        rounds += 1
    assert rounds > 0
    assert work.sum == expected


def test_zero_creates_only(library: Any, work: Any) -> None:
    c = lpf.native.launch(address(library, "spin"), work, timeout=0)
    assert c.state == "ready"
    assert work.count == 0
    with pytest.raises(lpf.NotFinished, match="ready"):
        c.result()
    assert c.cancel() == "cancelled"
    assert work.count == 0


def test_a_cancelled_one_is_discarded(library: Any, work: Any) -> None:
    c = lpf.native.launch(address(library, "spin"), work, timeout=0.002)
    assert c.cancel() == "cancelled"
    assert c.cancel() == "cancelled"
    with pytest.raises(lpf.StateError, match="cancelled"):
        c.result()
    with pytest.raises(lpf.StateError, match="cancelled"):
        c.resume()


def test_thousands_are_dropped_without_a_trace(library: Any, work: Any) -> None:
    def maps() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines())

    for _ in range(100):
        lpf.native.launch(address(library, "spin"), work, timeout=0)
    before = maps()
    for i in range(2000):
        lpf.native.launch(address(library, "spin"), work, timeout=0.00005 if i % 10 == 0 else 0)
    gc.collect()
    assert maps() - before < 50


def test_the_argument_lives_as_long_as_it_is_needed(library: Any) -> None:
    c = lpf.native.launch(
        address(library, "spin"), library.ffi.new("struct work *", {"limit": 5}), timeout=0.002
    )
    gc.collect()
    c.resume(timeout=0.002)
    assert c.state == "paused"
    c.cancel()


@pytest.mark.parametrize("value", [-1, float("nan"), -(10**400)])
def test_bad_numbers_name_the_timeout(library: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        lpf.native.launch(address(library, "nothing"), timeout=value)


@pytest.mark.parametrize("value", ["1", b"1", [], object(), 1j])
def test_what_is_no_number_names_the_timeout(library: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="timeout must be a number"):
        lpf.native.launch(address(library, "nothing"), timeout=value)


def test_endless_numbers_are_no_limit(library: Any) -> None:
    for value in (float("inf"), 10**400, 1e300):
        assert lpf.native.launch(address(library, "nothing"), timeout=value).done


@pytest.mark.parametrize("function", [print, "spin", "s", b"s", None, 0, 1, 1.5, object(), len])
def test_what_is_no_pointer_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=r"function must be .*cffi pointer"):
        lpf.native.launch(function)


def test_a_function_of_another_kind_is_refused(library: Any) -> None:
    for bad in (
        address(library, "not_of_the_kind"),
        library.ffi.addressof(library.lib, "callback"),
        library.ffi.new("struct work *"),
        library.ffi.new("int[3]"),
    ):
        with pytest.raises(TypeError, match="function must be"):
            lpf.native.launch(bad)
    untyped = library.ffi.cast("void *", address(library, "nothing"))
    assert lpf.native.launch(untyped).done


def test_null_is_refused(library: Any) -> None:
    with pytest.raises(ValueError, match="NULL"):
        lpf.native.launch(library.ffi.NULL)


def test_a_ctypes_function_is_refused_with_the_way_out() -> None:
    libc = ctypes.CDLL(None)
    with pytest.raises(TypeError, match=r"ffi.addressof"):
        lpf.native.launch(libc.abort)


def test_a_bad_argument_is_refused(library: Any) -> None:
    for bad in ("x", b"x", 1.5, object(), [1], library.ffi.cast("int", 1)):
        with pytest.raises(TypeError, match="arg must be a cffi pointer"):
            lpf.native.launch(address(library, "nothing"), bad)


def test_resume_needs_time(library: Any, work: Any) -> None:
    c = lpf.native.launch(address(library, "spin"), work, timeout=0.001)
    with pytest.raises(ValueError, match="timeout must be positive"):
        c.resume(timeout=0)
    with pytest.raises(TypeError):
        c.resume(1)
    c.cancel()


def test_another_thread_is_refused(library: Any, work: Any) -> None:
    c = lpf.native.launch(address(library, "spin"), work, timeout=0.001)
    errors: list[BaseException] = []

    def resume() -> None:
        try:
            c.resume(timeout=0.001)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=resume)
    thread.start()
    thread.join()
    assert isinstance(errors[0], lpf.ThreadError)
    assert c.state == "paused"
    c.cancel()


def test_every_thread_may_have_its_own_with_a_limit(library: Any) -> None:
    results: list[tuple[str, str]] = []

    def use() -> None:
        own = library.ffi.new("struct work *")
        c = lpf.native.launch(address(library, "spin"), own, timeout=0.003)
        state = c.state
        own.stop = 1
        results.append((state, c.resume(timeout=60).state))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [("paused", "finished")] * 4


def test_other_python_threads_run_meanwhile(library: Any, work: Any) -> None:
    rounds = [0]

    def count() -> None:
        while not work.stop:
            rounds[0] += 1
            if rounds[0] > 10_000:
                work.stop = 1

    thread = threading.Thread(target=count)
    thread.start()
    c = lpf.native.launch(address(library, "spin"), work, timeout=60)
    thread.join()
    assert c.state == "finished"


def test_the_repr_and_the_name(library: Any, work: Any) -> None:
    c = lpf.native.launch(address(library, "nothing"))
    assert "finished" in repr(c)
    assert "void" in c.name


def test_a_python_function_whose_limit_passes_inside_native_code_is_left(
    library: Any, work: Any
) -> None:
    def outer() -> str:
        lpf.native.launch(address(library, "spin"), work, timeout=60).result()
        return "end"

    c = lpf.launch(outer, timeout=0.01)
    assert (c.state, c.reason) == ("paused", "timeout")
    count = work.count
    c.resume(timeout=0.01)
    assert c.state == "paused"
    assert work.count > count
    work.stop = 1
    assert c.resume(timeout=60).result() == "end"


def test_a_plain_cffi_call_inside_is_left_as_well(library: Any, work: Any) -> None:
    """It has released the GIL: the second rung."""

    def outer() -> str:
        library.lib.spin(work)
        return "end"

    c = lpf.launch(outer, timeout=0.01)
    assert (c.state, c.reason) == ("paused", "timeout")
    count = work.count
    c.resume(timeout=0.01)
    assert c.state == "paused"
    assert work.count > count
    work.stop = 1
    assert c.resume(timeout=60).result() == "end"


def test_a_call_with_a_native_loop_inside_times_out(library: Any, work: Any) -> None:
    def outer() -> Iterator[None]:
        try:
            yield  # So that the limit finds it in here, however soon it passes.
            lpf.native.launch(address(library, "spin"), work, timeout=60)
        finally:
            work.stop = 2

    inside = outer()
    next(inside)
    with pytest.raises(lpf.TimedOut):
        lpf.call(next, inside, timeout=0.01)
    assert work.stop == 2


def test_a_time_limit_around_a_native_loop_raises(library: Any, work: Any) -> None:
    with pytest.raises(lpf.TimedOut):
        with lpf.time_limit(0.01):
            lpf.native.launch(address(library, "spin"), work, timeout=60)
    assert work.count > 0


def test_what_a_function_stands_still_does_not_count_for_a_native_limit_inside(
    library: Any, work: Any
) -> None:
    def outer() -> tuple[str, float]:
        inner = lpf.native.launch(address(library, "spin"), work, timeout=0.1)
        state, elapsed = inner.state, inner.elapsed
        inner.cancel()
        return state, elapsed

    c = lpf.launch(outer, timeout=0.01)
    while not c.done:
        time.sleep(0.02)
        c.resume(timeout=0.01)
    state, elapsed = c.result()
    assert state == "paused"
    assert elapsed >= 0.0999


def test_an_inner_native_limit_leaves_the_outer_python_function_running(
    library: Any, work: Any
) -> None:
    def outer() -> tuple[str, str]:
        c = lpf.native.launch(address(library, "spin"), work, timeout=0.005)
        return c.state, c.cancel()

    assert lpf.launch(outer, timeout=60).result() == ("paused", "cancelled")


def test_libraries_can_be_allowed_and_refused(library: Any, work: Any) -> None:
    name = Path(library.__file__).name
    outcome: list[str] = []
    lpf.native.allow_library(name, allow=False)
    try:
        threading.Timer(0.05, lambda: setattr(work, "stop", 1)).start()
        outcome.append(lpf.native.launch(address(library, "spin"), work, timeout=0.005).state)
    finally:
        lpf.native.allow_library(name)
    work.stop = 0
    c = lpf.native.launch(address(library, "spin"), work, timeout=0.005)
    outcome.append(c.state)
    c.cancel()
    assert outcome == ["finished", "paused"]


def test_allow_library_refuses_nonsense() -> None:
    with pytest.raises(TypeError, match="name_part must be a str"):
        lpf.native.allow_library(1)  # type: ignore[arg-type]
    for bad in ("", "x" * 1000):
        with pytest.raises(ValueError, match="name_part"):
            lpf.native.allow_library(bad)


def test_there_is_one_copy_of_the_core(library: Any) -> None:
    """What the binding of lpf.h says agrees with the Python half."""
    lib, ffi = lpf.native.lib, lpf.native.ffi
    assert lib.lpf_current() == ffi.NULL
    assert lpf.launch(lambda: lib.lpf_current() != ffi.NULL).result() is True
    assert ffi.string(lib.lpf_strerror(lib.LPF_ESTATE))
    assert lib.lpf_pause() == lib.LPF_ENOTIN


def test_the_bare_binding_is_the_header(library: Any, work: Any) -> None:
    lib, ffi = lpf.native.lib, lpf.native.ffi
    out = ffi.new("lpf_t **")
    function = ffi.cast("void (*)(void *)", ffi.cast("uintptr_t", address(library, "spin")))
    argument = ffi.cast("void *", ffi.cast("uintptr_t", work))
    assert lib.lpf_launch(out, function, argument, 2_000_000) == lib.LPF_OK
    assert lib.lpf_state(out[0]) == lib.LPF_PAUSED
    assert lib.lpf_cancel(out[0]) == lib.LPF_OK
    assert lib.lpf_free(out[0]) == lib.LPF_OK
    assert lib.lpf_launch(ffi.NULL, function, argument, 1) == lib.LPF_EINVAL


def test_importing_the_package_does_not_import_cffi(child: Callable[..., Any]) -> None:
    done = child("import lpf, sys; print('cffi' in sys.modules, 'lpf.native' in sys.modules)")
    assert done.lines == ["False False"]
    assert sys.version_info >= (3, 11)
