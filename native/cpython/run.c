/* Launching, running, leaving and resuming: the hot path.
 *
 * Invariants:
 *   - While a function runs, `outside` holds the state of whoever launched or resumed it; while it
 *     stands still, `inside` holds its own.  Neither is both.
 *   - Between swapping the thread state and the switch itself no Python code runs: a tick in between
 *     only marks the signal as pending.
 *   - One that is running or held is kept alive by its launcher's stack.
 */
#include "native.h"

#include <string.h>

#define MOST_SPARE 64

static PyObject *timeout_name; /* Interned. */

/* Objects to be used again, linked by `next`. */
static Continuation *spare;
static unsigned spare_count;

static Continuation *new_continuation(void)
{
    Continuation *c = spare;
    if (c != NULL) {
        spare = c->next;
        spare_count--;
        _Py_NewReference((PyObject *)c);
    } else {
        c = PyObject_GC_New(Continuation, &LpfContinuation_Type);
        if (c == NULL) {
            return NULL;
        }
    }
    char *start = (char *)&c->function;
    memset(start, 0, (size_t)((char *)&c->core.started - start));
    return c;
}

void lpf_continuation_delete(Continuation *c)
{
    /* The collector calls the finalizer of an object once only. */
    if (spare_count < MOST_SPARE && !lpf_gc_is_finalized((PyObject *)c)) {
        c->next = spare;
        spare = c;
        spare_count++;
    } else {
        PyObject_GC_Del(c);
    }
}

/* A MemoryError that rung 4 made stands for the cancel, or for the interrupt that is pending. */
static void end_starved(Continuation *c)
{
    if (!lpf_starve_may_raise(c->exception)) {
        return;
    }
    if (c->canceller.active) {
        c->cancelled = true;
        return;
    }
    c->core.uninterruptible++; /* It has ended: only the interrupt is of interest. */
    if (lpf_starve_raise_reason(c->starved) < 0) {
        Py_XSETREF(c->exception, lpf_take_exception());
    }
    c->core.uninterruptible--;
}

/* Runs on the function's own stack. */
static void entry(void *self)
{
    Continuation *c = self;
    c->result = PyObject_Vectorcall(c->function, c->arguments,
                                    (size_t)c->positional | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                    c->keywords);
    lpf_ladder_end();
    if (c->result == NULL) {
        c->exception = lpf_take_exception();
        if (c->starved) {
            end_starved(c);
        }
        if (lpf_cancel_is(&c->canceller, c->exception)) {
            c->cancelled = true;
            Py_SETREF(c->exception, Py_NewRef(c->canceller.exception));
        }
    }
    lpf_call_drop(c);
}

static void after_end(Continuation *c)
{
    lpf_stack_give_back(c);
    lpf_continuation_unlink(c);
    c->reason = LPF_REASON_NONE;
    if (c->canceller.active || c->canceller.exception != NULL) {
        lpf_cancel_clear(&c->canceller);
    }
    if ((c->blocked | c->unblocked) != 0) {
        lpf_sigmask_hand_on(c);
    }
    lpf_continuation_keep_no_longer(c);
}

#define REFRESH_CYCLES (UINT64_C(1) << 24) /* About 8 ms. */

/* What was imported since the last limit may be left in the middle, too. */
static void refresh_codemap(uint64_t now)
{
    static uint64_t refreshed;
    if (now - refreshed > REFRESH_CYCLES) {
        refreshed = now;
        lpf__codemap_refresh();
        lpf_blas_refresh();
    }
}

