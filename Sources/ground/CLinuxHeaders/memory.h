// The memory of this process, as far as it is that of its program's files.
#pragma once

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

// dl_iterate_phdr(3), which <link.h> shows with _GNU_SOURCE only: the first members of its struct dl_phdr_info.
struct tidegate_loaded_object {
    ElfW(Addr) address;
    const char *_Nullable name;
    const ElfW(Phdr) *_Nullable headers;
    ElfW(Half) count;
};
extern int tidegate_each_loaded_object(
    int (*_Nonnull visit)(struct tidegate_loaded_object *_Nonnull, size_t, void *_Nullable), void *_Nullable context)
    __asm__("dl_iterate_phdr");

static inline int tidegate_release_object(struct tidegate_loaded_object *_Nonnull object, size_t size, void *_Nullable released) {
    (void)size;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (ElfW(Half) each = 0; each < object->count; each++) {
        const ElfW(Phdr) *header = &object->headers[each];
        // The kernel's own object is no file (vdso(7)). What may be written, or was when it was relocated, is not what the file holds.
        if (header->p_type != PT_LOAD || (header->p_flags & PF_W) != 0 || header->p_filesz == 0) continue;
        if (object->name != NULL && __builtin_strncmp(object->name, "linux-vdso", 10) == 0) continue;
        size_t start = (object->address + header->p_vaddr) & ~(page - 1);
        size_t end = (object->address + header->p_vaddr + header->p_memsz) & ~(page - 1);
        if (end > start && madvise((void *)start, end - start, MADV_DONTNEED) == 0) *(size_t *)released += end - start;
    }
    return 0;
}

/// Lets go of the code and constants of the program and its libraries, which come back from the page cache where they are needed again.
/// Bytes of address space; how much of them was resident is not told. Only for programs without text relocations, as all of ours are.
static inline size_t tidegate_release_program_pages(void) {
    size_t released = 0;
    tidegate_each_loaded_object(tidegate_release_object, &released);
    return released;
}
