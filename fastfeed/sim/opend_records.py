"""The market's quotes, bars, books and terms as OpenD's messages have them.

All functions return what a message is made from, in the fields' own names.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Any

from fastfeed.protocols.opend_codes import INTERVALS, security
from fastfeed.sim import calendar
from fastfeed.sim.bars import INTRADAY_S, Rehab
from fastfeed.sim.instruments import Instrument
from fastfeed.sim.market import Level, Market, Place
from fastfeed.sim.terms import OptionTerms, WarrantTerms

__all__ = [
    "INTERVAL_OF_KL_TYPE",
    "INTERVAL_OF_SUB_TYPE",
    "KIND_OF_SECURITY_TYPE",
    "KL_TYPES",
    "basic_qot",
    "book",
    "broker_queues",
    "clock_text",
    "day_text",
    "kline_rows",
    "option_terms",
    "rehab",
    "security_fields",
    "snapshot",
    "static_info",
    "time_share",
]

Fields = dict[str, Any]

KL_TYPES = {name: interval.kl_type for name, interval in INTERVALS.items()}
INTERVAL_OF_KL_TYPE = {interval.kl_type: name for name, interval in INTERVALS.items()}
INTERVAL_OF_SUB_TYPE = {interval.sub_type: name for name, interval in INTERVALS.items()}

#: Numbers of what a security is (SecurityType).
_SECURITY_TYPES = {
    "bond": 1, "stock": 3, "etf": 4, "warrant": 5, "index": 6, "plate": 7, "option": 8,
    "future": 10, "forex": 11, "crypto": 12,
}  # fmt: skip
KIND_OF_SECURITY_TYPE = {number: kind for kind, number in _SECURITY_TYPES.items()}
_RIGHTS = {"call": 1, "put": 2, "bull": 3, "bear": 4}
_EXCHANGES = {"HK": 1, "US": 5, "SH": 14, "SZ": 15, "SG": 17, "JP": 21, "MY": 20, "CC": 19}


@lru_cache(1 << 16)
def security_fields(symbol: str) -> Fields:
    """Return a Security."""
    market, code = security(symbol)
    return {"market": market, "code": code}


def clock_text(region: str, at_s: float) -> str:
    """Return a time as the clock of the market shows it."""
    return f"{calendar.local(region, at_s):%Y-%m-%d %H:%M:%S}"


def day_text(day: date | None) -> str:
    """Return a date, empty for none."""
    return "" if day is None else f"{day:%Y-%m-%d}"


def _volumes(volume: float, name: str = "volume", fine: str = "hpVolume") -> Fields:
    return {name: int(volume), fine: float(volume)}


def _percent(part: float, whole: float) -> float:
    return round(part / whole * 100, 3) if whole else 0.0


# Quotes.


def basic_qot(market: Market, found: Instrument) -> Fields:
    """Return a BasicQot."""
    quote = market.quote(found.symbol)
    fields: Fields = {
        "security": security_fields(found.symbol),
        "isSuspended": False,
        "listTime": day_text(found.listed),
        "priceSpread": found.spread,
        "updateTime": _milliseconds_text(found.region, quote.time_ns),
        "highPrice": quote.high,
        "openPrice": quote.open,
        "lowPrice": quote.low,
        "curPrice": quote.last,
        "lastClosePrice": quote.prev_close,
        "turnover": quote.turnover,
        "turnoverRate": _percent(quote.volume, _shares(market, found)),
        "amplitude": _percent(quote.high - quote.low, quote.prev_close),
        "darkStatus": 0,
        "listTimestamp": float(calendar.midnight_s(found.region, found.listed)),
        "updateTimestamp": quote.time_ns / 1e9,
        "secStatus": 1,
        "name": found.name,
        **_volumes(quote.volume),
        **_other_sessions(market, found),
    }
    if found.kind == "option":
        fields["optionExData"] = option_terms(market, found)
    elif found.kind == "future":
        fields["futureExData"] = {
            **_future_terms(market, found), "expiryDateDistance": market.days_to(found)
        }  # fmt: skip
    elif found.kind == "warrant":
        warrant = WarrantTerms.of(market, found)
        fields["warrantExData"] = {
            "delta": warrant.delta,
            "impliedVolatility": warrant.implied_volatility,
            "premium": warrant.premium,
        }
    return fields


def _milliseconds_text(region: str, time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{calendar.local(region, seconds):%Y-%m-%d %H:%M:%S}.{rest // 10**6:03}"


def _shares(market: Market, found: Instrument) -> float:
    return market.figure(found.symbol, "shares", 1e8, 1e10, 0)


def _other_sessions(market: Market, found: Instrument) -> Fields:
    """Return what happened outside of the regular hours: American stocks only."""
    if found.region != "US" or found.kind not in {"stock", "etf"}:
        return {}
    close = market.quote(found.symbol).prev_close
    sessions = {}
    for name in ("preMarket", "afterMarket", "overnight"):
        price = round(close * market.figure(found.symbol, name, 0.98, 1.02, 4), 2)
        volume = int(market.figure(found.symbol, name + "Volume", 1e3, 1e6, 0))
        sessions[name] = {
            "price": price,
            "highPrice": round(price * 1.01, 2),
            "lowPrice": round(price * 0.99, 2),
            "volume": volume,
            "turnover": round(price * volume, 2),
            "changeVal": round(price - close, 2),
            "changeRate": _percent(price - close, close),
            "amplitude": 2.0,
        }
    return sessions


def option_terms(market: Market, found: Instrument) -> Fields:
    """Return an OptionBasicQotExData, which is also a part of the snapshot's block."""
    symbol = found.symbol
    terms = OptionTerms.of(market, found)
    return {
        "strikePrice": found.strike,
        "contractSize": found.lot_size,
        "openInterest": terms.open_interest,
        "impliedVolatility": terms.implied_volatility,
        "premium": terms.premium,
        "delta": terms.delta,
        "gamma": terms.gamma,
        "vega": terms.vega,
        "theta": terms.theta,
        "rho": terms.rho,
        **({"netOpenInterest": int(market.figure(symbol, "net", -500, 500, 0))} if found.region == "HK" else {}),
        "expiryDateDistance": market.days_to(found),
        "contractNominalValue": round(found.strike * found.lot_size, 2),
        "ownerLotMultiplier": 1.0,
        "optionAreaType": 1,
        "contractMultiplier": float(found.lot_size),
        "contractSizeFloat": float(found.lot_size),
        "indexOptionType": 0,
    }  # fmt: skip


