"""Tasks that cells make: they can be left in the middle of a step, and are tasks like others."""

from __future__ import annotations

import pytest

from ipython.kernels import Cell, Kernel

# Counts without an await until `stop` is set, or is ended.
COUNT = """
import asyncio
async def count():
    n = 0
    try:
        print('go', flush=True)
        while True:
            if stop:
                break
            n += 1
    finally:
        ends.append('count')
    return 'counted'
async def tick():
    while not stop:
        ticks.append(await asyncio.sleep(0.001, 1))
"""


@pytest.fixture
def counting(kernel: Kernel) -> Kernel:
    kernel.run("stop, ends, ticks = False, [], []\n" + COUNT)
    return kernel


def go(kernel: Kernel, code: str) -> Cell:
    cell = kernel.start(code)
    cell.prints("go")
    return cell


def test_one_that_computes_is_paused_and_the_others_run_on(counting: Kernel) -> None:
    cell = go(
        counting,
        "ticking = asyncio.create_task(tick())\nawait asyncio.sleep(0.01)\nawait asyncio.create_task(count())",
    )
    job = counting.pause()["id"]
    before = int(counting.value("len(ticks)"))
    counting.until_true(f"len(ticks) > {before}")
    assert counting.value("ends") == "[]"
    counting.run("stop = True")
    counting.control("lpf_resume_request", job=job)
    assert cell.wait().results == ["'counted'"]
    assert counting.value("ends") == "['count']"


def test_nothing_of_the_cell_runs_before_the_step_that_was_left(counting: Kernel) -> None:
    """As without a pause, where a step has the event loop for itself."""
    cell = go(
        counting, "task = asyncio.create_task(count())\nawait asyncio.sleep(0.001)\ntask.done()"
    )
    job = counting.pause()["id"]
    counting.run("stop = True")
    counting.control("lpf_resume_request", job=job)
    assert cell.wait().results == ["True"]


def test_one_that_computes_is_ended_with_its_cell(counting: Kernel) -> None:
    cell = go(counting, "await asyncio.create_task(count())")
    job = counting.pause()["id"]
    counting.control("lpf_cancel_request", job=job)
    assert cell.wait().reply["ename"] == "CellCancelled"
    assert counting.value("ends") == "['count']"


@pytest.mark.parametrize("awaited", ["asyncio.sleep(0.01)", "asyncio.gather(count(), count())"])
def test_an_interrupt_hits_one_that_computes(counting: Kernel, awaited: str) -> None:
    cell = go(counting, f"task = asyncio.create_task(count())\nawait {awaited}")
    counting.interrupt()
    assert cell.wait().reply["ename"] == "KeyboardInterrupt"
    assert counting.value("'count' in ends and task.cancelled()") == "True"


def test_what_swallows_its_end_is_given_up(counting: Kernel) -> None:
    counting.run(
        "async def stay():\n"
        "    print('go', flush=True)\n"
        "    while True:\n"
        "        try:\n"
        "            while True: pass\n"
        "        except BaseException: pass"
    )
    cell = go(counting, "task = asyncio.create_task(stay())\nawait task")
    counting.interrupt()
    assert cell.wait().reply["ename"] == "KeyboardInterrupt"
    counting.until_true("task.cancelled()")


def test_a_time_limit_counts_while_one_computes(counting: Kernel) -> None:
    code = "%%timeout 300ms --on-timeout {}\nawait asyncio.create_task(count())"
    assert counting.run(code.format("cancel")).reply["ename"] == "CellTimeout"
    cell = go(counting, code.format("pause"))
    counting.until(lambda _: any(s["state"] == "paused" for s in cell.of_type("lpf_state")))
    counting.run("stop = True\n%lpf resume")
    assert cell.wait().results == ["'counted'"]


