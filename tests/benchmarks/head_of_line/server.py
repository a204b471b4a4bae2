"""An HTTP server whose requests compute: /short and /long.

    python server.py aiohttp asyncio SOCKET ROUNDS      # file descriptor; rounds of the loop in a millisecond

How it runs what computes: asyncio: in the handler. threads, processes: in a pool. lpf: in the handler,
as with asyncio, and every task of the loop is preemptible.
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import socket
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

SHORT, LONG = 0.5, 50.0  # Milliseconds of CPU time.

Respond = Callable[[float], Awaitable[None]]


def burn(rounds: int) -> int:
    x = 0
    for i in range(rounds):
        x += i
    return x


def responder(mode: str, rounds: float) -> Respond:
    """What a handler awaits: so many milliseconds of computing."""
    if mode in ("asyncio", "lpf"):

        async def here(milliseconds: float) -> None:
            burn(int(milliseconds * rounds))

        return here
    if mode == "threads":
        pool: Executor = ThreadPoolExecutor()
    else:  # A fork from the middle of a server would inherit locks that somebody holds.
        pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))

    async def there(milliseconds: float) -> None:
        await asyncio.get_running_loop().run_in_executor(pool, burn, int(milliseconds * rounds))

    return there


async def aiohttp(respond: Respond, listening: socket.socket) -> None:
    from aiohttp import web

    async def handle(milliseconds: float, request: web.Request) -> web.Response:
        await respond(milliseconds)
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/short", functools.partial(handle, SHORT))
    app.router.add_get("/long", functools.partial(handle, LONG))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await asyncio.Event().wait()


async def fastapi(respond: Respond, listening: socket.socket) -> None:
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()

    @app.get("/short", response_class=PlainTextResponse)
    async def short() -> str:
        await respond(SHORT)
        return "done"

    @app.get("/long", response_class=PlainTextResponse)
    async def long() -> str:
        await respond(LONG)
        return "done"

    config = uvicorn.Config(app, log_level="warning", access_log=False, loop="asyncio")
    await uvicorn.Server(config).serve(sockets=[listening])


SERVERS = {"aiohttp": aiohttp, "fastapi": fastapi}


async def main(server: str, mode: str, descriptor: str, rounds: str) -> None:
    if mode == "lpf":
        from lpf import aio

        aio.install()
    listening = socket.socket(fileno=int(descriptor))
    await SERVERS[server](responder(mode, float(rounds)), listening)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
