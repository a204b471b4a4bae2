"""Pausing, working on, resuming and cancelling, as a front end sees it."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest

from ipython.kernels import Cell, Kernel

# Prints "go", then computes until `go_on` is set; a finite end on its own.
LOOP = """
n = 1
print("go")
while not globals().get("stop"):
    n += 1
print("over")
n > 0
"""
# On one line, the jump back would belong to no try block around it.
SPIN = "while True:\n            x = 0\n"


def running(kernel: Kernel, code: str = LOOP, **options: object) -> Cell:
    """Start a cell and wait until it has printed "go"."""
    kernel.run("stop = False")
    cell = kernel.start(code, **options)
    cell.prints("go\n")
    return cell


def ends(kernel: Kernel, cell: Cell, job: int) -> Cell:
    """Resume a paused loop, to its own end."""
    kernel.run("stop = True")
    assert kernel.control("lpf_resume_request", job=job)["status"] == "ok"
    return cell.wait()


def test_a_paused_cell_has_no_reply_and_others_run(kernel: Kernel) -> None:
    cell = running(kernel, cell_id="abc")
    job = kernel.pause()
    assert (job["state"], job["reason"], job["cell_id"]) == ("paused", "request", "abc")
    assert job["msg_id"] == cell.msg_id
    assert job["where"].startswith("line ")
    assert kernel.run("n > 0").results == ["True"]
    assert not cell.answered()
    ends(kernel, cell, job["id"])


def test_a_resumed_cell_ends_in_its_own_output_with_its_own_number(kernel: Kernel) -> None:
    cell = running(kernel)
    number = cell.of_type("execute_input")[0]["execution_count"]
    job = kernel.pause()
    other = kernel.run("6 * 7")
    ends(kernel, cell, job["id"])
    assert cell.reply["status"] == "ok"
    assert cell.reply["execution_count"] == number
    assert cell.text == "go\nover\n"
    assert cell.results == ["True"]
    assert cell.of_type("execute_result")[0]["execution_count"] == number
    assert other.of_type("execute_result")[0]["execution_count"] == number + 1
    assert kernel.value(f"Out[{number}], Out[{number + 1}]") == "(True, 42)"


def test_every_change_of_state_is_published_with_the_cells_own_request(kernel: Kernel) -> None:
    cell = running(kernel, cell_id="c1")
    job = kernel.pause()["id"]
    ends(kernel, cell, job)
    assert kernel.states(job) == ["paused", "running", "finished"]
    published = cell.of_type("lpf_state")
    assert [p["state"] for p in published] == ["paused", "running", "finished"]
    assert {(p["msg_id"], p["cell_id"]) for p in published} == {(cell.msg_id, "c1")}


def test_the_status_messages_tell_the_truth(kernel: Kernel) -> None:
    cell = running(kernel)
    job = kernel.pause()["id"]
    # Idle without a parent: the kernel is free, the cell is not done.
    kernel.until(
        lambda all: any(
            m["msg_type"] == "status"
            and not m["parent_header"]
            and m["content"]["execution_state"] == "idle"
            for m in all
        )
    )
    assert not cell.idle
    resumer = kernel.run(f"stop = True\n%lpf resume {job}")
    cell.wait()
    statuses = [
        (m["parent_header"].get("msg_id"), m["content"]["execution_state"])
        for m in kernel.messages
        if m["msg_type"] == "status"
        and m["parent_header"].get("msg_id") in (cell.msg_id, resumer.msg_id)
    ]
    # A busy may be said again: a control request's idle hides it from some front ends.
    assert [status for status, _ in itertools.groupby(statuses)] == [
        (cell.msg_id, "busy"),
        (resumer.msg_id, "busy"),
        (resumer.msg_id, "idle"),
        (cell.msg_id, "busy"),
        (cell.msg_id, "idle"),
    ]


def test_several_paused_cells_are_resumed_in_any_order(kernel: Kernel) -> None:
    code = "print('go')\nwhile {0} not in done: pass\nprint('over {0}')"
    kernel.run("done = set()")
    cells, jobs = [], []
    for each in (1, 2, 3):
        cells.append(kernel.start(code.format(each)))
        cells[-1].prints("go")
        jobs.append(kernel.pause()["id"])
    for each in (2, 1, 3):
        kernel.run(f"done.add({each})")
        kernel.control("lpf_resume_request", job=jobs[each - 1])
        assert cells[each - 1].wait().text == f"go\nover {each}\n"


def test_a_cell_is_paused_again_and_again(kernel: Kernel) -> None:
    cell = running(kernel)
    for _ in range(5):
        job = kernel.pause()["id"]
        kernel.control("lpf_resume_request", job=job)
        kernel.wait_state(job, "running")
    job = kernel.pause()["id"]
    assert ends(kernel, cell, job).text == "go\nover\n"


def test_a_cell_is_resumed_for_a_limited_time(kernel: Kernel) -> None:
    cell = running(kernel)
    job = kernel.pause()
    kernel.run(f"%lpf resume {job['id']} for 50ms")
    kernel.until(lambda _: kernel.states(job["id"]).count("paused") == 2)
    now = kernel.control("lpf_jobs_request")["jobs"]
    [again] = [each for each in now if each["id"] == job["id"]]
    assert again["reason"] == "timeout"
    assert again["elapsed"] - job["elapsed"] >= 0.05
    ends(kernel, cell, job["id"])


def test_the_clock_of_a_paused_cell_stands_still(kernel: Kernel) -> None:
    cell = running(kernel)
    job = kernel.pause()
    kernel.run("import time; time.sleep(0.2)")
    [later] = [j for j in kernel.control("lpf_jobs_request")["jobs"] if j["id"] == job["id"]]
    assert later["elapsed"] == job["elapsed"]
    assert later["cpu_time"] == job["cpu_time"]
    ends(kernel, cell, job["id"])


def test_a_cancelled_cell_runs_its_finally_blocks_and_says_where_it_was(kernel: Kernel) -> None:
    code = f"print('go')\ntry:\n    {SPIN}finally:\n    print('cleaned')"
    cell = running(kernel, code)
    job = kernel.pause()["id"]
    assert kernel.control("lpf_cancel_request", job=job)["status"] == "ok"
    cell.wait()
    assert cell.text == "go\ncleaned\n"
    assert cell.reply["status"] == "error"
    assert cell.reply["ename"] == "CellCancelled"
    assert "line 3" in cell.reply["evalue"]
    assert kernel.states(job)[-1] == "cancelled"
    [error] = cell.of_type("error")
    assert error["ename"] == "CellCancelled"
    assert len(error["traceback"]) < 10


def test_a_running_cell_is_cancelled_without_a_pause(kernel: Kernel) -> None:
    cell = running(kernel)
    assert kernel.control("lpf_cancel_request")["status"] == "ok"
    assert cell.wait().reply["ename"] == "CellCancelled"


@pytest.mark.parametrize(
    "code",
    [
        f"print('go')\nwhile True:\n    try:\n        {SPIN}    except: pass",
        "import time\nprint('go')\nwhile True:\n    try: time.sleep(0.01)\n    except: pass",
        "import asyncio\nprint('go')\nwhile True:\n    try: await asyncio.sleep(0.01)\n    except: pass",
        "import asyncio\nprint('go')\nwhile True:\n    try: await asyncio.sleep(100)\n    except: pass",
    ],
)
def test_what_cannot_be_unwound_is_abandoned(kernel: Kernel, code: str) -> None:
    number = int(kernel.value("get_ipython().execution_count"))
    cell = running(kernel, code)
    job = kernel.pause()["id"]
    kernel.control("lpf_cancel_request", job=job)
    cell.wait()
    assert cell.reply["ename"] == "CellCancelled"
    assert "abandoned" in "".join(cell.reply["traceback"])
    assert kernel.states(job)[-1] == "abandoned"
    # What the cell had borrowed is back in place.
    after = kernel.run("print('still here')\n1 + 1")
    assert (after.text, after.results) == ("still here\n", ["2"])
    assert after.reply["execution_count"] > cell.reply["execution_count"] > number - 1


@pytest.mark.parametrize(
    "body",
    [
        "get_ipython().run_cell('print(1, flush=True)\\nwhile True: pass')",
        "%time exec('while True: pass')",
        "%run -i endless.py",
        "get_ipython().run_cell_magic('capture', '', 'while True: pass')",
        "await get_ipython().run_cell_async('while True: pass', transformed_cell='while True: pass')",
    ],
)
def test_code_that_is_run_by_a_cell_does_not_keep_its_end(
    kernel: Kernel, body: str, tmp_path: Path
) -> None:
    """IPython catches everything around it, and shows it."""
    kernel.run(f"%cd -q {tmp_path}\nopen('endless.py', 'w').write('while True: pass')")
    code = f"print('go')\ntry:\n    while True:\n        {body}\nfinally:\n    print('cleaned')"
    cell = running(kernel, code)
    job = kernel.pause()["id"]
    kernel.control("lpf_cancel_request", job=job)
    assert cell.wait().reply["ename"] == "CellCancelled"
    assert cell.text.endswith("cleaned\n")
    assert kernel.states(job)[-1] == "cancelled"
    assert [error["ename"] for error in cell.of_type("error")] == ["CellCancelled"]
    assert kernel.run("1 + 1").results == ["2"]


def test_an_endless_finally_block_is_ended_too(kernel: Kernel) -> None:
    cell = running(kernel, f"print('go')\ntry:\n    {SPIN}finally:\n    {SPIN}")
    job = kernel.pause()["id"]
    kernel.control("lpf_cancel_request", job=job)
    assert cell.wait().reply["ename"] == "CellCancelled"
    assert kernel.run("1 + 1").results == ["2"]


def test_a_signal_from_outside_pauses(kernel: Kernel) -> None:
    cell = running(kernel)
    os.kill(kernel.pid, signal.SIGURG)
    kernel.until(lambda _: any(s["state"] == "paused" for s in cell.of_type("lpf_state")))
    [state] = cell.of_type("lpf_state")
    assert state["reason"] == "signal"
    # Nobody asked over a channel, so the cell itself says how to go on.
    [notice] = cell.of_type("display_data")
    assert f"%lpf resume {state['job']}" in notice["data"]["text/plain"]
    ends(kernel, cell, state["job"])


def test_a_signal_from_outside_pauses_a_cell_that_awaits(kernel: Kernel) -> None:
    cell = kernel.start("import asyncio\nprint('go')\nf = asyncio.Event()\nawait f.wait()")
    cell.prints("go")
    os.kill(kernel.pid, signal.SIGURG)
    kernel.until(lambda _: any(s["state"] == "paused" for s in cell.of_type("lpf_state")))
    kernel.run("f.set()\n%lpf resume")
    assert cell.wait().reply["status"] == "ok"


def test_requests_that_make_no_sense_say_why(kernel: Kernel) -> None:
    reply = kernel.control("lpf_pause_request")
    assert (reply["status"], reply["evalue"]) == ("error", "no cell is running")
    reply = kernel.control("lpf_resume_request")
    assert (reply["status"], reply["evalue"]) == ("error", "no cell is paused")
    reply = kernel.control("lpf_cancel_request", job=10**6)
    assert (reply["status"], reply["evalue"]) == ("error", "no job 1000000")
    cell = running(kernel)
    job = kernel.pause()["id"]
    reply = kernel.control("lpf_resume_request", job=job, timeout="soon")
    assert "timeout is a number of seconds" in reply["evalue"]
    for malformed, problem in (
        ({"job": [job]}, "job is a number, not list"),
        ({"job": "1"}, "job is a number, not str"),
        ({"job": job, "frame": "0"}, "frame is a number, not str"),
        (b"[1]", "the content of a request has fields; it is no list"),
        (b"null", "the content of a request has fields; it is no NoneType"),
    ):
        reply = kernel.control("lpf_inspect_request", content=malformed)
        assert (reply["status"], reply["evalue"]) == ("error", problem)
    assert "within is a number" in kernel.control("lpf_pause_request", within="1 s")["evalue"]
    ends(kernel, cell, job)


def test_a_paused_cell_is_looked_into(kernel: Kernel) -> None:
    cell = running(kernel, "def f(x):\n    print('go')\n    while not stop: pass\nf([1, 2])")
    job = kernel.pause()["id"]
    reply = kernel.control("lpf_inspect_request", job=job)
    assert reply["status"] == "ok"
    frames = reply["inspect"]["frames"]
    assert [f["function"] for f in frames] == ["f", "<module>"]
    assert {"name": "x", "type": "list", "value": "[1, 2]"} in frames[0]["locals"]
    shown = kernel.run(f"%lpf inspect {job}").of_type("display_data")[0]["data"]["text/plain"]
    assert "x = [1, 2]" in shown
    ends(kernel, cell, job)


def test_a_cell_pauses_itself(kernel: Kernel) -> None:
    cell = kernel.start("%lpf pause\nprint('again')")
    kernel.until(lambda _: cell.of_type("lpf_state"))
    kernel.run("%lpf resume")
    assert cell.wait().text == "again\n"


def test_the_extension_is_not_unloaded_under_paused_cells(kernel: Kernel) -> None:
    cell = running(kernel)
    job = kernel.pause()["id"]
    refused = kernel.run("%unload_ext lpf")
    assert refused.reply["ename"] == "JobError"
    assert f"{job} (line" in refused.reply["evalue"]
    ends(kernel, cell, job)


def test_unloading_leaves_a_stock_kernel() -> None:
    kernel = Kernel()
    try:
        kernel.run("ours = get_ipython().run_cell_async")
        kernel.run("%unload_ext lpf")
        assert kernel.run("1 + 1").results == ["2"]
        assert kernel.value("'run_cell_async' in vars(get_ipython())") == "False"
        handlers = "{h for h in get_ipython().kernel.control_handlers if h.startswith('lpf')}"
        assert kernel.value(handlers) == "set()"
        kernel.run("import signal")
        assert kernel.value("signal.set_wakeup_fd(-1)") == "-1"
        kernel.run("%load_ext lpf")
        cell = running(kernel)
        job = kernel.pause()["id"]
        ends(kernel, cell, job)
    finally:
        kernel.close()


def test_a_resumed_cell_writes_to_its_own_stderr_and_history(kernel: Kernel) -> None:
    code = LOOP + "import sys; print('late', file=sys.stderr)"
    cell = running(kernel, code)
    number = cell.of_type("execute_input")[0]["execution_count"]
    job = kernel.pause()["id"]
    kernel.run("'between'")
    ends(kernel, cell, job)
    errors = "".join(c["text"] for c in cell.of_type("stream") if c["name"] == "stderr")
    assert errors == "late\n"
    assert eval(kernel.value(f"In[{number}], In[{number + 1}]")) == (code.strip(), "'between'")


def test_completion_and_inspection_work_while_a_cell_is_paused(kernel: Kernel) -> None:
    kernel.run("some_dictionary = {'key': 1}")
    cell = running(kernel)
    job = kernel.pause()["id"]
    reply = kernel.shell_reply(kernel.client.complete("some_dict"), 20)
    assert "some_dictionary" in reply["matches"]
    reply = kernel.shell_reply(kernel.client.inspect("some_dictionary"), 20)
    assert "{'key': 1}" in reply["data"]["text/plain"]
    assert kernel.shell_reply(kernel.client.is_complete("if x:"), 20)["status"] == "incomplete"
    ends(kernel, cell, job)


def test_other_tasks_of_the_user_run_on_while_a_cell_that_awaits_is_paused(kernel: Kernel) -> None:
    kernel.run(
        "import asyncio\nticks, event = [], asyncio.Event()\n"
        "async def tick():\n    while True:\n        ticks.append(1)\n"
        "        await asyncio.sleep(0.001)\ntask = asyncio.create_task(tick())"
    )
    for code in ("print('go')\nawait event.wait()", "await asyncio.sleep(0)\n" + LOOP):
        kernel.run("event.clear(); stop = False")
        cell = kernel.start(code)
        cell.prints("go")
        job = kernel.pause()["id"]
        before = int(kernel.value("len(ticks)"))
        kernel.until_true(f"len(ticks) > {before}")
        kernel.run("event.set()")
        ends(kernel, cell, job)
        assert cell.reply["status"] == "ok"
    kernel.run("task.cancel()")


def test_a_cell_is_cancelled_while_it_awaits_and_while_it_computes_between_awaits(
    kernel: Kernel,
) -> None:
    for body in ("await asyncio.sleep(1000)", "while True:\n            x = 0"):
        code = (
            "import asyncio\nawait asyncio.sleep(0)\nprint('go')\ntry:\n    if True:\n"
            f"        {body}\nfinally:\n    print('cleaned')"
        )
        cell = running(kernel, code)
        job = kernel.pause()["id"]
        kernel.control("lpf_cancel_request", job=job)
        assert cell.wait().reply["ename"] == "CellCancelled"
        assert cell.text == "go\ncleaned\n"


# The control thread asks again while the cell is on its way into its parking place.
PARKS_SLOWLY = """
import lpf_ipython.cell as module, time
park = module.Cell.park
def slowly(cell, reason):
    time.sleep(0.5)
    park(cell, reason)
