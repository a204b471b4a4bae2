"""Every value becomes one short line in bounded time, whatever its type does."""

from __future__ import annotations

import enum
import json
import sys
import threading
import time
from collections import OrderedDict, deque, namedtuple
from types import ModuleType
from typing import Any

import numpy
import pandas
import pytest

import lpf
from lpf_ipython.values import Values, clean, shorten, type_name
from magics.letters import Letters


def text(value: object, **limits: Any) -> str:
    return Values(**limits).text(value)


class Color(enum.Enum):
    RED = 1


Point = namedtuple("Point", "x y")


PLAIN: list[tuple[object, str]] = [
    (1, "1"),
    (True, "True"),
    (None, "None"),
    (1.5, "1.5"),
    ("it's", '"it\'s"'),
    ("a\nb", r"'a\nb'"),
    (b"ab", "b'ab'"),
    ((1,), "(1,)"),
    ([], "[]"),
    (set(), "set()"),
    ({"a": [1, 2]}, "{'a': [1, 2]}"),
    (frozenset({1}), "frozenset({1})"),
    (deque([1]), "deque([1])"),
    (range(10), "range(0, 10)"),
    (list(range(10_000)), "[0, 1, 2, 3, 4, 5, … 9,994 more]"),
    ([[[[1]]]], "[[[[…]]]]"),
    (1 << 100_000, "<int of 100,001 bits>"),
    (int, "<class int>"),
    (text, "<function text>"),
    (len, "<function len>"),
    (sys, "<module sys>"),
    (object(), "<object object>"),
    (Color.RED, "<Color.RED: 1>"),
    (Point(1, 2), "Point(x=1, y=2)"),
    (OrderedDict(a=1), repr(OrderedDict(a=1))),
]


@pytest.mark.parametrize(("value", "line"), PLAIN, ids=[line for _, line in PLAIN])
def test_a_value_in_a_line(value: object, line: str) -> None:
    assert text(value) == line


def test_what_contains_itself_ends() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert text(loop) == "[1, [1, [1, […]]]]"


HUGE: list[object] = ["x" * 10**8, b"x" * 10**8, list(range(10**6)), {i: i for i in range(10**6)}]


@pytest.mark.parametrize("huge", HUGE, ids=[type(huge).__name__ for huge in HUGE])
def test_a_huge_value_costs_next_to_nothing(huge: object) -> None:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(text(huge)) <= 160
        times.append(time.perf_counter() - start)
    # Walking any of these takes 10 ms and more. The best of five: the machine may be busy.
    assert min(times) < 0.005


class Raises:
    def __repr__(self) -> str:
        raise ValueError("no")


class Exits:
    def __repr__(self) -> str:
        raise SystemExit(3)


class Loops:
    def __repr__(self) -> str:
        while True:
            pass


class Swallows:
    def __repr__(self) -> str:
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass


class NotText:
    def __repr__(self) -> Any:
        return 3


class Huge:
    def __repr__(self) -> str:
        return "y" * 10_000_000


class Sly(str):
    def __len__(self) -> int:
        raise ValueError

    def __getitem__(self, key: Any) -> str:
        raise ValueError

    def __str__(self) -> str:
        raise ValueError


class ReturnsSly:
    def __repr__(self) -> str:
        return Sly("sly")


class NoNameOfItsOwn(type):
    def __getattribute__(cls, name: str) -> Any:
        raise ValueError(name)

    def __hash__(cls) -> int:
        raise ValueError

    def __repr__(cls) -> str:
        raise ValueError


class OfOddType(metaclass=NoNameOfItsOwn):
    pass


class Pretends:
    @property
    def __class__(self) -> Any:
        raise ValueError


HOSTILE: list[tuple[object, str]] = [
    (Raises(), "<Raises: its repr raised ValueError>"),
    ([Raises(), 1], "[<Raises: its repr raised ValueError>, 1]"),
    (Exits(), "<Exits: its repr raised SystemExit>"),
    (NotText(), "<NotText: its repr raised TypeError>"),
    (ReturnsSly(), "sly"),
    (OfOddType, "<class OfOddType>"),
    (Pretends(), "<Pretends object>"),
]


@pytest.mark.parametrize(("value", "line"), HOSTILE, ids=[line for _, line in HOSTILE])
def test_a_hostile_value_is_named_with_what_it_did(value: object, line: str) -> None:
    assert text(value) == line


def test_an_object_of_a_hostile_type_does_no_harm() -> None:
    assert "OfOddType" in text(OfOddType())


def test_a_huge_repr_is_cut() -> None:
    line = text(Huge())
    assert len(line) == 160
    assert "…" in line


@pytest.mark.parametrize("value", [Loops(), Swallows()])
def test_a_repr_that_never_ends_is_stopped(value: object) -> None:
    start = time.perf_counter()
    assert "takes more than 50 ms" in text(value, each=0.05)
    # 50 ms to stop it and as much again to give it up; the rest is for a busy machine.
    assert time.perf_counter() - start < 2


def test_all_reprs_together_have_a_limit() -> None:
    values = Values(each=0.02, total=0.05)
    start = time.perf_counter()
    lines = [values.text(Loops()) for _ in range(50)]
    # One after the other without a common limit they would take a second and more, each at least 20 ms.
    assert sum("takes more" in line for line in lines) <= 3
    assert time.perf_counter() - start < 2
    assert lines[0] == "<Loops: its repr takes more than 20 ms>"
    assert lines[-1] == "<Loops object>"


