"""The machine with a cipher: any cut of the stream, the stop behind InitConnect, what is rejected."""

import hashlib

import pytest

import fastfeed as ff
from fastfeed._core.opend import OpendMachine
from fastfeed._core.opend_cipher import OpendCipher

INIT, ALIVE, SUB, NOTIFY, TICKS, BOOK = 1001, 1004, 3001, 1003, 3011, 3013
MODES = ("aes-cbc", "ftaes-ecb")


def cipher_of(mode):
    return OpendCipher(mode, b"0123456789abcdef", b"fedcba9876543210")


class Fixture:
    """A machine that listens to ticks."""

    def __init__(self, **options):
        self.hub = ff.Hub(capacity=1024)
        self.machine = OpendMachine(self.hub.symbols, **options)
        stream = self.hub.ticks
        self.machine.listen(0, stream.ring, stream.deliver)

    @property
    def sequences(self):
        ticks = self.hub.ticks
        return ticks.latest(ticks.count)["seq"].tolist() if ticks.count else []


@pytest.fixture(params=["feed", "received"])
def put(request):
    """Return a function that gives a machine bytes in one of the two ways."""

    def feed(machine, data):
        return machine.feed(data)

    def received(machine, data):
        machine.space()[: len(data)] = data
        return machine.received(len(data))

    return {"feed": feed, "received": received}[request.param]


@pytest.fixture
def stream(packet, ticker_push):
    """Return the plain packets of a stream with rows, replies and a notice."""
    packets = [
        packet(TICKS, ticker_push(rows=[{"sequence": i}] * (i % 3 + 1)), i) for i in range(1, 5)
    ]
    packets.insert(1, packet(SUB, bytes.fromhex("080012001800"), 7))
    packets.insert(3, packet(NOTIFY, b"a notice", 0))
    packets.append(packet(ALIVE, b"x" * 32, 8))
    return packets


