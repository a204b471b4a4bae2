/* Saves and loads the half of a PyThreadState that belongs to a C stack: the frame chain, the data
 * stack, exceptions being raised and handled, recursion, tracing, the trashcan, the context.  The
 * list is greenlet's (TPythonState.cpp), less what belongs to the thread: its id, its dict, its
 * trace function, its asyncio loop, which stay as they are.
 *
 * Invariant: between save and load (or begin) no Python code runs and the GIL is not released.
 *
 * cffi: a call into C arrives detached from the interpreter and is no concern of this file; an
 * extern "Python" callback increments gilstate_counter, which belongs to the stack that it is on.
 */
#include "threadstate.h"

#include <string.h>

#define RECURSION_LEFT 50

static PyCodeObject *shim_code;

int lpf_threadstate_init(void)
{
    if (shim_code == NULL) {
        shim_code = PyCode_NewEmpty("<lpf>", "preemptible function", 1);
    }
    return shim_code != NULL ? 0 : -1;
}

void lpf_pystate_save(PyThreadState *ts, struct lpf_pystate *state)
{
#if LPF_HAS_CFRAME
    state->cframe = ts->cframe;
#else
    state->current_frame = ts->current_frame;
#endif
    state->datastack_chunk = ts->datastack_chunk;
    state->datastack_top = ts->datastack_top;
    state->datastack_limit = ts->datastack_limit;
    state->exc_info = ts->exc_info;
    state->context = ts->context;
#if LPF_HAS_CURRENT_EXCEPTION
    state->current_exception = ts->current_exception;
#else
    state->curexc_type = ts->curexc_type;
    state->curexc_value = ts->curexc_value;
    state->curexc_traceback = ts->curexc_traceback;
#endif
    state->delete_later = LPF_DELETE_LATER(ts);
#ifdef LPF_TRASH_NESTING
    state->trash_nesting = LPF_TRASH_NESTING(ts);
#endif
#ifdef LPF_EXECUTOR
    state->executor = (PyObject *)LPF_EXECUTOR(ts);
#endif
#if LPF_HAS_C_RECURSION
    state->c_recursion_remaining = ts->c_recursion_remaining;
#endif
#if LPF_HAS_C_STACK_LIMITS
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)ts;
    state->c_stack_top = impl->c_stack_top;
    state->c_stack_soft_limit = impl->c_stack_soft_limit;
    state->c_stack_hard_limit = impl->c_stack_hard_limit;
#endif
    state->recursion_limit = LPF_RECURSION_LIMIT(ts);
    state->recursion_depth = LPF_RECURSION_LIMIT(ts) - LPF_RECURSION_REMAINING(ts);
    state->recursion_headroom = ts->recursion_headroom;
    state->tracing = ts->tracing;
    state->traced_event = LPF_TRACED_EVENT(ts);
    state->gilstate_counter = ts->gilstate_counter;
}

#if LPF_HAS_USE_TRACING
static void set_use_tracing(PyThreadState *ts)
{
    bool traced = ts->c_tracefunc != NULL || ts->c_profilefunc != NULL;
    ts->cframe->use_tracing = traced && ts->tracing == 0 ? 255 : 0;
}
#endif

/* The limit may have been lowered far below the depth meanwhile.  The first call would then be a
 * fatal error (up to 3.11, when more than 50 calls above the limit), not a RecursionError, and so
 * sys.setrecursionlimit refuses that; here some calls are left. */
static int remaining_recursion(PyThreadState *ts, const struct lpf_pystate *state)
{
    int remaining = LPF_RECURSION_LIMIT(ts) - state->recursion_depth;
    bool lowered = LPF_RECURSION_LIMIT(ts) < state->recursion_limit;
    return lowered && remaining < RECURSION_LEFT ? RECURSION_LEFT : remaining;
}

