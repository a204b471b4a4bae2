/* The states of continuations, as users see them, and the list of all that have not ended.
 *
 * Invariant: a continuation is in the list from its launch until it has ended; what was abandoned stays
 * in it, and is kept alive by it, for ever.
 */
#include "native.h"

const char *lpf_continuation_state(Continuation *c)
{
    if (c->abandoned) {
        return "abandoned";
    }
    switch ((enum lpf_state)c->core.state) {
    case LPF_READY:
        return "ready";
    case LPF_RUNNING:
        return "running";
    case LPF_PAUSED:
    case LPF_HELD:
        return "paused";
    case LPF_FINISHED:
        return c->cancelled ? "cancelled" : "finished";
    case LPF_CANCELLED:
        break;
    }
    return "cancelled";
}

static int wrong_state(Continuation *c, const char *verb)
{
    const char *way_out;
    switch ((enum lpf_state)c->core.state) {
    case LPF_RUNNING:
        way_out = "it is on the stack below you; only what is paused or ready can be %s";
        break;
    case LPF_HELD:
        way_out = "it stands inside a paused function that launched it; that one must be %s";
        break;
    default:
        way_out =
            "it has ended; result() and exception() tell how, and only a new launch can be %s";
    }
    PyObject *rest = PyUnicode_FromFormat(way_out, verb);
    PyErr_Format(lpf_errors.state, "%s is %s: %S", lpf_continuation_name(c),
                 lpf_continuation_state(c), rest);
    Py_XDECREF(rest);
    return -1;
}

static int wrong_thread(Continuation *c, const char *verb)
{
    PyErr_Format(lpf_errors.thread,
                 "%s is %s on thread %lu and can only be %s there; from another thread, "
                 "request_pause() and request_cancel() are allowed",
                 lpf_continuation_name(c), lpf_continuation_state(c), c->thread_ident, verb);
    return -1;
}

int lpf_continuation_check(Continuation *c, const char *verb)
{
    if (lpf_continuation_has_ended(c)) {
        return wrong_state(c, verb);
    }
    switch (lpf__check_runnable(&c->core)) {
    case LPF_OK:
        return 0;
    case LPF_ETHREAD:
        return wrong_thread(c, verb);
    default:
        return wrong_state(c, verb);
    }
}

Continuation *lpf_live;

void lpf_continuation_link(Continuation *c)
{
    c->previous = NULL;
    c->next = lpf_live;
    if (lpf_live != NULL) {
        lpf_live->previous = c;
    }
    lpf_live = c;
}

void lpf_continuation_unlink(Continuation *c)
{
    if (c->previous != NULL) {
        c->previous->next = c->next;
    } else if (lpf_live == c) {
        lpf_live = c->next;
    } else {
        return; /* Not in the list. */
    }
    if (c->next != NULL) {
        c->next->previous = c->previous;
    }
    c->previous = c->next = NULL;
}

PyObject *lpf_live_py(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    PyObject *list = PyList_New(0);
    for (Continuation *c = lpf_live; list != NULL && c != NULL; c = c->next) {
        if (PyList_Append(list, (PyObject *)c) < 0) {
            Py_CLEAR(list);
        }
    }
    if (list != NULL && PyList_Reverse(list) < 0) { /* Oldest first. */
        Py_CLEAR(list);
    }
    return list;
}
