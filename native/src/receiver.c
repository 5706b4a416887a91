#include "fastfeed/receiver.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fastfeed/clock.h"
#include "fastfeed/tap.h"

enum { MOST_YIELDS = 64 };

/* ---- fork: the child gets locks that nobody holds */

static pthread_mutex_t all_mutex = PTHREAD_MUTEX_INITIALIZER;
static ff_receiver *all;
static pthread_once_t all_once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
    pthread_mutex_lock(&all_mutex);
    for (ff_receiver *r = all; r != NULL; r = r->next)
        ff_lock_take(&r->lock);
}

static void after_fork_in_parent(void) {
    for (ff_receiver *r = all; r != NULL; r = r->next)
        ff_lock_give(&r->lock);
    pthread_mutex_unlock(&all_mutex);
}

static void after_fork_in_child(void) {
    pthread_mutex_init(&all_mutex, NULL);
    for (ff_receiver *r = all; r != NULL; r = r->next) {
        pthread_mutex_init(&r->lock.mutex, NULL);
        pthread_cond_init(&r->left, NULL);
        atomic_store_explicit(&r->lock.waiting, 0, memory_order_relaxed);
        r->orphan = true;
        r->running = false;
    }
}

static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- the thread */

static void signal_fd(int fd) {
    const uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void clear_fd(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

/* Make the thread look at the states. */
static void wake(ff_receiver *r) {
    /* Release: pairs with the exchange in run(); what is to be seen is under the lock. */
    atomic_store_explicit(&r->changed, true, memory_order_release);
    signal_fd(r->wake_fd);
}

static void unwatch(ff_receiver *r, ff_slot *slot) {
    if (slot->watched)
        epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, slot->fd, NULL);
    slot->watched = false;
}

/* The thread reads no more from a connection. */
static void rest(ff_receiver *r, ff_slot *slot, ff_slot_state state) {
    unwatch(r, slot);
    if (slot->state == FF_SLOT_READING) { /* it may be leaving already */
        slot->state = state;
        atomic_store_explicit(&r->changed, true, memory_order_relaxed); /* for this thread */
    }
}

static void end(ff_receiver *r, ff_slot *slot, int error) {
    slot->error = error;
    rest(r, slot, FF_SLOT_ENDED);
}

/* Keep what a step stopped for. Returns whether there was memory for it. */
static bool add_note(ff_slot *slot, int status, const ff_frame *frame) {
    size_t bytes = status < 0 ? 0 : frame->length;
    if (status == FF_HELD)
        bytes *= sizeof(ff_tick);
    ff_note *note = malloc(sizeof *note + bytes);
    if (note == NULL)
        return false;
    *note = (ff_note){.status = status, .bytes = sizeof *note + bytes};
    if (status > 0) {
        note->frame = *frame;
        note->frame.data = (const uint8_t *)(note + 1);
        if (bytes > 0)
            memcpy(note + 1, frame->data, bytes);
    }
    if (slot->last != NULL)
        slot->last->next = note;
    else
        slot->first = note;
    slot->last = note;
    slot->notes++;
    slot->note_bytes += note->bytes;
    return true;
}

/* Work through the window of a connection, under the lock. */
static void work(ff_receiver *r, ff_slot *slot) {
    const ff_machine *m = &slot->machine;
    for (;;) {
        ff_frame frame = {0};
        const size_t start = m->window->start;
        const int status = m->step(m->self, &frame);
        if (FF_UNLIKELY(m->sink->tap != NULL))
            ff_tap_step(m->sink->tap, m->window, start, *m->recv_ns, status);
        if (FF_LIKELY(status == FF_NEED_MORE))
            break;
        if (status == FF_ROWS_FULL) {
            r->dirty |= ff_sink_publish(m->sink);
            continue;
        }
        if (!add_note(slot, status, &frame)) {
            end(r, slot, ENOMEM);
            break;
        }
        if (status < 0) {
            end(r, slot, 0);
            break;
        }
        if (status == FF_ZIPPED || slot->note_bytes >= FF_RECEIVER_MOST_NOTES) {
            rest(r, slot, FF_SLOT_WAITING);
            break;
        }
    }
    r->dirty |= ff_sink_publish(m->sink);
}

/* Whether the owner has to be told now that there is something for it, under the lock. */
static bool has_to_tell(ff_receiver *r, bool something) {
    const bool tell = something && !r->told;
    r->told |= tell;
    return tell;
}

/* One read of a connection, and all that comes of it. */
static void receive(ff_receiver *r, ff_slot *slot) {
    const ff_machine *m = &slot->machine;
    int error = 0;
    bool over = false;
    if (FF_LIKELY(!slot->pending)) {
        size_t room;
        uint8_t *place = ff_window_space(m->window, m->window_bytes / 2, &room);
        if (FF_UNLIKELY(place == NULL)) {
            error = ENOMEM;
            over = true;
        } else {
            const ssize_t n = recv(slot->fd, place, room, MSG_DONTWAIT);
            if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
                return;
            if (FF_LIKELY(n > 0)) {
                *m->recv_ns = ff_clock_ns(CLOCK_REALTIME);
                ff_window_commit(m->window, (size_t)n);
            } else {
                error = n < 0 ? errno : 0;
                over = true;
            }
        }
    }
    pthread_mutex_lock(&r->lock.mutex);
    slot->pending = false;
    if (FF_UNLIKELY(over))
        end(r, slot, error);
    else
        work(r, slot);
    const bool tell = has_to_tell(r, slot->first != NULL || slot->state == FF_SLOT_ENDED ||
                                         (r->dirty & r->asked) != 0);
    pthread_mutex_unlock(&r->lock.mutex);
    if (tell)
        signal_fd(r->event_fd);
    /* Whoever waits for the lock gets it before the next read, unless it sleeps too soundly:
     * ticks go first. */
    for (int i = 0; i < MOST_YIELDS; i++) {
        if (atomic_load_explicit(&r->lock.waiting, memory_order_relaxed) == 0)
            break;
        sched_yield();
    }
}

/* Look at the states, under the lock; returns whether the thread shall end. *ended becomes
 * true where a connection has. */
static bool look(ff_receiver *r, bool *ended) {
    r->reading_count = 0;
    for (size_t i = 0; i < FF_RECEIVER_SLOTS; i++) {
        ff_slot *slot = &r->slots[i];
        if (slot->state == FF_SLOT_LEAVING) {
            unwatch(r, slot);
            slot->state = FF_SLOT_LEFT;
            pthread_cond_broadcast(&r->left);
        } else if (slot->state == FF_SLOT_JOINING) {
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = slot};
            slot->state = FF_SLOT_READING;
            slot->pending = true;
            if (!r->spin) {
                slot->watched = epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, slot->fd, &event) == 0;
                if (!slot->watched) {
                    end(r, slot, errno);
                    *ended = true;
                }
            }
        }
        if (slot->state == FF_SLOT_READING)
            r->reading[r->reading_count++] = slot;
    }
    return r->stop;
}

