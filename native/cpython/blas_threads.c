/* Ends the threads of a library that compute for a call that has been abandoned: they wait for that
 * call's own part, spinning, for ever.
 *
 * A signal is sent to every thread that is not Python's and is running.  Its handler ends the thread by
 * the bare system call if it was interrupted within the library's code.  No destructor runs, and none
 * has to: what the library would tidy up is what was abandoned.  The kernel tells the C library that
 * the thread is gone, so that the library's pthread_join at the end of the process returns.
 *
 * Invariant: lpf_blas_end_threads runs on one thread at a time, since it holds the GIL throughout.  The
 * handler, once installed, stays: a signal may still be on its way.  It does something only while
 * code_start and code_end are set.
 */
#define _GNU_SOURCE
#include "native.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST_ROUNDS 50

static volatile uintptr_t code_start, code_end;

/* Everything here is a read or a system call. */
static void end_if_inside(int signal, siginfo_t *info, void *ucontext)
{
    (void)signal, (void)info;
    uintptr_t pc = lpf__program_counter(ucontext);
    if (pc >= code_start && pc < code_end) {
        syscall(SYS_exit, 0);
    }
}

/* A signal that nobody uses; 0: there is none. */
static int free_signal(void)
{
    for (int signal = SIGRTMAX; signal >= SIGRTMIN; signal--) {
        struct sigaction present;
        if (sigaction(signal, NULL, &present) == 0 && present.sa_handler == SIG_DFL &&
            !(present.sa_flags & SA_SIGINFO)) {
            return signal;
        }
    }
    return 0;
}

static bool is_pythons(unsigned long tid)
{
    PyThreadState *ts = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    while (ts != NULL && ts->native_thread_id != tid) {
        ts = PyThreadState_Next(ts);
    }
    return ts != NULL;
}

/* Is it running, not waiting?  See proc(5). */
static bool is_running(int tasks, const char *tid)
{
    char path[sizeof((struct dirent *)0)->d_name + 8], text[256];
    snprintf(path, sizeof path, "%s/stat", tid);
    int file = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false; /* It has ended. */
    }
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    text[length > 0 ? length : 0] = 0;
    const char *after_name = strrchr(text, ')');
    return after_name != NULL && after_name[1] == ' ' && after_name[2] == 'R';
}

/* How many were running. */
static int signal_all(DIR *tasks, int signal)
{
    int running = 0;
    rewinddir(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        unsigned long tid = strtoul(entry->d_name, NULL, 10);
        if (tid != 0 && !is_pythons(tid) && is_running(dirfd(tasks), entry->d_name)) {
            running++;
            syscall(SYS_tgkill, getpid(), (pid_t)tid, signal);
        }
    }
    return running;
}

/* The number of the signal whose handler is installed; 0: there was none left. */
static int install(void)
{
    static int installed;
    struct sigaction handler = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    handler.sa_sigaction = end_if_inside;
    sigfillset(&handler.sa_mask);
    int signal = installed != 0 ? installed : free_signal();
    if (signal != 0 && sigaction(signal, &handler, NULL) == 0) {
        installed = signal;
    }
    return installed;
}

void lpf_blas_end_threads(uintptr_t start, uintptr_t end)
{
    int signal = install();
    DIR *tasks = opendir("/proc/self/task");
    if (signal != 0 && tasks != NULL) {
        code_start = start;
        code_end = end;
        /* One that yields the processor is outside the library's code for an instant. */
        for (int round = 0; round < MOST_ROUNDS && signal_all(tasks, signal) > 0; round++) {
            nanosleep(&(struct timespec){.tv_nsec = LPF__MILLISECOND}, NULL);
        }
        code_start = code_end = 0;
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
}
