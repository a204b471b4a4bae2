"""OpenBLAS cannot be paused; it can be abandoned, and goes on giving right results after that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BLAS = Path(__file__).with_name("blas.py")


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("gil", ["released", "held"])
def test_a_product_that_takes_long_is_abandoned(threads: str, gil: str) -> None:
    numpy = pytest.importorskip("numpy")
    if "openblas" not in numpy.show_config("dicts")["Build Dependencies"]["blas"]["name"]:
        pytest.skip("numpy is not built with OpenBLAS")
    if gil == "held" and not list(
        (Path(numpy.__file__).parent.parent / "numpy.libs").glob("*openblas*")
    ):
        pytest.skip("numpy does not bring its own OpenBLAS")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(BLAS), gil],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
