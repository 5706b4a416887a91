/* Files that others map: what is refused, what readers cannot do, and that a lack of memory is
 * an error of a call and never a signal. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "fastfeed/journal.h"
#include "fastfeed/latest.h"
#include "fastfeed/region.h"
#include "fastfeed/ring.h"

enum { ROW = 64, CAPACITY = 64, PLACES = 1000, MOST = 1000 };

static int new_file(void) {
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static off_t size_of(int fd) {
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    return status.st_size;
}

/* A second handle on the file, with which nothing can be written. */
static int read_only(int fd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int copy = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(copy >= 0);
    return copy;
}

static void put_word(int fd, off_t at, uint64_t word) {
    CHECK_EQ(pwrite(fd, &word, sizeof word, at), sizeof word);
}

#define CHECK_REFUSED(call, code)                                                             \
    do {                                                                                      \
        errno = 0;                                                                            \
        CHECK_EQ(call, -1);                                                                   \
        CHECK_EQ(errno, code);                                                                \
    } while (0)

/* Writing there ends a process. */
static void check_unwritable(const volatile void *address) {
    pid_t child = fork();
    int status;
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* sanitizers handle it */
        *(volatile uint8_t *)(uintptr_t)address = 1;
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void test_attach_ring(void) {
    ff_ring ring, reader;
    int fd = new_file();
    const size_t bytes = ff_ring_bytes(ROW, CAPACITY);
    CHECK_REFUSED(ff_ring_attach(&reader, -1, ROW, CAPACITY), EBADF);
    CHECK_REFUSED(ff_ring_attach(&reader, fd, ROW, CAPACITY), EINVAL);
    CHECK_EQ(ftruncate(fd, (off_t)bytes), 0);
    CHECK_REFUSED(ff_ring_attach(&reader, fd, ROW, CAPACITY), EINVAL); /* zeros */
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(status.st_blocks, 0); /* and looking took no memory */
    CHECK_EQ(ff_ring_map(&ring, fd, ROW, CAPACITY), 0);
    int reading = read_only(fd);
    CHECK_REFUSED(ff_ring_map(&reader, reading, ROW, CAPACITY), EBADF);
    CHECK_REFUSED(ff_ring_attach(&reader, reading, ROW, CAPACITY * 2), EINVAL);
    CHECK_REFUSED(ff_ring_attach(&reader, reading, ROW * 2, CAPACITY / 2), EINVAL);
    CHECK_REFUSED(ff_ring_attach(&reader, reading, ROW, CAPACITY - 1), EINVAL);
    CHECK(reader.header == NULL);
    ff_ring_close(&reader);

    CHECK_EQ(ff_ring_attach(&reader, reading, ROW, CAPACITY), 0);
    memset(ff_ring_claim(&ring, 1), 7, ROW);
    ff_ring_advance(&ring, 1);
    ff_ring_publish(&ring);
    uint64_t position = 0, lost = 0;
    CHECK_EQ(ff_ring_poll(&reader, &position, &lost), 1);
    CHECK_EQ(((const uint8_t *)ff_ring_row(&reader, 0))[ROW - 1], 7);
    check_unwritable(&reader.header->claim);
    check_unwritable(&reader.header->rung);
    check_unwritable(reader.rows);
    check_unwritable(reader.rows + CAPACITY * ROW); /* in the second mapping */
    CHECK_EQ(mprotect(reader.header, bytes, PROT_READ | PROT_WRITE), -1);
    ff_ring_close(&reader);
    ff_ring_close(&ring);

    /* Not as long as its geometry says. */
    CHECK_EQ(ftruncate(fd, (off_t)bytes - 1), 0);
    CHECK_REFUSED(ff_ring_attach(&reader, reading, ROW, CAPACITY), EINVAL);
    close(fd);
    close(reading);
}

/* A writer that died between the two words of the geometry is no hindrance to the next. */
static void test_half_a_geometry(void) {
    ff_ring ring;
    int fd = new_file();
    put_word(fd, 0, ROW);
    CHECK_REFUSED(ff_ring_attach(&ring, fd, ROW, CAPACITY), EINVAL);
    CHECK_EQ(ff_ring_map(&ring, fd, ROW, CAPACITY), 0);
    CHECK_EQ(ring.header->capacity, CAPACITY);
    ff_ring_close(&ring);
    close(fd);
}

/* A file of another geometry does not become longer by being refused. */
static void test_wrong_ring(void) {
    ff_ring ring, other;
    int fd = new_file();
    CHECK_EQ(ff_ring_map(&ring, fd, ROW, CAPACITY), 0);
    CHECK_REFUSED(ff_ring_map(&other, fd, ROW, CAPACITY * 16), EINVAL);
    CHECK_EQ(size_of(fd), ff_ring_bytes(ROW, CAPACITY));
    ff_ring_close(&ring);
    close(fd);
}

static void test_attach_table_and_journal(void) {
    ff_latest table, table_read;
    ff_journal journal, journal_read;
    int fds[2] = {new_file(), new_file()};
    uint8_t row[ROW] = {1};
    for (int zeros = 0; zeros < 2; zeros++) {
        CHECK_REFUSED(ff_latest_attach(&table_read, fds[0], ROW, PLACES), EINVAL);
        CHECK_REFUSED(ff_journal_attach(&journal_read, fds[1], MOST), EINVAL);
        CHECK_EQ(ftruncate(fds[0], zeros ? 0 : 1 << 20), 0);
        CHECK_EQ(ftruncate(fds[1], zeros ? 0 : 1 << 20), 0);
    }
    CHECK_EQ(ff_latest_map(&table, fds[0], ROW, PLACES), 0);
    CHECK_EQ(ff_latest_put(&table, 0, row), 0);
    CHECK_EQ(ff_journal_map(&journal, fds[1], MOST), 0);
    CHECK_EQ(ff_journal_room(&journal), 0);
    ff_journal_add(&journal, 0, 0, row, 1);
    int reading[2] = {read_only(fds[0]), read_only(fds[1])};
    CHECK_EQ(ff_latest_attach(&table_read, reading[0], ROW, PLACES), 0);
    CHECK_EQ(ff_journal_attach(&journal_read, reading[1], MOST), 0);
    CHECK_EQ(ff_latest_copy(&table_read, 0, row), 1);
    CHECK_EQ(ff_latest_copy(&table_read, PLACES, row), 0);
    CHECK_EQ(ff_journal_count(&journal_read), 1);
    check_unwritable(table_read.header);
    check_unwritable(table_read.slots);
    check_unwritable(journal_read.header);
    check_unwritable(journal_read.entries);
    ff_latest_close(&table_read);
    ff_journal_close(&journal_read);

    /* What a writer used is not another one's, and is not cut off under its readers. */
    ff_latest other_table;
    ff_journal other_journal;
    const off_t sizes[2] = {size_of(fds[0]), size_of(fds[1])};
    for (unsigned n = 1; n <= 4; n *= 4) {
        CHECK_REFUSED(ff_latest_map(&other_table, fds[0], ROW, PLACES / n), EEXIST);
        CHECK_REFUSED(ff_journal_map(&other_journal, fds[1], MOST / n), EEXIST);
        CHECK_EQ(size_of(fds[0]), sizes[0]);
        CHECK_EQ(size_of(fds[1]), sizes[1]);
    }
    CHECK_EQ(ff_latest_copy(&table, 0, row), 1);
    ff_latest_close(&table);
    ff_journal_close(&journal);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ftruncate(fds[i], sizes[i] - 1), 0);
        close(fds[i]);
    }
    CHECK_REFUSED(ff_latest_attach(&table_read, reading[0], ROW, PLACES), EINVAL);
    CHECK_REFUSED(ff_journal_attach(&journal_read, reading[1], MOST), EINVAL);
    close(reading[0]);
    close(reading[1]);
}

