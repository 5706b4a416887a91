"""Answers of a simulated LongPort to what is asked and not subscribed, from the market."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from fastfeed.protocols.longport_codes import (
    INTERVALS,
    MOST_BARS,
    MOST_SYMBOLS,
    MOST_TRADES,
    Status,
    code,
    reason,
)
from fastfeed.protocols.longport_messages import Command, calc_indexes, warrant_orders
from fastfeed.sim import calendar
from fastfeed.sim.bars import INTRADAY_S
from fastfeed.sim.decimals import plain
from fastfeed.sim.instruments import Instrument
from fastfeed.sim.longport_hours import NORMAL, OVERNIGHT, POST, PRE, Session
from fastfeed.sim.longport_pushes import DIRECTIONS, brokers_fields, money
from fastfeed.sim.market import BROKERS, Quote
from fastfeed.sim.playback import Rows
from fastfeed.sim.terms import CURRENCIES, EXCHANGES, Fundamentals, OptionTerms, WarrantTerms

if TYPE_CHECKING:
    from fastfeed.sim.longport import LongPortSimulator

__all__ = ["Answers", "Asker", "Refused", "bad_request"]

Fields = dict[str, Any]

_INTERVAL_OF_PERIOD = {interval.period: name for name, interval in INTERVALS.items()}
_REGIONS = {"US": "US", "HK": "HK", "CN": "SH", "SG": "SG"}
_BOARDS = {
    "US": "USMain",
    "HK": "HKEquity",
    "SH": "SHMainConnect",
    "SZ": "SZMainConnect",
    "SG": "SGMain",
}
_OTHER_BOARDS = {
    ("option", "US"): "USOption", ("warrant", "HK"): "HKWarrant", ("index", "HK"): "HKHS",
    ("index", "US"): "USDJI",
}  # fmt: skip
_ALL_SESSIONS = 100
_DAYS_AT_ONCE = 31
_HISTORY_QUOTA = 1000  # distinct symbols
_BARS_FOR_ONE = 4  # a day in America has four sessions, and one of them may be all that is wanted
_OTHER_HOURS = ((400, 930, PRE), (1600, 2000, POST), (2000, 400, OVERNIGHT))
_CATEGORIES = {"call": (0, "Call"), "put": (1, "Put"), "bull": (2, "Bull"), "bear": (3, "Bear")}
_NORMAL_WARRANT = 4  # the status of a warrant that trades
_ISSUERS = ("UBS", "HSBC", "SocGen", "BOCI")
_PACKAGES = {
    "US": "US_QBBO_OpenAPI",
    "HK": "HK_HangSengIndex_AllTerminals",
    "CN": "CN_L1_ChinaMainland_EL",
}
_QUOTES_KEPT = 64  # responses
_LARGE, _MEDIUM = 100_000, 20_000  # turnovers of a trade


class Refused(Exception):
    """A request that is answered by an error; the text is what the client is told."""

    def __init__(self, status: int, code: int, text: str = "") -> None:
        super().__init__(text or reason(code))
        self.status = status
        self.code = code


def bad_request() -> Refused:
    """Return the answer to what is no request."""
    return Refused(Status.BAD_REQUEST, 301600)


def _bad_parameter() -> Refused:
    return Refused(Status.SERVER_ERROR, 301600)


def _too_much() -> Refused:
    return Refused(Status.SERVER_ERROR, 301607)


class Asker(Protocol):
    """Who asks."""

    overnight: bool

    @property
    def cursor(self) -> int | None: ...


class Answers:
    """Answers requests by their commands; what they ask for is what was pushed up to then."""

    def __init__(self, simulator: LongPortSimulator) -> None:
        self._sim = simulator
        self._market = simulator.market
        self._history: set[str] = set()
        # Bodies of responses with quotes, until the next trade: clients are measured by pulling hundreds, often.
        self._quoted = -1
        self._quotes_made: dict[tuple[bytes, bool], bytes] = {}

    def quotes_made(self, request: bytes, asker: Asker) -> bytes | None:
        """Return the body of a response with quotes that was made before, where it would be the same now."""
        if self._quoted != self._market.position:
            self._quoted = self._market.position
            self._quotes_made.clear()
        return self._quotes_made.get((request, asker.overnight))

    def keep_quotes(self, request: bytes, asker: Asker, made: bytes) -> None:
        """Take note of one."""
        if len(self._quotes_made) < _QUOTES_KEPT:
            self._quotes_made[request, asker.overnight] = made

    def answer(self, command: Command, request: Any, asker: Asker) -> Fields:
        """Return what a response is made from.

        Raises
        ------
        Refused
            It is answered by an error.
        """
        method = _ANSWERS.get(command)
        if method is None:
            raise bad_request()
        return method(self, request, asker)

    def instrument(self, text: str, *kinds: str) -> Instrument:
        """Return what a symbol names, or refuse it: unknown, without a right, or of another kind."""
        try:
            symbol = code(text)
        except ValueError as error:
            raise Refused(Status.SERVER_ERROR, 301600, str(error)) from None
        found = self._market.find(symbol)
        if found is None or (kinds and found.kind not in kinds):
            raise Refused(Status.SERVER_ERROR, 301600, f"unknown symbol: {text}")
        if symbol in self._sim.no_access:
            raise Refused(Status.SERVER_ERROR, 301604)
        return found

    def _several(self, symbols: Sequence[str], *kinds: str) -> list[Instrument]:
        if len(symbols) > MOST_SYMBOLS:
            raise _too_much()
        if not symbols:
            raise _bad_parameter()
        return [self.instrument(symbol, *kinds) for symbol in dict.fromkeys(symbols)]

    def _price(self, symbol: str) -> Callable[[float], str]:
        number = self._market.number(symbol)
        return lambda price: self._sim.writer.price(number, price)

    # The user.

    def _profile(self, request: Any, asker: Asker) -> Fields:
        sim = self._sim
        packages = {
            market: {
                "key": key,
                "name": key,
                "description": "simulated",
                "start": 0,
                "end": 1 << 32,
            }
            for market, key in _PACKAGES.items()
        }
        return {
            "member_id": 100001,
            "quote_level": "HKAA:OpenAPI,USAA:OpenAPI,CNAA:OpenAPI",
            "subscribe_limit": sim.knobs.subscriptions,
            "history_candlestick_limit": _HISTORY_QUOTA,
            "rate_limit": [
                {"command": int(command), "limit": round(bucket.rate), "burst": bucket.burst}
                for command, bucket in sim.limits.items()
            ],
            "quote_level_detail": {
                "by_package_key": {package["key"]: package for package in packages.values()},
                "by_market_code": {
                    market: {"packages": [package]} for market, package in packages.items()
                },
            },
        }

    # Markets.

    def _trading_sessions(self, request: Any, asker: Asker) -> Fields:
        markets = []
        for market, region in _REGIONS.items():
            periods = [
                {"beg_time": _clock(begin), "end_time": _clock(end), "trade_session": NORMAL}
                for begin, end in calendar.sessions(region)
            ]
            if market == "US":
                periods += [
                    {"beg_time": begin, "end_time": end, "trade_session": session}
                    for begin, end, session in _OTHER_HOURS
                ]
            markets.append({"market": market, "trade_session": periods})
        return {"market_trade_session": markets}

    def _trading_days(self, request: Any, asker: Asker) -> Fields:
        region = _REGIONS.get(request.market)
        first, last = _day(request.beg_day), _day(request.end_day)
        if region is None or not timedelta(0) <= last - first <= timedelta(_DAYS_AT_ONCE):
            raise _bad_parameter()
        days: tuple[list[str], list[str]] = ([], [])
        for day in calendar.trading_days(region, first, last):
            days[calendar.day_kind(region, day) or 0].append(f"{day:%Y%m%d}")
        return {"trade_day": days[0], "half_trade_day": days[1]}

    def _participants(self, request: Any, asker: Asker) -> Fields:
        return {
            "participant_broker_numbers": [
                {
                    "broker_ids": [id],
                    "participant_name_cn": name,
                    "participant_name_en": name,
                    "participant_name_hk": name,
                }
                for id, name in BROKERS
            ]
        }

    # Securities.

    def _static_info(self, request: Any, asker: Asker) -> Fields:
        found = self._several(request.symbol)
        return {"secu_static_info": [self._static(one) for one in found]}

    def _static(self, found: Instrument) -> Fields:
        terms = Fundamentals.of(self._market, found)
        region = found.region
        today = self._market.today(region)
        derivatives = []
        if next(iter(self._market.chain(found.symbol, today, date.max)), None):
            derivatives.append(1)
        if any(one.owner == found.symbol for one in self._market.instruments(region, "warrant")):
            derivatives.append(2)
        hong_kong = region == "HK"
        return {
            "symbol": found.symbol,
            "name_cn": f"模拟证券 {found.name}",
            "name_en": f"{found.name} simulated",
            "name_hk": f"模擬證券 {found.name}" if hong_kong else "",
            "listing_date": f"{found.listed:%Y-%m-%d}" if hong_kong else "",
            "exchange": EXCHANGES[region],
            "currency": CURRENCIES[region],
            "lot_size": found.lot_size,
            "total_shares": terms.shares,
            "circulating_shares": terms.circulating,
            "hk_shares": terms.shares if hong_kong else 0,
            "eps": f"{terms.eps:.4f}",
            "eps_ttm": f"{terms.eps_ttm:.4f}",
            "bps": f"{terms.bps:.4f}",
            "dividend_yield": f"{terms.dividend_yield:.4f}",
            "stock_derivatives": derivatives,
            "board": _OTHER_BOARDS.get((found.kind, region), _BOARDS[region]),
        }

    def _quotes(self, request: Any, asker: Asker) -> Fields:
        found = self._several(request.symbol)
        return {"secu_quote": [self._quote(one, asker) for one in found]}

    def _quote(self, found: Instrument, asker: Asker) -> Fields:
        """Return a SecurityQuote: the regular hours, and what was around them."""
        fields = self._regular(found)
        number = self._market.number(found.symbol)
        if number is None or found.region != "US":
            return fields
        for name, session in (
            ("pre_market_quote", PRE), ("post_market_quote", POST), ("over_night_quote", OVERNIGHT),
        ):  # fmt: skip
            state = self._sim.passage.session(number, session)
            if state is not None and (session != OVERNIGHT or asker.overnight):
                fields[name] = self._other_hours(found, state)
        return fields

    def _regular(self, found: Instrument) -> Fields:
        """Return a quote of the regular hours."""
        symbol = found.symbol
        price = self._price(symbol)
        quote = self._market.quote(symbol)
        number = self._market.number(symbol)
        state = None if number is None else self._sim.passage.session(number, NORMAL)
        if state is None:  # nothing traded yet, or not in these hours
            last = self._since_close(quote)
            values = (last, last, last, last, quote.time_ns, 0, 0.0)
        else:
            values = (
                state.last, state.open, state.high, state.low, state.time_ns, int(state.volume),
                state.turnover,
            )  # fmt: skip
        last, opened, high, low, time_ns, volume, turnover = values
        return {
            "symbol": symbol,
            "last_done": price(last),
            "prev_close": price(quote.prev_close),
            "open": price(opened),
            "high": price(high),
            "low": price(low),
            "timestamp": time_ns // 10**9,
            "volume": volume,
            "turnover": money(turnover),
            "trade_status": 0,
        }

    @staticmethod
    def _since_close(quote: Quote) -> float:
        return quote.prev_close if quote.volume else quote.last

    def _other_hours(self, found: Instrument, state: Session) -> Fields:
        symbol = found.symbol
        price = self._price(symbol)
        before = self._market.quote(symbol).prev_close
        number = self._market.number(symbol)
        if state.number == POST and number is not None:
            regular = self._sim.passage.session(number, NORMAL)
            before = before if regular is None else regular.last
        return {
            "last_done": price(state.last),
            "timestamp": state.time_ns // 10**9,
            "volume": int(state.volume),
            "turnover": money(state.turnover),
            "high": price(state.high),
            "low": price(state.low),
            "prev_close": price(before),
        }

    def _option_quotes(self, request: Any, asker: Asker) -> Fields:
        quotes = []
        for found in self._several(request.symbol, "option"):
            terms = OptionTerms.of(self._market, found)
            extend = {
                "implied_volatility": _fraction(terms.implied_volatility),
                "open_interest": terms.open_interest,
                "expiry_date": _day_text(found.expiry),
                "strike_price": plain(found.strike),
                "contract_multiplier": plain(float(found.lot_size)),
                "contract_type": "A",
                "contract_size": plain(float(found.lot_size)),
                "direction": "C" if found.right == "call" else "P",
                "historical_volatility": plain(round(terms.implied_volatility / 110, 6)),
                "underlying_symbol": found.owner,
            }
            quotes.append(self._regular(found) | {"option_extend": extend})
        return {"secu_quote": quotes}

    def _warrant_quotes(self, request: Any, asker: Asker) -> Fields:
        quotes = []
        for found in self._several(request.symbol, "warrant"):
            terms = WarrantTerms.of(self._market, found)
            extend = {
                "implied_volatility": _fraction(terms.implied_volatility),
                "expiry_date": _day_text(found.expiry),
                "last_trade_date": _day_text(found.expiry),
                "outstanding_ratio": _fraction(terms.outstanding_ratio),
                "outstanding_qty": terms.outstanding,
                "conversion_ratio": plain(terms.conversion),
                "category": _CATEGORIES[found.right][1],
                "strike_price": plain(found.strike),
                "upper_strike_price": "0",
                "lower_strike_price": "0",
                "call_price": plain(terms.recovery_price),
                "underlying_symbol": found.owner,
            }
            quotes.append(self._regular(found) | {"warrant_extend": extend})
        return {"secu_quote": quotes}

    def _depth(self, request: Any, asker: Asker) -> Fields:
        symbol = self.instrument(request.symbol).symbol
        return {"symbol": symbol, **(self._sim.depth(symbol) or {})}

    def _brokers(self, request: Any, asker: Asker) -> Fields:
        symbol = self.instrument(request.symbol).symbol
        bids, asks = self._market.brokers(symbol)
        return {
            "symbol": symbol,
            "ask_brokers": brokers_fields(asks),
            "bid_brokers": brokers_fields(bids),
        }

    # Trades and bars.

    def _positions(self, symbol: str, limit: int, asker: Asker) -> npt.NDArray[np.int64]:
        """Return where the last trades are that were played to who asks."""
        number = self._market.number(symbol)
        if number is None:
            return np.zeros(0, np.int64)
        if asker.overnight or self._sim.passage.session(number, OVERNIGHT) is None:
            return self._market.ticks(number, limit, before=asker.cursor)
        positions = self._market.ticks(number, 1 << 62, before=asker.cursor)
        by_day: npt.NDArray[np.int64] = positions[self._sessions(positions) != OVERNIGHT]
        return by_day[-limit:]

    def _sessions(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
        sessions = self._sim.passage.sessions
        found: npt.NDArray[np.int8] = sessions[positions % len(sessions)]
        return found

    def _rows(self, positions: npt.NDArray[np.int64]) -> Rows:
        return self._sim.playback.source.store.take(positions, mode="wrap")

    def _trades(self, request: Any, asker: Asker) -> Fields:
        symbol = self.instrument(request.symbol).symbol
        if not 1 <= request.count <= MOST_TRADES:
            raise _too_much() if request.count > 0 else _bad_parameter()
        price = self._price(symbol)
        positions = self._positions(symbol, request.count, asker)
        rows = self._rows(positions)
        columns = (rows[name].tolist() for name in ("price", "volume", "time_ns", "side"))
        return {
            "symbol": symbol,
            "trades": [
                {
                    "price": price(paid),
                    "volume": int(volume),
                    "timestamp": time_ns // 10**9,
                    "direction": DIRECTIONS[side],
                    "trade_session": session,
                }
                for paid, volume, time_ns, side, session in zip(
                    *columns, self._sessions(positions).tolist(), strict=True
                )
            ],
        }

    def _intraday(self, request: Any, asker: Asker) -> Fields:
        found = self.instrument(request.symbol)
        price = self._price(found.symbol)
        minutes = self._market.bars(found.symbol).minutes
        midnight = calendar.midnight_s(found.region, self._market.today(found.region))
        minutes = minutes[minutes["start_s"] >= midnight]
        minutes = self._wanted(minutes, found, "1m", request.trade_session)
        volumes = minutes["volume"].cumsum()
        averages = minutes["close"].copy()
        np.divide(minutes["turnover"].cumsum(), volumes, out=averages, where=volumes > 0)
        return {
            "symbol": found.symbol,
            "lines": [
                {
                    "price": price(close),
                    "timestamp": start,
                    "volume": int(volume),
                    "turnover": money(turnover),
                    "avg_price": f"{average:.6f}",
                }
                for (start, _, _, _, close, volume, turnover), average in zip(
                    minutes.tolist(), averages.tolist(), strict=True
                )
            ],
        }

    def _wanted(
        self, bars: npt.NDArray[Any], found: Instrument, interval: str, trade_session: int
    ) -> npt.NDArray[Any]:
        """Return the bars of all sessions, or of those that share time with the regular one."""
        if trade_session not in {0, _ALL_SESSIONS}:
            raise _bad_parameter()
        seconds = INTRADAY_S.get(interval)
        if trade_session or not seconds or found.region != "US":
            return bars
        of = self._sim.passage.hours.of
        starts = bars["start_s"]
        # The longest ones begin before the regular hours and end behind them.
        inside = [of(starts + shift) == NORMAL for shift in range(0, seconds, 1800)]
        return bars[np.logical_or.reduce([*inside, of(starts + seconds - 1) == NORMAL])]

    def _bar_fields(self, found: Instrument, interval: str, bars: npt.NDArray[Any]) -> Fields:
        price = self._price(found.symbol)
        sessions = np.zeros(len(bars), np.int8)
        if found.region == "US" and interval in INTRADAY_S:
            sessions = self._sim.passage.hours.of(bars["start_s"])
        return {
            "symbol": found.symbol,
            "candlesticks": [
                {
                    "close": price(close),
                    "open": price(opened),
                    "low": price(low),
                    "high": price(high),
                    "volume": int(volume),
                    "turnover": money(turnover),
                    "timestamp": start,
                    "trade_session": session,
                }
                for (start, opened, high, low, close, volume, turnover), session in zip(
                    bars.tolist(), sessions.tolist(), strict=True
                )
            ],
        }

    def _candlesticks(self, request: Any, asker: Asker) -> Fields:
        found = self.instrument(request.symbol)
        interval = self._interval(request)
        if not 1 <= request.count <= MOST_BARS:
            raise _too_much() if request.count > 0 else _bad_parameter()
        bars = self._last(found, interval, request, request.count, None)
        return self._bar_fields(found, interval, bars)

    def _last(
        self, found: Instrument, interval: str, request: Any, count: int, until_s: int | None
    ) -> npt.NDArray[Any]:
        more = count * _BARS_FOR_ONE
        bars, _ = self._market.last_bars(found.symbol, interval, more, request.adjust_type, until_s)
        return self._wanted(bars, found, interval, request.trade_session)[-count:]

    def _first(
        self, found: Instrument, interval: str, request: Any, count: int, since_s: int
    ) -> npt.NDArray[Any]:
        now_s, more = int(self._market.now_s()), count * _BARS_FOR_ONE
        bars, _ = self._market.bars_between(
            found.symbol, interval, since_s, now_s, more, request.adjust_type
        )
        return self._wanted(bars, found, interval, request.trade_session)[:count]

    def _interval(self, request: Any) -> str:
        interval = _INTERVAL_OF_PERIOD.get(request.period)
        if interval is None or request.adjust_type not in {0, 1}:
            raise _bad_parameter()
        return interval

    def _history_candlesticks(self, request: Any, asker: Asker) -> Fields:
        found = self.instrument(request.symbol)
        interval = self._interval(request)
        if found.symbol not in self._history and len(self._history) >= _HISTORY_QUOTA:
            raise _too_much()
        self._history.add(found.symbol)
        if request.query_type == 1:
            bars = self._by_offset(found, interval, request)
        elif request.query_type == 2:
            bars = self._by_date(found, interval, request)
        else:
            raise _bad_parameter()
        return self._bar_fields(found, interval, bars)

    def _by_date(self, found: Instrument, interval: str, request: Any) -> npt.NDArray[Any]:
        """Return the last bars of a span or, where it has no end, the first."""
        dates = request.date_request
        begin = _epoch_s(found.region, dates.start_date) if dates.start_date else 0
        if dates.start_date and not dates.end_date:
            return self._first(found, interval, request, MOST_BARS, begin)
        end = _epoch_s(found.region, dates.end_date, "2359") + 59 if dates.end_date else None
        bars = self._last(found, interval, request, MOST_BARS, end)
        return bars[bars["start_s"] >= begin]

    def _by_offset(self, found: Instrument, interval: str, request: Any) -> npt.NDArray[Any]:
        offset = request.offset_request
        count = offset.count or 10
        if count > MOST_BARS:
            raise _too_much()
        if count < 0 or offset.direction not in {0, 1}:
            raise _bad_parameter()
        at = int(self._market.now_s())
        if offset.date:
            minute = offset.minute or ("0000" if offset.direction else "2359")
            at = _epoch_s(found.region, offset.date, minute)
        if offset.direction == 0:
            return self._last(found, interval, request, count, at)
        return self._first(found, interval, request, count, at)

    # Options and warrants.

    def _option_expiries(self, request: Any, asker: Asker) -> Fields:
        owner = self.instrument(request.symbol)
        chain = self._market.chain(owner.symbol, self._market.today(owner.region), date.max)
        days = dict.fromkeys(day for day, _, _ in chain)
        return {"expiry_date": [_day_text(day) for day in days]}

    def _option_strikes(self, request: Any, asker: Asker) -> Fields:
        owner = self.instrument(request.symbol)
        day = _day(request.expiry_date)
        return {
            "strike_price_info": [
                {
                    "price": plain(call.strike),
                    "call_symbol": call.symbol,
                    "put_symbol": put.symbol,
                    "standard": True,
                }
                for _, call, put in self._market.chain(owner.symbol, day, day)
            ]
        }

    def _warrant_issuers(self, request: Any, asker: Asker) -> Fields:
        return {
            "issuer_info": [
                {"id": id, "name_cn": name, "name_en": name, "name_hk": name}
                for id, name in enumerate(_ISSUERS, 1)
            ]
        }

    def _warrant_list(self, request: Any, asker: Asker) -> Fields:
        owner = self.instrument(request.symbol)
        wanted = request.filter_config
        name = {number: name for name, number in warrant_orders().items()}.get(wanted.sort_by)
        if name is None or min(wanted.sort_offset, wanted.sort_count) < 0:
            raise _bad_parameter()
        listed = []
        for found in self._market.instruments("HK", "warrant"):
            if found.owner != owner.symbol:
                continue
            fields = self._warrant(found)
            issuer = 1 + found.id % len(_ISSUERS)
            bounds = 1 if float(fields["itm_otm"]) > 0 else 2
            for chosen, value in (
                (wanted.type, fields["type"]),
                (wanted.issuer, issuer),
                (wanted.expiry_date, _expiry_class(self._market.days_to(found))),
                (wanted.price_type, bounds),
                (wanted.status, fields["status"]),
            ):
                if chosen and value not in chosen:
                    break
            else:
                listed.append(fields)
        listed.sort(key=lambda fields: _sortable(fields[name]), reverse=wanted.sort_order == 1)
        start = wanted.sort_offset
        shown = listed[start : start + wanted.sort_count] if wanted.sort_count else listed[start:]
        return {"warrant_list": shown[:MOST_SYMBOLS], "total_count": len(listed)}

    def _warrant(self, found: Instrument) -> Fields:
        terms = WarrantTerms.of(self._market, found)
        quote = self._market.quote(found.symbol)
        change = quote.last - quote.prev_close
        return {
            "symbol": found.symbol,
            "name": found.name,
            "last_done": self._price(found.symbol)(quote.last),
            # Binary noise and all, as the vendor's.
            "change_rate": plain(change / quote.prev_close if quote.prev_close else 0.0),
            "change_val": plain(change),
            "volume": int(quote.volume),
            "turnover": money(quote.turnover),
            "expiry_date": _day_text(found.expiry),
            "strike_price": plain(found.strike),
            "upper_strike_price": "0",
            "lower_strike_price": "0",
            "outstanding_qty": plain(float(terms.outstanding)),
            "outstanding_ratio": _fraction(terms.outstanding_ratio),
            "premium": _fraction(terms.premium),
            "itm_otm": _fraction(terms.in_the_money),
            "implied_volatility": _fraction(terms.implied_volatility),
            "delta": plain(terms.delta),
            "call_price": plain(terms.recovery_price),
            "to_call_price": _fraction(terms.to_recovery),
            "effective_leverage": plain(round(terms.leverage * terms.delta, 6)),
            "leverage_ratio": plain(terms.leverage),
            "conversion_ratio": plain(terms.conversion),
            "balance_point": plain(terms.break_even),
            "status": _NORMAL_WARRANT,
            "type": _CATEGORIES[found.right][0],
        }

    # Money.

    def _flows(self, symbol: str, asker: Asker) -> tuple[Rows, npt.NDArray[np.float64]]:
        """Return the trades of the day, and their turnovers with the sign of their sides."""
        region = symbol.rpartition(".")[2]
        midnight = calendar.midnight_s(region, self._market.today(region))
        rows = self._rows(self._positions(symbol, 1 << 62, asker))
        rows = rows[rows["time_ns"] >= midnight * 10**9]
        return rows, rows["price"] * rows["volume"] * rows["side"]

    def _capital_flow(self, request: Any, asker: Asker) -> Fields:
        symbol = self.instrument(request.symbol).symbol
        rows, flows = self._flows(symbol, asker)
        minutes = rows["time_ns"] // 60_000_000_000 * 60
        last = np.flatnonzero(np.r_[minutes[1:] != minutes[:-1], True][: len(minutes)])
        return {
            "symbol": symbol,
            "capital_flow_lines": [
                {"inflow": money(inflow), "timestamp": minute}
                for inflow, minute in zip(
                    flows.cumsum()[last].tolist(), minutes[last].tolist(), strict=True
                )
            ],
        }

    def _capital_distribution(self, request: Any, asker: Asker) -> Fields:
        symbol = self.instrument(request.symbol).symbol
        rows, flows = self._flows(symbol, asker)
        sizes = np.abs(flows)
        classes = (sizes >= _LARGE).astype(np.int64) + (sizes >= _MEDIUM)

        def parts(mine: npt.NDArray[np.bool_]) -> Fields:
            return {
                name: money(float(sizes[mine & (classes == i)].sum()))
                for i, name in enumerate(("small", "medium", "large"))
            }

        return {
            "symbol": symbol,
            "timestamp": int(rows["time_ns"][-1]) // 10**9 if len(rows) else 0,
            "capital_in": parts(flows > 0),
            "capital_out": parts(flows < 0),
        }

    def _calc_indexes(self, request: Any, asker: Asker) -> Fields:
        found = self._several(request.symbols)
        wanted = set(request.calc_index)
        names = [name for name, number in calc_indexes().items() if number in wanted]
        if not names or len(names) < len(wanted):
            raise _bad_parameter()
        listed = []
        for one in found:
            values = self._indexes(one, asker)
            listed.append(
                {"symbol": one.symbol} | {name: values[name] for name in names if name in values}
            )
        return {"security_calc_index": listed}

    def _indexes(self, found: Instrument, asker: Asker) -> Fields:
        """Return all that can be said of a security."""
        market, symbol = self._market, found.symbol
        regular = self._regular(found)
        last, before = float(regular["last_done"]), float(regular["prev_close"])
        terms = Fundamentals.of(market, found)
        closes = market.last_bars(symbol, "1d", 130)[0]["close"].tolist()
        year = market.last_bars(symbol, "1y", 1)[0]["open"].tolist()[0]
        minutes = market.last_bars(symbol, "1m", 6)[0]["close"].tolist()

        def percent(part: float, whole: float) -> str:
            return f"{part / whole * 100:.2f}" if whole else ""

        def since(price: float) -> str:
            return percent(last - price, price)

        _, flows = self._flows(symbol, asker)
        fields: Fields = {
            "last_done": regular["last_done"],
            "change_val": f"{last - before:.3f}",
            "change_rate": since(before),
            "volume": regular["volume"],
            "turnover": regular["turnover"],
            "ytd_change_rate": since(year),
            "turnover_rate": percent(regular["volume"], terms.shares),
            "total_market_value": money(last * terms.shares),
            "capital_flow": money(float(flows.sum())),
            "amplitude": percent(float(regular["high"]) - float(regular["low"]), before),
            "volume_ratio": f"{market.figure(symbol, 'volumeRatio', 0.5, 2):.2f}",
            "pe_ttm_ratio": f"{last / (terms.eps_ttm or 1):.2f}",
            "pb_ratio": f"{last / terms.bps:.2f}",
            "dividend_ratio_ttm": f"{terms.dividend_yield:.2f}",
            "five_day_change_rate": since(closes[-6]) if len(closes) > 5 else "",
            "ten_day_change_rate": since(closes[-11]) if len(closes) > 10 else "",
            "half_year_change_rate": since(closes[0]),
            "five_minutes_change_rate": since(minutes[0]),
        }
        if found.kind == "option":
            option = OptionTerms.of(market, found)
            fields |= {
                "expiry_date": _day_text(found.expiry),
                "strike_price": plain(found.strike),
                "premium": plain(option.premium),
                "implied_volatility": plain(option.implied_volatility),
                "open_interest": option.open_interest,
                "delta": plain(option.delta),
                "gamma": plain(option.gamma),
                # A hundred times, as the vendor has them.
                "theta": plain(round(option.theta * 100, 6)),
                "vega": plain(round(option.vega * 100, 6)),
                "rho": plain(round(option.rho * 100, 6)),
            }
        elif found.kind == "warrant":
            warrant = self._warrant(found)
            fields |= {name: warrant[name] for name in _OF_WARRANTS}
            fields |= {name: f"{float(warrant[name]) * 100:.2f}" for name in _RATIOS}
            fields["outstanding_qty"] = int(warrant["outstanding_qty"])
            fields["warrant_delta"] = warrant["delta"]
        return fields


_ANSWERS: dict[Command, Callable[[Answers, Any, Asker], Fields]] = {
    Command.PROFILE: Answers._profile,
    Command.TRADING_SESSIONS: Answers._trading_sessions,
    Command.TRADING_DAYS: Answers._trading_days,
    Command.STATIC_INFO: Answers._static_info,
    Command.QUOTES: Answers._quotes,
    Command.OPTION_QUOTES: Answers._option_quotes,
    Command.WARRANT_QUOTES: Answers._warrant_quotes,
    Command.DEPTH: Answers._depth,
    Command.BROKERS: Answers._brokers,
    Command.PARTICIPANTS: Answers._participants,
    Command.TRADES: Answers._trades,
    Command.INTRADAY: Answers._intraday,
    Command.CANDLESTICKS: Answers._candlesticks,
    Command.OPTION_EXPIRIES: Answers._option_expiries,
    Command.OPTION_STRIKES: Answers._option_strikes,
    Command.WARRANT_ISSUERS: Answers._warrant_issuers,
    Command.WARRANT_LIST: Answers._warrant_list,
    Command.CAPITAL_FLOW: Answers._capital_flow,
    Command.CAPITAL_DISTRIBUTION: Answers._capital_distribution,
    Command.CALC_INDEXES: Answers._calc_indexes,
    Command.HISTORY_CANDLESTICKS: Answers._history_candlesticks,
}

_OF_WARRANTS = (
    "expiry_date", "strike_price", "upper_strike_price", "lower_strike_price", "call_price",
    "effective_leverage", "leverage_ratio", "conversion_ratio", "balance_point",
)  # fmt: skip
#: Fractions as terms of a warrant, percent as indexes.
_RATIOS = ("outstanding_ratio", "premium", "itm_otm", "implied_volatility", "to_call_price")


def _clock(minute: int) -> int:
    return minute // 60 * 100 + minute % 60


def _day(text: str) -> date:
    try:
        if len(text) != 8 or not "1900" <= text < "3000":
            raise ValueError
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        raise Refused(
            Status.SERVER_ERROR, 301600, f"expected a day as YYYYMMDD, got {text!r}"
        ) from None


def _fraction(percent: float) -> str:
    return plain(round(percent / 100, 6))


def _day_text(day: date | None) -> str:
    return "" if day is None else f"{day:%Y%m%d}"


def _epoch_s(region: str, day: str, minute: str = "0000") -> int:
    """Return when the clock of a region shows a minute HHMM of a day."""
    if len(minute) != 4 or not (minute.isascii() and minute.isdigit()):
        raise _bad_parameter()
    hours, minutes = int(minute[:2]), int(minute[2:])
    if hours > 23 or minutes > 59:
        raise _bad_parameter()
    clock = time(hours, minutes, tzinfo=calendar.zone(region))
    return int(datetime.combine(_day(day), clock).timestamp())


def _expiry_class(days: int) -> int:
    """Return 1 for less than three months, 2 for six, 3 for twelve, 4 for more."""
    return 1 + (days >= 91) + (days >= 183) + (days > 365)


def _sortable(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
