"""What the doctor examines of AllTick. Nothing here shows the token."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastfeed.cli import words
from fastfeed.cli.examination import Examination, Tell
from fastfeed.connect import vendor_of
from fastfeed.errors import (
    AuthError,
    FastfeedError,
    RateLimitError,
    RemoteProtocolError,
    RequestError,
)
from fastfeed.feeds.alltick import AllTick
from fastfeed.protocols.alltick_codes import MARKETS, PLANS

__all__ = ["AlltickExamination", "stand_in"]

_VARIABLE = "ALLTICK_TOKEN"
_ROUND_TRIPS = 3  # there is more than a second between them
_BETWEEN_S = 1.5
_SLOW_NS = 500_000_000
_NOT_SERVED = (600, 604)
#: What all plans have.
_KNOWN = {"stock": "700.HK", "crypto": "BTCUSDT"}
_REFUSED = "The token is wrong or has expired, or its plan is not for this market (stock, crypto)."
_FREQUENCY = (
    "Connections of the token are in use, or were made too quickly: look for another program with this token, "
    "or wait 15 s."
)


def stand_in(url: str) -> dict[str, Any]:
    """Return the options that let a feed of AllTick be made where there is no token."""
    return {"token": "none"} if vendor_of(url) is AllTick and not _source_of_token(url) else {}


def _source_of_token(url: str) -> str:
    """Return where the token comes from, empty without one."""
    if "token" in dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)):
        return "url"
    return "environment" if os.environ.get(_VARIABLE) else ""


class AlltickExamination(Examination[AllTick]):
    """See `Examination`; the URL is the one that was given, for where its token stands."""

    def __init__(self, feed: AllTick, timeout: float, tell: Tell | None, url: str) -> None:
        super().__init__(feed, timeout, tell)
        self._token_from = _source_of_token(url)
        options = dict(parse_qsl(urlsplit(feed.url).query))
        address = urlsplit(options.get("url", MARKETS[feed.market].url))
        self._hint = "Compare it with the address of the simulator or proxy." if options else ""
        self._tls = address.scheme == "wss"
        self._host = address.hostname or ""
        self._port = address.port or (443 if self._tls else 80)

    async def run(self) -> None:
        """Make all checks, and close the feed."""
        try:
            self._token()
            if not await self._reachable(self._host, self._port, self._hint):
                return
            risk = "The token can be read on the way: use wss://."
            if not await self._encryption(self._host, self._port, self._tls, risk):
                return
            if not self._token_from:
                return
            if await self._http() and await self._websocket():
                self._plan()
        finally:
            await self._feed.close()

    def _token(self) -> None:
        name = "token"
        if not self._token_from:
            hint = f"Put it into the environment: export {_VARIABLE}=..."
            self._found(name, "problem", "there is none", hint)
        elif self._token_from == "url":
            hint = f"Others see it in the list of processes: put it into {_VARIABLE} instead."
            self._found(name, "warning", "given in the URL", hint, source="url")
        else:
            self._found(name, "ok", f"given by {_VARIABLE}", source="environment")

    async def _websocket(self) -> bool:
        """Return whether it is AllTick, and the token is good, as far as that is known."""
        name = "websocket"
        began = time.monotonic_ns()
        try:
            await self._feed.open()
        except AuthError as error:
            self._found(name, "problem", str(error), _REFUSED)
            return False
        except RateLimitError as error:
            self._found(name, "problem", str(error), _FREQUENCY)
            return True
        except FastfeedError as error:
            hint = "It accepts connections and does not answer: is it AllTick?"
            if isinstance(error, RemoteProtocolError):
                hint = "Something else than AllTick answers there, or at another path."
            self._found(name, "problem", str(error), hint)
            return False
        took_ns = time.monotonic_ns() - began
        text = f"open in {words.latency(took_ns)}, the token is accepted"
        self._found(name, "ok", text, upgrade_ns=took_ns)
        await self._round_trips()
        return True

    async def _round_trips(self) -> None:
        name = "round trip"
        trips: list[int] = []
        try:
            for _ in range(_ROUND_TRIPS):
                async with asyncio.timeout(self._timeout + _BETWEEN_S):
                    trips.append(await self._feed.round_trip_ns())
        except FastfeedError as error:
            self._found(name, "problem", str(error))
            return
        except TimeoutError:
            text = f"AllTick did not answer a heartbeat in {self._timeout:g} s"
            self._found(name, "problem", text)
            return
        self._trips(trips, "heartbeats", _SLOW_NS)

    async def _http(self) -> bool:
        """Ask for a trade; return whether the token is good, as far as that is known."""
        name, symbol = "http", _KNOWN[self._feed.market]
        began = time.monotonic_ns()
        try:
            rows = await self._feed.get_ticks(symbol)
        except AuthError as error:
            self._found(name, "problem", str(error), _REFUSED)
            return False
        except RateLimitError as error:
            hint = "Other programs with this token use up its requests by HTTP."
            self._found(name, "warning", str(error), hint)
            return True
        except RequestError as error:
            served = error.code not in _NOT_SERVED
            text = str(error) if served else f"answers, and does not serve {symbol}: {error.text}"
            self._found(name, "problem" if served else "ok", text)
            return True
        except FastfeedError as error:
            self._found(name, "problem", str(error))
            return True
        took_ns = time.monotonic_ns() - began
        text = f"answers in {words.latency(took_ns)}; no trade of {symbol} is known"
        if len(rows):
            price = float(rows["price"][0])
            age_s = (time.time_ns() - int(rows["time_ns"][0])) / 1e9
            shown = words.price(price, max(2, words.decimals(price)))
            text = f"answers in {words.latency(took_ns)}; {symbol} was at {shown}, {words.age(age_s)} ago"
        self._found(name, "ok", text, request_ns=took_ns)
        return True

    def _plan(self) -> None:
        plan = self._feed.plan
        name = next(name for name, one in PLANS.items() if one is plan)
        calls, window_s = plan.request
        text = (
            f"{name}, as given (AllTick does not tell): {plan.connections} WebSocket "
            f"connection{'s' * (plan.connections > 1)}, {plan.codes:,} symbols of a kind on each; by HTTP of each "
            f"kind {calls} request{'s' * (calls > 1)} in {window_s:g} s, {plan.per_minute:,} a minute, "
            f"{plan.per_day:,} a day"
        )
        limits: dict[str, Any] = {
            "connections": plan.connections,
            "symbols": plan.codes,
            "per_minute": plan.per_minute,
            "per_day": plan.per_day,
        }
        self._found("plan", "ok", text, plan=name, **limits)
