"""A capture that a simulator serves: to our feeds, to the vendors' own clients, to any WebSocket client."""

import asyncio
from pathlib import Path

import pytest
from alltick_client import BOOKS, Client
from captured import (
    LONGPORT_SYMBOLS,
    RECORDED,
    SYMBOLS,
    assert_same,
    cut,
    feed_at,
    kept,
    recorded,
    simulator,
    subscribe,
)
from click.testing import CliRunner
from feeds import until
from official import run_official
from websockets.asyncio.client import connect as open_websocket

import fastfeed as ff
from fastfeed.cli.sim import sim as sim_command

HERE = Path(__file__).parent
#: What is not in a push.
OURS = ("recv_ns",)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Return what gives the path of a capture, its rows and its symbols."""
    made = {}

    def session(how):
        if how not in made:
            path = tmp_path_factory.mktemp("captured") / "c"
            made[how] = path, *recorded(how, path)
        return made[how]

    return session


@pytest.mark.parametrize("how", RECORDED)
def test_our_feeds_get_what_came_then(how, sessions):
    path, rows, symbols = sessions(how)
    vendor = RECORDED[how]

    async def main():
        async with simulator(vendor, capture=path, speed="max", hold=True) as sim:
            async with feed_at(sim, how) as feed, feed_at(sim, how) as ticks_only:
                await subscribe(feed, vendor)
                await ticks_only.subscribe("700.HK", "ticks")
                sim.begin()
                await sim.finished()
                total = sum(map(len, rows.values()))
                await until(lambda: sum(s.count for s in feed.hub.streams) >= total)
                mine = rows["ticks"][rows["ticks"]["symbol"] == symbols.index("700.HK")]
                await until(lambda: ticks_only.ticks.count >= len(mine))
                return kept(feed.hub), kept(ticks_only.hub), mine, sim.stats()

    found, only, mine, stats = ff.run(main())
    assert_same(found, rows, but=OURS)
    assert set(only) == {"ticks"}
    assert only["ticks"]["price"].tobytes() == mine["price"].tobytes()
    assert stats["sent"] >= len(rows["ticks"])


def test_the_vendors_own_client_of_opend(package, sessions, tmp_path):
    path, rows, symbols = sessions("opend")
    ticks = rows["ticks"]

    async def main():
        async with simulator("opend", capture=path, speed="max", unsubscribe_after_s=1.0) as sim:
            return await run_official(
                HERE / "official_client.py", package, "ticks", sim.port, "US.AAPL,HK.00700",
                len(ticks), home=tmp_path,
            )  # fmt: skip

    said = asyncio.run(main())
    assert said["complete"], said["subscribe"]
    assert [row["price"] for row in said["rows"]] == ticks["price"].tolist()
    assert [row["sequence"] for row in said["rows"]] == ticks["seq"].tolist()
    codes = {"US.AAPL": "AAPL.US", "HK.00700": "700.HK"}
    assert [symbols.index(codes[row["code"]]) for row in said["rows"]] == ticks["symbol"].tolist()


@pytest.mark.parametrize("package", ["longport", "longbridge"])
def test_the_vendors_own_client_of_longport(package, sessions, tmp_path):
    pytest.importorskip(package)
    path, rows, symbols = sessions("longport")

    async def main():
        async with simulator("longport", capture=path, speed="max") as sim:
            return await run_official(
                HERE / "official_longport.py",
                package,
                "pushes",
                sim.port,
                len(rows["ticks"]),
                home=tmp_path,
            )

    said = asyncio.run(main())
    assert said["complete"]
    for name in LONGPORT_SYMBOLS:
        of_name = {
            kind: found[found["symbol"] == symbols.index(name)] for kind, found in rows.items()
        }
        ticks, books = of_name["ticks"], of_name["books"]
        trades = [trade for symbol, trade in said["trades"] if symbol == name]
        assert [float(trade["price"]) for trade in trades] == ticks["price"].tolist()
        assert [trade["volume"] for trade in trades] == ticks["volume"].tolist()
        assert [trade["timestamp"] * 10**9 for trade in trades] == ticks["time_ns"].tolist()
        depths = [depth for symbol, depth in said["depth"] if symbol == name]
        best = [float(depth["bids"][0]["price"]) for depth in depths]
        assert best == books["bid_price"][:, 0].tolist()


def test_any_websocket_client_gets_alltick(sessions):
    path, rows, _symbols = sessions("alltick")
    ticks, books = rows["ticks"], rows["books"]

    async def main():
        async with simulator("alltick", capture=path, speed="max", hold=True) as sim:
            assert sim.side == "stock"
            async with open_websocket(f"{sim.url}?token=testtoken") as websocket:
                client = Client(websocket)
                assert await client.subscribe(SYMBOLS) == 200
                assert await client.subscribe(SYMBOLS, BOOKS, depth_level=5) == 200
                sim.begin()
                async with asyncio.timeout(10):
                    while len(client.ticks) < len(ticks) or len(client.books) < len(books):
                        await client.receive()
                return client.ticks, client.books

    found, found_books = asyncio.run(main())
    assert [float(each["price"]) for each in found] == ticks["price"].tolist()
    assert [float(each["volume"]) for each in found] == ticks["volume"].tolist()
    assert [int(each["seq"]) for each in found] == ticks["seq"].tolist()
    assert [float(each["bids"][0]["price"]) for each in found_books] == books["bid_price"][
        :, 0
    ].tolist()


def test_it_can_begin_again(sessions):
    path, rows, _symbols = sessions("opend")

    async def main():
        async with simulator("opend", capture=path, speed="max", loop=True) as sim:
            async with feed_at(sim, "opend") as feed:
                await feed.subscribe(SYMBOLS, "ticks", "books")
                await until(lambda: feed.books.count > 2 * len(rows["books"]))

    ff.run(main())


def test_a_torn_capture_is_served_up_to_there(tmp_path, caplog):
    path = tmp_path / "c"
    recorded("opend", path, flush_s=0.05)
    cut(path, 100)
    sim = simulator("opend", capture=path)
    assert set(sim.symbols) == set(SYMBOLS)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert ".ffcap" in caplog.text


def test_first_segments_that_are_not_there_are_told(tmp_path, caplog):
    path = tmp_path / "c"
    recorded("opend", path, count=600, segment_bytes=1 << 16, flush_s=0.02)
    (path / "000000.ffcap").unlink()
    simulator("opend", capture=path)
    assert [record.message for record in caplog.records] == [
        f"{path} begins with segment 1: those before it are not there"
    ]


@pytest.mark.parametrize("vendor", ["opend", "longport", "alltick"])
def test_only_captures_of_the_vendor_are_served(vendor, sessions):
    names = {"opend": "OpenD", "longport": "LongPort", "alltick": "AllTick"}
    other = "alltick" if vendor != "alltick" else "opend"
    path, _, _ = sessions(other)
    with pytest.raises(ff.ConfigError, match=f"is a capture of {names[other]}, expected one of"):
        simulator(vendor, capture=path)
    with pytest.raises(ff.ConfigError, match="a tape or a capture, got both"):
        simulator(vendor, capture=path, tape="x.csv")
    with pytest.raises(ff.StorageError):
        simulator(vendor, capture=path / "nothing")
    done = CliRunner().invoke(
        sim_command, [vendor, "--listen", "127.0.0.1:0", "--capture", str(path)]
    )
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    assert names[other] in done.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--capture", "x", "--tape", "y"], "--capture cannot be used together with --tape"),
        (["--capture", "x", "--rate", "5"], "--rate cannot be used together with --capture"),
        (["--speed", "5"], "--speed needs --tape or --capture"),
    ],
)
def test_options_that_say_nothing(arguments, text):
    done = CliRunner().invoke(sim_command, ["opend", *arguments])
    assert done.exit_code == 2
    assert text in done.output
