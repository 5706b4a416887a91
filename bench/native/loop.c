/* OpenD's ticks, decoded by hand (loop.h says what that means), and the blocking sockets of
 * the wire benches. */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "loop.h"

/* A decoder with 2^slot_bits slots for symbols and 2^row_bits rows. NULL: no memory. */
loop *loop_new(unsigned slot_bits, unsigned row_bits, size_t row_size) {
    loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->shift = 64 - slot_bits;
    l->slot_mask = ((uint64_t)1 << slot_bits) - 1;
    l->row_mask = ((uint64_t)1 << row_bits) - 1;
    l->row_size = row_size;
    l->slots = calloc(l->slot_mask + 1, sizeof *l->slots);
    l->rows = aligned_alloc(64, (l->row_mask + 1) * row_size);
    if (l->slots == NULL || l->rows == NULL)
        return NULL;
    memset(l->rows, 0, (l->row_mask + 1) * row_size); /* no page faults later */
    return l;
}

void loop_free(loop *l) {
    free(l->slots);
    free(l->rows);
    free(l);
}

/* Let a code, zero-padded to 8 bytes, lead to an id. */
void loop_add(loop *l, const uint8_t *code, size_t length, uint32_t id) {
    uint64_t key = key_of(code, length);
    *find(l, key) = (slot){key, (uint64_t)id + 1};
}

const uint8_t *loop_rows(const loop *l) {
    return l->rows;
}

uint64_t loop_head(const loop *l) {
    return l->head;
}

int64_t loop_decode(loop *l, const uint8_t *data, size_t length, int64_t recv_ns) {
    const uint8_t *p = data, *end = data + length;
    uint64_t head = l->head, v;
    ff_tick *rows = (ff_tick *)l->rows;
    while (end - p >= 44) {
        size_t body_length = u32(p + 12);
        if ((size_t)(end - p) < 44 + body_length)
            break;
        if (p[0] != 'F' || p[1] != 'T')
            return -1;
        const uint8_t *q = p + 44, *body_end = q + body_length;
        uint32_t proto_id = u32(p + 2);
        p = body_end;
        if (proto_id != 3011 || q[1] != 0)
            continue;
        q = varint(q + 3, &v); /* 08 retType, 22 s2c */
        size_t code_length = q[5];
        uint32_t id = (uint32_t)(find(l, key_of(q + 6, code_length))->id_plus_1 - 1);
        q += 6 + code_length; /* 0a security, 08 market, 12 code */
        while (q < body_end && *q == 0x12) {
            ff_tick *row = &rows[head++ & l->row_mask];
            q = varint(q + 1, &v);
            q += 2 + q[1]; /* 0a time: the timestamp says it as well */
            q = varint(q + 1, &v);
            row->seq = (int64_t)v;
            q = varint(q + 1, &v);
            row->side = (int8_t)((v == 1) - (v == 2));
            row->price = f64(q + 1);
            q = varint(q + 10, &v); /* volume: hpVolume says it better */
            row->turnover = f64(q + 1);
            row->gateway_ns = to_ns(f64(q + 10));
            q = varint(q + 19, &v);
            row->kind = (uint8_t)v;
            q = varint(q + 1, &v); /* typeSign */
            q = varint(q + 1, &v);
            row->flags = (uint8_t)((v == 3) | (v == 2) << 1);
            row->time_ns = to_ns(f64(q + 1));
            row->volume = f64(q + 10);
            row->session = 0;
            row->symbol = id;
            row->recv_ns = recv_ns;
            q += 18;
        }
    }
    l->head = head;
    return p - data;
}

static ssize_t receive(int fd, void *at, size_t room) {
    ssize_t n;
    do {
        n = recv(fd, at, room, 0);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Read n bytes of a blocking socket and decode them. Returns the number of reads, or -1. */
int64_t loop_receive(loop *l, int fd, size_t window, uint64_t n) {
    uint8_t *room = malloc(window);
    size_t filled = 0;
    int64_t reads = 0;
    while (room != NULL && n > 0) {
        ssize_t got = receive(fd, room + filled, window - filled);
        if (got <= 0)
            break;
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        filled += (size_t)got;
        n -= (uint64_t)got < n ? (uint64_t)got : n;
        int64_t used = loop_decode(l, room, filled, now.tv_sec * 1000000000 + now.tv_nsec);
        if (used < 0)
            break;
        filled -= (size_t)used;
        memmove(room, room + used, filled);
        reads++;
    }
    free(room);
    return n == 0 ? reads : -1;
}
