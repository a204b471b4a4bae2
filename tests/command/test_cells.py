"""``jupyter lpf list | pause | resume | cancel | inspect | watch`` with real kernels."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command.conftest import COMMAND, Done, jupyter_lpf
from ipython.kernels import Cell, Kernel
from lpf_ipython.command import kernels
from lpf_ipython.command.main import main

LOOP = "print('go')\nwhile True:\n    pass"


def of(kernel: Kernel, command: str, *arguments: Any) -> Done:
    return jupyter_lpf(command, "--existing", kernel.manager.connection_file, *arguments)


class Watch:
    """A ``jupyter lpf watch --json``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def next(self) -> Any:
        """What it prints next."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def interrupted(self) -> int:
        """Its exit status after an interrupt."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(20)


@contextlib.contextmanager
def watching(*arguments: Any) -> Iterator[Watch]:
    command = (*COMMAND, "watch", "--json", *map(str, arguments))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Watch(process)
        finally:
            process.kill()


@pytest.fixture
def running(kernel: Kernel) -> Iterator[Cell]:
    """A cell that runs and does not end by itself; afterwards it has ended."""
    cell = kernel.start(LOOP)
    cell.prints("go")
    yield cell
    if not cell.answered():
        kernel.control("lpf_cancel_request")
        cell.wait()


def test_a_cell_is_paused_resumed_and_cancelled(kernel: Kernel, running: Cell) -> None:
    paused = of(kernel, "pause")
    assert (paused.status, paused.err) == (0, "")
    assert "] paused (request)  line " in paused.out
    assert "<cell" in paused.out
    resumed = of(kernel, "resume")
    assert resumed.status == 0
    job = of(kernel, "pause", "--json").json
    assert (job["state"], job["msg_id"]) == ("paused", running.msg_id)
    assert of(kernel, "cancel", job["id"]).status == 0
    assert running.wait().reply["ename"] == "CellCancelled"


def test_a_resume_for_some_time(kernel: Kernel, running: Cell) -> None:
    of(kernel, "pause")
    assert of(kernel, "resume", "--for", "50ms").status == 0
    kernel.until(
        lambda messages: any(
            m["content"].get("reason") == "timeout"
            for m in messages
            if m["msg_type"] == "lpf_state"
        )
    )


def test_a_kernel_is_found_by_its_file_its_id_and_its_process(
    kernel: Kernel, running: Cell
) -> None:
    file = Path(kernel.manager.connection_file)
    pid = kernel.manager.provisioner.pid
    shown = [
        jupyter_lpf("list", "--json", *which).json
        for which in (
            ("--existing", file),
            ("--kernel", file.stem.removeprefix("kernel-")),
            ("--pid", pid),
        )
    ]
    for [listed] in shown:
        assert listed["file"] == str(file)
        assert [job["state"] for job in listed["jobs"]] == ["running"]
    assert shown[2][0]["pid"] == pid


@pytest.mark.parametrize("option", ["--existing", "--kernel", "--pid"])
def test_every_command_finds_its_kernel_by_each_of_them(
    kernel: Kernel, running: Cell, option: str
) -> None:
    file = Path(kernel.manager.connection_file)
    value = {
        "--existing": file,
        "--kernel": file.stem.removeprefix("kernel-"),
        "--pid": kernel.manager.provisioner.pid,
    }[option]
    for command, state in (("pause", "paused"), ("resume", "paused"), ("pause", "paused")):
        done = jupyter_lpf(command, option, value, "--json")
        assert (done.status, done.err) == (0, "")
        assert done.json["state"] in (state, "running")
        assert done.json["msg_id"] == running.msg_id
    assert jupyter_lpf("inspect", option, value, "--json").json["state"] == "paused"
    with watching(option, value) as watch:
        assert watch.next["state"] == "paused"
        assert jupyter_lpf("cancel", option, value, "--json").json["msg_id"] == running.msg_id
        assert watch.next["state"] in ("running", "cancelled")
        assert watch.interrupted() == 130
    assert running.wait().reply["ename"] == "CellCancelled"


