"""For all tests: those that take minutes run only when they are asked for, by pytest -m matrix."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "matrix" in config.option.markexpr:
        return
    for test in items:
        if test.get_closest_marker("matrix"):
            test.add_marker(pytest.mark.skip(reason="takes minutes: pytest -m matrix"))
