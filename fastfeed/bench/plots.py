"""Pictures of results, as SVG; needs matplotlib.

fastfeed has the one strong colour, its variants are paler, peers are muted, yardsticks (what reads and decodes
nothing, loops by hand) dashed. Lines and bars are labelled where they are: there are no legends. All sizes are
points of a picture that is `WIDTH` wide, and all texts stay texts in the SVG.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from fastfeed.bench.numbers import count, short
from fastfeed.bench.results import Results, Row, Table
from fastfeed.bench.tables import VENDOR_NAMES

__all__ = ["COLOURS", "WIDTH", "Picture", "pictures", "plain_style", "spread_apart", "svg"]

WIDTH = 600.0

#: By role; the report has them as variables, so that they follow the reader's light or dark.
COLOURS = {
    "ink": "#1b1f24",
    "quiet": "#626a73",
    "grid": "#e4e7ea",
    "paper": "#fefefe",
    "own": "#0a58ca",
    "own-pale": "#6c9fe6",
    "peer": "#868e97",
    "peer-0": "#8a5a2b",
    "peer-1": "#4f5b67",
    "peer-2": "#7b5283",
    "peer-3": "#646d1f",
    "peer-4": "#27706f",
}

_SIZE = 12.0
_GAP = 15.0  # between the middles of two labels, one below the other
_GAP_X = 7.0  # between a bar and its label
_CLEAR = 4.0  # between a label and a line
_LONGEST = 28  # characters of a name
#: How the names of candidates begin that no one would use in our place: they say what is possible.
_YARDSTICKS = re.compile(r"reading only|C( loop)?(,|$)|uvloop|bare ")
_HIGH_WATER = "ring high-water rows"


@dataclass(frozen=True)
class Picture:
    """A drawing and its words.

    Attributes
    ----------
    name : str
        Of its file, without an ending.
    family, vendor : str
        Of its tables.
    title : str
        What it shows, for those who do not see it.
    caption : str
        How to read it.
    drawing : matplotlib.figure.Figure
    """

    name: str
    family: str
    vendor: str
    title: str
    caption: str
    drawing: Drawing


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw in matplotlib's own defaults whatever the user has set, and leave no trace of it."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.fonttype": "none", "font.family": ["DejaVu Sans"]})
        # A name may have letters which our font, but not the reader's, is without.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        yield


def pictures(results: Results) -> list[Picture]:
    """Draw all that can be drawn of results, in the order of their tables."""
    found: list[Picture] = []
    with plain_style():
        for family, vendor in dict.fromkeys((each.family, each.vendor) for each in results.tables):
            tables = [
                each for each in results.tables if (each.family, each.vendor) == (family, vendor)
            ]
            draw = _FAMILIES.get(family)
            if draw is None:
                continue
            groups = [tables] if family == "decode" else [[table] for table in tables]
            for number, group in enumerate(groups):
                drawn = draw(group)
                if drawn is not None:
                    name = "-".join(
                        filter(None, (family, vendor, str(number + 1) if number else ""))
                    )
                    name = re.sub(r"[^\w-]+", "_", name)
                    found.append(Picture(name, family, vendor, *drawn))
    return found


def svg(picture: Picture) -> str:
    """Return a picture as the text of an SVG file, the same for the same picture."""
    text = io.StringIO()
    with plain_style():
        # What is referred to within a file must not be the same in another one on the same page.
        mpl.rcParams["svg.hashsalt"] = picture.name
        picture.drawing.savefig(
            text,
            format="svg",
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    return text.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")


def spread_apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places as little as possible (by the sum of squares) so that they are `gap` apart and within bounds.

    Parameters
    ----------
    places : sequence of float
    gap : float
        It gets smaller where there is too little room.
    low, high : float

    Returns
    -------
    list of float
        In the order of `places`.
    """
    if len(places) > 1:
        gap = min(gap, (high - low) / (len(places) - 1))
    order = sorted(range(len(places)), key=lambda index: places[index])
    # Without the gaps what is asked for are places that do not decrease: neighbours that do are pooled.
    pools: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        value, size = places[index] - rank * gap, 1
        while pools and pools[-1][0] > value:
            before, others = pools.pop()
            value = (value * size + before * others) / (size + others)
            size += others
        pools.append((value, size))
    flat = [value for value, size in pools for _ in range(size)]
    top = high - gap * (len(places) - 1)
    moved = [0.0] * len(places)
    for rank, index in enumerate(order):
        moved[index] = min(max(flat[rank], low), top) + rank * gap
    return moved


