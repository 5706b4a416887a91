"""What OpenD's pulls of static data return: immutable records, made from its messages by the names below.

The same rules hold everywhere:

- symbols are canonical (``"700.HK"``);
- times are ns since 1970 UTC, in fields that end in ``_ns``; a text beside it (`update_time`) is the same time as
  OpenD wrote it, local to the market. Dates are text, ``"2026-11-24"``;
- enumerations are the names of the official Python client (``"STOCK"``, ``"MORNING"``); a number that has no
  name here is its digits, ``"38"``;
- what OpenD did not send is None, of a list an empty tuple. So are a date that is empty, and a security without a
  code.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from fastfeed.feeds.records import Convert, Maker, Of, nanoseconds
from fastfeed.protocols import opend_enums as enums
from fastfeed.protocols.opend_codes import KINDS, canonical
from fastfeed.protocols.opend_messages import text_of

__all__ = [
    "ConnectionSubscriptions",
    "DelayCount",
    "DelayStatistics",
    "EquityDetails",
    "ExtendedHours",
    "FutureDetails",
    "FutureInfo",
    "FutureTerms",
    "GlobalState",
    "HistoryQuota",
    "HistoryQuotaUse",
    "IndexDetails",
    "MarketState",
    "OptionChain",
    "OptionDetails",
    "OptionPair",
    "OptionTerms",
    "OrderDelay",
    "Plate",
    "PushDelay",
    "QuoteRights",
    "Rehab",
    "RequestDelay",
    "Snapshot",
    "StaticInfo",
    "SubscribedSymbols",
    "Subscriptions",
    "TradingDay",
    "TradingHours",
    "TrustDetails",
    "UserInfo",
    "WarrantDetails",
    "WarrantTerms",
    "WatchlistGroup",
    "record",
    "symbol_of",
]


def _seconds(path: str) -> Of:
    return Of(path, convert=nanoseconds)


def _date(path: str) -> Of:
    return Of(path, convert=lambda text: text_of(text) or None)


# the account and the gateway


class GlobalState(msgspec.Struct, frozen=True):
    """OpenD's state and the states of the markets."""

    quotes_logged_in: Annotated[bool, Of("qotLogined")]
    """False: no pushes come, OpenD has lost its quote server."""
    trade_logged_in: Annotated[bool, Of("trdLogined")]
    server_version: Annotated[int, Of("serverVer")]
    """Major * 100 + minor."""
    server_build: Annotated[int, Of("serverBuildNo")]
    server_time_ns: Annotated[int | None, _seconds("time")]
    """The quote server's clock, whole seconds."""
    local_time_ns: Annotated[int | None, _seconds("localTime")]
    """The clock of OpenD's machine."""
    program_status: Annotated[str | None, Of("programStatus.type", enums.PROGRAM_STATUS)]
    program_status_text: Annotated[str | None, Of("programStatus.strExtDesc")]
    connection_id: Annotated[int | None, Of("connID")]
    quote_server: Annotated[str | None, Of("qotSvrIpAddr")]
    trade_server: Annotated[str | None, Of("trdSvrIpAddr")]
    market_hk: Annotated[str, Of("marketHK", enums.MARKET_STATE)]
    market_us: Annotated[str, Of("marketUS", enums.MARKET_STATE)]
    market_sh: Annotated[str, Of("marketSH", enums.MARKET_STATE)]
    market_sz: Annotated[str, Of("marketSZ", enums.MARKET_STATE)]
    market_hk_future: Annotated[str, Of("marketHKFuture", enums.MARKET_STATE)]
    market_us_future: Annotated[str | None, Of("marketUSFuture", enums.MARKET_STATE)]
    market_sg_future: Annotated[str | None, Of("marketSGFuture", enums.MARKET_STATE)]
    market_jp_future: Annotated[str | None, Of("marketJPFuture", enums.MARKET_STATE)]
    market_sg: Annotated[str | None, Of("marketSG", enums.MARKET_STATE)]
    market_my: Annotated[str | None, Of("marketMY", enums.MARKET_STATE)]
    market_jp: Annotated[str | None, Of("marketJP", enums.MARKET_STATE)]


