/* What the files of the CPython host know of each other.
 *
 *   compat.h        every difference between CPython versions
 *   threadstate.c   the half of a thread state that belongs to a stack
 *   contextvars.c   the context variables of a function that stands still
 *   guard.c         Python frames that must not be left in the middle
 *   cancel.c        raising an exception in a function until it has unwound
 *   safepoint.c     rung 1: the Python-level signal handler, where functions are left
 *   ladder.c        what the signal handler does until one of the rungs is reached
 *   iterators.c     rung 3: calls to tp_iternext as safe points
 *   blas.c          OpenBLAS, which can be abandoned, not paused
 *   blas_threads.c  the end of its threads, then
 *   starve.c        rung 4: allocations that fail
 *   gil.c           C code on other threads that keeps the GIL
 *   watch.c         a native thread that sees when others wait for the GIL in vain
 *   report.c        rung 6: it tells the user what cannot be left
 *   holders.c       and who waits for a lock of a function that stands still
 *   symbols.c       names of C functions
 *   wire.c          a message to a notebook, signed with what sha256.c computes
 *   sigmask.c       the signal mask, saved only for those who change it
 *   seconds.c       time limits as Python numbers
 *   continuation.c  the type Continuation, as Python sees it
 *   states.c        what can be done with one now; all that have not ended
 *   call.c          the call that it makes
 *   run.c           launch, pause, resume, throw: the hot path
 *   timed_call.c    lpf.call
 *   ending.c        cancelled, dropped, left by a thread or by the process
 *   limit.c         the types TimeLimit and Uninterruptible
 *   module.c        the module
 */
#ifndef LPF_NATIVE_H
#define LPF_NATIVE_H

#include "threadstate.h"

/* ---- contextvars.c ------------------------------------------------------------------------ */

struct lpf_contextvars {
    PyContext *shared; /* The Context that the function was launched in. */
    PyHamtObject *at_launch;
    PyHamtObject *callers; /* While the function runs, from its first resume on. */
    PyHamtObject *own;     /* While it stands still. */
    struct lpf_entered *entered;
    bool left;  /* It has stood still at least once. */
    bool stays; /* Nothing is exchanged: the Context is the function's own. */
};

/* Each belongs to one move; the function's thread state need not be loaded. */
void lpf_contextvars_begin(PyThreadState *ts, struct lpf_contextvars *v);
void lpf_contextvars_leave(PyThreadState *ts, struct lpf_contextvars *v);
void lpf_contextvars_resume(PyThreadState *ts, struct lpf_contextvars *v);
void lpf_contextvars_end(PyThreadState *ts, struct lpf_contextvars *v); /* Runs Python code. */
void lpf_contextvars_drop(struct lpf_contextvars *v);

/* ---- cancel.c ----------------------------------------------------------------------------- */

/* An exception that is raised in running code until that code has unwound. */
struct lpf_canceller {
    PyObject *exception; /* NULL before it is raised first. */
    uint64_t half;       /* From here on it is raised again even inside a finally block. */
    uint64_t until;      /* From here on the code is given up. */
    unsigned raised;     /* How often. */
    unsigned quick;      /* Safe points at which to look again without waiting for a tick. */
    bool active;
    bool pressed; /* Raised again because of `half`. */
};

#define LPF_CANCEL_INTERVAL (2 * LPF__MILLISECOND) /* Between two looks. */

enum lpf_cancel_step { LPF_CANCEL_WAIT, LPF_CANCEL_RAISE, LPF_CANCEL_GIVE_UP };

void lpf_cancel_start(struct lpf_canceller *canceller, uint64_t grace_ns);
/* Looks whether the exception is still being handled, was swallowed, or has taken too long. */
enum lpf_cancel_step lpf_cancel_look(PyThreadState *ts, struct lpf_canceller *canceller,
                                     uint64_t now);
/* The lpf.Cancelled to raise, made at the first call.  New reference, NULL on error. */
PyObject *lpf_cancel_exception(struct lpf_canceller *canceller, PyObject *message);
/* Is `raised` that, or a group of nothing else?  asyncio.TaskGroup and except* make such.  No exception
 * is set, before or after. */
