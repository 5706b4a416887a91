"""Captures: folders, segments, damage, full disks; and machines without a network that are captured."""

import contextlib
import errno
import gc
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from alltick_feeds import frame, tick
from captures import Recorded, assert_same, opend_packet, played
from hypothesis import given, settings
from hypothesis import strategies as st
from longport_packets import SECOND, quote, trade, trades
from vendor_streams import ALLTICK, LONGPORT_FRAMES

import fastfeed as ff
from fastfeed._core import player as records
from fastfeed.captures import CaptureFile, Player, capture
from fastfeed.captures.files import encode_header
from fastfeed.errors import ConfigError, LocalProtocolError, StorageError
from fastfeed.protocols.opend_messages import message_class
from fastfeed.schema import dtype

SMALL = {"buffer_bytes": 1 << 20}
PATIENCE_S = 10.0


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def ticks(code, *sequences, price=1.5):
    """Return a push of OpenD's with ticks of one symbol."""
    message = message_class("QotUpdateTicker.Response")()
    message.retType = 0
    message.s2c.security.market, message.s2c.security.code = 11, code
    for sequence in sequences:
        message.s2c.tickerList.add(
            time="2026-07-28 10:00:00",
            sequence=sequence,
            dir=1,
            price=price,
            volume=5,
            turnover=7.5,
        )
    return opend_packet(message.SerializeToString())


def small(folder, **options):
    """Capture a bit of everything of a machine of OpenD's; return the feed."""
    feed = Recorded("opend")
    with capture(feed, folder, **SMALL, **options):
        feed.begin()
        feed.listen("ticks")
        feed.receive(ticks("AAPL", 1, 2))
        feed.machine.hold([0])
        feed.receive(ticks("AAPL", 5))
        feed.receive(ticks("MSFT", 1))
        feed.machine.release(0, rows_of(0, 3, 5).tobytes(), gap=True)
        feed.receive(ticks("AAPL", 6))
    return feed


def rows_of(symbol, *sequences):
    rows = np.zeros(len(sequences), dtype("ticks"))
    rows["symbol"], rows["seq"] = symbol, sequences
    return rows


def test_the_same_rows_bit_for_bit(tmp_path):
    feed = small(tmp_path / "a")
    for by in ("chunk", "record"):
        again = played(tmp_path / "a", by=by).hub
        assert_same(feed.hub, again)
        assert again.ticks.latest(9)["seq"].tolist() == [1, 2, 1, 3, 5, 6]
    found = CaptureFile(tmp_path / "a")
    assert found.header.vendor == "opend"
    assert found.header.options == {"limit_bytes": 1 << 26, "ordered": True}
    of_bytes = [record for record in found if record.type == records.BYTES]
    assert b"".join(record.payload for record in of_bytes) == b"".join(
        [ticks("AAPL", 1, 2), ticks("AAPL", 5), ticks("MSFT", 1), ticks("AAPL", 6)]
    )
    assert of_bytes[0].recv_ns == feed.hub.ticks.latest(9)["recv_ns"][0]
    assert b"secret" not in b"".join(path.read_bytes() for path in found.segments)


def test_compressed(tmp_path):
    pytest.importorskip("pyarrow")
    feed = Recorded("opend")
    with capture(feed, tmp_path / "a", zstd=True, **SMALL) as written:
        feed.begin()
        feed.listen("ticks")
        for i in range(300):
            feed.receive(ticks("AAPL", *range(10 * i, 10 * i + 10)))
    stats = written.stats()
    assert stats["stored_bytes"] < stats["bytes"] / 2
    assert_same(feed.hub, played(tmp_path / "a").hub)


def test_compression_without_its_package_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StorageError, match=r"pip install 'fastfeed\[arrow\]'"):
        capture(Recorded("opend"), tmp_path / "a", zstd=True)


