"""Which line swallowed an exception: read from the exception tables of the frames it came through.

An exception was raised in a stack of frames, and some time later the code still runs. The
innermost frame that was there before and is there now has caught it, or called what is called
again; the handler that covered the instruction where it stood is the one to name.
"""

from __future__ import annotations

import dis
from collections.abc import Sequence
from types import CodeType, FrameType

from .places import Place, place

__all__ = ["Handlers", "handlers_of", "swallowed_at"]

# For each frame, innermost first: the line of the handler that covers where it stands.
Handlers = list[tuple[FrameType, int | None]]


def handlers_of(stack: Sequence[FrameType]) -> Handlers:
    """Note for each frame, innermost first, the line of the handler around its instruction."""
    return [(frame, _handler_line(frame.f_code, frame.f_lasti)) for frame in stack]


def swallowed_at(before: Handlers, after: Sequence[FrameType]) -> Place | None:
    """Return the handler that stopped an exception raised *before*; None if it cannot be told."""
    alive = set(map(id, after))
    for frame, line in before:
        if id(frame) in alive and line is not None:
            here = place(frame)
            return Place(line, here.name, here.file, here.cell, here.function, "")
    return None


def _handler_line(code: CodeType, instruction: int) -> int | None:
    parse = getattr(dis, "_parse_exception_table", None)  # 3.11 to 3.14.
    if parse is None:
        return None
    target = next(
        (entry.target for entry in parse(code) if entry.start <= instruction < entry.end), None
    )
    if target is None:
        return None
    lines = (line for start, end, line in code.co_lines() if target < end and line is not None)
    return next(lines, None)
