/* Stacks: mapped whole with a guard below, and a pool of them for each thread.
 *
 * Invariants: a stack is either in exactly one pool or owned by exactly one function.  The guard at
 * `low` is never accessible.  A stack from the pool holds rubbish.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "internal.h"

#define POOL_LIMIT 64                     /* Stacks kept by a thread. */
#define POOL_WARM 4                       /* Of these, kept with the memory they have touched. */
#define KEPT_RESIDENT ((size_t)64 * 1024) /* Of the others: this much at the top. */
/* What the kernel leaves below the main thread's stack: a function with a large array touches its
 * far end first, and must not reach the stack of another function there. */
#define GUARD ((size_t)1024 * 1024)
#define SMALLEST ((size_t)64 * 1024)
#define DEFAULT_SIZE ((size_t)8 * 1024 * 1024)
#define LARGEST ((size_t)1024 * 1024 * 1024)

static size_t page_size(void)
{
    static size_t size;
    if (size == 0) {
        size = (size_t)sysconf(_SC_PAGESIZE);
    }
    return size;
}

static size_t round_to_pages(size_t size)
{
    return (size + page_size() - 1) & ~(page_size() - 1);
}

static size_t wanted_size(void)
{
    const char *text = getenv("LPF_STACK_SIZE");
    if (text != NULL) {
        char *end;
        unsigned long long size = strtoull(text, &end, 10);
        if (end != text && *end == '\0' && size >= SMALLEST && size <= LARGEST) {
            return (size_t)size;
        }
    }
    /* CPython's recursion limits presume the stack that the system gives the main thread. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur > DEFAULT_SIZE) {
        return limit.rlim_cur < LARGEST ? (size_t)limit.rlim_cur : LARGEST;
    }
    return DEFAULT_SIZE;
}

size_t lpf__stack_size(void)
{
    static size_t size;
    if (size == 0) {
        size = round_to_pages(wanted_size());
    }
    return size;
}

static struct lpf__stack *map_stack(void)
{
    size_t above = round_to_pages(LPF__RESERVE + sizeof(struct lpf__stack));
    size_t mapped = GUARD + lpf__stack_size() + above;
    char *low = mmap(NULL, mapped, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (low == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(low, GUARD, PROT_NONE) != 0) {
        munmap(low, mapped);
        return NULL;
    }
    /* A transparent huge page would make every paused function cost 2 MB. */
    madvise(low, mapped, MADV_NOHUGEPAGE);
    struct lpf__stack *stack = (void *)(low + mapped - sizeof *stack);
    stack->next = NULL;
    stack->low = low;
    stack->mapped = mapped;
    stack->reserve = (char *)(((uintptr_t)stack - LPF__RESERVE) & ~(uintptr_t)63);
    return stack;
}

struct lpf__stack *lpf__stack_take(struct lpf__pool *pool)
{
    struct lpf__stack *stack = pool->free;
    if (stack == NULL) {
        return map_stack();
    }
    pool->free = stack->next;
    pool->count--;
    return stack;
}

char *lpf__stack_bottom(const struct lpf__stack *stack)
{
    return stack->low + GUARD;
}

void lpf__stack_give(struct lpf__pool *pool, struct lpf__stack *stack)
{
    lpf__fiber_forget(lpf__stack_bottom(stack), stack->reserve);
    if (pool->count >= POOL_LIMIT) {
        munmap(stack->low, stack->mapped);
        return;
    }
    if (pool->count >= POOL_WARM) {
        char *bottom = lpf__stack_bottom(stack);
        char *kept = stack->reserve - KEPT_RESIDENT;
        madvise(bottom, (size_t)(kept - bottom) & ~(page_size() - 1), MADV_DONTNEED);
    }
    stack->next = pool->free;
    pool->free = stack;
    pool->count++;
}

void lpf__pool_clear(struct lpf__pool *pool)
{
    while (pool->free != NULL) {
        struct lpf__stack *stack = pool->free;
        pool->free = stack->next;
        munmap(stack->low, stack->mapped);
    }
    pool->count = 0;
}

bool lpf__stack_overflowed(const struct lpf__stack *stack, const void *address)
{
    const char *at = address;
    return at >= stack->low && at < lpf__stack_bottom(stack);
}
