#include "fastfeed/rows.h"

#include "fastfeed/status.h"

#define FF_FORMAT(member)                                                                     \
    _Generic((member),                                                                        \
        int8_t: "i1",                                                                         \
        uint8_t: "u1",                                                                        \
        uint16_t: "u2",                                                                       \
        int32_t: "i4",                                                                        \
        uint32_t: "u4",                                                                       \
        int64_t: "i8",                                                                        \
        double: "f8")
#define FF_FIELD(type, member)                                                                \
    {#member, FF_FORMAT(((type *)0)->member), offsetof(type, member), 0}
#define FF_ARRAY(type, member)                                                                \
    {#member, FF_FORMAT(((type *)0)->member[0]), offsetof(type, member), FF_BROKER_PLACES}
#define FF_LEVELS(name, format) {name, format, 0, FF_DEPTH}
#define FF_END {NULL, NULL, 0, 0}

static const ff_field tick_fields[] = {
    FF_FIELD(ff_tick, recv_ns),
    FF_FIELD(ff_tick, time_ns),
    FF_FIELD(ff_tick, gateway_ns),
    FF_FIELD(ff_tick, seq),
    FF_FIELD(ff_tick, price),
    FF_FIELD(ff_tick, volume),
    FF_FIELD(ff_tick, turnover),
    FF_FIELD(ff_tick, symbol),
    FF_FIELD(ff_tick, side),
    FF_FIELD(ff_tick, kind),
    FF_FIELD(ff_tick, session),
    FF_FIELD(ff_tick, flags),
    FF_END,
};

static const ff_field quote_fields[] = {
    FF_FIELD(ff_quote, recv_ns),
    FF_FIELD(ff_quote, time_ns),
    FF_FIELD(ff_quote, gateway_ns),
    FF_FIELD(ff_quote, seq),
    FF_FIELD(ff_quote, last),
    FF_FIELD(ff_quote, open),
    FF_FIELD(ff_quote, high),
    FF_FIELD(ff_quote, low),
    FF_FIELD(ff_quote, prev_close),
    FF_FIELD(ff_quote, volume),
    FF_FIELD(ff_quote, turnover),
    FF_FIELD(ff_quote, change),
    FF_FIELD(ff_quote, change_rate),
    FF_FIELD(ff_quote, amplitude),
    FF_FIELD(ff_quote, turnover_rate),
    FF_FIELD(ff_quote, price_spread),
    FF_FIELD(ff_quote, listed_ns),
    FF_FIELD(ff_quote, symbol),
    FF_FIELD(ff_quote, session),
    FF_FIELD(ff_quote, status),
    FF_FIELD(ff_quote, flags),
    FF_FIELD(ff_quote, suspended),
    FF_FIELD(ff_quote, expiry_days),
    FF_FIELD(ff_quote, dark_status),
    FF_FIELD(ff_quote, option_style),
    FF_FIELD(ff_quote, index_option_type),
    FF_FIELD(ff_quote, kind),
    FF_FIELD(ff_quote, strike_price),
    FF_FIELD(ff_quote, contract_size),
    FF_FIELD(ff_quote, open_interest),
    FF_FIELD(ff_quote, net_open_interest),
    FF_FIELD(ff_quote, open_interest_change),
    FF_FIELD(ff_quote, implied_volatility),
    FF_FIELD(ff_quote, premium),
    FF_FIELD(ff_quote, delta),
    FF_FIELD(ff_quote, gamma),
    FF_FIELD(ff_quote, vega),
    FF_FIELD(ff_quote, theta),
    FF_FIELD(ff_quote, rho),
    FF_FIELD(ff_quote, contract_nominal_value),
    FF_FIELD(ff_quote, owner_lot_multiplier),
    FF_FIELD(ff_quote, contract_multiplier),
    FF_FIELD(ff_quote, last_settle_price),
    FF_END,
};

static const ff_field book_fields[] = {
    FF_FIELD(ff_book, recv_ns),
    FF_FIELD(ff_book, time_ns),
    FF_FIELD(ff_book, gateway_ns),
    FF_FIELD(ff_book, seq),
    FF_FIELD(ff_book, bid_ns),
    FF_FIELD(ff_book, ask_ns),
    FF_FIELD(ff_book, symbol),
    FF_FIELD(ff_book, bids),
    FF_FIELD(ff_book, asks),
    FF_FIELD(ff_book, kind),
    FF_FIELD(ff_book, session),
    FF_FIELD(ff_book, flags),
    /* ff_book_bid_price() and the others change together with these. */
    FF_LEVELS("bid_price", "f8"),
    FF_LEVELS("bid_volume", "f8"),
    FF_LEVELS("ask_price", "f8"),
    FF_LEVELS("ask_volume", "f8"),
    FF_LEVELS("bid_orders", "i4"),
    FF_LEVELS("ask_orders", "i4"),
    FF_END,
};

static const ff_field bar_fields[] = {
    FF_FIELD(ff_bar, recv_ns),       FF_FIELD(ff_bar, time_ns),
    FF_FIELD(ff_bar, gateway_ns),    FF_FIELD(ff_bar, seq),
    FF_FIELD(ff_bar, open),          FF_FIELD(ff_bar, high),
    FF_FIELD(ff_bar, low),           FF_FIELD(ff_bar, close),
    FF_FIELD(ff_bar, volume),        FF_FIELD(ff_bar, turnover),
    FF_FIELD(ff_bar, prev_close),    FF_FIELD(ff_bar, change_rate),
    FF_FIELD(ff_bar, turnover_rate), FF_FIELD(ff_bar, pe),
    FF_FIELD(ff_bar, symbol),        FF_FIELD(ff_bar, interval_s),
    FF_FIELD(ff_bar, kind),          FF_FIELD(ff_bar, adjust),
    FF_FIELD(ff_bar, session),       FF_FIELD(ff_bar, flags),
    FF_FIELD(ff_bar, blank),         FF_END,
};

static const ff_field timeshare_fields[] = {
    FF_FIELD(ff_timeshare, recv_ns),
    FF_FIELD(ff_timeshare, time_ns),
    FF_FIELD(ff_timeshare, gateway_ns),
    FF_FIELD(ff_timeshare, seq),
    FF_FIELD(ff_timeshare, price),
    FF_FIELD(ff_timeshare, avg_price),
    FF_FIELD(ff_timeshare, prev_close),
    FF_FIELD(ff_timeshare, volume),
    FF_FIELD(ff_timeshare, turnover),
    FF_FIELD(ff_timeshare, symbol),
    FF_FIELD(ff_timeshare, minute),
    FF_FIELD(ff_timeshare, blank),
    FF_FIELD(ff_timeshare, session),
    FF_FIELD(ff_timeshare, flags),
    FF_END,
};

static const ff_field brokers_fields[] = {
    FF_FIELD(ff_brokers, recv_ns),    FF_FIELD(ff_brokers, time_ns),
    FF_FIELD(ff_brokers, gateway_ns), FF_FIELD(ff_brokers, seq),
    FF_FIELD(ff_brokers, symbol),     FF_FIELD(ff_brokers, bids),
    FF_FIELD(ff_brokers, asks),       FF_FIELD(ff_brokers, session),
    FF_FIELD(ff_brokers, flags),      FF_ARRAY(ff_brokers, bid_broker),
    FF_ARRAY(ff_brokers, ask_broker), FF_ARRAY(ff_brokers, bid_order),
    FF_ARRAY(ff_brokers, ask_order),  FF_ARRAY(ff_brokers, bid_volume),
    FF_ARRAY(ff_brokers, ask_volume), FF_ARRAY(ff_brokers, bid_level),
    FF_ARRAY(ff_brokers, ask_level),  FF_END,
};

const size_t ff_symbol_at[FF_STREAMS] = {
    [FF_STREAM_TICKS] = offsetof(ff_tick, symbol),
    [FF_STREAM_QUOTES] = offsetof(ff_quote, symbol),
    [FF_STREAM_BOOKS] = offsetof(ff_book, symbol),
    [FF_STREAM_ODD_BOOKS] = offsetof(ff_book, symbol),
    [FF_STREAM_BARS] = offsetof(ff_bar, symbol),
    [FF_STREAM_TIMESHARE] = offsetof(ff_timeshare, symbol),
    [FF_STREAM_BROKERS] = offsetof(ff_brokers, symbol),
};

const ff_row_type ff_row_types[FF_STREAMS] = {
    [FF_STREAM_TICKS] = {"ticks", sizeof(ff_tick), tick_fields},
    [FF_STREAM_QUOTES] = {"quotes", sizeof(ff_quote), quote_fields},
    [FF_STREAM_BOOKS] = {"books", sizeof(ff_book), book_fields},
    [FF_STREAM_ODD_BOOKS] = {"odd_books", sizeof(ff_book), book_fields},
    [FF_STREAM_BARS] = {"bars", sizeof(ff_bar), bar_fields},
    [FF_STREAM_TIMESHARE] = {"timeshare", sizeof(ff_timeshare), timeshare_fields},
    [FF_STREAM_BROKERS] = {"brokers", sizeof(ff_brokers), brokers_fields},
};

const char *ff_reason_name(int reason) {
    static const char *const names[FF_REASONS] = {
        [FF_EOK] = "ok",
        [FF_EMAGIC] = "magic",
        [FF_ELENGTH] = "length",
        [FF_EFRAME] = "frame",
        [FF_EFRAGMENT] = "fragment",
        [FF_EPACKET] = "packet",
        [FF_ECLOSE] = "close",
        [FF_EUTF8] = "utf8",
        [FF_ESHA1] = "sha1",
        [FF_EPADDING] = "padding",
        [FF_EGZIP] = "gzip",
        [FF_EFORMAT] = "format",
        [FF_EVARINT] = "varint",
        [FF_ETRUNCATED] = "truncated",
        [FF_EGROUP] = "group",
        [FF_ETAG] = "tag",
        [FF_ESYMBOL] = "symbol",
        [FF_ESYMBOLS] = "symbols_full",
        [FF_ERETTYPE] = "ret_type",
        [FF_EROWS] = "too_many_rows",
        [FF_EMISSING] = "missing_price",
        [FF_ENOTFINITE] = "not_finite",
        [FF_ETIME] = "time",
        [FF_ENOMEM] = "memory",
        [FF_EJSON] = "json",
        [FF_ENESTING] = "nesting",
        [FF_EVALUE] = "bad_value",
    };
    return reason >= 0 && reason < FF_REASONS ? names[reason] : "unknown";
}
