"""frame, stack, elapsed, cpu_time, name, repr, thread_id: what is known of a function that stands still."""

from __future__ import annotations

import gc
import inspect
import linecache
import sys
import threading
import time
import traceback
from typing import Any

import pytest

import lpf
from reach import left_in


def spin() -> None:
    while True:
        pass


def outermost(x: int) -> int:
    local = x * 2
    return middle(local) + 1


def middle(y: int) -> int:
    here = lambda: innermost(y)  # noqa: E731
    return here()


def innermost(z: int) -> int:
    seen = z
    lpf.pause()
    return seen


def test_the_stack_is_the_functions_own_innermost_first() -> None:
    c = lpf.launch(outermost, 21)
    frames = c.stack()
    assert [frame.f_code.co_name for frame in frames] == [
        "innermost",
        "<lambda>",
        "middle",
        "outermost",
    ]
    assert c.frame is frames[0]
    assert frames[0].f_locals["seen"] == 42
    assert frames[-1].f_locals == {"x": 21, "local": 42}
    assert frames[-1].f_back is None
    assert [frame.f_back for frame in frames[:-1]] == frames[1:]
    line = linecache.getline(__file__, frames[0].f_lineno).strip()
    assert line == "lpf.pause()"
    c.resume()
    assert c.result() == 43


def test_there_is_no_frame_before_during_and_after() -> None:
    c = lpf.launch(lambda: (me().frame, me().stack()), timeout=0)

    def me() -> Any:
        return lpf.current()

    assert (c.frame, c.stack()) == (None, [])
    c.resume()
    assert c.result() == (None, [])
    assert (c.frame, c.stack()) == (None, [])


def test_a_function_in_c_has_no_frame_of_its_own() -> None:
    c = lpf.launch(time.sleep, 600, timeout=0.005)
    assert c.state == "paused"
    assert (c.frame, c.stack()) == (None, [])
    c.cancel()


def test_the_frame_of_the_caller_ends_at_the_caller() -> None:
    """While something stands still, nothing of it is on the stack of others."""
    c = lpf.launch(innermost, 1)
    names = [entry.name for entry in traceback.extract_stack()]
    assert "innermost" not in names
    c.resume()


def test_a_running_function_sees_its_launcher_below_it_as_in_a_plain_call() -> None:
    def f() -> list[str]:
        return [entry.name for entry in traceback.extract_stack()]

    plain = f()
    assert lpf.launch(f).result() == plain
    assert lpf.call(f, timeout=60) == plain


def test_sys_getframe_counts_as_in_a_plain_call() -> None:
    def f(depth: int) -> str:
        return sys._getframe(depth).f_code.co_name

    for depth in range(4):
        assert lpf.launch(f, depth).result() == f(depth)


def test_the_stack_tools_of_the_library_take_the_frames() -> None:
    c = lpf.launch(outermost, 1)
    assert c.frame is not None
    assert "innermost" in "".join(traceback.format_stack(c.frame))
    assert inspect.getouterframes(c.frame)[0].function == "innermost"
    assert inspect.getframeinfo(c.frame).function == "innermost"
    c.resume()


def test_locals_can_be_evaluated_and_written_in_a_paused_frame() -> None:
    def f() -> int:
        value = 1
        lpf.pause()
        return value

    c = lpf.launch(f)
    assert c.frame is not None
    assert eval("value + 1", c.frame.f_globals, c.frame.f_locals) == 2
    if sys.version_info >= (3, 13):
        c.frame.f_locals["value"] = 5
        assert c.resume().result() == 5
    else:
        c.resume()


def test_a_paused_frame_cannot_be_cleared() -> None:
    c = lpf.launch(innermost, 7)
    assert c.frame is not None
    with pytest.raises(RuntimeError, match="clear"):
        c.frame.clear()
    assert c.resume().result() == 7


def test_frames_that_were_kept_stay_valid_after_the_end() -> None:
    def run() -> list[Any]:
        c = lpf.launch(outermost, 21)
        frames = c.stack()
        c.resume()
        return frames

    frames = run()
    for _ in range(100):
        lpf.launch(outermost, 1).cancel()
    gc.collect()
    assert frames[0].f_locals["seen"] == 42
    assert frames[-1].f_locals == {"x": 21, "local": 42}
    assert [f.f_code.co_name for f in frames] == ["innermost", "<lambda>", "middle", "outermost"]


def test_frames_that_were_kept_stay_valid_after_a_cancel_and_a_drop() -> None:
    kept = []
    for end in ("cancel", "drop", "throw"):
        c = lpf.launch(outermost, 21)
        kept.append(c.stack())
        if end == "cancel":
            c.cancel()
        elif end == "throw":
            c.throw(KeyError)
        del c
    for _ in range(100):
        lpf.launch(outermost, 1).cancel()
    for frames in kept:
        assert frames[-1].f_locals == {"x": 21, "local": 42}


