"""The cells that this process runs, each a job with a number, a state and a place where it stands.

    running ──> paused ──> running …        a pause, a resume
       │           │
       └─────┬─────┘
             ├──> finished                  ended by itself, without an error
             ├──> failed                    ended with an error of its own
             ├──> cancelled                 ended by a cancel or a time limit, unwound
             └──> abandoned                 given up: could not be unwound, kept in memory

A job is changed on the main thread only, by the `Runner` that drives it; every thread may read it.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Protocol

import lpf

from .errors import JobError
from .places import Place, user_place

__all__ = ["ENDED", "Job", "JobError", "Jobs", "Runner"]

ENDED = frozenset({"finished", "failed", "cancelled", "abandoned"})
_KEPT = 100


class Job:
    """One cell that was run.

    Attributes
    ----------
    id : number of the job; those of jobs that were never paused count as well.
    state : ``running``, ``paused``, ``finished``, ``failed``, ``cancelled`` or ``abandoned``.
    continuation : where it stands on its own stack; None between two steps of an async cell.
    background : whether it runs beside the others (``%%background``).
    msg_id, cell_id : of its execute_request; None in a terminal, or where the front end sent none.
    execution_count : the number in its prompt, None for a silent one.
    source : the cell as it was written.
    limit : seconds, None without; wall clock, or CPU time if ``limit_cpu``.
    reason : why it is paused (``request``, ``signal``, ``timeout``, ``memory``, ``key``), else None.
    pending : what it was asked to do and has not done yet (``cancel``, ``resume``), else None.
    """

    # Of the class, since that costs nothing where a cell is not touched.
    state = "running"
    reason: str | None = None
    pending: str | None = None
    limit: float | None = None
    limit_cpu = False
    continuation: lpf.Continuation[Any] | None = None
    awaiting: Any = None
    background = False

    def __init__(
        self,
        number: int,
        source: str,
        *,
        msg_id: str | None = None,
        cell_id: str | None = None,
        execution_count: int | None = None,
    ) -> None:
        self.id = number
        self.source = source
        self.msg_id = msg_id
        self.cell_id = cell_id
        self.execution_count = execution_count
        self._clock = Stopwatch()

    @property
    def ended(self) -> bool:
        """Whether it is over, in whatever way."""
        return self.state in ENDED

    @property
    def elapsed(self) -> float:
        """Seconds of wall clock that it has run or waited; stands still while it is paused."""
        return self._clock.wall()

    @property
    def cpu_time(self) -> float:
        """Seconds of CPU that the main thread has spent on it."""
        return self._clock.cpu()

    @property
    def where(self) -> str:
        """Where it stands, ``line 3 in <cell 5>``; empty when that is not known."""
        found = self.place()
        return str(found) if found else ""

    def place(self) -> Place | None:
        """Return where it stands, None when that is not known."""
        return user_place(self.stack(), self.execution_count)

    def stack(self) -> list[FrameType]:
        """Return its frames, innermost first; of a running cell, those of this moment."""
        if self.ended:
            return []
        continuation = self.continuation
        if continuation is not None and continuation.state in ("paused", "abandoned"):
            return list(continuation.stack())
        if continuation is None or continuation.state == "ready":
            return _awaiting_frames(self.awaiting)
        return _main_thread_frames()

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.state} {self.where}>".replace(" >", ">")

    def stand_aside(self) -> None:
        """It is the turn of others: no CPU time is counted. For the runner."""
        self._clock.aside()

    def go_on(self) -> None:
        """It is this cell's turn again. For the runner."""
        self._clock.back()

    def set_state(self, state: str, reason: str | None = None) -> None:
        """Note the new state and stop or start the clock. For the runner."""
        self.state, self.reason = state, reason
        if state == "running":
            self._clock.start()
        else:
            self._clock.stop()


class Stopwatch:
    """Wall-clock and main-thread CPU seconds, summed over the stretches between start and stop.

    It is running when it is made. Between `aside` and `back` the wall clock goes on; the CPU is
    somebody else's.
    """

    __slots__ = ("_aside", "_since", "_sums")

    def __init__(self) -> None:
        self._sums = (0.0, 0.0)
        self._since: tuple[float, float] | None = (time.perf_counter(), _main_cpu())
        self._aside: float | None = None

    def start(self) -> None:
        if self._since is None:
            self._since = (time.perf_counter(), _main_cpu())

    def aside(self) -> None:
        self._aside = _main_cpu()

    def back(self) -> None:
        if self._aside is not None and self._since is not None:
            self._since = (self._since[0], self._since[1] + _main_cpu() - self._aside)
        self._aside = None

    def stop(self) -> None:
        if self._aside is not None:
            self.back()
        self._sums, self._since = self._read(), None

    def wall(self) -> float:
        return self._read()[0]

    def cpu(self) -> float:
        return self._read()[1]

    def _read(self) -> tuple[float, float]:
        wall, cpu = self._sums
        if self._since is None:
            return wall, cpu
        now = (time.perf_counter(), _main_cpu() if self._aside is None else self._aside)
        return wall + now[0] - self._since[0], cpu + now[1] - self._since[1]


