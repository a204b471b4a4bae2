"""What a launched function finds is what it would find in a plain call, also after it was paused."""

from __future__ import annotations

import collections
import contextvars
import decimal
import enum
import linecache
import sys
import threading
import traceback
import typing
import warnings
from typing import Any

import numpy
import pytest

import lpf

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


def spin() -> None:
    while True:
        pass


def test_thread_locals_are_the_threads() -> None:
    local = threading.local()
    local.x = 1

    def f() -> tuple[int, int]:
        seen = local.x
        local.y = 2
        lpf.pause()
        return seen, local.x

    c = lpf.launch(f)
    assert local.y == 2
    local.x = 3
    assert c.resume().result() == (1, 3)


def test_the_thread_is_the_same() -> None:
    def f() -> tuple[int, int, threading.Thread]:
        before = threading.get_ident()
        lpf.pause()
        return before, threading.get_native_id(), threading.current_thread()

    here = threading.get_ident(), threading.get_native_id(), threading.current_thread()
    assert lpf.launch(f).resume().result() == here


def test_a_context_variable_that_is_set_inside_is_set_afterwards() -> None:
    def f() -> str:
        before = variable.get()
        variable.set("inside")
        return before

    token = variable.set("outside")
    try:
        assert lpf.launch(f).result() == "outside"
        assert variable.get() == "inside"
    finally:
        variable.reset(token)
    assert variable.get() == "default"


def test_what_is_set_in_a_context_that_it_has_entered_stays_there() -> None:
    def inside() -> str:
        variable.set("inside")
        lpf.pause()
        return variable.get()

    def f() -> tuple[str, str]:
        return context.run(inside), variable.get()

    context = contextvars.copy_context()
    token = variable.set("outside")
    try:
        c = lpf.launch(f)
        assert variable.get() == "outside"
        assert context.run(variable.get) == "inside"
        assert c.resume().result() == ("inside", "outside")
    finally:
        variable.reset(token)
    assert context[variable] == "inside"


def test_many_contexts_paused_crosswise_do_not_mix() -> None:
    def inside(name: str) -> list[str]:
        variable.set(name)
        seen = []
        for _ in range(5):
            seen.append(variable.get())
            lpf.pause()
        return seen

    paused = [lpf.launch(contextvars.copy_context().run, inside, str(n)) for n in range(20)]
    for _ in range(5):
        for c in paused[::-1]:
            c.resume()
        assert variable.get() == "default"
    assert [c.result() for c in paused] == [[str(n)] * 5 for n in range(20)]


def test_preemption_in_a_context_of_its_own_does_not_mix_the_cached_values() -> None:
    def inside(name: str) -> int:
        variable.set(name)
        for i in range(100_000):
            if variable.get() != name:
                return i
        return -1

    paused = [
        lpf.launch(contextvars.copy_context().run, inside, str(n), timeout=0.0005) for n in range(4)
    ]
    while not all(c.done for c in paused):
        for c in paused:
            if not c.done:
                c.resume(timeout=0.0005)
                assert variable.get() == "default"
    assert [c.result() for c in paused] == [-1] * 4


def test_the_decimal_context_of_a_call_that_ends_is_as_in_a_plain_call() -> None:
    def f() -> decimal.Decimal:
        with decimal.localcontext() as context:
            context.prec = 4
            return decimal.Decimal(1) / 3

    assert lpf.launch(f).result() == decimal.Decimal("0.3333")
    assert decimal.getcontext().prec == 28


def test_the_floating_point_mode_of_numpy_is_as_in_a_plain_call() -> None:
    def f() -> Any:
        with numpy.errstate(divide="raise"):
            return numpy.float64(1) / numpy.float64(0)

    c = lpf.launch(f)
    assert isinstance(c.exception(), FloatingPointError)
    with numpy.errstate(divide="ignore"):
        assert lpf.launch(lambda: numpy.float64(1) / numpy.float64(0)).result() == float("inf")


