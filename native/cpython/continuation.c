/* The type Continuation: a Python function on a stack of its own.
 *
 * Invariants:
 *   - While the function runs, `outside` holds the state of whoever launched or resumed it; while it
 *     stands still, `inside` holds its own.  Neither is both.
 *   - Between swapping the thread state and the switch itself no Python code runs: a tick in between
 *     only marks the signal as pending.
 *   - A continuation that has not ended is in the list `live`; one that is running or held is kept
 *     alive by its launcher's stack, an abandoned one by the list.
 */
#include "native.h"

#include <string.h>
#include <structmember.h>

#define DROP_GRACE (500 * LPF__MILLISECOND)
#define MOST_SPARE 64

static Continuation *live;
static int kept_for_main;       /* Those of the main thread that were dropped on another one. */
static PyObject *timeout_name;  /* Interned. */
static PyObject *native_module; /* Borrowed: the module lives as long as the process. */

static const char *const reason_names[] = {
    [LPF_REASON_NONE] = NULL,         [LPF_REASON_TIMEOUT] = "timeout",
    [LPF_REASON_REQUEST] = "request", [LPF_REASON_SIGNAL] = "signal",
    [LPF_REASON_PAUSE] = "pause",
};

/* ---- States ------------------------------------------------------------------------------- */

static const char *state_name(Continuation *c)
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

static bool has_ended(Continuation *c)
{
    return c->abandoned || c->core.state == LPF_FINISHED || c->core.state == LPF_CANCELLED;
}

static PyObject *name_of(Continuation *c)
{
    return PyUnicode_FromString(c->core.name != NULL ? c->core.name : "?");
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
    PyErr_Format(lpf_errors.state, "%s is %s: %S", c->core.name != NULL ? c->core.name : "?",
                 state_name(c), rest);
    Py_XDECREF(rest);
    return -1;
}

static int wrong_thread(Continuation *c, const char *verb)
{
    PyErr_Format(lpf_errors.thread,
                 "%s is %s on thread %lu and can only be %s there; from another thread, "
                 "request_pause() and request_cancel() are allowed",
                 c->core.name != NULL ? c->core.name : "?", state_name(c), c->thread_ident, verb);
    return -1;
}