def _future_terms(market: Market, found: Instrument) -> Fields:
    return {
        "lastSettlePrice": market.figure(found.symbol, "settle", 0.98, 1.02, 4) * found.price,
        "position": int(market.figure(found.symbol, "position", 1e3, 1e6, 0)),
        "positionChange": int(market.figure(found.symbol, "change", -1e3, 1e3, 0)),
    }


# Bars and the minute line.


def kline_rows(
    interval: str,
    region: str,
    bars: Iterable[tuple[Any, ...]],
    closes: Iterable[float] | None = None,
    *,
    fields: int = 1023,
) -> list[Fields]:
    """Return KLine rows; intraday bars are labelled with their end.

    Parameters
    ----------
    interval, region : str
    bars : rows of a BAR array
    closes : floats, optional
        The close before each bar. None: a push, which does not tell.
    fields : int
        Bits of KLFields.
    """
    rows = []
    shift = INTRADAY_S.get(interval, 0)
    befores = iter(closes) if closes is not None else None
    for start_s, opened, high, low, close, volume, turnover in bars:
        before = next(befores) if befores is not None else 0.0
        values = (
            (1, "highPrice", high),
            (2, "openPrice", opened),
            (4, "lowPrice", low),
            (8, "closePrice", close),
            (16, "lastClosePrice", before),
            (32, "volume", int(volume)),
            (64, "turnover", turnover),
            (128, "turnoverRate", 0.0 if shift else round(volume / 1e9, 6)),
            (256, "pe", 0.0 if shift else 15.5),
            (512, "changeRate", None if befores is None else _percent(close - before, before)),
        )
        row = {name: value for bit, name, value in values if fields & bit and value is not None}
        row["time"] = clock_text(region, start_s + shift)
        row["isBlank"] = False
        row["timestamp"] = float(start_s + shift)
        if fields & 32:
            row["hpVolume"] = volume
        rows.append(row)
    return rows


