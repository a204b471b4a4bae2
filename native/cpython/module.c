/* The module lpf._native: names only.  What they do is in the other files. */
#include "native.h"

struct lpf_errors lpf_errors;

/* Made by cffi from native/lpf_cffi_build.py and linked into the same object, so that there is one
 * copy of the core. */
PyMODINIT_FUNC PyInit__core(void);

static PyObject *core_module(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    return PyInit__core();
}

static PyObject *prepare(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    if (lpf_safepoint_install() < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Also the first thing that the package does, and so the place to refuse other interpreters: there
 * is one set of classes, and signals are delivered to the main interpreter only. */
static PyObject *set_errors(PyObject *module, PyObject *args)
{
    (void)module;
    struct lpf_errors errors;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "lpf works in the main interpreter only");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OOOOO:_set_errors", &errors.cancelled, &errors.timed_out,
                          &errors.not_finished, &errors.state, &errors.thread)) {
        return NULL;
    }
    Py_INCREF(errors.cancelled);
    Py_INCREF(errors.timed_out);
    Py_INCREF(errors.not_finished);
    Py_INCREF(errors.state);
    Py_INCREF(errors.thread);
    lpf_errors = errors;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(launch_doc,
             "launch(f, /, *args, timeout=None, **kwargs)\n--\n\nCall f(*args, **kwargs) as a "
             "preemptible function and return its Continuation.\n\nRuns at once, on this thread "
             "and a stack of its own; returns when f has ended, has paused itself, or timeout "
             "seconds of wall-clock time have passed (None: no limit; 0: create without running). "
             "What f raises is kept for result().\n\nRaises TypeError or ValueError for a bad f or "
             "timeout, ThreadError for a timeout on another thread than the main one.\n\nSource: "
             "Boucher et al., Lightweight Preemptible Functions, USENIX ATC 2020.");
PyDoc_STRVAR(call_doc,
             "call(f, /, *args, timeout, **kwargs)\n--\n\nThe value of f(*args, **kwargs), if it "
             "comes within timeout seconds of wall-clock time (None: no limit).\n\nOtherwise f is "
             "cancelled, so that its finally blocks run, and TimedOut is raised. Main thread only "
             "when there is a limit.");
PyDoc_STRVAR(pause_doc,
             "pause(value=None, /)\n--\n\nInside a preemptible function: give control back to "
             "whoever launched "
             "or resumed it; return when it is resumed.\n\nStateError outside of one, and inside "
             "uninterruptible().");
PyDoc_STRVAR(current_doc, "current()\n--\n\nThe innermost Continuation that runs on this thread, "
                          "or None.");
PyDoc_STRVAR(live_doc, "live()\n--\n\nAll continuations that are ready, running, paused or "
                       "abandoned, on any thread, oldest first.");
PyDoc_STRVAR(
    on_stray_doc,
    "on_stray(callback, /)\n--\n\nHave callback() called, on the main thread at a safe point, "
    "when the library's signal comes from outside while no preemptible function runs. "
    "None: ignore it. Returns the former callback or None.");
PyDoc_STRVAR(prepare_doc,
             "prepare()\n--\n\nInstall the signal handler now instead of at the first launch, so "
             "that a signal from outside before that is not lost. Main thread only.");

PyDoc_STRVAR(
    watch_doc,
    "watch(on, /)\n--\n\nStart (True) or stop a native thread that sees when other threads "
    "wait for the GIL in vain, because C code on the main thread holds it inside a "
    "preemptible function, and has that code give way at its next safe point. It sleeps "
    "while no preemptible function runs.");
PyDoc_STRVAR(watch_interrupts_doc,
             "watch_interrupts()\n--\n\nWhile watch is on: see interrupts from now on, also after "
             "somebody has just installed another handler for them. Else the watch would within "
             "20 ms.");

static PyMethodDef methods[] = {
    {"launch", (PyCFunction)(void (*)(void))lpf_launch_py, METH_FASTCALL | METH_KEYWORDS,
     launch_doc},
    {"_reserve_stack", lpf_reserve_stack_py, METH_NOARGS,
     "A stack for all steps of a coroutine; None on other threads than the main one."},
    {"_launch_on", (PyCFunction)(void (*)(void))lpf_launch_on_py, METH_FASTCALL | METH_KEYWORDS,
     "_launch_on(stack, f, *args, timeout=None, **kwargs): launch, on a reserved stack."},
    {"_launch_step", (PyCFunction)(void (*)(void))lpf_launch_step_py, METH_FASTCALL | METH_KEYWORDS,
     "_launch_on, with context variables that whoever runs in its Context meanwhile sees and "
     "sets."},
    {"call", (PyCFunction)(void (*)(void))lpf_call_py, METH_FASTCALL | METH_KEYWORDS, call_doc},
    {"pause", (PyCFunction)(void (*)(void))lpf_pause_py, METH_FASTCALL, pause_doc},
    {"current", lpf_current_py, METH_NOARGS, current_doc},
    {"live", lpf_live_py, METH_NOARGS, live_doc},
    {"on_stray", lpf_on_stray_py, METH_O, on_stray_doc},
    {"prepare", prepare, METH_NOARGS, prepare_doc},
    {"_safepoint", (PyCFunction)(void (*)(void))lpf_safepoint_py, METH_FASTCALL, NULL},
    {"_guard_classifier", lpf_guard_classifier_py, METH_O, NULL},
    {"_guard_changed", lpf_guard_changed_py, METH_NOARGS, NULL},
    {"_iterators", lpf_iterators_set_py, METH_O, NULL},
    {"watch", lpf_watch_py, METH_O, watch_doc},
    {"watch_interrupts", lpf_watch_interrupts_py, METH_NOARGS, watch_interrupts_doc},
    {"_report_to", lpf_report_to_py, METH_VARARGS, NULL},
    {"_report_wire", lpf_wire_py, METH_VARARGS, NULL},
    {"_report_send", lpf_wire_multipart_py, METH_O, NULL},
    {"_report_hold", lpf_wire_hold_py, METH_O, NULL},
    {"_wait_for_bytes", lpf_wakeup_wait_py, METH_VARARGS, NULL},
    {"_same_variables", (PyCFunction)(void (*)(void))lpf_same_variables_py, METH_FASTCALL, NULL},
    {"_report_parent", lpf_wire_parent_py, METH_O, NULL},
    {"_shutdown", lpf_shutdown_py, METH_VARARGS, NULL},
    {"_set_errors", set_errors, METH_VARARGS, NULL},
    {"_core", core_module, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lpf._native",
    .m_doc = "The native half of lpf; see the package.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) {
        return NULL;
    }
    if (lpf_threadstate_init() < 0 || lpf_guard_init() < 0 || lpf_run_ready() < 0 ||
        lpf_continuation_ready() < 0 ||
        PyModule_AddObjectRef(module, "Continuation", (PyObject *)&LpfContinuation_Type) < 0 ||
        PyType_Ready(&LpfTimeLimit_Type) < 0 || PyType_Ready(&LpfUninterruptible_Type) < 0 ||
        PyModule_AddObjectRef(module, "time_limit", (PyObject *)&LpfTimeLimit_Type) < 0 ||
        PyModule_AddObjectRef(module, "uninterruptible", (PyObject *)&LpfUninterruptible_Type) <
            0 ||
        PyModule_AddIntConstant(module, "signal", lpf__preempt_signal()) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    lpf_safepoint_ready(module);
    return module;
}
