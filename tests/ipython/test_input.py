"""Cells that wait in input(): paused, resumed, cancelled, interrupted and limited there."""

from __future__ import annotations

from typing import Any

import pytest

from ipython.kernels import Cell, Kernel

ASKS = "answer = input('name? ')\nprint('got', answer)"


def asked(kernel: Kernel, cell: Cell, prompt: str = "name? ") -> None:
    """Wait for a question of *cell*."""
    request: dict[str, Any] = kernel.client.get_stdin_msg(timeout=20)
    assert request["parent_header"]["msg_id"] == cell.msg_id
    assert request["content"]["prompt"] == prompt


def waiting(kernel: Kernel, code: str = ASKS) -> Cell:
    cell = kernel.start(code)
    asked(kernel, cell)
    return cell


def test_a_cell_that_asks_is_paused_and_gets_its_answer_later(kernel: Kernel) -> None:
    cell = waiting(kernel)
    job = kernel.pause()
    assert job["where"].startswith("line 1 ")
    assert kernel.run("1 + 1").results == ["2"]
    kernel.control("lpf_resume_request", job=job["id"])
    kernel.wait_state(job["id"], "running")
    kernel.client.input("Ann")
    assert cell.wait().text == "got Ann\n"


def test_an_answer_that_is_given_while_it_is_paused_is_kept(kernel: Kernel) -> None:
    cell = waiting(kernel)
    job = kernel.pause()["id"]
    kernel.client.input("Bob")
    kernel.run("1 + 1")
    kernel.control("lpf_resume_request", job=job)
    assert cell.wait().text == "got Bob\n"


def test_it_asks_again_if_another_cell_has_asked_meanwhile(kernel: Kernel) -> None:
    cell = waiting(kernel)
    job = kernel.pause()["id"]
    other = kernel.start("input('other? ')")
    asked(kernel, other, "other? ")
    kernel.client.input("two")
    assert other.wait().results == ["'two'"]
    kernel.control("lpf_resume_request", job=job)
    asked(kernel, cell)
    kernel.client.input("one")
    assert cell.wait().text == "got one\n"


def test_a_cell_that_asks_is_cancelled(kernel: Kernel) -> None:
    cell = waiting(kernel)
    kernel.control("lpf_cancel_request")
    assert cell.wait().reply["ename"] == "CellCancelled"
    assert kernel.run("1 + 1").results == ["2"]


def test_a_cell_that_asks_is_interrupted_as_ever(kernel: Kernel) -> None:
    cell = waiting(kernel)
    kernel.interrupt()
    assert cell.wait().reply["ename"] == "KeyboardInterrupt"


def test_a_limit_counts_while_a_cell_asks(kernel: Kernel) -> None:
    cell = waiting(kernel, "%%timeout 1s --on-timeout cancel\n" + ASKS)
    assert cell.wait().reply["ename"] == "CellTimeout"


@pytest.mark.parametrize(("given", "got"), [("", "''"), ("ü€", "'ü€'")])
def test_answers_are_what_was_typed(kernel: Kernel, given: str, got: str) -> None:
    cell = kernel.start("import getpass\ngetpass.getpass('name? ')")
    asked(kernel, cell)
    kernel.client.input(given)
    assert cell.wait().results == [got]


def test_the_end_of_the_input_is_an_error_of_the_cell(kernel: Kernel) -> None:
    cell = waiting(kernel)
    kernel.client.input("\x04")
    assert cell.wait().reply["ename"] == "EOFError"
