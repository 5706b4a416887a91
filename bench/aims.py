"""What is aimed at, beside what was measured. Nothing fails when it is missed."""

from __future__ import annotations

from typing import Literal, NamedTuple

from fastfeed.bench.results import Bar, Results

__all__ = ["AIMS", "Aim", "conclude"]


class Aim(NamedTuple):
    """A figure, or its ratio to that of another row, and what it should be."""

    what: str
    table: str
    column: str
    row: str
    sign: Literal["at most", "at least"]
    limit: float
    over: str | None = None  # the row to divide by
    x: float | None = None  # of both rows


def _decoders(
    what: str,
    table: str,
    unit: str,
    times: float,
    peer: str | None = None,
    least: float = 0,
    name: str = "fastfeed",
) -> tuple[Aim, ...]:
    """Return aims for fastfeed beside the C loop, and for a peer beside fastfeed."""
    aim = Aim(f"{what}, times the C loop", table, unit, name, "at most", times, "C loop")
    if peer is None:
        return (aim,)
    return aim, Aim(f"{what}, {peer} / fastfeed", table, unit, peer, "at least", least, "fastfeed")


AIMS = (
    Aim("one tick a packet, ns", "decode opend ticks", "ns/tick", "fastfeed", "at most", 40),
    *_decoders("one tick a packet", "decode opend ticks", "ns/tick", 2, "protobuf", 10),
    Aim(
        "ten ticks a packet, ns",
        "decode opend ticks, 10 a packet",
        "ns/tick",
        "fastfeed",
        "at most",
        20,
    ),
    *_decoders(
        "ten ticks a packet", "decode opend ticks, 10 a packet", "ns/tick", 2, "protobuf", 5
    ),
    *_decoders("a quote push", "decode opend quotes", "ns/push", 2, "protobuf", 4),
    *_decoders("a bar push", "decode opend bars", "ns/push", 2, "protobuf", 4),
    *_decoders("a book push", "decode opend books", "ns/push", 2, "protobuf", 4),
    *(
        Aim(
            f"a {what} push, protobuf / fastfeed",
            f"decode opend {what}",
            "ns/push",
            "protobuf",
            "at least",
            4,
            "fastfeed",
        )
        for what in ("timeshare", "brokers")
    ),
    *_decoders("an AllTick trade", "decode alltick ticks", "ns/tick", 2),
    Aim(
        "an AllTick trade of any shape, ns",
        "decode alltick ticks",
        "ns/tick",
        "fastfeed, any shape",
        "at most",
        300,
    ),
    *_decoders("an AllTick book", "decode alltick books", "ns/push", 1.8),
    *_decoders("a LongPort quote", "decode longport quotes", "ns/push", 2, name="fastfeed, bodies"),
    *_decoders("a LongPort trade", "decode longport ticks", "ns/tick", 2, name="fastfeed, bodies"),
    *_decoders("a LongPort book", "decode longport books", "ns/push", 2, name="fastfeed, bodies"),
    Aim("OpenD's ticks a second over TCP", "wire opend", "ticks/s", "fastfeed", "at least", 10e6),
    Aim("LongPort's trades a second", "wire longport", "ticks/s", "fastfeed", "at least", 7e6),
    Aim(
        "LongPort's trades a second, times longport",
        "wire longport",
        "ticks/s",
        "fastfeed",
        "at least",
        40,
        "longport",
    ),
    Aim("AllTick's trades a second", "wire alltick", "ticks/s", "fastfeed", "at least", 6.5e6),
    Aim(
        "AllTick's trades a second, times picows with msgspec",
        "wire alltick",
        "ticks/s",
        "fastfeed",
        "at least",
        6,
        "picows, msgspec",
    ),
    Aim(
        "AllTick's trades a second with TLS, times picows with msgspec",
        "wire alltick, encrypted",
        "ticks/s",
        "fastfeed",
        "at least",
        2,
        "picows, msgspec",
    ),
    *(
        Aim(
            f"{name}'s ticks a second, captured / not captured",
            f"capture {vendor}",
            "ticks/s",
            "fastfeed, capturing",
            "at least",
            0.9,
            "fastfeed",
        )
        for name, vendor in (("OpenD", "opend"), ("LongPort", "longport"), ("AllTick", "alltick"))
    ),
    Aim(
        "ticks a second played / from the wire",
        "play opend",
        "ticks/s",
        "reads of 128 KiB",
        "at least",
        1,
        "live, from the wire",
    ),
    *(
        Aim(
            f"500 quotes of LongPort, {package}{how} / fastfeed",
            "LongPort quotes",
            "ms/pull",
            f"{package}{how}",
            "at least",
            3,
            "fastfeed",
        )
        for package in ("longport", "longbridge")
        for how in ("", ", values read")
    ),
    *(
        Aim(
            f"OpenD's median latency / a bare uvloop protocol's, {rate:.0f}/s",
            "latency opend",
            "p50 µs",
            "fastfeed",
            "at most",
            1.3,
            "uvloop, stamp only",
            rate,
        )
        for rate in (500.0, 2000.0)
    ),
    Aim(
        "AllTick's median latency / picows with msgspec",
        "latency alltick",
        "p50 µs",
        "fastfeed",
        "at most",
        1,
        "picows, msgspec",
        2000.0,
    ),
    *(
        Aim(
            f"{symbols:.0f} symbols / 1 symbol",
            "scaling opend",
            "x 1 symbol",
            "fastfeed",
            "at most",
            limit,
            x=symbols,
        )
        for symbols, limit in ((1000.0, 1.15), (10_000.0, 1.6))
    ),
    Aim(
        "AES-CBC, ns more a packet",
        "encryption",
        "more than plain",
        "fastfeed, aes-cbc",
        "at most",
        1500,
    ),
    Aim(
        "a pull of 1000 ticks, futu-api / fastfeed",
        "pull, simulator",
        "ms/pull",
        "futu-api",
        "at least",
        20,
        "fastfeed",
    ),
    Aim(
        "median latency with pulls / without",
        "latency and pulls",
        "x without",
        "with",
        "at most",
        1.1,
    ),
    *(
        Aim(
            f"to a spinning reader ({how}), times the fastest mmap poller",
            "shared, spinning",
            "x fastest mmap",
            row,
            "at most",
            1.2,
        )
        for how, row in (
            ("waiting in C", "fastfeed"),
            ("looking in Python, as that one", "fastfeed, read() again and again"),
        )
    ),
    Aim(
        "to a spinning reader, times an mmap poller that gives NumPy rows",
        "shared, spinning",
        "x mmap, NumPy",
        "fastfeed",
        "at most",
        1.2,
    ),
    Aim(
        "to a blocked reader, times a futex in Python",
        "shared, blocked",
        "x futex, Python",
        "fastfeed",
        "at most",
        1.3,
    ),
    Aim(
        "to a blocked reader in C, times a futex in C",
        "shared, blocked",
        "x futex, C",
        "fastfeed's ring, C",
        "at most",
        1.3,
    ),
    *(
        Aim(
            f"the writer with ten readers ({how}) / alone",
            "shared, writer, 64 rows a publication",
            "CPU x alone",
            f"10 {how}",
            "at most",
            1.05,
        )
        for how in ("idle", "reading 100 times a second")
    ),
    Aim(
        "wire to ring with a spinning thread, times a spinning C loop",
        "wire to ring 2000/s",
        "x C, spinning",
        "fastfeed, thread spinning",
        "at most",
        1.3,
    ),
    Aim(
        "wire to ring with a spinning thread, packets/s",
        "wire to ring, packets/s",
        "packets/s",
        "fastfeed, thread spinning",
        "at least",
        12e6,
    ),
    Aim(
        "wire to ring with a spinning thread, packets/s / a spinning C loop",
        "wire to ring, packets/s",
        "x C, spinning",
        "fastfeed, thread spinning",
        "at least",
        0.7,
    ),
    Aim(
        "ticks a second while metrics are scraped ten times a second / while they are not",
        "wire opend, scraped",
        "ticks/s",
        "every 0.1 s",
        "at least",
        0.97,
        "not scraped",
    ),
    Aim(
        "recording, rows/s",
        "record to Parquet",
        "rows/s",
        "fastfeed, 2.1 M/s",
        "at least",
        2e6,
    ),
    Aim("recording 2.1 M/s, lost", "record to Parquet", "lost", "fastfeed, 2.1 M/s", "at most", 0),
    Aim(
        "recording the US tape at 1,000 times real time, CPU %",
        "record to Parquet, the US tape at 1,000 times real time",
        "CPU %",
        "fastfeed",
        "at most",
        50,
    ),
    *(
        Aim(
            f"relay to consumer, {symbols} symbols, ticks/s",
            "relay to consumer",
            "ticks/s",
            f"{symbols} symbols",
            "at least",
            300e3,
        )
        for symbols in (50, 2000)
    ),
    *(
        Aim(
            f"a capture of {vendor} played at full speed, times the live wire path",
            f"replay {vendor}",
            "x live",
            "fastfeed, file://",
            "at least",
            1,
        )
        for vendor in ("opend", "longport", "alltick")
    ),
    # A million ticks in 24 and in 76 ms.
    Aim("ticks to Arrow, rows/s", "ticks to Arrow", "rows/s", "fastfeed", "at least", 41.7e6),
    Aim(
        "ticks to Arrow in batches, rows/s",
        "ticks to Arrow",
        "rows/s",
        "fastfeed, batches of 65,536",
        "at least",
        41.7e6,
    ),
    Aim(
        "ticks to Parquet, rows/s",
        "ticks to Parquet, zstd",
        "rows/s",
        "fastfeed",
        "at least",
        13e6,
    ),
)


def conclude(results: Results) -> list[str]:
    """Enter the bars of what was measured; return those whose table has not the row or the column."""
    lacking = []
    for aim in AIMS:
        if results.table(aim.table) is None:
            continue
        value = _value(results, aim, aim.row)
        other = 1.0 if aim.over is None else _value(results, aim, aim.over)
        if value is None or not other:
            lacking.append(aim.what)
            continue
        value /= other
        met = value <= aim.limit if aim.sign == "at most" else value >= aim.limit
        results.bars.append(Bar(aim.what, value, f"{aim.sign} {aim.limit:,.12g}", met))
    return lacking


def _value(results: Results, aim: Aim, name: str) -> float | None:
    table = results.table(aim.table)
    row = table.row(name, aim.x) if table is not None else None
    figure = row.figures.get(aim.column) if row is not None else None
    return None if figure is None else figure.median
