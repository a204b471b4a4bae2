/* Several kernel threads, requests from other threads and from outside the process. */
#include "check.h"

static void *run_own_functions(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) {
        long n = 0, x = 0;
        lpf_t *a = launched(count_forever, &n, MS);
        lpf_t *b = launched(finish, &x, SECOND);
        CHECK_IS(lpf_state(a), LPF_PAUSED);
        CHECK_IS(lpf_state(b), LPF_FINISHED);
        resumed(a, MS);
        freed(a);
        freed(b);
    }
    return NULL;
}

static void each_thread_has_its_own_functions(void)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        CHECK_IS(pthread_create(&threads[i], NULL, run_own_functions, NULL), 0);
    }
    run_own_functions(NULL);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
}

static lpf_t *handle;
static long counter;

static void *try_with_a_foreign_handle(void *unused)
{
    (void)unused;
    CHECK_IS(lpf_resume(handle, MS), LPF_ETHREAD);
    CHECK_IS(lpf_cancel(handle), LPF_ETHREAD);
    CHECK_IS(lpf_free(handle), LPF_ETHREAD);
    CHECK_IS(lpf_state(handle), LPF_PAUSED);
    long x = 0;
    freed(launched(finish, &x, LPF_FOREVER)); /* The same once the thread uses the library. */
    CHECK_IS(lpf_resume(handle, MS), LPF_ETHREAD);
    CHECK_IS(lpf_cancel(handle), LPF_ETHREAD);
    CHECK_IS(lpf_free(handle), LPF_ETHREAD);
    return NULL;
}

static void a_handle_on_the_wrong_thread_gets_a_status(void)
{
    pthread_t thread;
    handle = launched(pause_forever, &counter, LPF_FOREVER);
    pthread_create(&thread, NULL, try_with_a_foreign_handle, NULL);
    pthread_join(thread, NULL);
    freed(handle);
}

static void *free_given(void *c)
{
    freed(c);
    return NULL;
}

static void what_has_ended_may_be_freed_by_another_thread(void)
{
    pthread_t thread;
    long x = 0;
    lpf_t *c = launched(finish, &x, LPF_FOREVER);
    pthread_create(&thread, NULL, free_given, c);
    pthread_join(thread, NULL);
}

static lpf_t *inner;

static void launch_inner(void *unused)
{
    (void)unused;
    int status = lpf_launch(&inner, count_forever, &counter, LPF_FOREVER);
    CHECK_IS(status, LPF_OK);
}

static void *leave_functions_behind(void *ready)
{
    handle = launched(launch_inner, NULL, 5 * MS);
    *(lpf_t **)ready = launched(finish, &counter, 0);
    return NULL;
}

static void functions_of_an_ended_thread_can_only_be_freed(void)
{
    pthread_t thread;
    lpf_t *ready;
    pthread_create(&thread, NULL, leave_functions_behind, &ready);
    pthread_join(thread, NULL);
    CHECK_IS(lpf_state(handle), LPF_PAUSED);
    CHECK_IS(lpf_state(inner), LPF_HELD);
    CHECK_IS(lpf_resume(handle, MS), LPF_ETHREAD);
    CHECK_IS(lpf_resume(ready, MS), LPF_ETHREAD);
    CHECK_IS(lpf_request(handle), LPF_ESTATE);
    CHECK_IS(lpf_free(inner), LPF_ESTATE); /* Its holder goes first. */
    freed(handle);
    CHECK_IS(lpf_state(inner), LPF_CANCELLED);
    freed(inner);
    freed(ready);
}

/* ---- Requests ----------------------------------------------------------------------------- */

static pthread_t asker;

static void *ask_when_it_counts(void *unused)
{
    (void)unused;
    while (*(volatile long *)&counter == 0 || handle == NULL) {
        usleep(100);
    }
    CHECK_IS(lpf_request(handle), LPF_OK);
    return NULL;
}

static void a_request_from_another_thread_pauses(void)
{
    for (int i = 0; i < 20; i++) {
        counter = 0;
        handle = NULL;
        pthread_create(&asker, NULL, ask_when_it_counts, NULL);
        CHECK_IS(lpf_launch(&handle, count_forever, &counter, LPF_FOREVER), LPF_OK);
        CHECK_IS(lpf_state(handle), LPF_PAUSED);
        pthread_join(asker, NULL);
        freed(handle);
    }
}

static volatile int enough;

static void count_with_malloc(void *counter_)
{
    volatile long *n = counter_;
    while (!enough) {
        void *volatile block = malloc(100); /* Else it is optimised away. */
        free(block);
        ++*n;
    }
}

