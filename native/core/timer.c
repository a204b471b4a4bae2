/* One one-shot CLOCK_MONOTONIC timer for each thread, whose signal goes to that thread.
 *
 * Invariant: the tick that the kernel will send comes no later than `armed`, and at most LEAD before it;
 * the handler calls lpf__timer_rang, which makes up for that and sets it to LPF_FOREVER, before it looks
 * at anything else.
 *
 * The system calls are made directly: the C library's timer_create is not async-signal-safe, and
 * some versions of it allocate.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Between the expiry of a timer and the first instruction of its handler lie an interrupt and the
 * making of a signal frame.  The timer is set earlier by what that takes on a fast machine. */
#define LEAD (2 * LPF__MICROSECOND)

uint64_t lpf__now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

int lpf__timer_create(struct lpf__timer *timer)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = lpf__signal;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer->id) != 0) {
        return LPF_ESYSTEM;
    }
    timer->armed = LPF_FOREVER;
    timer->exists = true;
    return LPF_OK;
}

void lpf__timer_arm(struct lpf__timer *timer, uint64_t when)
{
    struct itimerspec at;
    memset(&at, 0, sizeof at);
    uint64_t early = when > LEAD ? when - LEAD : 1; /* Zero would disarm. */
    at.it_value.tv_sec = (time_t)(early / UINT64_C(1000000000));
    at.it_value.tv_nsec = (long)(early % UINT64_C(1000000000));
    timer->armed = when;
    /* Cannot fail: the id is live and the time is valid. */
    syscall(SYS_timer_settime, timer->id, TIMER_ABSTIME, &at, NULL);
}

void lpf__timer_rang(struct lpf__timer *timer)
{
    uint64_t due = timer->armed;
    timer->armed = LPF_FOREVER;
    for (uint64_t now = lpf__now(); now < due && due - now <= LEAD; now = lpf__now()) {
        /* Nothing is left before its time. */
    }
}

void lpf__timer_delete(struct lpf__timer *timer)
{
    if (timer->exists) {
        syscall(SYS_timer_delete, timer->id);
        timer->exists = false;
        timer->armed = LPF_FOREVER;
    }
}
