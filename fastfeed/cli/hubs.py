"""`fastfeed hubs`: which named hubs there are; those whose writer is gone are removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import click
import msgspec

from fastfeed import schema
from fastfeed._core.ring import Ring
from fastfeed.cli import words
from fastfeed.cli.grid import Column, column, grid, say, terminal_width, times
from fastfeed.cli.group import complain
from fastfeed.cli.options import format_option, user_option
from fastfeed.errors import HubError
from fastfeed.readers import remove_dead_readers
from fastfeed.shared import (
    OpenFolder,
    Survey,
    folders,
    remove,
    survey,
    user_folder,
)

__all__ = ["hubs"]


class _Hub(msgspec.Struct):
    """A hub as it is listed; what is not known is None."""

    name: str
    state: str
    problem: str | None
    pid: int | None
    program: str | None
    version: str | None
    since_ns: int | None
    rows: dict[str, int]  # by stream
    memory_bytes: int
    readers: int
    removed: bool = False


@click.command(short_help="List the hubs in shared memory, and remove dead ones.")
@click.option("--keep", is_flag=True, help="Leave dead hubs where they are.")
@format_option("table", "json")
@user_option
def hubs(*, keep: bool, form: Literal["table", "json"], user: str | int | None) -> None:
    """List the named hubs of this machine, and remove those whose writer is gone.

    A hub goes with its writer, unless that was killed: then its memory stays until this command, or the next
    writer of the same name, takes it away. Leftovers without a description and the files of readers that were
    killed go as well.

    \b
    States:
      alive     its writer lives: fastfeed tail NAME reads it
      dead      its writer is gone
      starting  not ready yet, or just ending
      broken    leftovers of a writer that was killed while it started or ended
      unknown   another user's, who does not allow a look at it

    \b
    Examples:
      fastfeed hubs
      fastfeed hubs --keep --format json
    """
    found = [survey(folder) for folder in folders(user)]
    listed = [_listed(item) for item in found]
    if not keep:
        for item, hub in zip(found, listed, strict=True):
            _remove(item, hub)
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(listed), indent=2))
    elif listed:
        say(_table(listed))
    else:
        say([f"There is no hub in {user_folder(user)}."])


def _listed(found: Survey) -> _Hub:
    about = found.description
    return _Hub(
        name=found.path.name,
        state=found.state,
        problem=found.problem or None,
        pid=None if about is None else about.pid,
        program=None if about is None else about.program,
        version=None if about is None else about.version,
        since_ns=None if about is None else about.generation,
        rows=_rows(found),
        memory_bytes=found.memory_bytes,
        readers=len(found.readers),
    )


def _rows(found: Survey) -> dict[str, int]:
    """Return how many rows there have been in each stream that has some."""
    about = found.description
    rows: dict[str, int] = {}
    if about is None:
        return rows
    try:
        folder = OpenFolder(found.path, found.path.parent.stat().st_uid)
        try:
            for name in schema.STREAMS:
                with folder.file(name) as fd:
                    size, capacity = about.row_sizes[name], about.capacities[name]
                    ring = Ring(size, capacity, fd=fd, writes=False)
                if ring.published:
                    rows[name] = ring.published
        finally:
            folder.close()
    except (HubError, OSError, KeyError, ValueError, OverflowError, MemoryError):
        # It is just going, or not what it says.
        return {}
    return rows


def _remove(found: Survey, hub: _Hub) -> None:
    """Remove a dead hub, or the files of dead readers of a living one, and say so."""
    name = found.path.name
    if found.state in ("dead", "broken"):
        hub.removed = remove(found.path)
        done = "removed" if hub.removed else "cannot remove"
        if found.description is None:
            complain(f"{done} what was left of the hub {name}")
        else:
            about = found.description
            program = words.printable(about.program)
            complain(f"{done} the hub {name}: its writer, process {about.pid} ({program}), is gone")
    elif found.dead_readers and (count := remove_dead_readers(found.path)):
        complain(f"removed {words.counted(count, 'file')} of dead readers of the hub {name}")


def _table(listed: Sequence[_Hub]) -> list[str]:
    def of(field: str) -> list[Any]:
        return [getattr(hub, field) for hub in listed]

    states = [f"{hub.state}, removed" if hub.removed else hub.state for hub in listed]
    rows = [", ".join(f"{count:,} {name}" for name, count in hub.rows.items()) for hub in listed]
    problems = [words.printable(f"{hub.name}: {hub.problem}") for hub in listed if hub.problem]
    columns = [
        column("name", of("name")),
        column("state", states),
        Column("pid", ["" if pid is None else str(pid) for pid in of("pid")]),
        column("program", of("program")),
        times("since", [ns and ns // 10**9 * 10**9 for ns in of("since_ns")]),
        column("readers", of("readers")),
        Column("memory", [_size(value) for value in of("memory_bytes")]),
        column("rows", rows),
    ]
    return [*grid(columns, terminal_width()), *problems]


def _size(value: int) -> str:
    return f"{value / 1024:,.0f} KiB" if value < 10 << 20 else f"{value / (1 << 20):,.1f} MiB"
