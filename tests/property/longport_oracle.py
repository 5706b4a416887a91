"""What the property tests of LongPort's decoder share: bodies of every kind, and a second opinion on what they mean
one after the other, made with the protobuf runtime, `float` and `zoneinfo`."""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import strategies as st
from wire_oracle import same, scramble, varint

from fastfeed._core.longport_decoder import LongportDecoder, decode_response
from fastfeed._core.symbols import SymbolTable
from fastfeed.protocols.longport_messages import MESSAGES, Command
from fastfeed.schema import dtype

NAN = math.nan
DEPTH = 3
PLACES = 40
INTERVAL_S, KIND = 300, 5
RECV_NS = 7
DAY_NS = 86400 * 10**9
Row = dict[str, Any]

# the runtime


def oracle_pool() -> descriptor_pool.DescriptorPool:
    """Our messages with bytes for texts: what is not UTF-8 makes a value missing, and not the body bad."""
    pool = descriptor_pool.DescriptorPool()
    data = files("fastfeed.protocols").joinpath("longport.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        for message in file.message_type:
            for field in message.field:
                if field.type == FieldDescriptor.TYPE_STRING:
                    field.type = FieldDescriptor.TYPE_BYTES
        pool.Add(file)
    return pool


POOL = oracle_pool()


def message_of(name: str) -> Any:
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"fastfeed.longport.{name}"))


PUSHES = {101: "PushQuote", 102: "PushDepth", 103: "PushBrokers", 104: "PushTrade"}
RESPONSES = {
    number: MESSAGES[Command(number)].response or "" for number in (11, 14, 15, 17, 18, 19, 27)
}
CLASSES = {number: message_of(name) for number, name in (PUSHES | RESPONSES).items()}
STREAMS = {
    **{101: "quotes", 102: "books", 103: "brokers", 104: "ticks"},
    **{11: "quotes", 14: "books", 15: "brokers", 17: "ticks", 18: "timeshare"},
    **{19: "bars", 27: "bars"},
}

# what values mean

DECIMAL = re.compile(rb"-?([0-9]+)(?:\.([0-9]+))?(?:[eE][+-]?[0-9]+)?")


def decimal(text: bytes) -> float | None:
    """None: there is none."""
    match = DECIMAL.fullmatch(text)
    if match is None or len(match[1]) + len(match[2] or b"") > 40:
        return None
    return float(text)


def real(text: bytes) -> float:
    value = decimal(text)
    return NAN if value is None or math.isinf(value) else value


def canonical(name: bytes) -> str | None:
    """None: no symbol."""
    if not re.fullmatch(rb"[!-~]{1,80}", name) or not re.fullmatch(rb".+\.[^.]+", name):
        return None
    code, _, region = name.decode().rpartition(".")
    if region == "HK" and code.isdigit():
        code = code.lstrip("0") or "0"
    return f"{code}.{region}"


def ns(seconds: int) -> int:
    return seconds * 10**9 if 0 < seconds < 9 * 10**9 else 0


def clock(sequence: int, time_ns: int) -> int:
    if not 14 * 10**17 <= sequence < 21 * 10**17:
        return 0
    return sequence if time_ns == 0 or abs(sequence - time_ns) <= DAY_NS else 0


def u8(value: int) -> int:
    return value if 0 <= value <= 255 else 255


def session(value: int) -> int:
    return value + 1 if 0 <= value <= 3 else 0


def zone(symbol: str) -> ZoneInfo:
    return ZoneInfo("America/New_York" if symbol.endswith(".US") else "Asia/Hong_Kong")


def local(symbol: str, time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).astimezone(zone(symbol))


def day(symbol: str, row_session: int, time_ns: int) -> date | None:
    if time_ns == 0:
        return None
    early = timedelta(hours=4 if row_session == 4 else 0)
    return (local(symbol, time_ns).replace(tzinfo=None) + early).date()


# rows

OF_A_DAY = ("open", "high", "low", "prev_close", "volume", "turnover")
PLAIN = {
    **dict.fromkeys(
        (
            *("change", "change_rate", "amplitude", "turnover_rate", "price_spread"),
            *("strike_price", "contract_size", "open_interest", "net_open_interest"),
            *("open_interest_change", "implied_volatility", "premium", "delta", "gamma", "vega"),
            *("theta", "rho", "contract_nominal_value", "owner_lot_multiplier"),
            *("contract_multiplier", "last_settle_price"),
        ),
        NAN,
    ),
    **dict.fromkeys(
        ("listed_ns", "flags", "dark_status", "option_style", "index_option_type", "kind"), 0
    ),
    "expiry_days": -(2**31),
}