void lpf_pystate_load(PyThreadState *ts, struct lpf_pystate *state)
{
#if LPF_HAS_CFRAME
    ts->cframe = state->cframe;
#else
    ts->current_frame = state->current_frame;
#endif
    ts->datastack_chunk = state->datastack_chunk;
    ts->datastack_top = state->datastack_top;
    ts->datastack_limit = state->datastack_limit;
    ts->exc_info = state->exc_info;
    if (ts->context != state->context) {
        ts->context = state->context;
        ts->context_ver++; /* Invalidates the cache in every ContextVar. */
    }
#if LPF_HAS_CURRENT_EXCEPTION
    ts->current_exception = state->current_exception;
#else
    ts->curexc_type = state->curexc_type;
    ts->curexc_value = state->curexc_value;
    ts->curexc_traceback = state->curexc_traceback;
#endif
    LPF_DELETE_LATER(ts) = state->delete_later;
#ifdef LPF_TRASH_NESTING
    LPF_TRASH_NESTING(ts) = state->trash_nesting;
#endif
#ifdef LPF_EXECUTOR
    LPF_EXECUTOR(ts) = (void *)state->executor;
#endif
#if LPF_HAS_C_RECURSION
    ts->c_recursion_remaining = state->c_recursion_remaining;
#endif
#if LPF_HAS_C_STACK_LIMITS
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)ts;
    impl->c_stack_top = state->c_stack_top;
    impl->c_stack_soft_limit = state->c_stack_soft_limit;
    impl->c_stack_hard_limit = state->c_stack_hard_limit;
#endif
    LPF_RECURSION_REMAINING(ts) = remaining_recursion(ts, state);
    ts->recursion_headroom = state->recursion_headroom;
    ts->tracing = state->tracing;
    LPF_TRACED_EVENT(ts) = state->traced_event;
    ts->gilstate_counter = state->gilstate_counter;
#if LPF_HAS_USE_TRACING
    set_use_tracing(ts);
#endif
}

/* The root chunk of the data stack lies in the part of the mapped stack that is reserved for the
 * host.  The interpreter never frees a root chunk, and it never sees one whose first slot is in
 * use (push_chunk in pystate.c), so both are made the same way here. */
static void begin_datastack(PyThreadState *ts, struct lpf__stack *stack)
{
    _PyStackChunk *chunk = (_PyStackChunk *)stack->reserve;
    chunk->previous = NULL;
    chunk->size = LPF__RESERVE - 64;
    chunk->top = 0;
    ts->datastack_chunk = chunk;
    ts->datastack_top = &chunk->data[1];
    ts->datastack_limit = (PyObject **)(stack->reserve + chunk->size);
}

/* What code reads that looks at the innermost entry without asking whether it is complete: globals
 * and builtins (_PyEval_GetBuiltins in 3.11), the function (typing.TypeVar from 3.12).  Borrowed from
 * the caller, which outlives the link. */
static void link_shim(lpf_frame *shim, lpf_frame *caller, PyInterpreterState *interp)
{
    shim->previous = caller;
    shim->f_globals = caller != NULL ? caller->f_globals : NULL;
    shim->f_builtins = caller != NULL ? caller->f_builtins : interp->builtins;
#if LPF_PY(14)
    shim->f_funcobj = caller != NULL ? caller->f_funcobj : PyStackRef_NULL;
#elif LPF_PY(12)
    shim->f_funcobj = caller != NULL ? caller->f_funcobj : NULL;
#endif
}

static void begin_shim(PyThreadState *ts, lpf_frame *shim)
{
    link_shim(shim, LPF_CURRENT_FRAME(ts), ts->interp);
    shim->frame_obj = NULL;
    shim->f_locals = NULL;
    /* Before the first traceable instruction, which is what makes a frame incomplete. */
#if LPF_PY(14)
    /* Of an object that is never freed: no reference is counted.  A pointer instead of an index ends
     * the value stack, which is empty, and the collector's mark is clear. */
    shim->f_executable = PyStackRef_FromPyObjectBorrow((PyObject *)shim_code);
    shim->instr_ptr = _PyCode_CODE(shim_code) - 1;
    shim->stackpointer = shim->localsplus;
    shim->visited = 0;
    shim->owner = FRAME_OWNED_BY_INTERPRETER;
#elif LPF_PY(13)
    shim->f_executable = (PyObject *)shim_code;
    shim->stacktop = 0;
    shim->instr_ptr = _PyCode_CODE(shim_code) - 1;
    shim->owner = FRAME_OWNED_BY_CSTACK;
#elif LPF_PY(12)
    shim->f_code = shim_code;
    shim->stacktop = 0;
    shim->prev_instr = _PyCode_CODE(shim_code) - 1;
    shim->owner = FRAME_OWNED_BY_CSTACK;
#else
    shim->f_code = shim_code;
    shim->stacktop = 0;
    shim->f_func = NULL;
    shim->prev_instr = _PyCode_CODE(shim_code) - 1;
    shim->is_entry = true;
    shim->owner = FRAME_OWNED_BY_THREAD;
#endif
}

