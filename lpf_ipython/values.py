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
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import lpf

from . import tabular
from .tabular import listed

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
        return self._safely(lambda: self._any(value, 0), value)

    def item(self, value: object) -> str:
        """Return the line for an item of an array: of numpy's scalars, without their type."""
        return self._safely(lambda: self._item(value, 0), value)

    def preview(self, column: Any) -> str:
        """Return the line for a column of a table: the type of its values and the first of them."""
        if tabular.has_own_values(column):
            return self._safely(lambda: tabular.preview(column, self._brief), column)
        return self._safely(lambda: self._limited(tabular.preview, column, self._brief), column)

    def _safely(self, describe: Callable[[], str], value: object) -> str:
        try:
            return shorten(clean(describe()), self._length)
        except (Exception, RecursionError) as error:
            return f"<{type_name(value)}: {type_name(error)} while looking at it>"

    def _any(self, value: object, depth: int) -> str:
        kind = type(value)
        if type(kind) is type:  # Else looking it up below would run its metaclass's __hash__.
            if kind in _PLAIN:
                return _PLAIN[kind](value)
            if kind in _CONTAINERS:
                return self._container(value, depth)
            if tabular.own_member(kind, "__repr__") is object.__repr__:
                return f"<{type_name(value)} object>"
        if issubclass(kind, type):
            return f"<class {_NAME(value)}>"
        describe = tabular.describer(kind)
        if describe is None:
            return self._limited(repr, value)
        name = type_name(value)
        if tabular.kind_of(kind) == "array" and not tabular.is_masked_array(value):
            return describe(tabular.plain_array(value), name, self._brief)
        if tabular.has_own_values(value):
            return describe(value, name, self._brief)
        return self._limited(describe, value, name, self._brief)

    def _brief(self, value: Any) -> str:
        kind = type(value)
        if tabular.is_scalar(value):
            return f"{value:.6g}" if value.dtype.kind == "f" else str(value)[:40]
        if kind is float:
            return f"{value:.6g}"
        return value[:40] if kind is str else shorten(self._item(value, _DEPTH - 1), 40)

    def _item(self, value: Any, depth: int) -> str:
        kind = type(value)
        if tabular.is_masked(value):
            return "--"
        if tabular.is_scalar(value):
            if issubclass(kind, str):
                return _sliced(str.__str__(value))
            return _sliced(bytes(value)) if issubclass(kind, bytes) else str(value)
        if tabular.is_own(kind) and tabular.kind_of(kind) is None:
            return self._limited(str, value)
        return self._any(value, depth)

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
        inside = listed(parts, value)
        if type(value) is tuple and len(value) == 1:
            inside += ","
        return f"{opening}{inside}{closing}"

    def _limited(self, describe: Callable[..., str], value: object, *more: object) -> str:
        name = type_name(value)
        if self._left <= 0 or threading.current_thread() is not threading.main_thread():
            return f"<{name} object>"
        limit = min(self._each, self._left)
        start = time.perf_counter()
        try:
            # Launched directly: a frame of this file around it would defer the time limit.
            call = lpf.launch(describe, value, *more, timeout=limit)
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


def _int(value: Any) -> str:
    bits = value.bit_length()
    return repr(value) if bits <= _INT_BITS else f"<int of {bits:,} bits>"


def _sliced(value: Any) -> str:
    """Text and bytes: cut before they are quoted, so that a gigabyte costs nothing."""
    size = len(value)
    return repr(value) if size <= 200 else f"{value[:120]!r}…{value[-30:]!r} ({size:,} long)"


def _function(value: Any) -> str:
    return f"<function {value.__qualname__}>"


def _method(value: Any) -> str:
    function = value.__func__  # May be of the user's, and its name computed.
    return _function(function) if type(function) is FunctionType else "<function>"


def _builtin(value: Any) -> str:
    bound = value.__self__
    asked = bound if issubclass(type(bound), type) else type(bound)  # For a name, by __qualname__.
    return f"<function {value.__qualname__ if type(asked) is type else value.__name__}>"


def _module(value: Any) -> str:
    members = vars(ModuleType)["__dict__"]
    name = dict.get(members.__get__(value), "__name__")
    return f"<module {name}>" if type(name) is str else "<module>"


_PLAIN: dict[type, Callable[[Any], str]] = {
    int: _int,
    str: _sliced,
    bytes: _sliced,
    bytearray: _sliced,
    FunctionType: _function,
    BuiltinFunctionType: _builtin,
    MethodType: _method,
    ModuleType: _module,
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
