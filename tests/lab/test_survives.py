"""A page that is loaded anew, a second window, a restart, a setting, the dark theme."""

from __future__ import annotations

import pytest

from lab.browser import Browser
from lab.conftest import ON_ONE_PYTHON
from lab.notebook import Page, expect
from lab.server import Server

pytestmark = [pytest.mark.slow, ON_ONE_PYTHON]

LOOP = "print('go')\nwhile not done:\n    pass\nprint('ended by itself')\n'a value'"


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


def test_two_windows(lab: Page, browser: Browser, server: Server) -> None:
    pause_second_cell(lab, "windows")
    lab.save()
    with browser.page() as page:
        second = Page(page, server)
        second.visit("lab/workspaces/second/tree/windows.ipynb?reset")
        second.wait_for_bar(1, "^Paused at line [23]")
        second.bar_button(1, "Resume").click()
        lab.wait_for_mark(1, r"\d s")
        second.wait_for_mark(1, r"\d s")
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
    expect(lab.page.locator(".lpf-inspector .lpf-frame")).to_have_count(1)
    lab.select(0)
    lab.keys("0", "0")
    lab.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(lab.bar(1)).to_have_count(0)
    lab.wait_for_mark(1, "")
    expect(lab.cell(1).locator(".lpf-here")).to_have_count(0)
    expect(lab.page.locator(".lpf-inspector")).to_contain_text("The kernel was restarted")
    lab.wait_for_button("pause", enabled=True, title="Pause: lpf is not loaded")
    lab.run_to_end(0)
    lab.wait_for_button("pause", enabled=False)
    assert not lab.complaints


def test_a_kernel_that_dies(lab: Page) -> None:
    pause_second_cell(lab, "death")
    lab.insert_and_run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    expect(lab.bar(1)).to_have_count(0)
    lab.wait_for_mark(1, "")


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


def test_the_dark_theme(lab: Page, server: Server) -> None:
    server.set("@jupyterlab/apputils-extension:themes", theme="JupyterLab Dark")
    try:
        pause_second_cell(lab, "dark")
        lab.bar_button(1, "Inspect").click()
        expect(lab.page.locator(".lpf-inspector .lpf-frame")).to_have_count(1)
        for shown in (".lpf-bar-text", ".lpf-inspector", ".lpf-current", ".lpf-button >> nth=0"):
            light, dark = lab.colours(shown)
            assert min(light) > 150, f"the text of {shown} is {light}"
            assert max(dark) < 140, f"what is behind {shown} is {dark}"
    finally:
        server.set("@jupyterlab/apputils-extension:themes")
