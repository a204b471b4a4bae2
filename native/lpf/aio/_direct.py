"""``asyncio.Task`` for libraries that call it themselves and so pass by every task factory.

aiohttp does, on Python 3.12 and later, for the sake of ``eager_start``.  While something is put in,
the name ``asyncio.Task`` is a subclass that stands for the real one: what is an instance or a subclass
of that is one of this, and a call with a loop that nobody has claimed makes a real one.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable
from typing import Any

__all__ = ["put_in", "take_out"]

# Given a loop, what makes its tasks; None: asyncio itself.
_Claims = Callable[[asyncio.AbstractEventLoop], Callable[..., Any] | None]

_Real: Any = asyncio.Task
_claims: _Claims | None = None


class _Meta(type):
    def __call__(cls, coro: Any, *, loop: Any = None, **options: Any) -> Any:
        if cls is not _StandIn:  # A subclass of somebody's.
            return super().__call__(coro, loop=loop, **options)
        home = events._get_running_loop() if loop is None else loop
        make = None if home is None or _claims is None else _claims(home)
        if make is None:
            return _Real(coro, loop=loop, **options)
        return make(home, coro, **options)

    def __instancecheck__(cls, instance: Any) -> bool:
        return (
            isinstance(instance, _Real) if cls is _StandIn else super().__instancecheck__(instance)
        )

    def __subclasscheck__(cls, subclass: type) -> bool:
        return (
            issubclass(subclass, _Real) if cls is _StandIn else super().__subclasscheck__(subclass)
        )


class _StandIn(_Real, metaclass=_Meta):  # type: ignore[misc]
    pass


_StandIn.__name__ = _StandIn.__qualname__ = "Task"
_StandIn.__module__ = _Real.__module__
_StandIn.__doc__ = _Real.__doc__


def put_in(claims: _Claims) -> None:
    """Let *claims* say who makes the tasks of a loop when ``asyncio.Task`` is called.  Main thread."""
    global _claims
    _claims = claims
    if asyncio.Task is _Real:
        asyncio.Task = _StandIn  # type: ignore[misc]


def take_out() -> None:
    """Put the real ``asyncio.Task`` back, unless somebody has put something else there."""
    if asyncio.Task is _StandIn:
        asyncio.Task = _Real  # type: ignore[misc]
