"""%%timeout and %lpf read their lines right, refuse what is odd, and hand on the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import lpf
from lpf_ipython import magics
from magics.fakes import FakeJob, FakeJobs

Launch = Callable[..., FakeJob]


class Loaded:
    """A shell with the magics, and notes of what they handed on."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.jobs = FakeJobs()
        self.limited: list[Any] = []
        self.strips = True
        self.magics: Any = None

    def run_limited(self, shell: Any, source: str, *limit: Any) -> None:
        assert shell is self.shell
        self.limited.append((source, *limit))

    def run(self, cell: str) -> Any:
        return self.shell.run_cell(cell, store_history=True)


@pytest.fixture
def loaded(shell: InteractiveShell) -> Iterator[Loaded]:
    found = Loaded(shell)
    found.magics = magics.load(shell, found.jobs, found.run_limited, lambda: found.strips)
    yield found
    magics.unload(shell)


def completions(shell: InteractiveShell, before: str) -> list[str]:
    """Return what a front end offers behind *before*."""
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(before, len(before))]


def waits() -> None:
    number = 3
    lpf.pause()
    assert number


# %%timeout


def test_an_ordinary_cell_below_the_header_stays_an_ordinary_cell(loaded: Loaded) -> None:
    cell = "%%timeout 1s\nx = 20\nx + 1"
    number = loaded.shell.execution_count
    result = loaded.run(cell)
    assert magics.limit_of(cell) == magics.Limit(1)
    assert result.result == 21
    assert loaded.shell.user_ns["_"] == loaded.shell.user_ns["Out"][number] == 21
    assert loaded.limited == []


def test_a_cell_with_await_below_the_header_works(loaded: Loaded) -> None:
    cell = "%%timeout 1s\nimport asyncio\nawait asyncio.sleep(0, 'slept')"
    assert loaded.shell.should_run_async(cell, transformed_cell=loaded.shell.transform_cell(cell))
    assert loaded.run(cell).result == "slept"


