"""Answers to requests for data, from the market: everything that is asked and not subscribed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from fastfeed.protocols.opend_codes import ADJUSTMENTS, REGIONS, SUB_TYPES, canonical
from fastfeed.protocols.opend_messages import (
    GET_DELAY_STATISTICS,
    GET_USER_INFO,
    NAMES,
    QOT_GET_BASIC_QOT,
    QOT_GET_BROKER,
    QOT_GET_FUTURE_INFO,
    QOT_GET_KL,
    QOT_GET_MARKET_STATE,
    QOT_GET_OPTION_CHAIN,
    QOT_GET_ORDER_BOOK,
    QOT_GET_PLATE_SECURITY,
    QOT_GET_PLATE_SET,
    QOT_GET_RT,
    QOT_GET_SECURITY_SNAPSHOT,
    QOT_GET_STATIC_INFO,
    QOT_GET_USER_SECURITY,
    QOT_GET_USER_SECURITY_GROUP,
    QOT_MODIFY_USER_SECURITY,
    QOT_REQUEST_HISTORY_KL,
    QOT_REQUEST_HISTORY_KL_QUOTA,
    QOT_REQUEST_REHAB,
    QOT_REQUEST_TRADE_DATE,
    message_class,
)
from fastfeed.sim import calendar
from fastfeed.sim import opend_records as records
from fastfeed.sim.bars import INTRADAY_S
from fastfeed.sim.instruments import Instrument
from fastfeed.sim.market import Market
from fastfeed.sim.opend_limits import HistoryQuota, RateLimits, Refused
from fastfeed.sim.watchlists import Watchlists

__all__ = ["USER_ID", "Answers", "Asker"]

USER_ID = 100001
_ROWS = 1000
_SECURITIES = 400
_FUTURES = 200
_CHAIN_DAYS = 30
_CALENDAR_DAYS = 3660
_PAGE = 50_000  # most bars of a page, asked for or not
_TRADE_MARKETS = {
    1: "HK", 2: "US", 3: "SH", 4: "SH", 5: "HK", 6: "JP", 7: "SG", 8: "SG", 9: "MY", 10: "JP",
}  # fmt: skip

Fields = dict[str, Any]


class Asker(Protocol):
    """Who asks."""

    def has(self, symbol: str, kind: int) -> bool:
        """Say whether a type of data of a symbol is subscribed."""

    def has_details(self, symbol: str) -> bool:
        """Say whether the orders of books were subscribed."""


class Answers:
    """Answers requests by their protocol id.

    Parameters
    ----------
    market : Market
    limits : RateLimits
    history : HistoryQuota
    watchlists : Watchlists
    quota : int
        Of subscriptions, as told.
    """

    def __init__(
        self,
        market: Market,
        limits: RateLimits,
        history: HistoryQuota,
        watchlists: Watchlists,
        *,
        quota: int,
    ) -> None:
        self._market = market
        self._limits = limits
        self._history = history
        self._watchlists = watchlists
        self._quota = quota

    def answer(self, proto: int, asker: Asker, body: bytes) -> Any:
        """Return the reply, None where the protocol id is not known here.

        Raises
        ------
        Refused
            The request is answered with an error.
        DecodeError
            The request is broken.
        """
        if proto not in _ANSWERS:
            return None
        name, method = NAMES[proto], _ANSWERS[proto]
        c2s = message_class(f"{name}.Request").FromString(body).c2s
        # Further pages of a history are free.
        if not (proto == QOT_REQUEST_HISTORY_KL and c2s.nextReqKey):
            self._limits.check(proto)
        s2c = method(self, asker, c2s)
        return message_class(f"{name}.Response")(retType=0, retMsg="", errCode=0, s2c=s2c)

    def instrument(self, security: Any) -> Instrument:
        """Return what a Security names, or refuse it."""
        symbol = canonical(security.market, security.code)
        found = self._market.find(symbol)
        if found is None:
            raise Refused(f"unknown security: {symbol}")
        return found

    def subscribed(self, asker: Asker, security: Any, kind: int, name: str) -> Instrument:
        """Return what a Security names, or refuse it where it is not subscribed."""
        found = self.instrument(security)
        if not asker.has(found.symbol, kind):
            raise Refused(f"please subscribe to {name} of {found.symbol} first")
        return found

    def _several(self, securities: Sequence[Any], limit: int = _SECURITIES) -> list[Instrument]:
        if not 1 <= len(securities) <= limit:
            raise Refused(f"expected 1 to {limit} securities, got {len(securities)}")
        return [self.instrument(security) for security in securities]

    # From the cache of what is subscribed.

    def _basic_qot(self, asker: Asker, c2s: Any) -> Fields:
        found = [self.subscribed(asker, s, SUB_TYPES["quotes"], "quotes") for s in c2s.securityList]
        return {"basicQotList": [records.basic_qot(self._market, f) for f in found]}

    def _kl(self, asker: Asker, c2s: Any) -> Fields:
        interval = self._interval(c2s)
        found = self.subscribed(
            asker, c2s.security, SUB_TYPES[f"bars:{interval}"], f"bars ({interval})"
        )
        if not 1 <= c2s.reqNum <= _ROWS:
            raise Refused(f"expected 1 to {_ROWS} bars, got {c2s.reqNum}")
        bars, closes = self._market.last_bars(found.symbol, interval, c2s.reqNum, c2s.rehabType)
        rows = records.kline_rows(interval, found.region, bars.tolist(), closes.tolist())
        return {
            "security": records.security_fields(found.symbol), "klList": rows, "name": found.name
        }  # fmt: skip

    def _interval(self, c2s: Any) -> str:
        interval = records.INTERVAL_OF_KL_TYPE.get(c2s.klType)
        if interval is None or c2s.rehabType not in ADJUSTMENTS.values():
            raise Refused(f"no bars of type {c2s.klType}, adjusted by {c2s.rehabType}")
        return interval

    def _rt(self, asker: Asker, c2s: Any) -> Fields:
        found = self.subscribed(asker, c2s.security, SUB_TYPES["timeshare"], "the minute line")
        return {
            "security": records.security_fields(found.symbol),
            "rtList": records.time_share(self._market, found),
            "name": found.name,
        }

    def _order_book(self, asker: Asker, c2s: Any) -> Fields:
        odd = c2s.orderBookType == 1
        kind = SUB_TYPES["odd_books" if odd else "books"]
        found = self.subscribed(asker, c2s.security, kind, "the order book")
        details = asker.has_details(found.symbol)
        return records.book(self._market, found, max(c2s.num, 0), odd_lots=odd, details=details)

    def _broker(self, asker: Asker, c2s: Any) -> Fields:
        found = self.subscribed(asker, c2s.security, SUB_TYPES["brokers"], "the broker queue")
        details = asker.has_details(found.symbol)
        return records.broker_queues(self._market, found, details=details)

    # History.

    def _history_kl(self, asker: Asker, c2s: Any) -> Fields:
        interval = self._interval(c2s)
        if c2s.session not in {0, 1, 2, 3}:
            raise Refused(f"no history of session {c2s.session}")
        found = self.instrument(c2s.security)
        shift = INTRADAY_S.get(interval, 0)
        begin = _epoch_s(found.region, c2s.beginTime) - shift
        end = _epoch_s(found.region, c2s.endTime, end=True) - shift
        if c2s.nextReqKey:
            if len(c2s.nextReqKey) != 16 or not c2s.nextReqKey.startswith(b"fastfeed"):
                raise Refused("expected the nextReqKey of the page before")
            begin = int.from_bytes(c2s.nextReqKey[8:], "little")
        self._history.take(found.symbol)
        limit = min(c2s.maxAckKLNum, _PAGE) if c2s.maxAckKLNum > 0 else _PAGE
        bars, closes = self._market.bars_between(
            found.symbol, interval, begin, end, limit + 1, c2s.rehabType
        )
        fields = c2s.needKLFieldsFlag if c2s.needKLFieldsFlag else 1023
        answer: Fields = {
            "security": records.security_fields(found.symbol),
            "klList": records.kline_rows(
                interval,
                found.region,
                bars[:limit].tolist(),
                closes[:limit].tolist(),
                fields=fields,
            ),
            "name": found.name,
        }
        if len(bars) > limit:
            answer["nextReqKey"] = b"fastfeed" + int(bars["start_s"][limit]).to_bytes(8, "little")
        return answer

    def _history_quota(self, asker: Asker, c2s: Any) -> Fields:
        asked = self._history.asked.items() if c2s.bGetDetail else ()
        return {
            "usedQuota": len(self._history.asked),
            "remainQuota": self._history.remaining,
            "detailList": [
                {
                    "security": records.security_fields(symbol),
                    "requestTime": records.clock_text("HK", at),
                    "requestTimeStamp": int(at),
                    "name": found.name if (found := self._market.find(symbol)) else "",
                }
                for symbol, at in asked
            ],
        }

    def _rehab(self, asker: Asker, c2s: Any) -> Fields:
        found = self.instrument(c2s.security)
        rows = self._market.rehabs(found.symbol)
        return {"rehabList": [records.rehab(row, found.region) for row in rows]}

    # What there is.

    def _static_info(self, asker: Asker, c2s: Any) -> Fields:
        found = []
        for security in c2s.securityList:
            one = self._market.find(canonical(security.market, security.code))
            if one is not None:  # unknown ones are left out
                found.append(one)
        if not c2s.securityList:
            kind = records.KIND_OF_SECURITY_TYPE.get(c2s.secType)
            if c2s.secType and kind is None:
                raise Refused(f"no securities of type {c2s.secType}")
            region = REGIONS.get(c2s.market, "none") if c2s.market else None
            found = self._market.instruments(region, kind)
        return {"staticInfoList": [records.static_info(one) for one in found]}

    def _snapshot(self, asker: Asker, c2s: Any) -> Fields:
        found = self._several(c2s.securityList)
        return {"snapshotList": [records.snapshot(self._market, one) for one in found]}

    def _plate_set(self, asker: Asker, c2s: Any) -> Fields:
        plates = self._market.plates(REGIONS.get(c2s.market, ""), c2s.plateSetType)
        return {
            "plateInfoList": [
                {
                    "plate": records.security_fields(plate.symbol),
                    "name": plate.name,
                    "plateType": plate.kind,
                }
                for plate in plates
            ]
        }

    def _plate_security(self, asker: Asker, c2s: Any) -> Fields:
        plate = canonical(c2s.plate.market, c2s.plate.code)
        members = self._market.members(plate)
        if members is None:
            raise Refused(f"unknown plate: {plate}")
        return {"staticInfoList": [records.static_info(one) for one in members]}

    def _option_chain(self, asker: Asker, c2s: Any) -> Fields:
        owner = self.instrument(c2s.owner)
        first = _day(c2s.beginTime)
        last = _day(c2s.endTime)
        if (last - first).days > _CHAIN_DAYS:
            raise Refused(f"expected at most {_CHAIN_DAYS} days, got {(last - first).days}")
        days: dict[date, list[Fields]] = {}
        price = self._market.quote(owner.symbol).last
        for day, call, put in self._market.chain(owner.symbol, first, last):
            item = {
                side: records.static_info(option)
                for side, option in (("call", call), ("put", put))
                if c2s.type in {0, 1 if side == "call" else 2}
                and c2s.condition in {0, 1 if (option.strike < price) == (side == "call") else 2}
                and self._passes(option, c2s.dataFilter)
            }
            if item:
                days.setdefault(day, []).append(item)
        return {
            "optionChain": [
                {
                    "strikeTime": records.day_text(day),
                    "option": items,
                    "strikeTimestamp": float(calendar.midnight_s(owner.region, day)),
                }
                for day, items in days.items()
            ]
        }

    def _passes(self, option: Instrument, wanted: Any) -> bool:
        terms = records.option_terms(self._market, option) | {
            "vol": self._market.quote(option.symbol).volume
        }
        for field, value in wanted.ListFields():
            name = field.name[:-3]
            have = terms.get(name, 0)
            if have < value if field.name.endswith("Min") else have > value:
                return False
        return True

    def _futures(self, asker: Asker, c2s: Any) -> Fields:
        found = self._several(c2s.securityList, _FUTURES)
        for one in found:
            if one.kind != "future":
                raise Refused(f"not a future: {one.symbol}")
        return {"futureInfoList": [self._future_info(one) for one in found]}

    def _future_info(self, found: Instrument) -> Fields:
        hours = calendar.sessions(found.region)
        return {
            "name": found.name,
            "security": records.security_fields(found.symbol),
            "lastTradeTime": records.day_text(found.expiry),
            "lastTradeTimestamp": float(calendar.midnight_s(found.region, found.expiry))
            if found.expiry
            else 0.0,
            "ownerOther": "",
            "exchange": f"{found.region} exchange",
            "contractType": "index",
            "contractSize": float(found.lot_size),
            "contractSizeUnit": "index points",
            "quoteCurrency": {"HK": "HKD", "JP": "JPY", "SG": "SGD"}.get(found.region, "USD"),
            "minVar": found.spread,
            "minVarUnit": "index points",
            "quoteUnit": "index points",
            "tradeTime": [{"begin": float(begin), "end": float(end)} for begin, end in hours],
            "timeZone": calendar.zone(found.region).key,
            "exchangeFormatUrl": "",
        }

    def _trade_dates(self, asker: Asker, c2s: Any) -> Fields:
        if c2s.HasField("security"):
            region = self.instrument(c2s.security).region
        elif c2s.market in _TRADE_MARKETS:
            region = _TRADE_MARKETS[c2s.market]
        else:
            raise Refused(f"no trading days of market {c2s.market}")
        first, last = _day(c2s.beginTime), _day(c2s.endTime)
        if (last - first).days > _CALENDAR_DAYS:
            raise Refused(f"expected at most {_CALENDAR_DAYS} days, got {(last - first).days}")
        days = calendar.trading_days(region, first, last) if first <= last else ()
        return {
            "tradeDateList": [
                {
                    "time": records.day_text(day),
                    "timestamp": float(calendar.midnight_s(region, day)),
                    "tradeDateType": calendar.day_kind(region, day),
                }
                for day in days
            ]
        }

    def _market_states(self, asker: Asker, c2s: Any) -> Fields:
        return {
            "marketInfoList": [
                {
                    "security": records.security_fields(one.symbol),
                    "name": one.name,
                    "marketState": 15 if one.kind == "future" else 3,
                }
                for one in self._several(c2s.securityList)
            ]
        }

    # The user.

    def _user_groups(self, asker: Asker, c2s: Any) -> Fields:
        if c2s.groupType not in {1, 2, 3}:
            raise Refused(f"no groups of type {c2s.groupType}")
        return {
            "groupList": [
                {"groupName": name, "groupType": 1 if custom else 2}
                for name, custom in self._watchlists.names()
                if c2s.groupType in {3, 1 if custom else 2}
            ]
        }

    def _user_securities(self, asker: Asker, c2s: Any) -> Fields:
        symbols = self._watchlists.symbols(c2s.groupName)
        if symbols is None:
            raise Refused(f"unknown group: {c2s.groupName}")
        found = [self._market.find(symbol) for symbol in symbols]
        return {"staticInfoList": [records.static_info(one) for one in found if one]}

    def _modify_user_securities(self, asker: Asker, c2s: Any) -> Fields:
        if not self._watchlists.is_custom(c2s.groupName):
            raise Refused(f"not a group of the user's: {c2s.groupName}")
        symbols = [one.symbol for one in self._several(c2s.securityList)]
        if c2s.op == 1:
            self._watchlists.add(c2s.groupName, symbols)
        elif c2s.op == 2:
            self._watchlists.delete(symbols)
        elif c2s.op == 3:
            self._watchlists.move_out(c2s.groupName, symbols)
        else:
            raise Refused(f"unknown operation {c2s.op}")
        return {}

    def _user_info(self, asker: Asker, c2s: Any) -> Fields:
        level2 = (
            "hkQotRight", "usQotRight", "cnQotRight", "hkOptionQotRight", "hkFutureQotRight",
            "usFutureQotRight", "usOptionQotRight", "usIndexQotRight", "usOtcQotRight",
            "usCMEFutureQotRight", "usCBOTFutureQotRight", "usNYMEXFutureQotRight",
            "usCOMEXFutureQotRight", "usCBOEFutureQotRight", "sgFutureQotRight",
            "jpFutureQotRight", "shQotRight", "szQotRight", "ccQotRight", "sgStockQotRight",
            "myStockQotRight", "jpStockQotRight", "ecQotRight",
        )  # fmt: skip
        return dict.fromkeys(level2, 3) | {
            "nickName": "simulated",
            "avatarUrl": "",
            "apiLevel": "1",
            "isNeedAgreeDisclaimer": False,
            "userID": USER_ID,
            "updateType": 0,
            "webKey": "",
            "hasUSOptionQotRight": True,
            "subQuota": self._quota,
            "historyKLQuota": self._history.limit,
            "webJumpUrlHead": "",
            "userAttribution": 1,
            "updateWhatsNew": "",
            "isAppNNOrMM": True,
        }

    def _delays(self, asker: Asker, c2s: Any) -> Fields:
        bounds = [b for b in c2s.segmentList if b >= 0] or [2, 10, 100, 1000]
        kinds = set(c2s.typeList) or {1, 2, 3}
        answer: Fields = {}
        if 1 in kinds:
            counts = [10 * (len(bounds) - i) for i in range(len(bounds))]
            whole, seen, items = sum(counts), 0, []
            for begin, end, count in zip([0, *bounds], bounds, counts, strict=False):
                seen += count
                items.append(
                    {
                        "begin": begin,
                        "end": end,
                        "count": count,
                        "proportion": count / whole * 100,
                        "cumulativeRatio": seen / whole * 100,
                    }
                )
            answer["qotPushStatisticsList"] = [
                {"qotPushType": kind, "itemList": items, "delayAvg": 1.5, "count": whole}
                for kind in range(1, 5)
            ]
        if 2 in kinds:
            answer["reqReplyStatisticsList"] = [
                {
                    "protoID": QOT_GET_SECURITY_SNAPSHOT,
                    "count": 7,
                    "totalCostAvg": 12.5,
                    "openDCostAvg": 2.5,
                    "netDelayAvg": 10.0,
                    "isLocalReply": False,
                }
            ]
        return answer


_ANSWERS: dict[int, Callable[[Answers, Asker, Any], Fields]] = {
    GET_USER_INFO: Answers._user_info,
    GET_DELAY_STATISTICS: Answers._delays,
    QOT_GET_BASIC_QOT: Answers._basic_qot,
    QOT_GET_KL: Answers._kl,
    QOT_GET_RT: Answers._rt,
    QOT_GET_ORDER_BOOK: Answers._order_book,
    QOT_GET_BROKER: Answers._broker,
    QOT_REQUEST_HISTORY_KL: Answers._history_kl,
    QOT_REQUEST_HISTORY_KL_QUOTA: Answers._history_quota,
    QOT_REQUEST_REHAB: Answers._rehab,
    QOT_GET_STATIC_INFO: Answers._static_info,
    QOT_GET_SECURITY_SNAPSHOT: Answers._snapshot,
    QOT_GET_PLATE_SET: Answers._plate_set,
    QOT_GET_PLATE_SECURITY: Answers._plate_security,
    QOT_GET_OPTION_CHAIN: Answers._option_chain,
    QOT_GET_USER_SECURITY: Answers._user_securities,
    QOT_MODIFY_USER_SECURITY: Answers._modify_user_securities,
    QOT_GET_FUTURE_INFO: Answers._futures,
    QOT_REQUEST_TRADE_DATE: Answers._trade_dates,
    QOT_GET_USER_SECURITY_GROUP: Answers._user_groups,
    QOT_GET_MARKET_STATE: Answers._market_states,
}


def _day(text: str) -> date:
    try:
        day = datetime.fromisoformat(text.replace("/", "-")).date()
    except ValueError:
        day = date.min
    if not 1970 <= day.year < 9999:
        raise Refused(f"expected a date from 1970 on, got {text!r}")
    return day


def _epoch_s(region: str, text: str, *, end: bool = False) -> int:
    """Return the time of a market-local text; that of a date is its beginning or end."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"expected a date or a time, got {text!r}") from None
    if end and len(text) <= 10:
        when += timedelta(seconds=86399)
    try:
        return int(when.replace(tzinfo=calendar.zone(region)).timestamp())
    except (OverflowError, ValueError):
        raise Refused(f"expected a time from 1970 on, got {text!r}") from None
