"""OpenD's messages for the cold path: requests, replies, and the simulator. Made from `protos/opend.proto`."""

from __future__ import annotations

from typing import Any

from fastfeed.protocols.descriptors import message_class_of

__all__ = [
    "CALL_LIMITS",
    "CALL_WINDOW_S",
    "NAMES",
    "message_class",
    "text_of",
    "INIT_CONNECT",
    "GET_GLOBAL_STATE",
    "NOTIFY",
    "KEEP_ALIVE",
    "GET_USER_INFO",
    "GET_DELAY_STATISTICS",
    "QOT_SUB",
    "QOT_REG_QOT_PUSH",
    "QOT_GET_SUB_INFO",
    "QOT_GET_BASIC_QOT",
    "QOT_UPDATE_BASIC_QOT",
    "QOT_GET_KL",
    "QOT_UPDATE_KL",
    "QOT_GET_RT",
    "QOT_UPDATE_RT",
    "QOT_GET_TICKER",
    "QOT_UPDATE_TICKER",
    "QOT_GET_ORDER_BOOK",
    "QOT_UPDATE_ORDER_BOOK",
    "QOT_GET_BROKER",
    "QOT_UPDATE_BROKER",
    "QOT_UPDATE_PRICE_REMINDER",
    "QOT_REQUEST_HISTORY_KL",
    "QOT_REQUEST_HISTORY_KL_QUOTA",
    "QOT_REQUEST_REHAB",
    "QOT_GET_STATIC_INFO",
    "QOT_GET_SECURITY_SNAPSHOT",
    "QOT_GET_PLATE_SET",
    "QOT_GET_PLATE_SECURITY",
    "QOT_GET_OPTION_CHAIN",
    "QOT_GET_USER_SECURITY",
    "QOT_MODIFY_USER_SECURITY",
    "QOT_GET_FUTURE_INFO",
    "QOT_REQUEST_TRADE_DATE",
    "QOT_GET_USER_SECURITY_GROUP",
    "QOT_GET_MARKET_STATE",
]

INIT_CONNECT = 1001
GET_GLOBAL_STATE = 1002
NOTIFY = 1003
KEEP_ALIVE = 1004
GET_USER_INFO = 1005
GET_DELAY_STATISTICS = 1007
QOT_SUB = 3001
QOT_REG_QOT_PUSH = 3002
QOT_GET_SUB_INFO = 3003
QOT_GET_BASIC_QOT = 3004
QOT_UPDATE_BASIC_QOT = 3005
QOT_GET_KL = 3006
QOT_UPDATE_KL = 3007
QOT_GET_RT = 3008
QOT_UPDATE_RT = 3009
QOT_GET_TICKER = 3010
QOT_UPDATE_TICKER = 3011
QOT_GET_ORDER_BOOK = 3012
QOT_UPDATE_ORDER_BOOK = 3013
QOT_GET_BROKER = 3014
QOT_UPDATE_BROKER = 3015
QOT_UPDATE_PRICE_REMINDER = 3019
QOT_REQUEST_HISTORY_KL = 3103
QOT_REQUEST_HISTORY_KL_QUOTA = 3104
QOT_REQUEST_REHAB = 3105
QOT_GET_STATIC_INFO = 3202
QOT_GET_SECURITY_SNAPSHOT = 3203
QOT_GET_PLATE_SET = 3204
QOT_GET_PLATE_SECURITY = 3205
QOT_GET_OPTION_CHAIN = 3209
QOT_GET_USER_SECURITY = 3213
QOT_MODIFY_USER_SECURITY = 3214
QOT_GET_FUTURE_INFO = 3218
QOT_REQUEST_TRADE_DATE = 3219
QOT_GET_USER_SECURITY_GROUP = 3222
QOT_GET_MARKET_STATE = 3223

