"""The LongPort session without a network: packets and a clock in, packets out."""

import random
import struct

import pytest
from websocket_server import accepted, frames

import fastfeed as ff
from fastfeed._core.longport import PACKET
from fastfeed._core.websocket import CLOSING, HANDSHAKE
from fastfeed.feeds import longport_session
from fastfeed.feeds.longport_session import Auth, LongportSession, Reconnect
from fastfeed.feeds.session import State
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.websocket import Opcode, close_payload

OTP, SESSION = "OTP-123456", "SESS-1234567"
REQUEST, RESPONSE, PUSH = 1, 2, 3
BOTH = pytest.mark.parametrize("transport", ["ws", "tcp"])
EXPIRES_MS = 1700003600000

#: Bytes of the vendor's client, or of its documents.
AUTH = "01020000000113880000090a074f54502d313233"
AUTH_ANSWER = "0a06534553532d311080adf180bd31180a2001"
RECONNECT = "010300000001138800001f0a06534553532d3112150a0f6163636570742d6c616e67756167651202656e"
AUTH_OVERNIGHT = (
    "010200000001138800003f0a074f54502d31323312150a0f6163636570742d6c616e67756167651202656e"
    "121d0a156e6565645f6f7665725f6e696768745f71756f7465120474727565"
)


def packed(name, **fields):
    return message_class(name)(**fields).SerializeToString()


def unpacked(packet):
    """Take a packet of a client apart: type, command, id, timeout or status, body."""
    if packet[0] == REQUEST:
        kind, command, number, third, high, low = struct.unpack(">BBIHBH", packet[:11])
        body = packet[11:]
    else:
        kind, command, number, third, high, low = struct.unpack(">BBIBBH", packet[:10])
        body = packet[10:]
    assert len(body) == high << 16 | low
    return kind, command, number, third, body


def sent(session):
    """Return the packets that the session wants to send, taken apart."""
    output = session.take_output()
    if session.transport == "ws":
        return [unpacked(payload) for opcode, payload in frames(output) if opcode == 2]
    found = []
    while output:
        fixed = 11 if output[0] == REQUEST else 10
        length = int.from_bytes(output[fixed - 3 : fixed], "big")
        found.append(unpacked(output[: fixed + length]))
        output = output[fixed + length :]
    return found


class Session(LongportSession):
    """A session that tests know the transport of."""

    def __init__(self, transport, opening, **options):
        super().__init__(transport, "127.0.0.1:18081", "/v2", opening, **options)
        self.transport = transport


def new_session(transport="tcp", opening=None, **options):
    return Session(transport, opening or Auth(OTP), **options)


def opening_session(transport="tcp", opening=None, **options):
    """Return a session that has sent its opening, and that packet."""
    session = new_session(transport, opening, **options)
    session.start(100.0)
    output = session.take_output()
    if transport == "ws":
        assert session.receive([(HANDSHAKE, accepted(output))], 100.0) == b""
        [(opcode, packet)] = frames(session.take_output())
        assert opcode == Opcode.BINARY
        output = b"\x11\x09" + packet
    assert session.state is State.HANDSHAKE
    assert output[:2] == b"\x11\x09"
    return session, output[2:]


def packet(kind, command, number=0, status=0, body=b""):
    return (PACKET, (kind, command, number, status, body))


def answer(number, body=b"", status=0, command=0):
    return packet(RESPONSE, command, number, status, body)


def refusal(number, status, code, text):
    return answer(number, packed("Error", code=code, msg=text), status)


def push(command, body=b""):
    return packet(PUSH, command, body=body)


def ready_session(transport="tcp", opening=None, **options):
    session, _ = opening_session(transport, opening, **options)
    body = packed("AuthResponse", session_id=SESSION, expires=EXPIRES_MS, limit=10, online=1)
    session.receive([answer(1, body)], 100.0)
    assert session.state is State.READY
    assert session.take_output() == b""
    return session


def ask(session, now=100.0, outcomes=None, command=Command.QUOTES, body=b"body", **options):
    session.request(
        command, body, now, [].append if outcomes is None else outcomes.append, **options
    )


# the handshake


