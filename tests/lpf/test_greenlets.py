"""Greenlets inside preemptible functions, and functions inside greenlets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("greenlet")

START = """
import greenlet, lpf
here = greenlet.getcurrent
"""


def test_a_function_is_not_left_while_one_of_its_greenlets_runs(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
def counter(n):
    for i in range(10**9):
        n += i
        if i % 50 == 0: here().parent.switch(n)
def work():
    mine = [greenlet.greenlet(counter) for _ in range(3)]
    return [g.switch(i) for i in range(300) for g in mine]
want = work()
standing = [lpf.launch(work, timeout=.0002) for _ in range(4)]
while not all(c.done for c in standing):
    for c in standing:
        if not c.done: c.resume(timeout=.0002)
assert all(c.result() == want for c in standing)
print("ok")
"""
    )
    assert done.lines == ["ok"]


def test_a_cancel_ends_a_greenlet_that_does_not_come_back(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
import threading
def spin():
    try:
        started.set()
        while True: pass
    finally: print("greenlet")
def work():
    try: greenlet.greenlet(spin).switch()
    finally: print("function")
def cancel():
    started.wait()
    c.request_cancel(grace=1)
started = threading.Event()
thread = threading.Thread(target=cancel)
thread.start()
c = lpf.launch(work, timeout=0)
c.resume()
thread.join()
assert (c.state, here().parent) == ("cancelled", None), c
"""
    )
    assert done.lines == ["greenlet", "function"]


def test_pause_inside_a_greenlet_is_refused(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
def generator():
    lpf.pause()
    yield
def pausing():
    try: lpf.pause()
    except lpf.StateError as error: here().parent.switch(str(error))
    return lpf.launch(lpf.pause).state
def work():
    g = greenlet.greenlet(pausing)
    text = g.switch()
    for _ in generator(): pass
    return text, g.switch()
c = lpf.launch(work)
assert c.state == "paused", c
print(*c.resume().result(), sep="\\n")
"""
    )
    assert done.lines == [
        "pause() is not possible inside a greenlet that runs in the function; switch back first",
        "paused",
    ]


def test_functions_inside_greenlets_stand_still_while_others_run(child: Callable[..., Any]) -> None:
    done = child(
        START
        + """
def total(n):
    s = 0
    for i in range(n): s += i
    return s
def work(n):
    c = lpf.launch(total, n, timeout=.0003)
    while not c.done:
        main.switch()
        c.resume(timeout=.0003)
    return c.result()
main = here()
greenlets = [greenlet.greenlet(work) for _ in range(4)]
results = []
while greenlets:
    for g in list(greenlets):
        got = g.switch(200000) if not g else g.switch()
        if g.dead:
            greenlets.remove(g)
            results.append(got)
assert results == [total(200000)] * 4
print("ok")
"""
    )
    assert done.lines == ["ok"]
