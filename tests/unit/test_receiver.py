"""The thread that receives: the same as the loop, without the interpreter."""

import ctypes
import errno
import gc
import hashlib
import os
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from alltick_feeds import frame, tick
from longport_packets import SECOND, trade, trades
from receiving import PATIENCE_S, Line, drain_until, line
from vendor_streams import ALLTICK, LONGPORT_FRAMES, LONGPORT_PACKETS

from fastfeed._core.alltick import AlltickMachine
from fastfeed._core.longport import LongportMachine
from fastfeed._core.machine import Machine
from fastfeed._core.opend import OpendMachine
from fastfeed._core.receiver import Receiver
from fastfeed.errors import ConfigError, LocalProtocolError
from fastfeed.hub import Hub
from fastfeed.protocols.opend_messages import message_class
from fastfeed.schema import STREAMS

spinning = pytest.mark.parametrize("spin", [False, True], ids=["epoll", "spin"])


def packet(proto_id, body, serial=1):
    head = struct.pack("<2sIBBII", b"FT", proto_id, 0, 0, serial, len(body))
    return head + hashlib.sha1(body).digest() + bytes(8) + body


def opend_ticks(first, count=1, code="00700"):
    message = message_class("QotUpdateTicker.Response")(retType=0)
    message.s2c.security.market = 1
    message.s2c.security.code = code
    for seq in range(first, first + count):
        message.s2c.tickerList.add(
            time="2023-11-15 09:00:00", sequence=seq, dir=1, price=310 + seq, volume=100,
            turnover=1.0, timestamp=1700010000.0 + seq,
        )  # fmt: skip
    return packet(3011, message.SerializeToString())


OPEND = b"".join(
    [
        opend_ticks(1, 2),
        packet(1004, b"alive", 3),
        opend_ticks(3, code="00005"),
        packet(3011, b"what"),
        opend_ticks(5, 40),
        packet(2101, b"", 9),
        opend_ticks(2),  # no new one
        opend_ticks(60),
    ]
)


def make(vendor, hub):
    """Return a machine that listens, behind the handshake."""
    machine: Machine
    if vendor == "opend":
        machine, kinds = OpendMachine(hub.symbols, ordered=True), STREAMS
    elif vendor == "alltick":
        machine, kinds = AlltickMachine(hub.symbols), ("ticks", "books")
        machine.expect("BTCUSDT")
    else:
        machine, kinds = (
            LongportMachine(hub.symbols, ordered=True),
            ("ticks", "quotes", "books", "brokers"),
        )
        machine.reset(framed=vendor == "longport-ws")
    for kind in kinds:
        stream = hub.stream(kind)
        machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
    if vendor in ("alltick", "longport-ws"):
        machine.upgraded(b"")
    return machine


STREAMS_OF = {
    "opend": OPEND,
    "alltick": ALLTICK,
    "longport-ws": b"".join(LONGPORT_FRAMES),
    "longport-tcp": b"".join(LONGPORT_PACKETS),
}
BROKEN = {
    "opend": b"this is no packet",
    "alltick": frame("x", reserved=4),
    "longport-ws": frame("x", reserved=4),
    "longport-tcp": bytes(20),
}
every_vendor = pytest.mark.parametrize("vendor", STREAMS_OF)


def thread_hub(spin=False, **options):
    hub = Hub(**options)
    return hub, hub.receiver("thread", spin)


def outcome(hub, machine, frames):
    """What must not depend on who reads."""
    rows = {}
    for stream in sorted(hub.streams, key=lambda one: one.name):
        every = stream.latest(stream.count)
        rows[stream.name] = {n: every[n].tobytes() for n in stream.dtype.names if n != "recv_ns"}
    stats = machine.stats()
    return rows, stats, frames, list(hub.symbols), str(machine.error)


def by_the_loop(vendor, data):
    hub = Hub(capacity=1024)
    machine = make(vendor, hub)
    frames = []
    space = machine.space()
    space[: len(data)] = data
    frames += machine.received(len(data)) or []
    return outcome(hub, machine, frames)


def send_in_steps(peer, data, step):
    for i in range(0, len(data), step):
        peer.sendall(data[i : i + step])


@spinning
@every_vendor
@pytest.mark.parametrize("step", [7, 61, 1 << 20])
def test_the_same_as_by_the_loop(vendor, step, spin):
    hub, receiver = thread_hub(spin, capacity=1024)
    machine = make(vendor, hub)
    with line(receiver, machine) as one:
        send_in_steps(one.peer, STREAMS_OF[vendor], step)
        one.peer.close()
        drain_until(receiver, lambda: one.over)
        assert (one.end, one.reason) == (0, None)
        recv_ns = hub.ticks.latest(hub.ticks.count)["recv_ns"]
        assert np.all(np.abs(recv_ns - time.time_ns()) < PATIENCE_S * 1e9)
        assert np.all(np.diff(recv_ns) >= 0)
        assert outcome(hub, machine, one.frames) == by_the_loop(vendor, STREAMS_OF[vendor])


