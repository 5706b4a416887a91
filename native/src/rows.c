#include "fastfeed/rows.h"

#include "fastfeed/status.h"

#define FF_FORMAT(member)                                                                     \
    _Generic((member),                                                                        \
        int8_t: "i1",                                                                         \
        uint8_t: "u1",                                                                        \
        uint32_t: "u4",                                                                       \
        int64_t: "i8",                                                                        \
        double: "f8")
#define FF_FIELD(type, member)                                                                \
    {#member, FF_FORMAT(((type *)0)->member), offsetof(type, member)}

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
    {NULL, NULL, 0},
};

const ff_row_type ff_row_ticks = {"ticks", sizeof(ff_tick), tick_fields};

const char *ff_reason_name(int reason) {
    static const char *const names[FF_REASONS] = {
        [FF_EOK] = "ok",
        [FF_EMAGIC] = "magic",
        [FF_ELENGTH] = "length",
        [FF_ESHA1] = "sha1",
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
    };
    return reason >= 0 && reason < FF_REASONS ? names[reason] : "unknown";
}