def _right(path: str) -> Of:
    return Of(path, enums.QUOTE_RIGHT)


class QuoteRights(msgspec.Struct, frozen=True):
    """The right to quotes, market by market."""

    hk_right: Annotated[str | None, _right("hkQotRight")]
    hk_option_right: Annotated[str | None, _right("hkOptionQotRight")]
    hk_future_right: Annotated[str | None, _right("hkFutureQotRight")]
    us_right: Annotated[str | None, _right("usQotRight")]
    us_option_right: Annotated[str | None, _right("usOptionQotRight")]
    has_us_option_right: Annotated[bool | None, Of("hasUSOptionQotRight")]
    us_index_right: Annotated[str | None, _right("usIndexQotRight")]
    us_otc_right: Annotated[str | None, _right("usOtcQotRight")]
    us_future_right: Annotated[str | None, _right("usFutureQotRight")]
    us_cme_future_right: Annotated[str | None, _right("usCMEFutureQotRight")]
    us_cbot_future_right: Annotated[str | None, _right("usCBOTFutureQotRight")]
    us_nymex_future_right: Annotated[str | None, _right("usNYMEXFutureQotRight")]
    us_comex_future_right: Annotated[str | None, _right("usCOMEXFutureQotRight")]
    us_cboe_future_right: Annotated[str | None, _right("usCBOEFutureQotRight")]
    cn_right: Annotated[str | None, _right("cnQotRight")]
    sh_right: Annotated[str | None, _right("shQotRight")]
    sz_right: Annotated[str | None, _right("szQotRight")]
    sg_right: Annotated[str | None, _right("sgStockQotRight")]
    sg_future_right: Annotated[str | None, _right("sgFutureQotRight")]
    jp_right: Annotated[str | None, _right("jpStockQotRight")]
    jp_future_right: Annotated[str | None, _right("jpFutureQotRight")]
    my_right: Annotated[str | None, _right("myStockQotRight")]
    crypto_right: Annotated[str | None, _right("ccQotRight")]
    event_contract_right: Annotated[str | None, _right("ecQotRight")]


class UserInfo(QuoteRights, frozen=True):
    """The account that OpenD is logged in with: its quotas and rights to quotes."""

    user_id: Annotated[int | None, Of("userID")]
    nick_name: Annotated[str | None, Of("nickName")]
    avatar_url: Annotated[str | None, Of("avatarUrl")]
    attribution: Annotated[str | None, Of("userAttribution", enums.USER_ATTRIBUTION)]
    needs_disclaimer: Annotated[bool | None, Of("isNeedAgreeDisclaimer")]
    subscription_quota: Annotated[int | None, Of("subQuota")]
    history_quota: Annotated[int | None, Of("historyKLQuota")]
    api_level: Annotated[str | None, Of("apiLevel")]


class DelayCount(msgspec.Struct, frozen=True):
    """One bar of a histogram of delays: from `begin_ms` up to, without, `end_ms`."""

    begin_ms: Annotated[int, Of("begin")]
    end_ms: Annotated[int, Of("end")]
    count: Annotated[int, Of("count")]
    proportion: Annotated[float, Of("proportion")]
    cumulative_proportion: Annotated[float, Of("cumulativeRatio")]


class PushDelay(msgspec.Struct, frozen=True):
    """Delays of one kind of push, in milliseconds."""

    kind: Annotated[str, Of("qotPushType", enums.DELAY_KIND)]
    count: Annotated[int, Of("count")]
    average_ms: Annotated[float, Of("delayAvg")]
    counts: Annotated[tuple[DelayCount, ...], Of("itemList")]


class RequestDelay(msgspec.Struct, frozen=True):
    """Delays of one kind of request, in milliseconds."""

    proto_id: Annotated[int, Of("protoID")]
    count: Annotated[int, Of("count")]
    total_ms: Annotated[float, Of("totalCostAvg")]
    opend_ms: Annotated[float, Of("openDCostAvg")]
    network_ms: Annotated[float, Of("netDelayAvg")]
    answered_locally: Annotated[bool, Of("isLocalReply")]


