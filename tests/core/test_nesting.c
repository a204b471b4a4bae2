/* Functions within functions: deadlines that nest, chains that are paused and resumed as one. */
#include "check.h"

#define DEPTH 50

static lpf_t *chain[DEPTH + 1];
static long counter;
static int chain_depth;
static uint64_t outermost_limit;

/* Launches the next one in, without a limit; the innermost counts. */
static void go_deeper(void *level_)
{
    int level = (int)(intptr_t)level_;
    if (level == chain_depth) {
        count_forever(&counter);
    }
    int status = lpf_launch(&chain[level + 1], go_deeper, (void *)(intptr_t)(level + 1),
                            LPF_FOREVER);
    CHECK_IS(status, LPF_OK);
}

static void check_chain(enum lpf_state outermost, enum lpf_state others)
{
    CHECK_IS(lpf_state(chain[1]), outermost);
    for (int i = 2; i <= chain_depth; i++) {
        /* lpf_launch writes the handle before it runs the function. */
        CHECK(chain[i] != NULL);
        CHECK_IS(lpf_state(chain[i]), others);
    }
}

static void free_chain(void)
{
    CHECK_IS(lpf_cancel(chain[1]), LPF_OK);
    check_chain(LPF_CANCELLED, LPF_CANCELLED);
    for (int i = 1; i <= chain_depth; i++) {
        freed(chain[i]);
    }
}

static void an_outer_limit_pauses_the_whole_chain_at_every_depth(void)
{
    for (chain_depth = 1; chain_depth <= DEPTH; chain_depth++) {
        counter = 0;
        outermost_limit = 2 * MS;
        int status = lpf_launch(&chain[1], go_deeper, (void *)1, outermost_limit);
        CHECK_IS(status, LPF_OK);
        while (counter == 0) { /* A loaded machine may not have got to the bottom. */
            resumed(chain[1], MS);
        }
        check_chain(LPF_PAUSED, LPF_HELD);
        for (int i = 0; i < 3; i++) {
            long before = counter;
            do { /* On a loaded machine others may take the whole millisecond. */
                resumed(chain[1], MS);
                check_chain(LPF_PAUSED, LPF_HELD);
            } while (counter == before);
        }
        free_chain();
    }
}

static void held_functions_can_only_wait(void)
{
    chain_depth = 3;
    counter = 0;
    CHECK_IS(lpf_launch(&chain[1], go_deeper, (void *)1, 2 * MS), LPF_OK);
    while (counter == 0) {
        resumed(chain[1], MS);
    }
    for (int i = 2; i <= 3; i++) {
        CHECK_IS(lpf_resume(chain[i], MS), LPF_ESTATE);
        CHECK_IS(lpf_cancel(chain[i]), LPF_ESTATE);
        CHECK_IS(lpf_free(chain[i]), LPF_ESTATE);
        CHECK_IS(lpf_request(chain[i]), LPF_ESTATE);
        CHECK(lpf__holder(chain[i]) == chain[1]);
    }
    free_chain();
}

/* ---- Deadlines ---------------------------------------------------------------------------- */

static lpf_t *inner;
static uint64_t inner_limit;
static volatile int inner_returned;

static void launch_inner_then_count(void *unused)
{
    (void)unused;
    inner_returned = false;
    int status = lpf_launch(&inner, count_forever, &counter, inner_limit);
    CHECK_IS(status, LPF_OK);
    inner_returned = true;
    count_forever(&counter);
}

static void an_inner_limit_pauses_the_inner_one_alone(void)
{
    inner_limit = 2 * MS;
    lpf_t *outer = launched(launch_inner_then_count, NULL, 200 * MS);
    CHECK_IS(lpf_state(outer), LPF_PAUSED);
    CHECK(inner_returned);
    CHECK_IS(lpf_state(inner), LPF_PAUSED);
    CHECK_BETWEEN(lpf_elapsed(inner), MS, LATE);
    CHECK_BETWEEN(lpf_elapsed(outer), 199 * MS, 200 * MS + LATE);
    freed(inner);
    freed(outer);
}

static void an_outer_limit_later_than_the_inner_one_is_not_forgotten(void)
{
    inner_limit = 5 * MS;
    uint64_t start = lpf__now();
    lpf_t *outer = launched(launch_inner_then_count, NULL, 20 * MS);
    CHECK_BETWEEN(lpf__now() - start, 20 * MS, 20 * MS + LATE);
    freed(inner);
    freed(outer);
}

static void the_remaining_limit_of_an_inner_one_stands_still(void)
{
    inner_limit = 60 * MS;
    lpf_t *outer = launched(launch_inner_then_count, NULL, 20 * MS);
    CHECK(!inner_returned);
    CHECK_IS(lpf_state(inner), LPF_HELD);
    work_for(100 * MS); /* Longer than all that remains. */
    resumed(outer, 10 * MS);
    /* Had its limit run on, it would be paused by now. */
    CHECK(!inner_returned || lpf_elapsed(inner) >= 59 * MS);
    while (!inner_returned) {
        resumed(outer, 10 * MS);
    }
    CHECK_IS(lpf_state(inner), LPF_PAUSED);
    CHECK_BETWEEN(lpf_elapsed(inner), 59 * MS, 60 * MS + LATE);
    freed(inner);
    freed(outer);
}

