"""Whether feeds do what they should."""

from __future__ import annotations

from collections.abc import Iterable

from fastfeed.protocols.market_hours import open_since_s, region_of
from fastfeed.sinks.sight import Sight

__all__ = ["DOWN_S", "SILENT_S", "problems"]

#: How long a feed may be without a connection, and without a row while a market of its symbols is open.
DOWN_S = 10.0
SILENT_S = 60.0

_NO_FEED = "no feed is open"


def problems(sight: Sight, *, down_s: float = DOWN_S, silent_s: float = SILENT_S) -> list[str]:
    """Return what is wrong, a sentence each; nothing where all is well.

    A feed is wrong when it has had no connection, or its event loop no time, for longer than `down_s`, or when no
    row came for longer than `silent_s` while a market of its symbols is in its regular hours. Holidays are not
    known: on one, a feed is found silent. Of another process's feeds it is not known which symbols they have: they
    are silent when none of them has rows. What plays files back is not expected to go on for ever.
    """
    if not sight.responds:
        return ["the event loop does not answer"]
    if not sight.hub["alive"]:
        return ["the writer of the hub is gone"]
    found = _down(sight, down_s) + _silent(sight, silent_s)
    for name, stats in sight.parts.items():
        if stats.get("failing"):
            found.append(f"{name}: {stats['failing']}")
        if not stats.get("connected", True):
            found.append(f"{name}: not connected")
    return found


def _down(sight: Sight, down_s: float) -> list[str]:
    found = []
    for url in sight.own if sight.own is not None else sight.feeds:
        feed = sight.feeds.get(url)
        if feed is None:  # it has not begun, or there are too many
            if sight.own is not None and not sight.own[url].connected:
                found.append(f"{url}: not connected")
            continue
        if sight.own is None and feed["state"] == "closed":
            continue
        since_s = (sight.at_ns - feed["since_ns"]) / 1e9
        late_s = (sight.at_ns - feed["beat_ns"]) / 1e9
        if not feed["up"] and since_s > down_s:
            found.append(f"{url}: {feed['state']} for {since_s:.0f} s")
        elif feed["up"] and late_s > down_s:
            found.append(f"{url}: its event loop has had no time for {late_s:.0f} s")
    if sight.own is None and sight.feeds and _all_closed(sight):
        found.append(_NO_FEED)
    return found


def _all_closed(sight: Sight) -> bool:
    return all(feed["state"] == "closed" for feed in sight.feeds.values())


def _silent(sight: Sight, silent_s: float) -> list[str]:
    up = {
        url: feed for url, feed in sight.feeds.items() if feed["up"] and not url.startswith("file:")
    }
    found = []
    if sight.own is not None:
        for url, feed in up.items():
            own = sight.own.get(url)
            regions = () if own is None else set(map(region_of, own.symbols))
            quiet = _quiet_s(sight.at_ns, regions, feed["last_recv_ns"], feed["since_ns"])
            if quiet is not None and quiet[0] > silent_s:
                found.append(f"{url}: no row for {quiet[0]:.0f} s while {quiet[1]} is open")
    elif up:
        last_ns = max(feed["last_recv_ns"] for feed in up.values())
        since_ns = max(feed["since_ns"] for feed in up.values())
        quiet = _quiet_s(sight.at_ns, sight.regions, last_ns, since_ns)
        if quiet is not None and quiet[0] > silent_s:
            found.append(f"no row of any feed for {quiet[0]:.0f} s while {quiet[1]} is open")
    return found


def _quiet_s(
    at_ns: int, regions: Iterable[str], last_recv_ns: int, since_ns: int
) -> tuple[float, str] | None:
    """Return for how long there could have been rows and were none, and the market that has been open for longest."""
    at_s = at_ns / 1e9
    opened = [
        (since_s, region)
        for region in regions
        if (since_s := open_since_s(region, at_s)) is not None
    ]
    if not opened:
        return None
    first_s, region = min(opened)
    return at_s - max(last_recv_ns / 1e9, since_ns / 1e9, first_s), region
