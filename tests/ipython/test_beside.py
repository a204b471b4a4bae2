"""What else a kernel is asked while a cell is paused: comms, subshells, and orders from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipython.kernels import LIMIT, Cell, Kernel

LOOP = "print('go', flush=True)\nwhile not globals().get('stop'):\n    x = 0\n'end'"
OTHER = "print('go', flush=True)\nwhile not globals().get('other'):\n    y = 0\n'other'"
TARGET = """
seen = []
def target(comm, opened):
    seen.append(opened["content"]["data"])
    @comm.on_msg
    def heard(message):
        seen.append(message["content"]["data"])
        comm.send({"echo": message["content"]["data"]})
get_ipython().kernel.comm_manager.register_target("tests", target)
"""


@pytest.fixture(autouse=True)
def not_stopped(kernel: Kernel) -> None:
    kernel.run("stop = other = False")


def started(kernel: Kernel, code: str) -> Cell:
    cell = kernel.start(code)
    cell.prints("go")
    return cell


def ends(kernel: Kernel, cell: Cell, job: int) -> None:
    kernel.run(f"stop = True\n%lpf resume {job}")
    assert cell.wait().results == ["'end'"]


def echoed(kernel: Kernel, data: int) -> bool:
    return any(
        message["msg_type"] == "comm_msg" and message["content"]["data"] == {"echo": data}
        for message in kernel.messages
    )


@pytest.mark.parametrize("code", [LOOP, "import asyncio\nawait asyncio.sleep(0)\n" + LOOP])
def test_comms_are_served_while_a_cell_is_paused(kernel: Kernel, code: str) -> None:
    kernel.run(TARGET)
    cell = started(kernel, code)
    job = kernel.pause()["id"]
    comm = f"comm {job}"
    kernel.send("comm_open", comm_id=comm, target_name="tests", data=0)
    for number in (1, 2):
        kernel.send("comm_msg", comm_id=comm, data=number)
        kernel.until(lambda _, n=number: echoed(kernel, n))
    assert kernel.value("seen") == "[0, 1, 2]"
    assert not cell.answered()
    kernel.control("lpf_resume_request", job=job)
    kernel.wait_state(job, "running")
    job = kernel.pause()["id"]
    ends(kernel, cell, job)
    kernel.send("comm_msg", comm_id=comm, data=3)
    kernel.until(lambda _: echoed(kernel, 3))
    kernel.send("comm_close", comm_id=comm, data={})


@pytest.fixture
def subshell(kernel: Kernel) -> Iterator[str]:
    has = "getattr(get_ipython().kernel, '_supports_kernel_subshells', False)"
    if kernel.value(has) != "True":
        pytest.skip("this ipykernel has no subshells")
    made = kernel.control("create_subshell_request")
    yield made["subshell_id"]
    kernel.control("delete_subshell_request", subshell_id=made["subshell_id"])


def in_subshell(kernel: Kernel, subshell: str, expression: str) -> str:
    """Evaluate an expression in a subshell, in a thread of its own."""
    request = kernel.send(
        "execute_request",
        subshell,
        code="",
        silent=False,
        store_history=False,
        user_expressions={"value": expression},
        allow_stdin=False,
        stop_on_error=True,
    )
    reply = kernel.shell_reply(request, LIMIT)
    return str(reply["user_expressions"]["value"]["data"]["text/plain"])


def test_subshells_answer_while_a_cell_runs_and_while_it_is_paused(
    kernel: Kernel, subshell: str
) -> None:
    cell = started(kernel, LOOP)
    thread = "__import__('threading').current_thread() is __import__('threading').main_thread()"
    assert in_subshell(kernel, subshell, thread) == "False"
    job = kernel.pause()["id"]
    assert in_subshell(kernel, subshell, "6 * 7") == "42"
    assert kernel.value("6 * 7") == "42"
    listed = kernel.control("lpf_jobs_request")["jobs"]
    assert [each["id"] for each in listed if each["state"] == "paused"] == [job]
    ends(kernel, cell, job)
    assert in_subshell(kernel, subshell, "stop") == "True"


@pytest.mark.parametrize(("verb", "ename"), [("resume", None), ("cancel", "CellCancelled")])
def test_orders_for_a_paused_cell_are_noted_while_another_one_runs(
    kernel: Kernel, verb: str, ename: str | None
) -> None:
    cell = started(kernel, LOOP)
    job = kernel.pause()["id"]
    other = started(kernel, OTHER)
    reply = kernel.control(f"lpf_{verb}_request", job=job)
    assert (reply["status"], reply["job"]["pending"]) == ("ok", verb)
    assert reply["job"]["state"] == "paused"
    # Asked for twice it is refused, with what it waits for.
    again = kernel.control("lpf_resume_request", job=job)
    assert again["status"] == "error"
    assert f"about to {verb}" in again["evalue"]
    # Whoever runs gives way by being paused; then it is the other's turn.
    running = kernel.pause()["id"]
    assert running != job
    if ename is None:
        kernel.wait_state(job, "running")
        job = kernel.pause()["id"]
        ends(kernel, cell, job)
    else:
        assert cell.wait().reply["ename"] == ename
    kernel.run(f"other = True\n%lpf resume {running}")
    assert other.wait().results == ["'other'"]
