"""Inputs that are small and take for ever to decode, and harmless ones of the same kinds.

The paper's own experiment (section 5.5, "time-based denial of service"): a service decodes what
strangers send it, and gives every input 10 ms.
"""

import functools
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers import expat

from PIL import Image

Image.MAX_IMAGE_PIXELS = None  # Pillow's own defence, which looks at sizes only.


@dataclass(frozen=True)
class Input:
    """One kind of input: how it is decoded, one that harms nobody, one that would take seconds."""

    kind: str
    decode: Callable[[bytes], object]
    benign: bytes
    bomb: bytes


def decode_image(data: bytes) -> object:
    return Image.open(io.BytesIO(data)).convert("L").getbbox()


def decode_zip(data: bytes) -> object:
    with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("a") as member:
        return sum(len(block) for block in iter(functools.partial(member.read, 8192), b""))


def decode_regex(data: bytes) -> object:
    return re.match(rb"(a+)+$", data)


def decode_json(data: bytes) -> object:
    return json.loads(data)


def decode_xml(data: bytes) -> object:
    elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal elements
        elements += 1

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.Parse(data, True)
    return elements


def picture(width: int, height: int, kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height), 77).save(out, kind, compress_level=9)
    return out.getvalue()


def archive(size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        with made.open("a", "w", force_zip64=True) as member:
            for _ in range(size // 1_000_000):
                member.write(bytes(1_000_000))
    return out.getvalue()


def inputs() -> list[Input]:
    """All kinds. Making them takes seconds."""
    return [
        Input("PNG", decode_image, picture(700, 700, "PNG"), picture(15_000, 15_000, "PNG")),
        Input("JPEG", decode_image, picture(1000, 1000, "JPEG"), picture(12_000, 12_000, "JPEG")),
        Input("zip", decode_zip, archive(2_000_000), archive(1_000_000_000)),
        Input("regex", decode_regex, b"a" * 100_000, b"a" * 50 + b"b"),
        Input(
            "JSON", decode_json, b"[" + b"[1]," * 5_000 + b"1]", b"[" + b"[1]," * 3_000_000 + b"1]"
        ),
        Input(
            "XML",
            decode_xml,
            b"<a>" + b"<b/>" * 5_000 + b"</a>",
            b"<a>" + b"<b/>" * 3_000_000 + b"</a>",
        ),
    ]
