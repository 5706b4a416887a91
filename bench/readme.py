"""Write the figures of bench/results/VERSION.json into README.md and bench/README.md: readme.py [--check] [FILE.json]

They stand between `<!-- figures: NAME -->` and `<!-- end -->`; README's pictures lie beside the file. With --check
nothing is written: the exit code is 1 where something differs.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from fastfeed import __version__
from fastfeed.bench.numbers import percent, short
from fastfeed.bench.results import Figure, Results
from fastfeed.bench.tables import markdown
from fastfeed.errors import ConfigError

__all__ = [
    "BLOCKS",
    "PICTURES",
    "ROOT",
    "Figures",
    "LackingError",
    "drawn",
    "results_path",
    "texts",
    "written",
]

ROOT = Path(__file__).resolve().parents[1]
_WIDTH = 140
_BLOCK = re.compile(r"(<!-- figures: ([^>]+) -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)

MARKET_RATE = 2000.0  # ticks a second
SLOW_RATE = 500.0  # which futu-api follows as well

VENDORS = ("opend", "longport", "alltick")
BARE_UVLOOP = "uvloop, stamp only"
PICOWS = "picows, msgspec"


class LackingError(Exception):
    """The results have not what a text needs; one line for each."""


class Figures:
    """Looks figures up, and notes which of them are not there."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.lacking: list[str] = []

    def figure(self, table: str, row: str, column: str, x: float | None = None) -> Figure:
        """Return a figure; one of NaN where it is not there."""
        found = self.results.table(table)
        at = found.row(row, x) if found is not None else None
        if at is not None and column in at.figures:
            return at.figures[column]
        named = f"row {row!r}{'' if x is None else f' at {x:,g}'}"
        where = f"no table {table!r}"
        if found is not None:
            where = f"table {table!r} has no {named}"
        if at is not None:
            where = f"table {table!r}, {named} has no column {column!r}"
        if where not in self.lacking:
            self.lacking.append(where)
        return Figure(float("nan"), float("nan"), float("nan"))

    def __call__(self, table: str, row: str, column: str, x: float | None = None) -> float:
        """Return a figure's median."""
        return self.figure(table, row, column, x).median

    def text(self, table: str, row: str, column: str, x: float | None = None) -> str:
        """Return a figure's median as text."""
        return short(self(table, row, column, x))


def results_path() -> Path:
    """Return the file with the figures of the current version."""
    return ROOT / "bench" / "results" / f"{__version__}.json"


def _grid(
    title: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str | None]]]
) -> str:
    lines = [f"| {' | '.join((title, *columns))} |", f"|---|{'---:|' * len(columns)}"]
    lines += (f"| {name} | {' | '.join(cell or '' for cell in cells)} |" for name, cells in rows)
    return "\n".join(lines)


def _filled(text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()), _WIDTH, break_on_hyphens=False, break_long_words=False
    )


def _millions(value: float) -> str:
    return f"{value / 1e6:.2g} million" if value < 99.5e6 else f"{value / 1e6:,.0f} million"


def _rate(value: float) -> str:
    return _millions(value) if value >= 1e6 else short(value)


def machine(figures: Figures) -> str:
    about = figures.results.machine
    noise = figures.results.noise
    if noise is None:
        figures.lacking.append("the machine's noise was not measured")
    quiet = "" if noise is None else f" Others took {percent(noise.stolen)} of the measuring core."
    kind = "a virtual machine" if about.get("virtual") else "a machine"
    cores = about.get("cores")
    return _filled(
        f"One run of `make bench` on {kind} with {'two' if cores == 2 else cores} cores ({about.get('cpu')}, "
        f"{str(about.get('kernel')).partition('-')[0]}, {about.get('python')}), all candidates on the same bytes, "
        f"100 symbols, medians of rounds.{quiet}"
    )


