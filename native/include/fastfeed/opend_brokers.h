#ifndef FASTFEED_OPEND_BROKERS_H
#define FASTFEED_OPEND_BROKERS_H

/* The decoder of Qot_UpdateBroker (3015) and of the replies of Qot_GetBroker (3014). Places
 * beyond FF_BROKER_PLACES a side are cut and counted.
 *
 * The names of brokers repeat in every push. When the decoder has a table for them, a name
 * goes there once: the id of the broker, as the 8 bytes of an int64 in FF_BROKER_SPACE, leads
 * to it. Names that are too long or not UTF-8 are passed over. */

#include "fastfeed/opend_decoder.h"

enum { FF_BROKER_SPACE = 1 };

typedef struct ff_opend_queues {
    ff_symbols *names; /* or NULL */
    ff_brokers *row;
    size_t places[FF_SIDES]; /* sent */
} ff_opend_queues;

/* Note the name of a broker that is not known yet. */
void ff_opend_broker_name(ff_symbols *names, int64_t id, const uint8_t *name, size_t length);

/* One place; an ff_opend_add. */
static inline int ff_opend_add_broker(void *state, unsigned side, const uint8_t *p,
                                      const uint8_t *end) {
    ff_opend_queues *queues = state;
    uint64_t number = 0, level = 0, order = 0, units = 0;
    ff_step_long_number(&p, end, 1, &number);
    ff_text name = ff_step_text(&p, end, 2);
    ff_step_number(&p, end, 3, &level);
    ff_step_long_number(&p, end, 4, &order);
    bool has_units = ff_step_long_number(&p, end, 5, &units);
    if (FF_UNLIKELY(p != end))
        return 0;
    const int64_t id = (int64_t)number;
    if (queues->names != NULL && name.data != NULL) {
        uint8_t key[sizeof id];
        memcpy(key, &id, sizeof id);
        if (FF_UNLIKELY(ff_symbols_find(queues->names, FF_BROKER_SPACE, key, sizeof key,
                                        key + sizeof key) < 0))
            ff_opend_broker_name(queues->names, id, name.data, name.length);
    }
    size_t place = queues->places[side]++;
    if (FF_LIKELY(place < FF_BROKER_PLACES)) {
        ff_brokers *row = queues->row;
        bool bid = side == FF_SIDE_BID;
        (bid ? row->bid_broker : row->ask_broker)[place] = id;
        (bid ? row->bid_order : row->ask_order)[place] = (int64_t)order;
        (bid ? row->bid_volume : row->ask_volume)[place] =
            ff_opend_volume((double)NAN, has_units, units);
        (bid ? row->bid_level : row->ask_level)[place] = (int32_t)(uint32_t)level;
    }
    return 1;
}

static const ff_opend_two_sides ff_opend_broker_sides = {
    .s2c = &ff_shape_secured,
    .shape = &ff_shape_broker,
    .add = ff_opend_add_broker,
};

/* Mark the places of a side that are free; returns how many are taken. */
static inline uint16_t ff_opend_queue_end(ff_opend_decoder *d, size_t places, int64_t *broker,
                                          int64_t *order, double *volume, int32_t *level) {
    if (FF_UNLIKELY(places > FF_BROKER_PLACES)) {
        d->cut_levels += places - FF_BROKER_PLACES;
        places = FF_BROKER_PLACES;
    }
    for (size_t i = places; i < FF_BROKER_PLACES; i++) {
        broker[i] = order[i] = 0;
        volume[i] = (double)NAN;
        level[i] = 0;
    }
    return (uint16_t)places;
}

/* Decode a push or a reply into one row. Returns 1 or a negative reason; then nothing counts
 * that was written. An unknown security gets an id as a side effect, and so do brokers. */
static inline int ff_opend_decode_brokers(ff_opend_decoder *d, const uint8_t *body,
                                          size_t length, ff_brokers *row) {
    const uint8_t *end = body + length;
    ff_opend_queues queues = {d->brokers, row, {0, 0}};
    ff_opend_head head;
    const uint8_t *p =
        ff_opend_sides_canonical(d, &ff_opend_broker_sides, &head, body, end, &queues);
    if (FF_LIKELY(p != NULL))
        ff_step_message(&p, end, 4); /* name */
    if (FF_UNLIKELY(p != end)) {
        ff_message message;
        memset(queues.places, 0, sizeof queues.places);
        int rc =
            ff_opend_sides_any(d, &ff_opend_broker_sides, &head, body, end, &queues, &message);
        if (rc < 0)
            return rc;
    }
    row->recv_ns = d->recv_ns;
    row->time_ns = 0;
    row->gateway_ns = 0;
    row->seq = -1;
    row->symbol = head.symbol;
    row->bids = ff_opend_queue_end(d, queues.places[FF_SIDE_BID], row->bid_broker,
                                   row->bid_order, row->bid_volume, row->bid_level);
    row->asks = ff_opend_queue_end(d, queues.places[FF_SIDE_ASK], row->ask_broker,
                                   row->ask_order, row->ask_volume, row->ask_level);
    row->session = 0;
    row->flags = ff_opend_take_flags(d);
    memset(row->_reserved, 0, sizeof row->_reserved);
    return 1;
}

#endif
