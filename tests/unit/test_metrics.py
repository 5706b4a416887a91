"""Metrics: their names, their values, histograms, and what is done when the event loop does not answer."""

import asyncio
import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics import FakeFeed, FakeHub, samples, slot, value
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser

import fastfeed as ff
from fastfeed._core.meter import Latency
from fastfeed.sinks.metrics import BOUNDS_NS, FAMILIES, families
from fastfeed.sinks.sight import Observed

LENGTHS = st.lists(st.integers(-5, 2**41) | st.integers(0, 20_000), max_size=200)


def scraped(hub, **options):
    registry = CollectorRegistry()
    registry.register(ff.MetricsCollector(hub, **options))
    return generate_latest(registry).decode()


# latencies


@given(LENGTHS, st.lists(st.integers(-1, 2**39), max_size=10))
def test_counts_up_to_a_length(lengths, bounds):
    latency = Latency(lengths)
    kept = [length for length in lengths if length >= 0]
    counts = latency.up_to(sorted(bounds))
    assert counts == sorted(counts)
    for bound, count in zip(sorted(bounds), counts, strict=True):
        least = sum(length + length / 31 <= bound for length in kept)
        most = sum(length - length / 31 <= bound for length in kept)
        assert least <= count <= most


@given(LENGTHS, LENGTHS)
def test_latencies_of_two_feeds(one, other):
    both, expected = Latency(one).plus(Latency(other)), Latency(one + other)
    assert both.as_dict() == expected.as_dict()
    assert both.sum_ns == pytest.approx(expected.sum_ns)
    exact = sum(min(length, 2**40) for length in one + other if length >= 0)
    assert both.sum_ns == pytest.approx(exact, rel=1 / 32)


def quantile(buckets, q):
    """Return what Prometheus' histogram_quantile() does, and the bucket's ends."""
    rank, low = q * buckets[-1][1], 0.0
    for bound, count in buckets:
        if count >= rank:
            return low, bound
        low = bound
    raise AssertionError("no bucket has it")


def test_histograms_are_those_of_prometheus():
    random = np.random.default_rng(3)
    lengths = np.exp(random.normal(11, 2, 20_000)).astype(int).clip(1, 9 * 10**9)
    hub = FakeHub([slot("opend://a", lengths=[*lengths.tolist(), -7, -8])])
    found = samples(scraped(hub))
    name = "fastfeed_feed_gateway_to_receive_seconds"
    buckets = [(float(labels["le"]), v) for labels, v in found[f"{name}_bucket"]]
    assert [bound for bound, _ in buckets] == [*(each / 1e9 for each in BOUNDS_NS), float("inf")]
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == value(found, f"{name}_count", feed="opend://a") == len(lengths)
    assert value(found, f"{name}_sum") == pytest.approx(lengths.sum() / 1e9, rel=1 / 32)
    assert value(found, "fastfeed_feed_negative_latencies_total") == 2
    for q in (0.01, 0.5, 0.9, 0.99, 0.999):
        low, high = quantile(buckets, q)
        assert low * 31 / 32 <= np.quantile(lengths, q) / 1e9 <= high * 33 / 32


def test_bounds():
    assert (BOUNDS_NS[0], BOUNDS_NS[-1]) == (1000, 10**10)
    assert all(1 < b / a < 1.7 for a, b in itertools.pairwise(BOUNDS_NS))


# names and values


def test_every_metric_has_a_name_as_prometheus_wants_it():
    for name, family in FAMILIES.items():
        assert name.startswith("fastfeed_")
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
        assert not any(unit in name for unit in ("_ns", "_ms", "_kb", "_latency_"))
        assert family.help.endswith(".")
        if family.kind == "histogram":
            assert name.endswith("_seconds")


def test_what_is_described_is_what_is_collected():
    described = {
        m.name: (m.type, m.documentation) for m in ff.MetricsCollector(FakeHub()).describe()
    }
    assert list(described) == list(FAMILIES)
    for metric in ff.MetricsCollector(FakeHub([slot("a:")])).collect():
        assert described[metric.name] == (metric.type, metric.documentation)
    registry = CollectorRegistry()
    registry.register(ff.MetricsCollector(FakeHub()))
    with pytest.raises(ValueError, match=r"[Dd]uplicate"):
        registry.register(ff.MetricsCollector(FakeHub()))


