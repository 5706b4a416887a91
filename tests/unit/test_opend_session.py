"""The OpenD session without a network: packets and a clock in, packets out."""

import pytest

import fastfeed as ff
from fastfeed.feeds.opend_session import OpendSession
from fastfeed.feeds.session import State
from fastfeed.protocols.opend_frames import HEADER, body_sha1
from fastfeed.protocols.opend_messages import (
    INIT_CONNECT,
    KEEP_ALIVE,
    NOTIFY,
    QOT_SUB,
    message_class,
)

OK = bytes.fromhex("080012001800")


def sent(session):
    """Take what the session wants to send apart: [(protocol id, serial, body)]."""
    data, packets = session.take_output(), []
    while data:
        magic, proto_id, fmt, version, serial, length, _, _ = HEADER.unpack_from(data)
        assert (magic, fmt, version) == (b"FT", 0, 0)
        packets.append((proto_id, serial, data[HEADER.size : HEADER.size + length]))
        data = data[HEADER.size + length :]
    return packets


def init_reply(interval=10, **fields):
    response = message_class("InitConnect.Response")(retType=0, retMsg="", errCode=0)
    s2c = response.s2c
    s2c.serverVer, s2c.loginUserID, s2c.connID = 1011, 1, 2**62
    s2c.connAESKey, s2c.keepAliveInterval = "0" * 16, interval
    return response.SerializeToString()


def refused(text, ret_type=-1):
    return message_class("Reply")(retType=ret_type, retMsg=text.encode()).SerializeToString()


def ready_session(interval=10, pushes=None):
    session = OpendSession(lambda *push: pushes.append(push) if pushes is not None else None)
    session.start(100.0)
    [(proto_id, serial, _)] = sent(session)
    session.receive([(proto_id, serial, init_reply(interval))], 100.5)
    assert session.state is State.READY
    return session


def ask(session, done):
    """Send a request; return its serial number."""
    request = message_class("QotSub.Request")()
    request.c2s.isSubOrUnSub = True
    session.request(QOT_SUB, request, 101.0, done)
    [(_, serial, _)] = sent(session)
    return serial


def test_handshake_asks_for_plain_protobuf_and_notices():
    session = OpendSession(lambda *push: None, client_id="me")
    session.start(0.0)
    [(proto_id, _, body)] = sent(session)
    assert proto_id == INIT_CONNECT
    c2s = message_class("InitConnect.Request").FromString(body).c2s
    assert (c2s.clientID, c2s.packetEncAlgo, c2s.pushProtoFmt, c2s.recvNotify) == (
        "me",
        -1,
        0,
        True,
    )


def test_handshake_reply_opens_the_session():
    session = ready_session()
    assert (session.connection_id, session.server_version) == (2**62, 1011)
    assert session.keep_alive_s == 10


def test_refused_handshake_is_an_auth_error_with_the_vendors_words():
    session = OpendSession(lambda *push: None)
    session.start(0.0)
    [(proto_id, serial, _)] = sent(session)
    session.receive([(proto_id, serial, refused("too many connections"))], 0.1)
    assert session.state is State.CLOSED
    assert isinstance(session.error, ff.AuthError)
    assert session.error.text == "too many connections"
    assert session.error.code == -1


@pytest.mark.parametrize("body", [b"", b"\x08\x00", b"\xff\xff", b"\x08\x00\x22\x01\x08"])
def test_handshake_reply_without_content_is_an_error(body):
    session = OpendSession(lambda *push: None)
    session.start(0.0)
    [(proto_id, serial, _)] = sent(session)
    session.receive([(proto_id, serial, body)], 0.1)
    assert session.state is State.CLOSED
    assert isinstance(session.error, ff.FastfeedError)


