"""What is found wrong with feeds, at times that tests choose."""

import datetime

import pytest
from metrics import MINUTE_NS, FakeFeed, FakeHub, slot

from fastfeed.sinks.health import problems
from fastfeed.sinks.sight import Observed

# A Thursday, 10:00 in Hong Kong; New York sleeps.
OPEN_NS = int(datetime.datetime(2026, 11, 26, 2, tzinfo=datetime.UTC).timestamp() * 1e9)
URL = "opend://127.0.0.1:11111"


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: OPEN_NS)


def found(*slots, feeds=None, parts=None, symbols=("700.HK",), alive=True, **limits):
    hub = FakeHub([*slots], symbols, alive=alive)
    return problems(Observed(hub, feeds, parts).look(), **limits)


def up(last_ago_s=1.0, since_ago_s=3600.0, **more):
    return slot(
        URL, state="connected", since_ns=OPEN_NS - int(since_ago_s * 1e9),
        last_recv_ns=OPEN_NS - int(last_ago_s * 1e9), beat_ns=OPEN_NS, **more,
    )  # fmt: skip


def down(state="disconnected", ago_s=11.0):
    return slot(URL, state=state, since_ns=OPEN_NS - int(ago_s * 1e9), beat_ns=OPEN_NS)


@pytest.mark.parametrize("feeds", [None, [FakeFeed(URL, ["700.HK"])]])
def test_all_is_well(feeds):
    assert found(up(), feeds=feeds) == []


@pytest.mark.parametrize("feeds", [None, [FakeFeed(URL, ["700.HK"], connected=False)]])
@pytest.mark.parametrize("state", ["connecting", "disconnected"])
def test_down_for_too_long(feeds, state):
    assert found(down(state, 9), feeds=feeds) == []
    assert found(down(state, 11), feeds=feeds) == [f"{URL}: {state} for 11 s"]
    assert found(down(state, 11), feeds=feeds, down_s=30) == []


def test_a_closed_feed_is_wrong_only_where_it_should_be_there():
    mine = [FakeFeed(URL, ["700.HK"], connected=False)]
    assert found(down("closed"), feeds=mine) == [f"{URL}: closed for 11 s"]
    other = slot("longport:", state="connected", since_ns=OPEN_NS, beat_ns=OPEN_NS)
    assert found(down("closed"), other) == []
    assert found(down("closed")) == ["no feed is open"]
    assert found() == []  # nobody has said that there is one


def test_a_feed_that_has_not_begun():
    assert found(feeds=[FakeFeed(URL, [], connected=False)]) == [f"{URL}: not connected"]
    assert found(feeds=[FakeFeed(URL, [], connected=True)]) == []


def test_one_of_several_connections_is_down():
    assert found(up(), down()) == [f"{URL}: disconnected for 11 s"]
    assert found(down(), up()) == [f"{URL}: disconnected for 11 s"]
    assert found(up(), down("closed")) == []
    assert found(down("closed"), up()) == []


def test_silent_while_the_market_is_open():
    feeds = [FakeFeed(URL, ["AAPL.US", "700.HK"])]
    assert found(up(61), feeds=feeds) == [f"{URL}: no row for 61 s while HK is open"]
    assert found(up(61), feeds=feeds, silent_s=100) == []
    assert found(up(61)) == ["no row of any feed for 61 s while HK is open"]


@pytest.mark.parametrize("symbols", [["AAPL.US"], ["1.M99"], []])
def test_silent_while_no_market_is_open(symbols):
    assert found(up(7200), feeds=[FakeFeed(URL, symbols)], symbols=symbols) == []
    assert found(up(7200), symbols=symbols) == []


def test_silence_begins_with_the_session_and_with_the_connection():
    feeds = [FakeFeed(URL, ["700.HK"])]
    assert found(up(86400, since_ago_s=50), feeds=feeds) == []
    # The session began half an hour ago.
    assert found(up(86400, since_ago_s=2 * 86400), feeds=feeds) == [
        f"{URL}: no row for 1800 s while HK is open"
    ]


def test_crypto_is_always_open(monkeypatch):
    saturday_ns = OPEN_NS + 2 * 1440 * MINUTE_NS
    monkeypatch.setattr("time.time_ns", lambda: saturday_ns)
    quiet = {**up(), "beat_ns": saturday_ns}
    feeds = [FakeFeed(URL, ["BTCUSDT"])]
    assert found(quiet, feeds=feeds) == [f"{URL}: no row for 172801 s while CC is open"]
    assert found(quiet, feeds=[FakeFeed(URL, ["EURUSD", "700.HK"])]) == []


def test_files_that_are_played_back_may_end():
    played = {**up(3600), "url": "file:/data"}
    assert found(played, feeds=[FakeFeed("file:/data", ["700.HK"])]) == []


def test_the_writer_is_gone_or_hangs():
    assert found(up(), alive=False) == ["the writer of the hub is gone"]
    hangs = {**up(), "beat_ns": OPEN_NS - 15 * 10**9}
    assert found(hangs) == [f"{URL}: its event loop has had no time for 15 s"]


def test_parts_that_fail():
    class Part:
        def __init__(self, **stats):
            self.stats = lambda: stats

    recording = Part(failing="no space left on device")
    relay = Part(connected=False, failing=None)
    parts = {"recording": recording, "capture": Part(failing=None), "relay": relay}
    assert found(up(), parts=parts) == [
        "recording: no space left on device",
        "relay: not connected",
    ]