def time_share(market: Market, found: Instrument, *, newest: bool = False) -> list[Fields]:
    """Return TimeShare points of the day, or the newest one."""
    points = market.minute_line(found.symbol, newest=newest)
    before = market.quote(found.symbol).prev_close
    rows = []
    for point in points:
        row = {
            "time": clock_text(found.region, point.time_s),
            "minute": point.minute,
            "isBlank": point.blank,
            "price": point.price,
            "lastClosePrice": before,
            "turnover": point.turnover,
            "timestamp": float(point.time_s),
            **_volumes(point.volume),
        }
        if found.kind != "option":
            row["avgPrice"] = point.average
        rows.append(row)
    return rows


# Books and queues.


def book(
    market: Market, found: Instrument, depth: int, *, odd_lots: bool = False, details: bool = False
) -> Fields:
    """Return the s2c of an order book, pushed or pulled."""
    details = details or found.kind == "crypto"
    bids, asks = market.book(found.symbol, depth, odd_lots=odd_lots)
    time_ns = market.quote(found.symbol).time_ns
    text = _milliseconds_text(found.region, time_ns)
    return {
        "security": security_fields(found.symbol),
        "orderBookAskList": [_level(level, details) for level in asks],
        "orderBookBidList": [_level(level, details) for level in bids],
        "svrRecvTimeBid": text,
        "svrRecvTimeBidTimestamp": time_ns / 1e9,
        "svrRecvTimeAsk": text,
        "svrRecvTimeAskTimestamp": time_ns / 1e9,
        "name": found.name,
        "orderBookType": int(odd_lots),
    }


def _level(level: Level, details: bool) -> Fields:
    fields = {
        "price": level.price,
        "orederCount": len(level.orders),
        **_volumes(level.volume),
    }
    if details:
        fields["detailList"] = [{"orderID": id, "volume": int(v)} for id, v in level.orders]
    return fields


def broker_queues(market: Market, found: Instrument, *, details: bool = False) -> Fields:
    """Return the s2c of broker queues, pushed or pulled."""
    bids, asks = market.brokers(found.symbol)
    return {
        "security": security_fields(found.symbol),
        "brokerAskList": [_place(place, details) for place in asks],
        "brokerBidList": [_place(place, details) for place in bids],
        "name": found.name,
    }


def _place(place: Place, details: bool) -> Fields:
    fields: Fields = {"id": place.id, "name": place.name, "pos": place.level}
    if details:
        fields |= {"orderID": place.order, "volume": int(place.volume)}
    return fields


# Terms.


def static_info(found: Instrument) -> Fields:
    """Return a SecurityStaticInfo."""
    fields: Fields = {
        "basic": {
            "security": security_fields(found.symbol),
            "id": found.id,
            "lotSize": found.lot_size,
            "secType": _SECURITY_TYPES[found.kind],
            "name": found.name,
            "listTime": day_text(found.listed),
            "delisting": False,
            "listTimestamp": float(calendar.midnight_s(found.region, found.listed)),
            "exchType": 8 if (found.kind, found.region) == ("option", "US") else _EXCHANGES.get(found.region, 0),
        }
    }  # fmt: skip
    if found.kind == "warrant":
        fields["warrantExData"] = {
            "type": _RIGHTS[found.right], "owner": security_fields(found.owner)
        }  # fmt: skip
    elif found.kind == "option":
        assert found.expiry is not None
        fields["optionExData"] = {
            "type": _RIGHTS[found.right],
            "owner": security_fields(found.owner),
            "strikeTime": day_text(found.expiry),
            "strikePrice": found.strike,
            "suspend": False,
            "market": found.region,
            "strikeTimestamp": float(calendar.midnight_s(found.region, found.expiry)),
            "indexOptionType": 0,
            "expirationCycle": 2,
            "optionStandardType": 1,
            "optionSettlementMode": 2,
        }
    elif found.kind == "future":
        fields["futureExData"] = {
            "lastTradeTime": day_text(found.expiry),
            "lastTradeTimestamp": _expiry_s(found),
            "isMainContract": found.code.endswith("main"),
        }
    return fields


