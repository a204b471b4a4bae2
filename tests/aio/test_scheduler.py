"""lpf.Scheduler: turns, shares, joins and ends.  Fairness is counted in turns that cost one each."""

from __future__ import annotations

import contextvars
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lpf
from lpf.scheduler import Thread

QUANTUM = 0.0005

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


class Counting(lpf.Scheduler):
    """Every turn costs the same, however long it took."""

    def _cost(self, spent: float) -> float:
        return 1.0


@pytest.fixture
def s() -> Iterator[Counting]:
    scheduler = Counting(quantum=QUANTUM)
    yield scheduler
    for thread in scheduler.threads:
        thread.cancel()


def spin() -> None:
    while True:
        pass


def test_all_run_to_their_end(s: Counting) -> None:
    threads = [s.spawn(sum, range(n)) for n in (10, 10**6)]
    assert [t.state for t in threads] == ["ready", "ready"]
    s.run()
    assert [t.result() for t in threads] == [45, 499999500000]
    assert [t.state for t in threads] == ["finished", "finished"]
    assert s.threads == []


def test_nobody_who_spins_keeps_the_others_out(s: Counting) -> None:
    spinner = s.spawn(spin)
    assert s.join(s.spawn(lambda: "done")) == "done"
    assert s.threads == [spinner]


def test_equal_threads_get_equal_turns(s: Counting) -> None:
    threads = [s.spawn(spin) for _ in range(7)]
    s.run(turns=70)
    assert {t.turns for t in threads} == {10}


def test_turns_are_as_the_weights(s: Counting) -> None:
    threads = [s.spawn(spin, weight=weight) for weight in (1, 2, 5)]
    s.run(turns=80)
    assert [abs(t.turns - 10 * t.weight) <= 1 for t in threads] == [True] * 3


def test_a_weight_can_be_changed_on_the_way(s: Counting) -> None:
    a, b = s.spawn(spin), s.spawn(spin)
    s.run(turns=20)
    b.weight = 4
    s.run(turns=50)
    assert abs(a.turns - 20) <= 2
    assert abs(b.turns - 50) <= 2


def test_a_newcomer_neither_waits_nor_catches_up(s: Counting) -> None:
    old = s.spawn(spin)
    s.run(turns=50)
    new = s.spawn(spin)
    s.run(turns=20)
    assert abs(new.turns - 10) <= 1
    assert abs(old.turns - 60) <= 1


def test_who_pauses_by_itself_goes_to_the_back(s: Counting) -> None:
    log: list[str] = []

    def polite(name: str) -> None:
        for _ in range(3):
            log.append(name)
            lpf.pause()

    for name in "abc":
        s.spawn(polite, name)
    s.run()
    assert "".join(log) == "abcabcabc"


def test_processor_time_is_shared_when_turns_differ_in_length() -> None:
    # Real accounting: one thread gives its turns back early, and gets more of them.
    s = lpf.Scheduler(quantum=0.002)

    def brief() -> None:
        while True:
            for _ in range(2_000):
                pass
            lpf.pause()

    early, long = s.spawn(brief), s.spawn(spin)
    while long.turns < 20:
        s.run(turns=1)
    assert early.turns > 2 * long.turns
    assert 0.5 < early.cpu_time / long.cpu_time < 2
    for t in (early, long):
        t.cancel()


def test_accounts_are_kept_for_each(s: Counting) -> None:
    spinner, idle = s.spawn(spin), s.spawn(lambda: None)
    s.run(turns=10)
    assert spinner.cpu_time > 0
    assert spinner.elapsed > 0
    assert idle.turns == 1
    assert idle.cpu_time < spinner.cpu_time


def test_threads_join_threads_and_spawn_them(s: Counting) -> None:
    def tree(depth: int) -> int:
        if depth == 0:
            return 1
        children = [s.spawn(tree, depth - 1) for _ in range(3)]
        return sum(child.join() for child in children)

    assert s.join(s.spawn(tree, 4)) == 81


