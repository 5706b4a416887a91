"""What LongPort's documents leave open, and what may go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastfeed.protocols.longport_codes import CloseReason
from fastfeed.sim.options import Options, option

__all__ = ["LongPortFaults", "LongPortKnobs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPortKnobs(Options):
    """How the server decides where the documents leave it open."""

    ping_s: float = option(30.0, "between two pings of a WebSocket; 0: none")
    heartbeat_s: float = option(
        0.0, "between two heartbeats that the server asks for in packets; 0: none"
    )
    idle_timeout_s: float = option(120.0, "without a byte from the client it is closed; 0: never")
    lifetime_s: float = option(86_400.0, "how long a session can be taken up again")
    sessions: int = option(10, "connections that are allowed at once")
    subscriptions: int = option(500, "symbols subscribed by all connections together")
    rate: int = option(10, "requests of a command in a second, as the profile says")
    burst: int = option(10, "requests of a command at once, as the profile says")
    in_flight: int = option(0, "requests that may wait for an answer; 0: any number")
    no_access: str = option("", "symbols without a right to quotes, by commas")
    delta: bool = option(True, "quotes hold only what has changed")
    end_of_day: int = option(0, "behind every nth quote an end-of-day correction (tag 1); 0: none")
    depth: Literal["full", "changed"] = option(
        "full", "levels in a push of a book", choices=("full", "changed")
    )
    empty_subscribe: bool = option(False, "subscriptions are answered by an empty body")
    unpacked: bool = option(False, "broker ids are written one by one")


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPortFaults(Options):
    """What goes wrong, on purpose. Everything is off by default. Counts of pushes are per connection.

    Faults that would destroy a push send an extra packet instead, so that all good ones arrive.
    """

    gzip: int | None = option(None, "compress bodies of n bytes and more", bare=0)
    verify: bool = option(False, "a nonce and a signature behind every body", bare=True)
    split: int = option(0, "write in pieces of n bytes (slow)", bare=1)
    fragment: int = option(0, "WebSocket messages in fragments of n bytes", bare=16)
    pack: int = option(0, "up to n packets in one WebSocket message", bare=3)
    garbage: int = option(0, "an extra push that is no protobuf before every nth", bare=10)
    unknown_push: int = option(0, "an extra push of an unknown command before every nth", bare=10)
    gzip_bomb: int = option(
        0, "an extra push of 16 MiB in a small member before every nth", bare=100
    )
    bad_gzip: int = option(0, "an extra push that is not what its gzip bit says", bare=10)
    old_sequence: int = option(0, "the former push of its kind again before every nth", bare=10)
    duplicate: int = option(0, "every nth push twice", bare=10)
    unknown_fields: bool = option(False, "fields that no message has, in every push", bare=True)
    unknown_enums: bool = option(
        False, "numbers that no enumeration has, in trades and quotes", bare=True
    )
    unknown_type: int | None = option(None, "a packet of type 7 after n pushes", bare=100)
    truncated: int | None = option(None, "half a packet, then the end, after n pushes", bare=100)
    close: int | None = option(None, "close push and close frame after n pushes", bare=100)
    close_reason: int = option(
        int(CloseReason.SERVER_SHUTDOWN), "of these", choices=tuple(map(int, CloseReason))
    )
    drop_after: int | None = option(None, "reset the connection after n pushes", bare=100)
    stall: int | None = option(None, "send nothing at all any more after n pushes", bare=100)
    times: int = option(1, "how often the five above strike, in all; 0: every connection", bare=1)
    no_reply: int = option(0, "never answer requests of this command", bare=11)
    late_reply: float = option(0.0, "answer requests after so many seconds", bare=1.0)
    late_command: int = option(0, "of this command only; 0: of all", bare=11)
    double_reply: int = option(0, "every nth answer comes twice", bare=1)
    reversed_replies: int = option(
        0, "collect n answers and send the last first (at most 0.1 s)", bare=2
    )
    error_reply: str = option(
        "", "answer requests of COMMAND:STATUS:CODE by an error, and do nothing", bare="11:7:301602"
    )
    bad_error: int = option(
        0, "answer requests of this command by an error that is no protobuf", bare=11
    )
    bad_reply: int = option(0, "answer requests of this command by a broken body", bare=11)
    refuse_reconnect: bool = option(False, "every session has expired", bare=True)
    token_error: Literal["", "401003", "403201", "429", "429002", "full", "500"] = option(
        "",
        "of one-time passwords: a code, 429 without JSON, none left, status 500 though it worked",
        bare="429",
        choices=("", "401003", "403201", "429", "429002", "full", "500"),
    )
    token_times: int = option(0, "how often that happens; 0: always", bare=1)

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        parts = self.error_reply.split(":")
        if self.error_reply and (
            len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts)
        ):
            raise ValueError(
                f"expected COMMAND:STATUS:CODE for error_reply, got {self.error_reply!r}"
            )
