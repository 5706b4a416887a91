#include "fastfeed/load.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "fastfeed/clock.h"

static void write_varint(uint8_t *p, uint64_t value) {
    for (unsigned i = 0; i < FF_LOAD_VARINT; i++)
        p[i] = (uint8_t)((value >> 7 * i & 0x7f) | (i < FF_LOAD_VARINT - 1 ? 0x80 : 0));
}

static void write_digits(uint8_t *p, uint64_t value) {
    char text[FF_LOAD_DIGITS + 1];
    snprintf(text, sizeof text, "%019" PRIu64, value);
    memcpy(p, text, FF_LOAD_DIGITS);
}

static void write_sequence(uint8_t *p, ff_load_form form, uint64_t value) {
    if (form == FF_LOAD_AS_VARINT)
        write_varint(p, value);
    else
        write_digits(p, value);
}

static size_t width_of(ff_load_form form) {
    return form == FF_LOAD_AS_VARINT ? FF_LOAD_VARINT : FF_LOAD_DIGITS;
}

/* Sums of any numbers, with whatever is carried, and nothing written beside them. */
static void test_steps(ff_load_form form) {
    uint64_t state = 1;
    for (int i = 0; i < 200000; i++) {
        uint64_t sum = next_random(&state) >> 1 >> next_random(&state) % 63;
        uint64_t number = sum > 0 ? next_random(&state) % sum >> next_random(&state) % 63 : 0;
        uint8_t got[24], want[24];
        memset(got, 'x', sizeof got);
        memset(want, 'x', sizeof want);
        write_sequence(got + 2, form, sum - number);
        write_sequence(want + 2, form, sum);
        ff_load_step step;
        CHECK_EQ(ff_load_step_init(&step, form, number), 0);
        CHECK_EQ(ff_load_sequence(got + 2, form), (int64_t)(sum - number));
        ff_load_step_add(&step, got + 2);
        CHECK(memcmp(got, want, sizeof got) == 0);
    }
}

static void test_numbers_that_are_none(void) {
    ff_load_step step;
    CHECK_EQ(ff_load_step_init(&step, FF_LOAD_AS_VARINT, UINT64_C(1) << 63), -ERANGE);
    CHECK_EQ(ff_load_step_init(&step, FF_LOAD_AS_DIGITS, UINT64_C(10000000000000000000)),
             -ERANGE);
    CHECK_EQ(ff_load_sequence((const uint8_t *)"9223372036854775807", FF_LOAD_AS_DIGITS),
             INT64_MAX);
    CHECK_EQ(ff_load_sequence((const uint8_t *)"9223372036854775808", FF_LOAD_AS_DIGITS),
             -EINVAL);
    CHECK_EQ(ff_load_sequence((const uint8_t *)"922337203685477580,", FF_LOAD_AS_DIGITS),
             -EINVAL);
    uint8_t varint[FF_LOAD_VARINT];
    write_varint(varint, UINT64_C(1) << 60);
    CHECK_EQ(ff_load_sequence(varint, FF_LOAD_AS_VARINT), INT64_C(1) << 60);
    varint[4] &= 0x7f;
    CHECK_EQ(ff_load_sequence(varint, FF_LOAD_AS_VARINT), -EINVAL);
}

/* ---- blocks */

enum { PACKETS = 9000, FILLING = 37 };

typedef struct block {
    uint8_t *bytes;
    size_t length;
    uint64_t places[PACKETS];
} block;

/* Packets of different lengths; pieces end within sequences. */
static block make_block(ff_load_form form) {
    block made = {NULL, 0, {0}};
    made.bytes = malloc(PACKETS * (FILLING + FF_LOAD_DIGITS + 1));
    CHECK(made.bytes != NULL);
    for (unsigned i = 0; i < PACKETS; i++) {
        size_t before = i % FILLING;
        memset(made.bytes + made.length, 'a' + (int)(i % 26), before);
        made.places[i] = made.length + before;
        write_sequence(made.bytes + made.places[i], form, UINT64_C(1000000000000000000) + i);
        made.length = made.places[i] + width_of(form);
    }
    made.bytes[made.length++] = '.';
    return made;
}

static void pair(int fds[2]) {
    int small = 4096;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
}

typedef struct reader {
    int fd;
    uint8_t *bytes;
    size_t length;
} reader;

static void *read_all(void *argument) {
    reader *r = argument;
    for (size_t at = 0, n; at < r->length; at += n) {
        ssize_t got = read(r->fd, r->bytes + at, r->length - at);
        CHECK(got > 0);
        n = (size_t)got;
    }
    return NULL;
}

