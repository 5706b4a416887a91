"""WebSocket's framing and handshake, beside the package `websockets` without its network."""

import itertools
import re
import struct

import pytest
from framing import Framing, message
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from fastfeed._core.websocket import frame
from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    LocalProtocolError,
    RateLimitError,
    RemoteProtocolError,
)
from fastfeed.protocols.websocket import (
    CloseCode,
    Handshake,
    close_payload,
    close_text,
    parse_close,
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
LIMIT = 1 << 20


def feed_in_pieces(framing, data, cuts):
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        found += framing.feed(data[start:end])
    return found


@st.composite
def cut(draw, data):
    return sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))


payloads = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda n, unit: (unit * n)[:n],
        st.sampled_from([124, 125, 126, 127, 65535, 65536, 70000]),
        st.binary(min_size=1, max_size=9),
    ),
)
controls = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
messages = st.tuples(
    st.sampled_from([TEXT, BINARY]),
    st.builds(message, st.text(max_size=200), st.sampled_from([0, 125, 126, 127, 65535, 65536])),
)


@st.composite
def streams(draw):
    """Return what a server sends, and the messages and control frames that it means."""
    data, expected = b"", []

    def some_controls():
        nonlocal data
        for opcode, payload in draw(st.lists(controls, max_size=2)):
            data += Frame(Opcode(opcode), payload).serialize(mask=False)
            expected.append((opcode, payload))

    for opcode, payload in draw(st.lists(messages, max_size=6)):
        some_controls()
        places = [0, *draw(st.one_of(st.just([]), cut(payload))), len(payload)]
        for i, (start, end) in enumerate(itertools.pairwise(places)):
            if i:
                some_controls()
            kind = Opcode(opcode) if i == 0 else Opcode.CONT
            part = Frame(kind, payload[start:end], fin=i == len(places) - 2)
            data += part.serialize(mask=False)
        expected.append((opcode, payload))
    return data, expected


@given(streams(), st.data())
def test_messages_cut_anywhere(stream, data):
    stream, expected = stream
    framing = Framing(LIMIT)
    assert feed_in_pieces(framing, stream, data.draw(cut(stream))) == expected
    assert (framing.error, framing.close_code) == (None, None)
    assert framing.count == len(expected)
    assert framing.machine.stats()["bytes"] == len(stream)


def test_every_cut():
    text = message("é€😀")
    at = text.index("€".encode()) + 1
    stream = b"".join(
        Frame(*what).serialize(mask=False)
        for what in [
            (Opcode.TEXT, text[:at], False),
            (Opcode.PING, b"!" * 125),
            (Opcode.CONT, text[at:], True),
            (Opcode.BINARY, message("x", 126)),
            (Opcode.BINARY, message()),
        ]
    )
    expected = [(PING, b"!" * 125), (TEXT, text), (BINARY, message("x", 126)), (BINARY, message())]
    for at in range(len(stream) + 1):
        assert feed_in_pieces(Framing(), stream, [at]) == expected
    assert feed_in_pieces(Framing(), stream, range(1, len(stream))) == expected


def oracle(data, finish):
    """Return what the client of `websockets` makes of a stream: messages and control frames, and whether it gave up.

    It looks at a frame only when that is complete: finish what is not, if wanted.
    """
    protocol = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=LIMIT)
    protocol.receive_data(data)
    if finish:
        protocol.receive_data(bytes(LIMIT + 20))
    failed = protocol.parser_exc is not None
    found, message, kind, inside = [], b"", 0, False
    for event in protocol.events_received():
        inside = event.opcode is Opcode.CLOSE and kind != 0
        if event.opcode >= Opcode.CLOSE:
            found.append((int(event.opcode), bytes(event.data)))
            continue
        kind = int(event.opcode) or kind
        message += event.data
        if event.fin:
            found.append((kind, message))
            message, kind = b"", 0
    # A close frame between fragments is nothing that the RFC forbids.
    inside = inside or "incomplete fragmented" in str(protocol.parser_exc)
    return found, failed, inside


