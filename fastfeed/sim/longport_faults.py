"""What goes wrong with the packets of a simulated LongPort, on purpose."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from fastfeed.protocols.longport_messages import Command
from fastfeed.protocols.longport_packets import VERIFY_BYTES, pack_push
from fastfeed.sim.longport_knobs import LongPortFaults

__all__ = ["PushFaults", "sealed"]

_STRIKES = ("unknown_type", "truncated", "close", "drop_after", "stall")
_SIGNATURE = bytes(range(1, VERIFY_BYTES + 1))
_UNKNOWN_PUSH = 199
_BOMB_BYTES = 1 << 24


def sealed(faults: LongPortFaults, pack: Callable[..., bytes], *fields: Any) -> bytes:
    """Return a packet, compressed and signed as it was told; the body is the last field."""
    compress = faults.gzip is not None and len(fields[-1]) >= faults.gzip
    return pack(*fields, compress=compress, verify=_SIGNATURE if faults.verify else b"")


@cache
def _bomb() -> bytes:
    """Return a push whose body is small, and huge when decompressed."""
    member = gzip.compress(bytes(_BOMB_BYTES), mtime=0)
    return b"\x23" + bytes((Command.PUSH_TRADES,)) + len(member).to_bytes(3, "big") + member


class PushFaults:
    """Of one connection.

    Parameters
    ----------
    faults : LongPortFaults
    strikes : dict
        How often the faults that end a connection have struck, of all connections together.
    """

    def __init__(self, faults: LongPortFaults, strikes: dict[str, int]) -> None:
        self._faults = faults
        self._strikes = strikes
        self._pushes = 0
        self._before: dict[int, bytes] = {}
        self.slow = faults != LongPortFaults()
        self.due = ""
        """What strikes behind the pushes that were made."""

    def take(self) -> str:
        """Return what strikes now."""
        due, self.due = self.due, ""
        return due

    def _armed(self) -> dict[str, int]:
        """Return after how many pushes which faults may strike."""
        times = self._faults.times
        return {
            name: after
            for name in _STRIKES
            if (after := getattr(self._faults, name)) is not None
            and not (times and self._strikes.get(name, 0) >= times)
        }

    def until_strike(self) -> int:
        """Return how many pushes there are before something strikes."""
        return min((after - self._pushes for after in self._armed().values()), default=1 << 62)

    def packets(self, pushes: list[tuple[int, bytes]]) -> tuple[list[bytes], int]:
        """Return packets, and how many of the pushes are in them: none behind a strike."""
        out: list[bytes] = []
        for number, (command, body) in enumerate(pushes):
            if self.strike():
                return out, number
            out += self._extras(command, body)
            good = sealed(self._faults, pack_push, command, body)
            self._pushes += 1
            out.append(good)
            if self._faults.duplicate and self._pushes % self._faults.duplicate == 0:
                out.append(good)
            self._before[command] = good
        self.strike()
        return out, len(pushes)

    def strike(self) -> bool:
        """Return whether something is due now."""
        for name, after in self._armed().items():
            if not self.due and self._pushes == after:
                self._strikes[name] = self._strikes.get(name, 0) + 1
                self.due = name
        return bool(self.due)

    def _extras(self, command: int, body: bytes) -> Iterator[bytes]:
        """Yield what is sent before a push."""
        faults, number = self._faults, self._pushes + 1

        def turn(every: int) -> bool:
            return bool(every) and number % every == 0

        if turn(faults.garbage):
            yield pack_push(command, b"\xff" * 40)
        if turn(faults.unknown_push):
            yield pack_push(_UNKNOWN_PUSH, body)
        if turn(faults.gzip_bomb):
            yield _bomb()
        if turn(faults.bad_gzip):
            whole = pack_push(command, b"no member of gzip")
            yield bytes((whole[0] | 0x20,)) + whole[1:]
        if turn(faults.old_sequence) and command in self._before:
            yield self._before[command]
