/* The signal handler: the only place where a signal enters this library.
 *
 * What it does, and why each thing is allowed there (signal-safety(7)):
 *   - It reads lpf__self, a thread-local pointer of the initial-exec model: a plain load, where the
 *     general model might allocate.
 *   - It reads and writes the thread's own structure.  Ordinary code of the same thread that is in
 *     the middle of changing it has set `busy`, and then the handler only sets `missed`.
 *   - clock_gettime, getpid, sigaltstack and pthread_sigmask only make system calls, and so do the
 *     timer and lpf__wake, which make theirs directly.
 *   - It unwinds a few frames where the C library was interrupted (codemap.c says why that is safe).
 *   - It may switch away from inside itself (lpf__leave).  Allowed because the interrupted program
 *     counter lies in code that holds no lock of the process (codemap.c), and because the function's
 *     signal mask is switched with it (keeps_mask), so that the code it switches to finds the mask as
 *     it left it.  The rest of the handler runs when the function is resumed, on the same thread,
 *     and returns through the same signal frame.
 *   - The signal is blocked in the handler, in that rest of it, too.  Otherwise a storm of requests,
 *     or limits shorter than the way out, would pile up signal frames.
 *   - errno is kept.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

int lpf__signal = SIGURG;
void (*volatile lpf__external)(struct lpf__thread *t);
void (*volatile lpf__poked)(void *ucontext);

static volatile sig_atomic_t installed;
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;

/* The thread that hears of signals from outside: the process's first one if it uses this library,
 * else the first that does.  By number, since it may end while another one's handler looks at it. */
static volatile sig_atomic_t home;          /* 0: none. */
static volatile sig_atomic_t heard_outside; /* A signal that another thread was given. */

