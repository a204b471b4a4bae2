"""Native work sliced at random points; results must equal those of the plain run bit for bit.

    fire.py SECONDS [SEED] [ITEM...]

Every item is run plainly first.  Then it is launched again and again, in slices of 10 to 500
microseconds, beside others that stand still in the middle of their own native code, and with work
between the slices that would disturb what a slice forgot to keep: vector registers, errno, the heap,
the collector.  Prints its seed, and "ok" with what was done at the end.
"""

from __future__ import annotations

import array
import bz2
import collections
import csv
import ctypes
import datetime
import decimal
import gc
import hashlib
import io
import itertools
import json
import lzma
import math
import os
import pickle
import random
import re
import sqlite3
import struct
import sys
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import lpf

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

Item = Callable[[], Any]
items: dict[str, Item] = {}

TEXT = " ".join(str(i * 7919 % 10007) for i in range(6000))
BLOB = random.Random(1).randbytes(60_000) + TEXT.encode()


def item(function: Item) -> Item:
    items[function.__name__] = function
    return function


# ---- The standard library ---------------------------------------------------------------------


@item
def zlib_both() -> Any:
    packed = zlib.compress(BLOB, 9)
    return packed, zlib.decompress(packed) == BLOB, zlib.crc32(BLOB), zlib.adler32(BLOB)


@item
def zlib_stream() -> Any:
    packer, unpacker = zlib.compressobj(6), zlib.decompressobj()
    packed = b"".join(packer.compress(BLOB[i : i + 5000]) for i in range(0, len(BLOB), 5000))
    packed += packer.flush()
    return packed, unpacker.decompress(packed)


@item
def bz2_both() -> Any:
    packed = bz2.compress(BLOB)
    return packed, bz2.decompress(packed)


@item
def lzma_both() -> Any:
    packed = lzma.compress(BLOB, preset=1)
    return packed, lzma.decompress(packed)


@item
def hashes() -> Any:
    return [hashlib.new(name, BLOB).digest() for name in ("md5", "sha1", "sha256", "sha3_256")]


@item
def blake() -> Any:
    return hashlib.blake2b(BLOB * 4).digest(), hashlib.blake2s(BLOB * 4).digest()


@item
def key_derivation() -> Any:
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 5000), hashlib.scrypt(
        b"password", salt=b"salt", n=1 << 10, r=8, p=1
    )


@item
def sqlite_query() -> Any:
    with sqlite3.connect(":memory:") as db:
        db.execute("create table t (a integer primary key, b text)")
        db.executemany("insert into t values (?, ?)", ((i, str(i * i)) for i in range(500)))
        numbers = "with recursive n(x) as (select 1 union all select x + 1 from n limit 10000) "
        return (
            db.execute(numbers + "select sum(x), max(x * 7 % 1001), avg(x) from n").fetchall(),
            db.execute("select b, count(*) from t group by length(b) order by 2").fetchall(),
        )


@item
def sqlite_callback() -> Any:
    """C that releases the GIL, calling Python that calls C."""
    with sqlite3.connect(":memory:") as db:
        db.create_function("twice", 1, lambda x: len(zlib.compress(b"x" * x)) + x * 2)
        numbers = "with recursive n(x) as (select 1 union all select x + 1 from n limit 1000) "
        return db.execute(numbers + "select sum(twice(x)) from n").fetchall()


@item
def json_both() -> Any:
    data = [{"name": str(i), "value": i / 7, "list": list(range(i % 20))} for i in range(1000)]
    text = json.dumps(data)
    return text, json.loads(text) == data


@item
def pickle_both() -> Any:
    data = [{"name": str(i), "value": i / 7, "list": list(range(i % 20))} for i in range(1000)]
    packed = pickle.dumps(data)
    return packed, pickle.loads(packed) == data


@item
def csv_both() -> Any:
    out = io.StringIO()
    csv.writer(out).writerows([i, str(i) * 3, f'"{i}",', i / 3] for i in range(1500))
    return out.getvalue(), list(csv.reader(io.StringIO(out.getvalue())))


@item
def decimals() -> Any:
    with decimal.localcontext() as context:
        context.prec = 600
        two = decimal.Decimal(2)
        return str(two.ln()), str(two.sqrt()), str(two ** decimal.Decimal("0.1")), str(two.exp())