@BOTH
@pytest.mark.parametrize("overnight", [False, True])
def test_the_opening_is_that_of_the_vendors_clients(transport, overnight):
    options = {"overnight": overnight, "connect_timeout_s": 5.0}
    _, request = opening_session(transport, Auth("OTP-123"), **options)
    if overnight:
        assert request.hex() == AUTH_OVERNIGHT
    else:
        language = "12150a0f6163636570742d6c616e67756167651202656e"
        assert request.hex() == AUTH.replace("000009", "000020") + language
    _, request = opening_session(transport, Reconnect("SESS-1"), connect_timeout_s=5.0)
    assert request.hex() == RECONNECT


def test_the_upgrade_says_which_protocol_it_wants():
    session = new_session("ws", language="zh-HK", dc_region="us")
    session.start(100.0)
    first, *head = session.take_output().decode().split("\r\n")
    assert first == "GET /v2?version=1&codec=1&platform=9 HTTP/1.1"
    assert {"Host: 127.0.0.1:18081", "accept-language: zh-HK", "x-dc-region: us"} <= set(head)
    assert OTP not in repr(session) + repr(Auth(OTP)) + repr(Reconnect(OTP))
    with pytest.raises(ff.LocalProtocolError):
        session.start(101.0)


@pytest.mark.parametrize(
    ("target", "asked"), [("/", "/?version=1"), ("/v2?foo=bar", "/v2?foo=bar&version=1")]
)
def test_what_the_url_asks_for_comes_first(target, asked):
    session = LongportSession("ws", "example.com", target, Auth(OTP))
    session.start(100.0)
    assert session.take_output().startswith(f"GET {asked}&codec=1&platform=9 HTTP".encode())


def test_what_comes_behind_the_upgrade_is_given_back():
    session = new_session("ws")
    session.start(100.0)
    request = session.take_output()
    reply = accepted(request, b"\x82\x05\x03")
    assert session.receive([(HANDSHAKE, reply[:20])], 100.1) is None
    assert session.take_output() == b""
    assert session.receive([(HANDSHAKE, reply[20:])], 100.2) == b"\x82\x05\x03"
    assert session.state is State.HANDSHAKE
    [(_, command, number, timeout_ms, _)] = sent(session)
    assert (command, number, timeout_ms) == (Command.AUTH, 1, 9800)  # what is left of the time


@BOTH
@pytest.mark.parametrize("opening", [Auth(OTP), Reconnect(SESSION)])
def test_the_answer_gives_a_session(transport, opening):
    session, _ = opening_session(transport, opening)
    session.receive([answer(1, bytes.fromhex(AUTH_ANSWER))], 100.1)
    assert session.state is State.READY
    assert (session.session_id, session.expires_ms) == ("SESS-1", EXPIRES_MS)
    assert not session.session_expired
    assert session.error is None


def test_an_empty_answer_gives_none():
    session, _ = opening_session()
    session.receive([answer(1)], 100.1)
    assert session.state is State.READY
    assert (session.session_id, session.expires_ms) == ("", 0)


@BOTH
@pytest.mark.parametrize("opening", [Auth(OTP), Reconnect(SESSION)])
@pytest.mark.parametrize(
    ("status", "code", "text", "kind"),
    [
        (5, 401003, "token expired", ff.AuthError),
        (6, 403, "connections limitation is hit, limit = 10, online = 10", ff.AuthError),
        (7, 403, "connections limitation is hit", ff.AuthError),
        (7, 301602, "try later", ff.RequestError),
        (3, 301606, "too fast", ff.RateLimitError),
    ],
)
def test_a_refused_opening(transport, opening, status, code, text, kind):
    session, _ = opening_session(transport, opening)
    session.receive([refusal(1, status, code, text)], 100.1)
    assert session.state is State.CLOSED
    assert type(session.error) is kind
    assert (session.error.code, session.error.text) == (code, text)
    assert text in str(session.error)
    assert session.session_expired
    if code == 403:
        assert "no more connections allowed" in str(session.error)


@pytest.mark.parametrize("body", [b"\xff\xff", "no gzip member", b"\x12\x01\xff", b""])
def test_a_refusal_without_a_reason_has_its_status(body):
    session, _ = opening_session()
    session.receive([answer(1, body, 5)], 100.1)
    assert type(session.error) is ff.AuthError
    assert (session.error.code, session.error.text) == (5, "")
    assert "unauthenticated (status 5)" in str(session.error)
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    session.receive([answer(2, body, 77)], 100.1)
    assert type(outcomes[0]) is ff.RequestError
    assert outcomes[0].code == 77
    assert "unknown (status 77)" in str(outcomes[0])
    assert session.state is State.READY