def quote_row(symbol: str, row_session: int, known: Row) -> Row:
    return {
        **PLAIN,
        **{name: known[name] for name in ("last", *OF_A_DAY)},
        **{name: known[name] for name in ("time_ns", "gateway_ns", "seq", "status")},
        "symbol": symbol,
        "session": row_session,
        "suspended": int(known["status"] in (1, 3, 7, 10)),
    }


UNKNOWN_QUOTE = {**dict.fromkeys(("last", *OF_A_DAY), NAN), "day": None, "pushed": False}


class Counters:
    """What rows left out and values that do not fit are counted in."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.cut_levels = 0

    def price(self, text: bytes) -> float | None:
        value = decimal(text)
        if value is None or math.isinf(value):
            self.dropped["missing_price" if value is None else "not_finite"] += 1
            return None
        return value

    def time(self, seconds: int) -> int:
        self.dropped["time"] += ns(seconds) == 0
        return ns(seconds)


def ticks(symbol: str, trades: Any, sequence: int, counters: Counters) -> list[Row]:
    rows = []
    for trade in trades:
        price = counters.price(trade.price)
        if price is None:
            continue
        kind = trade.trade_type
        time_ns = counters.time(trade.timestamp)
        rows.append(
            {
                "time_ns": time_ns,
                "gateway_ns": clock(sequence, time_ns),
                "seq": sequence or -1,
                "symbol": symbol,
                "price": price,
                "volume": float(trade.volume),
                "turnover": NAN,
                "side": {2: 1, 1: -1}.get(trade.direction, 0),
                "kind": 0 if not kind else kind[0] if len(kind) == 1 else 255,
                "session": session(trade.trade_session),
                "flags": 0,
            }
        )
    return rows


def merge_book(book: dict[str, Row], message: Any, counters: Counters) -> None:
    for side in ("bid", "ask"):
        for level in getattr(message, side):
            if level.position < 1:
                counters.dropped["bad_value"] += 1
            elif level.position > DEPTH:
                counters.cut_levels += 1
            elif math.isnan(price := real(level.price)):
                book[side].pop(level.position, None)
            else:
                orders = max(min(level.order_num, 2**31 - 1), -(2**31))
                book[side][level.position] = (price, float(level.volume), orders)


def book_row(symbol: str, sequence: int, book: dict[str, Row]) -> Row:
    row: Row = {"time_ns": 0, "gateway_ns": clock(sequence, 0), "seq": sequence or -1}
    row |= {"bid_ns": 0, "ask_ns": 0, "symbol": symbol, "kind": 0, "session": 0, "flags": 0}
    for side, levels in book.items():
        row[f"{side}s"] = max(levels, default=0)
        all_levels = [levels.get(i, (NAN, NAN, 0)) for i in range(1, DEPTH + 1)]
        for name, column in zip(
            ("price", "volume", "orders"), zip(*all_levels, strict=True), strict=True
        ):
            row[f"{side}_{name}"] = list(column)
    return row


def merge_queues(queues: dict[str, Row], message: Any, counters: Counters) -> None:
    for side in ("bid", "ask"):
        for level in getattr(message, f"{side}_brokers"):
            if level.position < 1:
                counters.dropped["bad_value"] += 1
            elif level.position > PLACES:
                counters.cut_levels += len(level.broker_ids)
            else:
                queues[side][level.position] = list(level.broker_ids)


def brokers_row(symbol: str, sequence: int, queues: dict[str, Row], counters: Counters) -> Row:
    row: Row = {"time_ns": 0, "gateway_ns": clock(sequence, 0), "seq": sequence or -1}
    row |= {"symbol": symbol, "session": 0, "flags": 0}
    for side, levels in queues.items():
        places = [(broker, level) for level in sorted(levels) for broker in levels[level]]
        counters.cut_levels += max(len(places) - PLACES, 0)
        places = places[:PLACES]
        row[f"{side}s"] = len(places)
        filled = places + [(0, 0)] * (PLACES - len(places))
        row[f"{side}_broker"] = [broker for broker, _ in filled]
        row[f"{side}_level"] = [level for _, level in filled]
        row[f"{side}_order"] = [0] * PLACES
        row[f"{side}_volume"] = [NAN] * PLACES
    return row


class Oracle:
    """What is known of each symbol."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.old = self.end_of_day = 0
        self.reset()

    def reset(self) -> None:
        self.sequences: dict[tuple[int, str], int] = {}
        self.quotes: dict[tuple[str, int], Row] = {}
        self.books: dict[str, dict[str, Row]] = {}
        self.queues: dict[str, dict[str, Row]] = {}

    def push(self, command: int, message: Any) -> list[Row]:
        symbol = canonical(message.symbol)
        assert symbol is not None
        if command == 101 and message.tag == 1:
            self.end_of_day += 1
            return []
        key = command, symbol
        if message.sequence != 0:
            if message.sequence <= self.sequences.get(key, -(2**63)):
                self.old += 1
                return []
            self.sequences[key] = message.sequence
        if command == 104:
            return ticks(symbol, message.trade, message.sequence, self.counters)
        if command == 101:
            return self._quote(symbol, message)
        if command == 102:
            book = self.books.setdefault(symbol, {"bid": {}, "ask": {}})
            merge_book(book, message, self.counters)
            return [book_row(symbol, message.sequence, book)]
        queues = self.queues.setdefault(symbol, {"bid": {}, "ask": {}})
        merge_queues(queues, message, self.counters)
        return [brokers_row(symbol, message.sequence, queues, self.counters)]

    def _quote(self, symbol: str, message: Any) -> list[Row]:
        row_session = session(message.trade_session)
        known = self.quotes.setdefault((symbol, row_session), dict(UNKNOWN_QUOTE))
        known["time_ns"] = ns(message.timestamp)
        known["gateway_ns"] = clock(message.sequence, known["time_ns"])
        known["seq"] = message.sequence or -1
        known["status"] = u8(message.trade_status)
        known["pushed"] = True
        today = day(symbol, row_session, known["time_ns"])
        if today and (known["day"] is None or today > known["day"]):
            known |= dict.fromkeys(OF_A_DAY, NAN)
            known["day"] = today
        for name, field in (("last", "last_done"), *((x, x) for x in ("open", "high", "low"))):
            value = real(getattr(message, field))
            known[name] = known[name] if math.isnan(value) or not value else value
        turnover = real(message.turnover)
        known["turnover"] = known["turnover"] if math.isnan(turnover) or not turnover else turnover
        known["volume"] = float(message.volume) if message.volume else known["volume"]
        if math.isnan(known["last"]):
            self.counters.dropped["missing_price"] += 1
            return []
        self.counters.time(message.timestamp)
        return [quote_row(symbol, row_session, known)]

    def seed(self, rows: list[Row]) -> list[Row]:
        merged = []
        for row in rows:
            symbol, row_session = row["symbol"], row["session"]
            known = self.quotes.setdefault((symbol, row_session), dict(UNKNOWN_QUOTE))
            its_day = day(symbol, row_session, row["time_ns"])
            same_day = known["day"] is None or its_day is None or known["day"] == its_day
            later = known["pushed"] and known["time_ns"] >= row["time_ns"]
            for name in OF_A_DAY:
                filled = same_day and math.isnan(known[name])
                kept = same_day and math.isnan(row[name])
                if filled if later else not kept:
                    known[name] = row[name]
            if not later or math.isnan(known["last"]):
                known["last"] = row["last"]
            if not later:
                known |= {name: row[name] for name in ("time_ns", "gateway_ns", "seq", "status")}
                known["day"] = its_day or known["day"]
            merged.append(quote_row(symbol, row_session, known))
        return merged

    def stats(self) -> dict[str, Any]:
        return {
            "old": self.old,
            "end_of_day": self.end_of_day,
            "cut_levels": self.counters.cut_levels,
            "dropped": {name: n for name, n in self.counters.dropped.items() if n},
        }