static uint64_t limits[DEPTH + 1];
static volatile int returned_to;

static void nested_limits(void *level_)
{
    int level = (int)(intptr_t)level_;
    if (level == DEPTH) {
        count_forever(&counter);
    }
    int status = lpf_launch(&chain[level + 1], nested_limits, (void *)(intptr_t)(level + 1),
                            limits[level + 1]);
    CHECK_IS(status, LPF_OK);
    returned_to = level;
    count_forever(&counter);
}

/* From the innermost out, each 2 ms after the one within. */
static void fifty_nested_limits_fire_in_their_order(void)
{
    for (int i = 1; i <= DEPTH; i++) {
        limits[i] = 200 * MS + (uint64_t)(DEPTH - i) * 2 * MS;
    }
    CHECK_IS(lpf_launch(&chain[1], nested_limits, (void *)1, limits[1]), LPF_OK);
    CHECK_IS(lpf_state(chain[1]), LPF_PAUSED);
    for (int i = 2; i <= DEPTH; i++) {
        enum lpf_state state = lpf_state(chain[i]);
        /* An outer one that is due at the same time takes the inner one with it. */
        CHECK(state == LPF_PAUSED || state == LPF_HELD);
        CHECK_BETWEEN(lpf_elapsed(chain[i]), 0, limits[i] + LATE);
    }
    freed(chain[1]);
    for (int i = 2; i <= DEPTH; i++) {
        freed(chain[i]);
    }
}

/* ---- Functions that change hands ---------------------------------------------------------- */

static void resume_given(void *given)
{
    lpf_t *c = given;
    int status = lpf_resume(c, LPF_FOREVER);
    CHECK_IS(status, LPF_OK);
}

static void a_function_may_be_resumed_by_another_one_than_launched_it(void)
{
    long n = 0;
    lpf_t *paused = launched(pause_forever, &n, LPF_FOREVER);
    for (int i = 0; i < 10; i++) {
        lpf_t *other = launched(resume_given, paused, LPF_FOREVER);
        CHECK_IS(lpf_state(other), LPF_FINISHED);
        freed(other);
        CHECK_IS(lpf_state(paused), LPF_PAUSED);
    }
    CHECK_IS(n, 11);
    freed(paused);
}

static void pause_the_outer_from_within(void *outer)
{
    CHECK_IS(lpf_request(outer), LPF_OK);
    long spins = 0;
    count_forever(&spins);
}

static lpf_t *requester;

static void launch_requester(void *unused)
{
    (void)unused;
    lpf_t *me = lpf_current();
    int status = lpf_launch(&requester, pause_the_outer_from_within, me, LPF_FOREVER);
    CHECK_IS(status, LPF_OK);
}

static void a_request_for_an_outer_one_pauses_the_chain(void)
{
    lpf_t *outer = launched(launch_requester, NULL, LPF_FOREVER);
    CHECK_IS(lpf_state(outer), LPF_PAUSED);
    CHECK_IS(lpf_state(requester), LPF_HELD);
    freed(outer);
    freed(requester);
}

static lpf_t *left_behind;

static void launch_and_return(void *counter_)
{
    left_behind = launched(pause_forever, counter_, LPF_FOREVER);
}

static void a_paused_function_outlives_the_one_that_launched_it(void)
{
    long n = 0;
    lpf_t *c = launched(launch_and_return, &n, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
    resumed(left_behind, LPF_FOREVER);
    CHECK_IS(n, 2);
    freed(left_behind);
}

/* A request for an inner one that comes while the outer one is about to be left is not lost. */
static void a_request_survives_being_held(void)
{
    counter = 0;
    inner_limit = LPF_FOREVER;
    lpf_t *outer = launched(launch_inner_then_count, NULL, 5 * MS);
    CHECK_IS(lpf_state(inner), LPF_HELD);
    inner->request = LPF__REQUEST_PAUSE;
    resumed(outer, 50 * MS);
    CHECK(inner_returned);
    CHECK_IS(lpf_state(inner), LPF_PAUSED);
    freed(inner);
    freed(outer);
}

MAIN(TEST(an_outer_limit_pauses_the_whole_chain_at_every_depth), TEST(held_functions_can_only_wait),
     TEST(an_inner_limit_pauses_the_inner_one_alone),
     TEST(an_outer_limit_later_than_the_inner_one_is_not_forgotten),
     TEST(the_remaining_limit_of_an_inner_one_stands_still),
     TEST(fifty_nested_limits_fire_in_their_order),
     TEST(a_function_may_be_resumed_by_another_one_than_launched_it),
     TEST(a_request_for_an_outer_one_pauses_the_chain),
     TEST(a_paused_function_outlives_the_one_that_launched_it), TEST(a_request_survives_being_held))