/* The timer does not exist yet where a pause was asked for of a function without a limit. */
static void rearm(struct lpf__thread *t, uint64_t when)
{
    if (when < t->timer.armed && (t->timer.exists || lpf__timer_create(&t->timer) == LPF_OK)) {
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

/* Is this thread on its alternate signal stack?  What runs there would be overwritten by the next
 * signal that uses it. */
static bool on_signal_stack(void)
{
    stack_t present;
    return sigaltstack(NULL, &present) == 0 && (present.ss_flags & SS_ONSTACK);
}

static bool may_leave_native(struct lpf__thread *t, uint64_t now, const void *ucontext)
{
    struct lpf__data variables;
    return lpf__codemap_may_leave(lpf__program_counter(ucontext), &variables) &&
           !on_signal_stack() && !lpf__locks_hold(t, variables, ucontext, now);
}

/* Has the thread been asleep since the last refusal?  Handling the refusal itself takes a few
 * microseconds. */
static bool slept(struct lpf__thread *t)
{
    struct timespec clock;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &clock);
    uint64_t cpu = (uint64_t)clock.tv_sec * UINT64_C(1000000000) + (uint64_t)clock.tv_nsec;
    uint64_t used = cpu - t->refused_cpu;
    t->refused_cpu = cpu;
    return used < LPF__RETRY / 2;
}

/* Code that runs is about to come to a better place; where it waits, it may wait for ever. */
static uint64_t retry_after(struct lpf__thread *t)
{
    uint64_t longer = t->retry * 2 < LPF__RETRY_SLOWEST ? t->retry * 2 : LPF__RETRY_SLOWEST;
    t->retry = slept(t) && t->retry != 0 ? longer : LPF__RETRY;
    return t->retry;
}

static void tick_native(struct lpf__thread *t, struct lpf__due due, uint64_t now, void *ucontext)
{
    if (!may_leave_native(t, now, ucontext)) {
        rearm(t, now + retry_after(t));
        lpf__unbusy(t);
        return;
    }
    t->retry = 0;
    lpf_t *victim = native_victim(t, due);
    victim->left_for_outer = victim != due.function || due.limit != NULL;
    if (victim->left_for_outer) {
        t->missed = 1; /* The timer is done with what is due; the host further out is not. */
    }
    struct lpf__lent lent;
    lpf__locks_lend(t, &lent);
    lpf__leave(victim);
    lpf__locks_take_back(t, &lent);
}

/* Busy while it looks, so that wakes by the calls below are not lost. */
static void tick(struct lpf__thread *t, void *ucontext)
{
    if (t->busy) {
        t->missed = 1;
        return;
    }
    t->busy = 1;
    atomic_signal_fence(memory_order_seq_cst);
    uint64_t now = lpf__now();
    struct lpf__due due = lpf__find_due(t, now);
    /* This tick may have been the only one for several deadlines; what is due in a section that
     * may not be interrupted waits for lpf_leave, not for the timer. */
    rearm(t, lpf__nearest_after(t, now));
    lpf_t *current = t->current;
    if (due.function == NULL && due.limit == NULL) {
        bool nudged = t->nudged && current != NULL && current->host != NULL;
        lpf__unbusy(t);
        if (nudged) {
            current->host->tick(t, ucontext);
        }
        return;
    }
    const struct lpf__host *host = current != NULL ? current->host : due.limit->host;
    if (host == NULL) {
        tick_native(t, due, now, ucontext);
        return;
    }
    lpf__unbusy(t);
    host->tick(t, ucontext);
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

/* The kernel gives a signal for the process to any of its threads. */
static void hear_outside(struct lpf__thread *t)
{
    if (t != NULL && t->tid == home) {
        outside(t);
    } else if (home != 0) {
        heard_outside = 1;
        syscall(SYS_tgkill, getpid(), (pid_t)home, lpf__signal);
    }
}

static void handler(int number, siginfo_t *info, void *ucontext)
{
    int saved_errno = errno;
    struct lpf__thread *t = lpf__self;
    (void)number;
    if (from_outside(info)) {
        hear_outside(t);
    } else if (info->si_code == SI_TKILL && lpf__poked != NULL) {
        lpf__poked(ucontext);
    }
    if (t != NULL) {
        if (info->si_code == SI_TIMER) {
            lpf__timer_rang(&t->timer);
        }
        if (heard_outside && t->tid == home) {
            heard_outside = 0;
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

int lpf__preempt_signal(void)
{
    if (!installed) {
        lpf__signal = wanted_signal();
    }
    return lpf__signal;
}

static int install(bool restart_calls)
{
    lpf__preempt_signal();
    lpf__codemap_refresh();
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | (restart_calls ? SA_RESTART : 0);
    sigemptyset(&action.sa_mask);
    return sigaction(lpf__signal, &action, NULL) == 0 ? LPF_OK : LPF_ESYSTEM;
}

static int install_for(struct lpf__thread *t, bool restart_calls, bool anew)
{
    pthread_mutex_lock(&install_lock);
    int status = LPF_OK;
    if (!installed || anew) {
        status = install(restart_calls);
        installed = status == LPF_OK;
    }
    if (status == LPF_OK && (home == 0 || t->tid == getpid())) {
        home = t->tid;
    }
    pthread_mutex_unlock(&install_lock);
    return status;
}

int lpf__preempt_install_for(struct lpf__thread *t, bool restart_calls)
{
    return install_for(t, restart_calls, false);
}

int lpf__preempt_install(bool restart_calls)
{
    struct lpf__thread *t = lpf__thread_get();
    return t != NULL ? install_for(t, restart_calls, true) : LPF_ENOMEM;
}

bool lpf__preempt_installed(void)
{
    return installed != 0;
}

void lpf__preempt_forget(struct lpf__thread *t)
{
    if (home == t->tid) {
        home = 0;
    }
}

void lpf__preempt_forked(struct lpf__thread *t)
{
    /* Another thread of the parent may have held it. */
    install_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (installed) {
        home = t != NULL ? t->tid : 0;
    }
}
