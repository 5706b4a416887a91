"""Decoding leaves nothing behind: after a million ticks there is as much memory in use as before."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import numpy as np

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


def test_a_million_ticks_leave_no_memory_behind() -> None:
    packets = 20_000
    view = memoryview(stream(packets))
    pieces = [view[at : at + PIECE_BYTES] for at in range(0, len(view), PIECE_BYTES)]
    decoder = ff.Decoder("opend")
    delivered = np.zeros(1, np.int64)

    def on_batch(rows: np.ndarray) -> None:
        delivered[0] += len(rows)

    def feed(times: int) -> None:
        for _ in range(times):
            for piece in pieces:
                decoder.feed(piece)

    decoder.ticks.on_batch(on_batch)
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
