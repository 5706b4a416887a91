"""The symbol table: dense ids for symbols, kept in C so that a decoder needs no Python object."""

from cpython.exc cimport PyErr_SetFromErrno
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from fastfeed._core.native cimport (
    FF_ENOMEM,
    FF_ESYMBOLS,
    FF_SYMBOL_MAX_BYTES,
    ff_journal_attach,
    ff_journal_close,
    ff_journal_count,
    ff_journal_map,
    ff_lock_give,
    ff_lock_take,
    ff_symbols_find,
    ff_symbols_follow,
    ff_symbols_free,
    ff_symbols_init,
    ff_symbols_intern,
    ff_symbols_name,
)

cimport cython
from fastfeed.errors import HubError, InternalError
from fastfeed.protocols.opend_codes import canonical, security


@cython.final
cdef class SymbolTable:
    """Symbols and their ids: 0, 1, 2, ... in the order in which they were first seen.

    ``table[0]`` is a symbol, ``table["700.HK"]`` its id (`KeyError`: never seen), and so is
    ``table["HK.00700"]``; ``len()``, ``in`` and
    iteration are those of the list of symbols. An id stays what it is as long as the table lives.

    Parameters
    ----------
    capacity : int
        How many symbols there can be; what comes after that is rejected.
    fd : int
        The file of a journal in which other processes follow this table, or which this one follows.
    follows : bool
        Whether this table is the other process's, as it is there at any time; nothing can be added here.
    """

    def __cinit__(self, capacity=1 << 20, *, int fd=-1, bint follows=False):
        cdef int rc
        if not 1 <= capacity <= 1 << 24:
            raise ValueError(f"expected a capacity of 1 to {1 << 24} symbols, got {capacity}")
        if ff_symbols_init(&self.table, capacity) < 0:
            raise MemoryError("no memory for a symbol table")
        self.names = []
        self.follows = follows
        if fd >= 0:
            if follows:
                rc = ff_journal_attach(&self.journal, fd, self.table.max_used)
            else:
                rc = ff_journal_map(&self.journal, fd, self.table.max_used)
            if rc < 0:
                PyErr_SetFromErrno(OSError)
            if not follows:
                self.table.journal = &self.journal

    def __dealloc__(self):
        ff_symbols_free(&self.table)
        ff_journal_close(&self.journal)

    cdef int follow(self) except -1:
        """Add what the other process has added, where this table is its."""
        if self.follows and ff_journal_count(&self.journal) != self.followed:
            if ff_symbols_follow(&self.table, &self.journal, &self.followed) < 0:
                raise InternalError("the symbols of the hub cannot be followed")
        return 0

    @property
    def capacity(self):
        """How many symbols there can be."""
        return self.table.max_count

    cdef str name(self, Py_ssize_t id):
        cdef size_t length
        cdef uint32_t number
        cdef const uint8_t *place
        cdef uint8_t[FF_SYMBOL_MAX_BYTES] text  # a copy: names move when there is a new one
        while len(self.names) <= id:
            number = len(self.names)
            ff_lock_take(self.lock)
            place = ff_symbols_name(&self.table, number, &length)
            memcpy(text, place, min(length, sizeof(text)))
            ff_lock_give(self.lock)
            self.names.append(PyUnicode_DecodeUTF8(<const char *>text, length, "strict"))
        return self.names[id]

    def __len__(self):
        self.follow()
        return self.table.count

    def __iter__(self):
        self.follow()
        return (self.name(i) for i in range(self.table.count))

    def __contains__(self, symbol):
        return isinstance(symbol, str) and self.find(symbol) >= 0

    def __getitem__(self, key):
        cdef Py_ssize_t id
        if isinstance(key, str):
            id = self.find(key)
            if id < 0:
                raise KeyError(key)
            return id
        id = key
        if id >= <Py_ssize_t>self.table.count:
            self.follow()
        if not 0 <= id < <Py_ssize_t>self.table.count:
            raise IndexError(f"no symbol has the id {id}; there are {self.table.count}")
        return self.name(id)

    cdef Py_ssize_t find(self, str symbol) except? -2:
        """Return the id of a symbol in canonical form or in OpenD's, -1 when it has none."""
        cdef Py_ssize_t id
        self.follow()
        id = self.find_exactly(symbol)
        if id == -1:
            try:
                id = self.find_exactly(canonical(*security(symbol)))
            except ValueError:
                pass
        return id

    cdef Py_ssize_t find_exactly(self, str symbol) except? -2:
        cdef Py_ssize_t length
        cdef const char *text
        try:
            text = PyUnicode_AsUTF8AndSize(symbol, &length)
        except UnicodeEncodeError:  # a lone surrogate: no symbol has one
            return -1
        return self.look_up(0, <const uint8_t *>text, length)

    cdef int64_t look_up(self, uint32_t space, const uint8_t *key, size_t length) noexcept:
        cdef int64_t id
        ff_lock_take(self.lock)
        id = ff_symbols_find(&self.table, space, key, length, key + length)
        ff_lock_give(self.lock)
        return id

    def intern(self, str symbol not None):
        """Return the id of a canonical symbol, giving it one if it has none.

        Raises
        ------
        ValueError
            The symbol is empty or longer than 80 bytes, or the table is full.
        HubError
            No memory is left for it.
        """
        cdef Py_ssize_t length
        cdef const char *text
        cdef int64_t id
        if self.follows:
            raise TypeError("expected a table of this process: another one adds the symbols of this one")
        text = PyUnicode_AsUTF8AndSize(symbol, &length)
        ff_lock_take(self.lock)
        id = ff_symbols_intern(&self.table, <const uint8_t *>text, length)
        ff_lock_give(self.lock)
        if id == -FF_ENOMEM:
            raise HubError(f"no memory is left for the symbol {symbol!r}")
        if id < 0:
            why = (
                f"there is room for {self.capacity}" if id == -FF_ESYMBOLS
                else f"expected 1 to {FF_SYMBOL_MAX_BYTES} bytes, got {length}"
            )
            raise ValueError(f"cannot add the symbol {symbol!r}: {why}")
        return id

    def leave(self):
        """Tell other processes no more: this one is a fork of the writer's, and the table its own from now on."""
        self.table.journal = NULL

    def __repr__(self):
        return f"<SymbolTable of {len(self)} symbols>"
