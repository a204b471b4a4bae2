"""``%lpf debug``: IPython's debugger on the frames of a paused cell.

It looks around as after an error (``up``, ``down``, ``where``, ``list``, ``p``, any expression)
and, other than there, what it changes is what the cell goes on with. It cannot step: the cell
stands still until it is resumed, and leaving the debugger leaves it paused.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from .places import visible
from .values import Values

__all__ = ["debug"]

_ASSIGNMENT = re.compile(r"\s*[^\W\d]\w*\s*=(?!=)")


def debug(shell: Any, frames: Sequence[FrameType], job: int) -> None:
    """Talk to the user about *frames*, innermost first, until they leave. Main thread.

    Uses the shell's own debugger class, hence ``input()`` in a kernel and prompt_toolkit in a
    terminal. ValueError when none of the frames is the user's.
    """
    shown = visible(frames)
    if not shown:
        raise ValueError(f"job {job} has no Python frame to debug")
    session = _session_class(shell.debugger_cls)(shown, job)
    try:
        session.reset()
        session.interaction(shown[0], None)
    finally:
        session.close()


def _session_class(base: type) -> type[Any]:
    return type("PausedPdb", (_Paused, base), {})


class _Paused:
    """Mixed into a Pdb: the stack it shows, and commands that would run code are refused."""

    # What the Pdb below it provides.
    curframe: FrameType | None
    curframe_locals: dict[str, Any]
    stdout: Any

    def __init__(self, frames: Sequence[FrameType], job: int) -> None:
        super().__init__()
        self._frames = list(frames)
        self._job = job

    def get_stack(self, *_: object) -> tuple[list[tuple[FrameType, int]], int]:
        """Return the paused frames, oldest first, whatever frame is asked about."""
        stack = [(frame, frame.f_lineno or 0) for frame in reversed(self._frames)]
        return stack, len(stack) - 1

    def preloop(self) -> None:
        """Say what this is, once."""
        super().preloop()  # type: ignore[misc]
        if not getattr(self, "_greeted", False):
            self._greeted = True
            self._say(f"[{self._job}] is paused; look around, change variables, q leaves it paused")

    def precmd(self, line: str) -> str:
        """Take ``n = 1`` for what it says, although ``n`` is a command of pdb's."""
        line = f"!{line}" if _ASSIGNMENT.match(line) else line
        return str(super().precmd(line))  # type: ignore[misc]

    def default(self, line: str) -> Any:
        """Run *line* in the current frame, and let the cell have the variables it set."""
        result = super().default(line)  # type: ignore[misc]
        if self.curframe is not None:
            _write_back(self.curframe)
        return result

    def close(self) -> None:
        """Let go of the frames, and take out what pdb put into the user's namespaces."""
        for frame in self._frames:
            frame.f_globals.pop("__pdb_convenience_variables", None)
        self._frames.clear()
        self.forget()  # type: ignore[attr-defined]
        executor = getattr(self, "thread_executor", None)
        if executor is not None:
            executor.shutdown(wait=False)

    def do_locals(self, arg: str) -> Any:
        """locals
        Show the variables of the current frame, each in one short line.
        """
        if arg:  # The expression locals(), say.
            return self.default(f"locals{arg}")
        values = Values()
        for name, value in dict(self._locals()).items():
            self._say(f"{name} = {values.text(value)}")
        return None

    def do_continue(self, arg: str) -> bool:
        """c(ont(inue))
        Leave the debugger. The cell stays paused; %lpf resume lets it go on.
        """
        self._say(f"[{self._job}] stays paused; %lpf resume {self._job} lets it go on")
        return True

    do_c = do_cont = do_continue

    def do_quit(self, arg: str) -> bool:
        """q(uit)
        Leave the debugger. The cell stays paused.
        """
        return True

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> bool:
        """EOF
        Leave the debugger. The cell stays paused.
        """
        self._say("")
        return True

    def _refused(self, arg: str) -> None:
        """Not here: a paused cell is not stepped. %lpf resume N for 100ms lets it go on a little."""
        self._say(
            "a paused cell is looked at, not stepped; leave with q, "
            f"then %lpf resume {self._job}, or %lpf resume {self._job} for 100ms"
        )

    do_step = do_s = do_next = do_n = do_until = do_unt = do_return = do_r = _refused
    do_jump = do_j = do_run = do_restart = do_debug = _refused
    do_break = do_b = do_tbreak = do_commands = _refused

    def _locals(self) -> Any:
        if sys.version_info >= (3, 13):
            return self.curframe.f_locals if self.curframe else {}
        return self.curframe_locals

    def _say(self, text: str) -> None:
        print(text, file=self.stdout)


def _write_back(frame: FrameType) -> None:
    """Make assignments in *frame*'s ``f_locals`` real. From 3.13 on they are (PEP 667)."""
    if sys.version_info < (3, 13):
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
        # Reading them marks the frame for being written back; each write takes the mark off.
        assert frame.f_locals is not None
