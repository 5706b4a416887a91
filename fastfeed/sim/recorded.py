"""The pushes of a raw capture, to be served again: when each came, of which symbol and kind, and its body.

The bodies go to a file without a name, and only an index of them stays in memory: 32 bytes for each.
"""

from __future__ import annotations

import abc
import array
import logging
import mmap
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from os import PathLike, fspath
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from fastfeed._core.player import BYTES, RESET, SYMBOLS
from fastfeed.captures import CaptureFile, Header
from fastfeed.captures.files import SET_BACK_NS
from fastfeed.errors import ConfigError, StorageError
from fastfeed.protocols import longport_codes
from fastfeed.protocols import longport_messages as longport
from fastfeed.protocols import opend_messages as opend
from fastfeed.protocols.alltick_codes import SUBSCRIBE_BOOKS, SUBSCRIBE_TICKS
from fastfeed.protocols.longport_packets import MAX_BODY_BYTES, VERIFY_BYTES, PacketType
from fastfeed.protocols.opend_codes import INTERVALS, SUB_TYPES, canonical
from fastfeed.protocols.opend_frames import HEADER
from fastfeed.sim.alltick_texts import BOOK_PUSH, TICK_PUSH
from fastfeed.sim.longport_pushes import MESSAGE_OF_PUSH
from fastfeed.sim.playback import TapeSource

__all__ = ["Key", "Recording", "RecordingSource", "recording", "served"]

_logger = logging.getLogger(__name__)

_PUSH = np.dtype(
    [("time_ns", "i8"), ("offset", "i8"), ("length", "u4"), ("key", "u4"), ("command", "u4"), ("_", "u4")]
)  # fmt: skip
_BUFFER_BYTES = 1 << 20
_MOST_BYTES = 1 << 27  # of a packet, or of a message in fragments

NAMES = {"opend": "OpenD", "longport": "LongPort", "alltick": "AllTick"}


class Key(NamedTuple):
    """What has to be subscribed for a push to be delivered."""

    symbol: str
    kind: int
    """As the vendor numbers it."""
    adjust: int = -1
    """Of OpenD's bars."""


class Push(NamedTuple):
    """A push on its way into a recording."""

    command: int
    body: bytes
    key: Key


class _Broken(Exception):
    """What follows on a connection cannot be understood."""


