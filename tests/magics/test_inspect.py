"""A paused cell as data: frames, source, variables; and where it stands."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import lpf
from lpf_ipython import inspect, places

Launch = Callable[..., Any]


def run_cell(shell: InteractiveShell, source: str, number: int) -> Callable[[], object]:
    """Return what runs *source* as cell *number* of *shell*; run it on a stack of its own."""

    shell.execution_count = number
    return functools.partial(shell.run_cell, source, store_history=True)


def outer(size: int) -> int:
    table = {"size": size}
    return inner(table) + 1


def inner(table: dict[str, int]) -> int:
    _private, unused = 1, list(range(100))
    for _ in range(3):
        lpf.pause()
    return _private + len(unused)


def test_frames_are_given_innermost_first_with_their_variables(paused: Launch) -> None:
    data = inspect.job_data(paused(outer, 7))
    first, second = data["frames"][:2]
    assert (first["index"], first["function"]) == (0, "inner")
    assert (second["index"], second["function"]) == (1, "outer")
    assert second["locals"] == [
        {"name": "size", "type": "int", "value": "7"},
        {"name": "table", "type": "dict", "value": "{'size': 7}"},
    ]
    assert [v["name"] for v in first["locals"]] == ["table", "_private", "unused", "_"]
    assert first["more_locals"] == 0


def test_the_source_around_the_line_is_given(paused: Launch) -> None:
    frame = inspect.job_data(paused(outer, 7))["frames"][0]
    (current,) = [line for line in frame["source"] if line["current"]]
    assert current["text"] == "        lpf.pause()"
    assert current["line"] == frame["line"]
    assert len(frame["source"]) <= 7


def test_the_data_is_fit_for_json(paused: Launch) -> None:
    data = inspect.job_data(paused(outer, 7), all=True)
    assert json.loads(json.dumps(data)) == data


def test_one_frame_can_be_asked_for(paused: Launch) -> None:
    job = paused(outer, 7)
    (frame,) = inspect.job_data(job, frame=1)["frames"]
    assert (frame["index"], frame["function"]) == (1, "outer")
    with pytest.raises(IndexError, match="no frame 99; there are"):
        inspect.job_data(job, frame=99)


def test_many_variables_are_counted_and_not_all_shown(paused: Launch) -> None:
    namespace: dict[str, Any] = {"lpf": lpf}
    exec(
        "def many():\n" + "".join(f"    v{i} = {i}\n" for i in range(50)) + "    lpf.pause()\n",
        namespace,
    )
    job = paused(namespace["many"])
    (frame,) = (f for f in inspect.job_data(job)["frames"] if f["function"] == "many")
    assert (len(frame["locals"]), frame["more_locals"]) == (30, 20)
    (frame,) = inspect.job_data(job, frame=frame["index"])["frames"]
    assert (len(frame["locals"]), frame["more_locals"]) == (50, 0)


def test_an_ended_job_has_no_frames(paused: Launch) -> None:
    job = paused(outer, 7)
    job.continuation.cancel()
    assert inspect.job_data(job)["frames"] == []


def test_a_class_body_with_a_mapping_of_its_own_runs_none_of_its_code(paused: Launch) -> None:
    class Trap(dict[str, Any]):
        def items(self) -> Any:
            raise AssertionError

        __iter__ = keys = values = copy = items

    class Meta(type):
        @classmethod
        def __prepare__(cls, name: str, bases: Any, /, **_: Any) -> Any:
            return Trap()

    def make() -> None:
        class Body(metaclass=Meta):
            field = 1
            lpf.pause()

    frame = inspect.job_data(paused(make))["frames"][0]
    assert frame["locals"] == [{"name": "field", "type": "int", "value": "1"}]


def test_a_cell_stands_in_the_cell_not_in_the_library_it_called(
    shell: InteractiveShell, paused: Launch
) -> None:
    source = "import lpf, re\n\nre.sub('a', lambda m: lpf.pause() or 'b', 'a')"
    job = paused(run_cell(shell, source, 41))
    place = places.user_place(job.continuation.stack())
    assert place is not None
    assert str(place) == "line 3 in <cell 41>"
    assert place.text.startswith("re.sub(")
    assert (place.cell, place.line) == (41, 3)


def test_a_cell_that_was_run_twice_has_two_numbers(shell: InteractiveShell, paused: Launch) -> None:
    source = "import lpf\ndef f():\n    lpf.pause()\nf()"
    first = paused(run_cell(shell, source, 43)).continuation.stack()
    second = paused(run_cell(shell, source, 44)).continuation.stack()
    for number, frames in ((43, first), (44, second)):
        place = places.user_place(frames, number)
        assert str(place) == f"line 3 in <cell {number}>"
        data = inspect.stack_data(frames, number=number)["frames"]
        assert [frame["cell"] for frame in data] == [number, number]


def test_frames_of_the_machinery_are_hidden_unless_asked_for(
    shell: InteractiveShell, paused: Launch
) -> None:
    job = paused(run_cell(shell, "def f():\n    import lpf\n    lpf.pause()\nf()", 42))
    data = inspect.job_data(job)
    assert [f["function"] for f in data["frames"]][:2] == ["f", "<module>"]
    assert [f["where"] for f in data["frames"]][:2] == [
        "line 3 in <cell 42>",
        "line 4 in <cell 42>",
    ]
    functions = [f["function"] for f in inspect.job_data(job, all=True)["frames"]]
    assert any("run_cell" in name for name in functions)
    assert data["hidden"] > 3


def test_machinery_between_the_users_frames_is_shown(
    shell: InteractiveShell, paused: Launch
) -> None:
    source = "import lpf\nget_ipython().run_cell('inside = 1\\nlpf.pause()')"
    functions = [
        f["function"] for f in inspect.job_data(paused(run_cell(shell, source, 43)))["frames"]
    ]
    shown = functions[: len(functions) - functions[::-1].index("<module>")]
    assert shown.count("<module>") == 2
    assert any("run_cell" in name for name in shown)


def test_a_cell_shows_the_variables_that_it_mentions(
    shell: InteractiveShell, paused: Launch
) -> None:
    shell.push({"elsewhere": 1, "seen": 2})
    source = "import lpf, math\n_kept = seen\ndef g(): pass\nOut; g; math; get_ipython; lpf.pause()"
    job = paused(run_cell(shell, source, 44))
    (frame,) = (f for f in inspect.job_data(job)["frames"] if f["cell"] == 44)
    assert {v["name"]: v["value"] for v in frame["locals"]} == {"_kept": "2", "seen": "2"}
    (frame,) = inspect.job_data(job, frame=frame["index"])["frames"]
    names = {v["name"] for v in frame["locals"]}
    assert {"elsewhere", "seen", "math", "g"} <= names
    assert not {"In", "Out", "get_ipython", "exit", "__name__", "_i44", "_ih"} & names


def test_hostile_values_leave_the_view_whole(shell: InteractiveShell, paused: Launch) -> None:
    source = (
        "import lpf\n"
        "class Bad:\n"
        "    def __repr__(self):\n"
        "        while True: pass\n"
        "bad, text = Bad(), '<script>alert(1)</script>'\n"
        "bad, text, lpf.pause()"
    )
    job = paused(run_cell(shell, source, 45))
    (frame,) = (f for f in inspect.job_data(job)["frames"] if f["cell"] == 45)
    assert {v["name"]: v["value"] for v in frame["locals"]} == {
        "bad": "<Bad: its repr takes more than 100 ms>",
        "text": "'<script>alert(1)</script>'",
    }


def test_a_place_needs_no_source() -> None:
    frames: list[FrameType] = []
    exec(
        compile("frames.append(sys._getframe())", "<nowhere>", "exec"),
        {"frames": frames, "sys": sys},
    )
    place = places.place(frames[0])
    assert (str(place), place.text, place.cell) == ("line 1 in <nowhere>", "", None)
