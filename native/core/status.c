/* The sentences for the status codes. */
#include "lpf.h"

const char *lpf_strerror(int status)
{
    switch (status) {
    case LPF_OK:
        return "no error";
    case LPF_EINVAL:
        return "a null pointer, or a number outside its range";
    case LPF_ENOMEM:
        return "no memory for a stack or a handle";
    case LPF_ESTATE:
        return "the state of the function does not allow this";
    case LPF_ETHREAD:
        return "the function belongs to another thread";
    case LPF_ENOTIN:
        return "only possible inside a preemptible function";
    case LPF_EBUSY:
        return "not possible inside an uninterruptible section";
    case LPF_ESYSTEM:
        return "the system refused a timer or a signal handler";
    default:
        return "not a status of liblpf";
    }
}
