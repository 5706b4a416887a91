"""The doctor's examination of what relays publish on NATS JetStream."""

from __future__ import annotations

import time

from fastfeed.cli import words
from fastfeed.cli.examination import Examination, Tell
from fastfeed.errors import AuthError, FastfeedError
from fastfeed.feeds.nats import Nats

__all__ = ["NatsExamination"]

_SLOW_NS = 50_000_000
_QUIET_S = 60.0


class NatsExamination(Examination[Nats]):
    """Is NATS there, has it JetStream and the stream, and does anybody publish?

    Parameters
    ----------
    feed, timeout, tell
        See `Examination`.
    """

    def __init__(self, feed: Nats, timeout: float, tell: Tell | None) -> None:
        super().__init__(feed, timeout, tell)

    async def run(self) -> None:
        """Make all checks, and close the feed."""
        try:
            await self._feed.open()
        except FastfeedError as error:
            hint = "Start nats-server with -js, and fastfeed relay."
            if isinstance(error, AuthError):
                hint = "Give name:password@ in the URL, or NATS_USER and NATS_PASSWORD, NATS_TOKEN or NATS_CREDS."
            self._found("connection", "problem", str(error), hint)
            return
        try:
            state = await self._asked("stream", self._feed.get_stream_state())
        finally:
            await self._feed.close()
        if state is None:
            return
        self._found(
            "connection",
            "ok",
            f"NATS {state['version']} at {state['server']}",
            version=state["version"],
        )
        trip = state["round_trip_ns"]
        slow = trip >= _SLOW_NS
        self._found(
            "round trip", "warning" if slow else "ok", words.latency(trip), round_trip_ns=trip
        )
        kept = state["max_age_s"]
        self._found(
            "stream",
            "ok",
            f"{state['stream']} with {', '.join(state['subjects'])}: {words.counted(state['messages'], 'message')} of "
            f"{words.counted(state['symbols'], 'subject')}, {state['bytes'] / 1e6:,.1f} MB, kept "
            + (f"for {words.age(kept)}" if kept else "for ever"),
            **{
                name: state[name]
                for name in ("messages", "bytes", "symbols", "last_seq", "last_ns")
            },
        )
        quiet_s = time.time() - state["last_ns"] / 1e9 if state["last_ns"] else None
        if quiet_s is None:
            self._found(
                "last message", "warning", "there is none yet", "Is fastfeed relay running?"
            )
        else:
            hint = "Markets may be closed; otherwise look whether fastfeed relay is running."
            late = quiet_s > _QUIET_S
            self._found(
                "last message",
                "warning" if late else "ok",
                f"{words.age(quiet_s)} ago",
                hint if late else "",
            )