void lpf_pystate_share_context(PyThreadState *ts)
{
    if (ts->context == NULL) {
        ts->context = PyContext_New();
        ts->context_ver++;
        PyErr_Clear(); /* Without memory for it, each side makes its own later. */
    }
}

void lpf_pystate_begin(PyThreadState *ts, struct lpf_pyroot *root, struct lpf__stack *stack)
{
    begin_shim(ts, &root->shim);
#if LPF_HAS_CFRAME
    root->cframe = *ts->cframe; /* use_tracing, where it has one. */
    root->cframe.current_frame = &root->shim;
    root->cframe.previous = ts->cframe;
    ts->cframe = &root->cframe;
#else
    ts->current_frame = &root->shim;
#endif
    begin_datastack(ts, stack);
    root->exc_state.exc_value = NULL;
    root->exc_state.previous_item = NULL;
    ts->exc_info = &root->exc_state;
    Py_XINCREF(ts->context); /* The same as the caller's: what a plain call has. */
#if LPF_HAS_CURRENT_EXCEPTION
    ts->current_exception = NULL;
#else
    ts->curexc_type = ts->curexc_value = ts->curexc_traceback = NULL;
#endif
    LPF_DELETE_LATER(ts) = NULL;
#ifdef LPF_TRASH_NESTING
    LPF_TRASH_NESTING(ts) = 0;
#endif
#ifdef LPF_EXECUTOR
    LPF_EXECUTOR(ts) = NULL;
#endif
#if LPF_HAS_C_RECURSION
    ts->c_recursion_remaining = LPF_C_RECURSION_LIMIT;
#endif
#if LPF_HAS_C_STACK_LIMITS
    /* As tstate_set_stack in ceval.c: a margin for the check, and one for what runs after it. */
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)ts;
    uintptr_t low = (uintptr_t)stack->reserve - lpf__stack_size();
    impl->c_stack_top = (uintptr_t)stack->reserve;
    impl->c_stack_hard_limit = low + _PyOS_STACK_MARGIN_BYTES;
    impl->c_stack_soft_limit = low + 2 * _PyOS_STACK_MARGIN_BYTES;
#endif
    LPF_RECURSION_REMAINING(ts) = LPF_RECURSION_LIMIT(ts);
    ts->recursion_headroom = 0;
}

void lpf_pystate_end(PyThreadState *ts, const struct lpf_pystate *outside)
{
    if (ts->context != NULL && ts->context == outside->context) {
        Py_DECREF(ts->context); /* Stays the context that it is: no cache becomes invalid. */
    } else {
        Py_CLEAR(ts->context);
    }
}

bool lpf_pystate_is_in_greenlet(PyThreadState *ts, const struct lpf_pyroot *root)
{
    const _PyErr_StackItem *item = ts->exc_info;
    while (item->previous_item != NULL) {
        item = item->previous_item;
    }
    return item != &root->exc_state;
}

void lpf_pyroot_link(PyThreadState *ts, struct lpf_pyroot *root)
{
    link_shim(&root->shim, LPF_CURRENT_FRAME(ts), ts->interp);
}

void lpf_pyroot_unlink(struct lpf_pyroot *root)
{
    root->shim.previous = NULL;
}

PyFrameObject *lpf_pystate_frame(PyThreadState *ts, struct lpf_pystate *state)
{
    /* PyThreadState_GetFrame is the only exported way to the frame object of an internal frame. */
#if LPF_HAS_CFRAME
    _PyCFrame *present = ts->cframe;
    ts->cframe = state->cframe;
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    ts->cframe = present;
#else
    lpf_frame *present = ts->current_frame;
    ts->current_frame = state->current_frame;
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    ts->current_frame = present;
#endif
    return frame;
}
