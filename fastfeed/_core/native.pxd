# What Cython sees of native/include/fastfeed.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "fastfeed/status.h" nogil:
    int FF_REASONS
    int FF_EMAGIC
    int FF_EROWS
    int FF_EGZIP
    int FF_ENOMEM
    int FF_ESYMBOL
    int FF_ESYMBOLS
    int FF_ETIME
    const char *ff_reason_name(int reason)


cdef extern from "fastfeed/websocket.h" nogil:
    enum:
        FF_WS_TEXT
        FF_WS_BINARY
        FF_WS_CLOSE
        FF_WS_HANDSHAKE
        FF_WS_PONG
        FF_WS_MAX_CONTROL
        FF_WS_MASK

    unsigned ff_ws_close_code(int reason)
    size_t ff_ws_frame_size(size_t length)
    size_t ff_ws_frame(uint8_t *out, unsigned opcode, const uint8_t *payload, size_t length, const uint8_t *mask)


cdef extern from "fastfeed/rows.h" nogil:
    enum:
        FF_FLAG_CACHED
        FF_FLAG_BACKFILLED
        FF_FLAG_STALE
        FF_FLAG_GAP

    enum:
        FF_SESSION_UNKNOWN
        FF_SESSION_REGULAR
        FF_SESSION_PRE
        FF_SESSION_POST
        FF_SESSION_OVERNIGHT
        FF_SESSIONS

    ctypedef struct ff_field:
        const char *name
        const char *format
        size_t offset
        size_t count

    ctypedef struct ff_row_type:
        const char *stream
        size_t size
        const ff_field *fields

    enum:
        FF_STREAM_TICKS
        FF_STREAM_QUOTES
        FF_STREAM_BOOKS
        FF_STREAM_ODD_BOOKS
        FF_STREAM_BARS
        FF_STREAM_TIMESHARE
        FF_STREAM_BROKERS

    int FF_STREAMS

    ctypedef struct ff_tick:
        int64_t time_ns
        int64_t seq
        double price
        double volume
        uint32_t symbol
        int8_t side
        uint8_t kind
        uint8_t session
        uint8_t flags

    ctypedef struct ff_book:
        uint32_t symbol

    int FF_SESSIONS

    ctypedef struct ff_quote:
        uint8_t session

    int FF_BOOK_MAX_DEPTH
    size_t FF_DEPTH
    const ff_row_type *ff_row_types
    const size_t *ff_symbol_at
    size_t ff_book_size(size_t depth)


cdef extern from "fastfeed/region.h" nogil:
    ctypedef struct ff_region:
        uint8_t *base

    int ff_region_map(ff_region *region, int fd, size_t size)
    int ff_region_join(ff_region *region, int fd, size_t size)
    int ff_region_take(ff_region *region, size_t offset, size_t length)
    void ff_region_protect(ff_region *region)
    void ff_region_close(ff_region *region)


cdef extern from "fastfeed/clock.h" nogil:
    int64_t ff_clock_ns(int clock)


cdef extern from "fastfeed/histogram.h" nogil:
    ctypedef struct ff_histogram:
        pass

    ctypedef struct ff_counts:
        uint64_t count
        uint64_t negative
        int64_t max_ns

    void ff_histogram_add(ff_histogram *h, int64_t ns, uint64_t weight)
    void ff_histogram_read(const ff_histogram *h, ff_counts *counts)
    void ff_counts_subtract(ff_counts *counts, const ff_counts *earlier)
    void ff_counts_add(ff_counts *counts, const ff_counts *other)
    uint64_t ff_counts_up_to(const ff_counts *counts, int64_t length_ns)
    double ff_counts_sum_ns(const ff_counts *counts)
    int64_t ff_counts_percentile(const ff_counts *counts, double q)


