/* Blocks with a limit, and blocks without preemption: the types TimeLimit and Uninterruptible.
 *
 * A block runs on the stack of its caller, so it cannot be left and resumed; what a time limit can
 * do is raise an exception in it, again and again, until it is unwound.
 *
 * Invariant: an entered TimeLimit is in the list of the function that it was entered in (or of the
 * thread), innermost first, and is taken out by __exit__ whatever happens.
 */
#include "native.h"

#include <string.h>

/* ---- TimeLimit ---------------------------------------------------------------------------- */

static struct lpf__limit **list_of(struct lpf__thread *t, lpf_t *within)
{
    return within != NULL ? &within->limits : &t->limits;
}

static int limit_init(TimeLimit *limit, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"seconds", "grace", NULL};
    PyObject *seconds, *grace = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O:time_limit", names, &seconds, &grace)) {
        return -1;
    }
    if (limit->entered) {
        PyErr_SetString(lpf_errors.state, "this time_limit is in use");
        return -1;
    }
    limit->grace = 500 * LPF__MILLISECOND;
    if (lpf_seconds(seconds, "seconds", &limit->duration) < 0 ||
        (grace != NULL && lpf_seconds(grace, "grace", &limit->grace) < 0)) {
        return -1;
    }
    if (limit->duration == 0) {
        PyErr_SetString(PyExc_ValueError, "seconds must be positive or None");
        return -1;
    }
    limit->core.host = &lpf_python_host;
    return 0;
}

static PyObject *limit_enter(TimeLimit *limit, PyObject *ignored)
{
    (void)ignored;
    if (limit->entered) {
        PyErr_SetString(lpf_errors.state, "this time_limit is in use already; make another one");
        return NULL;
    }
    if (limit->duration == 0) {
        PyErr_SetString(lpf_errors.state, "this time_limit was never given its seconds");
        return NULL;
    }
    if (lpf_need_main_thread("lpf.time_limit") < 0) {
        return NULL;
    }
    struct lpf__thread *t = lpf__self;
    limit->within = t->current;
    lpf_cancel_clear(&limit->canceller);
    limit->core.due = false;
    limit->starved = LPF_NOT_STARVED;
    limit->core.deadline = LPF_FOREVER;
    limit->started = lpf__now();
    struct lpf__limit **list = list_of(t, limit->within);
    limit->core.outer = *list;
    *list = &limit->core;
    limit->in_collection = lpf_collecting(PyThreadState_Get());
    limit->entered = true;
    Py_INCREF(limit); /* The list's. */
    if (limit->duration != LPF_FOREVER) {
        lpf__set_deadline(t, &limit->core.deadline, limit->started + limit->duration);
    }
    return Py_NewRef((PyObject *)limit);
}

static void take_out(TimeLimit *limit)
{
    struct lpf__limit **at = list_of(lpf__self, limit->within);
    while (*at != NULL && *at != &limit->core) {
        at = &(*at)->outer;
    }
    if (*at != NULL) {
        *at = limit->core.outer;
    }
    limit->entered = false;
}

static PyObject *timed_out(TimeLimit *limit, PyObject *cause)
{
    double elapsed = (double)(lpf__now() - limit->started) * 1e-9;
    PyObject *error = PyObject_CallFunction(lpf_errors.timed_out, "sdOdO", "the block",
                                            (double)limit->duration * 1e-9, Py_None, elapsed,
                                            Py_False);
    if (error != NULL) {
        if (cause != Py_None) {
            PyException_SetTraceback(error, Py_None);
            PyException_SetContext(error, Py_NewRef(cause));
        }
        lpf_set_exception(error);
    }
    return NULL;
}

/* What the block raises of its own goes through; what comes of the limit becomes TimedOut. */
static bool comes_of(const TimeLimit *limit, PyObject *raised)
{
    if (limit->starved && (raised == Py_None || lpf_starve_may_raise(raised))) {
        if (limit->core.due || limit->core.deadline <= lpf__now()) {
            return true;
        }
    }
    return limit->canceller.exception != NULL &&
           (raised == Py_None || lpf_cancel_is(&limit->canceller, raised));
}

