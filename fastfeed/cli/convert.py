"""`fastfeed convert`: rows out of files of one format into files of another one."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from fastfeed.captures.files import SUFFIX
from fastfeed.cli.csv_file import CsvSource, CsvTarget, fields_of
from fastfeed.cli.group import complain
from fastfeed.cli.options import kinds_of
from fastfeed.cli.progress import Progress
from fastfeed.errors import ConfigError, StorageError
from fastfeed.protocols.opend_codes import canonical, security
from fastfeed.schema import STREAMS, streams_of
from fastfeed.sinks.columns import checked_zone
from fastfeed.sinks.convert import (
    ArrowSource,
    ArrowStreamTarget,
    ArrowTarget,
    CaptureSource,
    FileTarget,
    FolderSource,
    FolderTarget,
    ParquetSource,
    ParquetTarget,
    Source,
    Target,
)
from fastfeed.sinks.convert import convert as convert_rows
from fastfeed.sinks.recording_folder import DESCRIPTION, why

__all__ = ["convert"]

_FILES: dict[str, type[FileTarget]] = {
    "parquet": ParquetTarget,
    "arrow": ArrowTarget,
    "arrows": ArrowStreamTarget,
    "csv": CsvTarget,
}
_FORMATS = (*_FILES, "folder")
_ENDINGS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".arrows": "arrows",
    ".csv": "csv",
    "": "folder",
}
_RAW = ("raw", ".raw", SUFFIX)
_CAPTURE_MAGIC = b"FFCAPTUR"
_SHOW_S = 0.2
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@click.command(short_help="Convert rows between raw captures, Parquet, Arrow and CSV.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    metavar="FORMAT",
    help=f"What OUT becomes: {', '.join(_FORMATS)}.  [default: by its ending]",
)
@click.option("--kinds", default="", metavar="KIND,...", help=f"Of {', '.join(STREAMS)}.")
@click.option("--symbols", default="", metavar="SYMBOL,...", help="Only the rows of these.")
@click.option(
    "--tz",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="Show times in this time zone; they stay the same instants.",
)
@click.option("--force", is_flag=True, help="Overwrite the file OUT.")
def convert(
    *, source: Path, target: Path, form: str | None, kinds: str, symbols: str, tz: str, force: bool
) -> None:
    """Convert the rows in IN into OUT.

    \b
    IN, by what is in it:
      a folder of Parquet files, such as fastfeed record makes
      a Parquet file, or an Arrow file (Feather) or stream
      a CSV file as fastfeed watch --format csv writes it
      a raw capture, a folder or a file of it
    OUT, by its ending or by --to:
      .parquet         parquet  zstd, with units in the metadata of the columns
      .arrow .feather  arrow    an Arrow IPC file
      .arrows          arrows   an Arrow IPC stream
      .csv             csv      as fastfeed watch writes it, ticks with their session
      no ending        folder   kind=KIND/date=DATE/*.parquet, as fastfeed record writes it

    A file has rows of one kind, a folder those of all. Memory stays the same however much there is. OUT appears
    when it is complete; what is there already stays unless --force is given, and a folder with something in it
    always stays.

    \b
    Examples:
      fastfeed convert data/ticks.parquet ticks.csv --symbols 700.HK
      fastfeed convert recording books.arrow --kinds books --tz Asia/Hong_Kong
      fastfeed convert capture recording
    """
    form = _form(target, form)
    try:
        wanted = streams_of(kinds_of(kinds)) if kinds else ()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    checked_zone(tz)
    names = list(map(_canonical, kinds_of(symbols)))
    if force and target.exists() and source.exists() and target.samefile(source):
        raise ConfigError("expected two files, IN and OUT are the same")
    # A part of IN, when it is read the next time, or already.
    is_part = form in ("parquet", "folder") or target.exists()
    if is_part and source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"expected OUT outside of IN, {target} is in {source}")
    with _interrupted_by_signals():
        found = _open(source)
        made = _make(form, target, found, wanted, tz, force)
        try:
            rows = _run(found, made, wanted, names, target)
        finally:
            if found.damage is not None:
                complain(f"{source} was read up to where it is damaged: {found.damage}")
    if isinstance(found, CaptureSource) and found.removed:
        complain(f"{source} begins with segment {found.removed}: those before it are not there")
    if isinstance(found, CaptureSource) and found.gaps:
        complain(f"{source} has {found.gaps} gaps, where it could not keep up: rows may be missing")
    if names and not rows:
        complain(f"no row of {', '.join(names)} is in {source}")
    if isinstance(found, FolderSource) and found.unfinished:
        complain(
            f"{found.unfinished} segments of {source} are not finished, and not in {target}: "
            f"see fastfeed recover"
        )
    # A torn end is what a recorder leaves that was killed.
    is_damaged = found.damage is not None and not found.damage.is_torn
    click.get_current_context().exit(1 if is_damaged else 0)


def _form(target: Path, form: str | None) -> str:
    ending = target.suffix.lower()
    form = form or _ENDINGS.get(ending, ending)
    if form in _RAW:
        raise click.UsageError(
            "rows cannot become a raw capture: it has bytes as a vendor sent them"
        )
    if form not in _FORMATS:
        what = f"--to {form}" if form != ending else f"the ending {ending}"
        raise click.UsageError(
            f"expected OUT to end with {', '.join(filter(None, _ENDINGS))} or nothing, or --to "
            f"({', '.join(_FORMATS)}), got {what}"
        )
    return form


def _canonical(symbol: str) -> str:
    try:
        return canonical(*security(symbol))
    except ValueError:
        return symbol


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let what was written be removed when the command is to end."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _open(path: Path) -> Source:
    """Return what is in a path."""
    try:
        if path.is_dir():
            return _open_folder(path)
        with open(path, "rb") as file:
            magic = file.read(len(_CAPTURE_MAGIC))
        if magic[:4] == b"PAR1":
            return ParquetSource(path)
        # A stream begins with the mark of a message that goes on.
        if magic[:6] == b"ARROW1" or magic[:4] == b"\xff\xff\xff\xff":
            return ArrowSource(path)
        if fields_of(path) is not None:
            return CsvSource(path)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {why(error)}") from error
    if magic == _CAPTURE_MAGIC:
        return CaptureSource(path)
    raise StorageError(
        f"cannot read {path}: expected Parquet, Arrow, CSV with a column symbol, or a raw capture"
    )


def _open_folder(path: Path) -> Source:
    if (path / DESCRIPTION).exists() or any(path.rglob("*.parquet")):
        return FolderSource(path)
    if not any(path.glob(f"*{SUFFIX}")):
        raise StorageError(f"there is no Parquet file and no raw capture in {path}")
    return CaptureSource(path)


def _make(
    form: str, target: Path, source: Source, wanted: tuple[str, ...], tz: str, force: bool
) -> Target:
    kinds = wanted or source.kinds or ()
    if form == "folder":
        return FolderTarget(target, source.symbols, tz=tz)
    if len(kinds) > 1:
        raise ConfigError(
            f"a file has rows of one kind, got {', '.join(kinds)}: choose one with --kinds, or convert into a folder"
        )
    kind = kinds[0] if kinds else None
    return _FILES[form](target, source.symbols, kind=kind, tz=tz, overwrites=force)


def _run(
    source: Source, target: Target, kinds: tuple[str, ...], symbols: list[str], path: Path
) -> int:
    started = shown = time.monotonic()
    with Progress() as progress:

        def tell(rows: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= _SHOW_S:
                shown = now
                part = "" if source.done is None else f"{source.done:4.0%}  "
                progress.show(f"{part}{rows:,} rows, {rows / (now - started):,.0f} a second")

        rows = convert_rows(source, target, kinds=kinds, symbols=symbols, tell=tell)
        if sys.stderr.isatty():
            progress.end(f"{rows:,} rows in {path}, {time.monotonic() - started:.1f} s")
    return rows
