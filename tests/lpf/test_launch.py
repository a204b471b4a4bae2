"""launch, resume, pause, result, exception: what a call that can be paused gives back."""

from __future__ import annotations

import functools
import operator
import threading
import time
from typing import Any

import pytest

import lpf
from reach import left_in, left_when


def spin() -> None:
    while True:
        pass


def count(done: list[int], rounds: int) -> int:
    for i in range(rounds):
        done.append(i)
        lpf.pause()
    return rounds


def test_a_function_that_ends_in_time_is_finished_with_its_result() -> None:
    c = lpf.launch(sum, range(10), timeout=60)
    assert (c.state, c.done, c.result(), c.exception(), c.reason) == (
        "finished",
        True,
        45,
        None,
        None,
    )


def test_without_a_timeout_it_runs_to_its_end() -> None:
    assert lpf.launch(sum, range(10)).result() == 45
    assert lpf.launch(sum, range(10), timeout=None).result() == 45


def test_positional_and_keyword_arguments_arrive_in_any_number() -> None:
    def f(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
        return args, kwargs

    names = [f"k{i}" for i in range(30)]
    for positional in range(0, 12, 3):
        for named in (0, 1, 2, 7, 30):
            args = tuple(range(positional))
            kwargs: dict[str, Any] = {name: name for name in names[:named]}
            assert lpf.launch(f, *args, **kwargs).result() == (args, kwargs)
            assert lpf.launch(f, *args, timeout=60, **kwargs).result() == (args, kwargs)
            assert lpf.call(f, *args, timeout=60, **kwargs) == (args, kwargs)


def test_the_timeout_may_stand_anywhere_among_the_keywords() -> None:
    def f(**kwargs: object) -> list[str]:
        return list(kwargs)

    assert lpf.launch(f, timeout=60, a=1, b=2).result() == ["a", "b"]
    assert lpf.launch(f, a=1, timeout=60, b=2).result() == ["a", "b"]
    assert lpf.launch(f, a=1, b=2, timeout=60).result() == ["a", "b"]


def test_keywords_that_are_parameters_of_other_calls_reach_the_function() -> None:
    def f(**kwargs: object) -> dict[str, object]:
        return kwargs

    given = {"f": 1, "self": 2, "args": 3, "function": 4, "name": 5, "value": 6}
    assert lpf.launch(f, **given).result() == given


class Callables:
    def method(self, x: int) -> int:
        return x + 1

    @classmethod
    def of_class(cls, x: int) -> int:
        return x + 2

    @staticmethod
    def static(x: int) -> int:
        return x + 3

    def __call__(self, x: int) -> int:
        return x + 4


@pytest.mark.parametrize(
    ("callable_", "result"),
    [
        (Callables().method, 11),
        (Callables.of_class, 12),
        (Callables.static, 13),
        (Callables(), 14),
        (lambda x: x + 5, 15),
        (functools.partial(operator.add, 6), 16),
        (operator.neg, -10),
        (str, "10"),
        ([10].index, 0),
        (int.__add__.__get__(7), 17),
        (type("T", (), {"__new__": lambda cls, x: x + 8}), 18),
    ],
)
def test_everything_callable_can_be_launched(callable_: Any, result: object) -> None:
    assert lpf.launch(callable_, 10).result() == result
    assert lpf.launch(callable_, 10, timeout=60).result() == result


def test_a_generator_function_and_a_coroutine_function_give_their_objects() -> None:
    def generator() -> Any:
        yield 1

    async def coroutine() -> int:
        return 1

    assert list(lpf.launch(generator).result()) == [1]
    made = lpf.launch(coroutine).result()
    made.close()


def test_zero_creates_without_running() -> None:
    ran: list[int] = []
    c = lpf.launch(ran.append, 1, timeout=0)
    assert (c.state, c.done, c.reason, c.frame, c.stack(), c.elapsed) == (
        "ready",
        False,
        None,
        None,
        [],
        0.0,
    )
    assert ran == []
    assert lpf.live() == [c]
    assert c.resume() is c
    assert ran == [1]
    assert c.state == "finished"


def test_what_is_created_only_keeps_its_arguments_alive_and_lets_them_go_at_its_end() -> None:
    import weakref

    class Thing:
        pass

    thing = Thing()
    watched = weakref.ref(thing)
    c = lpf.launch(id, thing, timeout=0)
    del thing
    assert watched() is not None
    c.resume()
    assert watched() is None
    assert isinstance(c.result(), int)


def test_minus_zero_and_false_are_zero_too() -> None:
    for zero in (0.0, -0.0, False):
        c = lpf.launch(spin, timeout=zero)
        assert c.state == "ready"
        c.cancel()


def test_a_loop_that_never_ends_comes_back_paused() -> None:
    c = lpf.launch(spin, timeout=0.01)
    assert (c.state, c.done, c.reason) == ("paused", False, "timeout")
    assert c.cancel() == "cancelled"


def test_the_shortest_timeouts_pause_too() -> None:
    for timeout in (5e-324, 1e-9, 1e-6):
        c = lpf.launch(spin, timeout=timeout)
        assert c.state == "paused"
        c.cancel()


def test_timeouts_beyond_all_clocks_mean_no_limit() -> None:
    for timeout in (float("inf"), 1e300, 10**400, 2**63, 1.8e10, 9e9, 9.3e9, 2**64 / 1e9):
        assert lpf.launch(sum, range(3), timeout=timeout).result() == 3


def test_resume_goes_on_where_it_stood_until_the_end() -> None:
    total = [0]

    def work() -> int:
        for i in range(300_000):
            total[0] += i
        return total[0]

    c = lpf.launch(work, timeout=0.001)
    pauses = 0
    while not c.done:
        assert c.reason == "timeout"
        before = total[0]
        c.resume(timeout=0.001)
        assert total[0] >= before
        pauses += 1
    assert pauses > 0
    assert c.result() == sum(range(300_000))


def test_resume_returns_itself_and_needs_no_timeout() -> None:
    done: list[int] = []
    c = lpf.launch(count, done, 2)
    assert c.resume() is c
    assert c.resume(timeout=None) is c
    assert c.result() == 2


def test_pause_gives_control_back_at_once_and_returns_none_when_resumed() -> None:
    got: list[object] = []

    def f() -> str:
        got.append(lpf.pause())
        got.append(lpf.pause("a value"))
        return "end"

    c = lpf.launch(f)
    assert (c.state, c.reason, c.value, got) == ("paused", "pause", None, [])
    c.resume()
    assert (c.state, c.reason, c.value, got) == ("paused", "pause", "a value", [None])
    c.resume()
    assert (c.result(), c.value, got) == ("end", None, [None, None])


def test_the_value_of_a_pause_is_let_go_when_it_is_resumed() -> None:
    import weakref

    class Thing:
        pass

    c = lpf.launch(lambda: [lpf.pause(Thing()), lpf.pause()])
    watched = weakref.ref(c.value)
    assert watched() is not None
    c.resume()
    assert watched() is None
    c.resume()


def test_a_pause_with_a_limit_that_did_not_pass_is_a_pause() -> None:
    c = lpf.launch(lpf.pause, timeout=60)
    assert c.reason == "pause"
    c.resume(timeout=60)
    assert c.state == "finished"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("one"),
        KeyError("two"),
        StopIteration(3),
        StopAsyncIteration(),
        GeneratorExit(),
        KeyboardInterrupt(),
        SystemExit(4),
        lpf.Cancelled("its own"),
        lpf.TimedOut("what", 1.0),
        ExceptionGroup("group", [ValueError(), TypeError()]),
        MemoryError(),
        RecursionError(),
    ],
)
def test_result_raises_the_very_exception_that_the_function_raised(error: BaseException) -> None:
    def f() -> None:
        raise error

    c = lpf.launch(f)
    assert c.state == "finished"
    assert c.exception() is error
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            c.result()
        assert caught.value is error


