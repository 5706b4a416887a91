#ifndef FASTFEED_CAPTURE_H
#define FASTFEED_CAPTURE_H

/* Who keeps a tape in a file: reads it like any other reader of a ring, and writes what came
 * as *chunks*: a head of one cell, and whole records. No interpreter is needed for it.
 *
 * A file ends with a whole chunk, unless the process or the machine is gone: what could not be
 * written whole, or was overwritten meanwhile, is cut off again. There may be blocks beyond
 * its end until who has opened it truncates it. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fastfeed/tap.h"

enum {
    FF_CHUNK_MAGIC = 0x4b434646, /* "FFCK" */
    FF_CHUNK_MOST = 1 << 20,     /* bytes of records, at most */
};

typedef enum ff_codec {
    FF_CODEC_NONE = 0,
    FF_CODEC_ZSTD = 1,
} ff_codec;

/* Little-endian, as all rows. */
typedef struct ff_chunk {
    uint32_t magic;
    uint32_t crc;    /* CRC-32C of all that follows, with the data */
    uint32_t stored; /* bytes of data */
    uint32_t plain;  /* the same, not compressed */
    uint64_t number; /* of the chunk in the capture, from 0 */
    int64_t recv_ns; /* of the first record */
    uint32_t records;
    uint8_t codec;
    uint8_t _reserved[27];
} ff_chunk;

_Static_assert(sizeof(ff_chunk) == FF_CELL, "a cell");

typedef enum ff_pump_status {
    FF_PUMP_ASKED = 0,  /* everything is done, as asked */
    FF_PUMP_PIECE = 1,  /* there are records to be taken, see ff_pump_wait() */
    FF_PUMP_LAPPED = 2, /* records were overwritten: ff_pump_skip() */
    FF_PUMP_FULL = 3,   /* the file is as long as it shall be */
    FF_PUMP_REACHED = 4 /* everything before `until` is written */
} ff_pump_status;

typedef struct ff_pump {
    const ff_ring *ring;
    uint64_t position; /* of the next record, in cells */
    uint64_t until;    /* not beyond; UINT64_MAX: without an end */
    int64_t flush_ns;  /* records wait no longer */
    int64_t pause_ns;  /* between two looks */
    int64_t since_ns;  /* since when there is something that waits, 0 = nothing does */
    int fd;
    uint64_t file_bytes; /* of whole chunks, and what is before them */
    uint64_t most_bytes; /* of a file; a chunk may go beyond */
    uint64_t reserved;   /* blocks for the file were asked for until there */
    uint64_t number;     /* of the next chunk */
    /* The others are read by other threads as well. */
    _Atomic bool asked;     /* to write what there is, and return */
    _Atomic uint64_t bytes; /* of records that were written, not compressed */
    _Atomic uint64_t stored_bytes;
    _Atomic uint64_t records;
} ff_pump;

/* What is to be written next. */
typedef struct ff_piece {
    const uint8_t *data;
    size_t bytes;
    uint32_t records;
    int64_t recv_ns; /* of the first */
} ff_piece;

void ff_pump_init(ff_pump *pump, const ff_ring *ring, int64_t flush_ns);

/* Wait for a piece that is worth it, or that has waited for long enough. Returns
 * FF_PUMP_PIECE, _ASKED (and there is nothing left), _LAPPED or _REACHED. */
int ff_pump_wait(ff_pump *pump, ff_piece *piece);

/* Fill in the head of a chunk. */
void ff_chunk_init(ff_chunk *chunk, uint64_t number, const ff_piece *piece, ff_codec codec,
                   const void *data, size_t stored);

/* The CRC that a chunk should have. */
uint32_t ff_chunk_crc(const ff_chunk *chunk, const void *data);

/* Read the next chunk of a file: its head, and of its data as much as there is, and room for.
 * Returns how many bytes, 0 at the end of the file, or -errno; *crc is what the chunk should
 * have, where it is whole. */
ptrdiff_t ff_chunk_read(int fd, ff_chunk *chunk, void *data, size_t room, uint32_t *crc);

/* A piece is written, as so many bytes with its head. Returns whether it was whole until
 * now. */
bool ff_pump_done(ff_pump *pump, const ff_piece *piece, size_t file_bytes);

/* Write chunks until there is a reason to return: an ff_pump_status other than _PIECE, or
 * -errno; then the file is cut to what was whole. */
int ff_pump_run(ff_pump *pump);

/* Go on at a position, behind what was lost. Returns how many bytes that is. */
uint64_t ff_pump_skip(ff_pump *pump, uint64_t position);

#endif
