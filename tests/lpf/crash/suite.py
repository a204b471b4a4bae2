"""Runs a module of CPython's own tests in a function that is left and resumed all the time.

suite.py QUANTUM MODULE prints one line of JSON: how many tests ran, what failed, how often the
function was left. A quantum of 0 is the plain run.
"""

import importlib
import json
import os
import sys
import tempfile
import unittest
import warnings
from typing import Any

Outcome = tuple[int, dict[str, str]]  # The number of tests, and those that failed with why.


def run_module(name: str) -> Outcome:
    from test import support

    module = importlib.import_module(f"test.{name}")
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    with open(os.devnull, "w") as nowhere:
        result = unittest.TextTestRunner(stream=nowhere, verbosity=0).run(suite)
    support.gc_collect()
    bad = {str(test): text for test, text in result.failures + result.errors}
    return result.testsRun, bad


def run_preempted(name: str, quantum: float) -> tuple[Outcome, int]:
    import lpf

    c: Any = lpf.launch(run_module, name, timeout=quantum)
    rounds = 0
    while not c.done:
        c.resume(timeout=quantum)
        rounds += 1
    return c.result(), rounds


def main() -> None:
    quantum, name = float(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    rounds = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if quantum:
            (count, bad), rounds = run_preempted(name, quantum)
        else:
            count, bad = run_module(name)
        os.chdir("/")
    answer = {"count": count, "bad": bad, "rounds": rounds}
    print(json.dumps(answer), file=sys.__stdout__, flush=True)


main()
