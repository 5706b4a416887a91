"""Tables of decoders: all candidates make the same rows, or nothing is timed."""

import math
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from fastfeed.bench import decode, turns
from fastfeed.bench.plan import Plan
from fastfeed.bench.results import Missing
from fastfeed.bench.run import cases
from fastfeed.bench.turns import DisagreementError, Effort

HELPERS = str(Path(__file__).parents[1] / "helpers")
TINY = Effort(rounds=2, warm_up=0, work=0.001)

OPEND = ["fastfeed", "protobuf", "futu-api"]
ALLTICK = [
    *("fastfeed", "fastfeed, any shape", "fastfeed, Decoder.feed"),
    *("msgspec", "msgspec, NumPy", "orjson", "json"),
]
LONGPORT = ["fastfeed", "fastfeed, Decoder.feed", "protobuf", "protobuf, float"]
TABLES = {
    "decode opend ticks": [*OPEND[:2], "protobuf, NumPy", OPEND[2]],
    "decode opend ticks, 10 a packet": [*OPEND[:2], "protobuf, NumPy", OPEND[2]],
    "decode opend quotes": OPEND,
    "decode opend books": OPEND,
    "decode opend bars": OPEND,
    "decode opend timeshare": OPEND,
    "decode opend brokers": OPEND,
    "decode alltick ticks": ALLTICK,
    "decode alltick books": ALLTICK,
    "decode longport ticks": LONGPORT,
    "decode longport quotes": LONGPORT,
    "decode longport books": LONGPORT,
}


def case_named(name, plan, **options):
    return next(case for case in decode.cases(plan, **options) if case.name == name)


def also(*names):
    return lambda vendor, kind: [
        decode.decoding(name, f"bench_candidates:{name}", None, 0.1, [HELPERS]) for name in names
    ]


def test_there_is_a_table_for_each_kind_of_push():
    assert [case.name for case in cases(Plan(["decode"]))] == list(TABLES)
    names = [case.name for case in cases(Plan(["decode"], ["longport"]))]
    assert names == [name for name in TABLES if "longport" in name]


@pytest.mark.parametrize("name", TABLES)
def test_all_candidates_make_the_same_rows(name):
    case = case_named(name, Plan(effort=TINY))
    steps = []
    table, missing = case.run(lambda: steps.append(1))
    assert missing == []
    assert [row.name for row in table.rows] == TABLES[name]
    assert len(steps) == case.steps == 2 * len(table.rows)
    vendor, kind = name.partition(",")[0].split()[1:]
    unit = "ns/tick" if kind == "ticks" else "ns/push"
    assert (table.name, table.family, table.vendor, table.unit) == (name, "decode", vendor, unit)
    for row in table.rows:
        assert list(row.figures) == [unit, "MB/s", "x fastfeed"]
        for figure in row.figures.values():
            assert len(figure.rounds) == 2
            assert all(value > 0 and math.isfinite(value) for value in figure.rounds)
            assert figure.low <= figure.median <= figure.high
        ns, speed, times = (row.figures[column].rounds for column in row.figures)
        first = table.rows[0].figures[unit].rounds
        assert times == pytest.approx([own / other for own, other in zip(ns, first, strict=True)])
        # Bytes of a push or tick, of all candidates the same.
        bytes_each = ns[0] * speed[0] / 1e3
        assert bytes_each == pytest.approx(first[0] * table.rows[0].figures["MB/s"].rounds[0] / 1e3)
        assert 20 < bytes_each < 5000


def test_only_the_peers_that_are_wanted():
    plan = Plan(vendors=["opend"], effort=TINY, peers=["protobuf"])
    case = case_named("decode opend ticks", plan)
    table, missing = case.run(lambda: None)
    assert missing == []
    assert [row.name for row in table.rows] == ["fastfeed", "protobuf", "protobuf, NumPy"]


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ("OneBitOff", r"^OneBitOff and fastfeed do not agree on price of the same bytes$"),
        (
            "LosesOne",
            r"^LosesOne and fastfeed do not agree on symbol, time_ns, gateway_ns, seq, price, ",
        ),
        ("ShowsNothing", r"^ShowsNothing and fastfeed have no columns in common$"),
    ],
)
def test_nothing_is_timed_where_rows_differ(candidate, message):
    plan = Plan(vendors=["opend"], effort=TINY, peers=[])
    case = case_named("decode opend ticks", plan, also=also(candidate))
    steps = []
    with pytest.raises(DisagreementError, match=message):
        case.run(lambda: steps.append(1))
    assert steps == []


def test_who_is_not_there_is_missing(monkeypatch):
    def without_futu(name):
        if name == "futu-api":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(turns, "version", without_futu)
    plan = Plan(vendors=["opend"], effort=TINY, peers=["futu-api"])
    case = case_named("decode opend ticks", plan, also=also("CannotBegin"))
    steps = []
    table, missing = case.run(lambda: steps.append(1))
    assert [row.name for row in table.rows] == ["fastfeed"]
    assert missing == [
        Missing("futu-api", "futu-api is not installed"),
        Missing("CannotBegin", "RuntimeError: no compiler"),
    ]
    assert len(steps) == 2


def test_a_candidate_whose_process_ends_is_missing():
    plan = Plan(vendors=["opend"], effort=TINY, peers=[])
    case = case_named("decode opend ticks", plan, also=also("EndsIts"))
    table, missing = case.run(lambda: None)
    assert [row.name for row in table.rows] == ["fastfeed"]
    assert "worker ended with status 3" in missing[-1].why
