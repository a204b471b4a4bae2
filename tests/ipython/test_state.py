"""What a running cell borrows from its process, and others need: swapped when it is paused."""

from __future__ import annotations

import pytest

from ipython.kernels import Cell, Kernel

WAIT = "print('go', flush=True)\nwhile not stop:\n    pass\n"


def paused(kernel: Kernel, code: str, **options: object) -> tuple[Cell, int]:
    """Start *code*, wait for its "go", and pause it."""
    kernel.run("stop = False")
    cell = kernel.start(code, **options)
    cell.prints("go")
    return cell, kernel.pause()["id"]


def resumed(kernel: Kernel, cell: Cell, job: int) -> Cell:
    kernel.run(f"stop = True\n%lpf resume {job}")
    cell.wait()
    assert cell.reply["status"] == "ok", cell.reply
    return cell


def interrupt_at_idle(kernel: Kernel) -> None:
    kernel.interrupt()
    assert kernel.run("'alive'").results == ["'alive'"]


@pytest.mark.parametrize("code", [WAIT, "import asyncio\n" + WAIT + "await asyncio.sleep(0)"])
def test_an_interrupt_at_idle_after_a_resume_is_harmless(kernel: Kernel, code: str) -> None:
    cell, job = paused(kernel, code)
    interrupt_at_idle(kernel)
    resumed(kernel, cell, job)
    interrupt_at_idle(kernel)


# An interrupt comes as soon as a cell is paused, before its handler has returned.
AT_ONCE = """
import os, signal, lpf_ipython.kernel as module
parked = module.KernelRunner.parked
def interrupted(runner, cell, reason):
    parked(runner, cell, reason)
    module.KernelRunner.parked = parked
    os.kill(os.getpid(), signal.SIGINT)
module.KernelRunner.parked = interrupted
"""


@pytest.mark.parametrize("more", ["", "import asyncio\nawait asyncio.sleep(0)\n"])
def test_an_interrupt_right_behind_a_pause_is_harmless(kernel: Kernel, more: str) -> None:
    kernel.run("stop = False")
    kernel.run(AT_ONCE)
    cell = kernel.start(more + WAIT, cell_id="notebook's")
    cell.prints("go")
    job = kernel.pause()["id"]
    assert kernel.run("'alive'").results == ["'alive'"]
    resumed(kernel, cell, job)


def test_an_interrupt_right_behind_a_pause_ends_what_a_program_waits_for(kernel: Kernel) -> None:
    kernel.run("stop = False")
    kernel.run(AT_ONCE)
    cell = kernel.start(WAIT, allow_stdin=False)
    cell.prints("go")
    kernel.control("lpf_pause_request")
    assert cell.wait().reply["ename"] == "KeyboardInterrupt"


# An interrupt comes while the state of a cell is taken away.
WITHIN = """
import os, signal, lpf_ipython.swap as module
leave = module.Swap.leave
def interrupted(swap, outside):
    mine = leave(swap, outside)
    module.Swap.leave = leave
    os.kill(os.getpid(), signal.SIGINT)
    return mine
module.Swap.leave = interrupted
"""


@pytest.mark.parametrize("more", ["", "import asyncio\nawait asyncio.sleep(0)\n"])
def test_an_interrupt_within_a_pause_leaves_the_shell_whole(kernel: Kernel, more: str) -> None:
    kernel.run("stop = False")
    kernel.run(WITHIN)
    cell = kernel.start(more + WAIT, cell_id="notebook's")
    cell.prints("go")
    job = kernel.pause()["id"]
    assert kernel.run("1 + 1").results == ["2"]
    kernel.control("lpf_cancel_request", job=job)
    assert cell.wait().reply["status"] == "error"
    assert kernel.run("2 + 2").results == ["4"]


def test_an_interrupt_does_not_reach_a_paused_cell(kernel: Kernel) -> None:
    cell, job = paused(
        kernel, "import asyncio\nprint('go')\nevent = asyncio.Event()\nawait event.wait()"
    )
    interrupt_at_idle(kernel)
    other = kernel.start("print('go')\nwhile True:\n    x = 0")
    other.prints("go")
    kernel.interrupt()
    assert other.wait().reply["ename"] == "KeyboardInterrupt"
    kernel.run("event.set()")
    resumed(kernel, cell, job)


