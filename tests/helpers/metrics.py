"""Hubs and feeds that say what tests want them to, and what stands in a scrape."""

import re
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from fastfeed._core.meter import Latency
from fastfeed._core.symbols import SymbolTable

MINUTE_NS = 60 * 10**9


def slot(url, *, state="connected", lengths=(), **more):
    """Return what a hub tells of a feed."""
    return {
        "url": url, "state": state, "since_ns": 1, "connections": 1, "gaps": 0, "bytes": 10, "packets": 2,
        "rows": 2, "rejected": 0, "lost_rows": 0, "last_recv_ns": 0, "beat_ns": 1,
        "gateway_to_receive": Latency(lengths), "receive_to_publish": Latency(lengths), **more,
    }  # fmt: skip


class FakeHub:
    def __init__(self, slots=(), symbols=(), *, alive=True, readers=()):
        self.symbols = SymbolTable(64)
        for symbol in symbols:
            self.symbols.intern(symbol)
        self.found = {
            "name": None, "generation": 0, "pid": 1, "program": "test", "alive": alive, "feeds": [*slots],
            "streams": {"ticks": {"rows": 100, "capacity": 64}}, "readers": [*readers],
        }  # fmt: skip

    def measured(self):
        return self.found


class FakeFeed:
    def __init__(self, url, symbols, *, connected=True, **stats):
        self.url, self.connected, self._symbols = url, connected, tuple(symbols)
        self._stats = {"subscribed": {"ticks": len(symbols)}, "rejected": {}, **stats}

    def stats(self):
        return self._stats

    def subscribed(self, kind):
        return self._symbols


def fetch(url, **headers):
    """Return status, headers and text."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def samples(text):
    """Return {name: [(labels, value)]} of a scrape."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(found, name, **labels):
    """Return the one value that a metric has with labels."""
    (only,) = [v for have, v in found.get(name, ()) if labels.items() <= have.items()]
    return only


def announced(child):
    """Return where a command that was just started serves its metrics."""
    for line in child.stderr:
        if match := re.search(r"metrics at (http://\S+)/metrics$", line):
            return match[1]
    raise AssertionError("it has not said where its metrics are")
