"""The command line of ``jupyter lpf``: what is said, done and returned.

0   done; of `run`: every cell ran to its end
1   the kernel refused, such as for a job that is over; of `run`: a cell failed
2   the command line makes no sense
3   no such kernel, or it does not answer, or lpf is not loaded in it
4   of `run`: a cell ran out of its time
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import durations
from ..client import Refused
from ..messages import STATE
from . import kernels, show
from .kernels import NoKernel

__all__ = ["main"]

_OPEN = ("running", "paused")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the status to exit with."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.act(options))
    except Refused as problem:
        return _complain(problem, 1)
    except (NoKernel, TimeoutError) as problem:
        return _complain(problem, 3)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # The reader of the output has gone, such as `head`.
        sys.stderr.close()
        return 0


def _complain(problem: Exception, status: int) -> int:
    print(f"jupyter lpf: {problem}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter lpf",
        description="See, pause, resume and cancel the cells of Jupyter kernels.",
        epilog="exit status:\n" + (__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, act: Callable[[Any], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(act=act)
        return command

    of_kernel = [
        add("list", _list, "list the kernels of this machine and their jobs"),
        add("pause", _pause, "pause the running cell"),
        add("resume", _resume, "let a paused cell go on, the one paused last by default"),
        add("cancel", _cancel, "end a cell, paused or running"),
        add("inspect", _inspect, "show the stack of a paused cell and its variables"),
        add("watch", _watch, "print each change of a job, until an interrupt"),
    ]
    listing, _, resume, cancel, inspect, _ = of_kernel
    for command in of_kernel:
        _add_kernel(command)
    for command in (resume, cancel, inspect):
        command.add_argument("job", type=int, nargs="?", help="number of the job")
    listing.add_argument("--all", action="store_true", help="jobs that are over, too")
    resume.add_argument("--for", dest="span", type=_span, metavar="TIME", help="then pause again")
    cancel.add_argument("--grace", type=_span, metavar="TIME", help="then abandon it")
    inspect.add_argument("--frame", type=int, metavar="N", help="all variables of this one only")
    _add_run(add("run", _run, "run a notebook, each cell with a time limit"))
    return parser


def _add_kernel(command: argparse.ArgumentParser) -> None:
    which = command.add_mutually_exclusive_group()
    which.add_argument("--kernel", metavar="ID", help="its id, or how that begins")
    which.add_argument("--existing", metavar="FILE", help="its connection file")
    which.add_argument("--pid", type=int, metavar="N", help="its process")
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("notebook", type=Path)
    command.add_argument("--output", type=Path, metavar="OUT.ipynb", help="where the result goes")
    command.add_argument("--timeout", type=_span, metavar="TIME", help="limit of each cell")
    command.add_argument(
        "--on-timeout",
        choices=("cancel", "stop"),
        default="cancel",
        help="cancel the cell and go on with the next, or stop there",
    )
    command.add_argument("--allow-errors", action="store_true", help="go on after a failed cell")
    command.add_argument("--kernel-name", metavar="NAME", help="the notebook's own by default")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    command.add_argument("--json", action="store_true", help="print what came of it as JSON")


def _span(text: str) -> float:
    try:
        return durations.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _found(options: Any) -> kernels.Kernel:
    return kernels.find(kernel=options.kernel, existing=options.existing, pid=options.pid)


def _list(options: Any) -> int:
    chosen = options.kernel or options.existing or options.pid
    found = [_found(options)] if chosen else kernels.find_all()
    listed = [_jobs_of(kernel, options.all) for kernel in found]
    if options.json:
        _print_json(listed)
    elif not listed:
        print("no kernels")
    else:
        print(show.table([show.HEAD, *(row for each in listed for row in _rows(each))]))
    return 0


def _jobs_of(kernel: kernels.Kernel, all_: bool) -> dict[str, Any]:
    """Return a kernel's jobs as data; "problem" says why there are none."""
    found: dict[str, Any] = {"kernel": kernel.id, "file": str(kernel.file), "pid": kernel.pid}
    try:
        with kernels.connect(kernel) as (_, cells):
            jobs = [job for job in cells.jobs() if all_ or job["state"] in _OPEN]
            return {**found, "jobs": jobs}
    except (NoKernel, TimeoutError, Refused) as problem:
        # One that ends meanwhile must not keep the others off the list.
        return {**found, "jobs": [], "problem": str(problem)}


def _rows(listed: dict[str, Any]) -> list[tuple[str, ...]]:
    names = (listed["kernel"][:8], str(listed["pid"] or "?"))
    if not listed["jobs"]:
        state = "no lpf" if "not loaded" in listed.get("problem", "") else "no answer"
        return [(*names, "", state if "problem" in listed else "idle", "", "", "")]
    return [(*names, *show.job_row(job)) for job in listed["jobs"]]


def _pause(options: Any) -> int:
    return _ask(options, lambda cells: cells.pause())


def _resume(options: Any) -> int:
    return _ask(options, lambda cells: cells.resume(options.job, timeout=options.span))


def _cancel(options: Any) -> int:
    return _ask(options, lambda cells: cells.cancel(options.job, grace=options.grace))


def _ask(options: Any, ask: Callable[[Any], dict[str, Any]]) -> int:
    with kernels.connect(_found(options)) as (_, cells):
        job = ask(cells)
    if options.json:
        _print_json(job)
    else:
        print(show.change(job))
    return 0


def _inspect(options: Any) -> int:
    with kernels.connect(_found(options)) as (_, cells):
        data = cells.inspect(options.job, frame=options.frame)
    if options.json:
        _print_json(data)
    else:
        from ..display import StackView

        print(StackView(data).text())  # type: ignore[arg-type]
    return 0


def _watch(options: Any) -> int:
    kernel = _found(options)
    with kernels.connect(kernel, listen=True) as (client, cells):
        for job in cells.jobs():
            if job["state"] in _OPEN:
                _print_change(job, options.json)
        while True:
            with suppress(queue.Empty):
                message = client.get_iopub_msg(timeout=1)
                if message["msg_type"] == STATE:
                    _print_change(message["content"], options.json)
                continue
            kernels.has_lpf(client)


def _print_change(job: dict[str, Any], as_json: bool) -> None:
    print(json.dumps(job) if as_json else show.change(job), flush=True)


def _run(options: Any) -> int:
    try:
        from .run import run
    except ModuleNotFoundError as missing:
        return _complain(ModuleNotFoundError(f"run needs {missing.name}: pip install nbclient"), 2)
    return run(options)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


if __name__ == "__main__":
    raise SystemExit(main())
