"""The end of the interpreter, and processes that split: all in child processes.

- paused functions at exit: unwound, with a bounded time each, whatever ended the program
- exit called inside of a function
- daemon threads, abandoned functions
- os.fork with paused and with running functions; multiprocessing; sub-interpreters
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

START = """
import atexit, gc, os, sys, threading, time
import lpf
def spin():
    while True: pass
def paused(name):
    try:
        lpf.pause()
    finally:
        print("finally", name, flush=True)
def preempted(name):
    try:
        spin()
    finally:
        print("finally", name, flush=True)
"""


def test_paused_functions_run_their_finally_blocks_at_exit(child: Callable[..., Any]) -> None:
    done = child(START + "a = lpf.launch(paused, 'a'); b = lpf.launch(preempted, 'b', timeout=.01)")
    assert sorted(done.lines) == ["finally a", "finally b"]


def test_a_ready_one_at_exit_never_runs(child: Callable[..., Any]) -> None:
    done = child(START + "a = lpf.launch(paused, 'a', timeout=0)")
    assert done.lines == []


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit(7)", 7),
        ("raise SystemExit('text')", 1),
        ("raise ValueError", 1),
        ("raise KeyboardInterrupt", -2),
        ("exit()", 0),
    ],
)
def test_the_exit_code_stays_the_programs_own(
    ending: str, code: int, child: Callable[..., Any]
) -> None:
    done = child(START + f"a = lpf.launch(paused, 'a')\n{ending}\n", clean=False)
    assert (done.code, done.lines) == (code, ["finally a"])


def test_os_exit_runs_nothing(child: Callable[..., Any]) -> None:
    done = child(START + "a = lpf.launch(paused, 'a'); os._exit(3)", clean=False)
    assert (done.code, done.out, done.err) == (3, "", "")


def test_exit_inside_is_raised_by_result(child: Callable[..., Any]) -> None:
    done = child(
        START + "a = lpf.launch(paused, 'a')\nlpf.launch(sys.exit, 5).result()\n", clean=False
    )
    assert (done.code, done.lines) == (5, ["finally a"])


def test_os_exit_inside_ends_the_process(child: Callable[..., Any]) -> None:
    done = child(START + "lpf.launch(os._exit, 6, timeout=5)", clean=False)
    assert (done.code, done.err) == (6, "")


@pytest.mark.parametrize("swallow", ["pass", "time.sleep(0.01)"])
def test_what_does_not_end_at_exit_has_a_bounded_time(
    swallow: str, child: Callable[..., Any]
) -> None:
    begun = time.monotonic()
    done = child(
        START
        + f"""
def never():
    while True:
        try:
            while True: {swallow}
        except BaseException: pass
all = [lpf.launch(never, timeout=.01) for _ in range(3)]
print("at the end", flush=True)
""",
    )
    assert done.lines == ["at the end"]
    assert time.monotonic() - begun < 20


def test_a_finally_block_that_never_ends_at_exit(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
def stuck():
    try: spin()
    finally:
        print("begun", flush=True)
        spin()
a = lpf.launch(stuck, timeout=.01)
"""
    )
    assert done.lines == ["begun"]


def test_what_is_raised_at_exit_is_reported_and_the_exit_code_stays(
    child: Callable[..., Any],
) -> None:
    done = child(
        START
        + """
def fails():
    try: spin()
    finally: raise ValueError("at exit")
a = lpf.launch(fails, timeout=.01)
b = lpf.launch(paused, "b")
""",
        clean=False,
    )
    assert done.code == 0
    assert done.lines == ["finally b"]
    assert "Segmentation" not in done.err


def test_abandoned_functions_at_exit_do_no_harm(child: Callable[..., Any]) -> None:
    """What is raised in a finalizer never comes out of it, and nothing else here runs Python."""
    done = child(
        START
        + """
import collections
sys.unraisablehook = lambda u: None
class Swallows:
    def __del__(self): lpf.pause()
def never():
    collections.deque(iter(Swallows, None), maxlen=0)
for _ in range(20):
    c = lpf.launch(never)
    assert c.cancel(grace=0.01) == "abandoned", c
    del c
gc.collect()
assert len(lpf.live()) == 20
print("ok", flush=True)
"""
    )
    assert done.lines == ["ok"]


