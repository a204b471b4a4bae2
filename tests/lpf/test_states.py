"""What is not possible in a state or on a thread says which one was found, and the way out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import lpf
from reach import left_when


def pausing() -> str:
    lpf.pause()
    return "end"


def finished() -> lpf.Continuation[Any]:
    return lpf.launch(int)


def failed() -> lpf.Continuation[Any]:
    return lpf.launch(int, "x")


def cancelled() -> lpf.Continuation[Any]:
    c = lpf.launch(pausing)
    assert c.cancel() == "cancelled"
    return c


def cancelled_before_its_start() -> lpf.Continuation[Any]:
    c = lpf.launch(pausing, timeout=0)
    assert c.cancel() == "cancelled"
    return c


ENDED = [finished, failed, cancelled, cancelled_before_its_start]


@pytest.mark.parametrize("make", ENDED)
def test_what_has_ended_cannot_be_resumed_and_says_so(
    make: Callable[[], lpf.Continuation[Any]],
) -> None:
    c = make()
    for verb in (c.resume, lambda: c.throw(KeyError)):
        with pytest.raises(lpf.StateError) as caught:
            verb()
        message = str(caught.value)
        assert c.name in message
        assert c.state in message
        assert "ended" in message
        assert "result()" in message


@pytest.mark.parametrize("make", ENDED)
def test_cancelling_what_has_ended_does_nothing(
    make: Callable[[], lpf.Continuation[Any]],
) -> None:
    c = make()
    before = c.state
    assert c.cancel() == before
    assert c.state == before
    assert c.request_pause() is False
    assert c.request_cancel() is False


@pytest.mark.parametrize("timeout", [0, None])
def test_a_result_asked_for_too_early_names_the_state_and_the_way_out(timeout: Any) -> None:
    c = lpf.launch(pausing, timeout=timeout)
    for ask in (c.result, c.exception):
        with pytest.raises(lpf.NotFinished, match=rf"pausing is {c.state}: resume\(\)"):
            ask()
    assert c.resume().state in ("paused", "finished")
    c.cancel()


def test_the_result_of_a_cancelled_function_is_cancelled() -> None:
    for make in (cancelled, cancelled_before_its_start):
        with pytest.raises(lpf.Cancelled):
            make().result()


def test_a_function_cannot_resume_throw_into_or_cancel_itself() -> None:
    def f() -> list[str]:
        c = lpf.current()
        assert c is not None
        messages = []
        for verb in (c.resume, c.cancel, lambda: c.throw(KeyError)):
            with pytest.raises(lpf.StateError) as caught:
                verb()
            messages.append(str(caught.value))
        with pytest.raises(lpf.NotFinished, match="running"):
            c.result()
        return messages

    for message in lpf.launch(f).result():
        assert "is running" in message
        assert "on the stack below you" in message


def test_a_function_cannot_resume_the_one_that_launched_it() -> None:
    def outer() -> str:
        me = lpf.current()
        assert me is not None

        def inner() -> str:
            with pytest.raises(lpf.StateError) as caught:
                me.resume()
            return str(caught.value)

        return lpf.launch(inner).result()

    assert "is running" in lpf.launch(outer).result()


def test_one_that_is_held_in_a_paused_one_points_to_that() -> None:
    inside: list[lpf.Continuation[Any]] = []

    def inner() -> None:
        inside.append(lpf.current())  # type: ignore[arg-type]
        while True:
            pass

    def outer() -> None:
        lpf.launch(inner)

    c = left_when(lambda: inside, outer)
    (held,) = inside
    assert (c.state, held.state) == ("paused", "paused")
    for verb in (held.resume, held.cancel, lambda: held.throw(KeyError)):
        with pytest.raises(lpf.StateError, match="inside a paused function that launched it"):
            verb()
    assert held.request_pause() is False
    c.cancel()
    assert held.done


def test_pause_outside_of_every_function_says_so() -> None:
    with pytest.raises(lpf.StateError, match=r"pause\(\) is only possible inside"):
        lpf.pause()


def test_pause_inside_an_uninterruptible_block_says_so() -> None:
    def f() -> None:
        with lpf.uninterruptible():
            lpf.pause()

    with pytest.raises(lpf.StateError, match="uninterruptible"):
        lpf.launch(f).result()


def test_pause_in_a_call_that_nobody_could_resume_says_so() -> None:
    with pytest.raises(lpf.StateError, match=r"use lpf.launch"):
        lpf.call(pausing, timeout=60)


def on_another_thread(f: Callable[[], object]) -> Any:
    answer: list[Any] = []

    def run() -> None:
        try:
            answer.append(f())
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answer[0]


def test_a_timeout_on_another_thread_is_refused_with_the_way_out() -> None:
    for refused in (
        lambda: lpf.launch(int, timeout=1),
        lambda: lpf.call(int, timeout=1),
        lambda: lpf.time_limit(1).__enter__(),
        lambda: lpf.launch(lpf.pause).resume(timeout=1),
    ):
        error = on_another_thread(refused)
        assert isinstance(error, lpf.ThreadError), error
        assert "main thread" in str(error)


def test_without_a_timeout_other_threads_launch_pause_resume_and_cancel() -> None:
    def all_of_it() -> list[Any]:
        seen: list[Any] = [lpf.launch(int).result(), lpf.call(int, timeout=None)]
        c = lpf.launch(pausing)
        seen += [c.state, c.resume().result()]
        c = lpf.launch(pausing, timeout=0)
        seen += [c.state, c.resume().state, c.cancel()]
        return seen

    expected = [0, 0, "paused", "end", "ready", "paused", "cancelled"]
    assert on_another_thread(all_of_it) == expected


def test_what_belongs_to_another_thread_is_refused_and_stays_usable() -> None:
    c = lpf.launch(pausing)
    for verb in (c.resume, c.cancel, lambda: c.throw(KeyError)):
        error = on_another_thread(verb)
        assert isinstance(error, lpf.ThreadError), error
        assert f"thread {threading.get_ident()}" in str(error)
        assert "request_cancel" in str(error)
    assert on_another_thread(lambda: (c.state, c.name, c.done, c.thread_id)) == (
        "paused",
        "pausing",
        False,
        threading.get_ident(),
    )
    assert len(on_another_thread(c.stack)) == 1
    assert c.resume().result() == "end"


def test_what_has_ended_may_be_read_on_any_thread() -> None:
    c = finished()
    assert on_another_thread(c.result) == 0
    assert on_another_thread(c.exception) is None
    assert on_another_thread(c.cancel) == "finished"
    assert isinstance(on_another_thread(c.resume), lpf.StateError)


def test_the_exceptions_are_what_the_documentation_says() -> None:
    assert issubclass(lpf.StateError, RuntimeError)
    assert issubclass(lpf.NotFinished, lpf.StateError)
    assert issubclass(lpf.ThreadError, lpf.StateError)
    assert issubclass(lpf.TimedOut, TimeoutError)
    assert not issubclass(lpf.Cancelled, Exception)


def test_exceptions_survive_pickling_and_copying() -> None:
    import copy
    import pickle

    error = lpf.TimedOut("f", 0.5, "line 3 in f", 0.6, True)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(again) == str(error)
        assert (again.limit, again.where, again.elapsed, again.abandoned) == (
            0.5,
            "line 3 in f",
            0.6,
            True,
        )


def test_a_continuation_is_refused_by_pickle_and_copy() -> None:
    import copy
    import pickle

    c = lpf.launch(int)
    with pytest.raises(TypeError):
        pickle.dumps(c)
    with pytest.raises(TypeError):
        copy.deepcopy(c)
