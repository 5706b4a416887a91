"""The page of results and its pictures."""

import itertools
import math
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from bench_results import bench_results
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from fastfeed.bench.numbers import count, short
from fastfeed.bench.plots import pictures, plain_style, spread_apart, svg
from fastfeed.bench.report import write_report
from fastfeed.bench.results import Bar, Figure, Missing, Results, Row, Table, figure

VOID = {"meta", "br"}


class Page(HTMLParser):
    """What stands where.

    Attributes
    ----------
    tables : dict
        By heading: rows of cells, each (text, values of its ``data``).
    drawings : list of list of str
        The texts of each SVG.
    """

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.open, self.tags, self.attributes = [], [], []
        self.tables, self.drawings, self.words = {}, [], ""
        self._heading = ""
        self.feed(text)
        self.close()
        assert not self.open, "tags that are not closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "h4":
            self._heading = ""
        elif tag == "table":
            assert self._heading not in self.tables
            self.tables[self._heading] = self._table = []
        elif tag == "svg":
            self.drawings.append([])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append(["", []])
        elif tag == "data" and "table" in self.open:
            self._table[-1][-1][1].append(float(dict(attrs)["value"]))

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self._heading = ""

    def handle_data(self, data):
        self.words += data
        if not self.open:
            return
        if self.open[-1] == "h4":
            self._heading += data
        elif self.open[-1] == "text" and "svg" in self.open:
            self.drawings[-1].append(data)
        elif {"td", "th"} & set(self.open) and self.open[-1] != "small":
            self._table[-1][-1][0] += data


def page_of(results, tmp_path):
    path = tmp_path / "report.html"
    assert write_report(results, path)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results():
    return bench_results()


@pytest.fixture(scope="module")
def drawn(results):
    return pictures(results)


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    return page_of(results, tmp_path_factory.mktemp("report"))


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def check_tables(results, page):
    """Compare all figures of a page with those of its results."""
    for table in results.tables:
        head, *rows = page.tables[table.name]
        columns = list(dict.fromkeys(column for row in table.rows for column in row.figures))
        with_x = any(row.x is not None for row in table.rows)
        assert [text for text, _ in head] == [table.x] * with_x + ["candidate", *columns]
        expected = sorted(table.rows, key=lambda row: -1 if row.x is None else row.x)
        assert len(rows) == len(expected)
        at = None
        for cells, row in zip(rows, expected, strict=True):
            if with_x and len(cells) == len(columns) + 2:
                text, values = cells.pop(0)
                at = values[0] if values else None
                assert text == ("" if row.x is None else count(row.x))
            assert at == row.x
            name, *figures = cells
            assert name[0].split() == row.name.replace("\0", "\N{REPLACEMENT CHARACTER}").split()
            for column, (text, values) in zip(columns, figures, strict=True):
                if column in row.figures:
                    assert text == short(row.figures[column].median)
                    assert same(*values, row.figures[column].median)
                else:
                    assert (text, values) == ("", [])


def test_every_figure_is_that_of_the_results(results, page):
    check_tables(results, page)


def test_every_table_is_drawn(drawn, page):
    assert [each.name for each in drawn] == [
        *(f"{family}-{vendor}"
          for family in ("decode", "wire", "latency", "scaling")
          for vendor in ("opend", "alltick", "longport")),
        "fanout",
        *(f"replay-{vendor}" for vendor in ("opend", "alltick", "longport")),
    ]  # fmt: skip
    assert len(page.drawings) == 16


def test_values_are_written_in_pictures(results, page):
    drawn = iter(page.drawings)
    for vendor in ("opend", "alltick", "longport"):
        texts = next(drawn)
        for table in results.tables:
            if (table.family, table.vendor) == ("decode", vendor):
                for row in table.rows:
                    assert row.name in texts
                    assert short(row.figures[table.unit].median) in texts
    for vendor in ("opend", "alltick", "longport"):
        texts = next(drawn)
        for row in results.table(f"wire {vendor}").rows:
            rate = short(row.figures["ticks/s"].median)
            if row.name == "reading only":
                assert f"reading only {rate}" in texts
            else:
                assert {row.name, rate} <= set(texts)
    for vendor in ("opend", "alltick", "longport"):
        texts = next(drawn)
        for row in results.table(f"latency {vendor}").rows:
            assert {row.name, f"{count(row.x)} ticks a second"} <= set(texts)
        assert {"50 %", "90 %", "99 %", "99.9 %", "99.99 %", "µs, log scale"} <= set(texts)


def test_a_replay_says_what_was_lost_and_how_far_behind():
    table = bench_results().table("replay opend")
    table.rows[1].figures["lost"] = figure(7)
    for row in table.rows:
        row.figures["ring high-water %"] = figure(5000.0)
    results = Results(version="0", date="", command="", tables=[table])
    (picture,) = pictures(results)
    assert "Lost: 7." in picture.caption
    assert "was behind: 3,003 at 1,000 times real time" in picture.caption


