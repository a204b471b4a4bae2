/* Where native code may be left in the middle: a sorted table of address ranges.
 *
 * Leaving a function mid-instruction is safe unless the code at that point holds something that the
 * code which runs next may need: a lock of the allocator, of the loader, of stdio; or unless it is
 * code of this library or of a host language, which have their own safe points.  So a program
 * counter may be left if it lies
 *   - in an executable segment of a shared object that is not on the list of refusals, or
 *   - in one of the C library's leaf functions (memory, strings) or plain system calls.
 * Everything unknown, code loaded since the last refresh included, may not be left; the tick is
 * tried again, so that a function which only passes through such code is left shortly after.
 *
 * Invariant: the handler reads one immutable table through an atomic pointer.  A table that has
 * been replaced is never freed, since a handler on another thread may still be reading it; there is
 * one for each time that objects were loaded or unloaded between two launches.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct range {
    uintptr_t start, end;
    bool leave;
};

struct table {
    size_t count;
    size_t capacity;
    unsigned long long adds, subs; /* Of the loader, when the table was made. */
    unsigned rules;                /* rule_version then. */
    struct range ranges[];
};

#define RULES 64
#define RULE_TEXT 96

/* File names that contain one of these are refused: the loader, the C library (but for the leaves
 * below), unwinding, and libraries that own threads or global locks. */
static const char *const refused[] = {
    "ld-linux",  "linux-vdso", "libc.so",     "libc-",       "libpthread",  "libdl",
    "libgcc_s",  "libstdc++",  "libc++",      "libasan",     "libubsan",    "libtsan",
    "libpython", "libgomp",    "libomp",      "libiomp",     "libtbb",      "libmkl",
    "openblas",  "libblis",    "libjemalloc", "libtcmalloc", "libmimalloc",
};

/* Functions of the C library that hold nothing: they compute on their arguments, or wait in one
 * system call.  The vector versions that memcpy and its like resolve to are found through dlsym. */
static const char *const leaves[] = {
    "memcpy",  "memmove",    "memset",      "memcmp",
    "memchr",  "memrchr",    "memmem",      "rawmemchr",
    "mempcpy", "bcmp",       "strlen",      "strnlen",
    "strcmp",  "strncmp",    "strcasecmp",  "strchr",
    "strrchr", "strchrnul",  "strcpy",      "strncpy",
    "stpcpy",  "strcat",     "strncat",     "strstr",
    "strspn",  "strcspn",    "strpbrk",     "wmemset",
    "wmemcmp", "wcslen",     "read",        "write",
    "readv",   "writev",     "pread",       "pwrite",
    "recv",    "recvfrom",   "recvmsg",     "send",
    "sendto",  "sendmsg",    "accept",      "accept4",
    "connect", "poll",       "ppoll",       "select",
    "pselect", "epoll_wait", "nanosleep",   "clock_nanosleep",
    "pause",   "waitpid",    "waitid",      "wait4",
    "flock",   "syscall",    "sched_yield", "clock_gettime",
};

static struct {
    char text[RULE_TEXT];
    bool allow;
} rules[RULES];
static size_t rule_count;
static unsigned rule_version;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct table *) current_table;

/* libgcc's: the frame description entry that covers an address. */
struct dwarf_eh_bases {
    void *tbase;
    void *dbase;
    void *func;
};
extern const void *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases);

static bool may_leave_object(const char *name, uintptr_t base)
{
    for (size_t i = rule_count; i-- > 0;) { /* The latest rule wins. */
        if (strstr(name, rules[i].text) != NULL) {
            return rules[i].allow;
        }
    }
    const char *file = strrchr(name, '/');
    file = file != NULL ? file + 1 : name;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (strstr(file, refused[i]) != NULL) {
            return false;
        }
    }
    /* Our own object, unless it is the program itself: then the user's code lies there too, and
     * `busy` protects ours. */
    Dl_info here;
    bool ours = dladdr((void *)&may_leave_object, &here) && (uintptr_t)here.dli_fbase == base;
    return !ours || *name == '\0';
}

static void add_range(struct table *table, uintptr_t start, uintptr_t end, bool leave)
{
    if (table->count < table->capacity && start < end) {
        table->ranges[table->count++] = (struct range){start, end, leave};
    }
}