@item
def regular_expressions() -> Any:
    return (
        re.findall(r"(\d)(\d*)\1", TEXT),
        re.sub(r"[13579]+", lambda m: m.group()[::-1], TEXT),
        re.match(r"(a+)+$", "a" * 16 + "b"),
    )


@item
def expat_parse() -> Any:
    body = "".join(f"<n id='{i}'>{i * i} &amp; more</n>" for i in range(1500))
    seen: list[Any] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: seen.append((name, attributes))
    parser.CharacterDataHandler = seen.append
    parser.Parse(f"<all>{body}</all>", True)
    tree = ElementTree.fromstring(f"<all>{body}</all>")
    return seen, ElementTree.tostring(tree)


@item
def iterators() -> Any:
    return (
        sum(range(200_000)),
        max(itertools.chain(range(50_000), range(60_000))),
        all(itertools.repeat(True, 200_000)),
        collections.deque(itertools.islice(itertools.count(), 100_000), maxlen=3),
        list(itertools.accumulate(range(10_000)))[-1],
        sorted(zip(map(str, range(5000)), itertools.cycle("abc"), strict=False)),
        dict.fromkeys(itertools.islice(itertools.cycle(range(700)), 50_000)),
        "".join(filter(str.isdigit, TEXT)),
        list(itertools.compress(range(50_000), itertools.cycle([1, 0, 0])))[-5:],
        sum(1 for _ in itertools.combinations(range(40), 3)),
        set(enumerate(TEXT[:20_000])) & set(enumerate(TEXT[1:20_000])),
        79_000 in itertools.count(),
    )


@item
def big_integers() -> Any:
    a, b = 3**20_000, 7**9_000
    return a * b, a // b, math.gcd(a + 1, b + 1), pow(3, a % 10**400, 10**300), str(a % 10**2000)


@item
def sorting() -> Any:
    numbers = [(i * 7919) % 100_003 for i in range(30_000)]
    texts = sorted(map(str, numbers))
    numbers.sort(key=lambda x: -x)
    return numbers, texts


@item
def strings() -> Any:
    text = TEXT * 3
    return (
        text.replace("1", "one").count("one"),
        text.split()[-3:],
        unicodedata.normalize("NFKD", text + "é")[-2:],
        text.encode("utf-16").decode("utf-16") == text,
        text.translate({48: "zero"})[-20:],
        text.find("7" * 50),
    )


@item
def structs() -> Any:
    packed = b"".join(struct.pack("<idq", i, i / 3, i * i) for i in range(3000))
    numbers = array.array("d", (i / 3 for i in range(20_000)))
    numbers.byteswap()
    return list(struct.iter_unpack("<idq", packed)), numbers.tobytes(), memoryview(packed).hex()


@item
def dates() -> Any:
    day = datetime.datetime(2000, 1, 1)
    return [
        (day + datetime.timedelta(hours=i)).strftime("%Y-%m-%d %a %H") for i in range(0, 9000, 9)
    ]


@item
def c_callbacks() -> Any:
    """libc's qsort, which calls Python back with the GIL taken anew each time."""
    compare = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )
    numbers = (ctypes.c_int * 400)(*((i * 7919) % 1009 for i in range(400)))
    ctypes.CDLL(None).qsort(numbers, 400, 4, compare(lambda a, b: a[0] - b[0]))
    return list(numbers)


# ---- numpy, pandas, Pillow, where they are installed --------------------------------------------


