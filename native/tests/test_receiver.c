#include "fastfeed/receiver.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "fastfeed/opend.h"
#include "opend_bytes.h"

enum {
    CAPACITY = 1 << 16, /* more rows than any test has: none is overwritten */
    WINDOW = 1 << 16,
    LIMIT = 1 << 20,
    PACKETS = 6000,
    SYMBOLS = 50,
    PATIENCE_MS = 20000,
};

/* One hub with a receiver. */
typedef struct hub {
    ff_receiver receiver;
    ff_symbols symbols;
    ff_ring ring;
    uint64_t position; /* of the test's reader */
    int64_t next[SYMBOLS];
} hub;

/* One connection of it, and the peer's end. */
typedef struct connection {
    hub *hub;
    ff_opend machine;
    ff_order order;
    ff_slot *slot;
    int peer;
    pthread_t sender;
    bool sending;    /* it runs; what it sends to has gone, and it ends */
    uint32_t serial; /* of the last frame */
    int status;      /* of the last note */
} connection;

static void open_hub(hub *h, bool spin) {
    memset(h, 0, sizeof *h);
    CHECK_EQ(ff_receiver_init(&h->receiver, spin, -1), 0);
    CHECK_EQ(ff_symbols_init(&h->symbols, 1000), 0);
    CHECK_EQ(ff_ring_create(&h->ring, sizeof(ff_tick), CAPACITY), 0);
    ff_receiver_ask(&h->receiver, FF_STREAM_TICKS, true);
}

static void close_hub(hub *h) {
    CHECK(!h->receiver.running);
    ff_receiver_free(&h->receiver);
    ff_symbols_free(&h->symbols);
    ff_ring_close(&h->ring);
}

static void open_connection(connection *c, hub *h) {
    int ends[2];
    memset(c, 0, sizeof *c);
    c->hub = h;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CHECK_EQ(ff_opend_init(&c->machine, WINDOW, LIMIT, &h->symbols), 0);
    ff_order_init(&c->order);
    c->machine.order = &c->order;
    c->machine.sink.rings[FF_STREAM_TICKS] = &h->ring;
    const ff_machine machine = {.self = &c->machine,
                                .step = ff_opend_step,
                                .window = &c->machine.window,
                                .sink = &c->machine.sink,
                                .recv_ns = &c->machine.decoder.recv_ns,
                                .window_bytes = WINDOW};
    c->peer = ends[1];
    CHECK_EQ(ff_receiver_join(&h->receiver, &machine, ends[0], &c->slot), 0);
}

/* As soon as the thread has let go, everything may be freed. */
static void close_connection(connection *c) {
    ff_receiver_leave(&c->hub->receiver, c->slot);
    ff_opend_free(&c->machine);
    ff_order_free(&c->order);
    ff_receiver_forget(&c->hub->receiver, c->slot);
    if (c->sending)
        pthread_join(c->sender, NULL);
    close(c->peer);
}

