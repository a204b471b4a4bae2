"""The panels: the stack and the variables of a paused cell, and the cells of all kernels."""

from __future__ import annotations

import re

import pytest

from lab.conftest import ON_ONE_PYTHON
from lab.notebook import Page, expect

pytestmark = [pytest.mark.slow, ON_ONE_PYTHON]

FUNCTION = """
import numpy, pandas
class Hostile:
    def __repr__(self):
        return "<img src=x onerror='document.title = `caught`'>"
def work(n):
    text, hostile = repr(Hostile()), Hostile()
    table = {'key': [1, {'deep': 'found'}], '<b>': n}
    array = numpy.arange(3_000_000).reshape(3, -1)
    data = pandas.DataFrame({'<i>a</i>': range(1_000_000), 'b': 1.5})
    print('go')
    while True:
        pass
"""


# The one below a cell, and the one at the side.
WITHIN, ASIDE = ".lpf-within", ":not(.lpf-within)"


def pause_in_function(lab: Page, name: str, where: str = "lab/tree") -> None:
    lab.open(name, "%load_ext lpf" + FUNCTION, "for step in range(3):\n    work(7)", where=where)
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_output(1, "go")
    lab.press("pause")
    lab.wait_for_bar(1, r"^Paused at line 1[23] in <cell 1>")


@pytest.mark.parametrize("where", ["in the cell", "at the side", "in Notebook 7"])
def test_stack_variables_and_expressions(lab: Page, where: str) -> None:
    pause_in_function(lab, "inspect", "notebooks" if where == "in Notebook 7" else "lab/tree")
    if where == "in the cell":
        lab.bar_button(1, "Inspect").click()
    else:
        lab.select(1)
        lab.keys("p", "i")
    panel = lab.page.locator(f".lpf-inspector{WITHIN if where == 'in the cell' else ASIDE}")
    frames = panel.locator(".lpf-frame")
    expect(frames).to_have_count(2)
    expect(frames.nth(0).locator(".lpf-current")).to_have_text(re.compile("while True|pass"))
    expect(frames.nth(0)).to_contain_text("n = 7 int")
    # Of what is large there is a summary.
    expect(frames.nth(0)).to_contain_text("array = ndarray int64 3 × 1000000: 0, 1, 2, 3, 4, 5, …")
    expect(frames.nth(0)).to_contain_text("data = DataFrame 1,000,000 rows × 2 columns: <i>a</i>")

    panel.locator("summary", has_text="table").click()
    panel.locator("summary", has_text="['key']").click()
    panel.locator("summary", has_text="[1]").last.click()
    expect(panel.locator("li li li li")).to_have_text("['deep'] = 'found' str")
    panel.locator("summary", has_text="data = DataFrame").click()
    panel.locator("summary", has_text="['b']").click()
    # A hundred floats are not called that a hundred times.
    expect(panel.locator("li li li", has_text="[99]")).to_have_text("[99] = 1.5")
    expect(panel.locator("li li", has_text="['b']")).to_contain_text("… 999,900 more")
    panel.locator("summary", has_text="array = ndarray").click()
    expect(panel.locator("summary", has_text="[2]")).to_contain_text("2000000, 2000001")

    field = panel.get_by_label("Expression to evaluate in the frame")
    field.fill("n * 6")
    field.press("Enter")
    expect(panel.get_by_role("log")).to_contain_text("n * 6 = 42")
    # Within the panel, which is full of variables.
    expect(panel.get_by_role("log").get_by_text("n * 6 = 42")).to_be_in_viewport()
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
    expect(panel).to_contain_text("hostile = <img src=x onerror=")
    assert panel.locator("b, i").count() == 0
    assert lab.page.title() != "caught"

    if where == "in the cell":
        lab.bar_button(1, "Cancel").click()
        expect(panel).to_have_count(0)
    else:
        panel.get_by_role("button", name="Cancel").click()
        expect(panel).to_contain_text("The cell has been cancelled.")
    assert not lab.complaints