def add_numpy() -> None:
    import numpy as np

    seed = np.random.default_rng(5)
    floats = seed.random(60_000)
    ints = seed.integers(0, 1 << 40, 60_000)
    square = seed.random((120, 120))

    @item
    def np_sort() -> Any:
        return (
            np.sort(floats).tobytes(),
            np.argsort(ints).tobytes(),
            np.sort(floats, kind="stable").tobytes(),
            np.partition(floats, 3000)[:3000].sum(),
        )

    @item
    def np_fft() -> Any:
        return np.fft.fft(floats).tobytes(), np.fft.irfft(np.fft.rfft(floats)).tobytes()

    @item
    def np_linalg() -> Any:
        u, s, v = np.linalg.svd(square[:60, :60])
        return (
            s.tobytes(),
            (u * s @ v).tobytes(),
            np.linalg.inv(square).tobytes(),
            np.linalg.eigvals(square[:50, :50]).tobytes(),
            (square @ square).tobytes(),
        )

    @item
    def np_ufuncs() -> Any:
        with np.errstate(all="ignore"):
            return (
                np.exp(floats).tobytes(),
                np.sin(floats * 100).tobytes(),
                np.add.reduce(floats),
                np.cumsum(ints).tobytes(),
                (floats / (floats - floats)).tobytes(),
                np.power(floats, 1.5).tobytes(),
                (ints // 7 % 5).tobytes(),
                np.where(floats > 0.5, floats, -floats).tobytes(),
            )

    @item
    def np_errors() -> Any:
        """The flags of the floating-point unit belong to the function that raised them."""
        with np.errstate(all="raise"):
            try:
                np.log(np.concatenate([floats, np.zeros(1)]))
            except FloatingPointError as error:
                return str(error), np.sqrt(floats).tobytes()
        return None

    @item
    def np_int_matmul() -> Any:
        return (ints[:22_500].reshape(150, 150) @ ints[22_500:45_000].reshape(150, 150)).tobytes()

    @item
    def np_objects() -> Any:
        objects = np.array([str(i) for i in range(4000)], dtype=object)
        return (objects + objects).sum()[-40:], np.sort(objects)[:5].tolist()

    @item
    def np_random() -> Any:
        rng = np.random.default_rng(7)
        legacy = np.random.RandomState(7)
        return (
            rng.random(60_000).tobytes(),
            rng.normal(size=30_000).tobytes(),
            rng.permutation(20_000).tobytes(),
            legacy.randint(0, 1000, 30_000).tobytes(),
            legacy.gamma(2.0, size=10_000).tobytes(),
        )

    @item
    def np_strings() -> Any:
        return np.char.add(ints[:3000].astype("U"), "x").tobytes(), np.unique(ints % 1001).tobytes()

    @item
    def np_save() -> Any:
        out = io.BytesIO()
        np.savez_compressed(out, floats=floats[:20_000], ints=ints[:20_000])
        out.seek(0)
        loaded = np.load(out)
        return loaded["floats"].tobytes(), loaded["ints"].tobytes()


def add_pandas() -> None:
    import numpy as np
    import pandas as pd

    seed = np.random.default_rng(6)
    frame = pd.DataFrame(
        {
            "key": seed.integers(0, 50, 4000),
            "value": seed.random(4000),
            "text": [f"t{i % 37}" for i in range(4000)],
        }
    )

    @item
    def pd_groupby() -> Any:
        grouped = frame.groupby(["key", "text"])["value"].agg(["sum", "mean", "max"])
        return grouped.to_csv(), frame.pivot_table(index="key", values="value").to_numpy().tobytes()

    @item
    def pd_merge() -> Any:
        merged = frame.merge(frame.iloc[:200], on="key").sort_values(["value_x", "value_y"])
        return merged.to_numpy()[-1].tolist(), len(merged), frame["value"].rolling(5).mean().sum()

    @item
    def pd_csv() -> Any:
        text = frame.to_csv(index=False)
        return text, pd.read_csv(io.StringIO(text)).equals(
            pd.read_csv(io.StringIO(text), engine="python")
        )


def add_pillow() -> None:
    from PIL import Image, ImageFilter

    source = Image.effect_mandelbrot((256, 256), (-2, -1.5, 1, 1.5), 60).convert("RGB")

    def packed(kind: str, **options: Any) -> bytes:
        # Of a copy: save() keeps its options on the image while it runs, so that two of one image,
        # in threads too, mix their options.
        out = io.BytesIO()
        source.copy().save(out, kind, **options)
        return out.getvalue()

    png, jpeg = packed("PNG"), packed("JPEG")

    @item
    def pil_decode() -> Any:
        return [Image.open(io.BytesIO(data)).convert("L").tobytes() for data in (png, jpeg)]

    @item
    def pil_encode() -> Any:
        return packed("PNG"), packed("JPEG", quality=70), packed("GIF")

    @item
    def pil_filter() -> Any:
        small = source.resize((100, 90), Image.Resampling.LANCZOS)
        return small.filter(ImageFilter.GaussianBlur(3)).rotate(30).tobytes()


def add_scipy() -> None:
    import numpy as np
    from scipy import integrate, optimize, signal, sparse

    seed = np.random.default_rng(8)
    data = seed.random(4000)

    @item
    def scipy_mix() -> Any:
        matrix = sparse.random(300, 300, 0.05, random_state=3, format="csr")
        return (
            signal.fftconvolve(data, data[::-1]).tobytes(),
            optimize.minimize(lambda x: (x[0] - 1) ** 2 + x[1] ** 4, [3.0, 2.0]).x.tobytes(),
            integrate.quad(lambda x: math.sin(x) ** 2, 0, 3),
            (matrix @ matrix).sum(),
        )


for _add in (add_numpy, add_pandas, add_pillow, add_scipy):
    try:
        _add()
    except ImportError:
        pass


# ---- Slicing ------------------------------------------------------------------------------------

_disturbances = [b"x" * n for n in (10, 100, 1000, 10_000)]


def disturb(rng: random.Random) -> None:
    """What others do while a function stands still."""
    kind = rng.randrange(6)
    if kind == 0:
        sum(math.sin(x) * math.pow(x, 0.7) for x in range(30))
    elif kind == 1:
        bytes(bytearray(_disturbances[3])).find(b"y")
    elif kind == 2:
        try:
            os.stat("/nowhere")
        except OSError:
            pass
    elif kind == 3:
        zlib.crc32(zlib.compress(_disturbances[3]))
    elif kind == 4 and rng.random() < 0.05:
        gc.collect()
    else:
        [bytes(n) for n in range(0, 3000, 100)]


def limit(rng: random.Random) -> float:
    return rng.uniform(10e-6, 100e-6) if rng.random() < 0.5 else rng.uniform(10e-6, 500e-6)


def plain_results(names: list[str]) -> dict[str, Any]:
    results = {}
    for name in names:
        results[name] = items[name]()
        again = items[name]()
        assert results[name] == again, f"{name} gives different results by itself"
    return results


class Standing:
    """Something sliced, which stands still most of the time."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.slices = 1
        self.c = lpf.launch(items[name], timeout=limit(rng))

    def step(self, rng: random.Random) -> None:
        if not self.c.done:
            self.slices += 1
            self.c.resume(timeout=limit(rng))


def rounds(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    yield
    while time.monotonic() < end:
        yield


def burn(names: list[str], seconds: float, seed: int, expected: dict[str, Any]) -> tuple[int, int]:
    """Slices everything at the same time; returns the numbers of calls and of slices."""
    rng = random.Random(seed)
    calls = slices = 0
    standing = [Standing(name, rng) for name in names]
    for _ in rounds(seconds):
        for at, one in enumerate(standing):
            for _ in range(rng.randrange(1, 20)):
                one.step(rng)
                disturb(rng)
            if one.c.done:
                got = one.c.result()
                assert got == expected[one.name], f"{one.name} differs, seed {seed}"
                calls += 1
                slices += one.slices
                standing[at] = Standing(one.name, rng)
    for one in standing:
        slices += one.slices
        while not one.c.done:
            one.c.resume()
        calls += 1
        assert one.c.result() == expected[one.name], f"{one.name} differs, seed {seed}"
    return calls, slices


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = (
        int(sys.argv[2])
        if len(sys.argv) > 2 and sys.argv[2]
        else int.from_bytes(os.urandom(4), "big")
    )
    names = sys.argv[3:] or list(items)
    print("seed", seed, flush=True)
    expected = plain_results(names)
    each = 1 if len(names) < 6 else 6
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    calls = slices = 0
    done: set[str] = set()
    while time.monotonic() < end or len(done) < len(names):
        chosen = names if each == 1 else rng.sample(names, each)
        missing = [name for name in names if name not in done]
        chosen = [*chosen, *missing[:2]]
        done.update(chosen)
        print(*chosen, flush=True)
        left = max(end - time.monotonic(), 0.0)
        more = burn(chosen, min(left, max(seconds / 8, 0.5)), rng.getrandbits(32), expected)
        calls += more[0]
        slices += more[1]
    assert lpf.live() == []
    print("ok", f"{len(names)} items", f"{calls} calls", f"{slices} slices", flush=True)


if __name__ == "__main__":
    main()