def test_handshake_times_out():
    session = OpendSession(lambda *push: None, handshake_timeout_s=3)
    session.start(50.0)
    session.poll(52.9, 0)
    assert session.state is State.HANDSHAKE
    assert session.due(52.9) == pytest.approx(0.1)
    session.poll(53.0, 0)
    assert isinstance(session.error, ff.RequestTimeout)


@pytest.mark.parametrize(("asked", "used"), [(10, 10), (0, 1), (-5, 1), (2**31 - 1, 300)])
def test_heartbeat_interval_is_kept_within_reason(asked, used):
    assert ready_session(asked).keep_alive_s == used


def test_heartbeats_at_four_fifths_of_the_interval():
    session = ready_session(interval=10)
    beats = []
    for tenth in range(1005, 1300):
        session.poll(tenth / 10, tenth)  # something arrives all the time
        beats += [tenth / 10 for proto_id, _, _ in sent(session) if proto_id == KEEP_ALIVE]
    assert beats == [108.5, 116.5, 124.5]


def test_silence_of_three_intervals_ends_the_session():
    session = ready_session(interval=10)
    session.poll(105.0, 7)
    session.poll(134.9, 7)
    assert session.state is State.READY
    session.poll(135.1, 7)
    assert session.state is State.CLOSED
    assert isinstance(session.error, ff.ConnectError)
    assert "nothing for 30 s" in str(session.error)


def test_replies_are_matched_by_id_and_serial():
    session = ready_session()
    outcomes = {}
    serials = [ask(session, lambda out, name=name: outcomes.update({name: out})) for name in "abc"]
    assert len(set(serials)) == 3
    assert serials == sorted(serials)
    session.receive([(QOT_SUB, serials[2], OK)], 101.1)
    session.receive([(KEEP_ALIVE, serials[0], OK)], 101.1)  # another id: not the answer
    session.receive([(QOT_SUB, serials[0], refused("no quota"))], 101.2)
    assert outcomes["c"] == OK
    assert isinstance(outcomes["a"], ff.RequestError)
    assert outcomes["a"].text == "no quota"
    assert "b" not in outcomes
    assert session.unmatched_replies == 1


def test_a_reply_after_the_timeout_is_dropped():
    session = ready_session()
    outcomes = []
    serial = ask(session, outcomes.append)
    session.poll(113.0, 1)
    assert [type(outcome) for outcome in outcomes] == [ff.RequestTimeout]
    session.receive([(QOT_SUB, serial, OK)], 113.1)
    session.receive([(QOT_SUB, serial, OK)], 113.1)
    assert len(outcomes) == 1
    assert session.unmatched_replies == 2


def test_words_in_another_encoding_are_still_told():
    session = ready_session()
    outcomes = []
    serial = ask(session, outcomes.append)
    reply = message_class("Reply")(retType=-1, retMsg="额度".encode("gb18030"))
    session.receive([(QOT_SUB, serial, reply.SerializeToString())], 101.1)
    assert isinstance(outcomes[0], ff.RequestError)
    assert isinstance(outcomes[0].text, str)


def test_garbage_as_reply_fails_the_request_only():
    session = ready_session()
    outcomes = []
    serial = ask(session, outcomes.append)
    session.receive([(QOT_SUB, serial, b"\xff\xff\xff")], 101.1)
    assert [type(outcome) for outcome in outcomes] == [ff.RemoteProtocolError]
    assert session.state is State.READY


def test_pushes_are_told_by_their_id_even_with_a_serial_in_use():
    pushes = []
    session = ready_session(pushes=pushes)
    serial = ask(session, lambda outcome: pytest.fail("not a reply"))
    session.receive([(NOTIFY, serial, b"x"), (NOTIFY, 0, b"y")], 101.1)
    assert pushes == [(NOTIFY, b"x"), (NOTIFY, b"y")]


def test_closing_fails_what_is_unanswered_and_further_requests():
    session = ready_session()
    outcomes = []
    ask(session, outcomes.append)
    error = ff.ConnectError("gone")
    session.close(error)
    session.close(ff.ConnectError("again"))
    assert outcomes == [error]
    with pytest.raises(ff.ConnectError, match="gone"):
        ask(session, outcomes.append)


