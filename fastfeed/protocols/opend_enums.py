"""OpenD's enumerations: the number on the wire and the name that users know.

The names are those of the official Python client, its spelling mistakes included, so that values can be
compared with what it shows. New versions of OpenD add numbers: one without a name passes as its digits
(``"38"``), in both directions.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

__all__ = ["CompanyAct", "name_of", "number_of"]


def name_of(names: Mapping[int, str], number: int) -> str:
    """Return the name of a number; digits where it has none."""
    return names.get(number) or str(number)


def number_of(names: Mapping[int, str], name: str, what: str) -> int:
    """Return the number of a name, in upper or lower case, or of its digits.

    Raises
    ------
    ValueError
        There is no such name.
    """
    if not isinstance(name, str):
        raise TypeError(f"expected {what} as str, got {name!r}")
    for number, known in names.items():
        if known.upper() == name.upper():
            return number
    if name.isascii() and name.isdigit() and len(name) < 10:
        return int(name)
    raise ValueError(f"expected {what} ({', '.join(names.values())}), got {name!r}")


class CompanyAct(enum.IntFlag):
    """Bits of what happened to the shares of a company."""

    SPLIT = 1
    JOIN = 2
    BONUS = 4
    TRANSFER = 8
    ALLOT = 16
    ADD = 32
    DIVIDEND = 64
    SPECIAL_DIVIDEND = 128
    SPIN_OFF = 256


#: SecurityType
SECURITY_TYPE = {
    0: "N/A",
    1: "BOND",
    2: "BWRT",
    3: "STOCK",
    4: "ETF",
    5: "WARRANT",
    6: "IDX",
    7: "PLATE",
    8: "DRVT",
    9: "PLATESET",
    10: "FUTURE",
    11: "FOREX",
    12: "CRYPTO",
}

#: SecurityStatus
SECURITY_STATUS = {
    0: "N/A",
    1: "NORMAL",
    2: "LISTING",
    3: "PURCHASING",
    4: "SUBSCRIBING",
    5: "BEFORE_DARK_TRADE_OPEING",
    6: "DARK_TRADING",
    7: "DARK_TRAD_END",
    8: "TO_BE_OPEN",
    9: "SUSPENDED",
    10: "CALLED",
    11: "EXPIRED_LAST_TRADING_DATE",
    12: "EXPIRED",
    13: "DELISTED",
    14: "CHANGE_TO_TEMPORARY_CODE",
    15: "TEMPORARY_CODE_TRADE_END",
    16: "CHANGED_PLATE_TRADE_END",
    17: "CHANGED_CODE_TRAD_END",
    18: "RECOVERABLE_CIRCUIT_BREAKER",
    19: "UNRECOVERABLE_CIRCUIT_BREAKER",
    20: "AFTER_COMBINATION",
    21: "AFTER_TRANSACTION",
}

#: QotMarketState
MARKET_STATE = {
    0: "NONE",
    1: "AUCTION",
    2: "WAITING_OPEN",
    3: "MORNING",
    4: "REST",
    5: "AFTERNOON",
    6: "CLOSED",
    8: "PRE_MARKET_BEGIN",
    9: "PRE_MARKET_END",
    10: "AFTER_HOURS_BEGIN",
    11: "AFTER_HOURS_END",
    12: "FUTU_SWITCH_DATE",
    13: "NIGHT_OPEN",
    14: "NIGHT_END",
    15: "FUTURE_DAY_OPEN",
    16: "FUTURE_DAY_BREAK",
    17: "FUTURE_DAY_CLOSE",
    18: "FUTURE_DAY_WAIT_OPEN",
    19: "HK_CAS",
    20: "FUTURE_NIGHT_WAIT",
    21: "FUTURE_AFTERNOON",
    22: "FUTURE_SWITCH_DATE",
    23: "FUTURE_OPEN",
    24: "FUTURE_BREAK",
    25: "FUTURE_BREAK_OVER",
    26: "FUTURE_CLOSE",
    27: "ASHARE_AFTER_HOURS_WAIT",
    28: "ASHARE_AFTER_HOURS_BEGIN",
    29: "ASHARE_AFTER_HOURS_END",
    30: "CLOSE_AUCTION",
    31: "AFTERNOON_END",
    32: "NIGHT",
    33: "OVERNIGHT_BEGIN",
    34: "OVERNIGHT_END",
    35: "TRADE_AT_LAST",
    36: "TRADE_AUCTION",
    37: "OVERNIGHT",
}

#: WarrantType
WARRANT_TYPE = {
    0: "N/A",
    1: "CALL",
    2: "PUT",
    3: "BULL",
    4: "BEAR",
    5: "INLINE",
}

#: OptionType
OPTION_TYPE = {
    0: "ALL",
    1: "CALL",
    2: "PUT",
}

#: IndexOptionType
INDEX_OPTION_TYPE = {
    0: "N/A",
    1: "NORMAL",
    2: "SMALL",
}

#: OptionAreaType
OPTION_STYLE = {
    0: "N/A",
    1: "AMERICAN",
    2: "EUROPEAN",
    3: "BERMUDA",
}

#: ExchType
EXCHANGE = {
    0: "N/A",
    1: "HK_MAINBOARD",
    2: "HK_GEMBOARD",
    3: "HK_HKEX",
    4: "US_NYSE",
    5: "US_NASDAQ",
    6: "US_PINK",
    7: "US_AMEX",
    8: "US_OPTION",
    9: "US_NYMEX",
    10: "US_COMEX",
    11: "US_CBOT",
    12: "US_CME",
    13: "US_CBOE",
    14: "CN_SH",
    15: "CN_SZ",
    16: "CN_STIB",
    17: "SG_SGX",
    18: "JP_OSE",
    19: "CC_CRYPTO",
    20: "MY_MYX",
    21: "JP_TSE",
    22: "JP_NIKKEI",
}

#: PlateSetType
PLATE_KIND = {
    0: "ALL",
    1: "INDUSTRY",
    2: "REGION",
    3: "CONCEPT",
    4: "OTHER",
}

#: QotRight
QUOTE_RIGHT = {
    0: "N/A",
    1: "BMP",
    2: "LV1",
    3: "LV2",
    4: "SF",
    5: "NO",
    6: "LV3",
}

#: TradeDateMarket
TRADING_DAY_MARKET = {
    0: "N/A",
    1: "HK",
    2: "US",
    3: "CN",
    4: "NT",
    5: "ST",
    6: "JP_FUTURE",
    7: "SG_FUTURE",
    8: "SG",
    9: "MY",
    10: "JP",
}

#: TradeDateType
TRADING_DAY_KIND = {
    0: "WHOLE",
    1: "MORNING",
    2: "AFTERNOON",
}

#: AssetClass
ASSET_CLASS = {
    0: "N/A",
    1: "STOCK",
    2: "BOND",
    3: "COMMODITY",
    4: "CURRENCY_MARKET",
    5: "FUTURE",
    6: "SWAP",
}

#: ProgramStatusType
PROGRAM_STATUS = {
    0: "N/A",
    1: "LOADED",
    2: "LOGING",
    3: "NEED_PIC_VERIFY_CODE",
    4: "NEED_PHONE_VERIFY_CODE",
    5: "LOGIN_FAILED",
    6: "FORCE_UPDATE",
    7: "NESSARY_DATA_PREPARING",
    8: "NESSARY_DATA_MISSING",
    9: "UN_AGREE_DISCLAIMER",
    10: "READY",
    11: "FORCE_LOGOUT",
    12: "DISCLAIMER_PULL_FAILED",
}

#: NotifyType
NOTICE_TYPE = {
    0: "N/A",
    1: "GTW_EVENT",
    2: "PROGRAM_STATUS",
    3: "CONN_STATUS",
    4: "QOT_RIGHT",
    5: "API_LEVEL",
    6: "API_QUOTA",
    7: "USED_QUOTA",
}

#: GtwEventType
GATEWAY_EVENT = {
    0: "N/A",
    1: "LocalCfgLoadFailed",
    2: "APISvrRunFailed",
    3: "ForceUpdate",
    4: "LoginFailed",
    5: "UnAgreeDisclaimer",
    6: "NetCfgMissing",
    7: "KickedOut",
    8: "LoginPwdChanged",
    9: "BanLogin",
    10: "NeedPicVerifyCode",
    11: "NeedPhoneVerifyCode",
    12: "AppDataNotExist",
    13: "NessaryDataMissing",
    14: "TradePwdChanged",
    15: "EnableDeviceLock",
}

#: GroupType
WATCHLIST_KIND = {
    0: "N/A",
    1: "CUSTOM",
    2: "SYSTEM",
    3: "ALL",
}

#: PriceReminderMarketStatus
REMINDER_MARKET_STATE = {
    0: "N/A",
    1: "OPEN",
    2: "US_PRE",
    3: "US_AFTER",
    4: "US_OVERNIGHT",
}

#: PriceType
INLINE_PRICE_STATUS = {
    0: "N/A",
    1: "OUTSIDE",
    2: "WITH_IN",
}

#: ExpirationCycle
EXPIRATION_CYCLE = {
    0: "N/A",
    1: "WEEK",
    2: "MONTH",
    3: "END_OF_MONTH",
    4: "QUARTERLY",
    11: "WEEKMON",
    12: "WEEKTUE",
    13: "WEEKWED",
    14: "WEEKTHU",
    15: "WEEKFRI",
}

#: OptionStandardType
OPTION_STANDARD = {
    0: "N/A",
    1: "STANDARD",
    2: "NON_STANDARD",
}

#: OptionSettlementMode
OPTION_SETTLEMENT = {
    0: "N/A",
    1: "AM",
    2: "PM",
}

#: PriceReminderType
REMINDER_TYPE = {
    0: "N/A",
    1: "PRICE_UP",
    2: "PRICE_DOWN",
    3: "CHANGE_RATE_UP",
    4: "CHANGE_RATE_DOWN",
    5: "FIVE_MIN_CHANGE_RATE_UP",
    6: "FIVE_MIN_CHANGE_RATE_DOWN",
    7: "VOLUME_UP",
    8: "TURNOVER_UP",
    9: "TURNOVER_RATE_UP",
    10: "BID_PRICE_UP",
    11: "ASK_PRICE_DOWN",
    12: "BID_VOL_UP",
    13: "ASK_VOL_UP",
    14: "THREE_MIN_CHANGE_RATE_UP",
    15: "THREE_MIN_CHANGE_RATE_DOWN",
}

#: GetDelayStatistics.QotPushType
DELAY_KIND = {0: "N/A", 1: "PRICE", 2: "TICKER", 3: "ORDER_BOOK", 4: "BROKER"}

#: GetDelayStatistics.QotPushStage: from the exchange's data received or sent by Futu's server (SR, SS) to
#: OpenD having received or sent it (CR, CS)
DELAY_STAGE = {1: "SR2SS", 2: "SS2CR", 3: "CR2CS", 4: "SS2CS", 5: "SR2CS"}

#: Common.UserAttribution
USER_ATTRIBUTION = {0: "N/A", 1: "NN", 2: "MM", 3: "SG", 4: "AU", 5: "JP", 6: "HK"}
