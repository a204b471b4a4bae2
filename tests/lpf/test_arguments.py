"""Every bad input is refused, by the name of the parameter, and nothing has happened then."""

from __future__ import annotations

import decimal
import fractions
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import lpf

NOT_NUMBERS: list[object] = [
    "1",
    b"1",
    "",
    [],
    [1],
    {},
    object(),
    1j,
    bytearray(b"1"),
    lambda: 1,
    float,
    numpy.array([1.0, 2.0]),
]
NEGATIVE: list[object] = [
    -1,
    -0.5,
    -1e-300,
    float("-inf"),
    -(10**400),
    -(10**4000),
    -(2**63),
    decimal.Decimal(-1),
    numpy.float64(-1),
    numpy.int64(-1),
]
NAN: list[object] = [float("nan"), -float("nan"), decimal.Decimal("nan"), numpy.float32("nan")]


class Overflowing:
    def __float__(self) -> float:
        raise OverflowError("its own")


class Failing:
    def __float__(self) -> float:
        raise ZeroDivisionError("its own")


class NotAFloat:
    def __float__(self) -> Any:
        return "1.0"


def ran() -> None:
    raise AssertionError("it must not run")


def paused() -> lpf.Continuation[None]:
    return lpf.launch(lpf.pause)


def launch(value: object) -> None:
    lpf.launch(ran, timeout=value)  # type: ignore[arg-type]


def call(value: object) -> None:
    lpf.call(ran, timeout=value)  # type: ignore[arg-type]


def time_limit(value: object) -> None:
    lpf.time_limit(value)  # type: ignore[arg-type]


def resume(value: object) -> None:
    c = paused()
    try:
        c.resume(timeout=value)  # type: ignore[arg-type]
    finally:
        assert c.state == "paused"
        c.cancel()


def throw(value: object) -> None:
    c = paused()
    try:
        c.throw(KeyError, timeout=value)  # type: ignore[arg-type]
    finally:
        assert c.state == "paused"
        c.cancel()


def cancel(value: object) -> None:
    c = paused()
    try:
        c.cancel(grace=value)  # type: ignore[arg-type]
    finally:
        assert c.state == "paused"
        c.cancel()


def request_cancel(value: object) -> None:
    c = paused()
    try:
        c.request_cancel(grace=value)  # type: ignore[arg-type]
    finally:
        assert c.state == "paused"
        c.cancel()


def limit_grace(value: object) -> None:
    lpf.time_limit(1, grace=value)  # type: ignore[arg-type]


TAKERS = [
    pytest.param(launch, "timeout", id="launch"),
    pytest.param(call, "timeout", id="call"),
    pytest.param(time_limit, "seconds", id="time_limit"),
    pytest.param(limit_grace, "grace", id="time_limit-grace"),
    pytest.param(resume, "timeout", id="resume"),
    pytest.param(throw, "timeout", id="throw"),
    pytest.param(cancel, "grace", id="cancel"),
    pytest.param(request_cancel, "grace", id="request_cancel"),
]


@pytest.mark.parametrize(("taker", "parameter"), TAKERS)
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_a_type_error(
    taker: Callable[[object], None], parameter: str, value: object
) -> None:
    with pytest.raises(TypeError, match=f"{parameter} must be a number of seconds") as caught:
        taker(value)
    assert type(value).__name__ in str(caught.value)


@pytest.mark.parametrize(("taker", "parameter"), TAKERS)
@pytest.mark.parametrize("value", NEGATIVE, ids=lambda value: repr(value)[:30])
def test_what_is_negative_is_a_value_error(
    taker: Callable[[object], None], parameter: str, value: object
) -> None:
    with pytest.raises(ValueError, match=f"{parameter} must not be negative"):
        taker(value)


@pytest.mark.parametrize(("taker", "parameter"), TAKERS)
def test_an_integer_too_long_to_be_shown_is_refused_as_well(
    taker: Callable[[object], None], parameter: str
) -> None:
    with pytest.raises(ValueError, match=f"{parameter} must not be negative"):
        taker(-(10**5000))


@pytest.mark.parametrize(("taker", "parameter"), TAKERS)
@pytest.mark.parametrize("value", NAN, ids=repr)
def test_nan_is_a_value_error(
    taker: Callable[[object], None], parameter: str, value: object
) -> None:
    with pytest.raises(ValueError, match=f"{parameter} must not be NaN"):
        taker(value)


@pytest.mark.parametrize(("taker", "parameter"), TAKERS)
def test_what_a_conversion_raises_of_its_own_goes_through(
    taker: Callable[[object], None], parameter: str
) -> None:
    with pytest.raises(ZeroDivisionError, match="its own"):
        taker(Failing())
    with pytest.raises((TypeError, OverflowError, AssertionError)):
        taker(NotAFloat())


