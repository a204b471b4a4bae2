"""How a paused cell, its stack and the table of jobs are drawn: plain text, and HTML.

Each view takes plain data (`inspect`) and is shown by IPython's ordinary ``display``: a notebook
picks the HTML, a terminal the text. Everything that came from the user's program is escaped; it
may well be somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from . import durations
from .inspect import FrameData, JobData, JobLike, Variable, frames_of
from .places import user_place
from .values import clean, shorten

__all__ = ["JobsView", "Notice", "StackView", "View", "notice"]

_COMMANDS = ("resume", "cancel", "inspect", "debug")
_MUTED = "color:var(--jp-ui-font-color2,#666)"
_CODE = "font-family:var(--jp-code-font-family,monospace);font-size:90%"
_HERE = "background:var(--jp-warn-color3,#fff3cd);color:#000"
_CELL = "text-align:left;padding:1px 12px 1px 0;vertical-align:top"


class View:
    """Something with a text and an HTML form. ``str()`` is the text."""

    def text(self) -> str:
        """Return the form for terminals."""
        raise NotImplementedError

    def html(self) -> str:
        """Return the form for notebooks; no scripts, no outside resources."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": self.html()}


class Notice(View):
    """One job in a line, as a shell prints it; of a paused one also how to go on."""

    def __init__(self, job: int, state: str, where: str, paused: bool = True) -> None:
        self.job, self.state, self.where, self.paused = job, state, where, paused

    def text(self) -> str:
        """Return the line, and below it the commands."""
        head = f"[{self.job}] {self.state}  {self.where}".rstrip()
        if not self.paused:
            return head
        commands = "   ".join(f"%lpf {name} {self.job}" for name in _COMMANDS)
        return f"{head}\n    {commands}"

    def html(self) -> str:
        """Return the same as a small block."""
        where = f"&ensp;{_code(self.where)}" if self.where else ""
        head = f"<b>[{self.job}] {escape(self.state)}</b>{where}"
        # A front end that shows the same itself knows it by the class, and hides it.
        if not self.paused:
            return f'<div class="lpf-notice" style="{_MUTED}">{head}</div>'
        commands = "&ensp;".join(_code(f"%lpf {name} {self.job}") for name in _COMMANDS)
        return f'<div class="lpf-notice">{head}<div style="{_MUTED}">{commands}</div></div>'


def notice(job: JobLike) -> Notice:
    """Return what is shown when *job* has just been paused, or was. Reads no variables.

    In a notebook the one that says "paused" can be updated by a later one: it then says that the
    cell runs again, or how it ended, and no longer offers commands.
    """
    if job.state == "paused":
        return Notice(job.id, _state(job), _where(job))
    after = f" after {durations.show(job.elapsed)}" if job.state == "finished" else ""
    state = "running again" if job.state == "running" else f"{job.state}{after}"
    return Notice(job.id, state, "", paused=False)


