"""A page of JupyterLab or Notebook 7 as its user sees it."""

from __future__ import annotations

import re
from typing import Any

from lab.server import TOKEN, Server

# Seconds until what is waited for is thought not to come any more.
PATIENCE = 20
_CELLS = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell"


class Page:
    """What a user does and sees. Waits are for something to be visible, never for a time."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page = page
        self.server = server

    def open(self, name: str, *cells: str, where: str = "lab/tree") -> None:
        """Open a new notebook with these cells and wait until its kernel has answered."""
        self.server.new_notebook(name, *cells)
        self.visit(f"{where}/{name}.ipynb{'?reset' if where.startswith('lab') else ''}")

    def visit(self, path: str, server: str = "") -> None:
        """Open a page of the server, or of the one at another address."""
        separator = "&" if "?" in path else "?"
        self.page.goto(f"{server or self.server.url}/{path}{separator}token={TOKEN}")
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        expect(self.button("pause")).not_to_have_attribute("title", re.compile("nothing is known"))

    def cell(self, number: int) -> Any:
        """Return the cell with this index, from 0."""
        return self.page.locator(_CELLS).nth(number)

    def select(self, number: int) -> None:
        """Make a cell the active one, in command mode."""
        self.cell(number).locator(".jp-InputPrompt").click()

    def run(self, number: int) -> None:
        """Run a cell in place, without a wait for its end."""
        self.select(number)
        self.page.keyboard.press("Control+Enter")

    def run_to_end(self, number: int) -> None:
        self.run(number)
        self.wait_for_prompt(number, r"\d+")

    def wait_for_prompt(self, number: int, pattern: str) -> None:
        """Wait until a cell's prompt says ``[pattern]:``."""
        expect(self.cell(number).locator(".jp-InputPrompt").first).to_have_text(
            re.compile(rf"\[{pattern}\]:")
        )

    def wait_for_output(self, number: int, pattern: str) -> None:
        expect(self.cell(number).locator(".jp-Cell-outputWrapper")).to_have_text(
            re.compile(pattern, re.DOTALL)
        )

    def button(self, name: str) -> Any:
        """Return a button of the notebook's toolbar, ``pause`` or ``cancel``."""
        return self.page.locator(
            f'.jp-NotebookPanel:not(.lm-mod-hidden) [data-jp-item-name="lpf-{name}"] jp-button'
        )

    def press(self, name: str) -> None:
        """Press a button of the toolbar as soon as it can be pressed."""
        self.wait_for_button(name, enabled=True)
        self.button(name).click()

    def wait_for_button(
        self, name: str, *, enabled: bool | None = None, title: str | None = None
    ) -> None:
        """Wait until a button of the toolbar is so; *title* is a pattern for its beginning."""
        if enabled is not None:
            state = "false" if enabled else "true"
            expect(self.button(name)).to_have_attribute("aria-disabled", state)
        if title is not None:
            expect(self.button(name)).to_have_attribute("title", re.compile(f"^{title}"))

    def bar(self, number: int) -> Any:
        """Return the bar in a cell."""
        return self.cell(number).locator(".lpf-bar")

    def bar_button(self, number: int, name: str) -> Any:
        return self.bar(number).get_by_role("button", name=name, exact=True)

    def wait_for_bar(self, number: int, pattern: str, *, seconds: float = PATIENCE) -> None:
        """Wait until there is a bar in a cell whose sentence is like *pattern*."""
        text = self.bar(number).locator(".lpf-bar-text")
        expect(text).to_have_text(re.compile(pattern), timeout=seconds * 1000)

    def wait_for_mark(self, number: int, pattern: str) -> None:
        """Wait until the word at a cell's prompt is like *pattern*."""
        prompt = self.cell(number).locator(".jp-InputPrompt").first
        expect(prompt).to_have_attribute("data-lpf", re.compile(f"^{pattern}$"))

    def wait_until_it_runs(self, number: int) -> None:
        """Wait until the word at a cell's prompt says for how long it has been running."""
        self.wait_for_mark(number, r"(\d+ (h|min|s) ?)+")

    def wait_for_status(self, pattern: str) -> None:
        """Wait until the kernel's indicator says so."""
        indicator = self.page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator")
        expect(indicator).to_have_attribute("data-status", re.compile(pattern, re.IGNORECASE))

    def wait_for_notification(self, text: str) -> None:
        expect(self.page.locator(".Toastify__toast").get_by_text(text)).to_be_visible()

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, target: Any) -> None:
        """Press Tab until *target* has the focus."""
        for _ in range(30):
            self.keys("Tab")
            if target.evaluate("node => node === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {target}")

    def menu(self, *names: str) -> None:
        """Choose from the main menu."""
        for name in names:
            self.page.get_by_role("menuitem", name=name).first.click()

    def save(self) -> None:
        """Save the notebook, and wait until that is done."""
        with self.page.expect_response(
            lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url
        ):
            self.keys("Control+s")

    def colours(self, selector: str) -> tuple[list[float], list[float]]:
        """Return red, green and blue of an element's text, and of what is behind it."""
        text, behind = self.page.locator(selector).first.evaluate(_COLOURS)
        return _rgb(text), _rgb(behind)

    def contrast(self, selector: str) -> float:
        """Return how well an element's text can be read: 21 is black on white, WCAG asks for 4.5."""
        text, behind = map(_luminance, self.colours(selector))
        return (max(text, behind) + 0.05) / (min(text, behind) + 0.05)

    def insert_and_run(self, source: str) -> None:
        """Put a new cell below the second one and run it; those below are one further down."""
        self.select(1)
        before = self.page.locator(_CELLS).count()
        self.keys("b")
        expect(self.page.locator(_CELLS)).to_have_count(before + 1)
        self.cell(2).locator(".cm-content").click()
        expect(self.cell(2).locator(".cm-content")).to_be_focused()
        self.page.keyboard.insert_text(source)
        self.keys("Control+Enter")

    @property
    def complaints(self) -> list[str]:
        """Uncaught exceptions that our code has to do with."""
        return [stack for stack in self.page.complaints if "jupyterlab-lpf" in stack]

    def picture(self, path: Any) -> None:
        self.page.screenshot(path=str(path))


_COLOURS = """node => {
    const behind = [];
    for (let each = node; each; each = each.parentElement) {
        behind.push(getComputedStyle(each).backgroundColor);
    }
    // color-mix computes to color(srgb …); a canvas knows all forms.
    const context = document.createElement('canvas').getContext('2d');
    for (const colour of behind.reverse()) {
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
    }
    const shown = () => `rgb(${[...context.getImageData(0, 0, 1, 1).data].slice(0, 3).join()})`;
    const ground = shown();
    // Text may be translucent.
    context.fillStyle = getComputedStyle(node).color;
    context.fillRect(0, 0, 1, 1);
    return [shown(), ground];
}"""


def _luminance(colour: list[float]) -> float:
    """Return the relative luminance, as WCAG 2 defines it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(colour: str) -> list[float]:
    return [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]


def expect(locator: Any) -> Any:
    """Playwright's assertion that waits."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE * 1000)
    return expect(locator)