def test_a_result_can_be_asked_for_again_and_is_the_same_object() -> None:
    c = lpf.launch(object)
    assert c.result() is c.result()


def test_none_is_a_result() -> None:
    c = lpf.launch(lambda: None)
    assert c.result() is None
    assert c.exception() is None


def test_an_exception_may_be_the_result() -> None:
    error = ValueError()
    c = lpf.launch(lambda: error)
    assert c.result() is error
    assert c.exception() is None


def test_throw_raises_at_the_point_where_it_stands() -> None:
    def f() -> str:
        try:
            lpf.pause()
        except KeyError as error:
            return f"caught {error}"
        return "not reached"

    c = lpf.launch(f)
    assert c.throw(KeyError("k")) is c
    assert c.result() == "caught 'k'"


def test_throw_takes_a_class_or_an_instance_and_a_limit() -> None:
    caught: list[bool] = []

    def f() -> None:
        try:
            spin()
        except LookupError:
            caught.append(True)
            spin()

    c = left_in(spin, f)
    c.throw(LookupError, timeout=0.005)
    while not caught:
        c.resume(timeout=0.005)
    assert (c.state, c.reason) == ("paused", "timeout")
    error = ArithmeticError()
    c.throw(error, timeout=60)
    assert c.state == "finished"
    assert c.exception() is error
    assert isinstance(error.__context__, LookupError)