class JobsView(View):
    """The table of jobs: number, state, where, times, and with several at once their shares."""

    def __init__(self, jobs: Iterable[JobLike]) -> None:
        jobs = list(jobs)
        shared = any(_in_background(job) for job in jobs)
        self._head = ("job", "state", "where", "elapsed", "cpu", *(["share"] if shared else []))
        self._rows = [
            (
                f"[{job.id}]",
                _state(job),
                _where(job),
                durations.show(job.elapsed),
                durations.show(job.cpu_time),
                *([f"{job.cpu_time / max(job.elapsed, 1e-9):.0%}"] if shared else []),
            )
            for job in jobs
        ]

    def text(self) -> str:
        """Return the table in columns, or a sentence when there is nothing."""
        if not self._rows:
            return "no jobs"
        rows = [self._head, *self._rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self._head))]
        return "\n".join(
            "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def html(self) -> str:
        """Return the table as HTML, or the sentence."""
        if not self._rows:
            return "<div>no jobs</div>"
        head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in self._head)
        body = "".join(
            "<tr>" + "".join(f'<td style="{_CELL}">{escape(part)}</td>' for part in row) + "</tr>"
            for row in self._rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class StackView(View):
    """A job's stack with source lines and variables; innermost frame first."""

    def __init__(self, data: JobData, notes: Sequence[str] = ()) -> None:
        self._data = data
        self._notes = [*self._hidden(), *self._companions(), *notes]

    def text(self) -> str:
        """Return frame under frame, each with its source and its variables."""
        frames = [_frame_text(frame) for frame in self._data["frames"]]
        return "\n\n".join([self._head(), *frames, *self._notes])

    def html(self) -> str:
        """Return the same; the innermost frame is open, the others open with a click."""
        frames = "".join(_frame_html(f, i == 0) for i, f in enumerate(self._data["frames"]))
        notes = "".join(f'<div style="{_MUTED}">{escape(note)}</div>' for note in self._notes)
        return f"<div><b>{escape(self._head())}</b>{frames}{notes}</div>"

    def _head(self) -> str:
        data = self._data
        times = f"{durations.show(data['elapsed'])} so far"
        if data["limit"] is not None:
            times += f", limit {durations.show(data['limit'])}"
        return f"[{data['job']}] {data['state']}  {data['where']}  ({times})"

    def _hidden(self) -> list[str]:
        count, job = self._data["hidden"], self._data["job"]
        if not self._data["frames"]:
            return ["no Python frame of the cell to show"]
        if not count:
            return []
        frames = "1 frame" if count == 1 else f"{count} frames"
        return [f"{frames} of IPython and lpf not shown; %lpf inspect {job} --all shows them"]

    def _companions(self) -> list[str]:
        named = [f"thread {name}" for name in self._data["threads"]]
        named += [f"process {p['pid']} {p['name']}" for p in self._data["processes"]]
        more = [f"{len(named) - 8} more"] if len(named) > 8 else []
        return [f"not paused, they go on: {', '.join(named[:8] + more)}"] if named else []


def _state(job: JobLike) -> str:
    if job.state == "running" and _in_background(job):
        return "running in the background"
    if job.state != "paused":
        return job.state
    if job.reason == "timeout":
        return f"paused after {_limit_reached(job)}"
    why = {"signal": " by a signal", "memory": " at the memory limit", "pause": " by itself"}
    return f"paused{why.get(job.reason or '', '')}"


def _in_background(job: JobLike) -> bool:
    return bool(getattr(job, "background", False))


def _limit_reached(job: JobLike) -> str:
    """Return the time that ran out: the cell's limit, or all of its time after a ``for 2s``."""
    by_cpu = bool(getattr(job, "limit_cpu", False))
    used = job.cpu_time if by_cpu else job.elapsed
    limit = job.limit if job.limit is not None else used
    shown = limit if abs(used - limit) <= max(0.02, limit / 10) else used
    return f"{durations.show(shown)}{' of CPU time' if by_cpu else ''}"


def _where(job: JobLike) -> str:
    found = user_place(frames_of(job)) if job.state == "paused" else None
    text = shorten(clean(found.text), 60) if found else ""
    return f"{clean(job.where)}: {text}" if text else clean(job.where)


def _code(text: str) -> str:
    return f'<code style="{_CODE}">{escape(text)}</code>'


def _frame_text(frame: FrameData) -> str:
    lines = [f"#{frame['index']}  {frame['function']}  {frame['where']}"]
    for line in frame["source"]:
        mark = "--->" if line["current"] else "    "
        lines.append(f"   {mark} {line['line']:>4} {line['text']}".rstrip())
    width = min(20, max((len(v["name"]) for v in frame["locals"]), default=0))
    lines += [f"      {v['name'].ljust(width)} = {_value(v)}" for v in frame["locals"]]
    return "\n".join([*lines, *_more(frame)])


def _frame_html(frame: FrameData, opened: bool) -> str:
    head = f"#{frame['index']} {_code(frame['function'])} {escape(frame['where'])}"
    source = "\n".join(
        f'<span style="{_HERE}">{line["line"]:>4} {escape(line["text"])}</span>'
        if line["current"]
        else f"{line['line']:>4} {escape(line['text'])}"
        for line in frame["source"]
    )
    rows = "".join(_variable_html(v) for v in frame["locals"])
    more = "".join(f'<div style="{_MUTED}">{escape(line.strip())}</div>' for line in _more(frame))
    return (
        f"<details{' open' if opened else ''}><summary>{head}</summary>"
        f'<pre style="margin:2px 0 2px 16px">{source}</pre>'
        f'<table style="margin-left:16px"><tbody>{rows}</tbody></table>{more}</details>'
    )


def _variable_html(variable: Variable) -> str:
    cells = (_code(variable["name"]), escape(variable["type"]), _code(variable["value"]))
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _value(variable: Variable) -> str:
    """Return the value, with its type where the value does not show it."""
    kind, value = variable["type"], variable["value"]
    return value if kind in _OBVIOUS or kind in value[:40] else f"{value}  ({kind})"


_OBVIOUS = frozenset(
    [
        "int",
        "float",
        "str",
        "bytes",
        "bool",
        "NoneType",
        "list",
        "tuple",
        "dict",
        "set",
        "complex",
        "function",
    ]
)


def _more(frame: FrameData) -> list[str]:
    count = frame["more_locals"]
    return [f"      … {count} more; %lpf inspect --frame {frame['index']}"] if count else []
