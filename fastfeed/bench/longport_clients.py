"""Receivers of LongPort's trades."""

from __future__ import annotations

import gc
import importlib
import socket
import threading
import time
from typing import Any

import fastfeed as ff
from fastfeed._core.websocket import frame
from fastfeed.bench.clients import (
    DEADLINE_S,
    Client,
    FeedClient,
    Fields,
    ReadingOnly,
    Sink,
    Stamps,
    payload_of,
    read_frame,
    upgrade,
)
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.longport_packets import WEBSOCKET_QUERY, pack_request
from fastfeed.protocols.websocket import Opcode

__all__ = ["SDK", "Fastfeed", "Reading", "quote_context"]

_KEYS = ("KEY", "secret", "TOKEN")
_PUSH_HEAD = 5
_TRADES = 4  # of the kinds of subscriptions


class Fastfeed(FeedClient):
    """`ff.connect`, over WebSocket or TCP."""

    def __init__(self, *, transport: str = "ws", **options: Any) -> None:
        super().__init__(**options)
        self.transport = transport

    def feed(self) -> Any:
        names = ("app_key", "app_secret", "access_token")
        at = f"127.0.0.1:{self.port}"
        return ff.connect(
            "longport://",
            url=f"tcp://{at}" if self.transport == "tcp" else f"ws://{at}/v2",
            http_url=f"http://{at}",
            **dict(zip(names, _KEYS, strict=True)),
            **self.options,
        )


class Reading(ReadingOnly):
    """A loop in C, over WebSocket."""

    @staticmethod
    def fields(push: bytes) -> Fields:
        message: Any = message_class("PushTrade").FromString(payload_of(push)[_PUSH_HEAD:])
        trade = message.trade[0]
        return message.symbol, float(trade.price), trade.volume, message.sequence

    def greet(self) -> socket.socket:
        sock = upgrade(self.port, f"/v2?{WEBSOCKET_QUERY}")
        auth: Any = message_class("AuthRequest")(token="O")
        subscribe: Any = message_class("SubscribeRequest")(symbol=self.sample.symbols)
        subscribe.sub_type.append(_TRADES)
        for i, (command, message) in enumerate(
            ((Command.AUTH, auth), (Command.SUBSCRIBE, subscribe))
        ):
            packet = pack_request(command, i + 1, 5000, message.SerializeToString())
            sock.sendall(frame(Opcode.BINARY, packet))
            read_frame(sock)
        return sock


def quote_context(package: str, port: int) -> tuple[Any, Any]:
    """Return an SDK's connection to a gateway, and the module with its names."""
    openapi: Any = importlib.import_module(f"{package}.openapi")
    make = getattr(openapi.Config, "from_apikey", openapi.Config)
    config = make(
        *_KEYS,
        http_url=f"http://127.0.0.1:{port}",
        quote_ws_url=f"ws://127.0.0.1:{port}/v2",
        enable_print_quote_packages=False,
    )
    return openapi.QuoteContext(config), openapi


class SDK(Client):
    """The vendor's own package: pushes in its callback. It does not show sequences, but keeps their order."""

    columns = ("price", "volume")

    def __init__(self, *, package: str = "longport", **options: Any) -> None:
        super().__init__(**options)
        importlib.import_module(package)  # what is missing is so from the beginning
        self._package = package

    def round(self, count: int = 0) -> dict[str, Any]:
        """As every client; of a schedule, tell when pushes came."""
        found = super().round(count)
        if count:
            found["arrived_ns"] = found.pop("late_ns")
        return found

    @staticmethod
    def fields(push: Any) -> Fields:
        symbol, event = push
        trade = event.trades[0]
        return symbol, float(trade.price), trade.volume, 0

    def receive(self, sink: Sink) -> None:
        context, openapi = quote_context(self._package, self.port)
        done = threading.Event()
        if isinstance(sink, Stamps):
            arrived = sink.late

            def on_trades(symbol: str, event: Any) -> None:
                arrived.append(time.time_ns())
                sink.less(1)

        else:

            def on_trades(symbol: str, event: Any) -> None:
                sink.one((symbol, event))

        context.set_on_trades(on_trades)
        sink.begin(done.set)
        context.subscribe(self.sample.symbols, [openapi.SubType.Trade])
        arrived_all = done.wait(DEADLINE_S)
        # It disconnects when nobody knows it any more.
        context.set_on_trades(lambda symbol, event: None)
        del context
        gc.collect()
        if not arrived_all:
            raise TimeoutError(f"{sink.left} of {sink.total} trades did not come")
