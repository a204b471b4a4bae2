/* Thousands of preemptions in code that is hard to leave: allocation, stdio, memcpy, system calls.
 *
 * Whatever a function holds while it stands still, the caller must be able to do the same things
 * meanwhile: a lock that was left held shows as a hang, which the runner ends. */
#include "check.h"

#include <poll.h>
#include <sys/syscall.h>

static unsigned seed;

static unsigned random_below(unsigned *state, unsigned limit)
{
    *state = *state * 1103515245u + 12345u;
    return (*state >> 8) % limit;
}

/* ---- malloc, realloc, stdio --------------------------------------------------------------- */

#define BLOCKS 64

struct storm {
    unsigned random;
    long rounds;
    volatile int enough;
    unsigned char *block[BLOCKS];
    size_t size[BLOCKS];
    FILE *file;
};

static void check_block(const struct storm *s, unsigned i)
{
    for (size_t k = 0; k < s->size[i]; k += 97) {
        CHECK_IS(s->block[i][k], (unsigned char)i);
    }
}

static void one_round(struct storm *s)
{
    unsigned i = random_below(&s->random, BLOCKS);
    size_t size = 1 + random_below(&s->random, random_below(&s->random, 50) == 0 ? 200000 : 3000);
    if (s->block[i] != NULL) {
        check_block(s, i);
    }
    unsigned char *block = realloc(s->block[i], size);
    CHECK(block != NULL);
    memset(block, (int)i, size);
    s->block[i] = block;
    s->size[i] = size;
    unsigned gone = random_below(&s->random, BLOCKS);
    free(s->block[gone]);
    s->block[gone] = NULL;
    s->size[gone] = 0;
    fprintf(s->file, "%d %s %.3f\n", (int)i, "storm", (double)size / 3);
    char text[100];
    snprintf(text, sizeof text, "%zu", size);
    CHECK_IS(strtoull(text, NULL, 10), size);
    s->rounds++;
}

static void storm_until_told(void *storm)
{
    while (!((struct storm *)storm)->enough) {
        one_round(storm);
    }
}

static void free_storm(struct storm *s)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (s->block[i] != NULL) {
            check_block(s, i);
        }
        free(s->block[i]);
    }
}

static FILE *nowhere(void)
{
    FILE *file = fopen("/dev/null", "w");
    CHECK(file != NULL);
    return file;
}

#define STORM_SLICES (SANITIZED ? 1500 : 4000)

static void allocation_and_stdio_survive_on_both_sides(void)
{
    struct storm inside = {.random = seed, .file = nowhere()};
    struct storm outside = {.random = seed + 1, .file = inside.file}; /* The same stream. */
    unsigned random = seed + 2;
    lpf_t *c = launched(storm_until_told, &inside, 0);
    for (int i = 0; i < STORM_SLICES || inside.rounds < 100; i++) {
        resumed(c, (1 + random_below(&random, 300)) * US);
        CHECK_IS(lpf_state(c), LPF_PAUSED);
        one_round(&outside);
    }
    inside.enough = true;
    resumed(c, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
    free_storm(&inside);
    free_storm(&outside);
    fclose(inside.file);
}

static void *storm_in_a_thread(void *stop)
{
    struct storm s = {.random = seed + 3, .file = nowhere()};
    while (!*(volatile int *)stop) {
        one_round(&s);
    }
    free_storm(&s);
    fclose(s.file);
    return NULL;
}

/* With a second thread the allocator takes its locks. */
static void the_same_with_another_thread_that_allocates(void)
{
    int stop = false;
    pthread_t thread;
    pthread_create(&thread, NULL, storm_in_a_thread, &stop);
    allocation_and_stdio_survive_on_both_sides();
    *(volatile int *)&stop = true;
    pthread_join(thread, NULL);
}

struct text {
    FILE *file;
    volatile long lines;
};

static void write_lines(void *text_)
{
    struct text *text = text_;
    for (;;) {
        fprintf(text->file, "inside %ld %s\n", text->lines, "abcdefghijklmnopqrstuvwxyz");
        text->lines++;
    }
}

/* A stream that was left in the middle of copying into its buffer would lose or repeat text. */
static void no_line_of_a_shared_stream_is_torn(void)
{
    char line[200], path[] = "/tmp/lpf-lines-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    unlink(path);
    struct text text = {fdopen(fd, "w+"), 0};
    unsigned random = seed;
    lpf_t *c = launched(write_lines, &text, 0);
    long outside = 0, inside = 0, n;
    for (int i = 0; i < 60; i++) {
        resumed(c, (1 + random_below(&random, 200)) * US);
        fprintf(text.file, "outside %ld %s\n", outside++, "zyxwvutsrqponmlkjihgfedcba");
    }
    freed(c);
    fflush(text.file);
    rewind(text.file);
    outside = 0;
    while (fgets(line, sizeof line, text.file) != NULL) {
        if (sscanf(line, "inside %ld abcdefghijklmnopqrstuvwxyz", &n) == 1) {
            CHECK_IS(n, inside);
            inside++;
        } else {
            CHECK_IS(sscanf(line, "outside %ld zyxwvutsrqponmlkjihgfedcba", &n), 1);
            CHECK_IS(n, outside);
            outside++;
        }
    }
    CHECK_IS(outside, 60);
    CHECK(inside >= text.lines);
    fclose(text.file);
}

/* ---- memory functions --------------------------------------------------------------------- */

#define LARGE (4 * 1024 * 1024)

struct copies {
    char *from, *to;
    volatile long done;
};

static void copy_forever(void *copies_)
{
    struct copies *c = copies_;
    for (;;) {
        memset(c->from, (int)(c->done & 127), LARGE);
        memcpy(c->to, c->from, LARGE);
        CHECK_IS(memcmp(c->from, c->to, LARGE), 0);
        c->done++;
    }
}

static void memory_functions_are_left_in_the_middle(void)
{
    struct copies copies = {malloc(LARGE), malloc(LARGE), 0};
    uint64_t longest = 0;
    lpf_t *c = launched(copy_forever, &copies, MS);
    for (int i = 0; i < 300; i++) {
        uint64_t start = lpf__now();
        resumed(c, 100 * US);
        uint64_t took = lpf__now() - start;
        longest = took > longest ? took : longest;
    }
    freed(c);
    free(copies.from);
    free(copies.to);
    CHECK_BETWEEN(longest, 100 * US, LATE);
}

/* ---- Locks of a library ------------------------------------------------------------------- */

static pthread_mutex_t brief = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;

static void spin(long rounds)
{
    for (volatile long i = 0; i < rounds; i++) {
    }
}

/* Half of the time under one of them, but never for long. */
static void lock_for_moments(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&brief);
        spin(2000);
        pthread_mutex_unlock(&brief);
        spin(2000);
        pthread_rwlock_wrlock(&shared);
        spin(2000);
        pthread_rwlock_unlock(&shared);
        spin(2000);
    }
}