bool lpf_cancel_is(const struct lpf_canceller *canceller, PyObject *raised);
/* Asks for the next look. */
void lpf_cancel_watch(struct lpf__thread *t, struct lpf_canceller *canceller, uint64_t now);
void lpf_cancel_clear(struct lpf_canceller *canceller);

/* ---- The continuation ---------------------------------------------------------------------- */

enum lpf_reason {
    LPF_REASON_NONE,
    LPF_REASON_TIMEOUT, /* Its time limit. */
    LPF_REASON_REQUEST, /* request_pause. */
    LPF_REASON_SIGNAL,  /* The signal came from outside the process. */
    LPF_REASON_PAUSE,   /* It called lpf.pause itself. */
};

/* Has an allocation been made to fail, and what for? */
enum lpf_starved { LPF_NOT_STARVED, LPF_STARVED_TO_END, LPF_STARVED_BY_INTERRUPT };

#define LPF_INLINE_ARGUMENTS 6

typedef struct lpf_continuation {
    PyObject_HEAD
    PyObject *function;
    PyObject **arguments; /* One free slot in front, for the vectorcall protocol. */
    Py_ssize_t positional;
    PyObject *keywords; /* Tuple of names or NULL. */
    PyObject *result;
    PyObject *exception;
    PyObject *thrown;     /* To be raised where it stands, when resumed. */
    PyObject *broke_into; /* Name of the guarded module that a cancel did not wait for. */
    PyObject *value;      /* Of lpf.pause(value). */
    PyObject *name_owner; /* What core.name belongs to, or NULL. */
    PyObject *weakrefs;
    unsigned long thread_ident;
    struct lpf_canceller canceller;
    struct lpf_contextvars contextvars;
    struct lpf_continuation *previous, *next; /* All that have not ended. */
    enum lpf_reason reason;
    bool cancelled;
    bool abandoned;
    bool in_collection; /* Launched by a finalizer, say, that the collector runs. */
    enum lpf_starved starved;
    bool insists;                /* Its time limit is going to be followed by a cancel. */
    bool kept;                   /* By the list: dropped on another thread than its own. */
    int blas;                    /* Which OpenBLAS it was abandoned in; see blas.c. */
    bool left_for_limit;         /* Left only so that a time_limit around it can be enforced. */
    uint64_t blocked, unblocked; /* Signals, by its own calls: a bit each. */
    PyObject *reserved;          /* Whose stack it has; NULL: the pool's. */
    lpf_t core;                  /* Its host is lpf_python_host. */
    /* What follows, and the last part of the core, need not be zero in the beginning. */
    struct lpf_pystate inside;  /* While it stands still. */
    struct lpf_pystate outside; /* Its launcher's or resumer's, while it runs. */
    struct lpf_pyroot root;
    PyObject *few[LPF_INLINE_ARGUMENTS + 1];
} Continuation;

extern PyTypeObject LpfContinuation_Type;
extern const struct lpf__host lpf_python_host;

static inline Continuation *lpf_continuation_of(lpf_t *core)
{
    return (Continuation *)((char *)core - offsetof(Continuation, core));
}

static inline bool lpf_continuation_has_ended(const Continuation *c)
{
    return c->abandoned || c->core.state == LPF_FINISHED || c->core.state == LPF_CANCELLED;
}

static inline const char *lpf_continuation_name(const Continuation *c)
{
    return c->core.name != NULL ? c->core.name : "?";
}

/* ---- continuation.c ----------------------------------------------------------------------- */

/* Its result, or -- NULL and an exception -- what it raised, or why there is none. */
PyObject *lpf_continuation_result(Continuation *c);
/* The innermost frame, also of one that is held inside another; None while it runs. */
PyObject *lpf_continuation_frame(Continuation *c, void *closure);
int lpf_continuation_ready(void);

/* ---- states.c ----------------------------------------------------------------------------- */

extern Continuation *lpf_live; /* The newest of all that have not ended; linked by `next`. */

