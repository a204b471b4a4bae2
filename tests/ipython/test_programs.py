"""Notebooks run by programs: nbclient, papermill and nbconvert, where nobody can answer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lpf_ipython.errors import details
from lpf_ipython.nbclient import NotebookClient, SendsMetadata

SPIN = "while True:\n    x = 0"
TAGGED = {"tags": ["lpf:timeout=200ms"]}
NAMED = {"lpf:timeout": "200ms"}
LOADED = "%load_ext lpf\n%config LPF.timeout = '200ms'"


def notebook(*cells: Any) -> Any:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=list(cells), metadata={"kernelspec": kernel})


def tagged(metadata: dict[str, object]) -> Any:
    return notebook(new_code_cell("kept = 6 * 7"), new_code_cell(SPIN, metadata=metadata))


def error_of(cell: Any) -> dict[str, Any]:
    """The one error among a cell's outputs."""
    [error] = [output for output in cell.outputs if output.output_type == "error"]
    return dict(error)


def is_timeout(error: dict[str, Any], limit: float = 0.2) -> bool:
    found = details(error["evalue"])
    assert found is not None
    assert (found["kind"], found["limit"], found["cpu"]) == ("CellTimeout", limit, False)
    assert found["elapsed"] >= limit
    assert found["line"] in (1, 2, 3)
    return str(error["ename"]) == "CellTimeout"


def run_by_nbclient(nb: Any, client: Any = NotebookClient, **options: Any) -> Any:
    return client(nb, timeout=60, kernel_name="python3", **options).execute()


def run_by_papermill(nb: Any, folder: Path, engine: str | None = "lpf") -> Any:
    nbformat.write(nb, folder / "in.ipynb")
    with pytest.raises(papermill.PapermillExecutionError) as raised:
        papermill.execute_notebook(
            folder / "in.ipynb",
            folder / "out.ipynb",
            engine_name=engine,
            kernel_name="python3",
            progress_bar=False,
        )
    assert raised.value.ename == "CellTimeout"
    return nbformat.read(folder / "out.ipynb", as_version=4)


@pytest.mark.parametrize("metadata", [TAGGED, NAMED])
def test_a_tag_is_a_limit_under_our_client_of_nbclient(metadata: dict[str, object]) -> None:
    nb = tagged(metadata)
    with pytest.raises(nbclient.exceptions.CellExecutionError) as raised:
        run_by_nbclient(nb)
    assert raised.value.ename == "CellTimeout"
    assert is_timeout(error_of(nb.cells[1]))


def test_the_notebook_goes_on_where_errors_are_allowed() -> None:
    nb = tagged(TAGGED)
    nb.cells.append(new_code_cell("kept"))
    run_by_nbclient(nb, allow_errors=True)
    assert is_timeout(error_of(nb.cells[1]))
    assert nb.cells[2].outputs[0].data["text/plain"] == "42"
    assert nb.cells[2].execution_count == nb.cells[0].execution_count + 2


def test_a_limit_for_all_cells_is_one_under_plain_nbclient() -> None:
    nb = notebook(new_code_cell(LOADED), new_code_cell(SPIN), new_code_cell("6 * 7"))
    run_by_nbclient(nb, nbclient.NotebookClient, allow_errors=True)
    assert is_timeout(error_of(nb.cells[1]))
    assert nb.cells[2].outputs[0].data["text/plain"] == "42"


def test_a_header_is_a_limit_under_plain_nbclient() -> None:
    nb = notebook(new_code_cell("%load_ext lpf"), new_code_cell("%%timeout 200ms\n" + SPIN))
    run_by_nbclient(nb, nbclient.NotebookClient, allow_errors=True)
    assert is_timeout(error_of(nb.cells[1]))


