"""Environments for tests with other packages than those of this one: kept in .venvs/."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def run(command: list[str], limit: float, **options: object) -> subprocess.CompletedProcess[str]:
    """Run *command*; its output, both kinds as one. TimeoutExpired after *limit* seconds."""
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
        **options,  # type: ignore[call-overload, no-any-return, unused-ignore]
    )


def pip(python: Path | str, *arguments: str) -> None:
    """Run pip of a Python. AssertionError, with what it said, if that fails."""
    command = [str(python), "-m", "pip", *arguments, "--disable-pip-version-check", "-q"]
    done = run(command, 600)
    assert done.returncode == 0, done.stdout


def environment(name: str, *packages: str) -> Path:
    """Make an environment with the project and *packages*, or find it; its directory."""
    folder = ROOT / ".venvs" / f"{name}-{PYTHON}"
    stamp, wanted = folder / "installed", " ".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        pip(folder / "bin" / "python", "install", *packages)
        pip(folder / "bin" / "python", "install", "-e", str(ROOT))
        stamp.write_text(wanted)
    return folder


def overlay(name: str, *packages: str) -> dict[str, str]:
    """The variables of an environment in which *packages* come before what is installed here."""
    folder = ROOT / ".venvs" / f"{name}-{PYTHON}"
    stamp, wanted = folder / "installed", " ".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        pip(sys.executable, "install", "--no-deps", "--upgrade", "--target", str(folder), *packages)
        stamp.write_text(wanted)
    return {**os.environ, "PYTHONPATH": str(folder)}
