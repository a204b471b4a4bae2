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
 * A step of a coroutine (`stays`) has its task's own Context, which others of that task run in meanwhile:
 * what they set is to be seen by the step, and the other way round, as with every await.  There nothing
 * is exchanged.
 *
 * Contexts that the function has entered further in (Context.run) are not entered while it stands still:
 * others may enter them, and find there what the function has set.
 *
 * Invariants: `shared` is borrowed until the function is first left, and owned from then on.  `entered`
 * holds, while the function stands still, what it had written into the Contexts that it has entered;
 * while it runs, what it found in them at its resume, if somebody else had entered them by then.
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
    if (v->shared != NULL && !v->stays) {
        v->at_launch = (PyHamtObject *)Py_NewRef((PyObject *)v->shared->ctx_vars);
    }
}

/* ---- Contexts that the function has entered ------------------------------------------------- */

struct lpf_entered {
    struct lpf_entered *next;
    PyContext *context;
    PyContext *previous; /* Whose place it takes. */
    int entered;
};

static void forget(struct lpf_entered *node)
{
    Py_XDECREF(node->previous);
    Py_DECREF(node->context);
    PyMem_Free(node);
}

static void exchange(struct lpf_entered *node)
{
    PyContext *context = node->context, *previous = context->ctx_prev;
    int entered = context->ctx_entered;
    context->ctx_prev = node->previous;
    context->ctx_entered = node->entered;
    node->previous = previous;
    node->entered = entered;
}

/* Gives them back as the function found them. */
static void put_back(struct lpf_entered *list)
{
    while (list != NULL) {
        struct lpf_entered *node = list;
        list = node->next;
        exchange(node);
        forget(node);
    }
}

static bool leads_to(PyContext *inner, const PyContext *outer)
{
    while (inner != NULL && inner != outer) {
        inner = inner->ctx_prev;
    }
    return inner != NULL;
}

/* Out of memory: they stay entered. */
static void step_out(PyThreadState *ts, struct lpf_contextvars *v)
{
    struct lpf_entered *found = v->entered;
    PyContext *context = (PyContext *)ts->context;
    v->entered = NULL;
    while (context != v->shared && leads_to(context, v->shared)) {
        struct lpf_entered *node = PyMem_Malloc(sizeof *node);
        if (node == NULL) {
            break;
        }
        *node = (struct lpf_entered){v->entered, (PyContext *)Py_NewRef((PyObject *)context), NULL,
                                     0};
        context = context->ctx_prev;
        exchange(node);
        v->entered = node;
    }
    put_back(found);
}

static void step_in(struct lpf_contextvars *v)
{
    struct lpf_entered *list = v->entered;
    v->entered = NULL;
    while (list != NULL) {
        struct lpf_entered *node = list;
        list = node->next;
        exchange(node);
        if (node->entered) {
            node->next = v->entered;
            v->entered = node;
        } else {
            forget(node);
        }
    }
}

/* ---- The moves ------------------------------------------------------------------------------ */

void lpf_contextvars_leave(PyThreadState *ts, struct lpf_contextvars *v)
{
    if (v->shared == NULL) {
        return;
    }
    if (ts->context != (PyObject *)v->shared || v->entered != NULL) {
        step_out(ts, v);
    }
    if (!v->left) {
        v->left = true;
        Py_INCREF(v->shared);
        v->callers = (PyHamtObject *)Py_XNewRef((PyObject *)v->at_launch);
    }
    if (v->stays) {
        return;
    }
    v->own = v->shared->ctx_vars;
    put(ts, v->shared, v->callers);
    v->callers = NULL;
}

void lpf_contextvars_resume(PyThreadState *ts, struct lpf_contextvars *v)
{
    if (v->entered != NULL) {
        step_in(v);
    }
    if (v->own == NULL) {
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
    put_back(v->entered);
    v->entered = NULL;
    if (v->left && v->callers != NULL && v->callers != v->at_launch) {
        merge(ts, v);
    }
    lpf_contextvars_drop(v);
}

void lpf_contextvars_drop(struct lpf_contextvars *v)
{
    Py_CLEAR(v->at_launch);
    while (v->entered != NULL) {
        struct lpf_entered *node = v->entered;
        v->entered = node->next;
        forget(node);
    }
    if (v->left) {
        Py_CLEAR(v->callers);
        Py_CLEAR(v->own);
        Py_CLEAR(v->shared);
        v->left = false;
    }
    v->shared = NULL;
}

/* Arguments: two Contexts.  True if nothing was set in one that is not in the other. */
PyObject *lpf_same_variables_py(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 2 || !PyContext_CheckExact(args[0]) || !PyContext_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "two contexts are needed");
        return NULL;
    }
    return PyBool_FromLong(((PyContext *)args[0])->ctx_vars == ((PyContext *)args[1])->ctx_vars);
}
