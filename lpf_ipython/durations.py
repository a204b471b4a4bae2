"""Durations as people write and read them: ``500ms``, ``1m30s``, ``2h``, ``0.25``.

Seconds are the only unit inside the program; units exist in this file and nowhere else.
"""

from __future__ import annotations

import math
import re

__all__ = ["parse", "show"]

# Both kinds of the micro sign (U+00B5, U+03BC) are on keyboards.
_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_PART = re.compile(rf"\s*({_NUMBER})\s*([a-z\u00b5\u03bc]+)", re.ASCII)
_EXAMPLES = "write it as 500ms, 2s, 1m30s or 2h"


def parse(text: str, *, allow_zero: bool = False) -> float:
    """Return the seconds that *text* stands for.

    Either one plain number of seconds (``0.5``), or numbers with units, the larger unit first:
    ``500ms``, ``1m30s``, ``2h``. Units: us, ms, s, m or min, h, d.

    Raises ValueError, with a text of one line that shows *text* and what to write instead, for
    junk, negative durations, NaN and infinity, and for zero unless *allow_zero*.
    """
    shown = _shown(text)
    seconds = _seconds(text.strip().lower(), shown)
    if not math.isfinite(seconds):
        raise ValueError(f"{shown} is not a duration; {_EXAMPLES}")
    if seconds < 0:
        raise ValueError(f"{shown}: a duration cannot be negative")
    if seconds == 0 and not allow_zero:
        raise ValueError(f"{shown}: a duration must be longer than zero")
    return seconds


def show(seconds: float) -> str:
    """Return *seconds* for people: ``50 us``, ``1.25 s``, ``1 min 30 s``, ``2 h 5 min``."""
    if not math.isfinite(seconds):
        return "no limit" if seconds > 0 else "?"
    if seconds < 0:
        return "-" + show(-seconds)
    if seconds < 59.95:
        return _small(seconds)
    if seconds < 3599.5:
        return _pair(round(seconds), 60, "min", 1, "s")
    if seconds < 86370:
        return _pair(round(seconds / 60), 60, "h", 1, "min")
    return _pair(round(seconds / 3600), 24, "d", 1, "h")


def _seconds(text: str, shown: str) -> float:
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        pass
    negative, text = text.startswith("-"), text.lstrip("-+")
    total, last, at = 0.0, math.inf, 0
    while at < len(text):
        part = _PART.match(text, at)
        unit = _UNITS.get(part[2]) if part else None
        if part is None:
            raise ValueError(f"{shown} is not a duration; {_EXAMPLES}")
        if unit is None:
            raise ValueError(f"{shown}: no unit {part[2]!r}; use us, ms, s, min, h or d")
        if unit >= last:
            raise ValueError(f"{shown}: each unit once, the larger one first, as in 1m30s")
        total, last, at = total + float(part[1]) * unit, unit, part.end()
    if last is math.inf:
        raise ValueError(f"{shown} is not a duration; {_EXAMPLES}")
    # To the picosecond, so that 100us is 0.0001 and not a hair below.
    return round(-total if negative else total, 12)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _small(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        # 999.6 us rounds up into the next unit, hence not a plain >=.
        if seconds >= size * 0.9995:
            return f"{float(f'{seconds / size:.3g}'):g} {unit}"
    return f"{float(f'{seconds / 1e-9:.3g}'):g} ns" if seconds >= 1e-9 else "0 s"


def _pair(count: int, step: int, large: str, size: int, small: str) -> str:
    whole, rest = divmod(count, step * size)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
