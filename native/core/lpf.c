/* The states of a preemptible function: launch, resume, pause, cancel.
 *
 * Invariants:
 *   - A thread's running functions are exactly those reachable from its `outermost` by `callee`,
 *     and the last of them is `current`.
 *   - The list, the deadlines and the timer change only while `busy` is set; it is cleared on the
 *     stack that a switch has landed on (lpf__run, lpf__leave and start are the only landings).
 *   - A RUNNING function's caller waits in lpf__run on the caller's stack, whose context is
 *     `caller_context`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

__thread struct lpf__thread *lpf__self __attribute__((tls_model("initial-exec")));

/* ---- Clocks ------------------------------------------------------------------------------- */

static uint64_t first_cycles;
static uint64_t first_ns;

int64_t lpf__cycles_to_ns(int64_t cycles)
{
    uint64_t cycles_passed = lpf__cycles() - first_cycles;
    uint64_t ns_passed = lpf__now() - first_ns;
    if (cycles_passed == 0) {
        return 0;
    }
    return (int64_t)((double)cycles * ((double)ns_passed / (double)cycles_passed));
}

/* Reads the clocks of the system, for the time that follows. */
static __attribute__((noinline)) void read_clocks(struct lpf__thread *t, uint64_t cycles)
{
    struct timespec cpu;
    t->read_ns = lpf__now();
    uint64_t passed = cycles - first_cycles;
    t->ns_per_cycle = passed > LPF__CPU_STALE * 64
                          ? (double)(t->read_ns - first_ns) / (double)passed
                          : 0.0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    t->latest.cpu_cycles = cycles;
    t->latest.cpu_ns = (uint64_t)cpu.tv_sec * UINT64_C(1000000000) + (uint64_t)cpu.tv_nsec;
}

static inline struct lpf__moment moment_now(struct lpf__thread *t)
{
    uint64_t cycles = lpf__cycles();
    if (cycles - t->latest.cpu_cycles > LPF__CPU_STALE) {
        read_clocks(t, cycles);
    }
    t->latest.cycles = cycles;
    return t->latest;
}

uint64_t lpf__read_time(struct lpf__thread *t)
{
    return moment_now(t).cycles;
}

/* CLOCK_MONOTONIC at the moment read last. */
static uint64_t latest_ns(const struct lpf__thread *t)
{
    if (t->ns_per_cycle == 0.0) {
        return lpf__now();
    }
    uint64_t passed = t->latest.cycles - t->latest.cpu_cycles;
    return t->read_ns + (uint64_t)((double)passed * t->ns_per_cycle);
}

static void end_slice(lpf_t *c, struct lpf__moment end)
{
    c->cycles += end.cycles - c->started.cycles;
    c->cpu_ns += end.cpu_ns - c->started.cpu_ns;
    c->cpu_cycles += (int64_t)((end.cycles - end.cpu_cycles) -
                               (c->started.cycles - c->started.cpu_cycles));
}

/* ---- Threads ------------------------------------------------------------------------------ */

static pthread_key_t thread_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool once_succeeded;

static pid_t own_tid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static void thread_unref(struct lpf__thread *t)
{
    if (t == lpf__self) {
        t->handles_here--; /* Not the last one: the thread's own is among them. */
    } else if (atomic_fetch_sub(&t->handles, 1) == 1) {
        free(t);
    }
}

/* The thread's own reference goes, and the two counts become one. */
static void thread_last_unref(struct lpf__thread *t)
{
    unsigned change = t->handles_here - 1 - LPF__BIAS;
    if (atomic_fetch_add(&t->handles, change) + change == 0) {
        free(t);
    }
}

static void thread_ended(void *value)
{
    struct lpf__thread *t = value;
    lpf__preempt_forget(t);
    lpf__timer_delete(&t->timer);
    lpf__overflow_remove(t);
    lpf__pool_clear(&t->pool);
    lpf__self = NULL;
    atomic_store(&t->ended, true);
    thread_last_unref(t);
}

/* Reads the CPU clock anew whatever the age of the last reading. */
static struct lpf__moment exact_moment(struct lpf__thread *t)
{
    t->latest.cpu_cycles = lpf__cycles() - LPF__CPU_STALE - 1;
    return moment_now(t);
}

/* Nothing may be left in a fork, which holds the locks of half the C library. */
#define BUSY_FORKING 2

/* The CPU clock of a thread starts at zero in the child of a fork: the slices end before it, and
 * start anew behind it. */
