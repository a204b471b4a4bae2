"""How jobs are written for a terminal: tables, and one line for each change.

What comes from a kernel is somebody's program: nothing of it reaches the terminal as a control
sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import durations
from ..values import clean

__all__ = ["change", "job_row", "table"]

HEAD = ("KERNEL", "PID", "JOB", "STATE", "WHERE", "ELAPSED", "CPU")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return *rows*, the first of them the head, in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def job_row(job: dict[str, Any]) -> tuple[str, ...]:
    """Return the columns from JOB on."""
    return (
        str(job["id"]),
        _state(job),
        clean(str(job["where"])),
        durations.show(job["elapsed"]),
        durations.show(job["cpu_time"]),
    )


def change(job: dict[str, Any]) -> str:
    """Return one line that says what a job does now."""
    parts = (f"[{job['id']}] {_state(job)}", clean(str(job["where"])))
    times = f"({durations.show(job['elapsed'])}, CPU {durations.show(job['cpu_time'])})"
    return "  ".join(part for part in (*parts, times) if part)


def _state(job: dict[str, Any]) -> str:
    state = clean(str(job["state"]))
    if job.get("pending"):
        return f"{state}, to {clean(str(job['pending']))}"
    if state == "paused" and job.get("reason"):
        return f"paused ({clean(str(job['reason']))})"
    return state
