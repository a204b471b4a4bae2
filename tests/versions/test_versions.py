"""The tests of kernels and magics with other versions of ipykernel and IPython.

    .venvs/3.12/bin/pytest -m matrix tests/versions/test_versions.py

The packages come before those that are installed, by PYTHONPATH. Takes a quarter of an hour.
"""

from __future__ import annotations

import sys

import pytest

from versions.environments import ROOT, overlay, run

pytestmark = [pytest.mark.matrix, pytest.mark.slow]

VERSIONS = [
    ("6.29.5", "8.39.0"),
    ("6.31.0", ""),
    ("7.1.0", ""),
    ("7.4.0", "8.39.0"),
    ("7.4.0", ""),
]
SELF = ["--ignore=tests/versions", "-m", "not matrix", "-p", "no:cacheprovider", "-q", "--tb=short"]


@pytest.mark.parametrize(("ipykernel", "ipython"), VERSIONS)
def test_kernels_and_magics(ipykernel: str, ipython: str) -> None:
    packages = [f"ipykernel=={ipykernel}"]
    if ipython:
        packages += [f"ipython=={ipython}", "decorator"]  # Which IPython 9 does without.
    env = overlay(f"ipykernel-{ipykernel}-ipython-{ipython or 'here'}", *packages)
    asked = "import ipykernel, IPython; print(ipykernel.__version__, IPython.__version__)"
    found = run([sys.executable, "-c", asked], 60, env=env, cwd=ROOT)
    assert found.stdout.split()[0] == ipykernel
    assert found.stdout.split()[1].startswith(ipython)
    command = [sys.executable, "-m", "pytest", "tests/ipython", "tests/magics", *SELF]
    done = run(command, 900, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-6000:]
