"""settrace, setprofile, sys.monitoring and the debugger, as in a plain call."""

from __future__ import annotations

import bdb
import io
import pdb
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lpf


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """A test that fails leaves no tracing behind; coverage's is put back."""
    trace, profile = sys.gettrace(), sys.getprofile()
    yield
    sys.settrace(trace)
    sys.setprofile(profile)


def work(n: int) -> int:
    total = 0
    for i in range(n):
        total += helper(i)
    return total


def helper(i: int) -> int:
    return i * 2


def pausing() -> str:
    before = 1
    lpf.pause()
    after = before + 1
    return f"end {after}"


def traced(f: Callable[[], object], only: set[str]) -> list[tuple[str, str, int]]:
    events: list[tuple[str, str, int]] = []

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code.co_name in only:
            events.append((frame.f_code.co_name, event, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        f()
    finally:
        sys.settrace(before)
    return events


def test_a_launched_function_is_traced_as_a_called_one() -> None:
    plain = traced(lambda: work(3), {"work", "helper"})
    assert len(plain) > 10
    assert traced(lambda: lpf.launch(work, 3), {"work", "helper"}) == plain
    assert traced(lambda: lpf.call(work, 3, timeout=60), {"work", "helper"}) == plain


def test_tracing_goes_on_over_pauses() -> None:
    def f() -> None:
        c = lpf.launch(pausing)
        helper(1)
        c.resume()

    events = traced(f, {"pausing", "helper"})
    assert [name for name, event, _ in events if event == "call"] == ["pausing", "helper"]
    lines = [line for name, event, line in events if name == "pausing" and event == "line"]
    assert lines == list(range(lines[0], lines[0] + 4))
    assert [e[:2] for e in events[-2:]] == [("pausing", "line"), ("pausing", "return")]


def test_a_trace_function_set_inside_is_set_afterwards() -> None:
    events: list[str] = []

    def trace(frame: Any, event: str, arg: object) -> None:
        events.append(frame.f_code.co_name)

    def f() -> None:
        sys.settrace(trace)

    before = sys.gettrace()
    lpf.launch(f)
    try:
        assert sys.gettrace() is trace
        helper(1)
    finally:
        sys.settrace(before)
    assert "helper" in events


def test_a_trace_function_set_while_one_stands_still_traces_its_new_calls() -> None:
    def f() -> int:
        lpf.pause()
        return helper(1)

    c = lpf.launch(f)
    assert ("helper", "call") in [e[:2] for e in traced(c.resume, {"helper"})]
    c = lpf.launch(f)
    sys.settrace(sys.gettrace())
    c.resume()
    assert c.result() == 2


def test_a_trace_function_taken_away_while_one_stands_still_is_gone() -> None:
    events: list[str] = []

    def trace(frame: Any, event: str, arg: object) -> Any:
        events.append(event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        c = lpf.launch(pausing)
    finally:
        sys.settrace(before)
    events.clear()
    c.resume()
    if before is None:
        assert events == []


def test_a_pause_inside_a_trace_function_does_not_disturb_the_callers_tracing() -> None:
    """While it stands still its thread is not "inside a trace function"."""
    inner: list[str] = []

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code.co_name == "helper" and event == "line":
            lpf.pause()
        return trace

    def other(frame: Any, event: str, arg: object) -> Any:
        inner.append(frame.f_code.co_name)
        return other

    def f() -> int:
        sys.settrace(trace)
        try:
            return helper(4)
        finally:
            sys.settrace(before)

    before = sys.gettrace()
    c = lpf.launch(f)
    assert c.state == "paused"
    sys.settrace(other)
    try:
        work(1)
    finally:
        sys.settrace(trace)
    assert "work" in inner
    assert "helper" in inner
    while not c.done:
        c.resume()
    assert c.result() == 8
    assert sys.gettrace() is before


def test_a_trace_function_that_raises_ends_the_function_and_the_tracing() -> None:
    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code.co_name == "helper":
            raise KeyError("from the trace function")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        c = lpf.launch(work, 1)
        assert sys.gettrace() is None
    finally:
        sys.settrace(before)
    assert isinstance(c.exception(), KeyError)


def test_profiling_sees_the_same_calls() -> None:
    def profiled(f: Callable[[], object]) -> list[tuple[str, str]]:
        events: list[tuple[str, str]] = []

        def profile(frame: Any, event: str, arg: Any) -> None:
            if frame.f_code.co_name in ("work", "helper"):
                events.append((frame.f_code.co_name, event))

        sys.setprofile(profile)
        try:
            f()
        finally:
            sys.setprofile(None)
        return events

    plain = profiled(lambda: work(3))
    assert profiled(lambda: lpf.launch(work, 3)) == plain

    def over_pauses() -> None:
        c = lpf.launch(lambda: [work(1), lpf.pause(), work(1)])
        c.resume()

    one = profiled(lambda: work(1))
    assert profiled(over_pauses) == one + one


def test_preemption_under_tracing_gives_right_results() -> None:
    counts = [0]

    def trace(frame: Any, event: str, arg: object) -> Any:
        counts[0] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        c = lpf.launch(work, 20_000, timeout=0.0005)
        rounds = 0
        while not c.done:
            c.resume(timeout=0.0005)
            rounds += 1
    finally:
        sys.settrace(before)
    assert c.result() == work(20_000)
    assert rounds > 0
    assert counts[0] > 60_000


def test_cprofile_inside_and_outside() -> None:
    import cProfile
    import pstats

    def counted(profiler: cProfile.Profile) -> dict[str, int]:
        stats = pstats.Stats(profiler, stream=io.StringIO()).stats  # type: ignore[attr-defined]
        return {key[2]: value[0] for key, value in stats.items() if key[2] in ("work", "helper")}

    outside = cProfile.Profile()
    outside.enable()
    lpf.launch(work, 5)
    outside.disable()
    assert counted(outside) == {"work": 1, "helper": 5}

    inside = cProfile.Profile()
    lpf.launch(inside.runcall, work, 5)
    assert counted(inside) == {"work": 1, "helper": 5}

    paused = cProfile.Profile()
    c = lpf.launch(paused.runcall, work, 20_000, timeout=0.001)
    while not c.done:
        c.resume(timeout=0.001)
    assert counted(paused) == {"work": 1, "helper": 20_000}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
def test_monitoring_sees_the_same_events() -> None:
    monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    tool, event = monitoring.PROFILER_ID, monitoring.events

    def monitored(f: Callable[[], object]) -> list[str]:
        log: list[str] = []

        def start(code: Any, offset: int) -> None:
            if code.co_name in ("work", "helper"):
                log.append(code.co_name)

        monitoring.use_tool_id(tool, "test")
        try:
            monitoring.register_callback(tool, event.PY_START, start)
            monitoring.set_events(tool, event.PY_START)
            f()
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, event.PY_START, None)
            monitoring.free_tool_id(tool)
        return log

    plain = monitored(lambda: work(3))
    assert plain == ["work", "helper", "helper", "helper"]
    assert monitored(lambda: lpf.launch(work, 3)) == plain

    def drive() -> None:
        c = lpf.launch(work, 20_000, timeout=0.0005)
        while not c.done:
            c.resume(timeout=0.0005)

    assert monitored(drive) == ["work"] + ["helper"] * 20_000


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
def test_a_pause_inside_a_monitoring_callback() -> None:
    monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    tool, event = monitoring.PROFILER_ID, monitoring.events
    seen: list[str] = []

    def start(code: Any, offset: int) -> None:
        seen.append(code.co_name)
        if code.co_name == "helper" and lpf.current() is not None:
            lpf.pause()

    monitoring.use_tool_id(tool, "test")
    try:
        monitoring.register_callback(tool, event.PY_START, start)
        monitoring.set_events(tool, event.PY_START)
        c = lpf.launch(work, 2)
        assert c.state == "paused"
        seen.clear()
        helper(1)
        assert "helper" in seen
        c.resume()
        c.resume()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, event.PY_START, None)
        monitoring.free_tool_id(tool)
    assert c.result() == 2


class Session(pdb.Pdb):
    def __init__(self, commands: str) -> None:
        self.output = io.StringIO()
        super().__init__(stdin=io.StringIO(commands), stdout=self.output, nosigint=True)
        self.use_rawinput = False


def test_the_debugger_walks_paused_frames() -> None:
    c = lpf.launch(pausing, timeout=60)
    session = Session("w\np before\nup\np c.state\nq\n")
    session.reset()
    try:
        session.interaction(c.frame, None)
    except bdb.BdbQuit:
        pass
    text = session.output.getvalue()
    assert "pausing()" in text
    assert "\n(Pdb) 1\n" in text or "(Pdb) 1" in text
    sys.settrace(None)
    assert c.resume().result() == "end 2"


def test_a_break_point_inside_stops_and_steps() -> None:
    session = Session("n\nn\np total\nc\n")

    def f() -> int:
        total = 1
        session.set_trace()
        total += 1
        total += 1
        return total

    c = lpf.launch(f)
    sys.settrace(None)
    assert c.result() == 3
    assert "(Pdb) 3" in session.output.getvalue() or "(Pdb) 2" in session.output.getvalue()
