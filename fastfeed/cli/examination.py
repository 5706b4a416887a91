"""What the doctor's examinations of all vendors have in common: checks, their verdicts, and common ones."""

from __future__ import annotations

import abc
import asyncio
import socket
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

    async def _reachable(self, host: str, port: int, hint: str) -> bool:
        """Look whether something listens; the hint is for where nothing does."""
        name, where = "reachable", f"{host}:{port}"
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
