/* Locks that code holds which is about to be left.
 *
 * A library guards what its callers share by mutexes, among its own variables (its memory, its caches)
 * or in the objects that it makes (a connection to a database).  A function that is left while it
 * holds one keeps everybody else out, the rest of its own thread included, which then waits for
 * itself; or, if the lock is recursive, it lets the rest of its own thread in, which finds the object
 * half changed.  The C library notes a mutex's owner in the mutex, as the number of the thread.  So:
 *
 *   - Code that holds a lock is let go on for some milliseconds (lpf__locks_hold).  Most have unlocked
 *     by then.
 *   - What is held for longer is lent while the function stands still (lpf__locks_lend): another
 *     number, which no thread has, is written into it.  Then the rest of the thread waits, as
 *     other threads do.  Where it waits it can be left as well (codemap.c), and whoever looks can
 *     tell from the number which function it waits for.
 *
 * A function that stands still at a safe point, in Python code that a library calls back, may hold locks
 * as well.  They are not lent: libraries expect to be called from there.  Nor are they the next one's that
 * is left, which may have come across an address of them, or have found them in its object.  So what such
 * a function has locked is noted (lpf__locks_keep), and how many times: only what was locked more often is
 * lent by others.  Those that a function's callers have locked are not noted, as nobody has been left.
 *
 * Where they are found.  The variables of the interrupted object are searched for locks whose owner is
 * this thread.  Locks in objects can only be reached by pointers: who holds one is going to unlock it
 * and so has, in a register or on its stack, the address of the lock or of the object or of something
 * that leads to the object.  That search costs some 0.1 ms, and is made only in calls of libraries
 * that make recursive locks (codemap.c tells).  A lock that is not found is left as it is.
 *
 * Invariants: only locks that this thread holds, or has lent, are written to.  Their memory is read by a system call
 * that fails for what is not mapped.  A lock that is being taken or given back right now is in the
 * hands of the C library, which is not left.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <assert.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATIENCE_STATIC (20 * LPF__MILLISECOND)
#define PATIENCE_OBJECT (5 * LPF__MILLISECOND)
#define FIRST_ID 0x40000000 /* Above all numbers of threads. */
#define MOST_IDS 0x3fffffff
#define MOST_STACK ((uintptr_t)32768)
#define OBJECT_WORDS 8 /* Of an object, searched for pointers to locks. */
#define SEEN 1024      /* A power of two. */
#define MOST_OBJECTS 768

static _Atomic int ids;

/* ---- What a lock looks like ---------------------------------------------------------------- */

#define MANY 1000 /* More threads, or locks of one thread, than one lock sees. */

/* Any memory may be looked at, and what is found will be written to: so every field must be what the
 * C library makes it.  The kinds are the four types, shared between processes or not, with or without
 * elision; neither robust nor inheriting priorities, which keep the owner elsewhere. */
