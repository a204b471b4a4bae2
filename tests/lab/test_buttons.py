"""The buttons of the toolbar, in a browser, with a real kernel and cells that run away."""

from __future__ import annotations

import pytest

from lab.notebook import Page, expect

pytestmark = pytest.mark.slow

RUNAWAY = "n = 1\nprint('go')\nwhile True:\n    n += 1"
LONG = "n = 0\nwhile not done:\n    n += 1\nprint('ended by itself')"


@pytest.mark.parametrize("where", ["lab/tree", "notebooks"])
def test_a_runaway_cell_is_paused_resumed_and_cancelled(lab: Page, where: str) -> None:
    lab.open("runaway", "%load_ext lpf", RUNAWAY, "n > 0", where=where)
    lab.run_to_end(0)
    lab.wait_for_button("pause", enabled=False)
    lab.wait_for_button("cancel", enabled=False)

    lab.run(1)
    lab.wait_for_button("pause", title="Pause the running cell")
    lab.wait_for_output(1, "go")
    lab.press("pause")
    lab.wait_for_button("pause", title=r"Resume .* at line \d")
    lab.run_to_end(2)
    lab.wait_for_output(2, "True")
    lab.wait_for_prompt(1, r"\*")

    lab.press("pause")
    lab.wait_for_button("pause", title="Pause the running cell")
    lab.press("pause")
    lab.wait_for_button("pause", title=r"Resume .* at line \d")

    lab.press("cancel")
    lab.wait_for_output(1, "CellCancelled")
    lab.wait_for_prompt(1, "2")
    lab.wait_for_button("cancel", enabled=False)
    assert not lab.complaints


def test_output_of_a_resumed_cell_appears_below_it(lab: Page) -> None:
    lab.open("output", "%load_ext lpf\ndone = False", LONG, "done = True")
    lab.run_to_end(0)
    lab.run(1)
    lab.press("pause")
    lab.wait_for_button("pause", title="Resume")
    lab.run_to_end(2)
    lab.press("pause")
    lab.wait_for_output(1, "ended by itself")
    lab.wait_for_prompt(1, "2")


def test_a_running_cell_is_cancelled_without_a_pause(lab: Page) -> None:
    lab.open("cancel", "%load_ext lpf", RUNAWAY)
    lab.run_to_end(0)
    lab.run(1)
    lab.press("cancel")
    lab.wait_for_output(1, "CellCancelled")


def test_a_kernel_without_lpf_is_offered_it(lab: Page) -> None:
    lab.open("offer", RUNAWAY)
    lab.wait_for_button("cancel", enabled=False)
    lab.press("pause")
    lab.page.get_by_role("button", name="Load", exact=True).click()
    lab.wait_for_button("pause", enabled=False, title="Pause the running cell")
    lab.run(0)
    lab.press("pause")
    lab.wait_for_button("pause", title="Resume")


def test_a_pause_that_takes_long_says_what_it_waits_for(lab: Page) -> None:
    held = "import lpf, os\nwith lpf.uninterruptible():\n    while not os.path.exists('go'): pass"
    lab.open("long", "%load_ext lpf", f"{held}\nwhile True:\n    pass")
    lab.run_to_end(0)
    lab.run(1)
    lab.press("pause")
    lab.wait_for_button("pause", title="not paused yet: .* it will be paused as soon as it does")
    expect(lab.button("pause").locator(".lpf-spinner")).to_be_visible()
    # The same stands below the cell.
    lab.wait_for_mark(1, "pausing…")
    lab.wait_for_bar(1, r"^Not paused yet: .* \(line 3 in <cell 2>\); it will be paused")
    (lab.server.notebooks / "go").touch()
    lab.wait_for_button("pause", title="Resume")
    lab.wait_for_bar(1, r"^Paused at line [2345] ")
    expect(lab.button("pause").locator(".lpf-spinner")).to_have_count(0)
