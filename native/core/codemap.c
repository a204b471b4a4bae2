/* Where native code may be left in the middle: a sorted table of address ranges.
 *
 * Leaving a function mid-instruction is safe unless the code at that point holds something that the
 * code which runs next may need: a lock of the allocator, of the loader, of stdio; or unless it is
 * code of this library or of a host language, which have their own safe points.  So a program
 * counter may be left if it lies
 *   - in an executable segment of a shared object that is not on the list of refusals, or
 *   - in one of the C library's leaf functions (memory, strings) or plain system calls, called from
 *     such an object.  The same leaves are used by realloc, stdio and getaddrinfo while they hold
 *     their locks, so the callers are looked at as well.
 * Everything unknown, code loaded since the last refresh included, may not be left; the tick is tried
 * again, so that a function which only passes through such code is left shortly after.
 *
 * A refresh from another thread than the one that loads waits for its constructors: the loader's lock
 * is taken (add_leaves) between looking at the objects and publishing the table.
 *
 * Invariant: the handler reads one immutable table through an atomic pointer, and is counted in
 * `readers` meanwhile.  A table that has been replaced is freed when nobody reads: whoever comes
 * later finds the new one.
 *
 * A statically linked program is one object, allocator and all: nothing in it may be left, unless
 * lpf_allow_library says otherwise.
 *
 * What is not seen: code that the C library or the loader calls back while they hold a lock (a
 * constructor under dlopen, a callback of dl_iterate_phdr), and a handler of another signal that
 * came in the middle of malloc.  lpf_enter is made for these.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unwind.h>

#include "internal.h"

enum kind {
    REFUSE,
    LEAVE,
    LEAF, /* As its caller. */
    LOCK, /* Waits for a lock of its caller's; refused, but see lpf__codemap_waits_for_lock. */
};

struct range {
    uintptr_t start, end;
    enum kind kind;
    struct lpf__data data; /* Of its object, for LEAVE. */
};

struct table {
    struct table *older; /* Replaced, but not freed yet. */
    size_t count;
    size_t capacity;
    unsigned long long adds, subs; /* Of the loader, when the table was made. */
    unsigned rules;                /* rule_version then. */
    struct lpf__lockers lockers;
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
 * system call, or call one that does.  The vector versions that memcpy and its like resolve to are
 * found through dlsym. */
static const char *const leaves[] = {
    "memcpy",       "memmove",    "memset",      "memcmp",
    "memchr",       "memrchr",    "memmem",      "rawmemchr",
    "mempcpy",      "bcmp",       "strlen",      "strnlen",
    "strcmp",       "strncmp",    "strcasecmp",  "strchr",
    "strrchr",      "strchrnul",  "strcpy",      "strncpy",
    "stpcpy",       "strcat",     "strncat",     "strstr",
    "strspn",       "strcspn",    "strpbrk",     "wmemset",
    "wmemcmp",      "wcslen",     "read",        "write",
    "readv",        "writev",     "pread",       "pwrite",
    "recv",         "recvfrom",   "recvmsg",     "send",
    "sendto",       "sendmsg",    "accept",      "accept4",
    "connect",      "poll",       "ppoll",       "select",
    "pselect",      "epoll_wait", "nanosleep",   "clock_nanosleep",
    "pause",        "waitpid",    "waitid",      "wait4",
    "flock",        "syscall",    "sched_yield", "clock_gettime",
    "sleep",        "usleep",     "sigwait",     "sigwaitinfo",
    "sigtimedwait",
};

/* Functions of the C library that wait for a lock of their caller's, */
static const char *const locks[] = {"pthread_mutex_lock", "pthread_rwlock_rdlock",
                                    "pthread_rwlock_wrlock", "sem_wait"};
/* and those of the host that call them to do so. */
#define HOST_LOCKS 8
static void *host_locks[HOST_LOCKS];
static size_t host_lock_count;

static struct {
    char text[RULE_TEXT];
    bool allow;
} rules[RULES];
static size_t rule_count;
static unsigned rule_version;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct table *) current_table;
static _Atomic int readers;

#define REFUSED_ADDRESSES 8
static uintptr_t refused_addresses[REFUSED_ADDRESSES]; /* Whatever object they lie in. */
static size_t refused_address_count;

/* libgcc's: the frame description entry that covers an address. */
struct dwarf_eh_bases {
    void *tbase;
    void *dbase;
    void *func;
};
extern const void *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases);