static void test_region(void) {
    ff_region region, other;
    const size_t page = ff_whole_pages(1), size = 16 * page;
    CHECK_EQ(ff_whole_pages(0), 0);
    CHECK_EQ(ff_whole_pages(page), page);
    CHECK_EQ(ff_whole_pages(page + 1), 2 * page);
    CHECK_EQ(ff_region_create(&region, size), 0);
    struct stat status;
    CHECK_EQ(ff_region_take(&region, 0, 0), 0);
    CHECK_EQ(fstat(region.fd, &status), 0);
    CHECK_EQ(status.st_blocks, 0); /* addresses only */
    CHECK_EQ(ff_region_take(&region, page + 5, page), 0);
    CHECK_EQ(fstat(region.fd, &status), 0);
    CHECK_EQ(status.st_blocks * 512, 2 * page);
    CHECK_EQ(region.base[page + 5], 0);
    region.base[page + 5] = 9;
    CHECK_EQ(ff_region_take(&region, 0, size), 0);
    CHECK_EQ(region.base[page + 5], 9);
    CHECK_EQ(ff_region_take(&region, 0, size + 1), -FF_ENOMEM);
    CHECK_EQ(ff_region_take(&region, size, 1), -FF_ENOMEM);
    CHECK_EQ(ff_region_take(&region, size + 1, 0), -FF_ENOMEM);
    CHECK_EQ(ff_region_take(&region, SIZE_MAX, SIZE_MAX), -FF_ENOMEM);
    CHECK_EQ(ff_region_take(&region, page, SIZE_MAX), -FF_ENOMEM);

    int fd = read_only(region.fd);
    CHECK_REFUSED(ff_region_attach(&other, fd, size), EINVAL); /* not begun */
    CHECK_REFUSED(ff_region_join(&other, fd, size), EACCES);
    CHECK_REFUSED(ff_region_join(&other, region.fd, size + 1), EINVAL);
    CHECK_EQ(ff_region_join(&other, region.fd, size), 0); /* zeros will do */
    other.base[page + 5] = 8;
    CHECK_EQ(region.base[page + 5], 8);
    ff_region_protect(&other);
    check_unwritable(other.base);
    region.base[page + 5] = 9;
    ff_region_close(&other);
    region.base[0] = 1;
    CHECK_REFUSED(ff_region_attach(&other, fd, size + 1), EINVAL);
    CHECK_EQ(ff_region_attach(&other, fd, size), 0);
    CHECK_EQ(other.base[page + 5], 9);
    CHECK_EQ(other.fd, -1);
    check_unwritable(other.base);
    close(fd);
    ff_region_close(&other);
    ff_region_close(&other);
    ff_region_close(&region);
    CHECK(region.base == NULL && region.fd == -1);
    CHECK_REFUSED(ff_region_attach(&other, -1, size), EBADF);
    CHECK_REFUSED(ff_region_map(&other, -1, size), EBADF);
    CHECK(other.base == NULL && other.fd == -1);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number) {
    (void)number;
    alarms = alarms + 1;
}

