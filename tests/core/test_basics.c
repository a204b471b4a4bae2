/* Launch, limit, pause, resume; states and status codes. */
#include "check.h"

static void a_function_that_returns_has_finished(void)
{
    long x = 0;
    lpf_t *c = launched(finish, &x, LPF_FOREVER);
    CHECK_IS(x, 42);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
}

static void a_function_that_returns_within_its_limit_has_finished(void)
{
    long x = 0;
    lpf_t *c = launched(finish, &x, 10 * SECOND);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
}

static void a_function_that_does_not_return_is_paused_after_its_limit(void)
{
    long x = 0;
    uint64_t start = lpf__now();
    lpf_t *c = launched(count_forever, &x, 5 * MS);
    CHECK_BETWEEN(lpf__now() - start, 5 * MS, 5 * MS + LATE);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    CHECK(x > 0);
    freed(c);
}

static void each_resume_goes_on_where_it_stood(void)
{
    long x = 0;
    lpf_t *c = launched(count_forever, &x, MS);
    for (int i = 0; i < 50; i++) {
        long before = x;
        do { /* On a loaded machine others may take the whole millisecond. */
            resumed(c, MS);
        } while (x == before);
    }
    freed(c);
}

static void limit_zero_creates_without_running(void)
{
    long x = 0;
    lpf_t *c = launched(finish, &x, 0);
    CHECK_IS(lpf_state(c), LPF_READY);
    CHECK_IS(x, 0);
    CHECK_IS(lpf_elapsed(c), 0);
    CHECK_IS(lpf_cpu_time(c), 0);
    resumed(c, SECOND);
    CHECK_IS(x, 42);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
}

static void limits_beyond_the_end_of_time_are_no_limits(void)
{
    const uint64_t limits[] = {LPF_FOREVER, LPF_FOREVER - 1, UINT64_MAX / 2, UINT64_C(1) << 62};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        long x = 0;
        lpf_t *c = launched(finish, &x, limits[i]);
        CHECK_IS(lpf_state(c), LPF_FINISHED);
        freed(c);
    }
}

static void the_smallest_limit_pauses(void)
{
    long x = 0;
    lpf_t *c = launched(count_forever, &x, 1);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    for (int i = 0; i < 1000; i++) {
        resumed(c, 1);
    }
    freed(c);
}

static void pause_gives_control_back_and_resume_goes_on(void)
{
    long x = 0;
    lpf_t *c = launched(pause_forever, &x, LPF_FOREVER);
    for (int i = 1; i <= 100; i++) {
        CHECK_IS(x, i);
        CHECK_IS(lpf_state(c), LPF_PAUSED);
        resumed(c, i % 2 ? LPF_FOREVER : SECOND);
    }
    freed(c);
}

static void an_early_end_leaves_no_tick_for_the_next(void)
{
    long x = 0;
    lpf_t *quick = launched(finish, &x, 2 * MS);
    uint64_t start = lpf__now();
    lpf_t *slow = launched(count_forever, &x, 20 * MS);
    CHECK_BETWEEN(lpf__now() - start, 20 * MS, 20 * MS + LATE);
    freed(quick);
    freed(slow);
}

static void a_shorter_limit_after_a_longer_one_is_kept(void)
{
    long x = 0;
    lpf_t *quick = launched(finish, &x, 3600 * SECOND);
    uint64_t start = lpf__now();
    lpf_t *slow = launched(count_forever, &x, 2 * MS);
    CHECK_BETWEEN(lpf__now() - start, 2 * MS, 2 * MS + LATE);
    freed(quick);
    freed(slow);
}

static void nonsense_is_refused(void)
{
    lpf_t *c = (lpf_t *)&c;
    long x = 0;
    CHECK_IS(lpf_launch(NULL, finish, &x, MS), LPF_EINVAL);
    CHECK_IS(lpf_launch(&c, NULL, &x, MS), LPF_EINVAL);
    CHECK_IS(lpf_resume(NULL, MS), LPF_EINVAL);
    CHECK_IS(lpf_cancel(NULL), LPF_EINVAL);
    CHECK_IS(lpf_request(NULL), LPF_EINVAL);
    CHECK_IS(lpf_free(NULL), LPF_OK);
    CHECK_IS(lpf_pause(), LPF_ENOTIN);
    CHECK_IS(lpf_leave(), LPF_ESTATE);
    CHECK_IS(lpf_allow_library(NULL, 1), LPF_EINVAL);
    CHECK_IS(lpf_allow_library("", 1), LPF_EINVAL);
    c = launched(finish, &x, 0);
    CHECK_IS(lpf_resume(c, 0), LPF_EINVAL);
    CHECK_IS(lpf_state(c), LPF_READY);
    freed(c);
}

