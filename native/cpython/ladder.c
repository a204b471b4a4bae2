/* The ladder: what the signal handler does, tick after tick, until a function that is due has been
 * left.  Each rung is tried when those below it had their time.
 *
 *   1  at once            ask for Python's own safe point (safepoint.c)
 *   2  at once            the thread has released the GIL: leave the native code where it is
 *      LOCK_AFTER         even where it waits for a lock, which another function may hold that
 *                         stands still
 *   3  ITERATOR_AFTER     it holds the GIL: make calls to tp_iternext safe points (iterators.c)
 *      STEP_AFTER         the same, for C code that has read the slot before its loop
 *   4  STARVE_AFTER       to cancel only: its allocations fail, one at a tick (starve.c)
 *   5  ABANDON_AFTER      to cancel only, in native code of others that holds the GIL, or in a BLAS
 *                         without it: leave it where it is, for ever
 *   6  REPORT_AFTER       say where it is, while it lasts (report.c)
 *      REPORT_WAIT_AFTER  the same, where others merely wait for the GIL
 *
 * All of this file runs inside the signal handler, on the main thread.  C code on other threads that
 * keeps the GIL is dealt with in gil.c.
 *
 * Rungs 1 and 3 only store and call what is async-signal-safe (PyErr_SetInterruptEx is made for
 * handlers, timer_settime and sigaction are on POSIX's list).
 *
 * Rung 2 takes the GIL and runs CPython code in the handler.  That is allowed because of where the
 * thread was interrupted: with the GIL released, so that no object and no interpreter structure is
 * half changed by it, and at a program counter outside of libpython, the allocator, the loader and
 * everything else that holds a lock of the process (core/codemap.c).  The handler is then no more
 * than a call from that point into Python, as a callback is.
 */
#define _GNU_SOURCE
#include "native.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <time.h>

#define FIRST_RETRY (LPF__MILLISECOND / 2)
/* Where the bytecode loop itself was interrupted, it gets to a safe point within microseconds, unless
 * what it calls next blocks.  The retry that looks after that comes late enough not to be the next
 * thing that the kernel's clock has to wake up for: programming that one costs, in a virtual machine,
 * as much as all the rest of leaving a function. */
#define LOOP_RETRY (5 * LPF__MILLISECOND)
#define LAST_RETRY (8 * LPF__MILLISECOND)
#define WAIT_AFTER (LPF__MILLISECOND) /* Of a system call that the signal has ended. */
#define ITERATOR_AFTER (LPF__MILLISECOND)
#define STEP_AFTER (2 * LPF__MILLISECOND)
/* The lock that a native call waits for may be held by a function that stands still. */
#define LOCK_AFTER (10 * LPF__MILLISECOND)
#define STARVE_AFTER (100 * LPF__MILLISECOND)
#define STARVE_INTERRUPTED_AFTER (400 * LPF__MILLISECOND)
/* After an allocation failed: for the C code to unwind, before the next one does. */
#define STARVE_PAUSE (100 * LPF__MILLISECOND)
#define ABANDON_AFTER (1500 * LPF__MILLISECOND)
#define REPORT_AFTER (1000 * LPF__MILLISECOND)
#define REPORT_WAIT_AFTER (3000 * LPF__MILLISECOND)

/* Rungs 4 to 6 want, besides time, that the thread has computed for so long, or waits in a system
 * call, and been there for so many ticks: on a busy machine it may just not have been given a
 * processor. */
#define STARVE_CPU (50 * LPF__MILLISECOND)
#define ABANDON_CPU (500 * LPF__MILLISECOND)
#define PATIENT_TICKS 64

static struct {
    uint64_t since; /* When the first tick that was not answered came; 0: none. */
    uint64_t cpu;   /* Of the thread, then. */
    unsigned ticks;
    uint64_t retry;
    struct lpf_steps steps;
    uint64_t starve_at;
} climb;

static uintptr_t loop_start, loop_end; /* Of the bytecode loop's code; 0, 0: not known. */

void lpf_ladder_init(void)
{
    Dl_info object;
    const ElfW(Sym) *symbol = NULL;
    void *loop = (void *)_PyEval_EvalFrameDefault;
    if (dladdr1(loop, &object, (void **)&symbol, RTLD_DL_SYMENT) != 0 && symbol != NULL &&
        object.dli_saddr == loop) {
        loop_start = (uintptr_t)loop;
        loop_end = loop_start + symbol->st_size;
    }
    lpf_report_init(loop_start, loop_end);
}

bool lpf_ladder_in_bytecode(const void *ucontext)
{
    uintptr_t pc = lpf__program_counter(ucontext);
    return pc >= loop_start && pc < loop_end;
}

void lpf_ladder_reached(void)
{
    /* First of all: a tick in between begins anew. */
    climb.since = 0;
    lpf_watch_interrupt_seen();
    lpf_iterators_unwrap();
    lpf_starve_end();
    lpf_report_over();
}