static int check_runnable(Continuation *c, const char *verb)
{
    if (has_ended(c)) {
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

static void link_live(Continuation *c)
{
    c->previous = NULL;
    c->next = live;
    if (live != NULL) {
        live->previous = c;
    }
    live = c;
}

static void unlink_live(Continuation *c)
{
    if (c->previous != NULL) {
        c->previous->next = c->next;
    } else if (live == c) {
        live = c->next;
    } else {
        return; /* Not in the list. */
    }
    if (c->next != NULL) {
        c->next->previous = c->previous;
    }
    c->previous = c->next = NULL;
}

/* ---- The call ----------------------------------------------------------------------------- */

static void drop_call(Continuation *c)
{
    PyObject **arguments = c->arguments;
    c->arguments = NULL;
    if (arguments != NULL) {
        Py_ssize_t count = c->positional;
        if (c->keywords != NULL) {
            count += PyTuple_GET_SIZE(c->keywords);
        }
        for (Py_ssize_t i = 0; i < count; i++) {
            Py_DECREF(arguments[i]);
        }
        if (arguments != c->few + 1) {
            PyMem_Free(arguments - 1);
        }
    }
    Py_CLEAR(c->keywords);
}

/* A MemoryError that rung 4 made stands for the cancel, or for the interrupt that is pending. */
static void end_starved(Continuation *c)
{
    c->starved = true;
    lpf_starve_end();
    if (!PyErr_GivenExceptionMatches(c->exception, PyExc_MemoryError)) {
        return;
    }
    if (c->canceller.active) {
        c->cancelled = true;
    } else if (PyErr_CheckSignals() < 0) {
        Py_XSETREF(c->exception, lpf_take_exception());
    }
}

/* Runs on the function's own stack. */
static void entry(void *self)
{
    Continuation *c = self;
    c->result = PyObject_Vectorcall(c->function, c->arguments,
                                    (size_t)c->positional | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                    c->keywords);
    if (c->result == NULL) {
        c->exception = lpf_take_exception();
        c->cancelled = c->canceller.exception != NULL && c->exception == c->canceller.exception;
        if (c->starved || lpf_starve_hit()) {
            end_starved(c);
        }
    }
    drop_call(c);
}

static const char *utf8(PyObject *text)
{
    return PyUnicode_IS_COMPACT_ASCII(text) ? (const char *)PyUnicode_1BYTE_DATA(text)
                                            : PyUnicode_AsUTF8(text);
}

/* *owner: new reference to what the text belongs to, since a __qualname__ may be replaced. */
static const char *name_for_messages(PyObject *function, PyObject **owner)
{
    const char *name = NULL;
    PyTypeObject *type = Py_TYPE(function);
    if (PyMethod_Check(function)) {
        return name_for_messages(PyMethod_GET_FUNCTION(function), owner);
    }
    if (PyFunction_Check(function)) {
        *owner = Py_NewRef(((PyFunctionObject *)function)->func_qualname);
        name = utf8(*owner);
    } else if (PyCFunction_Check(function)) {
        name = ((PyCFunctionObject *)function)->m_ml->ml_name;
    } else if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        *owner = Py_NewRef(((PyHeapTypeObject *)type)->ht_name);
        name = utf8(*owner);
    } else {
        name = type->tp_name;
    }
    if (name == NULL) {
        PyErr_Clear(); /* A name with lone surrogates. */
    }
    return name;
}

/* Copies the call, since it may outlive the caller's frame.  `skip` is the index of the keyword to
 * leave out, -1 for none. */
static int take_call(Continuation *c, PyObject *function, PyObject *const *args,
                     Py_ssize_t positional, PyObject *keywords, Py_ssize_t skip)
{
    Py_ssize_t named = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    Py_ssize_t count = positional + named - (skip >= 0);
    PyObject **copy = c->few;
    if (count > LPF_INLINE_ARGUMENTS) {
        copy = PyMem_Malloc((size_t)(count + 1) * sizeof *copy);
        if (copy == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    if (named > (skip >= 0)) {
        c->keywords = skip < 0 ? Py_NewRef(keywords) : PyTuple_New(named - 1);
        if (c->keywords == NULL) {
            if (copy != c->few) {
                PyMem_Free(copy);
            }
            return -1;
        }
    }
    copy[0] = NULL;
    Py_ssize_t at = 1;
    for (Py_ssize_t i = 0; i < positional + named; i++) {
        Py_ssize_t keyword = i - positional;
        if (skip >= 0 && keyword == skip) {
            continue;
        }
        if (skip >= 0 && keyword >= 0) {
            PyTuple_SET_ITEM(c->keywords, at - 1 - positional,
                             Py_NewRef(PyTuple_GET_ITEM(keywords, keyword)));
        }
        copy[at++] = Py_NewRef(args[i]);
    }
    c->arguments = copy + 1;
    c->positional = positional;
    c->function = Py_NewRef(function);
    c->core.name = name_for_messages(function, &c->name_owner);
    return 0;
}

/* ---- Running ------------------------------------------------------------------------------ */

static void keep_no_longer(Continuation *c);
static int watch_thread(void);

static void after_end(Continuation *c)
{
    lpf__stack_give(&c->core.thread->pool, c->core.stack);
    c->core.stack = NULL;
    unlink_live(c);
    c->reason = LPF_REASON_NONE;
    if (c->canceller.active || c->canceller.exception != NULL) {
        lpf_cancel_clear(&c->canceller);
    }
    keep_no_longer(c);
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
static void run(PyThreadState *ts, Continuation *c, uint64_t limit_ns)
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
    lpf__leave(&c->core);
    if (c->thrown != NULL) {
        c->core.request = LPF__REQUEST_HOST;
        lpf_safepoint_again();
    }
}

int lpf_need_main_thread(const char *what)
{
    if (lpf_safepoint_installed_here()) {
        return 0;
    }
    if (lpf_safepoint_install(native_module) == 0) {
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Format(lpf_errors.thread,
                     "%s works on the main thread of the main interpreter only, where CPython "
                     "delivers signals; without it, launch, pause and resume work on every thread",
                     what);
    }
    return -1;
}

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

static void delete_continuation(Continuation *c)
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

/* Keywords at a call are the very string objects that the compiler has interned. */
static bool is_timeout(PyObject *keyword)
{
    return keyword == timeout_name || PyUnicode_CompareWithASCIIString(keyword, "timeout") == 0;
}

/* A READY continuation of the call.  args[0] is the function. */
static Continuation *make(PyThreadState *ts, const char *verb, PyObject *const *args,
                          Py_ssize_t positional, PyObject *keywords, uint64_t *limit_ns)
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
    if (take_call(c, args[0], args + 1, positional - 1, keywords, timeout_at) < 0) {
        Py_DECREF(c);
        return NULL;
    }
    c->core.host = &lpf_python_host;
    if (lpf__prepare(&c->core, entry, c) != LPF_OK) {
        Py_DECREF(c);
        PyErr_NoMemory();
        return NULL;
    }
    c->thread_ident = ts->thread_id;
    link_live(c);
    lpf_gc_track(ts, (PyObject *)c);
    if (!lpf_safepoint_installed_here() && watch_thread() < 0) {
        Py_DECREF(c);
        return NULL;
    }
    return c;
}

PyObject *lpf_launch_py(PyObject *module, PyObject *const *args, Py_ssize_t positional,
                        PyObject *keywords)
{
    uint64_t limit_ns;
    (void)module;
    PyThreadState *ts = PyThreadState_Get();
    Continuation *c = make(ts, "launch", args, positional, keywords, &limit_ns);
    if (c != NULL && limit_ns != 0) {
        run(ts, c, limit_ns);
    }
    return (PyObject *)c;
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
    Py_XSETREF(c->value, count == 1 ? Py_NewRef(args[0]) : NULL);
    int status = lpf_continuation_leave(PyThreadState_Get(), c, LPF_REASON_PAUSE);
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

PyObject *lpf_live_py(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    PyObject *list = PyList_New(0);
    for (Continuation *c = live; list != NULL && c != NULL; c = c->next) {
        if (PyList_Append(list, (PyObject *)c) < 0) {
            Py_CLEAR(list);
        }
    }
    if (list != NULL && PyList_Reverse(list) < 0) { /* Oldest first. */
        Py_CLEAR(list);
    }
    return list;
}

/* ---- Cancelling --------------------------------------------------------------------------- */

/* Never started: there is nothing to unwind. */
static void cancel_ready(Continuation *c)
{
    lpf__discard(&c->core);
    lpf__stack_give(&c->core.thread->pool, c->core.stack);
    c->core.stack = NULL;
    c->cancelled = true;
    unlink_live(c);
    drop_call(c);
    keep_no_longer(c);
}

/* Resumes it with Cancelled until it has ended or is given up.  0 or -1 with an exception. */
static int cancel_paused(PyThreadState *ts, Continuation *c, uint64_t grace_ns)
{
    PyObject *message = PyUnicode_FromString("cancelled");
    if (message == NULL) {
        return -1;
    }
    lpf_cancel_start(&c->canceller, grace_ns);
    while (!has_ended(c)) { /* More than once if it pauses itself meanwhile. */
        if (c->canceller.exception != NULL && lpf__now() >= c->canceller.until) {
            c->abandoned = true;
            Py_INCREF(c);
            break;
        }
        PyObject *exception = lpf_cancel_exception(&c->canceller, message);
        if (exception == NULL) {
            Py_DECREF(message);
            return -1;
        }
        Py_XSETREF(c->thrown, exception);
        c->core.request = LPF__REQUEST_HOST;
        if (lpf_safepoint_installed_here()) {
            lpf_cancel_watch(c->core.thread, &c->canceller, lpf__now());
        }
        lpf_ladder_reached(); /* C code that drops many of them goes on, although no tick sees it. */
        run(ts, c, LPF_FOREVER);
    }
    Py_DECREF(message);
    return 0;
}

static int cancel(Continuation *c, uint64_t grace_ns)
{
    if (has_ended(c)) {
        return 0;
    }
    if (check_runnable(c, "cancelled") < 0) {
        return -1;
    }
    if (c->core.state == LPF_READY) {
        cancel_ready(c);
        return 0;
    }
    return cancel_paused(PyThreadState_Get(), c, grace_ns);
}

/* ---- Methods ------------------------------------------------------------------------------ */

static PyObject *not_finished(Continuation *c)
{
    PyErr_Format(lpf_errors.not_finished, "%s is %s: resume() it, or cancel() it, first",
                 c->core.name != NULL ? c->core.name : "?", state_name(c));
    return NULL;
}

static PyObject *raise_cancelled(Continuation *c)
{
    if (c->exception != NULL && !c->abandoned) {
        lpf_set_exception(Py_NewRef(c->exception));
    } else {
        PyErr_Format(lpf_errors.cancelled, "%s was %s", c->core.name != NULL ? c->core.name : "?",
                     state_name(c));
    }
    return NULL;
}

static PyObject *get_result(Continuation *c)
{
    if (c->result != NULL) {
        return Py_NewRef(c->result);
    }
    if (!has_ended(c)) {
        return not_finished(c);
    }
    if (c->exception != NULL && !c->cancelled) {
        lpf_set_exception(Py_NewRef(c->exception));
        return NULL;
    }
    return raise_cancelled(c);
}

static PyObject *continuation_result(Continuation *c, PyObject *ignored)
{
    (void)ignored;
    return get_result(c);
}

static PyObject *continuation_exception(Continuation *c, PyObject *ignored)
{
    (void)ignored;
    if (!has_ended(c)) {
        return not_finished(c);
    }
    return Py_NewRef(c->exception != NULL ? c->exception : Py_None);
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
    return check_runnable(c, "resumed");
}

static __attribute__((flatten)) PyObject *go_on(Continuation *c, uint64_t limit_ns)
{
    c->core.request = LPF__NO_REQUEST;
    run(PyThreadState_Get(), c, limit_ns);
    return Py_NewRef((PyObject *)c);
}

static PyObject *continuation_resume(Continuation *c, PyObject *const *args, Py_ssize_t count,
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

static PyObject *continuation_throw(Continuation *c, PyObject *args, PyObject *keywords)
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
        cancel_ready(c);
        c->core.state = LPF_FINISHED;
        c->cancelled = false;
        c->exception = exception;
        return Py_NewRef((PyObject *)c);
    }
    Py_XSETREF(c->thrown, exception);
    return go_on(c, limit_ns);
}

static int parse_grace(const char *verb, PyObject *args, PyObject *keywords, uint64_t *grace_ns)
{
    static char *names[] = {"grace", NULL};
    char format[32];
    PyObject *grace = NULL;
    PyOS_snprintf(format, sizeof format, "|$O:%s", verb);
    if (!PyArg_ParseTupleAndKeywords(args, keywords, format, names, &grace)) {
        return -1;
    }
    *grace_ns = DROP_GRACE;
    return grace != NULL ? lpf_seconds(grace, "grace", grace_ns) : 0;
}

static PyObject *continuation_cancel(Continuation *c, PyObject *args, PyObject *keywords)
{
    uint64_t grace_ns;
    if (parse_grace("cancel", args, keywords, &grace_ns) < 0 || cancel(c, grace_ns) < 0) {
        return NULL;
    }
    return PyUnicode_FromString(state_name(c));
}

/* The request is seen by the handler on the function's own thread. */
static PyObject *request(Continuation *c, enum lpf__request what)
{
    struct lpf__thread *t = c->core.thread;
    if (c->core.state != LPF_RUNNING || t == NULL || !lpf__preempt_installed()) {
        Py_RETURN_FALSE;
    }
    c->core.request = what;
    lpf__wake(t);
    Py_RETURN_TRUE;
}

static PyObject *continuation_request_pause(Continuation *c, PyObject *ignored)
{
    (void)ignored;
    return request(c, LPF__REQUEST_PAUSE);
}

static PyObject *continuation_request_cancel(Continuation *c, PyObject *args, PyObject *keywords)
{
    uint64_t grace_ns;
    if (parse_grace("request_cancel", args, keywords, &grace_ns) < 0) {
        return NULL;
    }
    if (c->core.state != LPF_RUNNING || c->canceller.active) {
        return PyBool_FromLong(c->core.state == LPF_RUNNING);
    }
    lpf_cancel_start(&c->canceller, grace_ns);
    return request(c, LPF__REQUEST_HOST);
}

/* The innermost frame, also for one that is held inside another. */
static PyObject *continuation_frame(Continuation *c, void *closure)
{
    (void)closure;
    if (c->core.state != LPF_PAUSED && c->core.state != LPF_HELD) {
        Py_RETURN_NONE;
    }
    lpf_t *holder = lpf__holder(&c->core);
    if (holder->host != &lpf_python_host) {
        Py_RETURN_NONE;
    }
    struct lpf_pystate *state = &lpf_continuation_of(holder)->inside;
    if (holder->leaf != &c->core && c->core.state == LPF_HELD && c->core.callee != NULL &&
        c->core.callee->host == &lpf_python_host) {
        state = &lpf_continuation_of(c->core.callee)->outside;
    }
    PyFrameObject *frame = lpf_pystate_frame(PyThreadState_Get(), state);
    return frame != NULL ? (PyObject *)frame : Py_NewRef(Py_None);
}

static PyObject *continuation_stack(Continuation *c, PyObject *ignored)
{
    (void)ignored;
    PyObject *list = PyList_New(0);
    PyObject *frame = list != NULL ? continuation_frame(c, NULL) : NULL;
    while (frame != NULL && frame != Py_None) {
        if (PyList_Append(list, frame) < 0) {
            Py_CLEAR(frame);
            break;
        }
        PyObject *back = (PyObject *)PyFrame_GetBack((PyFrameObject *)frame);
        Py_SETREF(frame, back != NULL ? back : Py_NewRef(Py_None));
    }
    if (frame == NULL) {
        Py_CLEAR(list);
    }
    Py_XDECREF(frame);
    return list;
}

static PyObject *get_state(Continuation *c, void *closure)
{
    (void)closure;
    return PyUnicode_FromString(state_name(c));
}

static PyObject *get_done(Continuation *c, void *closure)
{
    (void)closure;
    return PyBool_FromLong(has_ended(c));
}

static PyObject *get_reason(Continuation *c, void *closure)
{
    (void)closure;
    const char *name = reason_names[c->reason];
    return name != NULL ? PyUnicode_FromString(name) : Py_NewRef(Py_None);
}

static PyObject *get_elapsed(Continuation *c, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble((double)lpf_elapsed(&c->core) * 1e-9);
}

static PyObject *get_cpu_time(Continuation *c, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble((double)lpf_cpu_time(&c->core) * 1e-9);
}

static PyObject *get_name(Continuation *c, void *closure)
{
    (void)closure;
    return name_of(c);
}

static PyObject *get_function(Continuation *c, void *closure)
{
    (void)closure;
    return Py_NewRef(c->function != NULL ? c->function : Py_None);
}

static PyObject *get_value(Continuation *c, void *closure)
{
    (void)closure;
    return Py_NewRef(c->value != NULL ? c->value : Py_None);
}

static PyObject *get_starved(Continuation *c, void *closure)
{
    (void)closure;
    if (lpf_starve_hit() && c->core.state == LPF_RUNNING) {
        c->starved = true;
    }
    return PyBool_FromLong(c->starved);
}

static PyObject *get_broke_into(Continuation *c, void *closure)
{
    (void)closure;
    return Py_NewRef(c->broke_into != NULL ? c->broke_into : Py_None);
}

static PyObject *get_thread_id(Continuation *c, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(c->thread_ident);
}

static PyObject *continuation_repr(Continuation *c)
{
    const char *reason = reason_names[c->reason];
    return PyUnicode_FromFormat("<lpf.Continuation of %s, %s%s%s>",
                                c->core.name != NULL ? c->core.name : "?", state_name(c),
                                reason != NULL ? ": " : "", reason != NULL ? reason : "");
}

/* ---- call --------------------------------------------------------------------------------- */

static PyObject *raise_timed_out(Continuation *c, uint64_t limit_ns, PyObject *where)
{
    PyObject *error = PyObject_CallFunction(
        lpf_errors.timed_out, "sdOdO", c->core.name != NULL ? c->core.name : "?",
        limit_ns == LPF_FOREVER ? Py_HUGE_VAL : (double)limit_ns * 1e-9, where,
        (double)lpf_elapsed(&c->core) * 1e-9, c->abandoned ? Py_True : Py_False);
    if (error == NULL) {
        return NULL;
    }
    if (c->exception != NULL) { /* Where it was, for those who want to know. */
        PyException_SetContext(error, Py_NewRef(c->exception));
    }
    lpf_set_exception(error);
    return NULL;
}

/* "line 3 in f (file.py)", or None. */
static PyObject *place_of(Continuation *c)
{
    PyObject *frame = continuation_frame(c, NULL);
    if (frame == NULL || frame == Py_None) {
        return frame;
    }
    PyCodeObject *code = PyFrame_GetCode((PyFrameObject *)frame);
    PyObject *place = PyUnicode_FromFormat("line %d in %U (%U)",
                                           PyFrame_GetLineNumber((PyFrameObject *)frame),
                                           code->co_qualname, code->co_filename);
    Py_DECREF(code);
    Py_DECREF(frame);
    return place;
}

/* Index of a keyword, -1 if it is not there. */
static Py_ssize_t find_keyword(PyObject *keywords, const char *name)
{
    Py_ssize_t count = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i), name) == 0) {
            return i;
        }
    }
    return -1;
}

