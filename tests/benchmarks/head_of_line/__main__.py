"""Head-of-line blocking: how long short requests wait behind long ones.

    python tests/benchmarks/head_of_line                    # five minutes; a table
    python tests/benchmarks/head_of_line --quick            # half a minute
    python tests/benchmarks/head_of_line --json FILE        # the figures as well

Requests of 0.5 ms of CPU time, and among them some of 50 ms. The server, its pools included, has one
processor, the load generator another one, where there are two.

latencies    requests come at random times, --rate a second; those of the short ones are shown
throughput   eight clients, each of which sends its next request when it has an answer

Source: the experiment is that of section 5 of Boucher et al., Lightweight Preemptible Functions.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server import burn

HERE = Path(__file__).parent
MODES = ("asyncio", "threads", "processes", "lpf")
SERVERS = ("aiohttp", "fastapi")
PARTS = (0.0, 0.002, 0.01, 0.02)
CLIENTS = 8
HEAD = ("server", "long", "mode", "p50 ms", "p90 ms", "p99 ms", "requests/s")


def rounds_in_a_millisecond() -> float:
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        burn(100_000)
        best = min(best, time.perf_counter() - start)
    return 100_000 / (best * 1e3)


def processors() -> tuple[int, int]:
    """One for the server, one for the load."""
    free = sorted(os.sched_getaffinity(0))
    return free[0], free[-1]


@contextlib.contextmanager
def running(server: str, mode: str, rounds: float) -> Iterator[int]:
    """A server, and its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        descriptor, port = listening.fileno(), listening.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, HERE / "server.py", server, mode, str(descriptor), str(rounds)],
            pass_fds=[descriptor],
            preexec_fn=lambda: os.sched_setaffinity(0, {processors()[0]}),
            process_group=0,
        )
    # From here on only the server has the socket: without one, connections are refused.
    try:
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def load(port: int, part: float, how: str, size: float, seconds: float) -> dict[str, Any]:
    """What the load generator found."""
    done = subprocess.run(
        [sys.executable, HERE / "load.py", *map(str, (port, part, how, size, seconds))],
        preexec_fn=lambda: os.sched_setaffinity(0, {processors()[1]}),
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds * 10 + 60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def quantile(ordered: list[float], part: float) -> float:
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def measure(
    server: str, mode: str, part: float, rounds: float, options: argparse.Namespace
) -> dict[str, Any]:
    """A row: latencies in milliseconds."""
    with running(server, mode, rounds) as port:
        latencies = load(port, part, "open", options.rate, options.seconds)["latencies"]
        rate = load(port, part, "closed", CLIENTS, options.seconds / 2)["rate"]
    quantiles = {f"p{round(q * 100)}": quantile(latencies, q) * 1e3 for q in (0.5, 0.9, 0.99)}
    return {"server": server, "long": part, "mode": mode, **quantiles, "rate": rate}


def shown(row: dict[str, Any]) -> tuple[str, ...]:
    figures = (f"{row[name]:.2f}" for name in ("p50", "p90", "p99"))
    return (row["server"], f"{row['long']:.1%}", row["mode"], *figures, f"{row['rate']:.0f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="aiohttp, 0 %% and 2 %%, short runs")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--parts", nargs="+", type=float, default=PARTS, help="of long requests")
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=8.0, help="of load for each row")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.quick:
        options.servers, options.parts, options.seconds = ("aiohttp",), (0.0, 0.02), 1.5
    return options


def main() -> None:
    options = arguments()
    needed = {"aiohttp": ("aiohttp",), "fastapi": ("fastapi", "uvicorn")}
    for name in {name for server in options.servers for name in needed[server]}:
        if importlib.util.find_spec(name) is None:
            raise SystemExit(f"{name} is missing: pip install '.[bench]'")
    rounds = rounds_in_a_millisecond()
    print(f"load {os.getloadavg()[0]:.1f} at the start; {options.rate:g} requests/s")
    print("{:8} {:>6} {:10} {:>8} {:>8} {:>8} {:>10}".format(*HEAD))
    rows = []
    for server in options.servers:
        for part in options.parts:
            for mode in options.modes:
                rows.append(measure(server, mode, part, rounds, options))
                line = "{:8} {:>6} {:10} {:>8} {:>8} {:>8} {:>10}".format(*shown(rows[-1]))
                print(line, flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows))


main()
