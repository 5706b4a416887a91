"""`fastfeed top`: what a named hub's feeds, rings and readers do, as a live view or as JSON."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

import click
import msgspec

from fastfeed._core.meter import Latency
from fastfeed.attach import AttachedHub, attach
from fastfeed.cli.group import complain
from fastfeed.cli.options import format_option, seconds, user_option
from fastfeed.cli.stop import Stop
from fastfeed.cli.watch import console_for_table
from fastfeed.connect import run
from fastfeed.feeds.events import Event
from fastfeed.stats import plain

__all__ = ["compared", "top"]

_LATENCIES = ("gateway_to_receive", "receive_to_publish", "publish_to_read")


@click.command(
    short_help="Show the feeds, rings and readers of a hub: rates, latencies, gaps, lag."
)
@click.argument("name")
@user_option
@click.option(
    "--interval",
    callback=seconds,
    default="1",
    show_default=True,
    metavar="S",
    help="Look every S seconds.",
)
@click.option("--once", is_flag=True, help="Look once, for one interval, and end.")
@format_option("table", "json")
def top(
    *,
    name: str,
    user: str | int | None,
    interval: float,
    once: bool,
    form: Literal["table", "json"],
) -> None:
    """Show what the hub NAME of this machine is doing: its feeds, its rings and who reads them.

    Rates and latencies are those of the last interval, all other numbers those since the hub began. It ends
    with Ctrl-C, and goes on with the next hub of that name when the writer ends or dies. Where standard output is
    no terminal, the table comes once and plain.

    \b
    Columns of feeds:
      gateway   from the vendor's gateway to the arrival here, p50 / p99, of
                rows that came live and say when they were at the gateway
      publish   from there until readers could see them
      gaps      interruptions that were told, filled or not
      rejected  packets and rows that could not be used
      age       time since the last row arrived
    Columns of streams:
      fill      how much of the ring holds rows
    Columns of readers, the slowest first:
      lag       rows that it has not read, and as a part of the ring: beyond
                100 % they are lost
      read      from the publication to the read, p50 / p99, where the
                reader measures it: stream.reader(measure=True)
      idle      time since it last read rows

    \b
    Formats:
      table  a live view
      json   an object a line, as `hub.stats()` returns it, with rows_per_s
             and bytes_per_s; latencies are those of the interval

    \b
    Examples:
      fastfeed top md
      fastfeed top md --interval 5
      fastfeed top md --once --format json
    """
    try:
        hub = attach(name, user=user)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'NAME'") from None
    with hub:
        if form == "json":
            code = run(_write_lines(hub, interval, once))
        else:
            code = run(_show_table(hub, name, interval, once, console_for_table("json")))
    click.get_current_context().exit(code)


def compared(
    found: dict[str, Any], before: dict[str, Any] | None, elapsed_s: float
) -> dict[str, Any]:
    """Return what was measured with rates, and the latencies of the time since it was measured before.

    Without a measurement before, or where another writer has begun since, rates are None and latencies those of the
    whole time.
    """
    if before is None or before["generation"] != found["generation"]:
        before = {"streams": {}, "feeds": [], "readers": []}
        elapsed_s = 0.0
    streams = {
        name: {**stream, **_rates(stream, before["streams"].get(name), elapsed_s, ("rows",))}
        for name, stream in found["streams"].items()
    }
    # A slot that another feed has taken has another URL or has begun to count again.
    earlier = dict(enumerate(before["feeds"]))
    feeds = []
    for i, feed in enumerate(found["feeds"]):
        old = earlier.get(i)
        if old is not None and (old["url"] != feed["url"] or old["rows"] > feed["rows"]):
            old = None
        rates = _rates(feed, old, elapsed_s, ("rows", "bytes"))
        feeds.append({**_since(feed, old), **rates})
    by_id = {reader["id"]: reader for reader in before["readers"]}
    readers = [_since(reader, by_id.get(reader["id"])) for reader in found["readers"]]
    return {**found, "streams": streams, "feeds": feeds, "readers": readers}


def _rates(
    now: dict[str, Any], before: dict[str, Any] | None, elapsed_s: float, names: tuple[str, ...]
) -> dict[str, float | None]:
    if before is None or elapsed_s <= 0:
        return {f"{name}_per_s": None for name in names}
    return {f"{name}_per_s": max(now[name] - before[name], 0) / elapsed_s for name in names}


def _since(now: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    changed = dict(now)
    for name in _LATENCIES:
        latency, earlier = now.get(name), before.get(name) if before is not None else None
        if isinstance(latency, Latency) and isinstance(earlier, Latency):
            changed[name] = latency.since(earlier)
    return changed


class _Looks:
    """Looks at a hub again and again, each compared with the one before."""

    def __init__(self, hub: AttachedHub) -> None:
        self._hub = hub
        self._before: dict[str, Any] | None = None
        self._at_s = 0.0

    def next(self) -> dict[str, Any]:
        found, now_s = self._hub.measured(), time.monotonic()
        found["time_ns"] = time.time_ns()
        result = compared(found, self._before, now_s - self._at_s)
        self._before, self._at_s = found, now_s
        return result


def _words(event: Event) -> str:
    return f"{event.text}; waiting for the next one" if event.kind == "disconnected" else event.text


async def _write_lines(hub: AttachedHub, interval: float, once: bool) -> int:
    hub.on_event(lambda event: complain(_words(event)))
    looks = _Looks(hub)
    looks.next()
    with Stop() as stop:
        while not stop.requested:
            await stop.sleep(interval)
            if stop.requested and not once:
                break
            sys.stdout.write(msgspec.json.encode(plain(looks.next())).decode() + "\n")
            sys.stdout.flush()
            if once:
                break
    return 0


async def _show_table(
    hub: AttachedHub, name: str, interval: float, once: bool, console: Any
) -> int:
    from fastfeed.cli.top_screen import TopScreen

    screen = TopScreen(console, name)
    live = console.is_terminal and not once

    def on_event(event: Event) -> None:
        if live:
            screen.say(_words(event), event.time_ns, is_bad=event.kind == "disconnected")
        else:
            complain(_words(event))

    hub.on_event(on_event)
    looks = _Looks(hub)
    seen = looks.next()
    with Stop() as stop:
        if not live:
            await stop.sleep(interval)
            console.print(screen.plain(looks.next()), end="", crop=False)
            return 0
        with console.screen() as window:
            while not stop.requested:
                window.update(screen.live(seen))
                await stop.sleep(interval)
                seen = looks.next()
    console.print(screen.plain(seen), end="")
    return 0
