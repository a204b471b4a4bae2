/* A stack for all steps of a coroutine.
 *
 * greenlet (gevent, SQLAlchemy's asyncio) takes the C stack of a thread to be one.  What it has copied
 * aside goes back to the addresses where it was, in whatever step of the coroutine it is switched to
 * again, and what lies in between is taken to be its own.  So these steps have to be on the same stack.
 * Each coroutine reserves one for that, if greenlets are there at all: a stack that waits is memory.
 *
 * Invariants: at most one function is on it.  While one is, that holds a reference, for ever if it is
 * abandoned.  A stack is reserved on the main thread only, whose pool outlives all of them.
 */
#include "native.h"

#include <stdlib.h>

static const char capsule_name[] = "lpf stack";

struct lpf_reserved {
    struct lpf__stack *stack;
    bool busy;
};

static void free_reserved(PyObject *capsule)
{
    struct lpf_reserved *reserved = PyCapsule_GetPointer(capsule, capsule_name);
    struct lpf__pool none = {NULL, 0};
    struct lpf__pool *pool = lpf_safepoint_installed_here() ? &lpf__self->pool : &none;
    lpf__stack_give(pool, reserved->stack);
    lpf__pool_clear(&none);
    free(reserved);
}

PyObject *lpf_reserve_stack_py(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    if (!lpf_safepoint_installed_here()) {
        Py_RETURN_NONE;
    }
    struct lpf_reserved *reserved = calloc(1, sizeof *reserved);
    struct lpf__stack *stack = reserved != NULL ? lpf__stack_take(&lpf__self->pool) : NULL;
    if (stack == NULL) {
        free(reserved);
        return PyErr_NoMemory();
    }
    reserved->stack = stack;
    PyObject *capsule = PyCapsule_New(reserved, capsule_name, free_reserved);
    if (capsule == NULL) {
        lpf__stack_give(&lpf__self->pool, stack);
        free(reserved);
    }
    return capsule;
}

struct lpf__stack *lpf_reserved_take(PyObject *capsule)
{
    if (capsule == NULL || capsule == Py_None || !lpf_safepoint_installed_here()) {
        return NULL;
    }
    struct lpf_reserved *reserved = PyCapsule_GetPointer(capsule, capsule_name);
    if (reserved == NULL || reserved->busy) {
        PyErr_Clear();
        return NULL; /* Another one will do, without greenlets. */
    }
    reserved->busy = true;
    return reserved->stack;
}

void lpf_stack_give_back(Continuation *c)
{
    if (c->reserved == NULL) {
        lpf__stack_give(&c->core.thread->pool, c->core.stack);
    } else {
        struct lpf_reserved *reserved = PyCapsule_GetPointer(c->reserved, capsule_name);
        lpf__fiber_forget(lpf__stack_bottom(reserved->stack), reserved->stack->reserve);
        reserved->busy = false;
        Py_CLEAR(c->reserved);
    }
    c->core.stack = NULL;
}