static int count_segments(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    *(size_t *)data += info->dlpi_phnum;
    return 0;
}

static int add_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct table *table = data;
    (void)size;
    table->adds = info->dlpi_adds;
    table->subs = info->dlpi_subs;
    uintptr_t base = info->dlpi_addr;
    bool leave = may_leave_object(info->dlpi_name, base);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X)) {
            uintptr_t start = base + segment->p_vaddr;
            add_range(table, start, start + segment->p_memsz, leave);
        }
    }
    return 0;
}

/* The extent of a function from its unwind entry, which local symbols have too.  GCC and clang
 * encode both fields in four bytes, the first relative to itself; anything else is left out. */
static void add_leaf(struct table *table, const char *name)
{
    void *address = dlsym(RTLD_DEFAULT, name);
    struct dwarf_eh_bases bases;
    const char *entry = address != NULL ? _Unwind_Find_FDE(address, &bases) : NULL;
    if (entry == NULL) {
        return;
    }
    int32_t start;
    uint32_t length;
    memcpy(&start, entry + 8, sizeof start);
    memcpy(&length, entry + 12, sizeof length);
    uintptr_t begin = (uintptr_t)(entry + 8) + (uintptr_t)(intptr_t)start;
    if (begin == (uintptr_t)bases.func && length < 65536) {
        add_range(table, begin, begin + length, true);
    }
}

static int by_start(const void *left, const void *right)
{
    const struct range *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

static struct table *make_table(void)
{
    size_t leaf_count = sizeof leaves / sizeof *leaves;
    size_t segments = 0;
    dl_iterate_phdr(count_segments, &segments);
    size_t capacity = segments + leaf_count + 64;
    struct table *table = malloc(sizeof *table + capacity * sizeof *table->ranges);
    if (table == NULL) {
        return NULL;
    }
    table->count = 0;
    table->capacity = capacity;
    table->rules = rule_version;
    dl_iterate_phdr(add_object, table);
    for (size_t i = 0; i < leaf_count; i++) {
        add_leaf(table, leaves[i]);
    }
    qsort(table->ranges, table->count, sizeof *table->ranges, by_start);
    return table;
}

static int read_counters(struct dl_phdr_info *info, size_t size, void *data)
{
    unsigned long long *counters = data;
    (void)size;
    counters[0] = info->dlpi_adds;
    counters[1] = info->dlpi_subs;
    return 1; /* The same for every object: one is enough. */
}

void lpf__codemap_refresh(void)
{
    unsigned long long counters[2] = {0, 0};
    dl_iterate_phdr(read_counters, counters);
    pthread_mutex_lock(&lock);
    struct table *table = atomic_load(&current_table);
    if (table == NULL || table->adds != counters[0] || table->subs != counters[1] ||
        table->rules != rule_version) {
        struct table *fresh = make_table();
        if (fresh != NULL) {
            atomic_store(&current_table, fresh);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* Leaves of the C library lie inside its refused segment: the innermost range decides, and that is
 * the last one that starts at or before the address and contains it. */
bool lpf__codemap_may_leave(uintptr_t pc)
{
    const struct table *table = atomic_load(&current_table);
    if (table == NULL) {
        return false;
    }
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->ranges[middle].start <= pc) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    while (low-- > 0) {
        if (pc < table->ranges[low].end) {
            return table->ranges[low].leave;
        }
    }
    return false;
}

int lpf_allow_library(const char *name_part, int allow)
{
    if (name_part == NULL || *name_part == '\0' || strlen(name_part) >= RULE_TEXT) {
        return LPF_EINVAL;
    }
    pthread_mutex_lock(&lock);
    int status = LPF_ENOMEM;
    size_t i = 0;
    while (i < rule_count && strcmp(rules[i].text, name_part) != 0) {
        i++;
    }
    if (i < RULES) {
        strcpy(rules[i].text, name_part);
        rules[i].allow = allow != 0;
        rule_count += i == rule_count;
        rule_version++;
        status = LPF_OK;
    }
    pthread_mutex_unlock(&lock);
    return status;
}
