"""The parts of `fastfeed watch`: numbers in words, the board, the picture, text and where it goes."""

from __future__ import annotations

import asyncio
import csv
import io
import math
import os
import statistics
import threading
import time

import msgspec
import numpy as np
import pytest
from rich.console import Console

import fastfeed as ff
from fastfeed._core.ring import Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.cli import words
from fastfeed.cli.board import Board, _nanmedian
from fastfeed.cli.columns import FIELDS
from fastfeed.cli.output import Csv, JsonLines, Output, Stalled, StreamSource, write_all
from fastfeed.cli.screen import Screen, crop, length
from fastfeed.cli.stop import Stop
from fastfeed.stream import Stream

NAN = math.nan
NOW_NS = 1_700_010_000_123_456_789


def table(*symbols: str) -> SymbolTable:
    symbols_ = SymbolTable()
    for symbol in symbols:
        symbols_.intern(symbol)
    return symbols_


def rows(*values: dict[str, object]) -> np.ndarray:
    made = np.zeros(len(values), ff.dtype("ticks"))
    made["recv_ns"] = NOW_NS
    made["seq"] = -1
    made["volume"] = made["turnover"] = NAN
    for i, fields in enumerate(values):
        for name, value in fields.items():
            made[name][i] = value
    return made


# words


@pytest.mark.parametrize(
    ("value", "places"),
    [
        (310.2, 1),
        (310.0, 0),
        (0.1 + 0.2, 1),
        (0.00012, 5),
        (1e-7, 7),
        (95000.12, 2),
        (1e15, 0),
        (1e300, 0),
        (NAN, 0),
        (-2.125, 3),
    ],
)
def test_decimals_of_a_price(value: float, places: int) -> None:
    assert words.decimals(value) == places


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.price(95000.1, 2), "95,000.10"),
        (words.price(0.5, 2, sign=True), "+0.50"),
        (words.price(-0.5, 2, sign=True), "-0.50"),
        (words.price(-0.0001, 2, sign=True), "0.00"),
        (words.price(NAN, 2, sign=True), "–"),
        (words.percent(0.0123), "+1.23%"),
        (words.percent(NAN), "–"),
        (words.count(0), "0"),
        (words.count(0.53124), "0.5312"),
        (words.count(1234567), "1,234,567"),
        (words.count(12345678), "12.3M"),
        (words.count(45.6e9), "45.6B"),
        (words.count(1e15), "1e+15"),
        (words.rate(0), "0.0"),
        (words.rate(999.96), "1,000"),
        (words.rate(500123.4), "500,123"),
        (words.age(-1), "0.0s"),
        (words.age(9.96), "9s"),
        (words.age(61), "61s"),
        (words.age(125), "2m05s"),
        (words.age(7325), "2h02m"),
        (words.age(400000), "4d"),
        (words.age(NAN), "–"),
        (words.latency(85), "85 ns"),
        (words.latency(213_000), "213 µs"),
        (words.latency(999_600), "1.00 ms"),
        (words.latency(12_340_000), "12.3 ms"),
        (words.latency(-5_000), "-5 µs"),
        (words.latency(2.3e9), "2.3 s"),
        (words.latency(NAN), "–"),
        (words.clock(3661.9), "01:01:01"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ff.Event("connected", "opend://h:1", 0), "connected"),
        (ff.Event("disconnected", "x", 0, "reset\nby peer"), "disconnected: reset by peer; reconnecting"),
        (ff.Event("connect_failed", "x", 0, "refused"), "refused; trying again"),
        (ff.Event("gap", "x", 0, "not fetched"), "gap: not fetched"),
        (ff.Event("notice", "x", 0), "notice"),
    ],
)  # fmt: skip
def test_events_in_words(event: ff.Event, expected: str) -> None:
    assert words.event_words(event) == expected


# the board