class OrderDelay(msgspec.Struct, frozen=True):
    """Delays of one order, in milliseconds."""

    order_id: Annotated[str, Of("orderID")]
    total_ms: Annotated[float, Of("totalCost")]
    opend_ms: Annotated[float, Of("openDCost")]
    network_ms: Annotated[float, Of("netDelay")]
    update_ms: Annotated[float, Of("updateCost")]


class DelayStatistics(msgspec.Struct, frozen=True):
    """OpenD's own record of delays."""

    pushes: Annotated[tuple[PushDelay, ...], Of("qotPushStatisticsList")]
    requests: Annotated[tuple[RequestDelay, ...], Of("reqReplyStatisticsList")]
    orders: Annotated[tuple[OrderDelay, ...], Of("placeOrderStatisticsList")]


class SubscribedSymbols(msgspec.Struct, frozen=True):
    """What is subscribed to one kind (``"ticks"``, ``"bars:1m"``)."""

    kind: Annotated[str, Of("subType", KINDS)]
    symbols: Annotated[tuple[str, ...], Of("securityList")]


class ConnectionSubscriptions(msgspec.Struct, frozen=True):
    """The subscriptions of one connection of OpenD."""

    own: Annotated[bool, Of("isOwnConnData")]
    """Whether the connection is the one that asked."""
    used_quota: Annotated[int, Of("usedQuota")]
    option_used_quota: Annotated[int | None, Of("optionUsedQuota")]
    security_firm: Annotated[int | None, Of("securityFirm")]
    subscribed: Annotated[tuple[SubscribedSymbols, ...], Of("subInfoList")]


class Subscriptions(msgspec.Struct, frozen=True):
    """OpenD's subscriptions and what is left of the quota."""

    used_quota: Annotated[int, Of("totalUsedQuota")]
    remaining_quota: Annotated[int, Of("remainQuota")]
    option_used_quota: Annotated[int | None, Of("optionUsedQuota")]
    option_remaining_quota: Annotated[int | None, Of("optionRemainQuota")]
    connections: Annotated[tuple[ConnectionSubscriptions, ...], Of("connSubInfoList")]


class HistoryQuotaUse(msgspec.Struct, frozen=True):
    """A symbol that has taken a place of the quota of history."""

    symbol: Annotated[str, Of("security")]
    name: Annotated[str | None, Of("name")]
    request_time: Annotated[str, Of("requestTime")]
    request_ns: Annotated[int | None, _seconds("requestTimeStamp")]


class HistoryQuota(msgspec.Struct, frozen=True):
    """How many different symbols' history was and may be pulled."""

    used: Annotated[int, Of("usedQuota")]
    remaining: Annotated[int, Of("remainQuota")]
    details: Annotated[tuple[HistoryQuotaUse, ...], Of("detailList")]


# securities


class WarrantTerms(msgspec.Struct, frozen=True):
    """What belongs to a warrant only."""

    kind: Annotated[str, Of("type", enums.WARRANT_TYPE)]
    underlying: Annotated[str | None, Of("owner")]


class OptionTerms(msgspec.Struct, frozen=True):
    """What belongs to an option only."""

    kind: Annotated[str, Of("type", enums.OPTION_TYPE)]
    underlying: Annotated[str | None, Of("owner")]
    expiry: Annotated[str | None, _date("strikeTime")]
    strike_price: Annotated[float, Of("strikePrice")]
    suspended: Annotated[bool, Of("suspend")]
    market: Annotated[str, Of("market")]
    index_option_type: Annotated[str | None, Of("indexOptionType", enums.INDEX_OPTION_TYPE)]
    expiration_cycle: Annotated[str | None, Of("expirationCycle", enums.EXPIRATION_CYCLE)]
    standard: Annotated[str | None, Of("optionStandardType", enums.OPTION_STANDARD)]
    settlement: Annotated[str | None, Of("optionSettlementMode", enums.OPTION_SETTLEMENT)]


class FutureTerms(msgspec.Struct, frozen=True):
    """What belongs to a future only."""

    last_trading_day: Annotated[str | None, _date("lastTradeTime")]
    main_contract: Annotated[bool, Of("isMainContract")]