def test_what_else_stands_there(results, page):
    for words in (
        *("AMD EPYC", "CPython 3.11.7", "futu-api", "10.11.7108", "812 µs", "8.3 %", "1.2 %"),
        *(each.name for each in results.missing),
        *(each.why for each in results.missing),
        *(each.what for each in results.bars),
        *results.notes,
        *(each for table in results.tables for each in table.warnings),
        *(row.note for table in results.tables for row in table.rows),
    ):
        assert words in page.words
    assert "Incomplete" not in page.words


def test_notes_say_whose_they_are(tmp_path):
    rows = [
        Row(name, {"p50 µs": figure(1.0)}, x, note=note)
        for x, name, note in (
            (1.0, "one", "always"),
            (2000.0, "one", "always"),
            (1.0, "other", "always"),
            (2000.0, "other", ""),
            (1.0, "third", "at first"),
            (2000.0, "third", "later"),
        )
    ]
    words = page_of(lone(("fanout", "fanout"), *rows), tmp_path).words
    for line in ("one, other at 1: always", "third at 1: at first", "third at 2,000: later"):
        assert line in words.splitlines()


def test_ratios_that_cannot_be_told_from_1_are_marked(tmp_path):
    rows = [
        Row(name, {"ns/tick": each, "x fastfeed": each})
        for name, each in (
            ("fastfeed", figure([1.0] * 5)),
            ("alike", figure([0.9, 0.95, 1.0, 1.05, 1.1])),
            ("slower", figure([1.9, 2.0, 2.1])),
        )
    ]
    text = page_of(lone(("decode x", "decode"), *rows), tmp_path).text
    assert text.count(" ?</small>") == 1
    assert "±5.0 % ?</small>" in text
    assert "? cannot be told apart from fastfeed" in text


def test_an_interrupted_run_says_so(tmp_path):
    page = page_of(bench_results(complete=False), tmp_path)
    assert "Incomplete" in page.words


def test_nothing_outside_is_referred_to(page):
    text = page.text.replace("url(#", "")
    for word in ("http:", "https:", "//", "@import", "url(", "src="):
        assert word not in text
    assert not {"script", "img", "link", "iframe", "object", "image", "style-src"} & set(page.tags)
    identities = [value for name, value in page.attributes if name == "id"]
    assert len(identities) == len(set(identities))
    references = {value for name, value in page.attributes if name.endswith("href")}
    assert references
    assert all(each.startswith("#") and each[1:] in identities for each in references)
    clips = {value for name, value in page.attributes if name == "clip-path"}
    assert clips
    assert all(each.removeprefix("url(#").removesuffix(")") in identities for each in clips)
    assert not any(name.startswith("on") for name, _ in page.attributes)


HOSTILE = "<script>alert(1)</script> & \"x\" 'y' $\\frac{1}{0}$ \\1 漢字\0\n#1b1f24"


def test_hostile_texts_are_texts(tmp_path):
    tables = []
    for table in bench_results().tables:
        if table.vendor == "alltick":  # another's pictures are the same
            continue
        for row in table.rows[1:2]:
            row.name = row.note = HOSTILE
            row.figures[HOSTILE] = figure([1.0, 2.0, 3.0])
        table.about = table.x = HOSTILE
        table.vendor = table.vendor and table.vendor + HOSTILE
        table.warnings = [HOSTILE]
        tables.append(table)
    results = Results(
        version=HOSTILE,
        date=HOSTILE,
        command=HOSTILE,
        machine={
            HOSTILE: HOSTILE,
            "cpu": HOSTILE,
            "cores": HOSTILE,
            "packages": {HOSTILE: HOSTILE},
        },
        method={HOSTILE: [HOSTILE, {HOSTILE: None}]},
        tables=[*tables, Table(HOSTILE, HOSTILE, tables[0].rows, HOSTILE)],
        missing=[Missing(HOSTILE, HOSTILE)],
        notes=[HOSTILE],
        bars=[Bar(HOSTILE, 1.0, HOSTILE, met=True)],
    )
    page = page_of(results, tmp_path)
    assert not {"script", "b"} & set(page.tags)
    assert page.words.count("<script>alert(1)</script> & \"x\" 'y' $\\frac{1}{0}$ \\1") > 50
    for picture in pictures(results):
        ElementTree.fromstring(svg(picture))


def lone(table, *rows, **more):
    tables = [Table(*table, rows=list(rows), **more)]
    return Results(version="0", date="", command="", tables=tables)


def latency(value, *, curve=(), x=500.0, name="fastfeed"):
    return Row(name, {"p50 µs": figure(value), "p99 µs": figure(value)}, x, list(curve))