def test_board_agrees_with_a_loop_over_the_ticks() -> None:
    rng = np.random.default_rng(1)
    board = Board()
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    volume: dict[int, float] = {}
    latencies: dict[int, list[float]] = {}
    every: list[float] = []
    for batch in range(40):
        n = int(rng.integers(0, 200))
        made = np.zeros(n, ff.dtype("ticks"))
        made["symbol"] = rng.integers(0, 3 + batch, n)
        made["price"] = np.round(rng.uniform(1, 100, n), 2)
        made["volume"] = np.where(rng.random(n) < 0.1, NAN, rng.integers(1, 100, n))
        made["recv_ns"] = NOW_NS + batch
        made["gateway_ns"] = np.where(
            rng.random(n) < 0.5, 0, made["recv_ns"] - rng.integers(0, 10**6, n)
        )
        made["time_ns"] = made["recv_ns"] - rng.integers(-(10**9), 10**9, n)
        made["flags"] = np.where(rng.random(n) < 0.1, int(ff.Flags.CACHED), 0)
        board.update(made, batch * 0.1)
        for row in made:
            i = int(row["symbol"])
            first.setdefault(i, float(row["price"]))
            last[i] = float(row["price"])
            volume[i] = volume.get(i, 0.0) + np.nan_to_num(row["volume"])
            if row["flags"]:
                continue
            latency = int(row["recv_ns"] - (row["gateway_ns"] or row["time_ns"]))
            if row["gateway_ns"] or latency >= 0:
                latencies.setdefault(i, []).append(latency)
                every.append(latency)
    ids = sorted(first)
    assert board.first[ids].tolist() == [first[i] for i in ids]
    assert board.last[ids].tolist() == [last[i] for i in ids]
    assert board.volume[ids] == pytest.approx([volume[i] for i in ids])
    assert board.total == board.ticks.sum()
    medians = board.latency_ns()
    for i in ids:
        expected = statistics.median(latencies[i][-64:]) if i in latencies else NAN
        assert medians[i] == pytest.approx(expected, nan_ok=True)
    assert board.median_latency_ns() == pytest.approx(statistics.median(every), rel=0.03)


def test_stale_ticks_do_not_become_the_last_price() -> None:
    board = Board()
    board.update(rows({"price": 10.0}), 0.0)
    board.update(rows({"price": 9.0, "flags": int(ff.Flags.STALE)}), 0.1)
    assert board.last[0] == 10.0
    assert board.ticks[0] == 2


def test_move_is_that_of_the_price_shown() -> None:
    board = Board()
    board.update(rows({"price": 10.0}), 0.0)
    assert board.move[0] == 0
    board.update(rows({"price": 12.0}, {"price": 11.0}), 0.1)
    assert board.move[0] == 1
    assert board.flashing(0.2)[0]
    board.update(rows({"price": 11.0}), 5.0)
    assert board.move[0] == 1
    assert not board.flashing(5.0)[0]


def test_rate_settles_and_fades() -> None:
    board = Board()
    for i in range(200):
        board.update(rows(*[{"price": 1.0}] * 10), i * 0.1)
    assert board.rates()[0] == pytest.approx(100, rel=0.02)
    for i in range(200):
        board.update(rows(), 20 + i * 0.1)
    assert board.rates()[0] < 0.01


