#ifndef FASTFEED_WINDOW_H
#define FASTFEED_WINDOW_H

/* The receive window of a machine: one piece of memory that is used again and again.
 *
 * What is complete is decoded where it lies; the beginning of what is not is moved to the
 * front before the next read. The window grows up to the largest packet allowed, and only as
 * far as bytes really arrive. */

#include <stddef.h>
#include <stdint.h>

typedef struct ff_window {
    uint8_t *data;
    size_t size;
    size_t first_size; /* what it goes back to */
    size_t start;      /* consumed up to here */
    size_t end;        /* received up to here */
} ff_window;

/* Returns 0 or -FF_ENOMEM. */
int ff_window_init(ff_window *w, size_t bytes);
void ff_window_free(ff_window *w);

/* A place for at least `want` bytes; *room says how many fit. NULL: no memory. Moves what is
 * in the window. */
uint8_t *ff_window_space(ff_window *w, size_t want, size_t *room);

/* n bytes were received there. */
static inline void ff_window_commit(ff_window *w, size_t n) {
    w->end += n;
}

/* Forget what was received. */
static inline void ff_window_clear(ff_window *w) {
    w->start = w->end = 0;
}

#endif
