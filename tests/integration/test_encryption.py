"""The feed against gateways with and without an RSA key, made with the package `cryptography` only."""

import asyncio
import contextlib
import hashlib
import struct

import pytest
from ciphers import decrypt, encrypt
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from keys import new_key, write_key

import fastfeed as ff
from fastfeed.protocols.opend_messages import message_class

INIT, NOTIFY, SUB = 1001, 1003, 3001
KEY, IV = b"0123456789abcdef", b"fedcba9876543210"
OK = bytes.fromhex("080012001800")
NONE, ECB, CBC = -1, 0, 2
MODES = {CBC: "aes-cbc", ECB: "ftaes-ecb"}


@pytest.fixture(autouse=True)
def no_key_around(monkeypatch):
    monkeypatch.delenv("FUTU_OPEND_RSA_KEY", raising=False)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return two keys, as files and as objects."""
    folder, made = tmp_path_factory.mktemp("keys"), []
    for name in "ab":
        key = new_key()
        made.append((write_key(folder / f"{name}.pem", key), key))
    return made


class Gateway:
    """As much of OpenD as a handshake and one subscription need; every connection is served alike.

    `key` is its RSA key or None. `glued` is sent in one piece with InitConnect's reply, plain bodies by id.
    """

    def __init__(self, key, *, iv=IV, glued=(), unreadable="close", spoil_sub=False):
        self.key = key
        self.iv = iv
        self.glued = glued
        self.unreadable = unreadable
        self.spoil_sub = spoil_sub
        self.algorithms = []
        self.wire = b""  # everything that came and went behind the handshake
        self.connections = 0
        self._tasks, self._writers = [], []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"opend://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *reason):
        self.server.close()
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # the loop closes the sockets

    def drop(self):
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader, writer):
        self._tasks.append(asyncio.current_task())
        self._writers.append(writer)
        self.connections += 1
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            await self._talk(reader, writer)

    async def _read(self, reader, decrypted):
        header = await reader.readexactly(44)
        _, proto_id, _, _, serial, length, digest, _ = struct.unpack("<2sIBBII20s8s", header)
        sent = await reader.readexactly(length)
        try:
            body = decrypted(sent)
        except ValueError:
            body = b""
        if hashlib.sha1(body).digest() != digest:
            return proto_id, serial, None
        self.wire += header + sent
        return proto_id, serial, body

    def _pack(self, proto_id, serial, body, sent):
        header = struct.pack("<2sIBBII", b"FT", proto_id, 0, 0, serial, len(sent))
        packet = header + hashlib.sha1(body).digest() + bytes(8) + sent
        if proto_id != INIT:
            self.wire += packet
        return packet

    def _rsa_encrypt(self, body):
        public = self.key.public_key()
        pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
        return b"".join(public.encrypt(piece, PKCS1v15()) for piece in pieces)

    def _rsa_decrypt(self, body):
        pieces = [body[at : at + 128] for at in range(0, len(body), 128)]
        return b"".join(self.key.decrypt(piece, PKCS1v15()) for piece in pieces)

    async def _talk(self, reader, writer):
        decrypted = self._rsa_decrypt if self.key else bytes
        proto_id, serial, body = await self._read(reader, decrypted)
        self.wire = b""
        if body is None:  # the other side's key is missing, or another one
            if self.unreadable == "close":
                writer.close()
                return
            if self.unreadable == "silence":
                await asyncio.sleep(60)
            text = message_class("Reply")(retType=-1, retMsg=b"cannot parse").SerializeToString()
            sent = self._rsa_encrypt(text) if self.key else text
            writer.write(self._pack(INIT, serial, text, sent))
            await asyncio.sleep(60)
        c2s = message_class("InitConnect.Request").FromString(body).c2s
        mode = c2s.packetEncAlgo if self.key else NONE
        self.algorithms.append(mode)
        reply = message_class("InitConnect.Response")(retType=0, retMsg="", errCode=0)
        reply.s2c.serverVer, reply.s2c.loginUserID, reply.s2c.connID = 1011, 1, 2
        reply.s2c.connAESKey, reply.s2c.keepAliveInterval = KEY.decode(), 10
        if self.iv:
            reply.s2c.aesCBCiv = self.iv.decode()
        elif mode == CBC:
            mode = ECB
        plain = reply.SerializeToString()
        sent = plain if mode == NONE else self._rsa_encrypt(plain)

        def sealed(body):
            return body if mode == NONE else encrypt(MODES[mode], KEY, IV, body)

        def opened(sent):
            return sent if mode == NONE else decrypt(MODES[mode], KEY, IV, sent)

        glued = [self._pack(number, 900, each, sealed(each)) for number, each in self.glued]
        writer.write(self._pack(INIT, serial, plain, sent) + b"".join(glued))
        while True:
            proto_id, serial, body = await self._read(reader, opened)
            assert body is not None
            sent = sealed(OK)
            if self.spoil_sub and proto_id == SUB:
                sent = sent[:-1]
            writer.write(self._pack(proto_id, serial, OK, sent))


@pytest.fixture
def pushes():
    """Return bodies of notices, which follow the handshake in the same piece, with their ids."""
    made = []
    for i in range(5):
        message = message_class("Notify.Response")(retType=0)
        message.s2c.type = 1
        message.s2c.event.eventType = 1
        message.s2c.event.desc = f"notice {i}".encode()
        made.append((NOTIFY, message.SerializeToString()))
    return made


def watched(url, **options):
    """Return a feed and the list where the words of its notices will be."""
    feed, words = ff.connect(url, **options), []

    def on_event(event):
        if event.kind == "notice":
            words.append(event.text.rpartition(": ")[2])  # behind the name of what happened

    feed.on_event(on_event)
    return feed, words


NOTICES = [f"notice {i}" for i in range(5)]


@pytest.mark.parametrize(
    ("options", "asked", "iv"),
    [
        ({}, CBC, IV),
        ({"encryption": "aes-cbc"}, CBC, IV),
        ({"encryption": "aes-cbc"}, CBC, None),
        ({"encryption": "ftaes-ecb"}, ECB, IV),
        ({"encryption": "none"}, NONE, IV),
    ],
    ids=["default", "aes-cbc", "aes-cbc without an IV", "ftaes-ecb", "none"],
)
def test_both_have_the_key(run, keys, pushes, options, asked, iv):
    async def main():
        path, key = keys[0]
        async with Gateway(key, iv=iv, glued=pushes) as gateway:
            feed, texts = watched(gateway.url, rsa_key=path, check_sha1=True, **options)
            async with feed:
                assert texts == NOTICES
                await feed.subscribe("AAPL.US", "ticks")
                assert feed.subscribed("ticks") == ("AAPL.US",)
                assert feed.stats()["rejected"] == {}
            assert gateway.algorithms == [asked]
            assert (b"AAPL" in gateway.wire) == (b"notice" in gateway.wire) == (asked == NONE)

    run(main())


def test_neither_has_a_key(run, pushes):
    async def main():
        async with Gateway(None, glued=pushes) as gateway:
            feed, texts = watched(gateway.url, check_sha1=True)
            async with feed:
                assert texts == NOTICES
                await feed.subscribe("AAPL.US", "ticks")
            assert gateway.algorithms == [NONE]

    run(main())


def test_the_key_may_come_from_the_environment(run, keys, monkeypatch):
    monkeypatch.setenv("FUTU_OPEND_RSA_KEY", keys[0][0])

    async def main():
        async with Gateway(keys[0][1]) as gateway:
            async with ff.connect(gateway.url) as feed:
                await feed.subscribe("AAPL.US", "ticks")
            assert gateway.algorithms == [CBC]

    run(main())


@pytest.mark.usefixtures("receive")
def test_a_new_connection_shakes_hands_anew(run, keys, pushes):
    async def main():
        path, key = keys[0]
        async with Gateway(key, glued=pushes[:1]) as gateway:
            backoff = ff.Backoff(0.01, 0.05)
            feed, texts = watched(gateway.url, rsa_key=path, backoff=backoff)
            async with feed:
                gateway.glued = pushes[1:]
                gateway.drop()
                while len(texts) < len(NOTICES):
                    await asyncio.sleep(0.01)
                assert texts == NOTICES
                await feed.subscribe("AAPL.US", "ticks")
                assert gateway.connections == 2
                assert feed.stats()["rejected"] == {}
            assert gateway.algorithms == [CBC, CBC]

    run(main())


def refused(run, gateway, error, match, **options):
    """Connect in vain; return the error's text."""

    async def main():
        async with gateway:
            with pytest.raises(error, match=match) as info:
                async with ff.connect(gateway.url, wait_s=20, connect_timeout_s=0.3, **options):
                    pass
            assert type(info.value) is error
            for secret in (KEY, IV):
                assert secret.decode() not in str(info.value)

    run(main())