static void before_fork(void)
{
    struct lpf__thread *t = lpf__self;
    if (t != NULL) {
        if (!t->busy) {
            t->busy = BUSY_FORKING;
        }
        exact_moment(t);
    }
    lpf__codemap_before_fork();
}

static void forked(struct lpf__thread *t)
{
    if (t->busy == BUSY_FORKING) {
        lpf__unbusy(t);
    }
}

static void after_fork_in_parent(void)
{
    lpf__codemap_after_fork();
    if (lpf__self != NULL) {
        forked(lpf__self);
    }
}

static void move_slices(struct lpf__thread *t)
{
    struct lpf__moment before = t->latest;
    struct lpf__moment after = exact_moment(t);
    for (lpf_t *c = t->current; c != NULL; c = c->caller) {
        end_slice(c, before);
        c->started = after;
    }
}

static void forget_limits(struct lpf__limit *limit)
{
    for (; limit != NULL; limit = limit->outer) {
        limit->deadline = LPF_FOREVER;
        limit->due = false;
    }
}

/* What runs on behalf of a host does not come back to its launcher when its time is over: there, the
 * child would go on with the program of its parent, and multiprocessing's children are made inside
 * functions.  As with the timers of a process, their limits are the parent's alone. */
static void stay_in_child(struct lpf__thread *t)
{
    forget_limits(t->limits);
    for (lpf_t *c = t->current; c != NULL; c = c->caller) {
        if (c->host != NULL) {
            c->stays = true;
            c->deadline = LPF_FOREVER;
            forget_limits(c->limits);
        }
    }
}

/* The child has none of the parent's timers and only the forking thread. */
static void after_fork_in_child(void)
{
    struct lpf__thread *t = lpf__self;
    if (t != NULL) {
        t->tid = own_tid();
    }
    lpf__codemap_forked();
    lpf__preempt_forked(t);
    if (t == NULL) {
        return;
    }
    move_slices(t);
    stay_in_child(t);
    t->timer.armed = LPF_FOREVER;
    if (t->timer.exists) {
        t->timer.exists = false;
        uint64_t nearest = lpf__nearest(t);
        if (lpf__timer_create(&t->timer) == LPF_OK && nearest != LPF_FOREVER) {
            lpf__timer_arm(&t->timer, nearest);
        }
    }
    forked(t);
}

static void initialize(void)
{
    first_cycles = lpf__cycles();
    first_ns = lpf__now();
    once_succeeded = pthread_key_create(&thread_key, thread_ended) == 0 &&
                     pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
}

struct lpf__thread *lpf__thread_get(void)
{
    if (lpf__self != NULL) {
        return lpf__self;
    }
    pthread_once(&once, initialize);
    struct lpf__thread *t = once_succeeded ? calloc(1, sizeof *t) : NULL;
    if (t == NULL) {
        return NULL;
    }
    if (pthread_setspecific(thread_key, t) != 0) {
        free(t);
        return NULL;
    }
    t->timer.armed = LPF_FOREVER;
    t->tid = own_tid();
    t->own_errno = &errno;
    t->handles_here = 1;
    atomic_init(&t->handles, LPF__BIAS);
    lpf__overflow_install(t);
    lpf__self = t;
    return t;
}

/* By number, not by pthread_t: the thread may end between the look and the call, and then nothing
 * must happen but a signal that the handler has no use for. */
void lpf__wake(const struct lpf__thread *t)
{
    if (!atomic_load(&t->ended)) {
        syscall(SYS_tgkill, getpid(), t->tid, lpf__signal);
    }
}

void lpf__missed(struct lpf__thread *t)
{
    t->missed = 0;
    lpf__wake(t);
}

/* ---- Deadlines ---------------------------------------------------------------------------- */

static uint64_t add(uint64_t now, uint64_t limit)
{
    return limit > LPF_FOREVER - now ? LPF_FOREVER : now + limit;
}

/* Never 0: what is already due stays due. */
static uint64_t remaining(uint64_t deadline, uint64_t now)
{
    return deadline == LPF_FOREVER ? LPF_FOREVER : deadline > now ? deadline - now : 1;
}

static uint64_t nearer(uint64_t deadline, uint64_t nearest, uint64_t now)
{
    return deadline > now && deadline < nearest ? deadline : nearest;
}

static uint64_t nearest_limit(const struct lpf__limit *limit, uint64_t nearest, uint64_t now)
{
    for (; limit != NULL; limit = limit->outer) {
        nearest = nearer(limit->deadline, nearest, now);
    }
    return nearest;
}

