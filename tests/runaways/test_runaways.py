"""Cells that run away, in a real kernel: stopped, paused and cancelled, paused and resumed.

All of them on one Python, one of each kind on the others; the rest there with ``pytest -m matrix``.
States are waited for, not times. A kernel serves cell after cell, which is harder than one of its
own for each: nothing may be left behind. Only a kernel in which a test failed is replaced.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from jupyter_core.utils import ensure_event_loop

from ipython.kernels import Cell, Kernel, poll
from runaways.cells import RUNAWAYS, Runaway

pytestmark = pytest.mark.slow

ALL_ON = (3, 12)
# Enough to be well inside of what takes long, in ticks of the process's clock.
INSIDE = 10
STOPPED = {"KeyboardInterrupt", "CellCancelled", "CancelledError"}


def cells(pausable: bool = False) -> Iterator[object]:
    """Parameters for a test: every cell, or every cell that can be paused."""
    kinds = set()
    for cell in RUNAWAYS:
        if pausable and cell.kind == "c-gil-other":
            continue
        sample = sys.version_info[:2] == ALL_ON or cell.kind not in kinds
        kinds.add(cell.kind)
        marks = () if sample else (pytest.mark.matrix,)
        yield pytest.param(cell, id=f"{cell.kind}-{cell.name}", marks=marks)


class Stable:
    """The kernel of these tests, made anew when one of them failed."""

    def __init__(self) -> None:
        self.kernel: Kernel | None = None

    def get(self) -> Kernel:
        if self.kernel is None:
            self.kernel = Kernel()
            self.kernel.run("marker = list(range(1000))")
        return self.kernel

    def drop(self) -> None:
        if self.kernel is not None:
            for child in psutil.Process(self.kernel.pid).children(recursive=True):
                child.kill()
            self.kernel.close()
            self.kernel = None


@pytest.fixture(scope="module")
def stable() -> Iterator[Stable]:
    stable = Stable()
    yield stable
    stable.drop()
    ensure_event_loop().close()


@pytest.fixture
def kernel(stable: Stable, request: pytest.FixtureRequest) -> Iterator[Kernel]:
    failed = request.session.testsfailed
    kernel = stable.get()
    kernel.messages.clear()
    yield kernel
    if request.session.testsfailed > failed:
        stable.drop()


def main_thread(kernel: Kernel) -> tuple[str, int]:
    """State and ticks of CPU time of the kernel's main thread, see proc(5)."""
    stat = Path(f"/proc/{kernel.pid}/task/{kernel.pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[11]) + int(fields[12])


def started(kernel: Kernel, runaway: Runaway, code: str) -> Cell:
    """Start *code* and wait until it does what takes long."""
    kernel.run(runaway.setup)
    # The first flush waits until its message is about to be sent, the second until it was: what
    # holds the GIL from then on would keep it back.
    head = "print('go', flush=True); print(end='', flush=True)\n"
    cell = kernel.start(head + code)
    cell.prints("go")
    before = main_thread(kernel)[1]
    starts = tuple(runaway.waits.split())
    if starts:
        lines = [
            n for n, line in enumerate(code.splitlines(), 2) if line.strip().startswith(starts)
        ]
        kernel.until_at(cell, *lines)
    else:
        poll(lambda: main_thread(kernel)[1] >= before + INSIDE)
    return cell


def paused(kernel: Kernel, cell: Cell) -> int:
    """Pause *cell*; the number of its job. The reply may come before the pause, and says so."""
    reply = kernel.control("lpf_pause_request")
    assert "job" in reply, reply
    job = int(reply["job"]["id"])
    if reply["status"] != "ok":
        assert reply["evalue"].startswith("not paused yet"), reply
        kernel.wait_state(job, "paused")
    assert not cell.answered()
    return job


def is_alive(kernel: Kernel) -> bool:
    """Whether the kernel runs cells and has its variables."""
    return kernel.value("sum(marker)") == "499500"


def rests(kernel: Kernel) -> bool:
    """Whether the main thread sleeps, and has used no CPU time from one look to the next."""
    looks = set()
    for _ in range(5):
        looks.add(main_thread(kernel))
        time.sleep(0.02)
    return len(looks) == 1 and looks.pop()[0] == "S"


@pytest.mark.parametrize("runaway", list(cells()))
def test_it_is_stopped_by_one_interrupt(kernel: Kernel, runaway: Runaway) -> None:
    cell = started(kernel, runaway, runaway.endless)
    kernel.interrupt()
    assert cell.wait().reply["ename"] in STOPPED
    kernel.run("over = True")
    assert is_alive(kernel)


@pytest.mark.parametrize("runaway", list(cells(pausable=True)))
def test_it_is_paused_and_cancelled(kernel: Kernel, runaway: Runaway) -> None:
    cell = started(kernel, runaway, runaway.endless)
    job = paused(kernel, cell)
    assert is_alive(kernel)
    if not runaway.threads:
        poll(lambda: rests(kernel))
    assert not cell.answered()
    assert kernel.control("lpf_cancel_request", job=job)["status"] == "ok"
    assert cell.wait().reply["ename"] == "CellCancelled"
    assert kernel.states(job)[-1] in ("cancelled", "abandoned")
    kernel.run("over = True")
    assert is_alive(kernel)


@pytest.mark.parametrize("runaway", list(cells(pausable=True)))
def test_it_is_paused_and_resumed_to_the_right_result(kernel: Kernel, runaway: Runaway) -> None:
    cell = started(kernel, runaway, runaway.finite)
    job = paused(kernel, cell)
    assert is_alive(kernel)
    assert kernel.control("lpf_resume_request", job=job)["status"] == "ok"
    assert cell.wait().reply["status"] == "ok", cell.reply
    assert kernel.states(job) == ["paused", "running", "finished"]
    assert kernel.value(f"result == ({runaway.result})") == "True"
