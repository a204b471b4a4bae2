/* Raising an exception in running code until that code has unwound.
 *
 * The exception is raised at a safe point.  From then on there are three cases, told apart by the
 * thread's stack of handled exceptions:
 *   - it is being handled (a finally block, a with statement, an except clause): let it, until half
 *     of the grace is over, then raise once more, which ends a finally block that never would;
 *   - it is nowhere: it was swallowed, so raise again at once.  This is looked at at every safe
 *     point for a while, so that the loop around `try: ... except: pass` is hit between two rounds,
 *     where no handler covers it;
 *   - the grace is over: give up.
 */
#include "native.h"

#define QUICK_LOOKS 200
#define LOOK_INTERVAL (2 * LPF__MILLISECOND)
#define LONGEST_CONTEXT 1000

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
        return LPF_CANCEL_RAISE;
    }
    if (now >= canceller->until) {
        return LPF_CANCEL_GIVE_UP;
    }
    if (!in_flight(ts, canceller->exception)) {
        return LPF_CANCEL_RAISE;
    }
    if (now >= canceller->half && !canceller->pressed) {
        canceller->pressed = true;
        return LPF_CANCEL_RAISE;
    }
    return LPF_CANCEL_WAIT;
}

PyObject *lpf_cancel_exception(struct lpf_canceller *canceller, PyObject *message)
{
    PyObject *exception = PyObject_CallOneArg(lpf_errors.cancelled, message);
    if (exception != NULL) {
        Py_XSETREF(canceller->exception, Py_NewRef(exception));
        canceller->raised++;
        canceller->quick = QUICK_LOOKS;
    }
    return exception;
}

void lpf_cancel_watch(struct lpf__thread *t, struct lpf_canceller *canceller, uint64_t now)
{
    if (canceller->quick > 0) {
        canceller->quick--;
        lpf_safepoint_again();
    }
    uint64_t next = now + LOOK_INTERVAL;
    if (next < t->timer.armed && t->timer.exists) {
        lpf__timer_arm(&t->timer, next);
    }
}
