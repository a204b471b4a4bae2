"""Tasks of a loop with lpf.aio installed: preempted, and otherwise what asyncio promises."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import traceback
from typing import Any

import pytest

import lpf
from lpf import aio

from .conftest import QUANTUM, Run, Work

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

needs_eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")


def test_a_task_that_never_awaits_lets_the_others_run(run: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        await asyncio.create_task(compute())
        beat.cancel()

    async def compute() -> int:
        return work.until(5)

    run(main())
    assert work.beats >= 5


def test_what_awaits_waits_for_one_quantum_and_not_for_one_of_everybody(run: Run) -> None:
    done = False

    async def main() -> None:
        nonlocal done
        many = [asyncio.create_task(compute()) for _ in range(10)]
        while len(aio._turns.standing) < 10:
            await asyncio.sleep(0)
        for _ in range(50):
            before = aio._turns.count()
            await asyncio.sleep(0)
            assert aio._turns.count() - before <= 2  # One goes on, and stands still again.
        done = True
        await asyncio.gather(*many)

    async def compute() -> None:
        while not done:
            pass

    run(main())


def test_those_that_compute_share_their_turns(run: Run) -> None:
    async def main() -> None:
        many = [asyncio.create_task(compute(i)) for i in range(5)]
        await asyncio.gather(*many)

    turns = [0] * 5
    last = -1

    async def compute(i: int) -> None:
        nonlocal last
        while max(turns) < 20:
            if last != i:
                last = i
                turns[i] += 1

    run(main())
    assert min(turns) >= 18


@pytest.mark.parametrize("debug", [False, True])
def test_asyncio_is_not_left_in_the_middle_of_a_gather(debug: bool) -> None:
    """It would miss the ends of tasks that it has just made.  In debug mode it looks at stacks meanwhile."""

    async def one() -> int:
        return 1

    async def main() -> int:
        total = 0
        async with asyncio.timeout(60):
            for _ in range(200):
                total += sum(await asyncio.gather(*(one() for _ in range(5))))
        return total

    with asyncio.Runner(debug=debug, loop_factory=lambda: aio.new_event_loop(30e-6)) as runner:
        total = runner.run(main())
        aio.uninstall(runner.get_loop())
    assert total == 1000


def test_the_main_task_is_preempted_too(run: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        work.until(3)
        beat.cancel()

    run(main())


def test_timers_and_callbacks_are_served_while_a_task_computes(run: Run) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        served: list[str] = []
        loop.call_soon(served.append, "soon")
        loop.call_later(0.002, served.append, "later")
        threading.Thread(target=loop.call_soon_threadsafe, args=(served.append, "thread")).start()
        while len(served) < 3:
            pass
        return sorted(served)

    assert run(main()) == ["later", "soon", "thread"]


def test_the_current_task_is_its_own_before_and_after_being_preempted(run: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        tasks = [asyncio.create_task(compute()) for _ in range(4)]
        for task in tasks:
            assert await task is task
        beat.cancel()

    async def compute() -> Any:
        before = asyncio.current_task()
        work.until(3)
        assert asyncio.current_task() is before
        await asyncio.sleep(0)
        work.until(3)
        return asyncio.current_task() if asyncio.current_task() is before else None

    run(main())


def test_no_task_is_current_in_a_callback_while_a_task_is_preempted(run: Run) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        seen: list[Any] = []
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        while not seen:
            pass
        return seen

    assert run(main()) == [None]


def test_context_variables_stay_with_their_task(run: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        names = [f"task {n}" for n in range(5)]
        assert await asyncio.gather(*map(compute, names)) == names
        assert variable.get() == "none"
        beat.cancel()

    async def compute(name: str) -> str:
        variable.set(name)
        work.until(2)
        await asyncio.sleep(0)
        work.until(2)
        assert await asyncio.create_task(child()) == name
        return variable.get()

    async def child() -> str:
        return variable.get()

    run(main())


def test_the_context_of_a_preempted_task_is_not_entered(run: Run) -> None:
    async def main() -> list[str]:
        context = contextvars.copy_context()
        seen: list[str] = []
        task = asyncio.create_task(compute(seen), context=context)
        while not task.done():
            await asyncio.sleep(0)
            if not seen:
                context.run(seen.append, "entered")
        return seen

    async def compute(seen: list[str]) -> None:
        while not seen:
            pass

    assert run(main()) == ["entered"]


def test_callbacks_share_the_context_of_a_preempted_task(run: Run) -> None:
    """As in every await: they see what its step has set so far, and it sees what they set."""

    async def main() -> tuple[str, str]:
        context = contextvars.copy_context()
        task = asyncio.create_task(compute(), context=context)
        found: list[str] = []

        def call_back() -> None:
            found.append(variable.get())
            variable.set("callback")

        while variable not in context:
            await asyncio.sleep(0)
        assert not task.done()
        asyncio.get_running_loop().call_soon(call_back, context=context)
        return await task, found[0]

    async def compute() -> str:
        variable.set("step")
        while variable.get() == "step":
            pass
        return variable.get()

    assert run(main()) == ("callback", "step")


def test_the_awaiting_task_of_a_preempted_function_shares_its_context(run: Run) -> None:
    async def main() -> tuple[str, str]:
        context = contextvars.copy_context()
        running = asyncio.create_task(aio.run(compute), context=context)
        while variable not in context:
            await asyncio.sleep(0)
        seen = context[variable]
        context.run(variable.set, "set from outside")
        return seen, await running

    def compute() -> str:
        variable.set("function")
        while variable.get() == "function":
            pass
        return variable.get()

    assert run(main()) == ("function", "set from outside")


# ---- Cancellation -------------------------------------------------------------------------


def test_a_cancellation_between_two_awaits_arrives_at_the_next_await(run: Run, work: Work) -> None:
    log: list[Any] = []

    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        task = asyncio.create_task(compute())
        while not log:
            await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert task.cancelled()
        assert task.cancelling() == 1
        beat.cancel()

    async def compute() -> None:
        try:
            log.append("begun")
            work.until(5)
            log.append("computed")
            await asyncio.sleep(3600)
        except asyncio.CancelledError as error:
            log.append(error.args)
            raise

    run(main())
    assert log == ["begun", "computed", ("enough",)]


@pytest.mark.parametrize("ready", [False, True])
def test_a_cancelled_step_that_goes_on_to_wait_for_a_future_is_cancelled(
    run: Run, work: Work, ready: bool
) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        future = asyncio.get_running_loop().create_future()
        begun: list[bool] = []
        task = asyncio.create_task(compute(begun, future))
        while not begun:
            await asyncio.sleep(0)
        task.cancel()
        if ready:
            future.set_result(None)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled() is not ready
        beat.cancel()

    async def compute(begun: list[bool], future: asyncio.Future[None]) -> None:
        begun.append(True)
        work.until(5)
        await future
        await asyncio.sleep(0)

    run(main())


def test_a_swallowed_cancellation_is_swallowed_and_counted_once(run: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        begun: list[bool] = []
        task = asyncio.create_task(compute(begun))
        while not begun:
            await asyncio.sleep(0)
        task.cancel()
        assert await task == 1
        beat.cancel()

    async def compute(begun: list[bool]) -> int:
        begun.append(True)
        work.until(5)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    run(main())


def test_a_timeout_that_passes_while_the_task_computes_arrives_at_the_await(run: Run) -> None:
    reached: list[str] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002) as limit:
                while not task.cancelling():
                    pass
                reached.append("computed")
                await asyncio.sleep(3600)
        assert limit.expired()
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    run(main())
    assert reached == ["computed"]


def test_a_task_group_cancels_its_tasks_when_one_fails(run: Run, work: Work) -> None:
    log: list[str] = []

    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        with pytest.raises(ExceptionGroup) as failed:
            async with asyncio.TaskGroup() as group:
                group.create_task(compute())
                group.create_task(fail())
        assert isinstance(failed.value.exceptions[0], ZeroDivisionError)
        beat.cancel()

    async def compute() -> None:
        try:
            work.until(10)
            await asyncio.sleep(3600)
        finally:
            log.append("unwound")

    async def fail() -> None:
        work.until(3)
        raise ZeroDivisionError

    run(main())
    assert log == ["unwound"]


def test_a_lock_of_asyncio_that_a_preempted_task_holds_is_just_held(run: Run, work: Work) -> None:
    inside: list[int] = []

    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        lock = asyncio.Lock()
        await asyncio.gather(*(hold(lock, n) for n in range(4)))
        beat.cancel()

    async def hold(lock: asyncio.Lock, n: int) -> None:
        async with lock:
            inside.append(n)
            work.until(2)
            assert inside.pop() == n
            assert inside == []

    run(main())


def test_a_threading_lock_that_a_preempted_task_holds_is_waited_for(run: Run, work: Work) -> None:
    lock = threading.Lock()
    inside: list[int] = []

    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        await asyncio.gather(*(hold(n) for n in range(4)))
        beat.cancel()

    async def hold(n: int) -> None:
        with lock:
            inside.append(n)
            work.until(2)
            assert inside.pop() == n
            assert inside == []

    run(main())


def test_a_loop_that_stands_still_is_reported_with_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lock = threading.Lock()

    async def main() -> None:
        with aio.install(quantum=QUANTUM, report_after=0.05):
            await asyncio.create_task(holder())

    async def holder() -> None:
        def wants_the_lock() -> None:  # Of a preempted task: would wait for ever.
            stuck.append(not lock.acquire(timeout=0.5))

        stuck: list[bool] = []
        with lock:
            asyncio.get_running_loop().call_soon(wants_the_lock)
            while not stuck:
                pass
        assert stuck == [True]

    asyncio.run(main())
    (record,) = [r for r in caplog.records if r.name == "lpf.aio"]
    assert "wants_the_lock" in record.getMessage()
    assert "holder at line" in record.getMessage()


# ---- Looking at tasks ---------------------------------------------------------------------


def test_a_task_shows_its_own_coroutine(run: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        coro = compute()
        task = asyncio.create_task(coro, name="computer")
        assert task.get_coro() is coro
        assert task.get_name() == "computer"
        while not aio._turns.standing:
            await asyncio.sleep(0)
        assert "compute()" in repr(task)
        assert task.get_stack()[-1].f_code is compute.__code__
        assert await task == "done"
        beat.cancel()

    async def compute() -> str:
        work.until(20)
        return "done"

    run(main())


def test_an_error_of_a_preempted_task_has_its_traceback(run: Run, work: Work) -> None:
    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        with pytest.raises(KeyError) as caught:
            await asyncio.create_task(fail())
        assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "deep"
        beat.cancel()

    async def fail() -> None:
        work.until(3)
        deep()

    def deep() -> None:
        raise KeyError("gone")

    run(main())


def test_async_generators_are_closed_and_stop_iteration_is_an_error(run: Run, work: Work) -> None:
    closed: list[bool] = []

    async def numbers() -> Any:
        try:
            for n in range(10):
                work.until(1)
                yield n
        finally:
            closed.append(True)

    async def main() -> None:
        beat = asyncio.create_task(work.beat())
        async for n in numbers():
            if n == 3:
                break
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.create_task(stop())
        beat.cancel()

    async def stop() -> None:
        work.until(1)
        raise StopIteration

    run(main())
    gc.collect()
    assert closed == [True]


def test_install_is_taken_back_and_keeps_a_former_factory() -> None:
    made: list[Any] = []

    def former(loop: Any, coro: Any, **options: Any) -> Any:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(former)
        with aio.install(quantum=QUANTUM):
            assert await asyncio.create_task(answer()) == 42
            aio.install(quantum=QUANTUM)
            assert await asyncio.create_task(answer()) == 42
            aio.uninstall()
            assert loop.get_task_factory() is former
        assert loop.get_task_factory() is former
        aio.uninstall()

    async def answer() -> int:
        return 42

    asyncio.run(main())


def test_a_factory_put_in_later_is_left_alone() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with aio.install():
            loop.set_task_factory(aio.task_factory)
        assert loop.get_task_factory() is aio.task_factory

    asyncio.run(main())


def test_install_elsewhere_than_on_the_main_thread_is_refused() -> None:
    errors: list[BaseException] = []

    def elsewhere() -> None:
        loop = asyncio.new_event_loop()
        try:
            aio.install(loop)
        except lpf.ThreadError as error:
            errors.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


# ---- Eager tasks --------------------------------------------------------------------------


@needs_eager
def test_an_eager_task_that_does_not_wait_is_done_at_once(run: Run) -> None:
    async def main() -> None:
        factory = aio.create_task_factory(quantum=QUANTUM, eager=True)
        parent = asyncio.current_task()
        task = factory(asyncio.get_running_loop(), child("eager"))
        assert task.done()
        assert asyncio.current_task() is parent
        assert await task == ("eager", task)
        assert variable.get() == "none"

    async def child(value: str) -> Any:
        variable.set(value)
        return variable.get(), asyncio.current_task()

    run(main())


@needs_eager
def test_an_eager_task_is_preempted_in_its_first_step(run: Run, work: Work) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(
            aio.create_task_factory(quantum=QUANTUM, eager=True)
        )
        beat = asyncio.create_task(work.beat())
        variable.set("parent")
        context = contextvars.copy_context()
        task = asyncio.create_task(child(), context=context)
        assert not task.done()
        context.run(lambda: None)  # Not left entered.
        work.until(3)
        assert await task == ("parent", task, task)
        beat.cancel()

    async def child() -> Any:
        before = asyncio.current_task()
        work.until(5)
        return variable.get(), before, asyncio.current_task()

    run(main())


@needs_eager
def test_the_eager_factory_of_asyncio_becomes_ours(work: Work) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        with aio.install(quantum=QUANTUM):
            beat = asyncio.create_task(work.beat())
            await asyncio.create_task(compute())
            beat.cancel()
        assert loop.get_task_factory() is asyncio.eager_task_factory

    async def compute() -> None:
        inner = asyncio.create_task(done())
        assert inner.done()
        work.until(3)

    async def done() -> None:
        pass

    asyncio.run(main())


@needs_eager
def test_an_eager_task_inside_a_function_that_a_step_has_launched(run: Run, work: Work) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        beat = asyncio.create_task(work.beat())

        def make() -> Any:
            return aio.create_task_factory(quantum=QUANTUM, eager=True)(loop, child())

        assert await lpf.call(make, timeout=60) == "child"
        with lpf.uninterruptible():
            task = make()
        assert await task == "child"
        beat.cancel()

    async def child() -> str:
        for _ in range(10_000):
            pass
        await asyncio.sleep(0)
        work.until(2)
        return "child"

    run(main())


# ---- Libraries that call asyncio.Task themselves -------------------------------------------


def test_a_task_that_is_made_without_the_factory_is_preempted_too(run: Run, work: Work) -> None:
    async def main() -> int:
        beat = asyncio.create_task(work.beat())

        async def compute() -> int:
            return work.until(3)

        task = asyncio.Task(compute(), name="mine")
        assert type(task) is aio.Task
        assert isinstance(task, asyncio.Task)
        assert task.get_name() == "mine"
        beats = await task
        beat.cancel()
        return beats

    assert run(main()) >= 3


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
def test_one_that_starts_at_once_as_well(run: Run, work: Work) -> None:
    async def main() -> int:
        beat = asyncio.create_task(work.beat())
        await asyncio.sleep(0)

        async def compute() -> int:
            return work.until(3)

        loop = asyncio.get_running_loop()
        beats: int = await asyncio.Task(compute(), loop=loop, eager_start=True)
        beat.cancel()
        return beats

    assert run(main()) >= 3


def test_other_loops_have_ordinary_tasks_and_the_class_comes_back() -> None:
    real = asyncio.Task
    installed, other = aio.new_event_loop(QUANTUM), asyncio.new_event_loop()
    try:
        assert asyncio.Task is not real
        assert issubclass(real, asyncio.Task)
        assert issubclass(aio.Task, asyncio.Task)
        assert asyncio.Task[int] is not None

        async def kind() -> type:
            return type(asyncio.Task(asyncio.sleep(0)))

        class Own(asyncio.Task):  # type: ignore[type-arg]
            pass

        async def own() -> type:
            task = Own(asyncio.sleep(0))
            await task
            return type(task)

        assert other.run_until_complete(kind()) is real
        assert other.run_until_complete(own()) is Own
        assert installed.run_until_complete(own()) is Own
        assert not isinstance(installed.create_task(asyncio.sleep(0)), Own)
        installed.run_until_complete(asyncio.sleep(0))
    finally:
        aio.uninstall(installed)
        installed.close()
        other.close()
    assert asyncio.Task is real
