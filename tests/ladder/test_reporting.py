"""Rung 6: what cannot be left is reported while it happens, and when it ends.

Two examples. The hash of a tuple of the same tuple twice, and so on, holds the GIL, draws from no
iterator, allocates nothing and keeps no result. And the C library's ``system``, called with the GIL
held, waits for a program that waits for the test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ipython.kernels import Cell, Kernel

HASH = """
t = ()
for _ in range(60):
    t = (t, t)
"""
WAIT = """
import ctypes
def wait():
    ctypes.PyDLL(None).system(b"cat '%s'")
"""


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def child(setup: str, call: str) -> subprocess.Popen[str]:
    code = f"import os, lpf{setup}lpf.watch(True)\nlpf.launch(lambda: {call}, timeout=0.05)\nos.read(0, 1)"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_line_function_and_seconds_are_told_while_it_lasts() -> None:
    with child(HASH, "hash(t)") as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        process.kill()
    for line in lines:
        assert re.match(r"lpf: line 6 of <string>: \w*(hash|python)", line), line
    assert [line.split()[-4] for line in lines] == ["1", "2"]


def test_it_is_told_that_it_has_ended(fifo: Path) -> None:
    with child(WAIT % fifo, "wait()") as process:
        assert process.stderr is not None
        assert "line 4 of <string>" in process.stderr.readline()
        fifo.write_text("")
        line = process.stderr.readline()
        while "so far" in line:
            line = process.stderr.readline()
        process.kill()
    assert re.search(r"has come to its end, after \d+\.\d s\n$", line), line


def test_nothing_is_told_of_what_can_be_left() -> None:
    code = """
import lpf, re
lpf.watch(True)
def f():
    re.match(r"(a+)+$", "a" * 60 + "b")
c = lpf.launch(f, timeout=0.05)
for _ in range(15):
    c.resume(timeout=0.1)
c.cancel()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def reports(cell: Cell) -> list[str]:
    return [c["text"] for c in cell.of_type("stream") if c["name"] == "stderr"]


def test_the_notebook_is_told_under_the_cell_while_python_cannot_run(own_kernel: Kernel) -> None:
    own_kernel.run(HASH)
    cell = own_kernel.start("print('go')\nhash(t)")
    own_kernel.until(lambda _: len(reports(cell)) >= 2)
    assert all("lpf: line 2 of this cell: " in text for text in reports(cell))
    assert not cell.answered()


def test_the_notebook_is_told_of_its_end_and_goes_on(own_kernel: Kernel, fifo: Path) -> None:
    own_kernel.run(WAIT % fifo)
    cell = own_kernel.start("print('go')\nwait()\nprint('over')")
    own_kernel.until(lambda _: reports(cell))
    assert "line 2 of this cell" in reports(cell)[0]
    fifo.write_text("")
    own_kernel.until(lambda _: any("has come to its end" in text for text in reports(cell)))
    assert cell.wait().text == "go\nover\n"
    assert own_kernel.value("6 * 7") == "42"


def test_a_resumed_cell_is_told_under_itself(own_kernel: Kernel) -> None:
    own_kernel.run(HASH + "go = False")
    cell = own_kernel.start("while not go:\n    pass\nprint('go')\nhash(t)")
    own_kernel.until_at(cell, 1, 2)
    job = own_kernel.pause()
    own_kernel.run("go = True")
    # Its answer may not come: the thread that sends it needs the GIL.
    request = own_kernel.client.session.msg("lpf_resume_request", {"job": job["id"]})
    own_kernel.client.control_channel.send(request)
    own_kernel.until(lambda _: reports(cell))
    assert "line 4 of this cell" in reports(cell)[0]
