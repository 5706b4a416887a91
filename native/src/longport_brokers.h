#ifndef FASTFEED_LONGPORT_BROKERS_H
#define FASTFEED_LONGPORT_BROKERS_H

/* Levels of a push or a response into broker queues. */

#include "longport_values.h"

/* The queue of brokers at each level of a side; of a level no more than a row can have. */
typedef struct queue_side {
    uint32_t count[FF_BROKER_PLACES]; /* ids of the level as it was sent */
    int32_t ids[FF_BROKER_PLACES][FF_BROKER_PLACES];
} queue_side;

typedef struct queue_state {
    queue_side sides[SIDES];
} queue_state;

typedef struct queue_level {
    int32_t position;
    uint32_t count; /* of ids that were sent */
    int32_t ids[FF_BROKER_PLACES];
} queue_level;

static inline void add_broker(queue_level *v, uint64_t id) {
    if (v->count < FF_BROKER_PLACES)
        v->ids[v->count] = (int32_t)(uint32_t)id;
    v->count++;
}

/* A level of any shape; ids are packed or not. Returns 0 or a negative reason. */
static inline int read_queue_level(ff_text e, queue_level *v) {
    const uint8_t *p = e.data, *end = p + e.length;
    uint64_t number;
    uint32_t tag;
    size_t length;
    int why;
    v->position = 0;
    v->count = 0;
    while (p < end) {
        if ((p = ff_wire_tag(p, end, &tag, &why)) == NULL)
            return -why;
        if (tag == 0x08 || tag == 0x10) {
            if ((p = ff_wire_varint(p, end, &number, &why)) == NULL)
                return -why;
            if (tag == 0x08)
                v->position = (int32_t)(uint32_t)number;
            else
                add_broker(v, number);
        } else if (tag == 0x12) {
            if ((p = ff_wire_length(p, end, &length, &why)) == NULL)
                return -why;
            for (const uint8_t *packed_end = p + length; p < packed_end;) {
                if ((p = ff_wire_varint(p, packed_end, &number, &why)) == NULL)
                    return -why;
                add_broker(v, number);
            }
        } else if ((p = ff_wire_skip(p, end, tag, &why)) == NULL) {
            return -why;
        }
    }
    return 0;
}

/* Put the levels of a body whose head was gathered into *queues; NULL: only look whether they
 * can be read. Returns 0 or a negative reason. */
static inline int queues_any(uint32_t asks, const uint8_t *body, const uint8_t *end,
                             queue_state *queues, tally *t) {
    queue_level v;
    ff_text e;
    for (uint32_t field; (field = next_message(&body, end, &e)) != 0;) {
        if (field - asks >= SIDES)
            continue;
        const int rc = read_queue_level(e, &v);
        if (rc < 0)
            return rc;
        if (queues == NULL)
            continue;
        const size_t i = (size_t)v.position - 1;
        if (v.position < 1) {
            t->odd++;
        } else if (i >= FF_BROKER_PLACES) {
            t->cut += v.count;
        } else {
            queue_side *side = &queues->sides[field - asks];
            const size_t n = v.count < FF_BROKER_PLACES ? v.count : FF_BROKER_PLACES;
            side->count[i] = v.count;
            memcpy(side->ids[i], v.ids, n * sizeof v.ids[0]);
        }
    }
    return 0;
}

/* Write one side of a row; returns how many places are taken. */
static inline uint16_t put_queue(const queue_side *side, int64_t *broker, int64_t *order,
                                 double *volume, int32_t *levels, tally *t) {
    size_t n = 0;
    for (size_t i = 0; i < FF_BROKER_PLACES; i++) {
        const size_t room = FF_BROKER_PLACES - n;
        const size_t taken = side->count[i] < room ? side->count[i] : room;
        t->cut += side->count[i] - taken;
        for (size_t k = 0; k < taken; k++, n++) {
            broker[n] = side->ids[i][k];
            levels[n] = (int32_t)i + 1;
        }
    }
    for (size_t i = n; i < FF_BROKER_PLACES; i++) {
        broker[i] = 0;
        levels[i] = 0;
    }
    for (size_t i = 0; i < FF_BROKER_PLACES; i++) {
        order[i] = 0;
        volume[i] = (double)NAN;
    }
    return (uint16_t)n;
}

static inline void put_queues(const ff_longport_decoder *d, uint32_t symbol, int64_t sequence,
                              const queue_state *queues, ff_brokers *row, tally *t) {
    memset(row, 0, offsetof(ff_brokers, bid_broker));
    row->recv_ns = d->recv_ns;
    row->gateway_ns = gateway_of(sequence, 0);
    row->seq = seq_of(sequence);
    row->symbol = symbol;
    row->bids = put_queue(&queues->sides[BID], row->bid_broker, row->bid_order,
                          row->bid_volume, row->bid_level, t);
    row->asks = put_queue(&queues->sides[ASK], row->ask_broker, row->ask_order,
                          row->ask_volume, row->ask_level, t);
}

#endif
