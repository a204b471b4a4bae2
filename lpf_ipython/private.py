"""Every private name of IPython and ipykernel that this package uses, and why.

Nothing else in the package reaches into them. `missing` says at loading time what will not work
with versions that lack one. "6", "7" are ipykernel's major versions; IPython is meant where the
name belongs to the shell.
"""

from __future__ import annotations

import asyncio
import contextvars
import select
import sys
from collections.abc import Callable, Iterator
from typing import Any

from traitlets import TraitType

__all__ = [
    "abort",
    "aborts_queue",
    "after_queued",
    "borrowed",
    "borrowed_for_input",
    "carriers",
    "fields",
    "handles_sigint_only",
    "has_work",
    "input_request",
    "let_go",
    "missing",
    "outputs",
    "own_variables",
    "parent",
    "parentless",
    "payload",
    "publish_status",
    "real_descriptor",
    "set_input_request",
    "set_terminal_loop",
    "terminal_loop",
    "topic",
    "traceback",
]

Kernel = Any
_MARK = b"lpf: what came before this was queued"

# name on the kernel: (versions that have it, what is lost without it)
_KERNEL = {
    "_publish_status": ("6, 7", "the busy indicator while a resumed cell runs"),
    "_topic": ("6, 7", "nothing but the topics of messages"),
    "_send_abort_reply": ("6, 7", "aborting the cells that are queued behind one that fails"),
    "_abort_queues": ("6, 7", "aborting the cells that are queued behind an abandoned one"),
    "_allow_stdin": ("6, 7", "input() in a resumed cell"),
    "_sys_raw_input": ("6, 7", "input() in a resumed cell"),
    "_save_getpass": ("6, 7", "getpass() in a resumed cell"),
    "_input_request": ("6, 7", "pausing or cancelling a cell that waits in input()"),
}


def missing(kernel: Kernel) -> list[str]:
    """Return what will not work with this kernel, a line each; mostly none."""
    lines = [
        f"{why} (no Kernel.{name})"
        for name, (_, why) in _KERNEL.items()
        if not hasattr(kernel, name) and name != "_save_getpass"
    ]
    if not hasattr(kernel.shell.display_trap, "_nested_level"):
        lines.append(
            "results of cells that run while another is paused (no DisplayTrap._nested_level)"
        )
    if not _can_mark(kernel):
        lines.append("cells queued behind a paused one waiting for it (no known message queue)")
    return lines


# Parents: which request output, status messages and input requests belong to.


def parentless(kernel: Kernel) -> None:
    """Let the next status message of this context belong to no request.

    The base class's method, since the override would also redirect the output of threads. An idle
    status for a paused cell would make clients stop listening to it.
    """
    from ipykernel.kernelbase import Kernel as Base

    base: Any = Base
    base.set_parent(kernel, [], {}, "shell")


def parent(kernel: Kernel) -> tuple[Any, Any]:
    """Return identities and message of the request last handled, as threads would see it."""
    empty = contextvars.Context()
    message = empty.run(kernel.get_parent, "shell")
    # 6: a plain dict; 7: a mapping over context variables, kept for compatibility.
    return empty.run(lambda: kernel._parent_ident["shell"]), message


def own_variables(kernel: Kernel) -> set[contextvars.ContextVar[Any]]:
    """Return the context variables that hold parents (7; none in 6): each cell keeps its own."""
    shell = kernel.shell
    places = [kernel, shell, shell.displayhook, shell.display_pub, sys.stdout, sys.stderr]
    names = ("_shell_parent", "_shell_parent_ident", "_parent_header")
    found = (getattr(place, name, None) for place in places for name in names)
    return {each for each in found if isinstance(each, contextvars.ContextVar)}


# Reports that Python takes no part in.


def outputs(kernel: Kernel) -> tuple[Any, int] | None:
    """Return the socket that outputs go to, and the number of its thread."""
    thread = getattr(kernel.iopub_socket, "io_thread", None)
    socket = getattr(thread, "socket", None)
    owner = getattr(getattr(thread, "thread", None), "native_id", None)
    return (socket, owner) if getattr(socket, "underlying", None) and owner else None


def handles_sigint_only(kernel: Kernel) -> bool:
    """Whether the hooks around handlers only swap the handler of SIGINT, as ipykernel's own do (6, 7).

    Then that can be done without them, and without the enumerations that ``signal.signal`` makes.
    """
    from ipykernel.kernelbase import Kernel as Base

    names = {"signal", "SIGINT", "default_int_handler", "saved_sigint_handler"}
    return all(
        getattr(type(kernel), hook, None) is getattr(Base, hook, None)
        and names.issuperset(getattr(Base, hook).__code__.co_names)
        for hook in ("pre_handler_hook", "post_handler_hook")
    )


