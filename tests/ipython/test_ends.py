"""The end of a kernel with paused cells in it, of the extension, and limits of memory."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from ipython.kernels import Cell, Kernel

LEAVES_A_MARK = """
print("go")
try:
    while True:
        x = 0
finally:
    open({!r}, "w").close()
"""


def paused(kernel: Kernel, path: Path) -> Cell:
    cell = kernel.start(LEAVES_A_MARK.format(str(path)))
    cell.prints("go")
    kernel.pause()
    return cell


def gone(pid: int) -> bool:
    try:
        psutil.Process(pid).wait(20)
    except psutil.NoSuchProcess:
        pass
    return not psutil.pid_exists(pid)


def test_shutting_down_unwinds_paused_cells(fresh: Kernel, tmp_path: Path) -> None:
    pid = fresh.pid
    for name in ("one", "two"):
        paused(fresh, tmp_path / name)
    assert fresh.control("shutdown_request", restart=False)["status"] == "ok"
    assert gone(pid)
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_shutting_down_does_not_wait_for_what_cannot_be_unwound(fresh: Kernel) -> None:
    pid = fresh.pid
    cell = fresh.start(
        "print('go')\nwhile True:\n    try:\n        while True:\n            x = 0\n"
        "    except BaseException:\n        pass"
    )
    cell.prints("go")
    fresh.pause()
    assert fresh.control("shutdown_request", restart=False)["status"] == "ok"
    assert gone(pid)


def test_a_restart_with_paused_cells(fresh: Kernel, tmp_path: Path) -> None:
    paused(fresh, tmp_path / "one")
    before = fresh.pid
    fresh.restart()
    assert (tmp_path / "one").exists()
    assert not psutil.pid_exists(before)
    assert fresh.run("1 + 1").results == ["2"]


def test_exit_with_paused_cells(fresh: Kernel, tmp_path: Path) -> None:
    pid = fresh.pid
    paused(fresh, tmp_path / "one")
    fresh.start("exit")
    # The front end is asked to end the kernel; this one does at once.
    fresh.control("shutdown_request", restart=False)
    assert gone(pid)
    assert (tmp_path / "one").exists()


def test_unloading_by_force_cancels_paused_cells(fresh: Kernel, tmp_path: Path) -> None:
    cell = paused(fresh, tmp_path / "one")
    assert fresh.run("%unload_ext lpf --force").reply["status"] == "ok"
    assert cell.wait().reply["ename"] == "CellCancelled"
    assert (tmp_path / "one").exists()
    fresh.until_true("'run_cell_async' not in vars(get_ipython())")
    assert fresh.run("1 + 1").results == ["2"]


def test_a_memory_limit_pauses_and_names_the_largest(fresh: Kernel) -> None:
    used = psutil.Process(fresh.pid).memory_info().rss
    fresh.run(f"%config LPF.memory_limit = '{used // 10**6 + 100} MB'")
    code = "print('go')\nhoard = bytearray()\nwhile not globals().get('stop'):\n    hoard += bytes(10**6)"
    cell = fresh.start(code + "\n    import time; time.sleep(0.001)")
    [state] = fresh.until(lambda _: cell.of_type("lpf_state"))
    assert (state["state"], state["reason"]) == ("paused", "memory")
    assert "hoard (" in cell.of_type("display_data")[0]["data"]["text/plain"]
    fresh.run(f"hoard.clear()\nstop = True\n%lpf resume {state['job']}")
    assert cell.wait().reply["status"] == "ok"
    odd = fresh.run("%config LPF.memory_limit = 'much'")
    assert "neither a size" in str(odd.of_type("stream"))


def test_a_cell_that_is_not_touched_sends_what_it_sends_without_us(fresh: Kernel) -> None:
    code = "print('text')\ndisplay(1)\n6 * 7"

    def told() -> list[tuple[str, str]]:
        cell = fresh.run(code)
        return [(m["msg_type"], str(sorted(m["content"]))) for m in cell.messages]

    with_extension = told()
    fresh.run("%unload_ext lpf")
    assert with_extension == told()


@pytest.mark.parametrize("states", [("paused",), ("running", "cancelled")])
def test_the_client_steers_a_kernel(fresh: Kernel, states: tuple[str, ...]) -> None:
    from lpf_ipython.client import Cells, Refused

    cells = Cells(fresh.client)
    with pytest.raises(Refused, match="no cell is running"):
        cells.pause()
    cell = fresh.start("print('go')\nwhile not globals().get('stop'):\n    x = 0")
    cell.prints("go")
    job = cells.pause()
    assert cells.job_of(cell.msg_id) == job
    assert cells.wait(job["id"], "paused")["where"].startswith("line ")
    assert cells.inspect(job["id"])["frames"][0]["function"] == "<module>"
    cells.resume(job["id"])
    cells.wait(job["id"], "running")
    if "cancelled" in states:
        cells.cancel(job["id"])
        cells.wait(job["id"], "cancelled")
    else:
        job = cells.pause()
        fresh.run("stop = True")
        cells.resume()
        cells.wait(job["id"], "finished")
    assert cell.wait()
