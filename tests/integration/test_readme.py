"""What the README shows works as it stands."""

import ast
import asyncio
import contextlib
import inspect
import pathlib
import re
import threading

import numpy as np
import pytest
from nats_server import nats_server

import fastfeed as ff
from fastfeed.cli.get import get
from fastfeed.cli.serve_config import load
from fastfeed.protocols.alltick_codes import PLANS
from fastfeed.protocols.longport_messages import MESSAGES, Command, message_class
from fastfeed.sim import AllTickSimulator, LongPortSimulator, OpenDSimulator

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)

OPEND = "opend://127.0.0.1:11111"
ALLTICK = "ws://127.0.0.1:11112"
LONGPORT = "ws://127.0.0.1:11113/v2"
LONGPORT_HTTP = "http://127.0.0.1:11113"
#: In the tables of the section about LongPort.
CONNECTION = (Command.AUTH, Command.RECONNECT, Command.SUBSCRIBE, Command.UNSUBSCRIBE)


def block(words):
    (found,) = [text for text in BLOCKS if words in text]
    return found


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("ALLTICK_TOKEN", "testtoken")
    for name, value in (("APP_KEY", "KEY"), ("APP_SECRET", "secret"), ("ACCESS_TOKEN", "TOKEN")):
        monkeypatch.setenv(f"LONGPORT_{name}", value)


def alltick():
    return AllTickSimulator(market="crypto", symbols=["BTCUSDT", "EURUSD", "GOLD"], rate=1000)


async def run_pulls(text, feed):
    """Run top-level code that has a feed; return its names."""
    code = compile(text, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {"feed": feed}
    running = eval(code, names)
    assert inspect.iscoroutine(running)
    await running
    return names


def test_every_block_is_run():
    assert len(BLOCKS) == 13


@pytest.mark.parametrize("address", [OPEND, LONGPORT, ALLTICK])
def test_quick_starts(address, monkeypatch, capsys):
    text = block(address)
    mains = []
    monkeypatch.setattr(ff, "run", mains.append)

    async def main():
        if address == ALLTICK:
            server = alltick()
        else:
            vendor = OpenDSimulator if address == OPEND else LongPortSimulator
            server = vendor(symbols=["700.HK", "AAPL.US"], rate=1000)
        async with server as sim:
            code = text.replace(address, sim.url)
            if address == LONGPORT:
                code = code.replace(LONGPORT_HTTP, sim.http_url)
            exec(code, {})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(mains[0], 2.5)

    asyncio.run(main())
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(
        ["BTCUSDT", "EURUSD"] if address == ALLTICK else ["700.HK", "AAPL.US"]
    )


class Enough(Exception):
    """The block has printed enough."""


def test_the_attached_strategy(monkeypatch, tmp_path):
    """A feed writes in one thread; the block reads in another, as another process would."""
    monkeypatch.setenv("FASTFEED_SHM", str(tmp_path))
    ready, done = threading.Event(), threading.Event()
    printed = []

    async def serve():
        async with OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=1000) as sim:
            with ff.Hub("md") as hub:
                async with ff.connect(sim.url, hub=hub) as feed:
                    await feed.subscribe(["700.HK", "AAPL.US"], "ticks", "quotes")
                    ready.set()
                    while not done.is_set():
                        await asyncio.sleep(0.05)

    def keep(*words):
        printed.append(words)
        if len({words[0] for words in printed}) == 2 and len(printed) >= 20:
            raise Enough

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(20)
        with pytest.raises(Enough):
            exec(block("ff.attach"), {"print": keep})
    finally:
        done.set()
        thread.join()
    assert {symbol for symbol, _, _ in printed} == {"700.HK", "AAPL.US"}
    assert all(price > 0 for _, price, _ in printed)


def test_nats(monkeypatch, tmp_path, capsys):
    """A relay publishes; both blocks read, the one with fastfeed and the one without."""
    for name in ("USER", "PASSWORD", "TOKEN", "CREDS"):
        monkeypatch.delenv(f"NATS_{name}", raising=False)
    mains = []
    monkeypatch.setattr(ff, "run", mains.append)

    async def main(server):
        hub = ff.Hub()
        rows = np.zeros(2, hub.ticks.dtype)
        async with ff.Relay(hub, server.url) as relay:
            for number in range(10):
                rows["symbol"] = hub.symbols.intern("700.HK")
                rows["price"], rows["volume"] = number, 100
                hub.ticks.ring.write(rows.view(np.uint8))
                async with asyncio.timeout(10):
                    while relay.stats()["messages"] <= number:
                        await asyncio.sleep(0.002)
        for words in ("127.0.0.1:4222/md", "pull_subscribe"):
            text = block(words).replace("nats://127.0.0.1:4222", server.url)
            exec(text.replace("asyncio.run(main())", "mains.append(main())"), {"mains": mains})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(mains[0], 1.5)
        await asyncio.wait_for(mains[1], 20)

    with nats_server(tmp_path) as server:
        asyncio.run(main(server))
    lines = capsys.readouterr().out.splitlines()
    assert "700.HK 9.0" in lines
    assert "md.ticks.HK.700 [9. 9.] [100. 100.]" in lines