class Runner(Protocol):
    """Who drives the jobs: a kernel or a terminal. See `Jobs` for what the methods mean."""

    def pause(self) -> Any: ...
    def resume(self, job: Job, timeout: float | None) -> None: ...
    def cancel(self, job: Job, grace: float | None) -> None: ...


class Jobs:
    """All jobs by number, and the requests that a user can make about them.

    Those that ended are kept for a while, as a record. The requests may come from any thread; they
    take effect as soon as the main thread is free, and raise JobError when that cannot be.
    """

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self._jobs: dict[int, Job] = {}
        self._over: deque[int] = deque()
        self._numbers = itertools.count(1)

    def __iter__(self) -> Iterator[Job]:
        return iter(sorted(self._jobs.copy().values(), key=lambda job: job.id))

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, number: int) -> Job:
        """Return the job with this number. KeyError when there is none."""
        return self._jobs[number]

    @property
    def current(self) -> Job | None:
        """The job that was paused last, None when none is."""
        paused = self.paused()
        return paused[-1] if paused else None

    @property
    def running(self) -> Job | None:
        """The newest job that is running, one in the background only if it is alone, or None."""
        running = [job for job in self if job.state == "running"]
        running.sort(key=lambda job: not job.background)
        return running[-1] if running else None

    def paused(self) -> list[Job]:
        """Return the paused jobs, the one that was paused last at the end."""
        return [job for job in self._jobs.copy().values() if job.state == "paused"]

    def unfinished(self) -> list[Job]:
        """Return those that would be lost by unloading: the paused, and those in the background."""
        return [
            job
            for job in self._jobs.copy().values()
            if job.state == "paused" or (job.background and job.state == "running")
        ]

    def new(self, source: str, **known: Any) -> Job:
        """Add a running job for this cell."""
        job = Job(next(self._numbers), source, **known)
        self._jobs[job.id] = job
        return job

    def change(self, job: Job, state: str, reason: str | None = None) -> None:
        """Put *job* into *state*. For the runner."""
        job.set_state(state, reason)
        if state == "paused":  # The newest pause comes last.
            self._jobs[job.id] = self._jobs.pop(job.id, job)
        elif state in ENDED:
            job.pending = None
            self._over.append(job.id)
            if len(self._over) > _KEPT:
                self._jobs.pop(self._over.popleft(), None)

    def pause(self) -> None:
        """Ask for the running cell to be paused. Returns before it is."""
        self._driver().pause()

    def resume(self, job: Job, timeout: float | None = None) -> None:
        """Let *job*, which is paused, go on as soon as the cell that asks for it has ended.

        After *timeout* seconds, None for no limit, it is paused again.
        """
        self._driver().resume(job, timeout)

    def cancel(self, job: Job, grace: float | None = None) -> None:
        """End *job*: ``lpf.Cancelled`` is raised in it; after *grace* seconds it is abandoned."""
        self._driver().cancel(job, grace)

    def _driver(self) -> Runner:
        if self.runner is None:
            raise JobError("the extension is not loaded: %load_ext lpf")
        return self.runner


def _main_cpu() -> float:
    return time.clock_gettime(_main_clock)


def _find_main_clock() -> None:
    global _main_clock
    _main_clock = time.pthread_getcpuclockid(threading.main_thread().ident or 0)


_main_clock: int
_find_main_clock()
os.register_at_fork(after_in_child=_find_main_clock)  # A child's main thread is another one.


def _main_thread_frames() -> list[FrameType]:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return _chain(frame)


def _chain(frame: FrameType | None) -> list[FrameType]:
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _awaiting_frames(awaitable: Any) -> list[FrameType]:
    """Return the frames of a suspended coroutine and of what it awaits, innermost first."""
    frames: list[FrameType] = []
    while awaitable is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaitable, f"{kind}_frame", None)
            if frame is not None and isinstance(getattr(awaitable, f"{kind}_code"), CodeType):
                frames.append(frame)
                awaitable = (
                    getattr(awaitable, f"{kind}_await", None)
                    if kind != "gi"
                    else (awaitable.gi_yieldfrom)
                )
                break
        else:
            break
    return frames[::-1]
