/* The call that a continuation makes: a function, and copies of the references to its arguments.
 *
 * Invariant: arguments[-1] may be written, as the vectorcall protocol wants it.
 */
#include "native.h"

void lpf_call_drop(Continuation *c)
{
    PyObject **arguments = c->arguments;
    c->arguments = NULL;
    if (arguments != NULL) {
        Py_ssize_t count = c->positional;
        if (c->keywords != NULL) {
            count += PyTuple_GET_SIZE(c->keywords);
        }
        for (Py_ssize_t i = 0; i < count; i++) {
            Py_DECREF(arguments[i]);
        }
        if (arguments != c->few + 1) {
            PyMem_Free(arguments - 1);
        }
    }
    Py_CLEAR(c->keywords);
}

static const char *utf8(PyObject *text)
{
    return PyUnicode_IS_COMPACT_ASCII(text) ? (const char *)PyUnicode_1BYTE_DATA(text)
                                            : PyUnicode_AsUTF8(text);
}

/* *owner: new reference to what the text belongs to, since a __qualname__ may be replaced. */
static const char *name_for_messages(PyObject *function, PyObject **owner)
{
    const char *name = NULL;
    PyTypeObject *type = Py_TYPE(function);
    if (PyMethod_Check(function)) {
        return name_for_messages(PyMethod_GET_FUNCTION(function), owner);
    }
    if (PyFunction_Check(function)) {
        *owner = Py_NewRef(((PyFunctionObject *)function)->func_qualname);
        name = utf8(*owner);
    } else if (PyCFunction_Check(function)) {
        name = ((PyCFunctionObject *)function)->m_ml->ml_name;
    } else if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        *owner = Py_NewRef(((PyHeapTypeObject *)type)->ht_name);
        name = utf8(*owner);
    } else {
        name = type->tp_name;
    }
    if (name == NULL) {
        PyErr_Clear(); /* A name with lone surrogates. */
    }
    return name;
}

/* Copies the call, since it may outlive the caller's frame.  `skip` is the index of the keyword to
 * leave out, -1 for none. */
int lpf_call_take(Continuation *c, PyObject *function, PyObject *const *args, Py_ssize_t positional,
                  PyObject *keywords, Py_ssize_t skip)
{
    Py_ssize_t named = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    Py_ssize_t count = positional + named - (skip >= 0);
    PyObject **copy = c->few;
    if (count > LPF_INLINE_ARGUMENTS) {
        copy = PyMem_Malloc((size_t)(count + 1) * sizeof *copy);
        if (copy == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    if (named > (skip >= 0)) {
        c->keywords = skip < 0 ? Py_NewRef(keywords) : PyTuple_New(named - 1);
        if (c->keywords == NULL) {
            if (copy != c->few) {
                PyMem_Free(copy);
            }
            return -1;
        }
    }
    copy[0] = NULL;
    Py_ssize_t at = 1;
    for (Py_ssize_t i = 0; i < positional + named; i++) {
        Py_ssize_t keyword = i - positional;
        if (skip >= 0 && keyword == skip) {
            continue;
        }
        if (skip >= 0 && keyword >= 0) {
            PyTuple_SET_ITEM(c->keywords, at - 1 - positional,
                             Py_NewRef(PyTuple_GET_ITEM(keywords, keyword)));
        }
        copy[at++] = Py_NewRef(args[i]);
    }
    c->arguments = copy + 1;
    c->positional = positional;
    c->function = Py_NewRef(function);
    c->core.name = name_for_messages(function, &c->name_owner);
    return 0;
}
