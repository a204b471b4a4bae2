"""A Jupyter server with the buttons as they are in this tree, and a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.browser import Browser, chromium
from lab.notebook import Page
from lab.server import Server

# The front end is the same for all of them.
ON_ONE_PYTHON = pytest.mark.slow if sys.version_info[:2] == (3, 13) else pytest.mark.matrix
# The interpreter of an environment with another JupyterLab; see test_versions.
PYTHON = os.environ.get("LPF_TEST_LAB_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), python=PYTHON)
    yield server
    server.close()


# Not for the whole session: while Playwright is on, its event loop runs in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("there is no chromium here")
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def lab(server: Server, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page of JupyterLab with nothing open."""
    with browser.page() as page:
        yield Page(page, server)
        page.screenshot(path=tmp_path / "end.png")
        server.end_kernels()