# What a drawing, its title and its caption are made of.

_Drawn = tuple[str, str, Drawing] | None


def _decode(tables: Sequence[Table]) -> _Drawn:
    """Draw ns by candidate: a panel for each kind."""
    tables = [each for each in tables if any(map(_positive, _medians(each.rows, each.unit)))]
    if not tables:
        return None
    shown = [
        value for each in tables for value in _medians(each.rows, each.unit) if _positive(value)
    ]
    low, high = _log_limits(shown, 1.6)
    left = _left(row.name for table in tables for row in table.rows)
    step, head, bottom, right = 21.0, 34.0, 46.0, 74.0
    height = sum(head + step * len(table.rows) for table in tables) + bottom
    drawing = _drawing(height)
    width = WIDTH - left - right
    ticks = _log_ticks(low, high, lambda some: _apart(some, (low, high), width, _round) == some)
    top = 0.0
    for table in tables:
        top += head
        last = table is tables[-1]
        axes = _axes(drawing, left, top, width, step * len(table.rows))
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        _ticks_x(axes, ticks, labels=last)
        axes.set_yticks([])
        axes.set_ylim(len(table.rows) - 0.5, -0.5)
        kind = table.name.removeprefix(f"decode {table.vendor}").strip() or table.name
        _text(
            axes,
            f"{_cut(kind)}, {_cut(table.unit)}",
            0,
            -0.5,
            dx=0,
            dy=12,
            bold=True,
            in_axes_x=True,
        )
        for place, row in enumerate(table.rows):
            _dot(axes, place, row, table)
        top += step * len(table.rows)
    units = " or ".join(dict.fromkeys(_cut(table.unit).replace("ns/", "ns a ") for table in tables))
    _below(axes, f"{units}, log scale; less is better")
    caption = "Median of the rounds; the bar behind a dot is the middle half of them."
    if any(_kind(row.name, []) == "yardstick" for table in tables for row in table.rows):
        caption += " Hollow: a yardstick, which does less than the others."
    return _title("Decoding", tables[0]), caption, drawing


def _dot(axes: Axes, place: int, row: Row, table: Table) -> None:
    kind = _kind(row.name, [each.name for each in table.rows])
    figure = row.figures.get(table.unit)
    _name(axes, row.name, place, kind)
    axes.axhline(
        place,
        color=COLOURS["grid"],
        linewidth=0.9,
        linestyle=(0, (4, 3)) if kind == "yardstick" else "-",
        zorder=0.5,
    )
    if figure is None or not _positive(figure.median):
        text = "" if figure is None else short(figure.median)
        _text(axes, text, 0, place, dx=6, colour="quiet", in_axes_x=True)
        return
    colour = COLOURS[_colour(kind)]
    ends = [value for value in (figure.low, figure.high) if _positive(value)]
    if len(ends) == 2:
        axes.plot(
            ends, [place, place], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt"
        )
    axes.plot(
        [figure.median],
        [place],
        marker="o",
        markersize=8,
        markeredgecolor=colour,
        markerfacecolor=COLOURS["paper"] if kind == "yardstick" else colour,
        markeredgewidth=1.6,
        linestyle="none",
    )
    after = max([figure.median, *ends[1:]])
    _text(axes, short(figure.median), after, place, dx=9, colour=_ink(kind), bold=kind == "own")