/* lpf.pause() in a call: there is nobody who would resume it. */
static PyObject *pause_in_call(void)
{
    PyObject *text = PyUnicode_FromString(
        "pause() inside lpf.call: nobody could resume it; use lpf.launch");
    PyObject *error = text != NULL ? PyObject_CallOneArg(lpf_errors.state, text) : NULL;
    Py_XDECREF(text);
    return error;
}

/* Runs it until it has ended or its limit has passed.  -1 with an exception if a limit around the
 * call, or a signal, ends that; the function is cancelled then. */
static int run_call(PyThreadState *ts, Continuation *c, uint64_t limit_ns)
{
    uint64_t left = limit_ns;
    for (;;) {
        run(ts, c, left);
        if (has_ended(c) || (c->reason != LPF_REASON_PAUSE && !c->left_for_limit)) {
            return 0;
        }
        if (c->reason == LPF_REASON_PAUSE) {
            Py_XSETREF(c->thrown, pause_in_call());
        } else if (PyErr_CheckSignals() < 0) {
            PyObject *exception = lpf_take_exception();
            if (cancel(c, DROP_GRACE) < 0) {
                PyErr_WriteUnraisable((PyObject *)c);
            }
            lpf_set_exception(exception);
            return -1;
        }
        uint64_t spent = lpf_elapsed(&c->core);
        left = limit_ns == LPF_FOREVER ? LPF_FOREVER : limit_ns > spent ? limit_ns - spent : 1;
    }
}