def test_off_the_main_thread_no_foreign_repr_is_run() -> None:
    lines: list[str] = []
    thread = threading.Thread(target=lambda: lines.extend([text(Loops()), text([1, 2])]))
    thread.start()
    thread.join()
    assert lines == ["<Loops object>", "[1, 2]"]


def test_what_ends_up_in_a_terminal_has_no_control_characters() -> None:
    class Escapes:
        def __repr__(self) -> str:
            return "\x1b[2J\x07 a\n   b \u202e \ud800 é"

    line = text(Escapes())
    assert line == r"\x1b[2J\x07 a b \u202e \ud800 é"
    json.dumps(line).encode()


def test_shorten_keeps_both_ends() -> None:
    assert shorten("a" * 100 + "b" * 100, 20) == "a" * 14 + "…" + "b" * 5
    assert shorten("short", 20) == "short"
    assert clean("a\r\n  b") == "a b"
    assert type_name(OfOddType()) == "OfOddType"


def test_numpy_arrays_by_shape_and_type() -> None:
    assert text(numpy.zeros((1000, 1000))) == "ndarray float64 1000 × 1000: 0, 0, 0, 0, 0, 0, …"
    assert text(numpy.arange(3)) == "ndarray int64 3: 0, 1, 2"
    assert text(numpy.array(5)) == "ndarray int64 scalar: 5"
    assert text(numpy.array([Raises()])) == "ndarray object 1"
    assert text(numpy.float64(1.5)) == repr(numpy.float64(1.5))
    assert text([numpy.arange(2)]) == "[ndarray int64 2: 0, 1]"
    assert text(numpy.array([[1, 2]]).view(numpy.matrix)) == "matrix int64 1 × 2: 1, 2"


def test_masked_items_are_not_shown() -> None:
    assert text(numpy.ma.array([1, 2, 3], mask=[0, 1, 0])) == "MaskedArray int64 3: 1, --, 3"
    assert text(numpy.ma.masked) == "MaskedConstant float64 scalar: --"


def test_pandas_by_shape_and_columns() -> None:
    table = pandas.DataFrame([[1, 2.5], [3, 4.0]], columns=["a", "a"])
    assert text(table) == "DataFrame 2 rows × 2 columns: a int64, a float64"
    assert text(table.iloc[:, 1]) == "Series 'a' float64 2: 2.5, 4"
    assert text(table.index) == "RangeIndex int64 2: 0, 1"
    assert text(pandas.DataFrame()) == "DataFrame 0 rows × 0 columns"
    times = pandas.Series(pandas.date_range("2024-01-01", periods=9))
    assert text(times).endswith("00:00:00, 2024-01-02 00:00:00, 2024-01-03 00:00:00, … 6 more")
    categories = pandas.Series(pandas.Categorical(["u", None]), name=("x", 1))
    assert text(categories) == "Series ('x', 1) category 2: u, nan"


def test_items_of_users_types_in_tables_have_the_limit_of_all() -> None:
    table = pandas.DataFrame([[1, 2]], columns=[Raises(), "b"])
    line = "DataFrame 1 rows × 2 columns: <Raises: its repr raised ValueError> int64, b int64"
    assert text(table) == line
    assert "takes more than 20 ms" in text(pandas.Series([Loops()]), each=0.02)


def test_an_array_of_a_users_type_is_shown_as_one_of_numpys() -> None:
    class Odd(numpy.ndarray):
        @property
        def shape(self) -> Any:
            raise ValueError

        def __len__(self) -> int:
            raise ValueError

    assert text(numpy.array([1, 2]).view(Odd)) == "Odd int64 2: 1, 2"


def test_tables_of_a_users_type_and_columns_of_a_users_array() -> None:
    class Table(pandas.DataFrame):
        @property
        def shape(self) -> Any:
            while True:
                pass

    assert "takes more than 20 ms" in text(Table({"a": [1]}), each=0.02)
    column = pandas.Series(Letters("abc"))
    assert text(column) == "Series letters 3: a, b, c"
    table = pandas.DataFrame({"n": [1, 2, 3], "c": column})
    assert text(table) == "DataFrame 3 rows × 2 columns: n int64, c letters"
    labelled = pandas.Series([1, 2, 3], index=column)
    with Letters.that_never_answer():
        for value in (column, table, labelled, labelled.index):
            assert "takes more than 20 ms" in text(value, each=0.02)


def test_off_the_main_thread_tables_are_shown_if_none_of_it_is_of_a_users_type() -> None:
    column = pandas.Series(Letters("abc"))
    tables = [pandas.DataFrame({"n": [1]}), pandas.DataFrame({"c": column}), column]
    lines: list[str] = []
    with Letters.that_never_answer():
        thread = threading.Thread(target=lambda: lines.extend(map(text, tables)))
        thread.start()
        thread.join()
    assert lines == [
        "DataFrame 1 rows × 1 columns: n int64",
        "<DataFrame object>",
        "<Series object>",
    ]


def test_what_is_half_built_is_named() -> None:
    for kind in (pandas.DataFrame, pandas.Series, pandas.RangeIndex):
        assert text(object.__new__(kind)).startswith(f"<{kind.__name__}: ")


def test_a_module_that_only_looks_like_numpy_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", ModuleType("numpy"))
    assert text(Point(1, 2)) == "Point(x=1, y=2)"


def test_an_interrupt_is_not_swallowed() -> None:
    class Interrupts:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        text(Interrupts())
    assert lpf.current() is None