/* A signal breaks off what the kernel does here; many of them are no lack of memory. */
static void test_signals(void) {
    ff_region region;
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, 4000}, {0, 4000}}, never = {{0, 0}, {0, 0}};
    const size_t size = (size_t)64 << 20;
    CHECK_EQ(sigaction(SIGPROF, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_PROF, &often, NULL), 0);
    for (int i = 0; i < 100 && (alarms < 4 || i < 2); i++) {
        CHECK_EQ(ff_region_create(&region, size), 0);
        CHECK_EQ(ff_region_take(&region, 0, size), 0);
        ff_region_close(&region);
    }
    CHECK_EQ(setitimer(ITIMER_PROF, &never, NULL), 0);
    CHECK(alarms >= 4);
}

/* Refused before the first row, whatever the reason. */
static void test_file_too_large(void) {
    ff_ring ring;
    ff_latest table;
    ff_journal journal;
    struct rlimit old, small;
    int fd = new_file();
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){8192, old.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    CHECK_REFUSED(ff_ring_map(&ring, fd, ROW, CAPACITY * 16), EFBIG);
    CHECK_REFUSED(ff_ring_create(&ring, ROW, CAPACITY * 16), EFBIG);
    CHECK_REFUSED(ff_latest_create(&table, ROW, PLACES), EFBIG);
    CHECK_REFUSED(ff_journal_map(&journal, fd, MOST), EFBIG);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    CHECK_EQ(ff_ring_map(&ring, fd, ROW, CAPACITY), 0);
    ff_ring_close(&ring);
    close(fd);
}

static int file_in(const char *folder, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    return fd;
}

