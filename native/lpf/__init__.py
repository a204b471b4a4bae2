"""Lightweight preemptible functions: ordinary calls with a precise time limit.

A call that does not finish in time gives you a *continuation*: the call, frozen where it was, on a
stack of its own, to be inspected, resumed or cancelled later, on the same thread, with nothing
prepared in the function.

    >>> import lpf
    >>> c = lpf.launch(sum, range(3), timeout=0.5)
    >>> c.state, c.result()
    ('finished', 3)

In IPython and Jupyter, ``%load_ext lpf`` makes every cell such a function.

The layers below this package: ``_native`` (native/cpython) is the CPython host, which wraps liblpf
(native/core), a plain C library.  The only import the other way is inside ``load_ipython_extension``.

Source: Boucher, Kalia, Andersen, Kaminsky, "Lightweight Preemptible Functions", USENIX ATC 2020.
"""

from __future__ import annotations

import atexit as _atexit
import sys as _sys
from typing import TYPE_CHECKING

from ._errors import Cancelled, NotFinished, StateError, ThreadError, TimedOut

try:
    from . import _native
except ImportError as _error:
    raise ImportError(
        f"lpf has no native part for this Python ({_sys.version.split()[0]} on {_sys.platform}): "
        "it needs CPython 3.11 to 3.14 with the GIL, on 64-bit Linux (x86-64 or aarch64), and to be "
        f"installed by pip, which compiles it ({_error})"
    ) from _error

_native._set_errors(Cancelled, TimedOut, NotFinished, StateError, ThreadError)

from . import guards  # noqa: E402
from ._iterators import iterator_types as _iterator_types  # noqa: E402
from ._native import (  # noqa: E402
    Continuation,
    call,
    current,
    launch,
    live,
    on_stray,
    pause,
    prepare,
    time_limit,
    uninterruptible,
    watch,
    watch_interrupts,
)

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from . import aio, native
    from .scheduler import Scheduler

__all__ = [
    "Cancelled",
    "Continuation",
    "NotFinished",
    "Scheduler",
    "StateError",
    "ThreadError",
    "TimedOut",
    "aio",
    "call",
    "current",
    "guards",
    "launch",
    "live",
    "load_ipython_extension",
    "native",
    "on_stray",
    "pause",
    "prepare",
    "time_limit",
    "uninterruptible",
    "unload_ipython_extension",
    "watch",
    "watch_interrupts",
]

_native._iterators(_iterator_types())

_SHUTDOWN_GRACE = 0.5  # Seconds that each paused function has to unwind when Python exits.

_atexit.register(_native._shutdown, _SHUTDOWN_GRACE)


def __getattr__(name: str) -> object:
    # What takes longer to import than the rest: native needs cffi, aio needs asyncio.
    if name in ("aio", "native"):
        import importlib

        return importlib.import_module(f".{name}", __name__)
    if name == "Scheduler":
        from .scheduler import Scheduler

        return Scheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """``%load_ext lpf``: make every cell a preemptible function; see lpf_ipython."""
    from lpf_ipython import load_ipython_extension as load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """``%unload_ext lpf``: take back what loading put in."""
    from lpf_ipython import unload_ipython_extension as unload

    unload(ipython)
