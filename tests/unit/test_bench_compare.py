"""What changed between two runs, and what is noise."""

import random

import click
import pytest
from bench_results import bench_results

from fastfeed.bench.compare import better_when, compare
from fastfeed.bench.results import Noise, Results, Row, Table, figure, ratio
from fastfeed.cli.bench_compare import comparison_lines

QUIET = Noise(0.001, 50.0, 0.01, 800.0)
MACHINE = {"cpu": "AMD EPYC", "cores": 2, "packages": {"msgspec": "0.22.0"}}


def drawn(center, seed, spread=0.005, count=11):
    """Return rounds about a center."""
    draw = random.Random(seed)
    return [center * (1 + draw.gauss(0, spread)) for _ in range(count)]


def run(own=25.0, peer=700.0, *, seed=1, spread=0.005, noise=QUIET, machine=MACHINE, **more):
    ours, theirs = drawn(own, seed, spread), drawn(peer, seed + 100, spread)
    rows = [
        Row(
            name,
            {
                "ns/tick": figure(values),
                "MB/s": figure([1 / each for each in values]),
                "x fastfeed": ratio(values, ours),
            },
        )
        for name, values in (("fastfeed", ours), ("protobuf", theirs))
    ]
    table = Table("decode opend ticks", "decode", rows, "opend", "ns/tick")
    known = {"version": "0.6.0", "date": "", "command": "", "method": {"rounds": 11}} | more
    return Results(machine=machine, noise=noise, tables=[table], **known)


def verdicts(comparison):
    return {(each.row, each.column): each.verdict for each in comparison.changes}


def test_the_same_run_has_not_changed():
    results = bench_results()
    comparison = compare(results, results)
    assert {each.verdict for each in comparison.changes} <= {"same", "unknown"}
    assert not comparison.differences
    assert not comparison.failed
    assert not comparison.only_before + comparison.only_after


def test_noise_is_no_change():
    for seed in range(2, 30):
        assert set(verdicts(compare(run(seed=1), run(seed=seed))).values()) == {"same"}


def test_a_real_change_is_one():
    comparison = compare(run(25.0), run(30.0, seed=2))
    assert verdicts(comparison) == {
        ("fastfeed", "ns/tick"): "worse",
        ("protobuf", "ns/tick"): "same",
    }
    (worse,) = comparison.having("worse")
    assert worse.change == pytest.approx(0.2, abs=0.01)
    assert comparison.failed
    back = compare(run(30.0), run(25.0, seed=2))
    assert [each.row for each in back.having("better")] == ["fastfeed"]
    assert not back.failed


def test_a_peer_that_got_slower_fails_nobody():
    comparison = compare(run(), run(peer=900.0, seed=2))
    assert [each.row for each in comparison.having("worse")] == ["protobuf"]
    assert not comparison.failed


@pytest.mark.parametrize(
    "noise",
    [
        Noise(0.001, 50.0, 0.25, 800.0),  # the machine drifted by more than the change
        Noise(0.001, 50.0, 0.01, 870.0),  # its pace differs
    ],
)
def test_a_change_within_the_noise_of_the_machine_is_none(noise):
    change = 1.15 if noise.drift > 0.1 else 1.07
    assert verdicts(compare(run(25.0), run(25.0 * change)))[("fastfeed", "ns/tick")] == "worse"
    for pair in (
        (run(25.0), run(25.0 * change, noise=noise)),
        (run(25.0, noise=noise), run(25.0 * change)),
    ):
        assert verdicts(compare(*pair))[("fastfeed", "ns/tick")] == "same"


def test_a_change_within_the_spread_of_either_is_none():
    wide = run(25.0, seed=3, spread=0.2)
    assert verdicts(compare(wide, run(27.0)))[("fastfeed", "ns/tick")] == "same"
    assert verdicts(compare(run(27.0), wide))[("fastfeed", "ns/tick")] == "same"


def test_less_than_two_percent_is_where_code_lies():
    exact = {"spread": 0.0, "noise": Noise(0.0, 1.0, 0.0, 800.0)}
    assert (
        verdicts(compare(run(25.0, **exact), run(25.4, **exact)))[("fastfeed", "ns/tick")] == "same"
    )
    assert (
        verdicts(compare(run(25.0, **exact), run(25.6, **exact)))[("fastfeed", "ns/tick")]
        == "worse"
    )


@pytest.mark.parametrize(
    "other",
    [
        {"machine": MACHINE | {"cpu": "Another"}},
        {"machine": MACHINE | {"cores": 8}},
        {"noise": Noise(0.001, 50.0, 0.01, 1000.0)},
    ],
)
def test_of_different_machines_only_ratios_are_compared(other):
    # Twice as slow, all alike: nothing changed. And fastfeed alone slower: its lead has shrunk.
    same = compare(run(), run(50.0, 1400.0, seed=2, **other))
    assert same.only_ratios
    assert verdicts(same) == {("protobuf", "x fastfeed"): "same"}
    worse = compare(run(), run(60.0, 1400.0, seed=2, **other))
    assert verdicts(worse) == {("protobuf", "x fastfeed"): "worse"}
    assert worse.failed
    assert verdicts(compare(run(), run(40.0, 1400.0, seed=2, **other))) == {
        ("protobuf", "x fastfeed"): "better"
    }