def _decoders(
    figures: Figures, columns: Mapping[str, str], rows: Iterable[tuple[str, str, str]]
) -> str:
    return _grid(
        "",
        list(columns),
        [
            (what, [figures.text(table, row, unit) for row in columns.values()])
            for what, table, unit in rows
        ],
    )


def opend(figures: Figures) -> str:
    columns = {
        "fastfeed": "fastfeed",
        "hand-written C": "C loop",
        "protobuf's parser": "protobuf",
        "futu-api": "futu-api",
    }
    rows = (
        ("a tick", "decode opend ticks", "ns/tick"),
        ("a tick, ten in a packet", "decode opend ticks, 10 a packet", "ns/tick"),
        ("a quote with its sessions", "decode opend quotes", "ns/push"),
        ("a bar", "decode opend bars", "ns/push"),
        ("a ten-level book", "decode opend books", "ns/push"),
        ("a point of the minute line", "decode opend timeshare", "ns/push"),
        ("broker queues, 40 a side", "decode opend brokers", "ns/push"),
    )
    return _decoders(figures, columns, rows)


def longport(figures: Figures) -> str:
    columns = {
        "fastfeed": "fastfeed",
        "a message a call": "fastfeed, Decoder.feed",
        "hand-written C": "C loop",
        "protobuf's parser, `float`": "protobuf, float",
    }
    rows = (
        ("a quote", "decode longport quotes", "ns/push"),
        ("a trade", "decode longport ticks", "ns/tick"),
        ("a ten-level book", "decode longport books", "ns/push"),
    )
    return _decoders(figures, columns, rows)


def alltick(figures: Figures) -> str:
    columns = {
        "fastfeed": "fastfeed",
        "hand-written C": "C loop",
        "msgspec, structs": "msgspec",
        "msgspec, NumPy rows": "msgspec, NumPy",
    }
    rows = (
        ("a trade", "decode alltick ticks", "ns/tick"),
        ("a ten-level book", "decode alltick books", "ns/push"),
    )
    return _decoders(figures, columns, rows)


def throughput(figures: Figures) -> str:
    def text(table: str, row: str, column: str) -> str:
        return figures.text(table, row, column)

    def rate(table: str, row: str, column: str = "ticks/s") -> str:
        return _rate(figures(table, row, column))

    cipher = "more than plain"
    return _filled(
        f"AES-CBC adds {text('encryption', 'fastfeed, aes-cbc', cipher)} ns a packet "
        f"(futu-api: {text('encryption', 'futu-api, aes-cbc, SHA-1', cipher)}). "
        f"A pull of 1000 ticks from the simulated OpenD takes {text('pull, simulator', 'fastfeed', 'ms/pull')} ms "
        f"(futu-api: {text('pull, simulator', 'futu-api', 'ms/pull')} ms), one of 500 quotes from the simulated "
        f"LongPort {text('LongPort quotes', 'fastfeed', 'ms/pull')} ms "
        f"(longport: {text('LongPort quotes', 'longport', 'ms/pull')} ms, "
        f"{text('LongPort quotes', 'longport, values read', 'ms/pull')} ms with its values read). "
        f"Over TCP {rate('wire opend', 'fastfeed')} ticks of OpenD a second arrive in a callback "
        f"(futu-api: {rate('wire opend', 'futu-api')}), "
        f"{rate('wire to ring, packets/s', 'fastfeed, thread spinning', 'packets/s')} with the spinning thread in "
        f"the ring; of LongPort's trades {rate('wire longport', 'fastfeed')} over WebSocket "
        f"(longport: {rate('wire longport', 'longport')}); of AllTick's {rate('wire alltick', 'fastfeed')} "
        f"(picows with msgspec: {rate('wire alltick', PICOWS)}), "
        f"{rate('wire alltick, encrypted', 'fastfeed')} with TLS."
    )


