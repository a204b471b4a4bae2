"""Kernels that are found by their processes, and the command line in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_core.utils import ensure_event_loop

from ipython.kernels import Kernel


@pytest.fixture(scope="session", autouse=True)
def loop_of_jupyter_client() -> Iterator[None]:
    """jupyter_client makes an event loop for its blocking calls and leaves it open."""
    yield
    ensure_event_loop().close()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture
def bare() -> Iterator[Kernel]:
    """A kernel without lpf."""
    kernel = Kernel(load=False)
    yield kernel
    kernel.close()


class Done:
    """What a command has printed, and its exit status."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def jupyter_lpf(*arguments: Any) -> Done:
    return Done(
        subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120
        )
    )


COMMAND = (sys.executable, "-m", "lpf_ipython.command.main")
