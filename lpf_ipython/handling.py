"""Interrupts while a message is handled: ipykernel's hooks around the handlers.

ipykernel has interrupts raised in the handler of a message, and ignored between handlers. That holds
but for what cells do that outlive their handlers:

    a cell is lent out    it is the one to be interrupted, whatever is handled meanwhile, see `lent`
    a cell is parked      its client may wait for nothing else, see `idle`

Main thread.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from . import private, sigint
from .begun import Begun
from .idle import AtIdle
from .lent import WhileLent

__all__ = ["Handling"]


class Handling:
    """The hooks of one kernel, in place of its own."""

    def __init__(self, kernel: Any, begun: Begun, while_lent: WhileLent, at_idle: AtIdle) -> None:
        self._kernel = kernel
        self._begun = begun
        self._while_lent = while_lent
        self._at_idle = at_idle
        while_lent.hooks = (Handling._before.__code__, Handling._after.__code__)
        self._sigint_only = private.handles_sigint_only(kernel)

    def install(self) -> None:
        """Put the hooks in."""
        vars(self._kernel)["pre_handler_hook"] = self._before
        vars(self._kernel)["post_handler_hook"] = self._after

    def uninstall(self) -> None:
        """Let the kernel's own work again."""
        for name in ("pre_handler_hook", "post_handler_hook"):
            vars(self._kernel).pop(name, None)

    def _before(self) -> None:
        cell = self._begun.front
        handled = self._while_lent.handled
        handled.append(cell is not None and cell.lent is not None)
        if handled[-1]:
            return
        if self._sigint_only:
            former = sigint.put(self._interrupted)
            self._kernel.saved_sigint_handler = sigint.named(former)
        else:
            type(self._kernel).pre_handler_hook(self._kernel)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """Raise where the kernel catches it: anywhere else, it would be the kernel's end."""
        if self._while_lent.is_handled(frame):
            signal.default_int_handler(number, frame)

    def _after(self) -> None:
        handled = self._while_lent.handled
        if handled and handled.pop():
            return
        cell = self._begun.front
        if cell is not None and cell.lent is not None:  # Its own handler returns; it runs on.
            self._kernel.saved_sigint_handler = self._while_lent.interrupted
        elif self._begun or self._at_idle.matters:
            saved = getattr(self._kernel, "saved_sigint_handler", None)
            self._kernel.saved_sigint_handler = self._at_idle.in_place_of(saved)
        if self._sigint_only:
            sigint.put(self._kernel.saved_sigint_handler)
        else:
            type(self._kernel).post_handler_hook(self._kernel)
