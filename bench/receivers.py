"""Candidates of the wire benches that the instrument does not have: they need a compiler, or ask special questions."""

from __future__ import annotations

import asyncio
import ctypes
import ssl
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import uvloop
from compiled import Loop, Publisher, watch

import fastfeed as ff
from fastfeed.bench import alltick_clients, longport_clients, opend_clients
from fastfeed.bench.clients import DEADLINE_S, Count, Done, Sink, Stamps
from fastfeed.bench.gateway import packets_of
from fastfeed.bench.opend_pushes import PULLED, codes
from fastfeed.bench.turns import Candidate

HERE = Path(__file__).parent
WINDOW_BYTES = 1 << 18


def ours(name: str, factory: str, **more: Any) -> Candidate:
    """Return a candidate of this module; options of `Candidate` may follow."""
    return Candidate(name, f"receivers:{factory}", path=[str(HERE)], **more)


def codes_of(symbols: Sequence[str]) -> list[str]:
    """Return OpenD's codes."""
    return [symbol.removesuffix(".US") for symbol in symbols]


# ---- OpenD


class Decoding(opend_clients.Reading):
    """The hand-written loop in C."""

    def receive(self, sink: Sink) -> None:
        packets = packets_of(self.path, False)
        count = self.pushes if isinstance(sink, Count) else sink.total
        total = int(packets.ends[count - 1]) * sink.total // count
        self.loop = Loop(codes_of(self.sample.symbols))
        with self.greet() as sock:
            sock.settimeout(None)  # the loop knows blocking sockets only
            sink.begin(lambda: None)
            reads = self.loop.receive(sock.fileno(), WINDOW_BYTES, total)
            sink.less(sink.total)
        if reads <= 0 or self.loop.head != sink.total:
            raise ConnectionError(f"{self.loop.head} of {sink.total} rows came")

    def rows(self, count: int) -> tuple[list[str], Any]:
        self.receive(Sink(count))
        rows = self.loop.rows[:count]
        return [self.sample.symbols[i] for i in rows["symbol"].tolist()], rows


