"""CPython's own tests of asyncio, with the task factory of lpf.aio on every loop."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("test.test_asyncio") is None, reason="no test.test_asyncio here"
    ),
]

SECONDS = 300
# These tests count on what asyncio promises, that nobody else runs in the middle of a step: one that
# was preempted there fails, as on a busy machine it may be, or waits for ever for what it has missed.
# With a quantum that no step uses up, everything else is tested: tasks, steps, contexts, errors.
NEVER_OVER = 60.0

# Those that take a second or two.
QUICK = [
    "test_context",
    "test_eager_task_factory",
    "test_futures",
    "test_locks",
    "test_pep492",
    "test_queues",
    "test_taskgroups",
    "test_timeouts",
    "test_waitfor",
]

REST = [
    "test_base_events",
    "test_buffered_proto",
    "test_futures2",
    "test_runners",
    "test_selector_events",
    "test_sendfile",
    "test_server",
    "test_sock_lowlevel",
    "test_ssl",
    "test_sslproto",
    "test_streams",
    "test_subprocess",
    "test_tasks",
    "test_threads",
    "test_unix_events",
]

# They look whether a loop has no task factory at first, or set one that is no function.
EXPECTED = {
    "BaseEventLoopTests.test_set_task_factory",
    "BaseEventLoopTests.test_set_task_factory_invalid",
}


def _passes(module: str, quantum: float) -> None:
    if importlib.util.find_spec(f"test.test_asyncio.{module}") is None:
        pytest.skip("not in this Python")
    script = Path(__file__).parent / "suite.py"
    done = subprocess.run(
        [sys.executable, str(script), module, str(quantum)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["ran"] > 0
    assert set(result["failed"]) <= EXPECTED, done.stderr
    if module == "test_tasks":
        assert result["replaced"] > 0


@pytest.mark.parametrize("module", QUICK)
def test_a_module_passes_with_preemptible_tasks(module: str) -> None:
    _passes(module, NEVER_OVER)


@pytest.mark.matrix
@pytest.mark.parametrize("module", REST)
def test_one_of_the_others_passes_with_preemptible_tasks(module: str) -> None:
    _passes(module, NEVER_OVER)


@pytest.mark.matrix  # For a machine that has nothing else to do.
@pytest.mark.parametrize("module", ["test_locks", "test_queues", "test_taskgroups", "test_streams"])
def test_a_module_passes_with_a_quantum(module: str) -> None:
    _passes(module, 0.002)
