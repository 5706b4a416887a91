"""The hub: where rows and symbols live. One for each feed, or one for several."""

from __future__ import annotations

import abc
import operator
from typing import Literal

from fastfeed import schema
from fastfeed._core.opend import broker_name, name_broker
from fastfeed._core.receiver import Receiver
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import ConfigError
from fastfeed.stream import Stream

__all__ = ["Hub", "Streams"]

_FEWEST_ROWS = 64
_MOST_ROWS = 1 << 26
_ROW_BYTES = 64
_MOST_BROKERS = 1 << 16


class Streams(abc.ABC):
    """The streams by their names, as a hub, a feed and a decoder offer them."""

    @abc.abstractmethod
    def stream(self, name: str) -> Stream:
        """Return a stream by its name.

        Raises
        ------
        ValueError
            There is no such stream.
        """

    @property
    def ticks(self) -> Stream:
        """Trades."""
        return self.stream("ticks")

    @property
    def quotes(self) -> Stream:
        """Quotes: a row for each session of a symbol."""
        return self.stream("quotes")

    @property
    def books(self) -> Stream:
        """Order books, complete ones."""
        return self.stream("books")

    @property
    def odd_books(self) -> Stream:
        """Order books of odd lots."""
        return self.stream("odd_books")

    @property
    def bars(self) -> Stream:
        """Bars of all intervals; a running bar comes again with every change."""
        return self.stream("bars")

    @property
    def timeshare(self) -> Stream:
        """Points of the day's minute line."""
        return self.stream("timeshare")

    @property
    def brokers(self) -> Stream:
        """Hong Kong's broker queues."""
        return self.stream("brokers")


class Hub(Streams):
    """Streams and the symbol table that their rows refer to.

    A feed makes its own unless it is given one; several feeds of the same event loop can share one, if they receive
    in the same way (the option `receive` of each).

    Parameters
    ----------
    capacity : int
        Ticks that are kept, a power of two from 64 to 2**26. A reader that falls further behind than
        that loses rows. A tick takes 64 bytes; the other streams have longer rows, and keep as many as fit into
        the same memory (at least 64). Memory is taken when a stream is first used. A single push of more
        than half of the capacity is rejected and counted.
    max_symbols : int
        How many symbols there can be; rows of further ones are rejected and counted.
    book_depth : int
        Levels of each side that the rows of books keep, 1 to 1000; deeper ones are cut off.

    Attributes
    ----------
    symbols : SymbolTable
        ``symbols[id]`` is a symbol, ``symbols["700.HK"]`` an id.
    broker_names : SymbolTable
        The names behind `broker_name()`.
    """

    def __init__(
        self,
        *,
        capacity: int = 1 << 18,
        max_symbols: int = 1 << 20,
        book_depth: int = schema.BOOK_DEPTH,
    ) -> None:
        if not _FEWEST_ROWS <= capacity <= _MOST_ROWS or capacity & (capacity - 1):
            raise ValueError(
                f"expected a capacity that is a power of two from {_FEWEST_ROWS} to {_MOST_ROWS}, got {capacity}"
            )
        self.capacity = capacity
        self.book_depth = operator.index(book_depth)
        schema.dtype("books", self.book_depth)  # ValueError
        self.symbols = SymbolTable(max_symbols)
        self.broker_names = SymbolTable(_MOST_BROKERS)
        self._streams: dict[str, Stream] = {}
        self._has_ended = False
        self._error: Exception | None = None
        self._receive: tuple[str, bool, int | None] | None = None  # as its feeds do
        self._receiver: Receiver | None = None

    def stream(self, name: str) -> Stream:
        """Return a stream by its name; it is made when it is first asked for."""
        stream = self._streams.get(name)
        if stream is None:
            dtype = schema.dtype(name, self.book_depth)
            rows = self.capacity * _ROW_BYTES // dtype.itemsize
            capacity = max(_FEWEST_ROWS, 1 << max(rows, 1).bit_length() - 1)
            stream = self._streams[name] = Stream(name, capacity, self.symbols, self.book_depth)
            if self._receiver is not None:
                stream.ask_with(self._receiver.ask)
            if self._has_ended:
                stream.end(self._error)
        return stream

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that are in use."""
        return tuple(self._streams.values())

    def broker_name(self, broker: int) -> str | None:
        """Return the name of a broker by the id that rows of ``brokers`` have, None when it was never told."""
        return broker_name(self.broker_names, int(broker))

    def name_broker(self, broker: int, name: str) -> None:
        """Note the name of a broker, unless one is known. (OpenD tells the names itself.)"""
        name_broker(self.broker_names, int(broker), name)

    def receiver(
        self, receive: Literal["loop", "thread"], spin: bool = False, cpu: int | None = None
    ) -> Receiver | None:
        """Return what receives for the hub's feeds, made when the first of them asks; None: each one's event loop.

        Raises
        ------
        ConfigError
            Another feed of the hub receives in another way: a ring has one writer. Or there is no such way.
        """
        if receive not in ("loop", "thread"):
            raise ConfigError(f"expected receive 'loop' or 'thread', got {receive!r}")
        if receive == "loop" and (spin or cpu is not None):
            raise ConfigError("spin and cpu are options of receive='thread'")
        way = receive, bool(spin), cpu
        if self._receive is None:
            if receive == "thread":
                self._receiver = Receiver(spin=bool(spin), cpu=cpu)
                for table in (self.symbols, self.broker_names):
                    self._receiver.guard(table)
                for stream in self.streams:
                    stream.ask_with(self._receiver.ask)
            self._receive = way
        if way != self._receive:
            names = ("receive", "spin", "cpu")
            there, here = (
                ", ".join(f"{name}={value!r}" for name, value in zip(names, one, strict=True))
                for one in (self._receive, way)
            )
            raise ConfigError(f"the feeds of this hub have {there}: one cannot have {here}")
        return self._receiver

    def end(self, error: Exception | None = None) -> None:
        """End the streams: loops over them finish once they have read what is there."""
        self._has_ended, self._error = True, error
        for stream in self._streams.values():
            stream.end(error)
