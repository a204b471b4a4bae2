/* lpf.call: the result within a time limit, or TimedOut. */
#include "native.h"

static PyObject *raise_timed_out(Continuation *c, uint64_t limit_ns, PyObject *where)
{
    PyObject *error = PyObject_CallFunction(
        lpf_errors.timed_out, "sdOdO", lpf_continuation_name(c),
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
    PyObject *frame = lpf_continuation_frame(c, NULL);
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
        lpf_continuation_run(ts, c, left);
        if (lpf_continuation_has_ended(c) ||
            (c->reason != LPF_REASON_PAUSE && !c->left_for_limit)) {
            return 0;
        }
        if (c->reason == LPF_REASON_PAUSE) {
            Py_XSETREF(c->thrown, pause_in_call());
        } else if (PyErr_CheckSignals() < 0) {
            PyObject *exception = lpf_take_exception();
            if (lpf_continuation_cancel(c, LPF_DROP_GRACE) < 0) {
                PyErr_WriteUnraisable((PyObject *)c);
            }
            lpf_set_exception(exception);
            return -1;
        }
        uint64_t spent = lpf_elapsed(&c->core);
        left = limit_ns == LPF_FOREVER ? LPF_FOREVER : limit_ns > spent ? limit_ns - spent : 1;
    }
}

/* C code that reached no safe point after the limit was ended by an allocation that failed (rung 4). */
static bool was_starved(const Continuation *c)
{
    return c->starved && c->exception != NULL && lpf_starve_may_raise(c->exception);
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
    Continuation *c = lpf_continuation_make(PyThreadState_Get(), "call", args, positional, keywords,
                                            &limit_ns, NULL);
    if (c == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (limit_ns == 0) {
        lpf_continuation_cancel_ready(c);
        PyErr_SetString(PyExc_ValueError, "timeout must be positive or None for call");
    } else {
        c->insists = true;
        if (run_call(PyThreadState_Get(), c, limit_ns) < 0) {
            Py_DECREF(c);
            return NULL;
        }
        if (lpf_continuation_has_ended(c) && !c->abandoned && !was_starved(c)) {
            result = lpf_continuation_result(c);
        } else {
            PyObject *place = place_of(c);
            if (place != NULL && lpf_continuation_cancel(c, LPF_DROP_GRACE) == 0) {
                raise_timed_out(c, limit_ns, place);
            }
            Py_XDECREF(place);
        }
    }
    Py_DECREF(c);
    return result;
}