def test_the_frames_of_a_chain_reach_from_the_innermost_function_outwards() -> None:
    inside: list[Any] = []

    def inner() -> None:
        inside.append(lpf.current())
        spin()

    def outer() -> None:
        lpf.launch(inner)

    c = left_in(spin, outer)
    assert [frame.f_code.co_name for frame in c.stack()] == ["spin", "inner", "outer"]
    held = [frame.f_code.co_name for frame in inside[0].stack()]
    assert held[:2] == ["spin", "inner"]
    c.cancel()


def test_sys_current_frames_shows_the_thread_where_it_is() -> None:
    c = lpf.launch(innermost, 1)
    frame = sys._current_frames()[threading.get_ident()]
    assert frame is sys._getframe()
    c.resume()


def test_elapsed_stands_still_with_the_function() -> None:
    """Margin: only that the pause of 50 ms is not counted, and that a slice of 5 ms is."""
    c = lpf.launch(spin, timeout=0.005)
    first = c.elapsed
    assert first >= 0.0049
    time.sleep(0.05)
    assert c.elapsed == pytest.approx(first, rel=1e-3, abs=1e-5)
    c.resume(timeout=0.005)
    assert c.elapsed >= first + 0.0049
    last = c.elapsed
    c.cancel()
    assert c.elapsed >= last


def test_elapsed_and_cpu_time_can_be_read_from_inside() -> None:
    def f() -> tuple[float, float, float]:
        me = lpf.current()
        assert me is not None
        before = me.elapsed
        end = time.monotonic() + 0.01
        while time.monotonic() < end:
            pass
        return before, me.elapsed, me.cpu_time

    before, after, cpu = lpf.launch(f).result()
    assert 0 <= before < after
    assert 0 < cpu <= after + 0.001


def test_waiting_counts_as_elapsed_but_not_as_cpu_time() -> None:
    c = lpf.launch(time.sleep, 0.05)
    assert c.elapsed >= 0.049
    assert c.cpu_time < 0.04


def test_the_name_is_the_qualified_one() -> None:
    class Thing:
        def method(self) -> None: ...

        def __call__(self) -> None: ...

    assert lpf.launch(spin, timeout=0).name == "spin"
    assert lpf.launch(Thing().method).name.endswith("<locals>.Thing.method")
    assert lpf.launch(Thing()).name == "Thing"
    assert lpf.launch(len, "").name == "len"
    assert lpf.launch(int).name == "type"


def test_the_name_stays_when_the_function_is_renamed() -> None:
    def f() -> None: ...

    f.__qualname__ = "na" + "me" * 20
    c = lpf.launch(f)
    f.__qualname__ = "other" * 20
    gc.collect()
    filler = ["x" * n for n in range(200)]
    assert c.name == "na" + "me" * 20
    assert len(filler) == 200


def test_odd_names_are_no_trouble() -> None:
    def f() -> None: ...

    for name in ("", "ünïcødé 函数", "a" * 10_000, "nul\0inside"):
        f.__qualname__ = name
        c = lpf.launch(f)
        assert c.name in (name, name.split("\0")[0])
        assert c.name in repr(c)
    f.__qualname__ = "lone \ud800 surrogate"
    assert lpf.launch(f).name == "?"


def test_the_repr_names_the_function_the_state_and_the_reason() -> None:
    assert repr(lpf.launch(spin, timeout=0)) == "<lpf.Continuation of spin, ready>"
    assert repr(lpf.launch(len, "")) == "<lpf.Continuation of len, finished>"
    c = lpf.launch(spin, timeout=0.005)
    assert repr(c) == "<lpf.Continuation of spin, paused: timeout>"
    c.cancel()
    assert repr(c) == "<lpf.Continuation of spin, cancelled>"
    inside = lpf.launch(lambda: repr(lpf.current())).result()
    assert inside.endswith(", running>")


def test_thread_id_and_function() -> None:
    c = lpf.launch(innermost, 1)
    assert c.thread_id == threading.get_ident()
    assert c.function is innermost
    c.resume()
    assert c.function is innermost


def test_continuations_are_hashed_and_compared_by_identity() -> None:
    a, b = lpf.launch(int), lpf.launch(int)
    assert a == a
    assert a != b
    assert len({a, b, a}) == 2


def test_the_garbage_collector_sees_what_an_ended_one_refers_to() -> None:
    marker = object()
    c = lpf.launch(lambda: [marker])
    assert any(isinstance(r, list) and marker in r for r in gc.get_referents(c))
