"""Feeds that are captured while they run, and captures compared with what was there live."""

import contextlib
import hashlib
import itertools
import struct

import numpy as np
from alltick_feeds import frame
from framing import received
from longport_packets import response

import fastfeed as ff
from fastfeed._core.alltick import AlltickMachine
from fastfeed._core.longport import LongportMachine
from fastfeed._core.opend import OpendMachine
from fastfeed.captures import CaptureFile, Player, capture
from fastfeed.feeds.feed import Feed
from fastfeed.protocols.longport_messages import Command

BUFFER = 1 << 25  # so large that a busy machine makes no gap


def played(path, *, by="chunk"):
    """Play a capture to its end; return its player."""
    found = CaptureFile(path)
    player = Player(found)
    for part in found.chunks() if by == "chunk" else found:
        player.play(part)
    assert found.damage is None, found.damage
    return player


def kept(hub):
    """Return what the streams of a hub have: how many rows there were, and the bytes of those that are there."""
    return {
        stream.name: (
            stream.count,
            stream.latest(min(stream.count, stream.ring.capacity)).tobytes(),
        )
        for stream in hub.streams
        if stream.count
    }


def assert_same(live, again):
    """Check that two hubs have the same symbols and, bit for bit, the same rows."""
    n = len(again.symbols)
    assert list(live.symbols)[:n] == list(again.symbols)
    was, became = kept(live), kept(again)
    for name in was.keys() | became.keys():
        (n, one), (m, other) = was.get(name, (0, b"")), became.get(name, (0, b""))
        if (n, one) == (m, other):
            continue
        one, other = (np.frombuffer(rows, ff.dtype(name, live.book_depth)) for rows in (one, other))
        least = min(len(one), len(other))
        differ = (i for i in range(least) if one[i].tobytes() != other[i].tobytes())
        at = next(differ, least)
        raise AssertionError(
            f"{name}: {n} rows live, {m} played; they differ at row {at}:\n"
            f"{one[at : at + 1]}\n{other[at : at + 1]}"
        )


def check(feed, path):
    """Compare a feed that is closed with its capture."""
    player = played(path)
    assert player.stats()["gaps"] == 0
    assert_same(feed.hub, player.hub)
    return player


@contextlib.contextmanager
def all_captured(monkeypatch, folder):
    """Capture every feed that has a hub of its own, and compare when it is closed. Yields the folders."""
    numbers, folders, running = itertools.count(), [], {}
    opening, closing = Feed.open, Feed.close

    async def open_captured(feed):
        if feed._owns_hub and feed._tape is None and not feed._opened:
            path = folder / f"capture{next(numbers)}"
            running[feed] = capture(feed, path, buffer_bytes=BUFFER, flush_s=0.05)
        return await opening(feed)

    async def close_captured(feed):
        await closing(feed)
        written = running.pop(feed, None)
        if written is not None:
            written.close()
            check(feed, written.path)
            folders.append(written.path)

    monkeypatch.setattr(Feed, "open", open_captured)
    monkeypatch.setattr(Feed, "close", close_captured)
    yield folders
    for written in running.values():
        written.close()


class Recorded:
    """A feed without a network: a machine behind its handshake, that can be captured."""

    def __init__(self, vendor, hub=None, **options):
        self.vendor = vendor
        self.url = f"{vendor}://test"
        self.hub = hub or ff.Hub(capacity=1 << 12)
        kind = {"opend": OpendMachine, "longport": LongportMachine, "alltick": AlltickMachine}
        more = {"brokers": self.hub.broker_names, "ordered": True} if vendor == "opend" else {}
        more = {"ordered": True} if vendor == "longport" else more
        self.machine = kind[vendor](
            self.hub.symbols, depth=self.hub.book_depth, **{**more, **options}
        )

    @property
    def machine_options(self):
        return self.vendor, "tcp" if self.vendor == "opend" else "ws", self.machine.options()

    def record_on(self, tape):
        self.machine.record(tape)

    def listen(self, *kinds):
        for kind in kinds:
            stream = self.hub.stream(kind)
            self.machine.listen(stream.number, stream.ring, stream.deliver, stream.table)

    def begin(self):
        """Connect, up to the end of the handshake."""
        if self.vendor == "opend":
            self.machine.reset(handshake=True)
            received(self.machine, opend_packet(b"the session's secret", 1001))
            self.machine.resume()
        else:
            self.machine.reset()
            self.machine.upgraded(b"")
        if self.vendor == "longport":
            received(self.machine, frame(response(Command.AUTH, body=b"the session's secret"), 2))

    def receive(self, data, step=None):
        return received(self.machine, data, step)


def opend_packet(body, number=3011, serial=1):
    """Return a packet of OpenD's."""
    head = struct.pack("<2sIBBII", b"FT", number, 0, 0, serial, len(body))
    return head + hashlib.sha1(body).digest() + bytes(8) + body
