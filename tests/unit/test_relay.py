"""Options, addresses and shards of relays and feeds, without a server."""

import datetime
import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeed as ff
from fastfeed.feeds.nats import _start
from fastfeed.sinks.relay import _covers, _Tap, shard_of

AT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678900, datetime.UTC)


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch):
    for name in ("USER", "PASSWORD", "TOKEN", "CREDS"):
        monkeypatch.delenv(f"NATS_{name}", raising=False)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), st.integers(1, 50))
def test_each_symbol_belongs_to_one_shard(symbol, count):
    assert sum(shard_of(symbol, count) == i for i in range(count)) == 1


def test_shards_stay_what_they_are():
    assert [shard_of(s, 4) for s in ("700.HK", "AAPL.US", "BTCUSDT", "é")] == SHARDS


SHARDS = [2, 1, 3, 2]  # CRC-32, on any machine


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        ("md.>", True),
        (">", True),
        ("md.ticks.>", False),
        ("md.*", False),
        ("*.>", True),
        ("md", False),
        ("other.>", False),
    ],
)
def test_subjects_cover_others(pattern, covers):
    assert _covers(pattern, "md.>") is covers


@pytest.mark.parametrize(
    "options",
    [
        {"kinds": []},
        {"kinds": ["trades"]},
        {"shard": (0, 2)},
        {"shard": (3, 2)},
        {"prefix": "a b"},
        {"start": "then"},
        {"max_in_flight": 0},
        {"linger_s": 0},
        {"max_age_s": -1},
        {"max_bytes": 0},
        {"storage": "tape"},
        {"replicas": 9},
        {"creds": "/nowhere/at.all"},
        {"symbols": [""]},
    ],
    ids=str,
)
def test_options_of_a_relay_that_cannot_be(options):
    with pytest.raises(ff.ConfigError):
        ff.Relay(ff.Hub(), "nats://127.0.0.1", **options)


@pytest.mark.parametrize(
    "servers", ["", "http://h", "nats://", "nats://h/md", "nats://h:99999", "nats://h?x=1"]
)
def test_addresses_that_cannot_be(servers):
    with pytest.raises(ff.ConfigError, match="expected addresses of NATS"):
        ff.Relay(ff.Hub(), servers)


def test_credentials_are_shown_nowhere():
    relay = ff.Relay(ff.Hub(), "nats://me:secret@a:1,b")
    assert relay.url == "nats://a:1,b:4222"
    feed = ff.connect("nats://me:secret@a:1,me:secret@b/my.md")
    assert feed.url == "nats://a:1,b:4222/my.md"
    assert "secret" not in repr(relay) + repr(feed)
    with pytest.raises(ff.ConfigError) as caught:
        ff.connect("nats://me:secret@a:1/m d")
    assert "secret" not in str(caught.value)


def test_options_of_a_feed_stand_in_its_url():
    feed = ff.connect("nats://h/md?start=oldest&stream=other&wait_s=3&book_depth=4")
    assert (feed.url, feed.hub.book_depth) == ("nats://h:4222/md", 4)
    assert isinstance(feed, ff.Nats)
    assert isinstance(ff.connect("tls://h"), ff.Nats)
    for query in ("start=then", "sequence=0", "sequence=x", "start=oldest&sequence=4", "user=me"):
        with pytest.raises(ff.ConfigError):
            ff.connect(f"nats://h/md?{query}")


@pytest.mark.parametrize(
    ("start", "sequence", "expected"),
    [
        ("now", None, {}),
        ("oldest", None, {"opt_start_seq": 1}),
        ("now", 17, {"opt_start_seq": 17}),
        (AT, None, {"opt_start_time": AT}),
        ("2026-01-02T03:04:05.678900Z", None, {"opt_start_time": AT}),
        ("2026-01-02T11:04:05.678900+08:00", None, {"opt_start_time": AT}),
        (1767323045678900123, None, {"opt_start_time": AT}),
        ("1767323045678900123", None, {"opt_start_time": AT}),
    ],
)
def test_starts(start, sequence, expected):
    assert _start(start, sequence) == expected


@pytest.mark.parametrize("start", ["then", "", -1, 0, AT.replace(tzinfo=None), None, 1.5])
def test_starts_that_cannot_be(start):
    with pytest.raises(ValueError):
        _start(start, None)