static bool holds_gil(PyThreadState *ts)
{
    return _PyThreadState_UncheckedGet() == ts;
}

/* Leaves the function that is due; true if it was left (and has been resumed by now). */
static bool leave_native(PyThreadState *ts, struct lpf__thread *t, struct lpf__data variables,
                         bool waits, const ucontext_t *context)
{
    struct lpf__due due = lpf__find_due(t, lpf__now());
    if (due.function == NULL || due.function->host != &lpf_python_host) {
        return false; /* The limit of a block can only be raised in Python. */
    }
    Continuation *c = lpf_continuation_of(due.function);
    if (c->canceller.active) {
        if (c->canceller.exception == NULL || lpf__now() < c->canceller.until) {
            return false; /* The exception is raised when the native call is back in Python. */
        }
    } else {
        PyObject *blocker = lpf_safepoint_blocked_by(ts, due);
        if (blocker != NULL) {
            Py_DECREF(blocker);
            return false;
        }
    }
    if (lpf__locks_hold(t, variables, context, lpf__now()) && !waits) {
        return false;
    }
    /* The handler has the signal blocked; who goes on next must not. */
    if (!c->core.keeps_mask) {
        c->core.caller_mask = context->uc_sigmask;
        c->core.keeps_mask = true;
    }
    climb.since = 0;
    c->abandoned = c->canceller.active;
    lpf_continuation_leave_native(ts, c, lpf_safepoint_reason(&c->core));
    return true;
}

static bool rung_two(struct lpf__thread *t, uint64_t waited, uint64_t now, void *ucontext)
{
    uintptr_t pc = lpf__program_counter(ucontext);
    struct lpf__data variables = {0, 0};
    bool waits = !lpf__codemap_may_leave(pc, &variables);
    if (waits ? waited < LOCK_AFTER || !lpf__ended_a_wait(ucontext) ||
                    !lpf__codemap_waits_for_lock(pc)
              : lpf__locks_hold(t, variables, NULL, now)) {
        return false;
    }
    PyThreadState *ts = lpf_safepoint_main_state();
    PyEval_RestoreThread(ts);
    bool left = leave_native(ts, t, variables, waits, ucontext);
    PyEval_SaveThread();
    return left;
}

/* C code that was left at an iterator, and goes on, is left there again without a wait. */
static void rung_three(uint64_t waited, uint64_t now, bool in_bytecode, void *ucontext)
{
    if (lpf_iterators_expected(in_bytecode) || waited >= ITERATOR_AFTER) {
        lpf_iterators_wrap();
    }
    lpf_iterators_step(&climb.steps, now, ucontext);
}

/* A finally block has half of the grace for its own C code. */
static bool unwinds(const struct lpf_canceller *canceller, uint64_t now)
{
    return canceller->exception != NULL && now < canceller->half;
}

/* Is what runs to be ended, and not just paused, or left alone? */
static bool to_be_ended(struct lpf__thread *t, uint64_t now)
{
    struct lpf__due due = lpf__find_due(t, now);
    if (due.limit != NULL) {
        return !unwinds(&lpf_limit_of(due.limit)->canceller, now);
    }
    if (due.function == NULL || due.function->host != &lpf_python_host) {
        return false;
    }
    const Continuation *c = lpf_continuation_of(due.function);
    return c->canceller.active ? !unwinds(&c->canceller, now) : c->insists;
}

/* How long what runs may take to reach a safe point. */
static uint64_t patience(struct lpf__thread *t)
{
    return to_be_ended(t, lpf__now()) ? STARVE_AFTER
           : lpf_watch_interrupted()  ? STARVE_INTERRUPTED_AFTER
                                      : LPF_FOREVER;
}

static uint64_t cpu_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

/* Has it had a processor for so long, unless it wants none? */
static bool had(uint64_t cpu, const void *ucontext)
{
    return lpf__ended_a_wait(ucontext) || cpu_time() - climb.cpu >= cpu;
}

static bool rung_four(struct lpf__thread *t, uint64_t waited, uint64_t now, const void *ucontext)
{
    if (waited < STARVE_AFTER || waited < patience(t) || !had(STARVE_CPU, ucontext)) {
        return false;
    }
    if (lpf_starve_note()) {
        climb.starve_at = now + STARVE_PAUSE;
    }
    if (now >= climb.starve_at) {
        lpf_starve_once(to_be_ended(t, now) ? LPF_STARVED_TO_END : LPF_STARVED_BY_INTERRUPT);
    }
    return true;
}

/* What is due itself, or everything if that is an interrupt or the limit of a block. */
static Continuation *to_abandon(struct lpf__thread *t)
{
    lpf_t *c = lpf__find_due(t, lpf__now()).function;
    if (c == NULL) {
        c = t->outermost;
    }
    return c != NULL && c->host == &lpf_python_host ? lpf_continuation_of(c) : NULL;
}

