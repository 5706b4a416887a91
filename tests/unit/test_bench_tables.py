"""What the rounds cannot tell, and results as tables."""

import click
import pytest
from bench_results import bench_results

from fastfeed.bench.doubt import caution, compared_with, doubtful, restless
from fastfeed.bench.numbers import short
from fastfeed.bench.results import Bar, Missing, Noise, Results, Row, Table, figure, ratio
from fastfeed.bench.tables import markdown, noise_words, notes_of, sheets
from fastfeed.cli.bench_tables import end_lines, head_lines, table_lines

OWN = [100.0, 101.0, 102.0, 99.0, 98.0]


def table(rows, **more):
    """Return a table of rounds in ns by name."""
    first = next(iter(rows.values()))
    return Table(
        "decode opend ticks",
        "decode",
        [Row(n, {"ns/tick": figure(v), "x fastfeed": ratio(v, first)}) for n, v in rows.items()],
        "opend",
        "ns/tick",
        **more,
    )


def plain(lines):
    return [click.unstyle(line) for line in lines]


def test_a_ratio_on_both_sides_of_one_is_marked():
    close = [101.0, 99.0, 103.0, 98.0, 98.0]
    found = doubtful(table({"fastfeed": OWN, "peer": close, "slow": [2 * v for v in OWN]}))
    assert found.alike == {("peer", None, "x fastfeed")}
    assert found.warning == ""


def test_the_one_that_others_are_divided_by_is_not_marked():
    assert doubtful(table({"fastfeed": OWN, "C loop": OWN})).alike == frozenset()


def test_what_a_column_is_compared_with():
    assert compared_with("x fastfeed") == "fastfeed"
    assert compared_with("x C, spinning") == "C, spinning"
    assert compared_with("CPU x alone") == "alone"
    assert compared_with("max µs") == compared_with("CPU ns/row") == ""


def test_two_rounds_are_too_few_to_doubt():
    assert not doubtful(table({"fastfeed": [1.0, 1.0], "peer": [0.9, 1.1]})).alike


def test_rounds_that_differ_too_much_are_warned_about():
    wild = [100.0, 140.0, 80.0, 120.0, 100.0]
    noisy = table({"fastfeed": wild, "peer": [1000.0] * 5})
    warning = doubtful(noisy).warning
    assert "fastfeed differ by 20 % in ns/tick" in warning
    caution(noisy)
    caution(noisy)
    assert noisy.warnings == [warning]
    # Of a peer's it is its own spread that tells.
    assert not doubtful(table({"fastfeed": OWN, "peer": wild})).warning


def test_the_warning_says_where():
    rows = [
        Row("fastfeed", {"p50 µs": figure([10.0, top - 10.0, top])}, x=x)
        for x, top in ((500.0, 20.5), (2000.0, 30.0), (10_000.0, 40.0))
    ]
    found = Table("latency opend", "latency", rows, "opend", "p50 µs", "ticks a second")
    warning = (
        "the rounds of fastfeed (ticks a second: 500, 2,000, 10,000) differ by up to 50 % in p50 µs: "
        "smaller differences mean nothing"
    )
    assert doubtful(found).warning == warning
    rows[0].figures["p50 µs"] = rows[1].figures["p50 µs"] = figure(10.0)
    assert "(ticks a second: 10,000) differ by 50 %" in doubtful(found).warning


def test_one_warning_names_all_that_are_ours():
    wild = {"p50 µs": figure([10.0, 20.0, 30.0])}
    rows = [Row("fastfeed, loop", wild), Row("fastfeed, thread", wild), Row("C", wild)]
    warning = doubtful(Table("wire to ring", "", rows, unit="p50 µs")).warning
    assert "the rounds of fastfeed, loop and of fastfeed, thread differ by up to 50 %" in warning


def test_a_restless_machine_is_told_of():
    assert restless(None) == restless(Noise(0.01, 900.0, 0.05)) == ""
    assert "others took 5 % of the measuring core." in restless(Noise(0.05, 1.0, 0.0))
    both = restless(Noise(0.05, 1.0, 0.3))
    assert "others took 5 %" in both
    assert "30 % longer at times" in both


def test_rows_and_columns():
    (sheet,) = sheets(table({"fastfeed": OWN, "peer": [1234.0, 1300.0, 1180.0, 1234.0, 1234.0]}))
    assert sheet.heads == ("candidate",)
    assert sheet.columns == ("ns/tick", "x fastfeed")
    (name, cells), peer = sheet.rows
    assert name == ("fastfeed",)
    assert (cells[0].text, cells[0].spread) == ("100", "±1.0 %")
    assert (cells[1].text, cells[1].spread) == ("1", "")
    assert peer[1][0].text == "1,234"


def test_many_of_something_become_columns():
    xs = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
    rows = [
        Row("fastfeed", {"ns/tick": figure([x] * 3), "x 1 symbol": figure([1] * 3)}, x=x)
        for x in xs
    ]
    rows += [Row("peer", {"ns/tick": figure([7.0] * 3)}, x=10.0)]
    one, other = sheets(Table("scaling opend", "scaling", rows, unit="ns/tick", x="symbols"))
    assert one.heads == ("ns/tick, by symbols",)
    assert one.columns == ("1", "10", "100", "1,000", "10,000")
    assert [cell.text for cell in one.rows[0][1]] == ["1", "10", "100", "1,000", short(10_000)]
    assert [cell.text for cell in one.rows[1][1]] == ["", "7", "", "", ""]
    assert [cell.text for cell in other.rows[1][1]] == [""] * 5


