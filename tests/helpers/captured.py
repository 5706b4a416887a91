"""Live sessions at simulators, captured."""

import asyncio
import contextlib

from feeds import until

import fastfeed as ff
from fastfeed.captures import capture
from fastfeed.sim import AllTickSimulator, LongPortSimulator, OpenDSimulator

SYMBOLS = ("AAPL.US", "700.HK")
#: Those that the tests' script for the vendor's own client subscribes to.
LONGPORT_SYMBOLS = ("SPY.US", "700.HK", "600519.SH")
KINDS = {
    "opend": ("ticks", "quotes", "books", "bars:1m", "brokers", "timeshare"),
    "longport": ("ticks", "books", "brokers"),
    "alltick": ("ticks", "books"),
}
RECORDED = {
    "opend": "opend",
    "longport": "longport",
    "longport tcp": "longport",
    "alltick": "alltick",
}
COUNT = 300


def simulator(vendor, **options):
    """Return a simulator of a vendor."""
    if vendor == "opend":
        return OpenDSimulator(**options)
    if vendor == "longport":
        return LongPortSimulator(**options)
    return AllTickSimulator(rate_limits=False, **options)


def feed_at(sim, how, **options):
    """Return a feed that connects to a simulator."""
    if how == "opend":
        return ff.connect(sim.url, **options)
    if how == "alltick":
        return ff.AllTick(token="testtoken", url=sim.url, market=sim.side, **options)
    tcp = how.endswith("tcp")
    return ff.LongPort(
        app_key="KEY",
        app_secret="secret",
        access_token="TOKEN",
        http_url=sim.http_url,
        url=sim.tcp_url if tcp else sim.url,
        transport="tcp" if tcp else "ws",
        **options,
    )


def symbols_of(vendor):
    """Return what is captured."""
    return LONGPORT_SYMBOLS if vendor == "longport" else SYMBOLS


async def subscribe(feed, vendor):
    """Subscribe to all that is captured."""
    kinds = KINDS[vendor]
    if vendor == "opend":  # only Hong Kong has broker queues
        await feed.subscribe("700.HK", "brokers")
        kinds = [kind for kind in kinds if kind != "brokers"]
    await feed.subscribe(symbols_of(vendor), *kinds)


def kept(hub):
    """Return copies of all rows of a hub, by stream."""
    return {
        stream.name: stream.latest(stream.count).copy() for stream in hub.streams if stream.count
    }


async def record(how, path, *, count=COUNT, **options):
    """Capture a session; return its rows by stream, and its symbols."""
    vendor = RECORDED[how]
    async with simulator(vendor, symbols=symbols_of(vendor), rate=1000) as sim:
        feed = feed_at(sim, how)
        with capture(feed, path, **options):
            async with feed:
                await subscribe(feed, vendor)
                await until(lambda: feed.ticks.count >= count)
        return kept(feed.hub), list(feed.symbols)


def recorded(how, path, **options):
    """Do the same where no loop runs."""
    return asyncio.run(record(how, path, **options))


def cut(path, size):
    """Take some bytes off the end of a capture, which is in one file."""
    (file,) = path.glob("*.ffcap")
    with contextlib.closing(open(file, "r+b")) as opened:
        opened.truncate(file.stat().st_size - size)


def assert_same(found, expected, *, but=()):
    """Check that streams have the same rows, bit for bit, apart from some fields."""
    assert {name: len(rows) for name, rows in found.items()} == {
        name: len(rows) for name, rows in expected.items()
    }
    for stream, rows in expected.items():
        for name in rows.dtype.names:
            if name not in but:
                assert found[stream][name].tobytes() == rows[name].tobytes(), (stream, name)
