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
from fastfeed.bench.process import ChildError, Process
from fastfeed.bench.replay_packets import market_of, symbols_at, write_packets
from fastfeed.bench.replay_receiver import COLUMNS
from fastfeed.bench.results import Better, Row, Table, figure
from fastfeed.bench.turns import Job, worker_cores
from fastfeed.errors import ConfigError
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
_HANGING_S = (
    60.0  # after the end of a replay, or an interrupt: far more than it takes to be told what came
)
_LONGEST_S = 366 * 86400
_FULL = 0.9  # of a core: the receiver is at its end
#: Which direction of a column is an improvement.
_BETTER: dict[str, Better] = {"lost": "lower", "CPU %": "lower", "ring high-water rows": "lower"}


# ---- what is sent when


def busiest(times_ns: Integers, length_ns: int) -> tuple[int, int]:
    """Return where the stretch with most of some times begins and ends; the first one where there are several.

    Parameters
    ----------
    times_ns : ndarray of int64
        Ascending; at least one.
    length_ns : int
        How long it may last, at least 1: a time so long after its first one is not in it.

    Returns
    -------
    (int, int)
        The index of its first time, and that behind its last one.
    """
    ends = times_ns.searchsorted(times_ns + length_ns, "left")
    counts = ends - np.arange(len(times_ns))
    first = int(counts.argmax())
    return first, int(ends[first])


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
    """Return the busiest stretch of a tape that lasts at most so long at a speed; 0: all of it.

    Raises
    ------
    ConfigError
        It would last for more than a year.
    """
    times = np.ascontiguousarray(tape.rows["time_ns"])
    length = longest_s * 1e9 * speed
    if 0 < length <= float(times[-1] - times[0]):
        first, end = busiest(times, max(int(length), 1))
        tape = Tape(tape.symbols, tape.rows[first:end], tape.places)
        times = times[first:end]
    if float(times[-1] - times[0]) / 1e9 / speed > _LONGEST_S:
        raise ConfigError(f"at {speed:,g} times real time the tape would last for more than a year")
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
        about="A tape at multiples of its own times: from when a row was to be sent until the feed's callback has it",
    )


