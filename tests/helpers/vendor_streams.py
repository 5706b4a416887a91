"""A stream of each kind that the vendors' machines take apart, with a bit of everything."""

from alltick_feeds import book, frame, tick
from longport_packets import VERIFY, brokers, depth, quote, response, trade, trades

from fastfeed.protocols.longport_messages import Command
from fastfeed.protocols.longport_packets import pack_push, pack_request

ALLTICK_ACK = b'{"ret":200,"msg":"ok","cmd_id":22005,"seq_id":1,"trace":"t","data":{}}'
ALLTICK = b"".join(
    [
        frame(tick(price="1", seq=1)),
        frame(ALLTICK_ACK),
        frame(book(seq=2)),
        frame(b"ping", 9),
        frame(tick(price="2", seq=3), fin=False),
        frame(b"between", 10),
        frame(b"", 0),
        frame(tick(price="3", seq=4)[:50], fin=False),
        frame(tick(price="3", seq=4)[50:], 0),
        frame(tick(price="4", seq=5), 2),
        frame(tick(price="x", seq=6)),
        frame(tick(code="OTHER", seq=7)),
        frame("hello"),
        frame(b"\x1f\x8b\x00", 2),
        frame(b'{"cmd_id":22997,"data":{}}'),
        frame(tick(price="5", seq=8)),
    ]
)

_BIG = response(Command.STATIC_INFO, 9, body=b"x" * 3000, compress=True)
LONGPORT_PACKETS = [
    trades(trade("1"), trade("2"), sequence=5),
    response(request_id=1),
    quote(last_done="9.5", volume=7, sequence=1),
    depth(verify=VERIFY),
    pack_request(Command.HEARTBEAT, 3, 1000, b"beat"),
    trades(trade("3"), sequence=6, compress=True, verify=VERIFY),
    brokers(),
    pack_push(77, b"what"),
    _BIG,
    response(Command.QUOTES, 0xFFFFFFFF, 7, b"\x08\x01", verify=VERIFY),
    pack_push(Command.CLOSE, b"\x08\x02"),
    trades(trade("4"), sequence=6),  # no new one
    trades(trade("5"), sequence=7),
]
LONGPORT_FRAMES = [
    frame(LONGPORT_PACKETS[0], 2),
    frame(LONGPORT_PACKETS[1] + LONGPORT_PACKETS[2], 2),
    frame(b"ping", 9),
    frame(LONGPORT_PACKETS[3][:20], 2, fin=False),
    frame(b"", 10),
    frame(LONGPORT_PACKETS[3][20:] + LONGPORT_PACKETS[4], 0),
    frame(b"".join(LONGPORT_PACKETS[5:9]), 2),
    *(frame(p, 2) for p in LONGPORT_PACKETS[9:12]),
    frame(LONGPORT_PACKETS[12][:10], 2, fin=False),
    frame(LONGPORT_PACKETS[12][10:], 0),
]
