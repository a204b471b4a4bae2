"""Which stack the steps of a coroutine run on: one for all of them, where there are greenlets.

A greenlet that is switched to in another step than the one that it was left in has to find the same
stack (reserved.c says why). SQLAlchemy's asyncio makes such greenlets.
"""

from __future__ import annotations

import sys

from . import _native

__all__ = ["same_stack"]


def same_stack(present: object | None) -> object | None:
    """Return what the next step is to be launched on, given what the last one was. Main thread.

    It is kept between the steps, and let go after the last. None: any stack will do.
    """
    if present is None and "greenlet" in sys.modules:
        return _native._reserve_stack()
    return present
