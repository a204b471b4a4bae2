"""C code on other threads that keeps the GIL lets the others have it at its iterators, or is reported."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from ipython.kernels import Cell, Kernel

ENDLESS = {
    "sum": "sum(itertools.repeat(1))",
    "all": "all(itertools.repeat(True))",  # Reads the slot once, before its loop.
    "deque": "collections.deque(itertools.count(), 0)",
    "map": "set(map(abs, itertools.repeat(1)))",
}
FINITE = {
    "sum": ("sum(range(20_000_000))", "199999990000000"),
    "all": ("all(itertools.repeat(True, 100_000_000))", "True"),
    "deque": ("collections.deque(range(20_000_000), 1)[0]", "19999999"),
    "sorted": ("sorted(map(str, range(500_000)))[-1]", "99999"),
}
HASH = """
t = ()
for _ in range(60):
    t = (t, t)
"""
START = """
import collections, itertools, os, threading, time
import lpf
lpf.watch(True)
def work():
    global result
    result = {call}
thread = threading.Thread(target=work, daemon=True)
thread.start()
"""


def run(code: str) -> str:
    command = [sys.executable, "-X", "faulthandler", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("name", ENDLESS)
def test_the_main_thread_goes_on(name: str) -> None:
    code = START.format(call=ENDLESS[name])
    code += "for _ in range(5):\n    time.sleep(0.001)\nprint('on', flush=True)\nos._exit(0)"
    assert run(code) == "on"


@pytest.mark.parametrize("name", ENDLESS)
def test_and_so_do_other_threads(name: str) -> None:
    code = START.format(call=ENDLESS[name])
    code += """
def beat():
    for _ in range(5):
        time.sleep(0.001)
other = threading.Thread(target=beat)
other.start()
other.join()
print('on', flush=True)
os._exit(0)
"""
    assert run(code) == "on"


@pytest.mark.parametrize("name", FINITE)
def test_its_result_is_right(name: str) -> None:
    call, result = FINITE[name]
    code = START.format(call=call)
    code += "while thread.is_alive():\n    time.sleep(0.001)\nprint(result)"
    assert run(code) == result


def test_two_that_keep_it_do_not_keep_each_other_out() -> None:
    code = START.format(call="sum(itertools.repeat(1))")
    code += """
second = threading.Thread(target=sum, args=(range(20_000_000),))
second.start()
second.join()
c = lpf.launch(sum, range(10**13), timeout=0.05)
print(c.state, c.cancel(), flush=True)
os._exit(0)
"""
    assert run(code) == "paused cancelled"


def test_it_is_reported_where_it_draws_from_no_iterator() -> None:
    code = HASH + START.format(call="hash(t)") + "time.sleep(0.001)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.kill()
    assert re.match(r"lpf: line 11 of <string>, on another thread: \w*hash, C code that", line), (
        line
    )


# ---- In a kernel --------------------------------------------------------------------------------


def test_a_cell_that_waits_for_it_is_interrupted(own_kernel: Kernel) -> None:
    own_kernel.run("import asyncio")
    cell = own_kernel.start("print('go')\nawait asyncio.to_thread(sum, range(10**13))")
    cell.prints("go")
    own_kernel.interrupt()
    assert cell.wait().reply["status"] == "error"
    assert own_kernel.value("6 * 7") == "42"


def test_a_cell_beside_it_is_paused_and_others_run(own_kernel: Kernel) -> None:
    own_kernel.run("import itertools, threading\nn = 0")
    own_kernel.run("threading.Thread(target=sum, args=(itertools.repeat(1),), daemon=True).start()")
    cell = own_kernel.start("print('go')\nwhile True:\n    n += 1")
    own_kernel.until_at(cell, 2, 3)
    own_kernel.pause()
    assert own_kernel.value("n > 0") == "True"


def reports(cell: Cell) -> list[str]:
    return [c["text"] for c in cell.of_type("stream") if c["name"] == "stderr"]


def test_the_notebook_is_told_under_the_cell(own_kernel: Kernel) -> None:
    own_kernel.run(HASH + "import asyncio")
    cell = own_kernel.start("print('go')\nawait asyncio.to_thread(hash, t)")
    own_kernel.until(lambda _: reports(cell))
    assert "on another thread: " in reports(cell)[0]
