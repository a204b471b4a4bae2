"""What the tests of the ladder share: a kernel whose front end is told by the native reporter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipython.kernels import Kernel


@pytest.fixture
def own_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    # With it, ipykernel does not watch the descriptor of stderr.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    kernel = Kernel()
    yield kernel
    kernel.close()