PyObject *lpf_call_py(PyObject *module, PyObject *const *args, Py_ssize_t positional,
                      PyObject *keywords)
{
    uint64_t limit_ns;
    (void)module;
    if (find_keyword(keywords, "timeout") < 0) {
        PyErr_SetString(PyExc_TypeError, "call() needs timeout=, seconds or None");
        return NULL;
    }
    Continuation *c = make(PyThreadState_Get(), "call", args, positional, keywords, &limit_ns);
    if (c == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (limit_ns == 0) {
        cancel_ready(c);
        PyErr_SetString(PyExc_ValueError, "timeout must be positive or None for call");
    } else {
        c->insists = true;
        if (run_call(PyThreadState_Get(), c, limit_ns) < 0) {
            Py_DECREF(c);
            return NULL;
        }
        if (has_ended(c) && !c->abandoned) {
            result = get_result(c);
        } else {
            PyObject *place = place_of(c);
            if (place != NULL && cancel(c, DROP_GRACE) == 0) {
                raise_timed_out(c, limit_ns, place);
            }
            Py_XDECREF(place);
        }
    }
    Py_DECREF(c);
    return result;
}

/* ---- The end of a continuation ------------------------------------------------------------ */

static bool stands_here(Continuation *c)
{
    return !has_ended(c) && c->core.thread == lpf__self &&
           (c->core.state == LPF_READY || c->core.state == LPF_PAUSED);
}

/* The list holds it for ever. */
static void abandon(Continuation *c)
{
    c->abandoned = true;
    Py_INCREF(c);
}

/* Cancels what nobody refers to any more. */
static void cancel_dropped(Continuation *c)
{
    if (cancel(c, DROP_GRACE) < 0) {
        PyErr_WriteUnraisable((PyObject *)c);
        if (!has_ended(c)) {
            abandon(c);
        }
    } else if (c->abandoned) {
        PyErr_Format(PyExc_RuntimeWarning,
                     "%s was dropped while paused, did not let itself be cancelled, and is "
                     "abandoned: its stack stays in memory",
                     c->core.name != NULL ? c->core.name : "?");
        PyErr_WriteUnraisable((PyObject *)c);
    }
}

/* Dropped on another thread than its own: the list holds it until its own cancels it, the main
 * thread at its next safe point, others when they end. */
static void keep(Continuation *c)
{
    c->kept = true;
    Py_INCREF(c);
    if (lpf_safepoint_works_on(c->core.thread)) {
        kept_for_main++;
        lpf_safepoint_again();
    }
}

/* It has ended after all. */
static void keep_no_longer(Continuation *c)
{
    if (c->kept) {
        c->kept = false;
        kept_for_main -= lpf_safepoint_works_on(c->core.thread);
        Py_DECREF(c);
    }
}

void lpf_continuation_cancel_kept(void)
{
    for (Continuation *c = live; kept_for_main > 0 && c != NULL;) {
        if (!c->kept || !stands_here(c)) {
            c = c->next;
            continue;
        }
        Py_INCREF(c);
        keep_no_longer(c);
        cancel_dropped(c);
        Py_DECREF(c);
        c = live; /* Unwinding may have ended others too. */
    }
}

/* The last reference is gone.  May be called again, if the object was revived. */
static void continuation_finalize(PyObject *self)
{
    Continuation *c = (Continuation *)self;
    if (has_ended(c) || (c->core.state != LPF_READY && c->core.state != LPF_PAUSED)) {
        return;
    }
    PyObject *present = lpf_take_exception();
    if (c->core.thread == lpf__self) {
        cancel_dropped(c);
    } else if (c->core.state == LPF_PAUSED) { /* One that has not begun has nothing to unwind. */
        if (atomic_load(&c->core.thread->ended)) {
            abandon(c);
        } else {
            keep(c);
        }
    }
    if (present != NULL) {
        lpf_set_exception(present);
    }
}

/* As PyObject_CallFinalizerFromDealloc, but also when the collector has called it before: a stack
 * with frames on it must never be given back. */
static bool revived_by_finalizer(Continuation *c)
{
    Py_SET_REFCNT((PyObject *)c, 1);
    continuation_finalize((PyObject *)c);
    Py_ssize_t count = Py_REFCNT((PyObject *)c) - 1;
    Py_SET_REFCNT((PyObject *)c, count);
    return count > 0;
}

/* A thread ends: what it leaves paused would never go on. */
static void thread_ends(PyObject *capsule)
{
    if (PyCapsule_GetPointer(capsule, NULL) != lpf__self) {
        return; /* After a fork, the child tidies up after threads that it does not have. */
    }
    PyObject *present = lpf_take_exception();
    for (Continuation *c = live; c != NULL;) {
        if (!stands_here(c)) {
            c = c->next;
            continue;
        }
        Py_INCREF(c);
        keep_no_longer(c);
        cancel_dropped(c);
        Py_DECREF(c);
        c = live;
    }
    if (present != NULL) {
        lpf_set_exception(present);
    }
}

/* Has thread_ends called for this thread, which is not the main one. */
static int watch_thread(void)
{
    PyObject *dict = PyThreadState_GetDict(); /* Cleared by the thread itself when it ends. */
    if (dict == NULL || PyDict_GetItemString(dict, "lpf") != NULL) {
        return 0;
    }
    PyObject *capsule = PyCapsule_New(lpf__self, NULL, thread_ends);
    int status = capsule != NULL ? PyDict_SetItemString(dict, "lpf", capsule) : -1;
    Py_XDECREF(capsule);
    return status;
}

static int continuation_traverse(Continuation *c, visitproc visit, void *arg)
{
    Py_VISIT(c->function);
    Py_VISIT(c->result);
    Py_VISIT(c->exception);
    Py_VISIT(c->thrown);
    Py_VISIT(c->value);
    Py_VISIT(c->canceller.exception);
    if (c->core.state == LPF_READY && c->arguments != NULL) {
        for (Py_ssize_t i = 0; i < c->positional; i++) {
            Py_VISIT(c->arguments[i]);
        }
    }
    return 0;
}

static int continuation_clear(Continuation *c)
{
    Py_CLEAR(c->result);
    Py_CLEAR(c->exception);
    Py_CLEAR(c->thrown);
    Py_CLEAR(c->value);
    lpf_cancel_clear(&c->canceller);
    return 0;
}

static void continuation_dealloc(Continuation *c)
{
    if (!has_ended(c) && c->core.stack != NULL && revived_by_finalizer(c)) {
        return;
    }
    lpf_gc_untrack((PyObject *)c);
    if (c->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)c);
    }
    unlink_live(c);
    drop_call(c);
    continuation_clear(c);
    Py_CLEAR(c->function);
    Py_CLEAR(c->broke_into);
    Py_CLEAR(c->name_owner);
    lpf_contextvars_drop(&c->contextvars);
    lpf__release(&c->core);
    delete_continuation(c);
}

