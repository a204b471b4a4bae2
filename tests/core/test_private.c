/* What belongs to the function and what to its caller: errno, signal mask, floating point. */
#include "check.h"

static void keep_errno(void *unused)
{
    (void)unused;
    errno = 77;
    work_for(10 * MS);
    CHECK_IS(errno, 77);
    CHECK_IS(lpf_pause(), LPF_OK);
    CHECK_IS(errno, 77);
    errno = 78;
}

static void errno_is_its_own(void)
{
    lpf_t *c = launched(keep_errno, NULL, 0);
    while (lpf_state(c) != LPF_FINISHED) {
        errno = 12;
        resumed(c, MS);
        CHECK_IS(errno, 12);
    }
    freed(c);
}

static void keep_mask(void *unused)
{
    sigset_t mine, now;
    (void)unused;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mine, NULL);
    work_for(10 * MS);
    CHECK_IS(lpf_pause(), LPF_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1));
    CHECK(!sigismember(&now, SIGUSR2));
}

static void the_signal_mask_is_its_own(void)
{
    sigset_t now, callers, before;
    lpf_t *c = launched(keep_mask, NULL, MS);
    sigemptyset(&callers);
    sigaddset(&callers, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &callers, &before);
    while (lpf_state(c) != LPF_FINISHED) {
        resumed(c, MS);
        pthread_sigmask(SIG_SETMASK, NULL, &now);
        CHECK(!sigismember(&now, SIGUSR1));
        CHECK(sigismember(&now, SIGUSR2));
        CHECK(!sigismember(&now, SIGURG));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    freed(c);
}

static long double third(void)
{
    volatile long double one = 1, three = 3;
    return one / three;
}

static double third_double(void)
{
    volatile double one = 1, three = 3;
    return one / three;
}

static void round_up(void *unused)
{
    (void)unused;
    fesetround(FE_UPWARD);
    long double wide = third();
    double narrow = third_double();
    uint64_t end = lpf__now() + 20 * MS;
    while (lpf__now() < end) {
        CHECK_IS(fegetround(), FE_UPWARD);
        CHECK(third() == wide && third_double() == narrow);
    }
    CHECK_IS(lpf_pause(), LPF_OK);
    CHECK_IS(fegetround(), FE_UPWARD);
    CHECK(third() == wide && third_double() == narrow);
}

static void rounding_is_its_own(void)
{
    long double wide = third();
    double narrow = third_double();
    lpf_t *c = launched(round_up, NULL, MS);
    while (lpf_state(c) != LPF_FINISHED) {
        CHECK_IS(fegetround(), FE_TONEAREST);
        CHECK(third() == wide && third_double() == narrow);
        resumed(c, MS);
    }
    freed(c);
}

static void check_rounding_down(void *unused)
{
    (void)unused;
    CHECK_IS(fegetround(), FE_DOWNWARD);
}

static void rounding_starts_as_the_callers(void)
{
    fesetround(FE_DOWNWARD);
    freed(launched(check_rounding_down, NULL, LPF_FOREVER));
    fesetround(FE_TONEAREST);
}

/* All registers that a compiler will use live across thousands of preemptions. */
static void keep_registers(void *wrong)
{
    double a[16];
    long b[16];
    for (int i = 0; i < 16; i++) {
        a[i] = i;
        b[i] = i;
    }
    for (;;) {
        for (int i = 0; i < 16; i++) {
            a[i] = a[i] * 1.0000001 + 1;
            b[i] = b[i] * 5 + 1;
        }
        for (int i = 0; i < 16; i++) {
            a[i] = (a[i] - 1) / 1.0000001;
            b[i] = (long)((unsigned long)(b[i] - 1) / 5);
            *(volatile long *)wrong += a[i] < i - 0.001 || a[i] > i + 0.001 || b[i] != i;
            a[i] = i;
        }
    }
}

static void registers_survive_preemption(void)
{
    long wrong = 0;
    lpf_t *c = launched(keep_registers, &wrong, 50 * US);
    for (int i = 0; i < 2000; i++) {
        volatile double noise = i * 0.37;
        noise *= noise;
        resumed(c, 20 * US);
    }
    CHECK_IS(wrong, 0);
    freed(c);
}

static void elapsed_stands_still_while_paused(void)
{
    long n = 0;
    lpf_t *c = launched(count_forever, &n, 20 * MS);
    uint64_t elapsed = lpf_elapsed(c);
    CHECK_BETWEEN(elapsed, 19 * MS, 20 * MS + LATE);
    work_for(30 * MS);
    CHECK_BETWEEN(lpf_elapsed(c), elapsed - MS, elapsed + MS);
    resumed(c, 20 * MS);
    CHECK_BETWEEN(lpf_elapsed(c), elapsed + 19 * MS, elapsed + 20 * MS + LATE);
    freed(c);
}

static void sleep_then_work(void *unused)
{
    (void)unused;
    usleep(50000);
    work_for(20 * MS);
    lpf_t *me = lpf_current();
    CHECK_BETWEEN(lpf_elapsed(me), 69 * MS, 70 * MS + LATE);
    CHECK_BETWEEN(lpf_cpu_time(me), MS, 60 * MS);
}

static void cpu_time_leaves_sleep_out(void)
{
    lpf_t *c = launched(sleep_then_work, NULL, LPF_FOREVER);
    CHECK_BETWEEN(lpf_elapsed(c), 69 * MS, 70 * MS + LATE);
    CHECK_BETWEEN(lpf_cpu_time(c), MS, 60 * MS);
    freed(c);
}

static void work_inside_another(void *unused)
{
    (void)unused;
    lpf_t *c = launched(sleep_then_work, NULL, LPF_FOREVER);
    freed(c);
}

static void an_outer_one_has_the_time_of_the_inner_one(void)
{
    lpf_t *c = launched(work_inside_another, NULL, LPF_FOREVER);
    CHECK_BETWEEN(lpf_elapsed(c), 69 * MS, 70 * MS + LATE);
    freed(c);
}

MAIN(TEST(errno_is_its_own), TEST(the_signal_mask_is_its_own), TEST(rounding_is_its_own),
     TEST(rounding_starts_as_the_callers), TEST(registers_survive_preemption),
     TEST(elapsed_stands_still_while_paused), TEST(cpu_time_leaves_sleep_out),
     TEST(an_outer_one_has_the_time_of_the_inner_one))