def test_symbols_and_kinds_of_a_feed():
    feed = ff.Nats(servers="h")
    symbols = ["HK.00700", "AAPL.US", "Silver", "*", "a b"]
    assert feed.check(symbols, "ticks", "bars", "bars:60m") == [
        "700.HK", "AAPL.US", "Silver", "*", "a b",
    ]  # fmt: skip
    for symbol in ("", "x" * 81):
        with pytest.raises(ValueError, match="expected a symbol"):
            feed.check(symbol, "ticks")
    for kind in ("trades", "bars:7m", "ticks:1m"):
        with pytest.raises(ValueError, match="expected"):
            feed.check("A", kind)


def test_without_nats_there_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)

    async def main():
        with pytest.raises(ff.ConfigError, match=r"pip install 'fastfeed\[bus\]'"):
            await ff.connect("nats://127.0.0.1/md").open()
        with pytest.raises(ff.ConfigError, match=r"pip install 'fastfeed\[bus\]'"):
            await ff.Relay(ff.Hub(), "nats://127.0.0.1").open()

    ff.run(main())


class Overtaken:
    """A reader whose rows are partly overwritten before they can be copied."""

    def __init__(self, reader, write):
        self.reader, self.write = reader, write

    def __getattr__(self, name):
        return getattr(self.reader, name)

    def read(self, limit):
        rows = self.reader.read(limit)
        self.write()
        return rows


def test_of_rows_that_are_being_overwritten_only_those_are_lost():
    hub = ff.Hub(capacity=64)
    symbol = hub.symbols.intern("700.HK")

    def write(count):
        rows = np.zeros(count, ff.dtype("ticks"))
        rows["symbol"] = symbol
        hub.ticks.ring.write(rows.view(np.uint8))

    tap = _Tap(hub, "ticks", "now", "md", lambda name: True)
    write(60)
    tap.reader = Overtaken(tap.reader, lambda: write(10))
    assert sum(message.rows for message in tap.take(1 << 20)) == 54
    assert tap.lost == 6


def test_messages_of_a_symbol_do_not_stand_before_those_of_others():
    hub = ff.Hub()
    for name in ("A", "B", "C"):
        hub.symbols.intern(name)
    tap = _Tap(hub, "ticks", "now", "md", lambda name: True)
    rows = np.zeros(50, ff.dtype("ticks"))
    rows["symbol"] = [0] * 25 + [1] * 5 + [2] * 20
    rows["seq"] = range(50)
    hub.ticks.ring.write(rows.view(np.uint8))
    made = tap.take(tap.row_bytes + 512 + 9 * rows.itemsize)
    subjects = [(message.subject[-1], message.rows, message.first) for message in made]
    assert subjects == [
        ("A", 10, 0), ("B", 5, 0), ("C", 10, 0), ("A", 10, 10), ("C", 10, 10), ("A", 5, 20),
    ]  # fmt: skip
    assert tap.waiting == 50
    loaded = np.concatenate([np.load(io.BytesIO(message.payload)) for message in made])
    assert sorted(loaded["seq"]) == list(range(50))


def test_a_message_in_parts():
    hub = ff.Hub()
    hub.symbols.intern("A")
    tap = _Tap(hub, "ticks", "now", "md", lambda name: True)
    rows = np.zeros(25, ff.dtype("ticks"))
    rows["seq"] = range(25)
    hub.ticks.ring.write(rows.view(np.uint8))
    (whole,) = tap.take(1 << 20)
    assert whole.parts(1 << 20) == [whole]
    parts = whole.parts(tap.row_bytes + 512 + 9 * rows.itemsize)
    assert [(part.rows, part.first) for part in parts] == [(10, 0), (10, 10), (5, 20)]
    assert parts[0].headers == whole.headers  # one id: JetStream may have the whole
    assert [part.headers["Nats-Msg-Id"] for part in parts] == [
        f"{tap.run}.0.{n}" for n in (0, 10, 20)
    ]
    loaded = np.concatenate([np.load(io.BytesIO(part.payload)) for part in parts])
    assert loaded["seq"].tolist() == list(range(25))
