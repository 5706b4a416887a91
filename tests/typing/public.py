"""What type checkers must find in the public surface; read by tests/unit/test_typing.py, never run."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastfeed as ff


async def use() -> None:
    async with ff.connect("opend://127.0.0.1:11111", wait_s=1.0) as feed:
        assert_type(feed, ff.Feed)
        await feed.subscribe("700.HK", "ticks")
        await feed.subscribe(["700.HK", "AAPL.US"], "ticks")
        assert_type(feed.ticks, ff.Stream)
        assert_type(feed.symbols[0], str)
        assert_type(feed.symbols["700.HK"], int)
        async for rows in feed.ticks:
            assert_type(rows, NDArray[np.void])
        remove = feed.ticks.on_batch(lambda batch: print(batch["price"]))
        assert_type(remove(), None)
        reader = feed.ticks.reader("oldest")
        assert_type(await reader.wait(0.5), bool)
        assert_type(reader.read(10), NDArray[np.void])
        assert_type(reader.lost, int)
        assert_type(feed.stats(), dict[str, Any])
        feed.on_event(lambda event: print(event.kind, event.symbols))
    async with ff.OpenD("127.0.0.1", 11111, session="ALL") as opend:
        assert_type(opend, ff.OpenD)
        assert_type(await opend.get_ticks("700.HK", 100, subscribe=True), NDArray[np.void])
        assert_type(await opend.get_book("700.HK", 40), np.void)
        bars = opend.get_history_bars("700.HK", "1m", "2026-01-02", limit=5000)
        assert_type(bars, ff.HistoryBars)
        assert_type(await bars, NDArray[np.void])
        async for page in bars:
            assert_type(page, NDArray[np.void])
        for snapshot in await opend.get_snapshots(["700.HK"]):
            assert_type(snapshot, ff.Snapshot)
            assert_type(snapshot.volume, float)
            assert_type(snapshot.update_ns, int | None)
            if snapshot.option is not None:
                assert_type(snapshot.option.delta, float)
        assert_type(await opend.get_watchlist("All"), list[ff.StaticInfo])
        assert_type((await opend.get_global_state()).market_hk, str)
        ticks = opend.ticks.latest(10)
        print(ff.to_arrow(ticks, opend.symbols, tz="Asia/Hong_Kong").num_rows)
        ff.to_pandas(ticks[0], opend.symbols)
        ff.to_polars(opend.ticks.latest(5), opend.symbols).lazy()
        assert_type(ff.rows_of(ff.to_arrow(ticks, opend.symbols), opend.symbols), NDArray[np.void])
        print(ff.arrow_schema("books", 5, tz="UTC").names)
    async with ff.AllTick(token="t", market="crypto", plan="premium") as alltick:
        assert_type(alltick, ff.AllTick)
        assert_type(await alltick.get_ticks(["BTCUSDT", "GOLD"]), NDArray[np.void])
        assert_type(await alltick.get_book("BTCUSDT"), np.void)
        assert_type(await alltick.get_book(["BTCUSDT"]), NDArray[np.void])
        assert_type(await alltick.get_bars("BTCUSDT", "4h", 10), NDArray[np.void])
        assert_type(await alltick.round_trip_ns(), int)


async def use_longport() -> None:
    async with ff.LongPort(transport="tcp", region="cn", overnight=True) as longport:
        assert_type(longport, ff.LongPort)
        assert_type(await longport.get_quotes(["700.HK"]), NDArray[np.void])
        assert_type(await longport.get_ticks("700.HK", 100), NDArray[np.void])
        assert_type(await longport.get_book("700.HK"), np.void)
        history = longport.get_history_bars("700.HK", "45m", "2026-01-02", session="all")
        assert_type(history, ff.HistoryBars)
        assert_type((await longport.get_option_quotes("A.US")).rows, NDArray[np.void])
        assert_type(await longport.get_static_info("700.HK"), list[ff.LongPortStaticInfo])
        assert_type(await longport.get_option_chain("A.US"), list[ff.LongPortOptionChain])
        assert_type(await longport.get_trading_days("HK"), list[ff.LongPortTradingDay])
        assert_type(await longport.get_warrants("700.HK"), ff.Warrants)
        assert_type(await longport.get_profile(), ff.Profile)
        assert_type(await longport.get_connections(), ff.Connections)
        assert_type(longport.session_expires_ns, int | None)


async def replay() -> None:
    async with ff.Replay("captured", speed="max", hub=ff.Hub()) as feed:
        assert_type(feed, ff.Replay)
        assert_type(feed.damage, str | None)
        assert_type(feed.header.vendor, str)
        assert_type(await feed.finished(), None)
        async for rows in feed.ticks:
            assert_type(rows, NDArray[np.void])


def decode(data: bytes) -> None:
    decoder = ff.Decoder("opend", ff.Hub(capacity=1024))
    ff.Decoder("longport", transport="tcp")
    assert_type(decoder.feed(memoryview(data)), int)
    assert_type(ff.dtype("ticks"), np.dtype[Any])
    assert_type(ff.run(_answer()), int)


def attach() -> None:
    with ff.Hub("md", capacity=1024, mode=0o640) as own:
        assert_type(own.ticks, ff.Stream)
        assert_type(own.name, str | None)
    with ff.attach("md", user="root", wait="block", wait_s=1.0, follow=False) as hub:
        assert_type(hub, ff.AttachedHub)
        assert_type(hub.ticks, ff.AttachedStream)
        assert_type(hub.symbols["700.HK"], int)
        assert_type(hub.broker_name(7), str | None)
        assert_type(hub.ticks.latest(5), NDArray[np.void])
        assert_type(hub.quotes.latest("700.HK", ff.Session.PRE), np.void | None)
        for rows in hub.ticks:
            assert_type(rows, NDArray[np.void])
        reader = hub.books.reader("oldest", wait="spin")
        assert_type(reader, ff.AttachedReader)
        assert_type(reader.wait(0.5), bool)
        assert_type(reader.read(10), NDArray[np.void])
        assert_type((reader.position, reader.lost, reader.intact()), tuple[int, int, bool])
        assert_type(reader.symbols[0], str)
        assert_type((hub.alive, hub.generation, hub.writer_pid), tuple[bool, int, int])
        assert_type(hub.on_event(print)(), None)
        assert_type(hub.look(), bool)


def metrics(feed: ff.Feed, hub: ff.Hub, attached: ff.AttachedHub) -> None:
    with ff.serve_metrics(9000, hub, feeds=[feed], host="0.0.0.0", silent_s=120) as server:
        assert_type(server, ff.MetricsServer)
        assert_type(server.url, str)
    assert_type(ff.MetricsCollector(attached), ff.MetricsCollector)
    ff.MetricsCollector(hub, feeds=lambda: [feed], parts={"recording": feed})
    ff.serve_metrics("9000", hub)  # type: ignore[arg-type]


async def attach_async() -> None:
    hub = ff.attach("md")
    async for rows in hub.ticks:
        assert_type(rows, NDArray[np.void])
    reader = hub.ticks.reader()
    assert_type(await reader.wait_async(0.5), bool)
    async for rows in reader:
        assert_type(rows, NDArray[np.void])


async def relay() -> None:
    with ff.attach("md") as hub:
        async with ff.Relay(hub, "nats://h", kinds=["ticks"], shard=(1, 2), max_age_s=60.0) as one:
            assert_type(one, ff.Relay)
            assert_type(one.stats(), dict[str, Any])
            assert_type(one.on_event(print)(), None)
            assert_type(await one.wait(), None)
            assert_type(one.connected, bool)
    async with ff.Nats(servers="a,b", prefix="md", start="oldest") as feed:
        assert_type(feed, ff.Nats)
        assert_type(feed.ticks, ff.Stream)
        assert_type(await feed.get_stream_state(), dict[str, Any])


async def captured() -> None:
    feed = ff.connect("opend://h")
    written = ff.capture(feed, "folder", zstd=True, segment_bytes=1 << 20, buffer_bytes=1 << 20)
    assert_type(written, ff.Capture)
    assert_type(written.stats(), dict[str, Any])
    written.close()
    found = ff.CaptureFile("folder")
    player = ff.Player(found, ff.Hub())
    for record in found:
        assert_type(record.recv_ns, int)
        assert_type(record.payload, memoryview)
        assert_type(player.play(record), int)
    for chunk in found.chunks():
        assert_type(player.play(chunk), int)
    assert_type(player.hub, ff.Hub)
    assert_type(found.header.vendor, str)
    if found.damage is not None:
        assert_type((found.damage.position, found.damage.reason), tuple[int, str])


async def _answer() -> int:
    return 42


ff.connect("opend://h").subscribe(700, "ticks")  # type: ignore[arg-type, unused-coroutine]
ff.OpenD(session="NIGHT")  # type: ignore[arg-type]
ff.AllTick(market="forex")  # type: ignore[arg-type]
ff.attach("md", wait="sleep")  # type: ignore[arg-type]
ff.Replay("captured", speed="fast")  # type: ignore[arg-type]
ff.LongPort(transport="udp")  # type: ignore[arg-type]
ff.Relay(ff.Hub(), "nats://h", storage="tape")  # type: ignore[arg-type]


async def record_rows(hub: ff.AttachedHub) -> None:
    with ff.record(hub, "data", "ticks", "books", symbols=["700.HK"], flush_s=0.5) as recording:
        assert_type(recording, ff.Recording)
        assert_type(recording.stats(), dict[str, Any])
        assert_type(recording.ended, bool)
    async with ff.record("md", "data", compression="zstd", tell=print) as named:
        assert_type(named, ff.Recording)
        assert_type(named.recovered, list[ff.Sealed])
    for sealed in ff.recover("data"):
        assert_type(sealed.rows, int)
        assert_type(sealed.damage, str)