class StaticInfo(msgspec.Struct, frozen=True):
    """What a security is."""

    symbol: Annotated[str, Of("basic.security")]
    name: Annotated[str, Of("basic.name")]
    kind: Annotated[str, Of("basic.secType", enums.SECURITY_TYPE)]
    lot_size: Annotated[int, Of("basic.lotSize")]
    """Shares in a lot; of derivatives the contract's size."""
    listed: Annotated[str | None, _date("basic.listTime")]
    delisted: Annotated[bool | None, Of("basic.delisting")]
    exchange: Annotated[str | None, Of("basic.exchType", enums.EXCHANGE)]
    security_id: Annotated[int, Of("basic.id")]
    """OpenD's own number."""
    warrant: Annotated[WarrantTerms | None, Of("warrantExData")]
    option: Annotated[OptionTerms | None, Of("optionExData")]
    future: Annotated[FutureTerms | None, Of("futureExData")]


class OptionPair(msgspec.Struct, frozen=True):
    """Call and put of one strike price."""

    call: Annotated[StaticInfo | None, Of("call")]
    put: Annotated[StaticInfo | None, Of("put")]


class OptionChain(msgspec.Struct, frozen=True):
    """The options of one expiry."""

    expiry: Annotated[str, Of("strikeTime")]
    options: Annotated[tuple[OptionPair, ...], Of("option")]


class Plate(msgspec.Struct, frozen=True):
    """A sector: an industry, a region, a concept."""

    symbol: Annotated[str, Of("plate")]
    name: Annotated[str, Of("name")]
    kind: Annotated[str | None, Of("plateType", enums.PLATE_KIND)]


class WatchlistGroup(msgspec.Struct, frozen=True):
    """The name of a group of the user's watchlists."""

    name: Annotated[str, Of("groupName")]
    kind: Annotated[str, Of("groupType", enums.WATCHLIST_KIND)]


class MarketState(msgspec.Struct, frozen=True):
    """The state of the market of one symbol."""

    symbol: Annotated[str, Of("security")]
    name: Annotated[str, Of("name")]
    state: Annotated[str, Of("marketState", enums.MARKET_STATE)]


class TradingDay(msgspec.Struct, frozen=True):
    """A day on which the market is open, or half of it."""

    date: Annotated[str, Of("time")]
    kind: Annotated[str | None, Of("tradeDateType", enums.TRADING_DAY_KIND)]


class TradingHours(msgspec.Struct, frozen=True):
    """A trading session, in minutes from midnight of the market."""

    begin_minute: Annotated[float | None, Of("begin")]
    end_minute: Annotated[float | None, Of("end")]


class FutureInfo(msgspec.Struct, frozen=True):
    """The terms of a future."""

    symbol: Annotated[str, Of("security")]
    name: Annotated[str, Of("name")]
    underlying: Annotated[str | None, Of("owner")]
    underlying_text: Annotated[str, Of("ownerOther")]
    exchange: Annotated[str, Of("exchange")]
    contract_type: Annotated[str, Of("contractType")]
    contract_size: Annotated[float, Of("contractSize")]
    contract_size_unit: Annotated[str, Of("contractSizeUnit")]
    quote_currency: Annotated[str, Of("quoteCurrency")]
    quote_unit: Annotated[str | None, Of("quoteUnit")]
    tick_size: Annotated[float, Of("minVar")]
    tick_size_unit: Annotated[str, Of("minVarUnit")]
    last_trading_day: Annotated[str | None, _date("lastTradeTime")]
    trading_hours: Annotated[tuple[TradingHours, ...], Of("tradeTime")]
    time_zone: Annotated[str, Of("timeZone")]
    exchange_url: Annotated[str, Of("exchangeFormatUrl")]
    actual_contract: Annotated[str | None, Of("origin")]
    """Of a main or near-month contract the one behind it."""


