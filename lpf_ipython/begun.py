"""The requests whose cells have begun and not ended, running or paused.

Changed on the main thread; any thread may ask.
"""

from __future__ import annotations

from typing import Any

from .cell import Cell
from .errors import JobError
from .jobs import Job
from .request import Request

__all__ = ["Begun"]


class Begun(dict[int, Request]):
    """Those requests, by the numbers of their jobs."""

    @property
    def front(self) -> Cell | None:
        """The cell that is meant when somebody says "the running cell"."""
        if not self:
            return None
        running = [
            request
            for request in self.values()
            if (cell := request.cell) is not None and cell.job.state == "running"
        ]
        running.sort(key=lambda request: not request.background)
        return running[-1].cell if running else None

    def parent_of(self, cell: Cell) -> Any:
        """Return the message that *cell* came with, None when it is over."""
        request = self.get(cell.job.id)
        return request.parent if request is not None else None

    def paused(self, job: Job) -> Request:
        """Return the request of a job that may be resumed. JobError if it may not."""
        request = self.get(job.id)
        if job.state != "paused" or request is None:
            raise JobError(f"job {job.id} is {job.state}, not paused; %lpf jobs lists the paused")
        if job.pending is not None:
            raise JobError(f"job {job.id} is about to {job.pending}")
        return request