def _expiry_s(found: Instrument) -> float:
    return float(calendar.midnight_s(found.region, found.expiry)) if found.expiry else 0.0


def rehab(row: Rehab, region: str) -> Fields:
    """Return a Rehab."""
    forward, backward = row.forward(), row.backward()
    fields: Fields = {
        "time": day_text(row.day),
        "companyActFlag": 1 if row.split else 64,
        "fwdFactorA": forward[0],
        "fwdFactorB": forward[1],
        "bwdFactorA": backward[0],
        "bwdFactorB": backward[1],
        "timestamp": float(calendar.midnight_s(region, row.day)),
    }
    if row.split:
        fields |= {"splitBase": 1, "splitErt": row.split}
    else:
        fields["dividend"] = row.dividend
    return fields


# The snapshot.


def snapshot(market: Market, found: Instrument) -> Fields:
    """Return a Snapshot."""
    symbol = found.symbol
    quote = market.quote(symbol)
    bids, asks = market.book(symbol, 1)
    years, _ = market.last_bars(symbol, "1w", 52)
    highest = max(float(years["high"].max()), quote.high)
    lowest = min(float(years["low"].min()), quote.low)
    basic: Fields = {
        "security": security_fields(symbol),
        "type": _SECURITY_TYPES[found.kind],
        "isSuspend": False,
        "listTime": day_text(found.listed),
        "lotSize": found.lot_size,
        "priceSpread": found.spread,
        "updateTime": _milliseconds_text(found.region, quote.time_ns),
        "highPrice": quote.high,
        "openPrice": quote.open,
        "lowPrice": quote.low,
        "lastClosePrice": quote.prev_close,
        "curPrice": quote.last,
        "turnover": quote.turnover,
        "turnoverRate": _percent(quote.volume, _shares(market, found)),
        "listTimestamp": float(calendar.midnight_s(found.region, found.listed)),
        "updateTimestamp": quote.time_ns / 1e9,
        "enableMargin": True,
        "mortgageRatio": 60.0,
        "longMarginInitialRatio": 40.0,
        "enableShortSell": True,
        "shortSellRate": market.figure(symbol, "short", 0.1, 5),
        "shortAvailableVolume": int(market.figure(symbol, "sellable", 1e3, 1e6, 0)),
        "shortMarginInitialRatio": 60.0,
        "amplitude": _percent(quote.high - quote.low, quote.prev_close),
        "avgPrice": round(quote.turnover / quote.volume, 4) if quote.volume else quote.last,
        "bidAskRatio": market.figure(symbol, "ratio", -50, 50),
        "volumeRatio": market.figure(symbol, "volumeRatio", 0.5, 2),
        "highest52WeeksPrice": highest,
        "lowest52WeeksPrice": lowest,
        "highestHistoryPrice": round(highest * 1.2, 4),
        "lowestHistoryPrice": round(lowest * 0.8, 4),
        "secStatus": 1,
        "closePrice5Minute": quote.last,
        "name": found.name,
        **_volumes(quote.volume),
        **_other_sessions(market, found),
    }
    if asks:
        basic |= {"askPrice": asks[0].price, **_volumes(asks[0].volume, "askVol", "hpAskVol")}
    if bids:
        basic |= {"bidPrice": bids[0].price, **_volumes(bids[0].volume, "bidVol", "hpBidVol")}
    fields: Fields = {"basic": basic}
    if found.kind in _BLOCKS:
        name, block = _BLOCKS[found.kind]
        fields[name] = block(market, found)
    return fields


