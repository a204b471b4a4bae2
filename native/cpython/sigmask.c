/* The signal mask belongs to the function while it stands still.  When it ends, its caller has what it
 * blocked and unblocked, as after any call.  But reading it is a system call, as long as all the rest
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

static Continuation *current(void)
{
    lpf_t *c = lpf__self != NULL ? lpf__self->current : NULL;
    return c != NULL && c->host == &lpf_python_host ? lpf_continuation_of(c) : NULL;
}

static uint64_t present_mask(void)
{
    sigset_t mask;
    uint64_t bits = 0;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number <= 64; number++) {
        bits |= (uint64_t)(sigismember(&mask, number) == 1) << (number - 1);
    }
    return bits;
}

static void note(Continuation *c, uint64_t blocked, uint64_t unblocked)
{
    c->blocked = (c->blocked | blocked) & ~unblocked;
    c->unblocked = (c->unblocked | unblocked) & ~blocked;
}

static void apply(int how, uint64_t bits)
{
    sigset_t set;
    sigemptyset(&set);
    for (int number = 1; number <= 64; number++) {
        if ((bits >> (number - 1) & 1) != 0) {
            sigaddset(&set, number);
        }
    }
    pthread_sigmask(how, &set, NULL);
}

static PyObject *watched(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    keep_masks();
    Continuation *c = current();
    uint64_t before = c != NULL ? present_mask() : 0;
    /* A signal that it lets in may end it with an exception, of a handler: changed is changed. */
    PyObject *result = ((_PyCFunctionFast)(void (*)(void))original)(module, args, count);
    if (lpf_safepoint_installed_here()) { /* Without it, nothing here could be left any more. */
        apply(SIG_UNBLOCK, UINT64_C(1) << (lpf__signal - 1));
    }
    if (c != NULL) {
        uint64_t after = present_mask();
        note(c, after & ~before, before & ~after);
    }
    return result;
}

void lpf_sigmask_hand_on(const Continuation *c)
{
    keep_masks();
    apply(SIG_BLOCK, c->blocked);
    apply(SIG_UNBLOCK, c->unblocked);
    Continuation *caller = current();
    if (caller != NULL) {
        note(caller, c->blocked, c->unblocked);
    }
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