static void test_blast(ff_load_form form) {
    enum { REPEAT = 7, STEP = 987654321 };
    int fds[2];
    pair(fds);
    block sent = make_block(form), want = make_block(form);
    reader r = {fds[1], NULL, want.length * REPEAT};
    r.bytes = malloc(r.length);
    CHECK(r.bytes != NULL);
    ff_blast blast;
    CHECK_EQ(ff_blast_init(&blast, sent.bytes, sent.length, sent.places, PACKETS, form, STEP,
                           REPEAT),
             0);
    CHECK_EQ(ff_blast_run(&blast, fds[0], -1), FF_LOAD_AGAIN); /* nobody reads */
    CHECK(blast.waited_ns > 0);
    CHECK(blast.bytes > 0);
    CHECK(blast.bytes < sent.length);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, read_all, &r), 0);
    int rc;
    while ((rc = ff_blast_run(&blast, fds[0], -1)) == FF_LOAD_AGAIN)
        ;
    CHECK_EQ(rc, FF_LOAD_DONE);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(blast.bytes, r.length);
    CHECK(blast.ended_ns - blast.began_ns >= blast.waited_ns);
    for (unsigned turn = 0; turn < REPEAT; turn++) {
        for (unsigned i = 0; i < PACKETS; i++)
            write_sequence(want.bytes + want.places[i], form,
                           UINT64_C(1000000000000000000) + i + turn * (uint64_t)STEP);
        CHECK(memcmp(r.bytes + turn * want.length, want.bytes, want.length) == 0);
    }
    free(r.bytes);
    free(sent.bytes);
    free(want.bytes);
    close(fds[0]);
    close(fds[1]);
}

static int init_with(block *b, const uint64_t *places, size_t count, uint64_t step,
                     uint64_t repeat) {
    ff_blast blast;
    return ff_blast_init(&blast, b->bytes, b->length, places, count, FF_LOAD_AS_VARINT, step,
                         repeat);
}

static void test_places_that_are_wrong(void) {
    block b = make_block(FF_LOAD_AS_VARINT);
    uint64_t last = b.places[PACKETS - 1];
    CHECK_EQ(init_with(&b, b.places, PACKETS, 1, 1), 0);
    CHECK_EQ(init_with(&b, (uint64_t[]){b.places[1], b.places[0]}, 2, 1, 1), -EINVAL);
    CHECK_EQ(init_with(&b, (uint64_t[]){b.places[0], b.places[0]}, 2, 1, 1), -EINVAL);
    CHECK_EQ(init_with(&b, (uint64_t[]){last + 1}, 1, 1, 1), -EINVAL);
    CHECK_EQ(init_with(&b, (uint64_t[]){last + 2}, 1, 1, 1), -EINVAL);
    CHECK_EQ(init_with(&b, (uint64_t[]){UINT64_MAX}, 1, 1, 1), -EINVAL);
    CHECK_EQ(init_with(&b, b.places, PACKETS, UINT64_C(1) << 62, 2), -ERANGE);
    CHECK_EQ(init_with(&b, b.places, PACKETS, UINT64_C(1) << 62, UINT64_C(1) << 62), -ERANGE);
    CHECK_EQ(init_with(&b, b.places, PACKETS, UINT64_C(1) << 60, 8), -ERANGE);
    CHECK_EQ(init_with(&b, b.places, PACKETS, UINT64_C(1) << 60, 7), 0);
    free(b.bytes);
}

static void test_peer_that_goes(void) {
    int fds[2];
    pair(fds);
    block b = make_block(FF_LOAD_AS_DIGITS);
    ff_blast blast;
    CHECK_EQ(ff_blast_init(&blast, b.bytes, b.length, b.places, PACKETS, FF_LOAD_AS_DIGITS, 1,
                           1000),
             0);
    close(fds[1]);
    CHECK_EQ(ff_blast_run(&blast, fds[0], -1), -EPIPE);
    uint64_t ends[] = {5};
    int64_t times[] = {0}, late[] = {0};
    ff_paced paced = {b.bytes, ends, times, 1, late, 0, 0};
    CHECK_EQ(ff_paced_run(&paced, fds[0], -1), FF_LOAD_ASKED); /* whoever reads sees the end */
    CHECK_EQ(paced.next, 0);
    close(fds[0]);
    pair(fds);
    uint8_t window[64];
    ff_drain drain = {window, sizeof window, 100, 0};
    CHECK_EQ(send(fds[1], b.bytes, 30, 0), 30);
    close(fds[1]);
    CHECK_EQ(ff_drain_run(&drain, fds[0]), -ECONNRESET);
    CHECK_EQ(drain.left, 70);
    close(fds[0]);
    free(b.bytes);
}