class Replay:
    """Replays stretches of a tape, and enters what was measured into a table.

    Parameters
    ----------
    tape : Tape
    vendor : {"opend", "alltick", "longport"}
    receive : {"loop", "thread"}
        How the feed receives.
    patience_s : float
        How long to wait for a row when the last one should have come: then it is lost.

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

    def __init__(
        self, tape: Tape, vendor: str, receive: Receive = "loop", *, patience_s: float = 5.0
    ) -> None:
        self.table = new_table(vendor)
        self.failures: list[str] = []
        self._vendor = vendor
        self._receive: Receive = receive
        self._patience_s = patience_s
        self._symbols = symbols_at(vendor, tape)
        self._options: dict[str, Any] = {"receive": receive}
        if vendor == "alltick":
            self._options["market"] = market_of(tape.symbols)

    def play(
        self, stretch: Stretch, step: Callable[[float], object] = lambda seconds: None
    ) -> None:
        """Replay a stretch, and enter its row.

        Parameters
        ----------
        stretch : Stretch
            Of the tape.
        step : callable, optional
            Called with the seconds that have passed, now and then.

        Raises
        ------
        ConfigError
            There is no room for the packets, some 200 bytes a row, in the folder of temporary files.
        ChildError
            The gateway or the receiver failed.
        KeyboardInterrupt
            What was measured until then is in the table.
        """
        receiver_cores, sender_cores = worker_cores() if self._receive == "loop" else ([], [])
        with ExitStack() as stack:
            made = tempfile.TemporaryDirectory(prefix="fastfeed-bench-")
            folder = Path(stack.enter_context(made))
            try:
                packets = write_packets(self._vendor, stretch.tape, folder)
                np.save(folder / "times.npy", stretch.times_ns)
            except OSError as error:
                raise ConfigError(
                    f"cannot write the packets to be sent to {folder}: {error.strerror}"
                ) from error
            gateway = Gateway(self._vendor, sender_cores)
            stack.enter_context(gateway)
            worker = stack.enter_context(Process("fastfeed.bench.worker"))
            options = {
                "vendor": self._vendor,
                "port": gateway.port,
                "symbols": list(self._symbols),
                "options": self._options,
                "patience_s": self._patience_s,
            }
            job = Job("fastfeed.bench.replay_receiver:Receiver", options, receiver_cores, [])
            worker.send(msgspec.json.encode(job) + b"\n")
            worker.answer()
            gateway.play(str(packets.data), str(packets.ends), str(folder / "times.npy"))
            path = folder / "received.npz"
            how = {"count": len(stretch.tape), "seconds": stretch.seconds, "path": str(path)}
            worker.tell(do="round", **{"with": how})
            interrupted = False
            try:
                _wait(worker, step, stretch.seconds + self._patience_s + _HANGING_S)
            except KeyboardInterrupt:
                interrupted = True
                os.kill(worker.child.pid, signal.SIGINT)
            try:
                found = worker.answer(_HANGING_S)
                sent = gateway.answer(_HANGING_S)
            except ChildError:
                if interrupted:  # before there was anything
                    raise KeyboardInterrupt from None
                if gateway.child.poll() is not None:
                    gateway.result()  # raises what that died of, which is why
                raise
            with np.load(path) as received:
                examined = lags(stretch, packets.sides, found["ids"], received, sent["start_ns"])
        if examined.right:
            self.table.rows.append(self._row(stretch, examined, found, sent))
        if interrupted:
            raise KeyboardInterrupt
        self._judge(stretch, examined, found, sent)

    def _row(
        self, stretch: Stretch, examined: Examined, found: dict[str, Any], sent: dict[str, Any]
    ) -> Row:
        count = examined.right
        lasted = max(int(stretch.times_ns[count - 1]) + int(examined.late_ns[-1]), 1)
        expected = len(stretch.tape) if found["ended"] != "interrupted" else found["rows"]
        behind = found["largest"] + found["lost"]
        values = {
            "rows": found["rows"],
            "lost": max(expected - count, 0),
            **percentiles(examined.late_ns),
            "sender late p99 µs": sent["late_us"]["p99"],
            "ring high-water rows": behind,
            "ring high-water %": 100 * behind / found["capacity"],
            "CPU %": 100 * found["cpu_ns"] / found["wall_ns"],
            "ticks/s": count * 1e9 / lasted,
            "peak ticks/s": highest_rate(stretch.times_ns),
        }
        figures = {
            name: figure(value, "lower" if name.endswith("µs") else _BETTER.get(name))
            for name, value in values.items()
        }
        note = f"{len(stretch.tape):,} trades in {stretch.seconds:.3g} s"
        if found["ended"] == "interrupted":
            note += f", interrupted after {found['rows']:,} of them"
        note += f"; a ring of {found['capacity']:,} rows"
        name = "fastfeed" if self._receive == "loop" else "fastfeed, thread"
        return Row(name, figures, stretch.speed, curve(examined.late_ns), note)

    def _judge(
        self, stretch: Stretch, examined: Examined, found: dict[str, Any], sent: dict[str, Any]
    ) -> None:
        """Say what went wrong, and what the figures do not mean."""
        at = f"at {stretch.speed:,g} times real time"
        expected, count = len(stretch.tape), found["rows"]
        wrong = []
        if count < expected:
            wrong.append(f"{expected - count:,} of {expected:,} rows were lost")
        if count > expected:
            wrong.append(f"{count - expected:,} rows came that were not sent")
        if examined.right < min(count, expected):
            wrong.append(f"row {examined.right + 1:,} is not the one that was sent")
        if found["lost"]:
            wrong.append(
                f"{found['lost']:,} rows were overwritten before the callback came to them"
            )
        if found["rejected"]:
            wrong.append(f"the feed rejected {found['rejected']}")
        if found["errors"]:
            wrong.append(f"the callback failed {found['errors']} times")
        if found["ended"] not in ("complete", "silence"):
            wrong.append(found["ended"])
        if wrong:
            self.failures.append(f"{at}: {', '.join(wrong)}")
            self.table.warnings.append(self.failures[-1])
            return
        row = self.table.rows[-1].figures
        late, lag = sent["late_us"]["p99"], row["p99 µs"].median
        if row["CPU %"].median >= 100 * _FULL:
            self.table.warnings.append(
                f"{at}: the receiver had no time left: more is not to be had"
            )
        elif late > lag / 2:
            self.table.warnings.append(
                f"{at}: the sender, not the feed: 1 % of its rows were {late:,.0f} µs late or later"
            )


def _wait(worker: Process, step: Callable[[float], object], most_s: float) -> None:
    """Wait until a worker has its answer, or should have had it."""
    assert worker.child.stdout is not None
    poll = select.poll()
    poll.register(worker.child.stdout.fileno(), select.POLLIN)
    before = time.monotonic()
    until = before + most_s
    while before < until and not poll.poll(_LOOK_MS):
        now = time.monotonic()
        step(now - before)
        before = now
