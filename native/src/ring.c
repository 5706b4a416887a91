#include "fastfeed/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t header_bytes(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (sizeof(ff_ring_header) + page - 1) / page * page;
}

size_t ff_ring_bytes(size_t row_size, uint64_t capacity) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (row_size == 0 || row_size % 64 != 0 || row_size > 1u << 20)
        return 0;
    if (capacity == 0 || (capacity & (capacity - 1)) != 0 || capacity > (uint64_t)1 << 32)
        return 0;
    uint64_t rows = row_size * capacity;
    if (rows % page != 0 || rows > SIZE_MAX / 4)
        return 0;
    return header_bytes() + (size_t)rows;
}

int ff_ring_map(ff_ring *ring, int fd, size_t row_size, uint64_t capacity) {
    memset(ring, 0, sizeof *ring);
    size_t bytes = ff_ring_bytes(row_size, capacity);
    if (bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    size_t header = header_bytes(), rows = bytes - header, total = bytes + rows;

    /* Reserve the addresses first, then lay the file over them: header, rows, and the rows
     * again. */
    uint8_t *base = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return -1;
    int flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE; /* no page faults on the first lap */
    if (mmap(base, bytes, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED ||
        mmap(base + bytes, rows, PROT_READ | PROT_WRITE, flags, fd, (off_t)header) ==
            MAP_FAILED) {
        int saved = errno;
        munmap(base, total);
        errno = saved;
        return -1;
    }

    ff_ring_header *found = (ff_ring_header *)(void *)base;
    if ((found->row_size != 0 && found->row_size != row_size) ||
        (found->capacity != 0 && found->capacity != capacity)) {
        munmap(base, total);
        errno = EINVAL;
        return -1;
    }
    ring->header = found;
    ring->rows = base + header;
    ring->capacity = capacity;
    ring->mask = capacity - 1;
    ring->row_size = row_size;
    ring->map_bytes = total;
    ring->header->row_size = row_size;
    ring->header->capacity = capacity;
    ring->head = ff_ring_published(ring);
    ring->claimed = atomic_load_explicit(&ring->header->claim, memory_order_relaxed);
    return 0;
}

int ff_ring_create(ff_ring *ring, size_t row_size, uint64_t capacity) {
    memset(ring, 0, sizeof *ring);
    size_t bytes = ff_ring_bytes(row_size, capacity);
    if (bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    int fd = memfd_create("fastfeed", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = ftruncate(fd, (off_t)bytes);
    if (rc == 0)
        rc = ff_ring_map(ring, fd, row_size, capacity);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

void ff_ring_close(ff_ring *ring) {
    if (ring->header != NULL)
        munmap(ring->header, ring->map_bytes);
    memset(ring, 0, sizeof *ring);
}
