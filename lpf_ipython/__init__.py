"""Cells as preemptible functions, in IPython and Jupyter: pause, inspect, resume and cancel them.

Arrows point one way:

    __init__ ─> kernel, control, terminal ─> shell ─> cell ─> jobs, swap ─> lpf
                kernel ─> queue, handling ─> turn, idle, lent ─> begun ─> request ─> cell
             ─> magics ─> display, debugger ─> inspect ─> places, values

`private` holds every private name of IPython and ipykernel that is used. Nothing here is imported
before the extension is loaded: ``%load_ext lpf`` or ``%load_ext lpf_ipython``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """Make every cell of *shell* a preemptible function. Main thread; twice is once."""
    from . import extension

    extension.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Undo `load_ipython_extension`. JobError, with a list of them, while cells are paused."""
    from . import extension

    extension.unload(shell)
