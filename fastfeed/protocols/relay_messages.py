"""What a relay publishes: the subject of a symbol's rows, the payload, and the headers of a message.

A message has rows of one kind and one symbol. Its subject is ``md.ticks.HK.700`` for the ticks of ``700.HK``: prefix,
kind, region, ticker. Its payload is a file in NumPy's format .npy, which describes itself: ``numpy.load()`` gives the
rows with their names. (The ids in `symbol` are the relay's and mean nothing elsewhere.) Its headers number the rows.
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FIRST",
    "LOST",
    "MESSAGE_ID",
    "RUN",
    "Header",
    "PayloadCodec",
    "checked_prefix",
    "encode_token",
    "header_of",
    "subject_of",
    "symbol_of",
]

#: What JetStream drops doubles by.
MESSAGE_ID = "Nats-Msg-Id"
#: Of the relay that sent it, since its last start: rows are numbered anew in each run.
RUN = "Fastfeed-Run"
#: The number of the first row, among those of its symbol and kind in this run, from 0.
FIRST = "Fastfeed-First"
#: Rows of the kind, of any symbols, which this run of the relay came too late for.
LOST = "Fastfeed-Lost"

#: In the place of the region of a symbol that has none, such as BTCUSDT; and of a part that is empty.
_NO_REGION = "-"
_EMPTY = "%"

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}")
_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b".*>%")
_RUN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,18}")

_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 1 << 16
_MOST_FIELDS = 256
_MOST_ITEM = 1 << 20
_COUNT_DIGITS = 10
#: What a column that the sender does not have is filled with, where that is not NaN or 0.
_UNKNOWN = {"seq": -1, "expiry_days": -(2**31)}
#: How many levels there are of a side, and its columns.
_LEVELS = {"bids": "bid_", "asks": "ask_"}


def checked_prefix(prefix: str) -> str:
    """Return a prefix of subjects; ValueError where it cannot be one."""
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"expected a prefix of letters, digits, dashes and underscores, with dots between, got {prefix!r}"
        )
    return prefix


def encode_token(text: str) -> str:
    """Return a part of a symbol as a token of a subject.

    Everything but printable ASCII, and of that the dot, ``*``, ``>`` and ``%``, becomes ``%`` and two hexadecimal
    digits for each byte of UTF-8; an empty part is a lone ``%``.
    """
    if not text:
        return _EMPTY
    return "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in text.encode())


def _decode_token(token: str) -> str:
    return "" if token == _EMPTY else unquote_to_bytes(token).decode()


def subject_of(prefix: str, kind: str, symbol: str) -> str:
    """Return the subject of a symbol's rows.

    The symbol is divided at its last dot. Where it has none the region is ``-``: ``md.ticks.-.BTCUSDT``; a region
    that is a dash itself is ``%2D``.

    Raises
    ------
    ValueError
        The symbol cannot be written as UTF-8.
    """
    ticker, dot, region = symbol.rpartition(".")
    if not dot:
        return f"{prefix}.{kind}.{_NO_REGION}.{encode_token(symbol)}"
    place = "%2D" if region == _NO_REGION else encode_token(region)
    return f"{prefix}.{kind}.{place}.{encode_token(ticker)}"


def symbol_of(subject: str) -> tuple[str, str]:
    """Return the kind and the symbol of a subject, whatever its prefix is; ValueError where it is none."""
    tokens = subject.rsplit(".", 3)
    if len(tokens) != 4:
        raise ValueError(f"expected a subject such as md.ticks.HK.700, got {subject!r}")
    _, kind, region, ticker = tokens
    symbol = _decode_token(ticker)
    if region != _NO_REGION:
        symbol = f"{symbol}.{_decode_token(region)}"
    if subject_of("", kind, symbol) != f".{kind}.{region}.{ticker}":
        raise ValueError(f"expected the subject of a symbol, got {subject!r}")
    return kind, symbol


class Header(NamedTuple):
    """What the headers of a message say; see `RUN`, `FIRST` and `LOST`."""

    run: str
    first: int
    lost: int


def header_of(headers: Mapping[str, str] | None) -> Header:
    """Return what the headers say; ValueError where they cannot be a relay's."""
    found = {} if headers is None else headers
    run, first, lost = found.get(RUN, ""), found.get(FIRST, ""), found.get(LOST, "")
    if not (_RUN.fullmatch(run) and _NUMBER.fullmatch(first) and _NUMBER.fullmatch(lost)):
        raise ValueError(f"expected the headers {RUN}, {FIRST} and {LOST} of a relay")
    return Header(run, int(first), int(lost))


