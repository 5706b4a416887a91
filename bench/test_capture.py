"""What a raw capture costs, and how fast one is played.

Live: a blast as that of the wire, from another process over loopback to a count of rows in a callback, with and
without a capture to a file on disk, of which nothing may be lost. Nobody is pinned: the capture has a thread of its
own, which takes what the sender leaves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from receivers import ours

import fastfeed as ff
from fastfeed._core.opend import OpendMachine
from fastfeed.bench.feeding import BLOCK, SYMBOLS, fed, pushes_of
from fastfeed.bench.gateway import packets_of
from fastfeed.bench.opend_pushes import pack
from fastfeed.bench.results import ratio
from fastfeed.bench.turns import Candidate, Effort
from fastfeed.captures import CaptureFile, Player
from fastfeed.protocols.opend_messages import INIT_CONNECT

ROUNDS = 9
TICKS = 4_000_000
CLIENTS = {
    "opend": ("opend_clients", "CapturingOpenD", 1.0),
    "longport": ("longport_clients", "CapturingLongPort", 1.0),
    "alltick": ("alltick_clients", "CapturingAllTick", 0.5),
}


@pytest.mark.parametrize("vendor", CLIENTS)
def test_wire(vendor: str, benchmark: Any, report: Any) -> None:
    module, factory, work = CLIENTS[vendor]
    repeat = round(TICKS * work / BLOCK)
    options = {"pushes": BLOCK, "repeat": repeat}
    candidates = [
        Candidate("fastfeed", f"fastfeed.bench.{module}:Fastfeed", options),
        ours("fastfeed, capturing", factory, options=options, threads=True),
    ]

    def all_rounds() -> dict[str, list[dict[str, Any]]]:
        with fed(vendor, candidates, pinned=False) as feeding:
            feeding.agree()
            found, _ = feeding.rounds(
                Effort(ROUNDS, 1),
                lambda gateway, _: gateway.blast(feeding.path, BLOCK, repeat),
                lambda: None,
            )
            return found

    benchmark.group = "capture, the whole run"
    found = benchmark.pedantic(all_rounds, rounds=1)
    seconds = {name: [part["seconds"] for part in parts] for name, parts in found.items()}
    total = BLOCK * repeat
    for name, parts in found.items():
        row = {
            "ticks/s": [total / part["seconds"] for part in parts],
            "x fastfeed": ratio(seconds[name], seconds["fastfeed"]).rounds,
            "CPU ns/tick": [part["cpu_s"] / total * 1e9 for part in parts],
        }
        benchmark.extra_info[name] = row
        report.add(f"capture {vendor}", name, **row)


class Kept:
    """A feed without a network, as far as a capture needs to know it."""

    def __init__(self) -> None:
        self.url = "opend://bench"
        self.hub = ff.Hub()
        self.machine = OpendMachine(
            self.hub.symbols, depth=self.hub.book_depth, brokers=self.hub.broker_names
        )

    @property
    def machine_options(self) -> tuple[str, str, dict[str, Any]]:
        return "opend", "tcp", self.machine.options()

    def record_on(self, tape: Any) -> None:
        self.machine.record(tape)

    def receive(self, data: bytes) -> None:
        """Take what a read brings."""
        self.machine.space()[: len(data)] = data
        self.machine.received(len(data))


def reads_of(path: str, most: int) -> list[bytes]:
    """Return OpenD's packets of a sample in whole ones, as many as fit into a read."""
    packets = packets_of(path, False)
    data, ends, reads = bytes(packets.data), packets.ends, []
    begin = first = 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, begin + most, side="right")))
        reads.append(data[begin : int(ends[last - 1])])
        begin, first = int(ends[last - 1]), last
    return reads


@pytest.mark.parametrize("most", [1 << 17, 1], ids=["reads of 128 KiB", "a packet a read"])
def test_play(most: int, rounds_of: Callable[..., list[float]], report: Any) -> None:
    """From the file to rows in a ring, and a callback for each publication."""
    with tempfile.TemporaryDirectory(prefix="fastfeed-bench-") as folder:
        sample = str(Path(folder, "sample"))
        pushes_of("opend").sample("ticks", SYMBOLS, BLOCK).write(sample)
        reads = reads_of(sample, most)
        repeat = 50 if most > 1 else 10
        feed = Kept()
        with ff.capture(feed, Path(folder, "capture"), buffer_bytes=1 << 28):
            feed.machine.reset(handshake=True)
            feed.receive(pack(INIT_CONNECT, 1, b""))
            feed.machine.resume()
            stream = feed.hub.stream("ticks")
            feed.machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
            for _ in range(repeat):
                for read in reads:
                    feed.receive(read)

        def play() -> None:
            found = CaptureFile(Path(folder, "capture"))
            player = Player(found)
            seen: list[int] = []
            player.hub.ticks.on_batch(lambda rows: seen.append(len(rows)))
            for chunk in found.chunks():
                player.play(chunk)
            assert sum(seen) == BLOCK * repeat
            assert found.damage is None

        seconds = rounds_of(play, rounds=7, group="capture, played")
    live = report.get("capture opend", "fastfeed", "ticks/s")
    if live is not None:
        report.add("play opend", "live, from the wire", **{"ticks/s": live})
    how = "reads of 128 KiB" if most > 1 else "a packet a read"
    report.add("play opend", how, **{"ticks/s": [BLOCK * repeat / each for each in seconds]})
