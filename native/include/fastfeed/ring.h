#ifndef FASTFEED_RING_H
#define FASTFEED_RING_H

/* A broadcast ring of fixed-size rows: one writer that never waits, any number of readers that
 * never disturb it.
 *
 * Rows are numbered from 0; row i lives in slot i mod capacity. The memory of the slots is
 * mapped twice, back to back, so any window of up to `capacity` rows is contiguous. Two
 * cursors, each the number of rows before it:
 *
 *   publish   rows below it are complete; moved once for a whole batch
 *   claim     rows below it may be being written; always >= publish
 *
 * The writer moves claim, then writes, then moves publish. A reader loads publish, uses the
 * rows, and then loads claim: row i is what it was as long as claim <= i + capacity. A reader
 * that this check fails has been lapped; it goes on with the oldest row that is still whole
 * and knows how many it lost.
 *
 * Cursors never go back and do not wrap within a lifetime (2^64 rows).
 *
 * Readers in other processes map the ring for reading only, so they cannot damage it. One that
 * wants to sleep says so in the ring's bell, a word in memory of its own that readers may
 * write; the writer looks at it after each publication, and then wakes all that sleep. A bell
 * that says nonsense costs a system call or a reader's delay, nothing else. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fastfeed/status.h"

/* The first page of the mapping, before the rows. The cursors have cache lines of their own.
 */
typedef struct ff_ring_header {
    uint64_t row_size;
    uint64_t capacity;
    _Alignas(128) _Atomic uint64_t claim;
    _Alignas(128) _Atomic uint64_t publish;
    _Atomic int64_t publish_ns;          /* when that was, ns since 1970; 0 = unknown */
    _Alignas(128) _Atomic uint32_t rung; /* how often sleepers were woken; they sleep on it */
} ff_ring_header;

/* Whether somebody sleeps, or is about to. */
typedef struct ff_ring_bell {
    _Alignas(128) _Atomic uint32_t wanted;
} ff_ring_bell;

/* One process's handle. `head` and `claimed` are the writer's own copies of the cursors. */
typedef struct ff_ring {
    ff_ring_header *header;
    ff_ring_bell *bell; /* set by the caller; NULL: nobody is woken */
    uint8_t *rows;
    uint64_t capacity;
    uint64_t mask;
    size_t row_size;
    uint64_t head;
    uint64_t claimed;
    size_t map_bytes;
} ff_ring;

/* Make a ring of `capacity` rows in private memory. capacity: a power of two; row_size: a
 * multiple of 64; together whole pages. Returns 0, or -1 with errno set. Free with
 * ff_ring_close(). */
int ff_ring_create(ff_ring *ring, size_t row_size, uint64_t capacity);

/* Map the ring in the file fd as its writer: the file gets ff_ring_bytes() bytes, and memory
 * for all of them. fd may be closed afterwards. A file of zeros becomes an empty ring; one
 * that was mapped before must have the same geometry. A writer that takes over a ring with a
 * bell calls ff_ring_wake() once: the one before may have died halfway in it. Returns 0, or -1
 * with errno set. */
int ff_ring_map(ff_ring *ring, int fd, size_t row_size, uint64_t capacity);

/* Make the empty file fd a ring without rows, for which there is no memory yet but that of the
 * header: readers can attach before a writer maps it. Returns 0, or -1 with errno set. */
int ff_ring_prepare(int fd, size_t row_size, uint64_t capacity);

/* Map the ring in the file fd for reading; it must have been prepared, or mapped by a writer.
 */
int ff_ring_attach(ff_ring *ring, int fd, size_t row_size, uint64_t capacity);

/* The size of the file behind a ring; 0 when the geometry is not allowed. */
size_t ff_ring_bytes(size_t row_size, uint64_t capacity);

/* Let this process only read from now on; writing is a signal. */
void ff_ring_protect(ff_ring *ring);

/* Unmap. Safe on a zeroed ff_ring. */
void ff_ring_close(ff_ring *ring);

/* ---- the writer ---- */

/* Announce that up to n rows (n <= capacity) are going to be written; returns where the first
 * of them goes. Rows reach readers with ff_ring_advance() and ff_ring_publish(). */
