/* Rung 6: telling the user, while it happens, about what cannot be left.
 *
 * C code that holds the GIL, draws from no iterator and allocates nothing leaves no way in.  Then a
 * native thread (watch.c), which needs no GIL, says where the main thread is, or another one that
 * keeps the GIL (gil.c): the line of Python, the function in C and the seconds so far, again and
 * again, and says when that is over.
 *
 *   the handler      on that thread, tick after tick while nothing can be left.  Writes down where
 *                    it is (lpf_report_tick).
 *   the safe point   notes that it is over (lpf_report_over).
 *   the watcher      finds names for addresses, writes the text, delivers it (lpf_report_look).
 *
 * Where the text goes.  The descriptor that was given last (2 to begin with) always gets it.  Besides,
 * a notebook is told.  In a kernel only the thread that owns the socket of the outputs may use it, and
 * that one waits for the GIL.  So does everybody else as long as the thread that has it stands in its signal
 * handler: that is the one time when another thread may send on that socket.  The watcher asks for it
 * (ASKED), the handler stands still (OPEN), the watcher sends (SENDING) and lets it go (SHUT).
 *
 * Reading Python frames in the handler: the thread has been in C code for a second without once
 * passing the check at the start of every Python function, so that its frames stand still.
 *
 * Invariant: `stuck` is written by the thread that has made `state` WRITING, read by the watcher from then
 * on, and only the watcher makes it IDLE again.
 */
#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#define FIRST_REPORT (LPF__MILLISECOND * 1000)
#define LAST_PAUSE (LPF__MILLISECOND * 60000)
#define STEP (50 * LPF__MICROSECOND)
#define LONGEST_OPENING (100 * LPF__MILLISECOND)
#define LONGEST_SENDING (2000 * LPF__MILLISECOND)
#define MOST_FRAMES 48
#define NAME 200

enum state { IDLE, WRITING, STUCK, OVER };
enum gate { SHUT, ASKED, OPEN, SENDING };

static _Atomic int state;
static _Atomic int gate;

/* Where Python is. */
struct place {
    char file[NAME]; /* Of the innermost frame; empty: unknown. */
    char name[NAME]; /* Of its function. */
    int line;
    int cell_line; /* Of the outermost frame of a cell, the cell itself; 0: there is none. */
    bool is_cell;  /* Is it the innermost one, too? */
};

static struct {
    uint64_t since;
    uint64_t ended; /* While OVER. */
    bool holds_gil;
    bool main; /* Is it the main thread? */
    struct place place;
    uintptr_t addresses[MOST_FRAMES]; /* C functions, innermost first. */
    size_t count;
    bool in_bytecode; /* The last of them was called by the bytecode loop. */
} stuck;

/* The watcher's. */
static uint64_t next_report, pause_between;
static bool reported;
static char function[NAME];

static int terminal = 2; /* File descriptor. */
static int notebook = -1;
static char cell_prefix[NAME]; /* Of the file names of cells. */

static uintptr_t python_start, python_end; /* The object with the interpreter in it. */
static uintptr_t loop_start, loop_end;

/* ---- In the handler ----------------------------------------------------------------------- */

/* Into a text that ends; what is not ASCII becomes a question mark.  Async-signal-safe. */
static void copy_text(PyObject *text, char *to, size_t room)
{
    size_t used = 0;
    if (text != NULL && PyUnicode_Check(text)) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(text);
        Py_ssize_t from = length > (Py_ssize_t)room - 1 ? length - (Py_ssize_t)room + 1 : 0;
        for (Py_ssize_t i = from; i < length; i++) {
            Py_UCS4 character = PyUnicode_READ_CHAR(text, i);
            to[used++] = character >= 32 && character < 127 ? (char)character : '?';
        }
    }
    to[used] = '\0';
}

static void write_down_python(PyThreadState *ts, struct place *place)
{
    size_t prefix = strlen(cell_prefix);
    place->file[0] = '\0';
    place->cell_line = 0;
    for (lpf_frame *frame = LPF_CURRENT_FRAME(ts); frame != NULL; frame = frame->previous) {
        if (!lpf_frame_is_python(frame)) {
            continue;
        }
        PyCodeObject *code = lpf_frame_code(frame);
        int line = PyCode_Addr2Line(code, lpf_frame_offset(frame));
        char file[NAME];
        copy_text(code->co_filename, file, sizeof file);
        bool innermost = place->file[0] == '\0';
        if (innermost) {
            memcpy(place->file, file, sizeof file);
            copy_text(code->co_name, place->name, sizeof place->name);
            place->line = line;
        }
        if (prefix > 0 && strncmp(file, cell_prefix, prefix) == 0) {
            place->cell_line = line;
            place->is_cell = innermost;
        }
    }
}