/* In a file system of one megabyte. Everything that was there before stays usable. */
static void check_no_space(const char *folder) {
    ff_ring ring, small;
    ff_latest table;
    ff_journal journal;
    ff_region region;
    uint64_t row[ROW / 8] = {0}, puts = 0, adds = 0;
    int ring_fd = file_in(folder, "ring"), table_fd = file_in(folder, "table");
    int journal_fd = file_in(folder, "journal"), small_fd = file_in(folder, "small");
    CHECK_REFUSED(ff_ring_map(&ring, ring_fd, ROW, 1 << 15), ENOSPC);
    CHECK_REFUSED(ff_ring_attach(&ring, ring_fd, ROW, 1 << 15), EINVAL);
    CHECK_EQ(ftruncate(ring_fd, 0), 0);
    CHECK_EQ(ff_ring_map(&small, small_fd, ROW, CAPACITY), 0);
    CHECK_EQ(ff_latest_map(&table, table_fd, ROW, 1 << 20), 0);
    CHECK_EQ(ff_journal_map(&journal, journal_fd, 1 << 20), 0);
    while (puts < 1 << 20) {
        row[0] = puts;
        int rc = ff_latest_put(&table, puts, row);
        if (rc != 0) {
            CHECK_EQ(rc, -FF_ENOMEM);
            break;
        }
        puts++;
    }
    CHECK(puts > 1000 && puts < 1 << 14);
    while (adds < 1 << 20 && ff_journal_room(&journal) == 0) {
        ff_journal_add(&journal, 0, 0, (const uint8_t *)"X", 1);
        adds++;
    }
    CHECK(adds > 100 && adds < 1 << 20);
    CHECK_EQ(ff_journal_room(&journal), -FF_ENOMEM);

    /* The last pages are taken. Now a file with a hole: looking at it takes none. */
    int filler = file_in(folder, "filler");
    for (off_t at = 0; posix_fallocate(filler, at, 4096) == 0; at += 4096)
        CHECK(at < 1 << 20);
    CHECK_EQ(ftruncate(ring_fd, 1 << 24), 0);
    CHECK_REFUSED(ff_ring_attach(&ring, ring_fd, ROW, CAPACITY), EINVAL);
    CHECK_REFUSED(ff_region_attach(&region, ring_fd, 1 << 20), EINVAL);
    CHECK_REFUSED(ff_latest_attach(&(ff_latest){0}, ring_fd, ROW, PLACES), EINVAL);
    CHECK_REFUSED(ff_journal_attach(&(ff_journal){0}, ring_fd, MOST), EINVAL);

    for (uint64_t i = 0; i < 1 << 20; i += i < puts + 10 ? 1 : 1000) {
        CHECK_EQ(ff_latest_copy(&table, i, row), i < puts);
        CHECK(i >= puts || row[0] == i);
    }
    CHECK_EQ(ff_latest_put(&table, 0, row), 0);
    CHECK_EQ(ff_latest_put(&table, puts, row), -FF_ENOMEM);
    for (unsigned i = 0; i < 3; i++) {
        memset(ff_ring_claim(&small, CAPACITY), 1, CAPACITY * ROW);
        ff_ring_advance(&small, CAPACITY);
        ff_ring_publish(&small);
    }
    ff_ring_close(&small);
    CHECK_EQ(ff_ring_map(&small, small_fd, ROW, CAPACITY), 0); /* its memory is its own */
    ff_ring_close(&small);
    ff_latest_close(&table);
    ff_journal_close(&journal);
}

static void test_no_space(void) {
    enum { CANNOT_MOUNT = 77 };
    pid_t child = fork();
    int status;
    CHECK(child >= 0);
    if (child == 0) {
        char folder[] = "/tmp/fastfeed-test-XXXXXX";
        CHECK(mkdtemp(folder) != NULL);
        /* Mounts of its own: for root, or where users may have a name space. */
        bool mounted =
            (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount("fastfeed", folder, "tmpfs", 0, "size=1m") == 0;
        if (mounted) {
            check_no_space(folder);
            CHECK_EQ(umount2(folder, MNT_DETACH), 0);
        }
        rmdir(folder);
        exit(mounted ? 0 : CANNOT_MOUNT);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT_MOUNT)
        printf("no file system of a small size: cannot mount one\n");
    else
        CHECK_EQ(WEXITSTATUS(status), 0);
}

int main(void) {
    test_attach_ring();
    test_half_a_geometry();
    test_wrong_ring();
    test_attach_table_and_journal();
    test_region();
    test_signals();
    test_file_too_large();
    test_no_space();
    return 0;
}
