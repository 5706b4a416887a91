"""What a run of benches found, and its file.

A file is JSON with the fields of `Results`. Its schema is stable: within one number of `SCHEMA` fields may be added,
none is renamed, removed or given another meaning. ``bench/README.md`` describes it for those who read it without us.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import msgspec

from fastfeed.errors import ConfigError

__all__ = [
    "SCHEMA",
    "Bar",
    "Figure",
    "Missing",
    "Noise",
    "Results",
    "Row",
    "Table",
    "figure",
    "ratio",
]

SCHEMA = "fastfeed-bench/1"

Better = Literal["lower", "higher"]


class Figure(msgspec.Struct, omit_defaults=True):
    """A number that was measured.

    Attributes
    ----------
    median, low, high : float
        Of the rounds: the median, and the first and third quartile.
    rounds : list of float
        What each round gave; empty where there was one measurement only.
    better : {"lower", "higher"}, optional
        Which direction is an improvement, where one is.
    """

    median: float
    low: float
    high: float
    rounds: list[float] = []
    better: Better | None = None

    @property
    def spread(self) -> float:
        """The distance of the quartiles, as a part of the median."""
        return (self.high - self.low) / abs(self.median) if self.median else 0.0


class Row(msgspec.Struct, omit_defaults=True):
    """A candidate's figures.

    Attributes
    ----------
    name : str
        The candidate's.
    figures : dict
        By column; a column's name says its unit: ``"ns/tick"``, ``"p99 µs"``, ``"x fastfeed"``.
    x : float, optional
        Where a table goes over several of something (symbols, a rate, readers): how many.
    curve : list of (float, float)
        Of a latency: percentiles and their µs, of the rounds together.
    note : str
        What is particular about this candidate, as that it has threads of its own.
    """

    name: str
    figures: dict[str, Figure]
    x: float | None = None
    curve: list[tuple[float, float]] = []
    note: str = ""


class Table(msgspec.Struct, omit_defaults=True):
    """Figures that belong together.

    Attributes
    ----------
    name : str
        Unique within a run, and the same from run to run: what runs are compared by.
    family : str
        ``"decode"``, ``"wire"``, ``"latency"``, ``"scaling"``, ``"fanout"``, ``"replay"``; ``""`` of others.
    rows : list of Row
    vendor : str
        ``"opend"``, ``"alltick"``, ``"longport"``, or ``""``.
    unit : str
        The column that matters most, as plots and comparisons show it.
    x : str
        What the rows' `x` counts: ``"symbols"``, ``"packets a second"``, ``"readers"``.
    about : str
        A sentence on what was done.
    warnings : list of str
        What stands in the way of trusting the figures: noise, a sender that was too slow.
    """

    name: str
    family: str
    rows: list[Row]
    vendor: str = ""
    unit: str = ""
    x: str = ""
    about: str = ""
    warnings: list[str] = []

    def row(self, name: str, x: float | None = None) -> Row | None:
        """Return a row, or None."""
        return next((row for row in self.rows if row.name == name and row.x == x), None)


class Missing(msgspec.Struct):
    """A candidate that could not take part, and why."""

    name: str
    why: str


class Bar(msgspec.Struct):
    """What is aimed at, beside what was measured."""

    what: str
    value: float
    bar: str
    met: bool


class Noise(msgspec.Struct, omit_defaults=True):
    """How quiet the machine was.

    Attributes
    ----------
    stolen : float
        The part of a core's time in which a loop that only looks at the clock did not run.
    longest_us : float
        Its longest pause.
    drift : float
        How much the time of a fixed piece of work varied over the run: (largest - smallest) / median.
    work_us : float
        That time, the median: what says how fast this machine was beside another one, or on another day.
    """

    stolen: float
    longest_us: float
    drift: float
    work_us: float = 0.0


class Results(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A run.

    Attributes
    ----------
    schema : str
        `SCHEMA`.
    version : str
        fastfeed's.
    date : str
        When the run began: ISO 8601, UTC.
    command : str
        What was called.
    complete : bool
        False where the run was interrupted: the tables are those that were ready.
    machine : dict
        ``cpu``, ``cores``, ``kernel``, ``python``, ``load_before``, ``packages`` (versions), and what else is known.
    method : dict
        How was measured: ``rounds``, ``warm_up``, ``work``, ``worker_cores``, ``feeder_cores``, ``gc``.
    noise : Noise, optional
    tables : list of Table
    missing : list of Missing
    notes : list of str
    bars : list of Bar
    """

    schema: str = SCHEMA
    version: str
    date: str
    command: str
    complete: bool = True
    machine: dict[str, Any] = {}
    method: dict[str, Any] = {}
    noise: Noise | None = None
    tables: list[Table] = []
    missing: list[Missing] = []
    notes: list[str] = []
    bars: list[Bar] = []

    def table(self, name: str) -> Table | None:
        """Return a table, or None."""
        return next((table for table in self.tables if table.name == name), None)

    def write(self, path: str | PathLike[str]) -> None:
        """Write the file, in which null stands for what is no finite number; OSError.

        A file that was there is replaced at once: whoever looks, or ends this process, finds the old or the new one.
        """
        # `schema` has its default, and has to be there all the same.
        known = {"schema": self.schema, **msgspec.to_builtins(self)}
        text = msgspec.json.format(msgspec.json.encode(known), indent=1)
        target = Path(path)
        if target.exists() and not target.is_file():  # a terminal, a pipe
            target.write_bytes(text + b"\n")
            return
        target = target.resolve()  # a link stays one
        part = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            part.write_bytes(text + b"\n")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Results:
        """Read a file; ConfigError, with the reason."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        try:
            known = msgspec.json.decode(data)
            found = known.get("schema") if isinstance(known, dict) else None
            if found != SCHEMA:
                raise ConfigError(f"{path}: expected results of schema {SCHEMA!r}, got {found!r}")
            _restore(known.get("tables"))
            return msgspec.convert(known, cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ConfigError(f"{path}: expected results of a bench: {error}") from None


def _restore(known: Any) -> None:
    """Put NaN where a figure's number is null."""
    if isinstance(known, dict):
        for name, value in known.items():
            if value is None and name in ("median", "low", "high"):
                known[name] = math.nan
            elif name == "rounds" and isinstance(value, list):
                known[name] = [math.nan if each is None else each for each in value]
            else:
                _restore(value)
    elif isinstance(known, list):
        for each in known:
            _restore(each)


def figure(rounds: Sequence[float] | float, better: Better | None = None) -> Figure:
    """Return the figure of some rounds, or of one number that was measured once."""
    if isinstance(rounds, (int, float)):
        return Figure(float(rounds), float(rounds), float(rounds), better=better)
    values = [float(value) for value in rounds]
    if len(values) == 1:
        return Figure(values[0], values[0], values[0], values, better)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median, low, high, values, better)


def ratio(own: Sequence[float], other: Sequence[float]) -> Figure:
    """Return how many times another's rounds one's own are, round by round, so that drift hits both alike."""
    return figure([a / b for a, b in zip(own, other, strict=True)])
