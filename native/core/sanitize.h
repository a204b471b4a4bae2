/* What AddressSanitizer is told, about stack switches above all.  Empty in every other build.
 *
 * A fiber is a place where a stack was left or will be entered: for each switch, the one that is
 * left and the one that is entered.  Where the entered stack lies is known for a new one, and
 * learnt for a caller's when the switch has landed.
 */
#ifndef LPF_SANITIZE_H
#define LPF_SANITIZE_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LPF__ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LPF__ADDRESS_SANITIZER
#endif

#ifdef LPF__ADDRESS_SANITIZER

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* For what looks at memory that is not its own. */
#define LPF__UNCHECKED __attribute__((no_sanitize("address")))

struct lpf__fiber {
    void *fake; /* ASan's stack for what is checked after a return. */
    const void *bottom;
    size_t size;
};

static inline void lpf__fiber_new(struct lpf__fiber *new, char *bottom, char *top)
{
    *new = (struct lpf__fiber){NULL, bottom, (size_t)(top - bottom)};
}

static inline void lpf__fiber_leaving(struct lpf__fiber *mine, const struct lpf__fiber *other)
{
    __sanitizer_start_switch_fiber(&mine->fake, other->bottom, other->size);
}

static inline void lpf__fiber_landed(struct lpf__fiber *mine, struct lpf__fiber *other)
{
    __sanitizer_finish_switch_fiber(mine->fake, &other->bottom, &other->size);
}

/* Leaving for good. */
static inline void lpf__fiber_last(const struct lpf__fiber *other)
{
    __sanitizer_start_switch_fiber(NULL, other->bottom, other->size);
}

/* A stack that was left in the middle still has its variables marked. */
static inline void lpf__fiber_forget(const char *bottom, const char *top)
{
    __asan_unpoison_memory_region(bottom, (size_t)(top - bottom));
}

#else

#define LPF__UNCHECKED

struct lpf__fiber {};

#define lpf__fiber_new(new, bottom, top) ((void)(bottom))
#define lpf__fiber_leaving(mine, other) ((void)(mine), (void)(other))
#define lpf__fiber_landed(mine, other) ((void)(mine), (void)(other))
#define lpf__fiber_last(other) ((void)(other))
#define lpf__fiber_forget(bottom, top) ((void)(bottom), (void)(top))

#endif

#endif
