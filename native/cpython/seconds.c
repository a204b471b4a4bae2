/* Time limits as Python numbers. */
#include "native.h"

#include <math.h>

#define LONGEST 9.0e9 /* Seconds: 285 years.  More is for ever. */

int lpf_seconds(PyObject *value, const char *parameter, uint64_t *ns)
{
    if (value == Py_None) {
        *ns = LPF_FOREVER;
        return 0;
    }
    double seconds = PyFloat_CheckExact(value)  ? PyFloat_AS_DOUBLE(value)
                     : PyLong_CheckExact(value) ? PyLong_AsDouble(value)
                                                : PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError) && PyLong_Check(value)) {
            PyErr_Clear();
            if (_PyLong_Sign(value) < 0) { /* Too long for the message, too. */
                PyErr_Format(PyExc_ValueError, "%s must not be negative", parameter);
                return -1;
            }
            seconds = LONGEST;
        } else {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Format(PyExc_TypeError, "%s must be a number of seconds or None, not %.200s",
                             parameter, Py_TYPE(value)->tp_name);
            }
            return -1;
        }
    }
    if (isnan(seconds)) {
        PyErr_Format(PyExc_ValueError, "%s must not be NaN", parameter);
        return -1;
    }
    if (seconds < 0) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative, got %R", parameter, value);
        return -1;
    }
    /* What is not zero stays so: zero has a meaning of its own. */
    *ns = seconds >= LONGEST ? LPF_FOREVER : seconds > 0 ? (uint64_t)fmax(seconds * 1e9, 1.0) : 0;
    return 0;
}