def test_a_responsive_kernel_answers_while_one_computes(counting: Kernel) -> None:
    counting.run("%lpf responsive on")
    cell = go(counting, "await asyncio.create_task(count())")
    assert counting.run("%%background\nstop = True").reply["status"] == "ok"
    assert cell.wait().results == ["'counted'"]
    counting.run("%lpf responsive off")


def test_they_are_tasks_like_others(counting: Kernel) -> None:
    code = """
async def mine():
    return asyncio.current_task().get_name(), await asyncio.sleep(0, 2)
async def fails():
    raise ValueError("mine")
task = asyncio.create_task(mine(), name="a task")
found = task.get_coro().__name__, asyncio.iscoroutine(task.get_coro()), "mine()" in repr(task)
values = await asyncio.gather(task, fails(), return_exceptions=True)
cancelled = asyncio.create_task(asyncio.sleep(1000))
await asyncio.sleep(0)
cancelled.cancel()
[end] = await asyncio.gather(cancelled, return_exceptions=True)
found, repr(values), type(end) is asyncio.CancelledError
"""
    assert eval(counting.run(code).results[0]) == (
        ("mine", True, True),
        "[('a task', 2), ValueError('mine')]",
        True,
    )


def test_a_task_that_was_left_can_be_cancelled_by_another_cell(counting: Kernel) -> None:
    cell = go(counting, "task = asyncio.create_task(count())\nawait task")
    job = counting.pause()["id"]
    counting.run("task.cancel()")
    counting.control("lpf_resume_request", job=job)
    assert cell.wait().reply["ename"] == "CancelledError"
    assert counting.value("ends") == "['count']"


def test_a_task_asks_and_its_cell_is_paused(counting: Kernel) -> None:
    cell = counting.start(
        "async def ask():\n    return input('name? ')\nawait asyncio.create_task(ask())"
    )
    counting.until(lambda _: cell.of_type("execute_input"))
    assert counting.client.get_stdin_msg(timeout=10)["content"]["prompt"] == "name? "
    job = counting.pause()["id"]
    assert counting.run("1 + 1").results == ["2"]
    counting.control("lpf_resume_request", job=job)
    counting.client.input("Ada")
    assert cell.wait().results == ["'Ada'"]


def test_the_event_loop_is_given_back(fresh: Kernel) -> None:
    factory = "__import__('asyncio').get_running_loop().get_task_factory()"
    code = f"type({factory}).__name__"
    assert fresh.run(f"await __import__('asyncio').sleep(0, {code})").results == ["'Tasks'"]
    fresh.run("%unload_ext lpf")
    assert fresh.run(f"await __import__('asyncio').sleep(0, {code})").results == ["'NoneType'"]


GREENLETS = """
import asyncio, greenlet
async def spawn(f, *args):
    g = greenlet.greenlet(f)
    awaited = g.switch(*args)
    while not g.dead:
        awaited = g.switch(await awaited)
    return awaited
def work(n):
    return sum(greenlet.getcurrent().parent.switch(asyncio.sleep(0.0005, n)) for _ in range(10))
"""


def test_greenlets_wait_in_cells_beside_a_paused_one(fresh: Kernel) -> None:
    """SQLAlchemy's asyncio makes such greenlets."""
    pytest.importorskip("greenlet")
    fresh.run(GREENLETS)
    first = fresh.start(
        "stop, total = False, await spawn(work, 3)\nprint('go')\nwhile not stop: pass\n"
        "total + await spawn(work, 3)"
    )
    fresh.until(lambda _: first.text == "go\n")
    job = fresh.pause()["id"]
    beside = "await spawn(work, 4), await asyncio.gather(spawn(work, 5), spawn(work, 6))"
    assert fresh.run(beside).results == ["(40, [50, 60])"]
    fresh.run("stop = True")
    assert fresh.control("lpf_resume_request", job=job)["status"] == "ok"
    assert first.wait().results == ["60"]
    assert fresh.run(beside).results == ["(40, [50, 60])"]
