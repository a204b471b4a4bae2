"""What arguments have in common: seconds, and the quantum that is meant where none is given."""

from __future__ import annotations

import math

__all__ = ["QUANTUM", "seconds"]

QUANTUM = 0.002  # Seconds, as in the paper.


def seconds(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{name} must be positive and finite, not {value!r}")
    return float(value)
