"""Metrics for Prometheus: our counters under its names, read when somebody asks for them.

Nothing is counted here: a scrape costs what it costs in its own thread, and the receive path does not know of it.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fastfeed._core.meter import Latency
from fastfeed.errors import ConfigError
from fastfeed.sinks.sight import FeedsOf, Observed, OwnFeed, Sight, Source, Watched

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = [
    "BOUNDS_NS",
    "FAMILIES",
    "Family",
    "MetricsCollector",
    "Samples",
    "families",
    "samples_of",
]

#: Upper bounds of the buckets of histograms, from 1 µs to 10 s.
BOUNDS_NS = (
    *(step * 10**power for power in range(2, 9) for step in (10, 15, 20, 30, 50, 70)),
    10**10,
)

_EXACT = "Bounds and sum are those of finer buckets: exact to 3.2 %."


class Family(NamedTuple):
    """A metric with all its labels; counters without ``_total``, as prometheus_client wants them."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


#: All that are exported, in this order; those of a part only where there is one.
FAMILIES = {
    "fastfeed_build": Family("info", "Version of fastfeed.", ("version",)),
    "fastfeed_event_loop_up": Family("gauge", "Whether the event loop answers within two seconds."),
    "fastfeed_hub_up": Family("gauge", "Whether the writer of the hub lives."),
    "fastfeed_hub_start_time_seconds": Family("gauge", "When a hub with a name began."),
    "fastfeed_rows": Family("counter", "Rows that were published.", ("stream",)),
    "fastfeed_ring_rows": Family("gauge", "Rows that the ring holds.", ("stream",)),
    "fastfeed_ring_capacity_rows": Family("gauge", "Rows that the ring can hold.", ("stream",)),
    "fastfeed_symbols": Family("gauge", "Symbols that the hub knows."),
    "fastfeed_lost_rows": Family(
        "counter", "Rows overwritten before loops and callbacks of the writer's process had them."
    ),
    "fastfeed_feed_up": Family("gauge", "Whether the feed is connected.", ("feed",)),
    "fastfeed_feed_state_start_time_seconds": Family(
        "gauge", "When it was connected, or was no longer.", ("feed",)
    ),
    "fastfeed_feed_connections": Family("counter", "Connections that were made.", ("feed",)),
    "fastfeed_feed_gaps": Family("counter", "Interruptions that were told.", ("feed",)),
    "fastfeed_feed_received_bytes": Family("counter", "Bytes that arrived.", ("feed",)),
    "fastfeed_feed_packets": Family("counter", "Packets or messages that arrived.", ("feed",)),
    "fastfeed_feed_rows": Family("counter", "Rows that the feed has published.", ("feed",)),
    "fastfeed_feed_rejected": Family(
        "counter",
        "Packets and rows that could not be used. Of another process's feeds the reason is unknown.",
        ("feed", "reason"),
    ),
    "fastfeed_feed_irregularities": Family(
        "counter",
        "What was passed over, cut or repeated and the like, by its name in the feed's stats().",
        ("feed", "what"),
    ),
    "fastfeed_feed_symbols": Family("gauge", "Symbols that are subscribed.", ("feed", "kind")),
    "fastfeed_feed_last_row_timestamp_seconds": Family(
        "gauge", "When the last row arrived.", ("feed",)
    ),
    "fastfeed_feed_event_loop_timestamp_seconds": Family(
        "gauge", "When the feed's event loop last had time.", ("feed",)
    ),
    "fastfeed_feed_negative_latencies": Family(
        "counter",
        "Latencies left out of the histogram because the gateway's clock is ahead of this one.",
        ("feed",),
    ),
    "fastfeed_feed_gateway_to_receive_seconds": Family(
        "histogram",
        f"From the vendor's gateway to the arrival of the bytes, of live rows. {_EXACT}",
        ("feed",),
    ),
    "fastfeed_feed_receive_to_publish_seconds": Family(
        "histogram",
        f"From the arrival of the bytes until readers could see the row. {_EXACT}",
        ("feed",),
    ),
    "fastfeed_reader_lag_rows": Family(
        "gauge", "Rows that it has not read yet.", ("program", "pid", "stream", "reader")
    ),
    "fastfeed_reader_lost_rows": Family(
        "counter",
        "Rows overwritten before it came to them.",
        ("program", "pid", "stream", "reader"),
    ),
    "fastfeed_reader_last_read_timestamp_seconds": Family(
        "gauge", "When it last read rows.", ("program", "pid", "stream", "reader")
    ),
    "fastfeed_reader_publish_to_read_seconds": Family(
        "histogram",
        f"From the publication to the read that found it, where readers measure it. {_EXACT}",
        ("program", "pid", "stream", "reader"),
    ),
    "fastfeed_recording_rows": Family("counter", "Rows that were written.", ("stream",)),
    "fastfeed_recording_lost_rows": Family(
        "counter", "Rows overwritten in the ring before they were taken.", ("stream",)
    ),
    "fastfeed_recording_dropped_rows": Family(
        "counter", "Rows that could not be written.", ("stream",)
    ),
    "fastfeed_recording_written_bytes": Family("counter", "Bytes that were written."),
    "fastfeed_recording_open_segments": Family(
        "gauge", "Segments that are being written, or wait to become Parquet files."
    ),
    "fastfeed_recording_sealed_files": Family("counter", "Files that were finished."),
    "fastfeed_recording_sealed_bytes": Family("counter", "Bytes of finished files."),
    "fastfeed_recording_lag_rows": Family("gauge", "Rows that have not been written yet."),
    "fastfeed_recording_lag_seconds": Family(
        "gauge", "For how long the oldest of them has been in the ring."
    ),
    "fastfeed_recording_failing": Family("gauge", "Whether it cannot write at the moment."),
    "fastfeed_capture_received_bytes": Family("counter", "Bytes that were captured."),
    "fastfeed_capture_stored_bytes": Family("counter", "Bytes that they take in files."),
    "fastfeed_capture_records": Family("counter", "Pieces of streams that were captured."),
    "fastfeed_capture_gaps": Family("counter", "Places where something is missing."),
    "fastfeed_capture_lost_bytes": Family("counter", "Bytes that could not be captured."),
    "fastfeed_capture_segments": Family("counter", "Files that were begun."),
    "fastfeed_capture_failing": Family("gauge", "Whether it cannot write at the moment."),
    "fastfeed_relay_rows": Family("counter", "Rows that were acknowledged.", ("stream",)),
    "fastfeed_relay_lost_rows": Family(
        "counter", "Rows overwritten in the ring before they were taken.", ("stream",)
    ),
    "fastfeed_relay_messages": Family("counter", "Messages that were acknowledged."),
    "fastfeed_relay_sent_bytes": Family("counter", "Bytes of these messages."),
    "fastfeed_relay_in_flight_messages": Family("gauge", "Messages not acknowledged yet."),
    "fastfeed_relay_retries": Family("counter", "Messages that were sent again."),
    "fastfeed_relay_reconnects": Family("counter", "Connections that were made again."),
    "fastfeed_relay_lag_rows": Family("gauge", "Rows that have not been acknowledged yet."),
    "fastfeed_relay_up": Family("gauge", "Whether it is connected."),
    "fastfeed_relay_failing": Family("gauge", "Whether JetStream refuses messages at the moment."),
}

