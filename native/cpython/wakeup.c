/* Waiting for a signal's byte at the other end of signal.set_wakeup_fd.
 *
 * Every signal that Python hears writes its number there: an interrupt, and the signal of a deadline
 * (core/preempt.c), which comes as often as a quantum is over.  A thread of Python's that looks at all
 * of them would want the GIL each time.  This one does so when a byte has come that it waits for.
 *
 * Invariant: nothing of Python is touched while the GIL is given up.
 */
#include "native.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static bool contains_any(const char *bytes, size_t count, const char *wanted, size_t kinds)
{
    for (size_t i = 0; i < kinds; i++) {
        if (memchr(bytes, wanted[i], count) != NULL) {
            return true;
        }
    }
    return false;
}

/* 1: it came; 0: not before `end`; -1: errno. */
static int wait_for_any(int fd, const char *wanted, size_t kinds, uint64_t end)
{
    for (;;) {
        uint64_t now = lpf__now();
        int left = -1;
        if (end != LPF_FOREVER) {
            left = now < end ? (int)((end - now) / LPF__MILLISECOND) + 1 : 0;
        }
        struct pollfd asked = {.fd = fd, .events = POLLIN};
        int ready = poll(&asked, 1, left);
        if (ready < 0 && errno != EINTR) {
            return -1;
        }
        if (ready > 0) {
            char bytes[512];
            ssize_t count = read(fd, bytes, sizeof bytes);
            if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) {
                errno = count == 0 ? EPIPE : errno;
                return -1;
            }
            if (count > 0 && contains_any(bytes, (size_t)count, wanted, kinds)) {
                return 1;
            }
        }
        if (end != LPF_FOREVER && lpf__now() >= end) {
            return 0;
        }
    }
}

/* Arguments: the descriptor, the bytes that are waited for, seconds (None: without a limit).  Whether
 * one of them came. */
PyObject *lpf_wakeup_wait_py(PyObject *module, PyObject *args)
{
    int fd;
    const char *wanted;
    Py_ssize_t kinds;
    PyObject *seconds;
    (void)module;
    if (!PyArg_ParseTuple(args, "iy#O:_wait_for_bytes", &fd, &wanted, &kinds, &seconds)) {
        return NULL;
    }
    uint64_t end = LPF_FOREVER;
    if (seconds != Py_None) {
        double limit = PyFloat_AsDouble(seconds);
        if (limit == -1.0 && PyErr_Occurred()) {
            return NULL;
        }
        end = lpf__now() + (uint64_t)(limit * 1e9);
    }
    int came;
    Py_BEGIN_ALLOW_THREADS came = wait_for_any(fd, wanted, (size_t)kinds, end);
    Py_END_ALLOW_THREADS return came < 0 ? PyErr_SetFromErrno(PyExc_OSError)
                                         : PyBool_FromLong(came);
}
