/* The type Continuation, as Python sees it. */
#include "native.h"

#include <structmember.h>

static const char *const reason_names[] = {
    [LPF_REASON_NONE] = NULL,         [LPF_REASON_TIMEOUT] = "timeout",
    [LPF_REASON_REQUEST] = "request", [LPF_REASON_SIGNAL] = "signal",
    [LPF_REASON_PAUSE] = "pause",
};

static PyObject *name_of(Continuation *c)
{
    return PyUnicode_FromString(lpf_continuation_name(c));
}

/* ---- Methods ------------------------------------------------------------------------------ */

static PyObject *not_finished(Continuation *c)
{
    PyErr_Format(lpf_errors.not_finished, "%s is %s: resume() it, or cancel() it, first",
                 lpf_continuation_name(c), lpf_continuation_state(c));
    return NULL;
}

static PyObject *raise_cancelled(Continuation *c)
{
    if (c->exception != NULL && !c->abandoned) {
        lpf_set_exception(Py_NewRef(c->exception));
    } else {
        PyErr_Format(lpf_errors.cancelled, "%s was %s", lpf_continuation_name(c),
                     lpf_continuation_state(c));
    }
    return NULL;
}

PyObject *lpf_continuation_result(Continuation *c)
{
    if (c->result != NULL) {
        return Py_NewRef(c->result);
    }
    if (!lpf_continuation_has_ended(c)) {
        return not_finished(c);
    }
    if (c->exception != NULL && !c->cancelled) {
        lpf_set_exception(Py_NewRef(c->exception));
        return NULL;
    }
    return raise_cancelled(c);
}

static PyObject *continuation_result(Continuation *c, PyObject *ignored)
{
    (void)ignored;
    return lpf_continuation_result(c);
}

static PyObject *continuation_exception(Continuation *c, PyObject *ignored)
{
    (void)ignored;
    if (!lpf_continuation_has_ended(c)) {
        return not_finished(c);
    }
    return Py_NewRef(c->exception != NULL ? c->exception : Py_None);
}

static int parse_grace(const char *verb, PyObject *args, PyObject *keywords, uint64_t *grace_ns)
{
    static char *names[] = {"grace", NULL};
    char format[32];
    PyObject *grace = NULL;
    PyOS_snprintf(format, sizeof format, "|$O:%s", verb);
    if (!PyArg_ParseTupleAndKeywords(args, keywords, format, names, &grace)) {
        return -1;
    }
    *grace_ns = LPF_DROP_GRACE;
    return grace != NULL ? lpf_seconds(grace, "grace", grace_ns) : 0;
}

static PyObject *continuation_cancel(Continuation *c, PyObject *args, PyObject *keywords)
{
    uint64_t grace_ns;
    if (parse_grace("cancel", args, keywords, &grace_ns) < 0 ||
        lpf_continuation_cancel(c, grace_ns) < 0) {
        return NULL;
    }
    return PyUnicode_FromString(lpf_continuation_state(c));
}

/* The request is seen by the handler on the function's own thread. */
static PyObject *request(Continuation *c, enum lpf__request what)
{
    struct lpf__thread *t = c->core.thread;
    if (c->core.state != LPF_RUNNING || t == NULL || !lpf__preempt_installed()) {
        Py_RETURN_FALSE;
    }
    lpf__codemap_refresh(); /* What was imported since may be left, too. */
    lpf_blas_refresh();
    c->core.request = what;
    lpf__wake(t);
    Py_RETURN_TRUE;
}

static PyObject *continuation_request_pause(Continuation *c, PyObject *ignored)
{
    (void)ignored;
    return request(c, LPF__REQUEST_PAUSE);
}

static PyObject *continuation_request_cancel(Continuation *c, PyObject *args, PyObject *keywords)
{
    uint64_t grace_ns;
    if (parse_grace("request_cancel", args, keywords, &grace_ns) < 0) {
        return NULL;
    }
    if (c->core.state != LPF_RUNNING || c->canceller.active) {
        return PyBool_FromLong(c->core.state == LPF_RUNNING);
    }
    lpf_cancel_start(&c->canceller, grace_ns);
    return request(c, LPF__REQUEST_HOST);
}