/* ---- paced */

static void test_paced(void) {
    enum { COUNT = 300, TOGETHER = 50 };
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    uint8_t data[COUNT * 3], got[COUNT * 3];
    uint64_t ends[COUNT];
    int64_t times[COUNT], late[COUNT];
    int64_t start = ff_clock_ns(CLOCK_REALTIME) + 1000000;
    for (unsigned i = 0; i < COUNT; i++) {
        memset(data + 3 * i, (int)i, 3);
        ends[i] = 3 * (i + 1);
        times[i] = start + (i < TOGETHER ? -2000000000 : (int64_t)i * 100000);
        late[i] = INT64_MIN;
    }
    /* A packet without bytes is sent as well. */
    ends[10] = ends[9];
    ff_paced paced = {data, ends, times, COUNT, late, 0, 0};
    /* The peer speaks: that is seen before anything is sent. */
    CHECK_EQ(send(fds[1], "?", 1, 0), 1);
    CHECK_EQ(ff_paced_run(&paced, fds[0], -1), FF_LOAD_ASKED);
    CHECK_EQ(paced.next, 0);
    CHECK_EQ(recv(fds[0], got, sizeof got, 0), 1);
    int rc;
    while ((rc = ff_paced_run(&paced, fds[0], -1)) == FF_LOAD_AGAIN)
        ;
    CHECK_EQ(rc, FF_LOAD_DONE);
    CHECK_EQ(paced.next, COUNT);
    CHECK(ff_clock_ns(CLOCK_REALTIME) >= times[COUNT - 1]);
    CHECK_EQ(recv(fds[1], got, sizeof got, MSG_WAITALL), sizeof got);
    CHECK(memcmp(data, got, sizeof got) == 0);
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(late[i] >= (i < TOGETHER ? 1990000000 : 0));
    for (unsigned i = 1; i < TOGETHER; i++)
        CHECK_EQ(late[i], late[0]); /* they went at once */
    close(fds[0]);
    close(fds[1]);
}

/* A packet that the peer leaves no room for goes on when it reads, and what it says meanwhile
 * is not looked at before the packet is whole. */
static void test_paced_short_sends(void) {
    int fds[2];
    pair(fds);
    block b = make_block(FF_LOAD_AS_VARINT);
    uint64_t ends[] = {b.length, b.length};
    int64_t times[] = {0, 0}, late[] = {0, 0};
    reader r = {fds[1], malloc(b.length), b.length};
    CHECK(r.bytes != NULL);
    ff_paced paced = {b.bytes, ends, times, 1, late, 0, 0};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, read_all, &r), 0);
    int rc;
    while ((rc = ff_paced_run(&paced, fds[0], -1)) == FF_LOAD_AGAIN)
        ;
    CHECK_EQ(rc, FF_LOAD_DONE);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(memcmp(r.bytes, b.bytes, b.length) == 0);
    CHECK(late[0] > 0);
    free(r.bytes);
    free(b.bytes);
    close(fds[0]);
    close(fds[1]);
}

/* A peer that does not read holds nobody for longer than a call lasts, and what has begun goes
 * on where it was, whatever the peer says meanwhile. */
static void test_paced_and_nobody_reads(void) {
    int fds[2];
    pair(fds);
    block b = make_block(FF_LOAD_AS_DIGITS);
    uint64_t ends[] = {b.length / 2, b.length / 2, b.length};
    int64_t times[] = {0, 0, 0}, late[] = {-1, -1, -1};
    reader r = {fds[1], malloc(b.length), b.length};
    CHECK(r.bytes != NULL);
    ff_paced paced = {b.bytes, ends, times, 3, late, 0, 0};
    for (int i = 0; i < 2; i++)
        CHECK_EQ(ff_paced_run(&paced, fds[0], -1), FF_LOAD_AGAIN);
    CHECK_EQ(paced.next, 0);
    CHECK(paced.begun > 0);
    CHECK_EQ(late[0], -1);
    CHECK_EQ(send(fds[1], "?", 1, 0), 1);
    CHECK_EQ(ff_paced_run(&paced, fds[0], -1), FF_LOAD_AGAIN);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, read_all, &r), 0);
    int rc;
    uint8_t asked;
    while ((rc = ff_paced_run(&paced, fds[0], -1)) != FF_LOAD_DONE) {
        CHECK(rc == FF_LOAD_AGAIN || rc == FF_LOAD_ASKED);
        if (rc == FF_LOAD_ASKED) {
            CHECK_EQ(paced.begun, 0);
            CHECK_EQ(recv(fds[0], &asked, 1, 0), 1);
        }
    }
    CHECK_EQ(paced.next, 3);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(memcmp(r.bytes, b.bytes, b.length) == 0);
    CHECK(late[0] > 0 && late[1] > 0 && late[2] > 0);
    free(r.bytes);
    free(b.bytes);
    close(fds[0]);
    close(fds[1]);
}

