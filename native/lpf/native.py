"""Preemptible C functions: ``lpf.native.launch(ffi.addressof(lib, "f"), arg, timeout=0.5)``.

The function has the C type ``void f(void *)`` and comes from a cffi library of the user's.  It runs
without the GIL, so that other Python threads go on meanwhile, and it is left in the middle of native
code, wherever that code may be left: not in the allocator, the loader, libpython, nor in libraries
with threads or global locks of their own (``allow_library`` changes the list).

``ffi`` and ``lib`` bind the whole of lpf.h for those who want it bare.  There is one copy of the C
core: the binding lies in the same shared object as the Python host.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, cast

from . import _native
from ._errors import NotFinished, StateError, ThreadError

__all__ = ["NativeContinuation", "allow_library", "ffi", "launch", "lib"]

_core = cast(Any, _native._core())
ffi = _core.ffi
lib = _core.lib

_STATES = {
    lib.LPF_READY: "ready",
    lib.LPF_RUNNING: "running",
    lib.LPF_PAUSED: "paused",
    lib.LPF_HELD: "paused",
    lib.LPF_FINISHED: "finished",
    lib.LPF_CANCELLED: "cancelled",
}


def check(status: int, what: str = "") -> None:
    """Turn a status of liblpf into an exception; nothing for LPF_OK."""
    if status == lib.LPF_OK:
        return
    text = ffi.string(lib.lpf_strerror(status)).decode()
    if what:
        text = f"{what}: {text}"
    if status == lib.LPF_EINVAL:
        raise ValueError(text)
    if status == lib.LPF_ENOMEM:
        raise MemoryError(text)
    if status == lib.LPF_ETHREAD:
        raise ThreadError(text)
    if status == lib.LPF_ESYSTEM:
        raise OSError(ffi.errno, text)
    raise StateError(text)


def _nanoseconds(timeout: Any) -> int:
    if timeout is None:
        return cast(int, lib.LPF_FOREVER)
    if isinstance(timeout, (str, bytes)) or not hasattr(timeout, "__float__"):
        raise TypeError(
            f"timeout must be a number of seconds or None, not {type(timeout).__name__}"
        )
    try:
        seconds = float(timeout)
    except OverflowError:  # An integer beyond all clocks.
        seconds = math.inf if timeout > 0 else -math.inf
    if math.isnan(seconds):
        raise ValueError("timeout must not be NaN")
    if seconds < 0:
        raise ValueError(f"timeout must not be negative, got {seconds!r}")
    if seconds >= 9e9:
        return cast(int, lib.LPF_FOREVER)
    return max(int(seconds * 1e9), 1) if seconds > 0 else 0


class NativeContinuation:
    """A C function on a stack of its own; made by ``launch``.

    It belongs to the thread that launched it.  Dropping it discards it: its stack is given back,
    what it had allocated or locked stays so, for C has nothing that would unwind it.
    """

    def __init__(self, handle: Any, keep: tuple[Any, ...], name: str) -> None:
        self._handle = handle
        self._keep = keep
        self.name = name

    @property
    def state(self) -> str:
        """'ready', 'running', 'paused', 'finished' or 'cancelled'."""
        return _STATES[lib.lpf_state(self._handle)]

    @property
    def done(self) -> bool:
        """True when finished or cancelled."""
        return self.state in ("finished", "cancelled")

    @property
    def elapsed(self) -> float:
        """Seconds of wall-clock time inside; standing still does not count."""
        return cast(int, lib.lpf_elapsed(self._handle)) * 1e-9

    @property
    def cpu_time(self) -> float:
        """Seconds of the thread's CPU time inside, exact to about 0.1 ms a slice."""
        return cast(int, lib.lpf_cpu_time(self._handle)) * 1e-9

    def result(self) -> None:
        """None, if it has finished; raises NotFinished or StateError (cancelled) if not."""
        state = self.state
        if state == "cancelled":
            raise StateError(f"{self.name} was cancelled")
        if state != "finished":
            raise NotFinished(f"{self.name} is {state}: resume() it, or cancel() it, first")

    def resume(self, *, timeout: float | None = None) -> NativeContinuation:
        """Go on for at most timeout seconds (None: no limit).  Own thread only.

        Raises:
            TypeError, ValueError: timeout is not a positive number of seconds or None.
            StateError: it is neither paused nor ready.
            ThreadError: it belongs to another thread.
        """
        limit = _nanoseconds(timeout)
        if limit == 0:
            raise ValueError("timeout must be positive or None to resume")
        self._run(limit)
        return self

    def cancel(self) -> str:
        """Discard it; returns the state then.  Nothing of it is unwound: C has no finally."""
        if not self.done:
            check(lib.lpf_cancel(self._handle), f"{self.name} is {self.state}")
        return self.state

    def _run(self, limit: int) -> None:
        handle = self._handle  # guards.py wants `lpf_resume` called without other attributes.
        spent = cast(int, lib.lpf_elapsed(handle))
        left = limit
        while True:
            check(lib.lpf_resume(handle, left), f"{self.name} is {self.state}")
            if not lib.lpf_left_for_outer(handle):
                return
            # Something in Python around this one is due.  That is left, or raises, between these
            # two lines of Python; this one goes on when it is resumed.
            if limit != lib.LPF_FOREVER:
                left = max(limit - (cast(int, lib.lpf_elapsed(handle)) - spent), 1)

    def __repr__(self) -> str:
        return f"<lpf.native.NativeContinuation of {self.name}, {self.state}>"

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and lib.lpf_state(handle) not in (lib.LPF_RUNNING, lib.LPF_HELD):
            lib.lpf_free(handle)  # On another thread it stays: only its own may give it back.


