"""What cells show about themselves, and the buttons in them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lab.conftest import ON_ONE_PYTHON
from lab.notebook import Page, expect
from lab.server import Server

pytestmark = [pytest.mark.slow, ON_ONE_PYTHON]

PALETTE = (
    "Resume Paused Cell",
    "Resume Paused Cell For…",
    "Cancel Cell",
    "Inspect Paused Cell",
    "Show Running and Paused Cells",
)
MENU = (
    "Resume Cell",
    "Resume Paused Cell For…",
    "Cancel Cell",
    "Inspect Paused Cell",
    "Load lpf in This Kernel",
)
LOOP = "print('go')\nwhile not done:\n    pass\nprint('ended by itself')"


def pause_second_cell(lab: Page, name: str, *more: str) -> None:
    """Open a notebook whose second cell does not end by itself, run all, and pause that cell."""
    lab.open(name, "%load_ext lpf\ndone = False", LOOP, *more)
    lab.run_to_end(0)
    for number in range(1, 2 + len(more)):
        lab.run(number)
    lab.wait_for_output(1, "go")
    lab.press("pause")
    lab.wait_for_bar(1, r"^Paused at line [23] in <cell 2> · [\d.]+ m?s, CPU [\d.]+ m?s$")


def test_the_bar_resumes_for_a_while_and_cancels(lab: Page) -> None:
    pause_second_cell(lab, "bar")
    lab.wait_for_mark(1, "paused")
    lab.bar_button(1, "Resume for…").click()
    lab.page.keyboard.type("200ms")
    lab.page.keyboard.press("Enter")
    lab.wait_for_bar(1, r"^Paused after its time at line [23] ")
    lab.bar_button(1, "Cancel").click()
    lab.wait_for_output(1, "CellCancelled")
    lab.wait_for_mark(1, "cancelled")
    expect(lab.bar(1)).to_have_count(0)
    lab.run(1)
    lab.wait_for_mark(1, r"\d s")
    assert not lab.complaints


def test_nonsense_for_a_span_of_time_is_told(lab: Page) -> None:
    pause_second_cell(lab, "nonsense")
    lab.bar_button(1, "Resume for…").click()
    lab.page.keyboard.type("<b>soon</b>")
    lab.page.keyboard.press("Enter")
    lab.wait_for_notification("“<b>soon</b>” is no span of time")
    lab.wait_for_mark(1, "paused")


def test_cells_that_wait_are_marked_and_can_be_taken_out(lab: Page) -> None:
    pause_second_cell(lab, "queue", "print('third')", "print('fourth')")
    for number in (2, 3):
        lab.wait_for_mark(number, "waits")
    lab.bar_button(2, "Take out").click()
    lab.wait_for_prompt(2, " ")
    lab.wait_for_mark(2, "")
    lab.wait_for_mark(3, "waits")
    lab.insert_and_run("done = True")
    lab.bar_button(1, "Resume").click()
    lab.wait_for_output(1, "ended by itself")
    lab.wait_for_output(4, "fourth")
    lab.wait_for_prompt(3, " ")


def test_a_cell_behind_a_running_one_is_taken_out(lab: Page) -> None:
    lab.open("behind", "%load_ext lpf\ndone = False", LOOP, "print('third')")
    lab.run_to_end(0)
    lab.run(1)
    lab.run(2)
    lab.wait_for_mark(1, r"\d s")
    lab.bar_button(2, "Take out").click()
    lab.press("cancel")
    lab.wait_for_output(1, "CellCancelled")
    lab.wait_for_prompt(2, " ")


def test_everything_can_be_done_with_the_keyboard(lab: Page) -> None:
    lab.open("keyboard", "%load_ext lpf\ndone = False", LOOP)
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_button("pause", enabled=True)
    lab.keys("p", "p")
    lab.wait_for_mark(1, "paused")
    # From the cell to its bar, by Tab alone; afterwards the cell has the focus again.
    lab.tab_to(lab.bar_button(1, "Inspect"))
    lab.keys("Space")
    within = lab.cell(1).locator(".lpf-inspector")
    expect(within.locator(".lpf-frame")).to_have_count(1)
    expect(within).to_be_focused()
    lab.tab_to(within.get_by_label("Expression to evaluate in the frame"))
    lab.page.keyboard.insert_text("6 * 7")
    lab.keys("Enter")
    expect(within.get_by_role("log")).to_contain_text("6 * 7 = 42")
    lab.keys("Escape")
    expect(within).to_have_count(0)
    expect(lab.bar_button(1, "Inspect")).to_be_focused()
    lab.keys("Shift+Tab", "Shift+Tab", "Shift+Tab")
    expect(lab.bar_button(1, "Resume")).to_be_focused()
    lab.keys("Enter")
    lab.wait_for_mark(1, r"\d s")
    lab.keys("p", "c")
    lab.wait_for_output(1, "CellCancelled")


def test_all_of_it_has_a_name_for_a_screen_reader(lab: Page) -> None:
    pause_second_cell(lab, "names", "print('third')")
    for name in ("Resume the cell that is paused", "Cancel the paused cell"):
        expect(lab.page.get_by_role("button", name=name)).to_be_visible()
    bar = lab.page.get_by_role("group", name="Cell paused at line")
    expect(bar.get_by_role("status")).to_contain_text("Paused at line")
    expect(lab.page.get_by_role("group", name="Cell that waits")).to_be_visible()
    expect(lab.page.get_by_role("tab", name="Running and paused cells")).to_be_visible()
    expect(lab.page.get_by_role("tab", name="Paused cell", exact=True)).to_be_visible()
    lab.page.get_by_role("tab", name="Running and paused cells").click()
    jobs = lab.page.get_by_role("region", name="Running and paused cells")
    expect(jobs.get_by_role("list", name="Cells of names.ipynb")).to_be_visible()
    lab.select(1)
    lab.keys("p", "i")
    panel = lab.page.get_by_role("region", name="Paused cell", exact=True)
    expect(panel.get_by_role("textbox", name="Expression to evaluate")).to_be_visible()
    expect(panel.get_by_role("combobox", name="Frame")).to_be_visible()
    # Nothing that can be pressed or filled in is without a name.
    for element in lab.page.locator('[class*="lpf-"] :is(button, input, select)').all():
        name = element.evaluate("node => node.ariaLabel || node.textContent.trim()")
        assert name, element.evaluate("node => node.outerHTML")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def keeps_everything_out(fifo: Path) -> str:
    """Return a line that holds the GIL in C code until something is written to *fifo*."""
    return f"""ctypes.PyDLL(None).system(b"cat '{fifo}'")"""


def test_c_code_that_cannot_be_left_is_told_until_it_ends(lab: Page, fifo: Path) -> None:
    busy = "import ctypes, time\ntime.sleep(0.5)  # What is printed needs the interpreter."
    code = f"{busy}\n{keeps_everything_out(fifo)}\nwhile True:\n    pass"
    lab.open("told", "%load_ext lpf", code)
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_output(1, r"line 3 of this cell: \w+, C code .* cannot be left: \d+ s so far")
    lab.press("pause")
    lab.wait_for_bar(1, "^The kernel does not answer: C code lets nothing else run")
    fifo.write_text("")
    lab.wait_for_bar(1, "^Paused .*at line [345] ", seconds=90)
    # The request, heard only now, finds nothing to pause any more: that is nobody's business.
    lab.bar_button(1, "Resume").click()
    lab.wait_for_mark(1, r"\d+ s")
    expect(lab.page.locator(".Toastify__toast")).to_have_count(0)


def test_a_cell_is_known_to_run_though_c_code_has_kept_the_kernel_from_saying_so(
    lab: Page, fifo: Path
) -> None:
    code = f"import ctypes; {keeps_everything_out(fifo)}\nwhile True:\n    pass"
    lab.open("silent", "%load_ext lpf", code)
    lab.run_to_end(0)
    lab.run(1)
    lab.press("pause")
    lab.wait_for_bar(1, "^The kernel does not answer: C code lets nothing else run")
    fifo.write_text("")
    lab.wait_for_bar(1, "^Paused .*at line [123] ", seconds=90)
    lab.bar_button(1, "Cancel").click()
    lab.wait_for_output(1, "CellCancelled")
    expect(lab.page.locator(".Toastify__toast")).to_have_count(0)


def test_the_bar_of_a_long_cell_is_in_sight(lab: Page) -> None:
    assigned = "\n".join(f"a{number} = {number}" for number in range(80))
    told = "for number in range(80):\n    print(number)"
    lab.open("tall", "%load_ext lpf", f"{assigned}\n{told}\nwhile True:\n    pass")
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_output(1, "79")
    lab.press("pause")
    lab.wait_for_mark(1, "paused")
    for part in ("^a0 = 0$", "^a40 = 40$", "^for number"):
        line = lab.cell(1).locator(".cm-line", has_text=re.compile(part))
        line.evaluate("node => node.scrollIntoView({block: 'start'})")
        expect(lab.bar(1)).to_be_in_viewport(ratio=1)
    output = lab.cell(1).locator(".jp-Cell-outputWrapper")
    output.evaluate("node => node.scrollIntoView({block: 'end'})")
    expect(lab.bar(1)).to_be_in_viewport(ratio=1)
    # Nothing covers its buttons.
    lab.bar_button(1, "Cancel").click()
    lab.wait_for_output(1, "CellCancelled")


def test_what_the_bar_says_is_not_said_twice(lab: Page) -> None:
    silent = "%%timeout 100ms\nwhile not done:\n    pass"
    lab.open(
        "once", "%load_ext lpf\ndone = False", f"%%timeout 100ms\n{LOOP}", "done = True", silent
    )
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_bar(1, "^Paused after its limit of 100 ms at line [34] ")
    notice = lab.cell(1).locator(".lpf-notice")
    expect(notice).to_have_count(1)
    expect(notice).to_be_hidden()
    expect(lab.cell(1).locator(".jp-Cell-outputWrapper")).to_be_visible()
    lab.run(3)
    lab.wait_for_bar(3, "^Paused after its limit of 100 ms at line [23] ")
    expect(lab.cell(3).locator(".lpf-notice")).to_have_count(1)
    expect(lab.cell(3).locator(".jp-Cell-outputWrapper")).to_be_hidden()
    lab.run_to_end(2)
    lab.bar_button(1, "Resume").click()
    # There is no bar any more to say how long it took.
    expect(notice).to_contain_text("finished after")
    expect(notice).to_be_visible()
    lab.wait_for_output(1, "ended by itself")


def test_a_cell_that_does_not_let_itself_be_unwound_is_abandoned(lab: Page) -> None:
    stubborn = (
        "print('go')\nwhile True:\n    try:\n        while True:\n            pass\n"
        "    except BaseException:\n        pass"
    )
    lab.open("stubborn", "%load_ext lpf", stubborn)
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_output(1, "go")
    lab.press("cancel")
    lab.wait_for_mark(1, "abandoned")
    lab.wait_for_prompt(1, "2")


def test_the_shortcuts_collide_with_nothing(server: Server) -> None:
    settings = server.ask("lab/api/settings")["settings"]
    of_plugin = {
        each["id"]: each["schema"].get("jupyter.lab.shortcuts", [])
        for each in settings
        if "id" in each
    }
    ours = of_plugin.pop("jupyterlab-lpf:plugin")
    assert {shortcut["command"] for shortcut in ours} == {
        "lpf:pause-or-resume",
        "lpf:cancel",
        "lpf:inspect",
    }
    theirs = [shortcut for shortcuts in of_plugin.values() for shortcut in shortcuts]
    assert len(theirs) > 100
    keys = [[key.upper() for key in shortcut["keys"]] for shortcut in theirs if shortcut["keys"]]
    assert ["I", "I"] in keys
    for shortcut in ours:
        # Neither is one of them the beginning of another.
        for taken in keys:
            length = min(len(taken), len(shortcut["keys"]))
            assert taken[:length] != shortcut["keys"][:length]


def test_the_palette_and_the_menu_have_the_commands(lab: Page) -> None:
    lab.open("palette", "%load_ext lpf\ndone = False", LOOP)
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_button("pause", enabled=True)
    # JupyterLab 4.2 gives the notebook the focus a while after the keys, when it has scrolled.
    lab.wait_for_mark(1, r"[1-9]\d* s")
    lab.menu("View", "Activate Command Palette")
    search = lab.page.locator(".lm-CommandPalette-input:visible")
    search.fill("pause running cell")
    lab.page.locator(".lm-CommandPalette-item:visible", has_text="Pause Running Cell").click()
    lab.wait_for_mark(1, "paused")
    lab.menu("View", "Activate Command Palette")
    # Those that can be given now.
    for name in PALETTE:
        search.fill(name)
        found = lab.page.locator(".lm-CommandPalette-item:visible", has_text=name)
        expect(found.first).to_be_visible()
    lab.keys("Escape")
    lab.menu("Kernel")
    for name in MENU:
        expect(lab.page.get_by_role("menuitem", name=name)).to_be_visible()
    lab.menu("Cancel Cell")
    lab.wait_for_output(1, "CellCancelled")


def test_several_paused_cells_have_their_own_bars(lab: Page) -> None:
    pause_second_cell(lab, "several")
    lab.insert_and_run(LOOP)
    lab.wait_for_output(2, "go")
    lab.press("pause")
    lab.wait_for_mark(2, "paused")
    lab.wait_for_mark(1, "paused")
    # Though their source is the same, each stands in its own.
    lab.wait_for_bar(1, r"^Paused at line [23] in <cell 2> ")
    lab.wait_for_bar(2, r"^Paused at line [23] in <cell 3> ")
    for number in (1, 2):
        expect(lab.cell(number).locator(".lpf-here")).to_have_count(1)
    lab.bar_button(1, "Cancel").click()
    lab.wait_for_output(1, "CellCancelled")
    lab.wait_for_bar(2, r"^Paused at line [23] in <cell 3> ")