PyObject *lpf_shutdown_py(PyObject *module, PyObject *args)
{
    double grace;
    (void)module;
    if (!PyArg_ParseTuple(args, "d:_shutdown", &grace)) {
        return NULL;
    }
    for (Continuation *c = live; c != NULL;) {
        Continuation *next = c->next;
        if (stands_here(c)) {
            Py_INCREF(c);
            if (cancel(c, (uint64_t)(grace * 1e9)) < 0) {
                PyErr_WriteUnraisable((PyObject *)c);
            }
            next = live; /* Unwinding may have ended others too. */
            Py_DECREF(c);
        }
        c = next;
    }
    if (lpf_current() == NULL) {
        lpf_safepoint_close();
    }
    Py_RETURN_NONE;
}

/* ---- The type ----------------------------------------------------------------------------- */

PyDoc_STRVAR(
    result_doc,
    "result($self, /)\n--\n\nThe value that the function returned; raises what it raised.\n\n"
    "Raises NotFinished while it has not ended, Cancelled if it was cancelled or "
    "abandoned.");
PyDoc_STRVAR(exception_doc,
             "exception($self, /)\n--\n\nWhat the function ended with, or None if it "
             "returned.\n\nRaises NotFinished while it has not ended.");
PyDoc_STRVAR(
    resume_doc,
    "resume($self, /, *, timeout=None, insist=False)\n--\n\nGo on where the function stands, for "
    "at most "
    "timeout "
    "seconds of wall-clock time (None: no limit).\n\nReturns itself when the function has "
    "ended or stands still again. insist: what has not been left by then is going to be "
    "cancelled, so that C code which can only be ended may be ended, by an allocation that "
    "fails (see starved).\n\nOnly on its own thread, and only when paused or ready: "
    "StateError and ThreadError otherwise.");
