"""Who has asked for a pause, and when they get to know: when it is published, or the cell has ended."""

from __future__ import annotations

from concurrent.futures import Future

from .cell import Cell, Order
from .jobs import Job

__all__ = ["Pauses"]

_Asked = tuple[Cell, "Future[Job]"]


class Pauses:
    """The pauses that were asked for. Main thread, but for `ask` and `press`."""

    def __init__(self) -> None:
        self._waiters: list[_Asked] = []
        # Who has got it, and is yet to be told.
        self._served: list[_Asked] = []

    def ask(self, cell: Cell) -> Future[Job]:
        """Return what is done when *cell* is paused, or has ended. Any thread."""
        done: Future[Job] = Future()
        self._waiters.append((cell, done))
        return done

    def press(self) -> None:
        """Ask again for what running cells were ordered to do. Any thread."""
        for cell, _ in self._waiters.copy():
            # In this order: what has obeyed is paused before its order is forgotten.
            if cell.ordered is not None:
                cell.press()
            elif cell.job.state == "running":
                cell.order(Order("pause"))

    def begins(self, cell: Cell) -> None:
        """*cell* is paused; that is yet to be published."""
        for waiter in [waiter for waiter in self._waiters if waiter[0] is cell]:
            self._waiters.remove(waiter)
            self._served.append(waiter)

    def published(self, job: Job) -> None:
        """It is known that the cell of *job* is paused."""
        self._answer(self._served, job)

    def over(self, job: Job) -> None:
        """The cell of *job* has ended."""
        for waiters in (self._served, self._waiters):
            if waiters:
                self._answer(waiters, job)

    def _answer(self, waiters: list[_Asked], job: Job) -> None:
        for waiter in [waiter for waiter in waiters if waiter[0].job is job]:
            waiters.remove(waiter)
            if not waiter[1].done():
                waiter[1].set_result(job)
