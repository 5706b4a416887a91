"""Records say what the messages said: random messages, every field, absent ones, unknown numbers."""

import math
import typing
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeed.feeds import opend_records as records
from fastfeed.feeds.opend_records import record
from fastfeed.feeds.records import Of, _is_struct, nanoseconds
from fastfeed.protocols import opend_enums as enums
from fastfeed.protocols.opend_codes import KINDS, canonical
from fastfeed.protocols.opend_messages import message_class

#: Record, message, and the fields of the message that the record leaves out on purpose.
PAIRS = [
    (records.GlobalState, "GetGlobalState.S2C", ()),
    (
        records.UserInfo,
        "GetUserInfo.S2C",
        # a credential, and what concerns OpenD's window
        ("webKey", "webJumpUrlHead", "updateType", "updateWhatsNew", "isAppNNOrMM", "extra"),
    ),
    (records.QuoteRights, "Notify.QotRight", ()),
    (records.DelayStatistics, "GetDelayStatistics.S2C", ()),
    (records.Subscriptions, "QotGetSubInfo.S2C", ()),
    (records.HistoryQuota, "QotRequestHistoryKLQuota.S2C", ()),
    (
        records.StaticInfo,
        "SecurityStaticInfo",
        # the same days as in the text beside them
        ("basic.listTimestamp", "strikeTimestamp", "lastTradeTimestamp"),
    ),
    (
        records.OptionChain,
        "QotGetOptionChain.OptionChain",
        ("strikeTimestamp", "basic.listTimestamp", "lastTradeTimestamp"),
    ),
    (records.Plate, "PlateInfo", ()),
    (records.WatchlistGroup, "QotGetUserSecurityGroup.GroupData", ()),
    (records.MarketState, "QotGetMarketState.MarketInfo", ()),
    (records.TradingDay, "QotRequestTradeDate.TradeDate", ("timestamp",)),
    (records.FutureInfo, "QotGetFutureInfo.FutureInfo", ("lastTradeTimestamp",)),
    (records.Rehab, "Rehab", ("timestamp",)),
    (
        records.Snapshot,
        "QotGetSecuritySnapshot.Snapshot",
        (
            *("basic.listTimestamp", "maturityTimestamp", "endTradeTimestamp"),
            *("strikeTimestamp", "lastTradeTimestamp"),
        ),
    ),
]
pairs = pytest.mark.parametrize(("kind", "name", "left_out"), PAIRS, ids=lambda p: str(p)[:40])

DOUBLES = st.floats(allow_nan=False, width=32)  # NaN is not equal to itself
SCALARS = {
    "double": DOUBLES,
    "float": DOUBLES,
    "int32": st.integers(-(2**31), 2**31 - 1) | st.integers(0, 40),
    "int64": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2_000_000_000),
    "uint64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
}
TYPES = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string"}


def fill(draw, message):
    """Fill a message with random values; what is optional may be absent."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            for _ in range(draw(st.integers(0, 2))):
                fill(draw, getattr(message, field.name).add())
        elif field.is_required or draw(st.booleans()):
            if field.message_type is not None:
                inner = getattr(message, field.name)
                inner.SetInParent()
                fill(draw, inner)
            else:
                setattr(message, field.name, draw(SCALARS[TYPES[field.type]]))


def sources(kind):
    """Return the fields of a record: name, where it comes from, its type."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in kind.__struct_fields__:
        value_type, source = typing.get_args(hints[name])
        assert isinstance(source, Of)
        yield name, source, value_type


def dig(message, path):
    """Return what stands at a path of a message; None where anything of it is absent."""
    for name in path.split("."):
        if message is None:
            return None
        field = message.DESCRIPTOR.fields_by_name[name]
        there = field.is_repeated or message.HasField(name)
        message = getattr(message, name) if there else None
    return message


def check(kind, message, found):
    """Compare a record with its message, field by field."""
    assert type(found) is kind
    for name, source, value_type in sources(kind):
        sent = dig(message, source.path)
        if sent is None and source.instead:
            sent = dig(message, source.instead)
        check_field(name, source, value_type, sent, getattr(found, name))


def check_field(name, source, value_type, sent, got):
    inner = (typing.get_args(value_type) or (value_type,))[0]
    if sent is None:
        assert got is None, name
    elif typing.get_origin(value_type) is tuple:
        assert len(got) == len(sent)
        for one, other in zip(sent, got, strict=True):
            check_field(name, source, inner, one, other)
    elif issubclass(inner, msgspec.Struct):
        check(inner, sent, got)
    elif hasattr(sent, "market"):
        nothing = type(None) in typing.get_args(value_type) and not sent.code
        assert got == (None if nothing else canonical(sent.market, sent.code))
    elif name.endswith("_ns"):
        is_time = math.isfinite(sent) and 0 < sent < 1e10
        assert type(got) is (int if is_time else type(None))
        assert not is_time or abs(got - Fraction(sent) * 10**9) <= 2000
    elif source.names is not None:
        assert got == source.names.get(sent, str(sent))
    elif source.convert is not None:  # a date
        assert got == (sent or None)
    else:  # a volume in whole units, sent instead of one with a fraction, becomes a float
        assert got == inner(sent)
        assert type(got) is inner, name