/* The loader gives the program itself no name. */
static const char *name_of(const struct dl_phdr_info *info)
{
    static char program[4096];
    if (*info->dlpi_name != '\0') {
        return info->dlpi_name;
    }
    if (*program == '\0') {
        ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
        program[length > 0 ? length : 0] = '\0';
    }
    return program;
}

static bool contains(const struct dl_phdr_info *info, uintptr_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && address >= start && address < start + segment->p_memsz) {
            return true;
        }
    }
    return false;
}

/* Wherever the allocator in use lies, an object that replaces the C library's included. */
static uintptr_t allocator;

static bool holds_refused_address(const struct dl_phdr_info *info)
{
    if (contains(info, allocator)) {
        return true;
    }
    for (size_t i = 0; i < refused_address_count; i++) {
        if (contains(info, refused_addresses[i])) {
            return true;
        }
    }
    return false;
}

static bool may_leave_object(const struct dl_phdr_info *info)
{
    const char *name = name_of(info);
    for (size_t i = rule_count; i-- > 0;) { /* The latest rule wins. */
        if (strstr(name, rules[i].text) != NULL) {
            return rules[i].allow;
        }
    }
    if (holds_refused_address(info)) {
        return false;
    }
    bool program = *info->dlpi_name == '\0';
    const char *file = strrchr(name, '/');
    file = file != NULL ? file + 1 : name;
    for (size_t i = 0; i < sizeof refused / sizeof *refused && !program; i++) {
        if (strstr(file, refused[i]) != NULL) {
            return false;
        }
    }
    /* Not our own object, unless it is the program itself: then the user's code lies there too, and
     * `busy` protects ours. */
    return program || !contains(info, (uintptr_t)&may_leave_object);
}

static void add_range(struct table *table, uintptr_t start, uintptr_t end, enum kind kind,
                      struct lpf__data data)
{
    if (table->count < table->capacity && start < end) {
        table->ranges[table->count++] = (struct range){start, end, kind, data};
    }
}

/* The variables of an object that stay writable: linkers put them into its last writable segment,
 * behind what is made read-only once it has been relocated. */
static struct lpf__data variables_of(const struct dl_phdr_info *info)
{
    struct lpf__data found = {0, 0};
    uintptr_t constant = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W)) {
            found = (struct lpf__data){start, start + segment->p_memsz};
        } else if (segment->p_type == PT_GNU_RELRO) {
            constant = start + segment->p_memsz;
        }
    }
    if (constant > found.start && constant <= found.end) {
        found.start = constant;
    }
    return found;
}

/* The undefined symbols come first in the table of an object that has a GNU hash table, which is what
 * linkers make. */
static bool imports(const struct dl_phdr_info *info, const char *name)
{
    const ElfW(Dyn) *dynamic = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *hash = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) {
            dynamic = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        }
    }
    for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++) {
        /* The loader has made addresses of them, but for the vDSO's. */
        const void *where = (const void *)dynamic->d_un.d_ptr;
        symbols = dynamic->d_tag == DT_SYMTAB ? where : symbols;
        strings = dynamic->d_tag == DT_STRTAB ? where : strings;
        hash = dynamic->d_tag == DT_GNU_HASH ? where : hash;
    }
    if (symbols == NULL || strings == NULL || hash == NULL || (uintptr_t)hash < info->dlpi_addr) {
        return false;
    }
    for (uint32_t i = 1; i < hash[1]; i++) {
        if (strcmp(strings + symbols[i].st_name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_locker(struct lpf__lockers *lockers, uintptr_t start, uintptr_t length,
                       struct lpf__data variables)
{
    if (lockers->count < LPF__MOST_LOCKERS) {
        lockers->variables[lockers->count] = variables;
        lockers->start[lockers->count] = start;
        lockers->length[lockers->count++] = length;
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
    enum kind kind = may_leave_object(info) ? LEAVE : REFUSE;
    bool locker = kind == LEAVE && imports(info, "pthread_mutexattr_settype");
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X)) {
            uintptr_t start = base + segment->p_vaddr;
            add_range(table, start, start + segment->p_memsz, kind, variables_of(info));
            if (locker) {
                add_locker(&table->lockers, start, segment->p_memsz, variables_of(info));
            }
        }
    }
    return 0;
}

/* The extent of a function from its unwind entry, which local symbols have too.  GCC and clang
 * encode both fields in four bytes, the first relative to itself; anything else is left out. */
static void add_function(struct table *table, void *address, enum kind kind)
{
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
        add_range(table, begin, begin + length, kind, (struct lpf__data){0, 0});
    }
}

