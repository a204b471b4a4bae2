"""The first line of a cell, where that is a header of ours: found, and taken off.

Pure text in, text out.
"""

from __future__ import annotations

__all__ = ["first_line", "has_body", "without"]


def first_line(lines: list[str]) -> int:
    """Return the index of the first line that is not blank; their number if all are."""
    if lines and lines[0].strip():
        return 0
    return next((i for i, line in enumerate(lines) if line.strip()), len(lines))


def has_body(lines: list[str], header: int) -> bool:
    """Whether there is anything below the line of that index."""
    return any(line.strip() for line in lines[header + 1 :])


def without(lines: list[str], header: int) -> list[str]:
    """Return *lines* without the one of that index; there is something below it.

    An empty line takes its place, so that every other line keeps its number, except above another
    cell magic, which has to come first.
    """
    below = lines[header + 1 :]
    first = first_line(below)
    return below[first:] if below[first].startswith("%%") else [*lines[:header], "\n", *below]