module.Cell.park = slowly
"""


@pytest.mark.parametrize(
    "code",
    [LOOP, "import asyncio\nprint('go')\nwhile not stop:\n    await asyncio.sleep(0.01)"],
)
def test_a_pause_that_took_its_time_is_not_asked_for_again(fresh: Kernel, code: str) -> None:
    fresh.run(PARKS_SLOWLY)
    cell = running(fresh, code)
    job = fresh.pause()["id"]
    assert ends(fresh, cell, job).reply["status"] == "ok"
    assert fresh.states(job) == ["paused", "running", "finished"]


def test_a_command_of_os_system_is_waited_for_and_can_be_left(
    kernel: Kernel, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    kernel.run(f"import os; os.environ['HELD'] = {str(held)!r}")
    cell = running(kernel, "print('go', flush=True)\nos.system('cat $HELD; exit 3')")
    kernel.until_at(cell, 2)
    job = kernel.pause()["id"]
    assert kernel.run("1 + 1").results == ["2"]
    held.write_text("")
    kernel.control("lpf_resume_request", job=job)
    assert cell.wait().results == [str(3 << 8)]
    cell = kernel.start("os.system('cat $HELD')")
    with held.open("w"):  # Which waits for the one who reads.
        kernel.interrupt()
    assert cell.wait().results == [str(int(signal.SIGINT))]


def test_a_signal_to_the_whole_group_harms_no_child(kernel: Kernel, tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    code = "print('go', flush=True)\nsubprocess.run(['cat', %r]).returncode"
    cell = running(kernel, "import subprocess\n" + code % str(held))
    with held.open("w"):  # Which waits for the one who reads.
        kernel.until_at(cell, 3)
        os.killpg(os.getpgid(kernel.pid), signal.SIGURG)
        kernel.until(lambda _: any(s["state"] == "paused" for s in cell.of_type("lpf_state")))
    kernel.run("%lpf resume")
    assert cell.wait().results == ["0"]


def test_the_published_state_has_the_documented_fields(kernel: Kernel) -> None:
    from lpf_ipython import messages

    cell = running(kernel)
    job = kernel.pause()
    [published] = kernel.until(lambda _: cell.of_type("lpf_state"))
    assert set(published) == set(job)
    described = messages.__doc__ or ""
    assert all(f"{field} " in described or f"{field}," in described for field in published)
    ends(kernel, cell, job["id"])


# The signal comes to the main thread when somebody writes to $HELD, and as soon as that waits for it: a
# resumed cell is said to run a moment before it does.
SIGWAIT = """
import os, signal, threading, time
def is_waited_for():
    with open(f'/proc/self/task/{os.getpid()}/syscall') as call:
        return call.read().split()[0] in ('128', '137')  # rt_sigtimedwait