def test_the_capture(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    text = block("ff.capture(").replace("sleep(60)", "sleep(1)")

    async def main():
        async with OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=1000) as sim:
            text_here = text.replace("opend://127.0.0.1", sim.url)
            code = compile(text_here, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            await asyncio.wait_for(eval(code, {"ff": ff, "asyncio": asyncio}), 20)

    asyncio.run(main())
    counts = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert sum(counts) > 100


def test_the_file_of_feeds(tmp_path, monkeypatch):
    monkeypatch.setenv("ALLTICK_TOKEN", "token")
    (text,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "feeds.toml").write_text(text)
    (tmp_path / "crypto.txt").write_text("BTCUSDT\nEURUSD\n")
    config = load(tmp_path / "feeds.toml")
    config.check()
    wanted = [plan.wanted for plan in config.plans(ff.Hub())]
    assert wanted == [
        [(["700.HK", "AAPL.US"], ("ticks", "quotes", "books"))],
        [(["BTCUSDT", "EURUSD"], ("ticks",))],
    ]


def test_the_tables(capsys):
    async def main():
        async with OpenDSimulator(symbols=["700.HK"], rate=5000) as sim:
            async with ff.connect(sim.url) as feed:
                await feed.subscribe("700.HK", "ticks")
                await asyncio.wait_for(anext(aiter(feed.ticks)), 10)
                return await run_pulls(f"import fastfeed as ff\n{block('ff.to_pandas')}", feed)

    names = asyncio.run(main())
    assert len(names["frame"]) == names["table"].num_rows == len(names["ticks"]) > 0
    assert set(names["frame"]["symbol"]) == {"700.HK"}
    assert str(names["frame"]["time"].dtype) == "datetime64[ns, Asia/Hong_Kong]"
    assert "units traded" in capsys.readouterr().out


def test_the_pulls(capsys):
    async def main():
        async with OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=1000) as sim:
            async with ff.connect(sim.url) as feed:
                return await run_pulls(block("get_watchlist"), feed)

    names = asyncio.run(main())
    assert names["names"] == ["700.HK", "AAPL.US"]
    assert [snapshot.symbol for snapshot in names["snapshots"]] == names["names"]
    assert len(names["everything"]) > 2000
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_the_pulls_of_alltick():
    async def main():
        async with alltick() as sim:
            async with ff.connect("alltick://crypto", url=sim.url, plan="professional") as feed:
                return await run_pulls(block("latest ="), feed)

    names = asyncio.run(main())
    assert [len(names[name]) for name in ("trades", "bars", "latest")] == [2, 100, 4]
    assert names["book"]["bids"] == 5


def test_the_pulls_of_longport():
    async def main():
        async with LongPortSimulator(symbols=["700.HK", "AAPL.US"], rate=1000) as sim:
            async with ff.connect("longport://", url=sim.url, http_url=sim.http_url) as feed:
                return await run_pulls(block("get_calc_indexes"), feed)

    names = asyncio.run(main())
    assert set(names["quotes"]["symbol"]) == {0, 1}
    assert len(names["bars"]) == 100
    assert len(names["history"]) > 100
    assert len(names["chain"]) > 1
    assert set(names["numbers"]["700.HK"]) == {"pe_ttm_ratio", "pb_ratio"}


def test_the_table_of_longports_pulls():
    rows = re.findall(r"^\| (\d+) \| `(get_\w+)\(.*?\| `([\w-]+)` \|$", README.read_text(), re.M)
    assert [int(number) for number, _, _ in rows] == [
        command for command in MESSAGES if command not in CONNECTION
    ]
    for number, method, _ in rows:
        assert re.search(rf"[(\s,]{number}\b", inspect.getdoc(getattr(ff.LongPort, method)))
    assert sorted(name for _, _, name in rows) == sorted(get.of(ff.LongPort))


