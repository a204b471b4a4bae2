"""The project as users get it: source distribution, wheel, an environment with nothing else of ours in it.

Everything is built in a directory of its own from the source distribution, which thereby proves to be complete.
"""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]


def run(*command, expect=0, **environment):
    """Runs a command, which must end with the status expected; returns what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == expect, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The unpacked source distribution."""
    directory = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", directory, PROJECT)
    [archive] = directory.glob("lpf_ipython-*.tar.gz")
    run("tar", "-xzf", archive, "-C", directory)
    return directory / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", directory, source)
    [wheel] = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The interpreter of an environment in which the wheel alone is installed."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, symlinks=True)
    python = directory / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python),
        *("install", "--quiet", "--no-deps", "--no-index", wheel),
    )
    return python


def test_the_wheel_is_for_this_interpreter_and_platform(wheel):
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_")
    assert wheel.name.endswith(f"-{python}-{python}-{platform}.whl")


def test_the_wheel_holds_the_packages_and_nothing_of_the_build(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"lpf", "lpf_ipython"}
    assert [name for name in names if name.endswith(".so")] == [
        "lpf/_native" + sysconfig.get_config_var("EXT_SUFFIX")
    ]
    assert {"lpf/py.typed", "lpf/aio/__init__.py"} <= set(names)
    assert not [name for name in names if name.endswith((".c", ".h", ".S", ".o"))]


def test_the_wheel_brings_the_buttons_once_and_without_their_source(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    [place] = [name for name in names if name.endswith("jupyterlab-lpf/package.json")]
    assert ".data/data/share/jupyter/labextensions/" in place
    assert place.replace("package.json", "install.json") in names
    # Where JupyterLab looks for the version of the settings.
    assert place.replace("package.json", "schemas/jupyterlab-lpf/package.json.orig") in names
    assert [name for name in names if name.endswith("jupyter_server_config.d/lpf_ipython.json")]
    assert len([name for name in names if "remoteEntry" in name]) == 1
    assert not [name for name in names if name.endswith(".ts") or "node_modules" in name]


def test_the_installed_wheel_launches_a_function(environment):
    program = (
        "import lpf, sys; c = lpf.launch(sum, [1, 2]); print(c.result(), 'IPython' in sys.modules)"
    )
    # The dependencies come from here; directories in PYTHONPATH do not have their .pth files
    # read, so that an editable install of the project is not seen.
    dependencies = sysconfig.get_path("purelib")
    assert run(environment, "-c", program, PYTHONPATH=dependencies).split() == ["3", "False"]
    file = run(environment, "-c", "import lpf; print(lpf.__file__)", PYTHONPATH=dependencies)
    assert Path(file).is_relative_to(environment.parents[1])


def test_what_has_not_changed_is_not_compiled_again(source):
    def compiled():
        run(sys.executable, source / "native" / "hatch_build.py")
        return {path: path.stat().st_mtime_ns for path in source.glob("native/build/**/*.o")}

    before = compiled()
    assert before
    assert compiled() == before
    source_file = next(source.glob("native/core/*.c"))
    source_file.touch()
    after = compiled()
    assert [path.stem for path in after if after[path] != before[path]] == [source_file.stem]


def test_an_unsupported_platform_is_refused_in_one_sentence(source):
    build = (sys.executable, source / "native" / "hatch_build.py")
    message = run(*build, expect=1, _PYTHON_HOST_PLATFORM="linux-riscv64")
    assert "only for Linux on x86-64 and aarch64" in message
    assert message.count("\n") == 1


def test_a_missing_compiler_is_named(source):
    message = run(sys.executable, source / "native" / "hatch_build.py", expect=1, CC="no-such-cc")
    assert "no-such-cc is missing" in message
    assert message.count("\n") == 1
