"""Candidates that decode a sample in memory: what all of them have in common.

A decoder is a class; an object of it has the rows of one sample. `Whole` and `BySymbols` are the factories.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

import fastfeed as ff
from fastfeed.bench.digests import digests
from fastfeed.bench.samples import Sample

__all__ = [
    "AGREED",
    "PIECE_BYTES",
    "BySymbols",
    "Decoder",
    "Fed",
    "Objects",
    "Record",
    "Records",
    "Rows",
    "Whole",
    "parser",
    "pieces",
    "row_digests",
]

AGREED = 300  # pushes whose rows are compared
PIECE_BYTES = 1 << 18

Rows = np.ndarray[Any, np.dtype[np.void]]
#: What a candidate says that a row has: "symbol", and columns of it.
Record = Mapping[str, Any]


class Decoder(ABC):
    """Decodes a sample, again and again.

    Parameters
    ----------
    sample : Sample
    """

    def __init__(self, sample: Sample) -> None:
        self.sample = sample

    @abstractmethod
    def run(self) -> None:
        """Decode all of it: what is timed."""

    @abstractmethod
    def digests(self) -> dict[str, str]:
        """Return the digests of the columns that the last run's rows have."""


class Fed(Decoder):
    """`fastfeed.Decoder`.

    Parameters
    ----------
    sample : Sample
    decoder : fastfeed.Decoder
    pieces : sequence of bytes-like
        What it is fed with, one after the other.
    """

    def __init__(
        self, sample: Sample, decoder: ff.Decoder, pieces: Sequence[bytes | memoryview]
    ) -> None:
        super().__init__(sample)
        self._decoder = decoder
        self._pieces = pieces

    def run(self) -> None:
        """Feed the pieces."""
        feed = self._decoder.feed
        rows = 0
        for piece in self._pieces:
            rows += feed(piece)
        if rows != self.sample.rows:
            raise AssertionError(f"expected {self.sample.rows} rows, got {self._decoder.stats()}")

    def rows(self) -> tuple[Rows, list[str]]:
        """Return the last run's rows, and their symbols."""
        rows = self._decoder.stream(self.sample.kind).latest(self.sample.rows)
        return rows, [self._decoder.symbols[i] for i in rows["symbol"]]

    def digests(self) -> dict[str, str]:
        """Return those of all columns."""
        return row_digests(*self.rows())


class Records(Decoder):
    """A decoder that says what its rows have as records."""

    @abstractmethod
    def records(self) -> Iterable[Record]:
        """Return what the last run's rows have: all of them the same columns."""

    def digests(self) -> dict[str, str]:
        """Return the digests of the columns that the records have."""
        records = list(self.records())
        rows = np.zeros(len(records), ff.dtype(self.sample.kind))
        columns = [name for name in records[0] if name != "symbol"]
        for row, record in zip(rows, records, strict=True):
            for column in columns:
                row[column] = record[column]
        return digests(rows, [record["symbol"] for record in records], columns)


class Objects(Records):
    """A decoder that makes an object of each body, and no rows."""

    decode: Callable[[bytes], Any]

    def run(self) -> None:
        """Decode the bodies, and let go of each object."""
        decode = self.decode
        for body in self.sample.bodies:
            decode(body)


def row_digests(rows: Rows, symbols: Sequence[str]) -> dict[str, str]:
    """Return the digests of all that rows say, apart from when they came."""
    names = rows.dtype.names or ()
    return digests(rows, symbols, [name for name in names if name not in ("recv_ns", "symbol")])


def parser(message: type[Any]) -> Callable[[bytes], Any]:
    """Return what parses a protobuf message in C; RuntimeError: protobuf's runtime here is another one."""
    from google.protobuf.internal import api_implementation

    if (found := api_implementation.Type()) != "upb":
        raise RuntimeError(f"expected protobuf's upb, got {found}")
    parse: Callable[[bytes], Any] = message.FromString
    return parse


def pieces(data: bytes, size: int = PIECE_BYTES) -> list[memoryview]:
    """Return bytes as a socket would bring them."""
    view = memoryview(data)
    return [view[at : at + size] for at in range(0, len(view), size)]


class Whole:
    """The factory of candidates that decode a sample from its beginning to its end.

    Parameters
    ----------
    decoder : str
        The class: ``"module:name"``.
    sample : str
        The sample's file.
    pushes : int
        How many a round has: as many of the sample, or all of it several times.
    """

    def __init__(self, decoder: str, sample: str, pushes: int) -> None:
        whole = Sample.read(sample)
        make = _named(decoder)
        self._agreed = make(_first(whole, AGREED))
        self._decoder = make(_first(whole, pushes))
        self._passes = max(1, round(pushes / len(whole.bodies)))

    def check(self) -> dict[str, str]:
        """Return the digests of the first pushes' rows."""
        self._agreed.run()
        return self._agreed.digests()

    def round(self) -> dict[str, Any]:
        """Return how long how many pushes took."""
        seconds = _timed(self._decoder.run, self._passes)
        return {"seconds": seconds, "pushes": self._passes * len(self._decoder.sample.bodies)}


class BySymbols:
    """The factory of candidates that decode samples with more and more symbols, in turns.

    Parameters
    ----------
    decoder : str
        The class: ``"module:name"``.
    samples : dict
        The samples' files, by the number of symbols.
    passes : int
        How often a round goes over each sample.
    """

    def __init__(self, decoder: str, samples: Mapping[str, str], passes: int) -> None:
        make = _named(decoder)
        whole = {symbols: Sample.read(path) for symbols, path in samples.items()}
        self._agreed = {key: make(_first(sample, AGREED)) for key, sample in whole.items()}
        self._decoders = {key: make(sample) for key, sample in whole.items()}
        self._passes = passes
        self._rounds = 0

    def check(self) -> dict[str, str]:
        """Return the digests of the first pushes' rows, by symbols and column."""
        found = {}
        for symbols, decoder in self._agreed.items():
            decoder.run()
            for column, digest in decoder.digests().items():
                found[f"{column} of {symbols}"] = digest
        return found

    def round(self) -> dict[str, Any]:
        """Return how long a push took, by symbols: each a run after one that warms up."""
        self._rounds += 1
        order = list(self._decoders)
        seconds = {}
        for symbols in order if self._rounds % 2 else reversed(order):
            decoder = self._decoders[symbols]
            if self._passes > 1:
                decoder.run()
            count = self._passes * len(decoder.sample.bodies)
            seconds[symbols] = _timed(decoder.run, self._passes) / count
        return {"seconds": seconds}


def _named(text: str) -> Callable[[Sample], Decoder]:
    module, _, name = text.partition(":")
    made: Callable[[Sample], Decoder] = getattr(import_module(module), name)
    return made


def _first(sample: Sample, count: int) -> Sample:
    return Sample(
        sample.vendor, sample.kind, sample.symbols, sample.rows_each, sample.bodies[:count]
    )


def _timed(run: Callable[[], None], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        run()
    return time.perf_counter() - started
