#include "fastfeed/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fastfeed/clock.h"
#include "fastfeed/crc32c.h"

enum {
    WORTH = 1 << 19,          /* bytes that are written without waiting for more */
    MOST_PAUSE_NS = 20000000, /* a stop is noticed after it */
    LEAST_PAUSE_NS = 250000,
    FASTEST = 4,             /* bytes in a ns: nobody records faster */
    MOST_RESERVED = 1 << 26, /* bytes of a file, beyond its end */
};

void ff_pump_init(ff_pump *pump, const ff_ring *ring, int64_t flush_ns) {
    *pump = (ff_pump){.ring = ring, .until = UINT64_MAX, .flush_ns = flush_ns, .fd = -1};
    /* So that it is never lapped only because it sleeps: a quarter of the ring at a time. */
    pump->pause_ns = (int64_t)(ring->capacity * ring->row_size / 4 / FASTEST);
    if (pump->pause_ns > MOST_PAUSE_NS)
        pump->pause_ns = MOST_PAUSE_NS;
    if (pump->pause_ns < LEAST_PAUSE_NS)
        pump->pause_ns = LEAST_PAUSE_NS;
    if (pump->pause_ns > flush_ns)
        pump->pause_ns = flush_ns;
}

/* The whole records at the beginning of what there is. They may be overwritten meanwhile:
 * nothing in them is believed, and ff_pump_done() tells. */
static bool find_piece(const ff_pump *pump, uint64_t cells, ff_piece *piece) {
    const uint8_t *data = ff_ring_row(pump->ring, pump->position);
    size_t length = (size_t)cells * FF_CELL;
    ff_record record;
    *piece = (ff_piece){.data = data};
    if (length > FF_CHUNK_MOST)
        length = FF_CHUNK_MOST;
    for (;;) {
        const ptrdiff_t bytes =
            ff_record_at(data + piece->bytes, length - piece->bytes, &record);
        if (bytes <= 0)
            break;
        if (piece->records == 0)
            piece->recv_ns = record.recv_ns;
        piece->bytes += (size_t)bytes;
        piece->records++;
    }
    return piece->bytes > 0;
}

static void sleep_for(int64_t ns) {
    struct timespec time = {ns / 1000000000, ns % 1000000000};
    nanosleep(&time, NULL);
}

int ff_pump_wait(ff_pump *pump, ff_piece *piece) {
    for (;;) {
        /* Before the look: what was recorded before it was asked is written. */
        const bool asked = atomic_load_explicit(&pump->asked, memory_order_acquire);
        uint64_t position = pump->position, lost = 0;
        uint64_t ready = ff_ring_poll(pump->ring, &position, &lost);
        if (lost > 0)
            return FF_PUMP_LAPPED;
        if (pump->until != UINT64_MAX) {
            if (pump->position >= pump->until)
                return FF_PUMP_REACHED;
            if (ready > pump->until - pump->position)
                ready = pump->until - pump->position;
        }
        if (ready == 0 && asked)
            return FF_PUMP_ASKED;
        const int64_t now = ready > 0 ? ff_clock_ns(CLOCK_MONOTONIC) : 0;
        if (ready > 0 && pump->since_ns == 0)
            pump->since_ns = now;
        if (ready * FF_CELL >= WORTH || asked || pump->until != UINT64_MAX ||
            (ready > 0 && now - pump->since_ns >= pump->flush_ns)) {
            if (find_piece(pump, ready, piece))
                return FF_PUMP_PIECE;
            if (!ff_ring_intact(pump->ring, pump->position))
                return FF_PUMP_LAPPED;
            if (ready > 0) /* what is published are records */
                return -EIO;
        }
        sleep_for(pump->pause_ns);
    }
}

uint32_t ff_chunk_crc(const ff_chunk *chunk, const void *data) {
    const size_t before = offsetof(ff_chunk, stored);
    const uint32_t crc = ff_crc32c(0, (const uint8_t *)chunk + before, sizeof *chunk - before);
    return ff_crc32c(crc, data, chunk->stored);
}

void ff_chunk_init(ff_chunk *chunk, uint64_t number, const ff_piece *piece, ff_codec codec,
                   const void *data, size_t stored) {
    *chunk = (ff_chunk){
        .magic = FF_CHUNK_MAGIC,
        .stored = (uint32_t)stored,
        .plain = (uint32_t)piece->bytes,
        .number = number,
        .recv_ns = piece->recv_ns,
        .records = piece->records,
        .codec = (uint8_t)codec,
    };
    chunk->crc = ff_chunk_crc(chunk, data);
}

