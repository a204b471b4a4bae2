"""A page that is loaded anew, a second window, a lost network, the end of a kernel, settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

from lab.browser import Browser
from lab.conftest import ON_ONE_PYTHON
from lab.notebook import Page, expect
from lab.server import Server
from lab.wire import Wire

pytestmark = [pytest.mark.slow, ON_ONE_PYTHON]

ASIDE = ".lpf-inspector:not(.lpf-within)"
TEXTS = (
    ".lpf-bar-text",
    ".lpf-bar .lpf-button",
    ".lpf-frame summary",
    ".lpf-frame summary .lpf-muted",
    ".lpf-line:not(.lpf-current) .lpf-muted",
    ".lpf-current",
    ".lpf-name",
    ".lpf-value",
    ".lpf-type",
    ".lpf-expression",
    ".lpf-here",
    ".lpf-heading",
    ".lpf-job",
    ".lpf-job .lpf-muted",
    ".lpf-job .lpf-button",
)
LOOP = "print('go')\nwhile not done:\n    pass\nprint('ended by itself')\n'a value'"


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server.port)
    yield wire
    wire.close()


def pause_second_cell(lab: Page, name: str) -> None:
    lab.open(name, "%load_ext lpf\ndone = False", LOOP, "done = True")
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_output(1, "go")
    lab.press("pause")
    lab.wait_for_mark(1, "paused")


def test_a_page_that_is_loaded_anew(lab: Page) -> None:
    pause_second_cell(lab, "reload")
    lab.save()
    lab.page.reload()
    lab.wait_for_kernel()
    lab.wait_for_prompt(1, r"\*")
    lab.wait_for_bar(1, "^Paused at line [23]")
    lab.run_to_end(2)
    lab.bar_button(1, "Resume").click()
    lab.wait_for_output(1, "go.*ended by itself.*a value")
    lab.wait_for_prompt(1, "2")
    expect(lab.bar(1)).to_have_count(0)


def test_a_cell_that_is_drawn_late_in_a_page_that_is_loaded_anew(lab: Page, server: Server) -> None:
    # So JupyterLab gives a cell its parts only when it comes near to what is seen.
    server.set("@jupyterlab/notebook-extension:tracker", windowingMode="full")
    far = 60
    fillers = [f"x{number} = {number}\n#\n#" for number in range(1, far)]
    name = server.new_notebook(
        "far", "%load_ext lpf\ndone = False", *fillers, "while not done:\n    pass\n'a value'"
    )
    cell = lab.page.locator(".jp-CodeCell", has_text="while not done")
    try:
        lab.visit(f"lab/tree/{name}?reset")
        lab.run_to_end(0)
        lab.keys(*["ArrowDown"] * far, "Control+Enter")
        lab.press("pause")
        expect(cell.locator(".lpf-bar-text")).to_contain_text("Paused at line")
        lab.save()
        lab.page.reload()
        lab.wait_for_kernel()
        lab.wait_for_button("pause", title="Resume")
        expect(cell.locator(".jp-InputArea")).to_have_count(0)
        lab.select(0)
        lab.keys(*["ArrowDown"] * far)
        expect(cell.locator(".jp-Cell-inputWrapper + .lpf-bar")).to_contain_text("Paused at line")
        expect(cell.locator(".lpf-here")).to_have_count(1)
        prompt = cell.locator(".jp-InputPrompt").first
        expect(prompt).to_have_text("[*]:")
        expect(prompt).to_have_attribute("data-lpf", "paused")
        cell.locator(".lpf-bar").get_by_role("button", name="Cancel").click()
        expect(cell.locator(".jp-Cell-outputWrapper")).to_contain_text("CellCancelled")
        assert not lab.complaints
    finally:
        server.set("@jupyterlab/notebook-extension:tracker")


def test_a_paused_cell_that_is_moved(lab: Page) -> None:
    pause_second_cell(lab, "moved")
    lab.select(1)
    lab.keys("Control+Shift+ArrowDown")
    lab.wait_for_bar(2, "^Paused at line [23]")
    lab.wait_for_mark(2, "paused")
    expect(lab.cell(2).locator(".lpf-here")).to_have_count(1)
    lab.run_to_end(1)
    lab.bar_button(2, "Resume").click()
    lab.wait_for_output(2, "go.*ended by itself.*a value")
    lab.wait_for_prompt(2, "2")
    assert not lab.complaints


def test_two_windows(lab: Page, browser: Browser, server: Server) -> None:
    pause_second_cell(lab, "windows")
    lab.save()
    with browser.page() as page:
        second = Page(page, server)
        second.visit("lab/workspaces/second/tree/windows.ipynb?reset")
        second.wait_for_bar(1, "^Paused at line [23]")
        second.bar_button(1, "Resume").click()
        lab.wait_until_it_runs(1)
        second.wait_until_it_runs(1)
        second.press("pause")
        lab.wait_for_mark(1, "paused")
        lab.run_to_end(2)
        lab.bar_button(1, "Resume").click()
        lab.wait_for_output(1, "go\nended by itself\n.*a value")
        second.wait_for_output(1, "go.*ended by itself.*a value")
        second.wait_for_prompt(1, "2")
        assert not second.complaints
    assert not lab.complaints


def test_a_restart_ends_it_all(lab: Page) -> None:
    pause_second_cell(lab, "restart")
    lab.bar_button(1, "Inspect").click()
    expect(lab.cell(1).locator(".lpf-inspector .lpf-frame")).to_have_count(1)
    lab.select(1)
    lab.keys("p", "i")
    expect(lab.page.locator(ASIDE + " .lpf-frame")).to_have_count(1)
    lab.select(0)
    lab.keys("0", "0")
    lab.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(lab.bar(1)).to_have_count(0)
    lab.wait_for_mark(1, "")
    expect(lab.cell(1).locator(".lpf-here")).to_have_count(0)
    expect(lab.cell(1).locator(".lpf-inspector")).to_have_count(0)
    expect(lab.page.locator(ASIDE)).to_contain_text("The kernel was restarted")
    lab.wait_for_button("pause", enabled=True, title="Pause: lpf is not loaded")
    lab.run_to_end(0)
    lab.wait_for_button("pause", enabled=False)
    assert not lab.complaints


def test_a_kernel_that_dies(lab: Page) -> None:
    pause_second_cell(lab, "death")
    lab.insert_and_run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    expect(lab.bar(1)).to_have_count(0)
    lab.wait_for_mark(1, "")


def test_a_kernel_that_is_shut_down(lab: Page) -> None:
    pause_second_cell(lab, "shutdown")
    lab.menu("Kernel", "Shut Down Kernel")
    expect(lab.bar(1)).to_have_count(0)
    lab.wait_for_mark(1, "")
    lab.wait_for_button("pause", enabled=False)
    lab.wait_for_button("cancel", enabled=False)
    assert not lab.complaints


def test_the_network_was_gone(lab: Page, server: Server, wire: Wire) -> None:
    server.new_notebook("network", "%load_ext lpf\ndone = False", LOOP, "done = True")
    lab.visit("lab/tree/network.ipynb?reset", f"http://127.0.0.1:{wire.port}")
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_output(1, "go")
    lab.wait_until_it_runs(1)
    wire.cut()
    lab.wait_for_status("(Disc|C)onnect")
    # Meanwhile somebody else pauses it.
    [kernel] = server.ask("api/kernels")
    server.ask(f"lpf/signal/{kernel['id']}", "POST")
    wire.mend()
    # JupyterLab tries again after longer and longer random times, of half a minute in the end.
    lab.wait_for_bar(1, "^Paused by a signal at line [23]", seconds=90)
    lab.run_to_end(2)
    lab.bar_button(1, "Resume").click()
    lab.wait_for_output(1, "go.*ended by itself.*a value")
    lab.wait_for_prompt(1, "2")
    assert not lab.complaints


def test_a_notebook_that_cannot_be_written(lab: Page, server: Server) -> None:
    def refuse_writes(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "writable": False})

    lab.page.route(re.compile(r"/api/contents/readonly\.ipynb\?"), refuse_writes)
    path = server.notebooks / server.new_notebook("readonly", "%load_ext lpf\ndone = False", LOOP)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.update(editable=False, deletable=False)
    nbformat.write(notebook, path)
    lab.visit("lab/tree/readonly.ipynb?reset")
    lab.run_to_end(0)
    lab.run(1)
    lab.press("pause")
    lab.wait_for_bar(1, "^Paused at line [23]")
    expect(lab.cell(1).locator(".lpf-here")).to_have_count(1)
    lab.bar_button(1, "Inspect").click()
    expect(lab.cell(1).locator(".lpf-inspector .lpf-frame")).to_have_count(1)
    lab.bar_button(1, "Resume").click()
    lab.press("cancel")
    lab.wait_for_output(1, "CellCancelled")
    assert not lab.complaints


def test_a_kernel_in_which_lpf_is_not_installed(lab: Page) -> None:
    lab.open("missing", "import sys; sys.modules['lpf'] = None", LOOP)
    lab.run_to_end(0)
    lab.press("pause")
    lab.page.get_by_role("button", name="Load", exact=True).click()
    lab.wait_for_notification("lpf could not be loaded: is lpf-ipython installed")
    assert not lab.complaints


def test_lpf_is_loaded_by_itself_if_that_is_set(lab: Page, server: Server) -> None:
    server.set("jupyterlab-lpf:plugin", loadByItself=True)
    try:
        lab.open("setting", "while True:\n    pass")
        lab.wait_for_button("pause", enabled=False, title="Pause the running cell")
        lab.run(0)
        lab.press("pause")
        lab.wait_for_mark(0, "paused")
    finally:
        server.set("jupyterlab-lpf:plugin")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_all_text_can_be_read_in_both_themes(lab: Page, server: Server, theme: str) -> None:
    server.set("@jupyterlab/apputils-extension:themes", theme=f"JupyterLab {theme}")
    try:
        pause_second_cell(lab, f"theme-{theme}")
        lab.bar_button(1, "Inspect").click()
        expect(lab.page.locator(".lpf-inspector .lpf-frame")).to_have_count(1)
        lab.page.locator('.jp-SideBar [title^="Running and paused cells"]').click()
        expect(lab.page.locator(".lpf-job")).to_have_count(1)
        for shown in TEXTS:
            contrast = lab.contrast(shown)
            assert contrast >= 4.5, f"{shown}: {contrast:.2f}"
        _, behind = lab.colours(".lpf-inspector")
        assert (max(behind) < 128) == (theme == "Dark")
    finally:
        server.set("@jupyterlab/apputils-extension:themes")
