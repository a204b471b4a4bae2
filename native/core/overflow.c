/* The message for a function that has used up its stack.
 *
 * A stack ends in a guard.  Touching it raises SIGSEGV with an address inside the guard, which
 * the handler (on an alternate stack: the function's own is full) recognizes, says whose stack it
 * was, and passes the signal on to whoever had it before, faulthandler included, or to the default
 * action.  Every other SIGSEGV is passed on untouched.
 *
 * The handler calls only write, sigaction and raise, which are async-signal-safe, and reads the
 * thread's own list of functions, whose links are whole between any two instructions.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define ALTERNATE_SIZE ((size_t)64 * 1024)

static struct sigaction before;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void say(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; /* There is nobody else to tell. */
}

static void say_number(size_t number)
{
    char digits[24];
    char *at = digits + sizeof digits - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    say(at);
}

static void report(const lpf_t *c)
{
    say("lpf: stack overflow in the preemptible function ");
    say(c->name != NULL ? c->name : "(no name)");
    say(": its stack of ");
    say_number(lpf__stack_size() / 1024);
    say(" KB is full (LPF_STACK_SIZE sets the size in bytes)\n");
}

static void pass_on(int number, siginfo_t *info, void *ucontext)
{
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, ucontext);
    } else if (before.sa_handler == SIG_IGN && info->si_code <= 0) {
        return; /* Sent by a process.  A fault cannot be ignored. */
    } else if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) {
        /* Back to the default; the instruction faults again when the handler returns. */
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, NULL);
        if (info->si_code <= 0) {
            raise(number); /* Sent by a process: nothing will fault again. */
        }
    } else {
        before.sa_handler(number);
    }
}

/* Not the current function alone: a full stack may be noticed while the next one is launched. */
static const lpf_t *owner_of(const void *address)
{
    const struct lpf__thread *t = lpf__self;
    for (const lpf_t *c = t != NULL ? t->current : NULL; c != NULL; c = c->caller) {
        if (c->stack != NULL && lpf__stack_overflowed(c->stack, address)) {
            return c;
        }
    }
    return NULL;
}

/* Whoever took the signal after this file did its part first, and raised it once more for us:
 * faulthandler does so.  The machine's state at the fault, the address included, still lies on the
 * alternate stack, where the kernel has put it. */
static __attribute__((no_sanitize_address)) const lpf_t *owner_of_first_fault(void)
{
    stack_t stack;
    if (sigaltstack(NULL, &stack) != 0 || !(stack.ss_flags & SS_ONSTACK)) {
        return NULL;
    }
    const uintptr_t *end = (const uintptr_t *)((char *)stack.ss_sp + stack.ss_size);
    const uintptr_t *at = (const uintptr_t *)((uintptr_t)&stack & ~(uintptr_t)15);
    __asm__ volatile("" : "+r"(at) : : "memory"); /* The compiler knows how long `stack` is. */
    for (; at < end; at++) {
        const lpf_t *owner = owner_of((const void *)*at);
        if (owner != NULL) {
            return owner;
        }
    }
    return NULL;
}

static void handler(int number, siginfo_t *info, void *ucontext)
{
    int saved_errno = errno;
    const lpf_t *owner = info->si_code > 0 ? owner_of(info->si_addr) : owner_of_first_fault();
    if (owner != NULL) {
        report(owner);
    }
    pass_on(number, info, ucontext);
    errno = saved_errno;
}

static void install_handler(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before); /* Cannot fail: the number and the pointers are valid. */
}

void lpf__overflow_install(struct lpf__thread *t)
{
    stack_t present;
    if (sigaltstack(NULL, &present) == 0 && (present.ss_flags & SS_DISABLE)) {
        void *memory = mmap(NULL, ALTERNATE_SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED) {
            stack_t ours = {.ss_sp = memory, .ss_size = ALTERNATE_SIZE, .ss_flags = 0};
            sigaltstack(&ours, NULL);
            t->alternate_stack = memory;
        }
    }
    pthread_once(&once, install_handler);
}

void lpf__overflow_remove(struct lpf__thread *t)
{
    stack_t present;
    if (t->alternate_stack == NULL) {
        return;
    }
    if (sigaltstack(NULL, &present) == 0 && present.ss_sp == t->alternate_stack) {
        stack_t none = {.ss_sp = NULL, .ss_size = 0, .ss_flags = SS_DISABLE};
        sigaltstack(&none, NULL);
    }
    munmap(t->alternate_stack, ALTERNATE_SIZE);
    t->alternate_stack = NULL;
}
