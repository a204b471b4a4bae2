"""Load for the server, from a process and, where there are two, a processor of its own.

    python load.py PORT PART open RATE SECONDS       # requests a second, at random times
    python load.py PORT PART closed CLIENTS SECONDS  # each sends its next when it has its answer

PART of the requests are long ones. Prints JSON: requests answered a second, and the latencies of the
short ones in seconds, counted from when a request was due, even if nobody was there to send it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Load:
    """Requests, each on a connection that nobody else uses meanwhile."""

    def __init__(self, port: int, part: float) -> None:
        self.port, self.part = port, part
        self.chance = random.Random(1)
        self.idle: list[Connection] = []
        self.latencies: list[float] = []
        self.answered = 0

    def kind(self) -> str:
        return "long" if self.chance.random() < self.part else "short"

    async def request(self, kind: str, due: float) -> None:
        if self.idle:
            connection = self.idle.pop()
        else:
            connection = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = connection
        writer.write(f"GET /{kind} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        self.idle.append(connection)
        self.answered += 1
        if kind == "short":
            self.latencies.append(time.perf_counter() - due)

    async def open(self, rate: float, seconds: float) -> None:
        start = due = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            while due < start + seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self.request(self.kind(), due))
                due += self.chance.expovariate(rate)

    async def closed(self, clients: float, seconds: float) -> None:
        end = time.perf_counter() + seconds

        async def client() -> None:
            while time.perf_counter() < end:
                await self.request(self.kind(), time.perf_counter())

        await asyncio.gather(*(client() for _ in range(int(clients))))


async def main(port: str, part: str, how: str, size: str, seconds: str) -> None:
    load = Load(int(port), float(part))
    await load.open(50, 0.3)  # Warm; without long ones would be without their code.
    load.latencies.clear()
    load.answered = 0
    start = time.perf_counter()
    await (load.open if how == "open" else load.closed)(float(size), float(seconds))
    took = time.perf_counter() - start
    for _, writer in load.idle:
        writer.close()
    print(json.dumps({"rate": load.answered / took, "latencies": sorted(load.latencies)}))


asyncio.run(main(*sys.argv[1:]))
