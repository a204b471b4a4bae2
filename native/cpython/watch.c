/* A native thread, without the GIL, that sees when other threads wait for the GIL in vain.
 *
 * C code that holds the GIL and polls for signals only (big integers, regular expressions), or not
 * even that, keeps every other Python thread out: in a Jupyter kernel, the one that would hear a
 * request to pause.  CPython notes the wait of such a thread as a request to drop the GIL, which the
 * bytecode loop obeys within 5 ms.  Where the request still stands after two looks, the main thread
 * is nudged: it climbs the ladder to its next safe point, and there lets the GIL go for a moment.
 * Where another thread keeps the GIL, that one is (gil.c).
 *
 * It also keeps a handler of its own in front of CPython's for SIGINT, so that an interrupt which no
 * safe point answers climbs the ladder too.  Whoever installs a handler with signal.signal takes that
 * place; the next look puts ours back in front of it, or watch_interrupts() does at once.
 *
 * Invariants: the thread touches no object and no lock of CPython, only reads flags; it has every
 * signal blocked.
 */
#include "native.h"

#include <errno.h>
#include <string.h>

#define LOOK_EVERY (20 * LPF__MILLISECOND)
#define LOOK_SOON (5 * LPF__MILLISECOND) /* While another thread keeps the GIL again and again. */
#define COURTESY_NS 1000000 /* A thread that waited needs the GIL several times to do anything. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool wanted;
static bool exists;
static pid_t process; /* That the thread was started in. */
static struct lpf__thread *watched;
static PyThreadState *watched_state;

/* ---- Interrupts --------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static struct sigaction behind; /* Whose handler ours calls. */

/* Calls what was there before, and lpf__wake, which is async-signal-safe. */
static void on_interrupt(int number, siginfo_t *info, void *ucontext)
{
    int saved_errno = errno;
    interrupted = 1;
    if (behind.sa_flags & SA_SIGINFO) {
        behind.sa_sigaction(number, info, ucontext);
    } else if (behind.sa_handler != SIG_DFL && behind.sa_handler != SIG_IGN) {
        behind.sa_handler(number);
    }
    if (watched->outermost != NULL) {
        watched->nudged = 1;
        lpf__wake(watched);
    }
    errno = saved_errno;
}

static void stand_in_front(void)
{
    struct sigaction present;
    if (sigaction(SIGINT, NULL, &present) != 0 ||
        ((present.sa_flags & SA_SIGINFO) && present.sa_sigaction == on_interrupt) ||
        (!(present.sa_flags & SA_SIGINFO) &&
         (present.sa_handler == SIG_DFL || present.sa_handler == SIG_IGN))) {
        return;
    }
    behind = present;
    present.sa_flags |= SA_SIGINFO;
    present.sa_sigaction = on_interrupt;
    sigaction(SIGINT, &present, NULL);
}

static void stand_aside(void)
{
    struct sigaction present;
    if (sigaction(SIGINT, NULL, &present) == 0 && (present.sa_flags & SA_SIGINFO) &&
        present.sa_sigaction == on_interrupt) {
        sigaction(SIGINT, &behind, NULL);
    }
    interrupted = 0;
}

bool lpf_watch_interrupted(void)
{
    return interrupted != 0;
}

void lpf_watch_interrupt_seen(void)
{
    interrupted = 0;
}

/* ---- The thread --------------------------------------------------------------------------- */

static void wait_a_look(uint64_t nanoseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)nanoseconds;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&changed, &lock, &until);
}

void lpf_watch_wake(void)
{
    watched->nudged = 1;
    lpf__wake(watched);
}

static void *watch(void *ignored)
{
    (void)ignored;
    bool before = false, soon = false;
    pthread_mutex_lock(&lock);
    while (wanted || lpf_holders_exist()) {
        wait_a_look(soon ? LOOK_SOON : LOOK_EVERY);
        if (wanted && watched->outermost != NULL) {
            stand_in_front();
            lpf__codemap_refresh(); /* What was imported since may be left, too. */
            lpf_blas_refresh();
        }
        bool now = wanted && watched->outermost != NULL &&
                   lpf_gil_is_wanted(watched_state, watched_state->interp);
        if (now && before) {
            lpf_watch_wake();
        }
        before = now;
        soon = wanted && lpf_gil_look();
        lpf_report_look();
        lpf_holders_look(watched);
    }
    exists = false;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int start(void)
{
    sigset_t all, present;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &present);
    int status = pthread_create(&thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &present, NULL);
    if (status != 0) {
        errno = status;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    pthread_detach(thread);
    exists = true;
    return 0;
}

/* A child of fork has no such thread, and perhaps a locked lock. */
static void begin_in_child(void)
{
    if (process != getpid()) {
        process = getpid();
        lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        exists = false;
        lpf_holders_forked();
        lpf_gil_forked();
    }
}

void lpf_watch_holders(void)
{
    begin_in_child();
    pthread_mutex_lock(&lock);
    if (!exists) {
        watched = lpf__self;
        watched_state = lpf_safepoint_main_state();
        if (start() < 0) { /* Then nobody is told. */
            PyErr_Clear();
        }
    }
    pthread_mutex_unlock(&lock);
}

PyObject *lpf_watch_py(PyObject *module, PyObject *on)
{
    (void)module;
    int truth = PyObject_IsTrue(on);
    if (truth < 0) {
        return NULL;
    }
    if (truth && lpf_safepoint_install() < 0) {
        return NULL;
    }
    begin_in_child();
    pthread_mutex_lock(&lock);
    if (wanted && !truth) {
        stand_aside();
    }
    wanted = truth != 0;
    watched = lpf__self;
    watched_state = lpf_safepoint_main_state();
    lpf_gil_init(watched_state);
    int status = wanted && !exists ? start() : 0;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *lpf_watch_interrupts_py(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    if (pthread_mutex_trylock(&lock) == 0) { /* Else the thread is about to do the same. */
        if (wanted && process == getpid()) {
            stand_in_front();
        }
        pthread_mutex_unlock(&lock);
    }
    Py_RETURN_NONE;
}

void lpf_watch_let_go(struct lpf__thread *t)
{
    t->nudged = 0;
    struct timespec courtesy = {0, COURTESY_NS};
    PyThreadState *ts = PyEval_SaveThread();
    clock_nanosleep(CLOCK_MONOTONIC, 0, &courtesy, NULL);
    PyEval_RestoreThread(ts);
}
