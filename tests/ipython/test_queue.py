"""Run All over a cell that is paused: what waits for it, what runs at once, what is aborted."""

from __future__ import annotations

from ipython.kernels import Cell, Kernel

LOOP = "print('go')\nwhile not stop:\n    pass\norder.append(1)"


def run_all(kernel: Kernel, first: str = LOOP, **options: object) -> tuple[Cell, list[Cell], int]:
    """Send a loop and two cells behind it, and pause the loop."""
    kernel.run("stop, order = False, []")
    cells = [
        kernel.start(code, **options) for code in (first, "order.append(2)", "order.append(3)")
    ]
    cells[0].prints("go")
    return cells[0], cells[1:], kernel.pause()["id"]


def test_cells_queued_behind_a_paused_one_wait_and_later_ones_do_not(kernel: Kernel) -> None:
    first, behind, job = run_all(kernel)
    assert kernel.run("order.append('later'); order").results == ["['later']"]
    assert not any(cell.answered() for cell in behind)
    kernel.run(f"stop = True\n%lpf resume {job}")
    for cell in (first, *behind):
        assert cell.wait().reply["status"] == "ok"
    assert kernel.value("order") == "['later', 1, 2, 3]"


def test_cells_that_waited_are_shown_as_busy_when_they_run(kernel: Kernel) -> None:
    first, behind, job = run_all(kernel)
    kernel.run(f"stop = True\n%lpf resume {job}")
    for cell in (first, *behind):
        cell.wait()
        shown = [m["execution_state"] for m in cell.of_type("status")]
        assert shown[-2:] == ["busy", "idle"]
        assert shown.count("idle") == 1


def test_they_are_aborted_when_it_is_cancelled(kernel: Kernel) -> None:
    first, behind, job = run_all(kernel)
    kernel.control("lpf_cancel_request", job=job)
    assert first.wait().reply["ename"] == "CellCancelled"
    assert [cell.wait().reply["status"] for cell in behind] == ["aborted", "aborted"]
    assert kernel.value("order") == "[]"


def test_they_are_aborted_when_it_fails(kernel: Kernel) -> None:
    first, behind, job = run_all(kernel, LOOP + "\n1 / 0")
    kernel.run(f"stop = True\n%lpf resume {job}")
    assert first.wait().reply["ename"] == "ZeroDivisionError"
    assert [cell.wait().reply["status"] for cell in behind] == ["aborted", "aborted"]
    assert kernel.value("order") == "[1]"


def test_they_run_in_any_case_if_nothing_stops_on_errors(kernel: Kernel) -> None:
    first, behind, job = run_all(kernel, LOOP + "\n1 / 0", stop_on_error=False)
    kernel.run(f"stop = True\n%lpf resume {job}")
    assert first.wait().reply["status"] == "error"
    assert [cell.wait().reply["status"] for cell in behind] == ["ok", "ok"]
    assert kernel.value("order") == "[1, 2, 3]"


def test_an_error_elsewhere_does_not_abort_them(kernel: Kernel) -> None:
    first, behind, job = run_all(kernel)
    assert kernel.run("1 / 0").reply["status"] == "error"
    kernel.run(f"stop = True\n%lpf resume {job}")
    assert [cell.wait().reply["status"] for cell in (first, *behind)] == ["ok"] * 3


def test_a_cell_that_waited_can_be_paused_and_resumed_itself(kernel: Kernel) -> None:
    kernel.run("stop = again = False; order = []")
    first = kernel.start("print('go')\nwhile not stop:\n    pass")
    second = kernel.start("print('go')\nwhile not again:\n    pass\norder.append(2)\n'end'")
    first.prints("go")
    job = kernel.pause()["id"]
    kernel.run(f"stop = True\n%lpf resume {job}")
    second.prints("go")
    job = kernel.pause()["id"]
    assert not second.idle
    kernel.run(f"again = True\n%lpf resume {job}")
    assert second.wait().results == ["'end'"]