some_bytes = st.one_of(
    st.integers(0, 255), st.sampled_from([0, 1, 2, 0x80, 0x81, 0x82, 0x88, 0x89, 126, 127])
)


@settings(max_examples=300)
@given(streams(), st.lists(st.tuples(st.integers(0), some_bytes), max_size=3), st.data())
@example((b"\x01\x01a\x88\x00", []), [], None)
@example((b"\x82\x7e\x00\x05abcde", []), [], None)
def test_broken_streams_as_websockets_sees_them(stream, changes, data):
    stream = bytearray(stream[0])
    for at, byte in changes:
        if stream:
            stream[at % len(stream)] = byte
    framing = Framing(LIMIT)
    found = feed_in_pieces(framing, stream, data.draw(cut(stream)) if data else [])
    expected, failed, inside = oracle(bytes(stream), framing.error is not None)
    if inside:
        return
    if framing.error is not None:
        at = framing.error.offset
        if framing.close_code == CloseCode.INVALID_DATA:  # `websockets` looks at text later
            return
        short, size = stream[at + 1 : at + 2] or b"\0", len(stream) - at
        if short[0] == 126 and size >= 4 and int.from_bytes(stream[at + 2 : at + 4]) < 126:
            return  # `websockets` takes a length that is not the shortest
        if short[0] == 127 and size >= 10 and int.from_bytes(stream[at + 2 : at + 10]) < 1 << 16:
            return
    assert failed == (framing.error is not None)
    assert framing.count == len(expected)
    left = iter(expected)  # messages that the changes made unreadable do not come out
    assert all(one in left for one in found)
    assert [one for one in found if one[0] >= CLOSE] == [one for one in expected if one[0] >= CLOSE]


@given(st.binary(max_size=400), st.data())
def test_any_bytes(stream, data):
    whole, pieces = Framing(4096), Framing(4096)
    found = whole.feed(stream)
    assert feed_in_pieces(pieces, stream, data.draw(cut(stream))) == found
    assert str(whole.error) == str(pieces.error)
    assert whole.close_code == pieces.close_code
    assert whole.machine.stats() == pieces.machine.stats()


OK = Frame(Opcode.BINARY, message()).serialize(mask=False)


@pytest.mark.parametrize(
    ("data", "code", "reason", "at"),
    [
        ("c100", 1002, "frame", 0),
        ("8180 00000000", 1002, "frame", 0),
        ("8300", 1002, "frame", 0),
        ("897e", 1002, "frame", 0),
        ("827e007d", 1002, "frame", 0),
        ("0900", 1002, "fragment", 0),
        ("8000", 1002, "fragment", 0),
        ("0100 8100", 1002, "fragment", 2),
        ("8801", 1002, "close", 0),
        ("880203ed", 1002, "close", 0),
        ("8805 03e8 c328 00", 1007, "utf8", 0),
        ("8102c328", 1007, "utf8", 4),
        ("0101c3 800128", 1007, "utf8", 6),
        ("827e2711", 1009, "length", 0),
        ("027e2710" + "00" * 10000 + "800100", 1009, "length", 10004),
    ],
)
def test_what_is_refused(data, code, reason, at):
    framing = Framing(10000)
    stream = OK + bytes.fromhex(data) + OK
    for cuts in ([], range(1, 30), range(1, len(stream))):
        assert feed_in_pieces(framing, stream, cuts) == [(BINARY, message())]
        assert isinstance(framing.error, RemoteProtocolError)
        assert f"({reason}) at byte {len(OK) + at}" in str(framing.error)
        assert framing.error.offset == len(OK) + at
        assert stream[framing.error.offset :].startswith(framing.error.data)
        assert framing.close_code == code
        assert framing.feed(OK) == []
        framing.reset()
        assert framing.error is None


def test_text_is_checked_as_a_whole():
    framing = Framing()
    assert framing.feed(b"\x01\x01\xe2\x80\x02\x82\xac") == []
    assert framing.feed(b"\x82\x01\xff\x89\x01\xff") == [(PING, b"\xff")]
    assert (framing.error, framing.count) == (None, 3)


