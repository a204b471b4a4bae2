"""Libraries written for asyncio, and another event loop, unchanged, with every task preemptible."""

from __future__ import annotations

import asyncio
import threading
import unittest
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lpf import aio

from .conftest import QUANTUM, Work

Factory = Callable[[], asyncio.AbstractEventLoop]


def loop_of(name: str) -> Factory:
    return asyncio.new_event_loop if name == "asyncio" else pytest.importorskip(name).new_event_loop


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """asyncio.run with all tasks preemptible, on that loop."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        async def installed() -> Any:
            with aio.install(quantum=QUANTUM):
                return await asyncio.create_task(main)

        with asyncio.Runner(loop_factory=loop_of(request.param)) as runner:
            return runner.run(installed())

    return run


Run = Callable[[Coroutine[Any, Any, Any]], Any]


# ---- anyio --------------------------------------------------------------------------------


def test_task_groups_of_anyio(run: Run, work: Work) -> None:
    anyio = pytest.importorskip("anyio")
    got: list[int] = []

    async def computes(stream: Any) -> None:
        async with stream:
            for _ in range(3):
                await stream.send(work.until(3))

    async def main() -> None:
        send, receive = anyio.create_memory_object_stream(0)
        async with anyio.create_task_group() as group:
            group.start_soon(work.beat)
            group.start_soon(computes, send)
            async with receive:
                async for beats in receive:
                    got.append(beats)
            group.cancel_scope.cancel()

    run(main())
    assert len(got) == 3
    assert got == sorted(got)


def test_a_scope_of_anyio_ends_what_computes_at_its_next_await(run: Run, work: Work) -> None:
    anyio = pytest.importorskip("anyio")
    seen: list[str] = []

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(work.beat)
            with anyio.move_on_after(0.01) as scope:
                while not scope.cancel_called:
                    pass
                seen.append("went on to its await")
                await anyio.sleep_forever()
            seen.append("moved on" if scope.cancelled_caught else "not cancelled")
            with pytest.raises(TimeoutError), anyio.fail_after(0.01):
                await anyio.sleep_forever()
            group.cancel_scope.cancel()

    run(main())
    assert seen == ["went on to its await", "moved on"]


def test_threads_of_anyio_and_back(run: Run, work: Work) -> None:
    anyio = pytest.importorskip("anyio")

    async def main() -> tuple[Any, Any]:
        async with anyio.create_task_group() as group:
            group.start_soon(work.beat)
            elsewhere = await anyio.to_thread.run_sync(threading.get_ident)
            back = await anyio.to_thread.run_sync(anyio.from_thread.run_sync, threading.get_ident)
            work.until(5)
            group.cancel_scope.cancel()
        return elsewhere, back

    before = set(threading.enumerate())
    elsewhere, back = run(main())
    for thread in set(threading.enumerate()) - before:
        thread.join()  # anyio has told it to end.
    assert elsewhere != threading.get_ident()
    assert back == threading.get_ident()


# ---- httpx --------------------------------------------------------------------------------


def test_httpx_asks_a_server_on_the_same_loop(run: Run, work: Work) -> None:
    httpx = pytest.importorskip("httpx")
    web = pytest.importorskip("aiohttp.web")

    async def computes(request: Any) -> Any:
        work.until(5)
        return web.json_response({"sent": await request.text()})

    async def main() -> list[Any]:
        app = web.Application()
        app.router.add_post("/", computes)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        beat = asyncio.create_task(work.beat())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            asked = [client.post("/", content=f"{i}" * 1000) for i in range(10)]
            answers = await asyncio.gather(*asked)
        beat.cancel()
        await runner.cleanup()
        return [answer.json()["sent"] for answer in answers]

    assert run(main()) == [f"{i}" * 1000 for i in range(10)]


# ---- aiosqlite ----------------------------------------------------------------------------


# Counts on it that nothing at all runs between two awaits, and so on its own speed.
RACES = {"test_cursor_on_closed_connection_loop"}


# Some leave a connection open, whose thread may then find the loop closed.
@pytest.mark.filterwarnings("ignore:.*_connection_worker_thread")
@pytest.mark.filterwarnings("ignore:.*unclosed database:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:.*unclosed database:ResourceWarning")
def test_aiosqlite_passes_its_own_tests() -> None:
    smoke = pytest.importorskip("aiosqlite.tests.smoke")

    class Preemptible(smoke.SmokeTest):  # type: ignore[misc, name-defined]
        async def asyncSetUp(self) -> None:
            aio.install(quantum=QUANTUM)
            await super().asyncSetUp()

        async def asyncTearDown(self) -> None:
            await super().asyncTearDown()
            aio.uninstall()

    names = set(unittest.defaultTestLoader.getTestCaseNames(Preemptible)) - RACES
    suite = unittest.TestSuite(map(Preemptible, sorted(names)))
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun > 10
    assert not result.errors + result.failures
