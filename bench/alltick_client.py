"""The candidates of the wire benches for AllTick: each connects, subscribes and receives so many pushes.

All but "nothing" and fastfeed decode each push with msgspec, into a typed struct.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from typing import Any

Result = dict[str, Any]

CODES = 100
SUBSCRIBE = json.dumps(
    {"cmd_id": 22004, "seq_id": 1, "trace": "bench", "data": {"symbol_list": [{"code": "X"}]}}
)


def url_of(port: int, options: dict[str, int]) -> str:
    """Return the server's address."""
    return f"ws{'s' * bool(options.get('tls'))}://127.0.0.1:{port}/quote-stock-b-ws-api"


def unverified() -> ssl.SSLContext:
    """Return a context for the bench's own certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Counter:
    """What a candidate calls with each push, or with many."""

    def __init__(self, pushes: int, stamps: bool) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.left = pushes
        self.late: list[int] | None = [] if stamps else None
        self.started = time.perf_counter()

    def __call__(self, sequence: int) -> None:
        """Take a push."""
        if self.late is not None:
            self.late.append(time.time_ns() - sequence)
        self.left -= 1
        if self.left == 0:
            self.end()

    def end(self) -> None:
        """Take note that all are there."""
        if not self.done.done():
            self.done.set_result(time.perf_counter() - self.started)

    async def result(self) -> Result:
        """Wait for the end."""
        seconds = await self.done
        return {"late_ns": self.late} if self.late is not None else {"seconds": seconds}


async def fastfeed(port: int, pushes: int, options: dict[str, int]) -> Result:
    """Count rows in a callback, or take the time at its beginning."""
    import fastfeed as ff
    from fastfeed.bench.alltick_pushes import sample

    names = sample("ticks", CODES, 0).symbols
    async with ff.AllTick(
        token="benchmark",
        url=url_of(port, options),
        ssl_context=unverified() if options.get("tls") else None,
    ) as feed:
        counter = Counter(pushes, bool(options.get("stamps")))

        def on_batch(rows: Any) -> None:
            if counter.late is None:
                counter.left -= len(rows)
                if counter.left <= 0:
                    counter.end()
                return
            now = time.time_ns()
            for sequence in rows["seq"].tolist():
                counter.late.append(now - sequence)
            if len(counter.late) >= pushes:
                counter.end()

        feed.ticks.on_batch(on_batch)
        await feed.subscribe(names, "ticks")
        result = await counter.result()
        stats = feed.stats()
        assert stats["ticks"] == pushes, stats
        assert stats["rejected"] == {}, stats
    return result


async def with_picows(port: int, pushes: int, options: dict[str, int]) -> Result:
    """Decode each frame's payload in place."""
    import picows

    from fastfeed.bench.decoders_alltick import tick_decoder

    decode = None if options.get("nothing") else tick_decoder
    counter = Counter(pushes, bool(options.get("stamps")))
    first = True

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, SUBSCRIBE.encode())

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            nonlocal first
            if first:  # the acknowledgement
                first = False
            elif decode is None:
                counter(0)
            else:
                counter(decode(frame.get_payload_as_memoryview()).data.seq)

    transport, _ = await picows.ws_connect(
        Listener,
        url_of(port, options),
        ssl_context=unverified() if options.get("tls") else None,
    )
    try:
        return await counter.result()
    finally:
        transport.disconnect()


async def with_websockets(port: int, pushes: int, options: dict[str, int]) -> Result:
    """Receive messages one by one."""
    from websockets.asyncio.client import connect

    from fastfeed.bench.decoders_alltick import tick_decoder

    decode = tick_decoder
    async with connect(
        url_of(port, options),
        compression=None,
        ping_interval=None,
        ssl=unverified() if options.get("tls") else None,
        close_timeout=0.1,
    ) as socket:
        await socket.send(SUBSCRIBE)
        await socket.recv()
        counter = Counter(pushes, bool(options.get("stamps")))
        while not counter.done.done():
            counter(decode(await socket.recv(decode=False)).data.seq)
        socket.transport.abort()
    return await counter.result()


async def with_aiohttp(port: int, pushes: int, options: dict[str, int]) -> Result:
    """Receive messages one by one."""
    import aiohttp

    from fastfeed.bench.decoders_alltick import tick_decoder

    decode = tick_decoder
    tls: Any = unverified() if options.get("tls") else True
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url_of(port, options), ssl=tls) as socket:
            await socket.send_str(SUBSCRIBE)
            await socket.receive()
            counter = Counter(pushes, bool(options.get("stamps")))
            while not counter.done.done():
                counter(decode((await socket.receive()).data).data.seq)
            result = await counter.result()
            connection = socket.get_extra_info("socket")
            assert connection is not None
            socket._response.connection.transport.abort()  # the server need not see the end
    return result


CANDIDATES: dict[str, Callable[..., Any]] = {
    "alltick-fastfeed": fastfeed,
    "alltick-picows": with_picows,
    "alltick-websockets": with_websockets,
    "alltick-aiohttp": with_aiohttp,
}
