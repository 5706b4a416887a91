#ifndef FASTFEED_MACHINE_H
#define FASTFEED_MACHINE_H

/* What the machines of all vendors have in common: the step that works through received bytes,
 * what it stops for, and what whoever reads from a socket needs of a machine. */

#include <stdbool.h>

#include "fastfeed/sink.h"
#include "fastfeed/window.h"

/* What a step stopped for. Negative: a reason for which the stream cannot be followed, which
 * is final until the machine is reset. */
typedef enum ff_status {
    FF_NEED_MORE = 0, /* everything complete is done */
    FF_ROWS_FULL = 1, /* enough rows for one publication; publish, deliver, call again */
    FF_FRAME = 2,     /* *frame is for the session: a packet, or with WebSocket a message, a
                         control frame, or bytes of the handshake; call again */
    FF_PACKET = 3,    /* *frame is a packet of LongPort's for the session; call again */
    FF_HELD = 4,      /* frame->data are frame->length ticks of one symbol that is held: keep a
                         copy of them (they lie in the ring, unclaimed), call again */
    FF_ZIPPED = 5,    /* the body of *frame, whatever it is, has to be decompressed */
} ff_status;

/* What is not rows. The data stay until the next step. */
typedef struct ff_frame {
    const uint8_t *data; /* the plain body or the payload */
    size_t length;
    uint32_t kind;    /* OpenD's protocol id, LongPort's command, WebSocket's opcode */
    uint32_t serial;  /* OpenD's serial number, LongPort's id of the request */
    int reason;       /* OpenD: negative, the packet is rejected and has no body */
    uint8_t type;     /* LongPort's type of packet */
    uint8_t status;   /* of LongPort's response */
    bool zipped;      /* LongPort: the body is compressed */
    uint8_t sha1[20]; /* OpenD: of the plain body, as the header says */
} ff_frame;

/* Work through the window of a machine: an ff_status, or a negative reason. Rows are written
 * but not published. */
typedef int ff_step(void *machine, ff_frame *frame);

/* A vendor's machine, for who does not know the vendor. The pointers are to parts of it. */
typedef struct ff_machine {
    void *self;
    ff_step *step;
    ff_window *window;
    ff_sink *sink;
    int64_t *recv_ns;    /* the time of reception for rows */
    size_t window_bytes; /* of a read */
} ff_machine;

#endif