def test_nothing_behind_a_close_frame():
    framing = Framing()
    stream = OK + b"\x88\x06\x03\xe8 bye" + OK + b"\xff\xff"
    assert framing.feed(stream + bytes(1000)) == [(BINARY, message()), (CLOSE, b"\x03\xe8 bye")]
    assert framing.error is None
    assert framing.feed(OK) == []
    framing.reset()
    assert framing.feed(OK) == [(BINARY, message())]


def test_large_messages_in_small_pieces():
    payload = message("x" * (LIMIT - 100), LIMIT)
    framing = Framing()
    stream = Frame(Opcode.BINARY, payload).serialize(mask=False)
    found = feed_in_pieces(framing, memoryview(stream), range(1000, len(stream), 1000))
    assert found == [(BINARY, payload)]
    stream = b"".join(
        Frame(
            Opcode.BINARY if i == 0 else Opcode.CONT, payload[i : i + 65536], i + 65536 >= LIMIT
        ).serialize(mask=False)
        for i in range(0, LIMIT, 65536)
    )
    assert feed_in_pieces(framing, stream, range(1000, len(stream), 1000)) == found


def parse_frame(data):
    """Read a client's frame with `websockets`; returns it and what is left."""
    left = memoryview(data)

    def read_exact(n):
        nonlocal left
        part, left = left[:n], left[n:]
        assert len(part) == n
        return bytes(part)
        yield

    parsing = Frame.parse(read_exact, mask=True)
    with pytest.raises(StopIteration) as stop:
        next(parsing)
    return stop.value.value, bytes(left)


@given(st.sampled_from([TEXT, BINARY]), payloads, st.binary(min_size=4, max_size=4) | st.none())
def test_frame(opcode, payload, mask):
    data = frame(opcode, payload, mask)
    parsed, left = parse_frame(data)
    assert (parsed.opcode, bytes(parsed.data), parsed.fin, left) == (opcode, payload, True, b"")
    if mask is not None:
        header = len(data) - len(payload)
        assert data[header - 4 : header] == mask
        assert data == frame(opcode, memoryview(payload), mask)


def test_frame_examples():
    mask = bytes.fromhex("37fa213d")
    assert frame(TEXT, b"Hello", mask).hex() == "818537fa213d7f9f4d5158"  # section 5.7
    assert frame(PING, mask=mask).hex() == "898037fa213d"
    assert len({frame(PING)[2:] for _ in range(20)}) > 1
    assert frame(PONG, bytes(125), mask)[:2].hex() == "8afd"


@pytest.mark.parametrize("opcode", [-1, 0, 3, 7, 11, 255])
def test_frame_refuses_opcodes(opcode):
    with pytest.raises(ValueError, match=f"expected an opcode of 1, 2, 8, 9 or 10, got {opcode}"):
        frame(opcode)


def test_arguments_of_frame():
    for opcode in (CLOSE, PING, PONG):
        with pytest.raises(ValueError, match="at most 125 bytes in a control frame, got 126"):
            frame(opcode, bytes(126))
    with pytest.raises(ValueError, match="a mask of 4 bytes, got 3 bytes"):
        frame(TEXT, b"", b"abc")
    with pytest.raises(TypeError):
        frame(TEXT, "text")


# ---- the handshake


TOKEN = "0123456789abcdef0123456789abcdef-c-app"
PATH = f"/quote-b-ws-api?token={TOKEN}"


