"""The load generator: what it sends, as protobuf and the standard library's JSON read it, and when."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastfeed._core import load
from fastfeed.bench.gateway import Packets, packets_of, schedule, stamp
from fastfeed.bench.opend_pushes import HEADER
from fastfeed.bench.samples import pushes_of
from fastfeed.protocols.longport_messages import message_class as longport_class
from fastfeed.protocols.opend_frames import body_sha1
from fastfeed.protocols.opend_messages import message_class as opend_class

COUNT = 300
DEADLINE_S = 10.0
VENDORS = [("opend", False), ("alltick", True), ("longport", True), ("longport", False)]
STEP = 1_234_567_891


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets, with little room between them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.settimeout(DEADLINE_S)
        yield ours, theirs


class Reading(threading.Thread):
    """Reads until the end."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(daemon=True)
        self.sock = sock
        self.parts: list[bytes] = []
        self.start()

    def run(self) -> None:
        while part := self.sock.recv(1 << 16):
            self.parts.append(part)

    def data(self, sender: socket.socket) -> bytes:
        """Hang up, and return what came."""
        sender.shutdown(socket.SHUT_WR)
        self.join(DEADLINE_S)
        assert not self.is_alive()
        return b"".join(self.parts)


def packets(vendor: str, framed: bool, folder: Any) -> tuple[list[bytes], Packets]:
    """Return bodies and packets of a vendor's ticks."""
    sample = pushes_of(vendor).sample("ticks", 20, COUNT)
    sample.write(folder / "sample")
    return sample.bodies, packets_of(str(folder / "sample"), framed)


def sequence_of(vendor: str, packet: bytes, framed: bool) -> int:
    """Return what another parser finds; the packet's frame has to be right."""
    if framed:
        length, at = packet[1], 2
        if length == 126:
            length, at = int.from_bytes(packet[2:4], "big"), 4
        assert len(packet) == at + length
        packet = packet[at:]
    found: Any
    if vendor == "alltick":
        found = json.loads(packet)["data"]["seq"]
    elif vendor == "longport":
        found = longport_class("PushTrade").FromString(packet[5:]).sequence  # type: ignore[attr-defined]
    else:
        message: Any = opend_class("QotUpdateTicker.Response").FromString(packet[HEADER.size :])
        found = message.s2c.tickerList[0].sequence
    return int(found)


