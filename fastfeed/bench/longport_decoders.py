"""Who decodes LongPort's pushes: protobuf with decimal texts to rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import fastfeed as ff
from fastfeed.bench.decoders import Fed, Objects, Record, parser, pieces
from fastfeed.bench.longport_pushes import KINDS, on_wire
from fastfeed.bench.samples import Sample
from fastfeed.protocols.longport_messages import message_class

__all__ = ["Calls", "Fastfeed", "Protobuf", "ProtobufFloats"]


class Fastfeed(Fed):
    """`fastfeed.Decoder` on pieces of a stream of packets, as of TCP; every run is a new connection."""

    def __init__(self, sample: Sample) -> None:
        decoder = ff.Decoder("longport", transport="tcp")
        super().__init__(sample, decoder, pieces(sample.stream(framed=False)))

    def run(self) -> None:
        """Decode the pieces."""
        self._decoder.reset()
        super().run()


class Calls(Fed):
    """The same over WebSocket, where it gets a message with a call."""

    def __init__(self, sample: Sample) -> None:
        packets = [on_wire(body, 0, sample.kind, framed=False) for body in sample.bodies]
        super().__init__(sample, ff.Decoder("longport"), packets)

    def run(self) -> None:
        """Decode the messages."""
        self._decoder.reset()
        super().run()


class Protobuf(Objects):
    """protobuf's parser (upb) on the bodies; nothing is read from the messages."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self.decode = parser(message_class(KINDS[sample.kind].message))

    def records(self) -> Iterable[Record]:
        """Parse once more, and read what there is."""
        for body in self.sample.bodies:
            message: Any = self.decode(body)
            record = {"symbol": message.symbol, "seq": message.sequence}
            if self.sample.kind == "ticks":
                for trade in message.trade:
                    yield record | {
                        "time_ns": trade.timestamp * 10**9,
                        "price": float(trade.price),
                        "volume": trade.volume,
                    }
                continue
            if self.sample.kind == "quotes":
                record |= {
                    "time_ns": message.timestamp * 10**9,
                    "last": float(message.last_done),
                    "volume": message.volume,
                }
                names = ("open", "high", "low", "turnover")
                record |= {name: float(getattr(message, name)) for name in names}
            else:
                for side, levels in (("bid", message.bid), ("ask", message.ask)):
                    record |= {
                        f"{side}s": len(levels),
                        f"{side}_price": [float(level.price) for level in levels],
                        f"{side}_volume": [level.volume for level in levels],
                        f"{side}_orders": [level.order_num for level in levels],
                    }
            yield record


class ProtobufFloats(Protobuf):
    """protobuf's parser, and `float` of the decimals."""

    def run(self) -> None:
        """Parse the bodies, and read the decimals."""
        parse, read = self.decode, _READ[self.sample.kind]
        for body in self.sample.bodies:
            read(parse(body))


def _quote(message: Any) -> tuple[float, ...]:
    return (
        float(message.last_done),
        float(message.open),
        float(message.high),
        float(message.low),
        float(message.turnover),
        float(message.current_turnover),
    )


def _trades(message: Any) -> list[float]:
    return [float(trade.price) for trade in message.trade]


def _book(message: Any) -> tuple[list[float], list[float]]:
    return (
        [float(level.price) for level in message.ask],
        [float(level.price) for level in message.bid],
    )


_READ = {"ticks": _trades, "quotes": _quote, "books": _book}