static bool send_all(int fd, const bytes *data) {
    for (size_t at = 0; at < data->length;) {
        const ssize_t n = send(fd, data->data + at, data->length - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void put_ticks(bytes *stream, size_t symbol, size_t rows, int64_t number) {
    bytes body = {0};
    char code[8];
    snprintf(code, sizeof code, "%05zu", symbol + 100);
    put_push(&body, 1, code, rows, number);
    put_packet_of(stream, FF_OPEND_PUSH_TICKS, 0, &body);
}

/* Every symbol's ticks are numbered from 0; every tenth packet is the session's. */
static void *send_packets(void *argument) {
    connection *c = argument;
    int64_t next[SYMBOLS] = {0};
    uint64_t random = 7;
    uint32_t serial = 0;
    for (size_t i = 0; i < PACKETS;) {
        bytes stream = {0};
        for (size_t batch = next_random(&random) % 20 + 1; batch > 0 && i < PACKETS;
             batch--, i++) {
            const size_t symbol = next_random(&random) % SYMBOLS;
            const size_t rows = next_random(&random) % 3 + 1;
            put_ticks(&stream, symbol, rows, next[symbol]);
            next[symbol] += (int64_t)rows;
            if (i % 10 == 0)
                put_packet(&stream, 1004, ++serial, "alive", 5);
        }
        CHECK(send_all(c->peer, &stream));
        free(stream.data);
    }
    shutdown(c->peer, SHUT_WR);
    return NULL;
}

static void *send_for_ever(void *argument) {
    connection *c = argument;
    bytes stream = {0};
    for (int i = 0; i < 100; i++)
        put_packet(&stream, 1004, 1, "noise", 5);
    while (send_all(c->peer, &stream))
        continue;
    free(stream.data);
    return NULL;
}

static void start_sender(connection *c, void *(*send)(void *)) {
    CHECK_EQ(pthread_create(&c->sender, NULL, send, c), 0);
    c->sending = true;
}

static void wait_for_event(hub *h) {
    struct pollfd event = {.fd = h->receiver.event_fd, .events = POLLIN};
    CHECK_EQ(poll(&event, 1, PATIENCE_MS), 1);
}

/* Rows of a symbol come in order, without one missing. */
static void read_rows(hub *h) {
    const uint64_t end = ff_ring_published(&h->ring);
    for (; h->position < end; h->position++) {
        const ff_tick *row = ff_ring_row(&h->ring, h->position);
        CHECK(row->symbol < SYMBOLS && row->recv_ns > 0);
        CHECK_EQ(row->seq & 0xffffffff, h->next[row->symbol]);
        h->next[row->symbol]++;
    }
}

static void take_notes(connection *c) {
    for (ff_note *note; (note = ff_receiver_note(&c->hub->receiver, c->slot)) != NULL;) {
        c->status = note->status;
        if (note->status == FF_FRAME) {
            CHECK_EQ(note->frame.kind, 1004);
            CHECK(note->frame.length == 5);
            c->serial++;
        }
        free(note);
    }
    ff_receiver_go_on(&c->hub->receiver, c->slot);
}

/* What looks symbols up meanwhile, as often as it can. */
static size_t look_up(hub *h, uint64_t *random) {
    char name[16];
    const int length =
        snprintf(name, sizeof name, "%d.HK", (int)(next_random(random) % (2 * SYMBOLS)) + 100);
    ff_lock_take(&h->receiver.lock);
    const int64_t id = ff_symbols_find(&h->symbols, 0, (const uint8_t *)name, (size_t)length,
                                       (const uint8_t *)name + length);
    const uint32_t count = h->symbols.count;
    ff_lock_give(&h->receiver.lock);
    CHECK(id < (int64_t)count);
    return id >= 0;
}

static void test_rows_and_frames(bool spin) {
    hub h;
    connection c;
    int error = -1;
    size_t found = 0;
    uint64_t random = 11;
    open_hub(&h, spin);
    open_connection(&c, &h);
    start_sender(&c, send_packets);
    while (!ff_receiver_has_ended(&h.receiver, c.slot, &error)) {
        wait_for_event(&h);
        ff_receiver_take(&h.receiver);
        read_rows(&h);
        take_notes(&c);
        for (int i = 0; i < 20; i++)
            found += look_up(&h, &random);
    }
    read_rows(&h);
    CHECK_EQ(error, 0);
    CHECK_EQ(c.serial, PACKETS / 10);
    CHECK_EQ(c.machine.counters.packets, PACKETS + PACKETS / 10);
    CHECK_EQ(h.position, c.machine.sink.rows[FF_STREAM_TICKS]);
    CHECK(h.position >= PACKETS && found > 0);
    close_connection(&c);
    close_hub(&h);
}

/* A symbol is held and let go, again and again, while its ticks arrive. */
static void let_go(connection *c, uint32_t symbol, bytes *waiting) {
    hub *h = c->hub;
    ff_note *note;
    while ((note = ff_receiver_held(&h->receiver, c->slot)) != NULL) {
        put(waiting, note->frame.data, note->frame.length * sizeof(ff_tick));
        free(note);
    }
    ff_lock_take(&h->receiver.lock);
    for (size_t at = 0; at < waiting->length; at += sizeof(ff_tick)) {
        memcpy(ff_ring_claim(&h->ring, 1), waiting->data + at, sizeof(ff_tick));
        ff_ring_advance(&h->ring, 1);
    }
    ff_note *held = ff_receiver_held_of(c->slot, symbol);
    for (note = held; note != NULL; note = note->next) {
        memcpy(ff_ring_claim(&h->ring, note->frame.length), note->frame.data,
               note->frame.length * sizeof(ff_tick));
        ff_ring_advance(&h->ring, note->frame.length);
    }
    ff_order_of(&c->order, symbol)->held = false;
    ff_ring_publish(&h->ring);
    ff_lock_give(&h->receiver.lock);
    waiting->length = 0;
    while (held != NULL) {
        note = held->next;
        free(held);
        held = note;
    }
}

static void *send_one_symbol(void *argument) {
    connection *c = argument;
    for (int64_t i = 0; i < PACKETS; i += 4) {
        bytes stream = {0};
        for (int64_t k = 0; k < 4; k++)
            put_ticks(&stream, 0, 1, i + k);
        CHECK(send_all(c->peer, &stream));
        free(stream.data);
    }
    shutdown(c->peer, SHUT_WR);
    return NULL;
}

static void test_held(bool spin) {
    hub h;
    connection c;
    int error;
    bytes waiting = {0};
    open_hub(&h, spin);
    open_connection(&c, &h);
    start_sender(&c, send_one_symbol);
    do {
        ff_lock_take(&h.receiver.lock);
        ff_order_of(&c.order, 0)->held = true;
        ff_lock_give(&h.receiver.lock);
        sched_yield();
        let_go(&c, 0, &waiting);
        read_rows(&h);
    } while (!ff_receiver_has_ended(&h.receiver, c.slot, &error));
    let_go(&c, 0, &waiting);
    read_rows(&h);
    CHECK_EQ(h.position, PACKETS);
    free(waiting.data);
    close_connection(&c);
    close_hub(&h);
}

/* What nobody takes is bounded, and nothing of it is lost. */
static void *send_large(void *argument) {
    connection *c = argument;
    static char body[1 << 17];
    bytes stream = {0};
    put_packet(&stream, 1004, 1, body, sizeof body);
    for (int i = 0; i < 400; i++)
        CHECK(send_all(c->peer, &stream));
    free(stream.data);
    shutdown(c->peer, SHUT_WR);
    return NULL;
}

static void test_bounded(bool spin) {
    hub h;
    connection c;
    int error, frames = 0;
    bool waits = false;
    open_hub(&h, spin);
    open_connection(&c, &h);
    start_sender(&c, send_large);
    while (!waits) {
        ff_lock_take(&h.receiver.lock);
        waits = c.slot->state == FF_SLOT_WAITING;
        CHECK(c.slot->note_bytes < FF_RECEIVER_MOST_NOTES + (1 << 18));
        ff_lock_give(&h.receiver.lock);
        sched_yield();
    }
    while (!ff_receiver_has_ended(&h.receiver, c.slot, &error)) {
        wait_for_event(&h);
        ff_receiver_take(&h.receiver);
        for (ff_note *note; (note = ff_receiver_note(&h.receiver, c.slot)) != NULL;) {
            frames++;
            free(note);
        }
        ff_receiver_go_on(&h.receiver, c.slot);
    }
    CHECK_EQ(frames, 400);
    close_connection(&c);
    close_hub(&h);
}

/* A peer that floods starves no other, and can be left at any time. */
static void test_flood(bool spin) {
    hub h;
    open_hub(&h, spin);
    for (int64_t round = 0; round < 10; round++) {
        connection loud, quiet;
        bytes stream = {0};
        open_connection(&loud, &h);
        open_connection(&quiet, &h);
        start_sender(&loud, send_for_ever);
        put_ticks(&stream, 1, 1, round);
        CHECK(send_all(quiet.peer, &stream));
        while (h.position <= (uint64_t)round) {
            wait_for_event(&h);
            ff_receiver_take(&h.receiver);
            take_notes(&loud);
            read_rows(&h);
        }
        free(stream.data);
        close_connection(&quiet);
        close_connection(&loud);
    }
    close_hub(&h);
}

static void test_broken_stream(bool spin) {
    hub h;
    connection c;
    int error;
    bytes stream = {0};
    open_hub(&h, spin);
    open_connection(&c, &h);
    put_ticks(&stream, 0, 1, 0);
    put(&stream, "no packet", 9);
    CHECK(send_all(c.peer, &stream));
    free(stream.data);
    do {
        wait_for_event(&h);
        ff_receiver_take(&h.receiver);
        take_notes(&c);
    } while (!ff_receiver_has_ended(&h.receiver, c.slot, &error));
    read_rows(&h);
    CHECK_EQ(c.status, -FF_EMAGIC);
    CHECK_EQ(h.position, 1);
    close_connection(&c);
    close_hub(&h);
}

static void test_limits(void) {
    ff_receiver r;
    CHECK_EQ(ff_receiver_init(&r, true, 1 << 20), -EINVAL);
    CHECK_EQ(ff_receiver_init(&r, true, 1000), -EINVAL);
    hub h;
    open_hub(&h, false);
    connection *c = calloc(FF_RECEIVER_SLOTS, sizeof *c);
    CHECK(c != NULL);
    for (size_t i = 0; i < FF_RECEIVER_SLOTS; i++)
        open_connection(&c[i], &h);
    ff_slot *slot;
    CHECK_EQ(ff_receiver_join(&h.receiver, &c[0].slot->machine, 0, &slot), -ENOBUFS);
    for (size_t i = 0; i < FF_RECEIVER_SLOTS; i++)
        close_connection(&c[i]);
    free(c);
    close_hub(&h);
}

#ifndef __SANITIZE_THREAD__ /* it does not follow a child */
static void test_fork(bool spin) {
    hub h;
    connection c;
    int status;
    open_hub(&h, spin);
    open_connection(&c, &h);
    start_sender(&c, send_for_ever);
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            uint64_t random = 3;
            alarm(PATIENCE_MS / 1000);
            look_up(&h, &random);
            take_notes(&c);
            ff_slot *slot;
            CHECK_EQ(ff_receiver_join(&h.receiver, &c.slot->machine, 0, &slot), -ECHILD);
            c.sending = false; /* here */
            close_connection(&c);
            close_hub(&h);
            _exit(0);
        }
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
        wait_for_event(&h); /* the parent's thread goes on */
        ff_receiver_take(&h.receiver);
        take_notes(&c);
    }
    close_connection(&c);
    close_hub(&h);
}
#endif

int main(void) {
    for (int spin = 0; spin < 2; spin++) {
        test_rows_and_frames(spin);
        test_held(spin);
        test_bounded(spin);
        test_flood(spin);
        test_broken_stream(spin);
#ifndef __SANITIZE_THREAD__
        test_fork(spin);
#endif
    }
    test_limits();
    return 0;
}
