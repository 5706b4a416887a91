"""The feed that plays a raw capture: the machines of the live connection, fed with what it received."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import math
import struct
from os import PathLike, fspath
from typing import Any, Literal, NoReturn

from fastfeed._core.meter import Meter
from fastfeed._core.player import GAP
from fastfeed.captures import CaptureFile, Header, Player
from fastfeed.captures.files import SET_BACK_NS
from fastfeed.errors import ConfigError, LocalProtocolError, StorageError
from fastfeed.feeds.alltick import AllTick
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.longport import LongPort
from fastfeed.feeds.opend import OpenD
from fastfeed.feeds.session import Link
from fastfeed.hub import Hub

__all__ = ["Replay"]

_VENDORS: dict[str, type[OpenD | LongPort | AllTick]] = {
    "opend": OpenD,
    "longport": LongPort,
    "alltick": AllTick,
}
#: The head of a record, see native/include/fastfeed/tap.h: type, length, number, time.
_RECORD = struct.Struct("<4xBxxxIIq")
_RECORD_BYTES = 32
_CELL = 64
_TURN_BYTES = 1 << 18  # played at most before the loop has its turn
_LEAST_ROW_BYTES = 16  # of what was received, for a row
_PATIENCE_S = 0.001  # the loop waits itself for what is to be played next
_LEAST_SLEEP_S = 0.0005  # timers are no finer


class Replay(Feed):
    """A feed that plays a raw capture, made by `fastfeed.connect` for ``file://PATH``.

    It plays by itself, from the event loop's first free turn after it was opened: what is set up right behind
    ``async with`` misses nothing. All that was captured is played, whatever is subscribed; the rows are those of the
    live feed, bit for bit, with the `recv_ns` of then. At the end the streams end, unless the hub is shared, and there
    is an event ``ended``. A symbol or kind that nobody captured can be subscribed to as well, and has no rows: what is
    in a capture is not known before it has been played. Gaps of the capture are events ``gap``, so are first segments
    that were removed; where it is damaged, it ends there, and an event ``error`` says where.

    Parameters
    ----------
    path : path
        The folder of a capture, or one segment of it.
    speed : float or "max"
        How many times as fast as then. ``"max"``: as fast as the callbacks, loops and readers of this event loop take
        the rows. It has a turn after every 256 KiB at the latest: who reads when it is woken loses nothing.
    hub : Hub, optional
        Where rows and symbols go; one of its own, like that of then, by default. Another one needs books of the same
        depth, and no symbols but those of the capture.

    Raises
    ------
    ConfigError
        The speed is none, or the hub has books of another depth or feeds that receive by a thread.
    StorageError
        There is no capture, it is damaged at its very beginning, or of a newer version.
    """

    delivers_all = True

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        speed: float | Literal["max"] = 1.0,
        hub: Hub | None = None,
    ) -> None:
        if speed != "max" and not (isinstance(speed, int | float) and 0 < speed < math.inf):
            raise ConfigError(f"expected a speed above 0 or 'max', got {speed!r}")
        if hub is not None and not isinstance(hub, Hub):
            raise TypeError(f"expected a Hub, got {hub!r}")
        self._capture = CaptureFile(path)
        self._player = Player(self._capture, hub)
        self.vendor = _VENDORS[self._capture.header.vendor]
        super().__init__(
            f"file://{fspath(path)}",
            hub=self._player.hub,
            wait_s=0.0,
            up_timeout_s=1.0,
            backoff=None,
        )
        self._owns_hub = hub is None
        self.kinds = self.vendor.kinds  # type: ignore[misc]
        self._speed = speed
        self._playing: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._damage: str | None = None
        self._lost_told = 0

    def __getattr__(self, name: str) -> Any:
        """Refuse what the vendor's feed would ask its server for."""
        if not name.startswith("_") and inspect.iscoroutinefunction(
            getattr(self.__dict__.get("vendor"), name, None)
        ):

            async def refuse(*args: Any, **options: Any) -> NoReturn:
                raise LocalProtocolError(
                    f"{self.url} is a capture: there is nobody to answer {name}()"
                )

            return refuse
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def header(self) -> Header:
        """What the capture says of itself."""
        return self._capture.header

    @property
    def damage(self) -> str | None:
        """Where and why the capture cannot be read any further; None: it can, or that was not found yet."""
        return self._damage

    # life

    @property
    def connected(self) -> bool:
        """Whether it plays."""
        return super().connected and not self._ended.is_set()

    async def finished(self) -> None:
        """Wait until the capture has been played to its end, or the feed is closed."""
        self._check_loop()
        await self._ended.wait()

    async def _connect(self) -> asyncio.Future[Exception | None]:
        self._playing = self._in_background(self._play())
        return asyncio.get_running_loop().create_future()  # nothing is ever lost

    def _disconnect(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
        self._ended.set()

    def _forget(self, link: Link[Any], why: Exception | None) -> None:
        """Nothing: there is no connection."""

    def _measure(self, meter: Meter | None) -> None:
        """Nothing: what lies between then and now is no latency."""

    # playing

    async def _play(self) -> None:
        try:
            await self._play_records()
        except StorageError as error:
            self._damage = str(error)
        finally:
            self._ended.set()
        if self._capture.damage is not None:
            self._damage = str(self._capture.damage)
        if self._damage is not None:
            self._emit("error", self._damage)
        self._enter("disconnected")
        if self._owns_hub:
            self.hub.end()
        self._emit("ended", "the capture has been played to its end")

    async def _play_records(self) -> None:
        if removed := self._capture.removed:
            self._emit(
                "gap", f"the capture begins with segment {removed}: those before it are not there"
            )
        pace = _Pace(asyncio.get_running_loop(), self._speed)
        # Another thread reads, and is ahead but where the disk is slow.
        for chunk in self._capture.chunks_so_far(_PATIENCE_S):
            if chunk is None:
                await asyncio.sleep(_PATIENCE_S)
            else:
                await self._play_chunk(chunk.data, pace)
            del chunk

    async def _play_chunk(self, data: memoryview, pace: _Pace) -> None:
        """Play some records at a time, so that nobody waits for long."""
        size = len(data)
        start = end = 0
        most = self._most_bytes()
        while end < size:
            kind, length, _, recv_ns = _RECORD.unpack_from(data, end)
            following = end + -(-(_RECORD_BYTES + length) // _CELL) * _CELL
            wait_s = pace.wait_s(recv_ns)
            if end > start and (wait_s > 0 or kind == GAP or following - start > most):
                self._player.play(data[start:end])
                start = end
                if wait_s <= 0:
                    await asyncio.sleep(0)
                    most = self._most_bytes()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            end = following
            if kind == GAP:
                self._player.play(data[start:end])
                start = end
                self._tell_gap(recv_ns)
        self._player.play(data[start:])
        await asyncio.sleep(0)

    def _most_bytes(self) -> int:
        """Return how much may be played before those who read the rows have their turn."""
        rows = min((stream.capacity for stream in self.hub.streams), default=64) // 4
        return min(_TURN_BYTES, rows * _LEAST_ROW_BYTES)

    def _tell_gap(self, recv_ns: int) -> None:
        lost = self._player.stats()["lost_bytes"]
        text = f"the capture could not keep up then: {lost - self._lost_told:,} bytes are missing"
        self._lost_told = lost
        self._emit("gap", text, end_ns=recv_ns)

    # subscriptions: nobody is asked

    def _canonical(self, symbol: str) -> str:  # type: ignore[override]
        return self.vendor._canonical(symbol)

    def _canonical_kind(self, kind: str) -> str:  # type: ignore[override]
        return self.vendor._canonical_kind(kind)

    async def _subscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            wanted = self._wanted.setdefault(kind, {})
            for symbol in symbols:
                wanted[symbol] = None
                self._granted.add((symbol, kind))

    async def _unsubscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        self._granted.difference_update(itertools.product(symbols, kinds))

    # counters

    def stats(self) -> dict[str, Any]:
        """Return counters, as of the live feed; those of all its connections together.

        Besides: `capture_gaps`: how often the capture has nothing because it could not keep up then, and
        `capture_lost_bytes`: of how much.
        """
        return super().stats()

    def _machine_stats(self) -> dict[str, Any]:
        found = self._player.stats()
        total: dict[str, Any] = {"bytes": 0, "packets": 0, "rejected": {}}
        for counters in found["connections"]:
            total = _added(total, counters)
        return total | {
            "capture_gaps": found["gaps"],
            "capture_lost_bytes": found["lost_bytes"],
        }


class _Pace:
    """When what was received then is played now.

    Parameters
    ----------
    loop : AbstractEventLoop
    speed : float or "max"
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, speed: float | Literal["max"]) -> None:
        self._time = loop.time
        self._per_ns = 0.0 if speed == "max" else 1e-9 / speed
        self._first: tuple[int, float] | None = None
        self._latest_ns = 0

    def wait_s(self, recv_ns: int) -> float:
        """Return how long to wait for what was received at some time, 0: it is due."""
        if not self._per_ns:
            return 0.0
        if self._first is None:
            self._first = recv_ns, self._time()
            self._latest_ns = recv_ns
        first_ns, first_s = self._first
        back_ns = self._latest_ns - recv_ns
        if back_ns > SET_BACK_NS:  # the clock was set: no time went by
            first_ns -= back_ns
            self._first = first_ns, first_s
            self._latest_ns = recv_ns
        elif back_ns < 0:
            self._latest_ns = recv_ns
        left_s = first_s + (recv_ns - first_ns) * self._per_ns - self._time()
        return left_s if left_s > _LEAST_SLEEP_S else 0.0


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return sums of counters, by their names."""
    return one | {
        name: _added(one.get(name, {}), value)
        if isinstance(value, dict)
        else one.get(name, 0) + value
        for name, value in other.items()
    }