# responses


def security_quotes(message: Any, counters: Counters) -> list[Row]:
    rows = []
    for quote in message.secu_quote:
        symbol = canonical(quote.symbol) or ""
        blocks = [(1, quote)]
        for number, name in enumerate(("pre_market", "post_market", "over_night"), 2):
            if quote.HasField(f"{name}_quote"):
                blocks.append((number, getattr(quote, f"{name}_quote")))
        for row_session, block in blocks:
            last = counters.price(block.last_done)
            if last is None:
                continue
            known = {
                "last": last,
                "open": real(block.open) if row_session == 1 else NAN,
                **{name: real(getattr(block, name)) for name in ("high", "low", "prev_close")},
                "volume": float(block.volume),
                "turnover": real(block.turnover),
                "time_ns": counters.time(block.timestamp),
                "gateway_ns": 0,
                "seq": -1,
                "status": u8(quote.trade_status),
            }
            rows.append(quote_row(symbol, row_session, known))
    return rows


def lines(symbol: str, message: Any, counters: Counters) -> list[Row]:
    rows = []
    for line in message.lines:
        price = counters.price(line.price)
        if price is None:
            continue
        time_ns = counters.time(line.timestamp)
        at = local(symbol, time_ns)
        minute = (at.hour * 60 + at.minute) if time_ns else 0
        rows.append(
            {
                **{"time_ns": time_ns, "gateway_ns": 0, "seq": -1, "symbol": symbol},
                **{"price": price, "avg_price": real(line.avg_price), "prev_close": NAN},
                **{"volume": float(line.volume), "turnover": real(line.turnover)},
                # The rules in C are those since 2007.
                "minute": None if symbol.endswith(".US") and 0 < time_ns < 12 * 10**17 else minute,
                **{"blank": 0, "session": 0, "flags": 0},
            }
        )
    return rows