def test_throw_into_what_has_not_begun_ends_it_with_that() -> None:
    ran: list[int] = []
    c = lpf.launch(ran.append, 1, timeout=0)
    error = ValueError("early")
    c.throw(error)
    assert c.state == "finished"
    assert c.exception() is error
    assert ran == []
    assert lpf.live() == []


def test_throw_into_a_call_of_c_code_that_waits() -> None:
    """The sleep is left by its own signal check; the exception comes out of it."""

    begun: list[bool] = []

    def f() -> str:
        try:
            begun.append(True)
            time.sleep(600)
        except LookupError:
            return "out"
        return "slept"

    c = left_when(lambda: begun, f)
    assert c.state == "paused"
    assert c.throw(LookupError).result() == "out"


def test_current_is_the_innermost_that_runs() -> None:
    seen: list[object] = []

    def inner() -> None:
        seen.append(lpf.current())

    def outer() -> lpf.Continuation[None]:
        seen.append(lpf.current())
        made = lpf.launch(inner)
        seen.append(lpf.current())
        return made

    assert lpf.current() is None
    c = lpf.launch(outer)
    assert seen == [c, c.result(), c]
    assert lpf.current() is None


def test_current_is_none_on_another_thread_meanwhile() -> None:
    seen: list[object] = []

    def f() -> None:
        thread = threading.Thread(target=lambda: seen.append(lpf.current()))
        thread.start()
        thread.join()

    lpf.launch(f).result()
    assert seen == [None]


def test_live_lists_all_that_have_not_ended_oldest_first() -> None:
    a = lpf.launch(lpf.pause)
    b = lpf.launch(lpf.pause, timeout=0)
    seen = lpf.launch(lambda: [lpf.current(), *lpf.live()]).result()
    assert seen[1:] == [a, b, seen[0]]
    assert lpf.live() == [a, b]
    a.resume()
    assert lpf.live() == [b]
    b.cancel()
    assert lpf.live() == []


def test_thousands_stand_still_at_once_and_end_in_any_order() -> None:
    def f(n: int) -> int:
        lpf.pause(n)
        return n

    paused = [lpf.launch(f, i) for i in range(2000)]
    assert len(lpf.live()) == 2000
    assert [c.value for c in paused] == list(range(2000))
    for c in paused[::2] + paused[1::2][::-1]:
        c.resume()
    assert [c.result() for c in paused] == list(range(2000))


def test_a_continuation_can_be_subscripted_for_type_hints() -> None:
    assert lpf.Continuation[int].__origin__ is lpf.Continuation


def test_a_continuation_is_made_by_launch_only() -> None:
    with pytest.raises(TypeError, match="Continuation"):
        lpf.Continuation()
    with pytest.raises(TypeError):
        type("Sub", (lpf.Continuation,), {})