static void test_interruption(void) {
    int fds[2], stop[2];
    pair(fds);
    CHECK_EQ(pipe(stop), 0);
    block b = make_block(FF_LOAD_AS_VARINT);
    uint64_t ends[] = {b.length};
    int64_t far[] = {ff_clock_ns(CLOCK_REALTIME) + INT64_C(3600000000000)}, late[] = {0};
    ff_paced paced = {b.bytes, ends, far, 1, late, 0, 0};
    CHECK_EQ(ff_paced_run(&paced, fds[0], stop[0]), FF_LOAD_AGAIN);
    ff_blast blast;
    CHECK_EQ(ff_blast_init(&blast, b.bytes, b.length, b.places, PACKETS, FF_LOAD_AS_VARINT, 1,
                           1000),
             0);
    CHECK_EQ(ff_blast_run(&blast, fds[0], stop[0]), FF_LOAD_AGAIN);
    close(stop[1]);
    CHECK_EQ(ff_blast_run(&blast, fds[0], stop[0]), FF_LOAD_STOPPED);
    CHECK_EQ(ff_paced_run(&paced, fds[0], stop[0]), FF_LOAD_STOPPED);
    int64_t due[] = {0}; /* there is no room for it */
    paced = (ff_paced){b.bytes, ends, due, 1, late, 0, 0};
    CHECK_EQ(ff_paced_run(&paced, fds[0], stop[0]), FF_LOAD_STOPPED);
    CHECK_EQ(paced.next, 0);
    /* Also where it never has to wait. */
    uint8_t nothing[1] = {0};
    int others[2];
    pair(others);
    CHECK_EQ(ff_blast_init(&blast, nothing, 1, NULL, 0, FF_LOAD_AS_VARINT, 1, 1), 0);
    CHECK_EQ(ff_blast_run(&blast, others[0], stop[0]), FF_LOAD_STOPPED);
    CHECK_EQ(blast.bytes, 0);
    close(others[0]);
    close(others[1]);
    close(stop[0]);
    close(fds[0]);
    close(fds[1]);
    free(b.bytes);
}

/* ---- beside it */

static void test_drain(void) {
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    uint8_t window[8], bytes[24] = {0};
    ff_drain drain = {window, sizeof window, 20, 0};
    CHECK_EQ(send(fds[1], bytes, sizeof bytes, 0), sizeof bytes);
    CHECK_EQ(ff_drain_run(&drain, fds[0]), FF_LOAD_DONE);
    CHECK_EQ(drain.reads, 3);
    CHECK_EQ(recv(fds[0], bytes, sizeof bytes, 0), 4); /* no more than it was told */
    drain.left = 1;
    CHECK_EQ(send(fds[1], bytes, 1, 0), 1);
    CHECK_EQ(ff_drain_run(&drain, fds[0]), FF_LOAD_DONE);
    CHECK_EQ(ff_drain_run(&drain, fds[0]), FF_LOAD_DONE);
    CHECK_EQ(drain.reads, 4);
    close(fds[0]);
    close(fds[1]);
}

static void test_jitter(void) {
    int64_t began = ff_clock_ns(CLOCK_MONOTONIC), length = 2 * FF_LOAD_AGAIN_NS + 1;
    ff_jitter jitter = {.left_ns = length};
    int calls = 1;
    while (ff_jitter_run(&jitter) == FF_LOAD_AGAIN)
        calls++;
    CHECK(calls >= 1);
    CHECK(jitter.left_ns <= 0);
    int64_t lasted = ff_clock_ns(CLOCK_MONOTONIC) - began;
    CHECK(lasted >= length);
    CHECK(jitter.longest_ns > 0);
    CHECK(jitter.longest_ns <= lasted);
    CHECK(jitter.stolen_ns <= lasted);
    CHECK(jitter.longest_ns <= FF_LOAD_PAUSE_NS || jitter.stolen_ns >= jitter.longest_ns);
}

int main(void) {
    test_numbers_that_are_none();
    for (ff_load_form form = FF_LOAD_AS_VARINT; form <= FF_LOAD_AS_DIGITS; form++) {
        test_steps(form);
        test_blast(form);
    }
    test_places_that_are_wrong();
    test_peer_that_goes();
    test_paced();
    test_paced_short_sends();
    test_paced_and_nobody_reads();
    test_interruption();
    test_drain();
    test_jitter();
    return 0;
}
