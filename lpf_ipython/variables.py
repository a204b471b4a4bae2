"""Context variables: each cell has its own, and what it changed is for all that follow.

Main thread.
"""

from __future__ import annotations

import contextvars
from typing import Any

from lpf import _native

from . import private

__all__ = ["Variables"]

_ABSENT = object()


class Variables:
    """What the cells of a kernel have changed and no later one has been given yet."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._changed: list[tuple[contextvars.ContextVar[Any], Any]] = []

    def note(self, before: contextvars.Context) -> None:
        """Note what is different from *before* in the context of a cell that has ended."""
        now = contextvars.copy_context()
        if _native._same_variables(before, now):
            return
        own = private.own_variables(self._kernel)
        self._changed += [
            (variable, value)
            for variable, value in now.items()
            if before.get(variable, _ABSENT) is not value and variable not in own
        ]

    def hand_on(self) -> None:
        """Give it to this context, for the next cell."""
        for variable, value in self._changed:
            variable.set(value)
        self._changed.clear()
