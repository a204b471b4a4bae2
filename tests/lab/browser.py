"""Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LIMIT = 30_000


def chromium() -> str | None:
    """Return the path of the system's browser."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """One browser."""

    def __init__(self) -> None:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=chromium(), args=list(_QUIET)
        )

    @contextlib.contextmanager
    def page(self, **options: Any) -> Iterator[Any]:
        """Give a page with cookies and storage of its own; its uncaught exceptions are in `complaints`."""
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = self._browser.new_context(**options)
        context.set_default_timeout(LIMIT)
        page = context.new_page()
        page.complaints = []
        page.on("pageerror", lambda problem: page.complaints.append(problem.stack))
        try:
            yield page
        finally:
            context.close()

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()
