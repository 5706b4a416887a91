"""Who decodes OpenD's packets: protobuf to rows."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

import fastfeed as ff
from fastfeed.bench.decoders import (
    Decoder,
    Fed,
    Objects,
    Record,
    Records,
    Rows,
    parser,
    pieces,
    row_digests,
)
from fastfeed.bench.opend_pushes import KINDS
from fastfeed.bench.samples import Sample
from fastfeed.protocols.opend_messages import message_class

__all__ = ["Fastfeed", "Futu", "Protobuf", "ProtobufRows", "futu", "opend_digests"]

NS = 1_000_000_000
_SIDES = (0, 1, -1, 0)  # by dir
_FLAGS = (0, 0, 2, 1)  # by pushDataType
_REGULAR = 1  # session of quotes
_OF_REGULAR = "{} of regular sessions"


def opend_digests(kind: str, rows: Rows, symbols: list[str]) -> dict[str, str]:
    """Return the digests of rows, and of quotes also those of the regular sessions, which are all that some show."""
    found = row_digests(rows, symbols)
    if kind == "quotes":
        chosen = rows["session"] == _REGULAR
        names = [symbol for symbol, regular in zip(symbols, chosen, strict=True) if regular]
        for column, digest in row_digests(rows[chosen], names).items():
            found[_OF_REGULAR.format(column)] = digest
    return found


class Fastfeed(Fed):
    """`fastfeed.Decoder` on pieces of 256 KiB."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample, ff.Decoder("opend"), pieces(sample.stream()))

    def digests(self) -> dict[str, str]:
        """Return those of all columns."""
        return opend_digests(self.sample.kind, *self.rows())


class Protobuf(Objects):
    """protobuf's parser (upb) on bodies that are cut already; nothing is read from the messages."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self.decode = parser(message_class(KINDS[sample.kind].message))

    def records(self) -> Iterable[Record]:
        """Parse once more, and read what there is."""
        for body in self.sample.bodies:
            yield from _READ[self.sample.kind](self.decode(body).s2c)


class ProtobufRows(Decoder):
    """protobuf's parser, and the ticks' fields into rows of the same NumPy array."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._parse = parser(message_class("QotUpdateTicker.Response"))
        self._rows = np.zeros(sample.rows, ff.dtype("ticks"))
        self._ids = {symbol.removesuffix(".US"): i for i, symbol in enumerate(sample.symbols)}

    def run(self) -> None:
        """Parse the bodies, and write the rows."""
        parse, rows, ids = self._parse, self._rows, self._ids
        i = 0
        for body in self.sample.bodies:
            s2c = parse(body).s2c
            symbol = ids[s2c.security.code]
            for t in s2c.tickerList:
                rows[i] = (
                    0,
                    int(t.timestamp * 1e6 + 0.5) * 1000,
                    int(t.recvTime * 1e6 + 0.5) * 1000,
                    t.sequence,
                    t.price,
                    t.hpVolume,
                    t.turnover,
                    symbol,
                    _SIDES[t.dir],
                    t.type,
                    0,
                    _FLAGS[t.pushDataType],
                )
                i += 1

    def digests(self) -> dict[str, str]:
        """Return those of all columns."""
        return row_digests(self._rows, [self.sample.symbols[i] for i in self._rows["symbol"]])


# ---- what rows must be, from protobuf's messages


def _symbol(s2c: Any) -> str:
    return f"{s2c.security.code}.US"


def _ns(seconds: float) -> int:
    return int(seconds * 1e6 + 0.5) * 1000


def _ticks(s2c: Any) -> Iterator[Record]:
    for tick in s2c.tickerList:
        yield {
            "symbol": _symbol(s2c),
            "time_ns": _ns(tick.timestamp),
            "gateway_ns": _ns(tick.recvTime),
            "seq": tick.sequence,
            "price": tick.price,
            "volume": tick.hpVolume,
            "turnover": tick.turnover,
            "side": _SIDES[tick.dir],
            "kind": tick.type,
            "flags": _FLAGS[tick.pushDataType],
        }


def _quotes(s2c: Any) -> Iterator[Record]:
    for quote in s2c.basicQotList:
        common = {
            "symbol": _symbol(quote),
            "time_ns": _ns(quote.updateTimestamp),
            "listed_ns": _ns(quote.listTimestamp),
            "status": quote.secStatus,
            "suspended": quote.isSuspended,
            "strike_price": np.nan,
        }
        yield common | {
            "session": _REGULAR,
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
            "change_rate": np.nan,
        }
        for session, block in ((2, quote.preMarket), (3, quote.afterMarket)):
            yield common | {
                "session": session,
                "last": block.price,
                "open": np.nan,
                "high": block.highPrice,
                "low": block.lowPrice,
                "prev_close": np.nan,
                "volume": block.volume,
                "turnover": block.turnover,
                "turnover_rate": np.nan,
                "amplitude": block.amplitude,
                "price_spread": np.nan,
                "change": block.changeVal,
                "change_rate": block.changeRate,
            }


def _bars(s2c: Any) -> Iterator[Record]:
    for bar in s2c.klList:
        yield {
            "symbol": _symbol(s2c),
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
            "blank": bar.isBlank,
        }


def _books(s2c: Any) -> Iterator[Record]:
    record = {
        "symbol": _symbol(s2c),
        "bid_ns": _ns(s2c.svrRecvTimeBidTimestamp),
        "ask_ns": _ns(s2c.svrRecvTimeAskTimestamp),
        "kind": s2c.orderBookType,
    }
    for side, levels in (("bid", s2c.orderBookBidList), ("ask", s2c.orderBookAskList)):
        record |= {
            f"{side}s": len(levels),
            f"{side}_price": [level.price for level in levels],
            f"{side}_volume": [level.hpVolume for level in levels],
            f"{side}_orders": [level.orederCount for level in levels],
        }
    yield record


