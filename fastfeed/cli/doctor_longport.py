"""What the doctor examines of LongPort. Nothing here shows a credential."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

import numpy as np

from fastfeed.cli import words
from fastfeed.cli.examination import SECOND_NS, Examination, Tell, ahead
from fastfeed.connect import vendor_of
from fastfeed.errors import (
    AuthError,
    ConfigError,
    FastfeedError,
    RateLimitError,
    RemoteProtocolError,
    SubscriptionError,
)
from fastfeed.feeds.longport import LongPort
from fastfeed.feeds.longport_http import Credentials
from fastfeed.feeds.longport_records import Profile
from fastfeed.protocols.longport_codes import CALLS_PER_S, KINDS
from fastfeed.protocols.longport_messages import Command
from fastfeed.schema import Flags
from fastfeed.stream import Reader

__all__ = ["LongportExamination", "stand_in"]

_PREFIXES = ("LONGBRIDGE_", "LONGPORT_")
_APP = ("app_key", "app_secret", "access_token")
_OAUTH = ("oauth_client_id", "oauth_token")
_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80, "tcp": 2020}
_ROUND_TRIPS = 5
_SLOW_NS = 500_000_000
_CLOCK_OFF_NS = 100_000_000
_FRESH_NS = 10 * SECOND_NS  # an older push says nothing about clocks
_SHORT_NS = 600 * SECOND_NS  # of a session
_PUSHES_S = 3.0  # how long first pushes may take
_LOOK_S = 0.02
#: A security of each market that everybody with a right to that market may subscribe to.
_KNOWN = {"HK": "700.HK", "US": "AAPL.US", "CN": "600519.SH", "SG": "D05.SG"}
_PUSHED_AT_ONCE = ("quotes", "books", "brokers")

_ADVICE = {
    403: "Other programs use the account's connections: end one, or wait until the gateway has forgotten those that "
    "were cut off.",
    401003: "An access token lives some three months: make a new one where the app key stands, in the vendor's "
    "developer centre.",
    401004: "Copy the access token again, from where the app key stands in the vendor's developer centre.",
    403201: "The app secret does not belong to the app key, or this machine's clock is far off.",
    403202: "Two programs ask at the same moment: try again.",
    403203: "Copy the app key again, from the vendor's developer centre.",
    403205: "Allow this machine's address in the vendor's developer centre.",
    429001: "Too many requests came from this address: wait a minute.",
    429002: "Too many requests were made: wait a minute, and look for other programs of this account.",
    429303: "The vendor has too much to do: wait, and try again.",
    500000: "That is the vendor's own error: try again later.",
    301600: "It does not know this symbol, or does not understand the request.",
    301603: "It has no quotes of this security.",
    301604: "The account has no right to this: see its packages of quotes, and buy one for OpenAPI.",
    301605: "All subscriptions of the account are in use: other programs have the rest.",
    301606: "Other programs of this account make too many requests.",
}


def stand_in(url: str) -> dict[str, Any]:
    """Return the options that let a feed of LongPort be made where credentials are missing."""
    if vendor_of(url) is not LongPort or not _missing(url):
        return {}
    given = _given(url)
    has_oauth = any(name in given for name in _OAUTH)
    has_app = any(name in given for name in _APP)
    if has_oauth and has_app:
        return {}  # that is wrong in itself
    return dict.fromkeys(_OAUTH if has_oauth else _APP, "none")


def _given(url: str) -> dict[str, str]:
    """Return the credentials of a URL."""
    options = dict(parse_qsl(urlsplit(url).query))
    return {name: options[name] for name in (*_APP, *_OAUTH) if name in options}


def _missing(url: str) -> str:
    """Return what is wrong with the credentials, empty if nothing is."""
    try:
        given: dict[str, Any] = {**_given(url)}
        Credentials.of(**given)
    except ConfigError as error:
        return str(error)
    return ""


def _variables(names: Sequence[str]) -> list[str]:
    """Return the variables that have values, the newer name before the older one."""
    wanted = (
        next((prefix + name.upper() for prefix in _PREFIXES if _is_set(prefix + name.upper())), "")
        for name in names
    )
    return [name for name in wanted if name]


def _is_set(variable: str) -> bool:
    return bool(os.environ.get(variable, "").strip())


def _port(address: SplitResult) -> int:
    return address.port or _PORTS[address.scheme]


def _advice(error: FastfeedError) -> str:
    return _ADVICE.get(error.code or 0, "")


class LongportExamination(Examination[LongPort]):
    """See `Examination`; the URL is the one that was given, for where its credentials stand."""

    def __init__(self, feed: LongPort, timeout: float, tell: Tell | None, url: str) -> None:
        super().__init__(feed, timeout, tell)
        self._missing = _missing(url)
        self._given = _given(url)
        self._http = urlsplit(feed.settings.http_url)
        self._gateway = urlsplit(feed.settings.url)
        self._profile: Profile | None = None

    async def run(self) -> None:
        """Make all checks, and close the feed."""
        try:
            self._credentials()
            if not await self._http_stands() or self._missing or not await self._token():
                return
            if not await self._gateway_stands() or not await self._auth():
                return
            self._session()
            self._profile = await self._asked("profile", self._feed.get_profile())
            if self._profile is not None:
                self._rights(self._profile)
                self._limits(self._profile)
            pushes = await self._subscriptions()
            await self._round_trips()
            if pushes is not None:
                pushes.take(self._feed.symbols)  # what has come meanwhile
                self._gateway_clock(pushes)
        finally:
            await self._feed.close()

    # by HTTP

    def _credentials(self) -> None:
        name = "credentials"
        if self._missing:
            hint = "They come from the page of the app key in the vendor's developer centre."
            self._found(name, "problem", self._missing, hint)
            return
        if self._given:
            text = f"{', '.join(self._given)} given in the URL"
            hint = "Others see that in the list of processes: put it into the environment instead."
            self._found(name, "warning", text, hint, source="url")
            return
        variables = _variables(_APP) or _variables(_OAUTH)
        prefixes = {name.partition("_")[0] for name in variables}
        text = f"given by {', '.join(variables)}"
        if len(prefixes) > 1:
            hint = f"Do those of {' and '.join(sorted(prefixes))} belong together?"
            self._found(name, "warning", text, hint, source="environment")
        else:
            self._found(name, "ok", text, source="environment")

    async def _http_stands(self) -> bool:
        address, host = self._http, self._http.hostname or ""
        hint = "Compare LONGBRIDGE_HTTP_URL, LONGPORT_HTTP_URL and http_url with that of the simulator or proxy."
        if not await self._reachable(host, _port(address), hint, name="http"):
            return False
        risk = "The access token can be read on the way: use https://."
        return await self._encryption(
            host, _port(address), address.scheme == "https", risk, name="http security"
        )

    async def _token(self) -> bool:
        """Ask for a one-time password; return whether there is one."""
        name = "token"
        began = time.monotonic_ns()
        try:
            found = await self._feed.get_connections()
        except AuthError as error:
            self._found(
                name, "problem", str(error), _ADVICE[403] if error.code is None else _advice(error)
            )
            return False
        except FastfeedError as error:
            hint = _advice(error)
            if isinstance(error, RateLimitError):
                hint = hint or _ADVICE[429002]
            elif isinstance(error, RemoteProtocolError):
                hint = "Something else than LongPort answers there, or at another path."
            self._found(name, "problem", str(error), hint)
            return False
        took_ns = time.monotonic_ns() - began
        text = (
            f"the credentials are accepted, in {words.latency(took_ns)}; {found.online} of {found.limit} "
            "connections are open"
        )
        last = found.limit - found.online <= 1
        hint = "This is the last one: another program cannot connect meanwhile." if last else ""
        self._found(
            name,
            "warning" if last else "ok",
            text,
            hint,
            request_ns=took_ns,
            limit=found.limit,
            online=found.online,
        )
        return True

    # the gateway

    async def _gateway_stands(self) -> bool:
        address, host = self._gateway, self._gateway.hostname or ""
        hint = "Compare LONGBRIDGE_QUOTE_WS_URL, LONGPORT_QUOTE_WS_URL and url with that of the simulator or proxy."
        if not await self._reachable(host, _port(address), hint, name="gateway"):
            return False
        risk = "The session can be read on the way: use wss://, or transport ws in place of tcp."
        return await self._encryption(
            host,
            _port(address),
            address.scheme == "wss",
            risk,
            name="security",
            clock="",
        )

    async def _auth(self) -> bool:
        name = "auth"
        began = time.monotonic_ns()
        try:
            await self._feed.open()
        except FastfeedError as error:
            hint = _advice(error)
            if isinstance(error, RemoteProtocolError):
                hint = hint or "Something else than LongPort answers there, or at another path."
            elif isinstance(error, AuthError):
                hint = (
                    hint or "Do the addresses of HTTP and of the gateway belong to the same system?"
                )
            self._found(
                name,
                "problem",
                str(error),
                hint or "It accepts connections and does not let in: is it LongPort?",
            )
            return False
        took_ns = time.monotonic_ns() - began
        kind = "TCP" if self._gateway.scheme == "tcp" else "WebSocket"
        text = f"over {kind}, in {words.latency(took_ns)} with a new one-time password"
        self._found(name, "ok", text, transport=kind.lower(), auth_ns=took_ns)
        return True

    def _session(self) -> None:
        name, until_ns = "session", self._feed.session_expires_ns
        if until_ns is None:
            text = "the gateway gave none: after each disconnect a new one-time password is needed"
            self._found(name, "warning", text)
            return
        left_ns = until_ns - time.time_ns()
        text = f"can be taken up again for {words.age(max(0, left_ns) / 1e9)}"
        hint = "Is this machine's clock right?" if left_ns < _SHORT_NS else ""
        self._found(name, "warning" if hint else "ok", text, hint, expires_ns=until_ns)

    # the account

    def _rights(self, profile: Profile) -> None:
        text = f"member {profile.member_id}, level {profile.quote_level or 'not told'}"
        self._found(
            "profile", "ok", text, member_id=profile.member_id, quote_level=profile.quote_level
        )
        for market, held in sorted(profile.markets.items()):
            name, names = "packages", [one.name or one.key for one in held.packages]
            text = f"{market}: {', '.join(names) or 'none'}"
            values: dict[str, Any] = {"market": market, "keys": [one.key for one in held.packages]}
            if held.warning_msg:
                self._found(name, "warning", f"{text}; {held.warning_msg}", **values)
            elif not names:
                hint = "Quotes of this market are missing or late."
                self._found(name, "warning", text, hint, **values)
            elif all("delay" in one.lower() for one in names):
                self._found(name, "warning", text, "Quotes of this market are late.", **values)
            else:
                self._found(name, "ok", text, **values)
        if not profile.markets:
            hint = "What may be subscribed shows below."
            self._found("packages", "warning", "none are named", hint)

    def _limits(self, profile: Profile) -> None:
        text = (
            f"{profile.subscribe_limit:,} symbols subscribed, the history of "
            f"{profile.history_candlestick_limit:,} symbols a month"
        )
        rates = [one.limit for one in profile.rate_limits]
        bursts = [one.burst for one in profile.rate_limits]
        if rates:
            text += f"; {_span(rates)} requests of a command a second, {_span(bursts)} at once"
        else:
            text += f"; {CALLS_PER_S} requests a second, as the documents say"
        self._found(
            "limits",
            "ok",
            text,
            symbols=profile.subscribe_limit,
            history=profile.history_candlestick_limit,
            requests_s=rates,
        )

    # pushes

    async def _subscriptions(self) -> _Pushes | None:
        """Subscribe to a security of each market, and wait for what comes at once; None: nothing can."""
        hub = self._feed.hub
        readers = {kind: hub.stream(kind).reader() for kind in KINDS}
        granted: dict[str, list[str]] = {}
        refused: dict[str, FastfeedError] = {}
        began: dict[str, int] = {}
        for market, symbol in _KNOWN.items():
            kinds = [kind for kind in KINDS if kind != "brokers" or market == "HK"]
            began[market] = time.time_ns()
            granted[market], error = await self._subscribed(symbol, kinds)
            if error is not None:
                refused[market] = error
        pushes = _Pushes(readers)
        waited_for = [
            (_KNOWN[market], kind)
            for market, kinds in granted.items()
            for kind in kinds
            if kind in _PUSHED_AT_ONCE
        ]
        deadline = time.monotonic() + min(_PUSHES_S, self._timeout)
        while True:
            pushes.take(self._feed.symbols)
            if all(key in pushes.first_ns for key in waited_for) or time.monotonic() >= deadline:
                break
            await asyncio.sleep(_LOOK_S)
        for market, symbol in _KNOWN.items():
            error = refused.get(market)
            if not granted[market] and error is not None:
                # A market of which the account has no package need not worry anybody.
                known = self._profile is None or market in self._profile.markets
                self._found(
                    "subscription",
                    "warning" if known else "ok",
                    f"{market}: {error}",
                    _advice(error) if known else "",
                    market=market,
                )
            elif granted[market]:
                self._pushed(market, symbol, granted[market], error, pushes, began[market])
        if not any(granted.values()):
            hint = "Pulls may work all the same: fastfeed get URL quotes SYMBOL."
            self._found("pushes", "problem", "nothing can be subscribed", hint)
            return None
        return pushes

    async def _subscribed(
        self, symbol: str, kinds: list[str]
    ) -> tuple[list[str], FastfeedError | None]:
        """Return the kinds to which a symbol is subscribed now, and why not to the others."""
        try:
            await self._feed.subscribe([symbol], *kinds)
        except SubscriptionError as error:
            failure: FastfeedError = error
        except FastfeedError as error:
            return [], error
        else:
            return kinds, None
        if len(kinds) == 1:
            return [], failure
        found = []
        for kind in kinds:
            one, error_of_one = await self._subscribed(symbol, [kind])
            found += one
            failure = error_of_one or failure
        return found, failure

    def _pushed(
        self,
        market: str,
        symbol: str,
        kinds: list[str],
        error: FastfeedError | None,
        pushes: _Pushes,
        began_ns: int,
    ) -> None:
        name = "subscription"
        after = {
            kind: pushes.first_ns[symbol, kind] - began_ns
            for kind in kinds
            if (symbol, kind) in pushes.first_ns
        }
        late = [kind for kind in kinds if kind in _PUSHED_AT_ONCE and kind not in after]
        text = f"{market}: {symbol} {', '.join(kinds)}"
        if after:
            text += f"; first push after {words.latency(min(after.values()))}"
        if levels := pushes.levels.get(symbol, 0):
            text += f", {levels} level{'s' * (levels > 1)} of the book"
        values: dict[str, Any] = {"market": market, "kinds": kinds, "after_ns": after}
        if error is not None:
            missing = [k for k in KINDS if k not in kinds and (k != "brokers" or market == "HK")]
            text += f"; not {', '.join(missing)}: {error}"
            self._found(name, "warning", text, _advice(error), **values)
        elif late:
            text += f"; no push of {', '.join(late)} in {min(_PUSHES_S, self._timeout):g} s"
            hint = (
                "LongPort sends these as soon as they are subscribed, where the account's packages have pushes: a "
                "closed market sends none later."
            )
            self._found(name, "warning", text, hint, **values)
        else:
            self._found(name, "ok", text, **values)

    def _gateway_clock(self, pushes: _Pushes) -> None:
        name, least = "gateway clock", pushes.least_ns
        if least is None:
            self._found(name, "ok", "pushes do not tell it", offset_ns=None)
        elif least > _FRESH_NS:
            age = words.age(least / 1e9)
            self._found(name, "ok", f"nothing is new: the newest push is {age} old", offset_ns=None)
        elif least < -_CLOCK_OFF_NS:
            hint = "Latencies from the gateway are wrong by as much: synchronise this clock."
            text = f"pushes come from the future: it is {ahead(-least)} ours"
            self._found(name, "warning", text, hint, offset_ns=-least)
        else:
            side = "before" if least >= 0 else "after"
            text = f"the newest push was stamped {words.latency(abs(least))} {side} it came"
            if least > SECOND_NS:
                text += ": little happens, or the clocks differ"
            self._found(name, "ok", text, offset_ns=-least)

    async def _round_trips(self) -> None:
        limits = self._profile.rate_limits if self._profile is not None else ()
        per_s = next(
            (one.limit for one in limits if one.command == Command.SUBSCRIPTIONS), CALLS_PER_S
        )
        trips: list[int] = []
        for _ in range(_ROUND_TRIPS):
            await asyncio.sleep(1.1 / max(per_s, 1))  # so that none waits for its turn
            began = time.monotonic_ns()
            found = await self._asked("round trip", self._feed.get_subscriptions())
            if found is None:
                return
            trips.append(time.monotonic_ns() - began)
        self._trips(trips, "requests", _SLOW_NS)


class _Pushes:
    """What came of pushes: when first, how many levels of books, how far behind the gateway's stamp."""

    def __init__(self, readers: dict[str, Reader]) -> None:
        self._readers = readers
        self.first_ns: dict[tuple[str, str], int] = {}
        self.levels: dict[str, int] = {}
        self.least_ns: int | None = None

    def take(self, symbols: Any) -> None:
        for kind, reader in self._readers.items():
            rows = reader.read()
            rows = rows[(rows["flags"] & int(Flags.CACHED)) == 0]  # those were pulled
            for row in rows:
                symbol = symbols[int(row["symbol"])]
                self.first_ns.setdefault((symbol, kind), int(row["recv_ns"]))
                if kind == "books":
                    levels = max(int(row["bids"]), int(row["asks"]))
                    self.levels[symbol] = max(levels, self.levels.get(symbol, 0))
            stamped = rows[rows["gateway_ns"] != 0]
            if len(stamped):
                least = int(np.min(stamped["recv_ns"] - stamped["gateway_ns"]))
                self.least_ns = least if self.least_ns is None else min(least, self.least_ns)


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