cdef extern from "fastfeed/meter.h" nogil:
    int FF_METERS

    ctypedef enum ff_meter_state:
        FF_METER_CONNECTING
        FF_METER_CONNECTED
        FF_METER_DISCONNECTED
        FF_METER_CLOSED

    enum:
        FF_METER_CONNECTIONS
        FF_METER_GAPS
        FF_METER_BYTES
        FF_METER_PACKETS
        FF_METER_REJECTED
        FF_METER_LOST_ROWS

    # Its numbers are atomic in C: only those of a copy are looked at here.
    ctypedef struct ff_meter:
        uint64_t version
        uint32_t state
        uint32_t url_bytes
        int64_t since_ns
        int64_t beat_ns
        uint64_t *counters
        uint8_t *url
        uint64_t rows
        int64_t last_recv_ns
        ff_histogram gateway_to_receive
        ff_histogram receive_to_publish

    ctypedef struct ff_meters:
        pass

    int ff_meters_create(ff_meters *meters)
    int ff_meters_map(ff_meters *meters, int fd)
    int ff_meters_attach(ff_meters *meters, int fd)
    void ff_meters_close(ff_meters *meters)
    ff_meter *ff_meters_take(ff_meters *meters, const uint8_t *url, size_t length, int64_t now_ns)
    void ff_meter_enter(ff_meter *meter, ff_meter_state state, int64_t now_ns)
    void ff_meter_count(ff_meter *meter, int counter, uint64_t value)
    void ff_meter_beat(ff_meter *meter, int64_t now_ns)
    int ff_meters_copy(const ff_meters *meters, size_t i, ff_meter *copy)


cdef extern from "fastfeed/ring.h" nogil:
    ctypedef struct ff_ring_bell:
        pass

    ctypedef struct ff_ring:
        ff_ring_bell *bell
        uint8_t *rows
        uint64_t capacity
        uint64_t mask
        uint64_t head
        size_t row_size

    int ff_ring_create(ff_ring *ring, size_t row_size, uint64_t capacity)
    int ff_ring_prepare(int fd, size_t row_size, uint64_t capacity)
    int ff_ring_map(ff_ring *ring, int fd, size_t row_size, uint64_t capacity)
    int ff_ring_attach(ff_ring *ring, int fd, size_t row_size, uint64_t capacity)
    size_t ff_ring_bytes(size_t row_size, uint64_t capacity)
    void ff_ring_protect(ff_ring *ring)
    void ff_ring_close(ff_ring *ring)
    void *ff_ring_claim(ff_ring *ring, uint64_t n)
    void ff_ring_advance(ff_ring *ring, uint64_t n)
    void ff_ring_stamp(ff_ring *ring, int64_t now_ns)
    void ff_ring_publish(ff_ring *ring)
    uint64_t ff_ring_published(const ff_ring *ring)
    uint64_t ff_ring_oldest(const ff_ring *ring)
    uint64_t ff_ring_poll(const ff_ring *ring, uint64_t *position, uint64_t *lost)
    bint ff_ring_wait(const ff_ring *ring, uint64_t position, int64_t spin_ns, int64_t timeout_ns)
    bint ff_ring_intact(const ff_ring *ring, uint64_t i)


cdef extern from "fastfeed/readers.h" nogil:
    int FF_READERS
    size_t FF_READERS_PROGRAM_BYTES

    ctypedef struct ff_reader:
        uint32_t stream
        uint32_t measures
        uint64_t position
        uint64_t lost
        int64_t read_ns
        ff_histogram publish_to_read

    ctypedef struct ff_readers_header:
        uint64_t slot_size
        uint32_t ready
        uint8_t *program

    ctypedef struct ff_readers:
        pass

    int ff_readers_map(ff_readers *readers, int fd, const uint8_t *program, size_t length)
    void ff_readers_close(ff_readers *readers)
    void ff_readers_leave(ff_readers *readers)
    ff_reader *ff_readers_take(ff_readers *readers, unsigned stream, bint measures)
    void ff_reader_free(ff_reader *reader)
    void ff_reader_measure(ff_reader *reader, const ff_ring *ring, uint64_t published)
    void ff_reader_note(ff_reader *reader, uint64_t position, uint64_t lost)


cdef extern from "fastfeed/latest.h" nogil:
    ctypedef struct ff_latest:
        ff_region region
        size_t row_size
        unsigned step

    int ff_latest_create(ff_latest *table, size_t row_size, size_t places)
    int ff_latest_map(ff_latest *table, int fd, size_t row_size, size_t places)
    int ff_latest_attach(ff_latest *table, int fd, size_t row_size, size_t places)
    void ff_latest_close(ff_latest *table)
    int ff_latest_put(ff_latest *table, size_t place, const void *row)
    int ff_latest_copy(const ff_latest *table, size_t place, void *row)
    uint32_t ff_latest_used(const ff_latest *table)