def cut(data: bytes, ends: Any) -> list[bytes]:
    """Return the packets one by one."""
    starts = [0, *ends.tolist()[:-1]]
    return [data[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]


@pytest.mark.parametrize(("vendor", "framed"), VENDORS)
def test_blast(vendor: str, framed: bool, pair: Any, tmp_path: Any) -> None:
    bodies, made = packets(vendor, framed, tmp_path)
    ours, theirs = pair
    reading = Reading(theirs)
    block = bytearray(made.data)
    sent, seconds, waited = load.blast(ours.fileno(), block, made.places, made.form, 3, STEP)
    data = reading.data(ours)
    assert sent == len(data) == 3 * len(made.data)
    assert 0 <= waited <= seconds
    assert data.startswith(made.data)
    first = [sequence_of(vendor, packet, framed) for packet in cut(made.data, made.ends)]
    assert made.step == max(first) - min(first) + 1
    for turn in range(3):
        part = data[turn * len(made.data) :][: len(made.data)]
        found = cut(part, made.ends)
        assert [sequence_of(vendor, packet, framed) for packet in found] == [
            sequence + turn * STEP for sequence in first
        ]
        # Nothing else has changed.
        width = load.DIGITS if made.form == "digits" else load.VARINT
        for place in made.places.tolist():
            part = part[:place] + made.data[place : place + width] + part[place + width :]
        assert part == made.data
    assert all(body[:8] in made.data for body in bodies)


@pytest.mark.parametrize(("vendor", "framed"), VENDORS)
def test_stamp(vendor: str, framed: bool, tmp_path: Any) -> None:
    _, made = packets(vendor, framed, tmp_path)
    times = time.time_ns() + schedule(5000, 100)
    data = bytes(stamp(made, 100, times, vendor))
    found = cut(data, made.ends[:100])
    assert [sequence_of(vendor, packet, framed) for packet in found] == times.tolist()
    if vendor == "opend":
        for packet in found:
            assert HEADER.unpack_from(packet)[6] == body_sha1(packet[HEADER.size :])


def test_schedule() -> None:
    times = schedule(2000, 5000)
    assert (np.diff(times) > 0).all()
    assert (times >= np.arange(5000) * 500_000).all()
    assert (times <= np.arange(5000) * 500_000 + 50_000).all()
    assert (schedule(2000, 5000) == times).all()


def numbered(count: int) -> tuple[bytes, Any]:
    """Return packets of two bytes, and their ends."""
    return np.arange(count, dtype="<u2").tobytes(), np.arange(1, count + 1, dtype="u8") * 2


def test_paced(pair: Any) -> None:
    ours, theirs = pair
    data, ends = numbered(400)
    times = time.time_ns() + 2_000_000 + schedule(10_000, 400)
    late = np.full(400, -1)
    reading = Reading(theirs)
    assert load.paced(ours.fileno(), data, ends, times, 100, late) == 400
    assert time.time_ns() >= times[-1]
    assert reading.data(ours) == data[200:]
    assert (late[:100] == -1).all()
    assert (late[100:] >= 0).all()


def test_paced_answers(pair: Any) -> None:
    """What the peer says comes between whole packets, also while all of them are late."""
    ours, theirs = pair
    data, ends = numbered(50)
    late = np.zeros(50, "i8")
    theirs.sendall(b"?")
    times = np.zeros(50, "i8")
    at = load.paced(ours.fileno(), data, ends, times, 0, late)
    assert at == 0
    assert ours.recv(10) == b"?"
    ours.sendall(b"!!")
    assert load.paced(ours.fileno(), data, ends, times, at, late) == 50
    assert Reading(theirs).data(ours) == b"!!" + data


def test_paced_whose_peer_hangs_up(pair: Any) -> None:
    ours, theirs = pair
    data, ends = numbered(3)
    times = np.full(3, time.time_ns() + 3_600_000_000_000)
    theirs.close()
    assert load.paced(ours.fileno(), data, ends, times, 0, np.zeros(3, "i8")) == 0
    assert ours.recv(10) == b""


def test_a_peer_that_goes(pair: Any, tmp_path: Any) -> None:
    _, made = packets("opend", False, tmp_path)
    ours, theirs = pair
    theirs.close()
    with pytest.raises(OSError) as caught:
        load.blast(ours.fileno(), bytearray(made.data), made.places, "varint", 1000, 1)
    assert caught.value.errno in (errno.EPIPE, errno.ECONNRESET)
    with pytest.raises(ConnectionResetError):
        load.drain(ours.fileno(), 100, 1)


def test_drain(pair: Any) -> None:
    ours, theirs = pair
    theirs.sendall(bytes(1000))
    assert load.drain(ours.fileno(), 64, 640) == 10
    assert len(ours.recv(1000)) == 360
    with pytest.raises(ValueError, match="window"):
        load.drain(ours.fileno(), 0, 1)


def test_stop(pair: Any, tmp_path: Any) -> None:
    _, made = packets("opend", False, tmp_path)
    ours, _ = pair
    reading, writing = os.pipe()
    os.close(writing)
    try:
        with pytest.raises(InterruptedError):
            load.blast(
                ours.fileno(),
                bytearray(made.data),
                made.places,
                "varint",
                1000,
                1,
                stop_fd=reading,
            )
        data, ends = numbered(1)
        times = np.full(1, time.time_ns() + 3_600_000_000_000)
        with pytest.raises(InterruptedError):
            load.paced(ours.fileno(), data, ends, times, 0, np.zeros(1, "i8"), stop_fd=reading)
    finally:
        os.close(reading)


class _SignalError(Exception):
    pass


def _never_ending(what: str, sock: socket.socket) -> Any:
    data, ends = numbered(1)
    if what == "paced":
        times = np.full(1, time.time_ns() + 3_600_000_000_000)
        return load.paced(sock.fileno(), data, ends, times, 0, np.zeros(1, "i8"))
    if what == "nobody reads":
        ends = np.array([1 << 24], "u8")
        return load.paced(
            sock.fileno(), bytes(1 << 24), ends, np.zeros(1, "i8"), 0, np.zeros(1, "i8")
        )
    if what == "drain":
        return load.drain(sock.fileno(), 10, 10)
    if what == "jitter":
        return load.jitter(3600.0)
    return load.blast(sock.fileno(), bytearray(1 << 20), np.zeros(0, "u8"), "varint", 1000, 1)


@pytest.mark.parametrize("what", ["blast", "paced", "nobody reads", "drain", "jitter"])
def test_signals(what: str, pair: Any) -> None:
    """Ctrl-C ends whatever it is."""

    def raising(*_: Any) -> None:
        raise _SignalError

    before = signal.signal(signal.SIGALRM, raising)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with pytest.raises(_SignalError):
            _never_ending(what, pair[0])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_jitter() -> None:
    stolen, longest = load.jitter(0.05)
    assert longest > 0
    assert stolen == 0 or stolen >= longest > 1000
    assert load.jitter(0.0) == (0, 0)
    with pytest.raises(ValueError, match="seconds"):
        load.jitter(-1.0)


def test_wrong_arguments(pair: Any, tmp_path: Any) -> None:
    _, made = packets("alltick", True, tmp_path)
    fd = pair[0].fileno()
    block = bytearray(made.data)
    for places, form, message in (
        (made.places, "varint", "places"),
        (made.places[::-1].copy(), "digits", "places"),
        (made.places + np.uint64(len(block)), "digits", "places"),
        (made.places, "text", "form"),
    ):
        with pytest.raises(ValueError, match=message):
            load.blast(fd, block, places, form, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fit"):
        load.blast(fd, block, made.places, "digits", 1 << 40, 1 << 40)
    data, ends = numbered(4)
    times, late = np.zeros(4, "i8"), np.zeros(4, "i8")
    for wrong in (
        (data, ends[:3], times, 0, late),
        (data, ends, times, 5, late),
        (data, ends, times, 0, late[:3]),
        (data[:7], ends, times, 0, late),
        (data, ends[::-1].copy(), times, 0, late),
        (data, ends, times - np.array([0, 0, 0, 1]), 0, late),
        (data, ends, times + np.iinfo("i8").min, 0, late),
    ):
        with pytest.raises(ValueError, match="expected"):
            load.paced(fd, *wrong)
    assert load.paced(fd, data, ends, times, 4, late) == 4
