/* Every difference between CPython versions, each with its reason.  The rest of this folder reads
 * straight down.
 *
 * Private structures are read on purpose: a switch must save the half of a PyThreadState that
 * belongs to the C stack, and no public call does that.  greenlet depends on the same fields.
 */
#ifndef LPF_COMPAT_H
#define LPF_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x030F0000
#error "lpf knows the thread state of CPython 3.11 to 3.14"
#endif
#if defined(Py_GIL_DISABLED)
#error "lpf needs a CPython with the GIL"
#endif

#define Py_BUILD_CORE 1
#undef _PyGC_FINALIZED /* Defined differently by the internal headers of 3.11 and 3.12. */
#include <internal/pycore_context.h>
#include <internal/pycore_frame.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030D0000
#include <internal/pycore_ceval.h> /* _PY_GIL_DROP_REQUEST_BIT */
#endif
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe.h> /* Out of pycore_frame.h. */
#include <internal/pycore_tstate.h>
#endif
#undef Py_BUILD_CORE

#include <stdbool.h>

#define LPF_PY(minor) (PY_VERSION_HEX >= (0x03000000 | (minor) << 16))

typedef struct _PyInterpreterFrame lpf_frame;

/* The frame chain: up to 3.12 the thread state points to a _PyCFrame on the C stack, which points
 * to the current frame (gh-96421); from 3.13 directly (gh-109693). */
#if LPF_PY(13)
#define LPF_HAS_CFRAME 0
#define LPF_CURRENT_FRAME(ts) ((ts)->current_frame)
#else
#define LPF_HAS_CFRAME 1
#define LPF_CURRENT_FRAME(ts) ((ts)->cframe->current_frame)
#endif

/* 3.11 keeps a copy of "is this thread traced" in every _PyCFrame; 3.12 has sys.monitoring. */
#define LPF_HAS_USE_TRACING (!LPF_PY(12))

/* The exception being raised: three fields up to 3.11, one from 3.12 (gh-101578). */
#define LPF_HAS_CURRENT_EXCEPTION LPF_PY(12)

/* Up to 3.11 one counter limits Python and C recursion; from 3.12 there are two; from 3.14 the C
 * stack's own limits take the place of the second (gh-91079). */
#define LPF_HAS_C_RECURSION (LPF_PY(12) && !LPF_PY(14))
#define LPF_HAS_C_STACK_LIMITS LPF_PY(14)
#if LPF_PY(12)
#define LPF_RECURSION_LIMIT(ts) ((ts)->py_recursion_limit)
#define LPF_RECURSION_REMAINING(ts) ((ts)->py_recursion_remaining)
#else
#define LPF_RECURSION_LIMIT(ts) ((ts)->recursion_limit)
#define LPF_RECURSION_REMAINING(ts) ((ts)->recursion_remaining)
#endif
#if LPF_HAS_C_RECURSION
#if LPF_PY(13)
#define LPF_C_RECURSION_LIMIT Py_C_RECURSION_LIMIT
#else
#define LPF_C_RECURSION_LIMIT C_RECURSION_LIMIT
#endif
#endif

/* The event that a tracing function is being called for. */
#if LPF_PY(12)
#define LPF_TRACED_EVENT(ts) ((ts)->what_event)
#else
#define LPF_TRACED_EVENT(ts) ((ts)->tracing_what)
#endif

/* The trashcan: nesting and a list up to 3.12 (a struct in 3.12), only the list from 3.13. */
#if LPF_PY(13)
#define LPF_DELETE_LATER(ts) ((ts)->delete_later)
#elif LPF_PY(12)
#define LPF_TRASH_NESTING(ts) ((ts)->trash.delete_nesting)
#define LPF_DELETE_LATER(ts) ((ts)->trash.delete_later)
#else
#define LPF_TRASH_NESTING(ts) ((ts)->trash_delete_nesting)
#define LPF_DELETE_LATER(ts) ((ts)->trash_delete_later)
#endif

/* The tier-2 executor that a thread is in: `previous_executor` in 3.13, `current_executor` from
 * 3.14. */
