"""The other pushes, bytes to rows: ns for each quote, bar, book, point and broker queue, beside the same peers.

The candidates take turns, and of each turn only the last run counts, so that a noisy minute and a cold cache hit all
of them. Before anything is timed, all must give the same rows: the C loop bit for bit.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compiled import NoCompiler
from packets import KINDS, Kind, Pushes
from peers import Candidate, Fastfeed, Futu, HandWrittenPushes, ProtobufParse

import fastfeed as ff
from fastfeed.protocols.opend_messages import message_class

SYMBOLS = 100
AGREED = 300  # packets whose rows are compared
ROUNDS = 40
PARSED = 5  # protobuf gets every so manieth of the packets
OFFICIAL = 60  # packets that the official client gets
OFFICIAL_ROUNDS = 5
#: Packets of each kind: some 8 MB.
PACKETS = {"quote": 20_000, "bar": 40_000, "book": 12_000, "timeshare": 50_000, "brokers": 3_500}
HANDLERS = {
    "quote": "StockQuoteHandlerBase",
    "bar": "CurKlineHandlerBase",
    "book": "OrderBookHandlerBase",
    "timeshare": "RTDataHandlerBase",
    "brokers": "BrokerHandlerBase",
}
NS = 1_000_000_000
Record = dict[str, Any]


# ---- what the rows must be, from protobuf's messages


def said(kind: str, body: bytes) -> Iterator[Record]:
    """Yield the rows of a body, without the times of reception."""
    s2c: Any = message_class(KINDS[kind].message).FromString(body).s2c
    if kind == "quote":
        for quote in s2c.basicQotList:
            yield from quote_rows(quote)
        return
    code = s2c.security.code
    if kind == "bar":
        for bar in s2c.klList:
            yield {
                "code": code,
                "time_ns": int(bar.timestamp - 60) * NS,
                "open": bar.openPrice,
                "high": bar.highPrice,
                "low": bar.lowPrice,
                "close": bar.closePrice,
                "volume": bar.hpVolume,
                "turnover": bar.turnover,
                "prev_close": np.nan,
                "turnover_rate": bar.turnoverRate,
                "pe": bar.pe,
                "change_rate": bar.changeRate,
                "interval_s": 60,
                "adjust": s2c.rehabType,
                "blank": 0,
            }
    elif kind == "timeshare":
        for point in s2c.rtList:
            yield {
                "code": code,
                "time_ns": int(point.timestamp) * NS,
                "price": point.price,
                "avg_price": point.avgPrice,
                "prev_close": point.lastClosePrice,
                "volume": point.hpVolume,
                "turnover": point.turnover,
                "minute": point.minute,
                "blank": 0,
            }
    elif kind == "book":
        yield {
            "code": code,
            "bid_ns": ns(s2c.svrRecvTimeBidTimestamp),
            "ask_ns": ns(s2c.svrRecvTimeAskTimestamp),
            "bids": len(s2c.orderBookBidList),
            "asks": len(s2c.orderBookAskList),
            "kind": s2c.orderBookType,
            "bid_price": [level.price for level in s2c.orderBookBidList],
            "bid_volume": [level.hpVolume for level in s2c.orderBookBidList],
            "bid_orders": [level.orederCount for level in s2c.orderBookBidList],
            "ask_price": [level.price for level in s2c.orderBookAskList],
            "ask_volume": [level.hpVolume for level in s2c.orderBookAskList],
            "ask_orders": [level.orederCount for level in s2c.orderBookAskList],
        }
    else:
        yield {
            "code": code,
            "bids": len(s2c.brokerBidList),
            "asks": len(s2c.brokerAskList),
            "bid_broker": [broker.id for broker in s2c.brokerBidList],
            "bid_level": [broker.pos for broker in s2c.brokerBidList],
            "ask_broker": [broker.id for broker in s2c.brokerAskList],
            "ask_level": [broker.pos for broker in s2c.brokerAskList],
            "bid_volume": [np.nan] * 40,
        }


def quote_rows(quote: Any) -> Iterator[Record]:
    """Yield the row of the regular session and those of the others."""
    common = {
        "code": quote.security.code,
        "time_ns": ns(quote.updateTimestamp),
        "listed_ns": ns(quote.listTimestamp),
        "status": quote.secStatus,
        "suspended": quote.isSuspended,
        "strike_price": np.nan,
    }
    yield common | {
        "session": 1,
        "last": quote.curPrice,
        "open": quote.openPrice,
        "high": quote.highPrice,
        "low": quote.lowPrice,
        "prev_close": quote.lastClosePrice,
        "volume": quote.hpVolume,
        "turnover": quote.turnover,
        "turnover_rate": quote.turnoverRate,
        "amplitude": quote.amplitude,
        "price_spread": quote.priceSpread,
        "change": np.nan,
    }
    for session, block in ((2, quote.preMarket), (3, quote.afterMarket)):
        yield common | {
            "session": session,
            "last": block.price,
            "high": block.highPrice,
            "low": block.lowPrice,
            "volume": block.volume,
            "turnover": block.turnover,
            "change": block.changeVal,
            "change_rate": block.changeRate,
            "amplitude": block.amplitude,
            "prev_close": np.nan,
        }


def ns(seconds: float) -> int:
    """Return seconds in ns, rounded to microseconds."""
    return int(seconds * 1e6 + 0.5) * 1000


# ---- what the official client's tables must be


def official(kind: str, frame: Any) -> Record:
    """Return a result of futu-api as a part of the row of a regular session, or of the only one."""
    assert frame[0] == 0, frame
    if kind == "book":
        book = frame[1]
        return {
            "code": book["code"],
            "bid_price": [level[0] for level in book["Bid"]],
            "bid_volume": [level[1] for level in book["Bid"]],
            "ask_price": [level[0] for level in book["Ask"]],
            "ask_orders": [level[2] for level in book["Ask"]],
        }
    if kind == "brokers":
        _, code, (bids, asks) = frame
        return {
            "code": code,
            "bid_broker": bids["bid_broker_id"].tolist(),
            "bid_level": bids["bid_broker_pos"].tolist(),
            "ask_broker": asks["ask_broker_id"].tolist(),
        }
    columns = {
        "quote": {
            "last": "last_price",
            "open": "open_price",
            "high": "high_price",
            "low": "low_price",
            "prev_close": "prev_close_price",
            "volume": "volume",
            "turnover_rate": "turnover_rate",
            "price_spread": "price_spread",
        },
        "bar": {name: name for name in ("open", "high", "low", "close", "volume", "turnover")},
        "timeshare": {
            "price": "cur_price",
            "prev_close": "last_close",
            "avg_price": "avg_price",
            "volume": "volume",
        },
    }[kind]
    (row,) = frame[1].to_dict("records")
    return {"code": row["code"]} | {ours: row[theirs] for ours, theirs in columns.items()}


# ----


def make(name: str, kind: str, sample: Pushes) -> Candidate | None:
    """Return a candidate, None when it cannot run here."""
    try:
        if name == "fastfeed":
            return Fastfeed(sample, sample.kind.stream)
        if name == "C loop":
            return HandWrittenPushes(sample)
        if name == "protobuf":
            return ProtobufParse(sample, sample.kind.message)
        return Futu(sample, HANDLERS[kind])
    except (NoCompiler, ImportError):
        return None


def assert_agreed(kind: str) -> None:
    """Compare all candidates' rows."""
    sample = Pushes(KINDS[kind], SYMBOLS, AGREED)
    ours = Fastfeed(sample, sample.kind.stream)
    ours.run()
    ours.run()  # once with all symbols known
    codes, rows = ours.rows()
    right = [row for body in sample.bodies for row in said(kind, body)]
    assert len(rows) == len(right) == sample.rows
    for code, row, expected in zip(codes, rows, right, strict=True):
        for field, value in expected.items():
            got = code if field == "code" else row[field]
            np.testing.assert_array_equal(got, value, err_msg=f"{kind}: {field}")

    hand_written = make("C loop", kind, sample)
    if hand_written is not None:
        hand_written.run()
        their_codes, their_rows = hand_written.rows()
        assert their_codes == codes
        assert rows.dtype == ff.dtype(sample.kind.stream)
        for field in rows.dtype.names or ():
            if field not in ("recv_ns", "symbol"):
                assert their_rows[field].tobytes() == rows[field].tobytes(), f"{kind}: {field}"

    futu = make("futu-api", kind, sample)
    if isinstance(futu, Futu):
        futu.run()
        for frame, code, row in zip(
            futu.frames, codes[:: sample.kind.rows], rows[:: sample.kind.rows], strict=True
        ):
            for field, value in official(kind, frame).items():
                got = f"US.{code}" if field == "code" else row[field]
                np.testing.assert_array_equal(got, value, err_msg=f"futu-api, {kind}: {field}")