def latency(figures: Figures) -> str:
    def cells(vendor: str, rate: float, *rows: str | None) -> list[str | None]:
        return [row and figures.text(f"latency {vendor}", row, "p50 µs", rate) for row in rows]

    return _grid(
        "from the wire to your callback, median in µs",
        ["fastfeed", "a uvloop protocol that does nothing", "futu-api", "picows, msgspec"],
        [
            (
                "OpenD, 500 ticks a second",
                cells("opend", SLOW_RATE, "fastfeed", BARE_UVLOOP, "futu-api", None),
            ),
            (
                "OpenD, 2000 ticks a second",
                cells("opend", MARKET_RATE, "fastfeed", BARE_UVLOOP, None, None),
            ),
            (
                "AllTick, 2000 trades a second",
                cells("alltick", MARKET_RATE, "fastfeed", None, None, PICOWS),
            ),
        ],
    )


def shared(figures: Figures) -> str:
    def cells(table: str, *rows: str | None) -> list[str | None]:
        return [row and figures.text(table, row, "p50 µs") for row in rows]

    spinning = "shared, spinning"
    pollers = ("mmap, memoryview", "mmap, struct", "mmap, NumPy")
    fastest = min(pollers, key=lambda row: figures(spinning, row, "p50 µs"))
    return _grid(
        "from publication to a row in another Python process, median in µs",
        [
            *("fastfeed", "the fastest mmap poller", "iceoryx2"),
            *("multiprocessing.Pipe", "ZeroMQ, ipc", "NATS"),
        ],
        [
            (
                "a reader that looks all the time",
                cells(spinning, "fastfeed", fastest, "iceoryx2", None, None, None),
            ),
            (
                "a reader that sleeps",
                cells(
                    "shared, blocked",
                    *("fastfeed", None, None, "multiprocessing.Pipe", "ZeroMQ, ipc", "NATS"),
                ),
            ),
        ],
    )


def thread(figures: Figures) -> str:
    def cells(table: str, *rows: str | None) -> list[str | None]:
        return [row and figures.text(table, row, "p50 µs") for row in rows]

    return _grid(
        "from the wire to the ring, median in µs",
        [
            *('`receive="thread"`, spinning', "a spinning C loop", '`receive="thread"`'),
            *("C with epoll", "the event loop"),
        ],
        [
            (
                "OpenD, 2000 packets a second",
                cells(
                    "wire to ring 2000/s",
                    *("fastfeed, thread spinning", "C, spinning", "fastfeed, thread"),
                    *("C, epoll", "fastfeed, loop"),
                ),
            ),
            (
                "the same, Python holding the GIL for 100 ms",
                cells(
                    "wire to ring, the GIL held",
                    *("fastfeed, thread spinning", None, "fastfeed, thread", None),
                    "fastfeed, loop",
                ),
            ),
        ],
    )


def growth(figures: Figures) -> str:
    scaling = figures("scaling opend", "fastfeed", "x 1 symbol", 10_000.0) - 1
    writer = "shared, writer, 64 rows a publication"
    reading = figures.figure(writer, "10 reading 100 times a second", "CPU x alone")
    costs = "nothing measurable" if reading.low <= 1.02 else f"{percent(reading.median - 1)} more"
    waking = (figures.text("shared, a publication", f"{n} blocked", "p50 µs") for n in ("1", "10"))
    one, ten = waking
    kept = figures.text("memory of Python", "1000000 ticks", "bytes kept")
    return _filled(
        f"From 1 symbol to 10,000 the cost of a tick grows by {percent(scaling)}. Readers that look, or read now and "
        f"then, cost the writer {costs}; waking one that sleeps costs {one} µs a publication, ten of them {ten} µs. "
        f"A million ticks leave {kept} bytes behind in Python's memory."
    )


