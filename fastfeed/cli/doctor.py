"""`fastfeed doctor`: is a gateway there, does it work, and what does it allow?"""

from __future__ import annotations

import asyncio
import socket
import statistics
import textwrap
import time
from collections.abc import Awaitable
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from fastfeed.cli import words
from fastfeed.cli.connection import connection_options, feed_of
from fastfeed.cli.grid import say, terminal_width
from fastfeed.connect import run
from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    RemoteProtocolError,
    RequestTimeout,
)
from fastfeed.feeds.opend import OpenD
from fastfeed.feeds.opend_records import GlobalState, UserInfo

__all__ = ["doctor"]

T = TypeVar("T")
Verdict = Literal["ok", "warning", "problem"]

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_ROUND_TRIPS = 20
_SLOW_NS = 50_000_000  # a round trip that deserves a word
_CLOCK_OFF_NS = 100_000_000
_SECOND_NS = 1_000_000_000
_SERVER_OFF_NS = 2 * _SECOND_NS  # the server tells whole seconds
_FEW = 0.1  # of a quota
_INDENT = 24
_LOOPBACK = ("127.", "::1")


class _Check(msgspec.Struct):
    """One thing that was looked at, with what it showed."""

    name: str
    verdict: Verdict
    text: str
    hint: str = ""
    values: dict[str, Any] = {}


class _Report(msgspec.Struct):
    """What `--json` prints."""

    url: str
    verdict: Verdict
    checks: list[_Check]


@click.command(short_help="Look whether a gateway is there, works, and what it allows.")
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Longest wait for each answer.",
)
@connection_options
def doctor(
    *,
    url: str,
    as_json: bool,
    timeout: float,
    rsa_key: str | None,
    encryption: str | None,
) -> None:
    """Look whether the gateway at URL is there, works, and what it allows.

    Nothing is subscribed and nothing is changed. Each line is ok, a warning (it works, with a drawback) or
    a problem; the exit code is 1 if there is a problem.

    \b
    Examples:
      fastfeed doctor opend://127.0.0.1:11111
      fastfeed doctor opend://10.0.0.5:11111 --rsa-key ~/futu.pem
    """
    feed = feed_of(
        url, rsa_key, encryption, connect_timeout_s=timeout, request_timeout_s=timeout, wait_s=0.0
    )
    examination = _Examination(feed, timeout, None if as_json else _print)
    run(examination.run())
    report = examination.report()
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        say(["", _conclusion(report)])
    click.get_current_context().exit(1 if report.verdict == "problem" else 0)


def _print(check: _Check) -> None:
    mark = click.style(f"{check.verdict:<7}", fg=_COLOURS[check.verdict])
    head = f"{mark}  {check.name:<13}  "
    room = max((terminal_width() or 1 << 16) - _INDENT, 20)
    for text in filter(None, (check.text, check.hint)):
        for line in textwrap.wrap(text, room):
            say([head + line])
            head = " " * _INDENT


def _conclusion(report: _Report) -> str:
    def counted(verdict: Verdict) -> str:
        number = sum(check.verdict == verdict for check in report.checks)
        return f"{number} {verdict}{'s' * (number > 1)}" if number else ""

    found = ", ".join(filter(None, (counted("problem"), counted("warning"))))
    colour = _COLOURS[report.verdict]
    return click.style(f"{found}." if found else "All is well.", fg=colour, bold=True)


