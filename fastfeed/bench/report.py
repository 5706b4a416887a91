"""Results as a page: report.html, one file that refers to nothing outside of it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from fastfeed.bench.doubt import doubtful
from fastfeed.bench.numbers import count, percent, plus_minus, short, shown
from fastfeed.bench.results import Figure, Results, Row, Table
from fastfeed.bench.tables import VENDOR_NAMES, alike_words, machine_words, notes_of

__all__ = ["write_report"]

_FAMILIES = {
    "decode": ("Decoding", "Bytes in memory to rows."),
    "wire": ("Throughput", "Over loopback, from a native load generator to a callback."),
    "latency": (
        "Latency",
        "From the time at which a push was to be sent to the first line of a callback. The sender follows a schedule "
        "and waits for nobody, so that a stall counts for all that it delays.",
    ),
    "scaling": ("Scaling", "What one costs with more and more symbols."),
    "fanout": ("One process to many", "From one process to readers in processes of their own."),
    "replay": ("Replay", "A tape at its own pace, and at multiples of it."),
    "": ("Other figures", ""),
}


def write_report(results: Results, path: Path) -> bool:
    """Write results as a page with plots.

    Parameters
    ----------
    results : Results
    path : Path
        It is replaced if it is there.

    Returns
    -------
    bool
        False where matplotlib is not installed: nothing is written then.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    from fastfeed.bench import plots

    drawn: dict[tuple[str, str], list[str]] = {}
    for picture in plots.pictures(results):
        drawn.setdefault((picture.family, picture.vendor), []).append(
            f"<figure>{_inline(plots.svg(picture), picture.title, plots.COLOURS)}"
            f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        )
    page = _page(results, drawn, _STYLE % {"colours": _variables(plots.COLOURS)})
    path.write_bytes(page.encode("utf-8", "replace"))
    return True


def _page(results: Results, drawn: Mapping[tuple[str, str], Sequence[str]], style: str) -> str:
    families = list(dict.fromkeys(table.family for table in results.tables))
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # Whatever stands in the texts: nothing is loaded, nothing runs.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="color-scheme" content="light dark">',
            f"<title>fastfeed {escape(results.version)}: benches, {escape(results.date[:10])}</title>",
            f"<style>{style}</style></head><body>",
            *_head(results),
            _contents(families, results),
            *(part for family in families for part in _family(family, results, drawn)),
            *_bars(results),
            *_missing(results),
            *_how(results),
            "</body></html>\n",
        )
    )


def _head(results: Results) -> Iterable[str]:
    yield f"<header><h1>fastfeed {escape(results.version)}, measured</h1>"
    about = machine_words(results.machine)
    yield f'<p class="quiet">{escape(_day(results.date))} · {escape(about)}</p>'
    if not results.complete:
        yield (
            '<p class="warning"><strong>Incomplete:</strong> the run was interrupted. '
            "What stands here was ready by then.</p>"
        )
    if results.noise is not None:
        noise = results.noise
        yield (
            '<p class="quiet">The machine\'s own noise: for '
            f"{_data(noise.stolen, percent(noise.stolen))} of the time a loop that only looks at the clock did not "
            f"run, at most {_data(noise.longest_us, short(noise.longest_us))} µs at once; a fixed piece of work "
            f"varied by {_data(noise.drift, percent(noise.drift))} over the run.</p>"
        )
    yield from (f'<p class="quiet">{escape(note)}</p>' for note in results.notes)
    yield "</header>"


def _contents(families: Sequence[str], results: Results) -> str:
    links = [(family or "other", _FAMILIES.get(family, (family, ""))[0]) for family in families]
    links += [("bars", "Aims")] if results.bars else []
    links += [("missing", "Missing")] if results.missing else []
    links += [("how", "How")]
    anchors = (f'<a href="#{escape(to)}">{escape(text)}</a>' for to, text in links)
    return f"<nav>{''.join(anchors)}</nav>"


def _family(
    family: str, results: Results, drawn: Mapping[tuple[str, str], Sequence[str]]
) -> Iterable[str]:
    title, about = _FAMILIES.get(family, (family, ""))
    yield f'<section id="{escape(family or "other")}"><h2>{escape(title)}</h2>'
    if about:
        yield f"<p>{escape(about)}</p>"
    tables = [table for table in results.tables if table.family == family]
    vendors = list(dict.fromkeys(table.vendor for table in tables))
    for vendor in vendors:
        if vendor:
            yield f"<h3>{escape(VENDOR_NAMES.get(vendor, vendor))}</h3>"
        yield from drawn.get((family, vendor), ())
        for table in tables:
            if table.vendor == vendor:
                yield from _table(table)
    yield "</section>"