def _wire(tables: Sequence[Table]) -> _Drawn:
    """Draw rates as bars, and what can be read at all as a line."""
    (table,) = tables
    ceiling = next((each for each in table.rows if each.name.startswith("reading only")), None)
    rows = [each for each in table.rows if each is not ceiling]
    limit = math.nan
    if ceiling is not None and table.unit in ceiling.figures:
        limit = ceiling.figures[table.unit].median
    shown = [value for value in (*_medians(rows, table.unit), limit) if _positive(value)]
    if not rows or not shown:
        return None
    highs = (row.figures[table.unit].high for row in rows if table.unit in row.figures)
    high = max([*shown, *filter(_positive, highs)])
    left = _left(row.name for row in rows)
    step, head, bottom, right = 27.0, 34.0, 46.0, 78.0
    drawing = _drawing(head + step * len(rows) + bottom)
    axes = _axes(drawing, left, head, WIDTH - left - right, step * len(rows))
    axes.set_xlim(0, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    _ticks_x(axes, _linear_ticks(high))
    names = [each.name for each in table.rows]
    for place, row in enumerate(rows):
        kind = _kind(row.name, names)
        _name(axes, row.name, place, kind)
        figure = row.figures.get(table.unit)
        if figure is None:
            continue
        value = figure.median if _drawable(figure.median) else 0.0
        colour = COLOURS[_colour(kind)]
        axes.barh(
            [place],
            [value],
            height=0.62,
            facecolor="none" if kind == "yardstick" else colour,
            edgecolor=colour,
            linewidth=1.2,
            linestyle=(0, (4, 3)) if kind == "yardstick" else "-",
        )
        after = value
        if _drawable(figure.low) and _drawable(figure.high):
            axes.plot(
                [figure.low, figure.high],
                [place, place],
                color=COLOURS["ink"],
                linewidth=1.4,
                clip_on=False,
            )
            after = max(value, figure.high)
        text, bold = short(figure.median), kind == "own"
        width = _GAP_X + _width(text, bold=bold) + _CLEAR
        if after <= limit <= after + width / (WIDTH - left - right) * high:
            after = limit  # or the line would go through it
        _text(axes, text, after, place, dx=_GAP_X, colour=_ink(kind), bold=bold)
    if _positive(limit):
        axes.axvline(
            limit, color=COLOURS["quiet"], linewidth=1.3, linestyle=(0, (4, 3)), clip_on=False
        )
        _text(
            axes,
            f"reading only {short(limit)}",
            limit,
            -0.5,
            dx=0,
            dy=11,
            colour="quiet",
            align="right",
        )
    _below(axes, f"{_cut(table.unit).replace('/s', ' a second')}; more is better")
    return (
        _title("Throughput", table),
        "Bars: median of the rounds, with a line from the first to the third quartile. Dashed: what can be read "
        "from the socket at all, by a program that looks at nothing."
        if _positive(limit)
        else "Bars: median of the rounds, with a line from the first to the third quartile.",
        drawing,
    )


class _Line(NamedTuple):
    name: str
    points: list[tuple[float, float]]
    colour: str  # a role
    text: str  # the role of its label's colour
    width: float = 1.7
    dashed: bool = False
    bold: bool = False
    alpha: float = 1.0
    band: list[tuple[float, float, float]] = []  # noqa: RUF012, read only


def _line(name: str, points: list[tuple[float, float]], names: Sequence[str], **more: Any) -> _Line:
    kind = _kind(name, names)
    if kind in ("own", "variant"):
        role = "own" if kind == "own" else "own-pale"
        return _Line(name, points, role, "own", 2.6, bold=kind == "own", **more)
    if kind == "yardstick":
        return _Line(name, points, "quiet", "quiet", 1.4, dashed=True, **more)
    others = [each for each in names if _kind(each, names) == "peer"]
    role = f"peer-{others.index(name) % 5}"
    return _Line(name, points, role, role, **more)


def _latency(tables: Sequence[Table]) -> _Drawn:
    """Draw percentiles: a panel for each rate."""
    (table,) = tables
    names = list(dict.fromkeys(row.name for row in table.rows))
    panels = []
    for x in _xs(table.rows):
        lines = [
            _line(row.name, points, names)
            for row in table.rows
            if row.x == x and (points := _nines(row.curve))
        ]
        if lines:
            panels.append((f"{count(x)} {table.x}" if x is not None else "", lines))
    drawing = _curves(panels)
    if drawing is None:
        return None
    return (
        _title("Latency", table),
        "How many came within which time, all rounds together. Each step to the right is a tenth of those left.",
        drawing,
    )


def _replay(tables: Sequence[Table]) -> _Drawn:
    """Draw percentiles of lag: a line for each speed, a panel for each candidate."""
    (table,) = tables
    panels = []
    for name in dict.fromkeys(row.name for row in table.rows):
        rows = [row for row in table.rows if row.name == name and row.curve]
        lines = [
            _Line(
                "" if row.x is None else f"{short(row.x)} ×",
                points,
                "own",
                "own",
                2.4,
                alpha=0.35 + 0.65 * (place + 1) / len(rows),
            )
            for place, row in enumerate(rows)
            if (points := _nines(row.curve))
        ]
        if lines:
            panels.append((name, lines))
    drawing = _curves(panels)
    if drawing is None:
        return None
    caption = "Lag of the tape's rows behind their schedule, at multiples of real time."
    losses = [row.figures["lost"].median for row in table.rows if "lost" in row.figures]
    if losses:
        caption += f" Lost: {count(sum(losses))}."
    waters = [
        (row.figures[_HIGH_WATER].median, row) for row in table.rows if _HIGH_WATER in row.figures
    ]
    if waters:
        most, row = max(waters, key=lambda each: each[0])
        at = "" if row.x is None else f" at {short(row.x)} times real time"
        caption += f" The most rows that the reader was behind: {count(most)}{at}."
    return _title("Replay", table), caption, drawing


def _scaling(tables: Sequence[Table]) -> _Drawn:
    """Draw the cost over the number of symbols."""
    (table,) = tables
    drawing = _over_x(table, [table.unit])
    if drawing is None:
        return None
    return (
        _title(f"Cost against the number of {table.x}", table),
        "Median of the rounds; shaded: the middle half of them.",
        drawing,
    )


def _fanout(tables: Sequence[Table]) -> _Drawn:
    """Draw the percentiles over the number of readers."""
    (table,) = tables
    drawing = _over_x(table, [each for each in ("p50 µs", "p99 µs") if _points(table, each)])
    if drawing is None:
        return None
    return (
        _title(f"Latency against the number of {table.x}", table),
        "Median of the rounds' percentiles; shaded: the middle half of them.",
        drawing,
    )


_FAMILIES: dict[str, Callable[[Sequence[Table]], _Drawn]] = {
    "decode": _decode,
    "wire": _wire,
    "latency": _latency,
    "scaling": _scaling,
    "fanout": _fanout,
    "replay": _replay,
}


def _curves(panels: Sequence[tuple[str, Sequence[_Line]]]) -> Drawing | None:
    """Draw percentile curves, below each other on the same scales."""
    values = [y for _, lines in panels for line in lines for _, y in line.points]
    if not values:
        return None
    low, high = _log_limits(values, 1.2)
    end = max(x for _, lines in panels for line in lines for x, _ in line.points) or 0.5
    right = _right(line.name for _, lines in panels for line in lines)
    head, bottom, left = 34.0, 46.0, 74.0
    heights = [max(170.0, _GAP * len(lines)) for _, lines in panels]
    drawing = _drawing(sum(heights) + head * len(panels) + bottom)
    top = 0.0
    marks = {
        _nine(percentile): f"{percentile:g} %" for percentile in (50, 90, 99, 99.9, 99.99, 99.999)
    }
    for (name, lines), height in zip(panels, heights, strict=True):
        top += head
        axes = _axes(drawing, left, top, WIDTH - left - right, height)
        axes.set_xlim(0, end)
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        _ticks_x(
            axes,
            [x for x in marks if x <= end * 1.001],
            labels=lines is panels[-1][1],
            texts=[text for x, text in marks.items() if x <= end * 1.001],
        )
        _ticks_y(axes, _log_ticks(low, high, _at_most(height / 24)))
        _draw_lines(axes, lines, height)
        _text(axes, _cut(name), 0, high, dx=0, dy=12, bold=True, in_axes_x=True)
        top += height
    _beside(drawing, "µs, log scale", 0.5 + (bottom - head) / 2 / (top + bottom))
    _below(axes, "percentile")
    return drawing


def _over_x(table: Table, columns: Sequence[str]) -> Drawing | None:
    """Draw columns over the rows' x, below each other on the same scales."""
    names = list(dict.fromkeys(row.name for row in table.rows))
    panels = []
    for column in columns:
        lines = [
            _line(name, points, names, band=_band(table, column, name))
            for name in names
            if (points := _points(table, column, name))
        ]
        if lines:
            panels.append((column, lines))
    values = [y for _, lines in panels for line in lines for _, y in line.points]
    if not values:
        return None
    log = max(values) > 20 * min(values)
    low, high = _log_limits(values, 1.4) if log else (0.0, max(values) * 1.12)
    xs = sorted({x for _, lines in panels for line in lines for x, _ in line.points})
    ends = (xs[0] / 1.15, xs[-1] * 1.15) if len(xs) > 1 else (xs[0] / 2, xs[0] * 2)
    head, bottom, left = 34.0 if len(panels) > 1 else 14.0, 46.0, 74.0
    right = _right(name for name in names)
    heights = [max(190.0, _GAP * len(lines)) for _, lines in panels]
    drawing = _drawing(sum(heights) + head * len(panels) + bottom)
    top = 0.0
    for (column, lines), height in zip(panels, heights, strict=True):
        top += head
        width = WIDTH - left - right
        axes = _axes(drawing, left, top, width, height)
        axes.set_xscale("log")
        axes.set_xlim(*ends)
        if log:
            axes.set_yscale("log")
        axes.set_ylim(low, high)
        ticks = _log_ticks(low, high, _at_most(height / 30)) if log else _linear_ticks(high)
        _ticks_y(axes, ticks)
        _ticks_x(axes, _apart(xs, ends, width), labels=column == panels[-1][0], texts=count)
        _draw_lines(axes, lines, height, marker="o")
        if len(panels) > 1:
            _text(axes, _cut(column), 0, high, dx=0, dy=12, bold=True, in_axes_x=True)
        top += height
    unit = "µs" if all(column.endswith("µs") for column, _ in panels) else _cut(table.unit)
    _beside(
        drawing, f"{unit}, log scale" if log else unit, 0.5 + (bottom - head) / 2 / (top + bottom)
    )
    _below(axes, ", ".join(filter(None, (_cut(table.x), "log scale"))))
    return drawing


def _draw_lines(axes: Axes, lines: Sequence[_Line], height: float, marker: str = "") -> None:
    """Draw lines and, to the right of the axes, their names where they end."""
    ends = []
    for line in reversed(lines):  # the first on top
        xs, ys = zip(*line.points, strict=True)
        colour = COLOURS[line.colour]
        if line.band:
            at, low, high = zip(*line.band, strict=True)
            axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            xs,
            ys,
            color=colour,
            linewidth=line.width,
            alpha=line.alpha,
            linestyle=(0, (4, 2.5)) if line.dashed else "-",
            marker=marker if marker or len(xs) > 1 else "o",
            markersize=4.5,
            solid_joinstyle="round",
            clip_on=False,
        )
    width = axes.bbox.width
    for line in lines:
        x, y = axes.transData.transform(line.points[-1]) - (axes.bbox.x0, axes.bbox.y0)
        ends.append((float(x), float(y)))
    places = spread_apart([y for _, y in ends], _GAP, 0.0, height)
    for line, (x, y), place in zip(lines, ends, places, strict=True):
        axes.plot(
            [x / width, (width + 4) / width, (width + 14) / width],
            [y / height, y / height, place / height],
            transform=axes.transAxes,
            color=COLOURS[line.colour],
            linewidth=0.8,
            alpha=0.6,
            linestyle=(0, (1, 2)) if x < width - 8 else "-",
            clip_on=False,
        )
        axes.annotate(
            _cut(line.name),
            ((width + 18) / width, place / height),
            xycoords="axes fraction",
            fontsize=_SIZE,
            color=COLOURS[line.text],
            fontweight="bold" if line.bold else "normal",
            va="center_baseline",
            ha="left",
            annotation_clip=False,
            parse_math=False,
        )


