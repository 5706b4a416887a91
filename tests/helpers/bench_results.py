"""Results of a bench as they might be, for tests and for looking at pictures: the same at each call."""

import math
import random

from fastfeed.bench.results import Bar, Missing, Noise, Results, Row, Table, figure, ratio

ROUNDS = 11

#: ns of a candidate, by table; bytes of a push.
DECODE = {
    "decode opend ticks": (164, "ns/tick", {
        "fastfeed": 25.3, "C loop": 19.6, "protobuf": 702, "protobuf, NumPy": 2480,
        "futu-api": 311_000,
    }),
    "decode opend ticks, 10 a packet": (1210, "ns/tick", {
        "fastfeed": 19.1, "C loop": 15.2, "protobuf": 431, "protobuf, NumPy": 1970,
        "futu-api": 41_000,
    }),
    "decode opend quotes": (421, "ns/push", {"fastfeed": 148, "protobuf": 1510, "futu-api": 902_000}),
    "decode opend books": (1030, "ns/push", {"fastfeed": 402, "protobuf": 6210, "futu-api": 88_000}),
    "decode opend bars": (160, "ns/push", {"fastfeed": 51.4, "protobuf": 790, "futu-api": 330_000}),
    "decode opend timeshare": (140, "ns/push", {"fastfeed": 44.9, "protobuf": 720, "futu-api": 301_000}),
    "decode opend brokers": (2900, "ns/push", {"fastfeed": 1420, "protobuf": 18_300, "futu-api": 420_000}),
    "decode alltick ticks": (201, "ns/tick", {
        "fastfeed": 92.4, "fastfeed, Decoder.feed": 261, "msgspec": 580, "msgspec, NumPy": 1490,
        "orjson": 1210, "json": 4100,
    }),
    "decode alltick books": (1100, "ns/push", {
        "fastfeed": 640, "fastfeed, Decoder.feed": 820, "msgspec": 6050, "msgspec, NumPy": 17_100,
        "orjson": 8800, "json": 26_400,
    }),
    "decode longport ticks": (130, "ns/tick", {
        "fastfeed": 121, "protobuf": 655, "protobuf, float": 1890,
    }),
    "decode longport quotes": (190, "ns/push", {
        "fastfeed": 166, "protobuf": 733, "protobuf, float": 2610,
    }),
    "decode longport books": (640, "ns/push", {
        "fastfeed": 598, "protobuf": 6020, "protobuf, float": 19_800,
    }),
}  # fmt: skip

#: Ticks a second.
WIRE = {
    "opend": {
        "reading only": 29.1e6, "fastfeed": 17.3e6, "fastfeed, thread": 17.9e6,
        "uvloop, framing only": 1.31e6, "futu-api": 2930,
    },
    "alltick": {
        "reading only": 16.0e6, "fastfeed": 5.61e6, "picows, msgspec": 618_000, "websockets, msgspec": 121_000,
        "aiohttp, msgspec": 187_000,
    },
    "longport": {"reading only": 22.4e6, "fastfeed": 4.1e6, "fastfeed, TCP": 4.42e6, "longport": 208_000},
}  # fmt: skip

#: Median µs.
LATENCY = {
    "opend": {
        "fastfeed": 31.0, "fastfeed, thread": 22.1, "uvloop, stamp only": 29.2, "futu-api": 1740,
    },
    "alltick": {"fastfeed": 33.4, "picows, msgspec": 36.5, "websockets, msgspec": 71.3, "aiohttp, msgspec": 58.0},
    "longport": {"fastfeed": 34.2, "fastfeed, TCP": 33.0, "longport": 141},
}  # fmt: skip
RATES = (500, 2000, 10_000)

#: ns with one symbol, and how it grows.
SCALING = {
    "opend": {"fastfeed": (24.8, 0.10), "protobuf, NumPy": (2430, 0.02)},
    "alltick": {"fastfeed": (90.1, 0.05), "msgspec, NumPy": (1450, 0.02)},
    "longport": {"fastfeed": (119, 0.06), "protobuf, float": (1850, 0.02)},
}

FANOUT = {"fastfeed": (21.5, 1.2), "pyzmq": (92.0, 1.5), "multiprocessing.Pipe": (48.0, 1.7)}