uint64_t lpf__nearest_after(const struct lpf__thread *t, uint64_t now)
{
    uint64_t nearest = nearest_limit(t->limits, LPF_FOREVER, now);
    for (const lpf_t *c = t->outermost; c != NULL; c = c->callee) {
        nearest = nearer(c->deadline, nearest, now);
        nearest = nearest_limit(c->limits, nearest, now);
    }
    return nearest;
}

uint64_t lpf__nearest(const struct lpf__thread *t)
{
    return lpf__nearest_after(t, 0);
}

void lpf__set_deadline(struct lpf__thread *t, uint64_t *deadline, uint64_t when)
{
    *deadline = when;
    if (when < t->timer.armed) {
        lpf__timer_arm(&t->timer, when);
    }
}

static void freeze_limits(struct lpf__limit *limit, uint64_t now)
{
    for (; limit != NULL; limit = limit->outer) {
        limit->left = remaining(limit->deadline, now);
    }
}

static void thaw_limits(struct lpf__thread *t, struct lpf__limit *limit, uint64_t now)
{
    for (; limit != NULL; limit = limit->outer) {
        lpf__set_deadline(t, &limit->deadline, add(now, limit->left));
    }
}

static struct lpf__limit *due_limit(struct lpf__limit *limit, uint64_t now)
{
    struct lpf__limit *found = NULL;
    for (; limit != NULL; limit = limit->outer) {
        limit->due = limit->due || limit->deadline <= now;
        if (limit->due) {
            found = limit;
        }
    }
    return found;
}

struct lpf__due lpf__find_due(struct lpf__thread *t, uint64_t now)
{
    struct lpf__due found = {NULL, NULL, NULL};
    lpf_t *inner = NULL;
    for (lpf_t *c = t->current;; inner = c, c = c->caller) {
        if (c != NULL ? c->uninterruptible > 0 : t->uninterruptible > 0) {
            t->pending = 1;
            break;
        }
        struct lpf__limit *limit = due_limit(c != NULL ? c->limits : t->limits, now);
        if (limit != NULL) {
            found = (struct lpf__due){inner, limit, c};
        }
        if (c == NULL) {
            break;
        }
        if (!c->stays && (c->deadline <= now || c->request != LPF__NO_REQUEST)) {
            found = (struct lpf__due){c, NULL, NULL};
        }
    }
    return found;
}

/* ---- The moves ---------------------------------------------------------------------------- */

static void take_from_list(struct lpf__thread *t, lpf_t *c)
{
    t->current = c->caller;
    if (c->caller != NULL) {
        c->caller->callee = NULL;
    } else {
        t->outermost = NULL;
    }
}

/* The whole life of a function on its own stack.  Returns the context to go on in. */
static void *start(void *self)
{
    lpf_t *c = self;
    struct lpf__thread *t = c->thread;
    lpf__fiber_landed(&c->fiber, &c->caller_fiber);
    lpf__unbusy(t);
    c->function(c->argument);

    lpf__set_busy(t);
    end_slice(c, moment_now(t));
    take_from_list(t, c);
    lpf__set_state(c, LPF_FINISHED);
    if (c->uninterruptible > 0 && t->pending) { /* It forgot lpf_leave. */
        t->pending = 0;
        t->missed = 1;
    }
    if (c->keeps_mask) {
        pthread_sigmask(SIG_SETMASK, &c->caller_mask, NULL);
    }
    lpf__fiber_last(&c->caller_fiber);
    return c->caller_context;
}

int lpf__prepare(lpf_t *c, void (*f)(void *), void *arg, struct lpf__stack *stack)
{
    struct lpf__thread *t = lpf__thread_get();
    if (t == NULL) {
        return LPF_ENOMEM;
    }
    c->stack = stack != NULL ? stack : lpf__stack_take(&t->pool);
    if (c->stack == NULL) {
        return LPF_ENOMEM;
    }
    c->thread = t;
    c->function = f;
    c->argument = arg;
    c->leaf = c;
    c->deadline = c->left = LPF_FOREVER;
    lpf__set_state(c, LPF_READY);
    t->handles_here++;
    lpf__fiber_new(&c->fiber, lpf__stack_bottom(c->stack), c->stack->reserve);
    return LPF_OK;
}