def tables_of(rows, *, one=False):
    """Return results whose tables are of the given figures: one for each family."""
    number = itertools.count(1)
    names = ["fastfeed", *(f"peer {n}" for n in range(1, 99))]
    return Results(
        version="0",
        date="",
        command="",
        tables=[
            Table(
                f"{family} opend",
                family,
                [
                    Row(
                        name,
                        {unit: each, "p99 µs": each, "lost": figure(0)},
                        None if family in ("decode", "wire") else float(1 if one else next(number)),
                        [(50.0, each.median), (99.0, each.median), (100.0, each.high)],
                    )
                    for name, each in zip(
                        names, rows[: 5 if family == "replay" else None], strict=False
                    )
                ],
                "opend",
                unit,
            )
            for family, unit in (
                ("decode", "ns/tick"),
                ("wire", "ticks/s"),
                ("latency", "p50 µs"),
                ("scaling", "ns/tick"),
                ("fanout", "p50 µs"),
                ("replay", "p50 µs"),
                ("", "ns"),
            )
        ],
    )


UNUSUAL = {
    "one row": tables_of([figure([1.0, 2.0, 3.0])]),
    "one round": tables_of([figure([7.0]), figure(8.0)]),
    "one number, and alike": tables_of([figure([30.0] * 5)] * 3, one=True),
    "nothing but zeros": tables_of([figure([0.0, 0.0])] * 3),
    "a zero": tables_of([figure([0.0, 0.0, 0.0]), figure([1.0, 2.0, 3.0])]),
    "no numbers": tables_of([Figure(math.nan, math.nan, math.nan, [math.nan] * 3)] * 2),
    "no number and infinite": tables_of(
        [
            Figure(math.nan, 1.0, 2.0, [1.0, 2.0]),
            Figure(3.0, 2.0, math.inf, [2.0, 3.0, math.inf]),
            Figure(math.inf, 2.0, math.inf, [2.0, math.inf]),
            Figure(-1.0, -2.0, 1.0, [-2.0, 1.0]),
            figure([5.0, 6.0]),
        ]
    ),
    "far apart": tables_of([figure([1e-8, 2e-8]), figure([1e14, 1e15])]),
    "too small and too large": tables_of([figure([1e-300] * 2), figure([1e300] * 2)]),
    "thirty": tables_of([figure([10.0 + n, 11.0 + n, 12.0 + n]) for n in range(30)], one=True),
    "many over x": tables_of([figure([10.0 + n, 11.0 + n, 12.0 + n]) for n in range(8)]),
    "no curve": lone(
        ("latency x", "latency"), latency([1.0, 2.0]), latency([3.0, 4.0], name="peer")
    ),
    "a curve of one point": lone(
        ("latency x", "latency"), latency([1.0, 2.0], curve=[(50.0, 1.5)])
    ),
    "a curve of nothing but the largest": lone(
        ("latency x", "latency"), latency([1.0, 2.0], curve=[(100.0, 1.5)])
    ),
    "a curve with a hole": lone(
        ("latency x", "latency"),
        latency([1.0], curve=[(0.0, 0.0), (50.0, math.nan), (90.0, 2.0), (99.999, 5.0)]),
        latency([1.0], curve=[(0.0, 3.0), (10.0, 3.0)], name="peer", x=None),
    ),
    "no x": lone(("scaling x", "scaling"), latency([1.0], x=None)),
    "x of nothing": lone(("scaling x", "scaling", [], "", "p50 µs")[:2], latency([1.0], x=0.0)),
    "no rows": lone(("decode x", "decode")),
    "no figures": lone(("wire x", "wire"), Row("fastfeed", {}), Row("reading only", {})),
    "no tables": Results(version="0", date="", command=""),
    "long names": lone(
        ("wire x", "wire"),
        *(Row(f"{'a long name ' * 9}{n}", {"": figure([n, n + 1.0])}) for n in range(3)),
    ),
}


FAMILIES = ["decode", "wire", "latency", "scaling", "fanout", "replay"]

