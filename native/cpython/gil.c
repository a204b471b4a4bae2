/* C code on other threads that keeps the GIL.
 *
 * The ladder is for what runs on the main thread.  On another one, sum(range(10**13)) keeps the GIL just
 * as well, and then nobody else does anything: a kernel hears no request any more, nor an interrupt.  Such
 * code is neither left nor ended here.  It is made to let the others have the GIL now and then, as the
 * bytecode loop does:
 *
 *   the watcher     (watch.c) sees that a thread has kept the GIL from one look to the next, and computed,
 *                   while others wanted it, and sends that thread the library's signal (lpf_gil_look)
 *   the handler     on that thread, makes calls to tp_iternext safe points, as rung 3 does (lpf_gil_tick)
 *   the safe point  lets the GIL go for a moment (lpf_gil_let_go)
 *
 * What draws from no iterator is reported while it lasts (report.c).
 *
 * Why the handler may do this.  It does something only where the thread that it interrupts holds the GIL,
 * which makes its stores into type slots exclusive, and then only what rung 3 does.  The thread computes:
 * a system call of a library that knows of no EINTR is not interrupted.
 *
 * Invariants: `keeper` is written by the watcher, and its thread state is never followed by it: the
 * state may be freed at any time, so that its fields are read through the kernel, which cannot fault.
 */
#define _GNU_SOURCE
#include "native.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEP_AFTER (20 * LPF__MILLISECOND)
#define REPORT_AFTER (3000 * LPF__MILLISECOND)
#define SOON (2000 * LPF__MILLISECOND)
/* A thread that waited needs the GIL several times to do anything: it is let alone until nobody has had
 * the GIL for two moments, or its turn is over. */
#define MOMENT LPF__MILLISECOND
#define TURN (20 * LPF__MILLISECOND)

static struct {
    _Atomic(PyThreadState *) state; /* NULL: nobody keeps it. */
    _Atomic int tid;
    _Atomic uint64_t since;
} keeper;

/* The keeper's, of its handler. */
static struct lpf_steps steps;
static uint64_t steps_since;
static bool stepped; /* It had to be, to let it go. */

static _Atomic(PyThreadState *) generous; /* Lets the GIL go at the next call to tp_iternext. */

/* The main interpreter and its GIL are parts of the runtime: they stay when that is finalized. */
static PyInterpreterState *interpreter;
static const struct _gil_runtime_state *gil;

/* The watcher's. */
static struct {
    PyThreadState *holder;
    unsigned long switches;
    int tid;
    uint64_t cpu, time;
} last;
static uint64_t kept_last; /* When somebody did. */

void lpf_gil_init(PyThreadState *main_state)
{
    interpreter = main_state->interp;
    gil = lpf_gil_of(interpreter);
}

/* ---- On the watcher's thread -------------------------------------------------------------- */

/* Reads memory that may be unmapped. */
static bool read_safely(const void *from, void *to, size_t size)
{
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (memory < 0) {
        return false;
    }
    bool all = pread(memory, to, size, (off_t)(uintptr_t)from) == (ssize_t)size;
    close(memory);
    return all;
}

static bool is_wanted_from(PyThreadState *holder)
{
#if LPF_GIL_IS_ASKED_OF_HOLDER
    uintptr_t flags;
    return read_safely(&holder->eval_breaker, &flags, sizeof flags) &&
           (flags & _PY_GIL_DROP_REQUEST_BIT) != 0;
#else
    return lpf_gil_is_wanted(holder, interpreter);
#endif
}