def test_rounds_that_differ_too_much_are_told_of():
    (doubt,) = compare(run(), run(seed=3, spread=0.3)).doubts
    assert doubt == (
        "B: the rounds of fastfeed differ by more than 15 % in decode opend ticks: "
        "smaller differences mean nothing there"
    )


def test_what_differs_is_told():
    other = run(
        version="0.7.0",
        machine=MACHINE | {"kernel": "Linux 7", "packages": {"msgspec": "0.23", "picows": "2.0"}},
        method={"rounds": 5},
        complete=False,
    )
    assert compare(run(), other).differences == [
        "fastfeed 0.6.0 and 0.7.0",
        "kernel: none and Linux 7",
        "msgspec 0.22.0 and 0.23",
        "picows none and 2.0",
        "rounds: 11 and 5",
        "B was interrupted",
    ]


@pytest.mark.parametrize("packages", [None, [], ["msgspec"], "msgspec"])
def test_machines_of_which_little_is_known(packages):
    other = {**MACHINE, "packages": packages}
    assert "msgspec 0.22.0 and none" in compare(run(), run(machine=other)).differences


def test_what_is_only_in_one():
    before, after = bench_results(), bench_results()
    gone = before.tables.pop(0)
    after.tables.pop()
    last = after.tables[-1].rows.pop()
    comparison = compare(before, after)
    assert comparison.only_after == [gone.name]
    assert len(comparison.only_before) == 2
    assert any(f"{after.tables[-1].name}: {last.name}" in each for each in comparison.only_before)


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([10.0], [20.0], "unknown"),
        (10.0, 20.0, "unknown"),
        ([1.0, 2.0], [3.0, 4.0], "unknown"),
        ([10.0, 10.0, 10.0], [float("nan")] * 3, "unknown"),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], "same"),
        ([0.0, 0.0, 0.0], [5.0, 5.0, 5.0], "worse"),
        ([10.0, 10.0, 10.0], [float("inf")] * 3, "unknown"),
        ([10.0, 10.0, 10.0], [20.0, 20.0, 20.0], "worse"),
        ([20.0, 20.0, 20.0], [10.0, 10.0, 10.0], "better"),
    ],
)
def test_figures_that_are_hard_to_compare(old, new, verdict):
    def results(value):
        table = Table("t", "", [Row("fastfeed", {"ns": figure(value)})], unit="ns")
        return Results(version="1", date="", command="", tables=[table])

    (change,) = compare(results(old), results(new)).changes
    assert change.verdict == verdict


def test_a_lost_row_counts_though_it_was_counted_once():
    def results(lost):
        table = Table("replay opend", "replay", [Row("fastfeed", {"lost": figure(lost)}, x=1.0)])
        return Results(version="1", date="", command="", tables=[table])

    assert compare(results(0), results(1)).failed
    assert not compare(results(3), results(3)).failed
    assert compare(results(1), results(0)).having("better")


@pytest.mark.parametrize(
    ("unit", "row", "column", "better"),
    [
        ("ns/tick", "fastfeed", "ns/tick", "lower"),
        ("ticks/s", "fastfeed", "ticks/s", "higher"),
        ("ticks/s", "fastfeed", "CPU ns/tick", "lower"),
        ("p50 µs", "peer", "p99.9 µs", "lower"),
        ("ms/pull", "peer", "ms/pull", "lower"),
        ("ns/tick", "protobuf", "x fastfeed", "higher"),  # it is further behind
        ("ticks/s", "picows", "x fastfeed", "higher"),  # a ratio of times all the same
        ("packets/s", "fastfeed, thread", "x C, spinning", "higher"),
        ("ns/tick", "fastfeed, TCP", "x fastfeed", "lower"),
        ("ns/tick", "fastfeed", "x 1 symbol", "lower"),
        ("ns/tick", "protobuf", "x 1 symbol", "lower"),
        ("p50 µs", "fastfeed", "x futex, C", "lower"),
        ("p50 µs", "NATS", "x futex, C", None),
        ("ns/row", "10 idle", "CPU x alone", "lower"),
        ("p50 µs", "fastfeed", "lost", "lower"),
        ("rows", "fastfeed", "ring high-water rows", None),
    ],
)
def test_which_direction_is_good_news(unit, row, column, better):
    assert better_when(Table("t", "", [], unit=unit), Row(row, {}), column) == better
    assert better_when(Table("t", "", [], unit=unit), Row(row, {}), column, "higher") == "higher"


def test_what_is_shown():
    before, after = run(25.0), run(31.0, peer=500.0, seed=2, version="0.6.1")
    after.tables.append(Table("new", "", []))
    lines = [
        click.unstyle(line) for line in comparison_lines(compare(before, after), "a", "b", 100)
    ]
    text = "\n".join(lines)
    assert lines[:3] == ["A: a", "B: b", "differs: fastfeed 0.6.0 and 0.6.1"]
    worse = lines.index("worse")
    assert lines.index("better") > worse
    assert lines[worse + 2].split()[:2] == ["+24", "%"]
    assert "-29 %" in text or "-28 %" in text
    assert "0 figures did not change beyond noise" in text
    assert "only in B: new" in text
    assert max(map(len, lines)) <= 100
