"""CPython's own tests, inside a preemptible function that is left and resumed every 500 µs.

What passes plainly passes there too. Each module runs in a process of its own; the plain run is made
only where something failed.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.support") is None:
    pytest.skip(
        "this Python comes without its own tests (the package `test`)", allow_module_level=True
    )

SUITE = Path(__file__).parent / "crash" / "suite.py"
QUANTUM = 0.0005

QUICK = """
    contextlib dict exceptions generators json list re
    context iter raise scope with yield_from
"""

# Minutes together.
LONG = """
    abc array ast asyncgen asyncio.test_futures asyncio.test_locks asyncio.test_queues
    asyncio.test_tasks augassign base64 bdb binascii bisect bool bytes bz2 call capi.test_misc class
    code collections compile complex concurrent_futures.test_thread_pool configparser copy copyreg
    coroutines csv ctypes dataclasses datetime decimal defaultdict deque descr difflib dis doctest
    enum except_star exception_group extcall fileio float format fractions frame fstring functools
    gc genericpath genexps getopt glob grammar hash hashlib heapq inspect int io itertools
    keywordonlyarg lambda_parse listcomps long lzma math memoryview metaclass monitoring
    named_expressions operator ordered_dict os patma pathlib pdb pickle pprint print property
    queue random range reprlib richcmp sched select selectors set shelve shutil signal slice
    socketserver sort sqlite3 statistics string string_literals struct subclassinit super
    symtable syntax sys sys_setprofile sys_settrace tarfile tempfile textwrap thread
    threading threading_local threadsignals timeout tokenize traceback tuple types typing unicodedata
    unpack unpack_ex userdict userlist uuid weakref weakset xml_etree zipfile zlib
"""


def full_name(name: str) -> str:
    package, _, module = name.rpartition(".")
    return f"test_{package}.{module}" if package else f"test_{module}"


def exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(f"test.{name}") is not None
    except ModuleNotFoundError:
        return False


def run(name: str, quantum: float, seconds: int) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", str(SUITE), str(quantum), name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"crash": f"no end after {seconds} s"}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"count"'):
            answer: dict[str, Any] = json.loads(line)
            return answer
    return {"crash": f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"}


def check(name: str, seconds: int) -> None:
    name = full_name(name)
    if not exists(name):
        pytest.skip(f"test.{name} is not part of this Python")
    preempted = run(name, QUANTUM, seconds)
    if "crash" not in preempted and not preempted["bad"]:
        assert preempted["count"] > 0
        return
    plain = run(name, 0, seconds)
    if "crash" in plain:
        pytest.skip(f"test.{name} does not pass plainly here: {plain['crash'][:80]}")
    assert "crash" not in preempted, preempted["crash"]
    only_here = {test: text for test, text in preempted["bad"].items() if test not in plain["bad"]}
    assert not only_here, "\n\n".join(only_here.values())


@pytest.mark.parametrize("name", QUICK.split())
def test_quick(name: str) -> None:
    check(name, 240)


@pytest.mark.slow
@pytest.mark.matrix
@pytest.mark.parametrize("name", LONG.split())
def test_long(name: str) -> None:
    check(name, 240)
