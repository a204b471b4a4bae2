"""The tests in the browser with the oldest JupyterLab 4 and Notebook 7 that are supported.

pytest -m matrix tests/lab/test_versions.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lab.browser import chromium
from versions.environments import ROOT, environment, run

pytestmark = [pytest.mark.matrix, pytest.mark.slow]

# All of them on every Python: where the front end's are not run with the rest, they are matrix tests.
MARKS = "slow or matrix"
TESTS = ("buttons", "cells", "panels", "survives")


@pytest.mark.skipif(chromium() is None, reason="there is no chromium here")
def test_jupyterlab_4_2_and_notebook_7_2() -> None:
    packages = ("jupyterlab==4.2.*", "notebook==7.2.*", "hatchling", "numpy", "pandas")
    folder = environment("lab-4.2", *packages)
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in TESTS]
    command = [sys.executable, "-m", "pytest", *files, "-m", MARKS, "-p", "no:cacheprovider", "-q"]
    env = {**os.environ, "LPF_TEST_LAB_PYTHON": str(folder / "bin" / "python")}
    done = run([*command, "--tb=short"], 1200, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "skipped" not in done.stdout, done.stdout[-6000:]
