"""A user's own tape at its own times, bursts included, and at multiples of them: from a gateway into a feed.

The gateway follows the tape's times as an open loop: a row's lag is counted from when it was to be sent to when the
feed's callback has it, whatever held it up. Every row that comes is compared with the tape's.
"""

from __future__ import annotations

import os
import select
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from fastfeed.bench.gateway import Gateway
from fastfeed.bench.percentiles import curve, percentiles
from fastfeed.bench.process import Process
from fastfeed.bench.replay_packets import market_of, symbols_at, write_packets
from fastfeed.bench.replay_receiver import COLUMNS
from fastfeed.bench.results import Better, Row, Table, figure
from fastfeed.bench.turns import Job, worker_cores
from fastfeed.hub import Receive
from fastfeed.sim.tape import Tape

__all__ = [
    "Replay",
    "Stretch",
    "busiest",
    "highest_rate",
    "lags",
    "new_table",
    "schedule",
    "stretch_of",
]

Integers = npt.NDArray[np.int64]

_BURST_NS = 10_000_000  # the highest rate is that of so long a time
_LOOK_MS = 200
_FULL = 0.9  # of a core: the receiver is at its end
#: Which direction of a column is an improvement.
_BETTER: dict[str, Better] = {"lost": "lower", "CPU %": "lower", "ring high-water rows": "lower"}


# ---- what is sent when


def busiest(times_ns: Integers, length_ns: int) -> tuple[int, int]:
    """Return the first and the last but one index of the stretch with most of some times, the first where there are several.

    Parameters
    ----------
    times_ns : ndarray of int64
        Ascending; at least one.
    length_ns : int
        How long it may last: a time so long after its first one is not in it.
    """
    ends = times_ns.searchsorted(times_ns + length_ns, "left")
    counts = ends - np.arange(len(times_ns))
    first = int(counts.argmax())
    return first, first + int(max(counts[first], 1))


def schedule(times_ns: Integers, speed: float) -> Integers:
    """Return when rows are to be sent, ns from the first one on, at a multiple of their own speed."""
    since: Integers = times_ns - times_ns[0]
    if speed == 1:
        return since
    return np.rint(since / speed).astype(np.int64)


def highest_rate(times_ns: Integers) -> float:
    """Return the most rows a second that are due in any 10 ms."""
    first, end = busiest(times_ns, _BURST_NS)
    return (end - first) * 1e9 / _BURST_NS


class Stretch(NamedTuple):
    """What is replayed at one speed.

    Attributes
    ----------
    tape : Tape
    times_ns : ndarray of int64
        When each row is to be sent, from the first one on.
    speed : float
    """

    tape: Tape
    times_ns: Integers
    speed: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.times_ns[-1]) / 1e9


def stretch_of(tape: Tape, speed: float, longest_s: float) -> Stretch:
    """Return the busiest stretch of a tape that lasts at most so long at a speed; 0: all of it."""
    times = np.ascontiguousarray(tape.rows["time_ns"])
    length = longest_s * 1e9 * speed
    if 0 < length <= float(times[-1] - times[0]):
        first, end = busiest(times, max(int(length), 1))
        tape = Tape(tape.symbols, tape.rows[first:end], tape.places)
        times = times[first:end]
    return Stretch(tape, schedule(times, speed), speed)


# ---- what came


class Examined(NamedTuple):
    """What came of what was sent.

    Attributes
    ----------
    right : int
        Rows, from the first one, that are those of the tape in its order.
    late_ns : ndarray of int64
        Of those: how long after their times the callback had them.
    """

    right: int
    late_ns: Integers


