"""What is shown: the notice, the table, the stack; text for terminals, escaped HTML for notebooks."""

from __future__ import annotations

import html.parser
from collections.abc import Callable
from typing import Any

import lpf
from lpf_ipython import display, inspect

Launch = Callable[..., Any]
ATTACK = "<script>alert(1)</script>\"' onmouseover=x \x1b[2J"


def count(n: int) -> None:
    n += 1
    lpf.pause()


def attacked(payload: str) -> None:
    lpf.pause()  # <b onclick="x">


class Tags(html.parser.HTMLParser):
    """Collects tags and attribute names, and checks that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {tag} | {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_notice_says_where_and_how_to_go_on(paused: Launch) -> None:
    notice = display.notice(paused(count, 1, where="line 3 in <cell 5>"))
    assert str(notice) == (
        "[1] paused after 500 ms  line 3 in <cell 5>: lpf.pause()\n"
        "    %lpf resume 1   %lpf cancel 1   %lpf inspect 1   %lpf debug 1"
    )
    bundle = notice._repr_mimebundle_()
    assert bundle["text/plain"] == str(notice)
    assert "&lt;cell 5&gt;: lpf.pause()" in bundle["text/html"]


def test_the_reason_for_a_pause_is_told(paused: Launch) -> None:
    said = {
        reason: str(display.notice(paused(count, 1, reason=reason))).split("  ")[0]
        for reason in ("timeout", "request", "signal", "memory", "key", "pause", None)
    }
    assert said == {
        "timeout": "[1] paused after 500 ms",
        "request": "[2] paused",
        "signal": "[3] paused by a signal",
        "memory": "[4] paused at the memory limit",
        "key": "[5] paused",
        "pause": "[6] paused by itself",
        None: "[7] paused",
    }


def test_the_notice_of_a_cell_that_went_on_offers_no_commands(paused: Launch) -> None:
    running, ended = paused(count, 1, state="running"), paused(count, 1, state="cancelled")
    assert str(display.notice(running)) == "[1] running again"
    assert str(display.notice(ended)) == "[2] cancelled"
    ended.state = "finished"
    assert str(display.notice(ended)) == "[2] finished after 500 ms"
    assert "%lpf" not in display.notice(ended).html()


def test_after_another_stretch_the_whole_time_is_told(paused: Launch) -> None:
    again = paused(count, 1, elapsed=0.7)
    assert str(display.notice(again)).startswith("[1] paused after 700 ms  ")
    again.limit_cpu = True
    assert str(display.notice(again)).startswith("[1] paused after 500 ms of CPU time  ")


def test_the_table_of_jobs_stands_in_columns(paused: Launch) -> None:
    jobs = [paused(count, 1), paused(count, 2, state="running", where="", limit=None)]
    lines = display.JobsView(jobs).text().splitlines()
    assert lines[0].split() == ["job", "state", "where", "elapsed", "cpu"]
    assert lines[1].startswith("[1]  paused after 500 ms  line 3 in <cell 5>: lpf.pause()")
    assert lines[2].startswith("[2]  running")
    assert len({line.index("500 ms", 30) for line in lines[1:]}) == 1


def test_no_jobs_is_said_in_words() -> None:
    assert str(display.JobsView([])) == "no jobs"
    assert "no jobs" in display.JobsView([]).html()


def test_the_stack_as_text(paused: Launch) -> None:
    text = display.StackView(inspect.job_data(paused(count, 1))).text()
    lines = text.splitlines()
    assert lines[0] == "[1] paused  line 3 in <cell 5>  (500 ms so far, limit 500 ms)"
    assert lines[2].startswith("#0  count  line ")
    assert any(line.startswith("   ---> ") and line.endswith("lpf.pause()") for line in lines)
    assert "      n = 2" in lines


def test_types_are_named_where_the_value_does_not_show_them(paused: Launch) -> None:
    class Quiet:
        def __repr__(self) -> str:
            return "shh"

    text = display.StackView(inspect.job_data(paused(attacked, Quiet()))).text()
    assert "payload = shh  (" in text
    assert "Quiet)" in text


def test_hidden_frames_and_notes_are_mentioned(paused: Launch) -> None:
    data = inspect.job_data(paused(count, 1))
    data["hidden"] = 4
    data["threads"] = data["processes"] = []
    view = display.StackView(data, notes=["note"])
    end = "4 frames of IPython and lpf not shown; %lpf inspect 1 --all shows them\n\nnote"
    assert view.text().endswith(end)
    data["frames"] = []
    assert "no Python frame" in display.StackView(data).text()


def test_everything_from_the_program_is_escaped(paused: Launch) -> None:
    job = paused(attacked, ATTACK, where=f"line 1 in {ATTACK}", reason="request")
    views = [
        display.notice(job),
        display.JobsView([job]),
        display.StackView(inspect.job_data(job), notes=[ATTACK]),
    ]
    for view in views:
        names = Tags(view.html()).names
        assert not names & {"script", "b onclick", "onclick", "onmouseover", "a", "img", "href"}
        assert "\x1b" not in view.text().replace(ATTACK, "")


def test_the_innermost_frame_is_open_and_the_others_fold(paused: Launch) -> None:
    def around() -> None:
        count(1)

    page = display.StackView(inspect.job_data(paused(around))).html()
    assert page.count("<details open>") == 1
    assert page.count("<details>") >= 1
