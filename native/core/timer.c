/* One one-shot CLOCK_MONOTONIC timer for each thread, whose signal goes to that thread.
 *
 * Invariant: `armed` is never later than the tick that the kernel will send; the handler sets it to
 * LPF_FOREVER before it looks at anything else.
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
    at.it_value.tv_sec = (time_t)(when / UINT64_C(1000000000));
    at.it_value.tv_nsec = (long)(when % UINT64_C(1000000000));
    if (when == 0) {
        at.it_value.tv_nsec = 1; /* Zero would disarm. */
    }
    timer->armed = when;
    /* Cannot fail: the id is live and the time is valid. */
    syscall(SYS_timer_settime, timer->id, TIMER_ABSTIME, &at, NULL);
}

void lpf__timer_delete(struct lpf__timer *timer)
{
    if (timer->exists) {
        syscall(SYS_timer_delete, timer->id);
        timer->exists = false;
        timer->armed = LPF_FOREVER;
    }
}
