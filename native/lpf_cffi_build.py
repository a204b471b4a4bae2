"""What cffi needs to know to bind lpf.h: its declarations, and nothing clever.

A call through this binding arrives detached from the interpreter (cffi releases the GIL around it),
so a preemptible C function may be left anywhere in native code.  The generated file is compiled into
`lpf._native`, next to the core, and reached through `lpf._native._core()`.
"""

import cffi

ffi = cffi.FFI()

ffi.cdef("""
    typedef struct lpf lpf_t;

    #define LPF_FOREVER ...

    enum lpf_state {
        LPF_READY, LPF_RUNNING, LPF_PAUSED, LPF_HELD, LPF_FINISHED, LPF_CANCELLED, ...
    };

    enum lpf_status {
        LPF_OK, LPF_EINVAL, LPF_ENOMEM, LPF_ESTATE, LPF_ETHREAD, LPF_ENOTIN, LPF_EBUSY,
        LPF_ESYSTEM, ...
    };

    int lpf_launch(lpf_t **out, void (*f)(void *), void *arg, uint64_t limit_ns);
    int lpf_resume(lpf_t *c, uint64_t limit_ns);
    int lpf_pause(void);
    int lpf_request(lpf_t *c);
    int lpf_cancel(lpf_t *c);
    int lpf_free(lpf_t *c);
    lpf_t *lpf_current(void);
    int lpf_enter(void);
    int lpf_leave(void);
    enum lpf_state lpf_state(const lpf_t *c);
    int lpf_left_for_outer(const lpf_t *c);
    uint64_t lpf_elapsed(const lpf_t *c);
    uint64_t lpf_cpu_time(const lpf_t *c);
    void lpf_set_name(lpf_t *c, const char *name);
    const char *lpf_strerror(int status);
    int lpf_allow_library(const char *name_part, int allow);
""")

ffi.set_source("lpf._core", '#include "lpf.h"')
