"""A receiver in a process of its own: every candidate of the wire benches is one.

    client.py NAME PORT PACKETS [key=value ...]

Says "ready"; for each line on stdin it connects, subscribes, receives so many packets and answers with a
line of JSON. Single-tick packets only.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import gc
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parent))

import alltick_client
import longport_client

CODES = 100  # that are subscribed
WINDOW_BYTES = 1 << 18
Result = dict[str, Any]


# ---- fastfeed


async def fastfeed_count(port: int, packets: int, options: dict[str, int]) -> Result:
    """Count rows in a callback."""
    import fastfeed as ff
    from fastfeed.bench.opend_pushes import codes

    names = [f"{code}.US" for code in codes(CODES)]
    loop = asyncio.get_running_loop()
    async with ff.connect(f"opend://127.0.0.1:{port}", **options) as feed:
        done = loop.create_future()
        count = calls = 0

        def on_batch(rows: Any) -> None:
            nonlocal count, calls
            count += len(rows)
            calls += 1
            if count >= packets:
                done.set_result(time.perf_counter())

        feed.ticks.on_batch(on_batch)
        started = time.perf_counter()
        await feed.subscribe(names, "ticks")
        seconds = await done - started
        stats = feed.stats()
        assert stats["ticks"] == packets, stats
        assert stats["rejected"] == {}, stats
    return {"seconds": seconds, "reads": calls}


async def fastfeed_stamps(port: int, packets: int, options: dict[str, int]) -> Result:
    """Take the time at the beginning of each callback."""
    import fastfeed as ff
    from fastfeed.bench.opend_pushes import codes

    names = [f"{code}.US" for code in codes(CODES)]
    loop = asyncio.get_running_loop()
    async with ff.connect(f"opend://127.0.0.1:{port}", **options) as feed:
        done = loop.create_future()
        late: list[int] = []
        clock = time.time_ns

        def on_batch(rows: Any) -> None:
            now = clock()
            for sent in rows["seq"].tolist():
                late.append(now - sent)
            if len(late) >= packets:
                done.set_result(None)

        feed.ticks.on_batch(on_batch)
        await feed.subscribe(names, "ticks")
        await done
    return {"late_ns": late}


def receiving(how: str) -> dict[str, Any]:
    """Return the options of a way to receive."""
    return {} if how == "loop" else {"receive": "thread", "spin": how == "spin"}


def fastfeed_published(how: str) -> Callable[..., Any]:
    """Watch the ring from outside the interpreter; ``hold_ms``: while Python holds the GIL."""

    async def run(port: int, packets: int, options: dict[str, int]) -> Result:
        from compiled import watch

        import fastfeed as ff
        from fastfeed.bench.opend_pushes import codes

        names = [f"{code}.US" for code in codes(CODES)]
        async with ff.connect(f"opend://127.0.0.1:{port}", **receiving(how)) as feed:
            ring = feed.ticks.ring
            watching = asyncio.create_task(
                asyncio.to_thread(watch, ring, packets, options["interval_ns"])
            )
            await feed.subscribe(names, "ticks")
            if options.get("hold_ms"):
                await asyncio.to_thread(hold, watching, options["hold_ms"])
            late = await watching
            assert feed.stats()["rejected"] == {}, feed.stats()
        return {"late_ns": late}

    return run


def hold(until: asyncio.Task[Any], ms: int) -> None:
    """Hold the GIL again and again for so long, with a millisecond in between."""
    usleep = ctypes.PyDLL(None).usleep
    while not until.done():
        usleep(ms * 1000)
        time.sleep(0.001)


def fastfeed_publishing(how: str) -> Callable[..., Any]:
    """Count rows in the ring, and look at it a thousand times a second."""

    async def run(port: int, packets: int, options: dict[str, int]) -> Result:
        import fastfeed as ff
        from fastfeed.bench.opend_pushes import codes

        window = options["window_bytes"]
        names = [f"{code}.US" for code in codes(CODES)]
        url = f"opend://127.0.0.1:{port}"
        async with ff.connect(url, window_bytes=window, **receiving(how)) as feed:
            stream = feed.ticks
            started = time.perf_counter()
            await feed.subscribe(names, "ticks")
            while stream.count < packets:
                await asyncio.sleep(0.001)
            seconds = time.perf_counter() - started
            stats = feed.stats()
            assert stats["ticks"] == packets, stats
            assert stats["rejected"] == {}, stats
        return {"seconds": seconds}

    return run


async def fastfeed_pulls(port: int, calls: int, options: dict[str, int]) -> Result:
    """Time pulls of ticks, one after the other."""
    import fastfeed as ff
    from fastfeed.bench.opend_pushes import PULLED, codes

    name = f"{codes(1)[0]}.US"
    seconds: list[float] = []
    async with ff.connect(f"opend://127.0.0.1:{port}") as feed:
        await feed.subscribe(name, "ticks")
        while len(await feed.get_ticks(name, PULLED)) < PULLED:  # the simulator's tape is playing
            await asyncio.sleep(0.05)
        for _ in range(calls):
            started = time.perf_counter()
            rows = await feed.get_ticks(name, PULLED)
            seconds.append(time.perf_counter() - started)
        assert len(rows) == PULLED
        assert set(rows["symbol"].tolist()) == {feed.symbols[name]}
    return {"seconds": seconds, "checksum": float(rows["price"].sum())}


async def fastfeed_stamps_and_pulls(port: int, packets: int, options: dict[str, int]) -> Result:
    """Take the time at the beginning of each callback, while bars are pulled so many times a second."""
    import fastfeed as ff
    from fastfeed.bench.opend_pushes import PULLED, codes

    names = [f"{code}.US" for code in codes(CODES)]
    pulled = f"{codes(1)[0]}.US"
    pulls_per_second = options["pulls_per_second"]
    loop = asyncio.get_running_loop()
    async with ff.connect(f"opend://127.0.0.1:{port}") as feed:
        done = loop.create_future()
        late: list[int] = []
        meanwhile: list[bool] = []  # a pull was under way
        under_way = False
        clock = time.time_ns

        def on_batch(rows: Any) -> None:
            now = clock()
            for sent in rows["seq"].tolist():
                late.append(now - sent)
                meanwhile.append(under_way)
            if len(late) >= packets:
                done.set_result(None)

        feed.ticks.on_batch(on_batch)
        await feed.subscribe(names, "ticks")
        pulls = 0
        following = loop.time()
        while pulls_per_second and not done.done():
            if not late:  # the first push has not come
                await asyncio.sleep(0.01)
                following = loop.time()
                continue
            under_way = True
            assert len(await feed.get_bars(pulled, "1m", PULLED)) == PULLED
            under_way = False
            pulls += 1
            following += 1 / pulls_per_second
            await asyncio.wait((done,), timeout=max(0.0, following - loop.time()))
        await done
    return {"late_ns": late, "meanwhile": meanwhile, "pulls": pulls}


# ---- bare protocols


def requests() -> tuple[bytes, bytes]:
    """Return the two requests of a minimal client."""
    from fastfeed.bench.opend_pushes import MARKET, codes, pack
    from fastfeed.protocols.opend_messages import INIT_CONNECT, QOT_SUB, message_class

    init = message_class("InitConnect.Request")()
    init.c2s.clientVer = 300
    init.c2s.clientID = "bench"
    init.c2s.packetEncAlgo = -1
    sub = message_class("QotSub.Request")()
    for code in codes(CODES):
        sub.c2s.securityList.add(market=MARKET, code=code)
    sub.c2s.subTypeList.append(4)
    sub.c2s.isSubOrUnSub = True
    sub.c2s.isRegOrUnRegPush = True
    return (
        pack(INIT_CONNECT, 1, init.SerializeToString()),
        pack(QOT_SUB, 2, sub.SerializeToString()),
    )


class Bare(asyncio.BufferedProtocol):
    """Only framing: no rows, no counters, no session."""

    def __init__(self, packets: int, done: asyncio.Future[float]) -> None:
        self.room = bytearray(1 << 18)
        self.view = memoryview(self.room)
        self.filled = 0
        self.left = packets + 2  # the two replies
        self.done = done
        self.started = 0.0
        self.reads = 0

    def connection_made(self, transport: Any) -> None:
        self.started = time.perf_counter()
        transport.write(b"".join(requests()))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view[self.filled :]

    def buffer_updated(self, nbytes: int) -> None:
        room, end, at, left = self.room, self.filled + nbytes, 0, self.left
        unpack = _LENGTH.unpack_from
        while end - at >= 44:
            magic, length = unpack(room, at)
            if magic != b"FT":
                raise AssertionError("framing is lost")
            if end - at < 44 + length:
                break
            at += 44 + length
            left -= 1
        self.filled = end - at
        room[: self.filled] = room[at:end]
        self.left = left
        self.reads += 1
        if left == 0:
            self.done.set_result(time.perf_counter())


_LENGTH = struct.Struct("<2s10xI")


async def bare_count(port: int, packets: int, options: dict[str, int]) -> Result:
    """Frame in Python."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, bare = await loop.create_connection(lambda: Bare(packets, done), "127.0.0.1", port)
    ended = await done
    transport.abort()
    return {"seconds": ended - bare.started, "reads": bare.reads}


