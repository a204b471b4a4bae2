/* Raising an exception in running code until that code has unwound.
 *
 * The exception is raised at a safe point.  From then on there are four cases, told apart by the
 * thread's stack of handled exceptions and by who else refers to the exception:
 *   - it is being handled (a finally block, a with statement, an except clause): let it, until half
 *     of the grace is over, then raise once more, which ends a finally block that never would;
 *   - it is not being handled, but somebody has it: on its way, it waits in C code for a finalizer
 *     or for the finally block of a generator that is being closed.  Or else it was swallowed and
 *     kept.  Let it until half of the grace is over, then raise again and again;
 *   - it is nowhere: it was swallowed, so raise again at once.  This is looked at at every safe
 *     point for a while, so that the loop around `try: ... except: pass` is hit between two rounds,
 *     where no handler covers it;
 *   - the grace is over: give up.
 *
 * It is the same exception every time, so that the one which arrives in the end is known to be it.
 */
#include "native.h"

#define QUICK_LOOKS 200
#define LONGEST_CONTEXT 1000
#define LONGEST_TRACEBACK 100 /* Times raised. */

void lpf_cancel_start(struct lpf_canceller *canceller, uint64_t grace_ns)
{
    uint64_t now = lpf__now();
    lpf_cancel_clear(canceller);
    canceller->active = true;
    canceller->until = grace_ns > LPF_FOREVER - now ? LPF_FOREVER : now + grace_ns;
    canceller->half = grace_ns > LPF_FOREVER - now ? LPF_FOREVER : now + grace_ns / 2;
}

void lpf_cancel_clear(struct lpf_canceller *canceller)
{
    Py_CLEAR(canceller->exception);
    canceller->raised = canceller->quick = 0;
    canceller->active = canceller->pressed = false;
}

bool lpf_cancel_is(const struct lpf_canceller *canceller, PyObject *raised)
{
    if (canceller->exception == NULL || raised == NULL || raised == canceller->exception) {
        return canceller->exception != NULL && raised == canceller->exception;
    }
    if ((PyObject *)Py_TYPE(raised) != PyExc_BaseExceptionGroup) {
        return false; /* A class derived from it may run code when it is asked. */
    }
    PyObject *inside = PyObject_GetAttrString(raised, "exceptions");
    Py_ssize_t count = inside != NULL ? PyTuple_GET_SIZE(inside) : 0;
    bool all = count > 0 && Py_EnterRecursiveCall("") == 0;
    if (all) {
        for (Py_ssize_t i = 0; i < count && all; i++) {
            all = lpf_cancel_is(canceller, PyTuple_GET_ITEM(inside, i));
        }
        Py_LeaveRecursiveCall();
    }
    PyErr_Clear();
    Py_XDECREF(inside);
    return all;
}

/* The exception handled by an except clause, or one that it was handling when that was raised. */
static bool leads_to(PyObject *handled, PyObject *wanted)
{
    for (int i = 0; i < LONGEST_CONTEXT && handled != NULL; i++) {
        if (handled == wanted) {
            return true;
        }
        if (!PyExceptionInstance_Check(handled)) {
            return false;
        }
        handled = ((PyBaseExceptionObject *)handled)->context;
    }
    return false;
}

static bool in_flight(PyThreadState *ts, PyObject *exception)
{
    for (_PyErr_StackItem *item = ts->exc_info; item != NULL; item = item->previous_item) {
        if (leads_to(item->exc_value, exception)) {
            return true;
        }
    }
    return false;
}

enum lpf_cancel_step lpf_cancel_look(PyThreadState *ts, struct lpf_canceller *canceller,
                                     uint64_t now)
{
    if (canceller->exception == NULL) {
        if (now >= canceller->half && now < canceller->until) {
            /* A guard held it back: what is broken into has half of the rest for its clean-up. */
            canceller->half = now + (canceller->until - now) / 2;
        }
        return LPF_CANCEL_RAISE;
    }
    if (now >= canceller->until) {
        return LPF_CANCEL_GIVE_UP;
    }
    if (in_flight(ts, canceller->exception)) {
        if (now < canceller->half || canceller->pressed) {
            return LPF_CANCEL_WAIT;
        }
        canceller->pressed = true;
        return LPF_CANCEL_RAISE;
    }
    bool somebody_has_it = Py_REFCNT(canceller->exception) > 1;
    return somebody_has_it && now < canceller->half ? LPF_CANCEL_WAIT : LPF_CANCEL_RAISE;
}

PyObject *lpf_cancel_exception(struct lpf_canceller *canceller, PyObject *message)
{
    if (canceller->exception == NULL) {
        canceller->exception = PyObject_CallOneArg(lpf_errors.cancelled, message);
        if (canceller->exception == NULL) {
            return NULL;
        }
    } else if (Py_REFCNT(canceller->exception) == 1 || canceller->raised > LONGEST_TRACEBACK) {
        PyException_SetTraceback(canceller->exception, Py_None);
        PyException_SetContext(canceller->exception, NULL);
    }
    canceller->raised++;
    canceller->quick = QUICK_LOOKS;
    return Py_NewRef(canceller->exception);
}

void lpf_cancel_watch(struct lpf__thread *t, struct lpf_canceller *canceller, uint64_t now)
{
    if (canceller->quick > 0) {
        canceller->quick--;
        lpf_safepoint_again();
    }
    uint64_t next = now + LPF_CANCEL_INTERVAL;
    if (next < t->timer.armed && t->timer.exists) {
        lpf__timer_arm(&t->timer, next);
    }
}
