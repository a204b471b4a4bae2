"""Terminal IPython under a pty: cells as jobs of a shell."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

CTRL_Z = "\x1a"


class Terminal:
    """IPython with the extension loaded. Prompts are waited for by their number."""

    def __init__(self, folder: Path) -> None:
        env = {**os.environ, "IPYTHONDIR": str(folder), "TERM": "dumb"}
        options = ["-m", "IPython", "--no-banner", "--simple-prompt", "--colors=NoColor"]
        self.child: Any = pexpect.spawn(
            sys.executable, options, env=env, encoding="utf8", timeout=20, dimensions=(40, 200)
        )
        self.number = 0
        self.prompt()
        self.run("%load_ext lpf")

    def prompt(self) -> str:
        """Wait for the next prompt; what came before it."""
        self.number += 1
        self.child.expect(rf"In \[{self.number}\]: ")
        return str(self.child.before)

    def send(self, line: str) -> None:
        self.child.sendline(line)

    def run(self, line: str) -> str:
        self.send(line)
        return self.prompt()

    def press(self, key: str, after: str) -> str:
        """Press a key once *after* has been printed on a line of its own."""
        self.child.expect(rf"\n{after}\r")
        self.child.send(key)
        return self.prompt()

    def loop(self, body: str = "x = 0") -> None:
        code = f"stop = False\nprint('go')\nwhile not stop:\n    {body}"
        self.send(f"exec({code!r}, globals())")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.child.close(force=True)


def test_ctrl_z_pauses_the_running_cell(terminal: Terminal) -> None:
    terminal.loop()
    shown = terminal.press(CTRL_Z, "go")
    assert re.search(r"\[\d\] paused .*line 1 in <cell 2>", shown)
    assert "42" in terminal.run("6 * 7")
    assert "paused" in terminal.run("%lpf jobs")
    terminal.run("stop = True")
    assert "finished" in terminal.run("%lpf resume")


def test_a_paused_cell_is_cancelled(terminal: Terminal) -> None:
    terminal.loop()
    terminal.press(CTRL_Z, "go")
    assert "CellCancelled" in terminal.run("%lpf cancel")
    assert "no cell is paused" in terminal.run("%lpf resume")


def test_a_cell_that_awaits_is_a_job_too(terminal: Terminal) -> None:
    terminal.run("import asyncio; event = asyncio.Event()")
    terminal.send("print('go'); await event.wait(); 'waited'")
    terminal.press(CTRL_Z, "go")
    assert "'other'" in terminal.run("event.set(); await asyncio.sleep(0.01, 'other')")
    assert "'waited'" in terminal.run("%lpf resume")


def test_processes_of_a_cell_go_on_while_it_is_paused(terminal: Terminal, tmp_path: Path) -> None:
    held, ended = tmp_path / "held", tmp_path / "ended"
    os.mkfifo(held)
    os.mkfifo(ended)
    terminal.run("import subprocess")
    command = f"cat {held}; echo ended > {ended}; exit 3"
    terminal.send(f"print('go'); subprocess.run({command!r}, shell=True).returncode")
    terminal.press(CTRL_Z, "go")
    held.write_text("")
    assert ended.read_text() == "ended\n"
    assert ": 3" in terminal.run("%lpf resume")


def test_a_time_limit_pauses(terminal: Terminal) -> None:
    terminal.run("import time")
    terminal.run("%config LPF.timeout = '200ms'")
    shown = terminal.run("time.sleep(1000)")
    assert "paused after" in shown
    assert "%lpf resume" in shown


def test_a_swallowed_interrupt_escalates(terminal: Terminal) -> None:
    code = "print('go')\nwhile True:\n    try:\n        while True:\n            x = 0\n    except:\n        pass"
    terminal.send(f"exec({code!r})")
    assert "CellCancelled" in terminal.press("\x03", "go")


def test_ctrl_z_at_the_prompt_keeps_its_meaning(terminal: Terminal) -> None:
    def is_caught() -> bool:
        status = Path(f"/proc/{terminal.child.pid}/status").read_text()
        [mask] = re.findall(r"SigCgt:\s*(\w+)", status)
        return bool(int(mask, 16) & 1 << (signal.SIGTSTP - 1))

    before = is_caught()
    terminal.run("import signal")
    assert "_stop_key" in terminal.run("signal.getsignal(signal.SIGTSTP)")  # While a cell runs.
    assert is_caught() == before


def test_leaving_with_paused_cells_unwinds_them(terminal: Terminal, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = (
        f"print('go')\ntry:\n    while True:\n        x = 0\nfinally:\n    open({str(mark)!r}, 'w')"
    )
    terminal.send(f"exec({code!r})")
    terminal.press(CTRL_Z, "go")
    assert "JobError" in terminal.run("%unload_ext lpf")
    terminal.send("exit")
    terminal.child.expect(pexpect.EOF)
    assert mark.exists()
    assert "Traceback" not in terminal.child.before


def test_unloading_by_force(terminal: Terminal) -> None:
    terminal.loop()
    terminal.press(CTRL_Z, "go")
    assert "CellCancelled" in terminal.run("%unload_ext lpf --force")
    assert "False" in terminal.run("'run_cell' in vars(get_ipython())")
    assert "2" in terminal.run("1 + 1")
