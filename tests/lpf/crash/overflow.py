"""Fills the C stack of a function: overflow.py HOW [faulthandler before|after|off]."""

import ctypes
import faulthandler
import sys

import lpf

how, when = sys.argv[1], sys.argv[2]
if when == "before":
    faulthandler.enable()
lpf.prepare()
if when == "after":
    faulthandler.enable()


def through_c(n: int) -> int:
    return n if n == 0 else next(map(through_c, [n - 1]))


callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)


@callback_type
def through_ctypes(n: int) -> int:
    return through_ctypes(n + 1)


def victim() -> object:
    if how == "ctypes":
        return through_ctypes(0)
    sys.setrecursionlimit(2**30)
    return through_c(10**7)


def outer() -> object:
    c = lpf.launch(victim, timeout=60)
    return c.result()


c = lpf.launch(outer)
print(type(c.exception()).__name__, flush=True)
