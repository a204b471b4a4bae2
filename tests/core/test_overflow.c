/* The stack: its size, its guard, and the message when it is full.  All in children. */
#include "check.h"

static char output[1 << 16];

static __attribute__((noinline)) long recurse(volatile long *n)
{
    volatile char frame[256];
    frame[0] = (char)*n;
    if (*n < 0) { /* Never. */
        return 0;
    }
    ++*n;
    long below = recurse(n);
    return below + frame[0];
}

static void recurse_forever(void *n)
{
    recurse(n);
}

static long depth;

static void overflow_named(void)
{
    lpf_t *c = launched(recurse_forever, &depth, 0);
    lpf_set_name(c, "solve");
    resumed(c, LPF_FOREVER);
}

static void overflow_with_a_limit(void)
{
    launched(recurse_forever, &depth, 3600 * SECOND);
}

static void died_with(int status, const char *text, bool wanted)
{
    /* ASan reports the signal itself and exits. */
    CHECK(SANITIZED ? status != 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    if ((strstr(output, text) != NULL) != wanted) {
        fprintf(stderr, "output is: %s\n", output);
        CHECK(false);
    }
}

static void a_full_stack_is_reported_with_the_functions_name(void)
{
    died_with(in_child(overflow_named, output, sizeof output),
              "stack overflow in the preemptible function solve", true);
}

static void a_full_stack_is_reported_without_a_name_too(void)
{
    died_with(in_child(overflow_with_a_limit, output, sizeof output), "stack overflow", true);
}

static void large_array(void *unused)
{
    (void)unused;
    volatile char array[7 * 1024 * 1024];
    array[0] = (char)depth;
    depth += array[0];
    recurse(&depth);
}

static __attribute__((noinline)) void touch_far_end(size_t size)
{
    volatile char *array = __builtin_alloca(size);
    array[0] = 1; /* The lowest address first. */
}

static void jump_over_one_page(void *unused)
{
    (void)unused;
    size_t size = lpf__stack_size() - 8192;
    touch_far_end(size + 512 * 1024);
}

static void overflow_by_a_large_array(void)
{
    lpf_t *below = launched(pause_forever, &depth, LPF_FOREVER);
    (void)below;
    launched(jump_over_one_page, NULL, LPF_FOREVER);
}

static void a_large_array_does_not_jump_over_the_guard(void)
{
    SKIP_IF(SANITIZED, "the sanitizer touches every large array from its top");
    died_with(in_child(overflow_by_a_large_array, output, sizeof output), "stack overflow", true);
}

static void use_most_of_the_stack(void)
{
    lpf_t *c = launched(large_array, NULL, LPF_FOREVER);
    (void)c;
}

static void eight_megabytes_are_there(void)
{
    CHECK(lpf__stack_size() >= 8 * 1024 * 1024);
    died_with(in_child(use_most_of_the_stack, output, sizeof output), "stack overflow", true);
}

/* ---- Others who have SIGSEGV -------------------------------------------------------------- */

static void theirs(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    static const char text[] = "their handler\n";
    _exit(write(STDERR_FILENO, text, sizeof text - 1) > 0 ? 9 : 8);
}

static void install_theirs(void)
{
    struct sigaction action = {.sa_sigaction = theirs, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    CHECK_IS(sigaction(SIGSEGV, &action, NULL), 0);
}

static void install_theirs_then_overflow(void)
{
    install_theirs();
    overflow_named();
}

static void a_handler_installed_before_is_called_after_the_message(void)
{
    int status = in_child(install_theirs_then_overflow, output, sizeof output);
    const char *message = strstr(output, "function solve"), *them = strstr(output, "their handler");
    CHECK(message != NULL && them != NULL && message < them);
    CHECK(WIFEXITED(status));
    CHECK_IS(WEXITSTATUS(status), 9);
}

static struct sigaction replaced;

/* As faulthandler does: speak, put the former handler back, fault again. */
static void speak_and_put_back(int number)
{
    static const char text[] = "their handler\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) > 0) {
        sigaction(number, &replaced, NULL);
    }
}

static void overflow_under_a_later_handler(void)
{
    long x = 0;
    freed(launched(finish, &x, LPF_FOREVER));
    struct sigaction action = {.sa_handler = speak_and_put_back,
                               .sa_flags = SA_NODEFER | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    CHECK_IS(sigaction(SIGSEGV, &action, &replaced), 0);
    overflow_named();
}

static void a_handler_installed_after_can_chain_to_the_message(void)
{
    int status = in_child(overflow_under_a_later_handler, output, sizeof output);
    died_with(status, "their handler", true);
    died_with(status, "function solve", true);
}

static int *volatile nowhere = (int *)16;

static void fault_elsewhere(void *unused)
{
    (void)unused;
    *nowhere = 1;
}

static void fault_in_a_function(void)
{
    launched(fault_elsewhere, NULL, LPF_FOREVER);
}

static void another_fault_is_not_called_an_overflow(void)
{
    died_with(in_child(fault_in_a_function, output, sizeof output), "lpf:", false);
}

static void fault_outside_of_functions(void)
{
    long x = 0;
    freed(launched(finish, &x, LPF_FOREVER));
    fault_elsewhere(NULL);
}

static void a_fault_outside_of_functions_is_not_ours(void)
{
    died_with(in_child(fault_outside_of_functions, output, sizeof output), "lpf:", false);
}

static void be_sent_the_signal(void)
{
    long x = 0;
    freed(launched(finish, &x, LPF_FOREVER));
    raise(SIGSEGV);
    fputs("still alive\n", stderr);
}

static void ignore_the_signal_and_be_sent_it(void)
{
    signal(SIGSEGV, SIG_IGN);
    be_sent_the_signal();
}

static void the_signal_sent_by_hand_does_what_it_did_before(void)
{
    died_with(in_child(be_sent_the_signal, output, sizeof output), "still alive", false);
    CHECK_IS(in_child(ignore_the_signal_and_be_sent_it, output, sizeof output), 0);
    CHECK(strstr(output, "still alive") != NULL);
}

/* ---- LPF_STACK_SIZE ------------------------------------------------------------------------ */

static const char *wanted_size;

static void print_size(void)
{
    setenv("LPF_STACK_SIZE", wanted_size, 1);
    fprintf(stderr, "%zu", lpf__stack_size());
    overflow_named();
}

static void the_environment_sets_the_size(void)
{
    static const struct {
        const char *text;
        size_t size; /* 0: the default. */
    } cases[] = {{"262144", 262144},
                 {"1000000", 1003520},
                 {"1", 0},
                 {"", 0},
                 {"8MB", 0},
                 {"-1", 0},
                 {"65536", 65536},
                 {"0x", 0},
                 {"99999999999999999999", 0}};
    SKIP_IF(sysconf(_SC_PAGESIZE) != 4096, "sizes are rounded to other pages");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wanted_size = cases[i].text;
        int status = in_child(print_size, output, sizeof output);
        size_t size = strtoull(output, NULL, 10);
        if (cases[i].size != 0) {
            CHECK_IS(size, cases[i].size);
        } else {
            CHECK(size >= 8 * 1024 * 1024);
        }
        died_with(status, "function solve", true);
    }
}

MAIN(TEST(the_environment_sets_the_size), TEST(a_full_stack_is_reported_with_the_functions_name),
     TEST(a_full_stack_is_reported_without_a_name_too),
     TEST(a_large_array_does_not_jump_over_the_guard), TEST(eight_megabytes_are_there),
     TEST(a_handler_installed_before_is_called_after_the_message),
     TEST(a_handler_installed_after_can_chain_to_the_message),
     TEST(another_fault_is_not_called_an_overflow), TEST(a_fault_outside_of_functions_is_not_ours),
     TEST(the_signal_sent_by_hand_does_what_it_did_before))
