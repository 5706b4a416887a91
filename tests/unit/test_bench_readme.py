"""The README shows the figures of bench/results, which are those of this version, and what is aimed at is in them."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

import fastfeed
from fastfeed.bench.results import SCHEMA, Noise, Results, Row, Table, figure

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results" / f"{fastfeed.__version__}.json"


def module(name):
    """Import a file of bench/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


readme = module("readme")
aims = module("aims")


def test_there_are_the_figures_of_this_version_and_no_others():
    pictures = [f"{name}.svg" for name in readme.PICTURES]
    assert sorted(path.name for path in RESULTS.parent.iterdir()) == [RESULTS.name, *pictures]
    results = Results.read(RESULTS)
    assert results.version == fastfeed.__version__
    assert results.complete
    assert results.noise is not None
    assert results.machine["cpu"]
    assert results.machine["packages"]["fastfeed"] == fastfeed.__version__
    assert json.loads(RESULTS.read_text())["schema"] == SCHEMA
    assert {aim.table for aim in aims.AIMS} <= {table.name for table in results.tables}
    assert not [note for note in results.notes if note.startswith("No figure for the bar")]


@pytest.mark.parametrize("name", readme.BLOCKS)
def test_the_readme_shows_them(name):
    figures = readme.Figures(Results.read(RESULTS))
    _, changed = readme.written((ROOT / name).read_text(), readme.BLOCKS[name], figures)
    assert not changed, "run bench/readme.py"


def test_its_pictures_show_them():
    drawn = readme.drawn(Results.read(RESULTS))
    assert sorted(drawn) == sorted(readme.PICTURES)
    for name, picture in drawn.items():
        path = RESULTS.parent / f"{name}.svg"
        assert readme.texts(path.read_text()) == readme.texts(picture), "run bench/readme.py"
        assert len(readme.texts(picture)) > 10
        assert f"({path.relative_to(ROOT)})" in (ROOT / "README.md").read_text()


class Everything(readme.Figures):
    """Figures in which everything is there."""

    def figure(self, table, row, column, x=None):
        found = self.results.table(table)
        if found is None:
            found = Table(table, "decode", [], unit=column)
            self.results.tables.append(found)
        at = found.row(row, x)
        if at is None:
            at = Row(row, {}, x)
            found.rows.append(at)
        number = 1.5 if column.startswith("x ") else 12.3 + len(found.rows)
        at.figures.setdefault(column, figure([number] * 3))
        return at.figures[column]


def full_results():
    """Return results that have all that the README shows."""
    noise = Noise(0.004, 100.0, 0.02, 800.0)
    machine = {"cpu": "Some CPU", "cores": 2, "kernel": "Linux 6.1-x", "python": "CPython 3.13"}
    results = Results(version="9.9", date="2026-01-01", command="", machine=machine, noise=noise)
    everything = Everything(results)
    for write in readme.BLOCKS["README.md"].values():
        write(everything)
    return results


@pytest.mark.parametrize("name", readme.BLOCKS)
def test_the_blocks_are_all_there_and_are_written_once(name):
    figures = readme.Figures(full_results())
    text = (ROOT / name).read_text()
    once, changed = readme.written(text, readme.BLOCKS[name], figures)
    assert sorted(changed) == sorted(readme.BLOCKS[name])
    assert readme.written(once, readme.BLOCKS[name], figures) == (once, [])
    outside = re.compile(r"(<!-- figures: [^>]+ -->).*?(<!-- end -->)", re.DOTALL)
    assert outside.sub(r"\1\2", once) == outside.sub(r"\1\2", text)


def test_tables_have_as_many_cells_in_each_row_and_the_results_numbers():
    figures = readme.Figures(full_results())
    text = readme.opend(figures)
    rows = text.splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert figures.text("decode opend books", "futu-api", "ns/push") in rows[-3]
    for write in (readme.longport, readme.alltick, readme.latency, readme.shared, readme.thread):
        assert len({row.count("|") for row in write(figures).splitlines()}) == 1


def test_sentences_have_the_results_numbers():
    results = full_results()
    results.table("wire opend").row("fastfeed").figures["ticks/s"] = figure(17_600_000)
    results.table("wire opend").row("futu-api").figures["ticks/s"] = figure(3224)
    figures = readme.Figures(results)
    text = " ".join(readme.throughput(figures).split())
    assert (
        "Over TCP 18 million ticks of OpenD a second arrive in a callback (futu-api: 3,224)" in text
    )
    assert "grows by 50 %" in readme.growth(figures)
    assert "with two cores (Some CPU, Linux 6.1, CPython 3.13)" in " ".join(
        readme.machine(figures).split()
    )


def test_all_that_is_not_there_is_told():
    results = full_results()
    results.tables.remove(results.table("decode opend bars"))
    table = results.table("decode opend books")
    table.rows.remove(table.row("futu-api"))
    del results.table("wire opend").row("fastfeed").figures["ticks/s"]
    latency = results.table("latency opend")
    latency.rows.remove(latency.row("fastfeed", 500.0))
    with pytest.raises(readme.LackingError) as caught:
        readme.written(
            (ROOT / "README.md").read_text(), readme.BLOCKS["README.md"], readme.Figures(results)
        )
    assert str(caught.value).splitlines() == [
        "no table 'decode opend bars'",
        "table 'decode opend books' has no row 'futu-api'",
        "table 'wire opend', row 'fastfeed' has no column 'ticks/s'",
        "table 'latency opend' has no row 'fastfeed' at 500",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "no block 'machine'"),
        ("<!-- figures: other -->\n\n<!-- end -->", "nobody writes a block 'other'"),
    ],
)
def test_a_text_without_its_blocks(text, words):
    with pytest.raises(readme.LackingError, match=words):
        readme.written(text, {"machine": readme.machine}, readme.Figures(full_results()))


def test_the_script_writes_and_checks(tmp_path, monkeypatch, capsys):
    path = tmp_path / "results.json"
    full_results().write(path)
    for name in readme.BLOCKS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    assert readme.main(["--check", str(path)]) == 1
    assert "README.md does not show the figures" in capsys.readouterr().out
    assert readme.main([str(path)]) == 0
    assert readme.main(["--check", str(path)]) == 0
    path.write_text("{}")
    assert readme.main([str(path)]) == 1
    assert "expected results of schema" in capsys.readouterr().err


def test_aims_become_bars():
    rows = [
        Row("fastfeed", {"ns/tick": figure([30.0] * 3)}),
        Row("protobuf", {"ns/tick": figure([270.0] * 3)}),
    ]
    results = Results(
        version="1", date="", command="", tables=[Table("decode opend ticks", "decode", rows)]
    )
    lacking = aims.conclude(results)
    assert [(bar.what, bar.value, bar.bar, bar.met) for bar in results.bars] == [
        ("one tick a packet, ns", 30.0, "at most 40", True),
        ("one tick a packet, protobuf / fastfeed", 9.0, "at least 10", False),
    ]
    assert lacking == ["one tick a packet, times the C loop"]


def test_aims_are_told_apart_by_their_texts():
    texts = [aim.what for aim in aims.AIMS]
    assert len(texts) == len(set(texts))