def ran(candidate: Candidate) -> float:
    """Return the seconds of a run."""
    started = time.perf_counter()
    candidate.run()
    return time.perf_counter() - started


@pytest.mark.parametrize("kind", KINDS)
def test_push(kind: str, benchmark: Any, report: Any) -> None:
    assert_agreed(kind)
    described: Kind = KINDS[kind]
    packets = dict.fromkeys(("fastfeed", "C loop"), PACKETS[kind])
    packets |= {"protobuf": PACKETS[kind] // PARSED, "futu-api": OFFICIAL}
    samples = {count: Pushes(described, SYMBOLS, count) for count in set(packets.values())}
    made = {name: make(name, kind, samples[count]) for name, count in packets.items()}
    candidates = {name: each for name, each in made.items() if each is not None}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}

    def all_rounds() -> None:
        for i in range(ROUNDS):
            for name in list(candidates) if i % 2 else reversed(candidates):
                if name == "futu-api":
                    if i % (ROUNDS // OFFICIAL_ROUNDS) == 0:
                        seconds[name].append(ran(candidates[name]))
                    continue
                candidates[name].run()
                seconds[name].append(ran(candidates[name]))

    benchmark.group = "pushes, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    sizes = {name: len(samples[count].stream) for name, count in packets.items()}
    first = statistics.median(seconds["fastfeed"]) / packets["fastfeed"]
    for name, times in seconds.items():
        each = statistics.median(times)
        row = {
            "ns/push": each / packets[name] * 1e9,
            "MB/s": sizes[name] / each / 1e6,
            "x fastfeed": each / packets[name] / first,
            "best ns": min(times) / packets[name] * 1e9,
        }
        benchmark.extra_info[name] = row
        report.add(kind, name, **row)
    size = len(samples[OFFICIAL].stream) / OFFICIAL
    report.note(f"A packet with a {kind} has {size:.0f} bytes with its header.")
