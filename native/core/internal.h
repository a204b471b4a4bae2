/* What the files of the core, and a host language built on it, know of each other.
 *
 * Layers, each knowing only those above it in this list:
 *   context_<arch>.S  the switch itself            stack.c     mapped stacks and their pool
 *   timer.c           one one-shot timer a thread  codemap.c   where native code may be left
 *                                                locks.c     locks that it holds there
 *   overflow.c        the message for a full stack
 *   lpf.c             states: launch, resume, pause, cancel
 *   preempt.c         the signal handler
 */
#ifndef LPF_INTERNAL_H
#define LPF_INTERNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "context.h"
#include "lpf.h"
#include "sanitize.h"

#define LPF__MICROSECOND UINT64_C(1000)
#define LPF__MILLISECOND UINT64_C(1000000)

/* A tick that falls where the function may not be left is tried again after this long; while the
 * thread sleeps there (in pthread_cond_wait, say) less and less often. */
#define LPF__RETRY (50 * LPF__MICROSECOND)
#define LPF__RETRY_SLOWEST (2 * LPF__MILLISECOND)

/* ---- stack.c ------------------------------------------------------------------------------ */

/* Lies at the very top of its own mapping, so that a pooled stack costs no other memory.
 *
 *   low                                                                       high
 *   | guard | C stack, growing down ... | reserve (host's) | struct lpf__stack |
 */
struct lpf__stack {
    struct lpf__stack *next; /* In the pool. */
    char *low;               /* Start of the mapping: the guard. */
    char *reserve;           /* LPF__RESERVE bytes that the host may use as it likes. */
    size_t mapped;
};

#define LPF__RESERVE ((size_t)16384)

struct lpf__pool {
    struct lpf__stack *free;
    size_t count;
};

size_t lpf__stack_size(void);
struct lpf__stack *lpf__stack_take(struct lpf__pool *pool);
void lpf__stack_give(struct lpf__pool *pool, struct lpf__stack *stack);
void lpf__pool_clear(struct lpf__pool *pool);
/* The lowest address that may be used. */
char *lpf__stack_bottom(const struct lpf__stack *stack);
/* Is this address in the guard of the stack? */
bool lpf__stack_overflowed(const struct lpf__stack *stack, const void *address);

/* ---- timer.c ------------------------------------------------------------------------------ */

struct lpf__timer {
    int id; /* The kernel's. */
    bool exists;
    /* Absolute time of the tick that is under way, LPF_FOREVER if none.  Written by the handler. */
    volatile uint64_t armed;
};

uint64_t lpf__now(void);                         /* CLOCK_MONOTONIC, ns. */
int lpf__timer_create(struct lpf__timer *timer); /* For the calling thread; a.-s.-safe. */
void lpf__timer_arm(struct lpf__timer *timer, uint64_t when); /* Async-signal-safe. */
void lpf__timer_rang(struct lpf__timer *timer);               /* In the handler of its signal. */
void lpf__timer_delete(struct lpf__timer *timer);

/* ---- lpf.c -------------------------------------------------------------------------------- */

struct lpf__thread;

/* What a host language does when one of its functions is to be left. */
struct lpf__host {
    /* Called by the signal handler when something is due (lpf__find_due tells what) while code of
     * this host runs.  Async-signal-safe.  It either asks the language for a safe point, where
     * lpf__find_due is asked again, or leaves at once with lpf__leave.  The signal is blocked
     * meanwhile; who leaves at once sets keeps_mask at the function's start. */
    void (*tick)(struct lpf__thread *thread, void *ucontext);
};

/* A limit on part of a function, or of the thread's own stack, that is enforced by the host.  It
 * lives in the host's memory. */
struct lpf__limit {
    struct lpf__limit *outer; /* The next one out within the same function. */
    const struct lpf__host *host;
    uint64_t deadline;
    uint64_t left; /* While the function stands still: what remained. */
    bool due;
};

/* A point in time: the cycle counter, and the CPU clock as it was last read.  Reading the CPU clock
 * is a system call, so a reading is used for LPF__CPU_STALE cycles; in between the thread is taken
 * to have run all the time. */
struct lpf__moment {
    uint64_t cycles;
    uint64_t cpu_cycles; /* When the CPU clock was read, */
    uint64_t cpu_ns;     /* and what it said. */
};

