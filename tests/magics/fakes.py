"""Jobs that stand still at a line of the test's choosing, and note what they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeJob:
    """What a view needs of a job, around a real continuation."""

    id: int
    continuation: Any
    state: str = "paused"
    reason: str | None = "timeout"
    where: str = "line 3 in <cell 5>"
    elapsed: float = 0.5
    cpu_time: float = 0.49
    limit: float | None = 0.5
    limit_cpu: bool = False


@dataclass
class FakeJobs:
    """Notes what it was asked to do."""

    jobs: list[FakeJob] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    def __iter__(self) -> Iterator[FakeJob]:
        return iter(self.jobs)

    def get(self, number: int) -> FakeJob:
        return {job.id: job for job in self.jobs}[number]

    @property
    def current(self) -> FakeJob | None:
        return next((job for job in reversed(self.jobs) if job.state == "paused"), None)

    @property
    def running(self) -> FakeJob | None:
        return next((job for job in reversed(self.jobs) if job.state == "running"), None)

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self, job: FakeJob, timeout: float | None = None) -> None:
        self.asked.append(("resume", job.id, timeout))

    def cancel(self, job: FakeJob, grace: float | None = None) -> None:
        self.asked.append(("cancel", job.id))
