"""LongPort's commands and their messages, for the cold path. Made from `protos/longport.proto`."""

from __future__ import annotations

import enum
from functools import cache, partial
from typing import NamedTuple

from fastfeed.protocols.descriptors import message_class_of

__all__ = ["MESSAGES", "Command", "Messages", "calc_indexes", "message_class", "warrant_orders"]


class Command(enum.IntEnum):
    """What a packet is about, by the name of the vendor's pulls in shorter words."""

    CLOSE = 0
    HEARTBEAT = 1
    AUTH = 2
    RECONNECT = 3
    PROFILE = 4
    SUBSCRIPTIONS = 5
    SUBSCRIBE = 6
    UNSUBSCRIBE = 7
    TRADING_SESSIONS = 8
    TRADING_DAYS = 9
    STATIC_INFO = 10
    QUOTES = 11
    OPTION_QUOTES = 12
    WARRANT_QUOTES = 13
    DEPTH = 14
    BROKERS = 15
    PARTICIPANTS = 16
    TRADES = 17
    INTRADAY = 18
    CANDLESTICKS = 19
    OPTION_EXPIRIES = 20
    OPTION_STRIKES = 21
    WARRANT_ISSUERS = 22
    WARRANT_LIST = 23
    CAPITAL_FLOW = 24
    CAPITAL_DISTRIBUTION = 25
    CALC_INDEXES = 26
    HISTORY_CANDLESTICKS = 27
    PUSH_QUOTE = 101
    PUSH_DEPTH = 102
    PUSH_BROKERS = 103
    PUSH_TRADES = 104


class Messages(NamedTuple):
    """The names of a command's messages, None: its body is empty."""

    request: str | None
    response: str | None


#: What is asked for, and how it is answered with status 0.
MESSAGES = {
    Command.AUTH: Messages("AuthRequest", "AuthResponse"),
    Command.RECONNECT: Messages("ReconnectRequest", "ReconnectResponse"),
    Command.PROFILE: Messages("UserQuoteProfileRequest", "UserQuoteProfileResponse"),
    Command.SUBSCRIPTIONS: Messages("SubscriptionRequest", "SubscriptionResponse"),
    Command.SUBSCRIBE: Messages("SubscribeRequest", "SubscriptionResponse"),
    Command.UNSUBSCRIBE: Messages("UnsubscribeRequest", "UnsubscribeResponse"),
    Command.TRADING_SESSIONS: Messages(None, "MarketTradePeriodResponse"),
    Command.TRADING_DAYS: Messages("MarketTradeDayRequest", "MarketTradeDayResponse"),
    Command.STATIC_INFO: Messages("MultiSecurityRequest", "SecurityStaticInfoResponse"),
    Command.QUOTES: Messages("MultiSecurityRequest", "SecurityQuoteResponse"),
    Command.OPTION_QUOTES: Messages("MultiSecurityRequest", "OptionQuoteResponse"),
    Command.WARRANT_QUOTES: Messages("MultiSecurityRequest", "WarrantQuoteResponse"),
    Command.DEPTH: Messages("SecurityRequest", "SecurityDepthResponse"),
    Command.BROKERS: Messages("SecurityRequest", "SecurityBrokersResponse"),
    Command.PARTICIPANTS: Messages(None, "ParticipantBrokerIdsResponse"),
    Command.TRADES: Messages("SecurityTradeRequest", "SecurityTradeResponse"),
    Command.INTRADAY: Messages("SecurityIntradayRequest", "SecurityIntradayResponse"),
    Command.CANDLESTICKS: Messages("SecurityCandlestickRequest", "SecurityCandlestickResponse"),
    Command.OPTION_EXPIRIES: Messages("SecurityRequest", "OptionChainDateListResponse"),
    Command.OPTION_STRIKES: Messages(
        "OptionChainDateStrikeInfoRequest", "OptionChainDateStrikeInfoResponse"
    ),
    Command.WARRANT_ISSUERS: Messages(None, "IssuerInfoResponse"),
    Command.WARRANT_LIST: Messages("WarrantFilterListRequest", "WarrantFilterListResponse"),
    Command.CAPITAL_FLOW: Messages("CapitalFlowIntradayRequest", "CapitalFlowIntradayResponse"),
    Command.CAPITAL_DISTRIBUTION: Messages("SecurityRequest", "CapitalDistributionResponse"),
    Command.CALC_INDEXES: Messages("SecurityCalcQuoteRequest", "SecurityCalcQuoteResponse"),
    Command.HISTORY_CANDLESTICKS: Messages(
        "SecurityHistoryCandlestickRequest", "SecurityCandlestickResponse"
    ),
}

#: The message class of a name of `protos/longport.proto`, for example ``"PushQuote"``; KeyError: there is none.
message_class = partial(message_class_of, "longport")


@cache
def warrant_orders() -> dict[str, int]:
    """Return the numbers of what warrants can be sorted by: the fields from last_done to status, from 0."""
    fields = message_class("FilterWarrant").DESCRIPTOR.fields_by_name
    first, last = fields["last_done"].number, fields["status"].number
    return {
        name: field.number - first
        for name, field in fields.items()
        if first <= field.number <= last
    }


@cache
def calc_indexes() -> dict[str, int]:
    """Return the numbers of indexes by the names of the fields that hold them, which are one more."""
    fields = message_class("SecurityCalcIndex").DESCRIPTOR.fields
    return {field.name: field.number - 1 for field in fields if field.name != "symbol"}
