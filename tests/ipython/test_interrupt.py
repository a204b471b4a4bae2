"""The stop button: as ever where it works, and escalating where it is not heard."""

from __future__ import annotations

import pytest

from ipython.kernels import Cell, Kernel


def interrupted(kernel: Kernel, code: str) -> Cell:
    cell = kernel.start(code)
    cell.prints("go")
    kernel.interrupt()
    return cell.wait()


def test_an_ordinary_cell_is_interrupted_as_ever(kernel: Kernel) -> None:
    cell = interrupted(kernel, "print('go')\nwhile True:\n    x = 0")
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert not cell.of_type("lpf_state")


def test_a_cell_that_awaits_is_interrupted_at_once(kernel: Kernel) -> None:
    cell = interrupted(kernel, "import asyncio\nprint('go')\nawait asyncio.sleep(1000)")
    assert cell.reply["ename"] in ("CancelledError", "KeyboardInterrupt")


def test_a_cell_that_computes_between_awaits_is_interrupted(kernel: Kernel) -> None:
    code = "import asyncio\nawait asyncio.sleep(0)\nprint('go')\nwhile True:\n    x = 0"
    assert interrupted(kernel, code).reply["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (
            "print('go')\nwhile True:\n    try:\n        while True:\n            x = 0\n    except:\n        pass",
            6,
        ),
        (
            "import time\nprint('go')\nwhile True:\n    try:\n        time.sleep(0.01)\n"
            "    except KeyboardInterrupt:\n        print('no')",
            6,
        ),
    ],
)
def test_a_swallowed_interrupt_ends_the_cell_and_names_the_line(
    kernel: Kernel, code: str, line: int
) -> None:
    cell = interrupted(kernel, code)
    assert cell.reply["ename"] == "CellCancelled"
    assert f"swallowed at line {line}" in "".join(cell.reply["traceback"])


def test_a_cell_with_a_handler_of_its_own_is_stopped(kernel: Kernel) -> None:
    code = (
        "import signal\nsignal.signal(signal.SIGINT, lambda *a: None)\nprint('go')\n"
        "while True:\n    x = 0"
    )
    assert interrupted(kernel, code).reply["ename"] == "KeyboardInterrupt"
    kernel.interrupt()
    assert kernel.run("1").results == ["1"]


def test_a_cell_that_handles_its_interrupt_is_left_alone(kernel: Kernel) -> None:
    code = (
        "import time\nprint('go')\ntry:\n    while True:\n        x = 0\n"
        "except KeyboardInterrupt:\n    time.sleep(1.5)\n    print('saved')"
    )
    cell = interrupted(kernel, code)
    assert cell.reply["status"] == "ok"
    assert "saved" in cell.text


def test_an_awaiting_cell_that_swallows_everything_is_stopped(kernel: Kernel) -> None:
    code = (
        "import asyncio\nprint('go')\nwhile True:\n    try:\n        await asyncio.sleep(0.01)\n"
        "    except BaseException:\n        pass"
    )
    assert interrupted(kernel, code).reply["ename"] == "CellCancelled"


def test_escalation_can_be_switched_off(kernel: Kernel) -> None:
    kernel.run("%config LPF.escalate = False\n%config LPF.interrupt_grace = 0.1")
    code = (
        "import time\nprint('go')\nend = time.monotonic() + 1\nwhile time.monotonic() < end:\n"
        "    try:\n        time.sleep(0.01)\n    except KeyboardInterrupt:\n        print('no')"
    )
    cell = interrupted(kernel, code)
    kernel.run("%config LPF.escalate = True\n%config LPF.interrupt_grace = 1.0")
    assert cell.reply["status"] == "ok"
    assert "no" in cell.text