READER = {
    "pid": 7, "program": 'a "b"\n', "id": "7-0/3", "stream": "ticks", "position": 5, "lag": 95, "lost": 4,
    "read_ns": 2_500_000_000, "publish_to_read": Latency([1500]),
}  # fmt: skip
STATS = {
    "recording": {
        "rows": {"ticks": 10}, "lost": {"ticks": 1}, "dropped": {"ticks": 2}, "bytes": 640, "segments": 1,
        "sealed": 3, "sealed_bytes": 99, "open_bytes": 1, "lag_rows": 5, "lag_s": 0.5, "failing": "full",
    },
    "capture": {
        "bytes": 100, "stored_bytes": 50, "records": 4, "gaps": 1, "lost_bytes": 9, "segments": 2, "failing": None,
    },
    "relay": {
        "rows": {"ticks": 8}, "messages": 2, "bytes": 512, "lost": {"ticks": 3}, "in_flight": 1, "retries": 6,
        "reconnects": 7, "lag_rows": 11, "connected": True, "failing": None,
    },
}  # fmt: skip


class Part:
    def __init__(self, stats):
        self.stats = lambda: stats


def test_values():
    feed = FakeFeed(
        "opend://a", ["700.HK", "AAPL.US"], rejected={"bad": 3, "worse": 1}, duplicates=5, bytes=10, ticks=2
    )  # fmt: skip
    other = FakeFeed("opend://a", ["1.HK"], rejected={"bad": 1}, duplicates=1)
    hub = FakeHub(
        [slot("opend://a", last_recv_ns=10**18, lost_rows=9), slot("b:", state="closed", rejected=6)],
        ["700.HK"], readers=[READER],
    )  # fmt: skip
    parts = {name: Part(stats) for name, stats in STATS.items()}
    text = scraped(hub, feeds=[feed, other], parts=parts)
    found = samples(text)
    expected = {
        "fastfeed_build_info": 1, "fastfeed_event_loop_up": 1, "fastfeed_hub_up": 1, "fastfeed_symbols": 1,
        "fastfeed_lost_rows_total": 9, "fastfeed_reader_lost_rows_total": 4,
        "fastfeed_reader_last_read_timestamp_seconds": 2.5, "fastfeed_reader_publish_to_read_seconds_count": 1,
        "fastfeed_recording_rows_total": 10, "fastfeed_recording_lost_rows_total": 1,
        "fastfeed_recording_dropped_rows_total": 2, "fastfeed_recording_written_bytes_total": 640,
        "fastfeed_recording_open_segments": 1, "fastfeed_recording_sealed_files_total": 3,
        "fastfeed_recording_lag_rows": 5, "fastfeed_recording_lag_seconds": 0.5, "fastfeed_recording_failing": 1,
        "fastfeed_capture_received_bytes_total": 100, "fastfeed_capture_stored_bytes_total": 50,
        "fastfeed_capture_records_total": 4, "fastfeed_capture_gaps_total": 1,
        "fastfeed_capture_lost_bytes_total": 9, "fastfeed_capture_segments_total": 2, "fastfeed_capture_failing": 0,
        "fastfeed_relay_rows_total": 8, "fastfeed_relay_lost_rows_total": 3, "fastfeed_relay_messages_total": 2,
        "fastfeed_relay_sent_bytes_total": 512, "fastfeed_relay_in_flight_messages": 1,
        "fastfeed_relay_retries_total": 6, "fastfeed_relay_reconnects_total": 7, "fastfeed_relay_lag_rows": 11,
        "fastfeed_relay_up": 1, "fastfeed_relay_failing": 0,
    }  # fmt: skip
    for name, number in expected.items():
        assert value(found, name) == number, name
    assert value(found, "fastfeed_rows_total", stream="ticks") == 100
    assert value(found, "fastfeed_ring_rows", stream="ticks") == 64
    assert value(found, "fastfeed_feed_rejected_total", feed="opend://a", reason="bad") == 4
    assert value(found, "fastfeed_feed_rejected_total", feed="opend://a", reason="worse") == 1
    assert value(found, "fastfeed_feed_rejected_total", feed="b:", reason="unknown") == 6
    assert value(found, "fastfeed_feed_irregularities_total", what="duplicates") == 6
    assert len(found["fastfeed_feed_irregularities_total"]) == 1
    assert value(found, "fastfeed_feed_symbols", kind="ticks") == 3
    assert value(found, "fastfeed_feed_up", feed="opend://a") == 1
    assert value(found, "fastfeed_feed_up", feed="b:") == 0
    assert value(found, "fastfeed_feed_last_row_timestamp_seconds", feed="opend://a") == 1e9
    who = {"program": 'a "b"\n', "pid": "7", "stream": "ticks", "reader": "0/3"}
    assert found["fastfeed_reader_lag_rows"] == [(who, 95)]
    for kind in ("counter", "gauge", "histogram"):
        assert f" {kind}\n" in text


