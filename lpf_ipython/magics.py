"""``%%timeout`` and ``%lpf``: read the line, hand it on, report.

What is done stands elsewhere: `limits` reads ``%%timeout``, `jobs` acts on paused cells, `inspect`
and `display` show them, `debugger` talks about them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.display import display
from traitlets import TraitError

from . import background, debugger, durations
from .config import LPF, QUANTUM
from .display import JobsView, StackView, View
from .errors import JobError
from .inspect import JobLike, frames_of, job_data
from .limits import Limit, OnTimeout, limit_of, parse_limit, strip_header

__all__ = ["LPFMagics", "Limit", "limit_of", "load", "unload"]

_USAGE = (
    "%lpf jobs | resume [N] [for 2s] | cancel [N|all] | inspect [N] | debug [N] | pause | "
    "responsive [on|off|5ms] | config | help"
)
_COMMANDS = (
    "jobs",
    "resume",
    "cancel",
    "inspect",
    "debug",
    "pause",
    "responsive",
    "config",
    "help",
)
_OPEN = ("running", "paused", "abandoned")
_WITH_JOB = {"resume": ["for"], "cancel": ["all"], "inspect": ["--all", "--frame"], "debug": []}
_SWITCH = ("on", "off")
_OPTIONS = ("--on-timeout", "--cpu")


class Jobs(Protocol):
    """What is needed of `jobs.Jobs`. Each act raises `JobError` when it cannot be done."""

    def __iter__(self) -> Iterator[Any]: ...
    def get(self, id: int, /) -> Any: ...
    @property
    def current(self) -> Any: ...
    @property
    def running(self) -> Any: ...
    def pause(self) -> Any: ...
    def resume(self, job: Any, timeout: float | None = None) -> Any: ...
    def cancel(self, job: Any, grace: float | None = None) -> Any: ...


class RunLimited(Protocol):
    """Runs *source* inside the cell that is running now, under a limit of its own."""

    def __call__(
        self, shell: Any, source: str, limit: float, on_timeout: OnTimeout | None, cpu: bool, /
    ) -> Any: ...


@magics_class
class LPFMagics(Magics):
    """The magics of one shell. Main thread."""

    shell: Any

    def __init__(
        self, shell: Any, jobs: Jobs, run_limited: RunLimited, beside: bool = False
    ) -> None:
        super().__init__(shell)
        self._jobs = jobs
        self._beside = beside
        self._run_limited = run_limited

    @cell_magic
    def timeout(self, line: str, cell: str) -> None:
        """Run a cell with a time limit.

        %%timeout LIMIT [--on-timeout pause|cancel] [--cpu]

        LIMIT is a duration: 500ms, 2s, 1m30s, 2h; a plain number is seconds. When it has passed,
        the cell stops at the line where it is and, by --on-timeout,

          pause   stays there, with all its variables: %lpf resume lets it go on, %lpf cancel ends
                  it, %lpf inspect and %lpf debug look into it. Other cells run meanwhile.
          cancel  is ended: its finally and with blocks run, and CellTimeout is its error.

        Without --on-timeout the configuration decides (%config LPF.on_timeout). Where nobody could
        answer, as in nbclient and papermill, a timeout always cancels.

        --cpu counts the CPU time that the cell uses instead of the time that passes.

        The line goes first; below it stands any cell: statements, top-level await, another cell
        magic. The value of a last expression is displayed as ever.

        Example:

          %%timeout 500ms
          n = 0
          while True:
              n += 1
        """
        limit = parse_limit(line)
        if not cell.strip():
            raise UsageError("%%timeout: there is nothing below it to run")
        self._run_limited(self.shell, cell, limit.seconds, limit.on_timeout, limit.cpu)

    @cell_magic
    def background(self, line: str, cell: str) -> None:
        """Run a cell beside the others, in a kernel.

        %%background

        The cell starts at once, even while another computes in a responsive kernel (%lpf responsive
        on), and its output stays its own. Cells run meanwhile as ever: all that compute take turns,
        a quantum each, on the one thread. They share all variables, and one may be anywhere when
        another goes on: see that what both change is changed in one step. The cell's prompt is a
        star until it has ended; %lpf jobs lists it, %lpf cancel N ends it. At most
        LPF.background_cells of them run, more have to wait.

        The line goes first, below it stands any cell, one with a %%timeout too.

        Example:

          %%background
          for epoch in range(100):
              loss = train()
        """
        if line.strip():
            raise UsageError(f"%%background takes no options, not {line.strip()!r}")
        if not cell.strip():
            raise UsageError("%%background: there is nothing below it to run")
        if not self._beside:
            raise UsageError("%%background works in a kernel only, not in a terminal")
        raise UsageError("%%background has to be the first line of a cell")

    @line_magic
    def lpf(self, line: str) -> Any:
        """Look at paused cells, and let them go on.

        %lpf jobs                 list the cells that are running or paused (also: %lpf)
        %lpf resume [N] [for 2s]  let job N go on; with "for", pause it again after that time
        %lpf cancel [N|all]       end job N, or all: finally and with blocks run
        %lpf inspect [N] [--all] [--frame K]
                                  stack, source lines and variables of a paused job; --all shows
                                  IPython's frames and every variable, --frame K one frame only
        %lpf debug [N]            IPython's debugger on the paused frames
        %lpf pause                pause this very cell here
        %lpf responsive [on|off|5ms]
                                  whether the kernel serves completions, widgets, asyncio tasks
                                  and %%background cells while a cell computes, and how often
        %lpf config [NAME=VALUE]  show or set the options (the same as %config LPF)
        %lpf help                 show this text

        Without N, the job that was paused last is meant. A resumed cell prints into its own
        output. Threads and processes that a cell started go on while it is paused.
        """
        command, *words = line.split() or ["jobs"]
        if command not in _COMMANDS:
            raise _usage(f"no command {command!r}")
        action: Callable[[list[str]], Any] = getattr(self, f"_do_{command}")
        return action(words)

    @context_matcher()  # type: ignore[untyped-decorator]
    def matcher(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete both magics' lines; nothing else is offered there."""
        found = self.complete(context.text_until_cursor)
        completions = [SimpleCompletion(text=text, type="param") for text in found]
        return {"completions": completions, "suppress": True}

    def complete(self, before: str) -> list[str]:
        """Return what may stand where the cursor is, *before* being the line up to it."""
        magic, *words = before.split() or [""]
        if not words and not before.endswith((" ", "\t")):
            return []
        last = "" if before.endswith((" ", "\t")) else words.pop()
        if magic == "%%timeout":
            choice = words[-1:] == ["--on-timeout"]
            offered: Sequence[str] = ("pause", "cancel") if choice else _OPTIONS
        else:
            offered = self._offered(words) if magic in ("%lpf", "lpf") else []
        return [word for word in offered if word.startswith(last)]

    def _offered(self, words: list[str]) -> Sequence[str]:
        if not words:
            return _COMMANDS
        options = _WITH_JOB.get(words[0])
        if len(words) == 1 and options is not None:
            return [*(str(job.id) for job in self._paused()), *options]
        if words == ["responsive"]:
            return _SWITCH
        return ("for",) if len(words) == 2 and words[0] == "resume" else ()

    def _do_help(self, words: list[str]) -> None:
        print(inspect.cleandoc(LPFMagics.lpf.__doc__ or ""))

    def _do_config(self, words: list[str]) -> Any:
        setting = " ".join(words)
        name = setting if setting.startswith("LPF") or not setting else f"LPF.{setting}"
        return self.shell.run_line_magic("config", name or "LPF")

    def _do_responsive(self, words: list[str]) -> None:
        if not self._beside:
            raise JobError("a terminal has nobody else to serve: this works in a kernel only")
        config = next(c for c in self.shell.configurables if isinstance(c, LPF))
        if words == ["on"]:
            config.quantum = QUANTUM
        elif words == ["off"]:
            config.quantum = 0.0
        elif words:
            try:
                config.quantum = _duration(words)
            except TraitError as error:
                raise JobError(str(error)) from None
        state = f"every {durations.show(config.quantum)}" if config.quantum else "off"
        print(f"responsive: {state}")

    def _do_jobs(self, words: list[str]) -> None:
        _no_more(words)
        asking = self._jobs.running
        shown = (job for job in self._jobs if job.state in _OPEN and job is not asking)
        _show(JobsView(shown))

    def _do_pause(self, words: list[str]) -> None:
        _no_more(words)
        self._jobs.pause()

    def _do_resume(self, words: list[str]) -> None:
        job, rest = self._job(words)
        timeout = None
        if rest and rest[0] == "for":
            timeout, rest = _duration(rest[1:]), []
        _no_more(rest)
        self._jobs.resume(job, timeout=timeout)

    def _do_cancel(self, words: list[str]) -> None:
        if words == ["all"]:
            for job in self._paused():
                self._jobs.cancel(job)
            return
        job, rest = self._job(words)
        _no_more(rest)
        self._jobs.cancel(job)

    def _do_inspect(self, words: list[str]) -> None:
        every = "--all" in words
        words = [word for word in words if word != "--all"]
        frame = None
        if "--frame" in words:
            at = words.index("--frame")
            frame = _number("".join(words[at + 1 : at + 2]))
            del words[at : at + 2]
        job, rest = self._job(words)
        _no_more(rest)
        try:
            _show(StackView(job_data(_paused(job), all=every, frame=frame)))
        except IndexError as error:
            raise JobError(str(error)) from None

    def _do_debug(self, words: list[str]) -> None:
        job, rest = self._job(words)
        _no_more(rest)
        try:
            debugger.debug(self.shell, frames_of(_paused(job)), job.id)
        except ValueError as error:
            raise JobError(str(error)) from None

    def _job(self, words: list[str]) -> tuple[Any, list[str]]:
        """Return the job that *words* begin with, or the newest paused one, and the rest."""
        if words and words[0] != "for":
            try:
                return self._jobs.get(_number(words[0])), words[1:]
            except KeyError:
                raise JobError(f"no job {words[0]}; %lpf jobs lists them") from None
        if self._jobs.current is None:
            raise JobError("no cell is paused")
        return self._jobs.current, words

    def _paused(self) -> list[Any]:
        return [job for job in self._jobs if job.state == "paused"]