class BareStamps(asyncio.BufferedProtocol):
    """Take the time at the beginning of each read, and read each packet's stamp."""

    def __init__(self, packets: int, done: asyncio.Future[None]) -> None:
        from fastfeed.bench.opend_pushes import on_wire, sample, sequence_at

        self.stamp_at = sequence_at(on_wire(sample("ticks", 1, 1).bodies[0], 0))
        self.room = memoryview(bytearray(1 << 18))
        self.packets = packets
        self.done = done
        self.late: list[int] = []

    def connection_made(self, transport: Any) -> None:
        transport.write(b"".join(requests()))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        now = time.time_ns()
        room, at = self.room, 0
        while at < nbytes:  # a read brings whole packets here, as they are sent apart
            proto_id, length = _ID_LENGTH.unpack_from(room, at)
            if proto_id == 3011:
                stamp = 0
                for i in range(9):  # a varint of nine bytes
                    stamp |= (room[at + self.stamp_at + i] & 0x7F) << 7 * i
                self.late.append(now - stamp)
            at += 44 + length
        assert at == nbytes
        if len(self.late) >= self.packets:
            self.done.set_result(None)


_ID_LENGTH = struct.Struct("<2xI6xI")


async def bare_stamps(port: int, packets: int, options: dict[str, int]) -> Result:
    """Measure the loop itself."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, bare = await loop.create_connection(
        lambda: BareStamps(packets, done), "127.0.0.1", port
    )
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await done
    transport.abort()
    return {"late_ns": bare.late}


# ---- C


def shake_hands(port: int) -> socket.socket:
    """Return a blocking socket on which the pushes come next."""
    sock = socket.create_connection(("127.0.0.1", port))
    for request in requests():
        sock.sendall(request)
        head = sock.recv(44, socket.MSG_WAITALL)
        sock.recv(struct.unpack_from("<I", head, 12)[0], socket.MSG_WAITALL)
    return sock


def c_drain(port: int, packets: int, options: dict[str, int]) -> Result:
    """Read and look at nothing."""
    from compiled import drain

    with shake_hands(port) as sock:
        started = time.perf_counter()
        reads = drain(sock.fileno(), options["window_bytes"], options["total_bytes"])
        seconds = time.perf_counter() - started
    assert reads > 0
    return {"seconds": seconds, "reads": reads}


def c_decode(port: int, packets: int, options: dict[str, int]) -> Result:
    """Read and decode with the hand-written loop."""
    from compiled import Loop

    from fastfeed.bench.opend_pushes import codes

    decoder = Loop(codes(CODES))
    with shake_hands(port) as sock:
        started = time.perf_counter()
        reads = decoder.receive(sock.fileno(), options["window_bytes"], options["total_bytes"])
        seconds = time.perf_counter() - started
    assert reads > 0
    assert decoder.head == packets
    return {"seconds": seconds, "reads": reads}


def c_published(how: Literal["spin", "epoll"]) -> Callable[..., Result]:
    """Receive, decode and publish in a loop, and watch that."""

    def run(port: int, packets: int, options: dict[str, int]) -> Result:
        from concurrent.futures import ThreadPoolExecutor

        from compiled import Publisher

        from fastfeed.bench.opend_pushes import codes

        decoder = Publisher(codes(CODES))
        with ThreadPoolExecutor() as pool, shake_hands(port) as sock:
            watching = pool.submit(decoder.watch, packets, options["interval_ns"])
            reads = decoder.publish(sock.fileno(), WINDOW_BYTES, packets, how)
            assert reads > 0
            return {"late_ns": watching.result()}

    return run


def c_publishing(how: Literal["spin", "epoll"]) -> Callable[..., Result]:
    """The same with nobody who watches."""

    def run(port: int, packets: int, options: dict[str, int]) -> Result:
        from compiled import Publisher

        from fastfeed.bench.opend_pushes import codes

        decoder = Publisher(codes(CODES))
        with shake_hands(port) as sock:
            started = time.perf_counter()
            reads = decoder.publish(sock.fileno(), options["window_bytes"], packets, how)
            seconds = time.perf_counter() - started
        assert reads > 0
        assert decoder.head == packets
        return {"seconds": seconds, "reads": reads}

    return run


# ---- futu-api


def futu_names() -> list[str]:
    """Return the codes in futu-api's form."""
    from fastfeed.bench.opend_pushes import codes

    return [f"US.{code}" for code in codes(CODES)]


