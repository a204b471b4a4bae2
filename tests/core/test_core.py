"""Builds and runs the C programs beside this file: as they are, under ASan and UBSan, and for
AArch64 in an emulator.

Every program is one test for each way of building it; the tests inside it print their names, and
what they skip with its reason.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "native"
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))

# A hang is a failure; the longest program takes 15 seconds when nothing else runs.
SECONDS = 120


@dataclass(frozen=True)
class Variant:
    name: str
    make: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ("make", "gcc")
    # Programs that cannot work there, with the reason.
    impossible: Mapping[str, str] = field(default_factory=dict)


AARCH64_ROOT = "/usr/aarch64-linux-gnu"

VARIANTS = [
    Variant("plain"),
    Variant("sanitized", make=("SANITIZE=1",)),
    Variant(
        "aarch64",
        make=("CROSS=aarch64-linux-gnu-",),
        run=("qemu-aarch64", "-L", AARCH64_ROOT),
        environment={"LPF_TEST_EMULATED": "1"},
        needs=("make", "aarch64-linux-gnu-gcc", "qemu-aarch64"),
    ),
]


def build(variant: Variant) -> Path:
    """Builds all programs and returns their directory; skips where a tool is missing."""
    for tool in variant.needs:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if variant.name == "aarch64" and not Path(AARCH64_ROOT, "include/stdio.h").exists():
        pytest.skip("the C library for AArch64 is not installed")
    directory = NATIVE / "build" / f"tests-{variant.name}"
    # Flags for Python extensions are not meant for these.
    environment = {k: v for k, v in os.environ.items() if k not in ("CC", "CFLAGS", "LDFLAGS")}
    command = ["make", "-s", "-j2", "-C", str(NATIVE), "programs", f"BUILD={directory}"]
    made = subprocess.run(
        [*command, *variant.make], env=environment, capture_output=True, text=True
    )
    if "cannot find" in made.stderr and "asan" in made.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert made.returncode == 0, made.stderr
    return directory / "tests"


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: variant.name)
def built(request: pytest.FixtureRequest) -> tuple[Variant, Path]:
    return request.param, build(request.param)


# They know nothing of Python, and take a minute.
ON_ONE_PYTHON = pytest.mark.slow if sys.version_info[:2] == (3, 11) else pytest.mark.matrix


@ON_ONE_PYTHON
@pytest.mark.parametrize("program", PROGRAMS)
def test_program(built: tuple[Variant, Path], program: str) -> None:
    variant, directory = built
    if program in variant.impossible:
        pytest.skip(variant.impossible[program])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LPF_STACK")}
    ran = subprocess.run(
        [*variant.run, str(directory / program)],
        env=environment | dict(variant.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
    )
    print(ran.stdout)
    assert ran.returncode == 0, f"{program}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