def test_segments_can_be_read_together_and_alone(tmp_path):
    feed = Recorded("opend")
    with capture(feed, tmp_path / "a", segment_bytes=1 << 16, flush_s=0.001, **SMALL) as written:
        feed.begin()
        feed.listen("ticks")
        for i in range(400):
            feed.receive(ticks(f"A{i % 7}", *range(10 * i, 10 * i + 10)))
            if i % 20 == 19:
                count = i + 1
                until(lambda count=count: written.stats()["records"] >= count)
    assert written.stats()["segments"] > 3
    found = CaptureFile(tmp_path / "a")
    assert len(found.segments) == written.stats()["segments"]
    assert_same(feed.hub, played(tmp_path / "a").hub)
    stored = sum(path.stat().st_size for path in found.segments)
    assert 0 < stored - written.stats()["stored_bytes"] < 2048 * len(found.segments)
    for status in (path.stat() for path in found.segments):
        assert 512 * status.st_blocks < status.st_size + (1 << 16), "blocks beyond the end"
    alone = played(found.segments[2]).hub
    whole = feed.hub.ticks.latest(4096).tobytes()
    assert 500 < alone.ticks.count < 4000
    assert alone.ticks.latest(alone.ticks.count).tobytes() in whole
    assert list(alone.symbols) == list(feed.hub.symbols)
    found.segments[1].unlink()
    for path in found.segments[4:]:
        path.unlink()
    torn = CaptureFile(tmp_path / "a")
    assert len(list(torn.chunks())) > 0
    assert str(torn.damage) == (
        f"{found.segments[2]}, at byte 0: expected segment 1 of this capture, it is another one; "
        "1 later segment is not read"
    )
    torn.segments[0].write_bytes(torn.segments[0].read_bytes()[:-1])
    assert len(list(torn.chunks())) > 0
    assert str(torn.damage).endswith("in the middle of a chunk; 2 later segments are not read")


def damaged(path, data, feed):
    """Read and play a damaged file; return the damage, or None where it cannot be read at all."""
    path.write_bytes(data)
    try:
        found = CaptureFile(path)
        player = Player(found)
        for chunk in found.chunks():
            player.play(chunk)
    except StorageError:
        return None
    again = player.hub.ticks
    assert feed.hub.ticks.latest(9).tobytes().startswith(again.latest(again.count).tobytes())
    return found.damage


def test_cut_anywhere_it_is_read_up_to_there(tmp_path):
    feed = small(tmp_path / "a")
    (path,) = CaptureFile(tmp_path / "a").segments
    data = path.read_bytes()
    told = 0
    for n in range(len(data)):
        damage = damaged(tmp_path / "x.ffcap", data[:n], feed)
        if damage is not None:
            assert damage.is_torn
            assert damage.position <= n
            told += 1
    assert told > 300


def test_a_wrong_byte_anywhere_is_noticed(tmp_path):
    feed = small(tmp_path / "a")
    (path,) = CaptureFile(tmp_path / "a").segments
    data = bytearray(path.read_bytes())
    padding = range(len(encode_header(CaptureFile(path).header).rstrip(b"\0")), len(data))
    header_bytes = len(encode_header(CaptureFile(path).header))
    for i in range(len(data)):
        data[i] ^= 0x20
        damage = damaged(tmp_path / "x.ffcap", data, feed)
        if i not in padding or i >= header_bytes:  # the zeros behind the head say nothing
            try:
                assert damage is not None or CaptureFile(tmp_path / "x.ffcap") is None
            except StorageError:
                assert i < header_bytes
        data[i] ^= 0x20


def test_damage_says_where_and_why(tmp_path):
    small(tmp_path / "a", flush_s=0.001)
    found = CaptureFile(tmp_path / "a")
    (path,) = found.segments
    assert list(found)
    assert found.damage is None
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    list(found)
    assert found.damage.reason == "has a chunk with a wrong checksum"
    assert str(found.damage) == (
        f"{path}, at byte {found.damage.position}: has a chunk with a wrong checksum"
    )
    path.write_bytes(data[:-1])
    list(found)
    assert found.damage.reason == "ends in the middle of a chunk"
    assert found.damage.is_torn
    path.write_bytes(data + b"x" * 64)
    list(found)
    assert found.damage == (path, len(data), "has something else where a chunk should begin", False)


