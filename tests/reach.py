"""Functions that stand still at a known point, however slow the machine is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lpf

QUANTUM = 0.002


def left_when(reached: Callable[[], object], f: Callable[..., Any], *args: Any) -> Any:
    """Launch f(*args) and resume it until it stands still with reached() being true."""
    c = lpf.launch(f, *args, timeout=QUANTUM)
    while not reached():
        c.resume(timeout=QUANTUM)
    return c


def left_in(inner: Any, f: Callable[..., Any], *args: Any) -> Any:
    """Launch f(*args) and resume it until it stands still in the Python function `inner`."""
    c = lpf.launch(f, *args, timeout=QUANTUM)
    while c.frame is None or c.frame.f_code is not inner.__code__:
        c.resume(timeout=QUANTUM)
    return c