static inline void *ff_ring_claim(ff_ring *ring, uint64_t n) {
    if (ring->head + n > ring->claimed) {
        ring->claimed = ring->head + n;
        atomic_store_explicit(&ring->header->claim, ring->claimed, memory_order_relaxed);
        /* Release fence: pairs with the acquire fence in ff_ring_intact(). Whoever sees a byte
         * of the new row also sees the claim. A release store of the claim would not do: it
         * orders what is before it, and ARM64 may show the row first. */
        atomic_thread_fence(memory_order_release);
    }
    return ring->rows + (ring->head & ring->mask) * ring->row_size;
}

/* n of the claimed rows are written. */
static inline void ff_ring_advance(ff_ring *ring, uint64_t n) {
    ring->head += n;
}

/* Wake all that sleep. */
void ff_ring_wake(ff_ring *ring);

/* Say when the publication is that comes next, 0 = unknown. */
static inline void ff_ring_stamp(ff_ring *ring, int64_t now_ns) {
    atomic_store_explicit(&ring->header->publish_ns, now_ns, memory_order_relaxed);
}

/* Show readers all rows written so far. Release: pairs with the acquire in
 * ff_ring_published(). */
static inline void ff_ring_publish(ff_ring *ring) {
    atomic_store_explicit(&ring->header->publish, ring->head, memory_order_release);
    if (ring->bell != NULL) {
        /* Pairs with the fence in ff_ring_wait(): either this sees that somebody sleeps, or
         * he sees the rows. A store and then a load of another place: x86 and ARM64 both let
         * the load pass the store, whatever is release or acquire. */
        atomic_thread_fence(memory_order_seq_cst);
        if (FF_UNLIKELY(atomic_load_explicit(&ring->bell->wanted, memory_order_relaxed) != 0))
            ff_ring_wake(ring);
    }
}

/* ---- readers ---- */

/* How many rows have been published since the beginning. */
static inline uint64_t ff_ring_published(const ff_ring *ring) {
    return atomic_load_explicit(&ring->header->publish, memory_order_acquire);
}

/* The number of the oldest row that is certainly whole. */
static inline uint64_t ff_ring_oldest(const ff_ring *ring) {
    uint64_t claim = atomic_load_explicit(&ring->header->claim, memory_order_acquire);
    return claim > ring->capacity ? claim - ring->capacity : 0;
}

/* Where row i lies; the rows behind it follow without a break, for up to `capacity` rows. */
static inline const void *ff_ring_row(const ff_ring *ring, uint64_t i) {
    return ring->rows + (i & ring->mask) * ring->row_size;
}

/* Move a reader over the rows that it lost. Returns how many rows are ready at *position; adds
 * what was overwritten to *lost. */
static inline uint64_t ff_ring_poll(const ff_ring *ring, uint64_t *position, uint64_t *lost) {
    /* In this order: the claim is then at least what was published. */
    uint64_t published = ff_ring_published(ring);
    uint64_t oldest = ff_ring_oldest(ring);
    if (oldest > published) /* the writer is in the middle of a claim as large as the ring */
        oldest = published;
    if (*position < oldest) {
        *lost += oldest - *position;
        *position = oldest;
    }
    /* A reader that began with the oldest row may be in front, in such a claim. */
    return *position < published ? published - *position : 0;
}

/* Wait until there is more than `position` rows: look for up to spin_ns (INT64_MAX: without an
 * end) and then sleep, all in all up to timeout_ns. Without a bell nobody wakes, and sleep is
 * short and again and again. Returns whether there is more. It returns early where a signal
 * came, and for no reason. */
bool ff_ring_wait(const ff_ring *ring, uint64_t position, int64_t spin_ns, int64_t timeout_ns);

/* Whether row i and everything after it was whole until now: call after the rows were used. */
static inline bool ff_ring_intact(const ff_ring *ring, uint64_t i) {
    /* Pairs with the release fence in ff_ring_claim(). An acquire load of the claim would not
     * do: it orders what is after it, and ARM64 may load the claim before the rows. */
    atomic_thread_fence(memory_order_acquire);
    uint64_t claim = atomic_load_explicit(&ring->header->claim, memory_order_relaxed);
    return claim <= i + ring->capacity;
}

#endif
