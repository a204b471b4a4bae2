"""Any value in one short line, without trusting it.

A paused cell's variables may be huge, half built, or have a ``__repr__`` that raises, never
returns, or waits for a lock that the paused cell holds. So:

* built-in scalars and containers are described here, walking a few items and no further;
* numpy and pandas objects are described by shape and type, from their first items;
* every other ``__repr__`` runs under a time limit, and all of one view's under a common one.

What a value says about itself is cleaned of control characters: it ends up in terminals.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sized
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import lpf

__all__ = ["Values", "clean", "shorten", "type_name"]

_ITEMS = 6
_DEPTH = 3
_INT_BITS = 1000
_NAME = type.__dict__["__name__"].__get__
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Values:
    """Describes the values of one view; make a new one for each.

    *each* and *total* are seconds: what one ``__repr__`` may take, and all of them together. After
    that, and on threads other than the main one (where nothing can be stopped), objects are named
    by their type alone. *length* is in characters.
    """

    def __init__(self, *, each: float = 0.1, total: float = 1.0, length: int = 160) -> None:
        self._each = each
        self._left = total
        self._length = length

    def text(self, value: object) -> str:
        """Return one line for *value*. Never raises because of it, and never waits for it."""
        try:
            return shorten(clean(self._any(value, 0)), self._length)
        except (Exception, RecursionError) as error:
            return f"<{type_name(value)}: {type_name(error)} while looking at it>"

    def _any(self, value: object, depth: int) -> str:
        kind = type(value)
        if type(kind) is type:  # Else looking it up below would run its metaclass's __hash__.
            if kind in _PLAIN:
                return _PLAIN[kind](value)
            if kind in _CONTAINERS:
                return self._container(value, depth)
            if kind.__repr__ is object.__repr__:
                return f"<{type_name(value)} object>"
        if issubclass(kind, type):
            return f"<class {_NAME(value)}>"
        library = _library(kind)
        if library is not None and _trusted(kind):
            return library(value)
        return self._limited(library or repr, value)

    def _container(self, value: Any, depth: int) -> str:
        opening, closing = _CONTAINERS[type(value)]
        if not value:
            return repr(value)
        if depth >= _DEPTH:
            return f"{opening}…{closing}"
        if type(value) is dict:
            parts = (
                f"{self._any(k, depth + 1)}: {self._any(v, depth + 1)}"
                for k, v in islice(value.items(), _ITEMS)
            )
        else:
            parts = (self._any(item, depth + 1) for item in islice(value, _ITEMS))
        inside = _listed(parts, value)
        if type(value) is tuple and len(value) == 1:
            inside += ","
        return f"{opening}{inside}{closing}"

    def _limited(self, describe: Callable[[Any], str], value: object) -> str:
        name = type_name(value)
        if self._left <= 0 or threading.current_thread() is not threading.main_thread():
            return f"<{name} object>"
        limit = min(self._each, self._left)
        start = time.perf_counter()
        try:
            # Launched directly: a frame of this file around it would defer the time limit.
            call = lpf.launch(describe, value, timeout=limit)
            if not call.done and call.cancel(grace=limit) != "finished":
                return f"<{name}: its repr takes more than {limit * 1000:.0f} ms>"
            text: object = call.result()
        except (lpf.Cancelled, KeyboardInterrupt):
            raise
        except BaseException as error:
            return f"<{name}: its repr raised {type_name(error)}>"
        finally:
            self._left -= time.perf_counter() - start
        # Sliced by str itself, into a plain str: a subclass could go on misbehaving.
        return str.__getitem__(text, slice(10_000)) if isinstance(text, str) else f"<{name}>"


def type_name(value: object) -> str:
    """Return the name of *value*'s type, without running any code of its metaclass."""
    return clean(str(_NAME(type(value))))


def shorten(text: str, length: int) -> str:
    """Return *text* in at most *length* characters, the middle left out."""
    if len(text) <= length:
        return text
    tail = length // 4
    return f"{text[: length - tail - 1]}…{text[len(text) - tail :]}"


def clean(text: str) -> str:
    """Return *text* on one line and fit for a terminal and for JSON.

    Line ends become spaces; control characters, bidirectional overrides and lone surrogates are
    written out as escapes.
    """
    flat = re.sub(r"[ \t]*[\r\n]+[ \t]*", " ", text[:10_000])
    return _CONTROL.sub(lambda m: ascii(m[0])[1:-1], flat)


def _listed(parts: Iterable[str], whole: Sized) -> str:
    shown = list(parts)
    more = len(whole) - len(shown)
    return ", ".join([*shown, f"… {more:,} more"] if more > 0 else shown)


def _int(value: Any) -> str:
    bits = value.bit_length()
    return repr(value) if bits <= _INT_BITS else f"<int of {bits:,} bits>"


def _sliced(value: Any) -> str:
    """Text and bytes: cut before they are quoted, so that a gigabyte costs nothing."""
    size = len(value)
    return repr(value) if size <= 200 else f"{value[:120]!r}…{value[-30:]!r} ({size:,} long)"


def _function(value: Any) -> str:
    return f"<function {value.__qualname__}>"


_PLAIN: dict[type, Callable[[Any], str]] = {
    int: _int,
    str: _sliced,
    bytes: _sliced,
    bytearray: _sliced,
    FunctionType: _function,
    BuiltinFunctionType: _function,
    MethodType: _function,
    ModuleType: lambda value: f"<module {ModuleType.__getattribute__(value, '__name__')}>",
    **dict.fromkeys((bool, float, complex, range, type(None), type(...)), repr),
}
_CONTAINERS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    deque: ("deque([", "])"),
}


def _trusted(kind: type) -> bool:
    """Say whether *kind* is numpy's or pandas' own and not a class that derives from theirs."""
    return str(kind.__module__).partition(".")[0] in ("numpy", "pandas")


def _library(kind: type) -> Callable[[Any], str] | None:
    """Return the describer for numpy's or pandas' own types; imports neither."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and issubclass(kind, getattr(numpy, "ndarray", ())):
        return _array
    if pandas is not None and issubclass(kind, getattr(pandas, "DataFrame", ())):
        return _table
    if pandas is not None and issubclass(
        kind, (getattr(pandas, "Series", ()), getattr(pandas, "Index", ()))
    ):
        return _column
    return None


def _array(value: Any) -> str:
    shape = " × ".join(str(n) for n in value.shape) or "scalar"
    head = f"{type_name(value)} {value.dtype} {shape}"
    if value.dtype.kind not in "biufcSUmM" or not value.size:
        return head
    items = [_item(item) for item in islice(value.flat, _ITEMS)]
    return f"{head}: {', '.join(items)}{', …' if value.size > len(items) else ''}"


def _table(value: Any) -> str:
    rows, columns = value.shape
    parts = (f"{name} {kind}" for name, kind in islice(value.dtypes.items(), _ITEMS))
    return (
        f"{type_name(value)} {rows:,} rows × {columns:,} columns: {_listed(parts, value.columns)}"
    )


def _column(value: Any) -> str:
    items = (_item(item) for item in islice(iter(value), _ITEMS))
    name = f" {value.name!r}" if value.name is not None else ""
    return f"{type_name(value)}{name} {value.dtype} {len(value):,}: {_listed(items, value)}"


def _item(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:40]
