/* All that depends on the machine: the switch between stacks, a cheap clock, and the program
 * counter of an interrupted thread.  A new machine is one context_<arch>.S and one branch here. */
#ifndef LPF_CONTEXT_H
#define LPF_CONTEXT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>

/* Saves the calling context in *save, goes on in `to`; returns there when somebody switches to
 * what was saved. */
void lpf__switch(void **save, void *to);

/* Saves the calling context in *save and calls start(argument) on the stack that ends at `top`
 * (16-byte aligned), with the floating-point control words of the caller.  Goes on in the context
 * that start returns. */
void lpf__enter(void **save, void *top, void *(*start)(void *), void *argument);

#if defined(__x86_64__)

/* The time stamp counter: 7 ns where clock_gettime takes 20.  Its rate is taken from the monotonic
 * clock afterwards (lpf__cycles_to_ns), so it only has to be constant, which it is on every x86-64
 * machine that runs CPython 3.11 in practice (constant_tsc, nonstop_tsc). */
static inline uint64_t lpf__cycles(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

#define LPF__CPU_STALE (UINT64_C(1) << 18) /* Cycles: about 0.1 ms. */

static inline uintptr_t lpf__program_counter(const void *ucontext)
{
    return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
}

static inline uintptr_t lpf__stack_pointer(const void *ucontext)
{
    return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RSP];
}

/* Did the signal end a system call that would have gone on waiting? */
static inline bool lpf__ended_a_wait(const void *ucontext)
{
    const greg_t *registers = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
    const unsigned char *before = (const unsigned char *)registers[REG_RIP] - 2;
    return registers[REG_RAX] == -EINTR && before[0] == 0x0f && before[1] == 0x05; /* syscall */
}

/* Single steps: a SIGTRAP after every instruction, for as long as the flag is set in the context
 * that a signal handler returns to. */
#define LPF__CAN_STEP 1

static inline void lpf__set_stepping(void *ucontext, int on)
{
    const greg_t trap_flag = 0x100;
    greg_t *flags = &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_EFL];
    *flags = on ? *flags | trap_flag : *flags & ~trap_flag;
}

/* Is the next instruction a system call, and not one of an allocator?  Those are always at hand; others
 * may block SIGTRAP, for which the kernel would end the process at the next step, or start a thread
 * that has the flag, too. */
static inline bool lpf__must_not_step(const void *ucontext)
{
    const greg_t *registers = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
    const unsigned char *next = (const unsigned char *)registers[REG_RIP];
    if (next[0] != 0x0f || next[1] != 0x05) { /* syscall */
        return false;
    }
    switch (registers[REG_RAX]) {
    case SYS_brk:
    case SYS_mmap:
    case SYS_munmap:
    case SYS_mremap:
    case SYS_madvise:
        return false;
    default:
        return true;
    }
}

/* At the first instruction of a function: have another function of the same type called instead. */
static inline void lpf__call_instead(void *ucontext, uintptr_t function)
{
    ((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP] = (greg_t)function;
}

#elif defined(__aarch64__)

static inline uint64_t lpf__cycles(void)
{
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
}

#define LPF__CPU_STALE (UINT64_C(1) << 12) /* Ticks of a counter that runs at 25 MHz to 1 GHz. */

static inline uintptr_t lpf__program_counter(const void *ucontext)
{
    return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.pc;
}

static inline uintptr_t lpf__stack_pointer(const void *ucontext)
{
    return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.sp;
}

static inline bool lpf__ended_a_wait(const void *ucontext)
{
    const ucontext_t *context = ucontext;
    const uint32_t *before = (const uint32_t *)context->uc_mcontext.pc - 1;
    return (int64_t)context->uc_mcontext.regs[0] == -EINTR && *before == 0xd4000001; /* svc #0 */
}

#define LPF__CAN_STEP 0 /* A process cannot set the flag for itself. */

#else
#error "liblpf has no context switch for this machine: add context_<arch>.S and a branch here"
#endif

#endif