/* Whoever left a function with them held would wait for itself. */
static void what_holds_a_lock_of_its_library_is_let_go_on(void)
{
    lpf_t *c = launched(lock_for_moments, NULL, MS);
    for (int i = 0; i < 300; i++) {
        CHECK_IS(pthread_mutex_lock(&brief), 0);
        CHECK_IS(pthread_rwlock_wrlock(&shared), 0);
        CHECK_IS(pthread_rwlock_unlock(&shared), 0);
        CHECK_IS(pthread_mutex_unlock(&brief), 0);
        resumed(c, 50 * US);
    }
    freed(c);
}

static void hold_for_long(void *go_on)
{
    pthread_mutex_lock(&brief);
    while (!*(volatile int *)go_on) {
    }
    pthread_mutex_unlock(&brief);
}

static void what_holds_it_for_long_is_left_all_the_same(void)
{
    int go_on = false;
    lpf_t *c = launched(hold_for_long, &go_on, MS);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    CHECK_IS(pthread_mutex_trylock(&brief), EBUSY);
    go_on = true;
    resumed(c, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
}

/* ---- Blocked system calls ----------------------------------------------------------------- */

static int ends[2];

static void read_nothing(void *unused)
{
    char byte;
    (void)unused;
    /* Directly: a sanitizer puts its own function in the place of read. */
    syscall(SYS_read, ends[0], &byte, 1);
    CHECK_IS(lpf_pause(), LPF_OK);
}

static void read_nothing_by_the_library(void *unused)
{
    char byte;
    (void)unused;
    CHECK_IS(read(ends[0], &byte, 1), 1);
    CHECK_IS(byte, 'x');
}

static void a_blocked_system_call_is_left(void)
{
    CHECK_IS(pipe(ends), 0);
    uint64_t start = lpf__now();
    lpf_t *c = launched(read_nothing, NULL, 5 * MS);
    CHECK_IS(lpf_state(c), LPF_PAUSED);
    CHECK_BETWEEN(lpf__now() - start, 5 * MS, 5 * MS + LATE);
    resumed(c, 5 * MS); /* It waits again. */
    CHECK_BETWEEN(lpf_elapsed(c), 9 * MS, LATE);
    freed(c);
    close(ends[0]);
    close(ends[1]);
}

static void a_blocked_read_is_left_and_gets_its_byte_later(void)
{
    SKIP_IF(SANITIZED, "the sanitizer's read may not be left");
    CHECK_IS(pipe(ends), 0);
    lpf_t *c = launched(read_nothing_by_the_library, NULL, 5 * MS);
    for (int i = 0; i < 5; i++) {
        CHECK_IS(lpf_state(c), LPF_PAUSED);
        resumed(c, 2 * MS);
    }
    CHECK_IS(write(ends[1], "x", 1), 1);
    resumed(c, LPF_FOREVER);
    CHECK_IS(lpf_state(c), LPF_FINISHED);
    freed(c);
    close(ends[0]);
    close(ends[1]);
}

static void sleep_long(void *done)
{
    struct timespec time = {0, 200000000};
    while (nanosleep(&time, &time) != 0) {
        CHECK_IS(errno, EINTR);
    }
    *(volatile int *)done = true;
}

/* Ticks end these early, as any signal does. */
static void sleep_by_another_name(void *done)
{
    for (uint64_t end = lpf__now() + 200 * MS; lpf__now() < end;) {
        usleep(200000);
    }
    *(volatile int *)done = true;
}

static void poll_nothing(void *done)
{
    for (uint64_t end = lpf__now() + 200 * MS; lpf__now() < end;) {
        poll(NULL, 0, 200);
    }
    *(volatile int *)done = true;
}

static void a_sleep_is_left(void)
{
    void (*const sleeps[])(void *) = {sleep_long, sleep_by_another_name, poll_nothing};
    SKIP_IF(SANITIZED, "the sanitizer's own functions may not be left");
    for (size_t i = 0; i < sizeof sleeps / sizeof *sleeps; i++) {
        int done = false;
        lpf_t *c = launched(sleeps[i], &done, 5 * MS);
        CHECK_IS(lpf_state(c), LPF_PAUSED);
        CHECK(!done);
        while (lpf_state(c) != LPF_FINISHED) {
            resumed(c, 20 * MS);
        }
        CHECK(done);
        freed(c);
    }
}

static void wait_for_ever(void *unused)
{
    (void)unused;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += 300000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    pthread_mutex_lock(&lock);
    pthread_cond_timedwait(&never, &lock, &end);
    pthread_mutex_unlock(&lock);
}

/* It may not be left, but it must not be kept busy with trying either. */
static void waiting_where_nothing_may_be_left_costs_little(void)
{
    SKIP_IF(emulated(), "the emulator's own work counts");
    lpf_t *c = launched(wait_for_ever, NULL, MS);
    CHECK_BETWEEN(lpf_cpu_time(c), 0, 100 * MS);
    freed(c);
}

/* ---- Everything at random ----------------------------------------------------------------- */

#define FUNCTIONS 8

struct job {
    struct storm storm;
    long sum, n;
    lpf_t *inner;
    unsigned random;
};

static void add_up(void *job_)
{
    struct job *job = job_;
    for (job->n = 0; job->n < 300000; job->n++) {
        job->sum += job->n;
    }
}

static void nest(void *job_)
{
    struct job *job = job_;
    uint64_t limit = (1 + random_below(&job->random, 100)) * US;
    int status = lpf_launch(&job->inner, add_up, job, limit);
    CHECK_IS(status, LPF_OK);
    while (lpf_state(job->inner) != LPF_FINISHED) {
        one_round(&job->storm);
        status = lpf_resume(job->inner, (1 + random_below(&job->random, 100)) * US);
        CHECK_IS(status, LPF_OK);
    }
    freed(job->inner);
}

static void thousands_of_random_limits(void)
{
    static struct job jobs[FUNCTIONS];
    lpf_t *functions[FUNCTIONS] = {NULL};
    FILE *file = nowhere();
    unsigned random = seed;
    long slices = 0, finished = 0;
    uint64_t end = lpf__now() + 2 * SECOND;
    while (lpf__now() < end || slices < 1000) {
        unsigned i = random_below(&random, FUNCTIONS);
        if (functions[i] == NULL) {
            jobs[i] = (struct job){.storm = {.random = random, .file = file}, .random = random};
            functions[i] = launched(nest, &jobs[i], 0);
        }
        resumed(functions[i], (1 + random_below(&random, 200)) * US);
        slices++;
        if (lpf_state(functions[i]) == LPF_FINISHED) {
            CHECK_IS(jobs[i].sum, 300000L * 299999 / 2);
            freed(functions[i]);
            functions[i] = NULL;
            free_storm(&jobs[i].storm);
            finished++;
        }
    }
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        if (functions[i] != NULL) {
            resumed(functions[i], LPF_FOREVER);
            CHECK_IS(lpf_state(functions[i]), LPF_FINISHED);
            CHECK_IS(jobs[i].sum, 300000L * 299999 / 2);
            freed(functions[i]);
            free_storm(&jobs[i].storm);
        }
    }
    fclose(file);
    printf("    %ld slices, %ld functions finished\n", slices, finished);
}

static const struct test tests[] = {
    TEST(allocation_and_stdio_survive_on_both_sides),
    TEST(the_same_with_another_thread_that_allocates),
    TEST(no_line_of_a_shared_stream_is_torn),
    TEST(memory_functions_are_left_in_the_middle),
    TEST(what_holds_a_lock_of_its_library_is_let_go_on),
    TEST(what_holds_it_for_long_is_left_all_the_same),
    TEST(a_blocked_system_call_is_left),
    TEST(a_blocked_read_is_left_and_gets_its_byte_later),
    TEST(a_sleep_is_left),
    TEST(waiting_where_nothing_may_be_left_costs_little),
    TEST(thousands_of_random_limits),
};

int main(int argc, char **argv)
{
    const char *text = getenv("LPF_TEST_SEED");
    seed = text != NULL ? (unsigned)atol(text) : (unsigned)lpf__now();
    printf("  LPF_TEST_SEED=%u\n", seed);
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
