"""The header ``%%background``: a cell that runs beside the others.

Such a cell starts at once, even while another computes in a kernel that lets others in, and from then
on all that compute take turns, a quantum each. Like the header of `limits` this one is taken off when
the cell is transformed, so that below it stands any cell; one with a ``%%timeout`` too.

Pure text in, text out.
"""

from __future__ import annotations

from .headers import first_line, has_body, without

__all__ = ["HEADER", "below", "is_background", "strip_header"]

HEADER = "%%background"


def is_background(cell: str) -> bool:
    """Whether *cell* begins with the header, and has something below it."""
    return HEADER in cell and _header(cell.splitlines()) is not None


def below(cell: str) -> str:
    """Return *cell* without the header; other cells as they are."""
    if HEADER not in cell:
        return cell
    return "".join(strip_header(cell.splitlines(keepends=True)))


def strip_header(lines: list[str]) -> list[str]:
    """Return a cell's *lines* without the header."""
    start = _header(lines)
    return lines if start is None else without(lines, start)


def _header(lines: list[str]) -> int | None:
    start = first_line(lines)
    found = start < len(lines) and lines[start].split() == [HEADER] and has_body(lines, start)
    return start if found else None