/* States and the moves between them:
 *
 *   launch(0) -> READY --resume--> RUNNING --returns--> FINISHED
 *   launch ----------------------> RUNNING --tick, pause--> PAUSED --resume--> RUNNING
 *   READY, PAUSED --cancel--> CANCELLED
 *   RUNNING --an outer one is paused--> HELD --that one is resumed--> RUNNING
 *   HELD --that one is cancelled--> CANCELLED
 *
 * A thread's running functions form a list from `outermost` by `callee` to `current`, and back by
 * `caller`.  A paused one keeps the part of the list that was inside it: `leaf` is its end.
 */
struct lpf {
    void *context;        /* Where it stands while PAUSED. */
    void *caller_context; /* Where its launcher or resumer waits, while RUNNING. */
    lpf_t *caller;        /* That one's innermost function; NULL if none. */
    lpf_t *callee;        /* The function it launched or resumed and now waits for. */
    lpf_t *leaf;          /* While PAUSED: the function that was current; may be itself. */

    struct lpf__fiber fiber;        /* The sanitizer's view of `context`, */
    struct lpf__fiber caller_fiber; /* and of `caller_context`. */
    struct lpf__thread *thread;
    struct lpf__stack *stack;
    const struct lpf__host *host; /* NULL: plain native code. */
    void (*function)(void *);
    void *argument;
    const char *name;

    uint64_t deadline; /* While RUNNING; LPF_FOREVER if none. */
    uint64_t left;     /* While HELD: what remained of its limit. */
    struct lpf__limit *limits;
    _Atomic int state;   /* Written on the own thread, with lpf__set_state. */
    _Atomic int request; /* enum lpf__request, set from any thread. */
    int uninterruptible; /* Depth of lpf_enter. */
    bool keeps_mask;     /* The signal mask is switched too. */
    bool left_for_outer; /* Paused only so that an outer function can be left. */
    bool stays;          /* Runs in the child of a fork: nothing due leaves it. */

    uint64_t cycles;    /* Sum of the slices that ended: wall-clock time, */
    uint64_t cpu_ns;    /* CPU time between readings of the CPU clock, */
    int64_t cpu_cycles; /* and from these to the ends of the slices. */

    /* What follows need not be zero in the beginning. */
    struct lpf__moment started; /* Start of the present slice. */
    sigset_t mask;              /* While PAUSED and keeps_mask. */
    sigset_t caller_mask;       /* While RUNNING and keeps_mask. */
};

enum lpf__request {
    LPF__NO_REQUEST = 0,
    LPF__REQUEST_PAUSE,  /* lpf_request. */
    LPF__REQUEST_SIGNAL, /* The signal came from outside. */
    LPF__REQUEST_HOST,   /* The host wants its tick called (it is cancelling). */
};

#define LPF__BIAS (1u << 30)

/* Locks that this thread holds; see locks.c. */
#define LPF__MOST_LOCKS 4
struct lpf__held {
    unsigned count;
    int *owners[LPF__MOST_LOCKS]; /* In each lock, the number of the thread that holds it. */
};

/* A lock that a function of this thread keeps while it stands still at a safe point. */
#define LPF__MOST_KEPT 16
struct lpf__kept {
    const lpf_t *function; /* NULL: free. */
    int *owner;
    unsigned count; /* How many times it was locked. */
};

/* One for each kernel thread that has used the library; freed when the thread ends.
 *
 * Signal handler and ordinary code of the same thread share it.  Ordinary code sets `busy` while
 * the list and the timer do not agree with each other; a tick that finds it set only notes
 * `missed`, and lpf__unbusy asks for another one. */
