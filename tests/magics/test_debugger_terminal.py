"""The debugger at a real terminal, where IPython's own reads lines with prompt_toolkit."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

pytestmark = pytest.mark.slow

STARTED = """
import lpf
from lpf_ipython import debugger

def waits(number):
    lpf.pause()
    return number

c = lpf.launch(waits, 1)
debugger.debug(get_ipython(), c.stack(), 1)
print("left", c.state, c.resume().result())
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[pexpect.spawn[str]]:
    """IPython at its prompt, the file started.py beside it."""
    (tmp_path / "started.py").write_text(STARTED)
    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--HistoryManager.enabled=False"],
        cwd=tmp_path,
        env={
            **os.environ,
            "IPYTHONDIR": str(tmp_path),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
        },
        encoding="utf-8",
        timeout=30,
        dimensions=(40, 120),
    )
    child.expect(re.escape("In ["))
    yield child
    child.close(force=True)


@pytest.mark.parametrize("leave", ["q", "c", "\x04"], ids=["q", "c", "Ctrl-D"])
def test_it_changes_variables_and_leaves_the_cell_paused(
    terminal: pexpect.spawn[str], leave: str
) -> None:
    terminal.send("%run -i started.py\r")
    terminal.expect("is paused; look around")
    terminal.expect("ipdb>")
    terminal.send("number = 41 + 1\r")
    terminal.expect("ipdb>")
    terminal.send("p 'number is', number\r")
    terminal.expect("'number is', 42")
    terminal.expect("ipdb>")
    terminal.send(leave if leave == "\x04" else f"{leave}\r")
    terminal.expect("left paused 42")


def test_an_interrupt_clears_the_line(terminal: pexpect.spawn[str]) -> None:
    terminal.send("%run -i started.py\r")
    terminal.expect("ipdb>")
    terminal.send("nonsense")
    terminal.expect("nonsense")
    terminal.sendintr()
    terminal.send("q\r")
    terminal.expect("left paused 1")
