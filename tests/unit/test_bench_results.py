"""Results of a bench: their file, and what is wrong with one that is not."""

import json
import math
import os
from pathlib import Path

import pytest
from bench_results import bench_results

from fastfeed.bench.results import SCHEMA, Figure, Noise, Results, Row, Table, figure, ratio
from fastfeed.errors import ConfigError


def small(**more):
    return Results(version="1.2.3", date="2026-01-01T00:00:00Z", command="bench", **more)


@pytest.mark.parametrize("complete", [True, False])
def test_what_is_written_is_read(tmp_path, complete):
    path = tmp_path / "results.json"
    results = bench_results(complete=complete)
    results.noise = Noise(0.01, 12.5, 0.03, 845.0)
    results.write(path)
    assert Results.read(path) == results


def test_the_file_names_its_schema_though_it_is_the_default(tmp_path):
    small().write(tmp_path / "x.json")
    known = json.loads((tmp_path / "x.json").read_text())
    assert known == {
        "schema": SCHEMA, "version": "1.2.3", "date": "2026-01-01T00:00:00Z", "command": "bench"
    }  # fmt: skip


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path, monkeypatch):
    path, link = tmp_path / "x.json", tmp_path / "link.json"
    link.symlink_to(path)
    small(notes=["old"]).write(path)
    small(notes=["new"]).write(link)
    assert link.is_symlink()
    assert Results.read(path).notes == ["new"]
    monkeypatch.setattr(Path, "replace", lambda *_: 1 / 0)  # ended just before
    with pytest.raises(ZeroDivisionError):
        small(notes=["newest"]).write(path)
    assert Results.read(path).notes == ["new"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.json", "x.json"]


def test_a_pipe_can_be_written_to():
    reader, writer = os.pipe()
    try:
        small().write(f"/proc/self/fd/{writer}")
        assert json.loads(os.read(reader, 1 << 16))["schema"] == SCHEMA
    finally:
        os.close(reader)
        os.close(writer)


def test_fields_of_later_versions_are_skipped(tmp_path):
    path = tmp_path / "x.json"
    small().write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"more": {"median": None}}))
    assert Results.read(path) == small()


def test_numbers_that_are_not_finite_come_back_as_nan(tmp_path):
    path = tmp_path / "x.json"
    row = Row("fastfeed", {"ns/tick": Figure(math.nan, 1.0, math.inf, [1.0, math.nan])})
    small(tables=[Table("t", "decode", [row])]).write(path)
    (back,) = Results.read(path).tables[0].rows
    found = back.figures["ns/tick"]
    assert math.isnan(found.median)
    assert found.low == 1.0
    assert math.isnan(found.high)
    assert found.rounds[0] == 1.0
    assert math.isnan(found.rounds[1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected results of a bench"),
        (b"{", "expected results of a bench"),
        (b"\xff\xfe", "expected results of a bench"),
        (b"[1]", "expected results of schema 'fastfeed-bench/1', got None"),
        (b'{"tables": {}}', "got None"),
        (b'{"schema": "fastfeed-bench/2"}', "got 'fastfeed-bench/2'"),
        (b'{"schema": "fastfeed-bench/1"}', "missing required field"),
        (b"[" * 100_000, "expected results of a bench"),
        (
            b'{"schema": "fastfeed-bench/1", "version": "1", "date": "", "command": "", "tables": [{"name": 1}]}',
            r"\$\.tables\[0\]\.name",
        ),
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path, data, words):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=words) as caught:
        Results.read(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        Results.read(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="Is a directory"):
        Results.read(tmp_path)


def test_figures_are_medians_and_quartiles():
    assert figure(3) == Figure(3.0, 3.0, 3.0)
    assert figure([4]) == Figure(4.0, 4.0, 4.0, [4.0])
    found = figure([5, 1, 2, 4, 3], "lower")
    assert (found.low, found.median, found.high, found.better) == (2.0, 3.0, 4.0, "lower")
    assert found.spread == pytest.approx(2 / 3)
    assert figure([0.0, 0.0, 1.0]).spread == 0.0
    assert ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]).rounds == [2.0, 2.0, 3.0]