int lpf__check_runnable(const lpf_t *c)
{
    if (c->thread != lpf__self) {
        return LPF_ETHREAD;
    }
    return c->state == LPF_READY || c->state == LPF_PAUSED ? LPF_OK : LPF_ESTATE;
}

/* Threads are often made with every signal blocked. */
static void unblock_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, lpf__signal);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int lpf__limit_ready(struct lpf__thread *t, uint64_t limit_ns)
{
    if (limit_ns == LPF_FOREVER || t->timer.exists) {
        return LPF_OK;
    }
    int status = lpf__preempt_install_for(t, true);
    if (status == LPF_OK) {
        status = lpf__timer_create(&t->timer);
    }
    if (status == LPF_OK) {
        unblock_signal();
    }
    return status;
}

/* Puts c and what is held inside it into the list, each with what remained of its limit. */
static void put_into_list(struct lpf__thread *t, lpf_t *c, uint64_t limit_ns)
{
    lpf_t *leaf = c->leaf;
    if (c->request != LPF__REQUEST_HOST) { /* A cancel goes on until the function has ended. */
        lpf__clear_request(c);             /* Before anybody can find it in the list. */
    }
    c->left_for_outer = false;
    c->caller = t->current;
    if (t->current != NULL) {
        t->current->callee = c;
    } else {
        t->outermost = c;
    }
    t->current = leaf;
    lpf__set_state(c, LPF_RUNNING);
    c->left = limit_ns;

    c->started = t->latest;
    if (leaf == c && limit_ns == LPF_FOREVER && c->limits == NULL) {
        c->deadline = LPF_FOREVER;
        return;
    }
    uint64_t now = latest_ns(t);
    for (lpf_t *d = leaf;; d = d->caller) {
        lpf__set_deadline(t, &d->deadline, add(now, d->left));
        thaw_limits(t, d->limits, now);
        if (d == c) {
            break;
        }
        lpf__set_state(d, LPF_RUNNING);
        d->started = c->started;
        if (d->request != LPF__NO_REQUEST) { /* Came when an outer one was about to be left. */
            t->missed = 1;
        }
    }
}

/* Leaves the thread busy.  Inlined, as every call around a switch is one more return that the
 * processor expects in vain. */
static inline __attribute__((always_inline)) void run(lpf_t *c, uint64_t limit_ns)
{
    struct lpf__thread *t = c->thread;
    int saved_errno = *t->own_errno;
    lpf__set_busy(t);
    bool resumed = c->state == LPF_PAUSED;
    if (t->kept_count > 0) {
        lpf__locks_unkeep(t, c);
    }
    put_into_list(t, c, limit_ns);
    if (c->keeps_mask) {
        pthread_sigmask(SIG_SETMASK, resumed ? &c->mask : NULL, &c->caller_mask);
    }
    lpf__fiber_leaving(&c->caller_fiber, &c->fiber);
    if (resumed) {
        lpf__switch(&c->caller_context, c->context);
    } else {
        lpf__enter(&c->caller_context, c->stack->reserve, start, c);
    }
    lpf__fiber_landed(&c->caller_fiber, &c->fiber);
    *t->own_errno = saved_errno;
}

void lpf__run(lpf_t *c, uint64_t limit_ns)
{
    struct lpf__thread *t = c->thread;
    run(c, limit_ns);
    lpf__unbusy(t);
}

void lpf__leave(lpf_t *victim)
{
    struct lpf__thread *t = victim->thread;
    int saved_errno = *t->own_errno;
    lpf__set_busy(t);
    lpf_t *leaf = t->current;
    if (atomic_load_explicit(&lpf__codemap_has_lockers, memory_order_relaxed)) {
        lpf__locks_keep(t, victim);
    }
    struct lpf__moment moment = moment_now(t);
    uint64_t now = leaf != victim || victim->limits != NULL ? latest_ns(t) : 0;
    for (lpf_t *d = leaf;; d = d->caller) {
        end_slice(d, moment);
        freeze_limits(d->limits, now);
        d->stays = false;
        if (d == victim) {
            break;
        }
        lpf__set_state(d, LPF_HELD);
        d->left = remaining(d->deadline, now);
    }
    victim->leaf = leaf;
    lpf__set_state(victim, LPF_PAUSED);
    take_from_list(t, victim);
    if (victim->keeps_mask) {
        pthread_sigmask(SIG_SETMASK, &victim->caller_mask, &victim->mask);
    }
    lpf__fiber_leaving(&victim->fiber, &victim->caller_fiber);
    lpf__switch(&victim->context, victim->caller_context);
    lpf__fiber_landed(&victim->fiber, &victim->caller_fiber);
    lpf__unbusy(t);
    *t->own_errno = saved_errno;
}

