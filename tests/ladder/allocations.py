"""Runs one piece of C code again and again, each time with another single allocation that fails.

    allocations.py NAME FIRST   from the allocation number FIRST on; prints the number before each run, and at the end
                                "odd:" and what came out that was neither a result nor a MemoryError
    allocations.py              prints the names

An interpreter that crashes has printed last which allocation did it.
"""

import _testcapi
import array
import ast
import base64
import bz2
import collections
import copy
import csv
import datetime
import decimal
import functools
import hashlib
import heapq
import io
import itertools
import json
import lzma
import marshal
import math
import operator
import pickle
import random
import re
import sqlite3
import struct
import sys
import unicodedata
import zlib
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

MOST = 3000
# Runs without a failed allocation after which no more are to be expected.
QUIET = 300

tree: Any = []
for _ in range(5):
    tree = [tree] * 3
tree = {"a": tree, "b": [1, 2.5, None, True, "x\u20ac", {"c": "d" * 300}]}
text = json.dumps(tree)
records = [[i, str(i), float(i), {i: (i,)}] for i in range(50)]
pickled = pickle.dumps(records)
marshalled = marshal.dumps(records)
markup = "<r>" + "<a b='c'>d</a>" * 30 + "</r>"
parsed = ElementTree.fromstring(markup)
database = sqlite3.connect(":memory:")
database.execute("create table t(x, y)")
database.executemany("insert into t values(?, ?)", [(i, str(i)) for i in range(50)])
floats = np.arange(200.0)
objects = np.array([str(i) for i in range(100)], dtype=object)

CODE: dict[str, Callable[[], Any]] = {
    "json.dumps": lambda: json.dumps(tree),
    "json.loads": lambda: json.loads(text),
    "pickle.dumps": lambda: pickle.dumps(records),
    "pickle.loads": lambda: pickle.loads(pickled),
    "marshal.dumps": lambda: marshal.dumps(records),
    "marshal.loads": lambda: marshal.loads(marshalled),
    "copy.deepcopy": lambda: copy.deepcopy(records),
    "csv.reader": lambda: list(csv.reader(['a,b,"c d"'] * 30)),
    "csv.writer": lambda: csv.writer(io.StringIO()).writerows(records),
    "decimal": lambda: (
        decimal.Decimal(2).ln(),
        decimal.Decimal(7) / 3,
        decimal.Decimal(2) ** 9999,
    ),
    "re": lambda: (re.sub("a(b)?", "x\\1", "abab" * 50), re.findall("(a)|(b)", "ab" * 50)),
    "struct": lambda: struct.unpack("50d", struct.pack("50d", *range(50))),
    "array": lambda: array.array("d", range(100)).tolist(),
    "sqlite3": lambda: database.execute("select * from t order by y").fetchall(),
    "zlib": lambda: zlib.decompress(zlib.compress(bytes(100_000))),
    "bz2": lambda: bz2.decompress(bz2.compress(bytes(10_000))),
    "lzma": lambda: lzma.decompress(lzma.compress(bytes(10_000))),
    "hashlib": lambda: hashlib.sha256(b"x" * 1000).hexdigest(),
    "datetime": lambda: [
        datetime.datetime.fromisoformat("2020-01-02T03:04:05") + datetime.timedelta(i)
        for i in range(20)
    ],
    "Counter": lambda: collections.Counter("abracadabra" * 10),
    "OrderedDict": lambda: collections.OrderedDict((i, i) for i in range(50)).popitem(),
    "deque": lambda: collections.deque(range(200), maxlen=100),
    "functools.reduce": lambda: functools.reduce(operator.add, map(str, range(50))),
    "itertools": lambda: list(
        itertools.zip_longest(itertools.permutations("abcd"), itertools.groupby("aabb"))
    ),
    "heapq": lambda: heapq.nsmallest(5, [str(i) for i in range(100)]),
    "math": lambda: (math.factorial(200), math.comb(300, 100), math.fsum([0.1] * 100)),
    "int": lambda: (str(3**2000), int("7" * 2000), 3**3000 % 7**500),
    "sorted": lambda: sorted([(i * 7 % 101, str(i)) for i in range(200)]),
    "str": lambda: ("-".join(("a,b" * 50).split(",")).replace("a", "ccc"), f"{2.5:.3f} {text!r}"),
    "codecs": lambda: ("\u20ac" * 100).encode("utf-16").decode("utf-16"),
    "set": lambda: set(range(100)) | set("abc") ^ {1},
    "dict": lambda: {**dict.fromkeys(range(100)), 1: {}},
    "list": lambda: [*range(100)] * 3,
    "bytes": lambda: bytes(range(100)).hex(),
    "class": lambda: type("X", (), {"a": 1})().a,
    "ElementTree": lambda: ElementTree.fromstring(markup),
    "ElementTree.find": lambda: list(parsed.iter("a")),
    "expat": lambda: expat.ParserCreate().Parse(markup, True),
    "ast.literal_eval": lambda: ast.literal_eval("[1, {'a': (2, 3)}]"),
    "compile": lambda: compile("def f(x):\n return [y for y in x if y]\n", "f", "exec"),
    "base64": lambda: base64.b64decode(base64.b64encode(b"x" * 500)),
    "unicodedata": lambda: unicodedata.normalize("NFD", "\xe9" * 50),
    "random": lambda: random.Random(1).sample(range(100), 10),
    "io": lambda: (io.StringIO("a\n" * 50).readlines(), io.BytesIO(b"a\n" * 50).readlines()),
    "numpy.sort": lambda: (np.sort(floats), np.sort(objects)),
    "numpy.sum": lambda: (floats.sum(), objects.sum()),
    "numpy.exp": lambda: np.exp(floats) + floats * 2,
    "numpy.tolist": lambda: floats.tolist(),
    "numpy.array": lambda: np.array([[1.0, 2.0]] * 50),
    "numpy.char": lambda: np.char.upper(np.array(["ab"] * 20)),
    "numpy.fft": lambda: np.fft.fft(floats),
    "numpy.linalg": lambda: np.linalg.svd(floats[:100].reshape(10, 10)),
    "numpy.unique": lambda: np.unique(objects),
    "numpy.einsum": lambda: np.einsum("ij,jk", floats.reshape(20, 10), floats.reshape(10, 20)),
    "numpy.random": lambda: np.random.default_rng(1).random(100),
    "numpy.frompyfunc": lambda: np.frompyfunc(len, 1, 1)(objects),
    "numpy.repr": lambda: repr(floats),
}


def main() -> None:
    if len(sys.argv) == 1:
        print(*CODE)
        return
    f = CODE[sys.argv[1]]
    first = int(sys.argv[2])
    f()
    f()
    odd = set()
    quiet = 0
    for number in range(first, MOST):
        print(number, flush=True)
        quiet += 1
        _testcapi.set_nomemory(number, number + 1)
        try:
            f()
        except MemoryError:
            quiet = 0
        except BaseException as error:
            _testcapi.remove_mem_hooks()
            quiet = 0
            odd.add(type(error).__name__)
        finally:
            _testcapi.remove_mem_hooks()
        if quiet == QUIET:
            break
    print("odd:", *sorted(odd))


main()