class Rehab(msgspec.Struct, frozen=True):
    """What happened to a company's shares on one day, and the factors of adjusted prices.

    A price before that day is adjusted forward as ``price * forward_factor + forward_offset``, one from that
    day on backward as ``price * backward_factor + backward_offset``. Each pair `..._base`, `..._extra` means "for so
    many shares held, so many".
    """

    date: Annotated[str, Of("time")]
    """The first day without the right."""
    acts: Annotated[int, Of("companyActFlag")]
    """Bits of `fastfeed.protocols.opend_enums.CompanyAct`."""
    forward_factor: Annotated[float, Of("fwdFactorA")]
    forward_offset: Annotated[float, Of("fwdFactorB")]
    backward_factor: Annotated[float, Of("bwdFactorA")]
    backward_offset: Annotated[float, Of("bwdFactorB")]
    split_base: Annotated[int | None, Of("splitBase")]
    split_extra: Annotated[int | None, Of("splitErt")]
    join_base: Annotated[int | None, Of("joinBase")]
    join_extra: Annotated[int | None, Of("joinErt")]
    bonus_base: Annotated[int | None, Of("bonusBase")]
    bonus_extra: Annotated[int | None, Of("bonusErt")]
    transfer_base: Annotated[int | None, Of("transferBase")]
    transfer_extra: Annotated[int | None, Of("transferErt")]
    allot_base: Annotated[int | None, Of("allotBase")]
    allot_extra: Annotated[int | None, Of("allotErt")]
    allot_price: Annotated[float | None, Of("allotPrice")]
    add_base: Annotated[int | None, Of("addBase")]
    add_extra: Annotated[int | None, Of("addErt")]
    add_price: Annotated[float | None, Of("addPrice")]
    spin_off_base: Annotated[float | None, Of("spinOffBase")]
    spin_off_extra: Annotated[float | None, Of("spinOffErt")]
    dividend: Annotated[float | None, Of("dividend")]
    special_dividend: Annotated[float | None, Of("spDividend")]


# snapshots


class ExtendedHours(msgspec.Struct, frozen=True):
    """Trading before, after or between the regular sessions."""

    price: Annotated[float | None, Of("price")]
    high: Annotated[float | None, Of("highPrice")]
    low: Annotated[float | None, Of("lowPrice")]
    volume: Annotated[int | None, Of("volume")]
    turnover: Annotated[float | None, Of("turnover")]
    change: Annotated[float | None, Of("changeVal")]
    change_rate: Annotated[float | None, Of("changeRate")]
    """Percent."""
    amplitude: Annotated[float | None, Of("amplitude")]
    """Percent."""


class EquityDetails(msgspec.Struct, frozen=True):
    """What belongs to shares only."""

    issued_shares: Annotated[int, Of("issuedShares")]
    total_market_value: Annotated[float, Of("issuedMarketVal")]
    net_asset: Annotated[float, Of("netAsset")]
    net_profit: Annotated[float, Of("netProfit")]
    earnings_per_share: Annotated[float, Of("earningsPershare")]
    outstanding_shares: Annotated[int, Of("outstandingShares")]
    outstanding_market_value: Annotated[float, Of("outstandingMarketVal")]
    net_asset_per_share: Annotated[float, Of("netAssetPershare")]
    earnings_yield: Annotated[float, Of("eyRate")]
    pe_ratio: Annotated[float, Of("peRate")]
    pb_ratio: Annotated[float, Of("pbRate")]
    pe_ttm_ratio: Annotated[float, Of("peTTMRate")]
    dividend_ttm: Annotated[float | None, Of("dividendTTM")]
    dividend_ratio_ttm: Annotated[float | None, Of("dividendRatioTTM")]
    dividend_last_year: Annotated[float | None, Of("dividendLFY")]
    dividend_ratio_last_year: Annotated[float | None, Of("dividendLFYRatio")]


