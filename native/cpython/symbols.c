/* The name of a function from an address in it, local ones included.
 *
 * dladdr knows exported functions only, while what C code spends its time in is static more often
 * than not.  So the symbol table of the object's file is read.  For threads that hold nothing: it
 * allocates, opens files and takes the loader's locks.
 */
#define _GNU_SOURCE
#include "report.h"

#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct object {
    uintptr_t address;
    uintptr_t base;
    char path[4096];
};

static int find_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct object *object = data;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && object->address >= start &&
            object->address < start + segment->p_memsz) {
            const char *name = *info->dlpi_name != '\0' ? info->dlpi_name : "/proc/self/exe";
            object->base = info->dlpi_addr;
            strncpy(object->path, name, sizeof object->path - 1);
            return 1;
        }
    }
    return 0;
}

static bool in_file(size_t offset, size_t length, size_t size)
{
    return offset <= size && length <= size - offset;
}

/* In one table of symbols; their names lie in another. */
static bool find_in_table(const char *file, size_t size, const ElfW(Shdr) * sections,
                          const ElfW(Shdr) * table, size_t count, uintptr_t offset, char *name,
                          size_t room)
{
    if (table->sh_link >= count || table->sh_entsize != sizeof(ElfW(Sym)) ||
        !in_file(table->sh_offset, table->sh_size, size)) {
        return false;
    }
    const ElfW(Shdr) *strings = &sections[table->sh_link];
    if (!in_file(strings->sh_offset, strings->sh_size, size)) {
        return false;
    }
    const ElfW(Sym) *symbols = (const ElfW(Sym) *)(file + table->sh_offset);
    for (size_t i = 0; i < table->sh_size / sizeof *symbols; i++) {
        const ElfW(Sym) *symbol = &symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
            offset >= symbol->st_value && offset < symbol->st_value + symbol->st_size &&
            symbol->st_name < strings->sh_size) {
            size_t left = strings->sh_size - symbol->st_name;
            snprintf(name, room, "%.*s", (int)(left < room ? left : room),
                     file + strings->sh_offset + symbol->st_name);
            return true;
        }
    }
    return false;
}

static bool find_in_file(const char *file, size_t size, uintptr_t offset, char *name, size_t room)
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)file;
    if (size < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 ||
        !in_file(header->e_shoff, header->e_shnum * sizeof(ElfW(Shdr)), size)) {
        return false;
    }
    const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(file + header->e_shoff);
    static const unsigned kinds[] = {SHT_SYMTAB, SHT_DYNSYM};
    for (size_t kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < header->e_shnum; i++) {
            if (sections[i].sh_type == kinds[kind] &&
                find_in_table(file, size, sections, &sections[i], header->e_shnum, offset, name,
                              room)) {
                return true;
            }
        }
    }
    return false;
}

static bool find_symbol(const struct object *object, char *name, size_t room)
{
    int descriptor = open(object->path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    struct stat status;
    void *file = MAP_FAILED;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    close(descriptor);
    if (file == MAP_FAILED) {
        return false;
    }
    bool found = find_in_file(file, (size_t)status.st_size, object->address - object->base, name,
                              room);
    munmap(file, (size_t)status.st_size);
    return found;
}

bool lpf_symbol_name(uintptr_t address, char *name, size_t room)
{
    struct object object = {.address = address};
    if (dl_iterate_phdr(find_object, &object) == 0) {
        return false;
    }
    if (find_symbol(&object, name, room)) {
        name[strcspn(name, ".")] = '\0'; /* Without what the compiler adds for a part or a copy. */
        return true;
    }
    const char *file = strrchr(object.path, '/');
    snprintf(name, room, "code of %s", file != NULL ? file + 1 : object.path);
    return false;
}