cdef extern from "fastfeed/journal.h" nogil:
    ctypedef struct ff_journal:
        pass

    int ff_journal_map(ff_journal *journal, int fd, uint64_t most)
    int ff_journal_attach(ff_journal *journal, int fd, uint64_t most)
    void ff_journal_close(ff_journal *journal)
    uint64_t ff_journal_count(const ff_journal *journal)


cdef extern from "fastfeed/window.h" nogil:
    ctypedef struct ff_window:
        uint8_t *data
        size_t size
        size_t start
        size_t end

    uint8_t *ff_window_space(ff_window *w, size_t want, size_t *room)
    void ff_window_commit(ff_window *w, size_t n)


cdef extern from "fastfeed/tap.h" nogil:
    ctypedef struct ff_tap


cdef extern from "fastfeed/sink.h" nogil:
    ctypedef struct ff_sink:
        ff_ring **rings
        ff_latest **latest
        uint64_t *rows
        ff_meter *meter
        ff_tap *tap
        unsigned dirty
        bint full

    unsigned ff_sink_publish(ff_sink *sink)
    void ff_sink_written(ff_sink *sink, int stream, uint64_t n)


cdef extern from "fastfeed/machine.h" nogil:
    enum:
        FF_NEED_MORE
        FF_ROWS_FULL
        FF_FRAME
        FF_PACKET
        FF_HELD
        FF_ZIPPED

    ctypedef struct ff_frame:
        const uint8_t *data
        size_t length
        uint32_t kind
        uint32_t serial
        int reason
        uint8_t type
        uint8_t status
        const uint8_t *sha1

    ctypedef int ff_step(void *machine, ff_frame *frame) noexcept nogil

    ctypedef struct ff_machine:
        void *self
        ff_step *step
        ff_window *window
        ff_sink *sink
        int64_t *recv_ns
        size_t window_bytes


cdef extern from "fastfeed/order.h" nogil:
    ctypedef struct ff_order_symbol:
        int64_t last
        int64_t time_ns
        uint32_t count
        bint held
        bint gap

    ctypedef struct ff_order:
        ff_order_symbol *symbols
        size_t count
        uint64_t duplicates

    void ff_order_init(ff_order *order)
    void ff_order_free(ff_order *order)
    ff_order_symbol *ff_order_of(ff_order *order, uint32_t id)
    size_t ff_order_take(ff_order *order, ff_order_symbol *symbol, ff_tick *rows, size_t n)
    void ff_order_pass(ff_order_symbol *symbol, ff_tick *rows, size_t n)


cdef extern from "fastfeed/lock.h" nogil:
    ctypedef struct ff_lock:
        pass

    void ff_lock_take(ff_lock *lock)
    void ff_lock_give(ff_lock *lock)


cdef extern from "fastfeed/receiver.h" nogil:
    int FF_RECEIVER_SLOTS

    ctypedef struct ff_note:
        ff_note *next
        int status
        ff_frame frame

    ctypedef struct ff_slot:
        size_t notes

    ctypedef struct ff_receiver:
        ff_lock lock
        int event_fd

    int ff_receiver_init(ff_receiver *r, bint spin, int cpu)
    void ff_receiver_free(ff_receiver *r)
    int ff_receiver_join(ff_receiver *r, const ff_machine *machine, int fd, ff_slot **slot)
    void ff_receiver_leave(ff_receiver *r, ff_slot *slot)
    void ff_receiver_forget(ff_receiver *r, ff_slot *slot)
    unsigned ff_receiver_take(ff_receiver *r)
    ff_note *ff_receiver_note(ff_receiver *r, ff_slot *slot)
    ff_note *ff_receiver_held(ff_receiver *r, ff_slot *slot)
    ff_note *ff_receiver_held_of(ff_slot *slot, uint32_t symbol)
    void ff_receiver_go_on(ff_receiver *r, ff_slot *slot)
    bint ff_receiver_has_ended(ff_receiver *r, ff_slot *slot, int *error)
    void ff_receiver_ask(ff_receiver *r, int stream, bint on)