class WarrantDetails(msgspec.Struct, frozen=True):
    """What belongs to a warrant only."""

    kind: Annotated[str, Of("warrantType", enums.WARRANT_TYPE)]
    underlying: Annotated[str | None, Of("owner")]
    conversion_ratio: Annotated[float, Of("conversionRate")]
    strike_price: Annotated[float, Of("strikePrice")]
    maturity: Annotated[str | None, _date("maturityTime")]
    last_trading_day: Annotated[str | None, _date("endTradeTime")]
    recovery_price: Annotated[float, Of("recoveryPrice")]
    street_volume: Annotated[int, Of("streetVolumn")]
    issue_volume: Annotated[int, Of("issueVolumn")]
    street_ratio: Annotated[float, Of("streetRate")]
    delta: Annotated[float, Of("delta")]
    implied_volatility: Annotated[float, Of("impliedVolatility")]
    premium: Annotated[float, Of("premium")]
    leverage: Annotated[float | None, Of("leverage")]
    in_or_out_of_the_money: Annotated[float | None, Of("ipop")]
    """Percent."""
    break_even_point: Annotated[float | None, Of("breakEvenPoint")]
    conversion_price: Annotated[float | None, Of("conversionPrice")]
    price_recovery_ratio: Annotated[float | None, Of("priceRecoveryRatio")]
    score: Annotated[float | None, Of("score")]
    upper_strike_price: Annotated[float | None, Of("upperStrikePrice")]
    lower_strike_price: Annotated[float | None, Of("lowerStrikePrice")]
    inline_price_status: Annotated[str | None, Of("inLinePriceStatus", enums.INLINE_PRICE_STATUS)]
    issuer: Annotated[str | None, Of("issuerCode")]


class OptionDetails(msgspec.Struct, frozen=True):
    """What belongs to an option only."""

    kind: Annotated[str, Of("type", enums.OPTION_TYPE)]
    underlying: Annotated[str | None, Of("owner")]
    expiry: Annotated[str | None, _date("strikeTime")]
    strike_price: Annotated[float, Of("strikePrice")]
    contract_size: Annotated[float, Of("contractSizeFloat", instead="contractSize")]
    open_interest: Annotated[int, Of("openInterest")]
    net_open_interest: Annotated[int | None, Of("netOpenInterest")]
    implied_volatility: Annotated[float, Of("impliedVolatility")]
    premium: Annotated[float, Of("premium")]
    delta: Annotated[float, Of("delta")]
    gamma: Annotated[float, Of("gamma")]
    vega: Annotated[float, Of("vega")]
    theta: Annotated[float, Of("theta")]
    rho: Annotated[float, Of("rho")]
    expiry_days: Annotated[int | None, Of("expiryDateDistance")]
    """To expiry, negative when past."""
    contract_nominal_value: Annotated[float | None, Of("contractNominalValue")]
    owner_lot_multiplier: Annotated[float | None, Of("ownerLotMultiplier")]
    contract_multiplier: Annotated[float | None, Of("contractMultiplier")]
    style: Annotated[str | None, Of("optionAreaType", enums.OPTION_STYLE)]
    index_option_type: Annotated[str | None, Of("indexOptionType", enums.INDEX_OPTION_TYPE)]


class IndexDetails(msgspec.Struct, frozen=True):
    """How many members of an index or a plate rose, fell, stayed."""

    risers: Annotated[int, Of("raiseCount")]
    fallers: Annotated[int, Of("fallCount")]
    unchanged: Annotated[int, Of("equalCount")]


class FutureDetails(msgspec.Struct, frozen=True):
    """What belongs to a future only."""

    last_settle_price: Annotated[float, Of("lastSettlePrice")]
    open_interest: Annotated[int, Of("position")]
    open_interest_change: Annotated[int, Of("positionChange")]
    last_trading_day: Annotated[str | None, _date("lastTradeTime")]
    main_contract: Annotated[bool, Of("isMainContract")]


class TrustDetails(msgspec.Struct, frozen=True):
    """What belongs to a fund only."""

    dividend_yield: Annotated[float, Of("dividendYield")]
    assets_under_management: Annotated[float, Of("aum")]
    outstanding_units: Annotated[int, Of("outstandingUnits")]
    net_asset_value: Annotated[float, Of("netAssetValue")]
    premium: Annotated[float, Of("premium")]
    asset_class: Annotated[str, Of("assetClass", enums.ASSET_CLASS)]