@pytest.mark.parametrize("opening", [Auth(OTP), Reconnect(OTP)])
def test_no_error_shows_what_the_connection_introduced_itself_with(opening):
    session, _ = opening_session("ws", opening)
    session.receive([refusal(1, 5, 401003, f"{OTP} is wrong\n\x1b[31m")], 100.1)
    assert session.error.text == "*** is wrong [31m"
    assert OTP not in str(session.error)
    session = ready_session("tcp")
    session.receive([push(0, packed("Close", code=2, reason=f"{SESSION} of {OTP}"))], 100.1)
    assert session.error.text == "*** of ***"
    assert SESSION not in str(session.error)


@pytest.mark.parametrize("body", [b"\xff\xff", "the gzip member has no end"])
def test_an_answer_that_cannot_be_read(body):
    session, _ = opening_session()
    session.receive([answer(1, body)], 100.1)
    assert session.state is State.CLOSED
    assert type(session.error) is ff.RemoteProtocolError
    assert session.error.source == "longport"


@BOTH
def test_an_opening_without_an_answer(transport):
    session, _ = opening_session(transport)
    assert session.due(100.0) == pytest.approx(10.0)
    session.poll(109.9, 1)
    assert session.state is State.HANDSHAKE
    session.poll(110.0, 1)
    assert type(session.error) is ff.RequestTimeout
    assert "auth (command 2)" in str(session.error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ff.AuthError), (403, ff.AuthError), (429, ff.RateLimitError),
     (502, ff.RemoteProtocolError)],
)  # fmt: skip
@pytest.mark.parametrize("end", ["whole", "eof", "timeout"])
def test_a_refused_upgrade_keeps_its_status(status, kind, end):
    session = new_session("ws")
    session.start(100.0)
    session.take_output()
    length = 2 if end == "whole" else 1000
    reply = f"HTTP/1.1 {status} No\r\nContent-Length: {length}\r\n\r\nno".encode()
    assert session.receive([(HANDSHAKE, reply)], 100.1) is None
    assert (session.state is State.CLOSED) == (end == "whole")
    if end == "timeout":
        assert session.due(100.1) == pytest.approx(9.9)
        session.poll(109.9, 1)
        assert session.state is State.HANDSHAKE
        session.poll(110.0, 1)
    elif end == "eof":
        session.lost("closed by the peer")
    assert session.state is State.CLOSED
    assert type(session.error) is kind
    assert (session.error.code, session.error.text) == (status, "no")
    assert session.take_output() == b""  # no frame: there is no WebSocket


def test_half_an_upgrade_is_a_lost_connection_or_a_timeout():
    session = new_session("ws")
    session.start(100.0)
    session.receive([(HANDSHAKE, accepted(session.take_output())[:40])], 100.1)
    session.poll(110.0, 1)
    assert type(session.error) is ff.RequestTimeout
    session = new_session("ws")
    session.start(100.0)
    session.lost("reset")
    assert type(session.error) is ff.ConnectError
    assert "reset" in str(session.error)


def test_a_connection_lost_behind_the_upgrade():
    session, _ = opening_session("ws")
    session.lost("closed by the peer")
    assert type(session.error) is ff.ConnectError
    assert "closed by the peer" in str(session.error)


# requests


@BOTH
def test_requests_are_answered_by_number_in_any_order(transport):
    session, outcomes = ready_session(transport), {}
    for i in range(5):
        session.request(Command.QUOTES, b"%d" % i, 100.0, lambda o, i=i: outcomes.update({i: o}))
    found = sent(session)
    assert [p[:3] for p in found] == [(REQUEST, Command.QUOTES, 2 + i) for i in range(5)]
    assert {p[3] for p in found} == {12_000}
    random.Random(1).shuffle(found)
    # The command of an answer does not matter.
    session.receive([answer(p[2], b"to " + p[4], command=99) for p in found], 100.1)
    assert outcomes == {i: b"to %d" % i for i in range(5)}
    session.receive([answer(2), answer(99), answer(1)], 100.2)
    assert session.unmatched_replies == 3
    assert session.state is State.READY


