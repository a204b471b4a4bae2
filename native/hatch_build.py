"""Builds the extension module `lpf._native` for the wheel.

One shared object holds the C core, its CPython host and the cffi binding of `lpf.h`, so that there
is one copy of the core's state however it is reached. It is made of

    native/core/*.c, *.S       what a plain C program would link
    native/cpython/*.c         the CPython host
    native/lpf_cffi_build.py   whose `ffi` object writes one more C file

A source whose name ends in an architecture, such as context_aarch64.S, is for that one only.

Objects are kept in native/build, one directory for each interpreter, and are compiled again only if
a source, a header or a flag has changed. A wheel takes the module from there; an editable install
gets it copied beside the package, and `python native/hatch_build.py` renews that copy.

Environment: LPF_WERROR=1 makes warnings in our own files errors, LPF_DEBUG=1 compiles without
optimisation and with assertions. CC and CFLAGS work as with any extension module.
"""

import contextlib
import fcntl
import os
import platform
import runpy
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

ARCHITECTURES = ("x86_64", "aarch64")

NATIVE = Path("native")
MODULE = "lpf._native"
FILE_NAME = "_native" + sysconfig.get_config_var("EXT_SUFFIX")


class NativeBuildHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        with contextlib.chdir(self.root):
            module = build_module()
            if version == "editable":
                replace(NATIVE / "lpf" / FILE_NAME, module)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"][str(Path(self.root, module))] = f"lpf/{FILE_NAME}"

    def clean(self, versions: list[str]) -> None:
        root = Path(self.root)
        shutil.rmtree(root / NATIVE / "build", ignore_errors=True)
        for module in root.glob("native/lpf/_native.*.so"):
            module.unlink()


def build_module() -> Path:
    """Builds the module for the running interpreter, from the project's root. Returns its path."""
    architecture = target_architecture()
    check_tools()
    directory = NATIVE / "build" / f"{sys.implementation.cache_tag}-{architecture}"
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / "lock"):
        return compile_and_link(directory, architecture)


def compile_and_link(directory: Path, architecture: str) -> Path:
    module = directory / FILE_NAME
    sources = [
        *own_sources("core", architecture),
        *own_sources("cpython", architecture),
        *generated_sources(directory),
    ]
    extension = Extension(
        MODULE,
        [str(source) for source in sources],
        include_dirs=[str(NATIVE / "core"), str(NATIVE / "cpython")],
        libraries=["dl", "pthread", "rt"],
    )
    distribution = Distribution({"name": "lpf", "ext_modules": [extension]})
    command = NativeExtension(distribution)
    command.directory = directory
    command.module = module
    command.ensure_finalized()
    try:
        command.run()
    except (CompileError, LinkError):
        fail("the C sources did not compile; the compiler's messages stand above.")
    return module


class NativeExtension(build_ext):
    """setuptools' way to the compiler; objects are kept, and flags depend on the file."""

    directory: Path
    module: Path

    def build_extension(self, ext: Extension) -> None:
        self.compiler.src_extensions = [*self.compiler.src_extensions, ".S"]
        sources = [Path(source) for source in ext.sources]
        inputs = [Path(__file__), *NATIVE.glob("*/*.h"), self.record_of_flags(ext)]

        def compile_one(source: Path) -> Path:
            [name] = self.compiler.object_filenames([str(source)], output_dir=str(self.directory))
            if is_older(Path(name), [source, *inputs]):
                self.compiler.compile(
                    [str(source)],
                    output_dir=str(self.directory),
                    include_dirs=ext.include_dirs,
                    extra_postargs=flags_of(source),
                )
            return Path(name)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, sources))
        if is_older(self.module, [*objects, *inputs]):
            self.compiler.link_shared_object(
                [str(object_) for object_ in objects],
                str(self.module),
                libraries=self.get_libraries(ext),
                library_dirs=ext.library_dirs,
                # Calls within the module stay within it, whatever else is loaded.
                extra_postargs=["-Wl,-z,noexecstack", "-Wl,-Bsymbolic"],
            )

    def record_of_flags(self, ext: Extension) -> Path:
        """A file newer than objects that were compiled in another way, or from other sources."""
        record = self.directory / "flags"
        lines = [sys.version, shlex.join(self.compiler.compiler_so)]
        lines += [shlex.join([name, *flags_of(Path(name))]) for name in sorted(ext.sources)]
        text = "\n".join(lines) + "\n"
        if not record.exists() or record.read_text() != text:
            record.write_text(text)
        return record


def own_sources(part: str, architecture: str) -> list[Path]:
    sources = [*NATIVE.glob(f"{part}/*.c"), *NATIVE.glob(f"{part}/*.S")]
    others = tuple(f"_{other}" for other in ARCHITECTURES if other != architecture)
    found = sorted(source for source in sources if not source.stem.endswith(others))
    if not found:
        fail(f"there are no C sources in {NATIVE / part}; is this a complete copy of the project?")
    return found


def generated_sources(directory: Path) -> list[Path]:
    """Has cffi write the C file of the binding; an unchanged one keeps its time."""
    script = NATIVE / "lpf_cffi_build.py"
    if not script.exists():
        return []
    source = directory / "generated" / "lpf_cffi.c"
    source.parent.mkdir(exist_ok=True)
    runpy.run_path(str(script))["ffi"].emit_c_code(str(source))
    return [source]


def flags_of(source: Path) -> list[str]:
    flags = ["-std=gnu11", "-fvisibility=hidden", "-fno-semantic-interposition"]
    # Warnings are for our own code, not for Python's headers.
    flags += ["-isystem", sysconfig.get_path("include")]
    if os.environ.get("LPF_DEBUG") == "1":
        flags += ["-O0", "-g3", "-UNDEBUG", "-U_FORTIFY_SOURCE"]
    else:
        flags += ["-O2"]
    if "generated" in source.parts:
        # The module is built for one version of Python anyway.
        return [*flags, "-D_CFFI_NO_LIMITED_API", "-w"]
    flags += ["-Wall", "-Wextra"]
    if source.parent.name == "cpython":
        # The C API dictates signatures and tables that end in {NULL}.
        flags += ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]
    if os.environ.get("LPF_WERROR") == "1":
        flags += ["-Werror"]
    return flags


def target_architecture() -> str:
    system, _, architecture = sysconfig.get_platform().partition("-")
    if system != "linux" or architecture not in ARCHITECTURES:
        fail(
            f"there is no timer and context switch for {sysconfig.get_platform()} yet, "
            "only for Linux on x86-64 and aarch64 (64 bit)."
        )
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        fail("only CPython with the GIL is supported, neither its free-threaded build nor others.")
    return architecture


def check_tools() -> None:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        fail(f"the C compiler {compiler} is missing; install gcc, or name another one in CC.")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        fail(
            f"the C headers of Python {version} are missing (Debian's package python{version}-dev)."
        )


def is_older(target: Path, inputs: Iterable[Path]) -> bool:
    if not target.exists():
        return True
    time = target.stat().st_mtime_ns
    return any(time <= path.stat().st_mtime_ns for path in inputs)


def replace(target: Path, source: Path) -> None:
    """Copies and renames: a process that has the old module loaded must keep its pages."""
    new = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.copy2(source, new)
    new.replace(target)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fail(sentence: str) -> None:
    raise SystemExit(f"lpf cannot be built: {sentence}")


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    replace(NATIVE / "lpf" / FILE_NAME, build_module())