#if LPF_PY(14)
#define LPF_EXECUTOR(ts) ((ts)->current_executor)
#elif LPF_PY(13)
#define LPF_EXECUTOR(ts) ((ts)->previous_executor)
#endif

/* What a frame executes: `f_code` up to 3.12; `f_executable` from 3.13, which may be None; a tagged
 * reference from 3.14. */
static inline PyCodeObject *lpf_frame_code(lpf_frame *frame)
{
#if LPF_PY(14)
    PyObject *executable = PyStackRef_AsPyObjectBorrow(frame->f_executable);
#elif LPF_PY(13)
    PyObject *executable = frame->f_executable;
#else
    PyObject *executable = (PyObject *)frame->f_code;
#endif
    return executable != NULL && PyCode_Check(executable) ? (PyCodeObject *)executable : NULL;
}

/* Frames that the interpreter keeps on the C stack for itself are not Python frames.  The owner is
 * asked first: 3.12.0 and 3.12.1 do not look at it in _PyFrame_IsIncomplete. */
static inline bool lpf_frame_is_python(lpf_frame *frame)
{
#if LPF_PY(14)
    if (frame->owner >= FRAME_OWNED_BY_INTERPRETER) {
        return false;
    }
#elif LPF_PY(12)
    if (frame->owner == FRAME_OWNED_BY_CSTACK) {
        return false;
    }
#endif
    return lpf_frame_code(frame) != NULL && !_PyFrame_IsIncomplete(frame);
}

/* Byte offset of the instruction that a frame is at. */
static inline int lpf_frame_offset(lpf_frame *frame)
{
    return _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
}

/* Are there signals that no check has begun to handle?  For the main thread. */
static inline bool lpf_signals_pending(PyThreadState *ts)
{
#if LPF_PY(13)
    return (_Py_atomic_load_uintptr_relaxed(&ts->eval_breaker) & _PY_SIGNALS_PENDING_BIT) != 0;
#else
    (void)ts;
    return _Py_atomic_load_relaxed(&_PyRuntime.ceval.signals_pending) != 0;
#endif
}

/* Signals are to reach this state, of the main thread.  In the child of a fork on another thread CPython
 * goes on setting the bit of the state of the thread that was the main one before. */
static inline void lpf_signals_reach(PyThreadState *ts)
{
#if LPF_PY(13)
    _PyRuntime.main_tstate = ts;
#else
    (void)ts;
#endif
}

/* Does code of another interpreter run on this thread, inside a call by `ts`, its state of the main one?
 * For the signal handler.  From 3.12 what was attached last is known even while no GIL is held.  In
 * 3.11 the holder of the one GIL may be on another thread. */
static inline bool lpf_in_other_interpreter(PyThreadState *ts)
{
    PyThreadState *present = _PyThreadState_UncheckedGet();
#if LPF_PY(12)
    return (present != NULL ? present : PyGILState_GetThisThreadState()) != ts;
#else
    bool others = PyInterpreterState_Next(PyInterpreterState_Head()) != NULL;
    return others && present != NULL && present != ts && present->thread_id == ts->thread_id;
#endif
}

/* The GIL: of the runtime in 3.11, of an interpreter from 3.12. */
static inline const struct _gil_runtime_state *lpf_gil_of(PyInterpreterState *interp)
{
#if LPF_PY(12)
    return interp->ceval.gil;
#else
    (void)interp;
    return &_PyRuntime.ceval.gil;
#endif
}

/* Who holds it; NULL: nobody.  Readable without it, as the next. */
static inline PyThreadState *lpf_gil_holder(const struct _gil_runtime_state *gil)
{
#if LPF_PY(13)
    return _Py_atomic_load_int_relaxed(&gil->locked) > 0
               ? (PyThreadState *)_Py_atomic_load_ptr_relaxed(&gil->last_holder)
               : NULL;
#else
    return _Py_atomic_load_relaxed(&gil->locked) > 0
               ? (PyThreadState *)_Py_atomic_load_relaxed(&gil->last_holder)
               : NULL;
#endif
}

