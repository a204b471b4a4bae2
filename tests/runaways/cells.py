"""Cells that run away, of nine kinds, each with a short form that ends with a known `result`.

    bytecode     Python code that goes round and round
    swallow      what catches or ignores an interrupt
    c-checks     C code that looks for signals now and then
    c-gil-iter   C code that holds the GIL and draws from an iterator
    c-gil-other  other C code that holds the GIL; it can be stopped, and not be paused
    c-nogil      C code that has released the GIL
    syscall      waiting in the operating system
    async        a top-level await
    io-print     floods of output

A cell has begun to run away once it has printed "go" and then computes, or stands at its line that
begins with the text in `waits`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RUNAWAYS", "Runaway"]


@dataclass(frozen=True)
class Runaway:
    """One cell. `endless` and `finite` are the same thing but for the end of it."""

    kind: str
    name: str
    endless: str
    finite: str
    result: str
    # Run before.
    setup: str = ""
    # The beginning of the lines where it waits; empty if it computes.
    waits: str = ""
    # Whether threads of its own go on while it is paused.
    threads: bool = False


def _counted(body: str) -> tuple[str, str]:
    """A loop without an end, and the same up to `limit`."""
    return f"n = 0\nwhile True:\n{body}", f"n = 0\nwhile n < limit:\n{body}\nresult = n"


def _loop(kind: str, name: str, body: str, limit: int, setup: str = "", waits: str = "") -> Runaway:
    endless, finite = _counted(body)
    return Runaway(kind, name, endless, finite, str(limit), f"limit = {limit}\n{setup}", waits)


RUNAWAYS = [
    _loop("bytecode", "counting", "    n += 1", 20_000_000),
    Runaway(
        "bytecode",
        "generators",
        "def numbers():\n    n = 0\n    while True:\n        yield (n := n + 1)\n"
        "for number in numbers():\n    pass",
        "def numbers(n=0):\n    while n < 15_000_000:\n        yield (n := n + 1)\n"
        "for number in numbers():\n    pass\nresult = number",
        "15_000_000",
    ),
    Runaway(
        "bytecode",
        "calls",
        "def ackermann(m, n):\n    return (n + 1 if m == 0 else ackermann(m - 1, 1) if n == 0 else\n"
        "            ackermann(m - 1, ackermann(m, n - 1)))\n"
        "while True:\n    ackermann(2, 300)",
        "def ackermann(m, n):\n    return (n + 1 if m == 0 else ackermann(m - 1, 1) if n == 0 else\n"
        "            ackermann(m - 1, ackermann(m, n - 1)))\n"
        "result = [ackermann(2, 300) for n in range(40)]",
        "[603] * 40",
        "import sys; sys.setrecursionlimit(5000)",
    ),
    _loop(
        "swallow",
        "everything",
        "    try:\n        n += 1\n        time.sleep(0.02)\n    except:\n        pass",
        75,
        "import time",
        "time.sleep",
    ),
    _loop(
        "swallow",
        "interrupts",
        "    try:\n        for n in range(n + 1, n + 1001):\n            pass\n"
        "    except KeyboardInterrupt:\n        print('not now')",
        30_000_000,
    ),
    *(
        Runaway(
            "swallow",
            name,
            f"import signal\nsignal.signal(signal.SIGINT, {handler})\nn = 0\n"
            "while True:\n    n += 1",
            f"import signal\nbefore = signal.signal(signal.SIGINT, {handler})\nn = 0\n"
            "while n < 20_000_000:\n    n += 1\nsignal.signal(signal.SIGINT, before)\nresult = n",
            "20_000_000",
        )
        for name, handler in (("handler", "lambda *_: None"), ("ignored", "signal.SIG_IGN"))
    ),
    Runaway(
        "swallow",
        "cells",
        "while True:\n    get_ipython().run_cell('while True: pass')",
        "result = 0\nwhile result < 5:\n"
        "    get_ipython().run_cell('for _n in range(6_000_000): pass\\nresult += 1')",
        "5",
    ),
    Runaway(
        "c-checks",
        "power",
        "7 ** 10 ** 9",
        "result = 7 ** 4_000_000 % 1_000_003",
        "pow(7, 4_000_000, 1_000_003)",
    ),
    Runaway(
        "c-checks",
        "backtracking",
        "import re\nre.fullmatch('(x|xx)*y', 'x' * 200)",
        "import re\nresult = re.fullmatch('(x|xx)*y', 'x' * 35)",
        "None",
    ),
    Runaway(
        "c-gil-iter",
        "sum",
        "sum(itertools.repeat(1))",
        "result = sum(itertools.repeat(1, 200_000_000))",
        "200_000_000",
        "import itertools",
    ),
    Runaway(
        "c-gil-iter",
        "search",
        "'x' in itertools.cycle('abc')",
        "result = 80_000_000 in itertools.count()",
        "True",
        "import itertools",
    ),
    Runaway(
        "c-gil-iter",
        "drain",
        "set(map(abs, itertools.repeat(-1)))",
        "result = set(map(abs, itertools.repeat(-1, 60_000_000)))",
        "{1}",
        "import itertools",
    ),
    Runaway(
        "c-gil-iter",
        "reduce",
        "functools.reduce(operator.or_, map(len, itertools.repeat('ab')))",
        "result = functools.reduce(operator.or_, map(len, itertools.repeat('ab', 20_000_000)))",
        "2",
        "import functools, itertools, operator",
    ),
    Runaway(
        "c-gil-iter",
        "unpacked",
        "collections.deque(struct.iter_unpack('b', zeros), maxlen=0)",
        "result = len(collections.deque(struct.iter_unpack('b', zeros[:30_000_000]), maxlen=5))",
        "5",
        "import collections, struct\nzeros = memoryview(bytes(1_000_000_000))",
    ),
    Runaway(
        "c-gil-other",
        "encoder",
        "while True:\n    json.dumps(tree)",
        "",
        "",
        "import json\ntree = {}\nfor each in range(24):\n    tree = {'left': tree, 'right': tree}",
    ),
    Runaway(
        "c-gil-other",
        "logarithm",
        "decimal.Decimal(3).ln(decimal.Context(prec=1_000_000))",
        "",
        "",
        "import decimal",
    ),
    Runaway(
        "c-nogil",
        "hash",
        "import hashlib\nhashlib.pbkdf2_hmac('sha1', b'a', b'b', 2**31 - 1)",
        "import hashlib\nresult = hashlib.pbkdf2_hmac('sha1', b'a', b'b', 3_000_000).hex()",
        "'9b3d423424a1d14543296780143537d760d3c164'",
    ),
    Runaway(
        "c-nogil",
        "compress",
        "import lzma\nwhile True:\n    lzma.compress(noise, preset=9)",
        "import lzma\nresult = lzma.decompress(lzma.compress(noise[:4_000_000])) == noise[:4_000_000]",
        "True",
        "import random\nnoise = random.Random(1).randbytes(50_000_000)",
    ),
    Runaway(
        "c-nogil",
        "database",
        "base.execute(query.format('')).fetchone()",
        "[result] = base.execute(query.format('limit 6000000')).fetchone()",
        "18_000_003_000_000",
        "import sqlite3\nbase = sqlite3.connect(':memory:')\n"
        "query = 'with recursive n(x) as (values(1) union all select x + 1 from n {}) "
        "select sum(x) from n'",
    ),
    Runaway(
        "syscall",
        "sleep",
        "import time\ntime.sleep(10**6)",
        "import time\nresult = time.sleep(1.5)",
        "None",
        waits="time.sleep result",
    ),
    Runaway(
        "syscall",
        "receive",
        "import socket\nhere, there = socket.socketpair()\nhere.recv(1)",
        "import socket, threading\nhere, there = socket.socketpair()\n"
        "threading.Timer(1.5, there.send, [b'!']).start()\nresult = here.recv(1)",
        "b'!'",
        waits="here.recv result",
    ),
    Runaway(
        "syscall",
        "process",
        "import subprocess\nsubprocess.check_call(['sleep', '1000'])",
        "import subprocess\nresult = subprocess.check_call(['sleep', '1.5'])",
        "0",
        waits="subprocess result",
    ),
    Runaway(
        "syscall",
        "lock",
        "import threading\nthreading.Event().wait()",
        "import threading\nevent = threading.Event()\nthreading.Timer(1.5, event.set).start()\n"
        "result = event.wait()",
        "True",
        waits="threading.Event result",
    ),
    Runaway(
        "async",
        "waiting",
        "import asyncio\nawait asyncio.Event().wait()",
        "import asyncio\nresult = await asyncio.sleep(1.5, 'slept')",
        "'slept'",
        waits="await result",
    ),
    Runaway(
        "async",
        "computing",
        "async def count(n=0):\n    while True:\n        n += 1\nawait count()",
        "async def count(n=0):\n    while n < 30_000_000:\n        n += 1\n    return n\n"
        "result = await count()",
        "30_000_000",
    ),
    Runaway(
        "async",
        "thread",
        "import asyncio\ndef count(n=0):\n    while not over:\n        n += 1\n"
        "await asyncio.to_thread(count)",
        "import asyncio\ndef count(n=0):\n    while n < 20_000_000:\n        n += 1\n    return n\n"
        "result = await asyncio.to_thread(count)",
        "20_000_000",
        "over = False",
        waits="await result",
        threads=True,
    ),
    Runaway(
        "async",
        "tasks",
        "import asyncio\nasync def count(n=0):\n    while True:\n        n += 1\n"
        "async with asyncio.TaskGroup() as group:\n"
        "    for _n in range(3):\n        group.create_task(count())",
        "import asyncio\nasync def count(n=0):\n    while n < 10_000_000:\n        n += 1\n    return n\n"
        "async with asyncio.TaskGroup() as group:\n"
        "    tasks = [group.create_task(count()) for _n in range(3)]\n"
        "result = sum(task.result() for task in tasks)",
        "30_000_000",
    ),
    Runaway(
        "async",
        "tasks-swallow",
        "import asyncio\nasync def nap():\n    while not over:\n        try:\n"
        "            await asyncio.sleep(0.01)\n        except BaseException:\n            pass\n"
        "await asyncio.gather(nap(), nap())",
        "import asyncio\nasync def nap(n=0):\n    while n < 100:\n        try:\n"
        "            await asyncio.sleep(0.01)\n            n += 1\n"
        "        except BaseException:\n            pass\n    return n\n"
        "result = await asyncio.gather(nap(), nap())",
        "[100, 100]",
        "over = False",
        waits="await result",
        threads=True,
    ),
    _loop("io-print", "lines", "    n += 1\n    print(n)", 150_000),
    _loop(
        "io-print",
        "progress",
        "    n += 1\n    print('\\r', n, end='', flush=True)",
        8_000,
        waits="n print",
    ),
]
