"""One execute_request that the kernel has taken, from its coming to its end. Main thread."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

from .cell import Cell

__all__ = ["Request"]


@dataclass(eq=False)
class Request:
    """An execute_request. `left` is done when its handler may return."""

    stream: Any
    ident: Any
    parent: Any
    left: asyncio.Future[None]
    late: bool = False
    cell: Cell | None = None
    # Whether there is a notice below the cell that says what it does.
    announced: bool = False
    # Whether its client, a program or a console, has sent no other since.
    awaited: bool = False
    # When its user was asked whether the paused cell is to end; the clock of the event loop.
    asked_at: float = -math.inf
    # Whether requests that come out of the kernel's queue were in it when the cell was parked.
    collecting: bool = False
    # Whether those that come now are meant to run after it: until it, or one before it, is parked.
    in_order: bool = True
    background: bool = False
    # Whether its handler returned when it was lent out; it keeps its turn.
    detached: bool = False
    marked: bool = False
    ended: asyncio.Future[bool] = field(init=False)
    # Done when it is taken out of the queue.
    withdrawn: asyncio.Future[None] = field(init=False)

    def __post_init__(self) -> None:
        loop = self.left.get_loop()
        self.ended, self.withdrawn = loop.create_future(), loop.create_future()

    @property
    def msg_id(self) -> str:
        """The id of its message."""
        return str(self.parent["header"].get("msg_id"))
