"""`fastfeed record` and `fastfeed recover`: what a feed or a hub delivers, kept in files."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

from fastfeed.attach import AttachedHub, attach
from fastfeed.cli import words
from fastfeed.cli.connection import connection_options, opend_options
from fastfeed.cli.group import complain
from fastfeed.cli.journal import Journal
from fastfeed.cli.members import Member, counts, deliver, settings_of
from fastfeed.cli.metrics import Listen, metrics_option, serve_metrics
from fastfeed.cli.options import hub_options, kinds_of, seconds, seconds_or_none, size
from fastfeed.cli.progress import Progress, Rate
from fastfeed.cli.record_raw import run_raw
from fastfeed.cli.serve_config import HubConfig
from fastfeed.cli.stop import Stop
from fastfeed.connect import run
from fastfeed.errors import ConfigError
from fastfeed.feeds.events import Event
from fastfeed.feeds.feed import Feed
from fastfeed.hub import Hub, Receive
from fastfeed.sinks.record import Recording
from fastfeed.sinks.record import recover as finish
from fastfeed.sinks.segments import COMPRESSIONS, Sealed

__all__ = ["record", "recover"]

_REFRESH_S = 0.2


@click.command(short_help="Record rows into Parquet files, or the bytes as received.")
@click.argument("arguments", metavar="[URL] [SYMBOL]...", nargs=-1)
@click.option("--hub", "name", metavar="NAME", help="Record this hub, in place of URL.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="The folder; it is made if it is not there.",
)
@click.option(
    "--kinds",
    default="ticks",
    show_default=True,
    metavar="KIND,...",
    help="What to record, as in fastfeed watch.",
)
@click.option("--duration", callback=seconds, metavar="S", help="End after S seconds.")
@click.option(
    "--wait",
    callback=seconds_or_none,
    metavar="S",
    help="Give up what is not there within S seconds.  [default: keep trying; a hub has to be there]",
)
@click.option(
    "--flush",
    callback=seconds_or_none,
    metavar="S",
    help="Rows may get so old before they are written; 0 = at once.  [default: 1]",
)
@click.option(
    "--segment-bytes",
    callback=size,
    metavar="SIZE",
    help="An open segment of this size becomes a Parquet file.  [default: 256M]",
)
@click.option(
    "--segment-time",
    callback=seconds,
    metavar="S",
    help="So does one of this age.  [default: 900]",
)
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    help="Of Parquet files.  [default: zstd]",
)
@click.option("--raw", is_flag=True, help="Record the bytes as received, for fastfeed replay.")
@click.option("--zstd", is_flag=True, help="With --raw: compress them.")
@hub_options
@metrics_option
@connection_options
def record(
    *,
    arguments: tuple[str, ...],
    name: str | None,
    out: Path,
    kinds: str,
    duration: float | None,
    wait: float | None,
    flush: float | None,
    segment_bytes: int | None,
    segment_time: float | None,
    compression: str | None,
    raw: bool,
    zstd: bool,
    capacity: int | None,
    depth: int | None,
    receive: Receive | None,
    spin: bool | None,
    cpu: int | None,
    metrics: Listen | None,
    rsa_key: str | None,
    encryption: str | None,
) -> None:
    """Record SYMBOLs from a server, or a hub's SYMBOLs or all of them, into a folder.

    The folder has Parquet files by kind and date (of UTC), DIR/kind=ticks/date=2026-11-26/..., which pandas, polars,
    DuckDB and others read as it stands. Rows come into open segments first, in DIR/_open, and into a Parquet file when
    a segment is large or old enough, at midnight (UTC) and at the end. When this process is killed, only rows
    younger than --flush are lost: the next fastfeed record into the folder, or fastfeed recover DIR, finishes what
    was open. One process at a time can record into a folder.

    URL, SYMBOLs and kinds are those of fastfeed watch; credentials come from the environment. A feed that cannot
    connect keeps trying. A hub is what fastfeed serve or a program makes; where its writer is followed by another
    one, so does the recording. --capacity, --depth and who receives are settings of URL.

    A line tells how far it is: rows, rate, how many rows wait and for how long, the size of the files, and what
    was lost: rows that the ring had overwritten before they were taken. A full disk is told, and recording goes on
    when there is room. It ends with Ctrl-C, SIGTERM or --duration; a second Ctrl-C does not wait for the files. The
    exit code is 1 if rows were lost or could not be written.

    \b
    Examples:
      fastfeed record opend://127.0.0.1:11111 700.HK AAPL.US --kinds ticks,books --out data
      fastfeed record --hub md --out data --metrics 9001
      fastfeed record --hub md 700.HK --kinds quotes --out quotes --segment-time 3600
      fastfeed record longport:// 700.HK --raw --zstd --out capture
    """
    chosen = kinds_of(kinds)
    if not chosen:
        raise click.UsageError("expected at least one kind, --kinds")
    if zstd and not raw:
        raise click.UsageError("--zstd is about --raw: Parquet files have --compression")
    of_feed = {
        "--capacity": capacity,
        "--depth": depth,
        "--receive": receive,
        "--spin": spin,
        "--cpu": cpu,
        "--rsa-key": rsa_key,
        "--encryption": encryption,
    }
    of_parquet = {
        "flush_s": flush,
        "segment_bytes": segment_bytes,
        "segment_s": segment_time,
        "compression": compression,
    }
    options = {option: value for option, value in of_parquet.items() if value is not None}
    code = click.get_current_context().exit
    if name is not None:
        if raw:
            raise click.UsageError("--raw needs URL: the bytes as received are not in a hub")
        with _attached(name, wait, arguments, of_feed) as hub:
            work = _record(hub, out, chosen, arguments, options, duration=duration, metrics=metrics)
            code(run(work))
    url, *symbols = arguments or ("",)
    if "://" not in url or not symbols:
        raise click.UsageError("expected URL and SYMBOLs, or --hub NAME")
    if raw and (options or capacity is not None):
        raise click.UsageError(
            "--flush, --segment-bytes, --segment-time, --compression and --capacity are about Parquet files, "
            "not about --raw"
        )
    settings = settings_of(url, tuple(symbols), kinds, opend_options(url, rsa_key, encryption))
    settings.capacity, settings.book_depth = capacity, depth
    settings.receive, settings.spin, settings.cpu = receive, spin, cpu
    try:
        settings.check_feeds()
    except ConfigError as error:  # there is no file to point into
        raise ConfigError(str(error).partition(" - at `")[0]) from None
    if raw:
        code(run_raw(settings, out, zstd=zstd, wait=wait, duration=duration, metrics=metrics))
    work = _record(
        settings, out, chosen, None, options, duration=duration, wait=wait, metrics=metrics
    )
    code(run(work))


def _attached(
    name: str, wait: float | None, symbols: Sequence[str], of_feed: dict[str, Any]
) -> AttachedHub:
    """Return the hub to be recorded, of which nothing else may be said but the symbols."""
    if symbols and "://" in symbols[0]:
        raise click.UsageError("expected URL or --hub, got both")
    for option, value in of_feed.items():
        if value is not None:
            raise click.UsageError(f"{option} is about URL: a hub is as its writer made it")
    try:
        return attach(name, wait="block", wait_s=wait or 0.0)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--hub'") from None


async def _record(
    source: HubConfig | AttachedHub,
    out: Path,
    kinds: Sequence[str],
    symbols: Sequence[str] | None,
    options: dict[str, Any],
    *,
    duration: float | None,
    wait: float | None = None,
    metrics: Listen | None = None,
) -> int:
    """Record until the end is requested; return the exit code."""
    started = time.monotonic()
    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        report = stack.enter_context(_Report())
        hub: Hub | AttachedHub
        if isinstance(source, AttachedHub):
            hub = source
            hub.on_event(report.tell_event)
        else:
            hub = stack.enter_context(source.new_hub(None))
        recording = Recording(
            hub, out, *kinds, symbols=symbols or None, tell=report.tell, **options
        )
        members: list[Member] = []

        def feeds() -> list[Feed]:
            return [member.feed for member in members]

        try:
            with_feeds = None if isinstance(source, AttachedHub) else feeds
            parts = {"recording": recording}
            stack.enter_context(serve_metrics(metrics, hub=hub, feeds=with_feeds, parts=parts))
            if isinstance(source, AttachedHub):
                click.echo(f"recording hub {source.name} into {out} (Ctrl-C ends it)")
                sys.stdout.flush()
                stop.after(duration)
                await report.show(recording, stop)
                goes_on = True
            else:
                plans = source.plans(hub, wait)  # type: ignore[arg-type]
                members += [Member(plan, report.journal, wait) for plan in plans]
                goes_on = await deliver(
                    members,
                    stop,
                    duration,
                    lambda: f"recording into {out}: {counts(members)}",
                    lambda: report.show(recording, stop),
                )
        finally:
            report.progress.show("writing what is left")
            # A second signal ends the process, whatever the disk does.
            await asyncio.to_thread(recording.close)
            await asyncio.sleep(0)  # what the recorder told
            report.tell_recovered(recording)
    found = recording.stats()
    if not goes_on:
        complain("no feed could be set up: nothing is recorded")
        return 1
    click.echo(_summary(out, found, time.monotonic() - started))
    lost, dropped = (sum(found[what].values()) for what in ("lost", "dropped"))
    if lost:
        complain(
            f"{words.counted(lost, 'row')} lost: overwritten in the ring before they were taken"
        )
    if dropped:
        complain(f"{words.counted(dropped, 'row')} dropped: they could not be written")
    if left := found["segments"]:
        complain(f"{words.counted(left, 'segment')} left open: fastfeed recover {out}")
    return 1 if lost or dropped or left else 0


class _Report:
    """What is told while it goes on. A context manager."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.journal = Journal(sys.stderr.fileno(), say=self.progress.say)
        self._loop = asyncio.get_running_loop()
        self._recovered = 0
        self._rate = Rate()

    def __enter__(self) -> Self:
        self.progress.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.__exit__(exc_type, exc, traceback)

    def tell(self, text: str) -> None:
        """Tell what a thread of the recorder says."""
        self._loop.call_soon_threadsafe(self.journal.write, "recording", text)

    def tell_event(self, event: Event) -> None:
        """Tell what happened to the hub, as a thread of the recorder noticed."""
        self._loop.call_soon_threadsafe(self.journal.write, event.feed, event.text)

    def tell_recovered(self, recording: Recording) -> None:
        """Tell what became of the segments of an earlier recorder."""
        for sealed in recording.recovered[self._recovered :]:
            self._recovered += 1
            self.journal.write("recovered", _recovered(sealed))

    async def show(self, recording: Recording, stop: Stop) -> None:
        """Show how far a recording is, until the end is requested."""
        while not stop.requested:
            self.tell_recovered(recording)
            self.progress.show(self._line(recording.stats()))
            await stop.sleep(_REFRESH_S)

    def _line(self, found: dict[str, Any]) -> str:
        rows = sum(found["rows"].values())
        lost, dropped = (sum(found[what].values()) for what in ("lost", "dropped"))
        text = (
            f"{words.counted(rows, 'row')}, {words.rate(self._rate.of(rows))} rows/s, lag {found['lag_rows']:,} rows "
            f"{found['lag_s']:.1f} s, {words.size(found['sealed_bytes'] + found['open_bytes'])}, {lost:,} lost"
        )
        if dropped:
            text += f", {dropped:,} dropped"
        return f"{text}; cannot write: {found['failing']}" if found["failing"] else text


