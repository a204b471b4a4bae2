"""jupyter console under a pty: a front end that knows nothing of us, and waits for each cell."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from jupyter_client import BlockingKernelClient

from lpf_ipython.client import Cells

# A console takes a kernel for dead that is silent for a second, which a busy machine makes it.
CONSOLE = """
from jupyter_client.channels import HBChannel
from jupyter_console.app import main
HBChannel.time_to_dead = 30.0
main()
"""
LOOP = "exec(\"stop = False\\nprint('go')\\nwhile not stop: x = 0\", globals())"


class Console:
    """A console with a kernel of its own, and a program that talks to the same kernel."""

    def __init__(self, folder: Path) -> None:
        connection = folder / "kernel.json"
        env = {**os.environ, "IPYTHONDIR": str(folder), "TERM": "dumb"}
        options = [
            "--simple-prompt",
            "--kernel=python3",
            f"--JupyterConsoleApp.connection_file={connection}",
        ]
        self.child: Any = pexpect.spawn(
            sys.executable,
            ["-c", CONSOLE, *options],
            env=env,
            encoding="utf8",
            timeout=30,
            dimensions=(40, 250),
        )
        self.number = 0
        self.prompt()
        self.run("%load_ext lpf")
        self.client = BlockingKernelClient(connection_file=str(connection))
        self.client.load_connection_file()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)
        self.cells = Cells(self.client)

    def prompt(self) -> str:
        """Wait for the next prompt; what came before it."""
        self.number += 1
        self.child.expect(rf"In \[{self.number}\]: ")
        return re.sub(r"\x1b\[[\d;]*m", "", str(self.child.before))

    def send(self, line: str) -> None:
        self.child.sendline(line)

    def run(self, line: str) -> str:
        self.send(line)
        return self.prompt()

    def shows(self, pattern: str) -> str:
        self.child.expect(pattern)
        return str(self.child.match[0])

    def starts(self, line: str = LOOP) -> None:
        """Send a cell and wait until it has printed "go"."""
        self.send(line)
        self.shows(r"\ngo\r")

    def outside(self, code: str) -> None:
        """Run a cell from the other client, on which the console does not count."""
        self.client.execute_interactive(code, store_history=False, silent=True, timeout=30)

    def is_told(self, text: str) -> None:
        """Wait for a message with *text*. A console that waits for a reply does not show it."""
        while text not in str(self.client.get_iopub_msg(timeout=30)["content"]):
            pass

    def close(self) -> None:
        self.client.stop_channels()
        self.child.close(force=True)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    console = Console(tmp_path)
    yield console
    console.close()


def test_a_cell_is_paused_and_resumed_from_outside(console: Console) -> None:
    console.starts()
    job = console.cells.pause()
    assert job["where"].startswith("line ")
    console.outside("stop = True")
    console.cells.resume(job["id"])
    console.prompt()
    assert console.cells.wait(job["id"], "finished")
    assert "42" in console.run("6 * 7")


def test_a_cell_is_cancelled_from_outside(console: Console) -> None:
    console.starts()
    job = console.cells.pause()
    console.cells.cancel(job["id"])
    assert "CellCancelled: cancelled after" in console.prompt()
    assert "42" in console.run("6 * 7")


def test_a_limit_pauses_and_ctrl_c_twice_ends_the_cell(console: Console) -> None:
    console.run("%config LPF.timeout = '200ms'")
    console.starts()
    console.shows(r"\[\d+\] paused after")
    console.shows("Ctrl-C twice ends it")
    console.is_told("Ctrl-C twice ends it")
    console.is_told("'idle'")  # From then on the kernel hears interrupts again.
    console.child.sendintr()
    console.is_told("Another interrupt within 5 s ends it")
    console.child.sendintr()
    assert "KeyboardInterrupt" in console.prompt()
    assert "42" in console.run("6 * 7")


def test_a_limit_may_cancel(console: Console) -> None:
    console.run("%config LPF.timeout = '200ms'")
    console.run("%config LPF.on_timeout = 'cancel'")
    console.starts()
    shown = console.prompt()
    assert "CellTimeout: the cell's limit of 200 ms passed" in shown
    assert "42" in console.run("6 * 7")


def test_ctrl_c_stops_a_running_cell_as_ever(console: Console) -> None:
    console.starts()
    console.child.sendintr()
    assert "KeyboardInterrupt" in console.prompt()
    assert "42" in console.run("6 * 7")