def send():
    open(os.environ['HELD']).read()
    while not is_waited_for():
        time.sleep(0.01)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
threading.Thread(target=send, daemon=True).start()
print('go', flush=True)
signal.sigwait({signal.SIGUSR1})
"""


def test_a_cell_that_waits_for_a_signal_can_be_left(fresh: Kernel, tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    fresh.run(f"import os; os.environ['HELD'] = {str(held)!r}")
    cell = running(fresh, SIGWAIT)
    job = fresh.pause()["id"]
    assert fresh.run("1 + 1").results == ["2"]
    fresh.control("lpf_resume_request", job=job)
    fresh.until(lambda _: fresh.states(job)[-1] == "running")
    held.write_text("")
    assert cell.wait().results == ["<Signals.SIGUSR1: 10>"]
    cell = running(fresh, SIGWAIT)
    fresh.interrupt()
    assert cell.wait().reply["ename"] == "KeyboardInterrupt"
    cell = running(fresh, SIGWAIT)
    fresh.control("lpf_cancel_request")
    assert cell.wait().reply["ename"] == "CellCancelled"


def test_a_cell_that_waits_in_open_can_be_left(kernel: Kernel, tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    cell = running(kernel, f"print('go', flush=True)\nopen({str(held)!r}).read()")
    kernel.until_at(cell, 2)
    job = kernel.pause()["id"]
    assert kernel.run("1 + 1").results == ["2"]
    kernel.control("lpf_resume_request", job=job)
    held.write_text("all")
    assert cell.wait().results == ["'all'"]


def test_what_a_cell_does_to_the_signal_mask_stays(fresh: Kernel) -> None:
    block = "import signal\nbefore = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})"
    blocked = "signal.pthread_sigmask(signal.SIG_BLOCK, ()) - before == {signal.SIGUSR2}"
    fresh.run(f"{block}\nassert {blocked}")
    assert fresh.value(blocked) == "True"
    fresh.run("signal.pthread_sigmask(signal.SIG_SETMASK, before)")
    assert fresh.value("signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before") == "True"
