"""Functions that launch functions: chains are paused and resumed as one, deadlines nest."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import lpf


def spin() -> None:
    while True:
        pass


def test_an_outer_deadline_switches_out_the_chain_and_resuming_goes_on_inside() -> None:
    progress = [0]
    inside: list[Any] = []
    go_on: list[int] = []

    def inner() -> str:
        inside.append(lpf.current())
        while not go_on:
            progress[0] += 1
        return "inner"

    def outer() -> str:
        return lpf.launch(inner).result() + " outer"

    c = lpf.launch(outer, timeout=0.001)
    while not progress[0]:
        c.resume(timeout=0.001)
    for _ in range(5):
        assert c.reason == "timeout"
        assert inside[0].state == "paused"
        assert c.stack()[0].f_code is inner.__code__
        before = progress[0]
        while progress[0] == before:
            c.resume(timeout=0.001)
    go_on.append(1)
    assert c.resume().result() == "inner outer"
    assert len(inside) == 1


def test_an_inner_deadline_leaves_the_outer_one_running() -> None:
    def outer() -> tuple[str, str]:
        c = lpf.launch(spin, timeout=0.005)
        return c.state, c.cancel()

    assert lpf.launch(outer, timeout=60).result() == ("paused", "cancelled")


def test_the_limit_of_an_inner_one_does_not_run_while_the_outer_one_stands_still() -> None:
    import time

    def inner() -> str:
        lpf_pauses_outer()
        return "in time"

    def lpf_pauses_outer() -> None:
        outers[0].request_pause()
        while not resumed:
            pass

    def outer() -> str:
        outers.append(lpf.current())
        c = lpf.launch(inner, timeout=0.5)
        assert c.state == "finished", c
        return c.result()

    outers: list[Any] = []
    resumed: list[int] = []
    c = lpf.launch(outer)
    assert c.reason == "request"
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        pass
    resumed.append(1)
    assert c.resume().result() == "in time"


def test_depth_of_hundreds() -> None:
    def level(n: int) -> int:
        if n == 0:
            lpf.pause()
            return 0
        c = lpf.launch(level, n - 1)
        while not c.done:
            lpf.pause()
            c.resume()
        return c.result() + 1

    c = lpf.launch(level, 300)
    while not c.done:
        c.resume()
    assert c.result() == 300


def test_a_chain_of_hundreds_is_left_at_once_and_goes_on() -> None:
    go_on: list[int] = []

    def level(n: int) -> int:
        if n == 0:
            while not go_on:
                pass
            return 0
        return lpf.launch(level, n - 1).result() + 1

    c = lpf.launch(level, 300, timeout=0.001)
    while len(c.stack()) < 301:
        c.resume(timeout=0.001)
    assert len(lpf.live()) == 301
    c.resume(timeout=0.005)
    go_on.append(1)
    assert c.resume().result() == 300


def test_siblings_take_turns() -> None:
    log: list[tuple[int, int]] = []

    def worker(name: int) -> int:
        for i in range(5):
            log.append((name, i))
            lpf.pause()
        return name

    workers = [lpf.launch(worker, n, timeout=0) for n in range(4)]
    while not all(c.done for c in workers):
        for c in workers:
            if not c.done:
                c.resume()
    assert log == [(n, i) for i in range(5) for n in range(4)]
    assert [c.result() for c in workers] == [0, 1, 2, 3]


def test_one_that_was_launched_in_one_function_can_be_resumed_in_another() -> None:
    def first() -> lpf.Continuation[str]:
        return lpf.launch(worker)

    def worker() -> str:
        lpf.pause()
        return "end"

    c = lpf.launch(first).result()
    assert c.state == "paused"
    assert lpf.launch(c.resume).result() is c
    assert c.result() == "end"


def test_a_function_outlives_the_one_that_launched_it_and_its_frames_say_so() -> None:
    def worker() -> list[str]:
        import sys

        lpf.pause()
        names = []
        frame: Any = sys._getframe()
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        return names

    def launcher() -> lpf.Continuation[list[str]]:
        return lpf.launch(worker)

    def resumer(c: lpf.Continuation[list[str]]) -> list[str]:
        return c.resume().result()

    names = resumer(launcher())
    assert names[:2] == ["worker", "resumer"]
    assert "launcher" not in names


def test_round_robin_with_preemption_gives_right_results() -> None:
    def worker(n: int) -> int:
        total = 0
        for i in range(30_000):
            total += i * n
        return total

    workers = [lpf.launch(worker, n, timeout=0) for n in range(8)]
    rounds = 0
    while not all(c.done for c in workers):
        for c in workers:
            if not c.done:
                c.resume(timeout=0.0003)
        rounds += 1
    assert rounds > 0
    assert [c.result() for c in workers] == [n * sum(range(30_000)) for n in range(8)]


@pytest.mark.parametrize("seed", range(4))
def test_random_trees_of_launches_compute_what_plain_calls_do(seed: int) -> None:
    """Every call of a random expression tree is launched with a random limit, and driven."""

    def tree(rng: random.Random, depth: int) -> Any:
        if depth == 0 or rng.random() < 0.2:
            return rng.randrange(100)
        return [tree(rng, depth - 1) for _ in range(rng.randrange(1, 4))]

    def plain(node: Any) -> int:
        return node if isinstance(node, int) else sum(plain(n) for n in node) + burn()

    def burn() -> int:
        total = 0
        for i in range(200):
            total += i
        return total

    def launched(node: Any, call: Callable[..., int]) -> int:
        if isinstance(node, int):
            return node
        return sum(call(launched, n, call) for n in node) + burn()

    rng = random.Random(seed)

    def call(f: Callable[..., int], *args: Any) -> int:
        c = lpf.launch(f, *args, timeout=rng.choice([0, 0.00005, 0.0002, None]))
        while not c.done:
            c.resume(timeout=rng.choice([0.00005, 0.0002, None]))
        return c.result()

    node = tree(rng, 5)
    assert call(launched, node, call) == plain(node)