/* The innermost frame, also for one that is held inside another. */
PyObject *lpf_continuation_frame(Continuation *c, void *closure)
{
    (void)closure;
    if (c->core.state != LPF_PAUSED && c->core.state != LPF_HELD) {
        Py_RETURN_NONE;
    }
    lpf_t *holder = lpf__holder(&c->core);
    if (holder->host != &lpf_python_host) {
        Py_RETURN_NONE;
    }
    struct lpf_pystate *state = &lpf_continuation_of(holder)->inside;
    if (holder->leaf != &c->core && c->core.state == LPF_HELD && c->core.callee != NULL &&
        c->core.callee->host == &lpf_python_host) {
        state = &lpf_continuation_of(c->core.callee)->outside;
    }
    PyFrameObject *frame = lpf_pystate_frame(PyThreadState_Get(), state);
    return frame != NULL ? (PyObject *)frame : Py_NewRef(Py_None);
}

static PyObject *continuation_stack(Continuation *c, PyObject *ignored)
{
    (void)ignored;
    PyObject *list = PyList_New(0);
    PyObject *frame = list != NULL ? lpf_continuation_frame(c, NULL) : NULL;
    while (frame != NULL && frame != Py_None) {
        if (PyList_Append(list, frame) < 0) {
            Py_CLEAR(frame);
            break;
        }
        PyObject *back = (PyObject *)PyFrame_GetBack((PyFrameObject *)frame);
        Py_SETREF(frame, back != NULL ? back : Py_NewRef(Py_None));
    }
    if (frame == NULL) {
        Py_CLEAR(list);
    }
    Py_XDECREF(frame);
    return list;
}

/* ---- Attributes --------------------------------------------------------------------------- */

static PyObject *get_state(Continuation *c, void *closure)
{
    (void)closure;
    return PyUnicode_FromString(lpf_continuation_state(c));
}

static PyObject *get_done(Continuation *c, void *closure)
{
    (void)closure;
    return PyBool_FromLong(lpf_continuation_has_ended(c));
}

static PyObject *get_reason(Continuation *c, void *closure)
{
    (void)closure;
    const char *name = reason_names[c->reason];
    return name != NULL ? PyUnicode_FromString(name) : Py_NewRef(Py_None);
}

static PyObject *get_elapsed(Continuation *c, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble((double)lpf_elapsed(&c->core) * 1e-9);
}

static PyObject *get_cpu_time(Continuation *c, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble((double)lpf_cpu_time(&c->core) * 1e-9);
}

static PyObject *get_name(Continuation *c, void *closure)
{
    (void)closure;
    return name_of(c);
}

static PyObject *get_function(Continuation *c, void *closure)
{
    (void)closure;
    return Py_NewRef(c->function != NULL ? c->function : Py_None);
}

static PyObject *get_value(Continuation *c, void *closure)
{
    (void)closure;
    return Py_NewRef(c->value != NULL ? c->value : Py_None);
}

static PyObject *get_starved(Continuation *c, void *closure)
{
    (void)closure;
    lpf_starve_note();
    return PyBool_FromLong(c->starved != LPF_NOT_STARVED);
}

static PyObject *get_broke_into(Continuation *c, void *closure)
{
    (void)closure;
    return Py_NewRef(c->broke_into != NULL ? c->broke_into : Py_None);
}

static PyObject *get_thread_id(Continuation *c, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(c->thread_ident);
}

static PyObject *continuation_repr(Continuation *c)
{
    const char *reason = reason_names[c->reason];
    return PyUnicode_FromFormat("<lpf.Continuation of %s, %s%s%s>", lpf_continuation_name(c),
                                lpf_continuation_state(c), reason != NULL ? ": " : "",
                                reason != NULL ? reason : "");
}