def bench_results(*, complete=True):
    """Return results with all families, vendors and candidates; or those that were ready when it was interrupted."""
    draw = random.Random(7)
    tables = [
        *(_decode(draw, name, *what) for name, what in DECODE.items()),
        *(_wire(draw, vendor) for vendor in WIRE),
        *(_latency(draw, vendor) for vendor in LATENCY),
        *(_scaling(draw, vendor) for vendor in SCALING),
        _fanout(draw),
        *(_replay(draw, vendor) for vendor in WIRE),
    ]
    return Results(
        version="0.6.0",
        date="2026-11-26T05:00:00Z",
        command="fastfeed bench --out today",
        complete=complete,
        machine={
            "cpu": "AMD EPYC",
            "cores": 2,
            "virtual": True,
            "kernel": "Linux 6.18.44",
            "python": "CPython 3.11.7",
            "load_before": 0.31,
            "packages": {
                "fastfeed": "0.6.0",
                "numpy": "2.4.6",
                "uvloop": "0.23.0",
                "msgspec": "0.22.0",
                "protobuf": "7.36.2",
                "futu-api": "10.11.7108",
                "picows": "2.3.0",
            },
        },
        method={"rounds": ROUNDS, "warm_up": 1, "pinned": "worker 1, sender 0", "gc": "as by default"},
        noise=Noise(stolen=0.0123, longest_us=812.4, drift=0.083),
        tables=tables if complete else tables[:14],
        missing=[] if not complete else [
            Missing("longport", "longport is not installed"),
            Missing("pyzmq", "pyzmq is not installed"),
        ],
        notes=["One run with nothing else on the machine."],
        bars=[
            Bar("decode opend ticks: futu-api beside fastfeed", 12_290.0, ">= 1000", met=True),
            Bar("latency opend: p99 µs at 2000 a second", 131.0, "<= 100", met=False),
        ],
    )  # fmt: skip


def _rounds(draw, value, noise=0.02):
    return [value * (1 + abs(draw.gauss(0, noise))) for _ in range(ROUNDS)]


def _decode(draw, name, size, unit, candidates):
    own = _rounds(draw, candidates["fastfeed"])
    rows = []
    for candidate, value in candidates.items():
        rounds = own if candidate == "fastfeed" else _rounds(draw, value)
        rows.append(
            Row(
                candidate,
                {
                    unit: figure(rounds, "lower"),
                    "MB/s": figure([size * 1e3 / each for each in rounds], "higher"),
                    "x fastfeed": ratio(rounds, own),
                },
            )
        )
    return Table(
        name, "decode", rows, name.split()[1], unit, about=f"Pushes of {size} bytes, 100 symbols."
    )


def _wire(draw, vendor):
    own = _rounds(draw, WIRE[vendor]["fastfeed"])
    rows = []
    for candidate, value in WIRE[vendor].items():
        rounds = own if candidate == "fastfeed" else _rounds(draw, value, 0.05)
        rows.append(
            Row(
                candidate,
                {
                    "ticks/s": figure(rounds, "higher"),
                    "MB/s": figure([each * 164 / 1e6 for each in rounds], "higher"),
                    "CPU ns/tick": figure([0.93e9 / each for each in rounds], "lower"),
                    "x fastfeed": ratio(rounds, own),
                },
                note="has threads of its own" if candidate == "futu-api" else "",
            )
        )
    warnings = (
        ["the sender waited for the receiver only 6 % of the time: it may have been too slow"]
        if vendor == "longport"
        else []
    )
    return Table(
        f"wire {vendor}", "wire", rows, vendor, "ticks/s", warnings=warnings,
        about="Ready-made pushes from another process over loopback, to a count in a callback.",
    )  # fmt: skip


#: Percentiles that curves have.
PERCENTILES = [
    *range(0, 90, 5),
    *range(90, 99),
    *(99 + step / 10 for step in range(9)),
    *(99.9 + step / 100 for step in range(9)),
    99.99,
]


def _curve(draw, median, last=PERCENTILES[-1]):
    """Return the curve of a log-normal body with a heavy tail."""
    knee, tail = draw.uniform(5, 9), draw.uniform(0.25, 0.5)
    curve, value = [], 0.0
    for percentile in PERCENTILES:
        if percentile > last:
            break
        nines = -math.log10(1 - percentile / 100)
        value = max(
            value, median * (0.86 + 0.46 * nines + tail * max(0.0, nines - 1.7) ** 2 * knee)
        )
        curve.append((percentile, value))
    return curve


