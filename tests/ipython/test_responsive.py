"""A kernel that answers while a cell computes, and cells in the background."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ipython.kernels import LIMIT, Cell, Kernel

LOOP = "print('go')\nwhile not stop:\n    pass"
BUSY = {
    "bytecode": LOOP,
    "iterator": "import itertools\nprint('go')\nsum(itertools.repeat(0))",
    "native": "import zlib\nprint('go')\nwhile True:\n    zlib.compress(bytes(10**8))",
}


@pytest.fixture
def responsive(kernel: Kernel) -> Iterator[Kernel]:
    """The shared kernel, answering while it computes; nothing is left on."""
    assert kernel.run("%lpf responsive on").text == "responsive: every 5 ms\n"
    kernel.run("stop, order = False, []")
    yield kernel
    assert kernel.run("stop = True\n%lpf responsive off").text == "responsive: off\n"


def ask(kernel: Kernel, kind: str, **content: Any) -> dict[str, Any]:
    """Send a request on the shell channel; the content of its reply."""
    message = kernel.client.session.msg(kind, content)
    kernel.client.shell_channel.send(message)
    return kernel.shell_reply(message["header"]["msg_id"], LIMIT)


def go(kernel: Kernel, code: str = LOOP, **options: Any) -> Cell:
    cell = kernel.start(code, **options)
    cell.prints("go")
    return cell


def interrupted(kernel: Kernel, cell: Cell) -> None:
    kernel.interrupt()
    assert cell.wait().reply["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("kind", BUSY)
def test_requests_are_answered_while_a_cell_computes(responsive: Kernel, kind: str) -> None:
    cell = go(responsive, BUSY[kind])
    matches = ask(responsive, "complete_request", code="ord", cursor_pos=3)["matches"]
    assert {"order", "ord"} <= set(matches)
    found = ask(responsive, "inspect_request", code="order", cursor_pos=5, detail_level=0)
    assert found["found"]
    assert ask(responsive, "kernel_info_request")["status"] == "ok"
    assert ask(responsive, "is_complete_request", code="1 +")["status"] == "invalid"
    assert not cell.answered()
    interrupted(responsive, cell)


def test_it_is_shown_as_busy_until_its_end(responsive: Kernel) -> None:
    cell = go(responsive)
    ask(responsive, "kernel_info_request")
    responsive.until(lambda _: [s["execution_state"] for s in cell.of_type("status")][1:])
    responsive.control("lpf_inspect_request")
    responsive.run("%%background\nstop = True")
    states = [s["execution_state"] for s in cell.wait().of_type("status")]
    assert set(states[:-1]) == {"busy"}
    assert states[-1] == "idle"


def test_cells_sent_meanwhile_run_after_it_in_order(responsive: Kernel) -> None:
    first = go(responsive, LOOP + "\norder.append(1)")
    behind = [responsive.start(f"order.append({n}); order") for n in (2, 3)]
    ask(responsive, "kernel_info_request")
    assert not any(cell.answered() for cell in (first, *behind))
    responsive.run("%%background\nstop = True")
    assert first.wait().reply["status"] == "ok"
    assert [cell.wait().results for cell in behind] == [["[1, 2]"], ["[1, 2, 3]"]]
    count = first.reply["execution_count"]
    assert [cell.reply["execution_count"] for cell in behind] == [count + 2, count + 3]


def test_they_are_aborted_when_it_fails(responsive: Kernel) -> None:
    first = go(responsive, LOOP + "\n1 / 0")
    behind = [responsive.start("order.append(2)") for _ in range(2)]
    ask(responsive, "kernel_info_request")
    responsive.run("%%background\nstop = True")
    assert first.wait().reply["ename"] == "ZeroDivisionError"
    assert [cell.wait().reply["status"] for cell in behind] == ["aborted", "aborted"]
    assert responsive.value("order") == "[]"


def test_widgets_work_while_a_cell_computes(responsive: Kernel) -> None:
    responsive.run(
        "moved = []\n"
        "def target(comm, message):\n"
        "    comm.on_msg(lambda m: (moved.append(m['content']['data']), comm.send('heard')))\n"
        "get_ipython().kernel.comm_manager.register_target('slider', target)"
    )
    cell = go(responsive, "print('go')\nwhile not moved:\n    pass\nprint(moved)")
    shell, session = responsive.client.shell_channel, responsive.client.session
    opening = {"comm_id": "a", "target_name": "slider", "data": {}}
    shell.send(session.msg("comm_open", opening))
    shell.send(session.msg("comm_msg", {"comm_id": "a", "data": {"value": 7}}))
    responsive.until(lambda seen: [m for m in seen if m["msg_type"] == "comm_msg"])
    assert cell.wait().text == "go\n[{'value': 7}]\n"


def test_tasks_of_the_user_go_on_while_a_cell_computes(responsive: Kernel) -> None:
    responsive.run(
        "import asyncio\n"
        "async def tick():\n"
        "    while len(order) < 5:\n"
        "        order.append(await asyncio.sleep(0.001, 'tick'))\n"
        "task = asyncio.ensure_future(tick())\n"
    )
    cell = responsive.run("while len(order) < 5:\n    pass\norder")
    assert cell.results == [str(["tick"] * 5)]


def test_its_output_and_what_it_captures_stay_its_own(responsive: Kernel) -> None:
    cell = go(
        responsive,
        "import io, contextlib\n"
        "print('go')\n"
        "with contextlib.redirect_stdout(io.StringIO()) as text:\n"
        "    print('captured')\n"
        "    while not stop:\n"
        "        pass\n"
        "    print('as well')\n"
        "text.getvalue()",
    )
    other = responsive.run("%%background\nprint('not captured')\nstop = True")
    assert other.text == "not captured\n"
    assert cell.wait().results == ["'captured\\nas well\\n'"]


def test_a_process_that_a_cell_forks_is_not_left_in_its_place(responsive: Kernel) -> None:
    cell = responsive.run(
        "import multiprocessing, time\n"
        "def work():\n"
        "    end = time.monotonic() + 0.1\n"
        "    while time.monotonic() < end:\n"
        "        pass\n"
        "    raise SystemExit(7)\n"
        "process = multiprocessing.get_context('fork').Process(target=work)\n"
        "process.start()\n"
        "process.join()\n"
        "print(process.exitcode)"
    )
    assert cell.text == "7\n"


def test_a_responsive_cell_is_paused_and_resumed(responsive: Kernel) -> None:
    cell = go(responsive, LOOP + "\n'end'")
    ask(responsive, "kernel_info_request")
    job = responsive.pause()["id"]
    assert responsive.run("'meanwhile'").results == ["'meanwhile'"]
    responsive.control("lpf_resume_request", job=job)
    responsive.wait_state(job, "running")
    ask(responsive, "kernel_info_request")
    responsive.run("%%background\nstop = True")
    assert cell.wait().results == ["'end'"]


def test_its_stack_can_be_looked_at_while_it_runs(responsive: Kernel) -> None:
    cell = go(responsive)
    reply = responsive.control("lpf_inspect_request")
    assert reply["inspect"]["frames"][0]["where"].startswith("line ")
    assert not cell.answered()
    interrupted(responsive, cell)


def test_a_cell_in_the_background_lets_others_run(kernel: Kernel) -> None:
    """Without any setting."""
    kernel.run("stop = False")
    beside = go(kernel, "%%background\n" + LOOP + "\n'end'")
    assert kernel.run("6 * 7").results == ["42"]
    [table] = kernel.run("%lpf jobs").of_type("display_data")
    assert "running in the background" in table["data"]["text/plain"]
    assert "share" in table["data"]["text/plain"]
    assert not beside.answered()
    kernel.run("stop = True")
    assert beside.wait().results == ["'end'"]
    assert kernel.value(f"Out[{beside.reply['execution_count']}]") == "'end'"


def test_cells_in_the_background_take_turns(kernel: Kernel) -> None:
    kernel.run("stop, counts = False, [0, 0, 0]")
    beside = [
        go(kernel, f"%%background\nprint('go')\nwhile not stop:\n    counts[{n}] += 1")
        for n in range(2)
    ]
    front = kernel.start(
        "before = list(counts)\n"
        "while min(now - then for now, then in zip(counts, before)) < 10**6:\n"
        "    for n in range(1000): counts[2] += 1\n"
        "gained = [now - then for now, then in zip(counts, before)]\n"
        "stop = True"
    )
    for cell in (front, *beside):
        assert cell.wait().reply["status"] == "ok"
    # Of the time that all three were there.
    least, most = sorted(eval(kernel.value("gained")))[::2]
    assert most < 50 * least


def test_each_prints_into_its_own_output(kernel: Kernel) -> None:
    code = (
        "%%background\nimport time\nfor i in range(20):\n    print({0}, i)\n    time.sleep(0.002)"
    )
    cells = [kernel.start(code.format(n)) for n in range(3)]
    for n, cell in enumerate(cells):
        assert cell.wait().text == "".join(f"{n} {i}\n" for i in range(20))


def test_one_that_awaits_lets_others_run_too(kernel: Kernel) -> None:
    beside = kernel.start(
        "%%background\nimport asyncio\nfor i in range(3):\n    await asyncio.sleep(0.01)\ni"
    )
    assert kernel.run("'meanwhile'").results == ["'meanwhile'"]
    assert beside.wait().results == ["2"]


def test_each_has_a_number_of_its_own(kernel: Kernel) -> None:
    """In what it shows as input, result and reply, and in the history."""
    kernel.run("import asyncio; stop = False; history = get_ipython().history_manager")
    session = kernel.value("history.session_number")
    beside = [
        go(kernel, "%%background\n" + LOOP + "\n'looped'"),
        kernel.start("%%background\nfor i in range(20): await asyncio.sleep(0.002)\n'awaited'"),
        kernel.start("%%background\nawait asyncio.sleep(0.01)\n1 / 0"),
        kernel.start("%%background\n%%timeout 20ms --on-timeout cancel\nwhile True: pass"),
    ]
    front = [
        kernel.start(code)
        for code in (
            "for i in range(10**6): pass\n'loop'",
            "for i in range(10): await asyncio.sleep(0.002)\n'await'",
            "1",
        )
    ]
    for cell in front:
        cell.wait()
    last = kernel.run("stop = True\n2")
    cells = [*(cell.wait() for cell in beside), *front, last]
    counts = [cell.reply["execution_count"] for cell in cells]
    assert len(set(counts)) == len(counts)
    for cell, count in zip(cells, counts, strict=True):
        shown = [*cell.of_type("execute_input"), *cell.of_type("execute_result")]
        assert {each["execution_count"] for each in shown} == {count}
    kernel.run("history.writeout_cache()")
    assert kernel.value("history.session_number") == session
    lines = eval(kernel.value("[n for _, n, _ in history.get_range(history.session_number)]"))
    # One that was ended before IPython came to it is not in there.
    assert set(counts) - {cells[3].reply["execution_count"]} <= set(lines)
    assert not any("not unique" in cell.text for cell in cells)


def test_an_error_in_the_background_is_its_own(kernel: Kernel) -> None:
    kernel.run("stop = False")
    beside = go(kernel, "%%background\n" + LOOP + "\n1 / 0")
    front = kernel.start("stop = True\nfor i in range(10**6): pass\n'front'")
    after = kernel.start("'after'")
    assert beside.wait().reply["ename"] == "ZeroDivisionError"
    assert front.wait().results == ["'front'"]
    assert after.wait().results == ["'after'"]


def test_an_interrupt_is_for_the_cell_in_front(kernel: Kernel) -> None:
    kernel.run("stop = False")
    beside = go(kernel, "%%background\n" + LOOP + "\n'end'")
    front = go(kernel, "print('go')\nwhile True:\n    pass")
    interrupted(kernel, front)
    assert not beside.answered()
    kernel.run("stop = True")
    assert beside.wait().results == ["'end'"]


def test_it_is_for_one_in_the_background_if_nothing_else_runs(kernel: Kernel) -> None:
    kernel.run("stop = False")
    interrupted(kernel, go(kernel, "%%background\n" + LOOP))


def test_one_in_the_background_is_paused_resumed_and_cancelled(kernel: Kernel) -> None:
    kernel.run("stop = False")
    beside = go(kernel, "%%background\n" + LOOP)
    job = kernel.pause()["id"]
    kernel.run(f"%lpf resume {job}")
    kernel.wait_state(job, "running")
    kernel.run(f"%lpf cancel {job}")
    assert beside.wait().reply["ename"] == "CellCancelled"
    assert kernel.run("1").results == ["1"]


def test_one_in_the_background_has_a_time_limit(kernel: Kernel) -> None:
    kernel.run("stop = False")
    beside = kernel.start("%%background\n%%timeout 50ms --on-timeout cancel\n" + LOOP)
    assert beside.wait().reply["ename"] == "CellTimeout"


def test_more_than_allowed_wait(fresh: Kernel) -> None:
    fresh.run("%unload_ext lpf\nget_ipython().config.LPF.background_cells = 1\n%load_ext lpf")
    fresh.run("stop = False")
    first = go(fresh, "%%background\n" + LOOP)
    second = fresh.start("%%background\n'second'")
    assert fresh.run("'front'").results == ["'front'"]
    assert not second.answered()
    fresh.run("stop = True")
    assert first.wait().reply["status"] == "ok"
    assert second.wait().results == ["'second'"]


def test_unloading_is_refused_while_one_is_in_the_background(fresh: Kernel) -> None:
    fresh.run("stop = False")
    beside = go(fresh, "%%background\n" + LOOP)
    assert fresh.run("%unload_ext lpf").reply["ename"] == "JobError"
    fresh.run("%unload_ext lpf --force")
    assert beside.wait().reply["ename"] == "CellCancelled"
    assert fresh.run("1").results == ["1"]


def test_a_kernel_shuts_down_with_one_in_the_background(fresh: Kernel) -> None:
    fresh.run("stop = False")
    go(fresh, "%%background\n" + LOOP)
    fresh.client.shutdown()
    end = time.monotonic() + LIMIT
    while fresh.manager.is_alive():
        assert time.monotonic() < end


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("%%background now\n1", "takes no options"),
        ("%%background\n\n", "nothing below it"),
        ("%%time\n%%background\n1", "first line"),
        ("%lpf responsive often", "often"),
        ("%lpf responsive 1us", "too short"),
    ],
)
def test_nonsense_is_refused(kernel: Kernel, code: str, says: str) -> None:
    cell = kernel.run(code)
    shown = "".join(s["text"] for s in cell.of_type("stream")) + str(cell.reply.get("evalue", ""))
    assert says in shown
    assert kernel.run("%lpf responsive").text == "responsive: off\n"