def bars(symbol: str, message: Any, counters: Counters) -> list[Row]:
    rows = []
    for bar in message.candlesticks:
        close = counters.price(bar.close)
        if close is None:
            continue
        rows.append(
            {
                "time_ns": counters.time(bar.timestamp),
                **{"gateway_ns": 0, "seq": -1, "symbol": symbol, "close": close},
                **{name: real(getattr(bar, name)) for name in ("open", "high", "low", "turnover")},
                "volume": float(bar.volume),
                **dict.fromkeys(("prev_close", "change_rate", "turnover_rate", "pe"), NAN),
                **{"interval_s": INTERVAL_S, "kind": KIND, "adjust": 0},
                **{"session": session(bar.trade_session), "flags": 0, "blank": 0},
            }
        )
    return rows


def response_rows(command: int, message: Any) -> list[Row]:
    counters = Counters()
    if command == 11:
        return security_quotes(message, counters)
    symbol = canonical(message.symbol) or ""
    sides: dict[str, Row] = {"bid": {}, "ask": {}}
    if command == 14:
        merge_book(sides, message, counters)
        return [book_row(symbol, 0, sides)]
    if command == 15:
        merge_queues(sides, message, counters)
        return [brokers_row(symbol, 0, sides, counters)]
    if command == 17:
        return ticks(symbol, message.trades, 0, counters)
    return (lines if command == 18 else bars)(symbol, message, counters)


# the comparison


def compare(command: int, data: bytes, expected: list[Row], symbols: SymbolTable) -> Any:
    rows = np.frombuffer(data, dtype(STREAMS[command], DEPTH))
    assert len(rows) == len(expected)
    for row, want in zip(rows, expected, strict=True):
        assert {*want, "recv_ns"} == set(row.dtype.names)
        assert row["recv_ns"] == RECV_NS
        for name, value in want.items():
            got = symbols[row[name]] if name == "symbol" else row[name]
            assert value is None or same(got, value), name
    return rows


def check_reason(error: ValueError, names: list[bytes]) -> None:
    """A body that the runtime takes and we do not: a bad symbol, or what the runtime passes over."""
    reason = str(error)
    assert reason in ("group", "varint") or (
        reason == "symbol" and None in [canonical(name) for name in names]
    )