def test_a_class_that_asks_for_its_callers_module_finds_it() -> None:
    for make in (
        lambda: lpf.launch(collections.namedtuple, "P", "x y").result(),
        lambda: lpf.launch(enum.Enum, "E", "A B").result(),
        lambda: lpf.launch(typing.NamedTuple, "N", [("x", int)]).result(),
        lambda: lpf.launch(typing.TypeVar, "T").result(),
        lambda: lpf.launch(typing.NewType, "W", int).result(),
        lambda: lpf.launch(type, "C", (), {}).result(),
    ):
        made: Any = make()
        assert made.__module__ == __name__, made


def test_exec_and_eval_take_the_callers_globals() -> None:
    assert lpf.launch(eval, "__name__").result() == __name__
    assert lpf.launch(eval, "variable").result() is variable
    lpf.launch(exec, "made_by_exec = 1").result()
    assert globals().pop("made_by_exec", None) == 1 or "made_by_exec" not in globals()
    assert lpf.launch(globals).result() is globals()
    names = lpf.launch(locals).result()
    assert isinstance(names, dict)


def test_import_finds_its_package_relative_to_the_caller() -> None:
    space: dict[str, Any] = {"__name__": "json.inner", "__package__": "json", "lpf": lpf}
    exec("def f():\n from . import decoder\n return decoder.__name__", space)
    exec("def g():\n lpf.pause()\n from . import encoder\n return encoder.__name__", space)
    assert lpf.launch(space["f"]).result() == "json.decoder"
    assert lpf.launch(space["g"]).resume().result() == "json.encoder"


def test_warnings_are_blamed_on_the_right_line() -> None:
    def f() -> None:
        warnings.warn("here", stacklevel=1)

    def g() -> None:
        warnings.warn("at the caller", stacklevel=2)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lpf.launch(f)
        lpf.launch(g)  # the caller
        lpf.launch(warnings.warn, "directly")  # itself
    lines = [linecache.getline(w.filename, w.lineno).strip() for w in caught]
    assert lines == [
        'warnings.warn("here", stacklevel=1)',
        "lpf.launch(g)  # the caller",
        'lpf.launch(warnings.warn, "directly")  # itself',
    ]


def test_dir_and_vars_and_super_without_arguments() -> None:
    class A:
        def f(self) -> str:
            return "A"

    class B(A):
        def f(self) -> str:
            lpf.pause()
            return "B" + super().f()

    assert lpf.launch(B().f).resume().result() == "BA"
    assert isinstance(lpf.launch(dir).result(), list)
    assert isinstance(lpf.launch(vars).result(), dict)


def test_builtins_are_those_of_the_caller() -> None:
    space: dict[str, Any] = {"__builtins__": {"special": 41}, "launch": lpf.launch}
    exec("def f(): return special + 1\nresult = launch(f).result()", space)
    assert space["result"] == 42


# ---- Exceptions -------------------------------------------------------------------------------


def raises(depth: int) -> None:
    if depth == 0:
        raise ValueError("deep")
    raises(depth - 1)


def test_a_traceback_is_whole() -> None:
    c = lpf.launch(raises, 3)
    with pytest.raises(ValueError) as caught:
        c.result()
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert names == [
        "test_a_traceback_is_whole",
        "raises",
        "raises",
        "raises",
        "raises",
    ]


def test_a_traceback_is_whole_after_preemption() -> None:
    def f(depth: int) -> None:
        if depth == 0:
            total = 0
            for i in range(50_000):
                total += i
            raise ValueError("deep")
        f(depth - 1)

    c = lpf.launch(f, 20, timeout=0.0003)
    while not c.done:
        c.resume(timeout=0.0003)
    error = c.exception()
    assert error is not None
    assert [e.name for e in traceback.extract_tb(error.__traceback__)] == ["f"] * 21


def test_what_the_caller_handles_is_not_seen_inside() -> None:
    def f() -> tuple[Any, Any]:
        before = sys.exc_info()
        lpf.pause()
        return before, sys.exc_info()

    nothing = (None, None, None)
    try:
        raise KeyError("the caller's")
    except KeyError:
        c = lpf.launch(f)
        assert isinstance(sys.exception(), KeyError)
    try:
        raise IndexError("the resumer's")
    except IndexError:
        c.resume()
        assert isinstance(sys.exception(), IndexError)
    assert c.result() == (nothing, nothing)
    assert sys.exc_info() == nothing


