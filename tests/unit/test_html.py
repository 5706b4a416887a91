"""What notebooks show of feeds, streams and hubs."""

import asyncio
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from row_samples import rows_like

import fastfeed as ff
from fastfeed import html
from fastfeed.schema import STREAMS, dtype

NS = 1_767_400_000_123_456_789  # 2026-01-03 00:26:40.123456789 UTC


@pytest.fixture
def hub():
    hub = ff.Hub(capacity=64)
    hub.symbols.intern("700.HK")
    hub.symbols.intern("<b>&X")
    return hub


def write(hub, rows, stream="ticks"):
    hub.stream(stream).ring.write(rows.tobytes())


def cells(text):
    """Return the texts of the last table's rows; the markup is well-formed."""
    tables = ET.fromstring(text).findall("table")
    return [[cell.text or "" for cell in row] for row in tables[-1].iter("tr")]


def shown(text):
    return "".join(ET.fromstring(text).itertext())


def test_stream_without_rows(hub):
    assert shown(hub.ticks._repr_html_()) == (
        "Stream of ticks 0 rows (none yet); the ring keeps 64"
    )


def test_stream_shows_its_last_rows(hub):
    rows = np.zeros(12, dtype("ticks"))
    rows["price"] = np.arange(12) + 0.25
    rows["time_ns"] = NS
    rows["recv_ns"] = NS + 1_000_000
    rows["side"] = [1, -1, 0] * 4
    rows["symbol"] = [0, 1] * 6
    rows["flags"] = 10
    rows["session"] = 2
    rows["volume"] = 1234567
    rows["turnover"] = np.nan
    rows["time_ns"][11] = 0
    write(hub, rows)
    text = hub.ticks._repr_html_()
    assert "12 rows (the last 8 of them, newest first)" in shown(text)
    found = cells(text)
    assert found[0] == [
        *("time (UTC)", "symbol", "price", "volume", "turnover", "side", "session", "flags"),
    ]
    assert len(found) == 9
    assert found[1] == [
        *("2026-01-03 00:26:40.124456", "<b>&X", "11.25", "1,234,567", "-", ""),
        *("pre", "backfilled, gap"),
    ]
    assert found[2][:3] == ["2026-01-03 00:26:40.123456", "700.HK", "10.25"]
    assert found[2][5] == "sell"
    assert "<b>&X" not in text


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_has_a_table(hub, stream):
    rows = rows_like(stream, 20, symbols=2)
    rows["symbol"][-1] = 77
    write(hub, rows, stream)
    found = cells(hub.stream(stream)._repr_html_())
    assert len(found) == 9
    assert found[1][1] == "#77"
    assert {row[1] for row in found[2:]} <= {"700.HK", "<b>&X"}


def test_hub(hub):
    write(hub, np.zeros(3, dtype("ticks")))
    meter = hub.meters.take("opend://127.0.0.1:11111")
    text = hub._repr_html_()
    assert shown(text).startswith("Hub 2 symbols")
    assert meter is not None
    assert cells(text)[1][:3] == ["opend://127.0.0.1:11111", "connecting", "0"]
    assert "ticks364" in shown(text)
    hub.end(ff.ConnectError("<gone>"))
    assert "; ended: <gone>" in shown(hub.ticks._repr_html_())


def test_attached_hub(hub):
    with ff.Hub("html-test", capacity=64) as named:
        named.symbols.intern("700.HK")
        named.ticks.ring.write(np.zeros(3, dtype("ticks")).tobytes())
        with ff.attach("html-test") as there:
            assert "AttachedHub html-test 1 symbol; written by process" in shown(
                there._repr_html_()
            )
            assert "(alive)" in shown(there._repr_html_())
            assert [row[1] for row in cells(there.ticks._repr_html_())[1:]] == ["700.HK"] * 3
            assert shown(there.ticks._repr_html_()).startswith("AttachedStream of ticks 3 rows")
        assert "(closed)" in shown(there._repr_html_())


def test_feed():
    feed = ff.AllTick(token="secret-token", market="crypto")
    text = shown(feed._repr_html_())
    assert "not open yet" in text
    assert "secret-token" not in feed._repr_html_()
    feed._wanted["ticks"] = dict.fromkeys(f"S{i}<" for i in range(12))
    feed._connections = 1234
    text = feed._repr_html_()
    assert "S0<, S1<, S2<, S3<, S4<, S5<, S6<, S7<, ..." in shown(text)
    assert "S0<" not in text
    assert ["connections", "1,234"] in cells(text)
    asyncio.run(feed.close())
    assert "closed" in shown(feed._repr_html_())


class Broken:
    @property
    def capacity(self):
        raise RuntimeError("no")

    def __repr__(self):
        return "<Broken & sad>"


class Worse(Broken):
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "make", [lambda x: html.stream_html(x, None), html.hub_html, lambda x: html.feed_html(x, "")]
)
def test_nothing_raises(make):
    assert make(Broken()) == "<pre>&lt;Broken &amp; sad&gt;</pre>"
    assert make(Worse()) == "<pre>&lt;Worse&gt;</pre>"


def test_colours_are_those_of_the_page(hub):
    write(hub, rows_like("ticks", 3, symbols=2))
    text = hub.ticks._repr_html_()
    assert "#" not in text.replace("&#", "")
    for word in (":black", ":white;", "<script", "<style"):
        assert word not in text