def test_few_of_something_stay_rows():
    columns = ("p50 µs", "p99 µs", "x fastfeed")
    rows = [
        Row(name, {column: figure([x, x + 1, x + 2]) for column in columns}, x=x)
        for x in (500.0, 2000.0)
        for name in ("fastfeed", "peer")
    ]
    (sheet,) = sheets(Table("l", "latency", rows, unit="p50 µs", x="ticks a second"))
    assert sheet.heads == ("ticks a second", "candidate")
    assert [heads for heads, _ in sheet.rows] == [
        ("500", "fastfeed"), ("", "peer"), ("2,000", "fastfeed"), ("", "peer")
    ]  # fmt: skip
    assert all(cell.spread for _, cells in sheet.rows for cell in cells[:2])


def test_one_candidate_with_too_many_figures_has_them_below_each_other():
    columns = [f"column {i}" for i in range(11)]
    rows = [
        Row("fastfeed", {c: figure(i + x) for i, c in enumerate(columns)}, x) for x in (1, 1000)
    ]
    replay = Table("replay opend", "replay", rows, "opend", x="times real time")
    (sheet,) = sheets(replay)
    assert sheet.heads == ("fastfeed, by times real time",)
    assert sheet.columns == ("1", "1,000")
    assert [heads for heads, _ in sheet.rows] == [(column,) for column in columns]
    assert [cell.text for cell in sheet.rows[3][1]] == ["4", "1,003"]
    assert max(map(len, plain(table_lines(replay, 60)))) <= 60
    rows[1].name = "another one"
    (sheet,) = sheets(replay)
    assert len(sheet.columns) == 11


def test_notes_of_several_candidates_stand_together():
    rows = [Row(n, {}, note=note) for n, note in (("a", "x"), ("b", ""), ("c", "x"), ("a", "x"))]
    assert notes_of(Table("t", "", rows)) == ["a, c: x"]
    rows = [Row(n, {}, x, note="x" * (n != "b" or x > 1)) for n in "ab" for x in (1.0, 2000.0)]
    assert notes_of(Table("t", "", rows)) == ["a, b at 2,000: x"]


def test_everything_fits_and_every_figure_is_there():
    results = bench_results()
    lines = head_lines(results, 100)
    for each in results.tables:
        caution(each)
        shown = plain(table_lines(each, 100))
        text = "\n".join(shown)
        assert "no room for" not in text
        for row in each.rows:
            assert row.name in text
            for found in row.figures.values():
                assert short(found.median) in text
        lines += shown
    lines += end_lines(results, 100)
    assert max(len(line) for line in plain(lines)) <= 100


def test_figures_stand_below_each_other():
    close = [101.0, 99.0, 103.0, 98.0, 98.0]
    lines = plain(
        table_lines(table({"fastfeed": OWN, "peer": close, "slow": [v * 20 for v in OWN]}))
    )
    heading = next(i for i, line in enumerate(lines) if line.startswith("candidate"))
    rows = lines[heading + 1 : heading + 4]
    assert len({line.index(" %") for line in rows}) == 1
    assert rows[1].endswith(" ?")
    assert "? cannot be told apart from fastfeed: the rounds lie on both sides of 1" in lines


def test_what_stands_at_the_end():
    results = bench_results()
    results.noise = Noise(0.004, 310.0, 0.031)
    results.missing = [
        Missing("futu-api", "futu-api is not installed"),
        Missing("x", "ended with status 1"),
    ]
    results.bars = [
        Bar("one tick, ns", 25.3, "at most 40", True),
        Bar("ten", 3.0, "at most 2", False),
    ]
    text = "\n".join(plain(end_lines(results, 100)))
    assert "not measured: futu-api (futu-api is not installed)" in text
    assert "not measured: x (ended with status 1)" in text
    assert "pip install 'fastfeed[peers]'" in text
    assert "others took 0.4 % of the measuring core, at most 310 µs at once" in text
    assert "met    one tick, ns: 25.3 (at most 40)" in text
    assert "MISSED ten: 3 (at most 2)" in text
    results.missing = results.missing[1:]
    assert "pip install" not in "\n".join(end_lines(results, 100))
    assert noise_words(None) == "noise: not measured"


def test_markdown_has_every_table_with_as_many_cells_in_each_row():
    results = bench_results()
    text = markdown(results)
    for each in results.tables:
        assert f"### {each.name}\n" in text
    blocks = text.split("\n\n")
    grids = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(grids) >= len(results.tables)
    for grid in grids:
        assert len({line.count("|") for line in grid}) == 1
    assert "interrupted" not in text
    assert "interrupted" in markdown(bench_results(complete=False))


@pytest.mark.parametrize("rows", [[], [Row("fastfeed", {})]])
def test_a_table_with_nothing_in_it(rows):
    empty = Table("t", "decode", rows, unit="ns/tick")
    assert plain(table_lines(empty, 100))[:2] == ["", "t"]
    assert "### t" in markdown(Results(version="1", date="", command="", tables=[empty]))