PyDoc_STRVAR(throw_doc,
             "throw($self, /, exc, *, timeout=None)\n--\n\nAs resume, but exc (an exception or a "
             "class) is raised at the point where the function stands.");
PyDoc_STRVAR(
    cancel_doc,
    "cancel($self, /, *, grace=0.5)\n--\n\nRaise lpf.Cancelled in the function and let it unwind: "
    "finally blocks and context managers run.\n\nRaised again when it is swallowed, and "
    "inside a finally block that takes longer than half of grace seconds. What has not "
    "ended after grace seconds is abandoned: it never runs again and stays in memory.\n\n"
    "Returns the state then: 'cancelled', 'finished' (it ended by itself all the same) or "
    "'abandoned'. Nothing happens to what has ended. Only on its own thread.");
PyDoc_STRVAR(
    request_pause_doc,
    "request_pause($self, /)\n--\n\nFrom any thread: have the running function paused at its next "
    "safe point.\n\nReturns at once: True if it is running, False if not.");
PyDoc_STRVAR(
    request_cancel_doc,
    "request_cancel($self, /, *, grace=0.5)\n--\n\nFrom any thread: have the running function "
    "cancelled, as cancel() does it.\n\nReturns at once: True if it is running.");
PyDoc_STRVAR(stack_doc,
             "stack($self, /)\n--\n\nIts frames while it stands still, innermost first; empty "
             "otherwise. Real frame objects.");

