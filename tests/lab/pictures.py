"""Takes the pictures in the README: ``python tests/lab/pictures.py``, from the project's directory.

They are looked at by eye; no test compares them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.browser import Browser
from lab.notebook import Page
from lab.server import PROJECT, Server

PICTURES = PROJECT / "notebooks" / "pictures"
LOAD = "%load_ext lpf"
SEARCH = """\
def collatz(start):
    steps, n = 0, start
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps

longest = {"start": 1, "steps": 0}
for start in range(2, 10**12):
    steps = collatz(start)
    if steps > longest["steps"]:
        longest = {"start": start, "steps": steps}"""


def main() -> None:
    """Take them."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        server, browser = Server(Path(directory)), Browser()
        try:
            with browser.page(viewport={"width": 1250, "height": 600}) as page:
                lab = Page(page, server)
                paused_cell(lab)
                page.locator(".jp-NotebookPanel").screenshot(path=PICTURES / "paused-cell.png")
                panels(lab, page)
                page.screenshot(path=PICTURES / "panels.png")
        finally:
            browser.close()
            server.close()


def paused_cell(lab: Page) -> None:
    """Pause a search, with a cell behind it, and look at a variable meanwhile."""
    lab.open("search", LOAD, SEARCH, "print(longest)", "longest")
    lab.keys("Control+b")  # The file browser away.
    lab.run_to_end(0)
    lab.run(1)
    lab.run(2)
    lab.wait_for_mark(1, r"2 s")
    lab.press("pause")
    lab.wait_for_mark(1, "paused")
    lab.run_to_end(3)


def panels(lab: Page, page: Any) -> None:
    """Open both panels and look into the frames."""
    page.set_viewport_size({"width": 1250, "height": 720})
    lab.select(1)
    lab.keys("p", "i")
    inspector = page.locator(".lpf-inspector")
    frames = inspector.locator(".lpf-frame")
    frames.first.wait_for()
    if frames.count() > 1:
        frames.last.locator("summary").first.click()
    inspector.locator("summary", has_text="longest =").click()
    field = inspector.get_by_label("Expression to evaluate in the frame")
    field.fill("start / longest['start']")
    inspector.get_by_label("Frame", exact=True).select_option(index=frames.count() - 1)
    field.press("Enter")
    inspector.get_by_role("log").locator(".lpf-value").wait_for()
    page.locator('.jp-SideBar [title^="Running and paused cells"]').click()
    page.locator(".lpf-job").wait_for()
    inspector.evaluate("panel => { panel.scrollTop = 0; }")


if __name__ == "__main__":
    main()