#: What is drawn of them where it is not everything.
DRAWN = {
    **{
        name: []
        for name in (
            *("nothing but zeros", "no numbers", "no curve", "a curve of nothing but the largest"),
            *("no x", "x of nothing", "no rows", "no figures", "no tables"),
        )
    },
    "too small and too large": [],
    "a curve of one point": ["latency"],
    "a curve with a hole": ["latency"],
    "long names": ["wire"],
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_results(name, tmp_path):
    results = UNUSUAL[name]
    check_tables(results, page_of(results, tmp_path))
    drawn = pictures(results)
    assert [each.family for each in drawn] == DRAWN.get(name, FAMILIES)
    for picture in drawn:
        check_layout(picture)


def check_layout(picture):
    """Assert that texts are within their picture, and that none is upon another."""
    with plain_style():
        canvas = FigureCanvasAgg(picture.drawing)
        canvas.draw()
        boxes = [
            (each.get_text(), each.get_window_extent(canvas.get_renderer()))
            for each in picture.drawing.findobj(Text)
            if each.get_text().strip() and each.get_visible()
        ]
    assert boxes
    width, height = canvas.get_width_height()
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
    for (text, a), (other, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Boxes hold ascenders and descenders, which seldom meet.
        assert across <= 0 or down <= 3, (text, other)


def test_texts_do_not_overlap(drawn):
    for picture in drawn:
        check_layout(picture)


def test_matplotlib_is_left_as_it_was():
    results = UNUSUAL["one row"]
    before = dict(mpl.rcParams)
    plain = list(map(svg, pictures(results)))
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.fonttype": "path"}):
        assert list(map(svg, pictures(results))) == plain


PROBE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bench_results import bench_results
import fastfeed.bench, fastfeed.bench.report
assert "matplotlib" not in sys.modules
if sys.argv[3] == "without":
    sys.modules["matplotlib"] = None
print(fastfeed.bench.report.write_report(bench_results(complete=False), Path(sys.argv[2])))
assert "matplotlib.pyplot" not in sys.modules
"""


@pytest.mark.parametrize("matplotlib", ["with", "without"])
def test_matplotlib_is_optional(matplotlib, tmp_path):
    path = tmp_path / "report.html"
    helpers = Path(__file__).parents[1] / "helpers"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, str(helpers), str(path), matplotlib],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == ("True\n" if matplotlib == "with" else "False\n"), done.stderr
    assert path.exists() == (matplotlib == "with")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_report(UNUSUAL["one row"], tmp_path / "missing" / "report.html")


def test_pictures_are_the_same_each_time(results, drawn):
    assert len({each.name for each in drawn}) == len(drawn)
    assert list(map(svg, pictures(results))) == list(map(svg, drawn))


@pytest.mark.parametrize("part", [0.02, 0.5, *(0.8 + i / 50 for i in range(14))])
def test_no_line_goes_through_the_figure_of_a_bar(part):
    rows = [
        Row(name, {"ticks/s": figure([value * 1.7e7 * each for each in (0.99, 1, 1.01)])})
        for name, value in (("fastfeed", part), ("peer", part / 2), ("reading only", 1))
    ]
    (picture,) = pictures(lone(("wire opend", "wire"), *rows, unit="ticks/s"))
    check_layout(picture)
    (axes,) = picture.drawing.axes
    (line,) = (each for each in axes.lines if set(each.get_xdata()) == {1.7e7})
    with plain_style():
        canvas = FigureCanvasAgg(picture.drawing)
        canvas.draw()
        x = axes.transData.transform((line.get_xdata()[0], 0))[0]
        for row in rows[:2]:
            text = short(row.figures["ticks/s"].median)
            (label,) = (each for each in axes.texts if each.get_text() == text)
            box = label.get_window_extent(canvas.get_renderer())
            assert not box.x0 - 2 < x < box.x1 + 2


# Moving labels apart.


PLACES = st.lists(st.floats(min_value=-100, max_value=400), max_size=12)


@given(PLACES, st.floats(min_value=0, max_value=60))
def test_labels_are_apart_in_order_and_within(places, gap):
    moved = spread_apart(places, gap, 0.0, 300.0)
    assert len(moved) == len(places)
    room = min(gap, 300 / (len(places) - 1)) if len(places) > 1 else gap
    for a, b in itertools.pairwise(sorted(moved)):
        assert b - a >= room - 1e-6
    assert all(-1e-6 <= each <= 300 + 1e-6 for each in moved)
    for a, b in itertools.combinations(range(len(places)), 2):
        if places[a] != places[b]:
            assert (places[a] < places[b]) == (moved[a] < moved[b]) or room < 1e-6


@given(st.lists(st.integers(0, 12), min_size=1, max_size=3), st.integers(0, 5))
def test_labels_move_as_little_as_possible(places, gap):
    def cost(those):
        return sum((a - b) ** 2 for a, b in zip(those, sorted(places), strict=True))

    found = cost(sorted(spread_apart(places, gap, 0.0, 12.0)))
    best = min(
        cost(those)
        for those in itertools.product(range(13), repeat=len(places))
        if all(b - a >= gap for a, b in itertools.pairwise(those))
    )
    assert found <= best + 1e-6


def test_labels_that_do_not_touch_stay():
    assert spread_apart([50.0, 10.0, 30.0], 15.0, 0.0, 100.0) == [50.0, 10.0, 30.0]
    assert spread_apart([], 15.0, 0.0, 100.0) == []
    assert spread_apart([10.0, 10.0], 10.0, 0.0, 100.0) == [5.0, 15.0]