def test_numbers_begin_again():
    session, outcomes = ready_session(), []
    session._last_id = (1 << 32) - 3
    for _ in range(4):
        ask(session, outcomes=outcomes)
    assert [p[2] for p in sent(session)] == [(1 << 32) - 2, (1 << 32) - 1, 1, 2]
    session.receive([answer((1 << 32) - 1, b"x"), answer(1, b"y")], 100.1)
    assert outcomes == [b"x", b"y"]


def test_each_request_has_its_own_time():
    session, outcomes = ready_session(heartbeat_s=1000.0), []
    ask(session, 100.0, outcomes)
    ask(session, 100.0, outcomes, Command.TRADES, timeout_s=2.5)
    ask(session, 100.0, outcomes, timeout_s=500.0)
    ask(session, 100.0, outcomes, timeout_s=0.0)
    assert [p[3] for p in sent(session)] == [12_000, 2_500, 60_000, 1]
    assert session.due(100.0) == 0.0
    session.poll(100.0, 1)
    assert len(outcomes) == 1
    assert session.due(100.0) == pytest.approx(2.5)
    session.poll(102.5, 2)
    assert [type(o) for o in outcomes] == [ff.RequestTimeout] * 2
    assert "trades (command 17) (request 3)" in str(outcomes[1])
    session.poll(112.0, 3)
    assert len(outcomes) == 3
    session.receive([answer(3, b"late"), answer(4, b"in time")], 113.0)
    assert session.unmatched_replies == 1
    assert outcomes[3] == b"in time"
    assert session.state is State.READY


def test_requests_need_an_open_session():
    session = new_session()
    with pytest.raises(ff.ConnectError, match="new"):
        ask(session)
    session, _ = opening_session()
    with pytest.raises(ff.ConnectError, match="handshake"):
        ask(session)
    session.close(ff.ConnectError("gone"))
    with pytest.raises(ff.ConnectError, match="gone"):
        ask(session)


def test_a_request_that_is_too_long(monkeypatch):
    monkeypatch.setattr(longport_session, "MAX_BODY_BYTES", 3)
    session = ready_session()
    with pytest.raises(ValueError, match="at most 3 bytes, got 4 bytes"):
        ask(session)
    assert session.take_output() == b""


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (7, 301604, ff.RequestError, "no right to quotes of this security"),
        (7, 301607, ff.RequestError, "quotes (command 11)"),
        (7, 999999, ff.RequestError, "unknown code (code 999999, status 7: server error)"),
        (3, 301606, ff.RateLimitError, "too many requests"),
        (5, 401003, ff.RequestError, "status 5: unauthenticated"),
        (7, (1 << 64) - 1, ff.RequestError, "18446744073709551615"),
    ],
)
def test_a_refusal_has_the_vendors_code_and_text_and_what_it_means(status, code, kind, words):
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    session.receive([refusal(2, status, code, "too many")], 100.1)
    [error] = outcomes
    assert type(error) is kind
    assert (error.code, error.text) == (code, "too many")
    assert words in str(error)
    assert str(error).endswith(": too many")
    assert session.state is State.READY
    assert not session.session_expired


def test_an_answer_that_was_not_unzipped_fails_only_its_request():
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    ask(session, outcomes=outcomes)
    session.receive([answer(2, "the gzip member has no end"), answer(3, b"good")], 100.1)
    assert type(outcomes[0]) is ff.RemoteProtocolError
    assert "no end" in str(outcomes[0])
    assert outcomes[1] == b"good"


# heartbeats


def beats(session):
    """Return the heartbeats to be sent: of a WebSocket their payloads, else packets."""
    if session.transport == "ws":
        return [p for opcode, p in frames(session.take_output()) if opcode == Opcode.PING]
    return [p for p in sent(session) if p[1] == Command.HEARTBEAT]


def echo(session, beat):
    """Return the answer to a heartbeat."""
    if session.transport == "ws":
        return (Opcode.PONG, beat)
    return packet(RESPONSE, Command.HEARTBEAT, beat[2], 0, beat[4])


@BOTH
def test_heartbeats_have_the_documented_form(transport):
    session = ready_session(transport, calendar=lambda: 1700000000.123)
    assert session.due(100.0) == pytest.approx(20.0)
    session.poll(119.9, 1)
    assert session.take_output() == b""
    session.poll(120.0, 2)
    [beat] = beats(session)
    body = "08fbd095ffbc311002"  # the time in milliseconds, the number
    if transport == "ws":
        assert beat.hex() == body
    else:
        assert beat == (REQUEST, Command.HEARTBEAT, 2, 20_000, bytes.fromhex(body))


