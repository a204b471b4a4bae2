"""Private names of ipykernel and IPython: in one file, and missed at loading time, not later."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lpf_ipython
from ipython.kernels import Kernel

FOLDER = Path(lpf_ipython.__file__).parent
# Objects of theirs, by the names that they go by here.
THEIRS = {"kernel", "shell", "display_trap", "displayhook", "display_pub", "hook", "trap", "Kernel"}


def private_uses(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Attribute) or not re.match(r"_[a-z]", node.attr):
            continue
        owner = node.value
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        if name.lstrip("_") in THEIRS:
            yield f"{path.name}:{node.lineno} {name}.{node.attr}"


def test_they_are_used_in_one_file() -> None:
    others = [path for path in FOLDER.glob("*.py") if path.name != "private.py"]
    assert [use for path in others for use in private_uses(path)] == []
    assert list(private_uses(FOLDER / "private.py"))  # What is looked for would be found.


@pytest.mark.parametrize(
    ("removed", "lost"),
    [
        ("_send_abort_reply", "aborting the cells that are queued behind one that fails"),
        ("_input_request", "pausing or cancelling a cell that waits in input()"),
    ],
)
def test_what_is_missing_is_said_when_the_extension_is_loaded(removed: str, lost: str) -> None:
    kernel = Kernel(load=False)
    try:
        kernel.run(f"from ipykernel.kernelbase import Kernel; del Kernel.{removed}")
        loading = kernel.run("%load_ext lpf")
        assert loading.reply["status"] == "ok"
        said = "".join(c["text"] for c in loading.of_type("stream") if c["name"] == "stderr")
        assert f"with this version there is no {lost} (no Kernel.{removed})" in said
        cell = kernel.start("print('go', flush=True)\nwhile not globals().get('stop'): x = 0")
        cell.prints("go")
        job = kernel.pause()["id"]
        kernel.run(f"stop = True\n%lpf resume {job}")
        assert cell.wait().reply["status"] == "ok"
    finally:
        kernel.close()


def test_nothing_is_missing_in_this_version(fresh: Kernel) -> None:
    private = "__import__('lpf_ipython.private').private"
    assert fresh.value(f"{private}.missing(get_ipython().kernel)") == "[]"
