/* A tick between any two instructions.
 *
 * The processor's single-step flag counts the instructions of a scenario; after each SPACING of them
 * a pause is asked for and the signal sent, so that it is delivered exactly there.  The driver, who
 * then gets control, takes stacks, memory and shared handles away from under the paused function,
 * and resumes it.  Done with the first one after 1, 2, 3 … SPACING instructions, this is every race
 * that launch, resume, pause, cancel, free, enter and leave can have with the handler.
 *
 * The core is linked into the program here, so its own instructions may be left as well: the
 * hardest case. */
#include "check.h"

#if defined(__x86_64__)

#define SPACING 37
#define MOST_STEPS 30000 /* One takes 10 us in a virtual machine. */

static volatile long steps_left; /* Until the tick. */
static volatile long steps_made;
static lpf_t *subject;
static volatile int in_section;

static void on_step(int number, siginfo_t *info, void *context_)
{
    (void)context_;
    (void)number;
    (void)info;
    steps_made++;
    if (--steps_left == 0) {
        steps_left = SPACING;
        subject->request = LPF__REQUEST_PAUSE;
        lpf__wake(lpf__self); /* Blocked here: comes when this handler returns. */
    }
}

static inline void go_on_stepping(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
                     "lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}

static inline void start_stepping(long steps)
{
    steps_left = steps;
    steps_made = 0;
    go_on_stepping();
}

/* Tells whether it was on. */
static inline bool stop_stepping(void)
{
    uint64_t flags;
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tmovq (%%rsp), %0\n\t"
                     "andq $~0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
                     : "=r"(flags)::"memory", "cc");
    return flags & 0x100;
}

/* ---- Scenarios ---------------------------------------------------------------------------- */

static int marks;
static lpf_t *shared;

/* Notices when somebody else uses its stack. */
static void guard_own_stack(void *unused)
{
    (void)unused;
    volatile int mine[64];
    int mark = ++marks;
    for (int i = 0; i < 64; i++) {
        mine[i] = mark;
    }
    CHECK_IS(lpf_pause(), LPF_OK);
    for (int i = 0; i < 64; i++) {
        CHECK_IS(mine[i], mark);
    }
}

static void nothing(void *unused)
{
    (void)unused;
}

static void launch_finish_free(void)
{
    lpf_t *c = launched(nothing, NULL, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
}

static void launch_pause_resume_finish_free(void)
{
    lpf_t *c = launched(guard_own_stack, NULL, 3600 * SECOND);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    resumed(c, 3600 * SECOND);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
}

static void create_cancel_free(void)
{
    lpf_t *ready = launched(nothing, NULL, 0);
    lpf_t *paused = launched(guard_own_stack, NULL, LPF_FOREVER);
    CHECK_IS(lpf_cancel(ready), LPF_OK);
    freed(ready);
    freed(paused);
}

static void enter_leave(void)
{
    CHECK_IS(lpf_enter(), LPF_OK);
    in_section = true;
    CHECK_IS(lpf_enter(), LPF_OK);
    CHECK_IS(lpf_pause(), LPF_EBUSY);
    CHECK_IS(lpf_leave(), LPF_OK);
    in_section = false;
    CHECK_IS(lpf_leave(), LPF_OK);
}

static void pause_itself(void)
{
    CHECK_IS(lpf_pause(), LPF_OK);
}

/* The driver uses `shared`, too, whenever it gets control. */
static void resume_what_others_resume(void)
{
    if (lpf_state(shared) == LPF_PAUSED) {
        int status = lpf_resume(shared, LPF_FOREVER);
        CHECK(status == LPF_OK || status == LPF_ESTATE);
    }
}

/* ---- The driver --------------------------------------------------------------------------- */

static void (*scenario)(void);
static long steps_wanted;

static void step_through_scenario(void *unused)
{
    (void)unused;
    start_stepping(steps_wanted);
    scenario();
    stop_stepping();
}

static void take_everything_away(void)
{
    lpf_t *others[3];
    void *memory[3];
    CHECK(!in_section);
    for (int i = 0; i < 3; i++) {
        others[i] = launched(guard_own_stack, NULL, LPF_FOREVER);
        memory[i] = malloc(400);
    }
    if (lpf_state(shared) == LPF_PAUSED) {
        resumed(shared, LPF_FOREVER);
    }
    for (int i = 0; i < 3; i++) {
        resumed(others[i], LPF_FOREVER);
        CHECK_IS(lpf_state(others[i]), LPF_FINISHED);
        freed(others[i]);
        free(memory[i]);
    }
}

static long pauses;

static long run_once(long steps)
{
    steps_wanted = steps;
    shared = launched(guard_own_stack, NULL, LPF_FOREVER);
    subject = launched(step_through_scenario, NULL, 0);
    resumed(subject, LPF_FOREVER);
    bool stepping = stop_stepping();
    while (lpf_state(subject) != LPF_FINISHED) {
        CHECK_IS(lpf_state(subject), LPF_PAUSED);
        take_everything_away();
        if (stepping) {
            go_on_stepping();
        }
        int status = lpf_resume(subject, LPF_FOREVER);
        stepping = stop_stepping();
        CHECK_IS(status, LPF_OK);
        pauses++;
    }
    freed(subject);
    freed(shared);
    return steps_made;
}

static void step(void (*what)(void))
{
    SKIP_IF(SANITIZED, "nearly all instructions would be the sanitizer's");
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO}, before;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, lpf__signal);
    CHECK_IS(sigaction(SIGTRAP, &action, &before), 0);
    lpf__preempt_install(true);
    scenario = what;
    run_once(LONG_MAX); /* The first time through does one-time things. */
    long total = run_once(LONG_MAX);
    long stride = total * SPACING / MOST_STEPS + 1;
    pauses = 0;
    for (long n = 1; n <= SPACING; n += stride) {
        run_once(n);
    }
    printf("    %ld instructions, %ld pauses\n", total, pauses);
    sigaction(SIGTRAP, &before, NULL);
}