@pairs
@settings(deadline=None)
@given(data=st.data())
def test_every_field_says_what_the_message_said(kind, name, left_out, data):
    message = message_class(name)()
    fill(data.draw, message)
    check(kind, message_class(name).FromString(message.SerializeToString()), record(kind, message))


def paths(descriptor, prefix=""):
    for field in descriptor.fields:
        yield prefix + field.name, field


@pairs
def test_no_field_is_forgotten(kind, name, left_out):
    def missing(kind, descriptor):
        used = {p for _, s, _ in sources(kind) for p in (s.path, s.instead) if p}
        inner = {s.path: t for _, s, t in sources(kind)}
        blocks = {path.partition(".")[0] for path in used if "." in path}
        for path, field in paths(descriptor):
            if path in blocks:
                for below, _ in paths(field.message_type, path + "."):
                    if below not in used and below not in left_out:
                        yield below
            elif path not in used:
                if path not in left_out and field.name not in left_out:
                    yield path
            elif field.message_type is not None and field.message_type.name != "Security":
                struct = next(t for t in typing.get_args(inner[path]) if _is_struct(t))
                yield from missing(struct, field.message_type)

    assert list(missing(kind, message_class(name).DESCRIPTOR)) == []


@pairs
def test_what_may_be_absent_may_be_none(kind, name, left_out):
    message = message_class(name)()

    def least(message):
        for field in message.DESCRIPTOR.fields:
            if field.is_required and field.message_type is not None:
                getattr(message, field.name).SetInParent()
                least(getattr(message, field.name))
            elif field.is_required:
                setattr(message, field.name, field.default_value)

    least(message)
    found = record(kind, message)
    for field, _, value_type in sources(kind):
        value = getattr(found, field)
        allowed = typing.get_args(value_type)
        if value is None:
            assert type(None) in allowed, f"{kind.__name__}.{field} was absent"


def test_records_cannot_be_changed():
    plate = record(
        records.Plate,
        message_class("PlateInfo")(plate={"market": 1, "code": "BK1001"}, name="n", plateType=3),
    )
    assert plate == records.Plate("BK1001.HK", "n", "CONCEPT")
    with pytest.raises(AttributeError):
        plate.name = "other"
    assert msgspec.json.decode(msgspec.json.encode(plate)) == {
        "symbol": "BK1001.HK",
        "name": "n",
        "kind": "CONCEPT",
    }


def test_texts_that_are_not_utf_8_pass():
    body = message_class("PlateInfo")(plate={"market": 1, "code": "AB"}, name="CD")
    data = body.SerializeToString().replace(b"CD", b"\xff\xfe")
    plate = record(records.Plate, message_class("PlateInfo").FromString(data))
    assert plate.name == "\ufffd\ufffd"


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 0.0, -5.0, 1e300, 0, 10**18])
def test_what_is_no_time_is_none(seconds):
    assert nanoseconds(seconds) is None


def test_times_are_exact_to_the_microsecond():
    assert nanoseconds(1700010000.123457) == 1700010000123457000
    assert nanoseconds(1700010000) == 1700010000 * 10**9


# enumerations

TABLES = {
    name: table for name, table in vars(enums).items() if name.isupper() and isinstance(table, dict)
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_names_lead_back_to_their_numbers(table):
    for number, name in table.items():
        assert enums.name_of(table, number) == name
        assert table[enums.number_of(table, name.lower(), "a name")] == name
    assert len(set(table.values())) == len(table)


@given(st.sampled_from(list(TABLES.values())), st.integers(0, 999_999_999))
def test_unknown_numbers_pass_unharmed(table, number):
    assert enums.number_of(table, enums.name_of(table, number), "a name") == number


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"expected a kind \(ALL, INDUSTRY.*got 'planet'"):
        enums.number_of(enums.PLATE_KIND, "planet", "a kind")
    with pytest.raises(TypeError):
        enums.number_of(enums.PLATE_KIND, 1, "a kind")


def test_kinds_have_the_names_that_one_subscribes_to():
    assert KINDS[4] == "ticks"
    assert KINDS[11] == "bars:1m"
    assert KINDS[13] == "bars:1M"
    assert len(KINDS) == 21
