"""run() and preemptible(): with and without lpf.aio installed, on the loop's own thread."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import lpf
from lpf import aio

from .conftest import QUANTUM, Run, Work

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


@pytest.fixture(params=["plain", "installed"])
def start(request: pytest.FixtureRequest, run: Run) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    return run if request.param == "installed" else asyncio.run


class Endless:
    """A function that never ends, and what happened in it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.rounds = 0

    def __call__(self) -> None:
        try:
            self.log.append("begun")
            while True:
                self.rounds += 1
        except BaseException as error:
            self.log.append(type(error).__name__)
            raise
        finally:
            self.log.append("finally")


def test_a_function_computes_while_the_loop_serves(start: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        assert await aio.run(work.until, 5, quantum=QUANTUM) >= 5
        assert await aio.preemptible(lambda: work.until(5), QUANTUM) >= 10
        beat.cancel()

    start(main())


def test_it_runs_on_the_same_thread_in_the_same_task_and_context(start: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        here = threading.get_ident(), asyncio.current_task(), asyncio.get_running_loop()
        variable.set("before")
        assert await aio.run(look, quantum=QUANTUM) == here
        assert variable.get() == "inside"
        beat.cancel()

    def look() -> Any:
        assert variable.get() == "before"
        variable.set("inside")
        work.until(3)
        assert variable.get() == "inside"
        return threading.get_ident(), asyncio.current_task(), asyncio.get_running_loop()

    start(main())


def test_arguments_results_and_errors_go_through(start: Run) -> None:
    async def main() -> None:
        assert await aio.run(int, "ff", base=16) == 255
        assert await aio.run(sum, range(10**6), quantum=QUANTUM) == 499999500000
        with pytest.raises(ZeroDivisionError):
            await aio.run(divmod, 1, 0)

    start(main())


def test_a_cancelled_task_leaves_the_function_in_the_middle(start: Run) -> None:
    endless = Endless()

    async def main() -> None:
        task = asyncio.create_task(compute())
        while not endless.rounds:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    async def compute() -> None:
        await aio.run(endless, quantum=QUANTUM)

    start(main())
    assert endless.log == ["begun", "CancelledError", "finally"]


def test_asyncio_timeout_leaves_the_function_in_the_middle(start: Run) -> None:
    endless = Endless()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.003):
                await aio.run(endless, quantum=QUANTUM)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    start(main())
    assert endless.log == ["begun", "CancelledError", "finally"]


def test_a_failing_task_group_leaves_the_function_in_the_middle(start: Run) -> None:
    endless = Endless()

    async def fail() -> None:
        while not endless.rounds:
            await asyncio.sleep(0)
        raise KeyError

    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(aio.run(endless, quantum=QUANTUM))
                group.create_task(fail())

    start(main())
    assert endless.log == ["begun", "CancelledError", "finally"]


def test_a_function_that_swallows_the_cancellation_goes_on(start: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        task = asyncio.create_task(compute())
        while work.beats < 2:
            await asyncio.sleep(0)
        task.cancel()
        assert await task >= 5
        beat.cancel()

    async def compute() -> int:
        return await aio.run(stubborn, quantum=QUANTUM)

    def stubborn() -> int:
        try:
            return work.until(10**9)
        except asyncio.CancelledError:
            return work.until(5)

    start(main())


def test_its_own_limit_unwinds_the_function(start: Run) -> None:
    endless = Endless()

    async def main() -> None:
        with pytest.raises(lpf.TimedOut) as caught:
            await aio.run(endless, quantum=QUANTUM, timeout=0.005)
        error = caught.value
        assert error.limit == 0.005
        assert error.elapsed >= 0.005
        assert "Endless.__call__" in (error.where or "")
        assert not error.abandoned

    start(main())
    assert endless.log == ["begun", "Cancelled", "finally"]


def test_a_limit_that_does_not_pass_changes_nothing(start: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        assert await aio.run(work.until, 3, quantum=QUANTUM, timeout=60) >= 3
        beat.cancel()

    start(main())


@pytest.mark.slow  # Two graces of half a second.
def test_a_function_that_swallows_its_limit_again_and_again_is_ended(start: Run) -> None:
    rounds = [0]

    def swallow() -> None:
        while True:
            try:
                while True:
                    rounds[0] += 1
            except BaseException:
                pass

    async def main() -> None:
        with pytest.raises(lpf.TimedOut):  # Unwound in the end, or abandoned.
            await aio.run(swallow, quantum=QUANTUM, timeout=0.005)

    start(main())


def test_a_coroutine_is_preempted_wherever_it_is_awaited(start: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        assert await aio.preemptible(compute(), QUANTUM) == "done"
        assert await asyncio.create_task(aio.preemptible(compute(), QUANTUM)) == "done"
        beat.cancel()

    async def compute() -> str:
        work.until(3)
        await asyncio.sleep(0)
        work.until(3)
        return "done"

    start(main())


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_coroutine_is_cancelled_at_an_await_or_at_once(start: Run, interrupt: bool) -> None:
    log: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(outer())
        while not log:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def outer() -> None:
        await aio.preemptible(compute(), QUANTUM, interrupt=interrupt)

    async def compute() -> None:
        log.append("begun")
        for _ in range(300_000):
            pass
        log.append("computed")
        await asyncio.sleep(3600)

    start(main())
    if not interrupt:
        assert log == ["begun", "computed"]
    else:
        assert log == ["begun"]


def test_a_preempted_coroutine_that_is_closed_unwinds(work: Work) -> None:
    endless = Endless()

    async def compute() -> None:
        endless()

    steps = aio.preemptible(compute(), QUANTUM)
    assert steps.send(None) is None
    steps.close()
    assert endless.log == ["begun", "Cancelled", "finally"]


def test_the_end_of_the_loop_cancels_what_is_preempted() -> None:
    endless = Endless()

    async def main() -> None:
        task = asyncio.create_task(aio.run(endless, quantum=QUANTUM))
        while not endless.rounds:
            await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(main())
    assert endless.log == ["begun", "CancelledError", "finally"]


def test_a_keyboard_interrupt_in_a_function_ends_the_loop() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        await aio.run(interrupt)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_nonsense_is_refused_by_name(value: float) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="quantum"):
            await aio.run(int, quantum=value)
        with pytest.raises(ValueError, match="timeout"):
            await aio.run(int, timeout=value)

    asyncio.run(main())
    with pytest.raises(ValueError, match="quantum"):
        aio.preemptible(int, value)


def test_what_is_neither_a_coroutine_nor_a_plain_function_is_refused() -> None:
    async def coroutine_function() -> None: ...

    with pytest.raises(TypeError, match="coroutine function"):
        aio.preemptible(coroutine_function)
    with pytest.raises(TypeError, match="int"):
        aio.preemptible(3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="number of seconds"):
        aio.preemptible(int, "1")  # type: ignore[call-overload]


def test_on_another_thread_it_is_refused() -> None:
    errors: list[BaseException] = []

    async def main() -> None:
        try:
            await aio.run(int)
        except lpf.ThreadError as error:
            errors.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


def test_importing_lpf_does_not_import_asyncio() -> None:
    import subprocess
    import sys

    source = "import lpf, sys; assert 'asyncio' not in sys.modules; lpf.aio.run; lpf.Scheduler"
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)