static void a_tick_anywhere_in_launch(void)
{
    step(launch_finish_free);
}

static void a_tick_anywhere_in_pause_and_resume(void)
{
    step(launch_pause_resume_finish_free);
}

static void a_tick_anywhere_in_cancel(void)
{
    step(create_cancel_free);
}

static void a_tick_anywhere_in_an_uninterruptible_section(void)
{
    step(enter_leave);
}

static void a_tick_anywhere_in_pausing_oneself(void)
{
    step(pause_itself);
}

static void a_tick_anywhere_in_resuming_what_the_driver_resumes(void)
{
    step(resume_what_others_resume);
}

/* The rest of the handler runs when a function that was left in it is resumed; a tick that falls
 * there must not add another signal frame each time. */
static void a_tick_anywhere_on_the_way_out_of_the_handler(void)
{
    SKIP_IF(SANITIZED, "nearly all instructions would be the sanitizer's");
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO}, before;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, lpf__signal);
    CHECK_IS(sigaction(SIGTRAP, &action, &before), 0);
    long n = 0;
    subject = launched(count_forever, &n, MS);
    char *stack_pointer = subject->context, *lowest = stack_pointer;
    for (long steps = 1; steps <= 300; steps++) {
        start_stepping(steps);
        int status = lpf_resume(subject, 200 * US);
        stop_stepping();
        CHECK_IS(status, LPF_OK);
        CHECK_IS(lpf_state(subject), LPF_PAUSED);
        if ((char *)subject->context < lowest) {
            lowest = subject->context;
        }
    }
    /* Room for two or three frames with all vector registers, not for hundreds. */
    CHECK_BETWEEN(stack_pointer - lowest, 0, 64 * 1024);
    freed(subject);
    sigaction(SIGTRAP, &before, NULL);
}

#else

static void single_steps(void)
{
    printf("    skipped: only written for the single-step flag of x86-64\n");
}

#endif

#if defined(__x86_64__)
MAIN(TEST(a_tick_anywhere_in_launch), TEST(a_tick_anywhere_in_pause_and_resume),
     TEST(a_tick_anywhere_in_cancel), TEST(a_tick_anywhere_in_an_uninterruptible_section),
     TEST(a_tick_anywhere_in_pausing_oneself),
     TEST(a_tick_anywhere_in_resuming_what_the_driver_resumes),
     TEST(a_tick_anywhere_on_the_way_out_of_the_handler))
#else
MAIN(TEST(single_steps))
#endif
