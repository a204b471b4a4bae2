"""Expressions in the frames of paused cells, and what is in their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ipython.kernels import Kernel

CELL = """
class Thing:
    def __init__(self): self.inner, self.other = {"a": [1, 2, (3, 4)]}, None
    def __getattr__(self, name): touched.append(name); raise AttributeError(name)
    def __repr__(self): return "<b>" + chr(27)
def f(n):
    local = [10, 20, Thing()]
    many = list(range(1000))
    print('go')
    while True:
        pass
touched = []
f(7)
"""


class Paused:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.cell = kernel.start(CELL)
        self.cell.prints("go")
        self.job = kernel.pause()["id"]

    def reply(self, expression: Any, **more: Any) -> dict[str, Any]:
        return self.kernel.control(
            "lpf_evaluate_request", job=self.job, expression=expression, **more
        )

    def __call__(self, expression: str, **more: Any) -> dict[str, Any]:
        reply = self.reply(expression, **more)
        assert reply["status"] == "ok", reply
        return dict(reply["value"])


@pytest.fixture
def paused(kernel: Kernel) -> Iterator[Paused]:
    paused = Paused(kernel)
    yield paused
    kernel.control("lpf_cancel_request", job=paused.job)
    paused.cell.wait()


def test_variables_and_expressions_of_each_frame(paused: Paused) -> None:
    assert paused("n")["value"] == "7"
    assert paused(" n + local[0] ")["value"] == "17"
    assert paused("[k for k in (n, n)]")["value"] == "[7, 7]"
    assert paused("touched", frame=1)["value"] == "[]"
    assert "NameError" in paused.reply("local", frame=1)["evalue"]


def test_what_is_in_a_value_level_by_level(paused: Paused) -> None:
    children = paused("local")["children"]
    assert [child["name"] for child in children] == ["[0]", "[1]", "[2]"]
    assert [child["expandable"] for child in children] == [False, False, True]
    assert children[2]["value"] == "<b>\\x1b"
    inner = paused("local", path=[2])["children"]
    assert [child["name"] for child in inner] == [".inner", ".other"]
    [item] = paused("local", path=[2, 0])["children"]
    assert (item["name"], item["value"]) == ("['a']", "[1, 2, (3, 4)]")
    assert paused("local", path=[2, 0, 0, 2, 1])["value"] == "4"
    assert paused.kernel.value("touched") == "[]"


def test_large_values_are_shown_in_part(paused: Paused) -> None:
    value = paused("many")
    assert (len(value["children"]), value["more"]) == (100, 900)
    assert paused("many", path=[999])["value"] == "999"


def test_tables_and_arrays_open_to_what_is_in_them(paused: Paused) -> None:
    paused.kernel.run("import numpy, pandas").wait()
    columns = paused("pandas.DataFrame({'n': many[:2]}, index=['x', 'y'])")["children"]
    assert [(column["name"], column["value"]) for column in columns] == [("['n']", "int64: 0, 1")]
    rows = paused("pandas.DataFrame({'n': many[:2]}, index=['x', 'y'])", path=[0])["children"]
    assert [(row["name"], row["value"]) for row in rows] == [("['x']", "0"), ("['y']", "1")]
    [row] = paused("numpy.eye(3)[1:2]")["children"]
    assert (row["name"], row["value"]) == ("[0]", "ndarray float64 3: 0, 1, 0")


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("1 +", "invalid syntax"),
        ("import os", "invalid syntax"),
        ("1 / 0", "ZeroDivisionError"),
        ("__import__('time').sleep(100)", "more than 1 s"),
        ("__import__('sys').exit(3)", "SystemExit"),
        ("\0", "null"),
        ("1" * 10_001, "longer"),
        (7, "expression is text"),
    ],
)
def test_expressions_that_lead_nowhere(paused: Paused, expression: Any, problem: str) -> None:
    reply = paused.reply(expression)
    assert reply["status"] == "error"
    assert problem in reply["evalue"]
    assert paused("n")["value"] == "7"


def test_paths_and_frames_that_lead_nowhere(paused: Paused) -> None:
    assert "nothing at [3]" in paused.reply("local", path=[3])["evalue"]
    assert "nothing at [-1]" in paused.reply("local", path=[-1])["evalue"]
    assert "no frame 9" in paused.reply("n", frame=9)["evalue"]
    assert "list of numbers" in paused.reply("n", path=["a"])["evalue"]


def test_a_running_cell_has_no_values_yet(kernel: Kernel) -> None:
    cell = kernel.start("print('go')\nwhile True: pass")
    cell.prints("go")
    [job] = [j for j in kernel.control("lpf_jobs_request")["jobs"] if j["state"] == "running"]
    reply = kernel.control("lpf_evaluate_request", job=job["id"], expression="1")
    assert reply["status"] == "error"
    kernel.control("lpf_cancel_request")
    cell.wait()


HOSTILE = """
import types
def endless(*args):
    while True:
        pass
class Descriptor:
    __get__ = endless
class Named:
    __call__ = __getattr__ = endless
class Shown:
    __repr__ = Descriptor()
class Mapping:
    __getitem__ = keys = __iter__ = endless
module = types.ModuleType("odd")
module.__name__ = type("Name", (), dict(__format__=endless, __str__=endless))()
nameless = types.ModuleType("odd")
del nameless.__name__
nameless.__getattr__ = endless
values = [Shown(), types.MethodType(Named(), 1), module, nameless]
namespace = {}
exec("value = type('Homeless', (), {})()", namespace)
homeless = namespace["value"]
"""


def test_no_code_of_a_value_is_run_without_a_limit(kernel: Kernel) -> None:
    kernel.run(HOSTILE)
    paused = Paused(kernel)
    try:
        shown = [child["value"] for child in paused("values", frame=1)["children"]]
        assert shown[0].startswith("<Shown")
        assert shown[1:] == ["<function>", "<module>", "<module>"]
        assert paused("homeless", frame=1)["children"] == []
        assert paused("[].append", frame=1)["value"] == "<function list.append>"
    finally:
        kernel.control("lpf_cancel_request", job=paused.job)
        paused.cell.wait()


def test_numbers_out_of_range_are_answered(kernel: Kernel) -> None:
    reply = kernel.control("lpf_pause_request", within=10**400)
    assert reply["status"] == "error"
