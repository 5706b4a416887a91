"""A tape's trades as the pushes of a vendor, each in a packet of its own, made by what the simulators use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeed._core.opend_encode import MAX_CHUNK_BYTES
from fastfeed.bench import alltick_pushes, longport_pushes
from fastfeed.errors import ConfigError
from fastfeed.protocols.opend_frames import HEADER
from fastfeed.sim import AllTickKnobs
from fastfeed.sim.alltick import codes_of
from fastfeed.sim.alltick_codes import MarketName
from fastfeed.sim.alltick_texts import Sequences, Texts
from fastfeed.sim.longport import places_of, symbols_of
from fastfeed.sim.longport_hours import Passage
from fastfeed.sim.longport_pushes import Writer
from fastfeed.sim.opend import securities_of, tape_symbols, tick_encoder
from fastfeed.sim.playback import TapeSource
from fastfeed.sim.tape import Tape

__all__ = ["Packets", "market_of", "symbols_at", "write_packets"]

_CHUNK = 4096  # trades that are encoded at once
_LARGE = 1e15
_STOCKS = (".HK", ".US", ".SH", ".SZ")


class Packets(NamedTuple):
    """What was written.

    Attributes
    ----------
    data, ends : Path
        The packets, and an array of uint64 that says where each of them ends.
    sides : ndarray of int8
        Of each trade, as the vendor tells it.
    """

    data: Path
    ends: Path
    sides: npt.NDArray[np.int8]


def market_of(symbols: Sequence[str]) -> MarketName:
    """Return on which of AllTick's two sides symbols are."""
    return "stock" if all(symbol.endswith(_STOCKS) for symbol in symbols) else "crypto"


def symbols_at(vendor: str, tape: Tape) -> tuple[str, ...]:
    """Return a tape's symbols as a vendor has them, in their order.

    Raises
    ------
    ConfigError
        The vendor could not send this tape.
    """
    if vendor == "opend":
        return tuple(securities_of(tape_symbols(tape)))
    for name in ("price", "volume"):  # which others write with all their digits
        values = tape.rows[name]
        if len(large := np.flatnonzero(np.abs(values) >= _LARGE)):
            raise ConfigError(
                f"expected {name}s below {_LARGE:g}, got {values[large[0]]:g} in row {large[0]} of the tape"
            )
    if vendor == "longport":
        return symbols_of(tape)
    return tuple(found.code for found in codes_of(tape.symbols, market_of(tape.symbols)))


def write_packets(vendor: str, tape: Tape, folder: Path) -> Packets:
    """Write the packets of a tape into two files of a folder, piece by piece.

    Parameters
    ----------
    vendor : {"opend", "alltick", "longport"}
    tape : Tape
    folder : Path

    Raises
    ------
    ConfigError
        The vendor could not send this tape.
    OSError
        The files cannot be written.
    """
    makers = {"opend": _opend, "alltick": _alltick, "longport": _longport}
    ends = np.empty(len(tape), np.uint64)
    sides = tape.rows["side"].astype(np.int8)
    done, size = 0, 0
    with open(folder / "data", "wb") as file:
        for data, lengths in makers[vendor](tape):
            file.write(data)
            ends[done : done + len(lengths)] = size + np.cumsum(lengths, dtype=np.uint64)
            done += len(lengths)
            size += len(data)
    if done != len(tape) or (done and int(ends[-1]) != size):
        raise RuntimeError(f"expected {len(tape)} packets of {vendor}, made {done}")
    np.save(folder / "ends.npy", ends)
    if vendor == "alltick":
        # What is neither crypto nor a stock has always the same direction.
        foreign = [c.region == "FX" for c in codes_of(tape.symbols, market_of(tape.symbols))]
        sides[np.array(foreign)[tape.rows["symbol"]]] = AllTickKnobs().fx_direction
    return Packets(folder / "data", folder / "ends.npy", sides)


_Made = Iterator[tuple[bytes, Sequence[int]]]


def _opend(tape: Tape) -> _Made:
    encoder = tick_encoder(securities_of(tape_symbols(tape)), _span_s(tape))
    wanted = bytes([1]) * encoder.count
    recv_time = round(time.time(), 6)
    first = 0
    while first < len(tape):
        data, used, _, _ = encoder.encode(
            tape.rows[first : first + _CHUNK], first, wanted, serial=first, recv_time=recv_time
        )
        if not used:
            raise RuntimeError(f"expected a packet within {MAX_CHUNK_BYTES} bytes")
        lengths = []
        at = 0
        while at < len(data):
            lengths.append(HEADER.size + HEADER.unpack_from(data, at)[5])
            at += lengths[-1]
        yield data, lengths
        first += used


def _alltick(tape: Tape) -> _Made:
    codes = codes_of(tape.symbols, market_of(tape.symbols))
    knobs = AllTickKnobs()
    texts = Texts(codes, knobs, Sequences(knobs.seq_mode, 0))
    for first, rows in _chunks(tape):
        pushes = texts.ticks(rows, np.arange(first, first + len(rows)))
        packets = [alltick_pushes.on_wire(text.encode("ascii"), 0) for text in pushes]
        yield b"".join(packets), [*map(len, packets)]


def _longport(tape: Tape) -> _Made:
    symbols = symbols_of(tape)
    source = TapeSource(tape, speed="max", loop=False)
    source.advance(len(tape))
    passage = Passage(symbols, source, _span_s(tape))
    writer = Writer(symbols, places_of(tape), passage)
    for first, rows in _chunks(tape):
        passage.advance(first + len(rows))
        bodies = writer.trades(rows, np.arange(first, first + len(rows)), 1)
        packets = [longport_pushes.on_wire(body, 0) for body in bodies]
        yield b"".join(packets), [*map(len, packets)]


def _chunks(tape: Tape) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    for first in range(0, len(tape), _CHUNK):
        yield first, tape.rows[first : first + _CHUNK]


def _span_s(tape: Tape) -> tuple[int, int]:
    return int(tape.rows["time_ns"][0]) // 10**9, int(tape.rows["time_ns"][-1]) // 10**9