static PyMethodDef continuation_methods[] = {
    {"result", (PyCFunction)(void (*)(void))continuation_result, METH_NOARGS, result_doc},
    {"exception", (PyCFunction)(void (*)(void))continuation_exception, METH_NOARGS, exception_doc},
    {"resume", (PyCFunction)(void (*)(void))continuation_resume, METH_FASTCALL | METH_KEYWORDS,
     resume_doc},
    {"throw", (PyCFunction)(void (*)(void))continuation_throw, METH_VARARGS | METH_KEYWORDS,
     throw_doc},
    {"cancel", (PyCFunction)(void (*)(void))continuation_cancel, METH_VARARGS | METH_KEYWORDS,
     cancel_doc},
    {"request_pause", (PyCFunction)(void (*)(void))continuation_request_pause, METH_NOARGS,
     request_pause_doc},
    {"request_cancel", (PyCFunction)(void (*)(void))continuation_request_cancel,
     METH_VARARGS | METH_KEYWORDS, request_cancel_doc},
    {"stack", (PyCFunction)(void (*)(void))continuation_stack, METH_NOARGS, stack_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "Continuation[T]: T is the type of the result."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef continuation_getset[] = {
    {"state", (getter)get_state, NULL,
     "'ready', 'running', 'paused', 'finished', 'cancelled' or 'abandoned'.", NULL},
    {"done", (getter)get_done, NULL, "True when finished, cancelled or abandoned.", NULL},
    {"reason", (getter)get_reason, NULL,
     "Why it is paused: 'timeout', 'request', 'signal' (from outside the process), 'pause' (by "
     "itself); None when it is not.",
     NULL},
    {"frame", (getter)continuation_frame, NULL,
     "The innermost frame while it stands still, None otherwise.", NULL},
    {"elapsed", (getter)get_elapsed, NULL,
     "Seconds of wall-clock time inside since its start; standing still does not count.", NULL},
    {"cpu_time", (getter)get_cpu_time, NULL,
     "Seconds of this thread's CPU time inside, exact to about 0.1 ms a slice.", NULL},
    {"name", (getter)get_name, NULL, "The qualified name of the function.", NULL},
    {"function", (getter)get_function, NULL, "The function.", NULL},
    {"starved", (getter)get_starved, NULL,
     "True if an allocation of it was made to fail, to end C code that could not be left "
     "otherwise; "
     "a MemoryError that comes out of it then stands for the interrupt or the cancel.",
     NULL},
    {"broke_into", (getter)get_broke_into, NULL,
     "The guarded module that a cancel broke into after waiting for half of its grace, or None.",
     NULL},
    {"value", (getter)get_value, NULL, "What it gave to lpf.pause(), None while it is not there.",
     NULL},
    {"thread_id", (getter)get_thread_id, NULL, "threading.get_ident() of its thread.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(continuation_doc,
             "A call on a stack of its own, to be paused, resumed and cancelled; made by "
             "lpf.launch.\n\nDropping the last reference to a paused one cancels it. It belongs to "
             "the thread that launched it.");

PyTypeObject LpfContinuation_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "lpf.Continuation",
    .tp_basicsize = sizeof(Continuation),
    .tp_dealloc = (destructor)continuation_dealloc,
    .tp_repr = (reprfunc)continuation_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = continuation_doc,
    .tp_traverse = (traverseproc)continuation_traverse,
    .tp_clear = (inquiry)continuation_clear,
    .tp_weaklistoffset = offsetof(Continuation, weakrefs),
    .tp_methods = continuation_methods,
    .tp_getset = continuation_getset,
    .tp_finalize = continuation_finalize,
};

int lpf_continuation_ready(PyObject *module)
{
    native_module = module;
    timeout_name = PyUnicode_InternFromString("timeout");
    if (timeout_name == NULL) {
        return -1;
    }
    return PyType_Ready(&LpfContinuation_Type);
}
