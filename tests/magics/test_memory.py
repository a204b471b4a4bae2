"""Limits of memory: what the texts mean, and whose memory a share is one of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from lpf_ipython import memory

GB = 10**9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine of 8 GB, half of it used, with a cgroup that may have `limit` and uses `used`."""

    def made(limit: str = "max", used: int = 0) -> None:
        (tmp_path / "limit").write_text(f"{limit}\n")
        (tmp_path / "used").write_text(f"{used}\n")

    found = SimpleNamespace(percent=50.0, total=8 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: found)
    monkeypatch.setattr(memory, "_CGROUP", ((str(tmp_path / "limit"), str(tmp_path / "used")),))
    made()
    return made


def passed(text: str) -> bool:
    test = memory.parse(text)
    assert test is not None
    return test()


@pytest.mark.parametrize(("size", "factor"), [("{} MB", 1e6), ("{}MiB", 2**20), ("{}k", 1e3)])
def test_a_size_is_one_of_this_process(size: str, factor: float) -> None:
    used = psutil.Process().memory_info().rss / factor
    assert passed(size.format(int(used / 2)))
    assert not passed(size.format(int(used * 2)))


def test_a_share_is_one_of_the_machine(machine: Any) -> None:
    assert passed("50%")
    assert not passed("51%")


def test_a_share_is_one_of_the_cgroup_if_that_has_less(machine: Any) -> None:
    machine(str(2 * GB), 1_800_000_000)
    assert passed("90%")
    assert not passed("91%")


def test_a_cgroup_that_may_have_more_than_there_is_does_not_count(machine: Any) -> None:
    machine(str(64 * GB), 63 * GB)
    assert not passed("60%")


@pytest.mark.parametrize("text", ["much", "0%", "101%", "-1 GB", "1 XB", "GB"])
def test_what_makes_no_sense_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*'" + text + r"'[^\n]*$"):
        memory.parse(text)


@pytest.mark.parametrize("text", ["", "  "])
def test_no_text_is_no_limit(text: str) -> None:
    assert memory.parse(text) is None