LPF__UNCHECKED static bool is_held(const pthread_mutex_t *mutex, int tid)
{
    unsigned count = mutex->__data.__count;
    bool recursive = (mutex->__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE_NP;
    return mutex->__data.__owner == tid && mutex->__data.__lock - 1u < 2 &&
           mutex->__data.__nusers - 1u < MANY && (mutex->__data.__kind & ~0x383) == 0 &&
           (recursive ? count - 1 < MANY : count == 0) && mutex->__data.__list.__prev == NULL &&
           mutex->__data.__list.__next == NULL;
}

#define WRITING 3u /* Of __readers: locked by a writer, in the writers' phase. */

LPF__UNCHECKED static bool is_written(const pthread_rwlock_t *lock, int tid)
{
    return lock->__data.__cur_writer == tid && (lock->__data.__readers & WRITING) == WRITING &&
           lock->__data.__readers >> 3 < MANY && lock->__data.__writers < MANY &&
           lock->__data.__pad3 == 0 && lock->__data.__pad4 == 0 &&
           (unsigned)lock->__data.__shared <= 1 && lock->__data.__flags <= 3;
}

/* How many times a recursive mutex was locked; 0 for other kinds, and for read-write locks. */
static_assert(offsetof(pthread_mutex_t, __data.__count) + sizeof(int) ==
                      offsetof(pthread_mutex_t, __data.__owner) &&
                  offsetof(pthread_rwlock_t, __data.__pad4) + sizeof(int) ==
                      offsetof(pthread_rwlock_t, __data.__cur_writer),
              "the count lies before the owner, and zeros before the writer");

LPF__UNCHECKED static unsigned count_of(const int *owner)
{
    return (unsigned)owner[-1];
}

static bool is_kept(const struct lpf__thread *t, const int *owner)
{
    for (unsigned i = 0; i < t->kept_count; i++) {
        const struct lpf__kept *kept = &t->kept[i];
        if (kept->function != NULL && kept->owner == owner && kept->count >= count_of(owner)) {
            return true;
        }
    }
    return false;
}

/* ---- Among variables ----------------------------------------------------------------------- */

static void note(const struct lpf__thread *t, struct lpf__held *held, int *owner)
{
    if (is_kept(t, owner)) {
        return;
    }
    for (unsigned i = 0; i < held->count; i++) {
        if (held->owners[i] == owner) {
            return;
        }
    }
    if (held->count < LPF__MOST_LOCKS) {
        held->owners[held->count++] = owner;
    }
}

LPF__UNCHECKED static void search_variables(const struct lpf__thread *t, struct lpf__held *held,
                                            struct lpf__data variables)
{
    const uintptr_t step = sizeof(long);
    for (uintptr_t at = (variables.start + step - 1) / step * step;
         at + sizeof(pthread_mutex_t) <= variables.end; at += step) {
        pthread_mutex_t *mutex = (pthread_mutex_t *)at;
        pthread_rwlock_t *lock = (pthread_rwlock_t *)at;
        if (is_held(mutex, t->tid)) {
            note(t, held, &mutex->__data.__owner);
        } else if (at + sizeof *lock <= variables.end && is_written(lock, t->tid)) {
            note(t, held, &lock->__data.__cur_writer);
        }
    }
}

/* ---- In objects ---------------------------------------------------------------------------- */

static bool peek(uintptr_t address, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)address, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

struct search {
    const struct lpf__thread *thread;
    struct lpf__held *held;
    uintptr_t seen[SEEN]; /* Hash table of the objects looked at. */
    unsigned seen_count;
};

static bool is_address(uintptr_t word)
{
    return word >= 65536 && word >> 47 == 0 && word % sizeof(long) == 0;
}

static bool is_news(struct search *search, uintptr_t address)
{
    if (search->seen_count == MOST_OBJECTS) {
        return false;
    }
    size_t at = (address >> 4) * 0x9E3779B1u & (SEEN - 1);
    while (search->seen[at] != 0 && search->seen[at] != address) {
        at = (at + 1) & (SEEN - 1);
    }
    if (search->seen[at] == address) {
        return false;
    }
    search->seen[at] = address;
    search->seen_count++;
    return true;
}

static void look_at_lock(struct search *search, uintptr_t address)
{
    pthread_mutex_t copy;
    if (is_address(address) && peek(address, &copy, sizeof copy) &&
        is_held(&copy, search->thread->tid)) {
        note(search->thread, search->held, &((pthread_mutex_t *)address)->__data.__owner);
    }
}

static void look_at_object(struct search *search, uintptr_t address)
{
    uintptr_t words[OBJECT_WORDS];
    if (!is_address(address) || !is_news(search, address) || !peek(address, words, sizeof words)) {
        return;
    }
    pthread_mutex_t first;
    memcpy(&first, words, sizeof first);
    if (is_held(&first, search->thread->tid)) {
        note(search->thread, search->held, &((pthread_mutex_t *)address)->__data.__owner);
    }
    for (size_t i = 0; i < OBJECT_WORDS; i++) {
        look_at_lock(search, words[i]);
    }
}

LPF__UNCHECKED static void search_words(struct search *search, const uintptr_t *from,
                                        const uintptr_t *to)
{
    for (; from < to; from++) {
        look_at_object(search, *from);
    }
}

LPF__UNCHECKED static bool called_from(const struct lpf__lockers *lockers, const uintptr_t *from,
                                       const uintptr_t *to)
{
    for (size_t i = 0; i < lockers->count; i++) {
        uintptr_t start = lockers->start[i], length = lockers->length[i];
        for (const uintptr_t *word = from; word < to; word++) {
            if (*word - start < length) {
                return true;
            }
        }
    }
    return false;
}

/* The words of a function's stack that are in use, if it is one of ours. */
struct words {
    const uintptr_t *from, *to;
    const uintptr_t *frames_end; /* Behind it, the host's reserve. */
};

static struct words used_words(const lpf_t *c, uintptr_t stack_pointer)
{
    uintptr_t low = stack_pointer & ~(sizeof(long) - 1);
    if (c == NULL || c->stack == NULL || low < (uintptr_t)c->stack->low ||
        low >= (uintptr_t)c->stack->reserve) {
        return (struct words){NULL, NULL, NULL};
    }
    uintptr_t high = (uintptr_t)c->stack, end = (uintptr_t)c->stack->reserve;
    high = high - low > MOST_STACK ? low + MOST_STACK : high;
    end = end < high ? end : high;
    return (struct words){(const uintptr_t *)low, (const uintptr_t *)high, (const uintptr_t *)end};
}

static void search_objects(struct lpf__thread *t, struct lpf__held *held, const void *ucontext)
{
    struct lpf__lockers lockers = lpf__codemap_lockers();
    struct words words = used_words(t->current, lpf__stack_pointer(ucontext));
    uintptr_t pc = lpf__program_counter(ucontext);
    if (words.from != NULL && (called_from(&lockers, &pc, &pc + 1) ||
                               called_from(&lockers, words.from, words.frames_end))) {
        const mcontext_t *registers = &((const ucontext_t *)ucontext)->uc_mcontext;
        struct search search = {.thread = t, .held = held};
        search_words(&search, (const uintptr_t *)registers, (const uintptr_t *)(registers + 1));
        search_words(&search, words.from, words.to);
    }
}

/* ---- While the function stands still ------------------------------------------------------- */

/* Of a thread, or of a function that has lent it. */
static bool is_still_held(const int *owner, int id)
{
    int now;
    return peek((uintptr_t)owner, &now, sizeof now) && now == id;
}

static bool any_still_held(const struct lpf__held *held, int tid)
{
    for (unsigned i = 0; i < held->count; i++) {
        if (is_still_held(held->owners[i], tid)) {
            return true;
        }
    }
    return false;
}

bool lpf__locks_hold(struct lpf__thread *t, struct lpf__data variables, const void *ucontext,
                     uint64_t now)
{
    /* Else it is left over from another time. */
    bool goes_on = t->locked != 0 && now - t->locked <= 2 * PATIENCE_STATIC;
    uint64_t waited = goes_on ? now - t->locked : 0;
    struct lpf__held held = {0, {NULL}};
    search_variables(t, &held, variables);
    uint64_t patience = held.count > 0 ? PATIENCE_STATIC : PATIENCE_OBJECT;
    /* What was found stands for all, until it comes to leaving. */
    bool known = held.count > 0 || (goes_on && any_still_held(&t->held, t->tid));
    if (ucontext != NULL && (!known || waited >= patience)) {
        search_objects(t, &held, ucontext);
        t->held = held;
    }
    if (!known && held.count == 0) {
        t->locked = ucontext != NULL ? 0 : t->locked;
        return false;
    }
    t->locked = now - waited;
    return waited < patience;
}

void lpf__locks_forget(struct lpf__thread *t)
{
    t->held.count = 0;
}

void lpf__locks_lend(struct lpf__thread *t, struct lpf__lent *lent)
{
    lent->held.count = 0;
    for (unsigned i = 0; i < t->held.count; i++) {
        if (is_still_held(t->held.owners[i], t->tid)) {
            note(t, &lent->held, t->held.owners[i]);
        }
    }
    t->held.count = 0;
    lent->id = lent->held.count > 0 ? FIRST_ID + (atomic_fetch_add(&ids, 1) & MOST_IDS) : 0;
    for (unsigned i = 0; i < lent->held.count; i++) {
        *lent->held.owners[i] = lent->id;
    }
}

void lpf__locks_take_back(const struct lpf__thread *t, const struct lpf__lent *lent)
{
    for (unsigned i = 0; i < lent->held.count; i++) {
        if (is_still_held(lent->held.owners[i], lent->id)) {
            *lent->held.owners[i] = t->tid;
        }
    }
}

/* ---- While it stands still at a safe point -------------------------------------------------- */

static void keep(struct lpf__thread *t, const lpf_t *victim, int *owner)
{
    unsigned i = 0;
    while (i < t->kept_count && t->kept[i].function != NULL) {
        i++;
    }
    if (i < LPF__MOST_KEPT) {
        t->kept[i] = (struct lpf__kept){victim, owner, count_of(owner)};
        t->kept_count = i < t->kept_count ? t->kept_count : i + 1;
    }
}

/* The library may be gone since the table was made. */
static bool is_mapped(struct lpf__data variables)
{
    long word;
    return variables.end - variables.start >= sizeof word &&
           peek(variables.start, &word, sizeof word) &&
           peek(variables.end - sizeof word, &word, sizeof word);
}

static void keep_those_of(struct lpf__thread *t, const lpf_t *victim, struct words words,
                          const struct lpf__lockers *lockers)
{
    struct lpf__held held = {0, {NULL}};
    struct search search = {.thread = t, .held = &held};
    search_words(&search, words.from, words.to);
    for (size_t i = 0; i < lockers->count; i++) {
        if (is_mapped(lockers->variables[i])) {
            search_variables(t, &held, lockers->variables[i]);
        }
    }
    for (unsigned i = 0; i < held.count; i++) {
        keep(t, victim, held.owners[i]);
    }
}

void lpf__locks_keep(struct lpf__thread *t, const lpf_t *victim)
{
    struct lpf__lockers lockers = lpf__codemap_lockers();
    uintptr_t stack_pointer = (uintptr_t)__builtin_frame_address(0);
    for (const lpf_t *c = t->current;; c = c->caller) {
        struct words words = used_words(c, stack_pointer);
        if (words.from != NULL && called_from(&lockers, words.from, words.frames_end)) {
            keep_those_of(t, victim, words, &lockers);
        }
        if (c == victim) {
            break;
        }
        stack_pointer = (uintptr_t)c->caller_context;
    }
}

void lpf__locks_unkeep(struct lpf__thread *t, const lpf_t *victim)
{
    for (unsigned i = 0; i < t->kept_count; i++) {
        if (t->kept[i].function == victim) {
            t->kept[i].function = NULL;
        }
    }
    while (t->kept_count > 0 && t->kept[t->kept_count - 1].function == NULL) {
        t->kept_count--;
    }
}

int lpf__locks_holder(uintptr_t futex)
{
    /* Offsets of what notes the owner, from what is waited on: in a mutex, and in a read-write lock
     * for either of its two words. */
    const size_t mutex = offsetof(pthread_mutex_t, __data.__owner);
    const size_t writer = offsetof(pthread_rwlock_t, __data.__cur_writer);
    const size_t offsets[] = {mutex, writer - offsetof(pthread_rwlock_t, __data.__wrphase_futex),
                              writer - offsetof(pthread_rwlock_t, __data.__writers_futex)};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        int owner;
        if (peek(futex + offsets[i], &owner, sizeof owner) && owner >= FIRST_ID) {
            return owner;
        }
    }
    return 0;
}
