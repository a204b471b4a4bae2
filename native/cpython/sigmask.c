/* The signal mask belongs to the function, but reading it is a system call, as long as all the rest
 * of a switch.  The only way for Python code to change it is signal.pthread_sigmask, so that
 * function is watched: whoever calls it inside a preemptible function has the mask switched from
 * then on.
 *
 * Watching means replacing the C function in the method table of the module _signal, which reaches
 * every reference to it, and costs nothing to those who do not call it.  The replacement calls the
 * original with the same arguments.
 */
#include "native.h"

static PyCFunction original;

/* From now on the masks of all running functions are switched; each one's caller has the mask of
 * this moment, which nobody has changed so far. */
static void keep_masks(void)
{
    struct lpf__thread *t = lpf__self;
    for (lpf_t *c = t != NULL ? t->current : NULL; c != NULL; c = c->caller) {
        if (!c->keeps_mask) {
            pthread_sigmask(SIG_BLOCK, NULL, &c->caller_mask);
            c->keeps_mask = true;
        }
    }
}

static PyObject *watched(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    keep_masks();
    return ((_PyCFunctionFast)(void (*)(void))original)(module, args, count);
}

int lpf_sigmask_watch(void)
{
    PyObject *module = PyImport_ImportModule("_signal");
    PyObject *function = module != NULL ? PyObject_GetAttrString(module, "pthread_sigmask") : NULL;
    Py_XDECREF(module);
    if (function == NULL) {
        return -1;
    }
    if (PyCFunction_Check(function) && original == NULL) {
        PyMethodDef *method = ((PyCFunctionObject *)function)->m_ml;
        if (method->ml_flags == METH_FASTCALL) {
            original = method->ml_meth;
            method->ml_meth = (PyCFunction)(void (*)(void))watched;
        }
    }
    Py_DECREF(function);
    return 0;
}
