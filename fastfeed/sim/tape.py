"""Trades to play: a CSV file, or arrays."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfeed._core.opend_encode import TICK_FIELDS
from fastfeed.errors import ConfigError

__all__ = ["TICK", "Tape"]

#: A row of a simulation: time_ns, price, volume, symbol (its index), side (1 buyer, -1 seller, 0).
TICK = np.dtype(TICK_FIELDS)

_HEADER = "time_ns,symbol,price,volume,side"
_SIDES = {"buy": 1, "sell": -1, "": 0}
_TIME_LIMIT_NS = (1 << 31) * 1_000_000_000  # sequences hold the second in 31 bits


class Tape:
    """Trades in the order of their times.

    Parameters
    ----------
    symbols : sequence of str
        The symbols that `rows` refer to.
    rows : ndarray
        Rows of dtype `TICK`, sorted by time. Not copied.
    places : sequence of int, optional
        How many digits behind the point the prices of each symbol are written with.

    Attributes
    ----------
    symbols : tuple of str
    rows : ndarray
    places : tuple of int, or None
    """

    def __init__(
        self,
        symbols: Sequence[str],
        rows: npt.NDArray[Any],
        places: Sequence[int] | None = None,
    ) -> None:
        if rows.dtype != TICK:
            raise TypeError(f"expected rows of {TICK}, got {rows.dtype}")
        self.symbols = tuple(symbols)
        self.rows = np.ascontiguousarray(rows)
        self.places = None if places is None else tuple(places)
        if not len(rows):
            raise ConfigError("expected a tape with at least one trade, got an empty one")
        if (wrong := _first_wrong(self.rows, len(self.symbols))) is not None:
            raise ConfigError(f"row {wrong[0]} of the tape: {wrong[1]}")

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Tape:
        """Read a tape from a CSV file, plain or compressed with gzip.

        The first line is ``time_ns,symbol,price,volume,side``; the side is ``buy``, ``sell`` or
        empty.

        Raises
        ------
        ConfigError
            The file cannot be read, has no trades, or a line of it is broken.
        """
        name = fspath(path)
        symbols: dict[str, int] = {}
        places: dict[str, int] = {}
        times: list[int] = []
        prices: list[float] = []
        volumes: list[float] = []
        ids: list[int] = []
        sides: list[int] = []
        number, line = 1, ""
        try:
            with open(name, "rb") as raw:
                compressed = raw.peek(2).startswith(b"\x1f\x8b")
                file: Any = gzip.GzipFile(fileobj=raw) if compressed else raw
                lines = io.TextIOWrapper(file, encoding="utf-8-sig")
                header = lines.readline().rstrip("\n")
                if header != _HEADER:
                    raise ConfigError(
                        f"{name}:1: expected the header {_HEADER!r}, got {header[:80]!r}"
                    )
                for number, line in enumerate(lines, 2):  # noqa: B007, they are named below
                    time_ns, symbol, price, volume, side = line.rstrip("\n").split(",")
                    times.append(int(time_ns))
                    ids.append(symbols.setdefault(symbol, len(symbols)))
                    places.setdefault(symbol, len(price.partition(".")[2]))
                    prices.append(float(price))
                    volumes.append(float(volume))
                    sides.append(_SIDES[side])
        except UnicodeDecodeError:
            raise ConfigError(f"cannot read the tape {name}: it is not UTF-8 text") from None
        except (ValueError, KeyError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"{name}:{number}: expected {_HEADER}, got {line.rstrip()[:80]!r}"
            ) from None
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot read the tape {name}: {reason}") from error
        if not times:
            raise ConfigError(f"the tape {name} has no trades")
        rows = np.zeros(len(times), TICK)
        try:
            rows["time_ns"] = times
        except OverflowError:
            raise ConfigError(f"{name}: expected times in nanoseconds, got {max(times)}") from None
        rows["price"] = prices
        rows["volume"] = volumes
        rows["symbol"] = ids
        rows["side"] = sides
        if "" in symbols:
            raise ConfigError(f"{name}:{ids.index(symbols['']) + 2}: expected a symbol, got none")
        if (wrong := _first_wrong(rows, len(symbols))) is not None:
            raise ConfigError(f"{name}:{wrong[0] + 2}: {wrong[1]}")
        return cls(tuple(symbols), rows, tuple(places.values()))


def _first_wrong(rows: npt.NDArray[Any], symbols: int) -> tuple[int, str] | None:
    """Return the first row that cannot be played, and why."""
    time_ns = rows["time_ns"]
    earlier = np.zeros(len(rows), bool)
    earlier[1:] = time_ns[1:] < time_ns[:-1]
    found = [
        (int(np.argmax(bad)), text)
        for bad, text in (
            (
                (time_ns < 0) | (time_ns >= _TIME_LIMIT_NS),
                "expected a time from 1970 to 2038 in nanoseconds",
            ),
            (
                earlier,
                "expected times in ascending order, got one before that of the previous line",
            ),
            (~np.isfinite(rows["price"]), "expected a finite price"),
            (
                ~(np.isfinite(rows["volume"]) & (rows["volume"] >= 0)),
                "expected a finite volume, not negative",
            ),
            (rows["symbol"] >= symbols, f"expected a symbol below {symbols}"),
        )
        if bad.any()
    ]
    return min(found, default=None)
