/* Forking outside of functions, with paused ones, and inside a running one. */
#include "check.h"

#include <link.h>

static char output[4096];

static lpf_t *paused;
static long counter;

static void use_everything(void)
{
    long n = 0;
    CHECK_IS(lpf_state(paused), LPF_PAUSED);
    long before = counter;
    do {
        resumed(paused, 2 * MS);
    } while (counter == before);
    lpf_t *c = launched(count_forever, &n, 2 * MS);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    freed(c);
    freed(paused);
}

static void the_child_goes_on_with_a_paused_function(void)
{
    paused = launched(count_forever, &counter, 2 * MS);
    int status = in_child(use_everything, output, sizeof output);
    fputs(output, stderr);
    CHECK_IS(status, 0);
    use_everything(); /* And so does the parent. */
}

static volatile pid_t child;
static volatile int is_child;

static void fork_inside(void *unused)
{
    (void)unused;
    fflush(NULL);
    child = fork();
    is_child = child == 0;
    count_forever(&counter);
}

static void a_limit_holds_on_both_sides_of_a_fork(void)
{
    int status = 0;
    lpf_t *c = launched(fork_inside, NULL, 20 * MS);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    uint64_t cpu = lpf_cpu_time(c), elapsed = lpf_elapsed(c);
    if (is_child) {
        resumed(c, 5 * MS);
        CHECK(lpf_cpu_time(c) >= cpu);
        freed(c);
        _exit(cpu <= elapsed + 10 * MS ? 0 : 3);
    }
    CHECK(cpu <= elapsed + 10 * MS);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    freed(c);
}

static lpf_t *inner;

static void launch_forking(void *unused)
{
    (void)unused;
    int status = lpf_launch(&inner, fork_inside, NULL, LPF_FOREVER);
    CHECK_IS(status, LPF_OK);
}

static void a_chain_is_whole_on_both_sides_of_a_fork(void)
{
    int status = 0;
    lpf_t *outer = launched(launch_forking, NULL, 20 * MS);
    CHECK_IS(lpf_state(outer), LPF_PAUSED);
    resumed(outer, 5 * MS);
    CHECK_IS(lpf_state(inner), LPF_HELD);
    freed(outer);
    freed(inner);
    if (is_child) {
        _exit(0);
    }
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
}

static uint64_t cpu_clock(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void spend(uint64_t cpu)
{
    for (uint64_t end = cpu_clock() + cpu; cpu_clock() < end;) {
    }
}

static void spend_cpu_then_fork(void *unused)
{
    (void)unused;
    spend(50 * MS);
    fflush(NULL);
    child = fork();
    is_child = child == 0;
    spend(20 * MS);
}

static void cpu_time_goes_on_in_the_child(void)
{
    int status = 0;
    lpf_t *c = launched(spend_cpu_then_fork, NULL, LPF_FOREVER);
    uint64_t cpu = lpf_cpu_time(c);
    freed(c);
    CHECK_BETWEEN(cpu, 20 * MS, LATE);
    if (is_child) {
        _exit(0);
    }
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
}

static void hear_of_signals(void)
{
    pid_t parent = getpid(), sender = fork();
    if (sender == 0) {
        while (kill(parent, SIGURG) == 0) {
            usleep(2000);
        }
        _exit(0);
    }
    lpf_t *c = launched(count_forever, &counter, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    kill(sender, SIGKILL);
    waitpid(sender, NULL, 0);
}

/* Forked on another thread than the one that hears of signals in the parent. */
static void *fork_on_this_thread(void *unused)
{
    (void)unused;
    freed(launched(finish, &counter, SECOND));
    int status = in_child(hear_of_signals, output, sizeof output);
    fputs(output, stderr);
    CHECK_IS(status, 0);
    return NULL;
}

static void the_forking_thread_hears_of_signals_in_the_child(void)
{
    pthread_t thread;
    freed(launched(finish, &counter, SECOND));
    pthread_create(&thread, NULL, fork_on_this_thread, NULL);
    pthread_join(thread, NULL);
}

static volatile int over;

static void *look_at_libraries_again_and_again(void *unused)
{
    long n = 0;
    (void)unused;
    while (!over) {
        CHECK_IS(lpf_allow_library("no such library", 1), LPF_OK);
        freed(launched(finish, &n, SECOND));
        /* A mutex is unfair: who forks would wait for it in vain, and give up. */
        nanosleep(&(struct timespec){0, 20000}, NULL);
    }
    return NULL;
}

static int look_at(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)info, (void)size, (void)data;
    return 0;
}

/* The loader's lock, which a fork does not put right, is free in the child. */
static void a_fork_waits_for_a_look_at_the_libraries(void)
{
    pthread_t thread;
    SKIP_IF(emulated(), "the emulator forks while its own threads hold locks");
    pthread_create(&thread, NULL, look_at_libraries_again_and_again, NULL);
    for (int i = 0; i < 1000; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            alarm(10);
            dl_iterate_phdr(look_at, NULL);
            _exit(0);
        }
        CHECK_IS(waitpid(pid, &status, 0), pid);
        CHECK_IS(status, 0);
    }
    over = 1;
    pthread_join(thread, NULL);
}

MAIN(TEST(the_child_goes_on_with_a_paused_function), TEST(a_limit_holds_on_both_sides_of_a_fork),
     TEST(a_chain_is_whole_on_both_sides_of_a_fork), TEST(cpu_time_goes_on_in_the_child),
     TEST(the_forking_thread_hears_of_signals_in_the_child),
     TEST(a_fork_waits_for_a_look_at_the_libraries))