class _Connection(abc.ABC):
    """Cuts what a connection received into pushes; all else is passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.unreadable = 0

    def feed(self, data: Any) -> list[Push]:
        """Take what came next; return the pushes that are complete."""
        self._buffer += data
        found: list[Push] = []
        at = 0
        while (end := self._end(at)) is not None:
            packet = self._buffer[at:end]
            at = end
            try:
                found += self._pushes(packet)
            except (DecodeError, msgspec.MsgspecError, zlib.error, ValueError):
                self.unreadable += 1
        del self._buffer[:at]
        return found

    @abc.abstractmethod
    def _end(self, at: int) -> int | None:
        """Return where the packet that begins there ends, None: it is not complete."""

    @abc.abstractmethod
    def _pushes(self, packet: bytearray) -> list[Push]:
        """Return the pushes of a packet; an exception where it cannot be read."""

    def _up_to(self, end: int, at: int) -> int | None:
        if end - at > _MOST_BYTES:
            raise _Broken
        return end if end <= len(self._buffer) else None


class _OpenD(_Connection):
    _NAMES: ClassVar = {
        number: f"{opend.NAMES[number]}.Response"
        for number in (
            opend.QOT_UPDATE_BASIC_QOT,
            opend.QOT_UPDATE_KL,
            opend.QOT_UPDATE_RT,
            opend.QOT_UPDATE_TICKER,
            opend.QOT_UPDATE_ORDER_BOOK,
            opend.QOT_UPDATE_BROKER,
        )
    }
    _KINDS: ClassVar = {
        opend.QOT_UPDATE_BASIC_QOT: SUB_TYPES["quotes"],
        opend.QOT_UPDATE_RT: SUB_TYPES["timeshare"],
        opend.QOT_UPDATE_TICKER: SUB_TYPES["ticks"],
        opend.QOT_UPDATE_BROKER: SUB_TYPES["brokers"],
    }
    _SUB_TYPES: ClassVar = {interval.kl_type: interval.sub_type for interval in INTERVALS.values()}

    def _end(self, at: int) -> int | None:
        if len(self._buffer) < at + HEADER.size:
            return None
        magic, _, _, _, _, length, _, _ = HEADER.unpack_from(self._buffer, at)
        if magic != b"FT":
            raise _Broken
        return self._up_to(at + HEADER.size + length, at)

    def _pushes(self, packet: bytearray) -> list[Push]:
        _, proto, _, _, _, _, _, _ = HEADER.unpack_from(packet)
        name = self._NAMES.get(proto)
        if name is None:
            return []
        body = bytes(packet[HEADER.size :])
        made = opend.message_class(name).FromString(body)
        s2c = made.s2c
        if proto != opend.QOT_UPDATE_BASIC_QOT:
            return [Push(proto, body, self._key(proto, s2c))]
        quotes = list(s2c.basicQotList)
        if len(quotes) == 1:
            return [Push(proto, body, self._quote(quotes[0]))]
        # Clients subscribe to one security or another: each gets its own part.
        found = []
        for quote in quotes:
            del made.s2c.basicQotList[:]
            made.s2c.basicQotList.append(quote)
            found.append(Push(proto, made.SerializeToString(), self._quote(quote)))
        return found

    def _quote(self, quote: Any) -> Key:
        security = quote.security
        return Key(canonical(security.market, security.code), SUB_TYPES["quotes"])

    def _key(self, proto: int, s2c: Any) -> Key:
        symbol = canonical(s2c.security.market, s2c.security.code)
        if proto == opend.QOT_UPDATE_KL:
            return Key(symbol, self._SUB_TYPES.get(s2c.klType, 0), s2c.rehabType)
        if proto == opend.QOT_UPDATE_ORDER_BOOK:
            return Key(symbol, SUB_TYPES["odd_books" if s2c.orderBookType == 1 else "books"])
        return Key(symbol, self._KINDS[proto])


class _Framed(_Connection):
    """The same in WebSocket frames: of a server, so without masks."""

    def __init__(self) -> None:
        super().__init__()
        self._message = bytearray()

    def _end(self, at: int) -> int | None:
        head = self._buffer[at : at + 10]
        if len(head) < 2:
            return None
        length, size = head[1], 2
        if length in (126, 127):
            size = 4 if length == 126 else 10
            if len(head) < size:
                return None
            length = int.from_bytes(head[2:size], "big")
        elif length > 127:
            raise _Broken
        self._size = size
        return self._up_to(at + size + length, at)

    def _pushes(self, packet: bytearray) -> list[Push]:
        first = packet[0]
        if first & 0x08:  # a control frame may stand between fragments
            return []
        if first & 0x0F:  # the first frame of a message
            self._message.clear()
        self._message += packet[self._size :]
        if len(self._message) > _MOST_BYTES:
            raise _Broken
        return self._of_message(bytes(self._message)) if first & 0x80 else []

    @abc.abstractmethod
    def _of_message(self, message: bytes) -> list[Push]: ...


_KIND_OF_PUSH = {
    longport.Command.PUSH_QUOTE: longport_codes.KINDS["quotes"],
    longport.Command.PUSH_DEPTH: longport_codes.KINDS["books"],
    longport.Command.PUSH_BROKERS: longport_codes.KINDS["brokers"],
    longport.Command.PUSH_TRADES: longport_codes.KINDS["ticks"],
}
#: By the type of a packet: the bytes before its body, of which the last three are the body's length.
_HEADS: dict[int, int] = {PacketType.REQUEST: 11, PacketType.RESPONSE: 10, PacketType.PUSH: 5}
_TYPE, _VERIFY, _GZIP = 0x0F, 0x10, 0x20


class _LongPort(_Connection):
    def _end(self, at: int) -> int | None:
        if len(self._buffer) <= at:
            return None
        first = self._buffer[at]
        head = _HEADS.get(first & _TYPE)
        if head is None:
            raise _Broken
        if len(self._buffer) < at + head:
            return None
        length = int.from_bytes(self._buffer[at + head - 3 : at + head], "big")
        return self._up_to(at + head + length + (VERIFY_BYTES if first & _VERIFY else 0), at)

    def _pushes(self, packet: bytearray) -> list[Push]:
        first = packet[0]
        kind = _KIND_OF_PUSH.get(packet[1])  # type: ignore[call-overload]
        if first & _TYPE != PacketType.PUSH or kind is None:
            return []
        body = bytes(packet[5 : len(packet) - (VERIFY_BYTES if first & _VERIFY else 0)])
        if first & _GZIP:
            body = _decompressed(body)
        command = longport.Command(packet[1])
        made = longport.message_class(MESSAGE_OF_PUSH[command]).FromString(body)
        return [Push(int(command), body, Key(longport_codes.code(made.symbol), kind))]


class _FramedLongPort(_Framed):
    def __init__(self) -> None:
        super().__init__()
        self._packets = _LongPort()

    def _of_message(self, message: bytes) -> list[Push]:
        found = self._packets.feed(message)
        self.unreadable += self._packets.unreadable
        self._packets.unreadable = 0
        return found


def _decompressed(body: bytes) -> bytes:
    member = zlib.decompressobj(wbits=31)
    plain = member.decompress(body, MAX_BODY_BYTES + 1)
    if not member.eof or len(plain) > MAX_BODY_BYTES:
        raise ValueError("a body that cannot be decompressed")
    return plain


class _Data(msgspec.Struct):
    code: str


class _Message(msgspec.Struct):
    cmd_id: int = 0
    data: msgspec.Raw = msgspec.Raw(b"null")


class _AllTick(_Framed):
    _KINDS: ClassVar = {TICK_PUSH: SUBSCRIBE_TICKS, BOOK_PUSH: SUBSCRIBE_BOOKS}

    def _of_message(self, message: bytes) -> list[Push]:
        made = msgspec.json.decode(message, type=_Message)
        kind = self._KINDS.get(made.cmd_id)
        if kind is None:
            return []
        if not bytes(made.data).lstrip().startswith(b"["):
            code = msgspec.json.decode(made.data, type=_Data).code
            return [Push(made.cmd_id, message, Key(code, kind))]
        items = msgspec.json.decode(made.data, type=list[msgspec.Raw])
        codes = [msgspec.json.decode(item, type=_Data).code for item in items]
        if len(set(codes)) == 1:
            return [Push(made.cmd_id, message, Key(codes[0], kind))]
        # Clients subscribe to one code or another: each gets its own part.
        return [
            Push(made.cmd_id, b'{"cmd_id":%d,"data":[%b]}' % (made.cmd_id, item), Key(code, kind))
            for item, code in zip(items, codes, strict=True)
        ]


class Recording:
    """The pushes of a capture, by position.

    Attributes
    ----------
    header : Header
        The capture's.
    rows : ndarray
        `time_ns`: when it came, never before the one in front of it; `key`: its number in `keys`; `command`; and
        where its body lies.
    keys : tuple of Key
    symbols : tuple of str
        Of the pushes, and all others that the capture names.
    """

    def __init__(
        self,
        header: Header,
        rows: npt.NDArray[Any],
        keys: tuple[Key, ...],
        symbols: tuple[str, ...],
        bodies: mmap.mmap,
    ) -> None:
        self.header = header
        self.rows = rows
        self.keys = keys
        self.symbols = symbols
        self._bodies = bodies

    def __len__(self) -> int:
        return len(self.rows)

    def pushes(self, rows: npt.NDArray[Any]) -> list[tuple[int, bytes]]:
        """Return commands and bodies of some rows."""
        bodies = self._bodies
        return [
            (command, bodies[offset : offset + length])
            for command, offset, length in zip(
                rows["command"].tolist(),
                rows["offset"].tolist(),
                rows["length"].tolist(),
                strict=True,
            )
        ]


class RecordingSource(TapeSource):
    """A recording, once or over and over: its rows are pushes, not trades."""

    def first_price(self, symbol: int) -> float | None:
        return None


def recording(path: str | PathLike[str] | None, vendor: str, tape: object) -> Recording | None:
    """Read the pushes of a capture, if there is one and no tape.

    What is damaged is not there, and told in the log.

    Raises
    ------
    ConfigError
        It is another vendor's, or has no pushes; or there is a tape.
    StorageError
        It cannot be read at all.
    """
    if path is None:
        return None
    if tape is not None:
        raise ConfigError("expected a tape or a capture, got both")
    name = fspath(path)
    capture = CaptureFile(path)
    header = capture.header
    if header.vendor != vendor:
        theirs = NAMES.get(header.vendor, header.vendor)
        raise ConfigError(f"{name} is a capture of {theirs}, expected one of {NAMES[vendor]}")
    with tempfile.TemporaryFile(prefix="fastfeed-") as file:
        index = _Index(file)
        unreadable = _fill(index, capture, _CONNECTIONS[vendor, header.transport])
        if capture.removed:
            text = "%s begins with segment %d: those before it are not there"
            _logger.warning(text, name, capture.removed)
        if capture.damage is not None:
            _logger.warning("%s", capture.damage)
        if unreadable:
            _logger.warning("%s: %d pushes cannot be read and are left out", name, unreadable)
        if not len(index):
            raise ConfigError(f"{name}: expected a capture with pushes, got none")
        return index.finish(header)


def _fill(index: _Index, capture: CaptureFile, make: Callable[[], _Connection]) -> int:
    """Collect the pushes of a capture; return how many cannot be read."""
    connections: dict[int, _Connection] = {}
    broken: set[int] = set()
    unreadable = 0
    for record in capture:
        number = record.connection
        if record.type == SYMBOLS:
            index.name(_names(record.payload))
        elif record.type == RESET and not record.again:
            connections.pop(number, None)
            broken.discard(number)
        elif record.type == BYTES and number not in broken:
            connection = connections.setdefault(number, make())
            try:
                pushes = connection.feed(record.payload)
            except _Broken:
                broken.add(number)
                continue
            unreadable += connection.unreadable
            connection.unreadable = 0
            for push in pushes:
                index.add(record.recv_ns, push)
    return unreadable


def served(symbols: Iterable[str], read: Callable[[str], object]) -> tuple[str, ...]:
    """Return those symbols that a simulator can have, for which `read` raises no ValueError.

    A hub may have symbols of other vendors as well.

    Raises
    ------
    ConfigError
        There is none.
    """
    found, others = [], []
    for symbol in symbols:
        try:
            read(symbol)
        except ValueError:
            others.append(symbol)
        else:
            found.append(symbol)
    if others:
        _logger.warning("symbols of the capture that are not served: %s", ", ".join(others[:10]))
    if not found:
        raise ConfigError("expected a capture with symbols that can be served, got none")
    return tuple(found)


_CONNECTIONS: dict[tuple[str, str], type[_Connection]] = {
    ("opend", "tcp"): _OpenD,
    ("longport", "ws"): _FramedLongPort,
    ("longport", "tcp"): _LongPort,
    ("alltick", "ws"): _AllTick,
}


def _names(payload: memoryview) -> Iterator[str]:
    """Return names, each of which follows its length."""
    at = 0
    while at < len(payload):
        end = at + 1 + payload[at]
        yield str(payload[at + 1 : end], "utf-8", "replace")
        at = end


class _Index:
    """Collects pushes; their bodies go to a file."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._pending = bytearray()
        self._written = 0
        self._keys: dict[Key, int] = {}
        self._symbols: dict[str, None] = {}
        self._columns = tuple(array.array(code) for code in "qqIII")

    def __len__(self) -> int:
        return len(self._columns[0])

    def name(self, symbols: Iterable[str]) -> None:
        """Take note of symbols, whether or not there are pushes of them."""
        self._symbols.update(dict.fromkeys(symbols))

    def add(self, time_ns: int, push: Push) -> None:
        """Add a push."""
        offset = self._written + len(self._pending)
        self._pending += push.body
        self._symbols.setdefault(push.key.symbol)
        key = self._keys.setdefault(push.key, len(self._keys))
        values = (time_ns, offset, len(push.body), key, push.command)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        if len(self._pending) >= _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        try:
            self._file.write(self._pending)
            self._file.flush()
        except OSError as error:
            raise StorageError(
                f"cannot unpack the capture into {tempfile.gettempdir()}: {error.strerror}"
            ) from error
        self._written += len(self._pending)
        self._pending.clear()

    def finish(self, header: Header) -> Recording:
        """Return the recording."""
        self._flush()
        rows = np.zeros(len(self), _PUSH)
        for name, column in zip(_PUSH.names or (), self._columns, strict=False):
            rows[name] = np.frombuffer(column, column.typecode)
        _set_forward(rows["time_ns"])
        bodies = mmap.mmap(self._file.fileno(), self._written, access=mmap.ACCESS_READ)
        return Recording(header, rows, tuple(self._keys), tuple(self._symbols), bodies)


def _set_forward(times: npt.NDArray[np.int64]) -> None:
    """Have times never go back. Where they went far, a clock was set, and what follows keeps its distances."""
    steps = np.diff(times)
    steps[steps < -SET_BACK_NS] = 0
    times[1:] = times[:1] + np.cumsum(steps)
    np.maximum.accumulate(times, out=times)
