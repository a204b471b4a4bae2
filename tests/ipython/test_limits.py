"""Time limits: on a cell, on all cells, on a piece of one; where somebody can answer and not."""

from __future__ import annotations

import time

import pytest

from ipython.kernels import Cell, Kernel
from lpf_ipython.errors import details

SPIN = "print('go')\nwhile not stop:\n    pass\n"


@pytest.fixture(autouse=True)
def not_stopped(kernel: Kernel) -> None:
    kernel.run("stop = False")


def paused_by_its_limit(kernel: Kernel, cell: Cell) -> int:
    [state] = kernel.until(lambda _: cell.of_type("lpf_state"))
    assert (state["state"], state["reason"]) == ("paused", "timeout")
    return int(state["job"])


def goes_on(kernel: Kernel, cell: Cell, job: int) -> None:
    kernel.run(f"stop = True\n%lpf resume {job}")
    assert cell.wait().reply["status"] == "ok"


def test_a_cell_is_paused_at_its_limit_and_says_how_to_go_on(kernel: Kernel) -> None:
    cell = kernel.start("%%timeout 100ms\n" + SPIN + "'end'")
    job = paused_by_its_limit(kernel, cell)
    notice = cell.of_type("display_data")[0]["data"]["text/plain"]
    assert f"[{job}] paused" in notice
    assert f"%lpf resume {job}" in notice
    assert "line" in notice
    goes_on(kernel, cell, job)
    assert cell.results == ["'end'"]


@pytest.mark.parametrize(
    "code",
    [
        "import asyncio\nprint('go')\nwhile not stop:\n    await asyncio.sleep(0.01)",
        "import asyncio\nprint('go')\nwait = asyncio.Event()\nstop or await wait.wait()",
        "import asyncio\nawait asyncio.sleep(0)\nprint('go')\nwhile not stop:\n    x = 0",
    ],
)
def test_a_cell_that_awaits_is_paused_at_its_limit(kernel: Kernel, code: str) -> None:
    cell = kernel.start("%%timeout 100ms\n" + code)
    job = paused_by_its_limit(kernel, cell)
    kernel.run("wait = globals().get('wait'); wait and wait.set()")
    goes_on(kernel, cell, job)


def test_a_limit_may_cancel(kernel: Kernel) -> None:
    start = time.monotonic()
    cell = kernel.run("%%timeout 0.1 --on-timeout cancel\n" + SPIN)
    took = time.monotonic() - start
    assert cell.reply["ename"] == "CellTimeout"
    found = details(cell.reply["evalue"])
    assert found is not None
    assert (found["limit"], found["kind"], found["abandoned"]) == (0.1, "CellTimeout", False)
    assert 0.1 <= found["elapsed"] <= took
    assert found["line"] in (2, 3, 4)


@pytest.mark.parametrize("awaits", ["", "import asyncio; await asyncio.sleep(1000)"])
def test_where_nobody_can_answer_a_limit_cancels(kernel: Kernel, awaits: str) -> None:
    cell = kernel.run("%%timeout 100ms\n" + (awaits or SPIN), allow_stdin=False)
    assert cell.reply["ename"] == "CellTimeout"
    assert details(cell.reply["evalue"]) is not None


@pytest.mark.parametrize(
    "metadata",
    [{"lpf:timeout": "100ms"}, {"lpf:timeout": 0.1}, {"tags": ["x", "lpf:timeout=0.1s"]}],
)
def test_a_limit_in_the_metadata(kernel: Kernel, metadata: dict[str, object]) -> None:
    cell = kernel.run(SPIN, metadata=metadata, allow_stdin=False)
    assert cell.reply["ename"] == "CellTimeout"


def test_a_limit_for_all_cells(kernel: Kernel) -> None:
    kernel.run("%config LPF.timeout = '100ms'\n%config LPF.on_timeout = 'cancel'")
    try:
        assert kernel.run(SPIN).reply["ename"] == "CellTimeout"
        # The cell's own limit counts instead.
        cell = kernel.start("%%timeout 50s\n" + SPIN)
        cell.prints("go")
        job = kernel.pause()["id"]
        goes_on(kernel, cell, job)
    finally:
        kernel.run("%config LPF.timeout = 0\n%config LPF.on_timeout = 'pause'")


def test_cpu_time_does_not_count_what_is_slept(kernel: Kernel) -> None:
    code = "%%timeout 500ms --cpu --on-timeout cancel\nimport time\ntime.sleep(0.6)\n"
    assert kernel.run(code).reply["status"] == "ok"
    cell = kernel.run(code + SPIN)
    assert cell.reply["ename"] == "CellTimeout"
    found = details(cell.reply["evalue"])
    assert found is not None
    assert found["cpu"]


def test_the_rest_of_run_all_does_not_run_on(kernel: Kernel) -> None:
    cells = [kernel.start(c) for c in ("%%timeout 50ms\n" + SPIN, "later = 1")]
    job = paused_by_its_limit(kernel, cells[0])
    assert not cells[1].answered()
    goes_on(kernel, cells[0], job)
    assert cells[1].wait().reply["status"] == "ok"


def test_other_magics_values_and_line_numbers_below_a_limit(kernel: Kernel) -> None:
    assert "Wall time" in kernel.run("%%timeout 10s\n%%time\n1").text
    assert kernel.run("%%timeout 10s\nimport asyncio\nawait asyncio.sleep(0, 5)").results == ["5"]
    assert "line 3" in "".join(kernel.run("%%timeout 10s\n\n1 / 0").reply["traceback"])


def test_a_limit_that_makes_no_sense_is_one_line_and_nothing_is_run(kernel: Kernel) -> None:
    cell = kernel.run("%%timeout soon\nran = 1")
    assert cell.reply["ename"] == "UsageError"
    assert kernel.value("'ran' in globals()") == "False"


@pytest.mark.parametrize(
    "body", ["while True:\n    x = 0", "import asyncio\nawait asyncio.sleep(99)"]
)
def test_a_piece_of_a_cell_has_a_limit_that_cancels(kernel: Kernel, body: str) -> None:
    magic = f"get_ipython().run_cell_magic('timeout', '100ms --on-timeout cancel', {body!r})"
    cell = kernel.run(f"x = 1\n{magic}")
    assert cell.reply["ename"] == "CellTimeout"
    assert len(cell.of_type("error")) == 1
    assert kernel.run("2").results == ["2"]


@pytest.mark.parametrize(
    "body",
    ["while not stop:\n    x = 0\n'end'", "while not stop:\n    await asyncio.sleep(0.01)\n'end'"],
)
def test_a_piece_of_a_cell_has_a_limit_that_pauses(kernel: Kernel, body: str) -> None:
    magic = f"get_ipython().run_cell_magic('timeout', '100ms', {body!r})"
    cell = kernel.start(f"import asyncio\n{magic}\nprint('after')")
    job = paused_by_its_limit(kernel, cell)
    goes_on(kernel, cell, job)
    assert cell.results == ["'end'"]
    assert cell.text == "after\n"


def test_an_error_in_a_limited_piece_is_shown_once(kernel: Kernel) -> None:
    cell = kernel.run("get_ipython().run_cell_magic('timeout', '10s', '1 / 0')")
    assert cell.reply["ename"] == "ZeroDivisionError"
    assert len(cell.of_type("error")) == 1


def test_a_cell_in_a_task_group_ends_as_any_other(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%timeout 200ms --on-timeout cancel\n"
        "import asyncio\n"
        "async with asyncio.TaskGroup():\n"
        "    while True: pass"
    )
    assert cell.reply["ename"] == "CellTimeout"
    assert kernel.value("1 + 1") == "2"
