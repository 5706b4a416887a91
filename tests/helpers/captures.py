"""Feeds that are captured while they run, and captures compared with what was there live."""

import contextlib
import itertools

import numpy as np

import fastfeed as ff
from fastfeed.capture import CaptureFile, Player, capture
from fastfeed.feeds.feed import Feed
from fastfeed.schema import STREAMS

SMALL = 1 << 24


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
    rows = {}
    for name in STREAMS:
        stream = hub.stream(name)
        rows[name] = stream.count, stream.latest(min(stream.count, stream.ring.capacity)).tobytes()
    return rows


def assert_same(live, again):
    """Check that two hubs have the same symbols and, bit for bit, the same rows."""
    n = len(again.symbols)
    assert list(live.symbols)[:n] == list(again.symbols)
    was, became = kept(live), kept(again)
    for name in STREAMS:
        if was[name] == became[name]:
            continue
        one, other = (
            np.frombuffer(x[name][1], ff.dtype(name, live.book_depth)) for x in (was, became)
        )
        least = min(len(one), len(other))
        differ = [i for i in range(least) if one[i].tobytes() != other[i].tobytes()][:1]
        at = differ[0] if differ else least
        raise AssertionError(
            f"{name}: {was[name][0]} rows live, {became[name][0]} played; they differ at row {at}:\n"
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
            running[feed] = capture(feed, path, buffer_bytes=SMALL, flush_s=0.05)
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
