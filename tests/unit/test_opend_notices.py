"""OpenD's own words: every type of notice, price reminders, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeed as ff
from fastfeed.feeds.opend_notices import notice_of
from fastfeed.protocols.opend_messages import (
    NOTIFY,
    QOT_UPDATE_PRICE_REMINDER,
    QOT_UPDATE_TICKER,
    message_class,
)


def notify(**s2c):
    return message_class("Notify.Response")(retType=0, s2c=s2c).SerializeToString()


@pytest.mark.parametrize(
    ("s2c", "text", "code", "fields"),
    [
        (
            {"type": 1, "event": {"eventType": 7, "desc": b"another one logged in"}},
            "KickedOut: another one logged in",
            7,
            {"type": "GTW_EVENT", "event": "KickedOut", "description": "another one logged in"},
        ),
        (
            {"type": 1, "event": {"eventType": 99, "desc": b""}},
            "99",
            99,
            {"type": "GTW_EVENT", "event": "99", "description": ""},
        ),
        (
            {"type": 2, "programStatus": {"programStatus": {"type": 10}}},
            "OpenD's status is READY",
            10,
            {"type": "PROGRAM_STATUS", "status": "READY", "description": None},
        ),
        (
            {"type": 2, "programStatus": {"programStatus": {"type": 5, "strExtDesc": "no"}}},
            "OpenD's status is LOGIN_FAILED: no",
            5,
            {"type": "PROGRAM_STATUS", "status": "LOGIN_FAILED", "description": "no"},
        ),
        (
            {"type": 3, "connectStatus": {"qotLogined": False, "trdLogined": True}},
            "OpenD is not logged in to its quote server",
            3,
            {"type": "CONN_STATUS", "quotes_logged_in": False, "trade_logged_in": True},
        ),
        (
            {
                "type": 4,
                "qotRight": {
                    **{"hkQotRight": 3, "usQotRight": 2, "cnQotRight": 5},
                    **{"hasUSOptionQotRight": True, "ccQotRight": 77},
                },
            },
            "rights to quotes: hk_right LV2, us_right LV1, has_us_option_right True, cn_right NO, crypto_right 77",
            4,
            {
                **{"type": "QOT_RIGHT", "hk_right": "LV2", "us_right": "LV1", "cn_right": "NO"},
                **{"has_us_option_right": True, "crypto_right": "77"},
            },
        ),
        (
            {"type": 5, "apiLevel": {"apiLevel": "high"}},
            "API level: high",
            5,
            {"type": "API_LEVEL", "level": "high"},
        ),
        (
            {"type": 6, "apiQuota": {"subQuota": 300, "historyKLQuota": 100}},
            "quota: 300 subscriptions, 100 histories",
            6,
            {"type": "API_QUOTA", "subscription_quota": 300, "history_quota": 100},
        ),
        (
            {"type": 7, "usedQuota": {"usedSubQuota": 12}},
            "quota: used_subscription_quota 12",
            7,
            {
                "type": "USED_QUOTA",
                "used_subscription_quota": 12,
                "used_history_quota": None,
            },
        ),
        ({"type": 42}, "OpenD notice of type 42", 42, {"type": "42"}),
    ],
)
def test_every_type_of_notice(s2c, text, code, fields):
    assert notice_of(NOTIFY, notify(**s2c)) == ("notice", text, code, fields)


def test_price_reminder():
    s2c = {
        **{"security": {"market": 1, "code": "00700"}, "price": 300.5, "changeRate": 1.5},
        **{"marketStatus": 1, "content": "rose to 300", "note": "sell", "key": 9, "type": 1},
        **{"setValue": 300.0, "curValue": 300.5, "name": "Tencent"},
    }
    body = message_class("QotUpdatePriceReminder.Response")(retType=0, s2c=s2c)
    notice = notice_of(QOT_UPDATE_PRICE_REMINDER, body.SerializeToString())
    assert notice.kind == "price_reminder"
    assert notice.text == "700.HK: rose to 300 (sell)"
    assert notice.code == 1
    assert notice.fields == {
        **{"symbol": "700.HK", "name": "Tencent", "type": "PRICE_UP", "price": 300.5},
        **{"change_rate": 1.5, "set_value": 300.0, "current_value": 300.5},
        **{"market_state": "OPEN", "content": "rose to 300", "note": "sell", "key": 9},
    }


def test_words_that_are_not_utf_8():
    notice = notice_of(NOTIFY, notify(type=1, event={"eventType": 7, "desc": b"\xff"}))
    assert notice.text == "KickedOut: \ufffd"
    body = notify(type=2, programStatus={"programStatus": {"type": 10, "strExtDesc": "XY"}})
    notice = notice_of(NOTIFY, body.replace(b"XY", b"\xff\xfe"))
    assert notice.fields["description"] == "\ufffd\ufffd"


def test_a_push_that_is_an_error():
    body = message_class("Reply")(retType=-1, retMsg=b"no more").SerializeToString()
    with pytest.raises(ff.RequestError, match="no more") as raised:
        notice_of(NOTIFY, body)
    assert raised.value.code == -1


@pytest.mark.parametrize("body", [b"", b"\xff\xff", b"\x08\x00", b"\x08\x00\x22\x00"])
@pytest.mark.parametrize("proto_id", [NOTIFY, QOT_UPDATE_PRICE_REMINDER])
def test_a_push_that_cannot_be_read(proto_id, body):
    with pytest.raises(ff.RemoteProtocolError, match=str(proto_id)):
        notice_of(proto_id, body)


@given(st.sampled_from([NOTIFY, QOT_UPDATE_PRICE_REMINDER]), st.binary(max_size=60))
def test_any_bytes_are_a_notice_or_an_error(proto_id, body):
    try:
        kind, text, _, fields = notice_of(proto_id, body)
    except (ff.RequestError, ff.RemoteProtocolError):
        return
    assert kind in ("notice", "price_reminder")
    assert isinstance(text, str)
    assert isinstance(fields, dict)


def test_other_pushes_are_none():
    with pytest.raises(ValueError, match="1003, 3019"):
        notice_of(QOT_UPDATE_TICKER, b"")