def lags(
    stretch: Stretch,
    sides: npt.NDArray[np.int8],
    ids: Sequence[int],
    received: Mapping[str, npt.NDArray[Any]],
    started_ns: int,
) -> Examined:
    """Compare what came with what was sent: the n-th row that came is the n-th that was sent, or something is wrong.

    Parameters
    ----------
    stretch : Stretch
    sides : ndarray of int8
        Of its rows, as the vendor tells them.
    ids : sequence of int
        What the feed calls the tape's symbols.
    received : mapping of ndarray
        As `replay_receiver.Received` writes it.
    started_ns : int
        When the first row was to be sent, epoch ns.
    """
    moments = received["moment"]
    count = min(len(moments), len(stretch.tape))
    rows = stretch.tape.rows[:count]
    same = received["symbol"][:count] == np.array(ids, np.int64)[rows["symbol"]]
    for name in COLUMNS:
        sent = sides[:count] if name == "side" else rows[name]
        same &= received[name][:count] == sent
    right = count if same.all() else int(same.argmin())
    return Examined(right, moments[:right] - (started_ns + stretch.times_ns[:right]))


# ---- both together


def new_table(vendor: str) -> Table:
    """Return a table without rows."""
    return Table(
        f"replay {vendor}",
        "replay",
        [],
        vendor=vendor,
        unit="p99 µs",
        x="times real time",
        about="a tape at multiples of its own times: from when a row was to be sent until the feed's callback has it",
    )


class Replay:
    """Replays stretches of a tape, and enters what was measured into a table.

    Parameters
    ----------
    tape : Tape
    vendor : {"opend", "alltick", "longport"}
    receive : {"loop", "thread"}
        How the feed receives.

    Attributes
    ----------
    table : Table
        A row for each stretch.
    failures : list of str
        What was lost, or not as it was sent.

    Raises
    ------
    ConfigError
        The vendor could not send this tape.
    """

    def __init__(self, tape: Tape, vendor: str, receive: Receive = "loop") -> None:
        self.table = new_table(vendor)
        self.failures: list[str] = []
        self._tape = tape
        self._vendor = vendor
        self._receive: Receive = receive
        self._symbols = symbols_at(vendor, tape)
        self._options: dict[str, Any] = {"receive": receive}
        if vendor == "alltick":
            self._options["market"] = market_of(tape.symbols)

    def play(
        self, stretch: Stretch, step: Callable[[float], object] = lambda seconds: None
    ) -> Row:
        """Replay a stretch.

        Parameters
        ----------
        stretch : Stretch
            Of the tape.
        step : callable, optional
            Called with the seconds that have passed, now and then.

        Raises
        ------
        ChildError
            The gateway or the receiver failed.
        KeyboardInterrupt
            What was measured until then is in the table.
        """
        receiver_cores, sender_cores = worker_cores() if self._receive == "loop" else ([], [])
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="fastfeed-bench-"))
            )
            packets = write_packets(self._vendor, stretch.tape, folder)
            np.save(folder / "times.npy", stretch.times_ns)
            gateway = stack.enter_context(Gateway(self._vendor, sender_cores))
            worker = stack.enter_context(Process("fastfeed.bench.worker"))
            options = {
                "vendor": self._vendor,
                "port": gateway.port,
                "symbols": list(self._symbols),
                "options": self._options,
            }
            job = Job("fastfeed.bench.replay_receiver:Receiver", options, receiver_cores, [])
            worker.send(msgspec.json.encode(job) + b"\n")
            worker.answer()
            gateway.paced(packets.data, packets.ends, folder / "times.npy")
            path = folder / "received.npz"
            how = {"count": len(stretch.tape), "seconds": stretch.seconds, "path": str(path)}
            worker.tell(do="round", **{"with": how})
            interrupted = False
            try:
                _wait(worker, step)
            except KeyboardInterrupt:
                interrupted = True
                os.kill(worker.child.pid, signal.SIGINT)
            found = worker.answer()
            sent = gateway.result()
            with np.load(path) as received:
                row = self._row(stretch, packets.sides, found, sent, dict(received))
        if row is not None:
            self.table.rows.append(row)
        if interrupted or row is None:
            raise KeyboardInterrupt
        return row
