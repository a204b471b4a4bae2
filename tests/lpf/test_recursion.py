"""Deep recursion, its limits, and its errors, on stacks that are not the thread's own."""

from __future__ import annotations

import functools
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import lpf


@contextmanager
def recursion_limit(limit: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def down(n: int) -> int:
    return 0 if n == 0 else 1 + down(n - 1)


def depth_reached() -> int:
    reached = 0

    def f() -> None:
        nonlocal reached
        reached += 1
        f()

    with pytest.raises(RecursionError):
        f()
    return reached


def through_c(n: int) -> int:
    """Python through C and back at every level."""
    return 0 if n == 0 else 1 + next(map(through_c, [n - 1]))


def test_a_function_has_the_whole_recursion_limit_for_itself() -> None:
    here = depth_reached()
    inside = lpf.launch(depth_reached).result()
    assert here <= inside <= sys.getrecursionlimit()
    assert depth_reached() == here


def test_a_recursion_error_inside_is_an_ordinary_exception() -> None:
    c = lpf.launch(down, 10**6)
    assert isinstance(c.exception(), RecursionError)
    assert lpf.launch(down, 500).result() == 500


def test_a_raised_limit_holds_inside_too() -> None:
    with recursion_limit(50_000):
        assert lpf.launch(down, 40_000).result() == 40_000
        c = lpf.launch(down, 40_000, timeout=0.0005)
        while not c.done:
            c.resume(timeout=0.0005)
        assert c.result() == 40_000


def test_the_limit_may_change_while_one_stands_still() -> None:
    def f(n: int) -> int:
        if n == 0:
            lpf.pause()
            return down(100)
        return f(n - 1)

    before = sys.getrecursionlimit()
    with recursion_limit(before + 2000):
        c = lpf.launch(f, before + 500)
        assert c.state == "paused"
    with recursion_limit(before + 5000):
        assert c.resume().result() == 100
    assert depth_reached() < before


def test_a_limit_lowered_below_a_paused_ones_depth_is_an_error_not_a_crash() -> None:
    def f(n: int) -> Any:
        if n == 0:
            lpf.pause()
            try:
                return down(2000)
            except RecursionError:
                lpf.pause()
                return "recursion"
        return f(n - 1)

    with recursion_limit(5000):
        c = lpf.launch(f, 3000)
    assert c.resume().resume().result() == "recursion"
    assert down(200) == 200


def test_the_limit_set_inside_is_the_threads() -> None:
    before = sys.getrecursionlimit()

    def f() -> None:
        sys.setrecursionlimit(before + 100)
        lpf.pause()
        sys.setrecursionlimit(before)

    c = lpf.launch(f)
    assert sys.getrecursionlimit() == before + 100
    c.resume()
    assert sys.getrecursionlimit() == before


def test_recursion_through_c_ends_in_an_error() -> None:
    c = lpf.launch(through_c, 10**6)
    assert isinstance(c.exception(), RecursionError)
    assert lpf.launch(through_c, 200).result() == 200


def test_recursion_in_c_alone_ends_in_an_error() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    for f in (json.dumps, pickle.dumps, repr, functools.partial(eval, "(" * 5000 + ")" * 5000)):
        args = () if isinstance(f, functools.partial) else (nested,)
        error = lpf.launch(f, *args).exception()
        assert isinstance(error, (RecursionError, MemoryError, SyntaxError)), (f, error)
    assert lpf.launch(lambda: nested == nested).result() is True


def test_deep_structures_are_freed_inside() -> None:
    def f() -> str:
        nested: Any = None
        for _ in range(300_000):
            nested = (nested,)
        lpf.pause()
        del nested
        return "freed"

    assert lpf.launch(f).resume().result() == "freed"


def test_deep_structures_are_freed_under_preemption() -> None:
    class Node:
        def __init__(self, next_: Any) -> None:
            self.next = next_

        def __del__(self) -> None:
            freed[0] += 1

    freed = [0]

    def f() -> int:
        node = None
        for _ in range(20_000):
            node = Node(node)
        del node
        return freed[0]

    c = lpf.launch(f, timeout=0.0003)
    while not c.done:
        c.resume(timeout=0.0003)
    assert c.result() == 20_000


def test_a_recursion_error_while_paused_ones_are_deep_does_not_hurt_them() -> None:
    def f(n: int) -> int:
        if n == 0:
            lpf.pause()
            return 0
        return 1 + f(n - 1)

    paused = [lpf.launch(f, 700) for _ in range(20)]
    assert depth_reached() > 0
    assert [c.resume().result() for c in paused] == [700] * 20


def test_launching_recursively_without_end_is_an_error_not_a_crash(
    child: Callable[..., Any],
) -> None:
    done = child(
        """
import lpf, sys
depth = 0
def f():
    global depth
    depth += 1
    lpf.launch(f).result()
try:
    f()
except (RecursionError, MemoryError) as error:
    print(type(error).__name__)
assert depth > 100, depth
assert lpf.launch(sum, range(3), timeout=5).result() == 3
assert lpf.live() == [], lpf.live()[:3]
print("ok")
"""
    )
    assert done.lines[-1] == "ok"


def test_a_headroom_used_up_inside_does_not_follow_the_caller() -> None:
    def f() -> str:
        try:
            down(10**6)
        except RecursionError:
            lpf.pause()
            return "caught"
        return "not reached"

    c = lpf.launch(f)
    assert depth_reached() > 0
    assert c.resume().result() == "caught"