/* Starts or resumes c; returns when it has ended or stands still again. */
void lpf_continuation_run(PyThreadState *ts, Continuation *c, uint64_t limit_ns)
{
    bool begins = c->core.state == LPF_READY;
    c->reason = LPF_REASON_NONE;
    c->left_for_limit = false;
    uint64_t now = lpf__read_time(c->core.thread);
    if (limit_ns != LPF_FOREVER) {
        refresh_codemap(now);
    }
    if (begins) {
        lpf_pystate_share_context(ts);
        lpf_contextvars_begin(ts, &c->contextvars);
    } else {
        lpf_contextvars_resume(ts, &c->contextvars);
    }
    lpf_pystate_save(ts, &c->outside);
    if (begins) {
        lpf_pystate_begin(ts, &c->root, c->core.stack);
    } else {
        lpf_pyroot_link(ts, &c->root);
        lpf_pystate_load(ts, &c->inside);
    }
    lpf__run(&c->core, limit_ns);
    bool ended = c->core.state == LPF_FINISHED;
    if (ended) {
        lpf_pystate_end(ts, &c->outside);
    }
    lpf_pystate_load(ts, &c->outside);
    lpf_ladder_end();
    if (c->blas != 0) {
        lpf_blas_abandoned(c->blas);
    }
    if (ended) {
        lpf_contextvars_end(ts, &c->contextvars);
        after_end(c);
    } else if (c->abandoned) {
        Py_INCREF(c); /* For the list, for ever. */
    }
}

int lpf_continuation_leave(PyThreadState *ts, Continuation *c, enum lpf_reason reason)
{
    bool ticked = reason != LPF_REASON_PAUSE;
    c->reason = reason;
    lpf_pystate_save(ts, &c->inside);
    lpf_contextvars_leave(ts, &c->contextvars);
    lpf_pyroot_unlink(&c->root);
    if (ticked) {
        /* CPython has marked all pending signals as seen and is going through them in order; those
         * behind ours would wait until this function is resumed. */
        lpf_safepoint_again();
    }
    lpf__leave(&c->core);
    return c->thrown != NULL ? lpf_continuation_raise_thrown(c) : 0;
}

int lpf_continuation_raise_thrown(Continuation *c)
{
    PyObject *exception = c->thrown;
    c->thrown = NULL;
    if (!c->canceller.active && c->core.request == LPF__REQUEST_HOST) {
        c->core.request = LPF__NO_REQUEST;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception); /* With its context. */
    Py_DECREF(exception);
    return -1;
}

void lpf_continuation_leave_native(PyThreadState *ts, Continuation *c, enum lpf_reason reason)
{
    c->reason = reason;
    lpf_pystate_save(ts, &c->inside);
    lpf_contextvars_leave(ts, &c->contextvars);
    lpf_pyroot_unlink(&c->root);
    struct lpf__lent lent;
    lpf__locks_lend(c->core.thread, &lent);
    if (lent.id != 0) {
        lpf_holders_add(ts, c, lent.id);
    }
    lpf__leave(&c->core);
    if (lent.id != 0) {
        lpf_holders_remove(lent.id);
        lpf__locks_take_back(c->core.thread, &lent);
    }
    if (c->thrown != NULL) {
        c->core.request = LPF__REQUEST_HOST;
        lpf_safepoint_again();
    }
}

PyObject *lpf_pause_py(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "pause() takes one value at most");
        return NULL;
    }
    lpf_t *core = lpf_current();
    if (core == NULL || core->host != &lpf_python_host) {
        PyErr_SetString(lpf_errors.state, "pause() is only possible inside a function that "
                                          "lpf.launch or lpf.call has started");
        return NULL;
    }
    if (core->uninterruptible > 0) {
        PyErr_SetString(lpf_errors.state, "pause() is not possible inside lpf.uninterruptible()");
        return NULL;
    }
    Continuation *c = lpf_continuation_of(core);
    PyThreadState *ts = PyThreadState_Get();
    if (lpf_pystate_is_in_greenlet(ts, &c->root)) {
        PyErr_SetString(lpf_errors.state, "pause() is not possible inside a greenlet that runs in "
                                          "the function; switch back first");
        return NULL;
    }
    Py_XSETREF(c->value, count == 1 ? Py_NewRef(args[0]) : NULL);
    int status = lpf_continuation_leave(ts, c, LPF_REASON_PAUSE);
    Py_CLEAR(c->value);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *lpf_current_py(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    lpf_t *core = lpf_current();
    while (core != NULL && core->host != &lpf_python_host) {
        core = core->caller;
    }
    return Py_NewRef(core != NULL ? (PyObject *)lpf_continuation_of(core) : Py_None);
}