/* Returns how many bytes, less than asked for only at the end of the file, or -errno. */
static ptrdiff_t read_all(int fd, void *place, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        const ssize_t n = read(fd, (uint8_t *)place + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ptrdiff_t)done;
}

ptrdiff_t ff_chunk_read(int fd, ff_chunk *chunk, void *data, size_t room, uint32_t *crc) {
    const ptrdiff_t head = read_all(fd, chunk, sizeof *chunk);
    if (head < (ptrdiff_t)sizeof *chunk || chunk->stored > room)
        return head;
    const ptrdiff_t n = read_all(fd, data, chunk->stored);
    if (n < 0)
        return n;
    if ((size_t)n == chunk->stored)
        *crc = ff_chunk_crc(chunk, data);
    return head + n;
}

static void count_up(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

bool ff_pump_done(ff_pump *pump, const ff_piece *piece, size_t file_bytes) {
    if (!ff_ring_intact(pump->ring, pump->position))
        return false;
    pump->position += piece->bytes / FF_CELL;
    pump->since_ns = 0;
    pump->number++;
    pump->file_bytes += file_bytes;
    count_up(&pump->bytes, piece->bytes);
    count_up(&pump->stored_bytes, file_bytes);
    count_up(&pump->records, piece->records);
    return true;
}

/* Returns 0 or -errno. */
static int write_all(int fd, const ff_chunk *chunk, const uint8_t *data) {
    const size_t total = sizeof *chunk + chunk->stored;
    size_t done = 0;
    while (done < total) {
        struct iovec parts[2] = {{(void *)(uintptr_t)chunk, sizeof *chunk},
                                 {(void *)(uintptr_t)data, chunk->stored}};
        int first = 0;
        if (done < sizeof *chunk) {
            parts[0].iov_base = (uint8_t *)parts[0].iov_base + done;
            parts[0].iov_len -= done;
        } else {
            first = 1;
            parts[1].iov_base = (uint8_t *)parts[1].iov_base + (done - sizeof *chunk);
            parts[1].iov_len -= done - sizeof *chunk;
        }
        const ssize_t n = writev(fd, parts + first, 2 - first);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        done += (size_t)n;
    }
    return 0;
}

/* Cut off what is not whole. */
static int cut(const ff_pump *pump) {
    while (ftruncate(pump->fd, (off_t)pump->file_bytes) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return lseek(pump->fd, (off_t)pump->file_bytes, SEEK_SET) < 0 ? -errno : 0;
}

/* Have blocks ready beyond the end of the file, as many as it has, but none that it shall not
 * get: a write costs a third less then. Where that cannot be, they are found as it is
 * written. */
static void reserve(ff_pump *pump) {
    const uint64_t end = pump->file_bytes;
    const uint64_t needed = end + sizeof(ff_chunk) + FF_CHUNK_MOST;
    if (needed <= pump->reserved)
        return;
    const uint64_t from = pump->reserved > end ? pump->reserved : end;
    uint64_t until = from + (end < MOST_RESERVED ? end : MOST_RESERVED);
    if (until > pump->most_bytes)
        until = pump->most_bytes;
    if (until < needed)
        until = needed;
    (void)fallocate(pump->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(until - from));
    pump->reserved = until;
}

int ff_pump_run(ff_pump *pump) {
    for (;;) {
        ff_piece piece;
        ff_chunk chunk;
        if (pump->file_bytes >= pump->most_bytes && pump->until == UINT64_MAX)
            return FF_PUMP_FULL;
        int status = ff_pump_wait(pump, &piece);
        if (status != FF_PUMP_PIECE)
            return status;
        reserve(pump);
        ff_chunk_init(&chunk, pump->number, &piece, FF_CODEC_NONE, piece.data, piece.bytes);
        status = write_all(pump->fd, &chunk, piece.data);
        if (status == 0 && ff_pump_done(pump, &piece, sizeof chunk + piece.bytes))
            continue;
        const int failed = cut(pump);
        if (status == 0)
            status = failed < 0 ? failed : FF_PUMP_LAPPED;
        return status;
    }
}

uint64_t ff_pump_skip(ff_pump *pump, uint64_t position) {
    const uint64_t lost = position > pump->position ? position - pump->position : 0;
    pump->position = position;
    pump->since_ns = 0;
    return lost * FF_CELL;
}
