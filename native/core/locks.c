/* Locks that code holds which is about to be left.
 *
 * A library guards what its callers share, its memory, its caches, by mutexes among its own variables,
 * and holds them for microseconds.  A function that is left in between would keep everybody else out
 * of the library, the rest of its own thread included, which then waits for itself: for ever.  So
 * such code is let go on until it has unlocked.  The C library notes a mutex's owner in the mutex;
 * the variables are searched for one whose owner is this thread.
 *
 * What is held for long is taken for a lock of the user's: whoever else wants it waits, is left as
 * well (rung 2) and shown as waiting.  The same goes for locks on the heap, which belong to objects.
 *
 * Invariants: reads only, of an object that has frames on the thread's stack and so is not unloaded.
 * A lock that is being taken or given back right now is in the hands of the C library, which is not
 * left.
 */
#define _GNU_SOURCE
#include "internal.h"

#define PATIENCE (20 * LPF__MILLISECOND)

LPF__UNCHECKED static bool is_held(const pthread_mutex_t *mutex, int tid)
{
    return mutex->__data.__owner == tid && mutex->__data.__lock != 0 && mutex->__data.__nusers != 0;
}

LPF__UNCHECKED static bool is_written(const pthread_rwlock_t *lock, int tid)
{
    return lock->__data.__cur_writer == tid && lock->__data.__readers != 0;
}

LPF__UNCHECKED static bool holds_any(struct lpf__data variables, int tid)
{
    const uintptr_t step = sizeof(long);
    for (uintptr_t at = (variables.start + step - 1) / step * step;
         at + sizeof(pthread_mutex_t) <= variables.end; at += step) {
        if (is_held((const pthread_mutex_t *)at, tid) ||
            (at + sizeof(pthread_rwlock_t) <= variables.end &&
             is_written((const pthread_rwlock_t *)at, tid))) {
            return true;
        }
    }
    return false;
}

bool lpf__locks_hold(struct lpf__thread *t, struct lpf__data variables, uint64_t now)
{
    if (!holds_any(variables, t->tid)) {
        t->locked = 0;
        return false;
    }
    if (t->locked == 0 || now - t->locked > 2 * PATIENCE) { /* Or left over from another time. */
        t->locked = now;
    }
    return now - t->locked < PATIENCE;
}
