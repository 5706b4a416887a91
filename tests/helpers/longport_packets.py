"""Packets of LongPort's gateway, made with protobuf."""

from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.longport_packets import pack_push, pack_response

SECOND = 1_700_000_000
VERIFY = bytes(range(24))


def trade(price="10.5", volume=3, at=SECOND, **fields):
    return message_class("Trade")(price=price, volume=volume, timestamp=at, **fields)


def trades(*those, symbol="AAPL.US", sequence=0, **options):
    """Return a push of trades; of one when none are given."""
    body = message_class("PushTrade")(symbol=symbol, sequence=sequence, trade=those or [trade()])
    return pack_push(Command.PUSH_TRADES, body.SerializeToString(), **options)


def quote(symbol="AAPL.US", options=None, **fields):
    body = message_class("PushQuote")(symbol=symbol, **{"timestamp": SECOND, **fields})
    return pack_push(Command.PUSH_QUOTE, body.SerializeToString(), **options or {})


def levels(*prices):
    depth = message_class("Depth")
    return [depth(position=i + 1, price=p, volume=100 + i) for i, p in enumerate(prices)]


def depth(asks=("10.2",), bids=("10.1",), symbol="AAPL.US", sequence=0, **options):
    body = message_class("PushDepth")(
        symbol=symbol, sequence=sequence, ask=levels(*asks), bid=levels(*bids)
    )
    return pack_push(Command.PUSH_DEPTH, body.SerializeToString(), **options)


def brokers(asks=(7358, 9057), bids=(4567,), symbol="700.HK", sequence=0, **options):
    one = message_class("Brokers")
    body = message_class("PushBrokers")(
        symbol=symbol,
        sequence=sequence,
        ask_brokers=[one(position=1, broker_ids=asks)],
        bid_brokers=[one(position=1, broker_ids=bids)],
    )
    return pack_push(Command.PUSH_BROKERS, body.SerializeToString(), **options)


def response(command=Command.SUBSCRIBE, request_id=7, status=0, body=b"", **options):
    return pack_response(command, request_id, status, body, **options)
