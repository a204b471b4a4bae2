"""A time limit for a piece of a running cell: the body of a nested ``%%timeout``."""

from __future__ import annotations

from typing import Any

__all__ = ["run_limited"]


def run_limited(
    shell: Any, source: str, limit: float, on_timeout: str | None = None, cpu: bool = False
) -> None:
    """placeholder"""
    raise NotImplementedError
