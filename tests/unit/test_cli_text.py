"""How the command line writes rows and records: columns of all streams, records, tables, ladders, panels."""

from __future__ import annotations

import csv
import datetime
import io
import math

import msgspec
import numpy as np
import pytest
from rich.console import Console

import fastfeed as ff
from fastfeed._core.symbols import SymbolTable
from fastfeed.cli import grid, ladder
from fastfeed.cli.columns import INTERVAL_NAMES, names_of
from fastfeed.cli.output import Csv, JsonLines
from fastfeed.cli.panels import Panels, panel_of, shares
from fastfeed.cli.records import csv_lines, flat, json_lines
from fastfeed.feeds import longport_records
from fastfeed.feeds import opend_records as records
from fastfeed.protocols import longport_codes, opend_codes
from fastfeed.schema import STREAMS, Session

NAN = math.nan
NOW_NS = 1_700_010_000_123_456_789
DEPTH = 3


def table(*symbols: str) -> SymbolTable:
    made = SymbolTable()
    for symbol in symbols:
        made.intern(symbol)
    return made


def filled(stream: str, seed: int = 1, count: int = 5) -> np.ndarray:
    """Return rows with something in every field, and NaN in some."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, ff.dtype(stream, DEPTH))
    for name in rows.dtype.names:
        field = rows[name]
        if field.dtype.kind == "f":
            field[...] = rng.normal(size=field.shape) * 10.0 ** rng.integers(-9, 9, field.shape)
            field[rng.random(field.shape) < 0.2] = NAN
        else:
            field[...] = rng.integers(0, 100, field.shape)
    rows["symbol"] = np.arange(count) % 2
    rows["time_ns"] = NOW_NS + np.arange(count)
    rows["time_ns"][1] = 0
    rows["flags"] = [0, 1, 8, 255, 0][:count]
    rows["session"] = np.arange(count) % 5
    for name in ("bids", "asks"):
        if name in rows.dtype.names:
            rows[name] = np.arange(count) % (DEPTH + 1)
    if stream == "quotes":
        rows["expiry_days"][:2] = [-(2**31), -3]
        rows["suspended"] = np.arange(count) % 2
    if stream == "bars":
        rows["interval_s"] = [60, 300, 86400, 30 * 86400, 7][:count]
        rows["adjust"] = np.arange(count) % 3
    return rows


def number(text: str) -> float:
    return NAN if text == "" else float(text)


@pytest.mark.parametrize("stream", STREAMS)
def test_csv_of_every_stream_reads_back(stream: str) -> None:
    symbols, rows = table("700.HK", 'A",B.US'), filled(stream)
    form = Csv(symbols, stream, DEPTH)
    found = list(csv.DictReader(io.StringIO((form.header + form(rows)).decode())))
    assert len(found) == len(rows)
    assert [row["symbol"] for row in found] == [symbols[i] for i in rows["symbol"].tolist()]
    assert [row["time"] == "" for row in found] == (rows["time_ns"] == 0).tolist()
    for name in rows.dtype.names:
        field = rows[name]
        if field.ndim == 2:
            real = rows[f"{name[:3]}s"]
            for i in range(field.shape[1]):
                column = [number(row[f"{name}_{i + 1}"]) for row in found]
                expected = [
                    float(v) if n > i else NAN for v, n in zip(field[:, i], real, strict=True)
                ]
                assert np.array_equal(column, expected, equal_nan=True), name
        elif field.dtype.kind == "f":
            column = [number(row[name]) for row in found]
            assert np.array_equal(column, field, equal_nan=True), name
        elif name in ("seq", "recv_ns", "time_ns", "gateway_ns", "bids", "asks", "kind"):
            assert [int(row[name]) for row in found] == field.tolist()


@pytest.mark.parametrize("stream", STREAMS)
def test_json_of_every_stream_reads_back(stream: str) -> None:
    symbols, rows = table("700.HK", 'A",B.US'), filled(stream)
    text = JsonLines(symbols, stream, DEPTH)(rows)
    found = [msgspec.json.decode(line) for line in text.splitlines()]
    assert tuple(found[0]) == names_of(stream, rows.dtype)
    for name in rows.dtype.names:
        field = rows[name]
        if field.ndim == 2:
            expected = [
                [None if math.isnan(v) else v for v in values.tolist()[:n]]
                for values, n in zip(field, rows[f"{name[:3]}s"].tolist(), strict=True)
            ]
            assert [row[name] for row in found] == expected, name
        elif field.dtype.kind == "f":
            expected = [None if math.isnan(v) else v for v in field.tolist()]
            assert [row[name] for row in found] == expected, name
    if stream != "ticks":
        names = [None, "regular", "pre", "post", "overnight"]
        assert [row["session"] for row in found] == names
    if stream == "quotes":
        assert [row["expiry_days"] for row in found][:2] == [None, -3]
        assert [row["suspended"] for row in found] == [False, True, False, True, False]
    if stream == "bars":
        assert [row["interval"] for row in found] == ["1m", "5m", "1d", "1M", None]
        assert [row["adjust"] for row in found] == ["none", "forward", "backward"] * 1 + [
            "none",
            "forward",
        ]


def test_tagged_json_begins_with_the_stream() -> None:
    text = JsonLines(table("A.US", "B.US"), "bars", tagged=True)(filled("bars"))
    assert all(line.startswith(b'{"stream":"bars","symbol":') for line in text.splitlines())


# records


INFO = records.StaticInfo(
    "700.HK", 'A "name", 名', "STOCK", 100, None, False, "HK_MAINBOARD", 7, None, None,
    records.FutureTerms("2030-12-30", True),
)  # fmt: skip


def test_records_are_flattened_in_csv() -> None:
    text = csv_lines(records.StaticInfo, [INFO]).decode()
    found = next(csv.DictReader(io.StringIO(text)))
    assert found["name"] == INFO.name
    assert (found["lot_size"], found["delisted"], found["listed"]) == ("100", "false", "")
    assert (found["future.last_trading_day"], found["future.main_contract"]) == (
        "2030-12-30",
        "true",
    )
    assert found["option.strike_price"] == ""


def test_no_records_are_a_header_in_csv() -> None:
    assert csv_lines(records.MarketState, []) == b"symbol,name,state\n"
    assert json_lines([]) == b""


def test_lists_in_csv_cells() -> None:
    group = records.SubscribedSymbols("ticks", ("700.HK", "AAPL.US"))
    assert csv_lines(records.SubscribedSymbols, [group]) == b"kind,symbols\nticks,700.HK AAPL.US\n"
    connection = records.ConnectionSubscriptions(True, 2, None, None, (group,))
    line = csv_lines(records.ConnectionSubscriptions, [connection]).decode().splitlines()[1]
    cell = next(csv.reader([line]))[4]
    assert msgspec.json.decode(cell) == [{"kind": "ticks", "symbols": ["700.HK", "AAPL.US"]}]


def test_numbers_dates_and_maps_in_csv_cells() -> None:
    broker = longport_records.Participant((1000, 1001), "名", "Alder, Ash", "名")
    kind = longport_records.Participant
    line = csv_lines(kind, [broker]).decode().splitlines()[1]
    assert line == '1000 1001,名,"Alder, Ash",名'
    packages = {"K": longport_records.Package("K", "Level 2", "", None, 7)}
    profile = longport_records.Profile(5, "HKAA", 500, 100, (), packages, {})
    text = csv_lines(longport_records.Profile, [profile]).decode()
    (row,) = csv.DictReader(io.StringIO(text))
    assert msgspec.json.decode(row["packages"])["K"]["name"] == "Level 2"
    assert row["markets"] == "{}"
    assert list(flat(profile)) == [
        *("member_id", "quote_level", "subscribe_limit", "history_candlestick_limit", "packages"),
    ]
    day = longport_records.LongPortTradingDay(datetime.date(2026, 11, 25), "HALF")
    assert csv_lines(type(day), [day]) == b"date,kind\n2026-11-25,HALF\n"
    assert json_lines([day]) == b'{"date":"2026-11-25","kind":"HALF"}\n'


def test_bars_of_all_vendors_have_names() -> None:
    for interval in (*longport_codes.INTERVALS.values(), *opend_codes.INTERVALS.values()):
        assert INTERVAL_NAMES[interval.seconds] == interval.name


def test_records_are_kept_in_json() -> None:
    found = msgspec.json.decode(json_lines([INFO]))
    assert found["future"] == {"last_trading_day": "2030-12-30", "main_contract": True}
    assert msgspec.convert(found, records.StaticInfo) == INFO


def test_flat_has_what_is_known() -> None:
    known = flat(INFO)
    assert known["future.main_contract"] is True
    assert not {"listed", "warrant.kind", "option.kind"} & known.keys()


# tables


def test_numbers_stand_below_each_other() -> None:
    lines = grid.grid([grid.column("Price", [310.2, 1 / 3, 12345.0, NAN, None])])
    assert [line.rstrip() for line in lines[1:]] == [
        "   310.20",
        "     0.33333333",
        "12,345.00",
        "              –",
        "              –",
    ]


def test_wide_characters_take_two_places() -> None:
    lines = grid.grid([grid.column("Name", ["銀杏", "Elm"]), grid.column("Lot", [1, 100])])
    assert [grid.width_of(line) for line in lines[1:]] == [9, 9]
    assert lines[1].endswith("  1")


def test_columns_without_room_are_named() -> None:
    columns = [grid.column(name, ["x" * 10]) for name in "ABC"]
    lines = grid.grid(columns, 25)
    assert lines[1] == "x" * 10 + "  " + "x" * 10
    assert "no room for: C" in lines[-1]
    assert all(grid.width_of(line) <= 6 for line in grid.grid(columns, 6)[1:2])


def test_names_do_not_steer_the_terminal() -> None:
    assert grid.column("Name", ["a\x1b[2Jb\n"]).cells == ["a?[2Jb?"]


def test_times_have_the_decimals_that_are_there() -> None:
    whole = grid.times("Time", [1_700_010_000_000_000_000, None])
    assert (whole.title, whole.cells) == ("Time (UTC)", ["2023-11-15 01:00:00", "–"])
    assert grid.times("", [NOW_NS]).cells == ["2023-11-15 01:00:00.123456"]
    mixed = grid.times("", [1_700_010_000_500_000_000, 1_700_010_000_000_000_000]).cells
    assert mixed == ["2023-11-15 01:00:00.5", "2023-11-15 01:00:00.0"]


def test_days_are_those_of_the_market() -> None:
    hong_kong, new_york = 1_733_932_800, 1_733_979_600  # both are midnight of 2024-12-12 there
    assert grid.dates("", [hong_kong * 10**9, new_york * 10**9]).cells == ["2024-12-12"] * 2


# books


def book(bids: int = 3, asks: int = 2) -> np.ndarray:
    rows = np.zeros(1, ff.dtype("books", DEPTH))
    for side, count, sign in (("bid", bids, -1), ("ask", asks, 1)):
        rows[f"{side}s"] = count
        rows[f"{side}_price"] = rows[f"{side}_volume"] = NAN
        for i in range(count):
            rows[f"{side}_price"][0, i] = 100 + sign * (i + 1) / 4
            rows[f"{side}_volume"][0, i] = 100 * (i + 1)
            rows[f"{side}_orders"][0, i] = i + 1
    rows["recv_ns"] = NOW_NS
    return rows


@pytest.mark.parametrize("width", [20, 40, 62, 80, 140])
def test_levels_are_equally_wide_and_fit(width: int) -> None:
    levels = ladder.levels(book()[0], DEPTH, width)
    texts = [ladder.text_of(level) for level in levels]
    assert len(texts) == 3
    assert len(set(map(len, texts))) == 1
    assert len(texts[0]) <= max(width, 40)
    assert len({text.index("│") for text in texts}) == 1


def test_bars_are_as_long_as_volumes() -> None:
    levels = ladder.levels(book()[0], DEPTH, 80)
    assert [len(level.bid_bar.strip()) for level in levels] == sorted(
        len(level.bid_bar.strip()) for level in levels
    )
    assert levels[0].bid.strip() == "99.75"
    assert levels[2].ask.strip() == ""
    assert levels[2].ask_bar.strip() == ""


@pytest.mark.parametrize(
    ("bids", "asks", "text"), [(3, 2, "spread 0.50, 50.0 bp"), (1, 0, "one-sided"), (0, 0, "empty")]
)
def test_spread(bids: int, asks: int, text: str) -> None:
    assert ladder.spread(book(bids, asks)[0]) == text
    assert ladder.plain(book(bids, asks)[0], 80)


# panels


class _Feed:
    """What panels ask of a feed."""

    url = "opend://127.0.0.1:11111"
    delivers_all = False

    def __init__(self, *symbols: str) -> None:
        self.hub = ff.Hub(book_depth=DEPTH)
        for symbol in symbols:
            self.hub.symbols.intern(symbol)

    @property
    def symbols(self) -> SymbolTable:
        return self.hub.symbols


def view(width: int, height: int, streams: tuple[str, ...], count: int = 5) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, color_system=None)
    feed = _Feed("700.HK", "AAPL.US")
    panels = [panel_of(name, feed, console) for name in streams]  # type: ignore[arg-type]
    screen = Panels(console, panels, feed.url)
    for step in range(3):
        for name, panel in zip(streams, panels, strict=True):
            rows = filled(name, step)[:count]
            rows["recv_ns"] = NOW_NS
            panel.take(rows, float(step))
            screen.update(count, float(step))
    console.print(screen.live(connected=True, lost=0, now_s=3.0), end="")
    return file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "height"), [(140, 40), (80, 24), (60, 15), (40, 10), (20, 5), (5, 1)]
)
@pytest.mark.parametrize("streams", [*((name,) for name in STREAMS), STREAMS, ("ticks", "books")])
def test_panels_fit_the_terminal(width: int, height: int, streams: tuple[str, ...]) -> None:
    for count in (0, 1, 5):
        lines = view(width, height, streams, count)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width


def test_quotes_have_a_line_for_each_session() -> None:
    lines = view(100, 24, ("quotes",))
    sessions = [line.split()[1] for line in lines[3:8]]
    assert sessions == ["–", "pre", "overnight", "regular", "post"]


def latest(stream: str, *changes: dict[str, object]) -> list[str]:
    console = Console(file=io.StringIO(), width=120, height=24)
    panel = panel_of(stream, _Feed("700.HK"), console)  # type: ignore[arg-type]
    for i, change in enumerate(changes):
        rows = np.zeros(1, ff.dtype(stream, DEPTH))
        for name, value in change.items():
            rows[name] = value
        panel.take(rows, float(i))
    return ["".join(text for text, _ in line) for line in panel.lines(120, 20, 0.0)]


def test_an_older_bar_does_not_replace_the_running_one() -> None:
    common = {"interval_s": 60, "open": 1.0}
    lines = latest(
        "bars",
        common | {"time_ns": NOW_NS, "close": 2.0},
        common | {"time_ns": NOW_NS - 60 * 10**9, "close": 3.0},
        {"interval_s": 86400, "time_ns": NOW_NS, "open": 1.0, "close": 4.0},
    )
    assert len(lines) == 3
    assert "2.00" in lines[1]
    assert "3.00" not in lines[1]
    assert "01:00" in lines[1]
    assert "2023-11-15" in lines[2]


def test_change_outside_of_the_regular_session_is_the_vendors() -> None:
    lines = latest(
        "quotes",
        {"session": Session.PRE, "last": 11.0, "change": 1.0, "prev_close": NAN},
    )
    assert "+10.00%" in lines[1]


@pytest.mark.parametrize(
    ("wanted", "room", "expected"),
    [
        ([3, 4], 10, [3, 4]),
        ([3, 20], 10, [3, 7]),
        ([20, 20], 11, [5, 6]),
        ([20, 2, 20], 10, [4, 2, 4]),
    ],
)
def test_shares(wanted: list[int], room: int, expected: list[int]) -> None:
    assert shares(wanted, room) == expected
