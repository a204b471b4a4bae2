/* OpenBLAS, the library below numpy's matrix products and decompositions.
 *
 * A call into it cannot be paused.  With several threads it holds one lock of the library from
 * beginning to end; and newer builds keep, for each thread, what a second call on the same thread
 * overwrites: a product that was paused while another was computed came out wrong, in silence.
 *
 * But it can be abandoned, to cancel it.  What it has locked stays locked, so from then on the
 * library is told to use one thread, which takes no lock: slower, and right (tested).  Its own
 * threads would spin for ever, waiting for the part that the abandoned one was to compute, and the
 * process would wait for them at its end; they are ended (blas_threads.c).
 *
 * Not left in the middle even then are the parts that manage memory and threads, which hold locks for
 * an instant: the functions in `manages`, and their neighbours.
 *
 * Invariant: a library is added once, by ordinary code, before the handler looks for it; `count` is
 * written last.
 */
#define _GNU_SOURCE
#include "native.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#define MOST_LIBRARIES 4
#define MARGIN ((uintptr_t)8192) /* More than any of these functions is long. */
#define LONGEST_SPAN 131072      /* Further apart, they are not neighbours. */

struct library {
    uintptr_t start, end;
    uintptr_t management_start, management_end;
    void (*set_threads)(int);
    int (*get_threads)(void);
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* Held while one is added. */
static struct library libraries[MOST_LIBRARIES];
static volatile sig_atomic_t count;

static const char *const setters[] = {
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
};
static const char *const getters[] = {
    "scipy_openblas_get_num_threads64_",
    "scipy_openblas_get_num_threads",
    "openblas_get_num_threads64_",
    "openblas_get_num_threads",
};
static const char *const manages[] = {
    "blas_memory_alloc", "blas_memory_free",     "blas_thread_init",      "exec_blas",
    "exec_blas_async",   "exec_blas_async_wait", "blas_thread_shutdown_",
};

static void *first_of(void *handle, const char *const *names, size_t length)
{
    void *found = NULL;
    for (size_t i = 0; i < length && found == NULL; i++) {
        found = dlsym(handle, names[i]);
    }
    return found;
}

static void include(struct library *library, uintptr_t address)
{
    if (address - MARGIN < library->management_start) {
        library->management_start = address - MARGIN;
    }
    if (address + MARGIN > library->management_end) {
        library->management_end = address + MARGIN;
    }
}

/* Memory and threads are managed by two neighbouring files of the library.  Newer builds export only
 * the functions that read and set the number of threads, one from each. */
static bool find_management(void *handle, struct library *library)
{
    library->management_start = UINTPTR_MAX;
    include(library, (uintptr_t)library->get_threads);
    include(library, (uintptr_t)library->set_threads);
    for (size_t i = 0; i < sizeof manages / sizeof *manages; i++) {
        uintptr_t at = (uintptr_t)dlsym(handle, manages[i]);
        if (at != 0) {
            include(library, at);
        }
    }
    return library->management_end - library->management_start < LONGEST_SPAN;
}

static bool known(uintptr_t start)
{
    for (int i = 0; i < count; i++) {
        if (libraries[i].start == start) {
            return true;
        }
    }
    return false;
}

static void add(const char *name, uintptr_t start, uintptr_t end)
{
    void *handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL) {
        return;
    }
    struct library library = {.start = start, .end = end};
    library.set_threads = (void (*)(int))first_of(handle, setters,
                                                  sizeof setters / sizeof *setters);
    library.get_threads = (int (*)(void))first_of(handle, getters,
                                                  sizeof getters / sizeof *getters);
    if (library.set_threads != NULL && library.get_threads != NULL &&
        find_management(handle, &library)) {
        libraries[count] = library; /* The handle stays open: it is not unloaded any more. */
        count++;
    } else {
        dlclose(handle);
    }
}

struct found {
    int count;
    char names[MOST_LIBRARIES][512];
    uintptr_t starts[MOST_LIBRARIES], ends[MOST_LIBRARIES];
};

static int look(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    struct found *found = data;
    if (found->count == MOST_LIBRARIES || strstr(info->dlpi_name, "openblas") == NULL ||
        strlen(info->dlpi_name) >= sizeof found->names[0]) {
        return 0;
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X)) {
            found->starts[found->count] = info->dlpi_addr + segment->p_vaddr;
            found->ends[found->count] = info->dlpi_addr + segment->p_vaddr + segment->p_memsz;
            strcpy(found->names[found->count], info->dlpi_name);
            found->count++;
            break;
        }
    }
    return 0;
}

static int read_loads(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    *(unsigned long long *)data = info->dlpi_adds;
    return 1; /* The same for every object: one is enough. */
}

static void add_new(void)
{
    struct found found;
    found.count = 0;
    dl_iterate_phdr(look, &found);
    for (int i = 0; i < found.count && count < MOST_LIBRARIES; i++) {
        if (!known(found.starts[i])) {
            add(found.names[i], found.starts[i], found.ends[i]);
        }
    }
}

void lpf_blas_refresh(void)
{
    static unsigned long long seen;
    unsigned long long loaded = 0;
    dl_iterate_phdr(read_loads, &loaded);
    if (pthread_mutex_trylock(&lock) != 0) {
        return; /* Another thread is at it, or was when this process was forked. */
    }
    if (loaded != seen) {
        seen = loaded;
        add_new();
    }
    pthread_mutex_unlock(&lock);
}

int lpf_blas_at(uintptr_t pc)
{
    for (int i = 0; i < count; i++) {
        const struct library *library = &libraries[i];
        if (pc >= library->start && pc < library->end) {
            bool manages_now = pc >= library->management_start && pc < library->management_end;
            return manages_now ? 0 : i + 1;
        }
    }
    return 0;
}

void lpf_blas_abandoned(int which)
{
    const struct library *library = &libraries[which - 1];
    lpf_blas_end_threads(library->start, library->end);
    library->set_threads(1);
}
