"""Locks in objects that a function holds while it stands still: nobody gets in, nobody waits in silence.

The object is a connection of sqlite3. Its lock is recursive: without more, the thread that has it, and so every function on
that thread, would be let in again.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from ipython.kernels import Cell, Kernel

DATABASE = """
import sqlite3, lpf
db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
within = []
db.create_function("begin", 0, lambda: within.append(1) or 1)
QUERY = "with recursive n(x) as (values(begin()) union all select x + 1 from n limit %d) select count(*) from n"
def count(limit):
    return db.execute(QUERY % limit).fetchone()[0]
def hold(limit):
    c = lpf.launch(count, limit, timeout=0.05)
    while not within:  # On a busy machine it may not have come to the database.
        c.resume(timeout=0.05)
    return c
"""


def child(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", DATABASE + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_functions_that_use_it_in_slices_do_not_meet_in_it() -> None:
    code = """
import random
db.execute("create table t(k text primary key, x)")
rows = "with recursive n(x) as (values(1) union all select x + 1 from n limit %d) "
insert = "insert or replace into t select (x * 7919 %% 20011) || '-%d', x from n"
def fill(n):
    db.execute((rows + insert) % (60000 + n, n))
running = [lpf.launch(fill, n, timeout=0) for n in range(3)]
while running:
    c = random.choice(running).resume(timeout=random.uniform(1e-5, 5e-4))
    if c.done:
        c.result()
        running.remove(c)
print(db.execute("select count(*) from t").fetchone()[0], *db.execute("pragma integrity_check").fetchone())
"""
    with child(code) as process:
        out, errors = process.communicate(timeout=200)
    assert (process.returncode, out) == (0, "60033 ok\n"), errors


STREAMS = {
    "bz2": "bz2.BZ2Compressor().compress",
    "lzma": "lzma.LZMACompressor().compress",
    "zlib": "zlib.compressobj().compress",
    "sha256": "hashlib.sha256().update",
}


@pytest.mark.parametrize("stream", STREAMS)
def test_what_waits_for_a_stream_of_a_function_that_stands_still_is_left(stream: str) -> None:
    """Such locks are the interpreter's own, and waited for without the GIL."""
    code = f"""
import bz2, hashlib, lzma, os, time, zlib
put = {STREAMS[stream]}
data = os.urandom(1 << 20) * 200
running = [lpf.launch(put, data, timeout=0.02) for _ in range(3)]
assert [c.state for c in running] == ["paused"] * 3, running
running.pop().cancel(grace=0.01)
print("ok", flush=True)
os._exit(0)  # Some of the data is never put through.
"""
    with child(code) as process:
        out, errors = process.communicate(timeout=200)
    assert (process.returncode, out) == (0, "ok\n"), errors


def test_two_functions_have_it_in_turn() -> None:
    code = """
first = hold(6_000_000)
second = lpf.launch(count, 1000, timeout=0.05)
print(first.state, second.state)
while not second.done:
    if not first.done:
        first.resume(timeout=0.1)
    second.resume(timeout=0.1)
if not first.done:  # It has been left right behind its query.
    first.resume()
print(first.result(), second.result())
"""
    with child(code) as process:
        out, errors = process.communicate(timeout=200)
    assert (process.returncode, out) == (0, "paused paused\n6000000 1000\n"), errors


def test_outside_of_all_functions_it_is_told_who_has_it() -> None:
    code = """
c = hold(-1)
print(c.state, flush=True)
count(1)
"""
    with child(code) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "paused\n"
        line = process.stderr.readline()
        process.kill()
    assert "waits for a lock that is held by count, which is paused in line 8 of <string>" in line
    assert "will not end" in line


def test_what_is_cancelled_while_it_waits_leaves_the_other_alone() -> None:
    code = """
first = hold(6_000_000)
second = lpf.launch(count, 1000, timeout=0.05)
print(first.state, second.state, second.cancel(grace=0.05))
print(first.resume().result())
"""
    with child(code) as process:
        out, errors = process.communicate(timeout=200)
    assert (process.returncode, out) == (0, "paused paused abandoned\n6000000\n"), errors


def told(cell: Cell) -> list[str]:
    return [message["text"] for message in cell.of_type("stream") if message["name"] == "stderr"]


def paused(kernel: Kernel) -> int:
    """Pause the running cell; the number of its job. The reply may come before the pause."""
    reply = kernel.control("lpf_pause_request")
    assert "job" in reply, reply
    job = int(reply["job"]["id"])
    kernel.wait_state(job, "paused")
    return job


def test_a_cell_that_waits_for_a_paused_one_is_told_and_can_be_paused(own_kernel: Kernel) -> None:
    own_kernel.run(DATABASE)
    first = own_kernel.start("print('go')\ndb.execute(QUERY % -1).fetchone()")
    own_kernel.until_at(first, 2)
    holder = paused(own_kernel)
    while own_kernel.value("len(within)") == "0":  # It has not come to the database.
        assert own_kernel.control("lpf_resume_request", job=holder)["status"] == "ok"
        own_kernel.wait_state(holder, "running")
        holder = paused(own_kernel)
    second = own_kernel.start("count(5)")
    own_kernel.until(
        lambda _: any(
            "held by a cell that is paused in its line 2" in text for text in told(second)
        )
    )
    waiting = paused(own_kernel)
    assert own_kernel.value("6 * 7") == "42"
    own_kernel.run("db.interrupt()")  # The query that it is in, when that goes on.
    assert own_kernel.control("lpf_resume_request", job=holder)["status"] == "ok"
    assert first.wait().reply["ename"] == "OperationalError"
    assert own_kernel.control("lpf_resume_request", job=waiting)["status"] == "ok"
    assert second.wait().results == ["5"]


def test_a_lock_of_a_function_that_stands_in_a_callback_is_not_lent_by_another() -> None:
    """The other one is left in the same library, with a lock of its own and the first one's address on its stack."""
    code = """
import _sqlite3, ctypes
sqlite = ctypes.CDLL(_sqlite3.__file__)
handle = lambda connection: ctypes.c_void_p.from_address(id(connection) + object.__basicsize__)
db.create_function("stand", 0, lambda: lpf.pause() or 7)
first = lpf.launch(lambda: db.execute("select stand()").fetchone(), timeout=None)
other = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
other.create_function("begin", 0, lambda: within.append(1) or 1)
second = lpf.launch(sqlite.sqlite3_exec, handle(other), (QUERY % -1).encode(), None, handle(db), None, timeout=0.05)
while not within:
    second.resume(timeout=0.05)
second.resume(timeout=0.2)
print(first.state, second.state, first.resume(timeout=20).state, first.result(), flush=True)
os = __import__("os")
os._exit(0)  # The second never ends.
"""
    with child(code) as process:
        out, errors = process.communicate(timeout=200)
    assert (process.returncode, out) == (0, "paused paused finished (7,)\n"), errors
