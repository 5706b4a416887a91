"""`fastfeed relay`: the rows of a hub on NATS JetStream."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import time
from contextlib import ExitStack
from typing import Any, Literal

import click

from fastfeed.attach import AttachedHub, attach
from fastfeed.cli import words
from fastfeed.cli.group import complain
from fastfeed.cli.journal import Journal
from fastfeed.cli.metrics import Listen, metrics_option, serve_metrics
from fastfeed.cli.options import attached_options, kinds_of, seconds, seconds_or_none, size
from fastfeed.cli.progress import Progress, Rate
from fastfeed.cli.stop import Stop
from fastfeed.connect import run
from fastfeed.errors import AuthError, FastfeedError
from fastfeed.feeds.events import Event
from fastfeed.sinks.relay import Relay

__all__ = ["relay"]

_SHOW_S = 0.25
_DRAIN_S = 5.0
_SAME_AGAIN_S = 10.0  # between two lines of a kind of events
_ATTEMPT_S = 1.0


def _shard(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", value)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"expected a shard such as 1/4, got {value!r}")
    return int(found[1]), int(found[2])


def _most_bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    return -1 if value == "-1" else size(ctx, param, value)


@click.command(short_help="Publish the rows of a hub on NATS JetStream, for other machines.")
@click.argument("servers", metavar="NATS")
@click.argument("symbols", metavar="[SYMBOL]...", nargs=-1)
@click.option("--hub", "name", metavar="NAME", required=True, help="The hub, see fastfeed hubs.")
@attached_options
@click.option(
    "--shard",
    default="1/1",
    callback=_shard,
    metavar="I/N",
    help="Publish only the share of relay I of N, from 1; a hash of each symbol decides.",
)
@click.option("--prefix", default="md", show_default=True, metavar="TEXT", help="Of subjects.")
@click.option(
    "--linger",
    callback=seconds,
    default="0.005",
    show_default=True,
    metavar="S",
    help="Collect rows for S seconds at least.",
)
@click.option(
    "--max-in-flight",
    type=click.IntRange(1, 1 << 14),
    default=512,
    show_default=True,
    metavar="N",
    help="Messages without an acknowledgement.",
)
@click.option("--creds", metavar="FILE", help="Of credentials.  [env: NATS_CREDS]")
@click.option("--stream", metavar="NAME", help="Of JetStream's stream.  [default: the prefix]")
@click.option(
    "--max-age",
    callback=seconds_or_none,
    metavar="S",
    help="How long the stream keeps messages, 0 = for ever.  [default of a new one: 86400]",
)
@click.option(
    "--max-bytes",
    callback=_most_bytes,
    metavar="SIZE",
    help="How much it keeps, such as 10G; -1 = what the server allows.",
)
@click.option(
    "--storage",
    type=click.Choice(["file", "memory"]),
    help="Where it keeps them.  [default of a new one: file]",
)
@click.option(
    "--replicas",
    type=click.IntRange(1, 5),
    metavar="N",
    help="How many servers keep them.  [default of a new one: 1]",
)
@click.option("--update-stream", is_flag=True, help="Change a stream that has other settings.")
@click.option(
    "--wait",
    callback=seconds_or_none,
    default="0",
    metavar="S",
    help="Keep trying for S seconds if the hub or NATS is not there yet.",
)
@click.option("--duration", callback=seconds, metavar="S", help="End after S seconds.")
@metrics_option
def relay(
    *,
    servers: str,
    symbols: tuple[str, ...],
    name: str,
    kinds: str,
    shard: tuple[int, int],
    start: Literal["now", "oldest"],
    prefix: str,
    linger: float,
    max_in_flight: int,
    creds: str | None,
    stream: str | None,
    max_age: float | None,
    max_bytes: int | None,
    storage: Literal["file", "memory"] | None,
    replicas: int | None,
    update_stream: bool,
    wait: float,
    duration: float | None,
    metrics: Listen | None,
    user: str | int | None,
    no_follow: bool,
) -> None:
    """Publish the rows of a hub on NATS JetStream: of all its symbols, or of SYMBOLs only.

    Other machines read them with fastfeed.connect("nats://HOST:4222/md"), fastfeed watch and fastfeed serve, or without
    fastfeed: a message has rows of one symbol as an .npy file. Subjects are md.KIND.REGION.TICKER: md.ticks.HK.700.

    NATS is where the servers listen, with commas between them: nats://HOST:4222, or tls://. Credentials stand before
    the host, or in NATS_USER and NATS_PASSWORD, NATS_TOKEN or NATS_CREDS. A stream that is not there is made; one that
    has other settings than were asked for is left alone, and that is an error.

    The hub's writer is not slowed down. While NATS is away or slow, rows wait in the hub; those that are overwritten
    there are counted, told here and told to consumers, and the exit code is 1. With --from oldest, rows come again
    that a relay before this one has published. It ends with Ctrl-C, SIGTERM or --duration, and publishes before what
    is there, for five seconds at most.

    \b
    Examples:
      fastfeed relay --hub md nats://10.0.0.7:4222
      fastfeed relay --hub md nats://a:4222,b:4222 --kinds ticks,quotes,books --max-age 3600
      fastfeed relay --hub md tls://nats.example.com --creds md.creds --shard 1/2
    """
    until = time.monotonic() + wait
    try:
        hub = attach(name, user=user, wait="block", wait_s=wait, follow=not no_follow)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--hub'") from None
    options: dict[str, Any] = {
        "kinds": kinds_of(kinds), "symbols": symbols or None, "shard": shard, "start": start, "prefix": prefix,
        "linger_s": linger, "max_in_flight": max_in_flight, "creds": creds, "stream": stream, "max_age_s": max_age,
        "max_bytes": max_bytes, "storage": storage, "replicas": replicas, "update_stream": update_stream,
    }  # fmt: skip
    with hub:
        code = run(_relay(hub, servers, options, until, duration, metrics))
    click.get_current_context().exit(code)


async def _relay(
    hub: AttachedHub,
    servers: str,
    options: dict[str, Any],
    until: float,
    duration: float | None,
    metrics: Listen | None,
) -> int:
    """Publish until the end is requested; return the exit code."""
    with Stop() as stop, Progress() as progress, ExitStack() as stack:
        while True:
            relay = Relay(hub, servers, **options)
            try:
                if not await stop.race(relay.open()):
                    return 0
                break
            except (AuthError, click.ClickException):
                raise
            except FastfeedError as error:
                if time.monotonic() >= until or isinstance(error, ValueError):
                    raise
                await stop.sleep(_ATTEMPT_S)
        began = time.monotonic()
        journal = Journal(sys.stderr.fileno(), say=progress.say)
        relay.on_event(_Teller(journal))
        hub.on_event(lambda event: journal.write(event.feed, event.text))
        stop.after(duration)
        growth = Rate()
        ended = asyncio.ensure_future(relay.wait())
        try:
            stack.enter_context(serve_metrics(metrics, hub=hub, parts={"relay": relay}))
            while not stop.requested and not ended.done():
                progress.show(_line(relay.stats(), growth))
                await stop.sleep(_SHOW_S)
            if ended.done():
                ended.result()
        finally:
            ended.cancel()
            await relay.close(_DRAIN_S)
        progress.end(_summary(relay, time.monotonic() - began))
    stats = relay.stats()
    if left := stats["lag_rows"]:
        complain(f"{left:,} rows were not acknowledged by NATS when this ended")
    if lost := sum(stats["lost"].values()):
        complain(f"{lost:,} rows were overwritten before they could be published")
    return 1 if left or lost else 0


class _Teller:
    """Says what happens to the relay, and the same again not too often."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._said: dict[str, float] = {}
        self._lost = 0

    def __call__(self, event: Event) -> None:
        if event.kind == "gap":
            self._lost += event.details["rows"]
        now = time.monotonic()
        is_seldom = event.kind in ("connected", "disconnected")  # always worth a line
        if not is_seldom and now - self._said.get(event.kind, -math.inf) < _SAME_AGAIN_S:
            return
        self._said[event.kind] = now
        text = words.event_words(event)
        if event.kind == "gap":
            text = f"{self._lost:,} rows were overwritten in the hub before they could be published"
            self._lost = 0
        self._journal.write(event.feed, text)


def _line(stats: dict[str, Any], growth: Rate) -> str:
    """Return how far a relay is."""
    rows = sum(stats["rows"].values())
    text = (
        f"{words.counted(rows, 'row')}, {words.rate(growth.of(rows))} rows/s, "
        f"{words.counted(stats['messages'], 'message')}, lag {stats['lag_rows']:,} rows"
    )
    if lost := sum(stats["lost"].values()):
        text += f", {lost:,} lost"
    return text if stats["connected"] else f"{text}; not connected"


def _summary(relay: Relay, took_s: float) -> str:
    stats = relay.stats()
    return (
        f"{relay.url}: {words.rows_in(stats['rows'], took_s)}; {words.counted(stats['messages'], 'message')}, "
        f"{words.size(stats['bytes'])}, {stats['retries']:,} sent again, "
        f"{words.counted(stats['reconnects'], 'reconnect')}, {sum(stats['lost'].values()):,} rows lost."
    )
