/* Rung 1 of the ladder: Python's own safe points.
 *
 * The signal handler (core/preempt.c) asks the interpreter to call the Python-level handler of the
 * signal, lpf_safepoint_py, with PyErr_SetInterruptEx, which is made for that.  The interpreter does
 * so between bytecodes and wherever C code calls PyErr_CheckSignals.  There, with the GIL held and
 * no object half changed, the function is left.
 *
 * Invariants: only the main thread of the main interpreter comes here, since CPython delivers
 * signals nowhere else.  A tick that has been asked for and not answered is asked for again
 * (ladder.c), so that a signal which comes just before a blocking call is not lost.
 */
#include "native.h"

#include <string.h>

#define LAST_RETRY (8 * LPF__MILLISECOND)
#define DEFER_RETRY (LPF__MILLISECOND / 5)

/* What modules call, with the GIL released, to wait for the lock of an object (a compressor, a hash) that
 * a function which stands still may hold: the first two up to 3.12, the others from 3.13. */
static const char *const lock_functions[] = {"PyThread_acquire_lock", "PyThread_acquire_lock_timed",
                                             "PyMutex_Lock", "_PyParkingLot_Park",
                                             "_PySemaphore_Wait"};

static struct lpf__thread *volatile main_thread; /* The thread that the handler is installed for. */
static PyThreadState *volatile main_state;       /* Its thread state. */
static volatile sig_atomic_t closed;
static volatile sig_atomic_t stray; /* A signal from outside while nothing ran. */
static uint64_t defer = DEFER_RETRY;
static bool looking;            /* The guards are being asked: that runs Python code. */
static PyObject *native_module; /* Borrowed: the module lives as long as the process. */
static PyObject *on_stray;

/* ---- Called by the interpreter ------------------------------------------------------------ */

/* Called by the signal handler (core/preempt.c). */
static void external(struct lpf__thread *t)
{
    (void)t;
    if (!closed) {
        stray = 1;
        PyErr_SetInterruptEx(lpf__signal);
    }
}

void lpf_safepoint_again(void)
{
    if (!closed) {
        PyErr_SetInterruptEx(lpf__signal);
    }
}

static int call_on_stray(void)
{
    stray = 0;
    if (on_stray == NULL || on_stray == Py_None) {
        return 0;
    }
    PyObject *result = PyObject_CallNoArgs(on_stray);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* Did the collection that is under way begin further out than what is due?  Then it is not in the way. */
static bool in_outer_collection(PyThreadState *ts, struct lpf__due due)
{
    bool *began_in_one = due.limit != NULL ? &lpf_limit_of(due.limit)->in_collection
                                           : &lpf_continuation_of(due.function)->in_collection;
    *began_in_one = *began_in_one && lpf_collecting(ts); /* Or else that one is over. */
    return *began_in_one;
}

PyObject *lpf_safepoint_blocked_by(PyThreadState *ts, struct lpf__due due)
{
    const lpf_frame *end = NULL;
    lpf_t *last = due.function != NULL ? due.function : due.within;
    if (last != NULL && last->host == &lpf_python_host) {
        end = &lpf_continuation_of(last)->root.shim;
    }
    looking = true;
    PyObject *name = lpf_guard_blocks(ts, end, in_outer_collection(ts, due));
    looking = false;
    return name;
}

/* The canceller of what is due, if it is being cancelled. */
static struct lpf_canceller *canceller_of(struct lpf__due due)
{
    if (due.limit != NULL) {
        return &lpf_limit_of(due.limit)->canceller;
    }
    Continuation *c = lpf_continuation_of(due.function);
    return c->canceller.active ? &c->canceller : NULL;
}

static void try_again_soon(struct lpf__thread *t, uint64_t now)
{
    uint64_t next = now + defer;
    if (defer < LAST_RETRY) {
        defer *= 2;
    }
    if (next < t->timer.armed && t->timer.exists) {
        lpf__timer_arm(&t->timer, next);
    }
}

static int raise_in_place(struct lpf__thread *t, struct lpf_canceller *canceller, PyObject *message,
                          uint64_t now)
{
    PyObject *exception = lpf_cancel_exception(canceller, message);
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception); /* With its context. */
        Py_DECREF(exception);
    }
    lpf_cancel_watch(t, canceller, now);
    return -1;
}

