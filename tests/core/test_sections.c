/* Uninterruptible sections. */
#include "check.h"

static volatile int section_done;
static lpf_t *inner;

static void work_in_a_section(void *unused)
{
    (void)unused;
    CHECK_IS(lpf_enter(), LPF_OK);
    work_for(20 * MS);
    section_done = true;
    CHECK_IS(lpf_leave(), LPF_OK);
    long n = 0;
    count_forever(&n);
}

static void what_came_due_happens_at_the_end(void)
{
    section_done = false;
    lpf_t *c = launched(work_in_a_section, NULL, 2 * MS);
    CHECK(section_done);
    /* At the end means there, not at some later tick. */
    CHECK_BETWEEN(lpf_elapsed(c), 19 * MS, 20 * MS + LATE);
    freed(c);
}

static void enter_twice(void *unused)
{
    (void)unused;
    CHECK_IS(lpf_enter(), LPF_OK);
    CHECK_IS(lpf_enter(), LPF_OK);
    CHECK_IS(lpf_leave(), LPF_OK);
    work_for(10 * MS);
    section_done = true;
    CHECK_IS(lpf_leave(), LPF_OK);
    CHECK_IS(lpf_leave(), LPF_ESTATE);
    long n = 0;
    count_forever(&n);
}

static void sections_nest(void)
{
    section_done = false;
    lpf_t *c = launched(enter_twice, NULL, 2 * MS);
    CHECK(section_done);
    freed(c);
}

static void pause_in_a_section(void *unused)
{
    (void)unused;
    CHECK_IS(lpf_enter(), LPF_OK);
    CHECK_IS(lpf_pause(), LPF_EBUSY);
    CHECK_IS(lpf_leave(), LPF_OK);
    CHECK_IS(lpf_pause(), LPF_OK);
}

static void a_pause_in_a_section_is_refused(void)
{
    lpf_t *c = launched(pause_in_a_section, NULL, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    resumed(c, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
}

static long cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static volatile long counted;

static void count_in_a_section(void *unused)
{
    (void)unused;
    CHECK_IS(lpf_enter(), LPF_OK);
    long before = cpu_us();
    while (cpu_us() - before < 50000) {
        counted++;
    }
    CHECK_IS(lpf_leave(), LPF_OK);
}

/* A deadline that has passed must not make the timer fire for as long as the section lasts. */
static void a_passed_deadline_does_not_slow_the_section_down(void)
{
    counted = 0;
    lpf_t *c = launched(count_in_a_section, NULL, LPF_FOREVER);
    long undisturbed = counted;
    freed(c);
    counted = 0;
    c = launched(count_in_a_section, NULL, 2 * MS);
    long disturbed = counted;
    freed(c);
    CHECK(disturbed > undisturbed / 4);
}

static void forget_to_leave(void *unused)
{
    (void)unused;
    CHECK_IS(lpf_enter(), LPF_OK);
    work_for(10 * MS);
}

static void launch_forgetful(void *unused)
{
    (void)unused;
    int status = lpf_launch(&inner, forget_to_leave, NULL, LPF_FOREVER);
    CHECK_IS(status, LPF_OK);
    long n = 0;
    count_forever(&n);
}

static void a_section_ends_with_its_function(void)
{
    lpf_t *c = launched(launch_forgetful, NULL, 2 * MS);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    CHECK_IS(lpf_state(inner), LPF_FINISHED);
    freed(inner);
    freed(c);
}

static void a_section_outside_does_not_protect_what_is_launched_inside(void)
{
    long n = 0;
    CHECK_IS(lpf_enter(), LPF_OK);
    lpf_t *c = launched(count_forever, &n, 2 * MS);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    CHECK_IS(lpf_leave(), LPF_OK);
    freed(c);
}

static void launch_in_a_section(void *counter)
{
    CHECK_IS(lpf_enter(), LPF_OK);
    int status = lpf_launch(&inner, count_forever, counter, 20 * MS);
    CHECK_IS(status, LPF_OK);
    section_done = true;
    CHECK_IS(lpf_leave(), LPF_OK);
    count_forever(counter);
}

static void an_outer_limit_waits_for_the_section_around_the_inner_one(void)
{
    long n = 0;
    section_done = false;
    lpf_t *outer = launched(launch_in_a_section, &n, 5 * MS);
    CHECK(section_done);
    CHECK_IS(lpf_state(inner), LPF_PAUSED);
    CHECK_BETWEEN(lpf_elapsed(outer), 19 * MS, 20 * MS + LATE);
    freed(inner);
    freed(outer);
}

MAIN(TEST(what_came_due_happens_at_the_end), TEST(sections_nest),
     TEST(a_pause_in_a_section_is_refused), TEST(a_passed_deadline_does_not_slow_the_section_down),
     TEST(a_section_ends_with_its_function),
     TEST(a_section_outside_does_not_protect_what_is_launched_inside),
     TEST(an_outer_limit_waits_for_the_section_around_the_inner_one))