def elsewhere(figures: Figures) -> str:
    recording = "record to Parquet"
    offered = "fastfeed, 2.1 M/s"
    relayed = (_rate(figures("relay to consumer", f"{n} symbols", "ticks/s")) for n in (50, 2000))
    few, many = relayed
    played = (figures.text(f"replay {v}", "fastfeed, file://", "x live") for v in VENDORS)
    captured = (
        f"{max(0, 1 - 1 / figures(f'capture {v}', 'fastfeed, capturing', 'x fastfeed')):.0%}"
        for v in VENDORS
    )
    written = _rate(figures(recording, offered, "rows/s"))
    lost, core = (figures.text(recording, offered, column) for column in ("lost", "CPU %"))
    return _filled(
        f"A recorder writes {written} ticks a second into Parquet with {lost} lost, for {core} % of a core. "
        f"A raw capture takes {', '.join(captured)} of the throughput of a wire at its limit (OpenD, LongPort, "
        f"AllTick; two cores for sender, receiver and writer), and is played {', '.join(played)} times as fast as "
        f"that wire is. A relay over NATS brings {few} ticks a second of 50 symbols to a consumer, {many} of 2000, "
        "with all of it on these two cores."
    )


def everything(figures: Figures) -> str:
    return markdown(figures.results).rstrip("\n")


#: What stands in which file under which name.
BLOCKS: dict[str, dict[str, Callable[[Figures], str]]] = {
    "README.md": {
        "machine": machine,
        "opend": opend,
        "longport": longport,
        "alltick": alltick,
        "throughput": throughput,
        "latency": latency,
        "shared": shared,
        "thread": thread,
        "growth": growth,
        "elsewhere": elsewhere,
    },
    "bench/README.md": {"everything": everything},
}


#: README's pictures, as `fastfeed.bench.plots` names them.
PICTURES = ("decode-opend", "latency-opend")


def drawn(results: Results) -> dict[str, str]:
    """Return README's pictures as SVG, by their names."""
    from fastfeed.bench.plots import pictures, svg

    return {each.name: svg(each) for each in pictures(results) if each.name in PICTURES}


def texts(picture: str) -> list[str]:
    """Return what is written in an SVG: where, and with which curves, may differ with matplotlib's version."""
    return re.findall(r"<text[^>]*>([^<]+)", picture)


def written(
    text: str, blocks: Mapping[str, Callable[[Figures], str]], figures: Figures
) -> tuple[str, list[str]]:
    """Return a text with its blocks as the figures say, and the names of those that change.

    LackingError
        Where the figures have not all that is needed, or the text not all blocks.
    """
    changed = []
    seen = []

    def block(match: re.Match[str]) -> str:
        begin, name, before, end = match.groups()
        seen.append(name)
        if name not in blocks:
            raise LackingError(f"nobody writes a block {name!r}")
        after = f"\n{blocks[name](figures)}\n"
        if after != before:
            changed.append(name)
        return f"{begin}{after}{end}"

    text = _BLOCK.sub(block, text)
    if lacking := [
        *figures.lacking,
        *(f"no block {name!r}" for name in blocks if name not in seen),
    ]:
        raise LackingError("\n".join(lacking))
    return text, changed


def main(arguments: Sequence[str]) -> int:
    """Write, or check; returns the exit code."""
    paths = [each for each in arguments if each != "--check"]
    path = Path(paths[0]) if paths else results_path()
    code = 0
    try:
        figures = Figures(Results.read(path))
        for name, blocks in BLOCKS.items():
            file = ROOT / name
            text, changed = written(file.read_text(), blocks, figures)
            if changed and "--check" in arguments:
                print(f"{name} does not show the figures of {path}: {', '.join(changed)}")
                code = 1
            elif changed:
                file.write_text(text)
                print(f"{name}: {', '.join(changed)}")
        for name, picture in drawn(figures.results).items():
            file = path.parent / f"{name}.svg"
            if "--check" not in arguments:
                file.write_text(picture)
            elif not file.exists() or texts(file.read_text()) != texts(picture):
                print(f"{file} does not show the figures of {path}")
                code = 1
    except (ConfigError, LackingError) as error:
        print(f"{path}:\n{error}" if isinstance(error, LackingError) else error, file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
