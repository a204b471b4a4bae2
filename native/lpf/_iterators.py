"""The built-in iterator types, for rung 3 of the ladder (native/cpython/iterators.c)."""

from __future__ import annotations

import array
import collections
import csv
import io
import itertools
import struct
from collections.abc import Iterator
from typing import Any

__all__ = ["iterator_types"]


class _Sequence:
    def __getitem__(self, index: int) -> int:
        raise IndexError


def _examples() -> Iterator[Iterator[Any]]:
    yield iter(range(1))
    yield iter(range(1 << 70))
    yield from (iter(kind()) for kind in (list, tuple, set, bytes, bytearray))
    yield from (iter(text) for text in ("", "\xe9", "\u20ac"))
    yield reversed([])
    yield reversed(())
    mapping: dict[int, int] = {}
    yield from (iter(view) for view in (mapping.keys(), mapping.values(), mapping.items()))
    yield from (reversed(view) for view in (mapping.keys(), mapping.values(), mapping.items()))
    ordered: collections.OrderedDict[int, int] = collections.OrderedDict()
    yield iter(ordered)
    queue: collections.deque[int] = collections.deque()
    yield iter(queue)
    yield reversed(queue)
    yield iter(memoryview(b""))
    yield iter(int, 0)
    yield iter(_Sequence())
    yield iter(array.array("b"))
    yield struct.iter_unpack("b", b"")
    yield csv.reader(())
    yield from (
        io.StringIO(),
        io.BytesIO(),
        io.TextIOWrapper(io.BytesIO()),
        io.BufferedReader(io.BytesIO()),
    )
    yield iter(zip())
    yield iter(enumerate(()))
    yield iter(map(int, ()))
    yield iter(filter(None, ()))


def iterator_types() -> list[type]:
    """Every built-in iterator type whose slot is C code, each once."""
    found = {type(example): None for example in _examples()}
    for value in vars(itertools).values():
        if isinstance(value, type) and hasattr(value, "__next__"):
            found[value] = None
    grouper = next(itertools.groupby([0]))[1]
    found[type(grouper)] = None
    return list(found)