cdef extern from "fastfeed/symbols.h" nogil:
    enum:
        FF_SYMBOL_MAX_BYTES

    ctypedef struct ff_symbols:
        uint32_t count
        uint32_t max_count
        uint32_t max_used
        ff_journal *journal

    int ff_symbols_init(ff_symbols *table, uint32_t max_count)
    void ff_symbols_free(ff_symbols *table)
    int64_t ff_symbols_intern(ff_symbols *table, const uint8_t *name, size_t length)
    int64_t ff_symbols_find(const ff_symbols *table, uint32_t space, const uint8_t *key, size_t length,
                            const uint8_t *end)
    int ff_symbols_follow(ff_symbols *table, const ff_journal *journal, uint64_t *next)
    const uint8_t *ff_symbols_name(const ff_symbols *table, uint32_t id, size_t *length)


cdef extern from "<string.h>" nogil:
    void explicit_bzero(void *data, size_t length)


cdef extern from "fastfeed/opend_cipher.h" nogil:
    int FF_AES_BLOCK
    int FF_AES_KEY

    ctypedef enum ff_cipher_mode:
        FF_CIPHER_NONE
        FF_CIPHER_CBC
        FF_CIPHER_ECB

    ctypedef struct ff_opend_cipher:
        pass

    void ff_opend_cipher_init(ff_opend_cipher *cipher, ff_cipher_mode mode, const uint8_t *key, const uint8_t *iv,
                              bint portable)
    Py_ssize_t ff_opend_decrypt(const ff_opend_cipher *cipher, const uint8_t *data, size_t length, uint8_t *out)
    size_t ff_opend_encrypted_length(const ff_opend_cipher *cipher, size_t length)
    size_t ff_opend_encrypt(const ff_opend_cipher *cipher, const uint8_t *data, size_t length, uint8_t *out)
    size_t ff_opend_encrypted_packets_length(const ff_opend_cipher *cipher, const uint8_t *data, size_t length)
    size_t ff_opend_encrypt_packets(const ff_opend_cipher *cipher, const uint8_t *data, size_t length, uint8_t *out)


cdef extern from "fastfeed/opend.h" nogil:
    ctypedef struct ff_opend_counters:
        uint64_t bytes
        uint64_t packets
        uint64_t frames
        uint64_t ignored
        uint64_t *rejected

    ctypedef struct ff_opend_decoder:
        ff_symbols *symbols
        ff_symbols *brokers
        int64_t recv_ns
        uint64_t *dropped
        uint64_t cut_levels

    ctypedef struct ff_opend:
        ff_window window
        ff_sink sink
        bint check_sha1
        ff_order *order
        size_t depth
        ff_opend_cipher cipher
        ff_opend_decoder decoder
        ff_opend_counters counters

    enum:
        FF_OPEND_HEADER
        FF_OPEND_INIT_CONNECT

    int ff_opend_init(ff_opend *m, size_t window_bytes, size_t max_body, ff_symbols *symbols)
    void ff_opend_free(ff_opend *m)
    void ff_opend_reset(ff_opend *m)
    size_t ff_opend_missing(const ff_opend *m)
    int ff_opend_step(void *machine, ff_frame *frame)
    int ff_opend_process_span(ff_opend *m, const uint8_t *data, size_t length, size_t *used, ff_frame *frame)


cdef extern from "fastfeed/opend_ticks.h" nogil:
    int ff_opend_decode_ticks(ff_opend_decoder *d, const uint8_t *body, size_t length, void *rows, size_t max_rows)


cdef extern from "fastfeed/opend_quotes.h" nogil:
    int ff_opend_decode_quotes(ff_opend_decoder *d, const uint8_t *body, size_t length, void *rows, size_t max_rows)


cdef extern from "fastfeed/opend_books.h" nogil:
    int ff_opend_decode_book(ff_opend_decoder *d, const uint8_t *body, size_t length, void *row, size_t depth)


cdef extern from "fastfeed/opend_bars.h" nogil:
    int ff_opend_decode_bars(ff_opend_decoder *d, const uint8_t *body, size_t length, void *rows, size_t max_rows)
    int ff_opend_decode_bars_reply(ff_opend_decoder *d, int32_t kl_type, int32_t rehab, const uint8_t *body,
                                   size_t length, void *rows, size_t max_rows)


