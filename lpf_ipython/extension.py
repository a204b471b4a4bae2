"""Loading and unloading: puts the parts together for a shell, and takes them apart again."""

from __future__ import annotations

import atexit
import functools
import sys
from contextlib import suppress
from typing import Any

import lpf

from . import magics, private
from .config import LPF
from .control import Control
from .errors import JobError
from .jobs import Jobs
from .kernel import KernelRunner
from .limited import run_limited
from .memory import Guard
from .reporter import Reporter
from .terminal import TerminalRunner

__all__ = ["Extension", "load", "unload"]


class Extension:
    """What was put into one shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.config = LPF(parent=shell)
        self.jobs = Jobs()
        self.control: Control | None = None
        self.reporter = Reporter(shell)
        self.memory = Guard(self._memory_is_short)
        self._unload_extension = shell.extension_manager.unload_extension
        kernel = getattr(shell, "kernel", None)
        if kernel is None:
            self.runner: KernelRunner | TerminalRunner = TerminalRunner(
                shell, self.config, self.jobs
            )
            return
        for line in private.missing(kernel):
            print(f"lpf: with this version there is no {line}", file=sys.stderr)
        self.runner = KernelRunner(kernel, self.config, self.jobs, self.reporter)
        self.control = Control(kernel, self.runner, self.jobs)

    def install(self) -> None:
        """Put everything in."""
        self.runner.install()
        if self.control is not None:
            self.control.install()
        self.shell.configurables.append(self.config)
        hooks = self.runner.hooks
        magics.load(
            self.shell,
            self.jobs,
            functools.partial(run_limited, hooks),
            hooks.takes_header,
            beside=self.control is not None,
        )
        self.config.observe(self._watch_memory, "memory_limit")
        self.memory.watch(self.config.memory_limit)
        vars(self.shell.extension_manager)["unload_extension"] = self._unload_with_options
        atexit.register(self.runner.end_all)
        self.reporter.install()
        lpf.watch(True)

    def uninstall(self) -> None:
        """Take it out again, in reverse."""
        lpf.watch(False)
        self.reporter.uninstall()
        atexit.unregister(self.runner.end_all)
        vars(self.shell.extension_manager).pop("unload_extension", None)
        self.memory.stop()
        self.config.unobserve(self._watch_memory, "memory_limit")
        magics.unload(self.shell)
        self.shell.configurables.remove(self.config)
        if self.control is not None:
            self.control.uninstall()
        self.runner.uninstall()

    def _watch_memory(self, change: Any) -> None:
        self.memory.watch(change["new"])

    def _memory_is_short(self) -> None:
        with suppress(JobError):  # No cell is running.
            self.runner.pause("memory")

    def _unload_with_options(self, module: str) -> Any:
        """Serve ``%unload_ext lpf --force``, of which IPython knows no options."""
        name, *options = module.split()
        if options == ["--force"] and name in ("lpf", "lpf_ipython"):
            if self.jobs.unfinished():
                self.runner.unload_later(lambda: self._unload_extension(name))
                return None
            return self._unload_extension(name)
        return self._unload_extension(module)


_loaded: dict[int, Extension] = {}


def load(shell: Any) -> None:
    """Load the extension into *shell*, once."""
    if id(shell) not in _loaded:
        extension = Extension(shell)
        extension.install()
        _loaded[id(shell)] = extension


def unload(shell: Any) -> None:
    """Unload it. JobError while cells are paused."""
    extension = _loaded.get(id(shell))
    if extension is None:
        return
    unfinished = extension.jobs.unfinished()
    if unfinished:
        listed = ", ".join(f"{job.id} ({job.where})" for job in unfinished)
        raise JobError(
            f"paused cells would be lost: {listed}; %unload_ext lpf --force cancels them"
        )
    extension.uninstall()
    del _loaded[id(shell)]