class Published(opend_clients.Fastfeed):
    """Watches the ring from outside the interpreter; ``hold_ms``: while Python holds the GIL."""

    def __init__(self, *, interval_ns: int = 0, hold_ms: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.interval_ns = interval_ns
        self.hold_ms = hold_ms

    def round(self, count: int = 0) -> dict[str, Any]:
        return {"late_ns": uvloop.run(self._published(count))}

    async def _published(self, count: int) -> list[int]:
        async with asyncio.timeout(DEADLINE_S), self.feed() as feed:
            ring = feed.ticks.ring
            watching = asyncio.create_task(asyncio.to_thread(watch, ring, count, self.interval_ns))
            await feed.subscribe(self.sample.symbols, "ticks")
            if self.hold_ms:
                await asyncio.to_thread(_hold, watching, self.hold_ms)
            late = await watching
            if feed.stats()["rejected"]:
                raise RuntimeError(f"expected nothing rejected, got {feed.stats()}")
        return late


def _hold(until: asyncio.Task[Any], ms: int) -> None:
    """Hold the GIL again and again for so long, with a millisecond in between."""
    usleep = ctypes.PyDLL(None).usleep
    while not until.done():
        usleep(ms * 1000)
        time.sleep(0.001)


class Publishing(opend_clients.Fastfeed):
    """Counts rows in the ring, at which it looks a thousand times a second."""

    def round(self, count: int = 0) -> dict[str, Any]:
        return {"seconds": uvloop.run(self._publishing(self.pushes * self.repeat))}

    async def _publishing(self, total: int) -> float:
        async with asyncio.timeout(DEADLINE_S), self.feed() as feed:
            stream = feed.ticks
            started = time.perf_counter()
            await feed.subscribe(self.sample.symbols, "ticks")
            while stream.count < total:
                await asyncio.sleep(0.001)
            seconds = time.perf_counter() - started
            stats = feed.stats()
            if stats["ticks"] != total or stats["rejected"]:
                raise RuntimeError(f"expected {total} ticks and none rejected, got {stats}")
        return seconds


class LoopPublished(opend_clients.Reading):
    """Receives, decodes and publishes in a loop in C, and watches that; of a blast, without anybody who watches."""

    def __init__(
        self, *, how: Literal["spin", "epoll"], interval_ns: int = 0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.how = how
        self.interval_ns = interval_ns

    def round(self, count: int = 0) -> dict[str, Any]:
        total = count or self.pushes * self.repeat
        decoder = Publisher(codes_of(self.sample.symbols))
        with ThreadPoolExecutor() as pool, self.greet() as sock:
            watching = pool.submit(decoder.watch, count, self.interval_ns) if count else None
            started = time.perf_counter()
            reads = decoder.publish(sock.fileno(), WINDOW_BYTES, total, self.how)
            seconds = time.perf_counter() - started
            if reads <= 0 or decoder.head != total:
                raise ConnectionError(f"{decoder.head} of {total} rows came")
            if watching is not None:
                return {"late_ns": watching.result()}
        return {"seconds": seconds}


class StampsAndPulls(opend_clients.Fastfeed):
    """Takes the time at the beginning of each callback, while bars are pulled so many times a second."""

    def __init__(self, *, pulls_per_second: int, **options: Any) -> None:
        super().__init__(**options)
        self.pulls_per_second = pulls_per_second
        self.pulls = 0

    def round(self, count: int = 0) -> dict[str, Any]:
        sink = _Meanwhile(count)
        self.pulls = 0
        self.receive(sink)
        return {"late_ns": sink.late, "meanwhile": sink.meanwhile, "pulls": self.pulls}

    async def beside(self, feed: Any, sink: Sink, done: Done) -> None:
        assert isinstance(sink, _Meanwhile)
        if not self.pulls_per_second:
            return
        name = f"{codes(1)[0]}.US"
        while not sink.late and not done.future.done():  # the first push has not come
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        following = loop.time()
        while not done.future.done():
            sink.under_way = True
            if len(await feed.get_bars(name, "1m", PULLED)) != PULLED:
                raise RuntimeError(f"expected {PULLED} bars")
            sink.under_way = False
            self.pulls += 1
            following += 1 / self.pulls_per_second
            await asyncio.wait((done.future,), timeout=max(0.0, following - loop.time()))


class _Meanwhile(Stamps):
    """Notes of each push whether a pull is under way."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.under_way = False
        self.meanwhile: list[bool] = []

    def batch(self, rows: Any) -> None:
        super().batch(rows)
        self.meanwhile += [self.under_way] * len(rows)


class Pulls:
    """Times pulls of ticks, one after the other."""

    def __init__(self, port: int, calls: int) -> None:
        self.port = port
        self.calls = calls

    def round(self) -> dict[str, Any]:
        """Return the seconds of each, and a sum of the prices."""
        return uvloop.run(self._round())

    async def _round(self) -> dict[str, Any]:
        name = f"{codes(1)[0]}.US"
        seconds: list[float] = []
        async with (
            asyncio.timeout(DEADLINE_S),
            ff.connect(f"opend://127.0.0.1:{self.port}") as feed,
        ):
            await feed.subscribe(name, "ticks")
            while len(await feed.get_ticks(name, PULLED)) < PULLED:  # a simulator's tape is playing
                await asyncio.sleep(0.05)
            for _ in range(self.calls):
                started = time.perf_counter()
                rows = await feed.get_ticks(name, PULLED)
                seconds.append(time.perf_counter() - started)
            assert len(rows) == PULLED
            assert set(rows["symbol"].tolist()) == {feed.symbols[name]}
        return {"seconds": seconds, "checksum": float(rows["price"].sum())}


class FutuPulls:
    """The same with futu-api."""

    def __init__(self, port: int, calls: int) -> None:
        import futu

        futu.SysConfig.set_all_thread_daemon(True)
        self._futu = futu
        self.port = port
        self.calls = calls

    def round(self) -> dict[str, Any]:
        """Return the seconds of each, and a sum of the prices."""
        futu, name = self._futu, f"US.{codes(1)[0]}"
        seconds: list[float] = []
        deadline = time.monotonic() + DEADLINE_S
        context = futu.OpenQuoteContext("127.0.0.1", self.port)
        try:
            status, message = context.subscribe([name], [futu.SubType.TICKER], subscribe_push=False)
            assert status == futu.RET_OK, message
            while time.monotonic() < deadline:
                status, table = context.get_rt_ticker(name, num=PULLED)
                assert status == futu.RET_OK, table
                if len(table) == PULLED:
                    break
                time.sleep(0.05)
            for _ in range(self.calls):
                started = time.perf_counter()
                status, table = context.get_rt_ticker(name, num=PULLED)
                seconds.append(time.perf_counter() - started)
                assert status == futu.RET_OK, table
            assert len(table) == PULLED
        finally:
            context.close()
        return {"seconds": seconds, "checksum": float(table["price"].sum())}


# ---- AllTick, encrypted


def unverified() -> ssl.SSLContext:
    """Return a context for the bench's own certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class EncryptedFastfeed(alltick_clients.Fastfeed):
    """Over TLS."""

    def feed(self) -> Any:
        return ff.AllTick(
            token="bench",
            url=f"wss://127.0.0.1:{self.port}{alltick_clients.PATH}",
            ssl_context=unverified(),
        )


class EncryptedPicows(alltick_clients.Picows):
    """Over TLS."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.url = self.url.replace("ws://", "wss://")
        self.ssl_context = unverified()


# ---- LongPort's quotes


class Quotes(longport_clients.Fastfeed):
    """Times pulls of quotes, one after the other."""

    def __init__(self, port: int, calls: int, quoted: int) -> None:
        from longport_simulator import SYMBOLS

        self.port = port
        self.calls = calls
        self.quoted = quoted
        self.names = SYMBOLS
        self.transport = "ws"
        self.options = {}

    def round(self, count: int = 0) -> dict[str, Any]:
        """Return the seconds of each, and a sum of the prices."""
        return uvloop.run(self._quotes())

    async def _quotes(self) -> dict[str, Any]:
        seconds = []
        async with asyncio.timeout(DEADLINE_S), self.feed() as feed:
            for _ in range(self.calls):
                started = time.perf_counter()
                rows = await feed.get_quotes(self.names)
                seconds.append(time.perf_counter() - started)
        regular = rows[rows["session"] == 1]
        assert len(regular) == self.quoted
        return {"seconds": seconds, "checksum": float(np.sum(regular["prev_close"]))}


class SdkQuotes:
    """The same with an official SDK, with ``read`` until its values are Python's numbers."""

    def __init__(
        self, port: int, calls: int, quoted: int, package: str, read: bool = False
    ) -> None:
        from longport_simulator import SYMBOLS

        self.port = port
        self.calls = calls
        self.quoted = quoted
        self.package = package
        self.read = read
        self.names = SYMBOLS

    def round(self) -> dict[str, Any]:
        """Return the seconds of each, and a sum of the prices."""
        context, _ = longport_clients.quote_context(self.package, self.port)
        seconds = []
        time.sleep(1.1)  # longport begins without a right to any call
        for _ in range(self.calls):
            started = time.perf_counter()
            quotes = context.quote(self.names)
            if self.read:  # they become Python's numbers when they are asked for
                for quote in quotes:
                    _read(quote)
            seconds.append(time.perf_counter() - started)
        assert len(quotes) == self.quoted
        return {"seconds": seconds, "checksum": float(sum(quote.prev_close for quote in quotes))}


def _read(quote: Any) -> tuple[Any, ...]:
    """Return what a row has of a quote."""
    return (
        quote.symbol,
        quote.timestamp.timestamp(),
        *map(float, (quote.last_done, quote.open, quote.high, quote.low, quote.prev_close)),
        quote.volume,
        float(quote.turnover),
        quote.trade_status,
    )


# ---- capturing


class _Capturing:
    """A feed that is captured: to a file on disk, without a loss."""

    def __init__(self, *, capture: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.capture = capture or {}

    async def _run(self, feed: Any, sink: Sink) -> None:
        with tempfile.TemporaryDirectory(prefix="fastfeed-bench-") as folder:
            with ff.capture(feed, folder, **self.capture) as written:
                await super()._run(feed, sink)  # type: ignore[misc]
            stats = written.stats()
        if stats["gaps"] or stats["failing"]:
            raise RuntimeError(f"expected a capture without a gap, got {stats}")


class CapturingOpenD(_Capturing, opend_clients.Fastfeed):
    """`ff.capture` of OpenD."""


class CapturingLongPort(_Capturing, longport_clients.Fastfeed):
    """`ff.capture` of LongPort."""


class CapturingAllTick(_Capturing, alltick_clients.Fastfeed):
    """`ff.capture` of AllTick."""
