"""WebSocket framing and handshake against two servers that are not ours: `websockets` and picows."""

import asyncio
import contextlib
import http

import picows
import pytest
from framing import Framing, message
from websockets.asyncio.server import serve

from fastfeed._core.websocket import frame
from fastfeed.errors import (
    AuthError,
    ConnectError,
    RateLimitError,
    RemoteProtocolError,
)
from fastfeed.protocols.websocket import (
    CloseCode,
    Handshake,
    Opcode,
    close_payload,
    close_text,
    parse_close,
)

TIMEOUT_S = 20
TOKEN = "0123456789abcdef-c-app"
PATH = f"/quote?token={TOKEN}"
BODY = '{"msg":"token is required","ret":401}'
SIZES = [0, 125, 126, 127, 65535, 65536, 65537, 1 << 20]

PARTS = ('{"ret":', "", "0", "}")
ANSWERED = message("answered")


class Client:
    """A client on streams: handshake, framing and nothing else."""

    def __init__(self, reader, writer, framing):
        self.reader, self.writer, self.framing = reader, writer, framing
        self.found = []

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, port, path=PATH, headers=(), limit_bytes=1 << 20):
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                client = cls(reader, writer, Framing(limit_bytes))
                await client.shake_hands(Handshake(f"127.0.0.1:{port}", path, headers))
                yield client
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    async def shake_hands(self, handshake):
        self.writer.write(handshake.request())
        behind = None
        while behind is None:
            data = await self.reader.read(65536)
            if not data:
                raise handshake.ended()
            behind = handshake.receive(data)
        self.found += self.framing.feed(behind)

    def send(self, opcode, payload=b""):
        self.writer.write(frame(opcode, payload))

    async def receive(self):
        """Return the next message or control frame."""
        while not self.found:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self.found += self.framing.feed(data)
            assert self.framing.error is None
        return self.found.pop(0)

    async def expect_end(self):
        """Expect nothing more."""
        assert not self.found
        assert await self.reader.read(1) == b""


# The servers: what they get comes back, and a text that begins with ! makes them do something.


async def answer(socket):
    async for data in socket:
        if not str(data).startswith("!"):
            await socket.send(data)
            continue
        command, *rest = data.split(" ", 2)
        if command == "!fragments":

            async def parts():
                for i, part in enumerate(PARTS):
                    yield part
                    await socket.ping(f"between {i}")

            await socket.send(parts())
        elif command == "!ping":
            await (await socket.ping(rest[0]))
            await socket.send(ANSWERED.decode())
        else:
            await socket.close(int(rest[0]), rest[1] if rest[1:] else "")


@contextlib.asynccontextmanager
async def websockets_server():
    def process(connection, request):
        if request.path == "/refused":
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, BODY)
        return None

    async with serve(
        answer, "127.0.0.1", 0, max_size=None, ping_interval=None, process_request=process
    ) as server:
        yield server.sockets[0].getsockname()[1]


class Listener(picows.WSListener):
    def on_ws_frame(self, transport, frame):
        kind = frame.msg_type
        payload = frame.get_payload_as_bytes()
        if kind == picows.WSMsgType.CLOSE:
            if payload:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
            else:  # without a code it would send 0, which is none
                transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        elif kind == picows.WSMsgType.PONG:
            transport.send(picows.WSMsgType.TEXT, ANSWERED)
        elif kind == picows.WSMsgType.BINARY or not payload.startswith(b"!"):
            transport.send(kind, payload)
        else:
            command, *rest = payload.decode().split(" ", 2)
            if command == "!fragments":
                for i, part in enumerate(PARTS):
                    fragment = picows.WSMsgType.CONTINUATION if i else kind
                    transport.send(fragment, part.encode(), fin=i == 3)
                    transport.send_ping(b"between %d" % i)
            elif command == "!ping":
                transport.send_ping(rest[0].encode())
            else:
                transport.send_close(int(rest[0]), rest[1].encode() if rest[1:] else None)


@contextlib.asynccontextmanager
async def picows_server():
    def make(request):
        if request.path != b"/refused":
            return Listener()
        headers = {"Content-Type": "application/json"}
        response = picows.WSUpgradeResponse.create_error_response(
            http.HTTPStatus.UNAUTHORIZED, BODY.encode(), headers
        )
        return picows.WSUpgradeResponseWithListener(response, None)

    server = await picows.ws_create_server(make, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture(params=[websockets_server, picows_server], ids=["websockets", "picows"])
def server(request):
    return request.param


def test_echo(server):
    async def main():
        async with server() as port, Client.connect(port) as client:
            for size in SIZES:
                payload = message("é€😀x" * (size // 20), size)
                for opcode in (Opcode.BINARY, Opcode.TEXT):
                    client.send(opcode, payload)
                    assert await client.receive() == (opcode, payload)
            assert client.framing.count == 2 * len(SIZES)

    asyncio.run(main())


def test_many_at_once(server):
    async def main():
        async with server() as port, Client.connect(port) as client:
            sent = [(Opcode.TEXT, message(f"message {i} " * (i % 90))) for i in range(2000)]
            client.writer.write(b"".join(frame(*one) for one in sent))
            for one in sent:
                assert await client.receive() == one

    asyncio.run(main())


def test_fragments(server):
    async def main():
        async with server() as port, Client.connect(port) as client:
            client.send(Opcode.TEXT, b"!fragments")
            client.send(Opcode.BINARY, message("end"))
            found = [await client.receive() for _ in range(6)]
            assert found.pop() == (Opcode.BINARY, message("end"))
            found.remove((Opcode.TEXT, "".join(PARTS).encode()))
            assert found == [(Opcode.PING, b"between %d" % i) for i in range(4)]
            assert client.framing.count == 6

    asyncio.run(main())


def test_pings_both_ways(server):
    async def main():
        async with server() as port, Client.connect(port) as client:
            for payload in (b"", b"a payload", b"x" * 125):
                client.send(Opcode.PING, payload)
                assert await client.receive() == (Opcode.PONG, payload)
            client.send(Opcode.TEXT, b"!ping question")
            assert await client.receive() == (Opcode.PING, b"question")
            client.send(Opcode.PONG, b"question")
            assert await client.receive() == (Opcode.TEXT, ANSWERED)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "going"), (3999, "é" * 60), (4001, "x" * 123)]
)
def test_close_by_us(server, code, reason):
    async def main():
        async with server() as port, Client.connect(port) as client:
            client.send(Opcode.CLOSE, close_payload(code, reason))
            opcode, payload = await client.receive()
            assert (opcode, parse_close(payload)) == (Opcode.CLOSE, (code, reason))
            await client.expect_end()

    asyncio.run(main())