def real_descriptor(stream: Any) -> int | None:
    """Return where a stream's descriptor led before ipykernel put a pipe there; None: it did not."""
    copy = getattr(stream, "_original_stdstream_copy", None)
    return copy if isinstance(copy, int) else None


def input_request(kernel: Kernel) -> Callable[..., str] | None:
    """Return the method that asks a front end and waits for its answer; None if there is none."""
    method: Callable[..., str] | None = getattr(kernel, "_input_request", None)
    return method


def set_input_request(kernel: Kernel, method: Callable[..., str] | None) -> None:
    """Put another one in its place, or, None, take that out again."""
    if method is None:
        kernel.__dict__.pop("_input_request", None)
    else:
        kernel.__dict__["_input_request"] = method


# What a cell borrows from its shell and kernel while it runs; see `swap`. Absent is a value too.


def borrowed(shell: Any) -> list[tuple[Any, str]]:
    """Return the attributes of the shell's parts that each cell has its own values of.

    The depth of the display trap (8, 9), and whether the display hook and publisher are at work (9).
    """
    return [
        (shell.display_trap, "_nested_level"),
        (shell.displayhook, "_is_active"),
        (shell.display_pub, "_is_publishing"),
    ]


def borrowed_for_input(kernel: Kernel) -> list[tuple[Any, str]]:
    """Return where ipykernel (6, 7) keeps whether a cell may ask, and what it put aside for that."""
    return [(kernel, name) for name in ("_allow_stdin", "_sys_raw_input", "_save_getpass")]


def fields(owner: Any, name: str) -> dict[str, Any]:
    """Return the dictionary that has that attribute if it is set; an empty one if none is known.

    Traitlets (5) are read by Python code, which takes ten times as long, and keeps the values here.
    """
    kind = getattr(type(owner), name, None)
    if isinstance(kind, TraitType):
        found: dict[str, Any] = getattr(owner, "_trait_values", {})
        return found
    return {} if hasattr(kind, "__set__") else getattr(owner, "__dict__", {})


def payload(shell: Any) -> tuple[Any, str]:
    """Return where the payload of the next reply is collected (8, 9)."""
    return shell.payload_manager, "_payload"


def traceback(shell: Any) -> tuple[Any, str]:
    """Return where a kernel's shell (6, 7) leaves the traceback that goes into the reply."""
    return shell, "_last_traceback"


def terminal_loop() -> Any:
    """Return the event loop in which a terminal's cells await (8, 9), None before there is one."""
    from IPython.core import async_helpers

    return getattr(async_helpers, "_asyncio_event_loop", None)


def set_terminal_loop(loop: Any) -> None:
    """Have them await in this one; None: in a new one, made when it is needed."""
    from IPython.core import async_helpers

    helpers: Any = async_helpers
    helpers._asyncio_event_loop = loop


# Messages.


def topic(kernel: Kernel, name: str) -> bytes | None:
    """Return the iopub topic for a message of this type."""
    make = getattr(kernel, "_topic", None)
    return bytes(make(name)) if make is not None else None


def publish_status(kernel: Kernel, status: str, parent: Any) -> None:
    """Publish busy or idle for the given request, or for none if that is empty."""
    kernel.session.send(
        kernel.iopub_socket,
        "status",
        {"execution_state": status},
        parent=parent,
        ident=topic(kernel, "status"),
    )


def abort(kernel: Kernel, stream: Any, ident: Any, parent: Any) -> None:
    """Answer an execute_request that is not going to run with status "aborted"."""
    send = getattr(kernel, "_send_abort_reply", None)
    if send is not None:
        send(stream, parent, ident)


def aborts_queue(kernel: Kernel) -> None:
    """Have the requests that wait in the kernel's queue aborted, as after any error."""
    stop = getattr(kernel, "_abort_queues", None)
    if stop is not None:
        stop()


# The event loop, asyncio's.