class _Examination:
    """The checks, one after the other; those that need a connection only with one."""

    def __init__(self, feed: OpenD, timeout: float, tell: Any) -> None:
        self._feed = feed
        self._timeout = timeout
        self._tell = tell
        parts = urlsplit(feed.url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._checks: list[_Check] = []
        self._peer = ""

    def report(self) -> _Report:
        found = {check.verdict for check in self._checks}
        worst: Verdict = "ok"
        if found & {"warning", "problem"}:
            worst = "problem" if "problem" in found else "warning"
        return _Report(self._feed.url, worst, self._checks)

    def _found(self, name: str, verdict: Verdict, text: str, hint: str = "", **values: Any) -> None:
        check = _Check(name, verdict, " ".join(text.split()), hint, values)
        self._checks.append(check)
        if self._tell is not None:
            self._tell(check)

    async def run(self) -> None:
        if not await self._reachable():
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

    async def _asked(self, name: str, pull: Awaitable[T]) -> T | None:
        """Return the answer; no answer is a problem."""
        try:
            return await pull
        except FastfeedError as error:
            self._found(name, "problem", str(error))
            return None

    async def _reachable(self) -> bool:
        name, where = "reachable", f"{self._host}:{self._port}"
        began = time.monotonic_ns()
        try:
            async with asyncio.timeout(self._timeout):
                _, writer = await asyncio.open_connection(self._host, self._port)
        except TimeoutError:
            hint = "The machine is off, or a firewall drops what is sent there."
            self._found(name, "problem", f"no answer from {where} in {self._timeout:g} s", hint)
            return False
        except ConnectionRefusedError:
            hint = "Start OpenD, and compare the port with its setting api_port (and the address with ip)."
            self._found(name, "problem", f"nothing listens at {where}", hint)
            return False
        except socket.gaierror as error:
            self._found(name, "problem", f"the name {self._host!r} is not known: {error.strerror}")
            return False
        except OSError as error:
            self._found(name, "problem", f"{where}: {error.strerror or error}")
            return False
        took_ns = time.monotonic_ns() - began
        self._peer = writer.get_extra_info("peername")[0]
        writer.close()
        self._found(
            name, "ok", f"{where}, connected in {words.latency(took_ns)}", connect_ns=took_ns
        )
        return True

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
        local = self._peer.startswith(_LOOPBACK)
        text = f"done in {words.latency(took_ns)}"
        if encryption != "none":
            self._found(name, "ok", f"{text}, encrypted ({encryption})", encryption=encryption)
        elif local:
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
        median, worst = int(statistics.median(trips)), max(trips)
        self._found(
            "round trip",
            "ok" if median < _SLOW_NS else "warning",
            f"median {words.latency(median)}, worst {words.latency(worst)} of {len(trips)} requests",
            median_ns=median,
            worst_ns=worst,
        )
        self._clocks(*clock, middle_ns, best)

    def _clocks(
        self, local_ns: int | None, server_ns: int | None, middle_ns: int, best: int
    ) -> None:
        if local_ns is not None:
            offset = local_ns - middle_ns
            text = f"OpenD's machine is {_ahead(offset)} ours (± {words.latency(best / 2)})"
            off = abs(offset) - best // 2 > _CLOCK_OFF_NS
            hint = (
                "Latencies from the gateway are wrong by as much: synchronise both clocks."
                if off
                else ""
            )
            self._found("clock", "warning" if off else "ok", text, hint, offset_ns=offset)
        if server_ns is not None:
            # Whole seconds: the server's clock is somewhere in the second that it told.
            low, high = server_ns - middle_ns, server_ns - middle_ns + _SECOND_NS
            off = low > _SERVER_OFF_NS or high < -_SERVER_OFF_NS
            text = f"the quote server's, in whole seconds, is {_ahead((low + high) // 2)} ours"
            text = text if off else "the quote server's agrees with ours, within its whole seconds"
            self._found(
                "server clock", "warning" if off else "ok", text, offset_ns=(low + high) // 2
            )

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


def _ahead(offset_ns: int) -> str:
    return f"{words.latency(abs(offset_ns))} {'ahead of' if offset_ns >= 0 else 'behind'}"


def _advice(error: FastfeedError) -> str:
    match error:
        case AuthError():
            return "The RSA key: give OpenD's own file with --rsa-key, or none if OpenD has none."
        case RequestTimeout() | ConnectError():
            return "It accepts connections and does not answer: is it OpenD, and does it still run well?"
        case RemoteProtocolError():
            return "Something else than OpenD listens there, or OpenD's WebSocket port."
    return ""
