"""How soon a kernel answers while a cell computes, and what the cell pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from asked import Kernel, asked
from measure import Cost, in_turns, show
from row import Row

QUANTUM = 0.005
# Seconds: how long a cell computes while it is asked, and where the first answer comes at its end.
LONG, SHORT = 3.0, 1.0
ON = ("%load_ext lpf", f"%lpf responsive {QUANTUM * 1e3:g}ms")
# A moment for the kernel to say that it is busy.
_FIRST = "import time\ntime.sleep(0.03)\n"
_UNTIL = _FIRST + "end = time.monotonic() + {seconds}\nwhile time.monotonic() < end:\n"
BUSY = {
    "Python": _UNTIL + "    for i in range(1000): x = i * i",
    "numpy": "import numpy\na = numpy.random.default_rng(1).random(10**6)\n"
    + _UNTIL
    + "    numpy.sort(a) + numpy.sin(a)",
    "sum(range(n))": _FIRST + "sum(range({n}))",
}
ASKED = {"completion": Kernel.complete, "comm, there and back": Kernel.comm}
# What the machine takes for signals alone: no handler of Python's runs in the middle of C code.
_ALARMS = (
    "import signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\n"
    f"signal.setitimer(signal.ITIMER_REAL, {QUANTUM}, {QUANTUM})"
)
_NO_ALARMS = "signal.setitimer(signal.ITIMER_REAL, 0)"
PAYS = {
    "Python": "x = 0\nfor i in range(6 * 10**6): x += i",
    "sum(range(n))": "sum(range(2 * 10**7))",
}


@contextmanager
def kernel(*cells: str) -> Iterator[Kernel]:
    kernel = Kernel(*cells)
    try:
        yield kernel
    finally:
        kernel.close()


def _additions(kernel: Kernel) -> float:
    """How many numbers of a range are summed up in a second."""
    code = "import time\nt = time.perf_counter(); sum(range(10**7)); print(time.perf_counter() - t)"
    return 10**7 / min(float(kernel.run(code)) for _ in range(3))


def _busy(name: str, seconds: float, rate: float) -> str:
    return BUSY[name].format(seconds=seconds, n=int(seconds * rate))


def _while_busy(kernel: Kernel, cell: str, ask: Callable[[Kernel], float]) -> Cost:
    """Ask while the cell computes; without the last answer, which may have come at its end."""
    running = kernel.start(cell)
    took = asked(lambda: ask(kernel), LONG * 0.8)
    kernel.end(running)
    return Cost(took)


def _at_the_end(kernel: Kernel, cell: str, ask: Callable[[Kernel], float]) -> float:
    running = kernel.start(cell)
    took = ask(kernel)
    kernel.end(running)
    return took


def _shown(cost: Cost) -> str:
    return f"{show(cost.quantile(0.5))}, {show(cost.quantile(0.99))}"


def answers(ours: Kernel, stock: Kernel, subshells: Kernel | None) -> Iterable[Row]:
    rate = _additions(stock)
    for what, ask in {**ASKED, "a trivial cell beside": Kernel.background}.items():
        ask(ours)
        idle = Cost(asked(lambda ask=ask: ask(ours), 1.0))
        for name in BUSY:
            mine = _while_busy(ours, _busy(name, LONG, rate), ask)
            late = mine.quantile(0.99) - idle.quantile(0.99)
            label = f"{what} during {name}: p50, p99"
            quanta = "two quanta more than idle"
            shown = f"{show(2 * QUANTUM)} + {show(idle.quantile(0.99))}"
            yield Row(label, _shown(mine), quanta, shown, late / (2 * QUANTUM), 1)
            theirs = _at_the_end(stock, _busy(name, SHORT, rate), ASKED.get(what, Kernel.cell))
            ratio = mine.quantile(0.5) / theirs
            yield Row("", _shown(mine), f"stock, a cell of {SHORT:g} s", show(theirs), ratio)
            if subshells is not None:
                other = _while_busy(subshells, _busy(name, LONG, rate), ask)
                ratio = mine.quantile(0.99) / other.quantile(0.99)
                yield Row("", _shown(mine), "a subshell", _shown(other), ratio)


def price(ours: Kernel) -> Iterable[Row]:
    """Medians: what is looked for is smaller than the luck of a single round."""
    for name, code in PAYS.items():
        timed = (
            f"import time\nt = time.thread_time()\n{code}\nprint(time.thread_time() - t, end='')"
        )

        def measured(setting: str, timed: str = timed) -> float:
            ours.run(f"%lpf responsive {setting}")
            return float(ours.run(timed))

        on, off, alarms = in_turns(
            25,
            lambda: measured(f"{QUANTUM * 1e3:g}ms"),
            lambda: measured("off"),
            lambda timed=timed: measured("off", f"{_ALARMS}\n{timed}\n{_NO_ALARMS}"),
        )
        mine, none, bare = (cost.quantile(0.5) for cost in (on, off, alarms))
        noise = f"+{on.disturbance:.0%} +{off.disturbance:.0%}"
        label = f"CPU time of a cell, {name}"
        yield Row(label, show(mine), "not responsive", show(none), mine / none, 1.02, noise)
        yield Row("", show(mine), "a bare SIGALRM every quantum", show(bare), mine / bare)


def responsive() -> Iterable[Row]:
    # An import lets nobody in: it is not what is measured here.
    first = "import numpy"
    with kernel(first, *ON) as ours, kernel(first) as stock, kernel(first) as other:
        yield from answers(ours, stock, other if other.use_subshell() else None)
        yield from price(ours)
