"""The stop button: as ever where it works, and escalating where it is not heard."""

from __future__ import annotations

import pytest

from ipython.kernels import Cell, Kernel
from lpf_ipython.errors import details


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
        "import time\ntry:\n    print('go')\n    while True:\n        x = 0\n"
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
        "import time\ntry:\n    print('go')\n    time.sleep(1000)\n"
        "except KeyboardInterrupt:\n    print('no')\ntime.sleep(1)"
    )
    cell = interrupted(kernel, code)
    kernel.run("%config LPF.escalate = True\n%config LPF.interrupt_grace = 0.5")
    assert cell.reply["status"] == "ok"
    assert "no" in cell.text


def test_interrupts_of_code_that_holds_the_gil_are_interrupts(kernel: Kernel) -> None:
    """An allocation of the encoder fails; whatever comes of that is an interrupt to the user."""
    kernel.run("import json\ntree = []\nfor each in range(15): tree = [tree] * 3")
    for _ in range(3):
        # After the sleep the encoder keeps out the thread that sends what was printed.
        head = "import time\nprint('go', flush=True)\ntime.sleep(0.1)\n"
        cell = interrupted(kernel, head + "while True: json.dumps(tree)")
        assert cell.reply["ename"] == "KeyboardInterrupt"
        assert [error["ename"] for error in cell.of_type("error")] == ["KeyboardInterrupt"]


# Makes a step of the next cell one that was abandoned: native code that was interrupted, say.
ABANDONS = """
import lpf, types, lpf_ipython.driver as module
from lpf import _native
class Step:
    state, done, reason, starved = "abandoned", True, None, False
    def __init__(self, function, timeout): pass
    def resume(self, timeout=None): pass
    def stack(self): return []
    def result(self): raise lpf.Cancelled()
def launch(stack, function, timeout):
    global steps
    steps -= 1
    if steps:
        return _native._launch_on(stack, function, timeout=timeout)
    module._native = _native
    return Step(function, timeout)
steps = {}
module._native = types.SimpleNamespace(_launch_on=launch)
"""


@pytest.mark.parametrize(
    ("step", "code"), [(1, "1"), (2, "import asyncio\nawait asyncio.sleep(0)")]
)
def test_a_cell_that_was_abandoned_without_an_order_is_answered(
    fresh: Kernel, step: int, code: str
) -> None:
    fresh.run(ABANDONS.format(step))
    cell = fresh.run(code)
    assert cell.reply["ename"] == "CellCancelled"
    found = details(cell.reply["evalue"])
    assert found is not None
    assert found["abandoned"]
    assert [error["ename"] for error in cell.of_type("error")] == ["CellCancelled"]
    assert fresh.run("1 + 1").results == ["2"]


def test_a_cell_that_ignores_interrupts_is_stopped(kernel: Kernel) -> None:
    code = (
        "import signal\nbefore = signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "now = signal.getsignal(signal.SIGINT)\nprint('go')\nwhile True:\n    x = 0"
    )
    assert interrupted(kernel, code).reply["ename"] == "KeyboardInterrupt"
    assert kernel.value("before is signal.default_int_handler, now == signal.SIG_IGN") == (
        "(True, True)"
    )


def test_the_functions_for_signals_are_given_back(fresh: Kernel) -> None:
    fresh.run("import signal; ours = signal.signal, signal.getsignal\n%unload_ext lpf")
    assert fresh.value("signal.signal in ours, signal.getsignal in ours") == "(False, False)"
    assert fresh.value("signal.signal.__module__") == "'signal'"


def test_an_interrupt_that_is_followed_up_too_early_costs_no_kernel(kernel: Kernel) -> None:
    """The second one may hit IPython while it shows the first: out of a task it would end the loop."""
    kernel.run("%config LPF.interrupt_grace = 0.0")
    try:
        for _ in range(10):
            cell = interrupted(kernel, "import asyncio\nprint('go')\nawait asyncio.Event().wait()")
            assert cell.reply["status"] == "error"
    finally:
        kernel.run("%config LPF.interrupt_grace = 0.5")
    assert kernel.run("1 + 1").results == ["2"]


def test_a_traceback_that_takes_long_is_shown_to_its_end(kernel: Kernel) -> None:
    """The interrupt was heard, the second time: what is not over then is the telling of it."""
    kernel.run(
        "import time\n"
        "def slow(*error, **options):\n"
        "    time.sleep(1)\n"
        "    return ['interrupted']\n"
        "get_ipython().InteractiveTB.structured_traceback = slow"
    )
    code = (
        "import signal\nsignal.signal(signal.SIGINT, lambda *a: None)\nprint('go')\n"
        "while True:\n    x = 0"
    )
    cell = interrupted(kernel, code)
    kernel.run("del get_ipython().InteractiveTB.structured_traceback")
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert cell.reply["traceback"] == ["interrupted"]


@pytest.mark.parametrize("name", ["enter", "over", "handler_returns"])
def test_an_interrupt_leaves_no_request_half_seen_to(kernel: Kernel, name: str) -> None:
    """Whoever comes after a request that was never ended would wait for ever."""
    kernel.run(
        "import signal\n"
        "from lpf_ipython.queue import Queue\n"
        f"original = Queue.{name}\n"
        "def interrupted(*args):\n"
        f"    Queue.{name} = original\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return original(*args)"
    )
    kernel.run(f"Queue.{name} = interrupted")
    assert kernel.run("1 + 1").results == ["2"]
    assert kernel.run("2 + 2").results == ["4"]
    assert kernel.value(f"Queue.{name} is original") == "True"


def test_an_interrupt_when_a_late_cell_ends_costs_no_kernel(kernel: Kernel) -> None:
    kernel.run(
        "import signal\n"
        "from lpf_ipython.queue import Queue\n"
        "original = Queue.over\n"
        "def interrupted(*args):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return original(*args)"
    )
    first = kernel.start("Queue.over = interrupted\nimport lpf\nlpf.pause()")
    later = kernel.start("1 + 1")
    kernel.until(lambda _: "paused" in [job["state"] for job in first.of_type("lpf_state")])
    kernel.control("lpf_resume_request")
    first.wait()
    later.wait()
    assert later.results == ["2"]
    assert kernel.run("Queue.over = original\n2 + 2").results == ["4"]


def test_an_interrupt_between_the_hooks_of_a_message_costs_no_kernel(kernel: Kernel) -> None:
    cell = kernel.run(
        "import asyncio, signal\n"
        "kernel = get_ipython().kernel\n"
        "def between():\n"
        "    kernel.pre_handler_hook()\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    kernel.post_handler_hook()\n"
        "    print('lives')\n"
        "asyncio.get_running_loop().call_later(0.01, between)"
    )
    cell.prints("lives")
    assert kernel.run("1 + 1").results == ["2"]