static PyObject *limit_exit(TimeLimit *limit, PyObject *const *args, Py_ssize_t count)
{
    if (!limit->entered) {
        PyErr_SetString(lpf_errors.state, "this time_limit was not entered");
        return NULL;
    }
    if (lpf__self == NULL || lpf__self->current != limit->within) {
        PyErr_SetString(lpf_errors.state, "time_limit was left in another preemptible function "
                                          "than it was entered in");
        return NULL;
    }
    lpf_starve_note(); /* While it is in the list. */
    take_out(limit);
    lpf_ladder_end();
    PyObject *answer;
    PyObject *raised = count > 1 ? args[1] : Py_None;
    if (comes_of(limit, raised)) {
        answer = timed_out(limit, raised);
    } else if (limit->starved && lpf_starve_may_raise(raised) &&
               lpf_starve_raise_reason(limit->starved) < 0) {
        answer = NULL; /* With the interrupt, or the limit further out, that it stands for. */
    } else {
        answer = Py_NewRef(Py_False);
    }
    lpf_cancel_clear(&limit->canceller);
    Py_DECREF(limit);
    return answer;
}

static PyObject *limit_when(TimeLimit *limit, void *closure)
{
    (void)closure;
    if (!limit->entered || limit->core.deadline == LPF_FOREVER) {
        Py_RETURN_NONE;
    }
    uint64_t now = lpf__now();
    double left = limit->core.deadline > now ? (double)(limit->core.deadline - now) * 1e-9 : 0.0;
    return PyFloat_FromDouble(left);
}

static int limit_traverse(TimeLimit *limit, visitproc visit, void *arg)
{
    Py_VISIT(limit->canceller.exception);
    return 0;
}

static int limit_clear(TimeLimit *limit)
{
    lpf_cancel_clear(&limit->canceller);
    return 0;
}

static void limit_dealloc(TimeLimit *limit)
{
    PyObject_GC_UnTrack((PyObject *)limit);
    limit_clear(limit);
    Py_TYPE(limit)->tp_free((PyObject *)limit);
}

static PyMethodDef limit_methods[] = {
    {"__enter__", (PyCFunction)(void (*)(void))limit_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))limit_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef limit_getset[] = {
    {"left", (getter)limit_when, NULL, "Seconds that remain; None without a limit.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(limit_doc,
             "time_limit(seconds, *, grace=0.5)\n--\n\nA with block that may take this long "
             "(wall-clock time; None: no limit); then it is unwound and TimedOut comes out of "
             "it.\n\nThe block is unwound by lpf.Cancelled, a BaseException. A block that swallows "
             "it has it raised again; it cannot be abandoned, since it runs on its caller's stack. "
             "Limits nest; the outermost that has passed wins. Main thread only (ThreadError). Not "
             "around await or yield.");

PyTypeObject LpfTimeLimit_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "lpf.time_limit",
    .tp_basicsize = sizeof(TimeLimit),
    .tp_dealloc = (destructor)limit_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = limit_doc,
    .tp_traverse = (traverseproc)limit_traverse,
    .tp_clear = (inquiry)limit_clear,
    .tp_methods = limit_methods,
    .tp_getset = limit_getset,
    .tp_init = (initproc)limit_init,
    .tp_new = PyType_GenericNew,
};

/* ---- Uninterruptible ---------------------------------------------------------------------- */

static PyObject *uninterruptible_enter(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    if (lpf_enter() != LPF_OK) {
        return PyErr_NoMemory();
    }
    return Py_NewRef(self);
}

static PyObject *uninterruptible_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self, (void)args, (void)count;
    if (lpf_leave() != LPF_OK) {
        PyErr_SetString(lpf_errors.state, "uninterruptible() was not entered");
        return NULL;
    }
    Py_RETURN_FALSE;
}

static PyMethodDef uninterruptible_methods[] = {
    {"__enter__", (PyCFunction)(void (*)(void))uninterruptible_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))uninterruptible_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    uninterruptible_doc,
    "uninterruptible()\n--\n\nA with block that is not preempted: a pause, a time limit or "
    "a cancel that comes due inside happens at its end.\n\nNests. On any thread, inside a "
    "preemptible function or not. Ordinary signals (Ctrl-C) are not held back.");

PyTypeObject LpfUninterruptible_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "lpf.uninterruptible",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = uninterruptible_doc,
    .tp_methods = uninterruptible_methods,
    .tp_new = PyType_GenericNew,
};