def test_paused_functions_in_module_globals_and_cycles_at_exit(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
class Holder: pass
h = Holder()
h.me = h
h.c = lpf.launch(paused, "cycle")
sys.modules["a_module_of_a_test"] = h
sys.holder = h
def own():
    me = lpf.current()
    paused("own")
lpf.launch(own)
""",
        clean=False,
    )
    assert done.code == 0, done
    assert sorted(done.lines) == ["finally cycle", "finally own"]


def test_atexit_functions_may_launch_and_drop(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
@atexit.register
def late():
    c = lpf.launch(spin, timeout=.01)
    print(c.state, c.cancel(), lpf.call(sum, (1, 2), timeout=5), flush=True)
"""
    )
    assert done.lines == ["paused cancelled 3"]


def test_after_the_shutdown_of_lpf_launching_without_a_limit_still_works(
    child: Callable[..., Any],
) -> None:
    done = child(
        """
import atexit
@atexit.register
def later():
    print(lpf.launch(sum, (1, 2)).result(), flush=True)
    c = lpf.launch(lpf.pause)
    print(c.state, flush=True)
    c.resume()
import lpf
lpf.prepare()
"""
    )
    assert done.lines == ["3", "paused"]


def test_a_timeout_after_the_shutdown_of_lpf_is_refused_or_kept(child: Callable[..., Any]) -> None:
    """It must not be taken and then never happen."""
    done = child(
        """
import atexit
@atexit.register
def later():
    try:
        c = lpf.launch(lambda: [None for _ in iter(int, 1)], timeout=.01)
        print(c.state, flush=True)
        c.cancel()
    except lpf.StateError as error:
        assert "shutting down" in str(error)
        print("refused", flush=True)
import lpf
lpf.prepare()
"""
    )
    assert done.lines in (["paused"], ["refused"])