static int cancel_function(PyThreadState *ts, struct lpf__thread *t, Continuation *c, uint64_t now)
{
    enum lpf_cancel_step step = lpf_cancel_look(ts, &c->canceller, now);
    if (step == LPF_CANCEL_GIVE_UP &&
        lpf_pystate_is_in_greenlet(ts, &lpf_continuation_of(t->current)->root)) {
        step = LPF_CANCEL_RAISE; /* Every later switch of a greenlet would go wrong. */
    }
    switch (step) {
    case LPF_CANCEL_WAIT:
        lpf_cancel_watch(t, &c->canceller, now);
        return 0;
    case LPF_CANCEL_RAISE: {
        PyObject *message = PyUnicode_FromString("cancelled");
        int status = message != NULL ? raise_in_place(t, &c->canceller, message, now) : -1;
        Py_XDECREF(message);
        return status;
    }
    case LPF_CANCEL_GIVE_UP:
        break;
    }
    c->abandoned = true;
    return lpf_continuation_leave(ts, c, LPF_REASON_NONE); /* Never comes back. */
}

static int enforce_limit(PyThreadState *ts, struct lpf__thread *t, TimeLimit *limit, uint64_t now)
{
    if (!limit->canceller.active) {
        lpf_cancel_start(&limit->canceller, limit->grace);
    }
    if (lpf_cancel_look(ts, &limit->canceller, now) == LPF_CANCEL_WAIT) {
        lpf_cancel_watch(t, &limit->canceller, now);
        return 0;
    }
    /* Giving up is not possible: the block is on the stack of its caller.  Raise again. */
    PyObject *message = PyUnicode_FromString("time limit");
    int status = message != NULL ? raise_in_place(t, &limit->canceller, message, now) : -1;
    Py_XDECREF(message);
    return status;
}

enum lpf_reason lpf_safepoint_reason(const lpf_t *c)
{
    switch (c->request) {
    case LPF__REQUEST_PAUSE:
        return LPF_REASON_REQUEST;
    case LPF__REQUEST_SIGNAL:
        return LPF_REASON_SIGNAL;
    default:
        return LPF_REASON_TIMEOUT;
    }
}

/* A native function lies on top of what is due (a callback from C into Python): it cannot be left
 * from here.  Its own tick leaves it once it is back in native code. */
static bool native_on_top(struct lpf__thread *t, struct lpf__due due)
{
    lpf_t *last = due.function != NULL ? due.function : due.within;
    for (lpf_t *c = t->current; c != NULL && c != last; c = c->caller) {
        if (c->host != &lpf_python_host) {
            return true;
        }
    }
    return last != NULL && last->host != &lpf_python_host;
}

/* What is due.  A limit whose block is being unwound, with functions that are cancelled on the way,
 * is let alone for a while: they must not be left for its sake. */
static struct lpf__due find_due(PyThreadState *ts, struct lpf__thread *t, uint64_t now)
{
    for (;;) {
        struct lpf__due due = lpf__find_due(t, now);
        if (due.limit == NULL || due.function == NULL) {
            return due;
        }
        struct lpf_canceller *canceller = &lpf_limit_of(due.limit)->canceller;
        if (canceller->exception == NULL ||
            lpf_cancel_look(ts, canceller, now) != LPF_CANCEL_WAIT) {
            return due;
        }
        due.limit->due = false;
        lpf__set_deadline(t, &due.limit->deadline, now + LPF_CANCEL_INTERVAL);
    }
}

static int safepoint(struct lpf__thread *t)
{
    PyThreadState *ts = PyThreadState_Get();
    uint64_t now = lpf__now();
    struct lpf__due due = find_due(ts, t, now);
    if (due.function == NULL && due.limit == NULL) {
        return 0;
    }
    if (looking || native_on_top(t, due)) {
        try_again_soon(t, now);
        return 0;
    }
    struct lpf_canceller *canceller = canceller_of(due);
    PyObject *blocker = lpf_safepoint_blocked_by(ts, due);
    if (blocker != NULL) {
        bool wait = canceller == NULL || !canceller->active || now < canceller->half;
        if (wait) {
            if (due.limit != NULL && !canceller->active) {
                lpf_cancel_start(canceller, lpf_limit_of(due.limit)->grace);
            }
            Py_DECREF(blocker);
            try_again_soon(t, now);
            return 0;
        }
        if (due.function != NULL) {
            Py_XSETREF(lpf_continuation_of(due.function)->broke_into, Py_NewRef(blocker));
        }
        Py_DECREF(blocker);
    }
    defer = DEFER_RETRY;
    if (due.function == NULL) {
        return enforce_limit(ts, t, lpf_limit_of(due.limit), now);
    }
    Continuation *c = lpf_continuation_of(due.function);
    if (c->thrown != NULL && due.limit == NULL) {
        /* It was left in native code, where nothing could be raised; now it is back. */
        return lpf_continuation_raise_thrown(c);
    }
    if (due.limit != NULL) {
        /* The limit's block is further out: leave what runs inside it, then look again there. */
        c->left_for_limit = true;
        return lpf_continuation_leave(ts, c, LPF_REASON_TIMEOUT);
    }
    if (canceller != NULL) {
        return cancel_function(ts, t, c, now);
    }
    return lpf_continuation_leave(ts, c, lpf_safepoint_reason(due.function));
}