def futu_count(port: int, packets: int, options: dict[str, int], *, raw: bool = False) -> Result:
    """Count in a handler: rows of the DataFrame, or (raw) protobuf messages before it is made."""
    import threading

    import futu

    done = threading.Event()
    count = 0
    ended = 0.0

    class Handler(futu.TickerHandlerBase):
        def on_recv_rsp(self, rsp_pb: Any) -> Any:
            nonlocal count, ended
            if raw:
                count += len(rsp_pb.s2c.tickerList)
            else:
                status, table = super().on_recv_rsp(rsp_pb)
                assert status == futu.RET_OK, table
                count += len(table)
            if count >= packets:
                ended = time.perf_counter()
                done.set()
            return futu.RET_OK, None

    context = futu.OpenQuoteContext("127.0.0.1", port)
    try:
        context.set_handler(Handler())
        context.start()
        started = time.perf_counter()
        status, message = context.subscribe(futu_names(), [futu.SubType.TICKER])
        assert status == futu.RET_OK, message
        assert done.wait(60)
    finally:
        context.close()
    return {"seconds": ended - started}


def futu_raw_count(port: int, packets: int, options: dict[str, int]) -> Result:
    """Count protobuf messages."""
    return futu_count(port, packets, options, raw=True)


def futu_pulls(port: int, calls: int, options: dict[str, int]) -> Result:
    """Time pulls of ticks, one after the other."""
    import futu

    from fastfeed.bench.opend_pushes import PULLED, codes

    name = f"US.{codes(1)[0]}"
    seconds: list[float] = []
    context = futu.OpenQuoteContext("127.0.0.1", port)
    try:
        status, message = context.subscribe([name], [futu.SubType.TICKER], subscribe_push=False)
        assert status == futu.RET_OK, message
        while True:
            status, table = context.get_rt_ticker(name, num=PULLED)
            assert status == futu.RET_OK, table
            if len(table) == PULLED:
                break
            time.sleep(0.05)
        for _ in range(calls):
            started = time.perf_counter()
            status, table = context.get_rt_ticker(name, num=PULLED)
            seconds.append(time.perf_counter() - started)
            assert status == futu.RET_OK, table
        assert len(table) == PULLED
    finally:
        context.close()
    return {"seconds": seconds, "checksum": float(table["price"].sum())}