/* ---- References --------------------------------------------------------------------------- */

static int continuation_traverse(Continuation *c, visitproc visit, void *arg)
{
    Py_VISIT(c->function);
    Py_VISIT(c->result);
    Py_VISIT(c->exception);
    Py_VISIT(c->thrown);
    Py_VISIT(c->value);
    Py_VISIT(c->canceller.exception);
    if (c->core.state == LPF_READY && c->arguments != NULL) {
        for (Py_ssize_t i = 0; i < c->positional; i++) {
            Py_VISIT(c->arguments[i]);
        }
    }
    return 0;
}

static int continuation_clear(Continuation *c)
{
    Py_CLEAR(c->result);
    Py_CLEAR(c->exception);
    Py_CLEAR(c->thrown);
    Py_CLEAR(c->value);
    lpf_cancel_clear(&c->canceller);
    return 0;
}

static void continuation_dealloc(Continuation *c)
{
    if (!lpf_continuation_has_ended(c) && c->core.stack != NULL && lpf_continuation_revived(c)) {
        return;
    }
    lpf_gc_untrack((PyObject *)c);
    if (c->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)c);
    }
    lpf_continuation_unlink(c);
    lpf_call_drop(c);
    continuation_clear(c);
    Py_CLEAR(c->function);
    Py_CLEAR(c->broke_into);
    Py_CLEAR(c->name_owner);
    lpf_contextvars_drop(&c->contextvars);
    if (c->reserved != NULL) { /* It could not be begun. */
        lpf_stack_give_back(c);
    }
    lpf__release(&c->core);
    lpf_continuation_delete(c);
}

/* ---- The type ----------------------------------------------------------------------------- */

PyDoc_STRVAR(
    result_doc,
    "result($self, /)\n--\n\nThe value that the function returned; raises what it raised.\n\n"
    "Raises NotFinished while it has not ended, Cancelled if it was cancelled or "
    "abandoned.");
PyDoc_STRVAR(exception_doc,
             "exception($self, /)\n--\n\nWhat the function ended with, or None if it "
             "returned.\n\nRaises NotFinished while it has not ended.");
PyDoc_STRVAR(
    resume_doc,
    "resume($self, /, *, timeout=None, insist=False)\n--\n\nGo on where the function stands, for "
    "at most "
    "timeout "
    "seconds of wall-clock time (None: no limit).\n\nReturns itself when the function has "
    "ended or stands still again. insist: what has not been left by then is going to be "
    "cancelled, so that C code which can only be ended may be ended, by an allocation that "
    "fails (see starved).\n\nOnly on its own thread, and only when paused or ready: "
    "StateError and ThreadError otherwise.");
PyDoc_STRVAR(throw_doc,
             "throw($self, /, exc, *, timeout=None)\n--\n\nAs resume, but exc (an exception or a "
             "class) is raised at the point where the function stands.");
PyDoc_STRVAR(
    cancel_doc,
    "cancel($self, /, *, grace=0.5)\n--\n\nRaise lpf.Cancelled in the function and let it unwind: "
    "finally blocks and context managers run.\n\nRaised again when it is swallowed, and "
    "inside a finally block that takes longer than half of grace seconds. What has not "
    "ended after grace seconds is abandoned: it never runs again and stays in memory.\n\n"
    "Returns the state then: 'cancelled', 'finished' (it ended by itself all the same) or "
    "'abandoned'. Nothing happens to what has ended. Only on its own thread.");
PyDoc_STRVAR(
    request_pause_doc,
    "request_pause($self, /)\n--\n\nFrom any thread: have the running function paused at its next "
    "safe point.\n\nReturns at once: True if it is running, False if not.");
PyDoc_STRVAR(
    request_cancel_doc,
    "request_cancel($self, /, *, grace=0.5)\n--\n\nFrom any thread: have the running function "
    "cancelled, as cancel() does it.\n\nReturns at once: True if it is running.");