/* By the number of the thread (the kernel's MAKE_THREAD_CPUCLOCK); 0 if there is none. */
static uint64_t cpu_of(int tid)
{
    struct timespec time;
    clockid_t clock = (clockid_t)(~(unsigned)tid << 3 | 6);
    if (clock_gettime(clock, &time) != 0) {
        return 0;
    }
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static bool has_kept_it(PyThreadState *holder, unsigned long switches, uint64_t now)
{
    unsigned long tid;
    if (holder == NULL || holder != last.holder || switches != last.switches) {
        last.tid = 0;
        return false;
    }
    if (last.tid == 0) { /* The second look: who is it? */
        if (!is_wanted_from(holder) || !read_safely(&holder->native_thread_id, &tid, sizeof tid)) {
            return false;
        }
        last.tid = (int)tid;
        last.cpu = cpu_of(last.tid);
        last.time = now;
        return false;
    }
    uint64_t cpu = cpu_of(last.tid);
    bool computed = cpu - last.cpu > (now - last.time) / 4 && is_wanted_from(holder);
    last.cpu = cpu;
    last.time = now;
    return computed;
}

static void nobody_keeps_it(void)
{
    if (keeper.state != NULL) {
        keeper.state = NULL;
        keeper.tid = 0;
        lpf_report_over();
    }
}

bool lpf_gil_look(void)
{
    uint64_t now = lpf__now(), before = last.time;
    PyThreadState *holder = lpf_gil_holder(gil);
    unsigned long switches = lpf_gil_switches(gil);
    if (holder == lpf_safepoint_main_state()) {
        holder = NULL;
    }
    bool kept = has_kept_it(holder, switches, now);
    last.holder = holder;
    last.switches = switches;
    if (!kept) {
        if (last.tid == 0) {
            nobody_keeps_it();
        }
    } else {
        kept_last = now;
        if (keeper.state == NULL) {
            keeper.since = before;
            keeper.tid = last.tid;
            keeper.state = holder;
        }
        lpf_gil_poke();
    }
    return now - kept_last < SOON || last.tid != 0;
}

void lpf_gil_poke(void)
{
    int tid = keeper.tid;
    if (tid != 0) {
        syscall(SYS_tgkill, getpid(), tid, lpf__signal);
    }
}

bool lpf_gil_is_kept(void)
{
    return keeper.state != NULL;
}

/* ---- In the handler, on any thread ---------------------------------------------------------- */

void lpf_gil_tick(void *ucontext)
{
    PyThreadState *ts = keeper.state;
    if (ts == NULL || keeper.tid != (int)syscall(SYS_gettid) ||
        _PyThreadState_UncheckedGet() != ts || lpf_ladder_in_bytecode(ucontext)) {
        return;
    }
    generous = ts;
    lpf_iterators_wrap();
    uint64_t now = lpf__now(), since = keeper.since;
    if (since != steps_since) {
        steps_since = since;
        steps = lpf_steps_from(stepped ? now : now + STEP_AFTER);
    }
    stepped = now >= steps.at;
    lpf_iterators_step(&steps, now, ucontext);
    if (now - since >= REPORT_AFTER) {
        lpf_report_tick(ts, ucontext, since, true);
    }
}

/* ---- At a call to tp_iternext ---------------------------------------------------------------- */

void lpf_gil_let_go(void)
{
    PyThreadState *ts = _PyThreadState_UncheckedGet();
    if (gil == NULL || lpf_gil_holder(gil) != ts) {
        return; /* Another interpreter's. */
    }
    /* Those for a thread that has come to the end of its C code would stay for ever. */
    lpf_iterators_unwrap();
    if (generous != ts) {
        return;
    }
    generous = NULL;
    struct timespec moment = {0, (long)MOMENT};
    PyEval_SaveThread();
    uint64_t over = lpf__now() + TURN;
    for (int quiet = 0; quiet < 2 && lpf__now() < over;) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
        quiet = lpf_gil_holder(gil) == NULL ? quiet + 1 : 0;
    }
    PyEval_RestoreThread(ts);
}

void lpf_gil_forked(void)
{
    keeper.state = NULL;
    keeper.tid = 0;
    generous = NULL;
    last.holder = NULL;
    last.tid = 0;
}