def launch(function: Any, arg: Any = None, *, timeout: float | None = None) -> NativeContinuation:
    """Call a C function ``void f(void *)`` with a time limit in seconds.

    Args:
        function: a cffi function pointer, or ``ffi.addressof(lib, "f")``.
        arg: a cffi pointer, an integer address, or None for NULL.  Kept alive until the end.
        timeout: seconds of wall-clock time; None: no limit; 0: create without running.

    Returns when the function has ended or the limit has passed.  On any thread.

    Raises:
        TypeError: function or arg is not of the kind above, or timeout is not a number.
        ValueError: function is NULL, or timeout is negative or NaN.
        MemoryError, OSError: no stack, no timer.
    """
    pointer = _function_pointer(function)
    argument = _argument(arg)
    limit = _nanoseconds(timeout)
    if limit not in (0, lib.LPF_FOREVER):
        _prepare_signals()
    out = ffi.new("lpf_t **")
    check(lib.lpf_launch(out, pointer, argument, 0), "launch")
    name = _name(function)
    text = ffi.new("char[]", name.encode())
    lib.lpf_set_name(out[0], text)
    c = NativeContinuation(out[0], (function, arg, argument, text), name)
    if limit:
        c._run(limit)
    return c


def allow_library(name_part: str, *, allow: bool = True) -> None:
    """Let functions be left (allow) or never be left in libraries whose file name contains this.

    Applies from the next launch on, on every thread.
    """
    if not isinstance(cast(object, name_part), str):
        raise TypeError(f"name_part must be a str, not {type(name_part).__name__}")
    check(lib.lpf_allow_library(name_part.encode(), allow), "name_part")


def _prepare_signals() -> None:
    """Python's way of installing the handler goes first: it does not restart system calls."""
    with contextlib.suppress(ValueError):  # Not the main thread: the core installs it by itself.
        _native.prepare()


def _function_pointer(function: Any) -> Any:
    """Only cdata: cffi would cast a number or a single character to a pointer as well."""
    if not _takes_a_pointer(function):
        raise TypeError(
            f"function must be a cffi pointer to void f(void *), not {function!r}; "
            'use ffi.addressof(lib, "f")'
        )
    pointer = ffi.cast("void (*)(void *)", ffi.cast("uintptr_t", function))
    if not pointer:
        raise ValueError("function must not be NULL")
    return pointer


def _takes_a_pointer(function: Any) -> bool:
    """Is it a void function of one pointer, of whatever type, or an untyped pointer?"""
    if not isinstance(function, ffi.CData):
        return False
    kind = ffi.typeof(function)
    if kind.kind == "pointer":
        return bool(kind.item.kind == "void")
    return (
        kind.kind == "function"
        and kind.result.kind == "void"
        and len(kind.args) == 1
        and kind.args[0].kind == "pointer"
        and not kind.ellipsis
    )


def _argument(arg: Any) -> Any:
    if arg is None:
        return ffi.NULL
    if isinstance(arg, int):
        return ffi.cast("void *", arg)
    if isinstance(arg, ffi.CData) and ffi.typeof(arg).kind in ("pointer", "array", "function"):
        return ffi.cast("void *", arg)
    raise TypeError(f"arg must be a cffi pointer, an integer or None, not {type(arg).__name__}")


def _name(function: Any) -> str:
    return str(function).removeprefix("<cdata '").rstrip(">").replace("' ", " at ")