@BOTH
def test_answered_heartbeats_keep_the_session_up(transport):
    session, now, found = ready_session(transport), 100.0, []
    while now < 205.0:
        now += 0.5
        session.poll(now, 0)
        for beat in beats(session):
            found.append(now)
            session.receive([echo(session, beat)], now)
    assert found == [120.0, 140.0, 160.0, 180.0, 200.0]
    assert session.state is State.READY
    assert session.unmatched_replies == session.unknown_messages == 0


@BOTH
def test_two_heartbeats_without_an_answer_whatever_else_comes(transport):
    session, outcomes = ready_session(transport), []
    ask(session, outcomes=outcomes, timeout_s=1000.0)
    for now in range(101, 160):
        session.poll(float(now), now)  # more was received
        session.receive([push(Command.PUSH_QUOTE), packet(REQUEST, 1, now)], float(now))
        assert session.state is State.READY
    session.poll(160.0, 160)
    assert session.state is State.CLOSED
    assert type(session.error) is ff.ConnectError
    assert "2 heartbeats" in str(session.error)
    assert outcomes == [session.error]


@BOTH
def test_an_answer_to_one_heartbeat_answers_those_before_it(transport):
    session = ready_session(transport)
    session.poll(120.0, 0)
    [first] = beats(session)
    session.poll(140.0, 0)
    [second] = beats(session)
    session.receive([echo(session, second)], 159.0)
    for now in (160.0, 180.0):
        session.poll(now, 0)
        assert len(beats(session)) == 1
    session.receive([echo(session, first)], 181.0)  # too late, and of no use
    session.poll(200.0, 0)
    assert session.state is State.CLOSED
    session = ready_session(transport)
    session.poll(120.0, 0)
    [first] = beats(session)
    session.poll(140.0, 0)
    session.receive([echo(session, first)], 159.0)
    session.poll(160.0, 0)
    assert session.state is State.READY
    session.poll(180.0, 0)  # the second and the third
    assert session.state is State.CLOSED


def test_a_pong_to_nothing_is_no_answer():
    session = ready_session("ws")
    for now in (120.0, 140.0, 160.0):
        session.receive([(Opcode.PONG, b""), (Opcode.PONG, b"x")], now)
        session.poll(now, 0)
    assert session.state is State.CLOSED


def test_a_refused_heartbeat_is_an_answer():
    session = ready_session()
    for now in (120.0, 140.0, 160.0, 180.0):
        session.poll(now, 0)
        [beat] = beats(session)
        session.receive([refusal(beat[2], 3, 301606, "too fast")], now)
    assert session.state is State.READY


@BOTH
def test_the_servers_heartbeats_are_answered_and_its_other_requests_are_not(transport):
    session = ready_session(transport)
    session.receive(
        [
            packet(REQUEST, Command.HEARTBEAT, 9, 0, b"any bytes"),
            packet(REQUEST, Command.HEARTBEAT, 10, 0, "not unzipped"),
            packet(REQUEST, Command.SUBSCRIBE, 11, 0, b""),
        ],
        100.1,
    )
    assert sent(session) == [(RESPONSE, Command.HEARTBEAT, 9, 0, b"any bytes")]
    assert session.unknown_requests == 2


def test_pings_are_answered():
    session = ready_session("ws")
    session.receive([(Opcode.PING, b"x" * 125)], 100.1)
    assert frames(session.take_output()) == [(Opcode.PONG, b"x" * 125)]
    session, _ = opening_session("ws")
    session.receive([(Opcode.PING, b"")], 100.1)
    assert frames(session.take_output()) == [(Opcode.PONG, b"")]


# the end


@BOTH
@pytest.mark.parametrize(
    ("code", "name", "expired"),
    [(0, "heartbeat timeout", False), (1, "server error", False), (2, "server shutdown", False),
     (3, "unpack error", False), (4, "auth error", True), (5, "session expired", True),
     (6, "connect duplicate", False), (99, "unknown", False)],
)  # fmt: skip
def test_a_close_push_ends_the_session(transport, code, name, expired):
    session, outcomes = ready_session(transport), []
    ask(session, outcomes=outcomes)
    session.take_output()
    body = packed("Close", code=code, reason="bye")
    session.receive([push(Command.CLOSE, body), answer(2, b"too late")], 100.1)
    assert session.state is State.CLOSED
    assert type(session.error) is ff.ConnectError
    assert (session.error.code, session.error.text) == (code, "bye")
    assert str(session.error) == f"LongPort closed the connection: {code} ({name}): bye"
    assert session.session_expired == expired
    assert outcomes == [session.error]
    assert session.take_output() == b""