def load(
    shell: Any,
    jobs: Jobs,
    run_limited: RunLimited,
    strips: Callable[[], bool] = lambda: True,
    beside: bool = False,
) -> LPFMagics:
    """Give *shell* the magics, their completion, and cells that may begin with our headers.

    *strips* is asked whenever a cell is transformed: true when whoever runs it asks `limit_of` for
    its limit. Otherwise the header stays, and the cell magic runs the rest by *run_limited*.
    *beside*: whoever runs the cells knows ``%%background``.
    """
    magics = LPFMagics(shell, jobs, run_limited, beside)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.append(_Stripper(strips, beside))
    shell.Completer.custom_matchers.append(magics.matcher)
    return magics


def unload(shell: Any) -> None:
    """Take back what `load` gave; nothing happens when there is nothing to take back."""
    manager = shell.magics_manager
    magics = manager.registry.pop("LPFMagics", None)
    if magics is None:
        return
    shell.Completer.custom_matchers.remove(magics.matcher)
    transformers = shell.input_transformers_cleanup
    transformers[:] = [t for t in transformers if not isinstance(t, _Stripper)]
    manager.magics["line"].pop("lpf", None)
    for name in ("timeout", "background"):
        manager.magics["cell"].pop(name, None)


class _Stripper:
    """The input transformer that takes the header off."""

    # While a cell is being typed the header counts as any cell magic: an empty line ends the cell.
    has_side_effects = True

    def __init__(self, strips: Callable[[], bool], beside: bool) -> None:
        self._strips = strips
        self._beside = beside

    def __call__(self, lines: list[str]) -> list[str]:
        first = lines[0] if lines else ""
        if (first.strip() and "%%" not in first) or not self._strips():
            return lines
        return strip_header(background.strip_header(lines) if self._beside else lines)


def _show(view: View) -> None:
    display(view)  # type: ignore[no-untyped-call]


def _paused(job: JobLike) -> JobLike:
    if job.state != "paused":
        raise JobError(f"job {job.id} is {job.state}; only a paused one can be looked into")
    return job


def _duration(words: Iterable[str]) -> float:
    try:
        return durations.parse(" ".join(words))
    except ValueError as error:
        raise _usage(str(error)) from None


def _number(word: str) -> int:
    if not (word.isascii() and word.isdecimal()):
        raise _usage(f"{word!r} is not a number")
    return int(word)


def _no_more(words: list[str]) -> None:
    if words:
        raise _usage(f"cannot make sense of {' '.join(words)!r}")


def _usage(problem: str) -> UsageError:
    return UsageError(f"%lpf: {problem}. Usage: {_USAGE}")
