"""What is wrapped in a shell, kernel's and terminal's alike, while the extension is loaded.

`run_cell_async`  a top-level await runs in a task of its own, so it needs a driver of its own
`run_cell`        called by a cell, it does not keep the end of that cell to itself
`showtraceback`   a cell that was ended shows its outcome, not the exception that ended it, and a
                  MemoryError that stands for an interrupt is shown as one; called by a cell, by
                  magics for one, it lets the end of that cell go on, to be shown further out;
                  while `ShellHooks.quiet` is true, nothing is shown
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Protocol

import lpf

from . import durations, private
from .cell import Abandoned, Cell, Ending, cancelled
from .driver import Driver
from .errors import CellEnded
from .limits import Limit, limit_of

__all__ = ["ShellHooks", "cell_limit"]

_TAG = "lpf:timeout="
# Below it stands the event loop.
_STEP = Driver._run.__code__


class HasCurrent(Protocol):
    """A runner: `current` is the cell whose turn it is."""

    current: Cell | None


class ShellHooks:
    """The wrapped methods of one shell. Main thread; other threads' cells pass straight through."""

    def __init__(self, shell: Any, runner: HasCurrent) -> None:
        self.shell = shell
        self.runner = runner
        self._run_cell_async = shell.run_cell_async
        self._ours: dict[str, Any] = {}
        self.quiet = False

    def install(self) -> None:
        """Put the wrappers on the shell object."""
        self._put("run_cell_async", self._wrapped_run_cell_async())
        self._put("run_cell", self._wrapped_run_cell())
        self._put("showtraceback", self._wrapped_showtraceback())

    def uninstall(self) -> None:
        """Take the wrappers off, where they are still ours."""
        for name, ours in self._ours.items():
            if vars(self.shell).get(name) is ours:
                del vars(self.shell)[name]
        self._ours.clear()

    def takes_header(self) -> bool:
        """Whether a ``%%timeout`` header of a cell transformed now is for the runner of cells."""
        if threading.current_thread() is not threading.main_thread():
            return False
        cell = self.runner.current
        return cell is None or not cell.began

    def _put(self, name: str, ours: Any) -> None:
        # ipykernel asks for the signature in every cell; so it need not be worked out each time.
        with suppress(ValueError, TypeError):  # Somebody's in C has none.
            ours.__signature__ = inspect.signature(ours)
        self._ours[name] = ours
        vars(self.shell)[name] = ours

    def _wrapped_run_cell_async(self) -> Any:
        original = self._run_cell_async

        @functools.wraps(original)
        def run_cell_async(*args: Any, **kwargs: Any) -> Any:
            # Whose cell it is, is asked now: the task that awaits this may begin after others ran.
            cell = self._first_call()
            coro = original(*args, **kwargs)
            if cell is None:
                return coro
            cell.began = True
            return self.driven(cell, coro)

        return run_cell_async

    async def driven(self, cell: Cell, coro: Any) -> Any:
        """Run the coroutine of a cell; its result."""
        try:
            result = await (coro if lpf.current() is not None else Driver(cell).drive(coro))
        except Abandoned:
            result = self._given_up(cell)
        except KeyboardInterrupt:
            # In IPython's own code, between the cell's and the reply. Out of a task, it would
            # stop the event loop.
            result = self._cut_short(cell)
        result = self._settled(cell, result)
        if lpf.current() is None:  # Its task ends; the one that awaits this comes in its turn.
            cell.lend_if_shared()
        return result

    def _wrapped_run_cell(self) -> Any:
        shell, on_object = self.shell, vars(self.shell).get("run_cell")

        @functools.wraps(shell.run_cell)
        def run_cell(*args: Any, **kwargs: Any) -> Any:
            cell = self.runner.current if lpf.current() is not None else None
            nested = cell is not None and cell.began
            result = (on_object or functools.partial(type(shell).run_cell, shell))(*args, **kwargs)
            if nested:
                for error in (result.error_in_exec, result.error_before_exec):
                    _let_go_on(cell, error)
            return result

        return run_cell

    def _first_call(self) -> Cell | None:
        """Return the running cell if this is the call that runs it, not one that it makes."""
        if threading.current_thread() is not threading.main_thread():
            return None
        cell = self.runner.current
        return None if cell is None or cell.began else cell

    def _settled(self, cell: Cell, result: Any) -> Any:
        # The pending exception may also be raised in IPython's handler for the first one.
        for name in ("error_in_exec", "error_before_exec"):
            error = getattr(result, name)
            outcome = _outcome(cell, error)
            if outcome is not error:
                cell.ended_by_us = outcome is cell.ending
                result.error_before_exec = None
                result.error_in_exec = outcome
        cell.result = result
        cell.over = True
        return result

    def _cut_short(self, cell: Cell) -> Any:
        self.count_up(cell)
        self.shell.showtraceback((KeyboardInterrupt, KeyboardInterrupt(), None))
        return private.no_result(cell, KeyboardInterrupt())

    def _given_up(self, cell: Cell) -> Any:
        """Return what IPython would have, had the cell come to its end."""
        cell.abandon()
        cell.ending = cell.ending or cancelled(cell, True)
        self.count_up(cell)
        cell.ended_by_us = True
        self.shell.showtraceback((type(cell.ending), cell.ending, None))
        return private.no_result(cell, cell.ending)

    def count_up(self, cell: Cell) -> None:
        """See to it that nobody else gets the number of *cell*.

        Before IPython 9.8 it is counted up at a cell's end; others run or come first.
        """
        count = cell.job.execution_count
        if count is not None:
            self.shell.execution_count = max(self.shell.execution_count, count + 1)

    def _wrapped_showtraceback(self) -> Any:
        shell, on_object = self.shell, vars(self.shell).get("showtraceback")

        def original(*args: Any, **kwargs: Any) -> Any:
            if on_object is not None:
                return on_object(*args, **kwargs)
            # Looked up each time: people replace the method of the class.
            return type(shell).showtraceback(shell, *args, **kwargs)

        @functools.wraps(shell.showtraceback)
        def showtraceback(exc_tuple: Any = None, *args: Any, **kwargs: Any) -> Any:
            value = exc_tuple[1] if exc_tuple is not None else sys.exc_info()[1]
            if self.quiet:
                return None
            cell = self.runner.current
            outcome = _outcome(cell, value)
            if cell is not None and outcome is not None and outcome is cell.ending:
                if self._in_user_code():
                    _let_go_on(cell, value)
                cell.unwound = True
                exc_tuple = (type(outcome), outcome, None)
            elif value is not None and outcome is not None and outcome is not value:
                exc_tuple = (type(outcome), outcome, value.__traceback__)
            if cell is None:
                return original(exc_tuple, *args, **kwargs)
            cell.telling = True
            try:
                return original(exc_tuple, *args, **kwargs)
            finally:
                cell.telling = False

        return showtraceback

    def _in_user_code(self) -> bool:
        """Whether code of a cell has called what runs. Inside a step."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not _STEP:
            if frame.f_globals is self.shell.user_global_ns:
                return True
            frame = frame.f_back
        return False


def _let_go_on(cell: Cell | None, error: BaseException | None) -> None:
    """Raise *error* again if it is the end of *cell*."""
    outcome = _outcome(cell, error)
    if cell is not None and isinstance(outcome, CellEnded) and outcome is cell.ending:
        raise error if isinstance(error, lpf.Cancelled) else Ending(outcome)


def _outcome(cell: Cell | None, error: BaseException | None) -> BaseException | None:
    """Return what *error*, raised in *cell*, stands for: mostly itself."""
    starved = _starved(error)
    if starved or _is_cancelled(error):
        ending = cell.ending if cell is not None else None
        return ending or (KeyboardInterrupt() if starved else error)
    return error


def _is_cancelled(error: BaseException | None) -> bool:
    """Whether this is a Cancelled, or a group of such: asyncio.TaskGroup makes those."""
    if type(error) is BaseExceptionGroup:
        return all(map(_is_cancelled, error.exceptions))
    return isinstance(error, lpf.Cancelled)


def _starved(error: BaseException | None) -> bool:
    """Whether lpf made this error, to interrupt C code that could not be left.

    It is a MemoryError, or the SystemError of C code that finds no memory and says nothing.
    """
    step = lpf.current()
    return isinstance(error, MemoryError | SystemError) and step is not None and step.starved


def cell_limit(code: str, metadata: dict[str, Any], default: float | None) -> Limit | None:
    """Return a cell's time limit: by its header, else its metadata or a tag, else the default."""
    found = limit_of(code)
    if found is not None:
        return found
    seconds = _from_metadata(metadata)
    if seconds is None and not code.lstrip().startswith("%lpf"):  # A debugger has its time.
        seconds = default
    return None if seconds is None else Limit(seconds)


def _from_metadata(metadata: dict[str, Any]) -> float | None:
    """Return the seconds of ``{"lpf:timeout": "30s"}`` or of a tag ``lpf:timeout=30s``."""
    if not metadata:
        return None
    tags = metadata.get("tags") or []
    texts = [metadata.get("lpf:timeout"), *(t.removeprefix(_TAG) for t in tags if _tagged(t))]
    for text in texts:
        if text is None:
            continue
        try:
            return durations.parse(str(text))
        except ValueError as error:
            print(f"lpf:timeout is left aside: {error}", file=sys.stderr)
    return None


def _tagged(tag: Any) -> bool:
    return isinstance(tag, str) and tag.startswith(_TAG)
