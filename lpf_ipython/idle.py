"""Interrupts while no cell runs.

A program such as nbclient sends one cell after the other and asks nobody: when a cell of its own
takes too long, paused or not, it interrupts the kernel. A console has no prompt while it waits for a
paused cell: its Ctrl-C asks, a second one ends it.

Main thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import FrameType
from typing import Any, Protocol

from . import sigint
from .cell import FIRST, Cell, Order
from .publisher import Publisher
from .request import Request

__all__ = ["AtIdle"]

_SECOND_PRESS = 5  # Seconds.


class Runner(Protocol):
    """What is needed of a kernel's runner."""

    loop: asyncio.AbstractEventLoop

    @property
    def front(self) -> Cell | None: ...

    @property
    def requests(self) -> Iterable[Request]:
        """Those whose cells have begun and not ended."""

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """Who hears an interrupt while cells are lent out."""

    def resume_with(self, request: Request, order: Order) -> None:
        """Have a paused cell go on, to obey *order*."""


class AtIdle:
    """Who hears interrupts between cells: nobody, as ipykernel has it, unless somebody waits."""

    def __init__(self, runner: Runner, publisher: Publisher) -> None:
        self._runner = runner
        self._publisher = publisher
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
        idle = (sigint.IGNORED, self._interrupted, self._runner.interrupted)
        if handler not in idle:
            return handler
        cell = self._runner.front
        runs = cell is not None and not cell.is_parked
        wanted = 2 if runs else bool(self._awaited())
        self._hears = wanted > 0
        return idle[wanted]

    def goes_on(self, parent: Any) -> None:
        """A client that sends another cell does not just wait for the paused one."""
        session = parent["header"].get("session")
        for request in self._runner.requests:
            if request.parent["header"].get("session") == session:
                request.awaited = False

    def _awaited(self) -> list[Request]:
        """Return the requests of paused cells that their clients do nothing else than wait for."""
        return [
            request
            for request in self._runner.requests
            if request.cell is not None and request.cell.is_parked and request.awaited
        ]

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        now = self._runner.loop.time()
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
            self._runner.resume_with(request, Order("interrupt", FIRST))