/* Without a limit there is no timer yet that could try again. */
static void a_request_that_falls_into_malloc_is_tried_again(void)
{
    for (int i = 0; i < 20; i++) {
        counter = 0;
        handle = NULL;
        pthread_create(&asker, NULL, ask_when_it_counts, NULL);
        enough = false;
        CHECK_IS(lpf_launch(&handle, count_with_malloc, &counter, LPF_FOREVER), LPF_OK);
        CHECK_IS(lpf_state(handle), LPF_PAUSED);
        pthread_join(asker, NULL);
        enough = true;
        resumed(handle, LPF_FOREVER);
        CHECK_IS(lpf_state(handle), LPF_FINISHED);
        freed(handle);
    }
}

static void in_a_thread_without_a_timer(void (*test)(void))
{
    pthread_t thread;
    pthread_create(&thread, NULL, (void *(*)(void *))(void (*)(void))test, NULL);
    pthread_join(thread, NULL);
}

static void requests_need_no_timer(void)
{
    in_a_thread_without_a_timer(a_request_that_falls_into_malloc_is_tried_again);
}

static void *ask_all_the_time(void *stop)
{
    while (!*(volatile int *)stop) {
        if (handle != NULL) {
            int status = lpf_request(handle);
            CHECK(status == LPF_OK || status == LPF_ESTATE);
        }
    }
    return NULL;
}

static void a_storm_of_requests_pauses_and_nothing_else(void)
{
    int stop = false;
    long n = 0;
    handle = launched(count_forever, &n, 0);
    pthread_create(&asker, NULL, ask_all_the_time, &stop);
    for (int i = 0; i < 2000; i++) {
        resumed(handle, SECOND);
        CHECK_IS(lpf_state(handle), LPF_PAUSED);
    }
    *(volatile int *)&stop = true;
    pthread_join(asker, NULL);
    freed(handle);
    handle = NULL;
}

/* ---- From outside the process ------------------------------------------------------------- */

static pid_t sender;

static void send_signals_from_a_child(void)
{
    pid_t parent = getpid();
    fflush(NULL);
    sender = fork();
    if (sender == 0) {
        for (;;) {
            usleep(5000);
            if (kill(parent, SIGURG) != 0) {
                _exit(0);
            }
        }
    }
}

static void stop_sender(void)
{
    kill(sender, SIGKILL);
    waitpid(sender, NULL, 0);
}

static void a_signal_from_outside_pauses_the_outermost(void)
{
    send_signals_from_a_child();
    for (int i = 0; i < 5; i++) {
        lpf_t *outer = launched(launch_inner, NULL, LPF_FOREVER);
        CHECK_IS(lpf_state(outer), LPF_PAUSED);
        CHECK_IS(outer->request, LPF__REQUEST_SIGNAL);
        freed(outer);
        freed(inner);
    }
    stop_sender();
}

static void *sleep_with_the_signal_open(void *stop)
{
    while (!*(volatile int *)stop) {
        usleep(1000);
    }
    return NULL;
}

/* The kernel may give it to any thread; it is the home thread that must hear of it. */
static void a_signal_from_outside_finds_the_right_thread(void)
{
    sigset_t urgent, before;
    int stop = false;
    pthread_t other;
    pthread_create(&other, NULL, sleep_with_the_signal_open, &stop);
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    send_signals_from_a_child();
    counter = 0;
    lpf_t *c = launched(count_forever, &counter, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    freed(c);
    /* Nobody runs and this thread does not take the signal: nothing happens. */
    pthread_sigmask(SIG_BLOCK, &urgent, &before);
    usleep(20000);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    stop_sender();
    *(volatile int *)&stop = true;
    pthread_join(other, NULL);
}

static void *limit_with_all_signals_blocked(void *unused)
{
    (void)unused;
    long n = 0;
    lpf_t *c = launched(count_forever, &n, 2 * MS);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    freed(c);
    return NULL;
}

static void limits_work_in_threads_made_with_signals_blocked(void)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&thread, NULL, limit_with_all_signals_blocked, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_join(thread, NULL);
}

static void threads_that_come_and_go_leave_nothing_behind(void)
{
    pthread_t thread;
    for (int i = 0; i < 200; i++) {
        pthread_create(&thread, NULL, limit_with_all_signals_blocked, NULL);
        pthread_join(thread, NULL);
    }
}

MAIN(TEST(requests_need_no_timer), TEST(each_thread_has_its_own_functions),
     TEST(a_handle_on_the_wrong_thread_gets_a_status),
     TEST(what_has_ended_may_be_freed_by_another_thread),
     TEST(functions_of_an_ended_thread_can_only_be_freed),
     TEST(a_request_from_another_thread_pauses),
     TEST(a_request_that_falls_into_malloc_is_tried_again),
     TEST(a_storm_of_requests_pauses_and_nothing_else),
     TEST(a_signal_from_outside_pauses_the_outermost),
     TEST(a_signal_from_outside_finds_the_right_thread),
     TEST(limits_work_in_threads_made_with_signals_blocked),
     TEST(threads_that_come_and_go_leave_nothing_behind))
