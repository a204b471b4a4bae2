/* Shared objects that come and go, and which of them may be left. */
#include "check.h"

#include <dlfcn.h>

static void load_and_call(void *unused)
{
    (void)unused;
    for (;;) {
        /* Constructors and destructors run under the loader's lock. */
        CHECK_IS(lpf_enter(), LPF_OK);
        void *library = dlopen("libm.so.6", RTLD_NOW);
        CHECK(library != NULL);
        CHECK_IS(lpf_leave(), LPF_OK);
        double (*root)(double) = (double (*)(double))dlsym(library, "sqrt");
        CHECK(root != NULL);
        CHECK(root(4) == 2);
        CHECK_IS(lpf_enter(), LPF_OK);
        void *other = dlopen("libutil.so.1", RTLD_NOW);
        if (other != NULL) {
            dlclose(other);
        }
        dlclose(library);
        CHECK_IS(lpf_leave(), LPF_OK);
    }
}

static void dlopen_survives_on_both_sides(void)
{
    lpf_t *c = launched(load_and_call, NULL, MS);
    for (int i = 0; i < 100; i++) {
        void *library = dlopen("libutil.so.1", RTLD_NOW);
        resumed(c, 200 * US);
        CHECK_IS(lpf_state(c), LPF_PAUSED);
        if (library != NULL) {
            dlclose(library);
        }
    }
    freed(c);
}

static uintptr_t address_of(const char *name)
{
    void *library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    CHECK(library != NULL);
    uintptr_t address = (uintptr_t)dlsym(library, name);
    CHECK(address != 0);
    dlclose(library);
    return address;
}

static void the_allocator_may_not_be_left_and_the_program_may(void)
{
    static const char *const refused[] = {"malloc", "free", "realloc", "printf", "dlsym", "fork"};
    lpf__codemap_refresh();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CHECK(!lpf__codemap_may_leave(address_of(refused[i]) + 4, NULL));
    }
    CHECK(lpf__codemap_may_leave((uintptr_t)&address_of, NULL));
    CHECK(!lpf__codemap_may_leave(0, NULL));
    CHECK(!lpf__codemap_may_leave(UINTPTR_MAX, NULL));
}

/* A leaf counts as its caller, and here there is none in the way out of a handler. */
static void a_leaf_without_a_caller_may_not_be_left(void)
{
    lpf__codemap_refresh();
    CHECK(!lpf__codemap_may_leave(address_of("memcpy") + 4, NULL));
    CHECK(!lpf__codemap_may_leave(address_of("read") + 4, NULL));
}

static void rules_refuse_and_allow_by_name(void)
{
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    CHECK(length > 0);
    program[length] = '\0';
    const char *name = strrchr(program, '/') + 1;
    uintptr_t here = (uintptr_t)&address_of;
    CHECK_IS(lpf_allow_library(name, 0), LPF_OK);
    lpf__codemap_refresh();
    CHECK(!lpf__codemap_may_leave(here, NULL));
    CHECK_IS(lpf_allow_library(name, 1), LPF_OK);
    lpf__codemap_refresh();
    CHECK(lpf__codemap_may_leave(here, NULL));
}

static void the_object_of_a_refused_address_may_not_be_left(void)
{
    lpf__codemap_refuse((void *)address_of);
    CHECK_IS(lpf_allow_library("no such name", 1), LPF_OK);
    lpf__codemap_refresh();
    /* A rule by name is the user's and wins; without one the address decides. */
    CHECK(lpf__codemap_may_leave((uintptr_t)&address_of, NULL));
}

static void too_many_or_too_long_rules_are_refused(void)
{
    char name[200];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    CHECK_IS(lpf_allow_library(name, 1), LPF_EINVAL);
    int status = LPF_OK;
    for (int i = 0; i < 200 && status == LPF_OK; i++) {
        snprintf(name, sizeof name, "no such library %d", i);
        status = lpf_allow_library(name, 1);
    }
    CHECK_IS(status, LPF_ENOMEM);
}

MAIN(TEST(dlopen_survives_on_both_sides), TEST(the_allocator_may_not_be_left_and_the_program_may),
     TEST(a_leaf_without_a_caller_may_not_be_left), TEST(rules_refuse_and_allow_by_name),
     TEST(the_object_of_a_refused_address_may_not_be_left),
     TEST(too_many_or_too_long_rules_are_refused))