struct lpf__thread {
    volatile sig_atomic_t busy;
    volatile sig_atomic_t missed;
    volatile sig_atomic_t pending; /* Came due inside an uninterruptible section. */
    volatile sig_atomic_t nudged;  /* The host wants its tick called; from any thread. */
    lpf_t *volatile current;
    lpf_t *volatile outermost;
    struct lpf__limit *limits; /* Of the thread's own stack. */
    int uninterruptible;       /* Depth of lpf_enter outside of every function. */
    struct lpf__timer timer;
    struct lpf__pool pool;
    pid_t tid;
    void *alternate_stack; /* Ours, or NULL if the thread had one already. */
    int *own_errno;        /* Where errno lies on this thread. */
    struct lpf__moment latest;
    uint64_t read_ns;     /* The monotonic clock at latest.cpu_cycles, */
    double ns_per_cycle;  /* and how it goes on from there; 0: not known yet. */
    uint64_t retry;       /* Since when a tick was refused: the pause before the next one, */
    uint64_t refused_cpu; /* and the CPU time then. */
    uint64_t locked;      /* Since when it is let go on because of a lock; 0: not. */
    struct lpf__held held;
    unsigned kept_count; /* Of these, in use or once in use: the first ones. */
    struct lpf__kept kept[LPF__MOST_KEPT];
    /* References: one for each function whose `thread` this is, and the thread's own.  The thread
     * counts its own in `handles_here`, without atomic instructions; what others let go of is taken
     * from `handles`, which has LPF__BIAS to spare until the thread ends and puts both together. */
    unsigned handles_here;
    _Atomic unsigned handles;
    _Atomic bool ended; /* The kernel thread is gone. */
};

/* Initial-exec: a plain load, so that the handler may read it (the general model may allocate). */
extern __thread struct lpf__thread *lpf__self __attribute__((tls_model("initial-exec")));

struct lpf__thread *lpf__thread_get(void); /* Creates it; NULL if out of memory. */

/* The parts of launch, resume and pause that a host puts its own save and load around. */
/* READY, on this stack; NULL: takes one. */
int lpf__prepare(lpf_t *c, void (*f)(void *), void *arg, struct lpf__stack *stack);
int lpf__check_runnable(const lpf_t *c);
int lpf__limit_ready(struct lpf__thread *t, uint64_t limit_ns); /* Timer and handler exist. */
uint64_t lpf__read_time(struct lpf__thread *t); /* When the lpf__run that follows begins; cycles. */
void lpf__run(lpf_t *c, uint64_t limit_ns); /* READY or PAUSED: returns when it is not running. */
void lpf__leave(lpf_t *victim);             /* RUNNING, on the thread: returns when resumed. */
void lpf__release(lpf_t *c);                /* Gives the stack back. */
void lpf__discard(lpf_t *c);                /* CANCELLED, with all that is held inside. */

void lpf__missed(struct lpf__thread *t); /* Ask for the tick that came while busy. */