def test_join_raises_what_the_thread_raised(s: Counting) -> None:
    failing = s.spawn(lambda: 1 // 0)

    def waiting() -> str:
        try:
            failing.join()
        except ZeroDivisionError:
            return "seen"
        return "missed"

    assert s.join(s.spawn(waiting)) == "seen"
    with pytest.raises(ZeroDivisionError):
        failing.result()


def test_threads_that_wait_for_each_other_are_named(s: Counting) -> None:
    threads: list[Thread[Any]] = []

    def chicken() -> None:
        threads[1].join()

    def egg() -> None:
        threads[0].join()

    threads += [s.spawn(chicken), s.spawn(egg)]
    with pytest.raises(lpf.StateError, match=r"chicken for .*egg, .*egg for .*chicken"):
        s.run()
    assert [t.state for t in threads] == ["waiting", "waiting"]
    assert threads[0].cancel() == "cancelled"
    s.run()
    with pytest.raises(lpf.Cancelled):
        threads[1].result()


def test_a_lock_that_a_preempted_thread_holds_is_waited_for(s: Counting) -> None:
    lock = threading.Lock()
    inside: Counter[str] = Counter()

    def hold() -> None:
        with lock:
            inside["now"] += 1
            assert inside["now"] == 1
            for _ in range(200_000):
                pass
            inside["now"] -= 1

    threads = [s.spawn(hold) for _ in range(4)]
    s.run()
    for t in threads:
        t.result()


def test_a_thread_has_its_own_context_variables(s: Counting) -> None:
    def compute(name: str) -> str:
        variable.set(name)
        for _ in range(100_000):
            pass
        return variable.get()

    threads = [s.spawn(compute, name) for name in "abc"]
    s.run()
    assert [t.result() for t in threads] == ["a", "b", "c"]
    assert variable.get() == "none"


def test_a_cancelled_thread_unwinds_and_its_waiters_go_on(s: Counting) -> None:
    log: list[str] = []

    def compute() -> None:
        try:
            spin()
        finally:
            log.append("finally")

    started, never = s.spawn(compute), s.spawn(compute)
    s.run(turns=1)
    assert started.cancel() == "cancelled"
    assert never.cancel() == "cancelled"
    assert log == ["finally"]
    assert started.cancel() == "cancelled"
    s.run()
    for t in (started, never):
        with pytest.raises(lpf.Cancelled):
            t.result()


def test_a_keyboard_interrupt_ends_run_and_the_others_stay(s: Counting) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    s.spawn(interrupt)
    other = s.spawn(lambda: "other")
    with pytest.raises(KeyboardInterrupt):
        s.run()
    s.run()
    assert other.result() == "other"


def _in_thread(s: Counting, f: Callable[[], object]) -> object:
    return s.join(s.spawn(f))


def test_misuse_is_refused_with_a_way_out(s: Counting) -> None:
    with pytest.raises(lpf.StateError, match="thread of this scheduler"):
        _in_thread(s, s.run)
    with pytest.raises(lpf.StateError, match="cannot join itself"):
        _in_thread(s, lambda: s.current.join() if s.current else None)
    other = Counting().spawn(int)
    with pytest.raises(lpf.StateError, match="another scheduler"):
        s.join(other)
    ready = s.spawn(int)
    with pytest.raises(lpf.NotFinished, match="run\\(\\) its scheduler"):
        ready.result()
    spinner = s.spawn(spin)
    with pytest.raises(lpf.StateError, match="launched itself"):
        _in_thread(s, lambda: lpf.launch(spinner.join).result())


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_nonsense_numbers_are_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match="quantum"):
        lpf.Scheduler(quantum=value)
    with pytest.raises(ValueError, match="weight"):
        lpf.Scheduler().spawn(int, weight=value)
    with pytest.raises(TypeError, match="callable"):
        lpf.Scheduler().spawn(3)  # type: ignore[arg-type]


@pytest.mark.slow  # A second or two, for the stacks.
def test_ten_thousand_threads_stand_half_way_at_once() -> None:
    s = Counting(quantum=QUANTUM)
    log: list[int] = []

    def half_way(n: int) -> int:
        lpf.pause()
        log.append(n)
        return n

    threads = [s.spawn(half_way, n) for n in range(10_000)]
    s.run(turns=10_000)
    assert log == []
    assert len(s.threads) == 10_000
    s.run()
    assert sorted(log) == list(range(10_000))
    assert [t.result() for t in threads] == list(range(10_000))
