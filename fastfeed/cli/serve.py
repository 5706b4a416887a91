"""`fastfeed serve`: feeds that write into a named hub, for any number of other processes to read."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from fastfeed.cli import words
from fastfeed.cli.connection import connection_options, opend_options
from fastfeed.cli.group import complain
from fastfeed.cli.journal import Journal
from fastfeed.cli.members import Member, counts, deliver, settings_of
from fastfeed.cli.metrics import Listen, metrics_option, serve_metrics
from fastfeed.cli.options import hub_options, seconds, seconds_or_none
from fastfeed.cli.serve_config import HubConfig, load
from fastfeed.cli.stop import Stop
from fastfeed.connect import run
from fastfeed.errors import ConfigError
from fastfeed.hub import Hub, Receive

__all__ = ["serve"]


@click.command(short_help="Receive and publish into shared memory, for other processes to read.")
@click.argument("url", required=False)
@click.argument("symbols", metavar="[SYMBOL]...", nargs=-1)
@click.option("--name", metavar="NAME", help="Of the hub; what readers attach to.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Feeds and settings as TOML, see above, in place of URL and SYMBOLs.",
)
@click.option(
    "--kinds", metavar="KIND,...", help="What to receive, as in fastfeed watch.  [default: ticks]"
)
@click.option(
    "--mode",
    metavar="OCTAL",
    help="Permissions of the hub's files; 0640 lets the group attach.  [default: 0600]",
)
@click.option(
    "--wait",
    callback=seconds_or_none,
    metavar="S",
    help="Give a feed up that cannot connect within S seconds.  [default: keep trying]",
)
@click.option("--duration", callback=seconds, metavar="S", help="End after S seconds.")
@hub_options
@metrics_option
@connection_options
def serve(
    *,
    url: str | None,
    symbols: tuple[str, ...],
    name: str | None,
    config: Path | None,
    kinds: str | None,
    capacity: int | None,
    depth: int | None,
    mode: str | None,
    wait: float | None,
    duration: float | None,
    receive: Receive | None,
    spin: bool | None,
    cpu: int | None,
    metrics: Listen | None,
    rsa_key: str | None,
    encryption: str | None,
) -> None:
    """Receive SYMBOLs from a server and publish them in this machine's shared memory.

    Other processes read the hub by its name: in Python with fastfeed.attach("NAME"), in a shell with
    fastfeed tail NAME. They may come and go at any time, and none of them slows this one down. URL, SYMBOLs
    and kinds are those of fastfeed watch; credentials come from the environment.

    It ends with Ctrl-C, SIGTERM or --duration and takes the hub away. When every feed is set up or had its
    first failure, it writes a line to standard output; what happens to the feeds goes to standard error, a line
    each with the time in UTC. A feed that cannot connect keeps trying. The exit code is 1 if another process
    has the hub of this name or no feed could be set up, 2 if something is wrong with the settings.

    \b
    A file describes several feeds, of any vendors; options on the command line come first:
      name = "md"                       # all of these may be left out:
      mode = "0640"                     # capacity, max_symbols, book_depth, mode,
      capacity = 1048576                # receive, spin, cpu
    \b
      [[feeds]]
      url = "opend://127.0.0.1:11111"
      options = { session = "ALL" }     # of the vendor's class, see fastfeed.OpenD
      symbols = ["700.HK", "AAPL.US"]
      kinds = ["ticks", "books"]        # ticks if it is not there
    \b
      [[feeds]]
      url = "longport://"
      [[feeds.subscriptions]]           # several, in place of symbols and kinds
      symbols_file = "us.txt"           # one a line, beside this file
      kinds = ["quotes"]
      [[feeds.subscriptions]]
      symbols = ["9988.HK"]

    \b
    Examples:
      fastfeed serve --name md opend://127.0.0.1:11111 700.HK AAPL.US --kinds ticks,books
      fastfeed serve --name hk opend://127.0.0.1:11111 700.HK --receive thread --spin --cpu 1
      fastfeed serve --config feeds.toml --capacity 1048576
      fastfeed serve --config feeds.toml --metrics 9000
    """
    if config is None:
        if url is None or not symbols:
            raise click.UsageError("expected URL and SYMBOLs, or --config FILE")
        settings = settings_of(url, symbols, kinds, opend_options(url, rsa_key, encryption))
    elif url is not None:
        raise click.UsageError("expected URL and SYMBOLs or --config, got both")
    else:
        of_url = {"--kinds": kinds, "--rsa-key": rsa_key, "--encryption": encryption}
        for option, text in of_url.items():
            if text is not None:
                raise click.UsageError(f"{option} is about URL: with --config, the file says it")
        settings = load(config)
    given = {
        "name": name,
        "capacity": capacity,
        "book_depth": depth,
        "mode": mode,
        "receive": receive,
        "spin": spin,
        "cpu": cpu,
    }
    for key, value in given.items():
        if value is not None:
            setattr(settings, key, value)
    try:
        settings.check()
    except ConfigError as error:
        # Without a file there is none to point into.
        text = str(error).partition(" - at `")[0] if config is None else f"{config}: {error}"
        raise ConfigError(text) from None
    click.get_current_context().exit(
        run(_serve(settings, wait=wait, duration=duration, metrics=metrics))
    )


async def _serve(
    settings: HubConfig, *, wait: float | None, duration: float | None, metrics: Listen | None
) -> int:
    """Serve until the end is requested; return the exit code."""
    started = time.monotonic()
    journal = Journal(sys.stderr.fileno())
    with Stop() as stop, settings.new_hub(settings.name) as hub, ExitStack() as stack:
        members = [Member(plan, journal, wait) for plan in settings.plans(hub, wait)]
        # A member that tries again has another feed.
        stack.enter_context(
            serve_metrics(metrics, hub=hub, feeds=lambda: [member.feed for member in members])
        )

        def begun() -> str:
            return f"serving hub {hub.name}: {counts(members)}"

        if not await deliver(members, stop, duration, begun):
            complain(f"no feed could be set up: the hub {hub.name} is taken away")
            return 1
        click.echo(_summary(hub, members, time.monotonic() - started))
    return 0


def _summary(hub: Hub, members: Sequence[Member], took_s: float) -> str:
    rows = {stream.name: stream.count for stream in hub.streams}
    stats = [member.feed.stats() for member in members]
    rejected = sum(sum(found["rejected"].values()) for found in stats)
    return (
        f"hub {hub.name}: {words.rows_in(rows, took_s)}; "
        f"{words.counted(sum(found['connections'] for found in stats), 'connection')}, "
        f"{words.counted(sum(member.gaps for member in members), 'gap')}, {rejected:,} rejected."
    )