def _table(table: Table) -> Iterable[str]:
    columns = list(dict.fromkeys(column for row in table.rows for column in row.figures))
    with_x = any(row.x is not None for row in table.rows)
    alike = doubtful(table).alike
    spreads = {c for row in table.rows for c, figure in row.figures.items() if _spread(figure)}
    yield f'<div class="table"><h4>{escape(table.name)}</h4>'
    if table.about:
        yield f"<p>{escape(table.about)}</p>"
    if table.warnings:
        warnings = "".join(f"<p>{escape(each)}</p>" for each in table.warnings)
        yield f'<div class="warning">{warnings}</div>'
    yield '<div class="wide"><table><thead><tr>'
    if with_x:
        yield f'<th scope="col" class="figure">{escape(table.x)}</th>'
    yield '<th scope="col">candidate</th>'
    for column in columns:
        yield f'<th scope="col" class="figure{" unit" * (column == table.unit)}">{escape(column)}</th>'
    yield "</tr></thead>"
    # Rows of the same x stand together, in the order in which they were measured.
    rows = sorted(table.rows, key=lambda row: -1.0 if row.x is None else row.x)
    for x, group in groupby(rows, key=lambda row: row.x):
        yield "<tbody>"
        those = list(group)
        for row in those:
            yield '<tr class="own">' if row.name.startswith("fastfeed") else "<tr>"
            if with_x and row is those[0]:
                text = "" if x is None else _data(x, count(x))
                yield f'<th scope="rowgroup" rowspan="{len(those)}" class="figure x">{text}</th>'
            yield from _cells(row, columns, spreads, alike, table.unit)
            yield "</tr>"
        yield "</tbody>"
    yield "</table></div>"
    if words := alike_words(table):
        yield f'<p class="note">? {escape(words)}</p>'
    yield from (f'<p class="note">{escape(note)}</p>' for note in notes_of(table))
    yield "</div>"


def _cells(
    row: Row,
    columns: Iterable[str],
    spreads: Container[str],
    alike: Container[tuple[str, float | None, str]],
    unit: str,
) -> Iterable[str]:
    yield f'<th scope="row">{escape(row.name)}</th>'
    for column in columns:
        figure = row.figures.get(column)
        text = "" if figure is None else _figure(column, figure)
        if column in spreads:
            doubt = " ?" * ((row.name, row.x, column) in alike)
            text += f"<small>{'' if figure is None else _spread(figure)}{doubt}</small>"
        yield f'<td class="figure{" unit" * (column == unit)}">{text}</td>'


def _figure(column: str, figure: Figure) -> str:
    about = ""
    if len(figure.rounds) > 1:
        about = f"{len(figure.rounds)} rounds, middle half from {short(figure.low)} to {short(figure.high)}"
    return _data(figure.median, shown(column, figure.median), about)


def _spread(figure: Figure) -> str:
    """Return half the distance of the quartiles; empty where all rounds gave the same, as one's ratio to oneself."""
    return "" if figure.low == figure.high else plus_minus(figure)


def _data(value: float, text: str, about: str = "") -> str:
    """Return a number as it is read, with the number itself for whoever reads the page by a program."""
    title = f' title="{escape(about)}"' if about else ""
    return f'<data value="{float(value)!r}"{title}>{escape(text)}</data>'


def _bars(results: Results) -> Iterable[str]:
    if not results.bars:
        return
    yield '<section id="bars"><h2>What is aimed at</h2><div class="wide"><table><thead><tr>'
    yield '<th scope="col">what</th><th scope="col" class="figure">measured</th>'
    yield '<th scope="col" class="figure">aim</th><th scope="col"></th></tr></thead><tbody>'
    for bar in results.bars:
        yield (
            f'<tr><th scope="row">{escape(bar.what)}</th><td class="figure">{_data(bar.value, short(bar.value))}</td>'
            f'<td class="figure">{escape(bar.bar)}</td><td>{"met" if bar.met else "<strong>missed</strong>"}</td></tr>'
        )
    yield "</tbody></table></div></section>"


def _missing(results: Results) -> Iterable[str]:
    if not results.missing:
        return
    yield '<section id="missing"><h2>Missing</h2><p>These did not take part.</p><ul>'
    yield from (
        f"<li><strong>{escape(each.name)}</strong>: {escape(each.why)}</li>"
        for each in results.missing
    )
    yield "</ul></section>"