def futu_stamps(port: int, packets: int, options: dict[str, int]) -> Result:
    """Take the time when the DataFrame is there."""
    import threading

    import futu

    done = threading.Event()
    late: list[int] = []

    class Handler(futu.TickerHandlerBase):
        def on_recv_rsp(self, rsp_pb: Any) -> Any:
            status, table = super().on_recv_rsp(rsp_pb)
            now = time.time_ns()
            assert status == futu.RET_OK, table
            late.extend(now - sent for sent in table["sequence"].tolist())
            if len(late) >= packets:
                done.set()
            return status, table

    context = futu.OpenQuoteContext("127.0.0.1", port)
    try:
        context.set_handler(Handler())
        context.start()
        status, message = context.subscribe(futu_names(), [futu.SubType.TICKER])
        assert status == futu.RET_OK, message
        assert done.wait(60)
    finally:
        context.close()
    return {"late_ns": late}


# ----


def on_uvloop(main: Callable[..., Any]) -> Callable[..., Result]:
    """Run on uvloop."""

    def run(*arguments: Any) -> Result:
        import uvloop

        result: Result = uvloop.run(main(*arguments))
        return result

    return run


def on_asyncio(main: Callable[..., Any]) -> Callable[..., Result]:
    """Run on the standard loop."""

    def run(*arguments: Any) -> Result:
        result: Result = asyncio.run(main(*arguments))
        return result

    return run