def has_work(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether *loop* has anything to do now; true for one that cannot be asked, such as uvloop's.

    For the task that is running this very moment: what that leaves in the queue is other work.
    """
    try:
        inside: Any = loop
        timers = inside._scheduled
        return bool(
            inside._ready
            or (timers and timers[0]._when <= loop.time())
            or inside._selector.select(0)
        )
    except AttributeError:
        return True


def let_go(task: asyncio.Task[Any], future: Any) -> None:
    """Have *task* go on as if *future*, which it waits for, were done; nothing if it does not.

    What waits for tasks that swallow their cancellation is not done when it is cancelled.
    """
    for callback, context in list(getattr(future, "_callbacks", None) or ()):
        if getattr(callback, "__self__", None) is task:
            future.remove_done_callback(callback)
            loop = task.get_loop()
            done = loop.create_future()
            done.set_result(None)
            loop.call_soon(callback, done, context=context)


def carriers(kernel: Kernel) -> Callable[[], bool]:
    """Return what says whether a thread that carries messages has one in hand, or one to take.

    The event loops of these threads are asked by their epoll, which is itself a file that can be
    polled; and one whose frame is not in there is under way, between two parts of a message, say.
    Main thread.
    """
    poll = select.poll()
    resting: dict[int, Any] = {}
    for name in ("shell_channel_thread", "control_thread", "iopub_thread"):  # The first: 7.
        owner = getattr(kernel, name, None)
        loop = getattr(getattr(owner, "io_loop", None), "asyncio_loop", None)
        selector: Any = getattr(loop, "_selector", None)
        ident = getattr(getattr(owner, "thread", owner), "ident", None)
        if ident is not None and hasattr(selector, "fileno"):
            poll.register(selector.fileno(), select.POLLIN)
            resting[ident] = type(selector).select.__code__

    def in_transit() -> bool:
        if any(event & select.POLLIN for _, event in poll.poll(0)):
            return True
        frames = sys._current_frames()
        return any(i in frames and frames[i].f_code is not rest for i, rest in resting.items())

    return in_transit


# The queue of shell messages: what is in it when a cell is paused was meant to run after it.


def _can_mark(kernel: Kernel) -> bool:
    return hasattr(kernel, "schedule_dispatch") or hasattr(kernel, "_main_asyncio_lock")


def after_queued(kernel: Kernel, reached: Callable[[], None], posted: Callable[[], None]) -> None:
    """Call *reached* on the main thread when all that was queued up to now has been dispatched.

    *posted* is called, on some thread, as soon as requests that are made from then on count as
    later ones. 6 has one queue of its own. 7 has a thread that hands on the messages, if subshells
    are supported, else a task for each message that waits for a lock.
    """
    thread = getattr(kernel, "shell_channel_thread", None)
    if thread is not None:
        _mark_by_thread(kernel, thread, reached, posted)
        return
    kernel.shell_stream.flush()

    async def mark(*_: Any) -> None:
        reached()

    if hasattr(kernel, "schedule_dispatch"):
        kernel.schedule_dispatch(mark)
    elif hasattr(kernel, "_main_asyncio_lock"):

        async def in_turn() -> None:
            async with kernel._main_asyncio_lock:
                reached()

        kernel.lpf_marks = asyncio.ensure_future(in_turn())  # A task needs a reference.
    else:
        reached()
    posted()


def _mark_by_thread(
    kernel: Kernel, thread: Any, reached: Callable[[], None], posted: Callable[[], None]
) -> None:
    marks = getattr(kernel, "lpf_marks", None)
    if marks is None:
        marks = kernel.lpf_marks = []
        _hear_marks(kernel, marks)
    marks.append(reached)
    socket = thread.manager.get_shell_channel_to_subshell_socket(None)

    async def post() -> None:
        kernel.shell_stream.flush()
        await asyncio.sleep(0)
        async with thread.asyncio_lock:
            socket.send(_MARK, copy=False)
        posted()

    thread.io_loop.add_callback(post)


def _hear_marks(kernel: Kernel, marks: list[Callable[[], None]]) -> None:
    dispatch = kernel.dispatch_shell

    async def dispatch_shell(msg: Any, *args: Any, **kwargs: Any) -> None:
        if len(msg) == 1 and bytes(msg[0].buffer) == _MARK:
            marks.pop(0)()
        else:
            await dispatch(msg, *args, **kwargs)

    kernel.dispatch_shell = dispatch_shell


def forget_marks(kernel: Kernel) -> None:
    """Take back what `after_queued` put in."""
    kernel.__dict__.pop("dispatch_shell", None)
    kernel.__dict__.pop("lpf_marks", None)


def no_result(cell: Any, error: BaseException | None) -> Any:
    """Return the shell's result of a cell that has not come to its end by itself."""
    from IPython.core import interactiveshell

    shells: Any = interactiveshell
    stores = cell.job.execution_count is not None
    info = shells.ExecutionInfo(cell.job.source, stores, False, True, cell.job.cell_id)
    result = shells.ExecutionResult(info)
    result.execution_count = cell.job.execution_count
    result.error_in_exec = error
    return result


def streams() -> Iterator[Any]:
    """Yield the kernel's output streams, whose ``write`` the shell replaces during a cell."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "__dict__"):
            yield stream
