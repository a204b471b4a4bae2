"""The source of the buttons: it builds to what is committed, and its own tests pass."""

from __future__ import annotations

import filecmp
import json
import re
import shutil
from pathlib import Path

import pytest

from lab.conftest import ON_ONE_PYTHON
from lab.node import SOURCE, install, npm

pytestmark = [pytest.mark.slow, ON_ONE_PYTHON]


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    install()


def test_the_committed_files_are_what_the_source_builds_to(tmp_path: Path) -> None:
    # In place: what is built depends on where the packages lie, seen from the source.
    committed = tmp_path / "built"
    shutil.copytree(SOURCE / "built", committed)
    done = npm("run", "build")
    assert done.returncode == 0, done.stdout
    assert not _differences(filecmp.dircmp(SOURCE / "built", committed)), (
        "they are now; before, they were not"
    )


def _differences(compared: filecmp.dircmp[str]) -> list[str]:
    found = [*compared.left_only, *compared.right_only, *compared.diff_files]
    return found + [name for sub in compared.subdirs.values() for name in _differences(sub)]


def test_the_types_of_the_tests_are_right_too() -> None:
    done = npm("run", "check")
    assert done.returncode == 0, done.stdout


def test_the_model_passes_its_tests() -> None:
    done = npm("test")
    assert done.returncode == 0, done.stdout
    assert re.search(r"Tests +\d+ passed", done.stdout), done.stdout


def test_the_lockfile_names_no_registry() -> None:
    locked = json.loads((SOURCE / "package-lock.json").read_text())
    entries = {name: entry for name, entry in locked["packages"].items() if name}
    assert entries
    assert all("resolved" not in entry for entry in entries.values())
    assert all("integrity" in entry for entry in entries.values())