static void give_stack(lpf_t *c)
{
    if (c->stack == NULL) {
        return;
    }
    if (c->thread == lpf__self) {
        lpf__stack_give(&c->thread->pool, c->stack);
    } else {
        struct lpf__pool none = {NULL, 0};
        lpf__stack_give(&none, c->stack);
        lpf__pool_clear(&none);
    }
    c->stack = NULL;
}

void lpf__release(lpf_t *c)
{
    give_stack(c);
    if (c->thread != NULL) {
        if (c->thread == lpf__self && c->thread->kept_count > 0) {
            lpf__locks_unkeep(c->thread, c);
        }
        thread_unref(c->thread);
        c->thread = NULL;
    }
}

void lpf__discard(lpf_t *c)
{
    for (lpf_t *d = c->leaf; d != c; d = d->caller) {
        lpf__set_state(d, LPF_CANCELLED);
        d->left = LPF_FOREVER;
    }
    lpf__set_state(c, LPF_CANCELLED);
}

lpf_t *lpf__holder(lpf_t *c)
{
    while (c->state == LPF_HELD) {
        c = c->caller;
    }
    return c;
}

/* ---- The public calls --------------------------------------------------------------------- *
 *
 * Each is one step for the signal handler: busy from the first look to the last change.  A function
 * that were left between the two would find, when resumed, that its caller had meanwhile taken the
 * same stack from the pool, or ended the function that it was about to resume. */

static int resume(lpf_t *c, uint64_t limit_ns)
{
    int status = lpf__check_runnable(c);
    if (status == LPF_OK && c->host != NULL) {
        status = LPF_ESTATE; /* Its host resumes it. */
    }
    if (status == LPF_OK) {
        status = lpf__limit_ready(c->thread, limit_ns);
    }
    if (status != LPF_OK) {
        return status;
    }
    if (lpf__preempt_installed()) {
        lpf__codemap_refresh();
    }
    lpf__read_time(c->thread);
    run(c, limit_ns);
    if (c->state == LPF_FINISHED) {
        give_stack(c);
    }
    return LPF_OK;
}

static int launch(lpf_t **out, void (*f)(void *), void *arg, uint64_t limit_ns)
{
    lpf_t *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return LPF_ENOMEM;
    }
    c->keeps_mask = true;
    int status = lpf__prepare(c, f, arg, NULL);
    if (status == LPF_OK && limit_ns != 0) {
        status = lpf__limit_ready(c->thread, limit_ns);
    }
    if (status != LPF_OK) {
        lpf__release(c);
        free(c);
        return status;
    }
    *out = c;
    return limit_ns == 0 ? LPF_OK : resume(c, limit_ns);
}

int lpf_launch(lpf_t **out, void (*f)(void *), void *arg, uint64_t limit_ns)
{
    if (out == NULL || f == NULL) {
        return LPF_EINVAL;
    }
    *out = NULL;
    struct lpf__thread *t = lpf__thread_get();
    if (t == NULL) {
        return LPF_ENOMEM;
    }
    lpf__set_busy(t);
    int status = launch(out, f, arg, limit_ns);
    lpf__unbusy(t);
    return status;
}

int lpf_resume(lpf_t *c, uint64_t limit_ns)
{
    struct lpf__thread *t = lpf__self;
    if (c == NULL || limit_ns == 0) {
        return LPF_EINVAL;
    }
    if (t == NULL) {
        return LPF_ETHREAD;
    }
    lpf__set_busy(t);
    int status = resume(c, limit_ns);
    lpf__unbusy(t);
    return status;
}

int lpf_pause(void)
{
    lpf_t *c = lpf_current();
    if (c == NULL || c->host != NULL) {
        return LPF_ENOTIN;
    }
    if (c->uninterruptible > 0) {
        return LPF_EBUSY;
    }
    lpf__leave(c);
    return LPF_OK;
}

static int request(lpf_t *c)
{
    struct lpf__thread *t = c->thread;
    if (t == NULL || c->state != LPF_RUNNING) {
        return LPF_ESTATE;
    }
    if (!lpf__preempt_installed()) {
        int status = lpf__preempt_install_for(t, true);
        if (status != LPF_OK) {
            return status;
        }
    }
    if (atomic_exchange(&c->request, LPF__REQUEST_PAUSE) != LPF__REQUEST_PAUSE) {
        lpf__wake(t); /* Once for many requests: signals interrupt system calls. */
    }
    return LPF_OK;
}