class Snapshot(msgspec.Struct, frozen=True):
    """The state of one security; rates and amplitudes in percent.

    Of the blocks at the end those are there that fit the kind of security.
    """

    symbol: Annotated[str, Of("basic.security")]
    name: Annotated[str | None, Of("basic.name")]
    kind: Annotated[str, Of("basic.type", enums.SECURITY_TYPE)]
    status: Annotated[str | None, Of("basic.secStatus", enums.SECURITY_STATUS)]
    suspended: Annotated[bool, Of("basic.isSuspend")]
    listed: Annotated[str | None, _date("basic.listTime")]
    lot_size: Annotated[int, Of("basic.lotSize")]
    price_spread: Annotated[float, Of("basic.priceSpread")]
    """Tick size."""
    update_time: Annotated[str, Of("basic.updateTime")]
    update_ns: Annotated[int | None, _seconds("basic.updateTimestamp")]
    last: Annotated[float, Of("basic.curPrice")]
    open: Annotated[float, Of("basic.openPrice")]
    high: Annotated[float, Of("basic.highPrice")]
    low: Annotated[float, Of("basic.lowPrice")]
    prev_close: Annotated[float, Of("basic.lastClosePrice")]
    volume: Annotated[float, Of("basic.hpVolume", instead="basic.volume")]
    turnover: Annotated[float, Of("basic.turnover")]
    turnover_rate: Annotated[float, Of("basic.turnoverRate")]
    bid_price: Annotated[float | None, Of("basic.bidPrice")]
    bid_volume: Annotated[float | None, Of("basic.hpBidVol", instead="basic.bidVol")]
    ask_price: Annotated[float | None, Of("basic.askPrice")]
    ask_volume: Annotated[float | None, Of("basic.hpAskVol", instead="basic.askVol")]
    margin_enabled: Annotated[bool | None, Of("basic.enableMargin")]
    mortgage_ratio: Annotated[float | None, Of("basic.mortgageRatio")]
    long_margin_initial_ratio: Annotated[float | None, Of("basic.longMarginInitialRatio")]
    short_sell_enabled: Annotated[bool | None, Of("basic.enableShortSell")]
    short_sell_rate: Annotated[float | None, Of("basic.shortSellRate")]
    short_available_volume: Annotated[int | None, Of("basic.shortAvailableVolume")]
    short_margin_initial_ratio: Annotated[float | None, Of("basic.shortMarginInitialRatio")]
    amplitude: Annotated[float | None, Of("basic.amplitude")]
    average_price: Annotated[float | None, Of("basic.avgPrice")]
    bid_ask_ratio: Annotated[float | None, Of("basic.bidAskRatio")]
    volume_ratio: Annotated[float | None, Of("basic.volumeRatio")]
    high_52_weeks: Annotated[float | None, Of("basic.highest52WeeksPrice")]
    low_52_weeks: Annotated[float | None, Of("basic.lowest52WeeksPrice")]
    high_ever: Annotated[float | None, Of("basic.highestHistoryPrice")]
    low_ever: Annotated[float | None, Of("basic.lowestHistoryPrice")]
    close_5_minutes: Annotated[float | None, Of("basic.closePrice5Minute")]
    """The close five minutes ago."""
    pre_market: Annotated[ExtendedHours | None, Of("basic.preMarket")]
    after_hours: Annotated[ExtendedHours | None, Of("basic.afterMarket")]
    overnight: Annotated[ExtendedHours | None, Of("basic.overnight")]
    equity: Annotated[EquityDetails | None, Of("equityExData")]
    warrant: Annotated[WarrantDetails | None, Of("warrantExData")]
    option: Annotated[OptionDetails | None, Of("optionExData")]
    index: Annotated[IndexDetails | None, Of("indexExData")]
    plate: Annotated[IndexDetails | None, Of("plateExData")]
    future: Annotated[FutureDetails | None, Of("futureExData")]
    trust: Annotated[TrustDetails | None, Of("trustExData")]


def symbol_of(security: Any) -> str:
    """Return the canonical symbol of a security."""
    return canonical(security.market, text_of(security.code))


def _text_or_symbol(value: Any) -> str:
    return text_of(value) if isinstance(value, str | bytes) else symbol_of(value)


def _text_or_maybe_symbol(value: Any) -> str | None:
    is_nothing = not isinstance(value, str | bytes) and not value.code
    return None if is_nothing else _text_or_symbol(value)


def _conversion(value_types: tuple[Any, ...]) -> Convert | None:
    if str in value_types:
        return _text_or_maybe_symbol if type(None) in value_types else _text_or_symbol
    return float if float in value_types else None


#: Return the record of a message.
record = Maker(_conversion)