static inline void lpf__set_busy(struct lpf__thread *t)
{
    t->busy = 1;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void lpf__unbusy(struct lpf__thread *t)
{
    atomic_signal_fence(memory_order_seq_cst);
    t->busy = 0;
    atomic_signal_fence(memory_order_seq_cst);
    if (t->missed) {
        lpf__missed(t);
    }
}

/* A release, not more: on x86-64 anything stronger costs as much as the rest of a switch. */
static inline void lpf__set_state(lpf_t *c, enum lpf_state state)
{
    atomic_store_explicit(&c->state, state, memory_order_release);
}

static inline void lpf__clear_request(lpf_t *c)
{
    atomic_store_explicit(&c->request, LPF__NO_REQUEST, memory_order_release);
}

/* Sets the deadline of a running function or limit, and the timer if that is needed. */
void lpf__set_deadline(struct lpf__thread *t, uint64_t *deadline, uint64_t when);
void lpf__wake(const struct lpf__thread *t); /* From any thread: have its handler run. */
/* Where a function stands: the paused function that it is held in, or itself. */
lpf_t *lpf__holder(lpf_t *c);

/* The outermost due function or limit of the thread; both NULL if nothing is.  For a limit,
 * `function` is the outermost running function inside it, NULL if it is the innermost of all. */
struct lpf__due {
    lpf_t *function;
    struct lpf__limit *limit;
    lpf_t *within; /* Of a limit: the function that it belongs to; NULL for the thread's stack. */
};
struct lpf__due lpf__find_due(struct lpf__thread *t, uint64_t now);
uint64_t lpf__nearest(const struct lpf__thread *t); /* Deadline that the timer must honour. */
/* The same, of those that still lie ahead: what is due already is being dealt with. */
uint64_t lpf__nearest_after(const struct lpf__thread *t, uint64_t now);

int64_t lpf__cycles_to_ns(int64_t cycles);

/* ---- preempt.c ---------------------------------------------------------------------------- */

extern int lpf__signal;        /* The number of the signal in use. */
int lpf__preempt_signal(void); /* The number, also before it is installed. */
/* Called on the thread that hears of signals from outside; in the place of whatever handler there is. */
int lpf__preempt_install(bool restart_calls);
int lpf__preempt_install_for(struct lpf__thread *home, bool restart_calls); /* If it is not yet. */
bool lpf__preempt_installed(void);
void lpf__preempt_forget(struct lpf__thread *t); /* The thread ends. */
void lpf__preempt_forked(
    struct lpf__thread *t); /* In the child; NULL: not a user of this library. */
/* The host's wish to hear of signals from outside when nothing runs. */
extern void (*volatile lpf__external)(struct lpf__thread *t);
/* And of signals that the process has sent to one of its threads: in the handler, on that thread, which
 * need not be a user of this library. */
extern void (*volatile lpf__poked)(void *ucontext);

/* ---- codemap.c ---------------------------------------------------------------------------- */

void lpf__codemap_refresh(void); /* Cheap when nothing was loaded or unloaded. */
void lpf__codemap_before_fork(void);
void lpf__codemap_after_fork(void); /* In the parent; */
void lpf__codemap_forked(void);     /* in the child. */
/* Refuses whatever object holds the address: a host language's interpreter, which may be the
 * program itself. */
void lpf__codemap_refuse(const void *address);
/* A function of the host, if it is there, that waits for a lock of its caller's. */
void lpf__codemap_waits(const char *name);
/* The writable variables of a shared object. */
struct lpf__data {
    uintptr_t start, end;
};

/* May the code be left that the calling signal handler has interrupted at pc?  Async-signal-safe.
 * Tells the variables of its object, unless NULL. */
bool lpf__codemap_may_leave(uintptr_t pc, struct lpf__data *variables);
/* Has the signal interrupted code at pc that may be left, but for the lock that it waits for?  It has
 * not got that yet, so it may be left as well.  Async-signal-safe; only for a thread that sleeps. */
bool lpf__codemap_waits_for_lock(uintptr_t pc);
/* The code of libraries that make recursive locks and may be left.  Async-signal-safe. */
extern _Atomic bool lpf__codemap_has_lockers;
#define LPF__MOST_LOCKERS 8
struct lpf__lockers {
    size_t count;
    uintptr_t start[LPF__MOST_LOCKERS], length[LPF__MOST_LOCKERS];
    struct lpf__data variables[LPF__MOST_LOCKERS];
};
struct lpf__lockers lpf__codemap_lockers(void);
/* Does pc lie in a function of the C library that holds nothing?  Async-signal-safe. */
bool lpf__codemap_is_leaf(uintptr_t pc);

/* ---- locks.c ------------------------------------------------------------------------------ */

/* Does the thread, interrupted there, hold a lock among these variables or in an object, and not for
 * long yet?  NULL for the context: objects are left out, which is cheap.  Async-signal-safe, as all of
 * these. */
bool lpf__locks_hold(struct lpf__thread *t, struct lpf__data variables, const void *ucontext,
                     uint64_t now);
void lpf__locks_forget(struct lpf__thread *t); /* It is going to be left without that question. */

/* A function of this thread is about to stand still, with all that it waits for: notes which locks it
 * keeps, so that nobody else lends them. */
void lpf__locks_keep(struct lpf__thread *t, const lpf_t *victim);
void lpf__locks_unkeep(struct lpf__thread *t, const lpf_t *victim); /* It goes on, or never will. */

/* What a function that stands still has locked: around the call that leaves it, on its own stack. */
struct lpf__lent {
    int id; /* 0: nothing. */
    struct lpf__held held;
};
void lpf__locks_lend(struct lpf__thread *t, struct lpf__lent *lent);
void lpf__locks_take_back(const struct lpf__thread *t, const struct lpf__lent *lent);
/* The id of the function that has lent the lock whose futex this is; 0: none.  From any thread. */
int lpf__locks_holder(uintptr_t futex);

/* ---- overflow.c --------------------------------------------------------------------------- */

void lpf__overflow_install(struct lpf__thread *t);
void lpf__overflow_remove(struct lpf__thread *t);

#endif
