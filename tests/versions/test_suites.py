"""ipykernel's and IPython's own tests, from their sdists, with the extension in every shell and kernel.

    .venvs/3.12/bin/pytest -m matrix tests/versions/test_suites.py

Nothing may fail that does not fail without the extension. The versions are those installed here; an
environment of its own is made, with what the suites need. Takes ten minutes.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from versions.environments import environment, pip, run

pytestmark = [pytest.mark.matrix, pytest.mark.slow]

# The extension in kernels and terminals: by their configuration; in the shell in which IPython's
# tests run: by a plugin.
CONFIGURATION = 'get_config().InteractiveShellApp.extensions = ["lpf"]\n'
PLUGIN = """
def pytest_collection_finish(session):
    from IPython import get_ipython
    shell = get_ipython()
    if shell is not None:
        shell.extension_manager.load_extension("lpf")
"""
# What the suite of ipykernel wants, and some versions of it do not ask for.
MORE = ("flaky", "ipyparallel", "nbformat", "pytest-asyncio>=1", "pytest-timeout", "trio")
OPTIONS = {
    "ipykernel": ["-o", "asyncio_default_fixture_loop_scope=function"],
    "ipython": [],
}


@pytest.fixture(scope="module")
def place() -> Path:
    packages = [f"{name}[test]=={importlib.metadata.version(name)}" for name in OPTIONS]
    return environment("suites", *packages, *MORE)


def sources(package: str, folder: Path) -> Path:
    """The tests of *package*, without its code: that is installed."""
    version = importlib.metadata.version(package)
    sdist = ["--no-binary", package, "--no-deps", f"{package}=={version}"]
    pip(sys.executable, "download", "-d", str(folder), *sdist)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    [top] = [path for path in folder.iterdir() if path.is_dir()]
    for path in top.iterdir():
        if path.name not in ("tests", "pyproject.toml"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return top


def failures(place: Path, suite: Path, package: str, loaded: bool) -> set[str]:
    """Run the suite; the names of the tests that failed."""
    configuration = place / "etc" / "ipython" / "ipython_config.py"
    plugin = suite / "lpf_is_loaded.py"
    options = list(OPTIONS[package])
    configuration.unlink(missing_ok=True)
    if loaded:
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(CONFIGURATION)
        plugin.write_text(PLUGIN)
        options += ["-p", plugin.stem]
        asked = "print('loaded', 'lpf' in get_ipython().extension_manager.loaded)"
        shell = run([str(place / "bin" / "ipython"), "--simple-prompt", "-c", asked], 60, cwd=suite)
        assert "loaded True" in shell.stdout
    report = suite / "report.xml"
    command = [str(place / "bin" / "python"), "-m", "pytest", "tests", "-q", "-o", "addopts="]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", *options]
    done = run(command, 1200, cwd=suite)
    configuration.unlink(missing_ok=True)
    assert report.exists(), done.stdout[-3000:]
    cases = list(ET.parse(report).iter("testcase"))
    assert len(cases) > 100, done.stdout[-3000:]
    print(f"{package}, {'loaded' if loaded else 'plain'}: {done.stdout.strip().splitlines()[-1]}")
    report.unlink()
    return {
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }


@pytest.mark.parametrize("package", list(OPTIONS))
def test_nothing_fails_that_does_not_fail_without_us(
    place: Path, package: str, tmp_path: Path
) -> None:
    suite = sources(package, tmp_path)
    plain = failures(place, suite, package, loaded=False)
    assert failures(place, suite, package, loaded=True) - plain == set()