def test_exchange_time_far_off_is_no_latency() -> None:
    board = Board()
    board.update(
        rows({"time_ns": NOW_NS - 60 * 10**9}, {"time_ns": NOW_NS + 1}, {"time_ns": 0}), 0.0
    )
    assert math.isnan(board.latency_ns()[0])
    assert math.isnan(board.median_latency_ns())
    assert math.isnan(board.recent_latency_ns())


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_nanmedian(size: int) -> None:
    values = np.random.default_rng(size).random((50, size))
    values[:, : size // 2][values[:, : size // 2] < 0.5] = NAN
    values[0] = NAN
    assert math.isnan(_nanmedian(values)[0])
    assert _nanmedian(values[1:]) == pytest.approx(
        [statistics.median(row[~np.isnan(row)]) if not np.isnan(row).all() else NAN for row in values[1:]],
        nan_ok=True,
    )  # fmt: skip


# the picture


def picture(width: int, height: int, count: int, *, encoding: str = "utf-8") -> list[str]:
    names = [f"SIM{i:03}.US" for i in range(count)]
    board = Board()
    made = rows(
        *[{"symbol": i, "price": 10.0 + i / 8, "gateway_ns": NOW_NS - 9000} for i in range(count)]
    )
    for step in range(1 + count):
        board.update(made[: count - step], float(step))
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, height=height, force_terminal=True)
    screen = Screen(console, board, table(*names), "opend://127.0.0.1:11111")
    screen.tell(ff.Event("disconnected", "x", NOW_NS, "closed by the peer " * 9))
    console.print(screen.live(connected=False, lost=0, now_s=2.0), end="")
    plain = Console(file=file, width=width, height=height, no_color=True, color_system=None)
    file.seek(0)
    file.truncate()
    plain.print(screen.live(connected=False, lost=0, now_s=2.0), end="")
    file.flush()
    return file.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (120, 30), (60, 20), (40, 10), (20, 4), (5, 1)]
)
@pytest.mark.parametrize("count", [1, 10, 300])
def test_picture_fits_the_terminal(width: int, height: int, count: int) -> None:
    lines = picture(width, height, count)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_narrow_terminals_get_fewer_columns() -> None:
    wide, narrow = picture(120, 24, 3), picture(60, 24, 3)
    assert wide[1].split() == [
        "Symbol",
        "Last",
        "Change",
        "%",
        "Volume",
        "Ticks/s",
        "Age",
        "Latency",
        "Trend",
    ]
    assert narrow[1].split() == ["Symbol", "Last", "%", "Ticks/s", "Age", "Latency"]
    assert not any("…" in line for line in narrow[1:-1])


def test_decimal_points_are_aligned() -> None:
    lines = picture(80, 24, 5)[3:8]
    assert [line.split()[1] for line in lines] == ["10.00", "10.125", "10.25", "10.375", "10.50"]
    assert len({line.index(".", line.index("US")) for line in lines}) == 1


def test_hidden_symbols_are_counted_and_the_active_ones_shown() -> None:
    lines = picture(80, 12, 300)
    assert "busiest 6 of 300" in lines[-2]
    assert [line.split()[0] for line in lines[3:9]] == [f"SIM{i:03}.US" for i in range(6)]


def test_ascii_terminal() -> None:
    assert all(line.isascii() for line in picture(100, 24, 3, encoding="ascii"))


def test_crop() -> None:
    from rich.style import Style

    cells = [("abc", Style()), ("def", Style())]
    assert [length(crop(cells, n)) for n in range(8)] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert crop(cells, 5)[-1][0] == "d…"


# text

AWKWARD = rows(
    {"price": 0.1 + 0.2, "volume": 100.0, "turnover": 1e22, "symbol": 0, "side": 1, "kind": 255,
     "seq": (1 << 62) + 1, "time_ns": NOW_NS, "gateway_ns": NOW_NS - 1, "flags": 0},
    {"price": 5e-324, "symbol": 1, "side": -1, "flags": 255, "time_ns": 0},
    {"price": -1.5, "volume": NAN, "turnover": 3.5, "symbol": 0, "time_ns": 1, "flags": int(ff.Flags.GAP)},
    {"price": NAN, "symbol": 1},
)  # fmt: skip
FLAGS = "cached|backfilled|stale|gap"


def test_csv_is_exact() -> None:
    symbols = table("700.HK", 'A",B.US')
    text = (Csv.header + Csv(symbols)(AWKWARD)).decode()
    found = list(csv.DictReader(io.StringIO(text)))
    assert tuple(found[0]) == FIELDS
    assert [row["symbol"] for row in found] == ["700.HK", 'A",B.US'] * 2
    assert [row["time"] for row in found] == [
        "2023-11-15T01:00:00.123456Z", "", "1970-01-01T00:00:00.000000Z", ""
    ]  # fmt: skip
    assert [row["side"] for row in found] == ["buy", "sell", "", ""]
    assert [row["flags"] for row in found] == ["", FLAGS, "gap", ""]
    for name in ("price", "volume", "turnover"):
        assert [row[name] for row in found] == [
            "" if math.isnan(value) else repr(value) for value in AWKWARD[name].tolist()
        ]
    for name in ("seq", "kind", "recv_ns", "time_ns", "gateway_ns"):
        assert [int(row[name]) for row in found] == AWKWARD[name].tolist()