# Of rows.


def _kind(name: str, names: Sequence[str]) -> str:
    """Return whose a row is: "own" (the first of fastfeed's), "variant", "yardstick", or "peer"."""
    own = [each for each in names if each.startswith("fastfeed")]
    if name in own:
        return "own" if name == own[0] else "variant"
    return "yardstick" if _YARDSTICKS.match(name) else "peer"


def _colour(kind: str) -> str:
    return {"own": "own", "variant": "own-pale", "yardstick": "quiet"}.get(kind, "peer")


def _ink(kind: str) -> str:
    return {"own": "own", "variant": "own", "yardstick": "quiet"}.get(kind, "ink")


def _medians(rows: Iterable[Row], column: str) -> list[float]:
    return [row.figures[column].median for row in rows if column in row.figures]


def _drawable(value: float) -> bool:
    return 0 <= value <= 1e15


def _positive(value: float) -> bool:
    """Return whether a logarithmic scale can show it."""
    return 1e-9 <= value <= 1e15


def _xs(rows: Iterable[Row]) -> list[float | None]:
    return sorted({row.x for row in rows}, key=lambda x: -math.inf if x is None else x)


def _points(table: Table, column: str, name: str | None = None) -> list[tuple[float, float]]:
    return sorted(
        (row.x, row.figures[column].median)
        for row in table.rows
        if (name is None or row.name == name)
        and row.x is not None
        and column in row.figures
        and _positive(row.x)
        and _positive(row.figures[column].median)
    )