/* From the C library itself: what another object puts in place of its functions is not known. */
static void add_leaves(struct table *table)
{
    void *library = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
    if (library == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        add_function(table, dlsym(library, leaves[i]), LEAF);
    }
    for (size_t i = 0; i < sizeof locks / sizeof *locks; i++) {
        add_function(table, dlsym(library, locks[i]), LOCK);
    }
    dlclose(library);
    for (size_t i = 0; i < host_lock_count; i++) {
        add_function(table, host_locks[i], LOCK);
    }
}

static int by_start(const void *left, const void *right)
{
    const struct range *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

/* Nothing that takes the loader's lock is called inside dl_iterate_phdr, which holds another one: a
 * thread in dlopen takes the two in the other order. */
static struct table *make_table(void)
{
    size_t segments = 0;
    void *found = dlsym(RTLD_DEFAULT, "malloc");
    allocator = found != NULL ? (uintptr_t)found : (uintptr_t)&malloc;
    dl_iterate_phdr(count_segments, &segments);
    size_t capacity = segments + (sizeof leaves + sizeof locks) / sizeof *leaves + 64;
    struct table *table = malloc(sizeof *table + capacity * sizeof *table->ranges);
    if (table == NULL) {
        return NULL;
    }
    table->count = table->lockers.count = 0;
    table->capacity = capacity;
    table->rules = rule_version;
    dl_iterate_phdr(add_object, table);
    add_leaves(table);
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

static _Unwind_Reason_Code stop_at_once(struct _Unwind_Context *context, void *data)
{
    (void)context;
    (void)data;
    return _URC_NORMAL_STOP;
}

static bool is_stale(const struct table *table)
{
    unsigned long long counters[2] = {0, 0};
    dl_iterate_phdr(read_counters, counters);
    return table == NULL || table->adds != counters[0] || table->subs != counters[1] ||
           table->rules != rule_version;
}

static void free_older(struct table *table)
{
    if (atomic_load(&readers) > 0) {
        return;
    }
    struct table *older = table->older;
    table->older = NULL;
    while (older != NULL) {
        struct table *next = older->older;
        free(older);
        older = next;
    }
}

void lpf__codemap_refresh(void)
{
    pthread_mutex_lock(&lock);
    struct table *table = atomic_load(&current_table);
    if (table == NULL) { /* Unwinders prepare themselves at the first use. */
        _Unwind_Backtrace(stop_at_once, NULL);
    }
    if (is_stale(table)) {
        struct table *fresh = make_table();
        if (fresh != NULL) {
            fresh->older = table;
            atomic_store(&current_table, fresh);
            atomic_store(&lpf__codemap_has_lockers, fresh->lockers.count > 0);
            free_older(fresh);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* A look at the objects takes a lock of the loader's that a fork does not put right in the child.  So a
 * fork waits for it; not for ever, as the look may wait for a constructor that forks. */
#define LONGEST_LOOK (1000 * LPF__MILLISECOND)

static __thread bool forks __attribute__((tls_model("initial-exec")));

void lpf__codemap_before_fork(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t end = (uint64_t)until.tv_nsec + LONGEST_LOOK;
    until.tv_sec += (time_t)(end / UINT64_C(1000000000));
    until.tv_nsec = (long)(end % UINT64_C(1000000000));
    forks = pthread_mutex_timedlock(&lock, &until) == 0;
}

void lpf__codemap_after_fork(void)
{
    if (forks) {
        pthread_mutex_unlock(&lock);
    }
}

void lpf__codemap_forked(void)
{
    /* Another thread of the parent may have held it, or been reading. */
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    atomic_store(&readers, 0);
}

/* Leaves of the C library lie inside its refused segment: the innermost range decides, and that is
 * the last one that starts at or before the address and contains it. */
static struct range range_in(const struct table *table, uintptr_t pc)
{
    static const struct range unknown = {0, 0, REFUSE, {0, 0}};
    if (table == NULL) {
        return unknown;
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
            return table->ranges[low];
        }
    }
    return unknown;
}

static struct range range_at(uintptr_t pc)
{
    atomic_fetch_add(&readers, 1);
    struct range range = range_in(atomic_load(&current_table), pc);
    atomic_fetch_sub(&readers, 1);
    return range;
}

_Atomic bool lpf__codemap_has_lockers;

struct lpf__lockers lpf__codemap_lockers(void)
{
    struct lpf__lockers found = {.count = 0};
    atomic_fetch_add(&readers, 1);
    const struct table *table = atomic_load(&current_table);
    if (table != NULL) {
        found = table->lockers;
    }
    atomic_fetch_sub(&readers, 1);
    return found;
}

static enum kind kind_at(uintptr_t pc)
{
    return range_at(pc).kind;
}

/* The way from the signal handler out to the caller of the leaf that was interrupted. */
struct walk {
    uintptr_t interrupted;
    bool arrived;
    unsigned frames;
    struct range caller;
};

#define MOST_FRAMES 64

static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *context, void *data)
{
    struct walk *walk = data;
    uintptr_t pc = _Unwind_GetIP(context);
    if (++walk->frames > MOST_FRAMES) {
        return _URC_NORMAL_STOP;
    }
    if (!walk->arrived) {
        walk->arrived = pc == walk->interrupted;
        return _URC_NO_REASON;
    }
    walk->caller = range_at(pc - 1); /* Behind a call. */
    return walk->caller.kind == LEAF ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

/* Only what lies between this handler and the end of the leaves is unwound: the core and the C
 * library, whose unwind tables are right at every instruction.  The tables of other code may not
 * be, and then libgcc follows a wild pointer.
 *
 * A leaf holds no lock that unwinding takes: current C libraries find unwind tables without one,
 * older ones take the loader's, and its holders do not wait for anybody. */
static struct range caller_of_leaf(uintptr_t pc)
{
    int saved_errno = errno;
    struct walk walk = {pc, false, 0, {0, 0, REFUSE, {0, 0}}};
    _Unwind_Backtrace(look_at_frame, &walk);
    errno = saved_errno;
    return walk.caller;
}

bool lpf__codemap_may_leave(uintptr_t pc, struct lpf__data *variables)
{
    struct range range = range_at(pc);
    if (range.kind == LEAF) {
        range = caller_of_leaf(pc);
    }
    if (variables != NULL) {
        *variables = range.data;
    }
    return range.kind == LEAVE;
}

/* From the interrupted function, somewhere below the one that takes the lock, out to its caller. */
struct lock_walk {
    uintptr_t interrupted;
    bool arrived;
    bool in_lock;
    unsigned frames;
    enum kind caller;
};

#define MOST_LOCK_FRAMES 12

static _Unwind_Reason_Code look_for_lock(struct _Unwind_Context *context, void *data)
{
    struct lock_walk *walk = data;
    uintptr_t pc = _Unwind_GetIP(context);
    if (!walk->arrived) {
        walk->arrived = pc == walk->interrupted;
        if (!walk->arrived) {
            return ++walk->frames > MOST_FRAMES ? _URC_NORMAL_STOP : _URC_NO_REASON;
        }
        walk->frames = 0;
    } else {
        pc--; /* Behind a call. */
    }
    enum kind kind = kind_at(pc);
    if (walk->in_lock && kind != LOCK) {
        walk->caller = kind;
        return _URC_NORMAL_STOP;
    }
    walk->in_lock = kind == LOCK;
    return ++walk->frames > MOST_LOCK_FRAMES || kind == LEAVE ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

bool lpf__codemap_waits_for_lock(uintptr_t pc)
{
    int saved_errno = errno;
    struct lock_walk walk = {pc, false, false, 0, REFUSE};
    if (kind_at(pc) == REFUSE || kind_at(pc) == LOCK) {
        _Unwind_Backtrace(look_for_lock, &walk);
    }
    errno = saved_errno;
    return walk.caller == LEAVE;
}

bool lpf__codemap_is_leaf(uintptr_t pc)
{
    return kind_at(pc) == LEAF;
}

void lpf__codemap_refuse(const void *address)
{
    pthread_mutex_lock(&lock);
    if (refused_address_count < REFUSED_ADDRESSES) {
        refused_addresses[refused_address_count++] = (uintptr_t)address;
        rule_version++;
    }
    pthread_mutex_unlock(&lock);
}

void lpf__codemap_waits(const char *name)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    pthread_mutex_lock(&lock);
    if (function != NULL && host_lock_count < HOST_LOCKS) {
        host_locks[host_lock_count++] = function;
        rule_version++;
    }
    pthread_mutex_unlock(&lock);
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
