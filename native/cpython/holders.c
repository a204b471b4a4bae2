/* Functions that stand still with a lock, and who waits for one.
 *
 * Leaving a function in native code lends the locks that it holds (core/locks.c).  When the main
 * thread then wants one of them, it waits for a function that only the main thread can resume.  Inside
 * of another function that is like any long call: it can be paused and cancelled (rung 2).  Outside
 * of all nothing else will run.  Either way the user is told, with names, by the native thread of
 * watch.c, which reads in /proc what the main thread waits for.
 *
 * Invariants: the list is changed by the main thread with the GIL, under a lock; the watcher takes
 * that lock for moments only and touches no object.
 */
#define _GNU_SOURCE
#include "report.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 32
#define PLACE 300
#define TELL_AFTER (500 * LPF__MILLISECOND)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct holder {
    int id; /* 0: free. */
    char text[PLACE];
} holders[MOST];
static _Atomic int count;

/* ---- On the main thread -------------------------------------------------------------------- */

void lpf_holders_add(PyThreadState *ts, const Continuation *c, int id)
{
    struct holder holder = {id, ""};
    lpf_report_place(ts, lpf_continuation_name(c), c->abandoned ? "abandoned" : "paused",
                     holder.text, sizeof holder.text);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++) {
        if (holders[i].id == 0) {
            holders[i] = holder;
            atomic_fetch_add(&count, 1);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    lpf_watch_holders();
}

void lpf_holders_remove(int id)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++) {
        if (holders[i].id == id) {
            holders[i].id = 0;
            atomic_fetch_sub(&count, 1);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* ---- On the watcher's thread --------------------------------------------------------------- */

bool lpf_holders_exist(void)
{
    return atomic_load(&count) > 0;
}

/* The address of the futex that a thread of this process waits for; 0: none. */
static uintptr_t futex_of(pid_t tid)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    text[length > 0 ? length : 0] = '\0';
    long number;
    uintptr_t address;
    return sscanf(text, "%ld %" SCNxPTR, &number, &address) == 2 && number == SYS_futex ? address
                                                                                        : 0;
}

static void tell(int id, bool can_be_left)
{
    char text[2 * PLACE];
    const char *holder = "a function that is paused";
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++) {
        if (holders[i].id == id) {
            holder = holders[i].text;
        }
    }
    snprintf(text, sizeof text, "lpf: the main thread waits for a lock that is held by %s: %s\n",
             holder,
             can_be_left ? "pause or stop what runs now, or it waits until that one is resumed"
                         : "this will not end, since no function runs that could be left");
    pthread_mutex_unlock(&lock);
    lpf_report_deliver(text);
}

void lpf_holders_look(const struct lpf__thread *main_thread)
{
    static int before;
    static uint64_t since;
    static bool told;
    uintptr_t futex = lpf_holders_exist() ? futex_of(main_thread->tid) : 0;
    int id = futex != 0 ? lpf__locks_holder(futex) : 0;
    if (id != before) {
        before = id;
        since = lpf__now();
        told = false;
    }
    if (id != 0 && !told && lpf__now() - since >= TELL_AFTER) {
        tell(id, main_thread->outermost != NULL);
        told = true;
    }
}

void lpf_holders_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