@pytest.mark.parametrize("check_sha1", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_every_cut(stream, put, mode, check_sha1):
    plain, encrypted = b"".join(stream), cipher_of(mode).encrypt_packets(b"".join(stream))
    want = Fixture(check_sha1=check_sha1)
    frames = put(want.machine, plain)
    assert [frame[0] for frame in frames] == [SUB, NOTIFY, ALIVE]
    for at in range(len(encrypted) + 1):
        got = Fixture(check_sha1=check_sha1)
        got.machine.set_cipher(cipher_of(mode))
        found = put(got.machine, encrypted[:at]) or []
        found += put(got.machine, encrypted[at:]) or []
        assert found == frames
        assert got.sequences == want.sequences
        assert got.machine.stats()["rejected"] == {}


@pytest.mark.parametrize("mode", MODES)
def test_the_machine_stops_behind_init_connect(stream, packet, put, mode):
    """A reply to InitConnect, other replies and pushes in one read: the cipher comes in time."""
    body = b"whatever RSA makes of it"
    init = packet(INIT, body, 1, digest=b"d" * 20)
    encrypted = cipher_of(mode).encrypt_packets(b"".join(stream))
    want = Fixture()
    frames = want.machine.feed(b"".join(stream))
    for cut in range(len(init) + 60):  # the first read ends anywhere
        fixture = Fixture(check_sha1=True)
        machine = fixture.machine
        machine.reset(handshake=True)
        data, found = init + encrypted, None
        if cut:
            found = put(machine, data[:cut])
        if found is None:
            assert machine.init_sha1 is None
            found = put(machine, data[cut:])
            rest = b""
        else:
            rest = data[cut:]
        assert found == [(INIT, 1, body)]
        assert machine.init_sha1 == b"d" * 20
        assert fixture.hub.ticks.count == 0
        with pytest.raises(ff.LocalProtocolError, match="resume"):
            machine.feed(b"more")
        with pytest.raises(ff.LocalProtocolError, match="resume"):
            machine.space()
        machine.set_cipher(cipher_of(mode))
        found = machine.resume() or []
        assert machine.init_sha1 is None
        if rest:
            found += put(machine, rest) or []
        assert found == frames
        assert fixture.sequences == want.sequences
        assert machine.stats()["rejected"] == {}
        with pytest.raises(ff.LocalProtocolError, match="no reply"):
            machine.resume()


def test_without_a_handshake_it_does_not_stop(stream, packet):
    fixture = Fixture()
    frames = fixture.machine.feed(packet(INIT, b"x", 1) + b"".join(stream))
    assert [frame[0] for frame in frames] == [INIT, SUB, NOTIFY, ALIVE]


def test_a_new_connection_begins_without_a_cipher(stream, packet):
    fixture = Fixture()
    machine = fixture.machine
    for _ in range(2):
        machine.reset(handshake=True)
        assert len(machine.feed(packet(INIT, b"x", 1) + b"half a pack")) == 1
        machine.set_cipher(cipher_of("aes-cbc"))
    machine.reset()
    frames = machine.feed(b"".join(stream))
    assert [frame[0] for frame in frames] == [SUB, NOTIFY, ALIVE]
    machine.set_cipher(cipher_of("aes-cbc"))
    machine.set_cipher(None)
    assert len(machine.feed(b"".join(stream))) == 3
    assert machine.stats()["rejected"] == {}


@pytest.mark.parametrize("mode", MODES)
def test_rejected_replies_are_told_and_pushes_counted(packet, ticker_push, put, mode):
    cipher = cipher_of(mode)
    good = cipher.encrypt_packets(packet(SUB, b"good", 3) + packet(TICKS, ticker_push()))
    bad = [
        packet(proto_id, body, serial)
        for proto_id, body, serial in [
            (SUB, b"", 1), (SUB, b"x" * 15, 2), (SUB, b"\xff" * 32, 4), (TICKS, b"x" * 17, 5),
            (BOOK, b"\xff" * 32, 6), (NOTIFY, b"\xff" * 32, 7),
        ]
    ]  # fmt: skip
    digest = cipher.encrypt_packets(packet(ALIVE, b"another", 9, digest=bytes(20)))
    fixture = Fixture(check_sha1=True)
    fixture.machine.set_cipher(cipher)
    frames = put(fixture.machine, b"".join(bad) + digest + good)
    assert frames == [
        (SUB, 1, "padding"), (SUB, 2, "padding"), (SUB, 4, "padding"), (ALIVE, 9, "sha1"),
        (SUB, 3, b"good"),
    ]  # fmt: skip
    assert fixture.machine.stats()["rejected"] == {"padding": 6, "sha1": 1}
    assert fixture.hub.ticks.count == 1
    assert fixture.machine.error is None


@pytest.mark.parametrize("mode", MODES)
def test_tampering_gives_no_row(packet, ticker_push, mode):
    """With the digest checked, a changed bit anywhere in a body costs the packet and nothing else."""
    body = ticker_push()
    whole = cipher_of(mode).encrypt_packets(packet(TICKS, body))
    assert hashlib.sha1(body).digest() in whole
    fixture = Fixture(check_sha1=True)
    fixture.machine.set_cipher(cipher_of(mode))
    for at in range(44, len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        assert fixture.machine.feed(changed) is None
    assert fixture.hub.ticks.count == 0
    stats = fixture.machine.stats()
    assert stats["packets"] == len(whole) - 44
    assert sum(stats["rejected"].values()) == len(whole) - 44
    assert fixture.machine.feed(whole) is None
    assert fixture.hub.ticks.count == 1


def test_the_wrong_key_gives_no_row(packet, ticker_push):
    right = OpendCipher("aes-cbc", b"k" * 16, b"i" * 16)
    fixture = Fixture()  # not even without the digest
    fixture.machine.set_cipher(cipher_of("aes-cbc"))
    packets = right.encrypt_packets(
        b"".join(packet(TICKS, ticker_push(rows=[{"sequence": i}]), i) for i in range(500))
    )
    assert fixture.machine.feed(packets) is None
    assert fixture.hub.ticks.count == 0
    rejected = fixture.machine.stats()["rejected"]
    assert sum(rejected.values()) == 500
    assert rejected["padding"] > 400


@pytest.mark.parametrize("mode", MODES)
def test_large_and_small_bodies_in_turn(packet, put, mode):
    fixture = Fixture(window_bytes=4096, check_sha1=True)
    fixture.machine.set_cipher(cipher_of(mode))
    bodies = [bytes([i]) * n for i, n in enumerate((10, 5000, 0, 100_000, 20, 1 << 20, 1, 4096))]
    stream = b"".join(packet(SUB, body, i) for i, body in enumerate(bodies))
    stream = cipher_of(mode).encrypt_packets(stream)
    found = []
    for at in range(0, len(stream), 2000):
        found += put(fixture.machine, stream[at : at + 2000]) or []
    assert [body for _, _, body in found] == bodies
