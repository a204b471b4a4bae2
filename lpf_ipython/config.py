"""The traits a user sets: ``c.LPF.timeout = 60`` in a configuration file, or ``%config LPF``."""

from __future__ import annotations

import math
from typing import Any

from traitlets import Bool, Enum, Float, Int, TraitError, Unicode, Union, validate
from traitlets.config import Configurable

from . import durations, memory

__all__ = ["LPF", "QUANTUM"]

QUANTUM = 0.005  # Seconds; what `%lpf responsive on` sets.
SHORTEST_QUANTUM = 0.001


class LPF(Configurable):  # type: ignore[misc, unused-ignore]
    """Limits for every cell, and how patient a stop is."""

    timeout = Union(
        [Float(), Unicode()],
        default_value=0.0,
        help="""Seconds, or text like '1m30s', after which a cell is stopped; 0 for no limit.
        A cell's own %%timeout, tag or metadata (lpf:timeout=30s) takes precedence.""",
    ).tag(config=True)
    on_timeout = Enum(
        ["pause", "cancel"],
        default_value="pause",
        help="""What a time limit does. Where nobody could resume a paused cell (the request does
        not allow input), it is cancelled in any case.""",
    ).tag(config=True)
    grace = Float(
        0.5, min=0.0, help="Seconds that a cancelled cell has to unwind before it is abandoned."
    ).tag(config=True)
    interrupt_grace = Float(
        0.5,
        min=0.0,
        help="""Seconds after which an interrupt that the cell swallowed is raised again. A cell
        that is still inside its own handler for it is left alone, until the next interrupt.""",
    ).tag(config=True)
    escalate = Bool(
        True,
        help="Whether an interrupt that was swallowed, or did not arrive, goes on to a cancel.",
    ).tag(config=True)
    quantum = Float(
        0.0,
        min=0.0,
        help="""Seconds after which a computing cell lets the kernel serve others (completion,
        inspection, widgets, asyncio tasks, cells in the background) and goes on; 0.005 is a good
        value, 0 means never. `%lpf responsive on` sets it.""",
    ).tag(config=True)
    background_cells = Int(
        8, min=1, help="How many cells may run in the background at once; more have to wait."
    ).tag(config=True)
    memory_limit = Unicode(
        "",
        help="""Pause the running cell when this much memory is in use: a size ('6 GB') that the
        process may have, or a share ('80%') of the machine's or its cgroup's. Empty: no limit.""",
    ).tag(config=True)

    @validate("timeout")
    def _check_timeout(self, proposal: Any) -> float:
        value = proposal["value"]
        try:
            seconds = (
                durations.parse(value) if isinstance(value, str) and value else float(value or 0)
            )
        except ValueError as error:
            raise TraitError(f"LPF.timeout: {error}") from None
        if not (seconds >= 0 and math.isfinite(seconds)):
            raise TraitError(f"LPF.timeout: {value!r} is not a number of seconds")
        return seconds

    @validate("memory_limit")
    def _check_memory_limit(self, proposal: Any) -> str:
        text = str(proposal["value"])
        try:
            memory.parse(text)
        except ValueError as error:
            raise TraitError(f"LPF.memory_limit: {error}") from None
        return text

    @validate("quantum")
    def _check_quantum(self, proposal: Any) -> float:
        value = float(proposal["value"])
        if not math.isfinite(value):
            raise TraitError(f"LPF.quantum: {value!r} is not a number of seconds")
        if 0 < value < SHORTEST_QUANTUM:
            raise TraitError(
                f"LPF.quantum: {value!r} s is too short, the least is {SHORTEST_QUANTUM} s"
            )
        return value

    @property
    def default_limit(self) -> float | None:
        """The limit of cells that set none themselves, in seconds; None for no limit."""
        return float(self.timeout) or None
