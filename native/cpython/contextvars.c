/* The context variables of a function that stands still.
 *
 * A function runs in the Context of its launcher, as in a plain call: what it sets is there when it
 * has ended.  While it stands still, though, its launcher must find its own values (a decimal
 * precision, numpy's error state), and the function its own when it goes on.  Entering another
 * Context would not do: the changes would be lost.
 *
 * The variables of a Context are one immutable mapping (a HAMT), so that the two sides can exchange
 * it by a pointer.  Only where both have set variables by the end are they merged: the launcher's,
 * and over them what the function has changed since its launch.
 *
 * Invariant: `shared` is borrowed until the function is first left, and owned from then on.
 */
#include "native.h"

static void put(PyThreadState *ts, PyContext *context, PyHamtObject *vars)
{
    if (context->ctx_vars != vars) {
        ts->context_ver++; /* Invalidates the cache in every ContextVar. */
    }
    context->ctx_vars = vars;
}

void lpf_contextvars_begin(PyThreadState *ts, struct lpf_contextvars *v)
{
    v->shared = (PyContext *)ts->context;
    if (v->shared != NULL) {
        v->at_launch = (PyHamtObject *)Py_NewRef((PyObject *)v->shared->ctx_vars);
    }
}

void lpf_contextvars_leave(PyThreadState *ts, struct lpf_contextvars *v)
{
    if (v->shared == NULL) {
        return;
    }
    if (v->callers == NULL) { /* For the first time. */
        Py_INCREF(v->shared);
        v->callers = (PyHamtObject *)Py_NewRef((PyObject *)v->at_launch);
    }
    v->own = v->shared->ctx_vars;
    put(ts, v->shared, v->callers);
    v->callers = NULL;
    v->left = true;
}

void lpf_contextvars_resume(PyThreadState *ts, struct lpf_contextvars *v)
{
    if (v->shared == NULL || v->own == NULL) {
        return;
    }
    v->callers = v->shared->ctx_vars;
    put(ts, v->shared, v->own);
    v->own = NULL;
}

/* A Context with these variables, to look into.  Steals nothing. */
static PyContext *as_context(PyHamtObject *vars)
{
    PyContext *context = (PyContext *)PyContext_New();
    if (context != NULL) {
        Py_SETREF(context->ctx_vars, (PyHamtObject *)Py_NewRef((PyObject *)vars));
    }
    return context;
}

/* Sets in the current Context what differs between the two.  A variable that was reset to having no
 * value keeps the launcher's. */
static int apply_changes(PyContext *before, PyContext *after)
{
    PyObject *names = PySequence_List((PyObject *)after);
    for (Py_ssize_t i = 0; names != NULL && i < PyList_GET_SIZE(names); i++) {
        PyObject *variable = PyList_GET_ITEM(names, i);
        PyObject *value = PyObject_GetItem((PyObject *)after, variable);
        PyObject *former = value != NULL ? PyObject_GetItem((PyObject *)before, variable) : NULL;
        PyErr_Clear(); /* A KeyError: it had no value. */
        PyObject *token = value != NULL && value != former ? PyContextVar_Set(variable, value)
                                                           : NULL;
        Py_XDECREF(token);
        Py_XDECREF(former);
        Py_XDECREF(value);
    }
    if (names == NULL) {
        return -1;
    }
    Py_DECREF(names);
    return PyErr_Occurred() ? -1 : 0;
}

static void merge(PyThreadState *ts, struct lpf_contextvars *v)
{
    PyContext *before = as_context(v->at_launch);
    PyContext *after = as_context(v->shared->ctx_vars);
    Py_DECREF(v->shared->ctx_vars);
    put(ts, v->shared, v->callers);
    v->callers = NULL;
    PyObject *present = ts->context;
    ts->context = (PyObject *)v->shared;
    ts->context_ver++;
    if (before == NULL || after == NULL || apply_changes(before, after) < 0) {
        PyErr_WriteUnraisable((PyObject *)v->shared); /* Out of memory. */
    }
    ts->context = present;
    ts->context_ver++;
    Py_XDECREF(before);
    Py_XDECREF(after);
}

void lpf_contextvars_end(PyThreadState *ts, struct lpf_contextvars *v)
{
    if (v->left && v->callers != NULL && v->callers != v->at_launch) {
        merge(ts, v);
    }
    lpf_contextvars_drop(v);
}

void lpf_contextvars_drop(struct lpf_contextvars *v)
{
    Py_CLEAR(v->at_launch);
    if (v->left) {
        Py_CLEAR(v->callers);
        Py_CLEAR(v->own);
        Py_CLEAR(v->shared);
        v->left = false;
    }
    v->shared = NULL;
}
