"""Records of a tape, looked at and done again; see native/include/fastfeed/tap.h."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastfeed._core.machine cimport Machine
from fastfeed._core.native cimport (
    FF_CELL,
    FF_RECORD_AGAIN,
    FF_RECORD_BEGIN,
    FF_RECORD_BYTES,
    FF_RECORD_CHANGE,
    FF_RECORD_EXPECT,
    FF_RECORD_GAP,
    FF_RECORD_HOLD,
    FF_RECORD_LISTEN,
    FF_RECORD_MAGIC,
    FF_RECORD_MORE,
    FF_RECORD_RESET,
    FF_RECORD_ROWS,
    FF_RECORD_SEED,
    FF_RECORD_SYMBOLS,
    FF_RECORD_UNHOLD,
    FF_RECORD_UNZIP,
    FF_STREAMS,
    FF_SYMBOL_MAX_BYTES,
    FF_TAPE_MOST,
    ff_record,
    ff_record_at,
    ff_record_cells,
)
from fastfeed._core.symbols cimport SymbolTable

cimport cython

from fastfeed.errors import StorageError

#: The types of records.
BYTES = FF_RECORD_BYTES
SYMBOLS = FF_RECORD_SYMBOLS
LISTEN = FF_RECORD_LISTEN
RESET = FF_RECORD_RESET
BEGIN = FF_RECORD_BEGIN
ROWS = FF_RECORD_ROWS
SEED = FF_RECORD_SEED
HOLD = FF_RECORD_HOLD
CHANGE = FF_RECORD_CHANGE
UNHOLD = FF_RECORD_UNHOLD
UNZIP = FF_RECORD_UNZIP
EXPECT = FF_RECORD_EXPECT
GAP = FF_RECORD_GAP


@cython.final
@cython.freelist(64)
cdef class Record:
    """A record of a tape.

    Attributes
    ----------
    type : int
        What it is: `BYTES` as they were received, or something else that changed the rows.
    connection : int
        Which one of the feed's, counted from 0.
    recv_ns : int
        When it was; of `BYTES` when they were received, as the rows have it. ns since 1970 UTC.
    payload : memoryview
        Of `BYTES` whole packets or, of WebSocket, frames; of OpenD plain ones. Read-only, and valid as long as it is
        referred to.
    data : memoryview
        The record itself, as it is stored: what `Player.play` takes.
    more : bool
        Of `BYTES`: the packet goes on in the connection's next record.
    again : bool
        It was recorded before, and is said again for who begins here.
    number, stream, flags : int
        Depending on the type.
    """

    cdef ff_record record
    cdef readonly object data

    @property
    def type(self):
        return self.record.type

    @property
    def flags(self):
        return self.record.flags

    @property
    def connection(self):
        return self.record.machine

    @property
    def number(self):
        return self.record.number

    @property
    def stream(self):
        return self.record.stream

    @property
    def recv_ns(self):
        return self.record.recv_ns

    @property
    def again(self):
        return bool(self.record.flags & FF_RECORD_AGAIN)

    @property
    def more(self):
        return self.record.type == FF_RECORD_BYTES and bool(self.record.flags & FF_RECORD_MORE)

    @property
    def payload(self):
        return self.data[sizeof(ff_record):sizeof(ff_record) + self.record.length]


def records(chunk not None):
    """Return the records of a chunk, which has to be a memoryview of bytes.

    Raises
    ------
    StorageError
        There is something else in it.
    """
    cdef Py_buffer buffer
    cdef Record one
    cdef size_t at = 0
    cdef ptrdiff_t size
    cdef list found = []
    PyObject_GetBuffer(chunk, &buffer, PyBUF_SIMPLE)
    try:
        while at < <size_t>buffer.len:
            one = Record.__new__(Record)
            size = ff_record_at(<const uint8_t *>buffer.buf + at, buffer.len - at, &one.record)
            if size <= 0:
                raise StorageError(f"there is no record at byte {at}")
            one.data = chunk[at:at + size]
            found.append(one)
            at += size
    finally:
        PyBuffer_Release(&buffer)
    return found


cdef bytes own_record(int type, uint32_t number, int64_t recv_ns, bytes payload):
    cdef ff_record record
    cdef bytes data = PyBytes_FromStringAndSize(NULL, ff_record_cells(len(payload)) * FF_CELL)
    cdef char *p = PyBytes_AS_STRING(data)
    if len(payload) > FF_TAPE_MOST:
        raise ValueError(f"expected a payload of at most {FF_TAPE_MOST} bytes, got {len(payload)}")
    memset(p, 0, len(data))
    memset(&record, 0, sizeof(record))
    record.magic = FF_RECORD_MAGIC
    record.type = type
    record.number = number
    record.recv_ns = recv_ns
    record.length = len(payload)
    memcpy(p, &record, sizeof(record))
    memcpy(p + sizeof(record), PyBytes_AS_STRING(payload), len(payload))
    return data


def symbols_record(uint32_t number, list names not None, int64_t recv_ns):
    """Return a record that gives names the ids from `number` on."""
    return own_record(FF_RECORD_SYMBOLS, number, recv_ns, b"".join([bytes([len(name)]) + name for name in names]))


def gap_record(uint64_t lost_bytes, int64_t recv_ns):
    """Return a record which says that others are missing here."""
    return own_record(FF_RECORD_GAP, 0, recv_ns, lost_bytes.to_bytes(8, "little"))


@cython.final
cdef class RecordPlayer:
    """Does what records say, with machines of its own.

    Parameters
    ----------
    symbols : SymbolTable
        Of the machines.
    make : callable
        Returns a new machine.
    listen : callable
        Takes a machine and the number of a stream that it is to write from now on.

    Attributes
    ----------
    machines : list
        By the number of the connection.
    gaps, lost_bytes : int
        How often records are missing, and of how many bytes.
    broken : int
        Connections that could not be followed to their end, as it was live.
    """

    cdef SymbolTable symbols
    cdef object make
    cdef object listen
    cdef readonly list machines
    cdef readonly uint64_t gaps
    cdef readonly uint64_t lost_bytes
    cdef readonly uint64_t broken

    def __cinit__(self, SymbolTable symbols not None, make, listen):
        self.symbols = symbols
        self.make = make
        self.listen = listen
        self.machines = []

    def play(self, data):
        """Do what one or more whole records say; return how many rows were written.

        Raises
        ------
        StorageError
            They are none, or cannot be of this capture.
        """
        cdef Py_buffer buffer
        cdef ff_record record
        cdef const uint8_t *p
        cdef size_t left
        cdef ptrdiff_t size
        cdef uint64_t before = self.rows()
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            p = <const uint8_t *>buffer.buf
            left = buffer.len
            while left:
                size = ff_record_at(p, left, &record)
                if size <= 0:
                    raise StorageError("expected whole records")
                self.one(&record, p + sizeof(record))
                p += size
                left -= size
        finally:
            PyBuffer_Release(&buffer)
        return self.rows() - before

    cdef uint64_t rows(self) except? 0:
        cdef uint64_t n = 0
        cdef Machine machine
        cdef int stream
        for machine in self.machines:
            if machine is not None:
                for stream in range(FF_STREAMS):
                    n += machine.sink.rows[stream]
        return n

    cdef int one(self, const ff_record *record, const uint8_t *data) except -1:
        cdef Machine machine
        cdef bint again = record.flags & FF_RECORD_AGAIN != 0
        if record.type == FF_RECORD_SYMBOLS:
            return self.name(record, data)
        if record.type == FF_RECORD_GAP:
            return self.miss(record, data)
        while record.machine >= len(self.machines):
            self.machines.append(None)
        machine = self.machines[record.machine]
        if machine is None:
            machine = self.machines[record.machine] = self.make()
            machine.torn = True
        if again and not machine.torn:
            return 0
        if record.type == FF_RECORD_LISTEN:
            if record.stream >= FF_STREAMS:
                raise StorageError(f"expected a stream below {FF_STREAMS}, got {record.stream}")
            self.listen(machine, record.stream)
        else:
            failed = machine.error
            machine.play(record, data)
            if machine.error is not None and machine.torn:
                machine.mend()  # that was the end of something whose beginning is missing
                return 0
            self.broken += machine.error is not None and failed is None
        if not again and record.type in (FF_RECORD_BYTES, FF_RECORD_RESET):
            machine.torn = False
        return 0

    cdef int name(self, const ff_record *record, const uint8_t *data) except -1:
        """Give names the ids that they had; those that are known must be the same."""
        cdef size_t left = record.length, length
        cdef uint32_t number = record.number
        cdef uint32_t id
        if number > self.symbols.table.count:
            raise StorageError(f"expected the symbol {self.symbols.table.count}, got {number}")
        while left:
            length = data[0]
            if length == 0 or length > FF_SYMBOL_MAX_BYTES or length >= left:
                raise StorageError(f"expected the name of the symbol {number}, got {length} of {left} bytes")
            try:
                symbol = PyUnicode_DecodeUTF8(<const char *>data + 1, length, "strict")
            except UnicodeDecodeError:
                raise StorageError(f"the name of the symbol {number} is not UTF-8") from None
            id = self.symbols.intern(symbol)
            if id != number:
                raise StorageError(f"the symbol {symbol} should have the id {number} here, and has {id}")
            data += 1 + length
            left -= 1 + length
            number += 1
        return 0

    cdef int miss(self, const ff_record *record, const uint8_t *data) except -1:
        cdef uint64_t lost = 0
        cdef Machine machine
        if record.length != sizeof(lost):
            raise StorageError(f"expected a gap of {sizeof(lost)} bytes, got {record.length}")
        memcpy(&lost, data, sizeof(lost))
        self.gaps += 1
        self.lost_bytes += lost
        for machine in self.machines:
            if machine is not None:
                machine.torn = True
        return 0
