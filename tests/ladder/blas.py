"""A matrix product that takes long is cancelled; what is computed after that is right.

With the argument "held" the product is called by code that holds the GIL, as some of scipy's is.
"""

import ctypes
import sys
from pathlib import Path

import numpy as np

import lpf


def check() -> None:
    """What takes one thread, what takes several, and a decomposition; with known results."""
    for size in (50, 500):
        product = np.ones((size, size)) @ np.ones((size, size))
        assert (product == size).all(), size
    inverse = np.linalg.inv(np.eye(300) * 2)
    assert (inverse == np.eye(300) / 2).all()


def held() -> None:
    """C = A B, row by row, not transposed, with 64-bit integers."""
    [path] = (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*.so*")
    dgemm = ctypes.PyDLL(str(path)).scipy_cblas_dgemm64_
    n, one, zero = ctypes.c_int64(len(big)), ctypes.c_double(1), ctypes.c_double(0)
    out = np.empty_like(big)
    factor, product = (ctypes.c_void_p(array.ctypes.data) for array in (big, out))
    dgemm(101, 111, 111, n, n, n, one, factor, n, factor, n, zero, product, n)


def released() -> None:
    for _ in range(100):
        big @ big


big = np.random.default_rng(1).random((8000, 8000))
check()
try:
    lpf.call(held if "held" in sys.argv else released, timeout=0.2)
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
