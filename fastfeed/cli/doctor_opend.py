"""What the doctor examines of OpenD."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from fastfeed.cli import words
from fastfeed.cli.examination import Examination, Tell, ahead
from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    RemoteProtocolError,
    RequestTimeout,
)
from fastfeed.feeds.opend import OpenD
from fastfeed.feeds.opend_records import GlobalState, UserInfo

__all__ = ["OpendExamination"]

_ROUND_TRIPS = 20
_SLOW_NS = 50_000_000  # a round trip that deserves a word
_CLOCK_OFF_NS = 100_000_000
_FEW = 0.1  # of a quota


class OpendExamination(Examination[OpenD]):
    """See `Examination`."""

    def __init__(self, feed: OpenD, timeout: float, tell: Tell | None) -> None:
        super().__init__(feed, timeout, tell)
        parts = urlsplit(feed.url)
        self._host, self._port = parts.hostname or "", parts.port or 0

    async def run(self) -> None:
        """Make all checks, and close the feed."""
        hint = (
            "Start OpenD, and compare the port with its setting api_port (and the address with ip)."
        )
        if not await self._reachable(self._host, self._port, hint):
            return
        try:
            if not await self._handshake():
                return
            state = await self._asked("state", self._feed.get_global_state())
            if state is not None:
                self._state(state)
                await self._round_trips()
            user = await self._asked("user", self._feed.get_user_info())
            if user is not None:
                self._rights(user)
            await self._quotas()
            await self._delays()
        finally:
            await self._feed.close()

    async def _handshake(self) -> bool:
        name = "handshake"
        began = time.monotonic_ns()
        try:
            await self._feed.open()
        except FastfeedError as error:
            self._found(name, "problem", str(error), _advice(error))
            return False
        took_ns = time.monotonic_ns() - began
        encryption = self._feed.encryption
        text = f"done in {words.latency(took_ns)}"
        if encryption != "none":
            self._found(name, "ok", f"{text}, encrypted ({encryption})", encryption=encryption)
        elif self._is_local:
            self._found(name, "ok", f"{text}, not encrypted", encryption=encryption)
        else:
            hint = (
                "Between machines, give OpenD an RSA key and use --rsa-key: others can read along."
            )
            self._found(name, "warning", f"{text}, not encrypted", hint, encryption=encryption)
        return True

    def _state(self, state: GlobalState) -> None:
        major, minor = divmod(state.server_version, 100)
        self._found(
            "version",
            "ok",
            f"OpenD {major}.{minor}, build {state.server_build}",
            server_version=state.server_version,
            server_build=state.server_build,
        )
        status = state.program_status or "READY"
        detail = f": {state.program_status_text}" if state.program_status_text else ""
        self._found(
            "program",
            "ok" if status == "READY" else "problem",
            f"{status}{detail}",
            "" if status == "READY" else "OpenD's own window or log says what it waits for.",
            program_status=status,
        )
        if state.quotes_logged_in:
            self._found("quote login", "ok", "logged in to quotes", logged_in=True)
        else:
            hint = "No data comes until OpenD has logged in: see its window or log."
            self._found("quote login", "problem", "not logged in to quotes", hint, logged_in=False)

    async def _round_trips(self) -> None:
        trips: list[int] = []
        best = 0
        clock: tuple[int | None, int | None] = (None, None)
        middle_ns = 0
        for _ in range(_ROUND_TRIPS):
            sent_ns, began = time.time_ns(), time.monotonic_ns()
            state = await self._asked("round trip", self._feed.get_global_state())
            if state is None:
                return
            took = time.monotonic_ns() - began
            trips.append(took)
            if not best or took < best:
                best, middle_ns = took, sent_ns + took // 2
                clock = state.local_time_ns, state.server_time_ns
        self._trips(trips, "requests", _SLOW_NS)
        self._clocks(*clock, middle_ns, best)

    def _clocks(
        self, local_ns: int | None, server_ns: int | None, middle_ns: int, best: int
    ) -> None:
        if local_ns is not None:
            offset = local_ns - middle_ns
            text = f"OpenD's machine is {ahead(offset)} ours (± {words.latency(best / 2)})"
            off = abs(offset) - best // 2 > _CLOCK_OFF_NS
            hint = (
                "Latencies from the gateway are wrong by as much: synchronise both clocks."
                if off
                else ""
            )
            self._found("clock", "warning" if off else "ok", text, hint, offset_ns=offset)
        if server_ns is not None:
            self._whole_seconds("server clock", "the quote server's", server_ns, middle_ns)

    def _rights(self, user: UserInfo) -> None:
        who = user.nick_name or "an account"
        number = f" (user {user.user_id})" if user.user_id else ""
        self._found("user", "ok", f"{who}{number}", user_id=user.user_id)
        names = [name for name in user.__struct_fields__ if name.endswith("_right")]
        found = {
            _market(name): getattr(user, name)
            for name in names
            if isinstance(getattr(user, name), str)
        }
        has = {market: right for market, right in found.items() if right not in ("NO", "N/A")}
        by_right: dict[str, list[str]] = {}
        for market, right in has.items():
            by_right.setdefault(right, []).append(market)
        if not has:
            hint = "Nothing but delayed or no quotes can be expected."
            self._found("quote rights", "warning", "none at all", hint, rights=found)
        for right, markets in sorted(by_right.items()):
            self._found("quote rights", "ok", f"{right}: {', '.join(markets)}", rights=found)

    async def _quotas(self) -> None:
        live = await self._asked("quota", self._feed.get_subscriptions(True))
        if live is not None:
            self._quota("subscriptions", live.used_quota, live.remaining_quota)
        past = await self._asked("history", self._feed.get_history_quota())
        if past is not None:
            self._quota("history", past.used, past.remaining)

    def _quota(self, name: str, used: int, left: int) -> None:
        whole = used + left
        few = left <= whole * _FEW
        text = f"{used:,} used, {left:,} left of the quota"
        self._found(name, "warning" if few else "ok", text, used=used, left=left)

    async def _delays(self) -> None:
        try:
            found = await self._feed.get_delay_statistics(("push", "request"))
        except FastfeedError:
            return  # older gateways do not keep any
        parts = [
            f"{push.kind.lower().replace('_', ' ')} {push.average_ms:.1f} ms"
            for push in found.pushes
            if push.count
        ]
        text = f"pushes, on average: {', '.join(parts)}" if parts else "no pushes yet"
        averages = {push.kind: push.average_ms for push in found.pushes if push.count}
        self._found("own delays", "ok", text, averages_ms=averages)


def _market(field: str) -> str:
    region, _, rest = field.removesuffix("_right").partition("_")
    region = region.upper() if len(region) == 2 else region
    return f"{region} {rest}".strip().replace("_", " ")


def _advice(error: FastfeedError) -> str:
    match error:
        case AuthError():
            return "The RSA key: give OpenD's own file with --rsa-key, or none if OpenD has none."
        case RequestTimeout() | ConnectError():
            return "It accepts connections and does not answer: is it OpenD, and does it still run well?"
        case RemoteProtocolError():
            return "Something else than OpenD listens there, or OpenD's WebSocket port."
    return ""