cdef extern from "fastfeed/opend_timeshare.h" nogil:
    int ff_opend_decode_timeshare(ff_opend_decoder *d, const uint8_t *body, size_t length, void *rows, size_t max_rows)


cdef extern from "fastfeed/opend_brokers.h" nogil:
    enum:
        FF_BROKER_SPACE

    int ff_opend_decode_brokers(ff_opend_decoder *d, const uint8_t *body, size_t length, void *row)
    void ff_opend_broker_name(ff_symbols *names, int64_t id, const uint8_t *name, size_t length)


cdef extern from "fastfeed/opend_encode.h" nogil:
    const size_t FF_OPEND_ENCODE_TEXT_MAX

    ctypedef struct ff_opend_out_tick:
        int64_t time_ns
        int64_t sequence
        double price
        double volume
        int32_t utc_offset_s
        int32_t direction

    ctypedef struct ff_opend_out_security:
        pass

    bint ff_opend_out_security_init(ff_opend_out_security *security, int32_t market, const char *code,
                                    size_t code_len, const char *name, size_t name_len)
    size_t ff_opend_encode_ticks(uint8_t *out, size_t capacity, uint32_t serial,
                                 const ff_opend_out_security *security, const ff_opend_out_tick *ticks,
                                 size_t count, double recv_time, int32_t push_data_type)


cdef extern from "fastfeed/alltick_decoder.h" nogil:
    enum:
        FF_ALLTICK_MAX_MESSAGE
        FF_ALLTICK_IGNORED
        FF_ALLTICK_TICKS
        FF_ALLTICK_BOOKS
        FF_ALLTICK_SESSION

    ctypedef struct ff_alltick_decoder:
        ff_symbols *symbols
        int64_t recv_ns
        size_t depth
        bint learn
        uint64_t *dropped
        uint64_t cut_levels
        uint64_t odd_seqs
        uint64_t odd_directions
        uint64_t unknown_codes
        uint64_t unknown_numbers
        uint64_t non_json
        uint64_t unwanted

    ctypedef struct ff_alltick_rows:
        ff_tick *ticks
        size_t max_ticks
        ff_book *books
        size_t max_books
        size_t count

    size_t ff_alltick_max_rows(size_t length)
    int ff_alltick_decode(ff_alltick_decoder *d, const uint8_t *data, size_t length, ff_alltick_rows *rows)
    int ff_alltick_decode_any(ff_alltick_decoder *d, const uint8_t *data, size_t length, ff_alltick_rows *rows)
    int ff_alltick_decode_reply(ff_alltick_decoder *d, int stream, const uint8_t *data, size_t length, void *rows,
                                size_t max_rows)


cdef extern from "fastfeed/alltick.h" nogil:
    ctypedef struct ff_alltick_seen:
        bint sideless

    ctypedef struct ff_alltick_counters:
        uint64_t bytes
        uint64_t messages
        uint64_t frames
        uint64_t duplicates
        uint64_t *rejected

    ctypedef struct ff_alltick:
        ff_window window
        ff_sink sink
        ff_alltick_decoder decoder
        ff_alltick_seen *seen
        size_t seen_size
        bint upgraded
        ff_alltick_counters counters

    int ff_alltick_init(ff_alltick *m, size_t window_bytes, size_t max_message, ff_symbols *symbols)
    void ff_alltick_free(ff_alltick *m)
    void ff_alltick_reset(ff_alltick *m)
    ff_alltick_seen *ff_alltick_seen_of(ff_alltick *m, uint32_t symbol)
    int ff_alltick_take(ff_alltick *m, const uint8_t *data, size_t length)
    int ff_alltick_step(void *machine, ff_frame *frame)