def test_close_without_a_code(server):
    async def main():
        async with server() as port, Client.connect(port) as client:
            client.send(Opcode.CLOSE)
            opcode, payload = await client.receive()
            assert opcode == Opcode.CLOSE
            assert parse_close(payload)[0] in {CloseCode.NO_STATUS, CloseCode.NORMAL}
            await client.expect_end()

    asyncio.run(main())


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1013, 4000, 4999])
def test_close_by_the_server(server, code):
    async def main():
        async with server() as port, Client.connect(port) as client:
            client.send(Opcode.TEXT, f"!close {code} that is all".encode())
            opcode, payload = await client.receive()
            assert (opcode, parse_close(payload)) == (Opcode.CLOSE, (code, "that is all"))
            assert close_text(payload).endswith("): that is all")
            client.send(Opcode.CLOSE, payload)
            await client.expect_end()

    asyncio.run(main())


def test_what_a_server_refuses(server):
    async def main():
        async with server() as port, Client.connect(port) as client:
            client.writer.write(b"\x81\x02ok")  # not masked
            with contextlib.suppress(EOFError, ConnectionError):  # picows only hangs up
                opcode, payload = await client.receive()
                assert (opcode, parse_close(payload)[0]) == (Opcode.CLOSE, 1002)

    asyncio.run(main())


def test_longer_than_allowed(server):
    async def main():
        async with server() as port, Client.connect(port, limit_bytes=1024) as client:
            client.send(Opcode.BINARY, bytes(1025))
            found = client.framing.feed(await client.reader.read(100))
            assert found == []
            assert "(length) at byte 0" in str(client.framing.error)
            client.send(Opcode.CLOSE, close_payload(client.framing.close_code))
            while await client.reader.read(65536):
                pass

    asyncio.run(main())


def test_a_server_that_refuses(server):
    async def main():
        async with server() as port:
            with pytest.raises(AuthError) as refused:
                async with Client.connect(port, "/refused"):
                    pass
            assert refused.value.code == 401
            assert refused.value.text == BODY

    asyncio.run(main())


# Servers that answer the request with the bytes that they are given, in pieces.

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
EXAMPLE = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"  # section 1.3, to another key
JSON = b"Content-Length: %d\r\n\r\n" % len(BODY)


@contextlib.asynccontextmanager
async def raw_server(*pieces, close=True):
    done = asyncio.Event()

    async def on_client(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece.replace(b"REQUEST", request))
            await asyncio.sleep(0.01)
        if not close:
            await done.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(on_client, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        done.set()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("close", [True, False], ids=["closing", "waiting"])
@pytest.mark.parametrize(
    ("pieces", "kind", "text"),
    [
        ([SWITCHING + EXAMPLE + b"\r\n"], RemoteProtocolError, "to answer the key, got another"),
        ([SWITCHING, b"\r\n"], RemoteProtocolError, "to answer the key, it is missing"),
        (
            [SWITCHING.replace(b"websocket", b"h2c") + b"\r\n"],
            RemoteProtocolError, "Upgrade: websocket, got 'h2c'",
        ),
        (
            [b"HTTP/1.1 401 Unauthorized\r\n" + JSON, BODY[:9].encode(), BODY[9:].encode()],
            AuthError, r'HTTP status 401: {"msg":"token is required","ret":401}$',
        ),
        ([b"HTTP/1.1 403 Forbidden\r\n\r\n"], AuthError, "HTTP status 403$"),
        ([b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"], RateLimitError, "status 429$"),
        (
            [b"HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nbad\r\n0\r\n\r\n"],
            RemoteProtocolError, "HTTP status 502: bad$",
        ),
        ([b"HTTP/1.1 404 REQUEST"], RemoteProtocolError, "expected an HTTP/1.1 status line|404"),
        ([b"REQUEST"], RemoteProtocolError, "expected an HTTP response, got b'GET"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], RemoteProtocolError, "expected an HTTP response"),
        ([b"HTTP/1.1 101 X\r\n" + b"X: y\r\n" * 4000], RemoteProtocolError, "less than 16384"),
    ],
)  # fmt: skip
def test_raw_refusals(pieces, kind, text, close):
    async def main():
        async with raw_server(*pieces, close=close) as port:
            with pytest.raises(kind, match=text) as refused:
                async with Client.connect(port):
                    pass
            assert TOKEN not in repr(refused.value) + str(vars(refused.value))

    asyncio.run(main())


@pytest.mark.parametrize("pieces", [[], [b"HTTP/1.1 101 Switching"]])
def test_closing_instead_of_an_answer(pieces):
    async def main():
        async with raw_server(*pieces) as port:
            with pytest.raises(ConnectError, match="closed the connection during the WebSocket"):
                async with Client.connect(port):
                    pass

    asyncio.run(main())
