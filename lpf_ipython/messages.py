"""The messages by which front ends and programs see and steer cells: their names and contents.

Requests go over the control channel, so that they are heard while a cell runs:

    lpf_pause_request    {"within": 1.0}               pause the running cell
    lpf_resume_request   {"job": 1, "timeout": 2.0}    let a paused cell go on, for so many seconds
    lpf_cancel_request   {"job": 1, "grace": 0.5}      end a paused or running cell
    lpf_inspect_request  {"job": 1, "frame": 0}        its stack and variables, as of `inspect`
    lpf_evaluate_request {"job": 1, "frame": 0, "expression": "x", "path": [2]}
                                                       a value in a frame, as of `evaluate`
    lpf_jobs_request     {}                            all jobs
    lpf_withdraw_request {"msg_id": "…"}               take a cell that waits out of the queue

"job" may be left out: then it is the one that was paused last, or else, for a cancel, the running
one; "within", "timeout", "grace" and "frame" may be left out too. Each is answered by ``…_reply``:

    {"status": "ok", "job": JOB}                       for a jobs reply "jobs": [JOB, …] instead,
                                                       for a withdraw reply nothing,
                                                       and "inspect" or "value" as asked for
    {"status": "error", "ename": …, "evalue": …}       and "job", if it is known

A pause reply comes when the cell is paused, or else after "within" seconds (1.5 at most) and says
what it waits for: the cell is paused as soon as it can be. A resume or cancel reply when the request has been taken note of: what comes of it, is published.

At every change of a job's state an ``lpf_state`` message with JOB as its content appears on iopub,
its parent the cell's execute_request. JOB is

    job, id          the number (both the same)
    state            running, paused, finished, failed, cancelled, abandoned
    msg_id, cell_id  of the cell's execute_request; null if there is none
    execution_count  the number in its prompt
    where            "line 3 in <cell 5>", or ""
    elapsed          seconds that it ran or waited, without its pauses; cpu_time those of CPU
    limit            its time limit in seconds, or null
    reason           why it is paused: request, signal, timeout, memory, key, pause; or null
    pending          resume or cancel, when that was asked for and is still to be done; or null
"""

from __future__ import annotations

from typing import Any

from .jobs import Job

__all__ = ["REQUESTS", "STATE", "describe", "error", "number", "ok", "reply_type"]

STATE = "lpf_state"
_VERBS = ("pause", "resume", "cancel", "inspect", "evaluate", "jobs", "withdraw")
REQUESTS = tuple(f"lpf_{verb}_request" for verb in _VERBS)


def reply_type(request: str) -> str:
    """Return the type of the reply to a request of this type."""
    return request.removesuffix("_request") + "_reply"


def describe(job: Job) -> dict[str, Any]:
    """Return JOB, as above. Any thread."""
    return {
        "job": job.id,
        "id": job.id,
        "state": job.state,
        "msg_id": job.msg_id,
        "cell_id": job.cell_id,
        "execution_count": job.execution_count,
        "where": job.where,
        "elapsed": round(job.elapsed, 6),
        "cpu_time": round(job.cpu_time, 6),
        "limit": job.limit,
        "reason": job.reason,
        "pending": job.pending,
    }


def ok(job: Job | None = None, **more: Any) -> dict[str, Any]:
    """Return the content of a reply that brings what was asked for."""
    return {"status": "ok", **({"job": describe(job)} if job is not None else {}), **more}


def error(problem: BaseException, job: Job | None = None) -> dict[str, Any]:
    """Return the content of a reply that says why not."""
    content: dict[str, Any] = {
        "status": "error",
        "ename": type(problem).__name__,
        "evalue": str(problem),
        "traceback": [],
    }
    return content if job is None else {**content, "job": describe(job)}


def number(content: dict[str, Any], name: str) -> float | None:
    """Return a field that is a number of seconds, None when it is not there. ValueError else."""
    value = content.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{name} is a number of seconds, not {value!r}")
    return float(value)