/* Wait for what can be read, and read once from each. */
static void wait(ff_receiver *r) {
    struct epoll_event events[FF_RECEIVER_SLOTS + 1];
    const int n = epoll_wait(r->epoll_fd, events, FF_RECEIVER_SLOTS + 1, -1);
    for (int i = 0; i < n; i++) {
        ff_slot *slot = events[i].data.ptr;
        if (slot == NULL)
            clear_fd(r->wake_fd);
        else if (slot->watched) /* it may have come to an end in this very round */
            receive(r, slot);
    }
}

static void *run(void *receiver) {
    ff_receiver *r = receiver;
    pthread_setname_np(pthread_self(), "fastfeed");
    for (;;) {
        if (FF_UNLIKELY(atomic_load_explicit(&r->changed, memory_order_relaxed)) &&
            atomic_exchange_explicit(&r->changed, false, memory_order_acquire)) {
            bool ended = false;
            pthread_mutex_lock(&r->lock.mutex);
            const bool stop = look(r, &ended);
            const bool tell = has_to_tell(r, ended);
            pthread_mutex_unlock(&r->lock.mutex);
            if (tell)
                signal_fd(r->event_fd);
            if (stop)
                return NULL;
            for (size_t i = 0; i < r->reading_count; i++)
                if (r->reading[i]->pending)
                    receive(r, r->reading[i]);
            continue;
        }
        if (!r->spin || r->reading_count == 0) {
            wait(r);
            continue;
        }
        for (size_t i = 0; i < r->reading_count; i++)
            receive(r, r->reading[i]);
    }
}