/* How often it has gone from one thread to another. */
static inline unsigned long lpf_gil_switches(const struct _gil_runtime_state *gil)
{
    return *(const volatile unsigned long *)&gil->switch_number;
}

/* Does another thread want the GIL from its holder?  Asked of the interpreter up to 3.12, of the
 * holder's thread state from 3.13. */
#define LPF_GIL_IS_ASKED_OF_HOLDER LPF_PY(13)
static inline bool lpf_gil_is_wanted(PyThreadState *holder, PyInterpreterState *interp)
{
#if LPF_GIL_IS_ASKED_OF_HOLDER
    (void)interp;
    return (_Py_atomic_load_uintptr_relaxed(&holder->eval_breaker) & _PY_GIL_DROP_REQUEST_BIT) != 0;
#else
    (void)holder;
    return _Py_atomic_load_relaxed(&interp->ceval.gil_drop_request) != 0;
#endif
}

/* Is the cyclic collector at work (in a finalizer, say)? */
static inline bool lpf_collecting(PyThreadState *ts)
{
    return ts->interp->gc.collecting != 0;
}

/* The list of the cyclic collector's youngest generation, as CPython's own types enter and leave it
 * (_PyObject_GC_TRACK); 3.14 keeps it elsewhere.  In a header, _gc_prev has flags in its lowest bits,
 * and _gc_next is 0 for what is not in any list. */
#if LPF_PY(14)
#define lpf_gc_track(ts, object) ((void)(ts), PyObject_GC_Track(object))
#define lpf_gc_untrack PyObject_GC_UnTrack
#define lpf_gc_is_finalized PyObject_GC_IsFinalized
#else
static inline void lpf_gc_track(PyThreadState *ts, PyObject *object)
{
    PyGC_Head *head = (PyGC_Head *)object - 1;
    PyGC_Head *first = ts->interp->gc.generation0;
    PyGC_Head *last = (PyGC_Head *)first->_gc_prev;
    last->_gc_next = (uintptr_t)head;
    head->_gc_prev = (head->_gc_prev & ~_PyGC_PREV_MASK) | (uintptr_t)last;
    head->_gc_next = (uintptr_t)first;
    first->_gc_prev = (uintptr_t)head;
}

static inline void lpf_gc_untrack(PyObject *object)
{
    PyGC_Head *head = (PyGC_Head *)object - 1;
    if (head->_gc_next == 0) {
        return;
    }
    PyGC_Head *previous = (PyGC_Head *)(head->_gc_prev & _PyGC_PREV_MASK);
    PyGC_Head *next = (PyGC_Head *)head->_gc_next;
    previous->_gc_next = (uintptr_t)next;
    next->_gc_prev = (next->_gc_prev & ~_PyGC_PREV_MASK) | (uintptr_t)previous;
    head->_gc_next = 0;
    head->_gc_prev &= 1; /* Whether it was finalized. */
}

static inline bool lpf_gc_is_finalized(PyObject *object)
{
    return (((PyGC_Head *)object - 1)->_gc_prev & 1) != 0;
}
#endif

/* One object for a raised exception, as 3.12 has it. */
#if LPF_PY(12)
#define lpf_take_exception PyErr_GetRaisedException
#define lpf_set_exception PyErr_SetRaisedException
#else
static inline PyObject *lpf_take_exception(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

/* Steals the reference. */
static inline void lpf_set_exception(PyObject *exception)
{
    if (exception == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_Restore(Py_NewRef(Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
}
#endif

/* Slots of code objects for the use of extensions: public under an unstable name from 3.12. */
#if LPF_PY(12)
#define lpf_request_code_extra PyUnstable_Eval_RequestCodeExtraIndex
#define lpf_get_code_extra PyUnstable_Code_GetExtra
#define lpf_set_code_extra PyUnstable_Code_SetExtra
#else
#define lpf_request_code_extra _PyEval_RequestCodeExtraIndex
#define lpf_get_code_extra _PyCode_GetExtra
#define lpf_set_code_extra _PyCode_SetExtra
#endif

#endif
