"""Preemptive asyncio: tasks that share the loop's thread by time, and not by good manners alone.

    async def main():
        with lpf.aio.install():                     # every task made from now on
            ...
        total = await lpf.aio.run(sum, range(10**8))    # a plain function; the loop goes on serving

A step of a coroutine (from one ``await`` that waits to the next) is one preemptible function, launched
inside the task's own step.  When its quantum is spent, the coroutine that asyncio sees, ``_steps.Steps``,
yields a future, as every ``await`` that waits does, and asyncio leaves the task by the same road as
ever: no task is current, its Context is not entered.  The future comes true when it is the task's turn
(``_turns``), and its next step resumes the function where it was.

Three things need more than that:

- Cancellation.  asyncio raises CancelledError where a task waits, never between two such places, and
  code relies on it.  A preempted task looks as if it waited, so that CancelledError arrives here too
  early: it is handed back to the task (``_current.postpone``), which delivers it at the next true ``await``.
  ``run`` is for functions without any; there it is raised where they stand.
- Eager tasks.  Their first step is a call inside the step of another task, and a tick of the outer one
  would leave two tasks at once, the inner one with its Context entered.  So the outer one pauses with
  a request, and its driver makes the task on the loop's own stack (``_factories.aside``).
- The current task, where foreign code has put another in its place within the step: it is exchanged
  when the step is left and when it goes on.

What changes for the code of tasks: without preemption nothing else runs between two awaits, with it
another task may, as between threads.  asyncio itself and the libraries for it that ``lpf.guards``
lists are not left in the middle; code of your own that counts on it says so with
``lpf.uninterruptible()``, or its module is added to the guards.  The tasks are still on one thread, so
that a threading.RLock that a preempted task holds lets the next one in.  A threading.Lock is waited
for; see ``_watchdog``.

Everything here works on the main thread only, where CPython delivers signals.

Arrows point one way:

    _installation ─> _factories ─> _task ─> _steps ─> _turns, _current
                  ─> _direct, _watchdog ─> _turns, _place
    _run ─> _limit, _steps

Source: libturquoise, in: Boucher et al., Lightweight Preemptible Functions, USENIX ATC 2020, section 5.
"""

from __future__ import annotations

from ._arguments import QUANTUM
from ._factories import create_task_factory, eager_task_factory, task_factory
from ._installation import Installation, install, new_event_loop, uninstall
from ._run import preemptible, run
from ._task import Task

__all__ = [
    "QUANTUM",
    "Installation",
    "Task",
    "create_task_factory",
    "eager_task_factory",
    "install",
    "new_event_loop",
    "preemptible",
    "run",
    "task_factory",
    "uninstall",
]

# They are shown, and pickled, by the names that they are public by.
for _name in __all__:
    if hasattr(globals()[_name], "__qualname__"):
        globals()[_name].__module__ = __name__
del _name
