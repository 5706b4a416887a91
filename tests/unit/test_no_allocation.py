"""Decoding leaves nothing behind: after a million ticks there is as much memory in use as before."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Sequence

import numpy as np
from longport_packets import SECOND, brokers, depth, quote, trade, trades
from typing_extensions import Buffer

import fastfeed as ff
from fastfeed.protocols.opend_frames import pack
from fastfeed.protocols.opend_messages import QOT_UPDATE_TICKER, message_class

TICKS = 1_000_000
PIECE_BYTES = 1 << 16


def stream(packets: int) -> bytes:
    frames = []
    for i in range(packets):
        push = message_class("QotUpdateTicker.Response")()
        push.retType = 0
        push.s2c.security.market = 11
        push.s2c.security.code = f"S{i % 100:05}"
        push.s2c.name = "name"
        push.s2c.tickerList.add(
            time="2023-11-15 10:00:00.123",
            sequence=(1_700_060_400 << 32) + i,
            dir=1 + i % 3,
            price=100 + i / 100,
            volume=i,
            turnover=i * 100.0,
            recvTime=1_700_060_400.25,
            type=1,
            typeSign=32,
            pushDataType=1,
            timestamp=1_700_060_400.123,
            hpVolume=float(i),
        )
        frames.append(pack(QOT_UPDATE_TICKER, i, push.SerializeToString()))
    return b"".join(frames)


def longport_messages(packets: int) -> list[bytes]:
    """Return WebSocket messages of 100 packets: trades, and after every third all other kinds."""
    found = []
    for i in range(packets):
        name = f"S{i % 100:03}.US"
        price = f"{100 + i / 100:.3f}"
        found.append(trades(trade(price, i, SECOND + i), symbol=name))
        if i % 3 == 0:
            found.append(quote(name, last_done=price, volume=i, high=price))
            found.append(depth((price,), (price, "1.5"), name))
            found.append(brokers((i % 9999, 2), (3,), name))
    return [b"".join(found[at : at + 100]) for at in range(0, len(found), 100)]


def test_a_million_ticks_leave_no_memory_behind() -> None:
    packets = 20_000
    view = memoryview(stream(packets))
    pieces = [view[at : at + PIECE_BYTES] for at in range(0, len(view), PIECE_BYTES)]
    check("opend", pieces, packets)


def test_a_million_ticks_of_longport_leave_no_memory_behind() -> None:
    packets = 20_000
    check("longport", longport_messages(packets), packets)


def check(vendor: str, pieces: Sequence[Buffer], packets: int) -> None:
    """Feed pieces with so many ticks, again and again, and compare the memory in use."""
    decoder = ff.Decoder(vendor)
    delivered = np.zeros(1, np.int64)

    def on_batch(rows: np.ndarray) -> None:
        delivered[0] += len(rows)

    def feed(times: int) -> None:
        for _ in range(times):
            for piece in pieces:
                decoder.feed(piece)

    decoder.ticks.on_batch(on_batch)
    if vendor == "longport":
        for name in ("quotes", "books", "brokers"):
            decoder.stream(name).on_batch(lambda rows: None)
    tracemalloc.start()
    try:
        feed(2)
        gc.collect()
        blocks, (traced, _) = sys.getallocatedblocks(), tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        feed(TICKS // packets)
        gc.collect()
        blocks_later = sys.getallocatedblocks()
        traced_later, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert delivered[0] == TICKS + 2 * packets
    assert decoder.stats()["rejected"] == {}
    assert traced_later - traced < 4096
    assert blocks_later - blocks < 50
    assert peak - traced < 16384  # the views that callbacks get, one at a time
