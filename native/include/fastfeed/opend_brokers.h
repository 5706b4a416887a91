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
    uint64_t *named;   /* of the decoder */
    struct {
        int64_t *broker, *order;
        double *volume;
        int32_t *level;
        size_t places; /* sent */
    } sides[FF_SIDES];
} ff_opend_queues;

/* Note the name of a broker that is not known yet. */
void ff_opend_broker_name(ff_symbols *names, int64_t id, const uint8_t *name, size_t length);

/* The same, without a look into the table for most that are. */
static inline void ff_opend_note_name(ff_opend_queues *queues, int64_t id, ff_text name) {
    const bool small = (uint64_t)id < FF_OPEND_NAMED_BROKERS;
    if (FF_LIKELY(queues->names == NULL || name.data == NULL ||
                  (small && (queues->named[id / 64] >> (id % 64) & 1) != 0)))
        return;
    uint8_t key[sizeof id];
    memcpy(key, &id, sizeof id);
    if (ff_symbols_find(queues->names, FF_BROKER_SPACE, key, sizeof key, key + sizeof key) < 0)
        ff_opend_broker_name(queues->names, id, name.data, name.length);
    else if (small)
        queues->named[id / 64] |= (uint64_t)1 << (id % 64);
}

/* What most places are: an id of two bytes, a name, a level of one byte; an ff_opend_run. */
static inline const uint8_t *ff_opend_run_brokers(void *state, unsigned side, const uint8_t *p,
                                                  const uint8_t *end) {
    enum { OTHERS = 3 + 2 + 2 }; /* all but the bytes of the name */
    ff_opend_queues *queues = state;
    const uint8_t tag = ff_opend_side_tag(side);
    size_t place = queues->sides[side].places;
    while (place < FF_BROKER_PLACES && end - p >= 2 + OTHERS) {
        const size_t length = p[1], name = length - OTHERS;
        if (FF_UNLIKELY(p[0] != tag || name >= 0x80 - OTHERS ||
                        (size_t)(end - p) < 2 + length))
            break;
        /* 2: 08 id, 5: 12 name, 6: its length; -2: 18 level */
        const uint8_t *e = p + 2 + length;
        if (FF_UNLIKELY((ff_load_u32(p + 2) & 0xff8080ffu) != 0x12008008u || p[6] != name ||
                        e[-2] != 0x18 || e[-1] >= 0x80))
            break;
        const int64_t id = (p[3] & 0x7f) | p[4] << 7;
        ff_opend_note_name(queues, id, (ff_text){p + 7, name});
        queues->sides[side].broker[place] = id;
        queues->sides[side].order[place] = 0;
        queues->sides[side].volume[place] = (double)NAN;
        queues->sides[side].level[place] = e[-1];
        place++;
        p = e;
    }
    queues->sides[side].places = place;
    return p;
}

/* One place; an ff_opend_add. */
static inline int ff_opend_add_broker(void *state, unsigned side, const uint8_t *p,
                                      const uint8_t *end) {
    ff_opend_queues *queues = state;
    uint64_t number = 0, level = 0, order = 0, units = 0;
    ff_step_number(&p, end, 1, &number);
    ff_text name = ff_step_text(&p, end, 2);
    ff_step_number(&p, end, 3, &level);
    ff_step_long_number(&p, end, 4, &order);
    bool has_units = ff_step_long_number(&p, end, 5, &units);
    if (FF_UNLIKELY(p != end))
        return 0;
    ff_opend_note_name(queues, (int64_t)number, name);
    size_t place = queues->sides[side].places++;
    if (FF_LIKELY(place < FF_BROKER_PLACES)) {
        queues->sides[side].broker[place] = (int64_t)number;
        queues->sides[side].order[place] = (int64_t)order;
        queues->sides[side].volume[place] = has_units ? (double)(int64_t)units : (double)NAN;
        queues->sides[side].level[place] = (int32_t)(uint32_t)level;
    }
    return 1;
}

static const ff_opend_two_sides ff_opend_broker_sides = {
    .s2c = &ff_shape_secured,
    .shape = &ff_shape_broker,
    .run = ff_opend_run_brokers,
    .add = ff_opend_add_broker,
};

static inline void ff_opend_queues_begin(ff_opend_queues *queues, ff_brokers *row) {
    queues->sides[FF_SIDE_ASK].broker = row->ask_broker;
    queues->sides[FF_SIDE_ASK].order = row->ask_order;
    queues->sides[FF_SIDE_ASK].volume = row->ask_volume;
    queues->sides[FF_SIDE_ASK].level = row->ask_level;
    queues->sides[FF_SIDE_ASK].places = 0;
    queues->sides[FF_SIDE_BID].broker = row->bid_broker;
    queues->sides[FF_SIDE_BID].order = row->bid_order;
    queues->sides[FF_SIDE_BID].volume = row->bid_volume;
    queues->sides[FF_SIDE_BID].level = row->bid_level;
    queues->sides[FF_SIDE_BID].places = 0;
}

/* Mark the places of a side that are free; returns how many are taken. */
static inline uint16_t ff_opend_queue_end(ff_opend_decoder *d, ff_opend_queues *queues,
                                          unsigned side) {
    size_t places = queues->sides[side].places;
    if (FF_UNLIKELY(places > FF_BROKER_PLACES)) {
        d->cut_levels += places - FF_BROKER_PLACES;
        places = FF_BROKER_PLACES;
    }
    for (size_t i = places; i < FF_BROKER_PLACES; i++) {
        queues->sides[side].broker[i] = queues->sides[side].order[i] = 0;
        queues->sides[side].volume[i] = (double)NAN;
        queues->sides[side].level[i] = 0;
    }
    return (uint16_t)places;
}

/* Decode a push or a reply into one row. Returns 1 or a negative reason; then nothing counts
 * that was written. An unknown security gets an id as a side effect, and so do brokers. */
static inline int ff_opend_decode_brokers(ff_opend_decoder *d, const uint8_t *body,
                                          size_t length, ff_brokers *row) {
    const uint8_t *end = body + length;
    ff_opend_queues queues = {.names = d->brokers, .named = d->named};
    ff_opend_head head;
    ff_opend_queues_begin(&queues, row);
    const uint8_t *p =
        ff_opend_sides_canonical(d, &ff_opend_broker_sides, &head, body, end, &queues);
    if (FF_LIKELY(p != NULL))
        ff_step_message(&p, end, 4); /* name */
    if (FF_UNLIKELY(p != end)) {
        ff_message message;
        ff_opend_queues_begin(&queues, row);
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
    row->bids = ff_opend_queue_end(d, &queues, FF_SIDE_BID);
    row->asks = ff_opend_queue_end(d, &queues, FF_SIDE_ASK);
    row->session = 0;
    row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
    return 1;
}

#endif