static void every_status_has_a_sentence_of_its_own(void)
{
    for (int i = LPF_ESYSTEM; i <= LPF_OK; i++) {
        CHECK(strlen(lpf_strerror(i)) > 5);
        for (int j = LPF_ESYSTEM; j < i; j++) {
            CHECK(strcmp(lpf_strerror(i), lpf_strerror(j)) != 0);
        }
        CHECK(strcmp(lpf_strerror(i), lpf_strerror(1)) != 0);
    }
    CHECK_IS(strcmp(lpf_strerror(1), lpf_strerror(-1000)), 0);
}

static lpf_t *self;

/* Everything that its own handle cannot be used for. */
static void try_everything_on_itself(void *unused)
{
    (void)unused;
    lpf_t *me = lpf_current();
    CHECK(me == self);
    CHECK_IS(lpf_state(me), LPF_RUNNING);
    CHECK_IS(lpf_resume(me, MS), LPF_ESTATE);
    CHECK_IS(lpf_cancel(me), LPF_ESTATE);
    CHECK_IS(lpf_free(me), LPF_ESTATE);
    lpf_set_name(me, "me");
}

static void a_running_function_cannot_be_resumed_cancelled_or_freed(void)
{
    self = launched(try_everything_on_itself, NULL, 0);
    resumed(self, LPF_FOREVER);
    CHECK_IS(lpf_state(self), LPF_FINISHED);
    freed(self);
}

static void what_has_ended_cannot_be_resumed_cancelled_or_requested(void)
{
    long x = 0;
    lpf_t *finished = launched(finish, &x, LPF_FOREVER);
    lpf_t *cancelled = launched(finish, &x, 0);
    CHECK_IS(lpf_cancel(cancelled), LPF_OK);
    CHECK_IS(lpf_state(cancelled), LPF_CANCELLED);
    lpf_t *both[] = {finished, cancelled};
    for (int i = 0; i < 2; i++) {
        CHECK_IS(lpf_resume(both[i], MS), LPF_ESTATE);
        CHECK_IS(lpf_cancel(both[i]), LPF_ESTATE);
        CHECK_IS(lpf_request(both[i]), LPF_ESTATE);
        freed(both[i]);
    }
}

static void what_stands_still_cannot_be_requested(void)
{
    long x = 0;
    lpf_t *ready = launched(finish, &x, 0);
    lpf_t *paused = launched(pause_forever, &x, LPF_FOREVER);
    CHECK_IS(lpf_request(ready), LPF_ESTATE);
    CHECK_IS(lpf_request(paused), LPF_ESTATE);
    freed(ready);
    freed(paused);
}

static void find_current(void *found)
{
    *(lpf_t **)found = lpf_current();
}

static void current_is_the_innermost(void)
{
    lpf_t *found = NULL;
    CHECK(lpf_current() == NULL);
    lpf_t *c = launched(find_current, &found, LPF_FOREVER);
    CHECK(found == c);
    CHECK(lpf_current() == NULL);
    freed(c);
}

MAIN(TEST(a_function_that_returns_has_finished),
     TEST(a_function_that_returns_within_its_limit_has_finished),
     TEST(a_function_that_does_not_return_is_paused_after_its_limit),
     TEST(each_resume_goes_on_where_it_stood), TEST(limit_zero_creates_without_running),
     TEST(limits_beyond_the_end_of_time_are_no_limits), TEST(the_smallest_limit_pauses),
     TEST(pause_gives_control_back_and_resume_goes_on),
     TEST(an_early_end_leaves_no_tick_for_the_next),
     TEST(a_shorter_limit_after_a_longer_one_is_kept), TEST(nonsense_is_refused),
     TEST(every_status_has_a_sentence_of_its_own),
     TEST(a_running_function_cannot_be_resumed_cancelled_or_freed),
     TEST(what_has_ended_cannot_be_resumed_cancelled_or_requested),
     TEST(what_stands_still_cannot_be_requested), TEST(current_is_the_innermost))
