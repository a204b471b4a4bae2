/* Python frames that must not be left in the middle, because the code that runs next may need what
 * they hold: a lock of the import system, of logging, of IPython's output stream.
 *
 * What a code object is gets decided once, by the Python function in `classifier`, and kept with the
 * code object in an extra slot:
 *
 *   FREE     ordinary code
 *   HELD     blocks wherever on the stack it is
 *   RUNNING  blocks while it is among the newest frames; code that it calls is free again
 *   WAITS    HELD, except while it waits at one of given instructions, where it holds nothing
 *
 * A frame that waits excuses the guarded frames directly under it: they called it to wait.
 *
 * The slot's value is (generation << 2 | verdict) << 1 | 1, or for WAITS a pointer to struct waits.
 */
#include "native.h"

enum verdict { FREE = 0, HELD = 1, RUNNING = 2, WAITS = 3 };

struct waits {
    uintptr_t generation;
    Py_ssize_t count;
    struct {
        int start, end; /* Byte offsets of an instruction and of the one behind it. */
    } at[];
};

static PyObject *classifier;
static uintptr_t generation = 1;
static Py_ssize_t slot = -1;

static void free_slot(void *value)
{
    if (value != NULL && !((uintptr_t)value & 1)) {
        PyMem_Free(value);
    }
}

int lpf_guard_init(void)
{
    if (slot < 0) {
        slot = lpf_request_code_extra(free_slot);
    }
    if (slot < 0) {
        PyErr_SetString(PyExc_ImportError, "no free slot in code objects for lpf");
        return -1;
    }
    return 0;
}

static void *as_slot(enum verdict verdict)
{
    return (void *)((generation << 2 | (uintptr_t)verdict) << 1 | 1);
}

static void *waits_from(PyObject *offsets)
{
    Py_ssize_t count = PyTuple_GET_SIZE(offsets);
    struct waits *waits = PyMem_Malloc(sizeof *waits + (size_t)count * sizeof waits->at[0]);
    if (waits == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    waits->generation = generation;
    waits->count = count;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PyTuple_GET_ITEM(offsets, i);
        if (!PyArg_ParseTuple(pair, "ii", &waits->at[i].start, &waits->at[i].end)) {
            PyMem_Free(waits);
            return NULL;
        }
    }
    return waits;
}

/* Asks the Python function; its answer is a small int, or a tuple of offset pairs for WAITS. */
static void *classify(PyCodeObject *code, PyObject *module_name)
{
    PyObject *answer = PyObject_CallFunctionObjArgs(classifier, module_name, code, NULL);
    void *value = NULL;
    if (answer != NULL && PyTuple_Check(answer)) {
        value = waits_from(answer);
    } else if (answer != NULL) {
        long verdict = PyLong_AsLong(answer);
        value = verdict == HELD || verdict == RUNNING ? as_slot((enum verdict)verdict)
                                                      : as_slot(FREE);
    }
    Py_XDECREF(answer);
    if (value == NULL || PyErr_Occurred()) {
        PyErr_Clear(); /* A guard that cannot be asked guards nothing. */
        value = value == NULL ? as_slot(FREE) : value;
    }
    if (lpf_set_code_extra((PyObject *)code, slot, value) < 0) {
        PyErr_Clear();
    }
    return value;
}

static bool is_current(const void *value)
{
    if (value == NULL) {
        return false;
    }
    uintptr_t number = (uintptr_t)value;
    return number & 1 ? number >> 3 == generation
                      : ((const struct waits *)value)->generation == generation;
}

static PyObject *module_of(lpf_frame *frame)
{
    PyObject *globals = frame->f_globals;
    if (globals == NULL || !PyDict_Check(globals)) {
        return NULL;
    }
    PyObject *name = PyDict_GetItemString(globals, "__name__");
    return name != NULL && PyUnicode_Check(name) ? name : NULL;
}

static const void *look_up(lpf_frame *frame)
{
    PyCodeObject *code = lpf_frame_code(frame);
    void *value = NULL;
    if (lpf_get_code_extra((PyObject *)code, slot, &value) < 0) {
        PyErr_Clear();
    }
    if (!is_current(value)) {
        PyObject *name = module_of(frame);
        value = name != NULL && classifier != NULL ? classify(code, name) : as_slot(FREE);
    }
    return value;
}

static bool waits_now(const struct waits *waits, lpf_frame *frame)
{
    int offset = lpf_frame_offset(frame);
    for (Py_ssize_t i = 0; i < waits->count; i++) {
        if (offset >= waits->at[i].start && offset < waits->at[i].end) {
            return true;
        }
    }
    return false;
}

PyObject *lpf_guard_blocks(PyThreadState *ts, const lpf_frame *end, bool in_collection)
{
    if (!in_collection && lpf_collecting(ts)) {
        return PyUnicode_FromString("gc"); /* No collection could start while it stood still. */
    }
    bool excused = false, newest = true;
    lpf_frame *frame = LPF_CURRENT_FRAME(ts);
    for (; frame != NULL && frame != end; frame = frame->previous) {
        if (!lpf_frame_is_python(frame)) {
            continue;
        }
        const void *value = look_up(frame);
        enum verdict verdict = (uintptr_t)value & 1 ? (enum verdict)((uintptr_t)value >> 1 & 3)
                                                    : WAITS;
        if (verdict == FREE) {
            excused = newest = false;
        } else if (verdict == WAITS && waits_now(value, frame)) {
            excused = true;
        } else if (!excused && (verdict != RUNNING || newest)) {
            PyObject *name = module_of(frame);
            return name != NULL ? Py_NewRef(name) : PyUnicode_FromString("?");
        }
    }
    if (end != NULL && frame == NULL) { /* As lpf_pystate_is_in_greenlet. */
        return PyUnicode_FromString("greenlet");
    }
    return NULL;
}

PyObject *lpf_guard_classifier_py(PyObject *module, PyObject *function)
{
    (void)module;
    Py_XSETREF(classifier, Py_NewRef(function));
    generation++;
    Py_RETURN_NONE;
}

PyObject *lpf_guard_changed_py(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    generation++;
    Py_RETURN_NONE;
}
