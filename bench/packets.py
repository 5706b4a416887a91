"""OpenD's bytes for the benches: tick pushes as a real OpenD sends them, and the replies around them."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha1
from typing import Any

from fastfeed.protocols.opend_messages import (
    INIT_CONNECT,
    KEEP_ALIVE,
    QOT_SUB,
    QOT_UPDATE_TICKER,
    message_class,
)

MARKET = 11  # US
EPOCH_S = 1_700_060_400  # 2023-11-15 10:00:00 in New York
HEADER = struct.Struct("<2sIBBII20s8s")
MAX_CODE_BYTES = 8  # what the hand-written C decoder can

_VOLUMES = (1, 5, 10, 50, 100, 100, 100, 100, 200, 300, 1000, 2500)


def pack(proto_id: int, serial: int, body: bytes) -> bytes:
    """Return a whole packet, with a right digest."""
    return HEADER.pack(b"FT", proto_id, 0, 0, serial, len(body), sha1(body).digest(), b"") + body


def codes(count: int) -> list[str]:
    """Return codes of six characters, in no particular order."""
    return [
        f"{name:05X}" + "AQXZ"[name % 4]
        for name in random.Random(count).sample(range(1 << 20), count)
    ]


def push(
    code: str, ticks: int, number: int, rng: random.Random, sequence: int | None = None
) -> bytes:
    """Return the body of a push; `number` is that of its first tick."""
    response = message_class("QotUpdateTicker.Response")()
    response.retType = 0
    s2c = response.s2c
    s2c.security.market = MARKET
    s2c.security.code = code
    s2c.name = f"{code} Inc"
    for i in range(number, number + ticks):
        tick = s2c.tickerList.add()
        ms = i % 86_000_000 // 10
        s, ms = divmod(ms, 1000)
        tick.time = f"2023-11-15 {10 + s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}.{ms:03}"
        tick.sequence = (EPOCH_S + s << 32) + i if sequence is None else sequence
        tick.dir = rng.choice((1, 2, 1, 2, 3))
        tick.price = round(rng.uniform(5, 500), 2)
        tick.volume = rng.choice(_VOLUMES)
        tick.turnover = tick.price * tick.volume
        tick.timestamp = EPOCH_S + s + ms / 1000
        tick.recvTime = round(tick.timestamp + rng.uniform(0.001, 0.05), 6)
        tick.type = rng.choice((1, 1, 1, 1, 1, 1, 1, 6))
        tick.typeSign = 32 if tick.type == 1 else 68
        tick.pushDataType = 1
        tick.hpVolume = float(tick.volume)
    body: bytes = response.SerializeToString()
    return body


@dataclass
class Sample:
    """A stream of pushes: `packets` of them with `ticks` ticks each, of `symbols` symbols in random order."""

    symbols: int
    packets: int
    ticks: int = 1
    codes: list[str] = field(init=False)
    bodies: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        rng = random.Random(self.symbols)
        self.codes = codes(self.symbols)
        # Every symbol once, then any: the number of symbols is really that number.
        order = self.codes + rng.choices(self.codes, k=max(0, self.packets - self.symbols))
        rng.shuffle(order)
        self.bodies = [
            push(code, self.ticks, i * self.ticks, rng)
            for i, code in enumerate(order[: self.packets])
        ]

    @property
    def rows(self) -> int:
        """Ticks in all."""
        return self.packets * self.ticks

    @cached_property
    def stream(self) -> bytes:
        """All packets, one after the other."""
        return b"".join(pack(QOT_UPDATE_TICKER, i, body) for i, body in enumerate(self.bodies))

    def pieces(self, size: int) -> list[memoryview]:
        """The stream, cut as a socket would."""
        view = memoryview(self.stream)
        return [view[at : at + size] for at in range(0, len(view), size)]


def replies() -> bytes:
    """Return the packets that answer a client's requests: InitConnect, KeepAlive, Qot_Sub."""
    init: Any = message_class("InitConnect.Response")()
    init.retType = 0
    init.retMsg = ""
    init.errCode = 0
    init.s2c.serverVer = 1002
    init.s2c.loginUserID = 1
    init.s2c.connID = 7
    init.s2c.connAESKey = "0123456789ABCDEF"
    init.s2c.keepAliveInterval = 10
    alive: Any = message_class("KeepAlive.Response")()
    alive.retType = 0
    alive.s2c.time = EPOCH_S
    return b"".join(
        (
            pack(INIT_CONNECT, 0, init.SerializeToString()),
            pack(KEEP_ALIVE, 0, alive.SerializeToString()),
            pack(QOT_SUB, 0, bytes.fromhex("080012001800")),
        )
    )