/* ---- its owner */

static int set_up(ff_receiver *r, pthread_attr_t *attributes) {
    cpu_set_t cpus;
    int error = pthread_attr_init(attributes);
    if (error != 0 || r->cpu < 0)
        return error;
    CPU_ZERO(&cpus);
    if (r->cpu >= CPU_SETSIZE)
        error = EINVAL;
    else
        CPU_SET((unsigned)r->cpu, &cpus);
    if (error == 0)
        error = pthread_attr_setaffinity_np(attributes, sizeof cpus, &cpus);
    if (error != 0)
        pthread_attr_destroy(attributes);
    return error;
}

/* Start a thread that gets no signals. Returns 0 or an errno. */
static int start(ff_receiver *r, void *(*main)(void *)) {
    pthread_attr_t attributes;
    sigset_t every, before;
    int error = set_up(r, &attributes);
    if (error != 0)
        return error;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    error = pthread_create(&r->thread, &attributes, main, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static void *nothing(void *receiver) {
    return receiver;
}

static int open_fds(ff_receiver *r) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->epoll_fd < 0 || r->wake_fd < 0 || r->event_fd < 0 ||
        epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->wake_fd, &event) < 0)
        return errno;
    return 0;
}

static void close_fds(ff_receiver *r) {
    const int fds[] = {r->epoll_fd, r->wake_fd, r->event_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int ff_receiver_init(ff_receiver *r, bool spin, int cpu) {
    memset(r, 0, sizeof *r);
    r->spin = spin;
    r->cpu = cpu;
    int error = open_fds(r);
    if (error == 0 && cpu >= 0) { /* only a thread can tell whether it may run there */
        error = start(r, nothing);
        if (error == 0)
            pthread_join(r->thread, NULL);
    }
    if (error != 0) {
        close_fds(r);
        return -error;
    }
    pthread_mutex_init(&r->lock.mutex, NULL);
    pthread_cond_init(&r->left, NULL);
    pthread_once(&all_once, watch_forks);
    pthread_mutex_lock(&all_mutex);
    r->next = all;
    all = r;
    pthread_mutex_unlock(&all_mutex);
    return 0;
}

static void stop(ff_receiver *r) {
    ff_lock_take(&r->lock);
    const bool running = r->running;
    r->running = false;
    r->stop = true;
    ff_lock_give(&r->lock);
    if (running) {
        wake(r);
        pthread_join(r->thread, NULL);
    }
}

void ff_receiver_free(ff_receiver *r) {
    stop(r);
    for (size_t i = 0; i < FF_RECEIVER_SLOTS; i++) {
        ff_slot *slot = &r->slots[i];
        if (slot->state != FF_SLOT_FREE) {
            ff_receiver_leave(r, slot);
            ff_receiver_forget(r, slot);
        }
    }
    pthread_mutex_lock(&all_mutex);
    for (ff_receiver **at = &all; *at != NULL; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            break;
        }
    }
    pthread_mutex_unlock(&all_mutex);
    close_fds(r);
    pthread_mutex_destroy(&r->lock.mutex);
    pthread_cond_destroy(&r->left);
}

int ff_receiver_join(ff_receiver *r, const ff_machine *machine, int fd, ff_slot **joined) {
    int error = r->orphan ? ECHILD : ENOBUFS;
    ff_lock_take(&r->lock);
    for (size_t i = 0; error == ENOBUFS && i < FF_RECEIVER_SLOTS; i++) {
        ff_slot *slot = &r->slots[i];
        if (slot->state != FF_SLOT_FREE)
            continue;
        error = 0;
        if (!r->running) {
            r->stop = false;
            error = start(r, run);
            r->running = error == 0;
        }
        if (error == 0) {
            *slot = (ff_slot){.state = FF_SLOT_JOINING, .machine = *machine, .fd = fd};
            *joined = slot;
            wake(r);
        }
    }
    ff_lock_give(&r->lock);
    return -error;
}

void ff_receiver_leave(ff_receiver *r, ff_slot *slot) {
    ff_lock_take(&r->lock);
    if (slot->state == FF_SLOT_LEFT) {
        ff_lock_give(&r->lock);
        return;
    }
    if (r->running) {
        slot->state = FF_SLOT_LEAVING;
        wake(r);
        while (slot->state != FF_SLOT_LEFT)
            pthread_cond_wait(&r->left, &r->lock.mutex);
    } else if (!r->orphan) {
        unwatch(r, slot);
    }
    /* A child after fork() shares the parent's epoll: there the socket stays watched. */
    slot->state = FF_SLOT_LEFT;
    close(slot->fd);
    ff_lock_give(&r->lock);
}

void ff_receiver_forget(ff_receiver *r, ff_slot *slot) {
    bool used = false;
    for (ff_note *note; (note = ff_receiver_note(r, slot)) != NULL;)
        free(note);
    ff_lock_take(&r->lock);
    slot->state = FF_SLOT_FREE;
    for (size_t i = 0; i < FF_RECEIVER_SLOTS; i++)
        used |= r->slots[i].state != FF_SLOT_FREE;
    ff_lock_give(&r->lock);
    if (!used)
        stop(r);
}

unsigned ff_receiver_take(ff_receiver *r) {
    if (!r->orphan) /* it is the parent's as well */
        clear_fd(r->event_fd);
    ff_lock_take(&r->lock);
    const unsigned dirty = r->dirty;
    r->dirty = 0;
    r->told = false;
    ff_lock_give(&r->lock);
    return dirty;
}

/* Take a note out that follows `before` (NULL: the first one), under the lock. */
static ff_note *unlink_note(ff_slot *slot, ff_note *before) {
    ff_note *note = before != NULL ? before->next : slot->first;
    if (note == NULL)
        return NULL;
    if (before != NULL)
        before->next = note->next;
    else
        slot->first = note->next;
    if (slot->last == note)
        slot->last = before;
    slot->notes--;
    slot->note_bytes -= note->bytes;
    note->next = NULL;
    return note;
}

ff_note *ff_receiver_note(ff_receiver *r, ff_slot *slot) {
    ff_lock_take(&r->lock);
    ff_note *note = unlink_note(slot, NULL);
    ff_lock_give(&r->lock);
    return note;
}

ff_note *ff_receiver_held(ff_receiver *r, ff_slot *slot) {
    ff_lock_take(&r->lock);
    ff_note *before = NULL, *note = slot->first;
    while (note != NULL && note->status != FF_HELD) {
        before = note;
        note = note->next;
    }
    if (note != NULL)
        note = unlink_note(slot, before);
    ff_lock_give(&r->lock);
    return note;
}

ff_note *ff_receiver_held_of(ff_slot *slot, uint32_t symbol) {
    ff_note *found = NULL, **end_of_found = &found;
    for (ff_note *before = NULL, *note = slot->first; note != NULL;) {
        ff_note *next = note->next;
        if (note->status == FF_HELD &&
            ((const ff_tick *)(const void *)note->frame.data)->symbol == symbol) {
            *end_of_found = unlink_note(slot, before);
            end_of_found = &note->next;
        } else {
            before = note;
        }
        note = next;
    }
    return found;
}

void ff_receiver_go_on(ff_receiver *r, ff_slot *slot) {
    ff_lock_take(&r->lock);
    if (slot->state == FF_SLOT_WAITING && slot->first == NULL && !r->orphan) {
        slot->state = FF_SLOT_JOINING;
        wake(r);
    }
    ff_lock_give(&r->lock);
}

bool ff_receiver_has_ended(ff_receiver *r, ff_slot *slot, int *error) {
    ff_lock_take(&r->lock);
    const bool ended = slot->state == FF_SLOT_ENDED && slot->first == NULL;
    *error = slot->error;
    ff_lock_give(&r->lock);
    return ended;
}

void ff_receiver_ask(ff_receiver *r, int stream, bool on) {
    const unsigned bit = 1U << stream;
    bool tell = false;
    ff_lock_take(&r->lock);
    if (on) {
        r->asked |= bit;
        tell = has_to_tell(r, (r->dirty & bit) != 0);
    } else {
        r->asked &= ~bit;
    }
    ff_lock_give(&r->lock);
    if (tell && !r->orphan)
        signal_fd(r->event_fd);
}