def respond(handshake, *lines, first="HTTP/1.1 101 Switching Protocols", **changes):
    """Return a response to a handshake; a header that is None is left out."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_for(handshake),
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    fields = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([first, *fields, *lines, "", ""]).encode()


def accept_for(handshake):
    key = re.search(rb"Sec-WebSocket-Key: (.*)\r\n", handshake.request())[1].decode()
    from websockets.utils import accept_key

    return accept_key(key)


def test_with_websockets_as_server():
    server = ServerProtocol()
    handshake = Handshake("example.com:8080", PATH, {"User-Agent": "a client"})
    server.receive_data(handshake.request())
    [request] = server.events_received()
    assert request.path == PATH
    assert request.headers["Host"] == "example.com:8080"
    assert request.headers["User-Agent"] == "a client"
    assert "Sec-WebSocket-Extensions" not in request.headers
    server.send_response(server.accept(request))
    server.send_text(message("behind the head"))
    server.send_ping(b"!")
    behind = handshake.receive(b"".join(server.data_to_send()))
    framing = Framing()
    assert framing.feed(behind) == [(TEXT, message("behind the head")), (PING, b"!")]
    server.receive_data(frame(PONG, b"!") + frame(BINARY, bytes(70000)))
    server.receive_data(frame(CLOSE, close_payload(1001, "enough")))
    pong, binary, _ = server.events_received()
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"!")
    assert (binary.opcode, bytes(binary.data)) == (Opcode.BINARY, bytes(70000))
    assert (server.close_rcvd.code, server.close_rcvd.reason) == (1001, "enough")
    [(opcode, payload)] = framing.feed(b"".join(server.data_to_send()))
    assert (opcode, parse_close(payload)) == (CLOSE, (1001, "enough"))


def test_request():
    handshake = Handshake("[::1]:80", "/", [("X-A", " b "), ("X-A", "c")])
    lines = handshake.request().split(b"\r\n")
    assert lines[0] == b"GET / HTTP/1.1"
    assert lines[1] == b"Host: [::1]:80"
    assert lines[-4:] == [b"X-A: b", b"X-A: c", b"", b""]
    assert handshake.request() == handshake.request()
    keys = {Handshake("x").request() for _ in range(10)}
    assert len(keys) == 10
    assert all(re.search(rb"Key: [A-Za-z0-9+/]{22}==\r\n", key) for key in keys)


def receive(handshake, response, cuts=(), ended=False):
    """Hand over a response that is not complete before it is refused."""
    for start, end in zip([0, *cuts], [*cuts, len(response)], strict=True):
        assert handshake.receive(response[start:end]) is None
    if ended:
        raise handshake.ended()


@pytest.mark.parametrize("tail", [b"", b"\x81\x02ok", b"\r\n\r\n"])
def test_response_cut_anywhere(tail):
    for at in range(400):
        handshake = Handshake("x", PATH)
        response = respond(handshake, "Server: x", "Date:")
        if at > len(response):
            break
        whole = response + tail
        first = handshake.receive(whole[:at])
        assert first is None if at < len(response) else first == whole[len(response) : at]
        if first is None:
            assert handshake.receive(b"") is None
            assert handshake.receive(whole[at:]) == tail
        with pytest.raises(LocalProtocolError, match="the handshake is over"):
            handshake.receive(b"")
    handshake = Handshake("x")
    for byte in respond(handshake)[:-1]:
        assert handshake.receive(bytes([byte])) is None
    assert handshake.receive(b"\n") == b""


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, upgrade"},
        {"Connection": "UPGRADE", "Sec_WebSocket_Extensions": ""},
        {"Sec_WebSocket_Protocol": ""},
        {"first": "HTTP/1.1 101 "},
        {"first": "HTTP/1.1 101"},
        {"first": "HTTP/1.1 101 W\xfcrde"},
    ],
)
def test_what_is_agreed_on(changes):
    handshake = Handshake("x")
    assert handshake.receive(respond(handshake, **changes)) == b""
    assert handshake.protocol == ""


def test_sub_protocol():
    for asked in ("a, b", "b"):
        handshake = Handshake("x", headers={"Sec-WebSocket-Protocol": asked})
        assert handshake.receive(respond(handshake, Sec_WebSocket_Protocol="b")) == b""
        assert handshake.protocol == "b"
    handshake = Handshake("x", headers={"Sec-WebSocket-Protocol": "a"})
    with pytest.raises(RemoteProtocolError, match="one that was asked for"):
        handshake.receive(respond(handshake, Sec_WebSocket_Protocol="b"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Upgrade": None}, "expected the header Upgrade: websocket, it is missing"),
        ({"Upgrade": "h2c"}, "expected the header Upgrade: websocket, got 'h2c'"),
        ({"Upgrade": "websocket, h2c"}, "expected the header Upgrade: websocket, got"),
        ({"Connection": None}, "expected the header Connection: Upgrade, it is missing"),
        ({"Connection": "close"}, "expected the header Connection: Upgrade, got 'close'"),
        ({"Sec_WebSocket_Accept": None}, "Sec-WebSocket-Accept to answer the key, it is missing"),
        ({"Sec_WebSocket_Accept": "x"}, "Sec-WebSocket-Accept to answer the key, got another"),
        (
            {"Sec_WebSocket_Extensions": "permessage-deflate"},
            "expected no WebSocket extension, got 'permessage-deflate'",
        ),
        ({"Sec_WebSocket_Protocol": "chat"}, "one that was asked for, got 'chat'"),
        ({"first": "HTTP/1.0 101 Yes"}, "expected HTTP/1.1, got HTTP/1.0"),
        ({"first": "HTTP/1.1 abc"}, "expected an HTTP/1.1 status line, got b'HTTP/1.1 abc'"),
        ({"first": "HTTP/1.9 101 Yes"}, "expected an HTTP/1.1 status line"),
        ({"first": "HTTP/1.1 101 a\nb"}, "expected an HTTP/1.1 status line"),
        ({"X": "a\nb"}, "expected HTTP headers, one in a line"),
        ({"X": "a\0b"}, "expected HTTP headers, one in a line"),
        ({"X": "a\r\n folded"}, "expected HTTP headers, one in a line"),
        ({"X ": "a"}, "expected HTTP headers, one in a line"),
        ({f"X{i}": "" for i in range(101)}, "expected fewer HTTP headers, got more than 100"),
    ],
)
def test_what_is_no_agreement(changes, text):
    handshake = Handshake("example.com", PATH, source="vendor")
    with pytest.raises(RemoteProtocolError, match=text) as failed:
        handshake.receive(respond(handshake, **changes) + b"\x81\x02ok")
    assert str(failed.value).startswith("WebSocket handshake with example.com: ")
    assert failed.value.source == "vendor"
    with pytest.raises(LocalProtocolError):
        handshake.receive(b"")


def test_accept_twice():
    handshake = Handshake("x")
    with pytest.raises(RemoteProtocolError, match="Sec-WebSocket-Accept"):
        handshake.receive(respond(handshake, f"Sec-WebSocket-Accept: {accept_for(handshake)}"))


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x\r\n", b"\x15\x03\x01\0\x02\x02", b"http/1.1 101", b"\r\n"]
)
def test_no_http(data):
    with pytest.raises(RemoteProtocolError, match="expected an HTTP response, got") as failed:
        Handshake("x").receive(data)
    assert failed.value.data
    handshake = Handshake("x")
    with pytest.raises(RemoteProtocolError, match="expected an HTTP response, got"):
        receive(handshake, data, range(1, len(data)))  # at the first byte that says so


def test_head_is_bounded():
    handshake = Handshake("x")
    head = respond(handshake, "X: " + "x" * 15000)
    assert handshake.receive(head + bytes(100000)) == bytes(100000)
    for step in (100, 1 << 20):
        handshake = Handshake("x")
        endless = b"HTTP/1.1 101 \r\nX: " + b"x" * (1 << 20)
        with pytest.raises(RemoteProtocolError, match="less than 16384"):
            receive(handshake, endless, range(step, 20000, step))


REFUSED = b'{"msg":"token is required","ret":401}'


def refuse(handshake, response, cuts=()):
    """Return the error that a response leads to."""
    with pytest.raises(FastfeedError) as refused:
        receive(handshake, response, cuts, ended=True)
    with pytest.raises(LocalProtocolError):
        handshake.receive(b"")
    return refused.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthError), (403, AuthError), (429, RateLimitError), (200, RemoteProtocolError),
        (302, RemoteProtocolError), (400, RemoteProtocolError), (404, RemoteProtocolError),
        (426, RemoteProtocolError), (502, RemoteProtocolError), (100, RemoteProtocolError),
    ],
)  # fmt: skip
def test_refusals(status, kind):
    responses = [
        b"Content-Length: %d\r\n\r\n" % len(REFUSED) + REFUSED,
        b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n" + REFUSED[:5] + b"\r\n20\r\n" + REFUSED[5:]
        + b"\r\n0\r\n\r\n",
    ]  # fmt: skip
    for response in responses:
        whole = b"HTTP/1.1 %d No\r\nContent-Type: x\r\n" % status + response
        for at in range(len(whole)):
            error = refuse(Handshake("example.com", PATH), whole, [at])
            assert type(error) is kind
            assert (error.code, error.text) == (status, REFUSED.decode())
            assert str(error) == (
                f"example.com refused the WebSocket handshake with HTTP status {status}: "
                + REFUSED.decode()
            )


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (b"\r\n", ""),
        (b"\r\n<h1>No\r\n</h1>\0", "<h1>No </h1>"),
        (b"Content-Length: 0\r\n\r\n", ""),
        (b"Content-Length: 2\r\n\r\nNoMore", "No"),
        (b"Content-Length: 100\r\n\r\nNo", "No"),
        (b"Content-Length: x\r\n\r\nNo", "No"),
        (b"Content-Length: 99999999999999999999\r\n\r\nNo", "No"),
        (b"Content-Length: 9999\r\n\r\n" + b"No " * 5000, "No " * 66 + "No..."),
        (b"Transfer-Encoding: chunked\r\n\r\n", ""),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nNo", "No"),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nNo\r\n-1\r\nx\r\nNo", "No"),
        (b"Transfer-Encoding: chunked\r\n\r\nx\r\nNo", ""),
        (b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nNo", "No"),
    ],
)
def test_bodies_of_refusals(response, text):
    whole = b"HTTP/1.0 401 No\r\n" + response
    assert refuse(Handshake("x"), whole).text == text.replace("No No", "No No")[:203]
    assert type(refuse(Handshake("x"), whole, [17, 18])) is AuthError


def test_a_refusal_without_length_is_not_waited_for():
    with pytest.raises(AuthError, match=r"HTTP status 401$"):
        Handshake("x").receive(b"HTTP/1.1 401 No\r\n\r\n")


def test_ended():
    handshake = Handshake("example.com", PATH)
    error = handshake.ended()
    assert type(error) is ConnectError
    assert str(error) == "example.com closed the connection during the WebSocket handshake"
    handshake = Handshake("example.com", PATH)
    handshake.receive(b"HTTP/1.1 4")
    assert "in the middle of its response" in str(handshake.ended())


SECRETS = [TOKEN, "a b/c+d&e=f", "sësame-opens", "x" * 40, "Basic-dXNlcjpwYXNz"]


def test_nothing_shows_what_was_asked():
    from urllib.parse import quote, quote_plus

    for secret in SECRETS:
        for path, headers in [
            (f"/api?v=1&token={quote_plus(secret)}", {}),
            (f"/api?v=1&whatever={quote(secret, safe='')}&n=5", {}),
            ("/api", {"Authorization": "Bearer " + quote(secret, safe=" ")}),
            *([(f"/ws/{quote(secret, safe='')}/public", {})] if len(secret) >= 16 else []),
        ]:
            sent = Handshake("host.name", path, headers).request()
            asked = sent.split(b" ")[1]
            plain = [quote(secret, safe=""), quote_plus(secret), secret]
            plain += [quote(secret, safe=" ")] if headers else []
            for echo in [
                sent, b"HTTP/1.1 " + sent,
                b"HTTP/1.1 302 Found\r\nLocation: https://b" + asked + b"\r\n\r\nat " + asked,
                b"HTTP/1.1 404 No " + asked + b"\r\n\r\nCannot GET " + asked,
                b"HTTP/1.1 401 " + asked + b"\r\n\r\n" + asked.replace(b"&", b"&amp;"),
                b"HTTP/1.1 429 No\r\nContent-Length: 5000\r\n\r\nno: " + "; ".join(plain).encode(),
                b"HTTP/1.1 101 Yes\r\nUpgrade: " + asked + b"\r\n\r\n",
                b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: " + asked + b"\r\n\r\n",
                b"HTTP/1.1 403 No\r\n\r\n" + sent,
            ]:  # fmt: skip
                for end in {len(echo), *range(len(echo) - 60, len(echo))}:
                    handshake = Handshake("host.name", path, headers)
                    error = refuse(handshake, echo[:end])
                    told = " ".join(
                        [
                            str(error), repr(error), str(error.args), error.text, repr(handshake),
                            repr(getattr(error, "data", "")), str(error.__cause__),
                        ]
                    )  # fmt: skip
                    for form in plain:
                        assert form not in told
                        assert form[:12] not in told, (echo[:end], told)


def test_shown():
    handshake = Handshake("x", PATH)
    assert handshake.shown(f"bad {TOKEN}!") == "bad ***!"
    assert handshake.shown("see ?token=other&x=1") == "see ?token=***&x=1"
    assert handshake.shown(f"cut {TOKEN[:9]}") == "cut ***"
    assert handshake.shown("nothing here") == "nothing here"
    assert repr(handshake) == "<Handshake with x>"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("a b",), "expected a host, got 'a b'"),
        (("x\r\nY: z",), "expected a host"),
        (("",), "expected a host"),
        (("a/b",), "expected a host"),
        (("x", "secret"), "expected a path that begins with /"),
        (("x", "/a b secret"), "expected a path that"),
        (("x", "/sécret"), "expected a path that"),
        (("x", "/secret#x"), "expected a path that"),
        (("x", "/secret\r\nX: y"), "expected a path that"),
        (("x", "/", {"Host": "secret"}), "expected a header that may be added, got 'Host'"),
        (("x", "/", {"sec-websocket-extensions": "secret"}), "expected a header that may be"),
        (("x", "/", {"A B": "secret"}), "expected a header that may be added"),
        (("x", "/", {"A": "secret\r\nB: c"}), "expected printable ASCII as the value of A"),
    ],
)
def test_arguments_of_handshake(arguments, text):
    with pytest.raises(ValueError, match=text) as refused:
        Handshake(*arguments)
    assert "secret" not in str(refused.value)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_answer(data, at):
    for beginning in (b"", b"HTTP/1.1 ", b"HTTP/1.1 401 No\r\n", b"HTTP/1.1 101 Yes\r\n"):
        handshake = Handshake("x", PATH)
        try:
            if handshake.receive(beginning + data[:at]) is None:
                handshake.receive(data[at:])
        except FastfeedError:
            pass


# ---- close frames


def test_close_payloads():
    assert close_payload() == b"\x03\xe8"
    assert close_payload(4001, "é") == b"\x0f\xa1" + "é".encode()
    assert close_payload(1000, "€" * 100) == b"\x03\xe8" + "€".encode() * 41
    assert frame(CLOSE, close_payload(1000, "x" * 200), bytes(4))[:2].hex() == "88fd"
    for code in (0, 999, 1004, 1005, 1006, 1015, 5000):
        with pytest.raises(ValueError, match=f"a close code that may be sent, got {code}"):
            close_payload(code)
    assert parse_close(b"") == parse_close(b"\x03") == (1005, "")
    assert parse_close(close_payload(1001, "bye")) == (CloseCode.GOING_AWAY, "bye")


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1000, "", "1000 (normal)"),
        (1001, "the server\nrestarts", "1001 (going away): the server restarts"),
        (1009, "\x1b[31m!", "1009 (message too big): [31m!"),
        (1016, "", "1016 (reserved)"),
        (3000, "", "3000 (registered)"),
        (4001, "token", "4001 (the vendor's own): token"),
    ],
)
def test_close_text(code, reason, text):
    assert close_text(struct.pack(">H", code) + reason.encode()) == text


def test_close_text_of_what_says_nothing():
    assert close_text(b"") == "1005 (no status)"
    assert close_text(b"\x03\xe8\xff") == "1000 (normal): \N{REPLACEMENT CHARACTER}"
