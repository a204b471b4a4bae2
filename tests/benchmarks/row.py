"""A line of the table."""

from __future__ import annotations

from dataclasses import dataclass

from measure import Cost, show


@dataclass
class Row:
    what: str
    ours: str
    peer: str
    theirs: str
    ratio: float
    aim: float | None = None
    noise: str = ""


def cost_row(what: str, ours: Cost, peer: str, theirs: Cost, aim: float | None = None) -> Row:
    noise = f"+{ours.disturbance:.0%} +{theirs.disturbance:.0%}"
    ratio = ours.least / theirs.least
    return Row(what, show(ours.least), peer, show(theirs.least), ratio, aim, noise)