def test_capture(kernel: Kernel) -> None:
    kernel.run("stop = False")
    cell = kernel.start("%%capture taken\nprint('in')\nwhile not stop: pass\nprint('out')")
    kernel.until_at(cell, 2)  # Of what is below the magic.
    job = kernel.pause()["id"]
    assert kernel.run("print('shown'); display('too')").text == "shown\n"
    resumed(kernel, cell, job)
    assert cell.text == ""
    assert kernel.value("taken.stdout") == repr("in\nout\n")


def test_redirected_output(kernel: Kernel) -> None:
    code = (
        "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as taken:\n"
        "    print('in')\n    while not stop:\n        pass\n    print('out')\n"
        "print('shown')"
    )
    kernel.run("stop = False")
    cell = kernel.start(code)
    kernel.until_at(cell, 4, 5)
    job = kernel.pause()["id"]
    assert kernel.run("print('other')").text == "other\n"
    resumed(kernel, cell, job)
    assert cell.text == "shown\n"
    assert kernel.value("taken.getvalue()") == repr("in\nout\n")


def test_time_and_nested_cells(kernel: Kernel) -> None:
    cell, job = paused(kernel, "%%time\n" + WAIT + "6 * 7")
    kernel.run("1 + 1")
    assert resumed(kernel, cell, job).results == ["42"]
    assert "Wall time" in cell.text
    nested = "get_ipython().run_cell(WAIT); print('after')"
    kernel.run(f"WAIT = {WAIT!r}")
    cell, job = paused(kernel, nested)
    assert resumed(kernel, cell, job).text == "go\nafter\n"


def test_run_a_script(kernel: Kernel, tmp_path: object) -> None:
    script = f"{tmp_path}/script.py"
    with open(script, "w") as file:
        file.write("import sys\nprint('go', sys.argv[1:], flush=True)\nfrom shared import flag\n")
        file.write("while not flag: pass\nvalue = __name__, sys.argv[1:]\n")
    kernel.run(
        "import sys, types; sys.modules['shared'] = types.SimpleNamespace(flag=[]); "
        "flag = sys.modules['shared'].flag; argv = sys.argv"
    )
    cell, job = paused(kernel, f"%run {script} a b")
    assert kernel.value("sys.argv is argv, __name__") == "(True, '__main__')"
    assert kernel.value("sys.modules['__main__'].__dict__ is globals()") == "True"
    kernel.run("flag.append(1)")
    resumed(kernel, cell, job)
    assert kernel.value("value") == "('__main__', ['a', 'b'])"


def test_input_after_a_resume_asks_the_cells_own_client(kernel: Kernel) -> None:
    cell, job = paused(
        kernel, WAIT + "import getpass\nname = input('name? '), getpass.getpass('? ')"
    )
    # A cell that may not ask runs in between.
    assert kernel.run("input()", allow_stdin=False).reply["ename"] == "StdinNotImplementedError"
    kernel.run(f"stop = True\n%lpf resume {job}")
    for prompt, answer in (("name? ", "Ann"), ("? ", "secret")):
        request = kernel.client.get_stdin_msg(timeout=20)
        assert request["parent_header"]["msg_id"] == cell.msg_id
        assert request["content"]["prompt"] == prompt
        kernel.client.input(answer)
    assert cell.wait().reply["status"] == "ok"
    assert kernel.value("name") == "('Ann', 'secret')"


def test_displays_and_their_updates(kernel: Kernel) -> None:
    code = (
        "from IPython.display import clear_output\nhandle = display('one', display_id=True)\n"
        + WAIT
        + "handle.update('two')\nclear_output()\ndisplay('three')"
    )
    cell, job = paused(kernel, code)
    kernel.run("display('other')")
    resumed(kernel, cell, job)
    kinds = [
        m["msg_type"]
        for m in cell.messages
        if "display" in m["msg_type"] or "clear" in m["msg_type"]
    ]
    assert kinds == ["display_data", "update_display_data", "clear_output", "display_data"]


def test_the_result_of_a_display_that_was_paused_in_the_middle(kernel: Kernel) -> None:
    slow = (
        "class Slow:\n    def __repr__(self):\n        print('go', flush=True)\n"
        "        while not stop:\n            pass\n        return 'slow'\n"
    )
    kernel.run(slow)
    cell, job = paused(kernel, "Slow()")
    other = kernel.run("'other'")
    assert other.results == ["'other'"]
    resumed(kernel, cell, job)
    assert cell.results == ["slow"]
    assert cell.reply["execution_count"] == other.reply["execution_count"] - 1