/* Never comes back.  The GIL is held.  Whatever the interpreter was doing further out on this stack
 * stays half done, on objects that nobody else will see, or so we hope: the last resort before
 * telling the user to restart. */
static void abandon(PyThreadState *ts, Continuation *c, const ucontext_t *context)
{
    lpf_ladder_reached();
    lpf__locks_forget(c->core.thread);
    c->core.caller_mask = context->uc_sigmask;
    c->core.keeps_mask = true;
    c->abandoned = true;
    lpf_continuation_leave_native(ts, c, LPF_REASON_NONE);
}

/* A cancel that gives what it ends more time to unwind. */
static bool in_grace(struct lpf__thread *t, uint64_t now)
{
    struct lpf__due due = lpf__find_due(t, now);
    const struct lpf_canceller *canceller = NULL;
    if (due.limit != NULL) {
        canceller = &lpf_limit_of(due.limit)->canceller;
    } else if (due.function != NULL && due.function->host == &lpf_python_host) {
        canceller = &lpf_continuation_of(due.function)->canceller;
    }
    return canceller != NULL && canceller->active && now < canceller->until;
}

static bool is_given_up(struct lpf__thread *t, uint64_t waited, uint64_t now, const void *ucontext)
{
    return waited >= ABANDON_AFTER && climb.ticks >= PATIENT_TICKS && had(ABANDON_CPU, ucontext) &&
           !in_grace(t, now);
}

static void rung_five(struct lpf__thread *t, const ucontext_t *context)
{
    Continuation *c = to_abandon(t);
    uintptr_t pc = lpf__program_counter(context);
    int blas = lpf_blas_at(pc);
    if (c != NULL && (blas != 0 || lpf__codemap_may_leave(pc, NULL))) {
        c->blas = blas;
        abandon(lpf_safepoint_main_state(), c, context);
    }
}

static void rung_five_in_blas(struct lpf__thread *t, const ucontext_t *context)
{
    Continuation *c = to_abandon(t);
    int blas = lpf_blas_at(lpf__program_counter(context));
    if (c != NULL && blas != 0 && patience(t) != LPF_FOREVER) {
        PyThreadState *ts = lpf_safepoint_main_state();
        PyEval_RestoreThread(ts);
        c->blas = blas;
        abandon(ts, c, context);
    }
}

static void rung_six(struct lpf__thread *t, uint64_t waited, const ucontext_t *context)
{
    if (waited < REPORT_AFTER || climb.ticks < PATIENT_TICKS || lpf_gil_is_kept()) {
        return;
    }
    struct lpf__due due = lpf__find_due(t, lpf__now());
    if (waited >= REPORT_WAIT_AFTER || due.function != NULL || due.limit != NULL ||
        lpf_watch_interrupted()) {
        PyThreadState *ts = lpf_safepoint_main_state();
        lpf_report_tick(ts, context, climb.since, holds_gil(ts));
    }
}

static void rearm(struct lpf__thread *t, uint64_t when)
{
    if (when < t->timer.armed && t->timer.exists) {
        lpf__timer_arm(&t->timer, when);
    }
}

static void tick(struct lpf__thread *t, void *ucontext)
{
    if (!lpf_safepoint_works_on(t)) {
        return;
    }
    PyErr_SetInterruptEx(lpf__signal);
    uint64_t now = lpf__now();
    if (climb.since == 0) {
        climb.since = now;
        climb.cpu = cpu_time();
        climb.ticks = 0;
        climb.retry = FIRST_RETRY;
        climb.steps = lpf_steps_from(now + STEP_AFTER);
        climb.starve_at = 0;
    }
    climb.ticks++;
    uint64_t waited = now - climb.since;
    uint64_t again = climb.retry;
    if (waited > STEP_AFTER && climb.retry < LAST_RETRY) {
        climb.retry *= 2;
    }
    if (lpf_in_other_interpreter(lpf_safepoint_main_state())) {
        again = LAST_RETRY; /* Which hears no signals, and may hold a GIL of its own. */
    } else if (holds_gil(lpf_safepoint_main_state())) {
        bool in_bytecode = lpf_ladder_in_bytecode(ucontext);
        if (waited == 0 && in_bytecode) {
            again = LOOP_RETRY;
        }
        rung_three(waited, now, in_bytecode, ucontext);
        if (rung_four(t, waited, now, ucontext) && is_given_up(t, waited, now, ucontext)) {
            rung_five(t, ucontext);
        }
    } else if (waited >= WAIT_AFTER || !lpf__ended_a_wait(ucontext)) {
        if (rung_two(t, waited, now, ucontext)) {
            return;
        }
        if (is_given_up(t, waited, now, ucontext)) {
            rung_five_in_blas(t, ucontext);
        }
        again = 2 * LPF__RETRY;
    }
    rung_six(t, waited, ucontext);
    rearm(t, now + again);
}

const struct lpf__host lpf_python_host = {tick};