ENCRYPTIONS = pytest.mark.parametrize("encryption", ["aes-cbc", "ftaes-ecb", "none"])


@ENCRYPTIONS
@pytest.mark.parametrize("unreadable", ["close", "answer"])
def test_only_we_have_a_key(run, keys, encryption, unreadable):
    refused(
        run, Gateway(None, unreadable=unreadable), ff.AuthError,
        "OpenD may have no RSA key configured", rsa_key=keys[0][0], encryption=encryption,
    )  # fmt: skip


def test_only_we_have_a_key_and_nobody_answers(run, keys):
    async def main():
        async with Gateway(None, unreadable="silence") as gateway:
            with pytest.raises(ff.ConnectError, match="OpenD may have no RSA key configured"):
                await ff.connect(gateway.url, connect_timeout_s=0.3, rsa_key=keys[0][0]).open()

    run(main())


@pytest.mark.parametrize("check_sha1", [False, True])
def test_only_opend_has_a_key(run, keys, check_sha1):
    refused(
        run, Gateway(keys[0][1], unreadable="answer"), ff.AuthError,
        "OpenD has an RSA key configured, give the same file as rsa_key=", check_sha1=check_sha1,
    )  # fmt: skip


@ENCRYPTIONS
@pytest.mark.parametrize("unreadable", ["close", "answer"])
def test_another_key(run, keys, encryption, unreadable):
    refused(
        run, Gateway(keys[0][1], unreadable=unreadable), ff.AuthError,
        "another (one|key) than", rsa_key=keys[1][0], encryption=encryption,
    )  # fmt: skip


def test_a_plain_answer_to_a_request_for_encryption(run, keys):
    """As somebody in between would give it who knows no key: nothing goes on in clear."""

    class Plain(Gateway):
        def _rsa_encrypt(self, body):
            return body

    refused(
        run, Plain(keys[0][1]), ff.AuthError, "is not encrypted: OpenD may have no RSA key",
        rsa_key=keys[0][0],
    )  # fmt: skip


def test_a_rejected_reply_fails_its_request_at_once(run, keys):
    async def main():
        path, key = keys[0]
        async with Gateway(key, spoil_sub=True) as gateway:
            async with ff.connect(gateway.url, rsa_key=path, request_timeout_s=25) as feed:
                with pytest.raises(
                    ff.RemoteProtocolError, match=r"reply to 3001 was rejected: padding"
                ):
                    await feed.subscribe("AAPL.US", "ticks")
                assert feed.connected
                gateway.spoil_sub = False
                await feed.subscribe("AAPL.US", "ticks")
                assert feed.stats()["rejected"] == {"padding": 1}

    run(main())