def test_requests_before_the_handshake_are_refused():
    session = OpendSession(lambda *push: None)
    with pytest.raises(ff.ConnectError):
        session.request(QOT_SUB, message_class("QotSub.Request")(), 0.0, lambda outcome: None)
    session.start(0.0)
    with pytest.raises(ff.LocalProtocolError):
        session.start(0.0)


class Turned:
    """Stands for an RSA key: turns bytes around."""

    def encrypt(self, body):
        return body[::-1]

    def decrypt(self, body):
        return body[::-1]


def start_encrypted(encryption):
    session = OpendSession(lambda *push: None, rsa_key=Turned(), encryption=encryption)
    session.start(0.0)
    [(_, serial, body)] = sent(session)
    c2s = message_class("InitConnect.Request").FromString(body[::-1]).c2s
    return session, serial, c2s.packetEncAlgo


def encrypted_reply(key="k" * 16, iv="i" * 16):
    response = message_class("InitConnect.Response").FromString(init_reply())
    response.s2c.connAESKey, response.s2c.aesCBCiv = key, iv
    body = response.SerializeToString()
    return body[::-1], body_sha1(body)


@pytest.mark.parametrize(
    ("encryption", "number", "iv", "mode"),
    [
        ("aes-cbc", 2, "i" * 16, "aes-cbc"),
        ("aes-cbc", 2, "", "ftaes-ecb"),
        ("ftaes-ecb", 0, "i" * 16, "ftaes-ecb"),
        ("none", -1, "i" * 16, None),
    ],
)
def test_encryption_is_what_was_asked_for_and_the_reply_allows(encryption, number, iv, mode):
    session, serial, asked = start_encrypted(encryption)
    assert asked == number
    assert session.cipher is None
    body, digest = encrypted_reply(iv=iv)
    session.receive([(INIT_CONNECT, serial, body)], 0.1, digest)
    assert session.state is State.READY
    if mode is None:
        assert session.cipher is None
    else:
        assert session.cipher.mode == mode
    request = message_class("QotSub.Request")()
    request.c2s.isSubOrUnSub = True
    session.request(QOT_SUB, request, 1.0, lambda outcome: None)
    [(_, _, body)] = sent(session)
    plain = session.cipher.decrypt(body) if mode else body
    assert plain == request.SerializeToString()


@pytest.mark.parametrize(("key", "iv"), [("", "i" * 16), ("k" * 15, "i" * 16), ("k" * 16, "i")])
def test_a_reply_with_a_key_that_cannot_be(key, iv):
    session, serial, _ = start_encrypted("aes-cbc")
    body, digest = encrypted_reply(key, iv)
    session.receive([(INIT_CONNECT, serial, body)], 0.1, digest)
    assert session.state is State.CLOSED
    assert isinstance(session.error, ff.RemoteProtocolError)
    assert "no usable key" in str(session.error)
    assert "kkk" not in str(session.error)


def test_a_rejected_reply_fails_its_request_only():
    session = ready_session()
    outcomes = []
    serial = ask(session, outcomes.append)
    session.receive([(QOT_SUB, serial, "sha1"), (QOT_SUB, serial, "sha1")], 101.1)
    assert [type(outcome) for outcome in outcomes] == [ff.RemoteProtocolError]
    assert "was rejected: sha1" in str(outcomes[0])
    assert session.unmatched_replies == 1
    assert session.state is State.READY


def test_a_rejected_handshake_ends_the_session():
    session = OpendSession(lambda *push: None)
    session.start(0.0)
    [(proto_id, serial, _)] = sent(session)
    session.receive([(proto_id, serial, "format")], 0.1)
    assert session.state is State.CLOSED
    assert "was rejected: format" in str(session.error)