class Decoders:
    """Our decoder with and without its short ways, and the oracle: all of them are given the same."""

    def __init__(self) -> None:
        self.symbols = SymbolTable(), SymbolTable()
        self.decoders = [
            LongportDecoder(table, depth=DEPTH, generic=bool(i))
            for i, table in enumerate(self.symbols)
        ]
        self.oracle = Oracle()

    def push(self, command: int, body: bytes) -> Any:
        """Return the rows, None when the body is rejected."""
        results: list[bytes | ValueError] = []
        for decoder in self.decoders:
            try:
                results.append(bytes(decoder.push(command, body, RECV_NS)))
            except ValueError as error:
                results.append(error)
        assert repr(results[0]) == repr(results[1])
        result = results[0]
        try:
            message = CLASSES[command].FromString(body)
        except DecodeError:
            assert isinstance(result, ValueError)
            message = None
        rows = None
        if isinstance(result, ValueError):
            if message is not None:
                check_reason(result, [message.symbol])
        else:
            assert message is not None
            rows = compare(command, result, self.oracle.push(command, message), self.symbols[0])
        for decoder in self.decoders:
            assert decoder.stats() == self.oracle.stats()
        assert list(self.symbols[0]) == list(self.symbols[1])
        return rows

    def seed(self, body: bytes) -> Any:
        """Take the response to a pull of quotes as what is known."""
        merged = self.oracle.seed(response_rows(11, CLASSES[11].FromString(body)))
        for decoder, table in zip(self.decoders, self.symbols, strict=True):
            rows = decode_response(11, body, table, RECV_NS)
            decoder.seed(rows)
            result = compare(11, bytes(rows), merged, table)
        return result

    def reset(self) -> None:
        for decoder in self.decoders:
            decoder.reset()
        self.oracle.reset()


def check_response(command: int, body: bytes) -> Any:
    """Return the rows, None when the body is rejected."""
    symbols = SymbolTable()
    options = {"depth": DEPTH, "interval_s": INTERVAL_S, "kind": KIND}
    try:
        message = CLASSES[command].FromString(body)
    except DecodeError:
        with pytest.raises(ValueError):
            decode_response(command, body, symbols, RECV_NS, **options)
        return None
    try:
        data = decode_response(command, body, symbols, RECV_NS, **options)
    except ValueError as error:
        quotes = command == 11
        check_reason(error, [x.symbol for x in message.secu_quote] if quotes else [message.symbol])
        return None
    return compare(command, bytes(data), response_rows(command, message) if body else [], symbols)


# values and messages

DECIMALS = st.one_of(
    st.decimals(0, 10**6, places=3).map(lambda x: f"{x:f}".encode()),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda x: f"{x:f}".encode()),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda x: repr(x).encode()),
    st.from_regex(rb"-?[0-9]{1,22}(\.[0-9]{1,20})?", fullmatch=True),
    st.sampled_from(
        [
            *(b"", b"0", b"0.000", b"-0.0", b"1e999", b"-1e999", b"1e-999", b"nan", b"inf", b"+1"),
            *(b".5", b"1.", b" 1", b"1_0", b"1,000.5", b"\xff", b"12345678", b"123456789.125"),
            *(b"96449546281.000", b"-0.050000000000000266", b"9007199254740993", b"\xd9\xa1"),
            *(b"9" * 40, b"9" * 41, b"0" * 200, b"1" + b"0" * 130, b"13865092584.000"),
        ]
    ),
)
NEW_YORK, HONG_KONG = ZoneInfo("America/New_York"), ZoneInfo("Asia/Hong_Kong")
#: Around the ends of days: midnight, eight in the evening, changes of the clock.
EDGES = [
    int(datetime(*when, tzinfo=where).timestamp())
    for where in (NEW_YORK, HONG_KONG)
    for when in (
        (2026, 3, 8, 0, 0),
        (2026, 3, 8, 20, 0),
        (2026, 3, 9, 0, 0),
        (2026, 11, 1, 0, 0),
        (2026, 11, 1, 20, 0),
        (2026, 11, 2, 0, 0),
        (2026, 12, 31, 20, 0),
        (2027, 1, 1, 0, 0),
    )
]
SECONDS = st.one_of(
    st.builds(lambda edge, by: edge + by, st.sampled_from(EDGES), st.integers(-1, 1)),
    st.sampled_from([0, 1, -1, 9 * 10**9 - 1, 9 * 10**9, 2**62, -(2**63)]),
    st.integers(1_300_000_000, 2_000_000_000),
)
SEQUENCES = st.one_of(
    st.just(0),
    st.integers(1, 30),
    st.integers(-3, 2**63 - 1),
    st.sampled_from([14 * 10**17 - 1, 14 * 10**17, 21 * 10**17 - 1, 21 * 10**17]),
    st.builds(
        lambda edge, by: edge * 10**9 + by,
        st.sampled_from(EDGES),
        st.sampled_from([-DAY_NS - 1, -DAY_NS, 326623840, DAY_NS, DAY_NS + 1]),
    ),
)
SYMBOLS = st.sampled_from([b"700.HK", b"00700.HK", b"AAPL.US", b"600519.SH", b"BRK.A.US"])
ODD_SYMBOLS = st.one_of(
    st.sampled_from(
        [
            *(b"", b".", b"A.", b".US", b".IXIC.US", b"000.HK", b"7 0.HK", b"\xff.HK", b"AAPL"),
            *(b"A" * 77 + b".US", b"A" * 78 + b".US", b"007a.HK", b"00700.US", b"A" * 130 + b".US"),
        ]
    ),
    st.binary(max_size=12),
)
INT64 = st.one_of(st.integers(0, 300), st.integers(0, 10**11), st.integers(-(2**63), 2**63 - 1))
INT32 = st.one_of(st.integers(0, 4), st.integers(-1, 300), st.integers(-(2**31), 2**31 - 1))
POSITIONS = st.one_of(st.integers(1, DEPTH), st.sampled_from([-1, 0, DEPTH + 1, 40, 41, 2**31 - 1]))


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Values of a field, by its name where that matters."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        if field.name == "symbol":
            return st.one_of(SYMBOLS, SYMBOLS, SYMBOLS, ODD_SYMBOLS)
        if field.name == "trade_type":
            return st.sampled_from([b"", b"U", b"I", b"*", b"XX", b"\xff", b"\xc3\x84"])
        return DECIMALS
    named = {
        "timestamp": SECONDS,
        "sequence": SEQUENCES,
        "position": POSITIONS,
        "tag": st.sampled_from([0, 0, 0, 0, 1, 2]),
    }
    return named.get(field.name, INT64 if field.type == FieldDescriptor.TYPE_INT64 else INT32)


