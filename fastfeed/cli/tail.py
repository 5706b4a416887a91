"""`fastfeed tail`: the rows of a hub that another process writes, as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Literal

import click

from fastfeed.attach import AttachedHub, AttachedReader, Wait, attach
from fastfeed.cli.group import complain
from fastfeed.cli.lines import Lines
from fastfeed.cli.options import attached_options, kinds_of, seconds
from fastfeed.cli.output import Csv, Format, JsonLines, Output, Stalled, write_all
from fastfeed.cli.stop import Stop
from fastfeed.connect import run
from fastfeed.schema import streams_of
from fastfeed.stream import Chosen

__all__ = ["tail"]

Form = Literal["text", "csv", "jsonl"]

_SLICE_S = 0.1  # a wait holds the event loop, and with it Ctrl-C, no longer
_TURN_S = 0.002  # of one stream, while others may have rows as well


@click.command(short_help="Show the rows of a hub that another process serves.")
@click.argument("name")
@click.argument("symbols", metavar="[SYMBOL]...", nargs=-1)
@attached_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "jsonl"]),
    help="What to write.  [default: text in a terminal, else csv, of several kinds jsonl]",
)
@click.option("--limit", type=int, metavar="N", help="End after N rows.")
@click.option("--duration", callback=seconds, metavar="S", help="End after S seconds.")
@click.option(
    "--wait",
    type=click.Choice(["spin", "hybrid", "block"]),
    default="block",
    show_default=True,
    help="How to wait for rows: polling, for 50 µs only, or asleep.",
)
def tail(
    *,
    name: str,
    symbols: tuple[str, ...],
    kinds: str,
    form: Form | None,
    start: Literal["now", "oldest"],
    limit: int | None,
    duration: float | None,
    wait: Wait,
    user: str | int | None,
    no_follow: bool,
) -> None:
    """Show the rows of hub NAME as they come, of all its symbols or of SYMBOLs only.

    The hub is what fastfeed serve or a program makes: see fastfeed hubs. Reading it does not slow its writer
    down. A SYMBOL that is not there yet is waited for. When the writer is gone, tail waits for the next one
    and says so, unless --no-follow is given. It ends with Ctrl-C, --limit or --duration.

    \b
    Formats:
      text   a line a row for people, with the main fields
      csv    as fastfeed watch writes it; ticks have their session as well
      jsonl  the same as JSON objects; of several kinds, each begins with the
             name of its "stream"

    csv and jsonl write rows and nothing else to standard output. A hub does not wait for its readers: who
    takes the output too slowly loses rows, is told so at the end, and the exit code is 1.

    \b
    Examples:
      fastfeed tail md
      fastfeed tail md 700.HK AAPL.US --kinds ticks,quotes
      fastfeed tail md --from oldest --format csv --duration 60 >ticks.csv
    """
    if limit is not None and limit < 1:
        raise click.BadParameter(f"expected 1 or more rows, got {limit}", param_hint="'--limit'")
    try:
        streams = streams_of(kinds_of(kinds))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if form is None:
        form = "text" if sys.stdout.isatty() else "csv" if len(streams) == 1 else "jsonl"
    if form == "csv" and len(streams) > 1:
        raise click.UsageError(
            f"csv has the columns of one kind, got {', '.join(streams)}: choose one, or --format jsonl"
        )
    try:
        hub = attach(name, user=user, wait=wait, follow=not no_follow)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'NAME'") from None
    with hub:
        source = _Followed(hub, streams, symbols, form, start)
        code = run(_tail(source, limit=limit, duration=duration))
    click.get_current_context().exit(code)


async def _tail(source: _Followed, *, limit: int | None, duration: float | None) -> int:
    """Write the rows to standard output; return the exit code."""
    with Stop() as stop:
        stop.after(duration)
        try:
            await write_all([source], Output(sys.stdout.fileno(), stop), stop=stop, limit=limit)
        except Stalled:
            complain("nobody takes the output: rows were not written")
            return 1
        except BrokenPipeError:
            return 0  # whoever read has had enough
    if source.lost:
        complain(f"{source.lost} rows of the hub were lost because the output was taken too slowly")
        return 1
    return 0


class _Followed:
    """Streams of a hub as text, those of its next writer as well.

    Everything happens in the one thread that calls it. So the next hub takes the place of this one only while this
    waits, never between reading rows and looking up their symbols, and then for all streams together.
    """

    def __init__(
        self,
        hub: AttachedHub,
        streams: Sequence[str],
        symbols: Sequence[str],
        form: Form,
        start: Literal["now", "oldest"],
    ) -> None:
        self._hub = hub
        self._readers = {name: hub.stream(name).reader(start) for name in streams}
        self._wanted = symbols
        self._form = form
        self._torn = 0
        self._next = 0  # the stream whose turn it is
        self._ends: dict[str, int] | None = None
        self._generation = 0
        self._begin()
        self.header = self._header
        hub.on_event(lambda event: complain(f"{event.feed}: {event.text}"))

    def _begin(self) -> None:
        """Take note of what the hub is now, and let all readers go on there."""
        while self._generation != self._hub.generation:
            self._generation = self._hub.generation
            for reader in self._readers.values():
                reader.on_idle()
        self._forms = {name: self._form_of(name) for name in self._readers}
        self._header = b"".join(form.header for form in self._forms.values())
        self._chosen = Chosen(self._hub.symbols, self._wanted)

    def _form_of(self, name: str) -> Format:
        symbols, depth, several = self._hub.symbols, self._hub.book_depth, len(self._readers) > 1
        if self._form == "csv":
            return Csv(symbols, name, depth, sessions=True)
        if self._form == "jsonl":
            return JsonLines(symbols, name, depth, tagged=several, sessions=True)
        return Lines(symbols, name, depth, tagged=several)

    @property
    def lost(self) -> int:
        """How many rows of the hub were overwritten before they were taken."""
        return self._torn + sum(reader.lost for reader in self._readers.values())

    @property
    def behind(self) -> bool:
        """Never to be waited for: the writer is another process."""
        return False

    @property
    def ended(self) -> bool:
        """Whether the writer is gone and no other one is waited for."""
        return not self._hub.look() and not any(reader.ready for reader in self._readers.values())

    def close(self) -> None:
        """Go up to the rows that are there now."""
        self._ends = {name: self._hub.stream(name).count for name in self._readers}

    def take(self, most: int) -> tuple[int, bytes] | None:
        """Return the next rows of a stream that has some, as text; those of other symbols count 0."""
        if self._hub.generation != self._generation:
            self._begin()
        names = list(self._readers)
        for _ in names:
            name = names[self._next]
            self._next = (self._next + 1) % len(names)
            reader = self._readers[name]
            room = most
            if self._ends is not None:
                room = min(most, max(0, self._ends[name] - reader.position))
            if room and reader.ready:  # reading in vain would look for the next writer
                return self._take(name, reader, room)
        return None

    def _take(self, name: str, reader: AttachedReader, most: int) -> tuple[int, bytes]:
        above = b""
        if self._header != self.header:  # books of another depth
            above = self.header = self._header
        rows = reader.read(most).copy()
        torn = reader.source.torn(reader.position - len(rows), len(rows))
        self._torn += torn
        rows = rows[torn:]
        if self._wanted:
            rows = self._chosen(rows)
        return len(rows), above + (self._forms[name](rows) if len(rows) else b"")

    async def wait(self, timeout: float) -> object:
        """Wait for rows of any of the streams, or for the next writer; this holds the event loop."""
        readers = list(self._readers.values())
        until = time.monotonic() + min(timeout, _SLICE_S)
        slice_s = _SLICE_S if len(readers) == 1 else _TURN_S
        while not any(reader.wait(slice_s) for reader in readers):
            if time.monotonic() >= until:
                return False
        return True
