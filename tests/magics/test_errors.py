"""The end of a cell as its user, and as a program, sees it."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from lpf_ipython.errors import CellCancelled, CellEnded, CellTimeout, JobError, details
from lpf_ipython.places import Place

HERE = Place(3, "<cell 5>", "<no file>", 5, "spin", "n += 1")


def test_a_timeout_is_a_timeout_error_with_numbers() -> None:
    error = CellTimeout(limit=0.5, elapsed=0.503, place=HERE, job=1)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, CellEnded)
    assert (error.limit, error.elapsed) == (0.5, 0.503)
    assert error.to_dict() == error.details
    assert error.to_dict() is not error.details
    assert error.details == {
        "kind": "CellTimeout",
        "limit": 0.5,
        "cpu": False,
        "elapsed": 0.503,
        "where": "line 3 in <cell 5>",
        "line": 3,
        "cell": 5,
        "file": None,
        "text": "n += 1",
        "job": 1,
        "abandoned": False,
    }


def test_outside_of_cells_the_file_is_named() -> None:
    error = CellTimeout(limit=1, elapsed=1, place=Place(7, "spin.py", "/a/spin.py", None, "f", ""))
    assert (error.details["file"], error.details["cell"]) == ("/a/spin.py", None)
    assert error.details["where"] == "line 7 in spin.py"


def test_its_text_is_a_sentence_and_one_json_object() -> None:
    error = CellTimeout(limit=0.5, elapsed=0.503, place=HERE)
    sentence, _, rest = str(error).partition(" {")
    assert sentence == (
        "the cell's limit of 500 ms passed; stopped after 503 ms at line 3 in <cell 5>: n += 1"
    )
    assert json.loads("{" + rest) == error.details
    assert details(str(error)) == error.details


def test_a_cancelled_cell_says_so() -> None:
    error = CellCancelled(elapsed=2, place=HERE)
    assert str(error).startswith("cancelled after 2 s at line 3 in <cell 5>: n += 1 {")
    assert error.details["limit"] is None
    assert not isinstance(error, TimeoutError)


@pytest.mark.parametrize("text", ["", "name 'x' is not defined", '{"kind": "Cell', '{"kind": 3}'])
def test_other_errors_have_no_details(text: str) -> None:
    assert details(text) is None


def test_a_place_is_not_needed() -> None:
    error = CellTimeout(limit=1, elapsed=1, cpu=True)
    assert str(error).startswith("the cell's limit of 1 s of CPU time passed; stopped after 1 s {")
    assert len(error._render_traceback_()) == 1


@pytest.mark.parametrize(
    "error",
    [
        CellTimeout(limit=0.5, elapsed=0.503, place=HERE, job=1, abandoned=True),
        CellCancelled(elapsed=2, place=HERE),
    ],
    ids=["timeout", "cancelled"],
)
def test_they_can_be_pickled(error: CellEnded) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.details) == (type(error), error.details)


def run(shell: InteractiveShell, error: Exception) -> Any:
    """Return what running a cell that ends with *error* gives."""
    shell.push({"error": error})
    return shell.run_cell("raise error")


def test_ipython_shows_the_line_and_nothing_of_the_machinery(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("def spin():\n    n = 0\n    while True:\n        n += 1", store_history=True)
    file = shell.user_ns["spin"].__code__.co_filename
    place = Place(4, "<cell 5>", file, 5, "spin", "n += 1")
    capsys.readouterr()
    result = run(shell, CellTimeout(limit=0.5, elapsed=0.503, place=place))
    assert capsys.readouterr().out.splitlines() == [
        "CellTimeout: the cell's limit of 500 ms passed; stopped after 503 ms "
        "at line 4 in <cell 5>: n += 1",
        "         2     n = 0",
        "         3     while True:",
        "---->    4         n += 1",
    ]
    assert isinstance(result.error_in_exec, CellTimeout)


def test_an_abandoned_cell_is_reported_as_such(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, CellCancelled(elapsed=1, place=HERE, abandoned=True))
    assert "abandoned, its finally blocks did not run" in capsys.readouterr().out


def test_notes_are_shown(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    error = CellCancelled(elapsed=1, place=HERE)
    error.add_note("The interrupt was swallowed at line 7 in <cell 5>.")
    run(shell, error)
    assert capsys.readouterr().out.endswith("swallowed at line 7 in <cell 5>.\n")


def test_a_refused_command_is_one_line(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, JobError("no cell is paused"))
    assert capsys.readouterr().out == "JobError: no cell is paused\n"
