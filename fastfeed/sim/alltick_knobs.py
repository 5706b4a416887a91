"""What AllTick's documents leave open, and what may go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastfeed.sim.options import Options, option

__all__ = ["AllTickFaults", "AllTickKnobs"]

_GIVEN = ("present", "absent", "empty", "zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllTickKnobs(Options):
    """How the server decides where the documents leave it open; by default as the newest ones say."""

    int_mode: Literal["int", "str", "mixed"] = option(
        "int", "seq and tick_time of pushes: bare, quoted, or both", choices=("int", "str", "mixed")
    )
    time_unit: Literal["ms", "s"] = option("ms", "tick_time of pushes", choices=("ms", "s"))
    seq_mode: Literal["ms", "counter", "us"] = option(
        "ms",
        "a clock, a counter of trades and books of all codes, or 16 digits",
        choices=("ms", "counter", "us"),
    )
    fx_volume: Literal["present", "absent", "empty", "zero"] = option(
        "present", "volume where it is not about crypto or stocks", choices=_GIVEN
    )
    fx_turnover: Literal["present", "absent", "empty", "zero"] = option(
        "present", "turnover there", choices=_GIVEN
    )
    fx_direction: Literal[0, 1] = option(1, "trade_direction there, always", choices=(0, 1))
    fx_book_volume: Literal["present", "absent", "empty", "zero"] = option(
        "present", "volume of book levels there", choices=_GIVEN
    )
    empty_side: Literal["zeros", "list", "absent"] = option(
        "zeros",
        "a book's side without levels: zero levels, [], or no key",
        choices=("zeros", "list", "absent"),
    )
    limit_up: str = option("", "codes without asks, by commas")
    limit_down: str = option("", "codes without bids, by commas")
    no_depth_level: Literal["one", "all"] = option(
        "one", "levels of a book when depth_level is left out", choices=("one", "all")
    )
    oversubscribe: Literal["cut", "refuse"] = option(
        "cut", "more codes than the plan has: keep the first, or 603", choices=("cut", "refuse")
    )
    bad_code: Literal["refuse", "silent"] = option(
        "refuse", "an unknown code: 600, or nothing ever comes", choices=("refuse", "silent")
    )
    refused_set: Literal["kept", "cleared"] = option(
        "kept", "the former set when its replacement is refused", choices=("kept", "cleared")
    )
    too_many_connections: Literal[429, 1000] = option(
        429, "refuse the upgrade, or accept and close at once", choices=(429, 1000)
    )
    rate_violation: Literal["606", "605", "ignore"] = option(
        "606",
        "requests that come too fast: 606 and close, 605 only, or nothing",
        choices=("606", "605", "ignore"),
    )
    request_gap_s: float = option(1.0, "between two requests of a connection")
    token_gap_s: float = option(3.0, "between two requests of different connections")
    reconnect_gap_s: float | None = option(
        None, "between two connections: 429; by default as the plan says", kind=float
    )
    heartbeat_counts: bool = option(False, "a heartbeat is a request that may come too fast")
    heartbeat_timeout_s: float = option(30.0, "without a heartbeat the connection is closed")
    closing: Literal["tcp", "1000"] = option(
        "tcp", "how the server closes: without a word, or by a close frame", choices=("tcp", "1000")
    )
    header_ret: Literal[400, 201] = option(
        400, "ret when a request is unusable as a whole", choices=(400, 201)
    )
    error_cmd_id: Literal["next", "zero"] = option(
        "next", "cmd_id of other refusals: of the request + 1, or 0", choices=("next", "zero")
    )
    error_data: Literal["object", "null", "absent"] = option(
        "object", "data of refusals", choices=("object", "null", "absent")
    )
    initial_snapshot: Literal["after", "before", "stale", "none"] = option(
        "after",
        "the last trade and book: behind the ack, before it, behind it with an old time, not at all",
        choices=("after", "before", "stale", "none"),
    )
    stale_s: float = option(3600.0, "how old a stale snapshot is")
    whitespace: Literal["compact", "spaces", "indented"] = option(
        "compact", "of messages", choices=("compact", "spaces", "indented")
    )
    extra_keys: bool = option(False, "keys that no document names, in every message")
    key_order: Literal["documented", "random"] = option(
        "documented", "of messages", choices=("documented", "random")
    )
    data_array: int = option(0, "data of pushes is an array of so many at most; 0: an object")
    coalesce: bool = option(False, "one push for the trades of a code that share a millisecond")

    @property
    def plain(self) -> bool:
        """Messages have the documented shape."""
        return (
            self.whitespace == "compact"
            and self.key_order == "documented"
            and not self.extra_keys
            and not self.data_array
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AllTickFaults(Options):
    """What goes wrong, on purpose. Everything is off by default. Counts of pushes are per connection."""

    drop_after: int | None = option(None, "reset the connection after n pushes", bare=100)
    stall: int | None = option(None, "send nothing at all any more after n pushes", bare=100)
    times: int = option(1, "how often the two above strike, in all; 0: every connection", bare=1)
    fragment: int = option(0, "messages in fragments of n bytes", bare=16)
    split: int = option(0, "write in pieces of n bytes (slow)", bare=1)
    ping: float = option(0.0, "ping every so many seconds, also between two fragments", bare=1.0)
    deflate: bool = option(False, "compress messages where the client offers it", bare=True)
    binary: bool = option(False, "binary frames instead of text", bare=True)
    garbage: int = option(0, "an extra message that is no JSON before every nth push", bare=10)
    unknown_cmd: int = option(0, "an extra push of an unknown number before every nth", bare=10)
    unknown_code: int = option(0, "an extra push of an unknown code before every nth", bare=10)
    no_reply: int = option(0, "never answer requests with this cmd_id", bare=22000)
    error_reply: str = option(
        "", "answer requests with this cmd_id by this ret, and do nothing", bare="22004:603"
    )
    late_reply: float = option(0.0, "answer requests after so many seconds", bare=1.0)
    double_reply: int = option(0, "every nth reply comes twice", bare=1)

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.error_reply and not all(
            part.isascii() and part.isdigit() for part in self.error_reply.split(":", 1)
        ):
            raise ValueError(f"expected CMD_ID:RET for error_reply, got {self.error_reply!r}")
