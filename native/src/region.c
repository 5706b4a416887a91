#include "fastfeed/region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fastfeed/status.h"

size_t ff_whole_pages(size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (n + page - 1) / page * page;
}

int ff_file_take(int fd, size_t offset, size_t length) {
    /* A signal undoes the piece that is being taken: small enough to be done between two. */
    const size_t piece = (size_t)4 << 20;
    while (length > 0) {
        size_t n = length < piece ? length : piece;
        int failed = posix_fallocate(fd, (off_t)offset, (off_t)n);
        if (failed == EINTR)
            continue;
        if (failed != 0)
            return failed;
        offset += n;
        length -= n;
    }
    return 0;
}

static int map(ff_region *region, int fd, size_t size, int protection) {
    void *base = mmap(NULL, size, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED)
        return -1;
    region->base = base;
    region->size = size;
    return 0;
}

static void close_keeping_errno(int fd) {
    int saved = errno;
    close(fd);
    errno = saved;
}

int ff_region_map(ff_region *region, int fd, size_t size) {
    struct stat status;
    *region = (ff_region){.fd = -1};
    if (fstat(fd, &status) < 0)
        return -1;
    if (status.st_size > (off_t)size) { /* others may have mapped what would be cut off */
        errno = EEXIST;
        return -1;
    }
    region->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (region->fd < 0)
        return -1;
    if (ftruncate(region->fd, (off_t)size) < 0 ||
        map(region, region->fd, size, PROT_READ | PROT_WRITE) < 0) {
        close_keeping_errno(region->fd);
        region->fd = -1;
        return -1;
    }
    return 0;
}

int ff_region_create(ff_region *region, size_t size) {
    int fd = memfd_create("fastfeed", MFD_CLOEXEC);
    if (fd < 0) {
        *region = (ff_region){.fd = -1};
        return -1;
    }
    int rc = ff_region_map(region, fd, size);
    close_keeping_errno(fd);
    return rc;
}

/* Whether a file is long enough: reading behind its end would be a signal. */
static bool reaches(int fd, size_t size) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return false;
    if ((uint64_t)status.st_size >= size)
        return true;
    errno = EINVAL;
    return false;
}

int ff_region_attach(ff_region *region, int fd, size_t size) {
    uint64_t first = 0;
    *region = (ff_region){.fd = -1};
    if (!reaches(fd, size) || pread(fd, &first, sizeof first, 0) < 0)
        return -1;
    if (first == 0) { /* where memory is short, reading in a hole would be a signal as well */
        errno = EINVAL;
        return -1;
    }
    return map(region, fd, size, PROT_READ);
}

int ff_region_join(ff_region *region, int fd, size_t size) {
    *region = (ff_region){.fd = -1};
    return reaches(fd, size) ? map(region, fd, size, PROT_READ | PROT_WRITE) : -1;
}

void ff_region_protect(ff_region *region) {
    if (region->base != NULL)
        mprotect(region->base, region->size, PROT_READ);
}

void ff_region_close(ff_region *region) {
    if (region->base != NULL) {
        munmap(region->base, region->size);
        if (region->fd >= 0)
            close(region->fd);
    }
    *region = (ff_region){.fd = -1};
}

int ff_region_take(ff_region *region, size_t offset, size_t length) {
    if (offset > region->size || length > region->size - offset)
        return -FF_ENOMEM;
    return ff_file_take(region->fd, offset, length) != 0 ? -FF_ENOMEM : 0;
}
