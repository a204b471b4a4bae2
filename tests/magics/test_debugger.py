"""The debugger looks at paused frames, changes what the cell goes on with, and runs nothing."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import lpf
from lpf_ipython import debugger

Launch = Callable[..., Any]
Talk = Callable[..., str]


def outer(start: int) -> int:
    total = start
    return inner(total) + 1


def inner(n: int) -> int:
    step = 1
    lpf.pause()
    return n + step


@pytest.fixture
def talk(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Talk:
    """A function that debugs a job, types these lines at it, and returns what was shown."""

    def debug(job: Any, *lines: str) -> str:
        typed = iter(lines)
        monkeypatch.setattr(builtins, "input", lambda prompt="": next(typed))
        debugger.debug(shell, job.continuation.stack(), job.id)
        assert list(typed) == [], "it was left before all lines were read"
        return capsys.readouterr().out

    return debug


def test_it_walks_the_frames_and_shows_variables(paused: Launch, talk: Talk) -> None:
    job = paused(outer, 5)
    shown = talk(job, "p n, step", "up", "total", "down", "locals", "locals()", "where", "q")
    assert "(5, 1)" in shown
    assert "[1] is paused; look around" in shown
    assert "return inner(total) + 1" in shown
    assert "step = 1" in shown
    assert "{'n': 5, 'step': 1}" in shown
    assert job.continuation.state == "paused"


def test_the_cell_goes_on_with_what_was_changed(paused: Launch, talk: Talk) -> None:
    job = paused(outer, 5)
    talk(job, "n = 100", "!step = 10", "q")
    assert job.continuation.resume().result() == 111


def test_a_frame_further_out_can_be_changed(paused: Launch, talk: Talk) -> None:
    def waits() -> list[int]:
        kept = [1]
        inner(1)
        return kept

    job = paused(waits)
    talk(job, "up", "kept = [2]", "down", "up", "p kept", "q")
    assert job.continuation.resume().result() == [2]


@pytest.mark.parametrize("leave", ["q", "quit", "exit", "c", "continue", "EOF"])
def test_leaving_leaves_it_paused(paused: Launch, talk: Talk, leave: str) -> None:
    job = paused(outer, 5)
    talk(job, leave)
    assert job.continuation.state == "paused"
    assert job.continuation.resume().result() == 7


def test_continue_says_how_to_resume(paused: Launch, talk: Talk) -> None:
    assert "[1] stays paused; %lpf resume 1 lets it go on" in talk(paused(outer, 5), "c")


@pytest.mark.parametrize("step", ["s", "n", "step", "next", "until", "r", "j 1", "b 3", "run"])
def test_stepping_is_refused_in_words(paused: Launch, talk: Talk, step: str) -> None:
    job = paused(outer, 5)
    assert "looked at, not stepped" in talk(job, step, "q")
    assert job.continuation.state == "paused"


def test_an_error_in_an_expression_does_not_end_it(paused: Launch, talk: Talk) -> None:
    shown = talk(paused(outer, 5), "1 / 0", "p n", "q")
    assert "ZeroDivisionError" in shown
    assert "\n5\n" in shown


def test_it_leaves_no_trace(paused: Launch, talk: Talk) -> None:
    job = paused(outer, 5)
    tracer = sys.gettrace()
    before = set(globals())
    talk(job, "p n", "up", "q")
    assert set(globals()) == before
    assert sys.gettrace() is tracer


def test_without_a_frame_it_says_so(shell: InteractiveShell) -> None:
    with pytest.raises(ValueError, match="job 3 has no Python frame"):
        debugger.debug(shell, [], 3)
