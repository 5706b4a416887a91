"""What is to be measured: cases, each of which gives a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fastfeed.bench.results import Missing, Table
from fastfeed.bench.turns import STANDARD_LIBRARY, Candidate, Effort
from fastfeed.errors import ConfigError

__all__ = ["FAMILIES", "FULL", "PEERS", "QUICK", "VENDORS", "Case", "Plan"]

FAMILIES = ("decode", "wire", "latency", "scaling", "fanout")
VENDORS = ("opend", "alltick", "longport")

#: By their distributions' names, or those of modules of the standard library.
PEERS = (
    *("aiohttp", "futu-api", "longport", "msgspec", "orjson", "picows", "protobuf", "pyzmq"),
    *("uvloop", "websockets"),
    *sorted(STANDARD_LIBRARY),
)

FULL = Effort(rounds=11, warm_up=1, work=1.0)
QUICK = Effort(rounds=5, warm_up=1, work=0.25)


@dataclass(frozen=True)
class Case:
    """A table to be.

    Attributes
    ----------
    name : str
        The table's.
    steps : int
        How often `run` calls its argument: the length of its part of a progress bar.
    run : callable
        Takes a callable without arguments, which it calls for each step; returns the table, and the candidates that
        could not take part.
    """

    name: str
    steps: int
    run: Callable[[Callable[[], None]], tuple[Table, list[Missing]]]


@dataclass(frozen=True)
class Plan:
    """What the user asked for.

    Parameters
    ----------
    families, vendors : sequence of str
        Of `FAMILIES` and `VENDORS`.
    effort : Effort
    peers : sequence of str, optional
        The only peers that take part, of `PEERS`; default: all that are installed.

    Raises
    ------
    ConfigError
        Something of these is not known.
    """

    families: Sequence[str] = FAMILIES
    vendors: Sequence[str] = VENDORS
    effort: Effort = FULL
    peers: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for what, given, known in (
            ("family", self.families, FAMILIES),
            ("vendor", self.vendors, VENDORS),
            ("peer", self.peers or (), PEERS),
        ):
            for name in given:
                if name not in known:
                    raise ConfigError(f"expected a {what} of {', '.join(known)}, got {name!r}")

    def chosen(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Return the candidates that the user wants, in their order."""
        return [
            each
            for each in candidates
            if each.peer is None or self.peers is None or each.peer in self.peers
        ]

    def steps(self, candidates: Iterable[Candidate]) -> int:
        """Return how many rounds those of some candidates that are there have in all."""
        there = sum(candidate.missing() is None for candidate in candidates)
        return there * (self.effort.warm_up + self.effort.rounds)