def fill(draw: st.DrawFn, message: Any) -> None:
    """Give a message random fields; up to four may lack."""
    fields = message.DESCRIPTOR.fields
    absent = draw(st.sets(st.sampled_from([field.name for field in fields]), max_size=4))
    for field in fields:
        if field.name in absent and field.name != "symbol":
            continue
        embedded = field.type == FieldDescriptor.TYPE_MESSAGE
        if field.is_repeated and embedded:
            for _ in range(draw(st.integers(0, 4))):
                fill(draw, getattr(message, field.name).add())
        elif field.is_repeated:
            most = draw(st.sampled_from([2, 2, 2, 2, 50]))
            getattr(message, field.name).extend(draw(st.lists(values(field), max_size=most)))
        elif embedded:
            getattr(message, field.name).SetInParent()
            fill(draw, getattr(message, field.name))
        else:
            setattr(message, field.name, draw(values(field)))


REPEATED = {
    0: st.integers(0, 2**64 - 1).map(varint),
    2: st.sampled_from([b"700.HK", b"1.5", b"", b"AAPL.US", b"12"]),
}


@st.composite
def bodies(draw: st.DrawFn, command: int, odd: bool = True) -> bytes:
    """A body in the usual encoding, or (`odd`) perhaps in another."""
    message = CLASSES[command]()
    fill(draw, message)
    body: bytes = message.SerializeToString()
    if odd and draw(st.booleans()):
        return scramble(draw, body, message.DESCRIPTOR, REPEATED)
    return body


@st.composite
def mutated(draw: st.DrawFn, command: int) -> bytes:
    body = bytearray(draw(bodies(command)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        what = draw(st.integers(0, 3))
        if what == 0:
            body[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif what == 1:
            del body[at : at + draw(st.integers(1, 9))]
        elif what == 2:
            body[at:at] = draw(st.binary(min_size=1, max_size=9))
        else:
            del body[at:]
    return bytes(body)


def example_of(command: int, elements: int = 2) -> Any:
    """A message with every field, as LongPort sends it."""
    message = CLASSES[command]()

    def complete(message: Any, number: int) -> None:
        for field in message.DESCRIPTOR.fields:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                inner = getattr(message, field.name)
                for i in range(elements if field.is_repeated else 1):
                    complete(inner.add() if field.is_repeated else inner, i + 1)
                continue
            value: Any = {
                "symbol": b"AAPL.US",
                "sequence": 1_721_098_963_326_623_840,
                "timestamp": 1_721_098_963,
                "position": number,
                "trade_type": b"I",
                "direction": 2,
                "trade_session": 1,
                "tag": 0,
            }.get(field.name, field.number)
            if field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, int):
                value = f"{382 + value}.{number}00".encode()
            if field.is_repeated:
                getattr(message, field.name).extend([7358, 9057, number])
            else:
                setattr(message, field.name, value)

    complete(message, 1)
    return message
