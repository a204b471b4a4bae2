"""Generators, coroutines, async generators and event loops, paused in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import lpf


def finish(c: lpf.Continuation[Any], timeout: float | None = None) -> Any:
    while not c.done:
        c.resume(timeout=timeout)
    return c.result()


def test_a_pause_inside_a_generator_that_c_code_draws_from() -> None:
    def numbers() -> Iterator[int]:
        for i in range(5):
            lpf.pause(i)
            yield i

    for consume in (list, sum, max, sorted, tuple, functools.partial(functools.reduce, max)):
        c = lpf.launch(consume, numbers())
        values = [c.value]
        while not c.resume().done:
            values.append(c.value)
        assert values == [0, 1, 2, 3, 4]
        assert c.result() == consume(range(5))


def test_a_generator_that_stands_still_elsewhere_says_so() -> None:
    def numbers() -> Iterator[int]:
        lpf.pause()
        yield 1

    generator = numbers()
    c = lpf.launch(next, generator)
    with pytest.raises(ValueError, match="already executing"):
        next(generator)
    with pytest.raises(ValueError, match="already executing"):
        generator.close()
    assert c.resume().result() == 1
    generator.close()


def test_a_generator_may_be_driven_from_different_functions() -> None:
    def numbers() -> Iterator[int]:
        for i in itertools.count():
            lpf.pause()
            yield i

    generator = numbers()
    assert [finish(lpf.launch(next, generator)) for _ in range(5)] == [0, 1, 2, 3, 4]
    generator.close()


def test_a_generator_keeps_its_own_handled_exception_over_a_pause() -> None:
    import sys

    def numbers() -> Iterator[str]:
        try:
            raise KeyError("in the generator")
        except KeyError:
            lpf.pause()
            yield repr(sys.exception())
            lpf.pause()
            yield repr(sys.exception())

    def f() -> list[str]:
        try:
            raise ValueError("in the function")
        except ValueError:
            seen = []
            for text in numbers():
                seen += [text, repr(sys.exception())]
            return seen

    inside, outside = "KeyError('in the generator')", "ValueError('in the function')"
    assert finish(lpf.launch(f)) == [inside, outside, inside, outside]


def test_yield_from_and_send_and_throw_through_a_pause() -> None:
    def inner() -> Iterator[Any]:
        got = []
        for _ in range(3):
            try:
                lpf.pause()
                got.append((yield len(got)))  # type: ignore[misc]
            except KeyError as error:
                lpf.pause()
                got.append(error.args[0])
        return got

    def outer() -> Any:
        return (yield from inner())  # type: ignore[misc]

    def f() -> Any:
        generator = outer()
        next(generator)
        generator.send("a")
        generator.throw(KeyError("b"))
        try:
            generator.send("c")
        except StopIteration as stop:
            return stop.value

    assert finish(lpf.launch(f)) == ["a", "b", "c"]


def test_generators_under_hard_preemption() -> None:
    def primes() -> Iterator[int]:
        sieve: dict[int, int] = {}
        for n in itertools.count(2):
            if n not in sieve:
                yield n
                sieve[n * n] = n
            else:
                p = sieve.pop(n)
                x = n + p
                while x in sieve:
                    x += p
                sieve[x] = p

    def f() -> list[int]:
        return list(itertools.islice(primes(), 3000))

    assert finish(lpf.launch(f, timeout=0.0001), 0.0001) == f()


def test_a_generator_dropped_by_a_function_that_ends_is_closed() -> None:
    log: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            yield 1
        finally:
            lpf.pause()
            log.append("closed")

    def f() -> str:
        next(numbers())
        return "end"

    c = lpf.launch(f)
    assert finish(c) == "end"
    assert log == ["closed"]


def test_a_context_manager_paused_on_its_way_in_and_out() -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def manager() -> Iterator[str]:
        lpf.pause("in")
        try:
            yield "value"
        finally:
            lpf.pause("out")
            log.append("out")

    def f() -> str:
        with manager() as value:
            lpf.pause("body")
            return value

    c = lpf.launch(f)
    values = [c.value]
    while not c.resume().done:
        values.append(c.value)
    assert values == ["in", "body", "out"]
    assert log == ["out"]


def test_a_coroutine_driven_by_hand_inside() -> None:
    class Suspend:
        def __await__(self) -> Any:
            lpf.pause()
            return (yield "suspended")

    async def leaf() -> Any:
        return await Suspend()

    def f() -> Any:
        coroutine = leaf()
        assert coroutine.send(None) == "suspended"
        lpf.pause()
        try:
            coroutine.send("value")
        except StopIteration as stop:
            return stop.value

    assert finish(lpf.launch(f)) == "value"


def test_launching_inside_a_coroutine_sees_the_running_loop() -> None:
    def f() -> Any:
        before = asyncio.get_running_loop()
        lpf.pause()
        return before, asyncio.get_running_loop()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        c = lpf.launch(f)
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)
        c.resume()
        assert c.result() == (loop, loop)
        with pytest.raises(lpf.TimedOut):
            lpf.call(lambda: [None for _ in itertools.count()], timeout=0.005)
        await asyncio.sleep(0.001)

    asyncio.run(main())


def test_the_current_task_is_the_launchers() -> None:
    async def main() -> None:
        assert lpf.launch(asyncio.current_task).result() is asyncio.current_task()

    asyncio.run(main())


def test_tasks_can_be_made_inside_and_are_run_by_the_loop() -> None:
    async def job(n: int) -> int:
        await asyncio.sleep(0)
        return n

    def f() -> list[asyncio.Task[int]]:
        tasks = []
        for n in range(3):
            tasks.append(asyncio.create_task(job(n)))
            lpf.pause()
        return tasks

    async def main() -> list[int]:
        c = lpf.launch(f)
        while not c.done:
            await asyncio.sleep(0)
            c.resume()
        return await asyncio.gather(*c.result())

    assert asyncio.run(main()) == [0, 1, 2]


def test_a_whole_event_loop_runs_inside_under_preemption() -> None:
    async def worker(n: int) -> int:
        total = 0
        for i in range(300):
            total += i * n
            if i % 50 == 0:
                await asyncio.sleep(0.0001)
        return total

    async def main() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(worker(n)) for n in range(10)]
        return sum(task.result() for task in tasks)

    expected = sum(sum(range(300)) * n for n in range(10))
    assert finish(lpf.launch(asyncio.run, main(), timeout=0.0003), 0.0003) == expected


def test_a_loop_that_waits_is_paused_resumed_and_cancelled() -> None:
    log: list[str] = []

    async def main() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            log.append("finally")

    c = lpf.launch(asyncio.run, main(), timeout=0.05)
    assert (c.state, c.reason) == ("paused", "timeout")
    c.resume(timeout=0.01)
    assert c.state == "paused"
    assert c.cancel() == "cancelled"
    assert log == ["finally"]
    asyncio.set_event_loop(None)


def test_async_generators_and_their_hooks() -> None:
    log: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for i in range(3):
                lpf.pause()
                yield i
        finally:
            log.append("closed")

    async def main() -> list[int]:
        seen = []
        async for i in numbers():
            seen.append(i)
            if i == 1:
                break
        await asyncio.sleep(0)
        return seen

    assert finish(lpf.launch(asyncio.run, main())) == [0, 1]
    assert log == ["closed"]


def test_async_with_and_comprehensions_over_pauses() -> None:
    @contextlib.asynccontextmanager
    async def manager() -> AsyncIterator[int]:
        lpf.pause()
        await asyncio.sleep(0)
        yield 10
        lpf.pause()

    async def numbers() -> AsyncIterator[int]:
        for i in range(4):
            lpf.pause()
            yield i

    async def main() -> list[int]:
        async with manager() as base:
            return [base + i async for i in numbers() if i % 2]

    assert finish(lpf.launch(asyncio.run, main())) == [11, 13]


def test_a_wakeup_descriptor_is_not_filled_by_ticks() -> None:
    """asyncio listens to signals through a descriptor; thousands of ticks must not block it."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        import signal

        got: list[int] = []
        loop.add_signal_handler(signal.SIGUSR1, got.append, 1)
        try:

            def work() -> int:
                total = 0
                for i in range(200_000):
                    total += i
                return total

            c = lpf.launch(work, timeout=0.0001)
            while not c.done:
                c.resume(timeout=0.0001)
            signal.raise_signal(signal.SIGUSR1)
            while not got:
                await asyncio.sleep(0)
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)
        return "heard"

    assert asyncio.run(main()) == "heard"
