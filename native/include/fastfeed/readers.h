#ifndef FASTFEED_READERS_H
#define FASTFEED_READERS_H

/* What a process reads of a hub: a file of its own for each process that attaches, with a slot
 * for each of its readers. That process writes it; everybody else reads a copy of the file's
 * bytes and never maps it, because its owner could cut it off at any time.
 *
 * The file: ff_readers_header, then the slots. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fastfeed/clock.h"
#include "fastfeed/histogram.h"
#include "fastfeed/region.h"
#include "fastfeed/ring.h"

enum { FF_READERS = 64, FF_READERS_PROGRAM_BYTES = 64 };

typedef struct ff_reader {
    _Alignas(64) _Atomic uint32_t stream; /* 1 + its number; 0 = free */
    uint32_t measures;                    /* publish_to_read is kept */
    _Atomic uint64_t position;
    _Atomic uint64_t lost;
    _Atomic int64_t read_ns; /* when it last read rows, to some milliseconds */
    ff_histogram publish_to_read;
} ff_reader;

typedef struct ff_readers_header {
    _Alignas(64) uint64_t slot_size;
    _Atomic uint32_t ready; /* slots that there is memory for */
    uint32_t _reserved;
    uint8_t program[FF_READERS_PROGRAM_BYTES]; /* ends with the first 0 */
} ff_readers_header;

typedef struct ff_readers {
    ff_region region;
    ff_readers_header *header;
    ff_reader *slots;
} ff_readers;

/* Make slots in the empty file fd, whose lock is kept as long as they are. Returns 0, or -1
 * with errno set. Close with ff_readers_close(). */
int ff_readers_map(ff_readers *readers, int fd, const uint8_t *program, size_t length);

/* Unmap. Safe on a zeroed ff_readers. */
void ff_readers_close(ff_readers *readers);

/* Leave the file to the parent, after a fork: pointers stay good, what is written there is
 * seen by nobody. */
void ff_readers_leave(ff_readers *readers);

/* Take a slot for a reader of a stream. Returns NULL where all are in use or there is no
 * memory. */
ff_reader *ff_readers_take(ff_readers *readers, unsigned stream, bool measures);

/* Give it back. */
static inline void ff_reader_free(ff_reader *reader) {
    atomic_store_explicit(&reader->stream, 0, memory_order_relaxed);
}

/* Measure what took a reader who has just found all rows before `published`: only where the
 * last publication is still that one, since the ring says when it was of that one alone. */
static inline void ff_reader_measure(ff_reader *reader, const ff_ring *ring,
                                     uint64_t published) {
    int64_t at = atomic_load_explicit(&ring->header->publish_ns, memory_order_relaxed);
    if (at > 0 && ff_ring_published(ring) == published)
        ff_histogram_add(&reader->publish_to_read, ff_clock_ns(CLOCK_REALTIME) - at, 1);
}

/* Tell how far a reader is. */
static inline void ff_reader_note(ff_reader *reader, uint64_t position, uint64_t lost) {
    atomic_store_explicit(&reader->position, position, memory_order_relaxed);
    atomic_store_explicit(&reader->lost, lost, memory_order_relaxed);
    /* The coarse clock takes a quarter of the time. */
    atomic_store_explicit(&reader->read_ns, ff_clock_ns(CLOCK_REALTIME_COARSE),
                          memory_order_relaxed);
}

#endif