const char *lpf_continuation_state(Continuation *c);
/* May it be resumed now?  -1 with an exception that says what stands against it. */
int lpf_continuation_check(Continuation *c, const char *verb);
void lpf_continuation_link(Continuation *c);
void lpf_continuation_unlink(Continuation *c);
PyObject *lpf_live_py(PyObject *, PyObject *);

/* ---- call.c ------------------------------------------------------------------------------- */

/* Copies the call, since it may outlive the caller's frame.  `skip` is the index of the keyword to
 * leave out, -1 for none. */
int lpf_call_take(Continuation *c, PyObject *function, PyObject *const *args, Py_ssize_t positional,
                  PyObject *keywords, Py_ssize_t skip);
void lpf_call_drop(Continuation *c);

/* ---- run.c -------------------------------------------------------------------------------- */

/* A READY continuation of the call.  args[0] is the function. */
Continuation *lpf_continuation_make(PyThreadState *ts, const char *verb, PyObject *const *args,
                                    Py_ssize_t positional, PyObject *keywords, uint64_t *limit_ns,
                                    PyObject *reserved);
void lpf_continuation_delete(Continuation *c);
/* Starts or resumes it; returns when it has ended or stands still again. */
void lpf_continuation_run(PyThreadState *ts, Continuation *c, uint64_t limit_ns);
/* Leave `c`, which runs on this thread, and whatever runs inside it.  Returns when it is resumed;
 * -1 with an exception set if it is resumed to raise that. */
int lpf_continuation_leave(PyThreadState *ts, Continuation *c, enum lpf_reason reason);
/* The same from inside the signal handler, in native code that has released the GIL (which the
 * caller has taken again).  What is to be raised stays in `thrown` until it is back in Python. */