class PayloadCodec:
    """The payloads of one kind of rows.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the rows here, as `fastfeed.dtype()` gives it.

    Notes
    -----
    The header of an .npy file is text. That of our own layout is made once: to encode is then to join bytes, and to
    decode is to compare. Another layout is read as it describes itself: columns are taken by their names, those that
    are missing become NaN, 0 or what stands for unknown, and others are passed over.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        descr = np.lib.format.dtype_to_descr(dtype)
        start = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': (".encode("latin1")
        size = len(start) + _COUNT_DIGITS + len(",), }\n")
        size += -(10 + size) % 64  # as the format asks for
        self._start = _MAGIC + b"\x01\x00" + struct.pack("<H", size) + start
        self._end = 10 + size
        self._others: dict[bytes, np.dtype[Any]] = {}

    @property
    def overhead(self) -> int:
        """Bytes of a payload before its rows."""
        return self._end

    def head(self, count: int) -> bytes:
        """Return what stands before so many rows."""
        return b"%s%d,), }".__mod__((self._start, count)).ljust(self._end - 1) + b"\n"

    def encode(self, rows: NDArray[Any]) -> bytes:
        """Return the payload of some rows of this dtype."""
        return self.head(len(rows)) + rows.tobytes()

    def decode(self, data: bytes) -> tuple[memoryview | bytes, int]:
        """Return the bytes of rows of this dtype, and how many rows these are.

        Raises
        ------
        ValueError
            It is no .npy file of plain rows.
        """
        size = self.dtype.itemsize
        if data.startswith(self._start):
            body = memoryview(data)[self._end :]
            text = data[len(self._start) : self._end].rstrip()
            digits = text.removesuffix(b",), }")
            count = int(digits) if len(digits) <= _COUNT_DIGITS and digits.isdigit() else -1
            if count * size != len(body) or len(data) < self._end:
                raise ValueError(f"expected {count} rows of {size} bytes, got {len(body)} bytes")
            return body, count
        rows = self._load(data)
        return self._mapped(rows).tobytes(), len(rows)

    def _load(self, data: bytes) -> NDArray[Any]:
        """Read an .npy file of another layout."""
        if not data.startswith(_MAGIC) or len(data) < 12 or data[6] not in (1, 2, 3):
            raise ValueError(f"expected a file in NumPy's format .npy, got {data[:8]!r}")
        start, form = (10, "<H") if data[6] == 1 else (12, "<I")
        (length,) = struct.unpack_from(form, data, 8)
        if length > _MOST_HEADER or start + length > len(data):
            raise ValueError(f"expected a header of at most {_MOST_HEADER} bytes, got {length}")
        text = data[start : start + length]
        try:
            found = ast.literal_eval(text.decode("latin1" if data[6] < 3 else "utf-8").strip())
            shape, descr = found["shape"], found["descr"]
            if found["fortran_order"] is not False or not isinstance(descr, list):
                raise ValueError("expected rows")
            (count,) = shape
            dtype = self._checked(np.lib.format.descr_to_dtype(descr))
        except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(f"expected the header of rows, got {text[:64]!r}: {error}") from None
        body = len(data) - start - length
        if type(count) is not int or count < 0 or count * dtype.itemsize != body:
            raise ValueError(f"expected {count!r} rows of {dtype.itemsize} bytes, got {body} bytes")
        return np.frombuffer(data, dtype, count, start + length)

    @staticmethod
    def _checked(dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return a dtype that has numbers only."""
        names = dtype.names
        if names is None or dtype.hasobject or not 1 <= len(names) <= _MOST_FIELDS:
            raise ValueError(f"expected columns of numbers, up to {_MOST_FIELDS}")
        if not 1 <= dtype.itemsize <= _MOST_ITEM:
            raise ValueError(f"expected rows of up to {_MOST_ITEM} bytes, got {dtype.itemsize}")
        for name in names:
            column = dtype[name]
            if column.base.kind not in "iufbV" or column.base.fields or len(column.shape) > 1:
                raise ValueError(f"expected numbers in {name!r}, got {column}")
        return dtype

    def _mapped(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the same rows in this dtype, column by column."""
        made = np.zeros(len(rows), self.dtype)
        theirs = rows.dtype
        for name in self.dtype.names or ():
            column = made[name]
            if self.dtype[name].base.kind == "f":
                column[...] = np.nan
            elif name in _UNKNOWN:
                column[...] = _UNKNOWN[name]
            if theirs.names is None or name not in theirs.names:
                continue
            if (len(theirs[name].shape), theirs[name].base.kind) != (
                len(self.dtype[name].shape),
                self.dtype[name].base.kind,
            ):
                raise ValueError(f"expected {self.dtype[name]} in {name!r}, got {theirs[name]}")
            if column.ndim == 1:
                column[...] = rows[name]
            else:
                most = min(column.shape[1], rows[name].shape[1])
                column[:, :most] = rows[name][:, :most]
        for name, side in _LEVELS.items():
            lengths = [
                self.dtype[column].shape[0]
                for column in self.dtype.names or ()
                if column.startswith(side) and self.dtype[column].shape
            ]
            if lengths:
                np.minimum(made[name], lengths[0], out=made[name])
        return made
