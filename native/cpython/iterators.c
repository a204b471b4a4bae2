/* Rung 3: C code that holds the GIL and draws from iterators.
 *
 * By contract, a call to tp_iternext may run any Python code, so that such a call is a safe point
 * for its caller.  There are two ways to be at one:
 *
 *   Wrapping   The handler stores `wrapper` into the slots of the built-in iterator types: plain
 *              pointer stores.  The first call takes all wrappers off again.
 *   Stepping   C code that reads the slot once, before its loop (all, any, deque), never sees the
 *              wrapper.  So the handler sets the trap flag, and looks after each instruction whether
 *              the thread is at the first one of a built-in tp_iternext function.  If so, it has
 *              `wrapper` called instead, which has the same type.  Nothing is written into code, and
 *              no other thread notices.
 *
 * Nothing here costs anything until a function could not be left in time.
 *
 * Invariants: `types` is written once, before the first tick, and never again.  Wrappers are put on
 * by the handler of the thread that holds the GIL, the main one or one that is to let it go (gil.c), and
 * taken off by one that holds it, outside of the handler.  Other threads that meet a wrapper just
 * call the original.  A class made while wrappers are on inherits
 * the wrapper; it is given the original when it is first called.
 */
#include "native.h"

#include <errno.h>
#include <string.h>

#define MOST_TYPES 128
#define ENTRIES 512 /* A power of two, several times MOST_TYPES. */

/* A step takes 3 to 12 us.  Nearly all loops that draw from iterators get there within a few hundred
 * instructions; what never does should not take twice its time. */
#define FIRST_STEPS 300
#define MOST_STEPS 3000
#define FIRST_PAUSE (20 * LPF__MILLISECOND)
#define LAST_PAUSE (2000 * LPF__MILLISECOND)

struct iterator {
    PyTypeObject *type; /* Kept alive. */
    iternextfunc original;
};

static struct iterator types[MOST_TYPES];
static volatile sig_atomic_t count;
static volatile sig_atomic_t wrapped;
static uintptr_t entries[ENTRIES]; /* Hash table of the original functions. */
static volatile sig_atomic_t steps_left;
static volatile sig_atomic_t drawn; /* The last function that was left drew from an iterator. */

static iternextfunc original_of(PyTypeObject *type)
{
    for (; type != NULL; type = type->tp_base) {
        for (int i = 0; i < count; i++) {
            if (types[i].type == type) {
                return types[i].original;
            }
        }
    }
    return NULL; /* Impossible: the wrapper is only in the slots of these types and their heirs. */
}

static PyObject *wrapper(PyObject *iterator)
{
    PyTypeObject *type = Py_TYPE(iterator);
    iternextfunc original = original_of(type);
    if (original == NULL) {
        PyErr_SetString(PyExc_SystemError, "lpf: an iterator of an unknown type");
        return NULL;
    }
    if (type->tp_iternext == wrapper) {
        type->tp_iternext = original;
    }
    if (lpf_safepoint_installed_here()) {
        lpf_ladder_reached();
        drawn = 1;
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
    } else {
        lpf_gil_let_go();
    }
    return original(iterator);
}

void lpf_iterators_wrap(void)
{
    if (wrapped) {
        return;
    }
    wrapped = 1;
    for (int i = 0; i < count; i++) {
        if (types[i].type->tp_iternext == types[i].original) {
            types[i].type->tp_iternext = wrapper;
        }
    }
}

bool lpf_iterators_expected(bool in_bytecode)
{
    if (in_bytecode) {
        drawn = 0;
    }
    return drawn != 0;
}

void lpf_iterators_unwrap(void)
{
    steps_left = 0; /* The next trap takes the flag away. */
    if (!wrapped) {
        return;
    }
    for (int i = 0; i < count; i++) {
        if (types[i].type->tp_iternext == wrapper) {
            types[i].type->tp_iternext = types[i].original;
        }
    }
    wrapped = 0;
}

/* ---- Stepping ----------------------------------------------------------------------------- */

struct lpf_steps lpf_steps_from(uint64_t when)
{
    return (struct lpf_steps){when, FIRST_PAUSE, FIRST_STEPS};
}

static size_t hash(uintptr_t address)
{
    return (address >> 4) * 0x9E3779B1u & (ENTRIES - 1);
}