def _timeshare(s2c: Any) -> Iterator[Record]:
    for point in s2c.rtList:
        yield {
            "symbol": _symbol(s2c),
            "time_ns": int(point.timestamp) * NS,
            "price": point.price,
            "avg_price": point.avgPrice,
            "prev_close": point.lastClosePrice,
            "volume": point.hpVolume,
            "turnover": point.turnover,
            "minute": point.minute,
            "blank": point.isBlank,
        }


def _brokers(s2c: Any) -> Iterator[Record]:
    record: dict[str, Any] = {"symbol": _symbol(s2c)}
    for side, queue in (("bid", s2c.brokerBidList), ("ask", s2c.brokerAskList)):
        record |= {
            f"{side}s": len(queue),
            f"{side}_broker": [broker.id for broker in queue],
            f"{side}_level": [broker.pos for broker in queue],
            f"{side}_volume": [np.nan] * len(queue),
        }
    yield record


_READ = {
    "ticks": _ticks,
    "quotes": _quotes,
    "bars": _bars,
    "books": _books,
    "timeshare": _timeshare,
    "brokers": _brokers,
}


# ---- futu-api

#: The module with a kind's message, the class of its handler.
_FUTU = {
    "ticks": ("Qot_UpdateTicker_pb2", "TickerHandlerBase"),
    "quotes": ("Qot_UpdateBasicQot_pb2", "StockQuoteHandlerBase"),
    "bars": ("Qot_UpdateKL_pb2", "CurKlineHandlerBase"),
    "books": ("Qot_UpdateOrderBook_pb2", "OrderBookHandlerBase"),
    "timeshare": ("Qot_UpdateRT_pb2", "RTDataHandlerBase"),
    "brokers": ("Qot_UpdateBroker_pb2", "BrokerHandlerBase"),
}
#: Our names of its tables' columns.
_COLUMNS = {
    "ticks": {name: name for name in ("price", "volume", "turnover")} | {"seq": "sequence"},
    "quotes": {
        "last": "last_price",
        "open": "open_price",
        "high": "high_price",
        "low": "low_price",
        "prev_close": "prev_close_price",
        "volume": "volume",
        "turnover_rate": "turnover_rate",
        "price_spread": "price_spread",
    },
    "bars": {name: name for name in ("open", "high", "low", "close", "volume", "turnover")},
    "timeshare": {
        "price": "cur_price",
        "prev_close": "last_close",
        "avg_price": "avg_price",
        "volume": "volume",
    },
}
_DIRECTIONS = {"BUY": 1, "SELL": -1, "NEUTRAL": 0}


class Futu(Records):
    """futu-api's messages, and what its handlers make of them: a DataFrame, or a dict with a book.

    As its receiving thread does it, without socket, framing, lock, log, and the queue between its threads.
    """

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        module, handler = _FUTU[sample.kind]
        self._parse = parser(import_module(f"{futu().__name__}.common.pb.{module}").Response)
        self._handle = getattr(futu(), handler)().on_recv_rsp
        self._results: list[Any] = []

    def run(self) -> None:
        """Parse the bodies, and keep what the handler returns."""
        parse, handle = self._parse, self._handle
        self._results = [handle(parse(body)) for body in self.sample.bodies]

    def records(self) -> Iterable[Record]:
        """Return the columns that futu-api shows as they are."""
        kind = self.sample.kind
        for result in self._results:
            if result[0] != 0:
                raise RuntimeError(f"futu-api could not read a push: {result[1]}")
            if kind == "books":
                yield _futu_book(result[1])
            elif kind == "brokers":
                yield _futu_brokers(*result[1:])
            else:
                for row in result[1].to_dict("records"):
                    record = {ours: row[theirs] for ours, theirs in _COLUMNS[kind].items()}
                    if kind == "ticks":
                        record["side"] = _DIRECTIONS[row["ticker_direction"]]
                    yield {"symbol": _futu_symbol(row["code"])} | record

    def digests(self) -> dict[str, str]:
        """Return those of the columns that the records have, of quotes under the name of the regular sessions."""
        found = super().digests()
        if self.sample.kind != "quotes":
            return found
        return {_OF_REGULAR.format(column): digest for column, digest in found.items()}


def _futu_symbol(code: str) -> str:
    return f"{code.removeprefix('US.')}.US"


def _futu_book(book: dict[str, Any]) -> Record:
    return {
        "symbol": _futu_symbol(book["code"]),
        **{
            f"{ours}_{column}": [level[place] for level in book[theirs]]
            for ours, theirs in (("bid", "Bid"), ("ask", "Ask"))
            for place, column in enumerate(("price", "volume", "orders"))
        },
    }


def _futu_brokers(code: str, tables: Any) -> Record:
    return {
        "symbol": _futu_symbol(code),
        **{
            f"{side}_{ours}": table[f"{side}_broker_{theirs}"].tolist()
            for side, table in zip(("bid", "ask"), tables, strict=True)
            for ours, theirs in (("broker", "id"), ("level", "pos"))
        },
    }


def futu() -> ModuleType:
    """Import futu-api, so that it neither takes SIGINT nor keeps its process alive; ImportError."""
    handler = signal.getsignal(signal.SIGINT)
    module = import_module("futu")
    signal.signal(signal.SIGINT, handler)
    module.SysConfig.set_all_thread_daemon(True)
    return module