/* Keywords at a call are the very string objects that the compiler has interned. */
static bool is_timeout(PyObject *keyword)
{
    return keyword == timeout_name || PyUnicode_CompareWithASCIIString(keyword, "timeout") == 0;
}

/* A READY continuation of the call.  args[0] is the function. */
Continuation *lpf_continuation_make(PyThreadState *ts, const char *verb, PyObject *const *args,
                                    Py_ssize_t positional, PyObject *keywords, uint64_t *limit_ns,
                                    PyObject *reserved)
{
    if (positional < 1) {
        PyErr_Format(PyExc_TypeError, "%s() needs a function to call", verb);
        return NULL;
    }
    if (Py_TYPE(args[0])->tp_call == NULL) {
        PyErr_Format(PyExc_TypeError, "f must be callable, not %.200s", Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    Py_ssize_t timeout_at = -1;
    Py_ssize_t named = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    *limit_ns = LPF_FOREVER;
    for (Py_ssize_t i = 0; i < named; i++) {
        if (is_timeout(PyTuple_GET_ITEM(keywords, i))) {
            timeout_at = i;
            if (lpf_seconds(args[positional + i], "timeout", limit_ns) < 0) {
                return NULL;
            }
        }
    }
    if (!lpf_safepoint_installed_here() && lpf_need_main_thread("a timeout") < 0) {
        if (!PyErr_ExceptionMatches(lpf_errors.state) ||
            (*limit_ns != LPF_FOREVER && *limit_ns != 0)) {
            return NULL;
        }
        PyErr_Clear(); /* Without a limit: paused by itself only. */
    }
    Continuation *c = new_continuation();
    if (c == NULL) {
        return NULL;
    }
    if (lpf_call_take(c, args[0], args + 1, positional - 1, keywords, timeout_at) < 0) {
        Py_DECREF(c);
        return NULL;
    }
    c->core.host = &lpf_python_host;
    struct lpf__stack *stack = reserved != NULL ? lpf_reserved_take(reserved) : NULL;
    c->reserved = stack != NULL ? Py_NewRef(reserved) : NULL;
    if (lpf__prepare(&c->core, entry, c, stack) != LPF_OK) {
        Py_DECREF(c);
        PyErr_NoMemory();
        return NULL;
    }
    c->thread_ident = ts->thread_id;
    c->in_collection = lpf_collecting(ts);
    lpf_continuation_link(c);
    lpf_gc_track(ts, (PyObject *)c);
    if (!lpf_safepoint_installed_here() && lpf_continuation_watch_thread() < 0) {
        Py_DECREF(c);
        return NULL;
    }
    return c;
}

static inline PyObject *launch(PyObject *const *args, Py_ssize_t positional, PyObject *keywords,
                               PyObject *reserved, bool variables_stay)
{
    uint64_t limit_ns;
    PyThreadState *ts = PyThreadState_Get();
    Continuation *c = lpf_continuation_make(ts, "launch", args, positional, keywords, &limit_ns,
                                            reserved);
    if (c != NULL) {
        c->contextvars.stays = variables_stay;
        if (limit_ns != 0) {
            lpf_continuation_run(ts, c, limit_ns);
        }
    }
    return (PyObject *)c;
}

PyObject *lpf_launch_py(PyObject *module, PyObject *const *args, Py_ssize_t positional,
                        PyObject *keywords)
{
    (void)module;
    return launch(args, positional, keywords, NULL, false);
}

static PyObject *launch_on(PyObject *const *args, Py_ssize_t positional, PyObject *keywords,
                           bool variables_stay)
{
    if (positional < 1) {
        PyErr_SetString(PyExc_TypeError, "a stack is missing, or None");
        return NULL;
    }
    return launch(args + 1, positional - 1, keywords, args[0], variables_stay);
}

PyObject *lpf_launch_on_py(PyObject *module, PyObject *const *args, Py_ssize_t positional,
                           PyObject *keywords)
{
    (void)module;
    return launch_on(args, positional, keywords, false);
}

PyObject *lpf_launch_step_py(PyObject *module, PyObject *const *args, Py_ssize_t positional,
                             PyObject *keywords)
{
    (void)module;
    return launch_on(args, positional, keywords, true);
}

/* Parses (timeout=None) of resume and (exc, timeout=None) of throw, and checks the state. */
static int ready_to_run(Continuation *c, PyObject *timeout, uint64_t *limit_ns)
{
    if (lpf_seconds(timeout, "timeout", limit_ns) < 0) {
        return -1;
    }
    if (*limit_ns == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "timeout must be positive or None to resume; 0 is for launch only");
        return -1;
    }
    if (*limit_ns != LPF_FOREVER && lpf_need_main_thread("a timeout") < 0) {
        return -1;
    }
    return lpf_continuation_check(c, "resumed");
}

static __attribute__((flatten)) PyObject *go_on(Continuation *c, uint64_t limit_ns)
{
    c->core.request = LPF__NO_REQUEST;
    lpf_continuation_run(PyThreadState_Get(), c, limit_ns);
    return Py_NewRef((PyObject *)c);
}

PyObject *lpf_resume_py(Continuation *c, PyObject *const *args, Py_ssize_t count,
                        PyObject *keywords)
{
    if (count > 0) {
        PyErr_SetString(PyExc_TypeError, "resume() takes keywords only: timeout and insist");
        return NULL;
    }
    PyObject *timeout = Py_None;
    int insists = 0;
    Py_ssize_t named = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(keywords, i);
        if (is_timeout(name)) {
            timeout = args[i];
        } else if (PyUnicode_CompareWithASCIIString(name, "insist") == 0) {
            insists = PyObject_IsTrue(args[i]);
        } else {
            PyErr_Format(PyExc_TypeError,
                         "resume() got an unexpected keyword %R; it takes timeout and insist",
                         name);
            return NULL;
        }
    }
    uint64_t limit_ns;
    if (insists < 0 || ready_to_run(c, timeout, &limit_ns) < 0) {
        return NULL;
    }
    c->insists = insists != 0;
    return go_on(c, limit_ns);
}