def test_a_daemon_thread_inside_a_function_at_exit(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
ready = threading.Event()
def forever():
    ready.set()
    while True: time.sleep(0.0001)
for _ in range(3):
    threading.Thread(target=lambda: lpf.launch(forever), daemon=True).start()
ready.wait()
time.sleep(0.01)
print("ok", flush=True)
"""
    )
    assert done.lines == ["ok"]


def test_a_paused_function_waiting_for_a_thread_does_not_hang_the_exit(
    child: Callable[..., Any],
) -> None:
    done = child(
        START
        + """
event = threading.Event()
c = lpf.launch(event.wait, timeout=.01)
print(c.state, flush=True)
"""
    )
    assert done.lines == ["paused"]


def test_finalizers_of_the_interpreter_may_drop_continuations(child: Callable[..., Any]) -> None:
    """The module is torn down around it."""
    done = child(
        START
        + """
class Late:
    def __init__(self): self.c = lpf.launch(lpf.pause)
    def __del__(self):
        self.c = None
        print("dropped", flush=True)
late = Late()
"""
    )
    assert done.lines == ["dropped"]


# ---- fork -------------------------------------------------------------------------------------

AFTER_FORK = """
def child_of(f):
    pid = os.fork()
    if pid == 0:
        try:
            f()
        except BaseException:
            import traceback; traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_parent_and_child_go_on_with_paused_functions(child: Callable[..., Any]) -> None:
    done = child(
        START
        + AFTER_FORK
        + """
def count():
    for i in range(5): lpf.pause(i)
    return "counted"
c = lpf.launch(count)
d = lpf.launch(spin, timeout=.005)
def go_on():
    while not c.done: c.resume()
    assert c.result() == "counted"
    d.resume(timeout=.005)
    assert (d.state, d.reason) == ("paused", "timeout"), d
    assert d.cancel() == "cancelled"
    e = lpf.launch(spin, timeout=.005)
    assert e.state == "paused"
    e.cancel()
    try: lpf.call(spin, timeout=.005)
    except lpf.TimedOut: pass
    else: raise AssertionError
assert child_of(go_on) == 0
go_on()
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_the_limits_of_what_forks_are_its_own(child: Callable[..., Any]) -> None:
    """As timers are: the child goes on to the end of the function.  Its own limits hold in it."""
    done = child(
        START
        + """
forked = []
def f():
    with lpf.time_limit(.04):
        forked.append(os.fork())
        if forked[0] != 0: spin()
        lpf.current().request_pause()
        os.kill(os.getpid(), lpf._native.signal)
        c = lpf.launch(spin, timeout=.08)
        assert (c.state, c.reason) == ("paused", "timeout"), c
        c.cancel()
        try:
            with lpf.time_limit(.005): spin()
        except lpf.TimedOut: return "went on"
c = lpf.launch(lambda: lpf.launch(f, timeout=.03).result(), timeout=.02)
while not forked: c.resume(timeout=.02)
if forked == [0]:
    assert c.result() == "went on"
    os._exit(9)
assert (c.state, c.reason) == ("paused", "timeout")
assert c.cancel() == "cancelled"
assert os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1]) == 9
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_a_child_of_multiprocessing_outlives_the_limit_of_what_made_it(
    child: Callable[..., Any],
) -> None:
    done = child(
        START
        + """
import multiprocessing
context = multiprocessing.get_context("fork")
go_on = context.Event()
def work():
    go_on.wait()
    sys.exit(7)
def make():
    process = context.Process(target=work)
    process.start()
    return process
before = os.getpid()
def as_block():
    with lpf.time_limit(.2): return make()
first = lpf.launch(make, timeout=.2)
assert os.getpid() == before
processes = [first.result(), lpf.call(make, timeout=.2), as_block()]
time.sleep(.3)
assert os.getpid() == before
go_on.set()
for process in processes: process.join()
print([process.exitcode for process in processes])
"""
    )
    assert done.lines == ["[7, 7, 7]"]


def test_a_fork_inside_a_nested_chain_and_a_limit_block(child: Callable[..., Any]) -> None:
    done = child(
        START
        + AFTER_FORK
        + """
def inner():
    def check():
        with lpf.time_limit(5):
            assert lpf.launch(sum, (1, 2), timeout=5).result() == 3
        try:
            with lpf.time_limit(.01): spin()
        except lpf.TimedOut: pass
        else: raise AssertionError
    return child_of(check)
assert lpf.launch(lambda: lpf.launch(inner, timeout=20).result(), timeout=20).result() == 0
with lpf.time_limit(20): assert inner() == 0
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_forks_of_forks_under_ticks(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
def f(depth):
    if depth == 0: return 0
    pid = os.fork()
    if pid == 0:
        os._exit(f(depth - 1) + 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
c = lpf.launch(f, 8, timeout=.0005)
while not c.done: c.resume(timeout=.0005)
print(c.result())
"""
    )
    assert done.lines == ["8"]


def test_a_fork_on_another_thread(child: Callable[..., Any]) -> None:
    """In the child, that thread is the main one."""
    done = child(
        START
        + AFTER_FORK
        + """
import itertools, warnings; warnings.simplefilter("ignore")
mine = lpf.launch(paused, "main")
lpf.launch(spin, timeout=.005).cancel()
codes = []
def check():
    c = lpf.launch(spin, timeout=.005)
    assert c.state == "paused", c
    c.cancel()
    for c in lpf.launch(sum, itertools.repeat(1), timeout=.005), lpf.launch(time.sleep, 1000, timeout=.005):
        assert c.state == "paused", c
        c.cancel()
    assert mine.state == "paused"
    try: mine.resume()
    except lpf.ThreadError: pass
    else: raise AssertionError
thread = threading.Thread(target=lambda: codes.append(child_of(check)))
thread.start(); thread.join()
assert codes == [0], codes
mine.resume()
print("ok")
"""
    )
    assert done.lines == ["finally main", "ok"]


