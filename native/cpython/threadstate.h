/* The half of a PyThreadState that belongs to a C stack. */
#ifndef LPF_THREADSTATE_H
#define LPF_THREADSTATE_H

#include "compat.h"
#include "internal.h"

/* What is saved when a stack is left.  References are owned: they move between here and the
 * thread state. */
struct lpf_pystate {
#if LPF_HAS_CFRAME
    _PyCFrame *cframe;
#else
    lpf_frame *current_frame;
#endif
    _PyStackChunk *datastack_chunk;
    PyObject **datastack_top;
    PyObject **datastack_limit;
    _PyErr_StackItem *exc_info;
    PyObject *context;
#if LPF_HAS_CURRENT_EXCEPTION
    PyObject *current_exception;
#else
    PyObject *curexc_type, *curexc_value, *curexc_traceback;
#endif
    PyObject *delete_later;
#ifdef LPF_TRASH_NESTING
    int trash_nesting;
#endif
#ifdef LPF_EXECUTOR
    PyObject *executor;
#endif
#if LPF_HAS_C_RECURSION
    int c_recursion_remaining;
#endif
#if LPF_HAS_C_STACK_LIMITS
    uintptr_t c_stack_top, c_stack_soft_limit, c_stack_hard_limit;
#endif
    int recursion_depth; /* Not what remains: the limit may change meanwhile. */
    int recursion_limit;
    int recursion_headroom;
    int tracing;
    int traced_event;
    int gilstate_counter;
};

/* What a new stack begins with; lives as long as the stack is in use. */
struct lpf_pyroot {
    _PyErr_StackItem exc_state;
#if LPF_HAS_CFRAME
    _PyCFrame cframe;
#endif
    /* A frame of nobody's code between the function's frames and those of its launcher.  While the
     * function runs it links the two, so that sys._getframe, exec and tracebacks see what they see
     * in a plain call; while it stands still the link is cut, in one store. */
    lpf_frame shim;
};

int lpf_threadstate_init(void); /* Once, at import. */

void lpf_pystate_save(PyThreadState *ts, struct lpf_pystate *state);
void lpf_pystate_load(PyThreadState *ts, struct lpf_pystate *state);
/* Gives a thread that has no context yet one, so that what a function sets in it is there afterwards;
 * call it before the lpf_pystate_save that precedes lpf_pystate_begin. */
void lpf_pystate_share_context(PyThreadState *ts);
/* A fresh state for a function on `stack`; call it after lpf_pystate_save. */
void lpf_pystate_begin(PyThreadState *ts, struct lpf_pyroot *root, struct lpf__stack *stack);
/* Drops what a function that has ended leaves in the thread state; lpf_pystate_load(ts, outside)
 * follows. */
void lpf_pystate_end(PyThreadState *ts, const struct lpf_pystate *outside);

/* Has the function that runs, whose root this is, switched to a greenlet?  A greenlet moves parts of the C
 * stack about by its own book, and counts on it that nothing else of the thread runs until it has
 * switched back.  Neither its frames nor its exceptions lead to those of the function. */
bool lpf_pystate_is_in_greenlet(PyThreadState *ts, const struct lpf_pyroot *root);

void lpf_pyroot_link(PyThreadState *ts, struct lpf_pyroot *root); /* Before resuming. */
void lpf_pyroot_unlink(struct lpf_pyroot *root);                  /* When leaving. */

/* New reference to the innermost frame of a saved state, NULL (no error) if it has none. */
PyFrameObject *lpf_pystate_frame(PyThreadState *ts, struct lpf_pystate *state);

#endif