#: The names of their messages: ``"QotSub"`` of ``"QotSub.Request"`` and ``"QotSub.Response"``.
NAMES = {
    INIT_CONNECT: "InitConnect",
    GET_GLOBAL_STATE: "GetGlobalState",
    NOTIFY: "Notify",
    KEEP_ALIVE: "KeepAlive",
    GET_USER_INFO: "GetUserInfo",
    GET_DELAY_STATISTICS: "GetDelayStatistics",
    QOT_SUB: "QotSub",
    QOT_REG_QOT_PUSH: "QotRegQotPush",
    QOT_GET_SUB_INFO: "QotGetSubInfo",
    QOT_GET_BASIC_QOT: "QotGetBasicQot",
    QOT_UPDATE_BASIC_QOT: "QotUpdateBasicQot",
    QOT_GET_KL: "QotGetKL",
    QOT_UPDATE_KL: "QotUpdateKL",
    QOT_GET_RT: "QotGetRT",
    QOT_UPDATE_RT: "QotUpdateRT",
    QOT_GET_TICKER: "QotGetTicker",
    QOT_UPDATE_TICKER: "QotUpdateTicker",
    QOT_GET_ORDER_BOOK: "QotGetOrderBook",
    QOT_UPDATE_ORDER_BOOK: "QotUpdateOrderBook",
    QOT_GET_BROKER: "QotGetBroker",
    QOT_UPDATE_BROKER: "QotUpdateBroker",
    QOT_UPDATE_PRICE_REMINDER: "QotUpdatePriceReminder",
    QOT_REQUEST_HISTORY_KL: "QotRequestHistoryKL",
    QOT_REQUEST_HISTORY_KL_QUOTA: "QotRequestHistoryKLQuota",
    QOT_REQUEST_REHAB: "QotRequestRehab",
    QOT_GET_STATIC_INFO: "QotGetStaticInfo",
    QOT_GET_SECURITY_SNAPSHOT: "QotGetSecuritySnapshot",
    QOT_GET_PLATE_SET: "QotGetPlateSet",
    QOT_GET_PLATE_SECURITY: "QotGetPlateSecurity",
    QOT_GET_OPTION_CHAIN: "QotGetOptionChain",
    QOT_GET_USER_SECURITY: "QotGetUserSecurity",
    QOT_MODIFY_USER_SECURITY: "QotModifyUserSecurity",
    QOT_GET_FUTURE_INFO: "QotGetFutureInfo",
    QOT_REQUEST_TRADE_DATE: "QotRequestTradeDate",
    QOT_GET_USER_SECURITY_GROUP: "QotGetUserSecurityGroup",
    QOT_GET_MARKET_STATE: "QotGetMarketState",
}

#: How many calls OpenD takes in `CALL_WINDOW_S`, of requests that it does not take as often as they come.
CALL_LIMITS = {
    QOT_GET_SECURITY_SNAPSHOT: 60,
    QOT_REQUEST_HISTORY_KL: 60,  # first pages only
    QOT_REQUEST_REHAB: 60,
    QOT_REQUEST_TRADE_DATE: 30,
    QOT_GET_FUTURE_INFO: 30,
    QOT_GET_MARKET_STATE: 10,
    QOT_GET_PLATE_SET: 10,
    QOT_GET_PLATE_SECURITY: 10,
    QOT_GET_USER_SECURITY: 10,
    QOT_MODIFY_USER_SECURITY: 10,
    QOT_GET_USER_SECURITY_GROUP: 10,
    QOT_GET_OPTION_CHAIN: 10,
}
CALL_WINDOW_S = 30.0


def message_class(name: str) -> type[Any]:
    """Return the message class of a name of `protos/opend.proto`, for example ``"QotSub.Request"``.

    Raises
    ------
    KeyError
        There is no such message.
    """
    return message_class_of("opend", name)


def text_of(value: str | bytes) -> str:
    """Return a text, in whatever encoding (protobuf gives it as bytes when it is not UTF-8)."""
    return value if isinstance(value, str) else value.decode(errors="replace")