PyObject *lpf_safepoint_py(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module, (void)args, (void)count;
    struct lpf__thread *t = lpf__self;
    if (closed || t == NULL) {
        Py_RETURN_NONE;
    }
    lpf_ladder_reached();
    lpf_continuation_cancel_kept();
    if (stray && call_on_stray() < 0) {
        return NULL;
    }
    if (t->nudged) {
        lpf_watch_let_go(t);
    }
    if (safepoint(t) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- Installing --------------------------------------------------------------------------- */

bool lpf_safepoint_works_on(const struct lpf__thread *t)
{
    return !closed && t == main_thread;
}

PyThreadState *lpf_safepoint_main_state(void)
{
    return main_state;
}

bool lpf_safepoint_installed_here(void)
{
    return main_thread != NULL && main_thread == lpf__self && !closed;
}

int lpf_safepoint_install(void)
{
    if (lpf_safepoint_installed_here()) {
        return 0;
    }
    if (closed) {
        PyErr_SetString(lpf_errors.state, "time limits are over: Python is shutting down");
        return -1;
    }
    struct lpf__thread *t = lpf__thread_get();
    if (t == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *callable = PyObject_GetAttrString(native_module, "_safepoint");
    PyObject *signal = callable != NULL ? PyImport_ImportModule("signal") : NULL;
    PyObject *previous = signal != NULL ? PyObject_CallMethod(signal, "signal", "iO",
                                                              lpf__preempt_signal(), callable)
                                        : NULL;
    Py_XDECREF(signal);
    Py_XDECREF(callable);
    if (previous == NULL) {
        return -1;
    }
    if (PyCallable_Check(previous) && previous != callable) {
        /* Whoever had the signal in Python goes on hearing of those that we have no use for. */
        Py_XSETREF(on_stray, Py_NewRef(previous));
    }
    Py_DECREF(previous);
    lpf_ladder_init();
    /* signal.signal has installed CPython's C handler; ours takes its place and calls it through
     * PyErr_SetInterruptEx.  Without SA_RESTART, as CPython does it: a blocking call must return
     * so that the safe point behind it is reached. */
    if (lpf__preempt_install(false) != LPF_OK) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (!t->timer.exists && lpf__timer_create(&t->timer) != LPF_OK) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    lpf__external = external;
    lpf__poked = lpf_gil_tick;
    main_state = PyThreadState_Get();
    main_thread = t;
    lpf_signals_reach(main_state);
    lpf__codemap_refuse((void *)&PyErr_SetInterruptEx);
    static bool told;
    for (size_t i = 0; !told && i < sizeof lock_functions / sizeof *lock_functions; i++) {
        lpf__codemap_waits(lock_functions[i]);
    }
    told = true;
    lpf__codemap_refresh();
    return lpf_sigmask_watch();
}

int lpf_need_main_thread(const char *what)
{
    if (lpf_safepoint_install() == 0) {
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Format(lpf_errors.thread,
                     "%s works on the main thread of the main interpreter only, where CPython "
                     "delivers signals; without it, launch, pause and resume work on every thread",
                     what);
    }
    return -1;
}

void lpf_safepoint_ready(PyObject *module)
{
    native_module = module;
}

void lpf_safepoint_close(void)
{
    closed = 1;
    if (lpf__self != NULL) {
        lpf__timer_delete(&lpf__self->timer);
    }
}

PyObject *lpf_on_stray_py(PyObject *module, PyObject *callback)
{
    (void)module;
    if (callback != Py_None && !PyCallable_Check(callback)) {
        PyErr_Format(PyExc_TypeError, "callback must be callable or None, not %.200s",
                     Py_TYPE(callback)->tp_name);
        return NULL;
    }
    PyObject *previous = on_stray != NULL ? on_stray : Py_NewRef(Py_None);
    on_stray = Py_NewRef(callback);
    return previous;
}
