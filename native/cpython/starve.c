/* Rung 4: C code that holds the GIL, allocates, and reaches no safe point.
 *
 * Running out of memory is a documented way out of every C function of CPython.  So, to cancel, the
 * next allocation of the main thread fails: one, and then no more until the next tick, so that the
 * clean-up that follows finds memory.  The MemoryError unwinds the C code back to Python, and there
 * the pending cancel or interrupt takes over.
 *
 * The allocators of the "mem" and "object" domains are wrapped when this is first wanted, and put
 * back at the next safe point.  They are only called with the GIL held, which this thread holds when
 * it swaps them.  Blocks pass through unchanged, so that they may be freed after the wrappers are
 * gone, and tracemalloc or debug hooks underneath see every block.  The raw domain is left alone:
 * the runtime uses it where failure is fatal, and without the GIL.
 *
 * Invariant: `hungry` is set by the handler and cleared by the allocation that fails.
 */
#include "native.h"

static PyMemAllocatorEx below_mem, below_object;
static volatile sig_atomic_t installed;
static volatile sig_atomic_t hungry;
static volatile sig_atomic_t hit;

static bool fails(void)
{
    if (!hungry || lpf__self == NULL || !lpf_safepoint_works_on(lpf__self)) {
        return false;
    }
    hungry = 0;
    hit = 1;
    return true;
}

static void *starve_malloc(void *context, size_t size)
{
    const PyMemAllocatorEx *below = context;
    return fails() ? NULL : below->malloc(below->ctx, size);
}

static void *starve_calloc(void *context, size_t count, size_t size)
{
    const PyMemAllocatorEx *below = context;
    return fails() ? NULL : below->calloc(below->ctx, count, size);
}

/* Shrinking never fails: code relies on that, and it is not what takes long. */
static void *starve_realloc(void *context, void *block, size_t size)
{
    const PyMemAllocatorEx *below = context;
    return block == NULL && fails() ? NULL : below->realloc(below->ctx, block, size);
}

static void starve_free(void *context, void *block)
{
    const PyMemAllocatorEx *below = context;
    below->free(below->ctx, block);
}

static void wrap(PyMemAllocatorDomain domain, PyMemAllocatorEx *below)
{
    PyMem_GetAllocator(domain, below);
    PyMemAllocatorEx ours = {below, starve_malloc, starve_calloc, starve_realloc, starve_free};
    PyMem_SetAllocator(domain, &ours);
}

/* Somebody (tracemalloc) may have wrapped ours meanwhile: then ours stay, below theirs. */
static void unwrap(PyMemAllocatorDomain domain, PyMemAllocatorEx *below)
{
    PyMemAllocatorEx present;
    PyMem_GetAllocator(domain, &present);
    if (present.malloc == starve_malloc) {
        PyMem_SetAllocator(domain, below);
    }
}

void lpf_starve_once(void)
{
    if (!installed) {
        installed = 1;
        wrap(PYMEM_DOMAIN_MEM, &below_mem);
        wrap(PYMEM_DOMAIN_OBJ, &below_object);
    }
    hungry = 1;
}

void lpf_starve_end(void)
{
    hungry = 0;
    if (installed) {
        unwrap(PYMEM_DOMAIN_MEM, &below_mem);
        unwrap(PYMEM_DOMAIN_OBJ, &below_object);
        installed = 0;
    }
}

bool lpf_starve_hit(void)
{
    bool was = hit != 0;
    hit = 0;
    return was;
}
