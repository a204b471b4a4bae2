"""Threads and child processes that go on while a cell is paused are named."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import lpf
from lpf_ipython import companions, display, inspect


def waits() -> None:
    lpf.pause()


def test_a_thread_of_the_user_is_named() -> None:
    before = companions.threads()  # Those of kernels that other tests share.
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="producer\x1b")
    thread.start()
    try:
        assert companions.threads() == [*before, r"producer\x1b"]
    finally:
        stop.set()
        thread.join()
    assert companions.threads() == before


def test_a_child_process_is_named_until_it_has_ended() -> None:
    before = companions.processes()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert [p["pid"] for p in companions.processes() if p not in before] == [child.pid]
    finally:
        child.communicate()
    assert companions.processes() == before


def test_the_inspect_view_says_so(paused: Callable[..., Any]) -> None:
    data = inspect.job_data(paused(waits))
    data["threads"] = ["producer"]
    data["processes"] = [{"pid": 4242, "name": "sleep"}]
    view = display.StackView(data)
    said = "not paused, they go on: thread producer, process 4242 sleep"
    assert said in view.text()
    assert said in view.html()