def _summary(out: Path, found: dict[str, Any], took_s: float) -> str:
    return (
        f"{out}: {words.rows_in(found['rows'], took_s)}; {words.counted(found['sealed'], 'file')}, "
        f"{words.size(found['sealed_bytes'])}."
    )


def _recovered(sealed: Sealed) -> str:
    """Return what became of a segment that was left open."""
    text = f"{sealed.segment.name}: {words.counted(sealed.rows, 'row')}"
    if sealed.path is not None:
        text += f" in {sealed.path}"
    if sealed.was_there:
        text += ", which was there already"
    if sealed.cut_bytes:
        text += f"; {sealed.cut_bytes:,} bytes at the end were no whole batch"
    if sealed.damage:
        text += f" ({sealed.damage}): kept as {sealed.segment.with_suffix('.damaged').name}"
    return text


@click.command(short_help="Finish a recording whose process was killed.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default="zstd",
    show_default=True,
    help="Of the Parquet files.",
)
def recover(*, folder: Path, compression: str) -> None:
    """Make Parquet files of what was left open in a recording.

    A line for each open segment says how many rows it had. What was just being written when the process was
    killed is cut off, and told. A segment that is damaged otherwise is read up to the damage, and kept. One that
    cannot be read or written is left as it is. The exit code is 1 if there is one of either. fastfeed record does
    the same when it begins.

    \b
    Example:
      fastfeed recover data
    """
    found = finish(folder, compression=compression)
    finished = [sealed for sealed in found if not sealed.failure]
    for sealed in found:
        if sealed.failure:
            complain(f"cannot finish {sealed.segment}: {sealed.failure}")
        else:
            click.echo(_recovered(sealed))
    rows = sum(sealed.rows for sealed in finished if not sealed.was_there)
    if finished:
        click.echo(
            f"{folder}: {words.counted(rows, 'row')} of {words.counted(len(finished), 'segment')}."
        )
    elif not found:
        click.echo(f"{folder}: nothing was left open.")
    if any(sealed.damage or sealed.failure for sealed in found):
        click.get_current_context().exit(1)