#: Of parts: the key of its stats by metric, what has labels in a dict.
_PART_METRICS = {
    "recording": {
        "fastfeed_recording_rows": "rows",
        "fastfeed_recording_lost_rows": "lost",
        "fastfeed_recording_dropped_rows": "dropped",
        "fastfeed_recording_written_bytes": "bytes",
        "fastfeed_recording_open_segments": "segments",
        "fastfeed_recording_sealed_files": "sealed",
        "fastfeed_recording_sealed_bytes": "sealed_bytes",
        "fastfeed_recording_lag_rows": "lag_rows",
        "fastfeed_recording_lag_seconds": "lag_s",
        "fastfeed_recording_failing": "failing",
    },
    "capture": {
        "fastfeed_capture_received_bytes": "bytes",
        "fastfeed_capture_stored_bytes": "stored_bytes",
        "fastfeed_capture_records": "records",
        "fastfeed_capture_gaps": "gaps",
        "fastfeed_capture_lost_bytes": "lost_bytes",
        "fastfeed_capture_segments": "segments",
        "fastfeed_capture_failing": "failing",
    },
    "relay": {
        "fastfeed_relay_rows": "rows",
        "fastfeed_relay_lost_rows": "lost",
        "fastfeed_relay_messages": "messages",
        "fastfeed_relay_sent_bytes": "bytes",
        "fastfeed_relay_in_flight_messages": "in_flight",
        "fastfeed_relay_retries": "retries",
        "fastfeed_relay_reconnects": "reconnects",
        "fastfeed_relay_lag_rows": "lag_rows",
        "fastfeed_relay_up": "connected",
        "fastfeed_relay_failing": "failing",
    },
}
_FEED_COUNTERS = {
    "fastfeed_feed_connections": "connections",
    "fastfeed_feed_gaps": "gaps",
    "fastfeed_feed_received_bytes": "bytes",
    "fastfeed_feed_packets": "packets",
    "fastfeed_feed_rows": "rows",
}
_FEED_TIMES = {
    "fastfeed_feed_state_start_time_seconds": "since_ns",
    "fastfeed_feed_last_row_timestamp_seconds": "last_recv_ns",
    "fastfeed_feed_event_loop_timestamp_seconds": "beat_ns",
}
#: Of a feed's stats: what other metrics tell, and what is no irregularity.
_REGULAR = frozenset((
    "connections", "lost_rows", "bytes", "packets", "messages", "frames", "compressed",
    "ticks", "quotes", "books", "odd_books", "bars", "timeshare", "brokers",
))  # fmt: skip


