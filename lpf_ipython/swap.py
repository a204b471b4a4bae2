"""The state of the process that belongs to a cell while it runs, swapped when it is paused.

Each item below is a thing that a running cell has borrowed or replaced. Left as it is when the
cell is paused, it breaks what runs next; each was a real failure. An item is asked for what it
holds (`get`), told to hold something else (`put`), and says what stays when the
cell is parked (`leave`) and when a cell that was paused
has ended (`settle`: by default what was there before it was resumed, since the cell restored what
it had found at its beginning, which may be long ago). Main thread only.
"""

from __future__ import annotations

import asyncio
import builtins
import getpass
import sys
import warnings
from typing import Any

from . import private, sigint

__all__ = ["Item", "State", "Swap", "items"]

State = list[Any]
_ABSENT = object()
_NOWHERE: dict[str, Any] = {"": _ABSENT}


class Item:
    """One piece of state; `get` and `put` are inverse."""

    def get(self) -> Any:
        raise NotImplementedError

    def put(self, value: Any) -> None:
        raise NotImplementedError

    def leave(self, mine: Any, outside: Any) -> None:
        """The cell is parked and takes *mine* along; *outside* was there when it began."""
        self.put(outside)

    def lend(self, outside: Any) -> Any:
        """The cell lets others in for a moment; returns what it is to find when it goes on."""
        mine = self.get()
        self.leave(mine, outside)
        return mine

    def settle(self, mine: Any, outside: Any) -> None:
        """The cell has ended and left *mine*; *outside* was there when it was resumed."""
        if mine is not outside:
            self.put(outside)


class Attribute(Item):
    """An attribute of a lasting object; absent is a value too."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name

    def get(self) -> Any:
        return getattr(self.owner, self.name, _ABSENT)

    def put(self, value: Any) -> None:
        if value is not _ABSENT:
            setattr(self.owner, self.name, value)


class Kept(Attribute):
    """An attribute of which the cell that ended last has the say."""

    def settle(self, mine: Any, outside: Any) -> None:
        pass


class SigintHandler(Item):
    """Who gets an interrupt. With the default one left at idle, the next would kill the kernel."""

    def get(self) -> Any:
        return sigint.get()

    def put(self, value: Any) -> None:
        sigint.put(value)

    def lend(self, outside: Any) -> Any:
        return None  # Nothing, which changes nothing: the driver has seen to it.


class KernelSigintHandler(SigintHandler):
    """The same where nobody is left at a prompt: whoever parks the cell says who hears it next.

    What was there before the cell began would raise KeyboardInterrupt in the event loop.
    """

    def leave(self, mine: Any, outside: Any) -> None:
        pass


class StreamWrite(Item):
    """The shell's own ``write`` on an output stream, there to keep a copy for the history."""

    def __init__(self, stream: Any) -> None:
        self.own = vars(stream)

    def get(self) -> Any:
        return self.own.get("write", _ABSENT)

    def put(self, value: Any) -> None:
        if value is _ABSENT:
            self.own.pop("write", None)
        else:
            self.own["write"] = value


class ExecutionCount(Attribute):
    """The shell's prompt number: the cell's own while it runs, and never given out twice."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell, "execution_count")

    def leave(self, mine: Any, outside: Any) -> None:
        self.put(max(mine, outside))

    def settle(self, mine: Any, outside: Any) -> None:
        self.put(max(mine, outside))


class Payload(Attribute):
    """What the reply is to carry to the front end; filled in place."""

    def leave(self, mine: Any, outside: Any) -> None:
        self.put([])


class Figures(Item):
    """matplotlib's open figures: what another cell ends with would be shown and closed there."""

    def get(self) -> Any:
        manager = self._manager()
        return None if manager is None else (type(manager.figs)(manager.figs), _inline())

    def put(self, value: Any) -> None:
        manager = self._manager()
        if manager is None:
            return
        figures, (to_draw, called) = value if value is not None else ((), ([], False))
        manager.figs.clear()
        manager.figs.update(figures)
        show = getattr(_backend(), "show", None)
        if show is not None:
            show._to_draw, show._draw_called = to_draw, called

    def settle(self, mine: Any, outside: Any) -> None:
        manager = self._manager()
        if manager is not None and outside is not None:
            # Those that were open outside come first: the cell's newest stays the current one.
            left = dict(manager.figs)
            manager.figs.clear()
            manager.figs.update(outside[0])
            manager.figs.update(left)

    @staticmethod
    def _manager() -> Any:
        helpers = sys.modules.get("matplotlib._pylab_helpers")
        return getattr(helpers, "Gcf", None)


def _backend() -> Any:
    return sys.modules.get("matplotlib_inline.backend_inline")


def _inline() -> tuple[Any, Any]:
    show = getattr(_backend(), "show", None)
    return getattr(show, "_to_draw", []), getattr(show, "_draw_called", False)