static void remember_entry(uintptr_t address)
{
    size_t at = hash(address);
    while (entries[at] != 0 && entries[at] != address) {
        at = (at + 1) & (ENTRIES - 1);
    }
    entries[at] = address;
}

#if LPF__CAN_STEP

/* Ours stays once it is there: it could not be taken away safely while another thread is stepped. */
static struct sigaction trap_before;
/* This thread is stepped, as long as it has the GIL with this state. */
static _Thread_local __attribute__((tls_model("initial-exec"))) PyThreadState *volatile stepped;

static bool is_entry(uintptr_t address)
{
    size_t at = hash(address);
    while (entries[at] != 0) {
        if (entries[at] == address) {
            return true;
        }
        at = (at + 1) & (ENTRIES - 1);
    }
    return false;
}

static void pass_on(int number, siginfo_t *info, void *ucontext)
{
    if (trap_before.sa_flags & SA_SIGINFO) {
        trap_before.sa_sigaction(number, info, ucontext);
    } else if (trap_before.sa_handler == SIG_DFL) {
        sigaction(SIGTRAP, &trap_before, NULL);
        raise(SIGTRAP);
    } else if (trap_before.sa_handler != SIG_IGN) {
        trap_before.sa_handler(number);
    }
}

static void stop_stepping(void *ucontext)
{
    lpf__set_stepping(ucontext, 0);
    steps_left = 0;
    stepped = NULL;
}

/* After each instruction. */
static void trap(int number, siginfo_t *info, void *ucontext)
{
    int saved_errno = errno;
    if (info->si_code <= 0 || info->si_code == TRAP_BRKPT || stepped == NULL) {
        pass_on(number, info, ucontext); /* A debugger's, or sent by somebody. */
    } else if (steps_left <= 0 || _PyThreadState_UncheckedGet() != stepped ||
               lpf__must_not_step(ucontext)) {
        stop_stepping(ucontext);
    } else if (is_entry(lpf__program_counter(ucontext))) {
        stop_stepping(ucontext);
        lpf__call_instead(ucontext, (uintptr_t)wrapper);
    } else {
        steps_left--;
    }
    errno = saved_errno;
}

/* Only the thread that holds the GIL comes here. */
static bool trap_is_set(void)
{
    struct sigaction present, action;
    if (sigaction(SIGTRAP, NULL, &present) != 0) {
        return false;
    }
    if ((present.sa_flags & SA_SIGINFO) && present.sa_sigaction == trap) {
        return true;
    }
    trap_before = present;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = trap;
    action.sa_flags = SA_SIGINFO;
    sigfillset(&action.sa_mask);
    return sigaction(SIGTRAP, &action, NULL) == 0;
}

void lpf_iterators_step(struct lpf_steps *steps, uint64_t now, void *ucontext)
{
    const ucontext_t *context = ucontext;
    if (now < steps->at || stepped != NULL || sigismember(&context->uc_sigmask, SIGTRAP) ||
        lpf__must_not_step(ucontext) || !trap_is_set()) {
        return;
    }
    stepped = _PyThreadState_UncheckedGet();
    steps_left = steps->most;
    lpf__set_stepping(ucontext, 1);
    steps->at = now + steps->pause;
    steps->pause = steps->pause * 3 < LAST_PAUSE ? steps->pause * 3 : LAST_PAUSE;
    steps->most = steps->most * 4 < MOST_STEPS ? steps->most * 4 : MOST_STEPS;
}

#else

void lpf_iterators_step(struct lpf_steps *steps, uint64_t now, void *ucontext)
{
    (void)steps, (void)now, (void)ucontext;
}

#endif

PyObject *lpf_iterators_set_py(PyObject *module, PyObject *list)
{
    (void)module;
    if (count != 0) {
        Py_RETURN_NONE;
    }
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "a list of types is needed");
        return NULL;
    }
    int found = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list) && found < MOST_TYPES; i++) {
        PyTypeObject *type = (PyTypeObject *)PyList_GET_ITEM(list, i);
        if (PyType_Check(type) && type->tp_iternext != NULL) {
            types[found++] = (struct iterator){(PyTypeObject *)Py_NewRef(type), type->tp_iternext};
            remember_entry((uintptr_t)type->tp_iternext);
        }
    }
    count = found;
    Py_RETURN_NONE;
}
