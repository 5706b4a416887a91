#ifndef FASTFEED_LOAD_H
#define FASTFEED_LOAD_H

/* The load generator of the benches: ready-made packets into a socket, as fast as they are
 * read or each at its time; and what is measured beside it.
 *
 * Every function works on a state of the caller's and comes back now and then, so that signals
 * can be looked at: it is called again until it returns something else than FF_LOAD_AGAIN. All
 * memory is the caller's. Sockets may be blocking or not. */

#include <stddef.h>
#include <stdint.h>

enum {
    FF_LOAD_PIECE = 1 << 17,      /* bytes that stay in the cache while they are sent */
    FF_LOAD_TOGETHER = 1 << 16,   /* bytes of due packets that go with one send */
    FF_LOAD_SPIN_NS = 150000,     /* before a packet's time sleeping is not exact enough */
    FF_LOAD_AGAIN_NS = 100000000, /* a call does not last longer than that */
    FF_LOAD_LOOK_NS = 10000000, /* so often the peer is looked at, however late packets are */
    FF_LOAD_PAUSE_NS = 1000,    /* a longer one between two looks at the clock counts */
    FF_LOAD_VARINT = 9,         /* bytes of a sequence as a varint, of 57 to 63 bits */
    FF_LOAD_DIGITS = 19,        /* bytes of a sequence in decimal, zeros in front */
};

/* What a call returns besides -errno. */
typedef enum ff_load_status {
    FF_LOAD_DONE = 0,
    FF_LOAD_AGAIN,   /* call again */
    FF_LOAD_ASKED,   /* the peer has said something, or hung up: read it, then call again */
    FF_LOAD_STOPPED, /* there is something to be read from the descriptor for that */
} ff_load_status;

/* How a sequence is written. */
typedef enum ff_load_form {
    FF_LOAD_AS_VARINT = 0,
    FF_LOAD_AS_DIGITS,
} ff_load_form;

/* A number that is added to sequences where they lie. */
typedef struct ff_load_step {
    ff_load_form form;
    uint64_t part[3]; /* its digits, one a byte, the last ones first */
} ff_load_step;

/* Prepare a step. Returns 0, or -ERANGE: it has more digits than a sequence. */
int ff_load_step_init(ff_load_step *step, ff_load_form form, uint64_t number);

/* Add the step to a sequence of FF_LOAD_VARINT or FF_LOAD_DIGITS bytes. */
void ff_load_step_add(const ff_load_step *step, uint8_t *sequence);

/* The sequence at a place, or -EINVAL where none of that form is. */
int64_t ff_load_sequence(const uint8_t *sequence, ff_load_form form);

/* A block of packets that is sent again and again; every time each sequence is greater by the
 * step than before, beginning with those that the block has. */
typedef struct ff_blast {
    uint8_t *block; /* is written to */
    size_t length;
    const uint64_t *places; /* of sequences in the block, rising */
    size_t count;
    ff_load_step step;
    uint64_t repeat;
    /* How far it is. */
    uint64_t turn;
    size_t at;    /* sent of the block */
    size_t piece; /* up to there its sequences are those of this turn */
    size_t next;  /* the first place behind that */
    /* What was measured. */
    uint64_t bytes;
    int64_t began_ns, ended_ns; /* CLOCK_MONOTONIC */
    int64_t waited_ns;          /* for the receiver to make room */
} ff_blast;

/* Prepare a blast. Returns 0, or -EINVAL: a place is not in the block, not behind the one
 * before, or has no sequence; -ERANGE: a sequence would not fit any more in the last turn. */
int ff_blast_init(ff_blast *blast, uint8_t *block, size_t length, const uint64_t *places,
                  size_t count, ff_load_form form, uint64_t step, uint64_t repeat);

/* Send. stop_fd may be -1. What the peer says stays unread. */
int ff_blast_run(ff_blast *blast, int fd, int stop_fd);

/* Packets that each have a time: an open loop, in which a late one does not delay the times of
 * those after it. What is due together is sent together. */
typedef struct ff_paced {
    const uint8_t *data;
    const uint64_t *ends; /* of packets in the data */
    const int64_t *times; /* CLOCK_REALTIME, not negative */
    size_t count;
    int64_t *late; /* out: ns from a packet's time until the kernel was given its end */
    size_t next;   /* the first packet that is not sent */
    size_t begun;  /* bytes of it that are */
} ff_paced;

/* Send. Returns FF_LOAD_ASKED between whole packets only. stop_fd may be -1. */
int ff_paced_run(ff_paced *paced, int fd, int stop_fd);

/* Bytes that are read and not looked at. */
typedef struct ff_drain {
    uint8_t *window;
    size_t size;
    uint64_t left;  /* bytes that shall come */
    uint64_t reads; /* out: how many brought something */
} ff_drain;

/* Read. Returns -ECONNRESET when the peer hangs up before everything came. */
int ff_drain_run(ff_drain *drain, int fd);

/* A loop that does nothing but look at the clock. */
typedef struct ff_jitter {
    int64_t left_ns;
    int64_t stolen_ns;  /* out: of all pauses above FF_LOAD_PAUSE_NS */
    int64_t longest_ns; /* out: the longest time between two looks */
} ff_jitter;

int ff_jitter_run(ff_jitter *jitter);

#endif