@pytest.mark.parametrize("body", [b"\xff\xff", "the gzip member has no end"])
def test_a_close_push_that_cannot_be_read(body):
    session = ready_session()
    session.receive([push(Command.CLOSE, body)], 100.1)
    assert type(session.error) is ff.ConnectError
    assert session.error.code is None
    assert "could not be read" in str(session.error)
    assert not session.session_expired


def test_a_close_push_during_the_handshake():
    session, _ = opening_session(opening=Reconnect(SESSION))
    session.receive([push(Command.CLOSE, packed("Close", code=5))], 100.1)
    assert type(session.error) is ff.ConnectError
    assert session.session_expired


@pytest.mark.parametrize(
    ("payload", "reply", "code", "text"),
    [
        (b"", b"", 1005, "1005"),
        (close_payload(1001, "going"), b"\x03\xe9", 1001, "1001 (going away): going"),
        (close_payload(4000, f"bad {OTP}"), b"\x0f\xa0", 4000, "4000 (the vendor's own): bad ***"),
    ],
)
def test_a_close_frame_is_answered_and_ends_the_session(payload, reply, code, text):
    session, outcomes = ready_session("ws"), []
    ask(session, outcomes=outcomes)
    session.take_output()
    session.receive([(Opcode.CLOSE, payload), answer(2)], 100.1)
    assert frames(session.take_output()) == [(Opcode.CLOSE, reply)]
    assert type(session.error) is ff.ConnectError
    assert session.error.code == code
    assert text in str(session.error)
    assert OTP not in session.error.text
    assert outcomes == [session.error]


def test_a_broken_protocol_is_told_to_the_server():
    session = ready_session("ws")
    session.receive([(CLOSING, b"\x03\xea")], 100.1)
    assert frames(session.take_output()) == [(Opcode.CLOSE, b"\x03\xea")]


@pytest.mark.parametrize(
    ("error", "goodbye"),
    [(ff.RemoteProtocolError("bad"), [(Opcode.CLOSE, b"\x03\xe8")]), (ff.ConnectError("x"), [])],
)
def test_the_end_for_a_reason_of_ours(error, goodbye):
    session = ready_session("ws")
    session.close(error)
    assert frames(session.take_output()) == goodbye
    session = ready_session("tcp")
    session.close(error)
    assert session.take_output() == b""
    assert session.error is error


@BOTH
def test_only_the_first_end_counts(transport):
    session, outcomes = ready_session(transport), []
    ask(session, outcomes=outcomes)
    ask(session, outcomes=outcomes)
    error = ff.ConnectError("gone")
    session.close(error)
    session.lost("again")
    session.poll(200.0, 0)
    assert session.receive([answer(2)], 200.0) is None
    assert outcomes == [error, error]
    assert session.error is error


def test_what_is_not_known_is_counted():
    session = ready_session("ws")
    session.receive([push(105), push(101, "not unzipped"), packet(7, 1)], 100.1)
    session.receive([(Opcode.TEXT, b"{}"), (Opcode.BINARY, b"\x00")], 100.1)
    assert session.unknown_pushes == 2
    assert session.unknown_messages == 3
    session = ready_session("tcp")
    session.receive([(Opcode.PING, b"")], 100.1)
    assert session.unknown_messages == 1
    assert session.state is State.READY
    assert session.take_output() == b""


def test_what_a_request_does_with_its_outcome_may_be_another_request():
    session, outcomes = ready_session(), []

    def again(outcome):
        outcomes.append(outcome)
        if len(outcomes) < 3:
            session.request(Command.QUOTES, b"", 100.1, again)

    session.request(Command.QUOTES, b"", 100.0, again, timeout_s=1.0)
    session.poll(101.0, 0)
    session.receive([answer(3), answer(4)], 101.1)
    assert [type(o) for o in outcomes] == [ff.RequestTimeout, bytes, bytes]
