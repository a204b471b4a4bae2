/* What the files of the reporter (report.c, holders.c, symbols.c, wire.c) know of each other. */
#ifndef LPF_REPORT_H
#define LPF_REPORT_H

#include "native.h"

/* ---- report.c ----------------------------------------------------------------------------- */

void lpf_report_deliver(const char *text); /* From the watcher's thread. */
/* Describes a function that is about to be left, and where. */
void lpf_report_place(PyThreadState *ts, const char *function, const char *state, char *text,
                      size_t room);

/* ---- symbols.c ---------------------------------------------------------------------------- */

/* Writes the name of the function that holds the address, or "code of <file>" and returns false.
 * Not in a signal handler. */
bool lpf_symbol_name(uintptr_t address, char *name, size_t room);

/* ---- wire.c ------------------------------------------------------------------------------- */

bool lpf_wire_ready(void); /* Is there a front end to tell? */
/* Publishes the text on the stderr stream of the cell that runs.  On any thread, while the main
 * thread holds the GIL and waits for this call. */
bool lpf_wire_send(const char *text);

#endif
