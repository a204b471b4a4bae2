"""The header ``%%timeout LIMIT [--on-timeout pause|cancel] [--cpu]``: read, and taken off a cell.

Everything here is pure: text in, text or a `Limit` out. An ordinary cell with a header is not run
by a magic but *as a cell*: the header is taken off when the cell is transformed, and whoever runs
the cell asks `limit_of` for what it said. So a top-level ``await``, the value of the last line,
``_``, ``Out`` and another cell magic below the header are IPython's business as ever.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from IPython.core.error import UsageError

from . import durations
from .headers import first_line, has_body, without

__all__ = ["USAGE", "Limit", "OnTimeout", "limit_of", "parse_limit", "strip_header"]

OnTimeout = Literal["pause", "cancel"]
USAGE = "%%timeout LIMIT [--on-timeout pause|cancel] [--cpu]"
_MAGIC = "%%timeout"


@dataclass(frozen=True)
class Limit:
    """What a header asks for. ``on_timeout`` is None where it leaves that to the configuration."""

    seconds: float
    on_timeout: OnTimeout | None = None
    cpu: bool = False


def parse_limit(line: str) -> Limit:
    """Return what follows ``%%timeout`` on its line. UsageError, in one line, for anything odd."""
    words = iter(_words(line))
    time: list[str] = []
    on_timeout: str | None = None
    cpu = False
    for word in words:
        option, given, value = word.partition("=")
        if option == "--cpu" and not given:
            cpu = True
        elif option == "--on-timeout":
            on_timeout = _choice(value if given else next(words, ""))
        elif word.startswith("--"):
            raise _usage(f"no option {option}")
        else:
            time.append(word)
    if not time:
        raise _usage("no LIMIT given")
    try:
        seconds = durations.parse(" ".join(time))
    except ValueError as error:
        raise _usage(str(error)) from None
    return Limit(seconds, cast("OnTimeout | None", on_timeout), cpu)


def limit_of(cell: str) -> Limit | None:
    """Return the limit in *cell*'s header; None without one, or with one that is not in order.

    A header that is not in order, or has nothing below it, stays on the cell: the magic of that
    name then says what is wrong with it, and nothing is run.
    """
    if not cell.lstrip().startswith(_MAGIC):
        return None
    lines = cell.splitlines(keepends=True)
    return _limit(lines, first_line(lines))


def strip_header(lines: list[str]) -> list[str]:
    """Return a cell's *lines* without the header that `limit_of` understands."""
    start = first_line(lines)
    return lines if _limit(lines, start) is None else without(lines, start)


def _limit(lines: list[str], start: int) -> Limit | None:
    if start == len(lines) or _MAGIC not in lines[start] or not has_body(lines, start):
        return None
    name, *rest = lines[start].split(None, 1)
    if name != _MAGIC:
        return None
    try:
        return parse_limit("".join(rest))
    except UsageError:
        return None


def _words(line: str) -> Iterator[str]:
    try:
        return iter(shlex.split(line))
    except ValueError as error:
        raise _usage(str(error).lower()) from None


def _choice(value: str) -> str:
    if value not in ("pause", "cancel"):
        raise _usage(f"--on-timeout is pause or cancel, not {value!r}")
    return value


def _usage(problem: str) -> UsageError:
    return UsageError(f"{_MAGIC}: {problem}. Usage: {USAGE}")