def _equity(market: Market, found: Instrument) -> Fields:
    shares = _shares(market, found)
    last = market.quote(found.symbol).last
    earned = market.figure(found.symbol, "earned", 0.01, 0.1, 4) * found.price
    worth = market.figure(found.symbol, "worth", 0.2, 1, 4) * found.price
    return {
        "issuedShares": int(shares),
        "issuedMarketVal": round(last * shares, 2),
        "netAsset": round(worth * shares, 2),
        "netProfit": round(earned * shares, 2),
        "earningsPershare": round(earned, 4),
        "outstandingShares": int(shares * 0.9),
        "outstandingMarketVal": round(last * int(shares * 0.9), 2),
        "netAssetPershare": round(worth, 4),
        "eyRate": _percent(earned, worth),
        "peRate": round(last / earned, 3),
        "pbRate": round(last / worth, 3),
        "peTTMRate": round(last / earned * 0.95, 3),
        "dividendTTM": round(earned / 4, 4),
        "dividendRatioTTM": _percent(earned / 4, last),
        "dividendLFY": round(earned / 5, 4),
        "dividendLFYRatio": _percent(earned / 5, last),
    }


def _trust(market: Market, found: Instrument) -> Fields:
    shares = _shares(market, found)
    last = market.quote(found.symbol).last
    return {
        "dividendYield": market.figure(found.symbol, "yield", 0.5, 4),
        "aum": round(last * shares, 2),
        "outstandingUnits": int(shares),
        "netAssetValue": round(last * 0.999, 4),
        "premium": 0.1,
        "assetClass": 1,
    }


def _warrant(market: Market, found: Instrument) -> Fields:
    symbol = found.symbol
    terms = WarrantTerms.of(market, found)
    return {
        "conversionRate": terms.conversion,
        "warrantType": _RIGHTS[found.right],
        "strikePrice": found.strike,
        "maturityTime": day_text(found.expiry),
        "endTradeTime": day_text(found.expiry),
        "owner": security_fields(found.owner),
        "recoveryPrice": terms.recovery_price,
        "streetVolumn": terms.outstanding,
        "issueVolumn": 100_000_000,
        "streetRate": terms.outstanding_ratio,
        "delta": terms.delta,
        "impliedVolatility": terms.implied_volatility,
        "premium": terms.premium,
        "maturityTimestamp": _expiry_s(found),
        "endTradeTimestamp": _expiry_s(found),
        "leverage": terms.leverage,
        "ipop": terms.in_the_money,
        "breakEvenPoint": terms.break_even,
        "conversionPrice": round(found.price * 100, 3),
        "priceRecoveryRatio": terms.to_recovery,
        "score": market.figure(symbol, "score", 0, 100),
        "upperStrikePrice": 0.0,
        "lowerStrikePrice": 0.0,
        "inLinePriceStatus": 0,
        "issuerCode": "SIM",
    }


def _option(market: Market, found: Instrument) -> Fields:
    return option_terms(market, found) | {
        "type": _RIGHTS[found.right],
        "owner": security_fields(found.owner),
        "strikeTime": day_text(found.expiry),
        "strikeTimestamp": _expiry_s(found),
    }


def _counts(market: Market, found: Instrument) -> Fields:
    names = ("raiseCount", "fallCount", "equalCount")
    return {name: int(market.figure(found.symbol, name, 0, 100, 0)) for name in names}


def _future(market: Market, found: Instrument) -> Fields:
    return _future_terms(market, found) | {
        "lastTradeTime": day_text(found.expiry),
        "lastTradeTimestamp": _expiry_s(found),
        "isMainContract": found.code.endswith("main"),
    }


# At most one block for a kind of security.
_BLOCKS = {
    "stock": ("equityExData", _equity),
    "etf": ("trustExData", _trust),
    "warrant": ("warrantExData", _warrant),
    "option": ("optionExData", _option),
    "index": ("indexExData", _counts),
    "plate": ("plateExData", _counts),
    "future": ("futureExData", _future),
}
