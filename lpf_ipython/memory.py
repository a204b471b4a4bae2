"""Pause a cell before memory runs out: a thread that looks, and what it names.

The limit is a size (``6 GB``) for the memory of this process, or a share (``80%``) of the machine's
or of its cgroup's, whichever is smaller, for what is used of that. The thread exists while a limit
is set. It can look only when it gets the GIL, so that one huge allocation in C may go past it.
"""

from __future__ import annotations

import itertools
import re
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import psutil

__all__ = ["Guard", "largest", "parse"]

_EVERY = 0.2
_SAMPLE = 1000
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)
_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_CGROUP = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def parse(text: str) -> Callable[[], bool] | None:
    """Return a test whether the limit in *text* is passed; None for an empty text.

    ValueError, in one line, for anything else.
    """
    if not text.strip():
        return None
    if share := _SHARE.fullmatch(text):
        part = float(share[1]) / 100
        if not 0 < part <= 1:
            raise ValueError(f"{text!r} is not a share between 0% and 100%")
        return lambda: _used_share() >= part
    size = _SIZE.fullmatch(text)
    if size is None:
        raise ValueError(f"{text!r} is neither a size like '6 GB' nor a share like '80%'")
    base = 1024 if size[3] else 1000
    limit = float(size[1]) * base ** " KMGT".index(size[2].upper() or " ")
    process = psutil.Process()
    return lambda: bool(process.memory_info().rss >= limit)


def largest(names: Mapping[str, Any], count: int = 5) -> list[tuple[str, int]]:
    """Return the *count* largest variables as (name, bytes).

    Roughly: containers count the things directly in them, arrays and tables know their size.
    """
    sizes = [(name, _size(value)) for name, value in list(names.items()) if name[:1] != "_"]
    return sorted(sizes, key=lambda pair: -pair[1])[:count]


class Guard:
    """Watches the memory and calls *crossed*, on its own thread, once for each crossing."""

    def __init__(self, crossed: Callable[[], None]) -> None:
        self._crossed = crossed
        self._stop: threading.Event | None = None

    def watch(self, text: str) -> None:
        """Watch the limit in *text* from now on; none if that is empty."""
        test = parse(text)
        self.stop()
        if test is not None:
            self._stop = threading.Event()
            threading.Thread(
                target=self._run, args=(test, self._stop), name="lpf memory", daemon=True
            ).start()

    def stop(self) -> None:
        """Stop watching."""
        if self._stop is not None:
            self._stop.set()
            self._stop = None

    def _run(self, test: Callable[[], bool], stop: threading.Event) -> None:
        above = False
        while not stop.wait(_EVERY):
            was, above = above, test()
            if above and not was:
                self._crossed()


def _used_share() -> float:
    memory = psutil.virtual_memory()
    shares: list[float] = [memory.percent / 100]
    for limit, current in _CGROUP:
        bounds = _number(limit), _number(current)
        if bounds[0] and bounds[1] is not None and bounds[0] < memory.total:
            shares.append(bounds[1] / bounds[0])
    return max(shares)


def _number(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):  # Not there, or "max".
        return None


def _size(value: Any) -> int:
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "columns"):
        return int(value.memory_usage().sum())
    total = sys.getsizeof(value, 0)
    if type(value) in (list, tuple, set, frozenset) and value:
        sample = list(itertools.islice(value, _SAMPLE))
        total += sum(sys.getsizeof(each, 0) for each in sample) * len(value) // len(sample)
    return total