def test_another_cell_magic_below_the_header_works(
    loaded: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run("%%timeout 1s\n%%capture caught\nprint('hello')")
    assert capsys.readouterr().out == ""
    assert loaded.shell.user_ns["caught"].stdout == "hello\n"


def test_errors_keep_the_line_numbers_of_the_cell(
    loaded: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run("%%timeout 1s\nx = 1\n1 / 0")
    assert "----> 3 1 / 0" in capsys.readouterr().out


def test_where_nobody_strips_the_header_the_magic_runs_the_rest(loaded: Loaded) -> None:
    loaded.strips = False
    loaded.run("%%timeout 2s --on-timeout cancel --cpu\nx = 1\n")
    assert loaded.limited == [("x = 1\n", 2.0, "cancel", True)]


def test_the_magic_below_another_magic_hands_on_its_limit(loaded: Loaded) -> None:
    loaded.strips = False
    loaded.run("%%capture\n%%timeout 2s\nx = 1\n")
    assert loaded.limited == [("x = 1\n", 2.0, None, False)]


def test_the_limit_may_come_from_a_variable(loaded: Loaded) -> None:
    loaded.shell.push({"limit": "250ms"})
    loaded.run("%%timeout {limit}\nx = 1\n")
    assert loaded.limited == [("x = 1\n", 0.25, None, False)]


@pytest.mark.parametrize(
    "header", ["soon", "", "-3s", "0", "nan", "1s --speed", "1s --on-timeout never"]
)
def test_an_odd_header_prints_usage_and_the_cell_is_not_run(
    loaded: Loaded, capsys: pytest.CaptureFixture[str], header: str
) -> None:
    result = loaded.run(f"%%timeout {header}\nran = True")
    shown = capsys.readouterr()
    said = shown.out + shown.err
    assert not result.success
    assert said.startswith("UsageError: %%timeout: ")
    assert said.endswith("Usage: %%timeout LIMIT [--on-timeout pause|cancel] [--cpu]\n")
    assert said.count("\n") == 1
    assert "ran" not in loaded.shell.user_ns
    assert loaded.limited == []


def test_a_header_alone_is_refused(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    assert not loaded.run("%%timeout 1s\n\n").success
    shown = capsys.readouterr()
    assert "UsageError" in shown.out + shown.err


def test_while_it_is_typed_a_cell_with_a_header_ends_with_an_empty_line(loaded: Loaded) -> None:
    check = loaded.shell.check_complete
    assert check("%%timeout 1s\n")[0] == "incomplete"
    assert check("%%timeout 1s\nx = 1\n")[0] == "incomplete"
    assert check("%%timeout 1s\nx = 1\n\n")[0] == "complete"


# %lpf


def test_commands_reach_the_jobs(loaded: Loaded, paused: Launch) -> None:
    loaded.jobs.jobs = [paused(waits), paused(waits)]
    for line in ("resume", "resume 1", "resume for 2s", "resume 1 for 1m 30s", "cancel 1", "pause"):
        assert loaded.run(f"%lpf {line}").success
    loaded.run("%lpf cancel all")
    assert loaded.jobs.asked == [
        ("resume", 2, None),
        ("resume", 1, None),
        ("resume", 2, 2.0),
        ("resume", 1, 90.0),
        ("cancel", 1),
        "pause",
        ("cancel", 1),
        ("cancel", 2),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "stop",
        "resume x",
        "resume -1",
        "resume 1 2",
        "resume 1 for",
        "resume 1 for ever",
        "cancel 1 2",
        "cancel some",
        "inspect 1 2",
        "inspect --frame x",
        "inspect 1 --frame",
        "debug 1 now",
        "jobs 1",
        "pause 1",
    ],
)
def test_an_odd_command_prints_usage_on_one_line(
    loaded: Loaded, paused: Launch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    loaded.jobs.jobs = [paused(waits)]
    assert not loaded.run(f"%lpf {line}").success
    shown = capsys.readouterr()
    said = shown.out + shown.err
    assert said.startswith("UsageError: %lpf: ")
    assert "Usage: %lpf jobs | resume" in said
    assert said.count("\n") == 1
    assert loaded.jobs.asked == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("resume", "JobError: no cell is paused\n"),
        ("inspect", "JobError: no cell is paused\n"),
        ("resume 7", "JobError: no job 7; %lpf jobs lists them\n"),
        ("debug 7", "JobError: no job 7; %lpf jobs lists them\n"),
        ("cancel all", ""),
        ("jobs", "no jobs\n"),
        ("", "no jobs\n"),
    ],
)
def test_without_a_job_it_says_so(
    loaded: Loaded, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    loaded.run(f"%lpf {line}")
    assert capsys.readouterr().out == said


def test_jobs_lists_what_is_paused_but_not_the_cell_that_asks(
    loaded: Loaded, paused: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.jobs.jobs = [
        paused(waits),
        paused(waits, state="finished"),
        paused(waits, state="running"),
    ]
    loaded.run("%lpf")
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("job")
    assert [row.split()[0] for row in rows] == ["[1]"]


def test_inspect_shows_the_stack(
    loaded: Loaded, paused: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.jobs.jobs = [paused(waits)]
    loaded.run("%lpf inspect")
    shown = capsys.readouterr().out
    assert "#0  waits  line" in shown
    assert "number = 3" in shown
    loaded.run("%lpf inspect 1 --frame 0")
    assert "#0  waits" in capsys.readouterr().out
    loaded.run("%lpf inspect 1 --frame 99")
    assert capsys.readouterr().out.startswith("JobError: no frame 99; there are ")


def test_only_a_paused_job_can_be_looked_into(
    loaded: Loaded, paused: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.jobs.jobs = [paused(waits, state="finished")]
    loaded.run("%lpf inspect 1")
    said = "JobError: job 1 is finished; only a paused one can be looked into\n"
    assert capsys.readouterr().out == said


def test_help_names_every_command(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    loaded.run("%lpf help")
    said = capsys.readouterr().out
    for command in magics._COMMANDS:
        assert f"\n%lpf {command}" in said


@pytest.mark.parametrize(
    ("asked", "part"),
    [("%lpf?", "%lpf resume [N] [for 2s]"), ("%%timeout?", "--on-timeout pause|cancel")],
)
def test_a_question_mark_shows_the_help(
    loaded: Loaded, capsys: pytest.CaptureFixture[str], asked: str, part: str
) -> None:
    loaded.run(asked)
    assert part in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "found"),
    [
        (
            "%lpf ",
            [
                "jobs",
                "resume",
                "cancel",
                "inspect",
                "debug",
                "pause",
                "responsive",
                "config",
                "help",
            ],
        ),
        ("%lpf re", ["resume", "responsive"]),
        ("%lpf responsive o", ["on", "off"]),
        ("lpf ca", ["cancel"]),
        ("%lpf resume ", ["1", "2", "for"]),
        ("%lpf cancel ", ["1", "2", "all"]),
        ("%lpf inspect --", ["--all", "--frame"]),
        ("%lpf debug 2", ["2"]),
        ("%lpf resume 2 f", ["for"]),
        ("%%timeout 1s --", ["--on-timeout", "--cpu"]),
        ("%%timeout 1s --on-timeout ", ["pause", "cancel"]),
    ],
)
def test_the_tab_key_knows_commands_and_jobs(
    loaded: Loaded, paused: Launch, before: str, found: list[str]
) -> None:
    loaded.jobs.jobs = [paused(waits), paused(waits), paused(waits, state="finished")]
    assert sorted(completions(loaded.shell, before)) == sorted(found)


@pytest.mark.parametrize("before", ["", "%lp", "%lpf", "%lpf jobs ", "%lpf resume 2 for ", "x = 1"])
def test_elsewhere_the_tab_key_is_left_alone(loaded: Loaded, before: str) -> None:
    assert loaded.magics.complete(before) == []


def test_unloading_takes_everything_back(shell: InteractiveShell) -> None:
    def state() -> Any:
        manager = shell.magics_manager
        return (
            set(manager.magics["line"]),
            set(manager.magics["cell"]),
            set(manager.registry),
            list(shell.input_transformers_cleanup),
        )

    before = state()
    magics.load(shell, FakeJobs(), lambda *_: None)
    assert "lpf" in shell.magics_manager.magics["line"]
    magics.unload(shell)
    magics.unload(shell)
    assert state() == before
    assert "resume" not in completions(shell, "%lpf re")
