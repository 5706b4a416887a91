#ifndef FASTFEED_STATUS_H
#define FASTFEED_STATUS_H

/* Why a packet, a row or a stream was rejected. Functions return the negative of one of these;
 * the counters of a machine are indexed by them. The names are what users see in
 * `stats()["rejected"]`; ff_reason_name() in rows.c changes together with this list. */
typedef enum ff_reason {
    FF_EOK = 0,
    FF_EMAGIC,  /* stream: a packet does not begin with its magic; framing is lost */
    FF_ELENGTH, /* stream: a length beyond the limit; framing is lost. Of AllTick a message */
    FF_EFRAME,  /* stream: a WebSocket frame that no server may send: reserved bits, masked */
    FF_EFRAGMENT,  /* stream: a WebSocket fragment out of order, or a fragmented control frame
                    */
    FF_EPACKET,    /* of LongPort: a packet of no known type, or one that its message does not
                      hold whole. Over TCP the stream, else the message */
    FF_ECLOSE,     /* stream: a WebSocket close frame with a payload that it cannot have */
    FF_EUTF8,      /* stream: text that is not UTF-8; of other messages the message */
    FF_ESHA1,      /* packet: the body does not have the digest of its header */
    FF_EPADDING,   /* packet: the padding of an encrypted body is wrong */
    FF_EGZIP,      /* packet: a compressed body that is none, or becomes too long */
    FF_EFORMAT,    /* packet: a body format that is not protobuf */
    FF_EVARINT,    /* packet: a varint of more than 64 bits, or longer than allowed */
    FF_ETRUNCATED, /* packet: a field that reaches beyond its message */
    FF_EGROUP,     /* packet: a protobuf group, which no message has */
    FF_ETAG,       /* packet: field number 0 or wire type 6 or 7 */
    FF_ESYMBOL,  /* packet: no security, or a code that is empty, too long or not printable */
    FF_ESYMBOLS, /* packet: the symbol table is full */
    FF_ERETTYPE, /* packet: the vendor says that the push is an error */
    FF_EROWS,    /* packet: more rows than half of the ring */
    FF_EMISSING, /* row, of AllTick the message: no price */
    FF_ENOTFINITE, /* row: a price, volume or turnover that is not a finite number */
    FF_ETIME,      /* note: a time that cannot be read; the row is kept with time 0 */
    FF_ENOMEM,     /* the system has no more memory */
    FF_EJSON,      /* message: not JSON, or not to its end */
    FF_ENESTING,   /* message: JSON deeper than allowed */
    FF_EVALUE,     /* message: a value that its key cannot have, or something needed lacks */
    FF_REASONS
} ff_reason;

/* The name of a reason, a static string. */
const char *ff_reason_name(int reason);

#define FF_LIKELY(x) __builtin_expect(!!(x), 1)
#define FF_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* For the rare paths, so that the compiler has its registers for the common one. */
#define FF_NOINLINE __attribute__((noinline, unused))

#endif
