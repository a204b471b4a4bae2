"""How long a cell that computes goes on until others are let in. Main thread."""

from __future__ import annotations

from typing import Any

from .begun import Begun
from .config import LPF, QUANTUM

__all__ = ["Quantum"]


class Quantum:
    """The quantum of a kernel: as its user has set it, else that of cells in the background."""

    def __init__(self, config: LPF, begun: Begun) -> None:
        self._config = config
        self._begun = begun
        # Kept apart: traitlets take their time, and this is asked in every step.
        self._seconds = 0.0

    def install(self) -> None:
        """Follow the configuration."""
        self._set()
        self._config.observe(self._set, "quantum")

    def uninstall(self) -> None:
        """Follow it no longer."""
        self._config.unobserve(self._set, "quantum")

    def _set(self, change: Any = None) -> None:
        self._seconds = float(self._config.quantum)

    def get(self) -> float | None:
        """Seconds; None: nobody is let in."""
        if self._seconds > 0:
            return self._seconds
        beside = any(request.background for request in self._begun.values())
        return QUANTUM if beside else None
