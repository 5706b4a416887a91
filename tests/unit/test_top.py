"""What `fastfeed top` makes of two looks at a hub, and its picture."""

import io

import pytest
from rich.console import Console

from fastfeed._core.meter import Latency
from fastfeed.cli.top import compared
from fastfeed.cli.top_screen import TopScreen

NOW_NS = 1_700_010_000_123_456_789
SECOND = 1_000_000_000


def feed(**fields):
    return {
        "url": "opend://127.0.0.1:11111",
        "state": "connected",
        "since_ns": NOW_NS - SECOND,
        "connections": 1,
        "gaps": 0,
        "bytes": 1_000_000,
        "packets": 10,
        "rows": 1000,
        "rejected": 0,
        "lost_rows": 0,
        "last_recv_ns": NOW_NS - SECOND // 2,
        "beat_ns": NOW_NS - SECOND // 4,
        "gateway_to_receive": Latency([1_200_000] * 10),
        "receive_to_publish": Latency([5000] * 10),
    } | fields


def reader(**fields):
    return {
        "pid": 7,
        "program": "strategy.py",
        "id": "7-0/0",
        "stream": "ticks",
        "position": 0,
        "lag": 0,
        "lost": 0,
        "read_ns": NOW_NS - 3 * SECOND,
        "publish_to_read": None,
    } | fields


def look(**fields):
    return {
        "name": "md",
        "generation": NOW_NS - 65 * SECOND,
        "pid": 42,
        "program": "fastfeed",
        "alive": True,
        "streams": {
            "ticks": {"rows": 1000, "capacity": 4096},
            "bars": {"rows": 0, "capacity": 64},
        },
        "feeds": [feed()],
        "readers": [],
        "time_ns": NOW_NS,
    } | fields


def lines(seen, width=130, height=30, encoding="utf-8", screen=None):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=file, width=width, height=height, no_color=True, color_system=None, highlight=False
    )
    screen = screen or TopScreen(console, "md")
    screen._console = console
    console.print(screen.live(seen), end="")
    file.flush()
    return file.buffer.getvalue().decode(encoding).splitlines()


def test_the_first_look_has_no_rates():
    seen = compared(look(), None, 0.0)
    assert seen["streams"]["ticks"] == {"rows": 1000, "capacity": 4096, "rows_per_s": None}
    assert seen["feeds"][0]["rows_per_s"] is None
    assert seen["feeds"][0]["gateway_to_receive"].count == 10


def test_rates_and_latencies_are_those_of_the_interval():
    before = look(readers=[reader(publish_to_read=Latency([10]))])
    now = look(
        streams={"ticks": {"rows": 1500, "capacity": 4096}},
        feeds=[
            feed(
                rows=1500,
                bytes=3_000_000,
                gateway_to_receive=Latency([1_200_000] * 10 + [2_000_000] * 5),
            )
        ],
        readers=[
            reader(publish_to_read=Latency([10, 20, 20])),
            reader(id="7-0/1", publish_to_read=Latency([30])),
        ],
    )
    seen = compared(now, before, 2.0)
    assert seen["streams"]["ticks"]["rows_per_s"] == 250
    (one,) = seen["feeds"]
    assert (one["rows_per_s"], one["bytes_per_s"]) == (250, 1_000_000)
    assert one["gateway_to_receive"].count == 5
    assert one["gateway_to_receive"].percentile_ns(0.5) == pytest.approx(2e6, rel=1 / 32)
    assert one["receive_to_publish"].count == 0
    assert [r["publish_to_read"].count for r in seen["readers"]] == [2, 1]
    assert seen["readers"][0]["publish_to_read"].percentile_ns(0.5) == 20


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 5},
        {"feeds": [feed(url="longport://")]},
        {"feeds": [feed(rows=2000)]},
        {"feeds": []},
    ],
)
def test_another_hub_or_feed_is_not_compared(change):
    seen = compared(look(), look(**change), 1.0)
    assert seen["feeds"][0]["rows_per_s"] is None
    assert seen["feeds"][0]["gateway_to_receive"].count == 10


def test_the_picture():
    seen = compared(
        look(
            readers=[
                reader(program="fast.py"),
                reader(pid=8, program="slow\x1b[2J", lag=3072, lost=17, id="8-0/0"),
            ],
            feeds=[
                feed(),
                feed(state="disconnected", gaps=2, rejected=1_234),
                feed(beat_ns=NOW_NS - 5 * SECOND),
                feed(state="closed", beat_ns=0, last_recv_ns=0),
            ],
        ),
        look(feeds=[feed(rows=0, bytes=0)]),
        1.0,
    )
    found = [line.strip() for line in lines(seen)]
    assert found[0].startswith("fastfeed top  md")
    assert found[0].endswith("● alive  00:01:05")
    assert found[1] == "process 42, fastfeed, since 2023-11-15 00:58:55 UTC"
    assert found[4].split() == [
        *("opend://127.0.0.1:11111", "connected", "1,000", "1.000"),
        *("–", "–", "0", "0", "0.5s"),
    ]
    assert found[5].split()[1:] == [
        *("disconnected", "–", "–", "1.20", "ms", "/", "1.20", "ms", "5", "µs", "/", "5", "µs"),
        *("2", "1,234", "0.5s"),
    ]
    assert found[6].split()[1:3] == ["stuck", "5.0s"]
    assert found[7].split()[1] == "closed"
    assert found[7].split()[-1] == "–"
    assert [line.split()[0] for line in found[9:11]] == ["Stream", "ticks"]  # bars has no rows
    assert found[10].split() == ["ticks", "1,000", "0.0", "4,096", "24%"]
    assert found[13].split() == ["8", "slow?[2J", "ticks", "3,072", "75.0%", "17", "–", "3.0s"]
    assert found[14].split()[:2] == ["7", "fast.py"]


def test_nobody_is_there():
    found = "\n".join(lines(compared(look(feeds=[], streams={}), None, 0.0)))
    for words in ("no feeds yet", "no rows yet", "nobody reads it"):
        assert words in found


def test_the_writer_is_gone():
    screen = TopScreen(Console(), "md")
    screen.say("the writer is dead", NOW_NS, is_bad=True)
    found = lines(compared(look(alive=False), None, 0.0), screen=screen)
    assert "● writer is gone" in found[0]
    assert found[4].split()[1] == "gone"
    assert "the writer is dead" in found[-1]


@pytest.mark.parametrize(
    ("width", "height"), [(130, 30), (80, 24), (60, 12), (40, 10), (20, 6), (5, 1)]
)
@pytest.mark.parametrize("count", [0, 1, 64])
def test_it_fits_the_terminal(width, height, count):
    readers = [reader(id=f"7-0/{i}", lag=i) for i in range(count)]
    seen = compared(look(feeds=[feed()] * count, readers=readers), None, 0.0)
    found = lines(seen, width, height)
    assert len(found) <= height
    assert max(map(len, found)) <= width
    if count == 64 and height >= 10:
        assert sum(" more" in line for line in found) == 2
    for line in lines(seen, width, height, encoding="ascii"):
        assert line.isascii()