struct walk {
    uintptr_t interrupted;
    bool arrived;
    unsigned frames;
};

/* Only code of the interpreter and leaves of the C library are unwound through: their tables can be
 * relied on (see codemap.c). */
static _Unwind_Reason_Code write_down_frame(struct _Unwind_Context *context, void *data)
{
    struct walk *walk = data;
    uintptr_t pc = _Unwind_GetIP(context);
    if (++walk->frames > 2 * MOST_FRAMES || stuck.count == MOST_FRAMES) {
        return _URC_NORMAL_STOP;
    }
    if (!walk->arrived) {
        if (pc != walk->interrupted) {
            return _URC_NO_REASON;
        }
        walk->arrived = true;
    } else {
        pc--; /* Behind a call. */
    }
    if (pc >= loop_start && pc < loop_end) {
        stuck.in_bytecode = true;
        return _URC_NORMAL_STOP;
    }
    stuck.addresses[stuck.count++] = pc;
    bool known = (pc >= python_start && pc < python_end) || lpf__codemap_is_leaf(pc);
    return known ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void sleep_a_step(void)
{
    struct timespec step = {0, STEP};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
}

/* Not of the handler, but on its thread. */
void lpf_report_place(PyThreadState *ts, const char *function, const char *state, char *text,
                      size_t room)
{
    struct place place;
    write_down_python(ts, &place);
    if (place.cell_line != 0) {
        snprintf(text, room, "a cell that is %s in its line %d", state, place.cell_line);
    } else {
        snprintf(text, room, "%s, which is %s in line %d of %s", function, state, place.line,
                 place.file);
    }
}

/* The watcher asks to send: stand still for it, unless something may be held here that it needs. */
static void stand_still(uintptr_t pc)
{
    bool harmless = (pc >= python_start && pc < python_end) || lpf__codemap_is_leaf(pc) ||
                    lpf__codemap_may_leave(pc, NULL);
    int asked = ASKED;
    if (!harmless || !atomic_compare_exchange_strong(&gate, &asked, OPEN)) {
        return;
    }
    uint64_t opened = lpf__now();
    for (;;) {
        int now = atomic_load(&gate);
        uint64_t waited = lpf__now() - opened;
        if (now == SHUT || waited > LONGEST_SENDING) {
            return;
        }
        if (now == OPEN && waited > LONGEST_OPENING &&
            atomic_compare_exchange_strong(&gate, &now, SHUT)) {
            return;
        }
        sleep_a_step();
    }
}

void lpf_report_tick(PyThreadState *ts, const void *ucontext, uint64_t since, bool holds_gil)
{
    int saved_errno = errno;
    uintptr_t pc = lpf__program_counter(ucontext);
    int idle = IDLE;
    if (atomic_compare_exchange_strong(&state, &idle, WRITING)) {
        stuck.main = ts == lpf_safepoint_main_state();
        stuck.since = since;
        stuck.holds_gil = holds_gil;
        stuck.count = 0;
        stuck.in_bytecode = false;
        write_down_python(ts, &stuck.place);
        struct walk walk = {pc, false, 0};
        _Unwind_Backtrace(write_down_frame, &walk);
        atomic_store(&state, STUCK);
    } else if (holds_gil && atomic_load(&gate) == ASKED) {
        stand_still(pc);
    }
    errno = saved_errno;
}

void lpf_report_over(void)
{
    int was = STUCK;
    if (atomic_load_explicit(&state, memory_order_relaxed) == STUCK) {
        stuck.ended = lpf__now();
        atomic_compare_exchange_strong(&state, &was, OVER);
    }
}

/* ---- On the watcher's thread -------------------------------------------------------------- */

/* What lies between the bytecode loop and the function that it calls. */
static bool is_only_a_call(const char *name)
{
    static const char *const calls[] = {
        "PyObject_",  "_PyObject_",    "PyVectorcall", "_PyVectorcall", "cfunction_",
        "vectorcall", "method_vector", "slot_",        "type_call",     "wrap",
        "object_",    "PyCFunction",   "call_",        "_PyEval",       "PyEval",
        "builtin___", "PyNumber_",     "PySequence_",  "code of",       "do_call_core",
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strncmp(name, calls[i], strlen(calls[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* The function that Python called, or, if that is not known, the innermost one with a name. */
static void name_function(void)
{
    for (size_t i = stuck.count; i-- > 0;) {
        if (lpf_symbol_name(stuck.addresses[i], function, sizeof function) &&
            !is_only_a_call(function)) {
            return;
        }
    }
    if (stuck.count == 0) {
        strcpy(function, "the interpreter");
    } else {
        lpf_symbol_name(stuck.addresses[0], function, sizeof function);
    }
}

static void name_place(const struct place *place, char *text, size_t room)
{
    const char *file = strrchr(place->file, '/');
    file = file != NULL ? file + 1 : place->file;
    if (place->file[0] == '\0') {
        snprintf(text, room, "somewhere");
    } else if (place->cell_line == 0) {
        snprintf(text, room, "line %d of %s", place->line, place->file);
    } else if (place->is_cell) {
        snprintf(text, room, "line %d of this cell", place->cell_line);
    } else if (strncmp(place->file, cell_prefix, strlen(cell_prefix)) == 0) {
        snprintf(text, room, "line %d of this cell (line %d, %s)", place->cell_line, place->line,
                 place->name);
    } else {
        snprintf(text, room, "line %d of this cell (line %d of %s)", place->cell_line, place->line,
                 file);
    }
}

static bool ask_and_send(const char *text)
{
    if (!stuck.holds_gil || !lpf_wire_ready()) {
        return false;
    }
    atomic_store(&gate, ASKED);
    if (stuck.main) {
        lpf_watch_wake();
    } else {
        lpf_gil_poke();
    }
    uint64_t asked = lpf__now();
    while (atomic_load(&gate) == ASKED && lpf__now() - asked < LONGEST_OPENING / 2) {
        sleep_a_step();
    }
    int was = ASKED;
    if (atomic_compare_exchange_strong(&gate, &was, SHUT)) {
        return false;
    }
    was = OPEN;
    if (!atomic_compare_exchange_strong(&gate, &was, SENDING)) {
        return false;
    }
    bool sent = lpf_wire_send(text);
    atomic_store(&gate, SHUT);
    return sent;
}

static void put(int descriptor, const char *text)
{
    size_t left = strlen(text);
    while (descriptor >= 0 && left > 0) {
        ssize_t written = write(descriptor, text, left);
        if (written <= 0) {
            return;
        }
        text += written;
        left -= (size_t)written;
    }
}

/* A notebook that cannot be told now is told by its kernel, which reads that descriptor. */
static void deliver(const char *text)
{
    put(terminal, text);
    if (!ask_and_send(text)) {
        put(notebook, text);
    }
}

void lpf_report_deliver(const char *text)
{
    deliver(text);
}

static void report(uint64_t now)
{
    char place[NAME * 2 + 100], text[NAME * 4 + 200];
    if (!reported) {
        name_function();
    }
    name_place(&stuck.place, place, sizeof place);
    snprintf(text, sizeof text, "lpf: %s%s: %s, %s, cannot be left: %.0f s so far\n", place,
             stuck.main ? "" : ", on another thread", function,
             stuck.holds_gil ? "C code that holds the interpreter" : "native code with locks",
             (double)(now - stuck.since) * 1e-9);
    deliver(text);
}

static void report_end(void)
{
    char text[NAME + 100];
    snprintf(text, sizeof text, "lpf: %s has come to its end, after %.1f s\n", function,
             (double)(stuck.ended - stuck.since) * 1e-9);
    put(notebook >= 0 ? notebook : terminal, text); /* A kernel passes it on to the terminal. */
}

void lpf_report_look(void)
{
    int now = atomic_load(&state);
    if (now == IDLE || now == WRITING) {
        return;
    }
    if (now == OVER) {
        if (reported) {
            report_end();
        }
        reported = false;
        atomic_store(&state, IDLE);
        return;
    }
    uint64_t time = lpf__now();
    if (!reported) {
        next_report = stuck.since + FIRST_REPORT;
        pause_between = FIRST_REPORT;
    }
    if (time >= next_report) {
        report(time);
        reported = true;
        next_report = time + pause_between;
        pause_between = pause_between * 2 < LAST_PAUSE ? pause_between * 2 : LAST_PAUSE;
    }
}

/* ---- Setting up --------------------------------------------------------------------------- */

static int find_python(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) &&
            *(uintptr_t *)data - start < segment->p_memsz) {
            python_start = start;
            python_end = start + segment->p_memsz;
            return 1;
        }
    }
    return 0;
}

void lpf_report_init(uintptr_t start, uintptr_t end)
{
    uintptr_t inside = (uintptr_t)&PyErr_SetInterruptEx;
    loop_start = start;
    loop_end = end;
    dl_iterate_phdr(find_python, &inside);
}

PyObject *lpf_report_to_py(PyObject *module, PyObject *args)
{
    int first, second;
    const char *prefix;
    (void)module;
    if (!PyArg_ParseTuple(args, "iis:_report_to", &first, &second, &prefix)) {
        return NULL;
    }
    terminal = first;
    notebook = second;
    snprintf(cell_prefix, sizeof cell_prefix, "%s", prefix);
    Py_RETURN_NONE;
}
