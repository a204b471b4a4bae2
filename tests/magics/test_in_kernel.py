"""The magics through a real kernel, as a notebook uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_core.utils import ensure_event_loop

from ipython.kernels import Cell, Kernel
from lpf_ipython.errors import details

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def module_kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()
    ensure_event_loop().close()


@pytest.fixture
def kernel(module_kernel: Kernel) -> Iterator[Kernel]:
    yield module_kernel
    jobs = module_kernel.control("lpf_jobs_request")["jobs"]
    left = [job["id"] for job in jobs if job["state"] == "paused"]
    module_kernel.run("%lpf cancel all")
    for job in left:
        module_kernel.wait_state(job, "cancelled")


def paused(kernel: Kernel, code: str, **options: Any) -> tuple[Cell, int]:
    """Start a cell that will run into its limit; return it and its job when it is paused."""
    cell = kernel.start(code, **options)
    found = kernel.until(
        lambda messages: [
            m["content"]
            for m in messages
            if m["msg_type"] == "lpf_state"
            and m["content"]["msg_id"] == cell.msg_id
            and m["content"]["state"] == "paused"
        ]
    )
    return cell, found[-1]["job"]


def shown(cell: Cell, kind: str = "text/plain") -> str:
    """Return what a cell displayed."""
    return "\n".join(c["data"][kind] for c in cell.of_type("display_data"))


def test_a_cell_that_is_in_time_is_an_ordinary_cell(kernel: Kernel) -> None:
    cell = kernel.run("%%timeout 20s\nx = 20\nx + 1")
    assert cell.results == ["21"]
    assert kernel.value("_, Out[max(Out)]") == "(21, 21)"


def test_a_cell_with_await_is_an_ordinary_cell(kernel: Kernel) -> None:
    cell = kernel.run("%%timeout 20s\nimport asyncio\nawait asyncio.sleep(0.01, 'slept')")
    assert cell.results == ["'slept'"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("%%bash\necho from bash", "from bash\n"),
        ("%%capture caught\nprint('hidden')", ""),
    ],
)
def test_another_cell_magic_works_below_it(kernel: Kernel, code: str, text: str) -> None:
    cell = kernel.run(f"%%timeout 20s\n{code}")
    assert cell.reply["status"] == "ok"
    assert cell.text == text


def test_a_time_measured_below_it_is_measured(kernel: Kernel) -> None:
    cell = kernel.run("%%timeout 20s\n%%time\nsum(range(1000))")
    assert "Wall time" in cell.text
    assert "499500" in cell.text + "".join(cell.results)


def test_a_cell_that_is_late_is_paused_and_says_how_to_go_on(kernel: Kernel) -> None:
    cell, job = paused(kernel, "%%timeout 100ms\nn = 0\nwhile True:\n    n += 1")
    assert re.match(rf"\[{job}\] paused after \d+ ms  line [34] in <cell \d+>: ", shown(cell))
    assert f"%lpf resume {job}" in shown(cell)
    assert f"%lpf resume {job}" in shown(cell, "text/html")
    assert not cell.answered()
    assert int(kernel.value("n")) > 0


def test_a_cell_that_awaits_is_paused_and_can_be_looked_into(kernel: Kernel) -> None:
    code = "%%timeout 100ms\nimport asyncio\nmark = 41\nawait asyncio.sleep(0.3, mark + 1)"
    cell, job = paused(kernel, code)
    assert "line 4 in <cell " in shown(kernel.run(f"%lpf inspect {job}"))
    kernel.run(f"%lpf resume {job}")
    assert cell.wait().results == ["42"]


def test_a_captured_cell_is_paused_and_resumed(kernel: Kernel) -> None:
    code = (
        "%%timeout 100ms\n%%capture caught\n"
        "stop = False\nprint('before')\nwhile not stop: pass\nprint('after')"
    )
    cell, job = paused(kernel, code)
    kernel.run("stop = True")
    kernel.run(f"%lpf resume {job}")
    assert cell.wait().text == ""
    assert kernel.value("caught.stdout") == repr("before\nafter\n")


def test_cancel_ends_it_with_a_short_error(kernel: Kernel) -> None:
    # On one line, CPython 3.11 and 3.12 compile the loop's jump to stand outside of the try block.
    code = "%%timeout 100ms\ntry:\n    while True:\n        x = 0\nfinally:\n    print('cleaned')"
    cell, job = paused(kernel, code)
    kernel.run(f"%lpf cancel {job}")
    assert cell.wait().reply["ename"] == "CellCancelled"
    assert cell.text == "cleaned\n"
    (error,) = cell.of_type("error")
    assert error["traceback"][0].count("CellCancelled") == 1
    assert not any("lpf" in line for line in error["traceback"])


def test_on_timeout_cancel_ends_it_with_what_a_program_can_read(kernel: Kernel) -> None:
    cell = kernel.run("%%timeout 100ms --on-timeout cancel\nwhile True: pass")
    assert (cell.reply["status"], cell.reply["ename"]) == ("error", "CellTimeout")
    found = details(cell.reply["evalue"])
    assert found is not None
    assert (found["kind"], found["limit"], found["line"]) == ("CellTimeout", 0.1, 2)
    assert found["elapsed"] >= 0.1


def test_cpu_time_does_not_pass_while_a_cell_sleeps(kernel: Kernel) -> None:
    cell = kernel.run("%%timeout 100ms --cpu\nimport time\ntime.sleep(0.3)\n'slept'")
    assert cell.results == ["'slept'"]
    cell, _ = paused(kernel, "%%timeout 100ms --cpu\nwhile True: pass")
    assert re.search(r"paused after \d+ ms of CPU time", shown(cell))


@pytest.mark.parametrize("header", ["soon", "1s --speed", ""])
def test_an_odd_header_is_a_usage_error(kernel: Kernel, header: str) -> None:
    cell = kernel.run(f"%%timeout {header}\nodd_ran = True")
    assert cell.reply["ename"] == "UsageError"
    assert kernel.value("'odd_ran' in globals()") == "False"


def test_a_limit_below_another_magic_holds(kernel: Kernel) -> None:
    cell = kernel.run("%%time\n%%timeout 100ms --on-timeout cancel\nwhile True: pass")
    assert cell.reply["ename"] == "CellTimeout"


def test_inspect_survives_what_does_not_want_to_be_looked_at(kernel: Kernel) -> None:
    code = (
        "%%timeout 100ms\n"
        "class Bad:\n"
        "    def __repr__(self):\n"
        "        while True: pass\n"
        "bad, text = Bad(), '<b>&'\n"
        "while bad and text: pass"
    )
    _, job = paused(kernel, code)
    cell = kernel.run(f"%lpf inspect {job}")
    assert "bad  = <Bad: its repr takes more than 100 ms>" in shown(cell)
    assert "&#x27;&lt;b&gt;&amp;&#x27;" in shown(cell, "text/html")
    reply = kernel.control("lpf_inspect_request", job=job)
    assert reply["status"] == "ok"


def test_a_thread_that_goes_on_is_named(kernel: Kernel) -> None:
    code = (
        "%%timeout 100ms\nimport threading\nstop = threading.Event()\n"
        "threading.Thread(target=stop.wait, name='producer').start()\nwhile True: pass"
    )
    _, job = paused(kernel, code)
    text = shown(kernel.run(f"%lpf inspect {job}"))
    kernel.run("stop.set()")
    assert text.splitlines()[-1].startswith("not paused, they go on: ")
    assert "thread producer" in text.splitlines()[-1]
    assert "lpf interrupts" not in text


def test_the_debugger_asks_over_stdin_and_changes_what_the_cell_goes_on_with(
    kernel: Kernel,
) -> None:
    code = "def waits(number):\n    import lpf\n    lpf.pause()\n    return number\nwaits(1)"
    cell, job = paused(kernel, code)
    debug = kernel.start(f"%lpf debug {job}")
    for line in ("p number", "number = 42", "q"):
        message = kernel.client.get_stdin_msg(timeout=20)
        assert message["content"]["prompt"] == "ipdb> "
        kernel.client.input(line)
    assert "\n1\n" in debug.wait().text
    kernel.run(f"%lpf resume {job}")
    assert cell.wait().results == ["42"]


def test_the_tab_key_offers_paused_jobs(kernel: Kernel) -> None:
    _, job = paused(kernel, "%%timeout 50ms\nwhile True: pass")
    ident = kernel.client.complete("%lpf resume ")
    reply = kernel.shell_reply(ident, 20)
    assert str(job) in reply["matches"]


@pytest.mark.parametrize(
    ("asked", "part"), [("%lpf?", "%lpf resume [N]"), ("%%timeout?", "--on-timeout")]
)
def test_a_question_mark_shows_help(kernel: Kernel, asked: str, part: str) -> None:
    (payload,) = kernel.run(asked).reply["payload"]
    assert part in payload["data"]["text/plain"]


def test_config_shows_and_sets_the_options(kernel: Kernel) -> None:
    kernel.run("%lpf config grace=0.25")
    assert kernel.run("%lpf config grace").results == ["0.25"]
    assert "LPF(Configurable) options" in kernel.run("%lpf config").text
    kernel.run("%lpf config grace=0.5")
