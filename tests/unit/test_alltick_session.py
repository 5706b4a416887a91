"""The AllTick session without a network: messages and a clock in, frames out."""

import itertools
import json

import pytest
from alltick_feeds import TOKEN
from websocket_server import accepted, frames

import fastfeed as ff
from fastfeed._core.websocket import CLOSING, HANDSHAKE
from fastfeed.feeds.alltick_session import AlltickSession, Pacer, Times
from fastfeed.feeds.session import State
from fastfeed.protocols.websocket import Opcode, close_payload

TICKS, BOOKS, CANCEL, HEARTBEAT = 22004, 22002, 22006, 22000
TARGET = f"/quote-b-ws-api?token={TOKEN}"


def sent(session):
    """Return the JSON messages that the session wants to send."""
    return [json.loads(text) for opcode, text in frames(session.take_output()) if opcode == 1]


def new_session(pacers=None, **options):
    return AlltickSession(
        "127.0.0.1", TARGET, Pacer([] if pacers is None else pacers, Times()), **options
    )


def started_session(**options):
    session = new_session(**options)
    session.start(100.0)
    return session, session.take_output()


def ready_session(pacers=None, **options):
    session = new_session(pacers, **options)
    session.start(100.0)
    assert session.receive([(HANDSHAKE, accepted(session.take_output()))], 100.0) == b""
    assert session.state is State.READY
    return session


def reply_to(request, ret=200, msg="ok", **fields):
    head = {"ret": ret, "msg": msg, "cmd_id": request["cmd_id"] + 1}
    head |= {"seq_id": request["seq_id"], "trace": request["trace"], "data": {}}
    return (Opcode.TEXT, json.dumps(head | fields).encode())


def run(session, start, end, step=0.1, messages=None):
    """Poll from a time to another; answer nothing; return [(time, message)] of what is sent."""
    messages = itertools.count() if messages is None else messages
    found = []
    now = start
    while now < end and session.state is State.READY:
        session.poll(now, next(messages))
        found += [(now, message) for message in sent(session)]
        now = round(now + step, 6)
    return found


# the handshake


def test_the_upgrade_asks_for_the_path_and_nothing_shows_the_token():
    session, request = started_session()
    assert request.startswith(f"GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode())
    assert TOKEN not in repr(session)
    with pytest.raises(ff.LocalProtocolError):
        session.start(101.0)


def test_what_comes_behind_the_upgrade_is_given_back():
    session, request = started_session()
    answer = accepted(request, b"\x81\x02{}")
    assert session.receive([(HANDSHAKE, answer[:20])], 100.1) is None
    assert session.state is State.HANDSHAKE
    assert session.receive([(HANDSHAKE, answer[20:])], 100.2) == b"\x81\x02{}"
    assert session.state is State.READY


def refusal(status, body, length=None):
    length = len(body) if length is None else length
    return f"HTTP/1.1 {status} No\r\nContent-Length: {length}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ff.AuthError), (403, ff.AuthError), (429, ff.RateLimitError),
     (502, ff.RemoteProtocolError)],
)  # fmt: skip
@pytest.mark.parametrize("end", ["whole", "eof", "timeout", "reset"])
def test_a_refused_upgrade_keeps_its_status(status, kind, end):
    session, _ = started_session()
    length = None if end == "whole" else 1000
    answer = refusal(status, f'{{"msg":"not with {TOKEN}"}}', length)
    assert session.receive([(HANDSHAKE, answer)], 100.1) is None
    assert (session.state is State.CLOSED) == (end == "whole")
    if end == "timeout":
        session.poll(109.9, 1)
        assert session.state is State.HANDSHAKE
        session.poll(110.0, 1)
    elif end != "whole":
        session.lost("connection lost: closed by the peer")
    assert session.state is State.CLOSED
    assert isinstance(session.error, kind)
    assert session.error.code == status
    assert "not with ***" in session.error.text
    assert TOKEN not in str(session.error) + session.error.text


