"""The candidates of the wire benches for LongPort: each connects, subscribes and receives so many trade pushes; or
pulls the quotes of 500 symbols.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

Result = dict[str, Any]

CODES = 100
QUOTED = 500
_KEYS = ("KEY", "secret", "TOKEN")


async def fastfeed(port: int, pushes: int, options: dict[str, int]) -> Result:
    """Count rows in a callback."""
    from fastfeed.bench.longport_pushes import sample

    names = sample("ticks", CODES, 0).symbols
    async with _feed(port, tcp=bool(options.get("tcp"))) as feed:
        done = asyncio.get_running_loop().create_future()
        left = pushes

        def on_batch(rows: Any) -> None:
            nonlocal left
            left -= len(rows)
            if left <= 0 and not done.done():
                done.set_result(time.perf_counter())

        feed.ticks.on_batch(on_batch)
        started = time.perf_counter()
        await feed.subscribe(names, "ticks")
        seconds = await done - started
        stats = feed.stats()
        assert stats["ticks"] == pushes, stats
        assert stats["rejected"] == {}, stats
        assert stats["old"] == 0, stats
    return {"seconds": seconds}


async def fastfeed_quotes(port: int, calls: int, options: dict[str, int]) -> Result:
    """Time pulls of quotes, one after the other."""
    seconds = []
    async with _feed(port) as feed:
        names = await _symbols_of(port)
        for _ in range(calls):
            started = time.perf_counter()
            rows = await feed.get_quotes(names)
            seconds.append(time.perf_counter() - started)
        regular = rows[rows["session"] == 1]
        assert len(regular) == QUOTED
        return {"seconds": seconds, "checksum": float(regular["prev_close"].sum())}


def _feed(port: int, *, tcp: bool = False) -> Any:
    import fastfeed as ff

    url = f"tcp://127.0.0.1:{port}" if tcp else f"ws://127.0.0.1:{port}/v2"
    names = ("app_key", "app_secret", "access_token")
    keys: dict[str, Any] = dict(zip(names, _KEYS, strict=True))
    return ff.connect("longport://", url=url, http_url=f"http://127.0.0.1:{port}", **keys)


async def _symbols_of(port: int) -> list[str]:
    from longport_simulator import SYMBOLS

    return SYMBOLS


def sdk(package: str) -> Callable[[int, int, dict[str, int]], Result]:
    """Return a candidate that counts in the callback of an official SDK."""

    def count(port: int, pushes: int, options: dict[str, int]) -> Result:
        from fastfeed.bench.longport_pushes import sample

        names = sample("ticks", CODES, 0).symbols
        context, sub_type = _context(package, port)
        done = threading.Event()
        left = pushes
        ended = 0.0

        def on_trades(symbol: str, event: Any) -> None:
            nonlocal left, ended
            left -= 1
            if left == 0:
                ended = time.perf_counter()
                done.set()

        context.set_on_trades(on_trades)
        started = time.perf_counter()
        context.subscribe(names, [sub_type.Trade])
        assert done.wait(120), left
        return {"seconds": ended - started}

    return count


def sdk_quotes(package: str) -> Callable[[int, int, dict[str, int]], Result]:
    """Return a candidate that times an official SDK's pulls."""

    def pull(port: int, calls: int, options: dict[str, int]) -> Result:
        from longport_simulator import SYMBOLS

        context, _ = _context(package, port)
        seconds = []
        time.sleep(1.1)  # longport begins without a right to any call
        for _ in range(calls):
            started = time.perf_counter()
            quotes = context.quote(SYMBOLS)
            if options.get("read"):  # they become Python's numbers when they are asked for
                for quote in quotes:
                    _read(quote)
            seconds.append(time.perf_counter() - started)
        assert len(quotes) == QUOTED
        return {"seconds": seconds, "checksum": float(sum(quote.prev_close for quote in quotes))}

    return pull


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


def _context(package: str, port: int) -> Any:
    import importlib

    openapi = importlib.import_module(f"{package}.openapi")
    make = getattr(openapi.Config, "from_apikey", openapi.Config)
    config = make(
        *_KEYS,
        http_url=f"http://127.0.0.1:{port}",
        quote_ws_url=f"ws://127.0.0.1:{port}/v2",
        enable_print_quote_packages=False,
    )
    return openapi.QuoteContext(config), openapi.SubType


CANDIDATES = {"longport-fastfeed": fastfeed, "longport-fastfeed-quotes": fastfeed_quotes}
SDK_CANDIDATES = {
    f"longport-{package}{kind}": make(package)
    for package in ("longport", "longbridge")
    for kind, make in (("", sdk), ("-quotes", sdk_quotes))
}