def test_a_newer_version_is_told(tmp_path):
    small(tmp_path / "a")
    (path,) = CaptureFile(tmp_path / "a").segments
    data = path.read_bytes()
    path.write_bytes(data[:8] + (9).to_bytes(4, "little") + data[12:])
    with pytest.raises(StorageError, match=r"has version 9 .* this fastfeed reads 1"):
        CaptureFile(tmp_path / "a")


def test_a_later_segment_of_a_newer_version_ends_what_is_read(tmp_path):
    feed = Recorded("opend")
    with capture(feed, tmp_path / "a", segment_bytes=1 << 16, flush_s=0.001, **SMALL) as written:
        feed.begin()
        feed.listen("ticks")
        while written.stats()["segments"] < 2:
            feed.receive(ticks("A", *range(2000)))
    found = CaptureFile(tmp_path / "a")
    last = found.segments[-1]
    data = last.read_bytes()
    last.write_bytes(data[:8] + (9).to_bytes(4, "little") + data[12:])
    assert len(list(found.chunks())) > 0
    assert (found.damage.path, found.damage.position) == (last, 8)
    assert "has version 9" in found.damage.reason


def test_blocks_that_a_segment_shall_not_get_are_left_to_the_next_one(tmp_path):
    feed = Recorded("opend")
    most = 5 << 20
    with capture(feed, tmp_path / "a", segment_bytes=most, flush_s=0.001, **SMALL) as written:
        feed.begin()
        feed.listen("ticks")
        for i in itertools.count():
            feed.receive(ticks("AAPL", *range(200 * i, 200 * i + 200)))
            until(lambda count=i + 1: written.stats()["records"] >= count)
            if written.stats()["stored_bytes"] > most - (most >> 3):
                break
        assert written.stats()["segments"] == 1
        status = (tmp_path / "a" / "000000.ffcap").stat()
        assert 512 * status.st_blocks < most + (1 << 20)


def test_a_file_that_could_not_be_written_says_it_when_it_is_closed(tmp_path, monkeypatch):
    close = os.close

    def failing(fd):
        is_segment = os.readlink(f"/proc/self/fd/{fd}").endswith(".ffcap")
        close(fd)
        if is_segment:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with capture(Recorded("opend"), tmp_path / "a", **SMALL) as written:
        monkeypatch.setattr(os, "close", failing)
    assert written.stats()["failing"] == "Input/output error"


def test_a_disk_that_cannot_be_read_is_no_damage():
    with pytest.raises(
        StorageError, match=r"^/proc/self/mem cannot be read \(Input/output error\)$"
    ):
        CaptureFile("/proc/self/mem")


def test_what_is_no_capture(tmp_path):
    with pytest.raises(StorageError, match="there is no capture"):
        CaptureFile(tmp_path / "nothing")
    with pytest.raises(StorageError, match=r"no file such as 000000\.ffcap"):
        CaptureFile(tmp_path)
    for data in (b"", b"hello", bytes(1000)):
        (tmp_path / "000000.ffcap").write_bytes(data)
        with pytest.raises(StorageError, match="is no capture: does not begin as a capture does"):
            CaptureFile(tmp_path)


def test_a_folder_takes_one_capture(tmp_path):
    feed = small(tmp_path / "a")
    before = [path.read_bytes() for path in CaptureFile(tmp_path / "a").segments]
    with pytest.raises(StorageError, match=r"there is a capture in .* already"):
        capture(Recorded("opend"), tmp_path / "a", **SMALL)
    assert before == [path.read_bytes() for path in CaptureFile(tmp_path / "a").segments]
    with (
        capture(Recorded("opend"), tmp_path / "b", **SMALL),
        pytest.raises(StorageError, match="another process writes a capture"),
    ):
        capture(Recorded("opend"), tmp_path / "b", **SMALL)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write a capture to"):
        capture(Recorded("opend"), tmp_path / "file", **SMALL)
    assert feed.machine.rows == 6


def test_a_capture_begins_before_its_feed(tmp_path):
    feed = ff.OpenD("127.0.0.1", 1)
    with capture(feed, tmp_path / "a", **SMALL), pytest.raises(LocalProtocolError, match="already"):
        capture(feed, tmp_path / "b", **SMALL)
    feed._opened = True
    with pytest.raises(LocalProtocolError, match="before its feed is opened"):
        capture(feed, tmp_path / "c", **SMALL)


