#ifndef FASTFEED_CLOCK_H
#define FASTFEED_CLOCK_H

#include <stdint.h>
#include <time.h>

/* What a clock says, in ns. */
static inline int64_t ff_clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