cdef extern from "fastfeed/longport_decoder.h" nogil:
    enum:
        FF_LONGPORT_QUOTES
        FF_LONGPORT_DEPTH
        FF_LONGPORT_BROKERS
        FF_LONGPORT_TRADES
        FF_LONGPORT_INTRADAY
        FF_LONGPORT_CANDLESTICKS
        FF_LONGPORT_HISTORY_CANDLESTICKS
        FF_LONGPORT_PUSH_QUOTE
        FF_LONGPORT_PUSH_DEPTH
        FF_LONGPORT_PUSH_BROKERS
        FF_LONGPORT_PUSH_TRADES

    ctypedef struct ff_longport_decoder:
        ff_symbols *symbols
        int64_t recv_ns
        size_t depth
        uint64_t *dropped
        uint64_t cut_levels
        uint64_t old
        uint64_t end_of_day
        uint64_t new_days

    void ff_longport_decoder_init(ff_longport_decoder *d, ff_symbols *symbols, size_t depth)
    void ff_longport_decoder_free(ff_longport_decoder *d)
    void ff_longport_decoder_reset(ff_longport_decoder *d)
    size_t ff_longport_max_rows(unsigned command, size_t length)
    int ff_longport_decode_push(ff_longport_decoder *d, unsigned command, const uint8_t *body, size_t length,
                                void *rows, size_t max_rows)
    int ff_longport_decode_push_any(ff_longport_decoder *d, unsigned command, const uint8_t *body, size_t length,
                                    void *rows, size_t max_rows)
    int ff_longport_decode_response(ff_longport_decoder *d, unsigned command, const uint8_t *body, size_t length,
                                    int32_t interval_s, uint8_t kind, void *rows, size_t max_rows)
    int ff_longport_seed_quotes(ff_longport_decoder *d, ff_quote *rows, size_t n)


cdef extern from "fastfeed/longport.h" nogil:
    enum:
        FF_LONGPORT_RESPONSE
        FF_LONGPORT_PUSH
        FF_LONGPORT_MAX_BODY

    ctypedef struct ff_longport_counters:
        uint64_t bytes
        uint64_t packets
        uint64_t messages
        uint64_t frames
        uint64_t zipped
        uint64_t ignored
        uint64_t *rejected

    ctypedef struct ff_longport:
        ff_window window
        ff_sink sink
        bint framed
        bint upgraded
        size_t inside
        const uint8_t *apart
        ff_order *order
        ff_longport_decoder decoder
        ff_longport_counters counters

    int ff_longport_init(ff_longport *m, size_t window_bytes, size_t max_body, size_t depth, ff_symbols *symbols)
    void ff_longport_free(ff_longport *m)
    void ff_longport_reset(ff_longport *m, bint framed)
    int ff_longport_step(void *machine, ff_frame *frame)
    int ff_longport_take(ff_longport *m, ff_frame *packet)
    int ff_longport_seed(ff_longport *m, ff_quote *rows, size_t n)
    void ff_longport_message(ff_longport *m, const uint8_t *data, size_t length)


cdef extern from "fastfeed/tap.h" nogil:
    enum:
        FF_CELL
        FF_RECORD_MAGIC
        FF_TAPE_MOST

    enum:
        FF_RECORD_BYTES
        FF_RECORD_SYMBOLS
        FF_RECORD_LISTEN
        FF_RECORD_RESET
        FF_RECORD_BEGIN
        FF_RECORD_ROWS
        FF_RECORD_SEED
        FF_RECORD_HOLD
        FF_RECORD_CHANGE
        FF_RECORD_UNHOLD
        FF_RECORD_UNZIP
        FF_RECORD_EXPECT
        FF_RECORD_GAP
        FF_RECORD_TYPES

    enum:
        FF_RECORD_MORE
        FF_RECORD_FRAMED
        FF_RECORD_SHA1
        FF_RECORD_HOLE
        FF_RECORD_ANEW
        FF_RECORD_FORGET
        FF_RECORD_SIDED
        FF_RECORD_AGAIN

    ctypedef struct ff_record:
        uint32_t magic
        uint8_t type
        uint8_t flags
        uint16_t machine
        uint32_t length
        uint32_t number
        int64_t recv_ns
        uint8_t stream

    ctypedef struct ff_tape:
        ff_ring ring
        const ff_symbols *symbols
        uint32_t named

    ctypedef struct ff_tap:
        ff_tape *tape
        uint16_t machine
        bint on
        bint by_packet
        size_t ahead
        size_t left
        const size_t *inside
        const uint8_t *const *apart
        const uint8_t *secret
        size_t secret_length

    size_t ff_record_cells(size_t length)
    ptrdiff_t ff_record_at(const uint8_t *data, size_t length, ff_record *out)
    int ff_tape_init(ff_tape *tape, size_t bytes, const ff_symbols *symbols)
    void ff_tape_free(ff_tape *tape)
    void ff_tap_put(ff_tap *tap, ff_record record, const void *data, size_t length, size_t unit)
    void ff_tap_note(ff_tap *tap, int type, uint8_t flags, int stream)
    void ff_tap_symbol(ff_tap *tap, int type, uint8_t flags, uint32_t symbol)
    void ff_tap_reset(ff_tap *tap, bint framed)
    void ff_tap_begin(ff_tap *tap, bint check_sha1)
    void ff_tap_step(ff_tap *tap, const ff_window *w, size_t start, int64_t recv_ns, int status)


