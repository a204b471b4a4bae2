/* liblpf: lightweight preemptible functions for plain C.
 *
 * An ordinary function call with a precise time limit (Boucher, Kalia, Andersen, Kaminsky,
 * "Lightweight Preemptible Functions", USENIX ATC 2020).  lpf_launch calls f(arg) on a stack of
 * its own and returns when f returns, when f pauses itself, or when the limit has passed.  In the
 * last two cases the handle is a continuation: the call frozen where it was, to be resumed or
 * cancelled later on the same kernel thread.
 *
 * Threads: every handle belongs to the kernel thread that launched it.  Only lpf_request and
 * lpf_strerror may be called from another one; every other call there gets LPF_ETHREAD.
 *
 * Signals: preemption uses one signal (SIGURG unless LPF_SIGNAL names another), installed at the
 * first launch with a limit and unblocked on the threads that launch so.  While a program uses this
 * library it must not install a handler of its own for that signal.
 *
 * System calls that are blocked when a function is left go on when it is resumed, but for those that
 * the system never restarts (poll, nanosleep and their like, see signal(7)): these return EINTR, now
 * and then without a pause, too.
 *
 * Code that cannot be left in the middle is left shortly after: the C library (but for memory and
 * string functions and blocking system calls), the loader, libraries with threads or an allocator of
 * their own.  A statically linked program is such a library as a whole.  A function that waits for
 * ever in one of these (pthread_cond_wait, say) is not left.
 *
 * What must not be done inside a preemptible function: returning by longjmp out of it, exiting
 * the thread with pthread_exit, and holding a lock that the caller will want while it is paused.
 * Two such locks are easily overlooked; lpf_enter protects them.  dlopen and dlclose hold the
 * loader's while they run constructors and destructors.  A signal handler of the program's own may
 * have interrupted malloc; it is protected, too, if its sa_mask has the signal of this library.
 */
#ifndef LPF_H
#define LPF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LPF_API __attribute__((visibility("default")))
#else
#define LPF_API
#endif

/* A preemptible function and, while it stands still, its continuation. */
typedef struct lpf lpf_t;

/* No limit: the function runs until it returns or pauses itself. */
#define LPF_FOREVER UINT64_MAX

enum lpf_state {
    LPF_READY,     /* Created with limit 0 and not started yet. */
    LPF_RUNNING,   /* On its thread now, or waiting for a function that it launched. */
    LPF_PAUSED,    /* Frozen; lpf_resume goes on with it. */
    LPF_HELD,      /* Frozen inside a paused function that launched it; resume that one. */
    LPF_FINISHED,  /* f returned; the stack has been given back. */
    LPF_CANCELLED, /* Discarded before f returned; nothing of it was unwound. */
};

enum lpf_status {
    LPF_OK = 0,
    LPF_EINVAL = -1,  /* A null pointer or a number outside its range. */
    LPF_ENOMEM = -2,  /* No memory for a stack or a handle. */
    LPF_ESTATE = -3,  /* The state of the handle does not allow this; see lpf_state. */
    LPF_ETHREAD = -4, /* The handle belongs to another thread. */
    LPF_ENOTIN = -5,  /* Only possible inside a preemptible function. */
    LPF_EBUSY = -6,   /* Inside an uninterruptible section. */
    LPF_ESYSTEM = -7, /* The system refused a timer or a signal handler; errno tells why. */
};

/* Call f(arg) with a time limit in nanoseconds of wall-clock time.  0 creates without running,
 * LPF_FOREVER never interrupts.  *out receives the handle, to be given back with lpf_free. */
LPF_API int lpf_launch(lpf_t **out, void (*f)(void *), void *arg, uint64_t limit_ns);

/* Go on with a LPF_READY or LPF_PAUSED function for at most limit_ns (as in lpf_launch, but 0 is
 * LPF_EINVAL).  Returns when it has finished or is paused again; lpf_state tells which. */
LPF_API int lpf_resume(lpf_t *c, uint64_t limit_ns);

/* Inside a preemptible function: give control back to whoever launched or resumed it.  Returns
 * LPF_OK when it is resumed. */
LPF_API int lpf_pause(void);

/* From any thread: ask that c, which is running, be paused as soon as it may be left.
 * Asynchronous; a request for a function that is not running is forgotten. */
LPF_API int lpf_request(lpf_t *c);

/* Discard a ready or paused function together with those held inside it.  Its stack is given back
 * as it is: no destructor runs, what it had allocated or locked stays so. */
LPF_API int lpf_cancel(lpf_t *c);

/* Give the handle back; cancels first where needed.  NULL is allowed.  LPF_ESTATE for a running
 * or held function, which keeps its handle. */
LPF_API int lpf_free(lpf_t *c);

/* The innermost preemptible function that runs on this thread, or NULL. */
LPF_API lpf_t *lpf_current(void);

/* Between the two, this thread is not preempted; what came due happens at the outermost
 * lpf_leave.  They nest.  lpf_leave without lpf_enter is LPF_ESTATE. */
LPF_API int lpf_enter(void);
LPF_API int lpf_leave(void);

/* The state of c.  May be read from any thread, where it is a snapshot. */
LPF_API enum lpf_state lpf_state(const lpf_t *c);

/* Is c paused only so that a function of a host language (Python, say) around it can be left?  Then
 * give the host its safe point and resume c with what remains of its limit. */
LPF_API int lpf_left_for_outer(const lpf_t *c);

/* Wall-clock time inside c since it was first started, in nanoseconds, pauses left out. */
LPF_API uint64_t lpf_elapsed(const lpf_t *c);

/* CPU time of the thread inside c, in nanoseconds; each slice is exact to about 0.1 ms. */
LPF_API uint64_t lpf_cpu_time(const lpf_t *c);

/* A name for messages about c (a stack overflow, say).  The string must outlive c. */
LPF_API void lpf_set_name(lpf_t *c, const char *name);

/* The English sentence for a status. Never NULL. */
LPF_API const char *lpf_strerror(int status);

/* Let functions be left inside (allow != 0) or never inside (0) the shared objects whose file name
 * contains the given text.  Applies from the next launch on. */
LPF_API int lpf_allow_library(const char *name_part, int allow);

#ifdef __cplusplus
}
#endif

#endif
