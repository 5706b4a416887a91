"""Encodes batches of ticks as OpenD sends them, without a Python object for a tick."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc

from fastfeed._core.native cimport (
    FF_OPEND_ENCODE_TEXT_MAX,
    ff_opend_encode_ticks,
    ff_opend_out_security_init,
)

__all__ = ["TICK_FIELDS", "MAX_CHUNK_BYTES", "MAX_ROWS_PER_PACKET", "MAX_ROWS_PER_PUSH", "TickEncoder"]

cdef enum:
    CHUNK_BYTES = 1 << 18
    ROWS_PER_PUSH = 256  # one packet of so many rows is a tenth of a chunk
    ROWS_PER_PACKET = 1000  # of a reply; at most 138 bytes each, so it fits into a chunk

#: Most bytes that one call of `TickEncoder.encode` returns.
MAX_CHUNK_BYTES = CHUNK_BYTES

#: Most rows that one push of `TickEncoder.encode` holds.
MAX_ROWS_PER_PUSH = ROWS_PER_PUSH

#: Most rows that `TickEncoder.encode_picked` takes.
MAX_ROWS_PER_PACKET = ROWS_PER_PACKET

#: What `numpy.dtype` makes the rows of a simulation from.
TICK_FIELDS = {
    "names": ["time_ns", "price", "volume", "symbol", "side"],
    "formats": ["<i8", "<f8", "<f8", "<u4", "<i4"],
    "offsets": [
        <size_t>&(<sim_tick *>NULL).time_ns,
        <size_t>&(<sim_tick *>NULL).price,
        <size_t>&(<sim_tick *>NULL).volume,
        <size_t>&(<sim_tick *>NULL).symbol,
        <size_t>&(<sim_tick *>NULL).side,
    ],
    "itemsize": sizeof(sim_tick),
}


cdef class TickEncoder:
    """Encode rows of the dtype of `TICK_FIELDS` as 3011 packets, and as replies to 3010.

    Parameters
    ----------
    securities : sequence of (market, code, name, offsets)
        Of the symbols that rows refer to, by their index. `offsets` are the market's UTC offsets:
        pairs (epoch second from which it holds, offset in seconds), oldest first, at least one.
    """

    def __cinit__(self, securities):
        cdef size_t i = 0, n = 0
        cdef bytes code_bytes, name_bytes
        securities = list(securities)
        self.count = len(securities)
        self.securities = <out_security *>calloc(self.count + 1, sizeof(out_security))
        self.changes = <offset_change *>calloc(
            sum(len(offsets) for _, _, _, offsets in securities) + 1, sizeof(offset_change))
        self.scratch = <uint8_t *>malloc(CHUNK_BYTES)
        if self.securities == NULL or self.changes == NULL or self.scratch == NULL:
            raise MemoryError
        for market, code, name, offsets in securities:
            code_bytes = code.encode()
            name_bytes = name.encode()
            if not ff_opend_out_security_init(&self.securities[i].wire, market, code_bytes, len(code_bytes),
                                              name_bytes, len(name_bytes)):
                raise ValueError(f"expected a code and a name of at most {FF_OPEND_ENCODE_TEXT_MAX} bytes, "
                                 f"got {code!r} and {name!r}")
            if not offsets:
                raise ValueError(f"expected at least one UTC offset of {code!r}, got none")
            self.securities[i].changes_start = n
            for from_s, offset_s in offsets:
                self.changes[n].from_s = from_s
                self.changes[n].offset_s = offset_s
                n += 1
            self.securities[i].changes_end = n
            i += 1

    def __dealloc__(self):
        free(self.securities)
        free(self.changes)
        free(self.scratch)

    def encode(self, const sim_tick[::1] rows, int64_t first, const uint8_t[::1] wanted, *,
               uint32_t serial, double recv_time, size_t rows_per_push=1, int64_t floor_s=0):
        """Encode the wanted rows, in order, until the rows or `MAX_CHUNK_BYTES` are used up.

        Parameters
        ----------
        rows : buffer
            Rows of the dtype of `TICK_FIELDS`, contiguous.
        first : int
            Position of the first row, counted from the simulation's beginning. It is added to the
            second of a row's time, shifted by 32 bits, to give the row's sequence.
        wanted : buffer of bytes
            One byte for each security, not 0 where its rows are wanted.
        serial : int
            Serial number of the first packet; further ones count up.
        recv_time : float
            The gateway's receive time that the rows will carry, epoch seconds.
        rows_per_push : int, default 1
            Most rows in one packet. Rows share a packet only where they follow each other.
        floor_s : int, default 0
            Least second in a sequence. Keeps sequences growing where a tape starts again.

        Returns
        -------
        (bytes, int, int, int)
            The packets, the number of rows used, of packets, of ticks in them.
        """
        cdef ff_opend_out_tick group[ROWS_PER_PUSH]
        cdef size_t count = self._checked(rows, wanted, rows_per_push)
        cdef size_t used = 0, i, in_group, written, length = 0, packets = 0, ticks = 0
        cdef uint32_t symbol
        while used < count:
            symbol = rows[used].symbol
            if not wanted[symbol]:
                used += 1
                continue
            in_group = 0
            i = used
            while i < count and in_group < rows_per_push and rows[i].symbol == symbol:
                self._fill(&group[in_group], &rows[i], first + <int64_t>i, floor_s)
                in_group += 1
                i += 1
            written = ff_opend_encode_ticks(self.scratch + length, CHUNK_BYTES - length,
                                            serial + <uint32_t>packets, &self.securities[symbol].wire,
                                            group, in_group, recv_time, 1)
            if written == 0:
                break
            length += written
            packets += 1
            ticks += in_group
            used = i
        return PyBytes_FromStringAndSize(<char *>self.scratch, <Py_ssize_t>length), used, packets, ticks

    def encode_picked(self, const sim_tick[::1] store, const int64_t[::1] positions, size_t symbol, *,
                      uint32_t serial, double recv_time, int32_t push_data_type=0, int64_t floor_s=0,
                      int64_t floor_from=1 << 62):
        """Encode some ticks of one symbol as one packet: a push, or the reply to 3010.

        Parameters
        ----------
        store : buffer
            Rows by their position, modulo its length.
        positions : buffer of int64
            Of the rows, at most `MAX_ROWS_PER_PACKET`.
        symbol : int
            Index of the symbol; what else is at a position is left out.
        serial, recv_time
            As for `encode`.
        push_data_type : int, default 0
            As OpenD marks the rows of a push: 2 missed upstream, 3 cached. 0: a reply, not marked.
        floor_s, floor_from : int
            Least second in the sequences of positions from `floor_from` on.

        Returns
        -------
        bytes
        """
        cdef size_t i, count = 0, written, size = <size_t>store.shape[0]
        cdef const sim_tick *row
        cdef ff_opend_out_tick *group
        if symbol >= self.count:
            raise ValueError(f"expected a symbol below {self.count}, got {symbol}")
        if positions.shape[0] > ROWS_PER_PACKET or not size:
            raise ValueError(f"expected at most {ROWS_PER_PACKET} rows of a store, got {positions.shape[0]}")
        group = <ff_opend_out_tick *>malloc((<size_t>positions.shape[0] + 1) * sizeof(ff_opend_out_tick))
        if group == NULL:
            raise MemoryError
        try:
            with nogil:
                for i in range(<size_t>positions.shape[0]):
                    row = &store[<size_t>positions[i] % size]
                    if row.symbol == symbol:
                        self._fill(&group[count], row, positions[i],
                                   floor_s if positions[i] >= floor_from else 0)
                        count += 1
                written = ff_opend_encode_ticks(self.scratch, CHUNK_BYTES, serial,
                                                &self.securities[symbol].wire, group, count,
                                                recv_time, push_data_type)
            return PyBytes_FromStringAndSize(<char *>self.scratch, <Py_ssize_t>written)
        finally:
            free(group)

    cdef size_t _checked(self, const sim_tick[::1] rows, const uint8_t[::1] wanted,
                         size_t rows_per_push) except? 0:
        cdef size_t i, count = <size_t>rows.shape[0]
        if <size_t>wanted.shape[0] != self.count:
            raise ValueError(f"expected {self.count} marks, got {wanted.shape[0]}")
        if not 1 <= rows_per_push <= ROWS_PER_PUSH:
            raise ValueError(f"expected 1 to {ROWS_PER_PUSH} rows a push, got {rows_per_push}")
        for i in range(count):
            if rows[i].symbol >= self.count:
                raise ValueError(f"expected symbols below {self.count}, got {rows[i].symbol}")
        return count

    cdef void _fill(self, ff_opend_out_tick *out, const sim_tick *row, int64_t position,
                    int64_t floor_s) noexcept nogil:
        cdef out_security *security = &self.securities[row.symbol]
        cdef int64_t seconds = row.time_ns // 1000000000
        cdef size_t i = security.changes_end - 1
        while i > security.changes_start and self.changes[i].from_s > seconds:
            i -= 1
        out.time_ns = row.time_ns
        out.sequence = (max(seconds, floor_s) << 32) + position
        out.price = row.price
        out.volume = row.volume
        out.utc_offset_s = self.changes[i].offset_s
        out.direction = 1 if row.side > 0 else 2 if row.side < 0 else 3