static PyObject *as_exception(PyObject *value)
{
    if (PyExceptionInstance_Check(value)) {
        return Py_NewRef(value);
    }
    if (PyExceptionClass_Check(value)) {
        PyObject *made = PyObject_CallNoArgs(value);
        if (made == NULL || PyExceptionInstance_Check(made)) {
            return made;
        }
        Py_DECREF(made);
    }
    PyErr_Format(PyExc_TypeError, "exc must be an exception or an exception class, not %.200s",
                 Py_TYPE(value)->tp_name);
    return NULL;
}

PyObject *lpf_throw_py(Continuation *c, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"exc", "timeout", NULL};
    PyObject *value, *timeout = Py_None;
    uint64_t limit_ns;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O:throw", names, &value, &timeout) ||
        ready_to_run(c, timeout, &limit_ns) < 0) {
        return NULL;
    }
    PyObject *exception = as_exception(value);
    if (exception == NULL) {
        return NULL;
    }
    if (c->core.state == LPF_READY) { /* As generator.throw before the first next. */
        lpf_continuation_cancel_ready(c);
        c->core.state = LPF_FINISHED;
        c->cancelled = false;
        c->exception = exception;
        return Py_NewRef((PyObject *)c);
    }
    Py_XSETREF(c->thrown, exception);
    return go_on(c, limit_ns);
}

int lpf_run_ready(void)
{
    timeout_name = PyUnicode_InternFromString("timeout");
    return timeout_name != NULL ? 0 : -1;
}
