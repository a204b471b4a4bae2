"""One execute_request that the kernel has taken, from its coming to its end. Main thread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from .cell import Cell

__all__ = ["Request"]


class Request:
    """An execute_request.

    `left` is done when its handler may return, `ended` when its cell is over, with whether those
    behind it may run, and `withdrawn` when it is taken out of the queue.
    """

    # Of the class, since that costs nothing where a cell is not touched.
    late = False
    cell: Cell | None = None
    # Whether there is a notice below the cell that says what it does.
    announced = False
    # Whether its client, a program or a console, has sent no other since.
    awaited = False
    # When its user was asked whether the paused cell is to end; the clock of the event loop.
    asked_at = -math.inf
    # Whether requests that come out of the kernel's queue were in it when the cell was parked.
    collecting = False
    # Whether those that come now are meant to run after it: until it, or one before it, is parked.
    in_order = True
    # The parked ones in whose queue it was.
    behind: Sequence[Request] = ()
    background = False
    # Whether its handler returned when it was lent out; it keeps its turn.
    detached = False
    marked = False
    # Whether it is yet to be told that the cell is paused, and whether the turn is to be given then:
    # the next one may compute, and let nobody be told.
    telling = False
    owes_turn = False

    def __init__(
        self, stream: Any, ident: Any, parent: Any, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.stream = stream
        self.ident = ident
        self.parent = parent
        self.left: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[bool] = loop.create_future()
        self.withdrawn: asyncio.Future[None] = loop.create_future()

    @property
    def is_before_all_that_come(self) -> bool:
        """Whether a request that comes out of the kernel's queue now is to wait for its end."""
        return self.collecting or self.in_order or any(parked.collecting for parked in self.behind)

    @property
    def msg_id(self) -> str:
        """The id of its message."""
        return str(self.parent["header"].get("msg_id"))