void lpf_continuation_leave_native(PyThreadState *ts, Continuation *c, enum lpf_reason reason);
/* Raises it; always -1. */
int lpf_continuation_raise_thrown(Continuation *c);
PyObject *lpf_launch_py(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *lpf_launch_on_py(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *lpf_launch_step_py(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *lpf_resume_py(Continuation *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *lpf_throw_py(Continuation *, PyObject *, PyObject *);
PyObject *lpf_pause_py(PyObject *, PyObject *const *, Py_ssize_t);
PyObject *lpf_current_py(PyObject *, PyObject *);
int lpf_run_ready(void);

/* ---- timed_call.c ------------------------------------------------------------------------- */

PyObject *lpf_call_py(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

/* ---- ending.c ----------------------------------------------------------------------------- */

#define LPF_DROP_GRACE (500 * LPF__MILLISECOND)

/* 0 when it has ended, by itself or not, or is abandoned; -1 with an exception. */
int lpf_continuation_cancel(Continuation *c, uint64_t grace_ns);
void lpf_continuation_cancel_ready(Continuation *c); /* One that has not begun. */
/* Cancels those of the main thread that were dropped on other ones. */
void lpf_continuation_cancel_kept(void);
void lpf_continuation_keep_no_longer(Continuation *c); /* It has ended. */
/* Has what it leaves paused cancelled when this thread, which is not the main one, ends. */
int lpf_continuation_watch_thread(void);
void lpf_continuation_finalize(PyObject *self);
bool lpf_continuation_revived(Continuation *c); /* By its finalizer, called for a last time. */
PyObject *lpf_shutdown_py(PyObject *, PyObject *);

/* ---- safepoint.c -------------------------------------------------------------------------- */

PyObject *lpf_safepoint_py(PyObject *, PyObject *const *, Py_ssize_t);
PyObject *lpf_on_stray_py(PyObject *, PyObject *);
void lpf_safepoint_ready(PyObject *module);
int lpf_safepoint_install(void); /* On the main thread; -1 with an exception. */
/* Is this the thread on which CPython delivers signals?  Installs the handler at the first call.
 * -1 with lpf.ThreadError set otherwise. */
int lpf_need_main_thread(const char *what);
bool lpf_safepoint_installed_here(void); /* For this very thread? */
void lpf_safepoint_again(void);          /* Have the safe point called once more. */
void lpf_safepoint_close(void);          /* Ticks are ignored from now on. */

/* New reference to the name of the module that forbids leaving what is due, NULL (no error) if
 * nothing does. */
PyObject *lpf_safepoint_blocked_by(PyThreadState *ts, struct lpf__due due);
enum lpf_reason lpf_safepoint_reason(const lpf_t *c);
bool lpf_safepoint_works_on(const struct lpf__thread *t); /* Async-signal-safe. */
PyThreadState *lpf_safepoint_main_state(void);            /* Async-signal-safe. */

/* ---- ladder.c ----------------------------------------------------------------------------- */

void lpf_ladder_init(void);                        /* Before the handler is installed. */
void lpf_ladder_reached(void);                     /* A safe point has been reached. */
bool lpf_ladder_in_bytecode(const void *ucontext); /* Was the bytecode loop interrupted? */

/* ---- iterators.c -------------------------------------------------------------------------- */

PyObject *lpf_iterators_set_py(PyObject *, PyObject *);
void lpf_iterators_wrap(void); /* Async-signal-safe; GIL held by this thread. */
/* Is a function likely to draw from an iterator, that was interrupted in the bytecode loop or not?
 * The one that was left last did, and has not been seen in Python since.  In the handler. */
bool lpf_iterators_expected(bool in_bytecode);
void lpf_iterators_unwrap(void); /* Not in the handler. */

/* When to step next, and how far. */
struct lpf_steps {
    uint64_t at, pause;
    int most;
};
struct lpf_steps lpf_steps_from(uint64_t when);
/* If it is time.  Async-signal-safe; GIL held by this thread. */
void lpf_iterators_step(struct lpf_steps *steps, uint64_t now, void *ucontext);

/* ---- reserved.c --------------------------------------------------------------------------- */

PyObject *lpf_reserve_stack_py(PyObject *, PyObject *);
/* Its stack, for one function; NULL without an exception: take another one. */
struct lpf__stack *lpf_reserved_take(PyObject *capsule);
void lpf_stack_give_back(Continuation *c); /* To the one who reserved it, or the pool. */

/* ---- blas.c ------------------------------------------------------------------------------- */

void lpf_blas_refresh(void);        /* Not in the handler. */
int lpf_blas_at(uintptr_t pc);      /* Which OpenBLAS is at work there; 0: none.  A.-s.-safe. */
void lpf_blas_abandoned(int which); /* A call into it never comes back.  Not in the handler. */

/* ---- blas_threads.c ----------------------------------------------------------------------- */

/* Ends the threads that compute in this code and are none of Python's.  GIL held. */
void lpf_blas_end_threads(uintptr_t start, uintptr_t end);

/* ---- starve.c ----------------------------------------------------------------------------- */

/* From the handler, GIL held by this thread: its next allocation fails. */
void lpf_starve_once(enum lpf_starved why);
/* Marks what runs if an allocation has failed since this was last asked; true if so.
 * Async-signal-safe. */
bool lpf_starve_note(void);
/* MemoryError, or the SystemError that CPython raises where even that found no memory.  None is
 * allowed. */
bool lpf_starve_may_raise(PyObject *exception);
/* Raises what such an exception stands for, -1, if that is known. */
int lpf_starve_raise_reason(enum lpf_starved why);
extern volatile sig_atomic_t lpf_starving;
void lpf_starve_end(void); /* Not in the handler; GIL held. */

/* What was to be ended has ended: no allocation fails from here on. */
static inline void lpf_ladder_end(void)
{
    if (lpf_starving) {
        lpf_ladder_reached();
    }
}

/* ---- gil.c -------------------------------------------------------------------------------- */

void lpf_gil_init(PyThreadState *main_state);
/* From the watcher's thread: pokes a thread that keeps the GIL.  True if one has lately. */
bool lpf_gil_look(void);
void lpf_gil_poke(void);           /* Has the handler run on the thread that keeps it. */
bool lpf_gil_is_kept(void);        /* By C code on another thread than the main one. */
void lpf_gil_tick(void *ucontext); /* In the handler, on any thread. */
void lpf_gil_let_go(void);         /* At a call to tp_iternext: if this thread is to. */
void lpf_gil_forked(void);         /* In the child. */

/* ---- watch.c ------------------------------------------------------------------------------ */

PyObject *lpf_watch_py(PyObject *, PyObject *);
PyObject *lpf_watch_interrupts_py(PyObject *, PyObject *);
void lpf_watch_let_go(struct lpf__thread *t); /* At a safe point: others may have the GIL. */
bool lpf_watch_interrupted(void);             /* A SIGINT has come that no safe point has seen. */
void lpf_watch_interrupt_seen(void);
void lpf_watch_holders(void); /* Somebody may come to wait for a function that has locks. */
void lpf_watch_wake(void);    /* From its own thread: have the main thread's handler run. */

/* ---- report.c ----------------------------------------------------------------------------- */

void lpf_report_init(uintptr_t loop_start, uintptr_t loop_end);
/* From the handler: nothing could be left since then. */
void lpf_report_tick(PyThreadState *ts, const void *ucontext, uint64_t since, bool holds_gil);
void lpf_report_over(void); /* On the main thread: now it could. */
void lpf_report_look(void); /* From the watcher's thread. */
PyObject *lpf_report_to_py(PyObject *, PyObject *);

/* ---- holders.c ---------------------------------------------------------------------------- */

/* Before it is left, and after: a function that has lent its locks. */
void lpf_holders_add(PyThreadState *ts, const Continuation *c, int id);
void lpf_holders_remove(int id);
bool lpf_holders_exist(void);
void lpf_holders_look(const struct lpf__thread *main_thread); /* From the watcher's thread. */
void lpf_holders_forked(void);                                /* In the child. */

/* ---- wire.c ------------------------------------------------------------------------------- */

PyObject *lpf_wire_py(PyObject *, PyObject *);
PyObject *lpf_wire_multipart_py(PyObject *, PyObject *);
PyObject *lpf_wire_hold_py(PyObject *, PyObject *);
PyObject *lpf_wire_parent_py(PyObject *, PyObject *);
PyObject *lpf_wakeup_wait_py(PyObject *, PyObject *);
PyObject *lpf_same_variables_py(PyObject *, PyObject *const *, Py_ssize_t);

/* ---- guard.c ------------------------------------------------------------------------------ */

/* New reference to the name of the guarded module that forbids leaving now, NULL (no error) if
 * nothing does.  Looks at the frames down to `end`, which is not looked at. */
PyObject *lpf_guard_blocks(PyThreadState *ts, const lpf_frame *end, bool in_collection);
PyObject *lpf_guard_classifier_py(PyObject *, PyObject *);
PyObject *lpf_guard_changed_py(PyObject *, PyObject *);
int lpf_guard_init(void);

/* ---- sigmask.c ---------------------------------------------------------------------------- */

int lpf_sigmask_watch(void); /* Notice Python code that changes the signal mask. */
void lpf_sigmask_hand_on(const Continuation *c); /* It has ended: to its caller. */

/* ---- seconds.c ---------------------------------------------------------------------------- */

/* Nanoseconds from a number of seconds; None is LPF_FOREVER.  -1 and an exception that names
 * `parameter` for anything else. */
int lpf_seconds(PyObject *value, const char *parameter, uint64_t *ns);

/* ---- limit.c ------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    struct lpf__limit core;
    struct lpf_canceller canceller;
    lpf_t *within; /* The function that it was entered in; NULL: the thread's own stack. */
    PyObject *where;
    uint64_t duration;
    uint64_t grace;
    uint64_t started;
    bool entered;
    bool in_collection; /* Entered by a finalizer that the collector runs. */
    enum lpf_starved starved;
} TimeLimit;

extern PyTypeObject LpfTimeLimit_Type;
extern PyTypeObject LpfUninterruptible_Type;

static inline TimeLimit *lpf_limit_of(struct lpf__limit *core)
{
    return (TimeLimit *)((char *)core - offsetof(TimeLimit, core));
}

/* ---- module.c ----------------------------------------------------------------------------- */

/* Exception classes, defined in Python (lpf/_errors.py). */
struct lpf_errors {
    PyObject *cancelled, *timed_out, *not_finished, *state, *thread;
};
extern struct lpf_errors lpf_errors;

#endif
