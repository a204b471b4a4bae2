"""Contexts that a function has entered with Context.run: nobody is kept out while it stands still."""

from __future__ import annotations

import contextvars
import gc
import weakref

import lpf

var = contextvars.ContextVar("var", default=0)


def entering(*contexts: contextvars.Context) -> lpf.Continuation[list[int]]:
    """Paused inside all of them, the last one innermost; gives what it sees on its way out."""
    seen = []

    def go_in(depth: int) -> None:
        var.set(depth)
        if depth < len(contexts):
            contexts[depth].run(go_in, depth + 1)
        else:
            lpf.pause()
        seen.append(var.get())

    def f() -> list[int]:
        go_in(0)
        return seen

    return lpf.launch(f)


def test_others_may_enter_it_meanwhile() -> None:
    context = contextvars.copy_context()
    c = entering(context)
    assert context.run(var.get) == 1
    context.run(var.set, 5)
    assert c.resume().result() == [5, 0]
    assert context.run(var.get) == 5


def test_several_in_each_other() -> None:
    contexts = [contextvars.copy_context() for _ in range(3)]
    c = entering(*contexts)
    assert contexts[0].run(contexts[2].run, contexts[1].run, var.get) == 2
    assert c.resume().result() == [3, 2, 1, 0]


def test_it_is_resumed_from_inside_of_it() -> None:
    context = contextvars.copy_context()
    c = entering(context)

    def inside() -> int:
        c.resume()
        return var.get()

    assert context.run(inside) == 1
    assert c.result() == [1, 0]
    assert context.run(var.get) == 1


def test_two_functions_are_in_the_same_one() -> None:
    context = contextvars.copy_context()
    first, second = entering(context), entering(context)
    assert first.resume().result() == [1, 0]
    assert context.run(var.get) == 1
    assert second.resume().result() == [1, 0]


def test_left_again_and_again_from_inside_of_it() -> None:
    context = contextvars.copy_context()

    def f() -> int:
        return context.run(twice)

    def twice() -> int:
        for n in range(3):
            var.set(n)
            lpf.pause()
        return var.get()

    c = lpf.launch(f)
    while not c.done:
        context.run(c.resume)
        assert context.run(lambda: True)
    assert c.result() == 2


def test_cancelled_it_leaves_it_as_it_should() -> None:
    context = contextvars.copy_context()
    c = entering(context)
    assert c.cancel() == "cancelled"
    assert context.run(lambda: True)


def test_no_context_is_kept_alive() -> None:
    contexts = [contextvars.copy_context() for _ in range(3)]
    left = [weakref.ref(context) for context in contexts]
    c = entering(*contexts[:2])
    c.resume()
    d = entering(contexts[2])
    del c, d, contexts
    gc.collect()
    assert [ref() for ref in left] == [None] * 3