def test_an_overflow_of_what_is_no_integer_is_no_crash() -> None:
    with pytest.raises(OverflowError, match="its own"):
        lpf.launch(ran, timeout=Overflowing())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        60,
        60.0,
        True,
        decimal.Decimal(60),
        fractions.Fraction(60),
        numpy.float32(60),
        numpy.int8(60),
        10**400,
        float("inf"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_every_kind_of_number_is_taken(value: Any) -> None:
    assert lpf.launch(int, timeout=value).result() == 0
    assert lpf.call(int, timeout=value) == 0
    assert lpf.launch(lpf.pause).resume(timeout=value).done
    assert lpf.launch(lpf.pause).cancel(grace=value) == "cancelled"
    with lpf.time_limit(value, grace=value):
        pass


def test_zero_is_for_launch_only() -> None:
    c = paused()
    with pytest.raises(ValueError, match="timeout must be positive"):
        c.resume(timeout=0)
    with pytest.raises(ValueError, match="timeout must be positive"):
        c.throw(KeyError, timeout=0)
    c.cancel()
    with pytest.raises(ValueError, match="timeout must be positive"):
        lpf.call(ran, timeout=0)
    with pytest.raises(ValueError, match="seconds must be positive"):
        lpf.time_limit(0)


def test_a_grace_of_zero_or_none_is_allowed() -> None:
    assert paused().cancel(grace=0) in ("cancelled", "abandoned")
    assert paused().cancel(grace=None) == "cancelled"


@pytest.mark.parametrize("function", [None, 1, "f", [], object()])
def test_what_is_not_callable_is_refused(function: Any) -> None:
    for verb in (lpf.launch, lpf.call):
        with pytest.raises(TypeError, match="f must be callable, not"):
            verb(function, timeout=1)


def test_a_call_without_a_function_is_refused() -> None:
    for verb in (lpf.launch, lpf.call):
        with pytest.raises(TypeError, match="needs a function"):
            verb(timeout=1)  # type: ignore[call-arg]


def test_call_needs_its_timeout() -> None:
    with pytest.raises(TypeError, match="timeout"):
        lpf.call(ran)  # type: ignore[call-arg]


def test_the_timeout_is_keyword_only() -> None:
    c = paused()
    with pytest.raises(TypeError, match="keyword"):
        c.resume(1)  # type: ignore[misc]
    with pytest.raises(TypeError):
        c.throw(KeyError, 1)  # type: ignore[misc]
    with pytest.raises(TypeError):
        c.cancel(1)  # type: ignore[misc]
    with pytest.raises(TypeError):
        c.request_cancel(1)  # type: ignore[misc]
    assert c.state == "paused"
    c.cancel()


def test_unknown_keywords_are_refused() -> None:
    c: Any = paused()
    for verb in (c.resume, c.cancel, c.request_cancel):
        with pytest.raises(TypeError):
            verb(limit=1)
        with pytest.raises(TypeError):
            verb(timeout=1, limit=1)
    with pytest.raises(TypeError):
        c.throw(KeyError, limit=1)
    c.cancel()
    with pytest.raises(TypeError):
        lpf.time_limit(1, limit=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        lpf.time_limit()  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [None, 1, "KeyError", int, object(), [KeyError]])
def test_throw_takes_exceptions_only(value: Any) -> None:
    c = paused()
    with pytest.raises(TypeError, match="exc must be an exception or an exception class"):
        c.throw(value)
    assert c.state == "paused"
    c.cancel()


def test_throw_of_a_class_that_cannot_be_made_raises_that_and_changes_nothing() -> None:
    class Refuses(Exception):
        def __init__(self) -> None:
            raise ZeroDivisionError

    c = paused()
    with pytest.raises(ZeroDivisionError):
        c.throw(Refuses)
    assert c.state == "paused"
    c.cancel()


def test_throw_of_a_class_that_makes_something_else_is_refused() -> None:
    class Odd(Exception):
        def __new__(cls) -> Any:
            return 1

    c = paused()
    with pytest.raises(TypeError, match="exc must be an exception"):
        c.throw(Odd)
    assert c.state == "paused"
    c.cancel()


def test_pause_takes_one_value_at_most() -> None:
    with pytest.raises(TypeError, match="at most"):
        lpf.launch(lpf.pause, 1, 2).result()
    with pytest.raises(TypeError):
        lpf.launch(lpf.pause, value=1).result()


def test_on_stray_takes_a_callable_or_none() -> None:
    with pytest.raises(TypeError, match="callback must be callable or None, not int"):
        lpf.on_stray(1)  # type: ignore[arg-type]


def test_guards_refuse_nonsense_by_name() -> None:
    with pytest.raises(TypeError, match="module must be a str, not int"):
        lpf.guards.add(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="module must not be empty"):
        lpf.guards.add("")
    with pytest.raises(ValueError, match="kind must be 'held' or 'running', not 'soft'"):
        lpf.guards.add("here", kind="soft")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="not guarded"):
        lpf.guards.remove("never.heard.of")


def test_attributes_cannot_be_set() -> None:
    c: Any = lpf.launch(int)
    for name in ("state", "done", "reason", "frame", "elapsed", "cpu_time", "name", "value"):
        with pytest.raises(AttributeError):
            setattr(c, name, None)
    with pytest.raises(AttributeError):
        c.something = 1
