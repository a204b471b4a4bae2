"""C code that reacts badly to an allocation that fails, which is what rung 4 gives it: the list.

What is not on it raises MemoryError or gives its result, whichever single allocation fails. Rung 4 fails one in code that
has run for a tenth of a second without a safe point, in the very call that was interrupted: what crashes while something is
*made* (a function, a parser, a ufunc) is not hit by it. `compile` is: hence its entry in the README.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.matrix, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("allocations.py")
CRASHES = {
    # CPython 3.12 and 3.13 drop the code of a function once too often when there is no memory for the function.
    "making a function": {"json.dumps", "ElementTree", "ast.literal_eval", "numpy.repr"},
    # Basic blocks without their instructions.
    "the compiler": {"compile", "ast.literal_eval"},
    "making a parser": {"expat"},
    "making a ufunc": {"numpy.frompyfunc"},
    "making one": {"OrderedDict", "ElementTree.find"},
}
# Makes something else of the MemoryError. A SystemError ("error return without exception set", mostly numpy's) is expected
# from everybody, and taken for one.
ODD = {
    "ElementTree": {"ParseError"},
    "csv.reader": {"TypeError"},
    "csv.writer": {"TypeError"},
    "marshal.dumps": {"ValueError"},
    "numpy.random": {"RuntimeError"},
}
MOST_CRASHES = 6


def child(*arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_the_list_is_complete() -> None:
    pytest.importorskip("_testcapi")
    crashed = set()
    odd = {}
    [names] = child()[1]
    for name in names.split():
        first = 0
        for _ in range(MOST_CRASHES):
            status, lines = child(name, str(first))
            if status == 0:
                odd[name] = set(lines[-1].split()[1:]) - {"SystemError"}
                break
            assert status < 0, (name, status)
            crashed.add(name)
            if not lines[-1].isdecimal():  # At its exit.
                break
            first = int(lines[-1]) + 1
    assert crashed <= set().union(*CRASHES.values())
    assert {name: kinds for name, kinds in odd.items() if kinds - ODD.get(name, set())} == {}
