"""What is decoded: pushes that are made once, by `opend_pushes`, `alltick_pushes` and `longport_pushes`.

They are written to a file, from which all candidates read: they get the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import msgspec

__all__ = ["RECV_NS", "Sample", "pushes_of", "with_each"]

#: When all of it was received.
RECV_NS = 1_785_204_916_000_000_000

_Value = TypeVar("_Value")


class Sample(msgspec.Struct):
    """Pushes of a kind, in the order in which they are sent.

    Attributes
    ----------
    vendor : str
    kind : str
        The stream that they belong to: ``"ticks"``, ``"quotes"``, ``"books"``, ``"bars"``, ``"timeshare"``,
        ``"brokers"``.
    symbols : list of str
        fastfeed's, in no particular order. Each has a push, where there are as many pushes as symbols.
    rows_each : int
        How many rows there are in a push.
    bodies : list of bytes
        Pushes without what goes around them on the wire: a vendor's `on_wire` adds that.
    """

    vendor: str
    kind: str
    symbols: list[str]
    rows_each: int
    bodies: list[bytes]

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return self.rows_each * len(self.bodies)

    def stream(self, **options: Any) -> bytes:
        """Return all pushes as they are on the wire, one behind the other; `options` are those of `on_wire`."""
        on_wire = pushes_of(self.vendor).on_wire
        return b"".join(
            on_wire(body, i, self.kind, **options) for i, body in enumerate(self.bodies)
        )

    def write(self, path: str | PathLike[str]) -> None:
        """Write the file; OSError."""
        Path(path).write_bytes(msgspec.msgpack.encode(self))

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Sample:
        """Read a file; OSError, msgspec.DecodeError."""
        return msgspec.msgpack.decode(Path(path).read_bytes(), type=cls)


def pushes_of(vendor: str) -> Any:
    """Return the module that makes a vendor's pushes.

    All have ``sample(kind, symbols, count, per_push=1)``, ``on_wire(body, serial, kind="ticks")`` and
    ``sequence_at(packet)``.
    """
    return import_module(f"fastfeed.bench.{vendor}_pushes")


def with_each(values: Sequence[_Value], count: int, rng: random.Random) -> list[_Value]:
    """Return so many of some values in random order, with each of them where there is room."""
    order = [*values, *rng.choices(values, k=max(0, count - len(values)))]
    rng.shuffle(order)
    return order[:count]
