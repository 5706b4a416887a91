#include "fastfeed/readers.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int ff_readers_map(ff_readers *readers, int fd, const uint8_t *program, size_t length) {
    memset(readers, 0, sizeof *readers);
    const size_t size = sizeof(ff_readers_header) + FF_READERS * sizeof(ff_reader);
    if (ff_region_map(&readers->region, fd, size) < 0)
        return -1;
    if (ff_region_take(&readers->region, 0, sizeof(ff_readers_header)) < 0) {
        ff_readers_close(readers);
        errno = ENOMEM;
        return -1;
    }
    readers->header = (ff_readers_header *)(void *)readers->region.base;
    readers->slots = (ff_reader *)(void *)(readers->header + 1);
    if (length > FF_READERS_PROGRAM_BYTES)
        length = FF_READERS_PROGRAM_BYTES;
    memcpy(readers->header->program, program, length);
    readers->header->slot_size = sizeof(ff_reader);
    return 0;
}

void ff_readers_close(ff_readers *readers) {
    ff_region_close(&readers->region);
    memset(readers, 0, sizeof *readers);
}

void ff_readers_leave(ff_readers *readers) {
    ff_region *region = &readers->region;
    if (region->base == NULL || region->fd < 0)
        return;
    close(region->fd);
    region->fd = -1;
    if (mmap(region->base, region->size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
        /* No memory: then the parent's slots go on being written, which harms nothing else. */
    }
}

ff_reader *ff_readers_take(ff_readers *readers, unsigned stream, bool measures) {
    ff_readers_header *header = readers->header;
    uint32_t n = atomic_load_explicit(&header->ready, memory_order_relaxed);
    ff_reader *reader = NULL;
    if (readers->region.fd < 0)
        return NULL;
    for (uint32_t i = 0; i < n && reader == NULL; i++) {
        if (atomic_load_explicit(&readers->slots[i].stream, memory_order_relaxed) == 0)
            reader = &readers->slots[i];
    }
    if (reader == NULL) {
        size_t offset = sizeof *header + n * sizeof *reader;
        if (n >= FF_READERS || ff_region_take(&readers->region, offset, sizeof *reader) < 0)
            return NULL;
        reader = &readers->slots[n];
        atomic_store_explicit(&header->ready, n + 1, memory_order_relaxed);
    }
    memset(reader, 0, sizeof *reader);
    reader->measures = measures;
    /* Release: who sees the stream sees the slot of its new owner. */
    atomic_store_explicit(&reader->stream, stream + 1, memory_order_release);
    return reader;
}