class Samples(dict[str, list[tuple[tuple[str, ...], Any]]]):
    """By metric, the values of its labels and its own."""

    def add(self, name: str, labels: tuple[str, ...], value: Any) -> None:
        """Add a sample."""
        self.setdefault(name, []).append((labels, value))


class MetricsCollector:
    """A collector for a registry of prometheus_client's: what a hub, its feeds and its sinks have counted.

    ``registry.register(MetricsCollector(hub, feeds=[feed]))``; one in a registry, a second one is refused there. It
    reads when the registry is asked, in the thread that asks, also while the hub is written. Needs
    ``pip install 'fastfeed[metrics]'``.

    Parameters
    ----------
    hub : Hub or AttachedHub
    feeds : iterable of Feed or callable, optional
        Those of this process; or what returns them, in the event loop. They add why something was rejected and
        what is subscribed: all else the hub tells, of up to 64 feeds.
    parts : mapping, optional
        ``"recording"``, ``"capture"`` or ``"relay"`` and what has counters of that name.
    loop : event loop, optional
        Where feeds and parts live; by default the one that runs now. It is asked for their counters, and has two
        seconds to answer: after that those are told that it gave before, and ``fastfeed_event_loop_up`` is 0.

    Raises
    ------
    ValueError
        There is no part of that name.
    """

    def __init__(
        self,
        hub: Watched,
        *,
        feeds: FeedsOf | None = None,
        parts: Mapping[str, Source] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.observed = Observed(hub, feeds, parts, loop)

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values, as registries want it."""
        return families(Samples())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from families(samples_of(self.observed.look()))


def families(samples: Samples) -> Iterator[Metric]:
    """Yield metrics with their samples; without any samples at all, all metrics.

    Raises
    ------
    ConfigError
        prometheus_client is not installed.
    """
    try:
        from prometheus_client import core
    except ModuleNotFoundError:
        raise ConfigError(
            "metrics need the package prometheus_client: pip install 'fastfeed[metrics]'"
        ) from None
    kinds: dict[str, Any] = {
        "counter": core.CounterMetricFamily,
        "gauge": core.GaugeMetricFamily,
        "info": core.InfoMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }
    for name, family in FAMILIES.items():
        if samples and name not in samples:
            continue
        labels = () if family.kind == "info" else family.labels
        metric = kinds[family.kind](name, family.help, labels=labels)
        for values, value in samples.get(name, ()):
            if family.kind == "histogram":
                metric.add_metric(values, *_buckets(value))
            elif family.kind == "info":
                metric.add_metric((), dict(zip(family.labels, values, strict=True)))
            else:
                metric.add_metric(values, value)
        yield metric


_LE = tuple(str(bound / 1e9) for bound in BOUNDS_NS)


def _buckets(latency: Latency) -> tuple[list[tuple[str, int]], float]:
    counts = [*latency.up_to(BOUNDS_NS), latency.count]
    return list(zip((*_LE, "+Inf"), counts, strict=True)), latency.sum_ns / 1e9


def samples_of(sight: Sight) -> Samples:
    """Return the values of all metrics."""
    found = Samples()
    found.add("fastfeed_build", (_version(),), 1)
    found.add("fastfeed_event_loop_up", (), int(sight.responds))
    _add_hub(found, sight)
    for url, feed in sight.feeds.items():
        _add_feed(found, url, feed)
        if sight.own is None or url not in sight.own:
            found.add("fastfeed_feed_rejected", (url, "unknown"), feed["rejected"])
    for url, own in (sight.own or {}).items():
        _add_own_feed(found, url, own)
    for reader in sight.hub["readers"]:
        _add_reader(found, reader)
    for name, stats in sight.parts.items():
        _add_part(found, _PART_METRICS[name], stats)
    return found


@cache
def _version() -> str:
    return importlib.metadata.version("fastfeed")


def _add_hub(found: Samples, sight: Sight) -> None:
    found.add("fastfeed_hub_up", (), int(sight.hub["alive"]))
    if sight.hub["generation"]:
        found.add("fastfeed_hub_start_time_seconds", (), sight.hub["generation"] / 1e9)
    found.add("fastfeed_symbols", (), sight.symbols)
    lost = max((feed["lost_rows"] for feed in sight.feeds.values()), default=0)
    found.add("fastfeed_lost_rows", (), lost)
    for name, stream in sight.hub["streams"].items():
        found.add("fastfeed_rows", (name,), stream["rows"])
        found.add("fastfeed_ring_rows", (name,), min(stream["rows"], stream["capacity"]))
        found.add("fastfeed_ring_capacity_rows", (name,), stream["capacity"])


def _add_feed(found: Samples, url: str, feed: dict[str, Any]) -> None:
    found.add("fastfeed_feed_up", (url,), int(feed["up"]))
    for name, key in _FEED_COUNTERS.items():
        found.add(name, (url,), feed[key])
    for name, key in _FEED_TIMES.items():
        if feed[key]:
            found.add(name, (url,), feed[key] / 1e9)
    for key in ("gateway_to_receive", "receive_to_publish"):
        found.add(f"fastfeed_feed_{key}_seconds", (url,), feed[key])
    found.add("fastfeed_feed_negative_latencies", (url,), feed["gateway_to_receive"].negative)


def _add_own_feed(found: Samples, url: str, own: OwnFeed) -> None:
    for reason, count in own.rejected.items():
        found.add("fastfeed_feed_rejected", (url, reason), count)
    for what, count in own.counters.items():
        if what not in _REGULAR:
            found.add("fastfeed_feed_irregularities", (url, what), count)
    for kind, count in own.subscribed.items():
        found.add("fastfeed_feed_symbols", (url, kind), count)


def _add_reader(found: Samples, reader: dict[str, Any]) -> None:
    number = reader["id"].partition("-")[2]
    who = reader["program"], str(reader["pid"]), reader["stream"], number
    found.add("fastfeed_reader_lag_rows", who, reader["lag"])
    found.add("fastfeed_reader_lost_rows", who, reader["lost"])
    if reader["read_ns"]:
        found.add("fastfeed_reader_last_read_timestamp_seconds", who, reader["read_ns"] / 1e9)
    if reader["publish_to_read"] is not None:
        found.add("fastfeed_reader_publish_to_read_seconds", who, reader["publish_to_read"])


def _add_part(found: Samples, metrics: dict[str, str], stats: dict[str, Any]) -> None:
    for name, key in metrics.items():
        value = stats[key]
        if FAMILIES[name].labels:
            for label, count in value.items():
                found.add(name, (label,), count)
        else:
            found.add(name, (), int(bool(value)) if key in ("failing", "connected") else value)
