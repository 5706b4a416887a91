"""One connection to a simulated LongPort: its session, its subscriptions, its place in the playback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError

from fastfeed.protocols.longport_codes import (
    KINDS,
    MOST_SYMBOLS,
    CloseReason,
    Status,
    code,
)
from fastfeed.protocols.longport_messages import MESSAGES, Command, message_class
from fastfeed.protocols.longport_packets import PacketType, pack_push, pack_request, pack_response
from fastfeed.sim.changes import Changes
from fastfeed.sim.longport_answers import Refused, bad_request
from fastfeed.sim.longport_faults import PushFaults, sealed
from fastfeed.sim.longport_hours import NORMAL, OVERNIGHT, SESSIONS, Session
from fastfeed.sim.longport_pushes import brokers_fields
from fastfeed.sim.longport_requests import Broken, Packet, Packets
from fastfeed.sim.longport_wire import Wire
from fastfeed.sim.playback import Player, Rows
from fastfeed.sim.recorded import Recording

if TYPE_CHECKING:
    from fastfeed.sim.longport import LongPortSimulator

__all__ = ["Client"]

_logger = logging.getLogger(__name__)

_QUOTES, _BOOKS, _BROKERS, _TICKS = (
    KINDS[name] for name in ("quotes", "books", "brokers", "ticks")
)
_LATE = 1000  # most answers that wait
_SLOW_ROWS = 256  # rows at once where a push takes long to make
_SETTLE_S = 0.1  # how long answers are collected to be sent in another order


class Client:
    """One connection: what it asked for, and its place in the playback.

    Trades go out as the player offers them. Quotes, books and broker queues follow each batch, once for what
    changed: a client that reads slowly gets fewer, newer ones.
    """

    def __init__(self, simulator: LongPortSimulator, wire: Wire, peer: tuple[Any, ...]) -> None:
        self._sim = simulator
        self._faults = simulator.faults
        self._wire = wire
        self._peer = f"{peer[0]}:{peer[1]}"
        self._packets = Packets()
        self.authenticated = False
        self.overnight = False
        """It wants what trades at night."""
        self.kinds: dict[str, set[int]] = {}
        """What it subscribes to, by symbol."""
        self._wanted = np.zeros((len(simulator.symbols), SESSIONS), bool)
        self._everything = False
        self._recorded = np.zeros(0, bool)  # which keys of a recording it gets
        self._changes = Changes(simulator.passage.days)
        self._told: dict[tuple[int, int], Session] = {}  # quotes, by symbol and session
        self._quotes = 0
        self._levels: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
        self._sequences: dict[tuple[str, int], int] = {}  # of pushes other than trades
        self._player: Player | None = None
        self.behind = False
        self._push_faults = PushFaults(self._faults, simulator.strikes)
        self._replies = 0
        self._reversed: list[bytes] = []
        self._late: set[asyncio.Task[None]] = set()
        self._asked = 0  # heartbeats of the server
        self._unanswered = 0
        self._ended = False

    def __str__(self) -> str:
        return self._peer

    # Its life.

    async def run(self) -> None:
        """Answer requests until one side ends it."""
        knobs = self._sim.knobs
        beats = asyncio.create_task(self._beat(knobs.ping_s, self._ping))
        asks = asyncio.create_task(self._beat(knobs.heartbeat_s, self._ask))
        try:
            async with asyncio.timeout(knobs.idle_timeout_s or None):
                await self._wire.begin()
            while not self._ended:
                async with asyncio.timeout(knobs.idle_timeout_s or None):
                    data = await self._wire.receive()
                if data is None:
                    break
                packets = self._packets.feed(data)
                if self._wire.whole and self._packets.pending:
                    raise Broken("expected whole packets in a message, got a part of one")
                for packet in packets:
                    if not self._ended and not self._wire.silent:
                        self._receive(packet)
                    await self._wire.drain()  # who asks much and reads little waits
        except Broken as error:
            self.hang_up(CloseReason.UNPACK_ERROR, str(error))
            self._sim.counts["dropped_bad_packet"] += 1
        except TimeoutError:
            self.hang_up(CloseReason.HEARTBEAT_TIMEOUT, "nothing came for too long")
            self._sim.counts["dropped_idle"] += 1
        except ConnectionError:
            pass
        finally:
            self._leave()
            for task in (*self._late, beats, asks):
                task.cancel()
            if self._ended and not self._wire.closing:
                # The close frame gets its answer, or the end of its patience.
                with suppress(ConnectionError, TimeoutError, Broken):
                    async with asyncio.timeout(1.0):
                        while await self._wire.receive() is not None:
                            pass
            self._wire.abort() if self._wire.silent else self._wire.hang_up()

    async def _beat(self, seconds: float, do: Any) -> None:
        while seconds:
            await asyncio.sleep(seconds)
            do()

    def _ping(self) -> None:
        self._wire.ping()

    def _ask(self) -> None:
        """Ask for a heartbeat; two that were not answered are the end."""
        if not self.authenticated:
            return
        if self._unanswered >= 2:
            self._sim.counts["dropped_idle"] += 1
            self.hang_up(CloseReason.HEARTBEAT_TIMEOUT, "no answer to heartbeats")
            return
        self._unanswered += 1
        self._asked += 1
        fields = {"timestamp": self._sim.clock_ns() // 10**6, "heartbeat_id": self._asked}
        body = message_class("Heartbeat")(**fields).SerializeToString()
        with suppress(ConnectionError):
            self._write([pack_request(Command.HEARTBEAT, self._asked, 10_000, body)])

    def close(self) -> None:
        """End it when what was written is sent."""
        self.hang_up(CloseReason.SERVER_SHUTDOWN, "the simulator ends")

    def hang_up(self, why: CloseReason, text: str) -> None:
        """Tell why, and end it."""
        if self._ended:
            return
        self._ended = True
        self._leave()
        body = message_class("Close")(code=int(why), reason=text).SerializeToString()
        if not self._wire.closing:
            self._wire.write(self._wire.encode([pack_push(Command.CLOSE, body)]))
            self._wire.hang_up()

    def abort(self) -> None:
        """End it now."""
        self._ended = True
        self._leave()
        self._wire.abort()

    def drop(self, reason: str) -> None:
        """End it now, and count why."""
        self._sim.counts[f"dropped_{reason}"] += 1
        _logger.info("dropped %s: %s", self, reason)
        self.abort()

    def _write(self, packets: Sequence[bytes]) -> None:
        self._wire.write(self._wire.encode(packets))

    # Pushes.

    def encode(self, rows: Rows, first: int) -> tuple[bytes, int]:
        """Encode what is wanted of `rows`, and what follows from them."""
        sim = self._sim
        self.behind = False
        if self._push_faults.slow:
            rows = rows[:_SLOW_ROWS]
        used = len(rows)
        if sim.recording is not None:
            return self._encode_recorded(sim.recording, rows)
        sim.pass_ticks(first + used)
        positions = np.arange(first, first + used)
        if not self._everything or self._push_faults.slow:
            sessions = sim.passage.sessions[positions % len(sim.passage.sessions)]
            chosen = np.flatnonzero(self._wanted[rows["symbol"], sessions])
            left = self._push_faults.until_strike()
            if len(chosen) > left > 0:
                chosen = chosen[:left]
                used = int(chosen[-1]) + 1
            rows, positions = rows[chosen], positions[chosen]
        pushes: list[tuple[int, bytes]] = [
            (Command.PUSH_TRADES, body)
            for body in sim.writer.trades(rows, positions, sim.trades_per_push)
        ]
        sim.counts["sent"] += len(rows)
        changed, self.behind = self._changes.take()
        pushes += self._derived(changed)
        return self._encode_pushes(pushes), used

    def _encode_recorded(self, recording: Recording, rows: Rows) -> tuple[bytes, int]:
        """Return what was pushed then, and for how many rows that is."""
        used = len(rows)
        chosen = np.flatnonzero(self._recorded[rows["key"]])
        left = self._push_faults.until_strike() if self._push_faults.slow else 0
        if len(chosen) > left > 0:
            chosen = chosen[:left]
            used = int(chosen[-1]) + 1
        pushes = recording.pushes(rows[chosen])
        self._sim.counts["sent"] += sum(command == Command.PUSH_TRADES for command, _ in pushes)
        return self._encode_pushes(pushes), used

    async def write(self, data: bytes) -> None:
        """Send pushes, and return when more may come."""
        self._wire.write(data)
        await self._strike_now()
        await self._wire.drain()

    async def _strike_now(self) -> None:
        """Let the fault strike that is due behind what was written."""
        strike = self._push_faults.take()
        self._sim.counts["dropped_fault"] += strike in {"drop_after", "truncated", "close"}
        if strike == "drop_after":
            await self._wire.flush()
            self._ended = True
            self._wire.reset()
            raise ConnectionAbortedError("reset on purpose")
        if strike in {"truncated", "unknown_type"}:
            half = pack_push(Command.PUSH_TRADES, b"\x0a\x05")[:-1]
            self._write([half if strike == "truncated" else b"\x07" + half[1:] + b"\x05"])
            if strike == "truncated":
                await self._wire.flush()
                self.abort()
                raise ConnectionAbortedError("ended in the middle of a packet")
        if strike == "close":
            why = CloseReason(self._faults.close_reason)
            self.hang_up(why, "closed on purpose")
            raise ConnectionAbortedError("closed on purpose")
        if strike == "stall":
            self._wire.silent = True
        if self._wire.silent:
            await asyncio.Future()  # until the client leaves
        if strike and self._push_faults.strike():  # another one behind the same push
            await self._strike_now()

    def _encode_pushes(self, pushes: list[tuple[int, bytes]]) -> bytes:
        if not pushes:
            return b""
        if self._push_faults.slow:
            packets, count = self._push_faults.packets(pushes)
        else:
            packets, count = [pack_push(command, body) for command, body in pushes], len(pushes)
        data = self._wire.encode(packets)
        self._sim.counts["pushes"] += count
        self._sim.counts["bytes"] += len(data)
        return data

    def push(self, command: int, body: bytes) -> None:
        """Write a push that does not come from the playback."""
        self._say([], [(command, body)])

    def _derived(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the pushes that follow from what changed: symbols and their sessions."""
        pushes: list[tuple[int, bytes]] = []
        numbers: dict[int, None] = {}
        # The session that is going on comes last.
        newest = self._sim.passage.days["newest"]
        for key in sorted(keys, key=lambda key: int(newest[key])):
            number, session = divmod(key, SESSIONS)
            numbers[number] = None
            if _QUOTES in self.kinds.get(self._sim.symbols[number], ()):
                state = self._sim.passage.session(number, session)
                if state is not None and (session != OVERNIGHT or self.overnight):
                    pushes.append(self._quote(number, state))
                    pushes += self._correction(number, state)
        for number in numbers:
            symbol = self._sim.symbols[number]
            kinds = self.kinds.get(symbol, set())
            if _BOOKS in kinds:
                pushes += self._book(symbol)
            if _BROKERS in kinds:
                pushes += self._broker_queue(symbol)
        return pushes

    def _sequence(self, symbol: str, kind: int) -> int:
        """Return the sequence of a push other than of trades: the newest trade's, growing."""
        sequence = max(self._sim.sequence(symbol), self._sequences.get((symbol, kind), 0) + 1)
        self._sequences[symbol, kind] = sequence
        return sequence

    def _quote(self, number: int, state: Session, *, whole: bool = False) -> tuple[int, bytes]:
        sim = self._sim
        key = (number, state.number)
        before = None if whole or not sim.knobs.delta else self._told.get(key)
        if before is not None and state.day != before.day:
            before = None  # volumes begin again
        self._told[key] = state
        fields = sim.writer.quote(number, state, before)
        fields["sequence"] = self._sequence(sim.symbols[number], _QUOTES)
        return Command.PUSH_QUOTE, sim.writer.message(Command.PUSH_QUOTE, fields)

    def _correction(self, number: int, state: Session) -> list[tuple[int, bytes]]:
        """Return an end-of-day push, where it is the turn of one."""
        sim = self._sim
        self._quotes += 1
        if not sim.knobs.end_of_day or self._quotes % sim.knobs.end_of_day:
            return []
        symbol = sim.symbols[number]
        fields = {
            "symbol": symbol,
            "sequence": self._sequence(symbol, _QUOTES),
            "last_done": sim.writer.price(number, state.last),
            "timestamp": state.time_ns // 10**9,
            "tag": 1,
        }
        return [(Command.PUSH_QUOTE, sim.writer.message(Command.PUSH_QUOTE, fields))]

    def _book(self, symbol: str, *, whole: bool = False) -> list[tuple[int, bytes]]:
        sim = self._sim
        sides = sim.depth(symbol)
        if sides is None:
            return []
        if sim.knobs.depth == "changed":
            sides = {
                name: self._changed((symbol, name), side, whole) for name, side in sides.items()
            }
        if not any(sides.values()):
            return []
        fields = {"symbol": symbol, "sequence": self._sequence(symbol, _BOOKS), **sides}
        return [(Command.PUSH_DEPTH, sim.writer.message(Command.PUSH_DEPTH, fields))]

    def _changed(
        self, key: tuple[str, str], side: list[dict[str, Any]], whole: bool
    ) -> list[dict[str, Any]]:
        """Return the levels of a side that are not as they were told; those that are gone have no price."""
        before = {} if whole else self._levels.get(key, {})
        now = {level["position"]: level for level in side}
        self._levels[key] = now
        gone = [{"position": position} for position in before if position not in now]
        return [level for at, level in now.items() if before.get(at) != level] + gone

    def _broker_queue(self, symbol: str) -> list[tuple[int, bytes]]:
        sim = self._sim
        bids, asks = sim.market.brokers(symbol)
        if not bids and not asks:
            return []
        fields = {
            "symbol": symbol,
            "sequence": self._sequence(symbol, _BROKERS),
            "ask_brokers": brokers_fields(asks),
            "bid_brokers": brokers_fields(bids),
        }
        return [(Command.PUSH_BROKERS, sim.writer.message(Command.PUSH_BROKERS, fields))]

    def _first(self, symbols: Sequence[str], kinds: set[int]) -> list[tuple[int, bytes]]:
        """Return the state of symbols, as pushes."""
        sim = self._sim
        pushes: list[tuple[int, bytes]] = []
        for symbol in symbols:
            number = sim.market.number(symbol)
            if _QUOTES in kinds and number is not None:
                state = sim.passage.current(number)
                if state is None:
                    quote = sim.market.quote(symbol)
                    prices = (quote.last, quote.open, quote.high, quote.low)
                    state = Session(NORMAL, 1, quote.time_ns, *prices, 0.0, 0.0)
                if state.number != OVERNIGHT or self.overnight:
                    pushes.append(self._quote(number, state, whole=True))
            if _BOOKS in kinds:
                pushes += self._book(symbol, whole=True)
            if _BROKERS in kinds:
                pushes += self._broker_queue(symbol)
        return pushes

    # Its place in the playback.

    def _update(self) -> None:
        """Play what is subscribed now."""
        sim = self._sim
        self._wanted[:] = False
        watched: list[int] = []
        for symbol, kinds in self.kinds.items():
            number = sim.market.number(symbol)
            if number is None:
                continue
            if _TICKS in kinds:
                self._wanted[number] = True
                self._wanted[number, OVERNIGHT] = self.overnight
            if kinds - {_TICKS}:
                watched += range(number * SESSIONS, (number + 1) * SESSIONS)
        self._everything = bool(self._wanted.all())
        self._changes.watch(watched)
        if sim.recording is not None:
            self._recorded = np.array(
                [key.kind in self.kinds.get(key.symbol, ()) for key in sim.recording.keys]
            )
        if not self.kinds:
            self._leave()
        elif self._player is None and not self._ended:
            self._player = sim.playback.join(self)

    def _leave(self) -> None:
        if self._player is not None:
            self._sim.playback.leave(self._player)
            self._player = None

    @property
    def cursor(self) -> int | None:
        """Where its live trades begin, None: nothing is played to it."""
        return None if self._player is None else self._player.cursor

    # Requests.

    def _receive(self, packet: Packet) -> None:
        if packet.type is PacketType.RESPONSE:
            if packet.command == Command.HEARTBEAT:
                self._unanswered = 0
            return
        self._sim.counts["requests"] += 1
        self._unanswered = 0
        command, faults = packet.command, self._faults
        status, body, pushes = self._answered(packet)
        answer = self._packed(packet, status, body)
        if faults.late_reply and faults.late_command in {0, command}:
            self._soon(self._say_late(answer, pushes))
        elif faults.reversed_replies > 1 and self.authenticated and not pushes:
            if not self._reversed:
                self._soon(self._settle())
            self._reversed += answer
            if len(self._reversed) >= faults.reversed_replies:
                self._say_reversed()
        else:
            self._say(answer, pushes)
        if not self.authenticated and command not in {Command.AUTH, Command.RECONNECT}:
            self.hang_up(CloseReason.AUTH_ERROR, "expected auth or reconnect first")

    def _packed(self, packet: Packet, status: int, body: bytes) -> list[bytes]:
        """Return the packets of an answer: one, unless something goes wrong."""
        command, faults = packet.command, self._faults
        self._replies += 1
        if command and command == faults.no_reply:
            return []
        if command and command == faults.bad_error:
            status, body = Status.SERVER_ERROR, b"\xff" * 20
        elif command and command == faults.bad_reply:
            body = b"\xff" * 20
        answer = sealed(faults, pack_response, command, packet.request_id, int(status), body)
        twice = faults.double_reply and self._replies % faults.double_reply == 0
        return [answer] * (2 if twice else 1)

    def _answered(self, packet: Packet) -> tuple[int, bytes, list[tuple[int, bytes]]]:
        """Return status and body of an answer, and the pushes that follow it."""
        number, error = packet.command, self._faults.error_reply
        try:
            if error and number == int(error.split(":")[0]):
                _, status, business = map(int, error.split(":"))
                raise Refused(status, business)
            if len(self._late) >= (self._sim.knobs.in_flight or _LATE):
                raise Refused(Status.BAD_REQUEST, 301606)
            if packet.body is None:
                raise bad_request()
            body, pushes = self._do(number, packet.body)
        except DecodeError:
            refused = bad_request()
        except Refused as caught:
            refused = caught
        else:
            return Status.SUCCESS, body, pushes
        self._sim.counts["refused"] += 1
        error_body = message_class("Error")(code=refused.code, msg=str(refused))
        return refused.status, error_body.SerializeToString(), []

    def _do(self, number: int, body: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
        sim = self._sim
        if not self.authenticated and number not in {Command.AUTH, Command.RECONNECT}:
            raise Refused(Status.UNAUTHENTICATED, 401004)
        if number == Command.HEARTBEAT:
            return body, []
        if number not in MESSAGES:
            raise bad_request()
        names = MESSAGES[Command(number)]
        request = message_class(names.request).FromString(body) if names.request else None
        pushes: list[tuple[int, bytes]] = []
        fields: dict[str, Any]
        if number in {Command.AUTH, Command.RECONNECT}:
            fields = self._authenticate(number, request)
        else:
            sim.pace(number)
            sim.catch_up()
            if number == Command.QUOTES:
                kept = sim.answers.quotes_made(body, self)
                if kept is not None:
                    return kept, []
            if number == Command.SUBSCRIBE:
                fields, pushes = self._subscribe(request)
            elif number == Command.UNSUBSCRIBE:
                fields = self._unsubscribe(request)
            elif number == Command.SUBSCRIPTIONS:
                fields = _subscriptions(self.kinds)
            else:
                fields = sim.answers.answer(Command(number), request, self)
        assert names.response is not None
        made: bytes = message_class(names.response)(**fields).SerializeToString()
        if number == Command.QUOTES:
            sim.answers.keep_quotes(body, self, made)
        return made, pushes

    def _authenticate(self, number: int, request: Any) -> dict[str, Any]:
        sim = self._sim
        if not self.authenticated and sim.online >= sim.knobs.sessions:
            raise Refused(Status.PERMISSION_DENIED, 403, "connections limitation is hit")
        if number == Command.AUTH:
            opened = sim.sessions.open(request.token)
        else:
            opened = sim.sessions.renew(request.session_id)
            if self._faults.refuse_reconnect:
                opened = None
        if opened is None:
            raise Refused(Status.UNAUTHENTICATED, 401003)
        self.authenticated = True
        self.overnight = request.metadata.get("need_over_night_quote", "") == "true"
        return {
            "session_id": opened[0],
            "expires": opened[1],
            "limit": sim.knobs.sessions,
            "online": sim.online,
        }

    def _subscribe(self, request: Any) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
        sim = self._sim
        symbols, kinds = _symbols(request), set(request.sub_type)
        if not symbols or not kinds or not kinds <= set(KINDS.values()):
            raise bad_request()
        for symbol in symbols:
            sim.answers.instrument(symbol)
        if len(sim.subscribed() | set(symbols)) > sim.knobs.subscriptions:
            raise Refused(Status.SERVER_ERROR, 301605)
        for symbol in symbols:
            known = self.kinds.get(symbol, set())
            if _QUOTES in kinds - known:
                self._forget(symbol)
            self.kinds[symbol] = known | kinds
        self._update()
        # A recording has its own first pushes.
        wants_first = request.is_first_push and sim.recording is None
        first = self._first(symbols, kinds) if wants_first else []
        if sim.knobs.empty_subscribe:
            return {}, first
        return _subscriptions({symbol: self.kinds[symbol] for symbol in symbols}), first

    def _forget(self, symbol: str) -> None:
        """Begin to tell the quotes of a symbol, from what they are now."""
        number = self._sim.market.number(symbol)
        for session in range(SESSIONS) if number is not None else ():
            assert number is not None
            state = self._sim.passage.session(number, session)
            if state is not None:
                self._told[number, session] = state

    def _unsubscribe(self, request: Any) -> dict[str, Any]:
        symbols = _symbols(request)
        kinds = set(request.sub_type)
        if request.unsub_all:
            kinds = set(KINDS.values())
            symbols = symbols or list(self.kinds)
        elif not symbols or not kinds or not kinds <= set(KINDS.values()):
            raise bad_request()
        for symbol in symbols:
            left = self.kinds.pop(symbol, set()) - kinds
            if left:
                self.kinds[symbol] = left
        self._update()
        return {}

    # Answers.

    def _say(self, answer: Sequence[bytes], pushes: list[tuple[int, bytes]]) -> None:
        """Write an answer and the pushes that belong to it: live ones come behind both."""
        data = self._wire.encode(answer) if answer else b""
        self._wire.write(data + self._encode_pushes(pushes))
        if self._push_faults.due:
            self._soon(self._strike_now())

    async def _say_late(self, answer: Sequence[bytes], pushes: list[tuple[int, bytes]]) -> None:
        await asyncio.sleep(self._faults.late_reply)
        self._say(answer, pushes)

    async def _settle(self) -> None:
        await asyncio.sleep(_SETTLE_S)
        self._say_reversed()

    def _say_reversed(self) -> None:
        answers, self._reversed = self._reversed[::-1], []
        self._say(answers, [])

    def _soon(self, doing: Coroutine[Any, Any, None]) -> None:
        async def do() -> None:
            with suppress(ConnectionError):  # it did not wait
                await doing

        task = asyncio.create_task(do())
        self._late.add(task)
        task.add_done_callback(self._late.discard)


def _symbols(request: Any) -> list[str]:
    """Return the symbols of a request in canonical form, each once."""
    if len(request.symbol) > MOST_SYMBOLS:
        raise Refused(Status.SERVER_ERROR, 301607)
    try:
        return list(dict.fromkeys(map(code, request.symbol)))
    except ValueError as error:
        raise Refused(Status.SERVER_ERROR, 301600, str(error)) from None


def _subscriptions(kinds: dict[str, set[int]]) -> dict[str, Any]:
    return {
        "sub_list": [
            {"symbol": symbol, "sub_type": sorted(types)} for symbol, types in kinds.items()
        ]
    }
