"""Where code stands, as messages say it."""

from __future__ import annotations

from types import FrameType

__all__ = ["place"]


def place(frame: FrameType | None) -> str | None:
    if frame is None:
        return None
    code = frame.f_code
    return f"line {frame.f_lineno} in {code.co_qualname} ({code.co_filename})"