def test_the_table_of_longports_quotes():
    """Each field lands where the table says, and none is left out."""
    rows = re.findall(
        r"^\|(?: (\d+) `(\w+)`)? \|(?: (\d+) `(\w+)`)? \| (`\w+`(?:, `\w+`)?) \| (.*) \|$",
        README.read_text(),
        re.M,
    )
    sent, places = {}, {}
    for name, where in (("SecurityQuote", slice(0, 2)), ("PrePostQuote", slice(2, 4))):
        told = {int(row[where][0]): row[where][1] for row in rows if row[where][0]}
        fields = message_class(name).DESCRIPTOR.fields
        assert told == {field.number: field.name for field in fields}
        sent[name] = message_class(name)(
            **{f.name: _value(f) for f in fields if f.message_type is None and f.name != "symbol"}
        )
        places[name] = {row[where][1]: re.findall(r"\w+", row[4]) for row in rows if row[where][1]}
    quote = sent["SecurityQuote"]
    quote.symbol = "AAPL.US"
    for row in rows:
        if row[5].startswith("`Session.") and row[1]:
            getattr(quote, row[1]).CopyFrom(sent["PrePostQuote"])

    class Asked(ff.LongPort):
        async def _ask(self, command, **fields):
            assert command == Command.QUOTES
            return message_class("SecurityQuoteResponse")(secu_quote=[quote]).SerializeToString()

    feed = Asked()
    found = asyncio.run(feed.get_quotes("AAPL.US"))
    sessions = [re.findall(r"Session\.(\w+)", row[5]) for row in rows]
    told = [ff.Session[names[0]] for names in sessions if names]
    assert found["session"].tolist() == told == [1, 2, 3, 4]
    assert {feed.symbols[number] for number in found["symbol"]} == {"AAPL.US"}
    for i, row in enumerate(found):
        name = "PrePostQuote" if i else "SecurityQuote"
        for field, (first, *_) in places[name].items():
            if first in ("symbol", "session"):
                continue
            value = float(getattr(sent[name], field))
            assert float(row[first]) == (value * 1e9 if first == "time_ns" else value)
        assert str(row["open"]) == ("nan" if i else str(float(quote.open)))
        assert (row["status"], row["suspended"]) == (quote.trade_status, 1)
        assert (row["seq"], row["gateway_ns"]) == (-1, 0)


def _value(field):
    """Return a value that no other field has; as a status one of those that suspend."""
    if field.name == "trade_status":
        return 10
    if field.name == "timestamp":
        return 1_700_000_000 + field.number
    return f"{field.number}.25" if field.type == field.TYPE_STRING else field.number * 1000


def test_the_plans_are_those_that_are_kept():
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| ([\d,]+)[^|]*\| (\d+) s \|(.*)\|$", README.read_text(), re.M
    )
    assert [row[0] for row in rows] == list(PLANS)
    for name, connections, codes, gap_s, http in rows:
        plan = PLANS[name]
        calls, *most = http.replace(",", "").split("|")
        assert (int(connections), int(codes.replace(",", "").strip())) == (
            plan.connections,
            plan.codes,
        )
        assert float(gap_s) == plan.reconnect_gap_s
        assert int(calls.split()[0]) == plan.request[0]
        assert [int(number) for number in most] == [plan.per_minute, plan.per_day]


def test_the_metrics(capsys):
    async def main():
        async with OpenDSimulator(symbols=["700.HK"], rate=1000) as sim:
            async with ff.connect(sim.url) as feed:
                await feed.subscribe("700.HK", "ticks")
                text = f"import fastfeed as ff\n{block('ff.serve_metrics(')}"
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(run_pulls(text.replace("9000", "0"), feed), 2)

    asyncio.run(main())
    first, *prices = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"metrics at http://127\.0\.0\.1:\d+/metrics", first)
    assert all(float(price) > 0 for price in prices)
    assert prices


def test_the_recording(shm, tmp_path, monkeypatch):
    for package in ("duckdb", "pandas", "polars"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    text = block("ff.record(").replace("time.sleep(3600)", "publish()")
    with ff.Hub("md") as hub:
        hub.symbols.intern("700.HK")
        rows = np.zeros(3, hub.ticks.dtype)
        rows["recv_ns"], rows["volume"] = 1_795_700_000_000_000_000, 100  # 2026-11-26
        names = {"publish": lambda: hub.ticks.ring.write(rows.view(np.uint8))}
        exec(text.replace("duckdb.sql(", "totals = duckdb.sql("), names)
    assert names["totals"].fetchall() == [("700.HK", 300.0)]
    assert len(names["ticks"]) == 3
