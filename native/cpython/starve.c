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
 * Only the C code that the handler has interrupted is to fail, not what follows when that comes back
 * by itself: neither the bytecode loop, which is at another instruction then, nor the handlers of
 * signals that have come meanwhile (a KeyboardInterrupt that finds no memory would be lost), nor what
 * tidies up behind an exception.
 *
 * What was running when an allocation failed is marked, functions and limits: a MemoryError that comes
 * out of it may be ours.
 *
 * Invariants: `hungry` is set by the handler and cleared by the allocation that fails, or at the next
 * safe point, or when what runs ends; whoever goes on then has all the memory there is.
 */
#include "native.h"

static PyMemAllocatorEx below_mem, below_object;
volatile sig_atomic_t lpf_starving;
static volatile sig_atomic_t hungry; /* enum lpf_starved, as */
static volatile sig_atomic_t hit;    /* this. */

/* Where Python stands while the C code that is to fail runs. */
static struct {
    const lpf_frame *frame;
    int offset;
} place;

static int offset_in(lpf_frame *frame)
{
    return frame != NULL && lpf_frame_is_python(frame) ? lpf_frame_offset(frame) : -1;
}

static bool still_there(void)
{
    PyThreadState *ts = lpf_safepoint_main_state();
    lpf_frame *frame = LPF_CURRENT_FRAME(ts);
    return frame == place.frame && offset_in(frame) == place.offset && lpf_signals_pending(ts) &&
           PyErr_Occurred() == NULL;
}

static bool fails(void)
{
    if (!hungry || lpf__self == NULL || !lpf_safepoint_works_on(lpf__self)) {
        return false;
    }
    enum lpf_starved why = (enum lpf_starved)hungry;
    hungry = LPF_NOT_STARVED;
    if (!still_there()) {
        return false;
    }
    hit = why;
    return true;
}

static bool asked; /* One of ours was called for memory. */

/* One set for each domain, since they cannot be told apart by their context.  That is the context of
 * the allocator below, unchanged: the handler may have interrupted PyObject_Malloc or another of these
 * functions just between reading the context and reading the pointer behind it. */
#define STARVED(domain)                                                                        \
    static void *malloc_##domain(void *context, size_t size)                                   \
    {                                                                                          \
        asked = true;                                                                          \
        return fails() ? NULL : below_##domain.malloc(context, size);                          \
    }                                                                                          \
    static void *calloc_##domain(void *context, size_t count, size_t size)                     \
    {                                                                                          \
        return fails() ? NULL : below_##domain.calloc(context, count, size);                   \
    }                                                                                          \
    /* Shrinking never fails: code relies on that, and it is not what takes long. */           \
    static void *realloc_##domain(void *context, void *block, size_t size)                     \
    {                                                                                          \
        return block == NULL && fails() ? NULL : below_##domain.realloc(context, block, size); \
    }                                                                                          \
    static void free_##domain(void *context, void *block)                                      \
    {                                                                                          \
        below_##domain.free(context, block);                                                   \
    }

STARVED(mem)
STARVED(object)

static struct domain {
    PyMemAllocatorDomain which;
    PyMemAllocatorEx *below;
    PyMemAllocatorEx ours;
    bool stays; /* Somebody else (tracemalloc) has wrapped ours: they stay where they are. */
} domains[] = {
    {PYMEM_DOMAIN_MEM, &below_mem, {NULL, malloc_mem, calloc_mem, realloc_mem, free_mem}, false},
    {PYMEM_DOMAIN_OBJ,
     &below_object,
     {NULL, malloc_object, calloc_object, realloc_object, free_object},
     false},
};

static void wrap(struct domain *domain)
{
    if (domain->stays) {
        return;
    }
    PyMem_GetAllocator(domain->which, domain->below);
    domain->ours.ctx = domain->below->ctx;
    PyMem_SetAllocator(domain->which, &domain->ours);
}

static void unwrap(struct domain *domain)
{
    PyMemAllocatorEx present;
    PyMem_GetAllocator(domain->which, &present);
    if (present.malloc == domain->ours.malloc) {
        PyMem_SetAllocator(domain->which, domain->below);
        domain->stays = false;
        return;
    }
    /* Wrapped or replaced: tracemalloc does the one when it starts, the other when it stops. */
    asked = false;
    present.free(present.ctx, present.malloc(present.ctx, 1));
    domain->stays = asked;
}

void lpf_starve_once(enum lpf_starved why)
{
    if (PyErr_Occurred() != NULL) { /* Reads the thread state. */
        return;
    }
    if (!lpf_starving) {
        lpf_starving = 1;
        wrap(&domains[0]);
        wrap(&domains[1]);
    }
    lpf_frame *frame = LPF_CURRENT_FRAME(lpf_safepoint_main_state());
    place.frame = frame;
    place.offset = offset_in(frame);
    hungry = (sig_atomic_t)why;
}

void lpf_starve_end(void)
{
    if (!lpf_starving) {
        return;
    }
    hungry = 0;
    unwrap(&domains[0]);
    unwrap(&domains[1]);
    lpf_starving = 0;
    lpf_starve_note();
}

bool lpf_starve_may_raise(PyObject *exception)
{
    return exception != Py_None && (PyErr_GivenExceptionMatches(exception, PyExc_MemoryError) ||
                                    PyErr_GivenExceptionMatches(exception, PyExc_SystemError));
}

int lpf_starve_raise_reason(enum lpf_starved why)
{
    if (PyErr_CheckSignals() < 0) {
        return -1;
    }
    if (why == LPF_STARVED_BY_INTERRUPT) { /* Its own exception found no memory. */
        PyErr_SetNone(PyExc_KeyboardInterrupt);
        return -1;
    }
    return 0;
}

static void mark(struct lpf__limit *limit, enum lpf_starved why)
{
    for (; limit != NULL; limit = limit->outer) {
        lpf_limit_of(limit)->starved = why;
    }
}

bool lpf_starve_note(void)
{
    const struct lpf__thread *t = lpf__self;
    if (!hit || t == NULL || !lpf_safepoint_works_on(t)) {
        return false;
    }
    enum lpf_starved why = (enum lpf_starved)hit;
    hit = LPF_NOT_STARVED;
    for (lpf_t *c = t->current; c != NULL; c = c->caller) {
        mark(c->limits, why);
        if (c->host == &lpf_python_host) {
            lpf_continuation_of(c)->starved = why;
        }
    }
    mark(t->limits, why);
    return true;
}