def test_half_an_upgrade_is_a_lost_connection_or_a_timeout():
    session, request = started_session()
    session.receive([(HANDSHAKE, accepted(request)[:40])], 100.1)
    assert session.due(100.1) == pytest.approx(9.9)
    session.poll(110.0, 1)
    assert isinstance(session.error, ff.RequestTimeout)
    session, request = started_session()
    session.receive([(HANDSHAKE, accepted(request)[:40])], 100.1)
    session.lost("connection lost: reset")
    assert isinstance(session.error, ff.ConnectError)
    assert "reset" in str(session.error)


def test_another_accept_key_is_refused():
    session, request = started_session()
    answer = accepted(request).replace(b"Accept: ", b"Accept: x")
    assert session.receive([(HANDSHAKE, answer)], 100.1) is None
    assert isinstance(session.error, ff.RemoteProtocolError)


# requests


def ask(session, now=100.0, number=TICKS, outcomes=None, pushes=None):
    data = {"symbol_list": [{"code": "BTCUSDT"}]}
    done = [].append if outcomes is None else outcomes.append
    session.request(number, data, now, done, pushes)


def test_a_request_has_the_documented_form():
    session = ready_session()
    ask(session)
    [(opcode, payload)] = frames(session.take_output())
    assert opcode == Opcode.TEXT
    trace = json.loads(payload)["trace"]
    assert len(trace) <= 64
    assert payload.decode() == (
        f'{{"cmd_id":22004,"seq_id":1,"trace":"{trace}",'
        '"data":{"symbol_list":[{"code":"BTCUSDT"}]}}'
    )


def test_requests_need_an_open_session():
    session = new_session()
    with pytest.raises(ff.ConnectError):
        ask(session)
    session, _ = started_session()
    with pytest.raises(ff.ConnectError):
        ask(session)
    session.close(ff.ConnectError("gone"))
    with pytest.raises(ff.ConnectError, match="gone"):
        ask(session)


def test_requests_keep_their_distance_and_are_answered_by_number():
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    ask(session, 100.0, BOOKS, outcomes)
    [first] = sent(session)
    assert session.due(100.0) == pytest.approx(1.1)
    session.poll(101.0, 1)
    assert sent(session) == []
    session.poll(101.1, 2)
    [second] = sent(session)
    assert (first["cmd_id"], second["cmd_id"]) == (TICKS, BOOKS)
    session.receive([reply_to(second), reply_to(first, 600, "code invalid")], 101.2)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], ff.RequestError)
    assert (outcomes[1].code, outcomes[1].text) == (600, "code invalid")
    assert session.returned == {200: 1, 600: 1}


def test_connections_of_one_token_keep_a_longer_distance():
    pacers = []
    one, other = ready_session(pacers), ready_session(pacers)
    ask(one)
    assert len(sent(one)) == 1
    ask(other, 100.1)
    assert sent(other) == []
    assert other.due(100.1) == pytest.approx(3.0)
    other.poll(103.0, 1)
    assert sent(other) == []
    other.poll(103.1, 2)
    assert len(sent(other)) == 1


def test_a_reply_without_a_number_belongs_to_the_oldest_request():
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    [request] = sent(session)
    none = {"cmd_id": 0, "seq_id": 0, "trace": ""}
    session.receive([reply_to(request, 400, "request header param invalid", **none)], 100.1)
    assert [outcome.code for outcome in outcomes] == [400]
    session.receive([reply_to(request, 400, "again", **none)], 100.2)
    assert session.unmatched_replies == 1


def test_replies_to_nothing_are_counted():
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    [request] = sent(session)
    session.receive(
        [
            reply_to(request, cmd_id=BOOKS + 1),
            reply_to(request, seq_id=77),
            reply_to(request, 605, "too many requests", cmd_id=0, seq_id=77),
            (Opcode.TEXT, b'{"ret":"200"}'),
            (Opcode.TEXT, b"[1,2"),
            (Opcode.BINARY, b'{"ret":200,"cmd_id":22005}'),
            (Opcode.TEXT, b'{"ret":' + b"9" * 400 + b"}"),
        ],
        100.1,
    )
    assert outcomes == []
    assert session.unmatched_replies == 7
    session.receive([reply_to(request, msg=None, data=None)], 100.2)
    session.receive([reply_to(request)], 100.2)
    assert outcomes == [None]
    assert session.unmatched_replies == 8