def test_json_lines_are_exact() -> None:
    symbols = table("700.HK", 'A",B.US')
    found = [msgspec.json.decode(line) for line in JsonLines(symbols)(AWKWARD).splitlines()]
    assert tuple(found[0]) == FIELDS
    assert [row["time"] for row in found] == [
        "2023-11-15T01:00:00.123456Z", None, "1970-01-01T00:00:00.000000Z", None
    ]  # fmt: skip
    assert [row["side"] for row in found] == ["buy", "sell", None, None]
    assert [row["flags"] for row in found] == [None, FLAGS, "gap", None]
    for name in ("price", "volume", "turnover"):
        assert [row[name] for row in found] == [
            None if math.isnan(value) else value for value in AWKWARD[name].tolist()
        ]
    for name in ("seq", "kind", "recv_ns", "time_ns", "gateway_ns"):
        assert [row[name] for row in found] == AWKWARD[name].tolist()


def test_formats_learn_symbols_that_come_later() -> None:
    symbols = table("A.US")
    form = Csv(symbols)
    assert form(rows({"symbol": 0})).startswith(b"A.US,")
    symbols.intern("B.US")
    assert form(rows({"symbol": 1})).startswith(b"B.US,")


def filled(count: int, capacity: int = 1 << 10) -> Stream:
    stream = Stream("ticks", Ring(64, capacity), SymbolTable())
    made = np.zeros(count, stream.dtype)
    made["seq"] = np.arange(count)
    stream.ring.write(made.view("u1"))
    return stream


def test_write_all_writes_every_tick_to_a_slow_pipe() -> None:
    """The ring is more than half full all the time, so that the loop itself has to wait."""
    read_end, write_end = os.pipe()
    stream = filled(1000)
    pieces: list[bytes] = []

    def slow() -> None:
        while piece := os.read(read_end, 1500):
            pieces.append(piece)
            time.sleep(0.001)

    thread = threading.Thread(target=slow)
    thread.start()

    async def main() -> int:
        with Stop() as stop:
            reader = stream.reader("oldest")
            output = Output(write_end, stop)
            return await write_all(
                [StreamSource(stream, reader, Csv(table("A.US")))], output, stop=stop, limit=990
            )

    assert asyncio.run(main()) == 990
    os.close(write_end)
    thread.join()
    os.close(read_end)
    lines = b"".join(pieces).decode().splitlines()
    assert [int(line.split(",")[6]) for line in lines[1:]] == list(range(990))


def test_write_all_ends_with_what_is_there() -> None:
    read_end, write_end = os.pipe()
    stream = filled(5)

    async def main() -> int:
        with Stop(stream.end) as stop:
            stop.after(0.05)
            output = Output(write_end, stop)
            reader = stream.reader("oldest")
            return await write_all(
                [StreamSource(stream, reader, JsonLines(table("A.US")))], output, stop=stop
            )

    assert asyncio.run(main()) == 5
    os.close(write_end)
    with os.fdopen(read_end) as file:
        assert len(file.readlines()) == 5


def test_write_all_notices_that_nobody_reads_even_when_nothing_comes() -> None:
    read_end, write_end = os.pipe()
    stream = Stream("ticks", Ring(64, 64), SymbolTable())

    async def main() -> None:
        with Stop() as stop:
            asyncio.get_running_loop().call_later(0.05, os.close, read_end)
            output = Output(write_end, stop)
            await write_all(
                [StreamSource(stream, stream.reader(), Csv(table()))], output, stop=stop
            )

    with pytest.raises(BrokenPipeError):
        asyncio.run(main())
    os.close(write_end)


@pytest.mark.parametrize("capacity", [14, 16])  # the ring is more than half full, or not
def test_the_end_does_not_wait_for_a_stalled_reader(
    capacity: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastfeed.cli.output._PATIENCE_S", 0.1)
    read_end, write_end = os.pipe()
    stream = filled(12000, 1 << capacity)

    async def main() -> None:
        with Stop() as stop:
            stop.after(0.05)
            output = Output(write_end, stop)
            await write_all(
                [StreamSource(stream, stream.reader("oldest"), Csv(table("A.US")))],
                output,
                stop=stop,
            )

    with pytest.raises(Stalled):
        asyncio.run(main())
    os.close(write_end)
    os.close(read_end)
