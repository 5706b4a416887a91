"""What the doctor examines of AllTick. Nothing here shows the token."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import os
import ssl
import statistics
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastfeed.cli import words
from fastfeed.cli.examination import SECOND_NS, Examination, Tell
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
_SOON_S = 14 * 86400  # that a certificate expires
_HEAD_BYTES = 1 << 14
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
            if not await self._encryption() or not self._token_from:
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

    async def _encryption(self) -> bool:
        """Look at TLS, and on the way at the clock, in the head of any answer."""
        name, where = "encryption", f"{self._host}:{self._port}"
        began = time.monotonic_ns()
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_connection(
                    self._host, self._port, ssl=ssl.create_default_context() if self._tls else None
                )
        except ssl.SSLCertVerificationError as error:
            hint = "Somebody stands between, or this machine's certificates or clock are old."
            text = f"the certificate of {where} is not trusted: {error.verify_message}"
            self._found(name, "problem", text, hint)
            return False
        except ssl.SSLError as error:
            hint = "Something else listens there; a simulator has addresses with ws://."
            reason = (error.reason or str(error)).lower().replace("_", " ")
            self._found(name, "problem", f"no TLS with {where}: {reason}", hint)
            return False
        except TimeoutError:
            text = f"no answer to the TLS handshake from {where} in {self._timeout:g} s"
            self._found(name, "problem", text)
            return False
        except OSError as error:
            self._found(name, "problem", f"{where}: {error.strerror or error}")
            return False
        took_ns = time.monotonic_ns() - began
        try:
            tls = writer.get_extra_info("ssl_object")
            if tls is not None:
                self._certificate(tls, took_ns)
            elif self._is_local:
                self._found(name, "ok", "none, on this machine", tls=None)
            else:
                hint = "The token can be read on the way: use wss://."
                self._found(name, "warning", "none", hint, tls=None)
            await self._clock(reader, writer)
        finally:
            writer.close()
        return True

    def _certificate(self, tls: Any, took_ns: int) -> None:
        expiry = tls.getpeercert().get("notAfter", "")
        expiry_s = ssl.cert_time_to_seconds(expiry) if expiry else 0
        until = datetime.datetime.fromtimestamp(expiry_s, datetime.UTC)
        soon = expiry_s - time.time() < _SOON_S
        text = (
            f"{tls.version()}, in {words.latency(took_ns)}; certificate good until {until:%Y-%m-%d}"
        )
        self._found(
            "encryption", "warning" if soon else "ok", text, tls=tls.version(), tls_ns=took_ns
        )

    async def _clock(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask without a token for nothing: whatever the answer is, its head has the time."""
        sent_ns, began = time.time_ns(), time.monotonic_ns()
        writer.write(f"HEAD / HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n".encode())
        try:
            async with asyncio.timeout(self._timeout):
                head = await reader.readuntil(b"\r\n\r\n")
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # what is wrong there shows next
        took = time.monotonic_ns() - began
        for line in head[:_HEAD_BYTES].decode("latin-1").split("\r\n"):
            key, _, value = line.partition(":")
            if key.lower() == "date":
                try:
                    moment = email.utils.parsedate_to_datetime(value.strip())
                except ValueError:
                    return
                told_ns = int(moment.timestamp()) * SECOND_NS
                self._whole_seconds("server clock", "the server's", told_ns, sent_ns + took // 2)

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
        median, worst = int(statistics.median(trips)), max(trips)
        self._found(
            name,
            "ok" if median < _SLOW_NS else "warning",
            f"median {words.latency(median)}, worst {words.latency(worst)} of {len(trips)} heartbeats",
            median_ns=median,
            worst_ns=worst,
        )

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
