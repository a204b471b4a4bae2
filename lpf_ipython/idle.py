"""Interrupts while no cell runs.

A program such as nbclient sends one cell after the other and asks nobody: when a cell of its own
takes too long, paused or not, it interrupts the kernel. A console has no prompt while it waits for a
paused cell: its Ctrl-C asks, a second one ends it.

Main thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import FrameType
from typing import Any

from . import sigint
from .begun import Begun
from .cell import FIRST, Order
from .lent import WhileLent
from .publisher import Publisher
from .request import Request

__all__ = ["AtIdle"]

_SECOND_PRESS = 5  # Seconds.


class AtIdle:
    """Who hears interrupts between cells: nobody, as ipykernel has it, unless somebody waits."""

    def __init__(
        self,
        begun: Begun,
        while_lent: WhileLent,
        publisher: Publisher,
        loop: asyncio.AbstractEventLoop,
        resume_with: Callable[[Request, Order], None],
        meanwhile: Any,
    ) -> None:
        self._begun = begun
        self._while_lent = while_lent
        self._publisher = publisher
        self._loop = loop
        self._resume_with = resume_with
        # Who hears them while a request is seen to: nobody, once that is over.
        self._meanwhile = meanwhile
        self._hears = False

    @property
    def matters(self) -> bool:
        """Whether `set_handler` is to be called after a message."""
        return self._hears

    def uninstall(self) -> None:
        """Let interrupts be ignored at idle, as they were."""
        if sigint.get() == self._interrupted:
            sigint.put(sigint.IGNORED)

    def set_handler(self) -> None:
        """Choose who hears interrupts from now on, if no cell does."""
        sigint.put(self.in_place_of(sigint.get()))

    def in_place_of(self, handler: Any) -> Any:
        """Return who is to hear interrupts from now on, where *handler* has; a cell's is left."""
        idle = (sigint.IGNORED, self._interrupted, self._while_lent.interrupted)
        if handler not in idle and handler != self._meanwhile:
            return handler
        cell = self._begun.front
        runs = cell is not None and not cell.is_parked
        wanted = 2 if runs else bool(self._awaited())
        self._hears = wanted > 0
        return idle[wanted]

    def goes_on(self, parent: Any) -> None:
        """A client that sends another cell does not just wait for the paused one."""
        session = parent["header"].get("session")
        for request in self._begun.values():
            if request.parent["header"].get("session") == session:
                request.awaited = False

    def _awaited(self) -> list[Request]:
        """Return the requests of paused cells that their clients do nothing else than wait for."""
        return [
            request
            for request in self._begun.values()
            if request.cell is not None and request.cell.is_parked and request.awaited
        ]

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        now = self._loop.time()
        for request in self._awaited():
            assert request.cell is not None
            job = request.cell.job
            if job.pending is not None:
                continue
            asked, request.asked_at = now - request.asked_at < _SECOND_PRESS, now
            if request.cell.answerable and not asked:
                text = (
                    f"[{job.id}] is paused. Another interrupt within {_SECOND_PRESS} s ends it.\n"
                )
                self._publisher.send("stream", {"name": "stderr", "text": text}, request)
                continue
            job.pending = "cancel"
            self._resume_with(request, Order("interrupt", FIRST))