def _latencies(draw, rounds, own, curve):
    at = dict(curve)

    def column(percentile, noise):
        return figure(_rounds(draw, at[percentile], noise), "lower")

    return {
        "p50 µs": figure(rounds, "lower"),
        "p99 µs": column(99, 0.1),
        "p99.9 µs": column(max(each for each in at if each <= 99.9), 0.3),
        "max µs": figure([curve[-1][1] * draw.uniform(1, 3) for _ in range(ROUNDS)], "lower"),
        **({"x fastfeed": ratio(rounds, own)} if own else {}),
    }


def _latency(draw, vendor):
    rows = []
    for rate in RATES:
        own = _rounds(draw, LATENCY[vendor]["fastfeed"])
        for candidate, median in LATENCY[vendor].items():
            if candidate == "futu-api" and rate > 500:
                continue
            rounds = own if candidate == "fastfeed" else _rounds(draw, median)
            curve = _curve(draw, median, 99.9 if candidate == "futu-api" else 99.99)
            rows.append(
                Row(
                    candidate,
                    _latencies(draw, rounds, own, curve),
                    float(rate),
                    curve,
                    "500 a second only: it cannot follow more" if candidate == "futu-api" else "",
                )
            )
    return Table(
        f"latency {vendor}", "latency", rows, vendor, "p50 µs", "ticks a second",
        "From the time at which a push was to be sent to the first line of the callback; open loop.",
    )  # fmt: skip


def _scaling(draw, vendor):
    rows = []
    for candidate, (base, growth) in SCALING[vendor].items():
        first = _rounds(draw, base)
        for symbols in (1, 10, 100, 1000, 10_000):
            rounds = (
                first if symbols == 1 else _rounds(draw, base * (1 + growth * math.log10(symbols)))
            )
            rows.append(
                Row(
                    candidate,
                    {"ns/tick": figure(rounds, "lower"), "x 1 symbol": ratio(rounds, first)},
                    float(symbols),
                )
            )
    return Table(
        f"scaling {vendor}", "scaling", rows, vendor, "ns/tick", "symbols",
        "The same number of ticks, of more and more symbols in random order.",
    )  # fmt: skip


def _fanout(draw):
    rows = []
    for readers in (1, 2, 4, 8):
        own = _rounds(
            draw, FANOUT["fastfeed"][0] * FANOUT["fastfeed"][1] ** math.log2(readers), 0.06
        )
        for candidate, (base, growth) in FANOUT.items():
            median = base * growth ** math.log2(readers)
            rounds = own if candidate == "fastfeed" else _rounds(draw, median, 0.06)
            curve = _curve(draw, median)
            latencies = _latencies(draw, rounds, own, curve)
            rows.append(
                Row(
                    candidate,
                    {
                        "p50 µs": latencies["p50 µs"],
                        "p99 µs": latencies["p99 µs"],
                        "x fastfeed": latencies["x fastfeed"],
                        "writer CPU ns/row": figure(_rounds(draw, 900 * growth * readers), "lower"),
                    },
                    float(readers),
                    curve,
                )
            )
    return Table(
        "fanout", "fanout", rows, "", "p50 µs", "readers",
        "2,000 rows a second from one process to readers in processes of their own.",
        ["readers beyond the 2 cores share them"],
    )  # fmt: skip


def _replay(draw, vendor):
    rows = []
    for speed in (1, 10, 100, 1000):
        curve = _curve(draw, 34 * (1 + speed / 150))
        latencies = {
            name: figure(each.median, "lower")
            for name, each in _latencies(draw, [curve[10][1]], [], curve).items()
        }
        rows.append(
            Row(
                "fastfeed",
                {
                    "lost": figure(0, "lower"),
                    **latencies,
                    "sender late p99 µs": figure(3.1 + speed / 90, "lower"),
                    "ring high-water rows": figure(3.0 + 3 * speed, "lower"),
                    "CPU %": figure(1.5 + speed / 16, "lower"),
                    "ticks/s": figure(16.6 * speed),
                },
                float(speed),
                curve,
            )
        )
    return Table(
        f"replay {vendor}", "replay", rows, vendor, "p50 µs", "times real time",
        "us_trades_20131007.csv.gz, its busiest 30 s.",
    )  # fmt: skip
