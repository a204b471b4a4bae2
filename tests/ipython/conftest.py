"""Kernels for tests: one that is shared, and fresh ones for tests that end or break theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jupyter_core.utils import ensure_event_loop

from ipython.kernels import Kernel


@pytest.fixture(scope="session", autouse=True)
def loop_of_jupyter_client() -> Iterator[None]:
    """jupyter_client makes an event loop for its blocking calls and leaves it open."""
    yield
    ensure_event_loop().close()


@pytest.fixture(scope="session")
def shared_kernel(loop_of_jupyter_client: None) -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Iterator[Kernel]:
    """The shared kernel; nothing may be left running or paused in it."""
    yield shared_kernel
    jobs = shared_kernel.control("lpf_jobs_request")["jobs"]
    left = [job["id"] for job in jobs if job["state"] in ("running", "paused")]
    for job in left:
        shared_kernel.control("lpf_cancel_request", job=job)
    assert not left
    # At idle an interrupt is nobody's; the kernel notes whose it was before it runs a cell.
    idle = shared_kernel.value("get_ipython().kernel.saved_sigint_handler")
    assert "SIG_IGN" in idle


@pytest.fixture
def fresh() -> Iterator[Kernel]:
    """A kernel of the test's own."""
    kernel = Kernel()
    yield kernel
    kernel.close()
