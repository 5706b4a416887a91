#ifndef FASTFEED_LOCK_H
#define FASTFEED_LOCK_H

/* The lock of a hub whose rows a receiver thread writes. It guards the symbol tables, the
 * writers' side of the rings and of the tables of last rows, and the machines.
 *
 * The thread holds it while it works through one read. Whoever else takes it does so for a few
 * steps in C: no Python code may run meanwhile, and no other thread may be given the
 * interpreter, for then the thread, and with it every tick, would wait for Python.
 *
 * A mutex alone lets the thread have it again and again, before the one that waits has woken
 * up. Hence the count, which the thread looks at between two reads. */

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct ff_lock {
    pthread_mutex_t mutex;
    _Atomic unsigned waiting; /* for the mutex, in vain so far; a hint, hence relaxed */
} ff_lock;

/* NULL: there is no thread, and nothing to do. */
static inline void ff_lock_take(ff_lock *lock) {
    if (lock == NULL)
        return;
    atomic_fetch_add_explicit(&lock->waiting, 1, memory_order_relaxed);
    pthread_mutex_lock(&lock->mutex);
    atomic_fetch_sub_explicit(&lock->waiting, 1, memory_order_relaxed);
}

static inline void ff_lock_give(ff_lock *lock) {
    if (lock != NULL)
        pthread_mutex_unlock(&lock->mutex);
}

#endif
