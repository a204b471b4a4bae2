"""``jupyter lpf run``: notebooks whose cells have a time limit, run by a program."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest

from command.conftest import COMMAND, jupyter_lpf

ENDLESS = "x = 0\nwhile True:\n    x += 1"


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Write a notebook with these cells; its path and that of what comes out."""

    def write(*cells: str) -> tuple[Path, Path]:
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell("A title"))
        nbformat.write(notebook, tmp_path / "in.ipynb")
        return tmp_path / "in.ipynb", tmp_path / "out.ipynb"

    return write


def outputs(path: Path) -> list[list[str]]:
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    return [[o.get("ename") or o.get("text") or "" for o in cell.outputs] for cell in code]


def test_a_notebook_that_ends(written: Any) -> None:
    path, out = written("print(1 + 1)", "", "print('end')")
    done = jupyter_lpf("run", path, "--timeout", "30s", "--output", out)
    assert (done.status, done.out) == (0, "")
    assert outputs(out) == [["2\n"], [], ["end\n"]]
    assert "cell 1 of 2: ok, " in done.err
    assert outputs(path) == [[], [], []]


def test_a_cell_that_does_not_end_is_cancelled_and_the_rest_runs(written: Any) -> None:
    path, out = written("y = 1", ENDLESS, "print(y, x > 0)")
    done = jupyter_lpf("run", path, "--timeout", "200ms", "--output", out, "--json")
    assert done.status == 4
    assert outputs(out) == [[], ["CellTimeout"], ["1 True\n"]]
    assert [cell["status"] for cell in done.json["cells"]] == ["ok", "error", "ok"]
    assert done.json["cells"][1]["details"]["limit"] == 0.2


def test_or_the_run_stops_there(written: Any) -> None:
    path, out = written(ENDLESS, "print('never')")
    done = jupyter_lpf(
        "run", path, "--timeout", "200ms", "--on-timeout", "stop", "--output", out, "--quiet"
    )
    assert done.status == 4
    assert "cell 1" not in done.err
    assert outputs(out) == [["CellTimeout"], []]


def test_a_failed_cell_ends_the_run_unless_errors_are_allowed(written: Any) -> None:
    path, out = written("1 / 0", "print('after')")
    assert jupyter_lpf("run", path, "--output", out).status == 1
    assert outputs(out) == [["ZeroDivisionError"], []]
    assert jupyter_lpf("run", path, "--output", out, "--allow-errors").status == 1
    assert outputs(out) == [["ZeroDivisionError"], ["after\n"]]


def test_a_limit_of_a_cells_own_goes_first(written: Any) -> None:
    path, out = written("%%timeout 100ms\n" + ENDLESS, "print(x > 0)")
    assert jupyter_lpf("run", path, "--timeout", "1h", "--output", out).status == 4
    assert outputs(out) == [["CellTimeout"], ["True\n"]]


def test_the_bar_on_a_terminal(written: Any) -> None:
    path, _ = written("1", "2")
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, "run", str(path)], stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 1000)
            except OSError:  # The other side is closed.
                break
    os.close(ours)
    assert process.returncode == 0
    assert b"[" + b"#" * 24 + b"] 2/2" in seen
    assert b"0/2  cell 1" in seen


def test_what_is_no_notebook(tmp_path: Path) -> None:
    assert jupyter_lpf("run", tmp_path / "none.ipynb").status == 2
    (tmp_path / "bad.ipynb").write_text("{")
    done = jupyter_lpf("run", tmp_path / "bad.ipynb")
    assert done.status == 2
    assert "cannot be read" in done.err


def test_a_kernel_that_dies_or_is_not_there(written: Any) -> None:
    path, out = written("print(1)", "import os; os._exit(1)", "print(2)")
    done = jupyter_lpf("run", path, "--output", out, "--quiet")
    assert done.status == 3
    assert "jupyter lpf: Kernel died" in done.err
    assert outputs(out) == [["1\n"], [], []]
    done = jupyter_lpf("run", path, "--kernel-name", "no-such-kernel", "--quiet")
    assert done.status == 3
    assert done.err == "jupyter lpf: No such kernel named no-such-kernel\n"


def test_an_output_that_cannot_be_written_is_told_before_the_run(
    written: Any, tmp_path: Path
) -> None:
    path, _ = written("open('ran', 'w')")
    done = jupyter_lpf("run", path, "--output", tmp_path / "none" / "out.ipynb")
    assert (done.status, done.out) == (2, "")
    assert "there is no directory" in done.err
    assert not (tmp_path / "ran").exists()
