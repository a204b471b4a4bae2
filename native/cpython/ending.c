/* The ends of continuations: cancelled, dropped, left by a thread that ends, or by the process.
 *
 * Invariant: a stack with frames on it is never given back.
 */
#include "native.h"

static int kept_for_main; /* Those of the main thread that were dropped on another one. */

/* Never started: there is nothing to unwind. */
void lpf_continuation_cancel_ready(Continuation *c)
{
    lpf__discard(&c->core);
    lpf_stack_give_back(c);
    c->cancelled = true;
    lpf_continuation_unlink(c);
    lpf_call_drop(c);
    lpf_continuation_keep_no_longer(c);
}

/* Resumes it with Cancelled until it has ended or is given up.  0 or -1 with an exception. */
static int cancel_paused(PyThreadState *ts, Continuation *c, uint64_t grace_ns)
{
    PyObject *message = PyUnicode_FromString("cancelled");
    if (message == NULL) {
        return -1;
    }
    lpf_cancel_start(&c->canceller, grace_ns);
    while (!lpf_continuation_has_ended(c)) { /* More than once if it pauses itself meanwhile. */
        if (c->canceller.exception != NULL && lpf__now() >= c->canceller.until) {
            c->abandoned = true;
            Py_INCREF(c);
            break;
        }
        PyObject *exception = lpf_cancel_exception(&c->canceller, message);
        if (exception == NULL) {
            Py_DECREF(message);
            return -1;
        }
        Py_XSETREF(c->thrown, exception);
        c->core.request = LPF__REQUEST_HOST;
        if (lpf_safepoint_installed_here()) {
            lpf_cancel_watch(c->core.thread, &c->canceller, lpf__now());
        }
        lpf_ladder_reached(); /* C code that drops many of them goes on, although no tick sees it. */
        lpf_continuation_run(ts, c, LPF_FOREVER);
    }
    Py_DECREF(message);
    return 0;
}

int lpf_continuation_cancel(Continuation *c, uint64_t grace_ns)
{
    if (lpf_continuation_has_ended(c)) {
        return 0;
    }
    if (lpf_continuation_check(c, "cancelled") < 0) {
        return -1;
    }
    if (c->core.state == LPF_READY) {
        lpf_continuation_cancel_ready(c);
        return 0;
    }
    return cancel_paused(PyThreadState_Get(), c, grace_ns);
}

static bool stands_here(Continuation *c)
{
    return !lpf_continuation_has_ended(c) && c->core.thread == lpf__self &&
           (c->core.state == LPF_READY || c->core.state == LPF_PAUSED);
}

/* The list holds it for ever. */
static void abandon(Continuation *c)
{
    c->abandoned = true;
    Py_INCREF(c);
}

/* Cancels what nobody refers to any more. */
static void cancel_dropped(Continuation *c)
{
    if (lpf_continuation_cancel(c, LPF_DROP_GRACE) < 0) {
        PyErr_WriteUnraisable((PyObject *)c);
        if (!lpf_continuation_has_ended(c)) {
            abandon(c);
        }
    } else if (c->abandoned) {
        PyErr_Format(PyExc_RuntimeWarning,
                     "%s was dropped while paused, did not let itself be cancelled, and is "
                     "abandoned: its stack stays in memory",
                     lpf_continuation_name(c));
        PyErr_WriteUnraisable((PyObject *)c);
    }
}

/* Dropped on another thread than its own: the list holds it until its own cancels it, the main
 * thread at its next safe point, others when they end. */
static void keep(Continuation *c)
{
    c->kept = true;
    Py_INCREF(c);
    if (lpf_safepoint_works_on(c->core.thread)) {
        kept_for_main++;
        lpf_safepoint_again();
    }
}

/* It has ended after all. */
void lpf_continuation_keep_no_longer(Continuation *c)
{
    if (c->kept) {
        c->kept = false;
        kept_for_main -= lpf_safepoint_works_on(c->core.thread);
        Py_DECREF(c);
    }
}

void lpf_continuation_cancel_kept(void)
{
    for (Continuation *c = lpf_live; kept_for_main > 0 && c != NULL;) {
        if (!c->kept || !stands_here(c)) {
            c = c->next;
            continue;
        }
        Py_INCREF(c);
        lpf_continuation_keep_no_longer(c);
        cancel_dropped(c);
        Py_DECREF(c);
        c = lpf_live; /* Unwinding may have ended others too. */
    }
}

/* The last reference is gone.  May be called again, if the object was revived. */
void lpf_continuation_finalize(PyObject *self)
{
    Continuation *c = (Continuation *)self;
    if (lpf_continuation_has_ended(c) ||
        (c->core.state != LPF_READY && c->core.state != LPF_PAUSED)) {
        return;
    }
    PyObject *present = lpf_take_exception();
    if (c->core.thread == lpf__self) {
        cancel_dropped(c);
    } else if (c->core.state == LPF_PAUSED) { /* One that has not begun has nothing to unwind. */
        if (atomic_load(&c->core.thread->ended)) {
            abandon(c);
        } else {
            keep(c);
        }
    }
    if (present != NULL) {
        lpf_set_exception(present);
    }
}

/* As PyObject_CallFinalizerFromDealloc, but also when the collector has called it before: a stack
 * with frames on it must never be given back. */
bool lpf_continuation_revived(Continuation *c)
{
    Py_SET_REFCNT((PyObject *)c, 1);
    lpf_continuation_finalize((PyObject *)c);
    Py_ssize_t count = Py_REFCNT((PyObject *)c) - 1;
    Py_SET_REFCNT((PyObject *)c, count);
    return count > 0;
}

/* A thread ends: what it leaves paused would never go on. */
static void thread_ends(PyObject *capsule)
{
    if (PyCapsule_GetPointer(capsule, NULL) != lpf__self) {
        return; /* After a fork, the child tidies up after threads that it does not have. */
    }
    PyObject *present = lpf_take_exception();
    for (Continuation *c = lpf_live; c != NULL;) {
        if (!stands_here(c)) {
            c = c->next;
            continue;
        }
        Py_INCREF(c);
        lpf_continuation_keep_no_longer(c);
        cancel_dropped(c);
        Py_DECREF(c);
        c = lpf_live;
    }
    if (present != NULL) {
        lpf_set_exception(present);
    }
}

/* Has thread_ends called for this thread, which is not the main one. */
int lpf_continuation_watch_thread(void)
{
    PyObject *dict = PyThreadState_GetDict(); /* Cleared by the thread itself when it ends. */
    if (dict == NULL || PyDict_GetItemString(dict, "lpf") != NULL) {
        return 0;
    }
    PyObject *capsule = PyCapsule_New(lpf__self, NULL, thread_ends);
    int status = capsule != NULL ? PyDict_SetItemString(dict, "lpf", capsule) : -1;
    Py_XDECREF(capsule);
    return status;
}

PyObject *lpf_shutdown_py(PyObject *module, PyObject *args)
{
    double grace;
    (void)module;
    if (!PyArg_ParseTuple(args, "d:_shutdown", &grace)) {
        return NULL;
    }
    for (Continuation *c = lpf_live; c != NULL;) {
        Continuation *next = c->next;
        if (stands_here(c)) {
            Py_INCREF(c);
            if (lpf_continuation_cancel(c, (uint64_t)(grace * 1e9)) < 0) {
                PyErr_WriteUnraisable((PyObject *)c);
            }
            next = lpf_live; /* Unwinding may have ended others too. */
            Py_DECREF(c);
        }
        c = next;
    }
    if (lpf_current() == NULL) {
        lpf_safepoint_close();
    }
    Py_RETURN_NONE;
}
