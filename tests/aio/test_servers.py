"""Real HTTP servers whose requests compute: others are answered meanwhile."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lpf import aio

from .conftest import QUANTUM

Answers = dict[str, bool]


def compute_until(answered: Answers) -> None:
    """Never ends if nobody else is served meanwhile."""
    while not answered.get("short"):
        pass


@asynccontextmanager
async def aiohttp_server(answered: Answers, listening: socket.socket) -> AsyncIterator[None]:
    web = pytest.importorskip("aiohttp.web")

    async def short(request: Any) -> Any:
        return web.Response(text="short")

    async def long(request: Any) -> Any:
        compute_until(answered)
        return web.Response(text="long")

    app = web.Application()
    app.router.add_get("/short", short)
    app.router.add_get("/long", long)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    yield
    await runner.cleanup()


@asynccontextmanager
async def fastapi_server(answered: Answers, listening: socket.socket) -> AsyncIterator[None]:
    fastapi, uvicorn = pytest.importorskip("fastapi"), pytest.importorskip("uvicorn")
    app = fastapi.FastAPI()

    @app.get("/short")
    async def short() -> str:
        return "short"

    @app.get("/long")
    async def long() -> str:
        compute_until(answered)
        return "long"

    server = uvicorn.Server(uvicorn.Config(app, log_level="error", loop="asyncio"))
    serving = asyncio.create_task(server._serve([listening]))
    while not server.started:
        await asyncio.sleep(0.001)
    yield
    server.should_exit = True
    await serving


async def get(path: str, port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


@pytest.mark.parametrize("server", [aiohttp_server, fastapi_server])
def test_a_request_that_computes_lets_others_be_answered(server: Any) -> None:
    async def main() -> tuple[str, str]:
        answered: Answers = {}
        with socket.create_server(("127.0.0.1", 0)) as listening, aio.install(quantum=QUANTUM):
            port = listening.getsockname()[1]
            async with server(answered, listening):
                first = asyncio.create_task(get("long", port))
                second = await get("short", port)
                answered["short"] = True
                return await first, second

    long, short = asyncio.run(main())
    assert "200" in long.splitlines()[0]
    assert "long" in long.splitlines()[-1]
    assert "short" in short.splitlines()[-1]