class WarningFilters(Item):
    """The list that a ``catch_warnings`` block replaces, and how warnings are shown in it."""

    _names = ("filters", "showwarning", "_showwarnmsg_impl")

    def get(self) -> Any:
        own = vars(warnings)
        return [own.get(name, _ABSENT) for name in self._names]

    def put(self, value: Any) -> None:
        for name, each in zip(self._names, value, strict=True):
            if each is not _ABSENT:
                setattr(warnings, name, each)
        mutated = getattr(warnings, "_filters_mutated", None) or getattr(
            warnings, "_filters_mutated_lock_held", None
        )
        if mutated is not None and not hasattr(warnings, "_lock"):
            mutated()

    def settle(self, mine: Any, outside: Any) -> None:
        pass  # A block that ended put its own back; simplefilter is meant to last.


class MainModule(Item):
    """``__main__``, which ``%run`` replaces."""

    def get(self) -> Any:
        return sys.modules.get("__main__")

    def put(self, value: Any) -> None:
        if value is not None:
            sys.modules["__main__"] = value


class RunningLoop(Item):
    """The event loop that a terminal's cell awaits in: it stands still as well, others get one."""

    def get(self) -> Any:
        return asyncio._get_running_loop(), private.terminal_loop()

    def put(self, value: Any) -> None:
        running, loop = value
        asyncio._set_running_loop(running)
        private.set_terminal_loop(loop)
        if running is not None and not running.is_closed():
            # In its sleep it has not heard of an event of its that another cell has set.
            running.call_soon_threadsafe(running.is_running)

    def leave(self, mine: Any, outside: Any) -> None:
        asyncio._set_running_loop(None)
        if mine[0] is not None:
            private.set_terminal_loop(None)

    def settle(self, mine: Any, outside: Any) -> None:
        asyncio._set_running_loop(None)


def items(shell: Any, streams: list[Any], kernel: Any = None) -> list[Item]:
    """Return the items for a shell; *streams* are those that its ``write`` copies are put on."""
    hook, trap = shell.displayhook, shell.display_trap
    found: list[Item] = [
        SigintHandler() if kernel is None else KernelSigintHandler(),
        *(StreamWrite(stream) for stream in streams),
        *(
            Attribute(sys, name)
            for name in ("stdout", "stderr", "displayhook", "excepthook", "argv")
        ),
        MainModule(),
        Attribute(shell, "display_pub"),
        Attribute(builtins, "input"),
        Attribute(getpass, "getpass"),
        ExecutionCount(shell),
        *(Attribute(owner, name) for owner, name in private.borrowed(shell)),
        Attribute(trap, "old_hook"),
        Attribute(hook, "exec_result"),
        Attribute(shell, "showing_traceback"),
        Kept(*private.traceback(shell)),
        WarningFilters(),
        Figures(),
    ]
    if kernel is not None:
        found += [
            Attribute(hook, "msg"),
            Payload(*private.payload(shell)),
            *(Attribute(owner, name) for owner, name in private.borrowed_for_input(kernel)),
        ]
    else:
        found.append(RunningLoop())
    return found


class Swap:
    """All the items of one shell, taken and put back together. Main thread."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        # Taken for every cell: attributes in one go, the few others one by one.
        self._places = [
            (item.owner, item.name, private.fields(item.owner, item.name))
            if isinstance(item, Attribute)
            else (None, "", _NOWHERE)
            for item in items
        ]
        self._others = [(n, i) for n, i in enumerate(items) if not isinstance(i, Attribute)]

    def take(self) -> State:
        """Return what the items hold now."""
        state = [
            fields[name] if name in fields else getattr(owner, name, _ABSENT)
            for owner, name, fields in self._places
        ]
        for number, item in self._others:
            state[number] = item.get()
        return state

    def load(self, state: State) -> None:
        """Put back what `take` returned."""
        for item, value in zip(self.items, state, strict=True):
            item.put(value)

    def leave(self, outside: State) -> State:
        """Take the items for a cell that is parked, and put back what was there before it."""
        mine = self.take()
        for item, ours, value in zip(self.items, mine, outside, strict=True):
            item.leave(ours, value)
        return mine

    def give_up(self, outside: State) -> None:
        """Put back what was there before a cell that will not run again."""
        self.leave(outside)
        for item, value in zip(self.items, outside, strict=True):
            if isinstance(item, SigintHandler):
                item.put(value)

    def lend(self, outside: State) -> State:
        """What `leave` does, for a cell that lets others in for a moment; `load` brings the items back."""
        return [item.lend(value) for item, value in zip(self.items, outside, strict=True)]

    def settle(self, outside: State) -> None:
        """Let what was there before a resumed cell's last stretch take over, where it should."""
        for item, value in zip(self.items, outside, strict=True):
            item.settle(item.get(), value)