PyDoc_STRVAR(stack_doc,
             "stack($self, /)\n--\n\nIts frames while it stands still, innermost first; empty "
             "otherwise. Real frame objects.");

static PyMethodDef continuation_methods[] = {
    {"result", (PyCFunction)(void (*)(void))continuation_result, METH_NOARGS, result_doc},
    {"exception", (PyCFunction)(void (*)(void))continuation_exception, METH_NOARGS, exception_doc},
    {"resume", (PyCFunction)(void (*)(void))lpf_resume_py, METH_FASTCALL | METH_KEYWORDS,
     resume_doc},
    {"throw", (PyCFunction)(void (*)(void))lpf_throw_py, METH_VARARGS | METH_KEYWORDS, throw_doc},
    {"cancel", (PyCFunction)(void (*)(void))continuation_cancel, METH_VARARGS | METH_KEYWORDS,
     cancel_doc},
    {"request_pause", (PyCFunction)(void (*)(void))continuation_request_pause, METH_NOARGS,
     request_pause_doc},
    {"request_cancel", (PyCFunction)(void (*)(void))continuation_request_cancel,
     METH_VARARGS | METH_KEYWORDS, request_cancel_doc},
    {"stack", (PyCFunction)(void (*)(void))continuation_stack, METH_NOARGS, stack_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "Continuation[T]: T is the type of the result."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef continuation_getset[] = {
    {"state", (getter)get_state, NULL,
     "'ready', 'running', 'paused', 'finished', 'cancelled' or 'abandoned'.", NULL},
    {"done", (getter)get_done, NULL, "True when finished, cancelled or abandoned.", NULL},
    {"reason", (getter)get_reason, NULL,
     "Why it is paused: 'timeout', 'request', 'signal' (from outside the process), 'pause' (by "
     "itself); None when it is not.",
     NULL},
    {"frame", (getter)lpf_continuation_frame, NULL,
     "The innermost frame while it stands still, None otherwise.", NULL},
    {"elapsed", (getter)get_elapsed, NULL,
     "Seconds of wall-clock time inside since its start; standing still does not count.", NULL},
    {"cpu_time", (getter)get_cpu_time, NULL,
     "Seconds of this thread's CPU time inside, exact to about 0.1 ms a slice.", NULL},
    {"name", (getter)get_name, NULL, "The qualified name of the function.", NULL},
    {"function", (getter)get_function, NULL, "The function.", NULL},
    {"starved", (getter)get_starved, NULL,
     "True if an allocation of it was made to fail, to end C code that could not be left "
     "otherwise; "
     "a MemoryError that comes out of it then stands for the interrupt or the cancel.",
     NULL},
    {"broke_into", (getter)get_broke_into, NULL,
     "The guarded module that a cancel broke into after waiting for half of its grace, or None.",
     NULL},
    {"value", (getter)get_value, NULL, "What it gave to lpf.pause(), None while it is not there.",
     NULL},
    {"thread_id", (getter)get_thread_id, NULL, "threading.get_ident() of its thread.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(continuation_doc,
             "A call on a stack of its own, to be paused, resumed and cancelled; made by "
             "lpf.launch.\n\nDropping the last reference to a paused one cancels it. It belongs to "
             "the thread that launched it.");

PyTypeObject LpfContinuation_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "lpf.Continuation",
    .tp_basicsize = sizeof(Continuation),
    .tp_dealloc = (destructor)continuation_dealloc,
    .tp_repr = (reprfunc)continuation_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = continuation_doc,
    .tp_traverse = (traverseproc)continuation_traverse,
    .tp_clear = (inquiry)continuation_clear,
    .tp_weaklistoffset = offsetof(Continuation, weakrefs),
    .tp_methods = continuation_methods,
    .tp_getset = continuation_getset,
    .tp_finalize = lpf_continuation_finalize,
};

int lpf_continuation_ready(void)
{
    return PyType_Ready(&LpfContinuation_Type);
}
