"""What cells show about themselves, and the buttons in them."""

from __future__ import annotations

import pytest

from lab.conftest import ON_ONE_PYTHON
from lab.notebook import Page, expect

pytestmark = [pytest.mark.slow, ON_ONE_PYTHON]

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
    lab.bar_button(1, "Resume").focus()
    lab.keys("Enter")
    lab.wait_for_mark(1, r"\d s")
    lab.select(1)
    lab.keys("p", "c")
    lab.wait_for_output(1, "CellCancelled")


def test_the_palette_and_the_menu_have_the_commands(lab: Page) -> None:
    lab.open("palette", "%load_ext lpf\ndone = False", LOOP)
    lab.run_to_end(0)
    lab.run(1)
    lab.wait_for_button("pause", enabled=True)
    lab.page.get_by_role("menuitem", name="View").click()
    lab.page.get_by_role("menuitem", name="Activate Command Palette").click()
    lab.page.locator(".lm-CommandPalette-input:visible").fill("pause running cell")
    lab.page.locator(".lm-CommandPalette-item:visible", has_text="Pause Running Cell").click()
    lab.wait_for_mark(1, "paused")
    lab.page.get_by_role("menuitem", name="Kernel").click()
    lab.page.get_by_role("menuitem", name="Cancel Cell").click()
    lab.wait_for_output(1, "CellCancelled")


def test_several_paused_cells_have_their_own_bars(lab: Page) -> None:
    pause_second_cell(lab, "several")
    lab.insert_and_run(LOOP)
    lab.wait_for_output(2, "go")
    lab.press("pause")
    lab.wait_for_mark(2, "paused")
    lab.wait_for_mark(1, "paused")
    lab.bar_button(1, "Cancel").click()
    lab.wait_for_output(1, "CellCancelled")
    lab.wait_for_bar(2, r"^Paused at line [23] in <cell 3> ")
