"""The steps of a coroutine, each a preemptible function.  On the loop's thread, the main one."""

from __future__ import annotations

import asyncio
from asyncio import events, tasks
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from .. import _native
from .._stack import same_stack
from . import _turns
from ._current import postpone, swap_current_task

__all__ = ["Aside", "Steps"]

_T = TypeVar("_T")

_Loop = asyncio.AbstractEventLoop
_AnyTask = asyncio.Task[Any]


class Aside:
    """What a step asks its driver to do on the loop's own stack, by pausing with it."""

    __slots__ = ("act", "error", "result")

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act
        self.result: Any = None
        self.error: BaseException | None = None

    def do(self) -> None:
        try:
            self.result = self.act()
        except BaseException as error:
            self.error = error

    def get(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


class Steps(Coroutine[Any, Any, _T]):
    """A coroutine, each of whose steps is a preemptible function.

    To asyncio and to whoever looks at it, it is the coroutine: other attributes are read from there.
    """

    __slots__ = (
        "__name__",
        "__qualname__",
        "__weakref__",
        "_coro",
        "_elapsed",
        "_inside",
        "_interrupt",
        "_quantum",
        "_stack",
        "_step",
    )

    def __init__(self, coro: Any, quantum: float, interrupt: bool = False) -> None:
        self._coro = coro
        self._quantum = quantum
        self._interrupt = interrupt
        self._step: _native.Continuation[Any] | None = None
        self._stack: object | None = None  # Of all steps.
        self._elapsed = 0.0  # Of the step, when its present turn began.
        self._inside: _AnyTask | None = None
        self.__name__ = getattr(coro, "__name__", type(coro).__name__)
        self.__qualname__ = getattr(coro, "__qualname__", self.__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)

    def __repr__(self) -> str:
        return repr(self._coro)

    def __await__(self) -> Generator[Any, Any, _T]:
        return self

    __iter__ = __await__

    def __next__(self) -> Any:
        return self.send(None)

    # An error that leaves these methods has their frames in its traceback, and the step has the error:
    # what the frames know of either is deleted, or it would take a garbage collection to free them.

    def send(self, value: Any, /) -> Any:
        loop = events._get_running_loop()
        task = None if loop is None else tasks.current_task(loop)
        step = self._step
        try:
            if step is not None:
                return self._go_on(step, loop, task, None)
            self._stack = same_stack(self._stack)
            step = _native._launch_step(self._stack, self._coro.send, value, timeout=self._quantum)
            if step.done:
                return step.result()
            self._elapsed = 0.0
            return self._leave(step, loop, task)
        except BaseException:  # It has ended.
            self._stack = None
            raise
        finally:
            del step

    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any:
        error = kind if value is None else value
        if not isinstance(error, BaseException):
            error = kind() if value is None else kind(value)
        if traceback is not None:
            error = error.with_traceback(traceback)
        loop = events._get_running_loop()
        task = None if loop is None else tasks.current_task(loop)
        step = self._step
        try:
            if step is not None:
                early = isinstance(error, asyncio.CancelledError) and not self._interrupt
                if early and postpone(error):
                    error = None
                return self._go_on(step, loop, task, error)
            self._stack = same_stack(self._stack)
            step = _native._launch_step(self._stack, self._coro.throw, error, timeout=self._quantum)
            self._elapsed = 0.0
            return self._leave(step, loop, task)
        except BaseException:
            self._stack = None
            raise
        finally:
            del step, error, kind, value, traceback

    def close(self) -> None:
        step = self._step
        if step is not None:
            self._step = None
            _turns.goes_on(step)
            if step.cancel() == "abandoned":
                return
        self._coro.close()

    def _go_on(
        self,
        step: _native.Continuation[Any],
        loop: _Loop | None,
        task: _AnyTask | None,
        error: BaseException | None,
    ) -> Any:
        self._elapsed = step.elapsed
        self._step = None
        _turns.goes_on(step)
        if self._inside is not None and loop is not None:
            swap_current_task(loop, self._inside)
            self._inside = None
        try:
            if error is None:
                step.resume(timeout=self._quantum)
            else:
                step.throw(error, timeout=self._quantum)
            return self._leave(step, loop, task)
        finally:
            del step, error

    def _leave(
        self, step: _native.Continuation[Any], loop: _Loop | None, task: _AnyTask | None
    ) -> Any:
        """The step has ended or stands still: what it yields to asyncio."""
        try:
            while not step.done:
                if isinstance(aside := step.value, Aside):
                    aside.do()
                    left = self._quantum - (step.elapsed - self._elapsed)
                    if left > 0:
                        step.resume(timeout=left)
                        continue
                if loop is not None and (inside := tasks.current_task(loop)) is not task:
                    self._inside = inside
                    swap_current_task(loop, task)
                self._step = step
                _turns.stands(step, self.__qualname__)
                return _turns.next_turn(loop)
            return step.result()
        finally:
            del step
