#ifndef FASTFEED_RECEIVER_H
#define FASTFEED_RECEIVER_H

/* A thread that receives for all connections of a hub: it reads from their sockets, lets their
 * machines work through what came, and publishes the rows. Nothing it does waits for Python.
 *
 * What is not rows it puts, as *notes*, where the owner (an event loop) takes it from, in
 * order; a descriptor that the owner watches tells when there is something. A connection whose
 * notes are too many, or that needs the owner before it can go on, is not read until the owner
 * has taken them.
 *
 * A connection is in one of the states of ff_slot_state. The owner brings it in, lets it go on
 * and takes it out; the thread does all between. What belongs to whom:
 *
 *   the lock         states, notes, and what lock.h says
 *   the thread       the windows of machines that are joining, reading or leaving
 *   the owner alone  everything of a connection that is free or has left
 *
 * After fork() the child has no thread; its connections can only be taken out. */

#include "fastfeed/lock.h"
#include "fastfeed/machine.h"

enum {
    FF_RECEIVER_SLOTS = 64,
    FF_RECEIVER_MOST_NOTES = 16 << 20, /* bytes of a connection's notes; one may go beyond */
};

/* Something that is not rows. The data of the frame lie behind it; see ff_receiver_note(). */
typedef struct ff_note {
    struct ff_note *next;
    int status; /* as a step returned it */
    size_t bytes;
    ff_frame frame;
} ff_note;

typedef enum ff_slot_state {
    FF_SLOT_FREE = 0,
    FF_SLOT_JOINING, /* the thread has not looked yet */
    FF_SLOT_READING,
    FF_SLOT_WAITING, /* for the owner, see ff_receiver_go_on() */
    FF_SLOT_ENDED,   /* nothing more will come */
    FF_SLOT_LEAVING, /* the thread has not looked yet */
    FF_SLOT_LEFT,    /* the thread will not touch it again; its notes are still there */
} ff_slot_state;

/* A connection. */
typedef struct ff_slot {
    ff_slot_state state;
    ff_machine machine;
    int fd;       /* closed when it leaves */
    int error;    /* of one that has ended: errno, 0 = the peer has closed it */
    bool pending; /* the window is to be worked through before the next read */
    bool watched; /* by epoll */
    ff_note *first, *last;
    size_t notes, note_bytes;
} ff_slot;

typedef struct ff_receiver {
    ff_lock lock;
    pthread_cond_t left; /* a connection has */
    pthread_t thread;
    bool spin; /* read over and over; otherwise wait with epoll */
    int cpu;   /* for the thread alone, -1 = any */
    bool running;
    bool stop;
    bool orphan;           /* in a child after fork() */
    _Atomic bool changed;  /* the thread has to look at the states */
    int epoll_fd, wake_fd; /* wake_fd ends the thread's waiting */
    int event_fd;          /* the owner's: readable when there is something to take */
    bool told;             /* it is */
    unsigned asked;        /* bit by stream: the owner wants to be told of new rows */
    unsigned dirty;        /* the same: there are some, of which it was not told */
    ff_slot slots[FF_RECEIVER_SLOTS];
    ff_slot *reading[FF_RECEIVER_SLOTS]; /* the thread's list of them */
    size_t reading_count;
    struct ff_receiver *next; /* of all in this process, for fork() */
} ff_receiver;

/* Prepare a receiver that has no thread yet. Returns 0 or -errno; -EINVAL: the thread cannot
 * run on that cpu. */
int ff_receiver_init(ff_receiver *r, bool spin, int cpu);

/* End the thread, close the sockets and forget the notes. */
void ff_receiver_free(ff_receiver *r);

/* Read from a socket for a machine from now on, starting the thread if there is none. The
 * descriptor becomes the receiver's when this returns 0. Else it is -errno; -ENOBUFS: there
 * are as many connections as there can be. */
int ff_receiver_join(ff_receiver *r, const ff_machine *machine, int fd, ff_slot **slot);

/* Take a connection out, and return when the thread has let go of it. Its notes stay. */
void ff_receiver_leave(ff_receiver *r, ff_slot *slot);

/* Forget the notes of a connection that has left; with the last one the thread ends. */
void ff_receiver_forget(ff_receiver *r, ff_slot *slot);

/* Begin to take what there is. Returns the streams with new rows, a bit each. */
unsigned ff_receiver_take(ff_receiver *r);

/* The next note of a connection, the caller's to free(), or NULL. */
ff_note *ff_receiver_note(ff_receiver *r, ff_slot *slot);

/* The same of ticks that are held (FF_HELD) alone. */
ff_note *ff_receiver_held(ff_receiver *r, ff_slot *slot);

/* All notes of a symbol's ticks that are held, in order, linked by `next`. The caller holds
 * the lock. */
ff_note *ff_receiver_held_of(ff_slot *slot, uint32_t symbol);

/* All notes were taken: a connection that waits for that goes on. */
void ff_receiver_go_on(ff_receiver *r, ff_slot *slot);

/* Whether a connection has ended, and all of its notes were taken; *error says why. */
bool ff_receiver_has_ended(ff_receiver *r, ff_slot *slot, int *error);

/* Tell of new rows of a stream from now on, and of those that were not told of yet; or no
 * more. */
void ff_receiver_ask(ff_receiver *r, int stream, bool on);

#endif