def test_no_answer_is_asked_for_once_more_and_then_the_connection_is_given_up():
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    found = run(session, 100.0, 130.0)
    requests = [(now, m) for now, m in found if m["cmd_id"] == TICKS]
    assert [now for now, _ in requests] == pytest.approx([100.0, 105.0], abs=0.11)
    assert requests[0][1]["seq_id"] != requests[1][1]["seq_id"]
    assert requests[0][1]["data"] == requests[1][1]["data"]
    assert session.state is State.CLOSED
    assert isinstance(session.error, ff.ConnectError)
    assert [type(outcome) for outcome in outcomes] == [ff.RequestTimeout]


def test_the_second_attempt_may_be_answered():
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    [first] = sent(session)
    session.poll(105.0, 1)
    [second] = sent(session)
    session.receive([reply_to(first)], 105.1)  # too late
    assert outcomes == []
    session.receive([reply_to(second)], 105.2)
    assert outcomes == [None]


def test_pushes_are_as_good_as_an_answer():
    session, outcomes, pushes = ready_session(), [], [7]
    ask(session, outcomes=outcomes, pushes=lambda: pushes[0])
    sent(session)
    session.poll(102.0, 1)
    pushes[0] = 8
    session.poll(104.9, 2)
    assert outcomes == []
    session.poll(105.0, 3)
    assert outcomes == [None]
    assert session.state is State.READY


def test_an_answer_counts_more_than_pushes():
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes, pushes=itertools.count().__next__)
    [request] = sent(session)
    session.receive([reply_to(request, 600, "code invalid")], 100.1)
    assert [outcome.code for outcome in outcomes] == [600]


@pytest.mark.parametrize("ret", [401, 403])
def test_a_refused_token_ends_the_session_and_is_not_told(ret):
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    [request] = sent(session)
    session.receive([reply_to(request, ret, f"token {TOKEN} invalid")], 100.1)
    assert session.state is State.CLOSED
    assert isinstance(session.error, ff.AuthError)
    assert session.error.code == ret
    assert outcomes == [session.error]
    assert TOKEN not in str(session.error) + session.error.text
    assert "invalid" in session.error.text
    assert [opcode for opcode, _ in frames(session.take_output())] == [Opcode.CLOSE]


def test_a_refusal_that_repeats_the_token_is_masked(caplog):
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    [request] = sent(session)
    text = f"code invalid, in ?token={TOKEN}&x=1"
    session.receive([reply_to(request, 600, text), reply_to(request, 600, text)], 100.1)
    assert "code invalid" in outcomes[0].text
    assert TOKEN not in str(outcomes[0]) + outcomes[0].text + caplog.text
    assert "600" in caplog.text


# heartbeats, silence


def test_heartbeats_every_ten_seconds():
    session = ready_session()
    beats = []
    for now, message in run_answering(session, 100.0, 145.0):
        assert list(message) == ["cmd_id", "seq_id", "trace", "data"]
        assert (message["cmd_id"], message["data"]) == (HEARTBEAT, {})
        beats.append(now)
    assert beats == [110.0, 120.0, 130.0, 140.0]


def run_answering(session, start, end, step=0.1, every=None):
    """The same as `run`, but all is answered; with `every`, a request is made so often."""
    now, found, messages = start, [], 0
    next_request = start
    while now < end:
        if every is not None and now >= next_request:
            ask(session, now)
            next_request += every
        session.poll(now, messages)
        for message in sent(session):
            found.append((now, message))
            session.receive([reply_to(message)], now)
            messages += 1
        now = round(now + step, 6)
    assert session.state is State.READY
    return found


def test_heartbeats_come_on_time_also_while_requests_wait():
    session = ready_session()
    found = run_answering(session, 100.0, 160.0, every=0.5)  # more than may be sent
    beats = [now for now, message in found if message["cmd_id"] == HEARTBEAT]
    assert all(9 <= b - a <= 11.2 for a, b in itertools.pairwise([100.0, *beats]))
    assert len(beats) == 5
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(found)]
    assert min(gaps) > 1.05


