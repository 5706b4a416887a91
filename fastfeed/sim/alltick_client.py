"""One connection to a simulated AllTick: its sets, its heartbeat, its place in the playback."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfeed.protocols.alltick_codes import (
    HEARTBEAT,
    SUBSCRIBE_BOOKS,
    SUBSCRIBE_TICKS,
    UNSUBSCRIBE,
)
from fastfeed.protocols.websocket import CloseCode
from fastfeed.sim.alltick_knobs import AllTickFaults
from fastfeed.sim.alltick_replies import BAD_DATA, BAD_HEADER, Refused, wanted_codes
from fastfeed.sim.alltick_texts import TICK_PUSH, Shape
from fastfeed.sim.alltick_wire import Wire
from fastfeed.sim.changes import Changes
from fastfeed.sim.playback import Player, Rows
from fastfeed.sim.recorded import Recording

if TYPE_CHECKING:
    from aiohttp import web

    from fastfeed.sim.alltick import AllTickSimulator

__all__ = ["Client"]

_logger = logging.getLogger(__name__)

_CANCELLED = {
    0: (SUBSCRIBE_BOOKS, SUBSCRIBE_TICKS),
    1: (SUBSCRIBE_BOOKS,),
    2: (SUBSCRIBE_TICKS,),
    3: (),
}
_CODE = re.compile(r'"code":\s*"')
_UINT32 = 1 << 32
_TRACE_BYTES = 64
_SLOW_ROWS = 256  # rows at once where a push takes long to make


class Client:
    """One connection: what it asked for, and its place in the playback.

    Trades go out as the player offers them. Books follow each batch, once for every code that changed:
    a client that reads slowly gets fewer, newer ones.
    """

    def __init__(
        self,
        simulator: AllTickSimulator,
        request: web.BaseRequest,
        response: web.WebSocketResponse,
        seed: int,
    ) -> None:
        self._sim = simulator
        self._response = response
        self._faults = simulator.faults
        self._wire = Wire(request, response, self._faults)
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername") or ("?", "?")
        self._peer = f"{peer[0]}:{peer[1]}"
        self._shape = None if simulator.knobs.plain else Shape(simulator.knobs, seed)
        self._slow = self._shape is not None or self._faults != AllTickFaults()
        # What it asked for: codes, and the levels of books.
        self._sets: dict[int, dict[str, Any]] = {SUBSCRIBE_TICKS: {}, SUBSCRIBE_BOOKS: {}}
        self._wanted = np.zeros(len(simulator.codes), bool)
        self._everything = False
        self._recorded = np.zeros(0, bool)  # which keys of a recording it gets
        self._levels: dict[int, int] = {}
        self._changes = Changes(simulator.market.days)
        self._player: Player | None = None
        self.behind = False
        self._pushes = 0
        self._strike = ""  # a fault that is due behind what was encoded
        self._replies = 0
        self._requested_s = float("-inf")
        self._watchdog: asyncio.TimerHandle | None = None
        self._late: set[asyncio.Task[None]] = set()
        self._ended = False

    def __str__(self) -> str:
        return self._peer

    # Its life.

    async def run(self) -> None:
        """Answer requests until one side ends it."""
        from aiohttp import WSMsgType

        self._beat()
        pings = asyncio.create_task(self._ping()) if self._faults.ping else None
        try:
            while True:
                message = await self._response.receive()
                if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    if not self._wire.silent and not self._ended:
                        self._answer(message.data)
                        await self._wire.drain()
                elif message.type is WSMsgType.PING:
                    if not self._wire.silent and not self._ended:
                        await self._response.pong(message.data)
                elif message.type is not WSMsgType.PONG:
                    break
            while self._wire.silent and not self._wire.closing:
                await asyncio.sleep(0.02)  # it is not even told good-bye
        except ConnectionError:
            pass
        finally:
            self._leave()
            if self._watchdog is not None:
                self._watchdog.cancel()
            for task in (*self._late, *([pings] if pings else [])):
                task.cancel()
            if not self._ended and not self._wire.silent:
                with suppress(ConnectionError):
                    await self._response.close()  # answers a close frame
            self._wire.close()

    def close(self) -> None:
        """End it when what was written is sent."""
        self._ended = True
        self._leave()
        self._wire.close(CloseCode.NORMAL if self._sim.knobs.closing == "1000" else None)

    def abort(self) -> None:
        """End it now."""
        self._ended = True
        self._wire.abort()

    def drop(self, reason: str) -> None:
        """End it now, and count why."""
        self._sim.counts[f"dropped_{reason}"] += 1
        _logger.info("dropped %s: %s", self, reason)
        self.abort()

    def _end(self, reason: str) -> None:
        """End it as the server does, and count why."""
        self._sim.counts[f"dropped_{reason}"] += 1
        _logger.info("closed %s: %s", self, reason)
        self.close()

    def _beat(self) -> None:
        """Wait for the next heartbeat."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_later(self._sim.knobs.heartbeat_timeout_s, self._no_heartbeat)

    def _no_heartbeat(self) -> None:
        if not self._wire.silent:
            self._end("idle")

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._faults.ping)
            self._wire.ping()

    # Pushes.

    def encode(self, rows: Rows, first: int) -> tuple[bytes, int]:
        """Encode what is wanted of `rows`, and books that follow from them."""
        sim = self._sim
        self.behind = False
        if self._slow:
            rows = rows[:_SLOW_ROWS]
        used = len(rows)
        if sim.recording is not None:
            return self._encode_recorded(sim.recording, rows)
        if self._everything and not self._slow:
            positions = np.arange(first, first + used)
        else:
            chosen = np.flatnonzero(self._wanted[rows["symbol"]])
            left = self._until_strike()
            if len(chosen) > left > 0:
                chosen = chosen[:left]
                used = int(chosen[-1]) + 1
            rows, positions = rows[chosen], first + chosen
        sim.pass_ticks(first + used)
        texts = sim.texts.ticks(rows, positions) if len(rows) else []
        sim.counts["sent"] += len(rows)
        changed, self.behind = self._changes.take()
        texts += [self._book(number) for number in changed]
        return self._encode_pushes(texts, books=len(changed)), used

    def _encode_recorded(self, recording: Recording, rows: Rows) -> tuple[bytes, int]:
        """Return what was pushed then, and for how many rows that is."""
        used = len(rows)
        chosen = np.flatnonzero(self._recorded[rows["key"]])
        left = self._until_strike() if self._slow else 0
        if len(chosen) > left > 0:
            chosen = chosen[:left]
            used = int(chosen[-1]) + 1
        pushes = recording.pushes(rows[chosen])
        ticks = sum(number == TICK_PUSH for number, _ in pushes)
        self._sim.counts["sent"] += ticks
        # Bytes as they are, whatever their encoding.
        texts = [body.decode("latin-1") for _, body in pushes]
        return self._encode_pushes(texts, books=len(texts) - ticks), used

    async def write(self, data: bytes) -> None:
        """Send pushes, and return when more may come."""
        self._wire.write(data)
        await self._strike_now()
        await self._wire.drain()

    async def _strike_now(self) -> None:
        """Let the fault strike that is due behind what was written."""
        strike, self._strike = self._strike, ""
        if strike == "drop_after":
            await self._wire.flush()
            self._sim.counts["dropped_fault"] += 1
            self._ended = True
            self._wire.reset()
            raise ConnectionAbortedError("reset on purpose")
        if strike == "stall":
            self._wire.silent = True
        if self._wire.silent:
            await asyncio.Future()  # until the client leaves

    def _encode_pushes(self, texts: list[str], *, books: int) -> bytes:
        if not texts:
            return b""
        counts = self._sim.counts
        if self._shape is not None and self._sim.recording is None:
            texts = self._shape.pushes(texts)
        if self._slow:
            texts = self._with_faults(texts)
        self._pushes += len(texts)
        data = self._wire.encode(texts)
        counts["pushes"] += len(texts)
        counts["books"] += books
        counts["bytes"] += len(data)
        return data

    def _with_faults(self, texts: list[str]) -> list[str]:
        faults = self._faults
        out: list[str] = []
        for number, text in enumerate(texts, self._pushes + 1):
            if self._due(number - 1):
                return out
            if faults.garbage and number % faults.garbage == 0:
                out.append('{"cmd_id":22998,"data":{"code":')
            if faults.unknown_cmd and number % faults.unknown_cmd == 0:
                out.append('{"cmd_id":22997,"data":{"code":"USDCNH","rate":"7.1"}}')
            if faults.unknown_code and number % faults.unknown_code == 0:
                out.append(_CODE.sub(r"\g<0>NO", text, count=1))
            out.append(text)
        self._due(self._pushes + len(texts))
        return out

    def _strikes(self) -> dict[str, int]:
        """Return after how many pushes which faults may strike."""
        faults, struck = self._faults, self._sim.strikes
        return {
            name: after
            for name, after in (("drop_after", faults.drop_after), ("stall", faults.stall))
            if after is not None and not (faults.times and struck[name] >= faults.times)
        }

    def _until_strike(self) -> int:
        return min((after - self._pushes for after in self._strikes().values()), default=1 << 62)

    def _due(self, pushes: int) -> bool:
        """Say whether a fault strikes after so many pushes."""
        for name, after in self._strikes().items():
            if not self._strike and pushes == after:
                self._sim.strikes[name] += 1
                self._strike = name
        return bool(self._strike)

    def _book(self, number: int, older_ms: int = 0) -> str:
        return self._sim.book(self._sim.texts, number, self._levels[number], older_ms)

    def _snapshot(self, kind: int) -> list[str]:
        """Return the last trades of the set, before where its live ones begin, or the books."""
        sim = self._sim
        if sim.knobs.initial_snapshot == "none" or self._player is None:
            return []
        if sim.recording is not None:  # it has its own
            return []
        older_ms = round(sim.knobs.stale_s * 1000) if sim.knobs.initial_snapshot == "stale" else 0
        numbers = [sim.numbers[code] for code in self._sets[kind] if code in sim.numbers]
        if kind == SUBSCRIBE_BOOKS:
            return [self._book(number, older_ms) for number in numbers]
        found = [sim.market.ticks(number, 1, before=self._player.cursor) for number in numbers]
        positions = np.concatenate(found)
        if not len(positions):
            return []
        return sim.texts.ticks(sim.rows_at(positions), positions, older_ms=older_ms)

    # Its place in the playback.

    def _update(self) -> None:
        """Play what is in the sets now."""
        sim = self._sim
        sim.catch_up()
        self._wanted[:] = False
        for code in self._sets[SUBSCRIBE_TICKS]:
            if code in sim.numbers:
                self._wanted[sim.numbers[code]] = True
        self._everything = bool(self._wanted.all())
        self._levels = {}
        for code, levels in self._sets[SUBSCRIBE_BOOKS].items():
            if code in sim.numbers:
                number = sim.numbers[code]
                most = sim.codes[number].levels
                fewest = 1 if sim.knobs.no_depth_level == "one" else most
                self._levels[number] = min(levels or fewest, most)
        self._changes.watch(list(self._levels))
        if sim.recording is not None:
            self._recorded = np.array(
                [key.symbol in self._sets[key.kind] for key in sim.recording.keys]
            )
        if not any(self._sets.values()):
            self._leave()
        elif self._player is None and not self._ended:
            self._player = sim.playback.join(self)

    def _leave(self) -> None:
        if self._player is not None:
            self._sim.playback.leave(self._player)
            self._player = None

    # Requests.

    def _answer(self, raw: str | bytes) -> None:
        sim, knobs, faults = self._sim, self._sim.knobs, self._faults
        sim.counts["requests"] += 1
        snapshot: list[str] = []
        number, ret, message = 0, 200, "ok"
        head: dict[str, Any] = {"cmd_id": 0, "seq_id": 0, "trace": ""}
        try:
            request = _parsed(raw)
            number = request["cmd_id"]
            echo = 0 if knobs.error_cmd_id == "zero" else number + 1
            head = {"cmd_id": echo, "seq_id": request["seq_id"], "trace": request["trace"]}
            self._pace(number)
            refused, _, code = faults.error_reply.partition(":")
            if refused == str(number):
                raise Refused(int(code or 603))
            snapshot = self._do(number, request["data"])
            head["cmd_id"] = number + 1
        except Refused as error:
            sim.counts["refused"] += 1
            ret, message = error.ret, str(error)
            if message == BAD_HEADER:
                ret = knobs.header_ret
        reply: dict[str, Any] = {"ret": ret, "msg": message, **head, "data": {}}
        if ret != 200 and knobs.error_data == "null":
            reply["data"] = None
        elif ret != 200 and knobs.error_data == "absent":
            del reply["data"]
        self._replies += 1
        text = self._shape.message(reply) if self._shape else _compact(reply)
        answer = [] if number and number == faults.no_reply else [text]
        if faults.double_reply and self._replies % faults.double_reply == 0:
            answer *= 2
        if faults.late_reply:
            self._soon(self._say_late(answer, snapshot))
        else:
            self._say(answer, snapshot)
        if ret == 606:
            self._end("rate")

    def _soon(self, doing: Coroutine[Any, Any, None]) -> None:
        async def do() -> None:
            with suppress(ConnectionError):  # it did not wait
                await doing

        task = asyncio.create_task(do())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _say_late(self, answer: Sequence[str], snapshot: list[str]) -> None:
        await asyncio.sleep(self._faults.late_reply)
        self._say(answer, snapshot)

    def _say(self, answer: Sequence[str], snapshot: list[str]) -> None:
        """Write an answer and the snapshot that belongs to it: live pushes come behind both."""
        parts = [self._wire.encode(answer), self._encode_pushes(snapshot, books=0)]
        if self._sim.knobs.initial_snapshot == "before":
            parts.reverse()
        self._wire.write(b"".join(parts))
        if self._strike:
            self._soon(self._strike_now())

    def _pace(self, number: int) -> None:
        """Refuse a request that comes too fast."""
        sim, knobs = self._sim, self._sim.knobs
        if not sim.rate_limits or (number == HEARTBEAT and not knobs.heartbeat_counts):
            return
        now = asyncio.get_running_loop().time()
        last, at = sim.last_request
        early = now - self._requested_s < knobs.request_gap_s or (
            last is not None and last is not self and now - at < knobs.token_gap_s
        )
        if early and knobs.rate_violation != "ignore":
            raise Refused(int(knobs.rate_violation))
        self._requested_s = now
        sim.last_request = (self, now)

    def _do(self, number: int, data: dict[str, Any]) -> list[str]:
        """Do what a request says; return the snapshot that follows from it."""
        if number == HEARTBEAT:
            self._beat()
            return []
        if number == UNSUBSCRIBE:
            kind = data.get("cancel_type")
            if type(kind) is not int or kind not in _CANCELLED:
                raise Refused(400, BAD_DATA)
            for cancelled in _CANCELLED[kind]:
                self._sets[cancelled] = {}
            self._update()
            return []
        try:
            wanted = self._sim.admitted(wanted_codes(data))
            for level in wanted.values() if number == SUBSCRIBE_BOOKS else ():
                if level is not None and (type(level) is not int or not 0 <= level < _UINT32):
                    raise Refused(400, BAD_DATA)
        except Refused:
            if self._sim.knobs.refused_set == "cleared":
                self._sets[number] = {}
                self._update()
            raise
        self._sets[number] = wanted
        self._update()
        return self._snapshot(number)


def _parsed(raw: str | bytes) -> dict[str, Any]:
    """Return a request whose head is as it should be."""
    try:
        request = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(400, BAD_HEADER) from None
    if not isinstance(request, dict):
        raise Refused(400, BAD_HEADER)
    number, seq_id, trace = (request.get(key) for key in ("cmd_id", "seq_id", "trace"))
    if (
        type(number) is not int
        or number not in {HEARTBEAT, SUBSCRIBE_BOOKS, SUBSCRIBE_TICKS, UNSUBSCRIBE}
        or type(seq_id) is not int
        or not 0 <= seq_id < _UINT32
        or not isinstance(trace, str)
        or len(trace.encode(errors="surrogatepass")) > _TRACE_BYTES
        or not isinstance(request.get("data"), dict)
    ):
        raise Refused(400, BAD_HEADER)
    return request


def _compact(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