def test_what_is_handled_inside_is_not_seen_by_the_caller() -> None:
    def f() -> BaseException | None:
        try:
            raise KeyError("inside")
        except KeyError:
            lpf.pause()
            return sys.exception()

    c = lpf.launch(f)
    assert sys.exception() is None
    with pytest.raises(RuntimeError, match="No active exception"):
        raise
    try:
        raise IndexError
    except IndexError:
        c.resume()
        assert isinstance(sys.exception(), IndexError)
    assert isinstance(c.result(), KeyError)


def test_a_bare_raise_after_a_pause_raises_what_is_handled() -> None:
    def f() -> None:
        try:
            raise KeyError("inside")
        except KeyError:
            lpf.pause()
            raise

    c = lpf.launch(f)
    try:
        raise IndexError
    except IndexError:
        c.resume()
    assert isinstance(c.exception(), KeyError)


def test_exceptions_chain_within_and_not_across() -> None:
    def f() -> None:
        try:
            raise KeyError("first")
        except KeyError:
            lpf.pause()
            raise ValueError("second")  # noqa: B904

    c = lpf.launch(f)
    try:
        raise IndexError
    except IndexError:
        c.resume()
    error = c.exception()
    assert isinstance(error, ValueError)
    assert isinstance(error.__context__, KeyError)
    assert error.__context__.__context__ is None


def test_result_raised_inside_an_except_clause_chains_as_any_raise_does() -> None:
    c = lpf.launch(raises, 0)
    try:
        try:
            raise KeyError
        except KeyError:
            c.result()
    except ValueError as error:
        assert error is c.exception()


def test_exceptions_raised_and_handled_crosswise() -> None:
    def f(kind: type[Exception]) -> bool:
        for _ in range(10):
            try:
                raise kind
            except kind:
                lpf.pause()
                if not isinstance(sys.exception(), kind):
                    return False
            if sys.exception() is not None:
                return False
        return True

    kinds: list[type[Exception]] = [KeyError, IndexError, ValueError, OSError, TypeError]
    paused = [lpf.launch(f, kind) for kind in kinds]
    while not all(c.done for c in paused):
        for c in paused:
            if not c.done:
                c.resume()
        assert sys.exception() is None
    assert [c.result() for c in paused] == [True] * 5


def test_exception_groups_and_notes() -> None:
    def f() -> list[str]:
        seen = []
        try:
            try:
                lpf.pause()
            except ValueError as error:
                error.add_note("a note")
                raise ExceptionGroup("group", [error, TypeError("t")]) from None
        except* ValueError as group:
            lpf.pause()
            seen.append(repr(group.exceptions[0].__notes__))
        except* TypeError as group:
            lpf.pause()
            seen.append(str(group.exceptions[0]))
        return seen

    c = lpf.launch(f)
    c.throw(ValueError("v"))
    while not c.done:
        c.resume()
    assert c.result() == ["['a note']", "t"]


def test_an_exception_of_a_function_does_not_keep_its_stack() -> None:
    """The C stack goes back to the pool although the traceback keeps frames alive."""
    kept = [lpf.launch(raises, 5).exception() for _ in range(500)]
    assert all(isinstance(error, ValueError) for error in kept)
    for error in kept:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        assert [f.f_locals["depth"] for f in frames] == [5, 4, 3, 2, 1, 0]


def test_memory_errors_inside() -> None:
    def f() -> str:
        try:
            bytearray(2**62)
        except MemoryError:
            lpf.pause()
            return "caught"
        return "not reached"

    assert lpf.launch(f).resume().result() == "caught"


def test_system_exit_and_keyboard_interrupt_are_kept_for_result() -> None:
    c = lpf.launch(sys.exit, 3)
    with pytest.raises(SystemExit) as caught:
        c.result()
    assert caught.value.code == 3