@every_vendor
def test_a_stream_that_cannot_be_followed(vendor):
    hub, receiver = thread_hub(capacity=1024)
    machine = make(vendor, hub)
    data = STREAMS_OF[vendor] + BROKEN[vendor]
    with line(receiver, machine) as one:
        one.peer.sendall(data)
        drain_until(receiver, lambda: one.over)
        assert one.reason is machine.error is not None
        assert outcome(hub, machine, one.frames) == by_the_loop(vendor, data)
        one.peer.sendall(b"nobody looks at this")


def test_what_was_received_before_is_not_lost():
    hub, receiver = thread_hub(capacity=1024)
    machine = make("opend", hub)
    space = machine.space()
    space[:100] = OPEND[:100]
    frames = machine.received(100) or []
    with line(receiver, machine) as one:
        one.peer.sendall(OPEND[100:])
        one.peer.close()
        drain_until(receiver, lambda: one.over)
        assert outcome(hub, machine, frames + one.frames) == by_the_loop("opend", OPEND)


def test_the_end_has_a_reason():
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    hub, receiver = thread_hub()
    machine = make("opend", hub)
    with line(receiver, machine) as one:
        receiver.remove(machine)
        receiver.add(machine, ours.detach(), one)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        drain_until(receiver, lambda: one.over)
        assert one.end == errno.ECONNRESET


# without the interpreter


