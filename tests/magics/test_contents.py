"""What is in a value, level by level: of the built-in types, of users' classes, numpy's and pandas'."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy
import pandas
import pytest

import lpf
from lpf_ipython.errors import JobError
from lpf_ipython.evaluate import ValueData, evaluate, expandable
from magics.letters import Letters

Look = Callable[..., ValueData]


@pytest.fixture
def look(paused: Callable[..., Any]) -> Look:
    """A function that returns what is in a value, as a variable of a paused function."""

    def stand(value: object) -> None:
        lpf.pause()

    def look(value: object, *path: int) -> ValueData:
        return evaluate(paused(stand, value), "value", path=path)

    return look


def names(data: ValueData) -> list[str]:
    return [child["name"] for child in data["children"]]


def lines(data: ValueData) -> list[str]:
    """The names and values of what is in it."""
    return [f"{child['name']} {child['value']}" for child in data["children"]]


class Point(NamedTuple):
    x: int
    y: int


class Slots:
    __slots__ = ("a", "unset")

    def __init__(self) -> None:
        self.a = 1


class Both(Slots):
    def __init__(self) -> None:
        super().__init__()
        self.b = 2


class Listed(list[int]):
    def __init__(self) -> None:
        super().__init__([1, 2])
        self.name = "n"


PLAIN: list[tuple[object, list[str]]] = [
    ([1, "a"], ["[0] 1", "[1] 'a'"]),
    ({"a": 1, (1, 2): 3}, ["['a'] 1", "[(1, 2)] 3"]),
    ({"a": 1}.items(), [" ('a', 1)"]),
    ({7}, [" 7"]),
    (collections.deque([1]), ["[0] 1"]),
    (collections.Counter("aab"), ["['a'] 2", "['b'] 1"]),
    (Point(1, 2), [".x 1", ".y 2"]),
    (Slots(), [".a 1"]),
    (Both(), [".b 2", ".a 1"]),
    (Listed(), ["[0] 1", "[1] 2", ".name 'n'"]),
    (pytest, []),
    (Point, []),
    (7, []),
]


@pytest.mark.parametrize(("value", "inside"), PLAIN, ids=[type(v).__name__ for v, _ in PLAIN])
def test_what_is_in_values_of_python(look: Look, value: object, inside: list[str]) -> None:
    assert lines(look(value)) == inside
    assert expandable(value) is bool(inside)


def test_a_generator_shows_its_variables_until_it_has_ended(look: Look) -> None:
    def count(start: int) -> Iterator[int]:
        last = start + 1
        yield last

    generator = count(1)
    next(generator)
    assert lines(look(generator)) == ["start 1", "last 2"]
    list(generator)
    assert not expandable(generator)


def test_a_coroutine_shows_its_variables(look: Look) -> None:
    async def wait(n: int) -> None:
        await asyncio.sleep(n)

    coroutine = wait(1)
    assert lines(look(coroutine)) == ["n 1"]
    coroutine.close()


def test_no_code_of_a_users_class_is_run(look: Look) -> None:
    def run(*args: object) -> Any:
        raise AssertionError(args)

    hooks = ("__len__", "__iter__", "__getitem__", "__getattribute__", "__getattr__", "__dict__")
    body: dict[str, Any] = {
        **dict.fromkeys((*hooks, "__contains__", "__bool__", "__hash__"), run),
        "__dict__": property(run),
        "__class__": property(run),
        "__repr__": lambda self: "odd",
    }
    things = [type("Odd", (base,), body) for base in (object, list, dict, tuple)]
    assert [look(thing())["children"] for thing in things] == [[], [], [], []]
    assert lines(look(type("Odd", (list,), body)([1]))) == ["[0] 1"]


def test_arrays_open_row_by_row(look: Look) -> None:
    table = numpy.arange(6).reshape(2, 3)
    assert lines(look(table)) == ["[0] ndarray int64 3: 0, 1, 2", "[1] ndarray int64 3: 3, 4, 5"]
    assert lines(look(table, 1)) == ["[0] 3", "[1] 4", "[2] 5"]
    assert lines(look(numpy.array(["a", "b"]))) == ["[0] 'a'", "[1] 'b'"]
    assert lines(look(numpy.array([[1, 2]]).view(numpy.matrix), 0)) == ["[0] 1", "[1] 2"]
    assert lines(look(numpy.array([[1], Slots()], dtype=object), 0)) == ["[0] 1"]


def test_arrays_with_nothing_in_them_do_not_open() -> None:
    assert not expandable(numpy.zeros((0, 3)))
    assert not expandable(numpy.array(5))
    assert expandable(numpy.array({"a": 1}, dtype=object))


def test_an_array_without_dimensions_opens_to_its_object(look: Look) -> None:
    assert lines(look(numpy.array([1], dtype=object).reshape(()))) == ["[()] 1"]
    assert lines(look(numpy.array({"a": 1}, dtype=object), 0)) == ["['a'] 1"]


def test_structured_arrays_open_by_field_and_by_row(look: Look) -> None:
    rows = numpy.array([(1, 2.5), (3, 4.5)], dtype=[("a", int), ("b", float)])
    assert names(look(rows)) == ["['a']", "['b']", "[0]", "[1]"]
    assert lines(look(rows, 1)) == ["[0] 2.5", "[1] 4.5"]
    assert lines(look(rows, 3)) == ["['a'] 3", "['b'] 4.5"]


def test_masked_items_stay_masked(look: Look) -> None:
    rows = numpy.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert lines(look(rows, 0)) == ["[0] 1", "[1] --"]

    class Derived(numpy.ma.MaskedArray):  # type: ignore[type-arg]
        pass

    assert lines(look(Derived([1, 2], mask=[1, 0]))) == ["[0] --", "[1] 2"]


def test_an_array_that_is_half_built_shows_what_is_there(look: Look) -> None:
    assert lines(look(numpy.empty(2, dtype=object))) == ["[0] None", "[1] None"]
    for kind in (pandas.DataFrame, pandas.Series, pandas.Categorical):
        value = kind.__new__(kind)
        assert expandable(value)
        assert names(look(value)) == ["cannot be shown"]
        with pytest.raises(JobError, match="cannot be shown"):
            look(value, 0)


def test_a_table_opens_to_its_columns_and_these_to_their_rows(look: Look) -> None:
    table = pandas.DataFrame({"n": [1, 2], "c": pandas.Categorical(["u", None])}, index=["x", "y"])
    assert lines(look(table)) == ["['n'] int64: 1, 2", "['c'] category: u, nan"]
    assert lines(look(table, 0)) == ["['x'] 1", "['y'] 2"]
    assert lines(look(table, 1)) == ["['x'] 'u'", "['y'] nan"]
    assert lines(look(table.index)) == ["[0] 'x'", "[1] 'y'"]


def test_columns_and_rows_of_the_same_name_are_all_there(look: Look) -> None:
    table = pandas.DataFrame([[1, 2], [3, 4]], columns=["a", "a"], index=["x", "x"])
    assert lines(look(table)) == ["['a'] int64: 1, 3", "['a'] int64: 2, 4"]
    assert lines(look(table, 1)) == ["['x'] 2", "['x'] 4"]


def test_labels_of_several_levels(look: Look) -> None:
    levels = pandas.MultiIndex.from_product([["a", "b"], [1]])
    assert lines(look(levels)) == ["[0] ('a', 1)", "[1] ('b', 1)"]
    assert lines(look(pandas.Series([5, 6], index=levels))) == ["[('a', 1)] 5", "[('b', 1)] 6"]
    assert names(look(pandas.DataFrame([[1, 2]], columns=levels))) == ["[('a', 1)]", "[('b', 1)]"]


COLUMNS: list[tuple[Any, list[str]]] = [
    (pandas.array([1, None], dtype="Int64"), ["1", "<NA>"]),
    (pandas.arrays.SparseArray([0, 7]), ["0", "7"]),
    (pandas.to_datetime(["2020-01-02"]), ["2020-01-02 00:00:00"]),
    (pandas.to_timedelta([1], unit="s"), ["0 days 00:00:01"]),
    (pandas.period_range("2020-01", periods=1, freq="M"), ["2020-01"]),
    (pandas.interval_range(0, 1), ["(0, 1]"]),
    (pandas.array(["a", None], dtype="string"), ["'a'", "<NA>"]),
]


@pytest.mark.parametrize(("values", "shown"), COLUMNS, ids=[str(v.dtype) for v, _ in COLUMNS])
def test_columns_of_every_type(look: Look, values: Any, shown: list[str]) -> None:
    for value in (values, pandas.Series(values), pandas.Index(values)):
        assert [child["value"] for child in look(value)["children"]] == shown


def test_of_what_is_huge_the_first_are_looked_at(look: Look) -> None:
    # A list of any of these would be gigabytes, and of the last one, objects.
    rows = 10**8
    values = numpy.broadcast_to(numpy.int8(7), (rows,))
    labels = pandas.RangeIndex(rows)
    series = pandas.Series(values, index=labels, copy=False)
    for value in (values, labels, series, pandas.DataFrame({"n": series}, copy=False)):
        data = look(value)
        assert data["more"] + len(data["children"]) in (rows, 1)
    assert lines(look(series, rows - 1)) == []
    assert look(series, rows - 1)["value"] == "7"
    categories = pandas.Categorical.from_codes(numpy.zeros(10**6, "int8"), ["a"])
    assert look(pandas.Series(categories))["more"] == 10**6 - 100
    pairs = pandas.MultiIndex.from_arrays([numpy.arange(10**5), numpy.arange(10**5)])
    assert look(pairs, 10**5 - 1)["value"] == "(99999, 99999)"


def test_tables_of_users_types_open_as_those_of_pandas(look: Look) -> None:
    class Table(pandas.DataFrame):
        def __len__(self) -> int:
            raise AssertionError

        @property
        def columns(self) -> Any:
            raise AssertionError

    class Column(pandas.Series):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise AssertionError

    assert lines(look(Table({"a": [1, 2]}))) == ["['a'] int64: 1, 2"]
    assert lines(look(Column([1, 2]))) == ["[0] 1", "[1] 2"]


def test_columns_of_a_users_array_have_a_limit(look: Look) -> None:
    column = pandas.Series(Letters("ab"))
    values = [column, pandas.DataFrame({"c": column}), pandas.Series([1, 2], index=Letters("ab"))]
    assert lines(look(column)) == ["[0] 'a'", "[1] 'b'"]
    assert lines(look(values[1])) == ["['c'] letters: a, b"]
    for value in values:
        with Letters.that_never_answer():
            assert expandable(value)
            assert lines(look(value)) == ["cannot be shown that takes more than 1 s"]


def test_what_is_changed_meanwhile_is_a_line_of_its_own(look: Look) -> None:
    with pytest.raises(IndexError, match="nothing at \\[2\\] any more"):
        look(pandas.Series([1, 2]), 2)