@pytest.mark.parametrize(
    "options",
    [{"buffer_bytes": 1 << 19}, {"buffer_bytes": 3 << 20}, {"segment_bytes": 1}, {"flush_s": 0}],
)
def test_wrong_options(tmp_path, options):
    with pytest.raises(ValueError, match=f"expected {next(iter(options))}"):
        capture(Recorded("opend"), tmp_path / "a", **options)
    assert not list(tmp_path.rglob("*.ffcap"))


@contextlib.contextmanager
def files_of_at_most(length):
    """Let writing beyond fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("zstd", [False, True])
def test_a_full_disk_makes_a_gap_and_no_more(tmp_path, caplog, zstd):
    if zstd:
        pytest.importorskip("pyarrow")
    feed = Recorded("opend")
    with capture(feed, tmp_path / "a", flush_s=0.01, zstd=zstd, **SMALL) as written:
        feed.begin()
        feed.listen("ticks")
        feed.receive(ticks("AAPL", 1))
        until(lambda: written.stats()["records"] > 4)
        before = written.stats()["records"]
        with files_of_at_most(written._tape.file_bytes):
            feed.receive(ticks("AAPL", 2))
            until(lambda: written.stats()["failing"] is not None)
            feed.machine.hold([0])  # nobody will know that it was
            for i in range(60):  # three times the buffer
                feed.receive(b"".join(ticks(f"B{i}", j) for j in range(400)))
            feed.machine.release(0, b"")
            assert feed.machine.rows == 2 + 60 * 400
        until(lambda: written.stats()["failing"] is None)
        until(lambda: written.stats()["gaps"] > 0)
        lost_until = feed.hub.ticks.count
        feed.receive(ticks("AAPL", 3))
        feed.receive(ticks("B7", 999))
        until(lambda: written.stats()["records"] > before + 4)
    stats = written.stats()
    assert stats["gaps"] == 1
    assert stats["lost_bytes"] > 1 << 20
    assert sum("cannot be written, the feed lives on" in one.message for one in caplog.records) == 1
    player = played(tmp_path / "a")
    assert player.stats()["gaps"] == 1
    assert player.stats()["lost_bytes"] == stats["lost_bytes"]
    assert list(player.hub.symbols) == list(feed.hub.symbols)
    live, again = feed.hub.ticks, player.hub.ticks
    n = live.count - lost_until
    assert again.latest(n).tobytes() == live.latest(n).tobytes()
    assert again.count == 1 + n


def test_closed_while_the_disk_is_full(tmp_path):
    feed = Recorded("opend")
    written = capture(feed, tmp_path / "a", flush_s=0.01, **SMALL)
    feed.begin()
    feed.listen("ticks")
    until(lambda: written.stats()["records"] > 3)
    with files_of_at_most(written._tape.file_bytes):
        feed.receive(ticks("AAPL", 1))
        written.close()
    assert written.stats()["lost_bytes"] > 0
    assert played(tmp_path / "a").hub.ticks.count == 0


def test_a_file_that_is_removed_meanwhile_is_told(tmp_path):
    feed = Recorded("opend")
    with capture(feed, tmp_path / "a", flush_s=0.01, **SMALL) as written:
        feed.begin()
        assert written.stats()["failing"] is None
        shutil.rmtree(tmp_path / "a")
        assert written.stats()["failing"] == "000000.ffcap was removed"
    assert written.stats()["failing"] == "000000.ffcap was removed"


def test_killed_the_rest_can_be_read(tmp_path):
    code = """
        import sys, time
        sys.path[:0] = {path!r}
        from captures import Recorded
        from test_capture import ticks, SMALL
        from fastfeed.captures import capture
        feed = Recorded("opend")
        written = capture(feed, {folder!r}, flush_s=0.05, **SMALL)
        feed.begin()
        feed.listen("ticks")
        sequence = 0
        while True:
            sequence += 1
            feed.receive(ticks("AAPL", sequence))
            if sequence % 100 == 0:
                records = written.stats()["records"]
                print(records, flush=True)
                time.sleep(0.005)
    """
    code = textwrap.dedent(code).format(
        path=[*sys.path, os.path.dirname(__file__)], folder=str(tmp_path / "a")
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        flushed = 0
        while flushed < 2000:
            flushed = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        child.wait()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    found = CaptureFile(tmp_path / "a")
    player = Player(found)
    for record in found:
        player.play(record)
    assert found.damage is None or found.damage.is_torn
    sequences = player.hub.ticks.latest(4096)["seq"]
    assert player.hub.ticks.count >= flushed - 20
    assert sequences[-1] == player.hub.ticks.count


def test_a_hub_that_does_not_fit_is_refused(tmp_path):
    small(tmp_path / "a")
    found = CaptureFile(tmp_path / "a")
    with pytest.raises(ConfigError, match="books of 10 levels"):
        Player(found, ff.Hub(book_depth=5))
    hub = ff.Hub()
    hub.symbols.intern("other")
    player, (chunk, *_) = Player(found, hub), found.chunks()
    with pytest.raises(StorageError, match="should have the id 0 here"):
        player.play(chunk)


def test_records_of_something_else_are_refused(tmp_path):
    small(tmp_path / "a")
    player = Player(CaptureFile(tmp_path / "a"))
    for data in (b"x", bytes(64), b"x" * 640):
        with pytest.raises(StorageError, match="expected whole records"):
            player.play(data)
    assert player.play(b"") == 0
    # Every record alone, out of order, and with a wrong byte: rows or StorageError, nothing else.
    all_of_them = [bytes(record.data) for record in CaptureFile(tmp_path / "a")]
    for record in reversed(all_of_them):
        for i in range(len(record)):
            wrong = bytearray(record)
            wrong[i] ^= 0xFF
            with contextlib.suppress(StorageError):
                player.play(wrong)


# machines


def test_a_message_with_several_packets_that_is_interrupted(tmp_path):
    """Held trades in the middle of a message are written at once where there is no room for them."""
    feed = Recorded("longport", most_held=1)
    with capture(feed, tmp_path / "a", **SMALL):
        feed.begin()
        feed.listen("ticks", "quotes")
        feed.receive(frame(trades(trade("1"), sequence=1), 2))
        feed.machine.hold([0])
        several = b"".join(
            [
                trades(trade("2"), sequence=2),
                trades(trade("3"), sequence=3),
                trades(trade("4"), sequence=4, compress=True),
                quote(last_done="9", volume=7, sequence=1),
                trades(trade("5"), sequence=5, symbol="MSFT.US"),
                trades(trade("6"), sequence=6),
            ]
        )
        feed.receive(frame(several, 2))
        feed.receive(frame(several[:30], 2, fin=False) + frame(several[30:], 0))
        feed.receive(frame(trades(trade("7"), sequence=7), 2))
    assert feed.hub.ticks.count >= 6
    assert_same(feed.hub, played(tmp_path / "a").hub)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.integers(1, 6), st.integers(1, 700)),
        st.tuples(st.just("reconnect")),
        st.tuples(st.just("listen"), st.sampled_from(["ticks", "quotes", "books", "brokers"])),
        st.tuples(st.sampled_from(["hold", "release", "follow", "settle", "settled", "give_up"])),
        st.tuples(st.just("seed"), st.integers(-5, 5)),
        st.tuples(st.just("intern"), st.integers(0, 5)),
        st.tuples(st.just("write"), st.integers(1, 4)),
        st.tuples(st.just("expect"), st.booleans()),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(
    vendor=st.sampled_from(["longport", "alltick"]), most_held=st.integers(0, 4), actions=ACTIONS
)
def test_whatever_happens_gives_the_same_rows(tmp_path_factory, vendor, most_held, actions):
    folder = tmp_path_factory.mktemp("capture")
    options = {"most_held": most_held} if vendor == "longport" else {}
    feed = Recorded(vendor, **options)
    pieces = LONGPORT_FRAMES if vendor == "longport" else [ALLTICK, frame(tick(seq=9)), ALLTICK]
    symbol = "AAPL.US" if vendor == "longport" else "BTCUSDT"
    with capture(feed, folder / "a", **SMALL) as written:
        feed.begin()
        feed.listen("ticks")
        feed.hub.symbols.intern(symbol)
        for action, *values in actions:
            do(feed, vendor, pieces, action, values)
    assert written.stats()["gaps"] == 0
    assert_same(feed.hub, played(folder / "a", by="record").hub)


def do(feed, vendor, pieces, action, values):
    machine = feed.machine
    rows = rows_of(0, *range(values[0] if action == "write" else 2))
    rows["time_ns"] = SECOND * 10**9
    if action == "receive":
        if machine.error is None:
            feed.receive(b"".join(pieces[: 2 * values[0]]), values[1])
    elif action == "reconnect":
        feed.begin()
    elif action == "listen" and (vendor == "longport" or values[0] in ("ticks", "books")):
        feed.listen(*values)
    elif action == "intern":
        feed.hub.symbols.intern(f"S{values[0]}")
    elif action == "write":
        machine.write(0, rows.tobytes())
    elif action == "expect" and vendor == "alltick":
        machine.expect("OTHER", *values)
    elif vendor == "longport" and action == "seed":
        quotes = np.zeros(2, dtype("quotes"))
        quotes["time_ns"], quotes["last"], quotes["session"] = (SECOND + values[0]) * 10**9, 8, 1
        machine.seed(quotes.tobytes())
    elif vendor == "longport" and action == "hold":
        machine.hold([0])
    elif vendor == "longport" and action == "release":
        machine.release(0, rows.tobytes(), True)
    elif vendor == "longport" and action == "settle":
        machine.settle(0, rows.tobytes(), b"", True)
    elif vendor == "longport" and action in ("follow", "settled", "give_up"):
        getattr(machine, action)(0)


def test_a_code_nobody_asked_for_stays_unknown_until_then(tmp_path):
    feed = Recorded("alltick")
    with capture(feed, tmp_path / "a", **SMALL):
        feed.begin()
        feed.listen("ticks")
        feed.receive(frame(tick("A", seq=1)))
        feed.machine.expect("A", sided=False)
        feed.receive(frame(tick("A", seq=2)))
        feed.begin()
        feed.receive(frame(tick("A", seq=2)) + frame(tick("A", seq=3)))
    assert feed.hub.ticks.latest(9)["seq"].tolist() == [2, 3]
    assert_same(feed.hub, played(tmp_path / "a").hub)


def test_a_token_that_the_server_repeats_is_not_kept(tmp_path):
    feed = Recorded("alltick")
    feed.machine.conceal(b"my-token")
    with capture(feed, tmp_path / "a", **SMALL):
        feed.begin()
        text = json.dumps({"ret": 401, "msg": "my-token is wrong", "cmd_id": 22005, "seq_id": 1})
        assert feed.receive(frame(text)) == [(1, text.encode())]
    (path,) = CaptureFile(tmp_path / "a").segments
    assert b"my-token" not in path.read_bytes()
    assert b"******** is wrong" in path.read_bytes()


def test_nothing_is_left_open(tmp_path):
    gc.collect()
    before = set(os.listdir("/proc/self/fd")), threading.active_count()
    written = capture(Recorded("opend"), tmp_path / "a", **SMALL)
    written.close()
    written.close()
    assert set(os.listdir("/proc/self/fd")) <= before[0]
    assert threading.active_count() == before[1]
    assert "closed" in repr(written)


def test_a_reader_who_stops_early_leaves_nothing_open(tmp_path):
    small(tmp_path / "a")
    before = set(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        reading = CaptureFile(tmp_path / "a").chunks()
        next(reading)
        cycle = [reading]
        cycle.append(cycle)
        del reading, cycle
    assert threading.active_count() > before[1]
    gc.collect()
    until(lambda: threading.active_count() == before[1])
    assert set(os.listdir("/proc/self/fd")) <= before[0]


def test_no_module_is_hidden_behind_the_function():
    import fastfeed.captures.files as files  # noqa: PLR0402  # this form needs it as an attribute

    assert files.CaptureFile is ff.CaptureFile
