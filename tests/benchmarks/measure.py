"""Measuring on a machine that does other things too.

Ours and the peer's take turns, round by round, so that a slow phase of the machine hits both. The
figure for a cost is the least of all rounds, since everything that disturbs only adds to it; the
median says how much was added, and is shown.
"""

import statistics
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Cost:
    """What something took in each round, in seconds."""

    rounds: list[float] = field(default_factory=list)

    @property
    def least(self) -> float:
        return min(self.rounds)

    @property
    def disturbance(self) -> float:
        """By which part the median round was slower than the best one."""
        return statistics.median(self.rounds) / self.least - 1 if self.least > 0 else 0.0

    def quantile(self, part: float) -> float:
        ordered = sorted(self.rounds)
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def in_turns(rounds: int, *contenders: Callable[[], float]) -> list[Cost]:
    """Each contender returns how long it took; every round starts with another one."""
    costs = [Cost() for _ in contenders]
    for contender in contenders:
        contender()  # Warm.
    for number in range(rounds):
        for place in range(len(contenders)):
            which = (number + place) % len(contenders)
            costs[which].rounds.append(contenders[which]())
    return costs


def per_operation(
    statements: Sequence[str], names: dict[str, object], *, rounds: int = 60, number: int = 20_000
) -> list[Cost]:
    """Seconds for one execution of each statement, without the loop around it."""
    timers = [timeit.Timer(statement, globals=names) for statement in ("pass", *statements)]
    empty, *costs = in_turns(
        rounds, *(lambda timer=timer: timer.timeit(number) / number for timer in timers)
    )
    for cost in costs:
        cost.rounds = [took - empty.least for took in cost.rounds]
    return costs


def show(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if abs(seconds) * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"
