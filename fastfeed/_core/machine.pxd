from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastfeed._core.meter cimport Meter
from fastfeed._core.native cimport (
    ff_frame,
    ff_machine,
    ff_order,
    ff_order_symbol,
    ff_receiver,
    ff_record,
    ff_sink,
    ff_slot,
    ff_step,
    ff_tap,
    ff_tick,
    ff_window,
)
from fastfeed._core.symbols cimport SymbolTable
from fastfeed._core.tape cimport Tape


cdef class Machine:
    # The C machine, which the vendor's class has, its step and parts of it: set there when it is made.
    cdef void *own
    cdef ff_step *step
    cdef ff_window *window
    cdef ff_sink *sink
    cdef int64_t *recv_ns
    cdef size_t depth            # of both streams of books
    cdef size_t window_bytes     # of a read
    cdef readonly SymbolTable symbols  # with the lock of everything here, where a thread receives
    cdef ff_receiver *receiver   # what receives for this machine, and its slot there; NULL: the loop
    cdef ff_slot *slot
    cdef list rings              # by stream, None where nobody listens; with their callables and tables below
    cdef list deliver
    cdef list latest
    cdef Meter meter             # that the sink measures with
    cdef ff_tap tap              # what the sink records with
    cdef Tape tape               # where, None: nowhere
    cdef bytes secret            # that is not recorded
    cdef size_t limit_bytes      # of a packet's body, or a message
    cdef bint begun              # of one that plays a record: the handshake is over
    cdef bint torn               # the same: something before is missing
    cdef readonly object error   # RemoteProtocolError once framing is lost
    cdef bint stopped            # behind a frame that the session has to look at first
    cdef bint busy               # `deliver` runs user code, which must not call in again

    cdef list process(self)
    cdef list note(self, list frames, int status, ff_frame *frame)
    cdef ff_machine described(self) noexcept
    cdef int order_rows(self, int stream, void *rows, size_t *n) noexcept
    cdef int enter(self, bint stopped=*) except -1
    cdef int enter_reading(self, bint stopped=*) except -1
    cdef int keep(self, const uint8_t *p, size_t n) except -1
    cdef int publish(self) except -1
    cdef int show(self, unsigned dirty) except -1
    cdef int put_rows(self, int stream, const uint8_t *rows, size_t n) noexcept
    cdef int take_held_notes(self) except -1
    cdef int write_rows(self, int stream, const uint8_t *rows, size_t n) except -1
    cdef int record_rows(self, int type, int stream, const uint8_t *rows, size_t n, size_t size) noexcept
    cdef int set_up_tap(self) except -1
    cdef int say_again(self) noexcept
    cdef int play(self, const ff_record *record, const uint8_t *data) except -1
    cdef int play_bytes(self, const ff_record *record, const uint8_t *data) except -1
    cdef int play_rows(self, int stream, const uint8_t *rows, size_t bytes) except -1
    cdef int check_rows(self, int stream, const uint8_t *rows, size_t bytes, size_t size) except -1
    cdef int mend(self) except -1
    cdef bint is_left(self, size_t bytes) noexcept
    cdef int keep_zipped(self, const ff_frame *frame) except -1


cdef class HoldingMachine(Machine):
    cdef ff_order order          # of the ticks
    cdef dict held               # symbol id: bytearray of ticks that wait
    cdef dict overflowed         # symbol id: the times around the hole, of those for which there was no more room
    cdef readonly uint64_t held_rows  # that wait now
    cdef readonly uint64_t held_live  # of all that ever waited, those that were not from the vendor's cache
    cdef uint64_t most_held

    cdef ff_order_symbol *find_order(self, uint32_t number) noexcept
    cdef ff_order_symbol order_of(self, uint32_t number) except *
    cdef ff_order_symbol hold_one(self, uint32_t number) except *
    cdef int change(self, uint32_t number, bint gap, bint anew) except -1
    cdef int check_symbol(self, const ff_order_symbol *symbol, uint32_t number) except -1
    cdef int unhold(self, uint32_t number, bint forget=*) except -1
    cdef bytearray pop_held(self, uint32_t number)
    cdef int let_go(self, uint32_t number, const unsigned char[::1] rows) except -1
    cdef int hold_rows(self, const ff_tick *first, size_t n) except -1
    cdef int hold_none(self) noexcept


cdef int64_t now_ns() noexcept nogil

cdef list add_message(list messages, const ff_frame *frame)
cdef object broken(const ff_window *window, int reason, uint64_t offset, str source, list messages)
cdef int check(int rc) except -1
cdef dict reasons(const uint64_t *rejected, const uint64_t *dropped)