def _how(results: Results) -> Iterable[str]:
    yield '<section id="how"><h2>How it was measured</h2>'
    families = {table.family for table in results.tables}
    if families - {"replay"}:
        yield (
            "<p>All candidates got the same bytes and had to make the same of them before anything was timed. Each has "
            "a process of its own; they take turns, so that what drifts hits all alike. A figure is the median of the "
            "rounds; ± is half the distance of their quartiles. “x fastfeed” is the time that a candidate takes beside "
            "fastfeed's, round by round, also where the unit is a rate: 2 is half as fast.</p>"
        )
    if "replay" in families:
        yield (
            "<p>A tape is replayed once at each multiple of its pace, by a gateway that waits for nobody, and each row "
            "that arrives is compared with the tape's. A lag is the time from when a row was to be sent.</p>"
        )
    known: dict[str, Any] = {"command": results.command, "began": results.date, **results.method}
    known |= {key: value for key, value in results.machine.items() if key != "packages"}
    yield f"<dl>{''.join(_known(key, value) for key, value in known.items())}</dl>"
    packages = results.machine.get("packages")
    if isinstance(packages, Mapping) and packages:
        yield f"<h3>Versions</h3><dl>{''.join(map(_known, packages, packages.values()))}</dl>"
    yield "</section>"


def _known(key: str, value: Any) -> str:
    return (
        f"<div><dt>{escape(str(key).replace('_', ' '))}</dt><dd>{escape(_words(value))}</dd></div>"
    )


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return short(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_words, value)) or "none"
    return "unknown" if value is None else str(value)


def _day(date: str) -> str:
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*Z$", r"\1, \2 UTC", date)


def _inline(svg: str, title: str, colours: Mapping[str, str]) -> str:
    """Return an SVG file as part of a page that gives it its font and colours."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r" <defs>\s*<style.*?</style>\s*</defs>\n", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to groups
    text = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', _opening(title), text, count=1)
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    roles = {colour: role for role, colour in colours.items()}
    return re.sub(
        r"\b(fill|stroke): (#[0-9a-f]{6})\b",
        lambda found: f"{found[1]}: var(--{roles[found[2]]})" if found[2] in roles else found[0],
        text,
    ).rstrip()


def _opening(title: str) -> str:
    label = escape(title).replace("\\", r"\\")
    return rf'<svg \1 role="img" aria-label="{label}"><title>{label}</title>'


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{role}: {colour};" for role, colour in colours.items())


_DARK = {
    "ink": "#e6e9ec",
    "quiet": "#9aa4ae",
    "grid": "#2c3238",
    "paper": "#14171a",
    "own": "#6cabff",
    "own-pale": "#33669f",
    "peer": "#7d8791",
    "peer-0": "#d9a36b",
    "peer-1": "#a9b6c3",
    "peer-2": "#c99ad2",
    "peer-3": "#b5bf68",
    "peer-4": "#6fc0bd",
    "warn": "#3a2f14",
}

_STYLE = (
    """
:root { color-scheme: light dark; %(colours)s --warn: #fdf3d7; }
@media screen and (prefers-color-scheme: dark) { :root { """
    + _variables(_DARK)
    + """ } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 840px; padding: 24px 20px 64px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 22px; margin: 56px 0 6px; padding-top: 14px; border-top: 2px solid var(--ink); }
h3 { font-size: 17px; margin: 34px 0 6px; }
h4 { font-size: 14px; margin: 26px 0 4px; }
p { margin: 4px 0 10px; max-width: 72ch; }
.quiet, .note, figcaption, small { color: var(--quiet); }
.note, figcaption { font-size: 13px; max-width: 72ch; }
.note { margin: 3px 0 0; }
.warning { background: var(--warn); padding: 6px 10px; border-radius: 4px; margin: 4px 0 10px; }
.warning p { margin: 0; }
.warning p + p { margin-top: 6px; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin-top: 14px; }
a { color: var(--own); }
figure { margin: 10px 0 20px; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%%; max-width: 680px; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 14px 3px 0; text-align: left; vertical-align: baseline; font-weight: 400; }
thead th { color: var(--quiet); vertical-align: bottom; border-bottom: 1px solid var(--quiet); }
tbody + tbody tr:first-child > * { border-top: 1px solid var(--grid); }
.figure { text-align: right; white-space: nowrap; }
th.figure { white-space: normal; }
th.x { color: var(--quiet); }
tbody .unit { font-weight: 600; }
td small { display: inline-block; min-width: 5.4em; font-weight: 400; font-size: 11.5px; }
th[scope=row] { white-space: nowrap; }
tr.own th[scope=row] { color: var(--own); font-weight: 600; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 8px 20px; margin: 10px 0; }
dt { color: var(--quiet); font-size: 12.5px; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 600px) { body { padding: 16px 14px 48px; } h1 { font-size: 24px; }
  th[scope=row] { white-space: normal; min-width: 7em; } }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { margin-top: 24px; }
  svg { max-width: 135mm; max-height: 160mm; }
  nav { display: none; }
  .wide { overflow: visible; }
  table { font-size: 9pt; }
  th, td { padding-right: 8px; }
  td small { min-width: 4.8em; font-size: 7.5pt; }
  figure, .table, tr { break-inside: avoid; }
  h2, h3, h4, h2 + p { break-after: avoid; }
}
"""
)
