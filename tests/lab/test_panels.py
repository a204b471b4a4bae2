"""The panels: the stack and the variables of a paused cell, and the cells of all kernels."""

from __future__ import annotations

import re

import pytest

from lab.conftest import ON_ONE_PYTHON
from lab.notebook import Page, expect

pytestmark = [pytest.mark.slow, ON_ONE_PYTHON]

FUNCTION = """
def work(n):
    text = "<img src=x onerror='document.title = `caught`'>"
    table = {'key': [1, {'deep': 'found'}], '<b>': n}
    print('go')
    while True:
        pass
"""


def pause_in_function(lab: Page, name: str) -> None:
    lab.open(name, "%load_ext lpf" + FUNCTION, "for step in range(3):\n    work(7)")
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_output(1, "go")
    lab.press("pause")
    lab.wait_for_bar(1, "^Paused at line [67] in <cell 1>")


def test_stack_variables_and_expressions(lab: Page) -> None:
    pause_in_function(lab, "inspect")
    lab.bar_button(1, "Inspect").click()
    panel = lab.page.locator(".lpf-inspector")
    frames = panel.locator(".lpf-frame")
    expect(frames).to_have_count(2)
    expect(frames.nth(0).locator(".lpf-current")).to_have_text(re.compile("while True|pass"))
    expect(frames.nth(0)).to_contain_text("n = 7 int")

    panel.locator("summary", has_text="table").click()
    panel.locator("summary", has_text="['key']").click()
    panel.locator("summary", has_text="[1]").last.click()
    expect(panel.locator("li li li li")).to_have_text("['deep'] = 'found' str")

    field = panel.get_by_label("Expression to evaluate in the frame")
    field.fill("n * 6")
    field.press("Enter")
    expect(panel.get_by_role("log")).to_contain_text("n * 6 = 42")
    panel.get_by_label("Frame", exact=True).select_option("1")
    field.fill("step + 100")
    field.press("Enter")
    expect(panel.get_by_role("log")).to_contain_text("step + 100 = 100")
    field.fill("no <b>such</b> thing")
    field.press("Enter")
    expect(panel.locator(".lpf-problem")).to_contain_text("invalid syntax")

    # What a program says about itself is text, and nothing but text.
    expect(panel).to_contain_text("<img src=x onerror=")
    assert panel.locator("img").count() == 0
    assert panel.locator("b").count() == 0
    assert lab.page.title() != "caught"

    panel.get_by_role("button", name="Cancel").click()
    expect(panel).to_contain_text("The cell has been cancelled.")
    assert not lab.complaints


def test_the_line_is_highlighted_in_the_cell_where_it_is(lab: Page) -> None:
    pause_in_function(lab, "line")
    expect(lab.cell(0).locator(".lpf-here")).to_have_text(re.compile("while True|pass"))
    expect(lab.cell(1).locator(".lpf-here")).to_have_count(0)
    lab.bar_button(1, "Cancel").click()
    expect(lab.cell(0).locator(".lpf-here")).to_have_count(0)


def test_the_cells_of_all_kernels(lab: Page) -> None:
    # A kernel of which this page has no notebook open.
    lab.open("other", "%load_ext lpf\nprint('other')", "while True:\n    pass")
    lab.run_to_end(0)
    lab.run(1)
    lab.press("pause")
    lab.wait_for_mark(1, "paused")
    pause_in_function(lab, "mine")

    lab.page.locator('.jp-SideBar [title^="Running and paused cells"]').click()
    panel = lab.page.locator(".lpf-jobs")
    rows = panel.locator(".lpf-job")
    expect(rows).to_have_count(2)
    other = panel.locator("section", has_text="other.ipynb").locator(".lpf-job")
    expect(other).to_contain_text("[2] paused")
    other.get_by_role("button", name="Resume").click()
    expect(other).to_contain_text("[2] running")
    other.get_by_role("button", name="Pause").click()
    expect(other).to_contain_text("[2] paused")
    other.get_by_role("button", name="Inspect").click()
    expect(lab.page.locator(".lpf-inspector")).to_contain_text("other.ipynb")
    other.get_by_role("button", name="Cancel").click()
    expect(rows).to_have_count(1)
    assert not lab.complaints
