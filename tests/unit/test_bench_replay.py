"""What a replay sends when, and what it finds of what came."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeed as ff
from fastfeed.bench import replay, replay_packets, replay_receiver
from fastfeed.bench.replay import Stretch, busiest, highest_rate, lags, schedule, stretch_of
from fastfeed.errors import ConfigError
from fastfeed.sim.tape import TICK, Tape

T0 = 1_381_152_600_000_000_000
TIMES = st.lists(st.integers(0, 60), min_size=1, max_size=40).map(
    lambda times: np.sort(np.array(times, np.int64)) + T0
)


def tape_of(times, symbols=("SPY.US", "700.HK")):
    rows = np.zeros(len(times), TICK)
    number = np.arange(len(times))
    rows["time_ns"] = times
    rows["price"] = 100 + number % 50 / 4
    rows["volume"] = 1 + number % 7
    rows["symbol"] = number % len(symbols)
    rows["side"] = number % 3 - 1
    return Tape(symbols, rows, [2] * len(symbols))


@given(TIMES, st.integers(1, 70))
def test_busiest_is_the_best_of_all(times, length):
    first, end = busiest(times, length)
    assert times[end - 1] - times[first] < length
    best, where = 0, None
    for i in range(len(times)):
        inside = [t for t in times[i:] if t < times[i] + length]
        if len(inside) > best:
            best, where = len(inside), i
    assert (first, end) == (where, where + best)


@given(TIMES, st.sampled_from([1.0, 0.5, 3.0, 1000.0]))
def test_schedule_keeps_the_order_and_the_distances(times, speed):
    since = (times - times[0]) * 1_000_000
    found = schedule(T0 + since, speed)
    assert found[0] == 0
    assert found.dtype == np.int64
    assert (np.diff(found) >= 0).all()
    assert (np.abs(found - since / speed) <= 0.5).all()


def test_schedule_is_exact_at_real_time():
    times = np.array([T0, T0 + 1, T0 + 57_600_000_000_001], np.int64)
    assert schedule(times, 1).tolist() == [0, 1, 57_600_000_000_001]


def test_highest_rate_is_that_of_the_fullest_10_ms():
    ms = np.array([0, 50, 51, 52, 59, 60, 200], np.int64) * 1_000_000
    assert highest_rate(ms) == 400
    assert highest_rate(ms[:1]) == 100


def test_stretch_of_a_tape():
    tape = tape_of(T0 + np.array([0, 1, 5, 5, 6, 7, 30]) * 1_000_000_000)
    whole = stretch_of(tape, 10, 0)
    assert whole.tape is tape
    assert whole.seconds == 3
    assert stretch_of(tape, 10, 3.1).tape is tape
    part = stretch_of(tape, 1, 3)
    assert part.tape.rows.tolist() == tape.rows[2:6].tolist()
    assert part.tape.symbols == tape.symbols
    assert part.times_ns.tolist() == [0, 0, 1_000_000_000, 2_000_000_000]
    # Faster, more of the tape goes into the same time.
    assert len(stretch_of(tape, 2.5, 3).tape) == 6
    assert len(stretch_of(tape, 1, 1e-12).tape) == 2


def test_a_tape_that_would_last_for_ever_is_refused():
    tape = tape_of(np.array([0, T0]))
    with pytest.raises(ConfigError, match="more than a year"):
        stretch_of(tape, 1e-3, 0)
    assert stretch_of(tape, 1e-3, 30).seconds == 0


# what came


def received(tape, sides, moments, ids):
    rows = tape.rows
    return {
        "moment": np.array(moments, np.int64),
        "symbol": np.array(ids)[rows["symbol"]].astype(np.uint32),
        "price": rows["price"].copy(),
        "volume": rows["volume"].copy(),
        "side": sides.copy(),
    }


@pytest.fixture
def came():
    stretch = Stretch(tape_of(T0 + np.arange(6) * 1000), np.arange(6) * 500, 2.0)
    sides = stretch.tape.rows["side"].astype(np.int8)
    start = 10_000_000
    moments = start + stretch.times_ns + [5, 7, 9, 9, 8, 70]
    return stretch, sides, [4, 9], received(stretch.tape, sides, moments, [4, 9]), start


def test_lags_are_from_the_intended_times(came):
    found = lags(*came)
    assert found.right == 6
    assert found.late_ns.tolist() == [5, 7, 9, 9, 8, 70]


@pytest.mark.parametrize("column", ["symbol", "price", "volume", "side"])
def test_a_row_that_was_not_sent_ends_what_is_right(came, column):
    came[3][column][3] += 1
    found = lags(*came)
    assert found.right == 3
    assert found.late_ns.tolist() == [5, 7, 9]


def test_lost_reordered_and_further_rows_are_seen(came):
    stretch, sides, ids, rows, start = came
    lost = {name: np.delete(values, 2) for name, values in rows.items()}
    assert lags(stretch, sides, ids, lost, start).right == 2
    last = {name: values[:-1] for name, values in rows.items()}
    assert lags(stretch, sides, ids, last, start).right == 5
    swapped = {name: values[[0, 1, 2, 4, 3, 5]] for name, values in rows.items()}
    assert lags(stretch, sides, ids, swapped, start).right == 3
    more = {name: np.append(values, values[-1]) for name, values in rows.items()}
    assert lags(stretch, sides, ids, more, start).right == 6
    none = {name: values[:0] for name, values in rows.items()}
    assert lags(stretch, sides, ids, none, start).right == 0
    assert lags(stretch, sides, [-1, 9], rows, start).right == 0


def test_received_keeps_what_comes(tmp_path):
    kept = replay_receiver.Received(5)
    rows = np.zeros(4, ff.dtype("ticks"))
    rows["price"], rows["volume"], rows["symbol"], rows["side"] = 1.5, [1, 2, 3, 4], 7, -1
    before = replay_receiver.time.time_ns()
    kept.take(rows[:3])
    assert not kept.complete
    kept.take(rows)
    assert kept.complete
    assert (kept.count, kept.largest) == (7, 4)  # two more than there was room for
    path = tmp_path / "rows.npz"
    kept.save(path)
    with np.load(path) as found:
        assert found["volume"].tolist() == [1, 2, 3, 1, 2]
        assert found["symbol"].tolist() == [7] * 5
        assert found["side"].tolist() == [-1] * 5
        moments = found["moment"]
    assert len(moments) == 5
    assert before <= moments[0] == moments[2] <= moments[3] == moments[4] == kept.last()
    empty = replay_receiver.Received(0)
    empty.save(tmp_path / "none.npz")
    assert empty.last() == 0


# what is sent


@pytest.mark.parametrize("vendor", ["opend", "alltick", "longport"])
def test_packets_are_the_tape(vendor, tmp_path):
    tape = tape_of(T0 + np.arange(10_000) // 3 * 1_000_000)
    packets = replay_packets.write_packets(vendor, tape, tmp_path)
    data, ends = packets.data.read_bytes(), np.load(packets.ends)
    assert len(ends) == len(tape)
    assert ends[-1] == len(data)
    decoder = ff.Decoder(vendor)
    start = 0
    for end in ends.tolist():
        packet = data[start:end]
        head = 0 if vendor == "opend" else {126: 4}.get(packet[1], 2)  # of the frame
        assert decoder.feed(packet[head:]) == 1
        start = end
    rows = decoder.ticks.latest(len(tape))
    names = replay_packets.symbols_at(vendor, tape)
    ids = [decoder.symbols[name] for name in names]
    columns = {name: rows[name] for name in ("symbol", "price", "volume", "side")}
    columns["moment"] = np.zeros(len(tape), np.int64)
    stretch = stretch_of(tape, 1, 0)
    assert lags(stretch, packets.sides, ids, columns, 0).right == len(tape)


def test_currencies_have_one_side_at_alltick(tmp_path):
    tape = tape_of(T0 + np.arange(4), ("EURUSD", "BTCUSDT"))
    packets = replay_packets.write_packets("alltick", tape, tmp_path)
    assert tape.rows["side"].tolist() == [-1, 0, 1, -1]
    assert packets.sides.tolist() == [1, 0, 1, -1]
    decoder = ff.Decoder("alltick")
    starts = [0, *np.load(packets.ends).tolist()]
    for start, end in pairwise(starts):
        packet = packets.data.read_bytes()[start:end]
        decoder.feed(packet[4 if packet[1] == 126 else 2 :])
    assert decoder.ticks.latest(4)["side"].tolist() == packets.sides.tolist()


@pytest.mark.parametrize(
    ("vendor", "symbols", "words"),
    [
        ("opend", ("SPY.US", "US.SPY"), "expected each security once, got SPY.US twice"),
        ("opend", ("SPY.XX",), "expected a symbol such as"),
        ("longport", ("BTCUSDT",), "expected a symbol such as"),
        ("longport", ("BTCUSDT.CC",), "expected a symbol of HK, SG, SH, SZ, US"),
        ("alltick", ("SPY.US", "BTCUSDT"), "expected a code such as BTCUSDT"),
    ],
)
def test_symbols_that_a_vendor_does_not_have(vendor, symbols, words):
    with pytest.raises(ConfigError, match=words):
        replay.Replay(tape_of(T0 + np.arange(4), symbols), vendor)


def test_volumes_that_a_vendor_does_not_have():
    tape = tape_of(T0 + np.arange(4))
    tape.rows["volume"][2] = 0.5
    with pytest.raises(ConfigError, match=r"expected whole volumes, got 0.5 in row 2"):
        replay.Replay(tape, "longport")
    replay.Replay(tape, "opend")


@pytest.mark.parametrize("column", ["price", "volume"])
@pytest.mark.parametrize("vendor", ["alltick", "longport"])
def test_numbers_that_are_too_large_for_a_vendor(vendor, column):
    tape = tape_of(T0 + np.arange(4), ("SPY.US",))
    tape.rows[column][3] = 1e30
    with pytest.raises(ConfigError, match=rf"expected {column}s below 1e\+15, got 1e\+30 in row 3"):
        replay.Replay(tape, vendor)
    replay.Replay(tape, "opend")


def test_symbols_without_a_region():
    tape = tape_of(T0 + np.arange(4), ("BTCUSDT", "ETHUSDT"))
    assert replay_packets.symbols_at("opend", tape) == ("BTCUSDT.CC", "ETHUSDT.CC")
    assert replay_packets.symbols_at("alltick", tape) == ("BTCUSDT", "ETHUSDT")
    assert replay_packets.market_of(tape.symbols) == "crypto"
    assert replay_packets.market_of(("700.HK", "SPY.US")) == "stock"
