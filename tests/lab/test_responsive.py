"""A slider in JupyterLab that moves while a cell computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.notebook import Page, expect

pytestmark = pytest.mark.slow

SLIDER = (
    "%load_ext lpf\n"
    "%lpf responsive on\n"
    "import ipywidgets\n"
    "slider = ipywidgets.IntSlider(description='how far', max=10)\n"
    "twice = ipywidgets.Label()\n"
    "slider.observe(lambda change: setattr(twice, 'value', f'twice: {2 * change.new}'), 'value')\n"
    "display(slider, twice)"
)
BUSY = "print('busy')\nwhile slider.value < 3:\n    pass\nprint('seen:', slider.value)"


def test_a_slider_moves_while_a_cell_computes(lab: Page, tmp_path: Path) -> None:
    lab.open("slider", SLIDER, BUSY)
    lab.run_to_end(0)
    handle = lab.cell(0).locator(".noUi-handle")
    expect(handle).to_be_visible()

    lab.run(1)
    lab.wait_for_output(1, "busy")
    handle.focus()
    for _ in range(2):
        lab.keys("ArrowRight")
    # What the callback in the kernel did is on the page, and the cell still computes.
    expect(lab.cell(0).get_by_text("twice: 4")).to_be_visible()
    lab.wait_for_prompt(1, r"\*")
    lab.picture(tmp_path / "slider.png")

    lab.keys("ArrowRight")
    lab.wait_for_output(1, "seen: 3")
    lab.wait_for_prompt(1, r"\d+")
    expect(lab.cell(0).get_by_text("twice: 6")).to_be_visible()
