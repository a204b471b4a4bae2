/* Cancel and free in every state, and what they give back. */
#include "check.h"

static void a_ready_function_never_runs(void)
{
    long x = 0;
    lpf_t *c = launched(finish, &x, 0);
    CHECK_IS(lpf_cancel(c), LPF_OK);
    CHECK_IS(lpf_state(c), LPF_CANCELLED);
    freed(c);
    CHECK_IS(x, 0);
}

static void a_paused_function_is_discarded(void)
{
    long x = 0;
    lpf_t *c = launched(count_forever, &x, MS);
    uint64_t elapsed = lpf_elapsed(c);
    CHECK_IS(lpf_cancel(c), LPF_OK);
    CHECK_IS(lpf_state(c), LPF_CANCELLED);
    CHECK(c->stack == NULL);
    CHECK_BETWEEN(lpf_elapsed(c), elapsed * 9 / 10, elapsed * 11 / 10);
    freed(c);
}

static void free_cancels_what_stands_still(void)
{
    long x = 0;
    size_t before = lpf__self != NULL ? lpf__self->pool.count : 0;
    lpf_t *ready = launched(finish, &x, 0);
    lpf_t *paused = launched(pause_forever, &x, LPF_FOREVER);
    freed(ready);
    freed(paused);
    CHECK(lpf__self->pool.count >= before);
}

static lpf_t *inner, *innermost;

static void launch_innermost(void *counter)
{
    int status = lpf_launch(&innermost, count_forever, counter, LPF_FOREVER);
    CHECK_IS(status, LPF_OK);
}

static void launch_inner(void *counter)
{
    int status = lpf_launch(&inner, launch_innermost, counter, LPF_FOREVER);
    CHECK_IS(status, LPF_OK);
}

static void the_held_ones_are_cancelled_with_their_holder(void)
{
    long x = 0;
    lpf_t *outer = launched(launch_inner, &x, 5 * MS);
    CHECK_IS(lpf_state(innermost), LPF_HELD);
    freed(outer); /* The handles of the others live on. */
    CHECK_IS(lpf_state(inner), LPF_CANCELLED);
    CHECK_IS(lpf_state(innermost), LPF_CANCELLED);
    CHECK_IS(lpf_resume(inner, MS), LPF_ESTATE);
    freed(innermost);
    freed(inner);
}

static void cancel_other(void *other)
{
    int status = lpf_cancel(other);
    CHECK_IS(status, LPF_OK);
}

static void a_function_may_cancel_another(void)
{
    long x = 0;
    lpf_t *paused = launched(count_forever, &x, MS);
    lpf_t *c = launched(cancel_other, paused, LPF_FOREVER);
    CHECK_IS(lpf_state(paused), LPF_CANCELLED);
    freed(paused);
    freed(c);
}

static size_t mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    size_t lines = 0;
    CHECK(maps != NULL);
    for (int c; (c = fgetc(maps)) != EOF;) {
        lines += c == '\n';
    }
    fclose(maps);
    return lines;
}

#define MANY 300

static void stacks_are_given_back_beyond_the_bound_of_the_pool(void)
{
    static lpf_t *all[MANY];
    long x = 0;
    freed(launched(finish, &x, LPF_FOREVER));
    size_t before = mappings();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            all[i] = launched(pause_forever, &x, LPF_FOREVER);
        }
        CHECK(mappings() >= before + MANY);
        for (int i = 0; i < MANY; i++) {
            freed(all[i]);
        }
        CHECK_IS(lpf__self->pool.count, 64);
        /* Two for each stack: the guard and the rest. */
        CHECK_BETWEEN(mappings(), 0, before + 2 * 64 + 8);
    }
}

static void touch_a_megabyte(void *unused)
{
    (void)unused;
    volatile char page[1024 * 1024];
    for (size_t i = 0; i < sizeof page; i += 4096) {
        page[i] = 1;
    }
    CHECK_IS(lpf_pause(), LPF_OK);
}

static long resident_kb(void)
{
    long pages = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL);
    CHECK_IS(fscanf(statm, "%ld %ld", &pages, &resident), 2);
    fclose(statm);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void pooled_stacks_keep_little_memory(void)
{
    SKIP_IF(SANITIZED || emulated(), "counts the memory of the sanitizer or emulator as well");
    static lpf_t *all[60];
    long before = resident_kb();
    for (int i = 0; i < 60; i++) {
        all[i] = launched(touch_a_megabyte, NULL, LPF_FOREVER);
    }
    CHECK(resident_kb() - before > 55 * 1024);
    for (int i = 0; i < 60; i++) {
        freed(all[i]);
    }
    CHECK_BETWEEN(resident_kb() - before, -1024, 60 * 72 + 4 * 1024);
}

static void ten_thousand_paused_cost_at_most_64_kb_each(void)
{
    SKIP_IF(SANITIZED || emulated(), "counts the memory of the sanitizer or emulator as well");
    static lpf_t *all[10000];
    long x = 0, before = resident_kb();
    for (int i = 0; i < 10000; i++) {
        all[i] = launched(pause_forever, &x, LPF_FOREVER);
    }
    CHECK_BETWEEN(resident_kb() - before, 0, 10000 * 64);
    for (int i = 0; i < 10000; i++) {
        freed(all[i]);
    }
}

MAIN(TEST(a_ready_function_never_runs), TEST(a_paused_function_is_discarded),
     TEST(free_cancels_what_stands_still), TEST(the_held_ones_are_cancelled_with_their_holder),
     TEST(a_function_may_cancel_another), TEST(stacks_are_given_back_beyond_the_bound_of_the_pool),
     TEST(pooled_stacks_keep_little_memory), TEST(ten_thousand_paused_cost_at_most_64_kb_each))
