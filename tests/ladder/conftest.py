"""Tests that take minutes run only when they are asked for: pytest -m matrix."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "matrix" in config.option.markexpr:
        return
    for test in items:
        if HERE in test.path.parents and test.get_closest_marker("matrix"):
            test.add_marker(pytest.mark.skip(reason="takes minutes: pytest -m matrix"))