CLIENTS: dict[str, Callable[[int, int, dict[str, int]], Result]] = {
    "fastfeed-uvloop": on_uvloop(fastfeed_count),
    "fastfeed-asyncio": on_asyncio(fastfeed_count),
    "bare-uvloop": on_uvloop(bare_count),
    "c-drain": c_drain,
    "c-decode": c_decode,
    "futu": futu_count,
    "futu-raw": futu_raw_count,
    "c-spin-published": c_published("spin"),
    "c-epoll-published": c_published("epoll"),
    "c-spin-publishing": c_publishing("spin"),
    "c-epoll-publishing": c_publishing("epoll"),
    **{
        f"fastfeed-{how}-published": on_uvloop(fastfeed_published(how))
        for how in ("loop", "spin", "epoll")
    },
    **{
        f"fastfeed-{how}-publishing": on_uvloop(fastfeed_publishing(how))
        for how in ("loop", "spin", "epoll")
    },
    "fastfeed-stamps": on_uvloop(fastfeed_stamps),
    "fastfeed-stamps-and-pulls": on_uvloop(fastfeed_stamps_and_pulls),
    "fastfeed-pulls": on_uvloop(fastfeed_pulls),
    "futu-pulls": futu_pulls,
    "bare-stamps": on_uvloop(bare_stamps),
    "futu-stamps": futu_stamps,
}


def main(name: str, port: int, packets: int, *options: str) -> None:
    """Serve rounds until stdin ends."""
    # futu-api logs to stdout, from several threads: the answers go another way.
    answers = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    chosen = {key: int(value) for key, _, value in (text.partition("=") for text in options)}
    if name.startswith("futu"):
        os.environ["HOME"] = made = tempfile.mkdtemp(prefix="fastfeed-bench-home-")
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        import futu

        futu.SysConfig.set_all_thread_daemon(True)
    run = (CLIENTS | longport_client.SDK_CANDIDATES).get(name)
    if run is None:
        run = on_uvloop((alltick_client.CANDIDATES | longport_client.CANDIDATES)[name])
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        gc.collect()
        collections = sum(part["collections"] for part in gc.get_stats())
        cpu = time.process_time()
        result = run(port, packets, chosen)
        result["cpu_seconds"] = time.process_time() - cpu
        result["collections"] = sum(p["collections"] for p in gc.get_stats()) - collections
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