def test_what_is_behind_a_cell_that_waited_waits_for_that_too(kernel: Kernel) -> None:
    kernel.run("stop = again = False; order = []")
    first = kernel.start("print('go')\nwhile not stop:\n    pass")
    second = kernel.start("print('go')\nwhile not again:\n    pass\norder.append(2)")
    third = kernel.start("order.append(3)")
    first.prints("go")
    job = kernel.pause()["id"]
    kernel.run(f"stop = True\n%lpf resume {job}")
    second.prints("go")
    job = kernel.pause()["id"]
    assert kernel.run("order.append('later'); order").results == ["['later']"]
    assert not third.answered()
    kernel.run(f"again = True\n%lpf resume {job}")
    assert [cell.wait().reply["status"] for cell in (first, second, third)] == ["ok"] * 3
    assert kernel.value("order") == "['later', 2, 3]"


def test_what_is_behind_a_cell_that_waited_is_aborted_when_that_fails(kernel: Kernel) -> None:
    kernel.run("stop, order = False, []")
    first = kernel.start(LOOP)
    second, third = kernel.start("1 / 0"), kernel.start("order.append(3)")
    first.prints("go")
    job = kernel.pause()["id"]
    kernel.run(f"stop = True\n%lpf resume {job}")
    assert first.wait().reply["status"] == "ok"
    assert second.wait().reply["ename"] == "ZeroDivisionError"
    assert third.wait().reply["status"] == "aborted"
    assert kernel.value("order") == "[1]"


def test_the_same_for_cells_that_await(kernel: Kernel) -> None:
    kernel.run("import asyncio; event = asyncio.Event()")
    first, behind, job = run_all(kernel, "print('go')\nawait event.wait()\norder.append(1)")
    kernel.run("event.set()")
    assert kernel.value("order") == "[]"
    kernel.run(f"%lpf resume {job}")
    assert [cell.wait().reply["status"] for cell in (first, *behind)] == ["ok"] * 3
    assert kernel.value("order") == "[1, 2, 3]"


def test_a_request_made_while_a_resumed_cell_runs_comes_after_it(kernel: Kernel) -> None:
    kernel.run("import asyncio; event = asyncio.Event(); order = []")
    cell = kernel.start("print('go')\nawait event.wait()\norder.append(1)")
    cell.prints("go")
    job = kernel.pause()["id"]
    kernel.control("lpf_resume_request", job=job)
    kernel.wait_state(job, "running")
    later = kernel.start("order.append(2)")
    kernel.until(lambda _: later.of_type("status"))
    job = kernel.pause()["id"]  # Gives the later one its turn.
    assert later.wait().reply["status"] == "ok"
    kernel.run(f"event.set()\n%lpf resume {job}")
    assert cell.wait().reply["status"] == "ok"
    assert kernel.value("order") == "[2, 1]"


def test_a_cell_behind_a_paused_one_is_taken_out_of_the_queue(kernel: Kernel) -> None:
    first, behind, job = run_all(kernel)
    kernel.control("lpf_withdraw_request", msg_id=behind[0].msg_id)
    assert behind[0].wait().reply["status"] == "aborted"
    kernel.run(f"stop = True\n%lpf resume {job}")
    assert behind[1].wait().reply["status"] == "ok"
    assert first.reply["status"] == "ok"
    assert kernel.value("order") == "[1, 3]"


def test_a_cell_behind_a_running_one_is_taken_out_of_the_queue(kernel: Kernel) -> None:
    kernel.run("import threading\nfree, order = threading.Event(), []")
    first = kernel.start("print('go')\nwhile not free.wait(0.01):\n    pass\norder.append(1)")
    behind = [kernel.start(f"order.append({number})") for number in (2, 3)]
    first.prints("go")
    reply = kernel.control("lpf_withdraw_request", msg_id=behind[0].msg_id)
    assert reply == {"status": "ok"}
    job = kernel.pause()["id"]
    assert behind[0].wait().reply["status"] == "aborted"
    kernel.run(f"free.set()\n%lpf resume {job}")
    assert behind[1].wait().reply["status"] == "ok"
    assert behind[0].of_type("status")[-1]["execution_state"] == "idle"
    assert kernel.value("order") == "[1, 3]"


def test_a_cell_that_has_begun_is_in_no_queue(kernel: Kernel) -> None:
    first, _, job = run_all(kernel)
    reply = kernel.control("lpf_withdraw_request", msg_id=first.msg_id)
    assert (reply["status"], reply["ename"]) == ("error", "JobError")
    assert kernel.control("lpf_withdraw_request")["ename"] == "ValueError"
    kernel.control("lpf_cancel_request", job=job)
    assert first.wait().reply["ename"] == "CellCancelled"