def test_a_child_that_ends_normally_unwinds_its_copies(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
c = lpf.launch(paused, "copy")
if os.fork() == 0:
    sys.exit(0)
os.wait()
c.resume()
"""
    )
    assert done.lines == ["finally copy"] * 2


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, child: Callable[..., Any], tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import multiprocessing, lpf
def spin():
    while True: pass
def work(n):
    c = lpf.launch(spin, timeout=.002)
    assert c.state == "paused"
    assert c.cancel() == "cancelled"
    return lpf.call(sum, range(n), timeout=20)
if __name__ == "__main__":
    standing = lpf.launch(spin, timeout=.005)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        results = pool.map(work, range(20))
    assert results == [sum(range(n)) for n in range(20)]
    def inside():
        with multiprocessing.get_context({method!r}).Pool(1) as pool:
            return pool.map(work, range(3))
    c = lpf.launch(inside, timeout=.001)
    while not c.done: c.resume(timeout=.001)
    assert c.result() == [0, 0, 1]
    standing.resume(timeout=.005)
    assert standing.cancel() == "cancelled"
    print("ok")
"""
    )
    done = child(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", clean=False)
    if method != "fork":  # They look for the script under its own name.
        import subprocess

        ran = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
        )
        assert (ran.returncode, ran.stdout) == (0, "ok\n"), ran.stderr
    else:
        assert done.lines == ["ok"], done


@pytest.mark.parametrize("own_gil", [False, True])
def test_a_sub_interpreter_is_refused_or_works_and_the_main_one_goes_on(
    own_gil: bool, child: Callable[..., Any]
) -> None:
    done = child(
        START
        + f"""
import importlib
interpreters = importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
def spin_a_while():
    c = lpf.launch(spin, timeout=.005)
    assert c.state == "paused"
    try: lpf.launch(paused, "x", timeout=0).result()
    except lpf.NotFinished: pass
    return c
c = spin_a_while()
if sys.version_info >= (3, 13):
    i = interpreters.create("isolated" if {own_gil} else "legacy")
elif sys.version_info >= (3, 12):
    i = interpreters.create(isolated={own_gil})
else:
    i = interpreters.create()
code = '''
try:
    import lpf
    lpf.launch(sum, (1, 2)).result()
except ImportError:
    pass
'''
def run():
    return (interpreters.exec if sys.version_info >= (3, 13) else interpreters.run_string)(i, code)
assert run() is None
spin_a_while().cancel()
interpreters.destroy(i)
gc.collect()
for _ in range(3): spin_a_while().cancel()
try: lpf.call(spin, timeout=.005)
except lpf.TimedOut: pass
assert c.cancel() == "cancelled"
print("ok")
"""
    )
    assert done.lines == ["ok"]


@pytest.mark.parametrize("own_gil", [False, True])
def test_c_code_of_another_interpreter_on_the_main_thread_is_not_left(
    own_gil: bool, child: Callable[..., Any]
) -> None:
    """It may hold a GIL of its own.  The limit is kept once that interpreter is back."""
    done = child(
        START
        + f"""
import importlib
interpreters = importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
run = interpreters.exec if sys.version_info >= (3, 13) else interpreters.run_string
options = ["isolated" if {own_gil} else "legacy"] if sys.version_info >= (3, 13) else []
kept = {{"isolated": {own_gil}}} if sys.version_info < (3, 13) else {{}}
i = interpreters.create(*options, **kept)
code = '''
import json, struct, time, zlib
end = time.monotonic() + .5
while time.monotonic() < end:
    json.dumps(list(range(1000)))
    zlib.crc32(bytes(100000))
    struct.pack("1000i", *range(1000))
'''
def f():
    run(i, code)
    spin()
c = lpf.launch(f, timeout=.001)
while c.elapsed < .6: c.resume(timeout=.002)
assert c.state == "paused", c
assert c.cancel() == "cancelled"
interpreters.destroy(i)
print("ok")
"""
    )
    assert done.lines == ["ok"]