def test_the_stack_in_a_cell_is_closed_moved_and_read_anew(lab: Page) -> None:
    pause_in_function(lab, "within")
    within, aside = (lab.page.locator(f".lpf-inspector{of}") for of in (WITHIN, ASIDE))
    inspect = lab.bar_button(1, "Inspect")
    inspect.click()
    expect(within.locator(".lpf-frame")).to_have_count(2)
    expect(within).to_be_focused()
    expect(inspect).to_have_attribute("aria-expanded", "true")
    inspect.click()
    expect(within).to_have_count(0)

    inspect.click()
    lab.bar_button(1, "Resume").click()
    expect(within).to_contain_text("The cell runs.")
    lab.press("pause")
    expect(within.locator(".lpf-frame")).to_have_count(2)
    within.get_by_role("button", name="Move to the side").click()
    expect(within).to_have_count(0)
    expect(aside.locator(".lpf-frame")).to_have_count(2)
    lab.bar_button(1, "Cancel").click()
    expect(aside).to_contain_text("The cell has been cancelled.")


def test_each_of_several_paused_cells_is_looked_into(lab: Page) -> None:
    loop = "mine = '{}'\nprint('go')\nwhile True:\n    pass"
    lab.open("both", "%load_ext lpf", loop.format("first"), loop.format("second"))
    lab.run_to_end(0)
    for number in (1, 2):
        lab.run(number)
        lab.wait_for_output(number, "go")
        lab.press("pause")
        lab.wait_for_mark(number, "paused")
    for number in (1, 2):
        lab.bar_button(number, "Inspect").click()
        within = lab.cell(number).locator(".lpf-inspector")
        expect(within.locator(".lpf-muted", has_text=f"in <cell {number + 1}>")).to_have_count(1)
    aside = lab.page.locator(f".lpf-inspector{ASIDE}")
    for number in (1, 2, 1):
        lab.select(number)
        lab.keys("p", "i")
        expect(aside).to_contain_text(re.compile(rf"Paused at line \d in <cell {number + 1}>"))
    # The focus is in the panel; what can be done from everywhere, can be done there.
    expect(aside).to_be_focused()
    lab.save()


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

    tabs = lab.page.locator(".jp-SideBar.jp-mod-left .lm-TabBar-tab")
    titles = [tab.get_attribute("title") or "" for tab in tabs.all()]
    beside = [title.partition(" (")[0] for title in titles]
    assert beside.index("Running and paused cells") == 1 + beside.index(
        "Running Terminals and Kernels"
    )
    lab.page.locator('.jp-SideBar [title^="Running and paused cells"]').click()
    panel = lab.page.locator(".lpf-jobs")
    rows = panel.locator(".lpf-job")
    expect(rows).to_have_count(2)
    other = panel.locator("section", has_text="other.ipynb").locator(".lpf-job")
    expect(other).to_contain_text("[2] paused")
    other.get_by_role("button", name="Resume", exact=True).click()
    expect(other).to_contain_text("[2] running")
    other.get_by_role("button", name="Pause").click()
    expect(other).to_contain_text("[2] paused")
    before = other.inner_text()
    other.get_by_role("button", name="Resume for…").click()
    lab.page.keyboard.type("100ms")
    lab.page.keyboard.press("Enter")
    expect(other).not_to_have_text(before, use_inner_text=True)
    expect(other).to_contain_text("[2] paused")
    other.get_by_role("button", name="Inspect").click()
    expect(lab.page.locator(".lpf-inspector")).to_contain_text("other.ipynb")
    other.get_by_role("button", name="Cancel").click()
    expect(rows).to_have_count(1)
    assert not lab.complaints


def test_a_row_leads_to_its_cell_in_a_notebook_that_is_opened_for_it(lab: Page) -> None:
    between = ["'\n' * 20"] * 30
    lab.open("far", "%load_ext lpf", "print('go')\nwhile True:\n    pass", *between)
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_output(1, "go")
    lab.press("pause")
    lab.wait_for_mark(1, "paused")
    # It is below what is in sight, and its notebook is closed.
    lab.select(1)
    for _ in between:
        lab.keys("Control+Shift+ArrowDown")
    lab.save()
    pause_in_function(lab, "near")

    lab.page.locator('.jp-SideBar [title^="Running and paused cells"]').click()
    rows = lab.page.locator(".lpf-jobs section")
    active = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active")
    for notebook, source in (("far", "print('go')"), ("near", "work(7)"), ("far", "print('go')")):
        go = rows.filter(has_text=f"{notebook}.ipynb").get_by_title("Go to the cell")
        go.click()
        expect(active).to_contain_text(source)
        expect(active.locator(".lpf-bar")).to_be_in_viewport()
    assert not lab.complaints
