"""What the doctor's examinations of all vendors have in common: checks, their verdicts, and common ones."""

from __future__ import annotations

import abc
import asyncio
import datetime
import email.utils
import socket
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, TypeVar

import msgspec

from fastfeed.cli import words
from fastfeed.errors import FastfeedError
from fastfeed.feeds.feed import Feed

__all__ = ["SECOND_NS", "Check", "Examination", "Report", "Tell", "Verdict", "ahead"]

T = TypeVar("T")
F = TypeVar("F", bound=Feed)
Verdict = Literal["ok", "warning", "problem"]

SECOND_NS = 1_000_000_000
_OFF_NS = 2 * SECOND_NS  # of a clock that tells whole seconds
_SOON_S = 14 * 86400  # that a certificate expires
_HEAD_BYTES = 1 << 14


class Check(msgspec.Struct):
    """One thing that was looked at, with what it showed."""

    name: str
    verdict: Verdict
    text: str
    hint: str = ""
    values: dict[str, Any] = {}


class Report(msgspec.Struct):
    """What `--json` prints."""

    url: str
    verdict: Verdict
    checks: list[Check]


Tell = Callable[[Check], object]


class Examination(abc.ABC, Generic[F]):
    """The checks, one after the other; those that need a connection only with one.

    Parameters
    ----------
    feed
    timeout
        Longest wait for each answer, in seconds.
    tell
        Gets each check as soon as it is made.
    """

    def __init__(self, feed: F, timeout: float, tell: Tell | None) -> None:
        self._feed = feed
        self._timeout = timeout
        self._tell = tell
        self._checks: list[Check] = []
        self._peer = ""

    @abc.abstractmethod
    async def run(self) -> None:
        """Make all checks, and close the feed."""

    def report(self) -> Report:
        """Return what was found."""
        found = {check.verdict for check in self._checks}
        worst: Verdict = "ok"
        if found & {"warning", "problem"}:
            worst = "problem" if "problem" in found else "warning"
        return Report(self._feed.url, worst, self._checks)

    def _found(self, name: str, verdict: Verdict, text: str, hint: str = "", **values: Any) -> None:
        check = Check(name, verdict, " ".join(text.split()), hint, values)
        self._checks.append(check)
        if self._tell is not None:
            self._tell(check)

    async def _asked(self, name: str, pull: Awaitable[T]) -> T | None:
        """Return the answer; no answer is a problem."""
        try:
            return await pull
        except FastfeedError as error:
            self._found(name, "problem", str(error))
            return None

    async def _reachable(self, host: str, port: int, hint: str, *, name: str = "reachable") -> bool:
        """Look whether something listens; the hint is for where nothing does."""
        where = f"{host}:{port}"
        began = time.monotonic_ns()
        try:
            async with asyncio.timeout(self._timeout):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            silent = "The machine is off, or a firewall drops what is sent there."
            self._found(name, "problem", f"no answer from {where} in {self._timeout:g} s", silent)
            return False
        except ConnectionRefusedError:
            self._found(name, "problem", f"nothing listens at {where}", hint)
            return False
        except socket.gaierror as error:
            self._found(name, "problem", f"the name {host!r} is not known: {error.strerror}")
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

    async def _encryption(
        self,
        host: str,
        port: int,
        tls: bool,
        risk: str,
        *,
        name: str = "encryption",
        clock: str = "server clock",
    ) -> bool:
        """Look at TLS, and on the way at the clock in the head of any answer by HTTP.

        Parameters
        ----------
        host, port
        tls
        risk
            The hint where there is none, and it is not this machine.
        name, clock
            Of the checks; without a name for it the clock is not looked at.
        """
        where = f"{host}:{port}"
        began = time.monotonic_ns()
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=ssl.create_default_context() if tls else None
                )
        except ssl.SSLCertVerificationError as error:
            hint = "Somebody stands between, or this machine's certificates or clock are old."
            text = f"the certificate of {where} is not trusted: {error.verify_message}"
            self._found(name, "problem", text, hint)
            return False
        except ssl.SSLError as error:
            hint = "Something else listens there; a simulator has addresses with ws:// and http://."
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
            layer = writer.get_extra_info("ssl_object")
            if layer is not None:
                self._certificate(name, layer, took_ns)
            elif self._is_local:
                self._found(name, "ok", "none, on this machine", tls=None)
            else:
                self._found(name, "warning", "none", risk, tls=None)
            if clock:
                await self._clock(clock, host, reader, writer)
        finally:
            writer.close()
        return True

    def _certificate(self, name: str, tls: Any, took_ns: int) -> None:
        expiry = tls.getpeercert().get("notAfter", "")
        expiry_s = ssl.cert_time_to_seconds(expiry) if expiry else 0
        until = datetime.datetime.fromtimestamp(expiry_s, datetime.UTC)
        soon = expiry_s - time.time() < _SOON_S
        text = (
            f"{tls.version()}, in {words.latency(took_ns)}; certificate good until {until:%Y-%m-%d}"
        )
        self._found(name, "warning" if soon else "ok", text, tls=tls.version(), tls_ns=took_ns)

    async def _clock(
        self, name: str, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Ask without a token for nothing: whatever the answer is, its head has the time."""
        sent_ns, began = time.time_ns(), time.monotonic_ns()
        writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
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
                self._whole_seconds(name, "the server's", told_ns, sent_ns + took // 2)

    def _trips(self, trips: list[int], what: str, slow_ns: int) -> None:
        """Tell how long round trips took."""
        median, worst = int(statistics.median(trips)), max(trips)
        self._found(
            "round trip",
            "ok" if median < slow_ns else "warning",
            f"median {words.latency(median)}, worst {words.latency(worst)} of {len(trips)} {what}",
            median_ns=median,
            worst_ns=worst,
        )

    @property
    def _is_local(self) -> bool:
        """Whether the peer, once reached, is on this machine."""
        return self._peer.startswith(("127.", "::1"))

    def _whole_seconds(self, name: str, whose: str, server_ns: int, middle_ns: int) -> None:
        """Compare a clock that tells whole seconds with ours at that moment."""
        # It is somewhere in the second that it told.
        low, high = server_ns - middle_ns, server_ns - middle_ns + SECOND_NS
        off = low > _OFF_NS or high < -_OFF_NS
        offset = (low + high) // 2
        text = f"{whose}, in whole seconds, is {ahead(offset)} ours"
        text = text if off else f"{whose} agrees with ours, within its whole seconds"
        self._found(name, "warning" if off else "ok", text, offset_ns=offset)


def ahead(offset_ns: int) -> str:
    """Return how far a clock is ahead or behind, in words."""
    return f"{words.latency(abs(offset_ns))} {'ahead of' if offset_ns >= 0 else 'behind'}"