cdef extern from "fastfeed/crc32c.h" nogil:
    uint32_t ff_crc32c(uint32_t crc, const void *data, size_t length)


cdef extern from "fastfeed/capture.h" nogil:
    enum:
        FF_CHUNK_MAGIC
        FF_CHUNK_MOST

    enum:
        FF_CODEC_NONE
        FF_CODEC_ZSTD

    enum:
        FF_PUMP_ASKED
        FF_PUMP_PIECE
        FF_PUMP_LAPPED
        FF_PUMP_FULL
        FF_PUMP_REACHED

    ctypedef struct ff_chunk:
        uint32_t magic
        uint32_t crc
        uint32_t stored
        uint32_t plain
        uint64_t number
        int64_t recv_ns
        uint32_t records
        uint8_t codec

    ctypedef struct ff_piece:
        const uint8_t *data
        size_t bytes
        uint32_t records
        int64_t recv_ns

    ctypedef struct ff_pump:
        uint64_t position
        uint64_t until
        int fd
        uint64_t file_bytes
        uint64_t reserved
        uint64_t most_bytes
        uint64_t number
        bint asked
        uint64_t bytes
        uint64_t stored_bytes
        uint64_t records

    void ff_pump_init(ff_pump *pump, const ff_ring *ring, int64_t flush_ns)
    int ff_pump_wait(ff_pump *pump, ff_piece *piece)
    void ff_chunk_init(ff_chunk *chunk, uint64_t number, const ff_piece *piece, int codec, const void *data,
                       size_t stored)
    uint32_t ff_chunk_crc(const ff_chunk *chunk, const void *data)
    ptrdiff_t ff_chunk_read(int fd, ff_chunk *chunk, void *data, size_t room, uint32_t *crc)
    bint ff_pump_done(ff_pump *pump, const ff_piece *piece, size_t file_bytes)
    int ff_pump_run(ff_pump *pump)
    uint64_t ff_pump_skip(ff_pump *pump, uint64_t position)


cdef extern from "fastfeed/load.h" nogil:
    enum:
        FF_LOAD_DIGITS
        FF_LOAD_VARINT

    enum:
        FF_LOAD_AGAIN
        FF_LOAD_STOPPED

    ctypedef enum ff_load_form:
        FF_LOAD_AS_VARINT
        FF_LOAD_AS_DIGITS

    ctypedef struct ff_blast:
        uint64_t bytes
        int64_t began_ns
        int64_t ended_ns
        int64_t waited_ns

    int ff_blast_init(ff_blast *blast, uint8_t *block, size_t length, const uint64_t *places, size_t count,
                      ff_load_form form, uint64_t step, uint64_t repeat)
    int ff_blast_run(ff_blast *blast, int fd, int stop_fd)

    ctypedef struct ff_paced:
        const uint8_t *data
        const uint64_t *ends
        const int64_t *times
        size_t count
        int64_t *late
        size_t next
        size_t begun

    int ff_paced_run(ff_paced *paced, int fd, int stop_fd)

    ctypedef struct ff_drain:
        uint8_t *window
        size_t size
        uint64_t left
        uint64_t reads

    int ff_drain_run(ff_drain *drain, int fd)

    ctypedef struct ff_jitter:
        int64_t left_ns
        int64_t stolen_ns
        int64_t longest_ns

    int ff_jitter_run(ff_jitter *jitter)