int lpf_request(lpf_t *c)
{
    struct lpf__thread *t = lpf__self; /* The asking one. */
    if (c == NULL) {
        return LPF_EINVAL;
    }
    if (t == NULL || t->busy) { /* Busy: called by a signal handler of the program. */
        return request(c);
    }
    lpf__set_busy(t);
    int status = request(c);
    lpf__unbusy(t);
    return status;
}

/* Cancels c and what is held inside it, and gives their stacks back. */
static void discard(lpf_t *c)
{
    lpf_t *d = c->leaf;
    lpf__discard(c);
    while (d != c) {
        lpf_t *outer = d->caller;
        give_stack(d);
        d = outer;
    }
    give_stack(c);
}

int lpf_cancel(lpf_t *c)
{
    struct lpf__thread *t = lpf__self;
    if (c == NULL) {
        return LPF_EINVAL;
    }
    if (t == NULL) {
        return LPF_ETHREAD;
    }
    lpf__set_busy(t);
    int status = lpf__check_runnable(c);
    if (status == LPF_OK) {
        discard(c);
    }
    lpf__unbusy(t);
    return status;
}

/* What has ended, and what belongs to a thread that has ended, may be freed by anybody. */
static int check_freeable(const lpf_t *c)
{
    if (c->stack != NULL && c->thread != lpf__self && !atomic_load(&c->thread->ended)) {
        return LPF_ETHREAD;
    }
    return c->host != NULL || c->state == LPF_RUNNING || c->state == LPF_HELD ? LPF_ESTATE : LPF_OK;
}

int lpf_free(lpf_t *c)
{
    struct lpf__thread *t = lpf__self;
    if (c == NULL) {
        return LPF_OK;
    }
    if (t != NULL) {
        lpf__set_busy(t);
    }
    int status = check_freeable(c);
    if (status == LPF_OK) {
        if (c->stack != NULL) {
            discard(c);
        }
        lpf__release(c);
        free(c);
    }
    if (t != NULL) {
        lpf__unbusy(t);
    }
    return status;
}

lpf_t *lpf_current(void)
{
    return lpf__self != NULL ? lpf__self->current : NULL;
}

static int *uninterruptible_depth(struct lpf__thread *t)
{
    return t->current != NULL ? &t->current->uninterruptible : &t->uninterruptible;
}

int lpf_enter(void)
{
    struct lpf__thread *t = lpf__thread_get();
    if (t == NULL) {
        return LPF_ENOMEM;
    }
    ++*uninterruptible_depth(t);
    atomic_signal_fence(memory_order_seq_cst);
    return LPF_OK;
}

int lpf_leave(void)
{
    struct lpf__thread *t = lpf__self;
    if (t == NULL || *uninterruptible_depth(t) == 0) {
        return LPF_ESTATE;
    }
    --*uninterruptible_depth(t);
    atomic_signal_fence(memory_order_seq_cst);
    if (t->pending && *uninterruptible_depth(t) == 0) {
        t->pending = 0;
        lpf__wake(t);
    }
    return LPF_OK;
}

enum lpf_state lpf_state(const lpf_t *c)
{
    return (enum lpf_state)c->state;
}

int lpf_left_for_outer(const lpf_t *c)
{
    return c->state == LPF_PAUSED && c->left_for_outer;
}

static bool runs_here(const lpf_t *c)
{
    return c->state == LPF_RUNNING && c->thread == lpf__self;
}

uint64_t lpf_elapsed(const lpf_t *c)
{
    uint64_t cycles = c->cycles;
    if (runs_here(c)) {
        cycles += lpf__cycles() - c->started.cycles;
    }
    return (uint64_t)lpf__cycles_to_ns((int64_t)cycles);
}

uint64_t lpf_cpu_time(const lpf_t *c)
{
    lpf_t copy = {.cpu_ns = c->cpu_ns, .cpu_cycles = c->cpu_cycles, .started = c->started};
    if (runs_here(c)) {
        end_slice(&copy, moment_now(c->thread));
    }
    int64_t total = (int64_t)copy.cpu_ns + lpf__cycles_to_ns(copy.cpu_cycles);
    return total > 0 ? (uint64_t)total : 0;
}

void lpf_set_name(lpf_t *c, const char *name)
{
    c->name = name;
}
