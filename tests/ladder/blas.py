"""A matrix product that takes minutes is cancelled; what is computed after that is right."""

import numpy as np

import lpf


def check() -> None:
    """What takes one thread, what takes several, and a decomposition; with known results."""
    for size in (50, 500):
        product = np.ones((size, size)) @ np.ones((size, size))
        assert (product == size).all(), size
    inverse = np.linalg.inv(np.eye(300) * 2)
    assert (inverse == np.eye(300) / 2).all()


big = np.random.default_rng(1).random((6000, 6000))
check()
try:
    lpf.call(lambda: [big @ big for _ in range(100)], timeout=0.2)
except lpf.TimedOut as error:
    assert error.abandoned, error
    assert "is abandoned" in str(error)
else:
    raise AssertionError("it came to an end")
check()
[job] = lpf.live()
assert job.state == "abandoned", job
check()
print("ok")
