/* The signal handler: the only place where a signal enters this library.
 *
 * What it does, and why each thing is allowed there (signal-safety(7)):
 *   - It reads lpf__self, a thread-local pointer of the initial-exec model: a plain load, where the
 *     general model might allocate.
 *   - It reads and writes the thread's own structure.  Ordinary code of the same thread that is in
 *     the middle of changing it has set `busy`, and then the handler only sets `missed`.
 *   - clock_gettime, timer_settime, pthread_kill, getpid and pthread_sigmask are on POSIX's list.
 *   - It may switch away from inside itself (lpf__leave).  Allowed because the interrupted program
 *     counter lies in code that holds no lock of the process (codemap.c), and because the signal is
 *     installed with SA_NODEFER and an empty mask, so that the code it switches to finds its signal
 *     mask as it left it.  The rest of the handler runs when the function is resumed, on the same
 *     thread, and returns through the same signal frame.
 *   - errno is kept.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

int lpf__signal = SIGURG;
void (*volatile lpf__external)(struct lpf__thread *t);

static volatile sig_atomic_t installed;
static struct lpf__thread *volatile main_thread; /* Where signals from outside go. */
static struct sigaction before;                  /* Who had the signal before us. */
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;

static void rearm(struct lpf__thread *t, uint64_t when)
{
    if (when < t->timer.armed && t->timer.exists) {
        lpf__timer_arm(&t->timer, when);
    }
}

/* The outermost function that can be left from native code: the one that is due, or, where code of
 * a host lies in between, the last one before that, so that the host gets to its own safe point. */
static lpf_t *native_victim(struct lpf__thread *t, struct lpf__due due)
{
    lpf_t *c = t->current;
    while (c != due.function && c->caller != NULL && c->caller->host == NULL) {
        c = c->caller;
    }
    return c;
}

static void tick(struct lpf__thread *t, void *ucontext)
{
    if (t->busy) {
        t->missed = 1;
        return;
    }
    uint64_t now = lpf__now();
    struct lpf__due due = lpf__find_due(t, now);
    if (due.function == NULL && due.limit == NULL) {
        rearm(t, lpf__nearest(t));
        return;
    }
    lpf_t *current = t->current;
    const struct lpf__host *host = current != NULL ? current->host : due.limit->host;
    if (host != NULL) {
        host->tick(t, ucontext);
        return;
    }
    if (!lpf__codemap_may_leave(lpf__program_counter(ucontext))) {
        rearm(t, now + LPF__RETRY);
        return;
    }
    lpf_t *victim = native_victim(t, due);
    victim->left_for_outer = victim != due.function;
    lpf__leave(victim);
}

/* A pause asked for from outside the process. */
static void outside(struct lpf__thread *t)
{
    if (t->outermost != NULL) {
        t->outermost->request = LPF__REQUEST_SIGNAL;
    } else if (lpf__external != NULL) {
        lpf__external(t);
    }
}

static bool from_outside(const siginfo_t *info)
{
    return info->si_code != SI_TIMER && !(info->si_code == SI_TKILL && info->si_pid == getpid());
}

static void handler(int number, siginfo_t *info, void *ucontext)
{
    int saved_errno = errno;
    struct lpf__thread *t = lpf__self;
    struct lpf__thread *target = main_thread;
    (void)number;
    if (from_outside(info) && target != NULL) {
        if (target == t) {
            outside(t);
        } else { /* The kernel gives a signal for the process to any thread. */
            target->external = 1;
            pthread_kill(target->handle, lpf__signal);
        }
    }
    if (t != NULL) {
        if (info->si_code == SI_TIMER) {
            t->timer.armed = LPF_FOREVER;
        }
        if (t->external) {
            t->external = 0;
            outside(t);
        }
        tick(t, ucontext);
    }
    errno = saved_errno;
}

static int wanted_signal(void)
{
    const char *text = getenv("LPF_SIGNAL");
    int number = text != NULL ? atoi(text) : 0;
    return number > 0 && number <= SIGRTMAX && number != SIGKILL && number != SIGSTOP &&
                   number != SIGSEGV
               ? number
               : SIGURG;
}

int lpf__preempt_install(bool restart_calls)
{
    struct lpf__thread *t = lpf__thread_get();
    if (t == NULL) {
        return LPF_ENOMEM;
    }
    pthread_mutex_lock(&install_lock);
    int status = LPF_OK;
    if (!installed) {
        lpf__signal = wanted_signal();
        lpf__codemap_refresh();
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = handler;
        action.sa_flags = SA_SIGINFO | SA_NODEFER | (restart_calls ? SA_RESTART : 0);
        sigemptyset(&action.sa_mask);
        main_thread = t;
        if (sigaction(lpf__signal, &action, &before) == 0) {
            installed = 1;
        } else {
            status = LPF_ESYSTEM;
        }
    }
    pthread_mutex_unlock(&install_lock);
    return status;
}

bool lpf__preempt_installed(void)
{
    return installed != 0;
}

void lpf__preempt_forget(struct lpf__thread *t)
{
    if (main_thread == t) {
        main_thread = NULL;
    }
}