def in_a_child(work):
    """Run a function in a child that shares the rings; its exit status is 0 when it returns True."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads, which it does not need
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return child


SENT = 20
ONE_TICK = {
    "opend": lambda n: opend_ticks(n + 1),
    "alltick": lambda n: frame(tick(seq=n + 1, time_ms=1785204901190 + n)),
    "longport-ws": lambda n: frame(trades(trade(at=SECOND + n), sequence=n + 1), 2),
    "longport-tcp": lambda n: trades(trade(at=SECOND + n), sequence=n + 1),
}


@spinning
@every_vendor
def test_ticks_do_not_wait_for_the_interpreter(vendor, spin):
    """This thread keeps the interpreter from before the first tick is sent until the last one is in the ring, which
    another process sees."""
    hub, receiver = thread_hub(spin)
    machine = make(vendor, hub)
    ring = hub.ticks.ring
    packets = [ONE_TICK[vendor](n) for n in range(SENT)]
    ours, theirs = socket.socketpair()
    held, now = os.pipe()
    done, end = os.pipe()

    def send():
        deadline = time.monotonic() + PATIENCE_S
        os.read(held, 1)
        try:
            for n, data in enumerate(packets):
                theirs.sendall(data)
                while ring.published <= n:
                    if time.monotonic() > deadline:
                        return False
            return True
        finally:
            os.write(end, b"x")

    child = in_a_child(send)
    one = Line.__new__(Line)
    one.frames, one.end, one.reason = [], None, None
    receiver.add(machine, ours.detach(), one)
    keeping = ctypes.PyDLL(None)  # whose calls do not let go of the interpreter
    byte = ctypes.create_string_buffer(1)
    began_ns = time.time_ns()
    keeping.write(now, b"x", 1)
    assert keeping.read(done, byte, 1) == 1
    ended_ns = time.time_ns()
    assert os.waitpid(child, 0)[1] == 0
    rows = hub.ticks.latest(SENT)
    assert len(rows) == SENT
    assert np.all((began_ns <= rows["recv_ns"]) & (rows["recv_ns"] <= ended_ns))
    assert len(np.unique(rows["recv_ns"])) == SENT  # each was received for itself
    receiver.remove(machine)
    theirs.close()
    for fd in (held, now, done, end):
        os.close(fd)


def test_the_thread_has_a_name_and_a_cpu_and_ends():
    def threads():
        found = []
        for task in Path("/proc/self/task").iterdir():
            if (task / "comm").read_text().strip() == "fastfeed":
                found.append((task / "status").read_text())
        return found

    cpu = max(os.sched_getaffinity(0))
    hub = Hub()
    receiver = hub.receiver("thread", True, cpu)
    assert (receiver.spin, receiver.cpu, len(receiver)) == (True, cpu, 0)
    assert threads() == []
    machine = make("opend", hub)
    for _ in range(3):
        with line(receiver, machine) as one:
            assert len(receiver) == 1
            one.peer.sendall(packet(1004, b""))
            drain_until(receiver, lambda one=one: one.frames)
            [status] = threads()
            assert f"\nCpus_allowed_list:\t{cpu}\n" in status
            blocked = int(status.partition("SigBlk:\t")[2].split()[0], 16)
            assert blocked & 1 << 14  # SIGTERM
        assert threads() == []


@pytest.mark.parametrize("cpu", [-1, 1000, 1 << 20, 1 << 80])
def test_a_cpu_that_is_not_there(cpu):
    with pytest.raises(ConfigError, match=f"got {cpu}"):
        Receiver(cpu=cpu)


# ticks that wait


@spinning
def test_holding_and_releasing_while_ticks_arrive(spin):
    count = 4000
    hub, receiver = thread_hub(spin, capacity=1 << 13)
    machine = make("opend", hub)
    number = hub.symbols.intern("700.HK")
    rounds = 0
    with line(receiver, machine) as one:
        sender = threading.Thread(
            target=lambda: [one.peer.sendall(opend_ticks(n)) for n in range(1, count + 1)]
        )
        sender.start()
        deadline = time.monotonic() + PATIENCE_S
        while hub.ticks.count < count:
            assert time.monotonic() < deadline
            machine.hold([number])
            assert machine.is_held(number)
            if rounds % 2:
                receiver.drain()
            machine.release(number, machine.take_held(number))
            assert not machine.is_held(number)
            rounds += 1
        sender.join()
    assert machine.held_rows == 0
    assert rounds > 1
    assert hub.ticks.latest(count)["seq"].tolist() == list(range(1, count + 1))
    assert machine.stats()["duplicates"] == 0


def test_too_many_ticks_to_wait():
    hub, receiver = thread_hub(capacity=1 << 12)
    machine = OpendMachine(hub.symbols, ordered=True, most_held=100)
    ticks = hub.ticks
    machine.listen(ticks.number, ticks.ring, ticks.deliver)
    number = hub.symbols.intern("700.HK")
    machine.hold([number])
    with line(receiver, machine) as one:
        one.peer.sendall(b"".join(opend_ticks(n) for n in range(1, 1001)))
        drain_until(receiver, lambda: ticks.count == 1000)
        assert ticks.latest(1000)["seq"].tolist() == list(range(1, 1001))
        assert not machine.is_held(number)
        assert machine.take_overflow(number) is not None


def test_longport_ticks_that_come_again_are_left_out():
    hub, receiver = thread_hub(capacity=1024)
    machine = make("longport-tcp", hub)
    number = hub.symbols.intern("AAPL.US")
    machine.hold([number])

    def pushes(*prices):
        return b"".join(trades(trade(str(price))) for price in prices)

    with line(receiver, machine) as one:
        one.peer.sendall(pushes(1, 2))
        drain_until(receiver, lambda: machine.held_rows == 2)
        again = bytes(machine.take_held(number))
        machine.settle(number, again, again)
        one.peer.sendall(pushes(1, 3, 2, 1))
        drain_until(receiver, lambda: hub.ticks.count == 4)
        one.peer.sendall(pushes(4))
        drain_until(receiver, lambda: hub.ticks.count == 5)
        machine.settled(number)
        assert not machine.is_held(number)
        one.peer.sendall(pushes(4))
        drain_until(receiver, lambda: hub.ticks.count == 6)
    assert hub.ticks.latest(6)["price"].tolist() == [1, 2, 3, 1, 4, 4]
    assert machine.stats()["duplicates"] == 2


def test_ticks_that_wait_outlive_the_connection():
    hub, receiver = thread_hub()
    machine = make("opend", hub)
    number = hub.symbols.intern("700.HK")
    machine.hold([number])
    one = Line(receiver, machine)
    one.peer.sendall(opend_ticks(1, 3))
    deadline = time.monotonic() + PATIENCE_S
    while machine.packets < 1:
        assert time.monotonic() < deadline
    one.close()
    assert machine.held_rows == 3


# rules


def test_only_one_reads():
    hub, receiver = thread_hub()
    machine = make("opend", hub)
    other = OpendMachine(Hub().symbols)
    with line(receiver, machine):
        for call in (machine.space, machine.reset, lambda: machine.feed(OPEND)):
            with pytest.raises(LocalProtocolError, match="nobody else"):
                call()
        with pytest.raises(LocalProtocolError, match="already"):
            receiver.add(machine, 0, None)
        with pytest.raises(LocalProtocolError, match="hub"):
            receiver.add(other, 0, None)
    machine.reset()
    machine.feed(OPEND)
    assert hub.ticks.count == 44


def test_a_hub_has_one_way_to_receive():
    hub, receiver = thread_hub(True)
    assert hub.receiver("thread", True) is receiver
    for way in (("loop",), ("thread",), ("thread", True, 0)):
        with pytest.raises(ConfigError, match="feeds of this hub have receive='thread', spin=True"):
            hub.receiver(*way)
    loop = Hub()
    assert loop.receiver("loop") is None
    for way in (("thread",), ("thread", True)):
        with pytest.raises(ConfigError, match="receive='loop'"):
            loop.receiver(*way)
    with pytest.raises(ConfigError, match="spin and cpu"):
        Hub().receiver("loop", True)
    with pytest.raises(ConfigError, match="'loop' or 'thread', got 'fork'"):
        Hub().receiver("fork")


def test_there_is_room_for_so_many_connections():
    hub, receiver = thread_hub()
    lines = [Line(receiver, make("opend", hub)) for _ in range(64)]
    with pytest.raises(ConfigError, match="64 connections"):
        receiver.add(make("opend", hub), 0, None)
    for n, one in enumerate(lines):
        one.peer.sendall(opend_ticks(n + 1))
    drain_until(receiver, lambda: hub.ticks.count == 64)
    for one in lines:
        one.close()


def test_what_a_connection_raises_is_given_back_to_it():
    hub, receiver = thread_hub()
    failures = []

    class Failing(Line):
        def frames_came(self, frames):
            raise LookupError

        def failed(self, error):
            failures.append(error)

    one = Failing(receiver, make("opend", hub))
    two = Line(receiver, make("opend", hub))
    one.peer.sendall(packet(1004, b""))
    two.peer.sendall(packet(1004, b""))
    drain_until(receiver, lambda: failures and two.frames)
    assert isinstance(failures[0], LookupError)
    one.close()
    two.close()


@spinning
def test_a_peer_that_floods_starves_nobody(spin):
    hub, receiver = thread_hub(spin)
    loud, quiet = (Line(receiver, make("opend", hub)) for _ in range(2))
    noise = packet(1004, b"noise") * 1000
    peer = loud.peer.dup()

    def flood():
        try:
            while True:
                peer.sendall(noise)
        except OSError:
            peer.close()

    sender = threading.Thread(target=flood)
    sender.start()
    for n in range(20):
        quiet.peer.sendall(opend_ticks(n + 1))
        drain_until(receiver, lambda n=n: hub.ticks.count > n)
    assert loud.frames
    loud.close()  # while packets arrive
    sender.join(PATIENCE_S)
    assert not sender.is_alive()
    quiet.close()


@spinning
def test_leaving_while_ticks_arrive(spin):
    hub, receiver = thread_hub(spin)
    for _ in range(20):
        machine = make("opend", hub)
        one = Line(receiver, machine)
        one.peer.sendall(opend_ticks(1, 100) * 20)
        one.close()
        rows = machine.rows
        assert machine.rows == rows == machine.stats()["ticks"]
        del machine, one
    assert len(receiver) == 0


def test_what_is_forgotten_is_freed():
    """Without a goodbye: a cycle of everything, with a thread that writes into it."""
    hub, receiver = thread_hub(True)
    hub.ticks.on_batch(lambda rows: None)
    machine = make("opend", hub)
    one = Line(receiver, machine)
    peer = one.peer
    peer.sendall(opend_ticks(1, 100) * 20)
    gone = weakref.ref(hub)
    del hub, receiver, machine, one
    gc.collect()
    assert gone() is None
    peer.settimeout(PATIENCE_S)
    while peer.recv(1 << 16):  # until the thread's end is closed, with what it has left unread
        pass
    peer.close()


@spinning
def test_a_child_after_fork(spin):
    """In the child there is no thread, and nothing hangs: not even its end."""
    script = f"""
        import os, signal, sys, threading
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        from receiving import Line, drain_until
        from test_receiver import make, opend_ticks, packet, thread_hub
        from fastfeed.errors import LocalProtocolError

        hub, receiver = thread_hub({spin})
        machine = make("opend", hub)
        one = Line(receiver, machine)
        for n in range(4):
            one.peer.sendall(opend_ticks(n + 1) + packet(1004, b"alive"))
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                assert hub.symbols.intern("700.HK") == 0
                assert hub.symbols[0] == "700.HK"
                machine.hold([0])
                machine.take_held(0)
                receiver.drain()
                try:
                    receiver.add(make("opend", hub), 0, one)
                except LocalProtocolError:
                    if n % 2:
                        one.close()
                    sys.exit(0)
                sys.exit(3)
            assert os.waitpid(child, 0)[1] == 0
            drain_until(receiver, lambda: len(one.frames) == n + 1)
        one.close()
        assert hub.ticks.count == 4
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
