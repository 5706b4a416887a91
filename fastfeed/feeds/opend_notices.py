"""What OpenD says on its own: notices (1003) and price reminders (3019), in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from msgspec.structs import asdict

from fastfeed.errors import RemoteProtocolError
from fastfeed.feeds.opend_records import QuoteRights, record, symbol_of
from fastfeed.feeds.opend_session import refusal
from fastfeed.protocols import opend_enums as enums
from fastfeed.protocols.opend_messages import (
    NAMES,
    NOTIFY,
    QOT_UPDATE_PRICE_REMINDER,
    message_class,
    text_of,
)

__all__ = ["Notice", "notice_of"]


class Notice(NamedTuple):
    """A notice in words, and its content.

    Attributes
    ----------
    kind : str
        ``"notice"`` or ``"price_reminder"``.
    text : str
    code : int or None
        Of a gateway event and of the program's status its number, of other notices the type's.
    fields : dict
        Of a notice `type`, the name of its type, and by type: ``GTW_EVENT`` `event`, `description`;
        ``PROGRAM_STATUS`` `status`, `description`; ``CONN_STATUS`` `quotes_logged_in`, `trade_logged_in`;
        ``QOT_RIGHT`` the right to quotes of each market that was told, such as `hk_right`; ``API_LEVEL`` `level`;
        ``API_QUOTA`` `subscription_quota`, `history_quota`; ``USED_QUOTA`` `used_subscription_quota`,
        `used_history_quota`. Of a price reminder `symbol`, `name`, `type`, `price`, `change_rate` (percent),
        `set_value`, `current_value`, `market_state`, `content`, `note`, `key`. None is what was not sent.
    """

    kind: str
    text: str
    code: int | None
    fields: dict[str, Any]


def notice_of(proto_id: int, body: bytes) -> Notice:
    """Return what a push of OpenD says.

    Raises
    ------
    ValueError
        The protocol id is neither 1003 nor 3019.
    RequestError
        The push carries an error.
    RemoteProtocolError
        It cannot be read.
    """
    read = _READERS.get(proto_id)
    if read is None:
        raise ValueError(
            f"expected the id of a notice ({', '.join(map(str, _READERS))}), got {proto_id}"
        )
    try:
        verdict = message_class("Reply").FromString(body)
        if verdict.HasField("retType") and verdict.retType != 0:
            raise refusal(f"push {proto_id}", verdict)
        message = message_class(f"{NAMES[proto_id]}.Response").FromString(body)
        if not message.HasField("s2c") or not message.IsInitialized():
            raise DecodeError("required fields are missing")
        return read(message.s2c)
    except (DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(
            f"OpenD sent a push {proto_id} that cannot be read: {error}",
            source="opend",
            data=body[:16],
        ) from error


def _notice(s2c: Any) -> Notice:
    fields: dict[str, Any] = {"type": enums.name_of(enums.NOTICE_TYPE, s2c.type)}
    code = s2c.type
    if s2c.HasField("event"):
        code = s2c.event.eventType
        event = enums.name_of(enums.GATEWAY_EVENT, code)
        description = text_of(s2c.event.desc)
        fields |= {"event": event, "description": description}
        text = f"{event}: {description}" if description else event
    elif s2c.HasField("programStatus"):
        program = s2c.programStatus.programStatus
        code = program.type
        status = enums.name_of(enums.PROGRAM_STATUS, code)
        description = _optional(program, "strExtDesc")
        fields |= {"status": status, "description": description}
        text = f"OpenD's status is {status}" + (f": {description}" if description else "")
    elif s2c.HasField("connectStatus"):
        quotes, trade = s2c.connectStatus.qotLogined, s2c.connectStatus.trdLogined
        fields |= {"quotes_logged_in": quotes, "trade_logged_in": trade}
        text = f"OpenD is {'logged in' if quotes else 'not logged in'} to its quote server"
    elif s2c.HasField("qotRight"):
        rights = asdict(record(QuoteRights, s2c.qotRight))
        rights = {name: right for name, right in rights.items() if right is not None}
        fields |= rights
        text = f"rights to quotes: {_list(rights)}"
    elif s2c.HasField("apiLevel"):
        fields["level"] = _optional(s2c.apiLevel, "apiLevel")
        text = f"API level: {fields['level']}"
    elif s2c.HasField("apiQuota"):
        quota = s2c.apiQuota
        fields |= {
            "subscription_quota": quota.subQuota,
            "history_quota": quota.historyKLQuota,
        }
        text = f"quota: {quota.subQuota} subscriptions, {quota.historyKLQuota} histories"
    elif s2c.HasField("usedQuota"):
        used = {
            "used_subscription_quota": _optional(s2c.usedQuota, "usedSubQuota"),
            "used_history_quota": _optional(s2c.usedQuota, "usedKLineQuota"),
        }
        fields |= used
        text = f"quota: {_list(used)}"
    else:
        text = f"OpenD notice of type {fields['type']}"
    return Notice("notice", text, code, fields)


def _price_reminder(s2c: Any) -> Notice:
    symbol = symbol_of(s2c.security)
    content, note = text_of(s2c.content), text_of(s2c.note)
    kind = _optional(s2c, "type")
    fields = {
        "symbol": symbol,
        "name": _optional(s2c, "name"),
        "type": None if kind is None else enums.name_of(enums.REMINDER_TYPE, kind),
        "price": s2c.price,
        "change_rate": s2c.changeRate,
        "set_value": _optional(s2c, "setValue"),
        "current_value": _optional(s2c, "curValue"),
        "market_state": enums.name_of(enums.REMINDER_MARKET_STATE, s2c.marketStatus),
        "content": content,
        "note": note,
        "key": _optional(s2c, "key"),
    }
    text = f"{symbol}: {content or 'a price reminder'}" + (f" ({note})" if note else "")
    return Notice("price_reminder", text, kind, fields)


_READERS: dict[int, Callable[[Any], Notice]] = {
    NOTIFY: _notice,
    QOT_UPDATE_PRICE_REMINDER: _price_reminder,
}


def _optional(message: Any, name: str) -> Any:
    if not message.HasField(name):
        return None
    value = getattr(message, name)
    return text_of(value) if isinstance(value, bytes) else value


def _list(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