def test_feeds_of_one_url_are_one():
    slots = [
        slot("a:", state="closed", since_ns=5, rows=1, bytes=1, lengths=[10]),
        slot("a:", since_ns=7, rows=2, bytes=2, lengths=[10, 20], last_recv_ns=3),
        slot("a:", since_ns=9, rows=4, bytes=4, last_recv_ns=2, lost_rows=3),
    ]
    (feed,) = Observed(FakeHub(slots)).look().feeds.values()
    assert (feed["rows"], feed["bytes"], feed["up"], feed["since_ns"]) == (7, 7, True, 9)
    assert (feed["last_recv_ns"], feed["lost_rows"]) == (3, 3)
    assert feed["receive_to_publish"].count == 3
    assert slots[0]["rows"] == 1  # what was seen is left alone
    text = scraped(FakeHub(slots))
    assert value(samples(text), "fastfeed_feed_rows_total", feed="a:") == 7


def test_openmetrics_says_the_same():
    registry = CollectorRegistry()
    registry.register(ff.MetricsCollector(FakeHub([slot("a:", lengths=[1000])], readers=[READER])))
    text = openmetrics.generate_latest(registry).decode()
    strict = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for f in openmetrics_parser.text_string_to_metric_families(text) for s in f.samples
    }  # fmt: skip
    plain = {
        (name, tuple(sorted(labels.items()))): v
        for name, each in samples(generate_latest(registry).decode()).items() for labels, v in each
    }  # fmt: skip
    assert strict == plain


def test_a_part_that_is_not_known():
    with pytest.raises(ValueError, match=r"expected parts by their names .* got 'records'"):
        ff.MetricsCollector(FakeHub(), parts={"records": Part({})})


# a loop that does not answer


class Alarm:
    """A loop in a thread, that can be held up."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.held = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return self

    def hold(self):
        begun = threading.Event()

        def wait():
            begun.set()
            self.held.wait(30)

        self.loop.call_soon_threadsafe(wait)
        assert begun.wait(10)

    def __exit__(self, *exc):
        self.held.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def test_counters_are_asked_for_in_the_loop():
    asked = []

    class Feed(FakeFeed):
        def stats(self):
            asked.append(threading.current_thread())
            return super().stats()

    with Alarm() as alarm:
        observed = Observed(FakeHub(), lambda: [Feed("a:", ["700.HK"])], loop=alarm.loop)
        sight = observed.look()
        assert sight.responds
        assert asked == [alarm.thread]
        alarm.hold()
        for _ in range(20):
            held = observed.look(0.001)
            assert not held.responds
            assert held.own["a:"].symbols == ("700.HK",)  # as it was
        alarm.held.set()
        assert observed.look().responds
        assert len(asked) <= 3  # not once for each that asked meanwhile
    assert not observed.look().responds


def test_a_loop_that_looks_itself_is_not_waited_for():
    async def main():
        began = time.monotonic()
        assert Observed(FakeHub(), [FakeFeed("a:", [])]).look().responds
        return time.monotonic() - began

    assert asyncio.run(main()) < 1.5


def test_what_a_feed_raises_is_raised():
    class Feed(FakeFeed):
        def stats(self):
            raise RuntimeError("broken")

    with Alarm() as alarm:
        observed = Observed(FakeHub(), [Feed("a:", [])], loop=alarm.loop)
        with pytest.raises(RuntimeError, match="broken"):
            observed.look()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ff.ConfigError, match=r"pip install 'fastfeed\[metrics\]'"):
        ff.serve_metrics(0, FakeHub())
    with pytest.raises(ff.ConfigError, match=r"pip install 'fastfeed\[metrics\]'"):
        next(families({}))


def test_importing_does_not_import_the_package():
    code = "import fastfeed, fastfeed.cli.main, sys; assert 'prometheus_client' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
