"""Which Python code must not be left in the middle.

The code that runs while a function stands still may need what that function holds: the lock of a
module that is being imported, of a log handler, of the notebook's output stream.  A function is not
left while such a frame is on its stack; the pause is tried again shortly after.  A cancel waits for
half of its grace and then goes on regardless (``Continuation.broke_into`` names what it broke into).

Two kinds of guard, both for a module and all of its submodules; the longest name wins:

- ``held``: blocks wherever on the stack it is.
- ``running``: blocks while its own frames are the newest; code that it calls may be left.  For
  packages that run other people's code, such as IPython.

All functions may be called on any thread.
"""

from __future__ import annotations

import builtins
import dis
import sys
from types import CodeType
from typing import Literal

from . import _native

__all__ = ["add", "list", "remove"]

Kind = Literal["held", "running"]

_VERDICTS: dict[Kind, int] = {"held": 1, "running": 2}

_guards: dict[str, Kind] = {
    "importlib._bootstrap": "held",
    "importlib._bootstrap_external": "held",
    "logging": "held",
    "threading": "held",
    "queue": "held",
    "concurrent.futures.thread": "held",
    "linecache": "held",
    "IPython": "running",
    "traitlets": "running",
    "ipykernel": "running",
    "ipykernel.iostream": "held",
    "jupyter_client": "held",
    "tornado": "held",
    "zmq": "held",
    "lpf": "running",
    "lpf_ipython": "running",
    # Code for an event loop relies on it that nothing else runs between two awaits; transports and
    # streams are changed by tasks and by the callbacks of the loop alike.
    "asyncio": "running",
    "asyncio.base_subprocess": "held",
    "asyncio.selector_events": "held",
    "asyncio.sslproto": "held",
    "asyncio.streams": "held",
    "asyncio.transports": "held",
    "asyncio.unix_events": "held",
    # What asyncio calls in the middle of its own work: gather, say, for every task that it makes.
    "_collections_abc": "running",
    "_weakrefset": "running",
    "inspect": "running",
    "traceback": "running",
    "weakref": "running",
    "aiohttp": "running",
    "aiosqlite": "running",
    "anyio": "running",
    "asyncpg": "running",
    "h11": "held",
    "httpcore": "running",
    "starlette": "running",
    "uvicorn": "running",
    "websockets": "running",
}

# Functions of guarded modules that wait, and what they call to do so.  There they hold nothing that
# another function could want: Condition.wait has released the lock, join has none.
_WAITS: dict[str, dict[str, frozenset[str]]] = {
    "threading": {
        "Condition.wait": frozenset({"acquire"}),
        "Thread.join": frozenset({"join"}),
        "Thread._wait_for_tstate_lock": frozenset({"acquire"}),
    },
    "queue": {"SimpleQueue.get": frozenset({"get", "acquire"})},
    # There a native function is left so that a Python function around it can be left.
    "lpf.native": {"NativeContinuation._run": frozenset({"lpf_resume"})},
    # What a cell calls as open(): a pipe, say, is waited for.
    "IPython.core.interactiveshell": {"_modified_open": frozenset({"io_open"})},
    # A cell waits for the answer to its input().
    "lpf_ipython.stdin": {"wait": frozenset({"poll"})},
    "lpf_ipython.standins": {
        "wait": frozenset({"waitpid"}),
        "wait_for_signal": frozenset({"sigwaitinfo"}),
    },
}


def add(module: str, *, kind: Kind = "held") -> None:
    """Guard a module and its submodules.

    Raises:
        TypeError: module is not a string.
        ValueError: module is empty, or kind is neither 'held' nor 'running'.
    """
    if not isinstance(module, str):
        raise TypeError(f"module must be a str, not {type(module).__name__}")
    if not module:
        raise ValueError("module must not be empty")
    if kind not in _VERDICTS:
        raise ValueError(f"kind must be 'held' or 'running', not {kind!r}")
    _guards[module] = kind
    _native._guard_changed()


def remove(module: str) -> None:
    """Guard a module no longer.  Raises KeyError if it was not guarded by that very name."""
    if module not in _guards:
        raise KeyError(f"{module!r} is not guarded; guards.list() shows what is")
    del _guards[module]
    _native._guard_changed()


def list() -> dict[str, Kind]:
    """All guards: module name to kind."""
    return dict(_guards)


def _kind(module: str) -> Kind | None:
    while module:
        if module in _guards:
            return _guards[module]
        module = module.rpartition(".")[0]
    return None


def _wait_offsets(code: CodeType, names: frozenset[str]) -> tuple[tuple[int, int], ...]:
    """Where in the code those functions are being called: byte offsets of the calls and their ends.

    A call begins at the PRECALL of 3.11: that makes the whole call once it is specialised.
    """
    found: builtins.list[tuple[int, int]] = []
    instructions = builtins.list(dis.get_instructions(code))
    called = start = None
    for at, instruction in enumerate(instructions):
        method = instruction.opname in ("LOAD_ATTR", "LOAD_METHOD")
        if method or (instruction.opname == "LOAD_GLOBAL" and instruction.argval in names):
            called, start = instruction.argval, None
        elif instruction.opname == "PRECALL":
            start = instruction.offset
        elif instruction.opname.startswith("CALL_INTRINSIC"):
            pass  # Of the interpreter itself.
        elif instruction.opname.startswith("CALL") and called in names:
            after = instructions[at + 1].offset if at + 1 < len(instructions) else sys.maxsize
            found.append((instruction.offset if start is None else start, min(after, 2**31 - 1)))
            called = None
    return tuple(found)


def _classify(module: str, code: CodeType) -> int | tuple[tuple[int, int], ...]:
    """What guard.c asks, once for every code object."""
    kind = _kind(module)
    if kind is None:
        return 0
    waits = _WAITS.get(module, {}).get(code.co_qualname)
    if waits is not None:
        return _wait_offsets(code, waits)
    return _VERDICTS[kind]


_native._guard_classifier(_classify)