def test_payloads_and_last_results_are_the_cells_own(kernel: Kernel) -> None:
    cell, job = paused(kernel, "get_ipython().set_next_input('mine')\n" + WAIT + "'value'")
    other = kernel.run("get_ipython().set_next_input('other')")
    assert [p["text"] for p in other.reply["payload"]] == ["other"]
    resumed(kernel, cell, job)
    assert [p["text"] for p in cell.reply["payload"]] == ["mine"]
    assert kernel.value("_") == "'value'"


def test_context_variables_are_the_cells_own_and_outlive_it(kernel: Kernel) -> None:
    kernel.run("import contextvars; v = contextvars.ContextVar('v', default=0)")
    cell, job = paused(kernel, "v.set(1)\n" + WAIT + "print(v.get())")
    assert kernel.value("v.get()") == "0"
    kernel.run("v.set(2)")
    assert kernel.value("v.get()") == "2"
    assert resumed(kernel, cell, job).text == "go\n1\n"
    assert kernel.value("v.get()") == "1"


def test_hooks_of_the_shell_see_each_cell_begin_and_end(kernel: Kernel) -> None:
    kernel.run(
        "seen = []\n"
        "def pre(info): seen.append(('pre', info.raw_cell[:1]))\n"
        "def post(result): seen.append(('post', result.info.raw_cell[:1]))\n"
        "events = get_ipython().events\n"
        "events.register('pre_run_cell', pre); events.register('post_run_cell', post)"
    )
    kernel.run("seen.clear()")
    cell, job = paused(kernel, "1\n" + WAIT)
    kernel.run("2")
    kernel.run(f"3; stop = True; get_ipython().run_line_magic('lpf', 'resume {job}')")
    cell.wait()
    kernel.run("events.unregister('pre_run_cell', pre); events.unregister('post_run_cell', post)")
    found = [tuple(x) for x in eval(kernel.value("seen"))]
    assert [x for x in found if x[1] in "123"] == [
        ("pre", "1"),
        ("pre", "2"),
        ("post", "2"),
        ("pre", "3"),
        ("post", "3"),
        ("post", "1"),
    ]


def test_figures_are_shown_by_the_cell_that_drew_them(kernel: Kernel) -> None:
    pytest.importorskip("matplotlib")
    kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
    cell, job = paused(
        kernel, "plt.plot([1, 2])\n" + WAIT + "plt.plot([2, 1])\nn = len(plt.gca().lines)"
    )
    other = kernel.run("plt.plot([3])")
    assert len(other.of_type("display_data")) == 1
    resumed(kernel, cell, job)
    assert len(cell.of_type("display_data")) == 1
    assert kernel.value("n") == "2"


def test_a_progress_bar(kernel: Kernel) -> None:
    pytest.importorskip("tqdm")
    code = (
        "from tqdm import tqdm\nimport sys\nfor i in tqdm(range(3), file=sys.stdout):\n"
        "    if i == 1:\n        print('go', flush=True)\n        while not stop:\n            pass"
    )
    cell, job = paused(kernel, code)
    kernel.run("for i in tqdm(range(3)): pass")
    assert "3/3" in resumed(kernel, cell, job).text


def test_the_debugger_after_an_error_with_a_paused_cell(kernel: Kernel) -> None:
    cell, job = paused(kernel, WAIT)
    kernel.run("%pdb on")
    failing = kernel.start("1 / 0")
    kernel.client.get_stdin_msg(timeout=20)
    kernel.client.input("q")
    assert failing.wait().reply["ename"] == "ZeroDivisionError"
    kernel.run("%pdb off")
    resumed(kernel, cell, job)


def test_warnings_caught_in_a_paused_cell_are_its_own(kernel: Kernel) -> None:
    code = (
        "import warnings\nwith warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n    print('go', flush=True)\n"
        "    while not stop:\n        pass\n    warnings.warn('mine')"
    )
    cell, job = paused(kernel, code)
    other = kernel.run("warnings.warn('other')")
    assert any("other" in c["text"] for c in other.of_type("stream"))
    resumed(kernel, cell, job)
    assert kernel.value("[str(w.message) for w in caught]") == "['mine']"


def test_threads_of_a_paused_cell_go_on(kernel: Kernel) -> None:
    code = (
        "import threading\nticks = []\nend = threading.Event()\n"
        "def tick():\n    while not end.wait(0.001): ticks.append(1)\n"
        "threading.Thread(target=tick).start()\n"
    )
    cell, job = paused(kernel, code + WAIT)
    before = int(kernel.value("len(ticks)"))
    kernel.until_true(f"len(ticks) > {before}")
    kernel.run("end.set()")
    resumed(kernel, cell, job)