def _band(table: Table, column: str, name: str) -> list[tuple[float, float, float]]:
    return sorted(
        (row.x, row.figures[column].low, row.figures[column].high)
        for row in table.rows
        if row.name == name
        and row.x is not None
        and column in row.figures
        and _positive(row.x)
        and _positive(row.figures[column].low)
        and _positive(row.figures[column].high)
    )


def _nine(percentile: float) -> float:
    """Return the place of a percentile: 90 % is 1, 99 % 2, ..."""
    return -math.log10(1 - percentile / 100)


def _nines(curve: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a curve's points as they are drawn; 100 % is nowhere."""
    return sorted(
        (_nine(percentile), value)
        for percentile, value in curve
        if 0 <= percentile < 100 and _positive(value)
    )


# Of axes and texts.


def _drawing(height: float) -> Drawing:
    return Drawing(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor=COLOURS["paper"])


def _axes(drawing: Drawing, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a place that is counted from the top left."""
    whole = drawing.get_figheight() * 72
    axes = drawing.add_axes(
        (left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole)
    )
    axes.set_facecolor("none")
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_SIZE - 1, labelcolor=COLOURS["quiet"], pad=5)
    return axes


def _ticks_x(
    axes: Axes,
    places: Sequence[float],
    *,
    labels: bool = True,
    texts: Sequence[str] | Callable[[float], str] | None = None,
) -> None:
    texts = _round if texts is None else texts
    shown = [texts(each) for each in places] if callable(texts) else list(texts)
    axes.set_xticks(places, shown if labels else [""] * len(places), parse_math=False)
    axes.minorticks_off()
    axes.xaxis.grid(True, color=COLOURS["grid"], linewidth=0.9)


def _ticks_y(axes: Axes, places: Sequence[float]) -> None:
    axes.set_yticks(places, [_round(each) for each in places], parse_math=False)
    axes.minorticks_off()
    axes.yaxis.grid(True, color=COLOURS["grid"], linewidth=0.9)


def _round(value: float) -> str:
    """Return a round number as `short` does, without the zeros behind its point."""
    return re.sub(r"(\.\d*?)0+(?=\D|$)", r"\1", short(value)).replace(".M", "M").replace(".G", "G")


def _log_limits(values: Iterable[float], room: float) -> tuple[float, float]:
    """Return the bounds of a logarithmic axis: by a factor beyond the values, and far enough apart for two ticks."""
    shown = list(values)
    low, high = min(shown) / room, max(shown) * room
    more = max(1.0, math.sqrt(5 * low / high))
    return low / more, high * more


def _log_ticks(low: float, high: float, fits: Callable[[list[float]], bool]) -> list[float]:
    """Return powers of ten between bounds, or 1, 2, 5 of each where these fit."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [
            tick
            for power in range(first, last + 1)
            for digit in digits
            if low <= (tick := digit * 10.0**power) <= high
        ]
        if fits(ticks):
            return ticks
    return next(some for step in range(2, 99) if fits(some := ticks[::step]))


def _at_most(number: float) -> Callable[[list[float]], bool]:
    return lambda ticks: len(ticks) <= max(3, number)


def _linear_ticks(high: float, most: int = 6) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten from 0 to a bound."""
    power = 10.0 ** math.floor(math.log10(high / most))
    step = next(digit * power for digit in (1, 2, 5, 10) if high / (digit * power) <= most)
    return [number * step for number in range(int(high / step * (1 + 1e-9)) + 1)]


def _apart(
    xs: Sequence[float],
    ends: tuple[float, float],
    width: float,
    text: Callable[[float], str] = count,
) -> list[float]:
    """Return those of some places on a logarithmic axis whose labels do not touch."""
    shown: list[float] = []
    free = -math.inf
    for x in xs:
        place = math.log(x / ends[0]) / math.log(ends[1] / ends[0]) * width
        half = _width(text(x)) / 2
        if place - half >= free:
            shown.append(x)
            free = place + half + 10
    return shown


def _below(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, fontsize=_SIZE - 1, color=COLOURS["quiet"], labelpad=6, parse_math=False)


def _beside(drawing: Drawing, text: str, middle: float) -> None:
    drawing.text(
        14 / WIDTH, middle, text, rotation=90, ha="center", va="center",
        fontsize=_SIZE - 1, color=COLOURS["quiet"], parse_math=False,
    )  # fmt: skip


def _name(axes: Axes, name: str, place: float, kind: str) -> None:
    """Write a row's name to the left of the axes."""
    _text(
        axes, _cut(name), 0, place, dx=-12, align="right", in_axes_x=True,
        colour=_ink(kind), bold=kind == "own",
    )  # fmt: skip


def _text(
    axes: Axes,
    text: str,
    x: float,
    y: float,
    *,
    dx: float,
    dy: float = 0.0,
    colour: str = "ink",
    bold: bool = False,
    align: Any = "left",
    in_axes_x: bool = False,
) -> None:
    """Write at a place, moved by some points."""
    axes.annotate(
        text,
        (x, y),
        xycoords=axes.get_yaxis_transform() if in_axes_x else "data",
        xytext=(dx, dy),
        textcoords="offset points",
        fontsize=_SIZE,
        color=COLOURS[colour],
        fontweight="bold" if bold else "normal",
        ha=align,
        va="center_baseline",
        annotation_clip=False,
        parse_math=False,
    )


def _cut(name: str) -> str:
    """Return a name without what cannot be written, and not too long."""
    text = " ".join("".join(each if each.isprintable() else " " for each in name).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _width(text: str, *, bold: bool = False) -> float:
    font = FontProperties(family="DejaVu Sans", size=_SIZE, weight="bold" if bold else "normal")
    wide: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return wide


def _left(names: Iterable[str]) -> float:
    return max(_width(_cut(name), bold=name.startswith("fastfeed")) for name in names) + 18


def _right(names: Iterable[str]) -> float:
    return max(_width(_cut(name), bold=name.startswith("fastfeed")) for name in names) + 26


def _title(what: str, table: Table) -> str:
    return f"{what}, {VENDOR_NAMES.get(table.vendor, table.vendor)}" if table.vendor else what
