/* What the receiver thread is measured against: a loop that receives, decodes and publishes;
 * and what it is measured with: somebody who watches a ring without being in the way. */

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fastfeed/ring.h"
#include "loop.h"

/* How many rows there are, and since when. That is how it lies in a ring's header, too. */
typedef struct board {
    _Alignas(128) _Atomic uint64_t publish;
    _Atomic int64_t publish_ns;
} board;

_Static_assert(offsetof(ff_ring_header, publish_ns) - offsetof(ff_ring_header, publish) ==
                   offsetof(board, publish_ns),
               "a ring's header has a board");

/* The board of a ring with these rows: its header is in the page before them. */
const board *receive_board(const uint8_t *rows) {
    const uint8_t *header = rows - sysconf(_SC_PAGESIZE);
    return (const board *)(const void *)(header + offsetof(ff_ring_header, publish));
}

board *receive_new_board(void) {
    board *made = aligned_alloc(128, sizeof *made);
    if (made != NULL)
        *made = (board){0};
    return made;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- the loop ---- */

enum { BY_SPINNING, BY_EPOLL };

/* Receive, decode and publish until there are `rows` rows. Returns the number of reads that
 * brought something, or -1. */
int64_t receive_rows(loop *l, board *to, int fd, size_t window, uint64_t rows, int how) {
    uint8_t *room = malloc(window);
    const int poll = how == BY_EPOLL ? epoll_create1(0) : -1;
    struct epoll_event event = {.events = EPOLLIN};
    size_t filled = 0;
    int64_t reads = 0;
    if (poll >= 0)
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    while (room != NULL && l->head < rows) {
        if (how == BY_EPOLL && epoll_wait(poll, &event, 1, -1) < 0 && errno != EINTR)
            break;
        ssize_t got = recv(fd, room + filled, window - filled, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0)
            break;
        filled += (size_t)got;
        const int64_t used = loop_decode(l, room, filled, now_ns());
        if (used < 0)
            break;
        atomic_store_explicit(&to->publish_ns, now_ns(), memory_order_relaxed);
        atomic_store_explicit(&to->publish, l->head, memory_order_release);
        filled -= (size_t)used;
        memmove(room, room + used, filled);
        reads++;
    }
    free(room);
    if (poll >= 0)
        close(poll);
    return l->head >= rows ? reads : -1;
}

/* ---- the watcher ---- */

/* Note how late each of `count` rows was published; a row's sequence is when its packet should
 * have been sent. Looks in the middle between two packets, when there is nothing to do for
 * anybody else; where several publications came between two looks, the last one's time counts
 * for all. Of a ring that does not tell the time, that of the receipt counts. Returns how many
 * rows came, fewer than count when none came for ten seconds. */
uint64_t receive_watch(const board *from, const ff_tick *rows, uint64_t capacity,
                       uint64_t count, int64_t interval_ns, int64_t *late) {
    const int64_t patience_ns = 10000000000;
    uint64_t seen = 0;
    int64_t news_ns = now_ns();
    for (;;) {
        uint64_t published = atomic_load_explicit(&from->publish, memory_order_acquire);
        int64_t at_ns = atomic_load_explicit(&from->publish_ns, memory_order_relaxed);
        const int64_t now = now_ns();
        if (published > count)
            published = count;
        if (published > seen)
            news_ns = now;
        for (; seen < published; seen++) {
            const ff_tick *row = &rows[seen % capacity];
            late[seen] = (at_ns != 0 ? at_ns : row->recv_ns) - row->seq;
        }
        if (seen == count || now - news_ns > patience_ns)
            return seen;
        int64_t look_ns = now + interval_ns / 2;
        if (seen > 0) {
            const int64_t middle_ns = rows[(seen - 1) % capacity].seq + interval_ns * 3 / 2;
            if (middle_ns > now)
                look_ns = middle_ns;
        }
        const struct timespec look = {look_ns / 1000000000, look_ns % 1000000000};
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &look, NULL);
    }
}