def test_ten_connections_beat_in_time_and_can_ask():
    pacers = []
    sessions = [ready_session(pacers) for _ in range(10)]
    beats = {session: [100.0] for session in sessions}
    outcomes = []
    now, messages = 100.0, itertools.count()
    for session in sessions:
        ask(session, now, outcomes=outcomes)
    while now < 160.0:
        for session in sessions:
            session.poll(now, next(messages))
            for message in sent(session):
                session.receive([reply_to(message)], now)
                if message["cmd_id"] == HEARTBEAT:
                    beats[session].append(now)
        now = round(now + 0.1, 6)
    assert outcomes == [None] * 10
    for session in sessions:
        assert session.state is State.READY
        assert max(b - a for a, b in itertools.pairwise(beats[session])) < 12


def test_two_heartbeats_without_an_answer():
    session = ready_session()
    found = run(session, 100.0, 140.0)  # something arrives all the time
    assert [now for now, _ in found] == [110.0, 120.0]
    assert session.state is State.CLOSED
    assert "2 heartbeats" in str(session.error)


def test_a_refused_heartbeat_is_an_answer():
    session = ready_session()
    for now in (110.0, 120.0, 130.0, 140.0):
        session.poll(now, int(now))
        [beat] = sent(session)
        session.receive([reply_to(beat, 605, "too many requests")], now)
    assert session.state is State.READY


def test_silence_of_25_seconds():
    session = ready_session()
    session.poll(110.0, 5)
    session.poll(134.9, 5)
    assert session.state is State.READY
    session.poll(135.0, 5)
    assert session.state is State.CLOSED
    assert "nothing for 25 s" in str(session.error)


# WebSocket's own


def test_pings_are_answered_and_pongs_are_not():
    session = ready_session()
    session.receive([(Opcode.PING, b"x" * 125), (Opcode.PONG, b"y")], 100.1)
    assert frames(session.take_output()) == [(Opcode.PONG, b"x" * 125)]


@pytest.mark.parametrize(
    ("payload", "answer", "text"),
    [
        (b"", b"", "1005"),
        (close_payload(1001, "going"), b"\x03\xe9", "1001 (going away): going"),
        (close_payload(4000, f"bad {TOKEN}"), b"\x0f\xa0", "4000 (the vendor's own): bad ***"),
    ],
)
def test_a_close_is_answered_and_ends_the_session(payload, answer, text):
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    [request] = sent(session)
    session.receive([(Opcode.CLOSE, payload), reply_to(request)], 100.1)
    assert frames(session.take_output()) == [(Opcode.CLOSE, answer)]
    assert session.state is State.CLOSED
    assert text in str(session.error)
    assert outcomes == [session.error]


def test_a_broken_protocol_is_told_to_the_server():
    session = ready_session()
    session.receive([(CLOSING, b"\x03\xea")], 100.1)
    assert frames(session.take_output()) == [(Opcode.CLOSE, b"\x03\xea")]


def test_only_the_first_end_counts():
    session, outcomes = ready_session(), []
    ask(session, outcomes=outcomes)
    ask(session, outcomes=outcomes)  # waits in the queue
    error = ff.ConnectError("gone")
    session.close(error)
    session.lost("again")
    session.poll(200.0, 0)
    assert outcomes == [error, error]
    assert session.error is error


# the pacer


def test_a_pacer():
    pacers = []
    one, other = Pacer(pacers), Pacer(pacers)
    assert one.free_at() == other.free_at() == float("-inf")
    one.begin(100.0)
    assert one.free_at() == float("-inf")  # at once, on a new connection
    assert other.free_at() == pytest.approx(103.1)
    other.send(103.1)
    assert other.free_at() == pytest.approx(104.2)
    assert one.free_at() == pytest.approx(106.2)
    one.beat(105.0)
    assert one.free_at() == pytest.approx(106.2)
    assert one.beat_at() == pytest.approx(106.1)
    assert other.free_at() == pytest.approx(104.2)  # a heartbeat holds up no other connection
    other.end()
    assert one.free_at() == pytest.approx(106.1)
    assert pacers == [one]
