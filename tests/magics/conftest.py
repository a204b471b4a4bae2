"""One IPython shell for these tests, and jobs that stand still at a line of the test's choosing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.async_helpers import get_asyncio_loop
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import lpf
from magics.fakes import FakeJob


@pytest.fixture(scope="session")
def shell() -> Iterator[InteractiveShell]:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor" if _ipython_9() else "NoColor"
    shell = InteractiveShell.instance(config=config)
    yield shell
    InteractiveShell.clear_instance()
    get_asyncio_loop().close()


@pytest.fixture
def paused() -> Iterator[Callable[..., FakeJob]]:
    """A function that launches another, which must pause itself, and returns it as a job."""
    launched = []

    def launch(function: Callable[..., object], *args: object, **known: Any) -> FakeJob:
        continuation = lpf.launch(function, *args)
        assert continuation.state == "paused"
        launched.append(continuation)
        return FakeJob(len(launched), continuation, **known)

    yield launch
    for continuation in launched:
        with contextlib.suppress(lpf.StateError):
            # IPython unwinds through its own traceback printer, slowly on a busy machine.
            continuation.cancel(grace=30)


def _ipython_9() -> bool:
    import IPython

    return IPython.version_info[0] >= 9
