"""Correctness under fire: fire.py in processes of its own, since what it looks for kills those."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIRE = Path(__file__).with_name("fire.py")

# The C library's and CPython's own checks of the heap.
CHECKED = {"PYTHONMALLOC": "debug", "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}


def burn(seconds: float, environment: dict[str, str], *names: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(FIRE), str(seconds)]
        + (["", *names] if names else []),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds * 3 + 240,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("ok"), done.stdout


@pytest.mark.slow  # Seconds of work on purpose; it looks at results, not at times.
@pytest.mark.parametrize("environment", [{}, CHECKED], ids=["plain", "checked"])
def test_sliced_native_work_gives_the_results_of_the_plain_run(
    environment: dict[str, str],
) -> None:
    burn(10, environment)


@pytest.mark.matrix
@pytest.mark.parametrize("environment", [{}, CHECKED], ids=["plain", "checked"])
def test_the_same_for_minutes(environment: dict[str, str]) -> None:
    burn(180, environment)