def test_requests_carry_the_metadata_and_the_id_of_the_cell() -> None:
    code = "print(get_ipython().get_parent()['metadata'])"
    nb = notebook(new_code_cell(code, metadata={"tags": ["a"], "deep": {"er": 1}}))
    run_by_nbclient(nb)
    sent = eval(nb.cells[0].outputs[0].text)
    assert sent == {"tags": ["a"], "deep": {"er": 1}, "cellId": nb.cells[0].id}


def test_the_extension_need_not_be_loaded_by_our_client() -> None:
    nb = notebook(new_code_cell("'lpf' in get_ipython().extension_manager.loaded"))
    run_by_nbclient(nb, load_lpf=False)
    assert nb.cells[0].outputs[0].data["text/plain"] == "False"


def test_a_kernel_that_cannot_load_the_extension_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lpf.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"lpf cannot be loaded in the kernel: .*not here"):
        run_by_nbclient(notebook(new_code_cell("1")))


@pytest.mark.parametrize("metadata", [TAGGED, NAMED])
def test_a_tag_is_a_limit_under_our_engine_of_papermill(
    tmp_path: Path, metadata: dict[str, object]
) -> None:
    ran = run_by_papermill(tagged(metadata), tmp_path)
    [cell] = [cell for cell in ran.cells if cell.source == SPIN]
    assert is_timeout(error_of(cell))


def test_a_limit_for_all_cells_is_one_under_plain_papermill(tmp_path: Path) -> None:
    ran = run_by_papermill(notebook(new_code_cell(LOADED), new_code_cell(SPIN)), tmp_path, None)
    [cell] = [cell for cell in ran.cells if cell.source == SPIN]
    assert is_timeout(error_of(cell))


def test_the_command_line_of_papermill_knows_the_engine(tmp_path: Path) -> None:
    nb = notebook(
        new_code_cell("limit = 0", metadata={"tags": ["parameters"]}),
        new_code_cell("print('limit is', limit)"),
        new_code_cell(SPIN, metadata=TAGGED),
    )
    nbformat.write(nb, tmp_path / "in.ipynb")
    papermill = Path(sys.executable).with_name("papermill")
    options = ["--engine", "lpf", "-k", "python3", "-p", "limit", "3", "--no-progress-bar"]
    done = subprocess.run(
        [papermill, "in.ipynb", "out.ipynb", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"CellTimeout: the cell's limit of 200 ms passed", done.stderr)
    ran = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert any("limit is 3" in str(cell.get("outputs")) for cell in ran.cells)


def test_a_tag_is_a_limit_under_our_preprocessor_of_nbconvert() -> None:
    pytest.importorskip("nbconvert")
    from lpf_ipython.nbclient import ExecutePreprocessor

    nb, _ = ExecutePreprocessor(allow_errors=True).preprocess(tagged(TAGGED), {})
    assert is_timeout(error_of(nb.cells[1]))


def test_a_client_of_ones_own_sends_the_metadata_too() -> None:
    seen: list[str] = []

    class Own(SendsMetadata, nbclient.NotebookClient):
        def process_message(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(args[0]["msg_type"])
            return super().process_message(*args, **kwargs)

    nb = tagged(TAGGED)
    run_by_nbclient(nb, Own, allow_errors=True)
    assert is_timeout(error_of(nb.cells[1]))
    assert "error" in seen


def test_an_interrupt_of_a_program_ends_the_paused_cell_that_it_waits_for() -> None:
    """Nobody resumes it, nobody is asked: nbclient interrupts it after its own timeout."""
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGURG)\nwhile True:\n    x = 0"
    nb = notebook(new_code_cell("%load_ext lpf"), new_code_cell(code), new_code_cell("'alive'"))
    nbclient.NotebookClient(
        nb, timeout=5, interrupt_on_timeout=True, kernel_name="python3", allow_errors=True
    ).execute()
    assert error_of(nb.cells[1])["ename"] == "KeyboardInterrupt"
    assert "[1] failed" in str(nb.cells[1].outputs)  # The notice that it was paused, since renewed.
    assert nb.cells[2].outputs[0].data["text/plain"] == "'alive'"
