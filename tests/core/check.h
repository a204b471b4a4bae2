/* What every test program of the core shares: checks, a table of tests, children, and a few
 * functions to launch.
 *
 * A test is a function whose name is its claim.  Before and after each one the world is the same:
 * no function runs, no tick is under way for one, signal mask and rounding are as they were. */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define MS LPF__MILLISECOND
#define US LPF__MICROSECOND
#define SECOND (1000 * MS)

#ifdef LPF__ADDRESS_SANITIZER
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                               \
        }                                                                           \
    } while (0)

#define CHECK_IS(value, wanted)                                                               \
    do {                                                                                      \
        long long check_value = (long long)(value), check_wanted = (long long)(wanted);       \
        if (check_value != check_wanted) {                                                    \
            fprintf(stderr, "%s:%d: %s is %lld, not %s (%lld)\n", __FILE__, __LINE__, #value, \
                    check_value, #wanted, check_wanted);                                      \
            _exit(1);                                                                         \
        }                                                                                     \
    } while (0)

#define CHECK_BETWEEN(value, low, high)                                                       \
    do {                                                                                      \
        long long check_value = (long long)(value);                                           \
        if (check_value < (long long)(low) || check_value > (long long)(high)) {              \
            fprintf(stderr, "%s:%d: %s is %lld, not between %s and %s\n", __FILE__, __LINE__, \
                    #value, check_value, #low, #high);                                        \
            _exit(1);                                                                         \
        }                                                                                     \
    } while (0)

/* ---- The table ---------------------------------------------------------------------------- */

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(f) \
    {           \
#f, f   \
    }

static inline bool emulated(void)
{
    return getenv("LPF_TEST_EMULATED") != NULL;
}

/* Ends the test here; the reason is printed. */
#define SKIP_IF(condition, reason)               \
    do {                                         \
        if (condition) {                         \
            printf("    skipped: %s\n", reason); \
            return;                              \
        }                                        \
    } while (0)

static inline void run_test(const struct test *test)
{
    sigset_t before, after;
    printf("  %s\n", test->name);
    fflush(stdout);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    int rounding = fegetround();
    test->run();
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < 32; number++) {
        CHECK_IS(sigismember(&after, number), sigismember(&before, number));
    }
    CHECK_IS(fegetround(), rounding);
    CHECK(lpf_current() == NULL);
    if (lpf__self != NULL) {
        CHECK(lpf__self->outermost == NULL);
        CHECK(!lpf__self->busy);
        CHECK(!lpf__self->missed);
        CHECK_IS(lpf__self->uninterruptible, 0);
    }
}

/* program [TEST...] */
static inline int run_tests(const struct test *tests, size_t count, int argc, char **argv)
{
    for (size_t i = 0; i < count; i++) {
        bool wanted = argc < 2;
        for (int a = 1; a < argc; a++) {
            wanted = wanted || strcmp(argv[a], tests[i].name) == 0;
        }
        if (wanted) {
            run_test(&tests[i]);
        }
    }
    return 0;
}

#define MAIN(...)                                                          \
    int main(int argc, char **argv)                                        \
    {                                                                      \
        static const struct test tests[] = {__VA_ARGS__};                  \
        return run_tests(tests, sizeof tests / sizeof *tests, argc, argv); \
    }

/* ---- Children ----------------------------------------------------------------------------- */

/* Runs body in a child process.  Returns its wait status; what it wrote to stderr is in output. */
static inline int in_child(void (*body)(void), char *output, size_t size)
{
    int ends[2];
    size_t length = 0;
    ssize_t got;
    int status = 0;
    CHECK_IS(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        body();
        _exit(0);
    }
    close(ends[1]);
    while (length < size - 1 && (got = read(ends[0], output + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    output[length] = '\0';
    close(ends[0]);
    CHECK_IS(waitpid(child, &status, 0), child);
    return status;
}

/* ---- Sanitizers --------------------------------------------------------------------------- */

#if SANITIZED
/* Deep traces of every allocation are what the storms would spend their time with. */
extern const char *__asan_default_options(void);
__attribute__((used)) const char *__asan_default_options(void)
{
    return "malloc_context_size=2:quarantine_size_mb=16";
}
#endif

/* Flags that another stack or thread sets are volatile int: GCC's UBSan reads a volatile bool once. */

/* ---- Time --------------------------------------------------------------------------------- */

static inline void work_for(uint64_t ns)
{
    uint64_t end = lpf__now() + ns;
    while (lpf__now() < end) {
    }
}

/* Under load of other programs everything may be late by this much; nothing may be early. */
#define LATE (2 * SECOND)

/* ---- Functions to launch ------------------------------------------------------------------ */

static inline void count_forever(void *counter)
{
    volatile long *n = counter;
    for (;;) {
        ++*n;
    }
}

static inline void finish(void *flag)
{
    *(volatile long *)flag = 42;
}

/* Counts how often it got control. */
static inline void pause_forever(void *counter)
{
    volatile long *n = counter;
    for (;;) {
        ++*n;
        CHECK_IS(lpf_pause(), LPF_OK);
    }
}

static inline lpf_t *launched(void (*f)(void *), void *argument, uint64_t limit)
{
    lpf_t *c = NULL;
    int status = lpf_launch(&c, f, argument, limit);
    CHECK_IS(status, LPF_OK);
    return c;
}

static inline void resumed(lpf_t *c, uint64_t limit)
{
    int status = lpf_resume(c, limit);
    CHECK_IS(status, LPF_OK);
}

static inline void freed(lpf_t *c)
{
    int status = lpf_free(c);
    CHECK_IS(status, LPF_OK);
}

#endif