def test_one_of_several_kernels_must_be_chosen(kernel: Kernel, bare: Kernel) -> None:
    done = jupyter_lpf("pause")
    assert done.status == 3
    assert "there are several kernels" in done.err
    assert "choose one with --kernel" in done.err
    assert jupyter_lpf("pause", "--kernel", "x", "--pid", 1).status == 2


def test_a_kernel_that_falls_silent_keeps_no_other_off_the_list(
    kernel: Kernel,
    bare: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # As if it ended between two of our requests.
    monkeypatch.setattr(kernels, "has_lpf", lambda client: True)
    assert main(["list", "--json"]) == 0
    listed = {each["pid"]: each for each in json.loads(capsys.readouterr().out)}
    assert "problem" not in listed[kernel.manager.provisioner.pid]
    assert "no lpf_jobs_reply" in listed[bare.manager.provisioner.pid]["problem"]
    assert main(["pause", "--pid", str(bare.manager.provisioner.pid)]) == 3


def test_the_list_has_all_kernels_and_their_open_jobs(
    kernel: Kernel, running: Cell, bare: Kernel
) -> None:
    of(kernel, "pause")
    table = jupyter_lpf("list")
    assert table.status == 0
    lines = {line.split()[1]: line for line in table.out.splitlines()}
    assert "paused (request)" in lines[str(kernel.manager.provisioner.pid)]
    assert "no lpf" in lines[str(bare.manager.provisioner.pid)]


def test_the_stack_of_a_paused_cell(kernel: Kernel) -> None:
    cell = kernel.start(
        "def f():\n    local = '\\x1b[31m<b>'\n    print('go')\n    while True:\n        pass\nf()"
    )
    cell.prints("go")
    of(kernel, "pause")
    shown = of(kernel, "inspect")
    assert "#0  f  line" in shown.out
    assert "local = " in shown.out
    assert "\x1b" not in shown.out
    assert of(kernel, "inspect", "--frame", 0, "--json").json["frames"][0]["function"] == "f"
    assert of(kernel, "inspect", "--frame", 99).status == 1
    of(kernel, "cancel")
    cell.wait()


def test_changes_are_printed_as_they_come(kernel: Kernel, running: Cell) -> None:
    with watching("--existing", kernel.manager.connection_file) as watch:
        assert watch.next["state"] == "running"
        of(kernel, "pause")
        assert watch.next["state"] == "paused"
        of(kernel, "cancel")
        assert watch.next["state"] == "running"
        assert watch.next["state"] == "cancelled"
        assert watch.interrupted() == 130


def test_what_the_kernel_refuses_is_told(kernel: Kernel) -> None:
    refused = of(kernel, "pause")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err == "jupyter lpf: no cell is running\n"
    assert "no job 9999" in of(kernel, "cancel", 9999).err
    assert of(kernel, "resume").status == 1


def test_kernels_that_are_not_there_or_have_no_lpf(bare: Kernel, tmp_path: Path) -> None:
    assert of(bare, "pause").status == 3
    assert "%load_ext lpf" in of(bare, "pause").err
    for which in (
        ("--kernel", "no-such-id"),
        ("--pid", 1),
        ("--existing", "no-such-file.json"),
        ("--existing", tmp_path / "x.json"),
    ):
        (tmp_path / "x.json").write_text("[1]")
        done = jupyter_lpf("pause", *which)
        assert done.status == 3, done.err
        assert done.err.count("\n") == 1


def test_a_kernel_that_is_gone(tmp_path: Path) -> None:
    gone = Kernel()
    file = tmp_path / "kernel-gone.json"
    shutil.copy(gone.manager.connection_file, file)
    gone.close()
    done = jupyter_lpf("list", "--existing", file)
    assert "no answer" in done.out
    assert jupyter_lpf("cancel", "--existing", file).status == 3


@pytest.mark.parametrize(
    "arguments",
    [(), ("stop",), ("resume", "--for", "soon"), ("cancel", "one"), ("list", "--pid", "x")],
)
def test_command_lines_that_make_no_sense(arguments: tuple[str, ...]) -> None:
    done = jupyter_lpf(*arguments)
    assert done.status == 2
    assert done.err.startswith("usage: jupyter lpf")


def test_jupyter_finds_the_command() -> None:
    script = Path(sys.executable).with_name("jupyter")
    done = subprocess.run([script, "lpf", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "exit status:" in done.stdout
