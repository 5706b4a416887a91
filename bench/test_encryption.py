"""What encryption costs: ns per packet of one tick, plain and encrypted, beside futu-api's functions.

The peer does what its receiving thread does up to a protobuf message: it cuts, decrypts (pycryptodome), checks the
digest, which cannot be left out, and parses. Both get the same bytes and must come to the same ticks.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any, Literal

import pytest

import fastfeed as ff
from fastfeed._core.opend_cipher import OpendCipher
from fastfeed.bench.decoders import pieces
from fastfeed.bench.opend_decoders import futu
from fastfeed.bench.opend_pushes import sample

KEY, IV = b"0123456789abcdef", b"fedcba9876543210"
CONNECTION = 7
SYMBOLS = 100

Mode = Literal["aes-cbc", "ftaes-ecb"]

#: Name in the report: whose, packets, rounds, mode, digest checked.
CANDIDATES: dict[str, tuple[str, int, int, Mode | None, bool]] = {
    "fastfeed, plain": ("fastfeed", 50_000, 40, None, False),
    "fastfeed, aes-cbc": ("fastfeed", 50_000, 40, "aes-cbc", False),
    "fastfeed, ftaes-ecb": ("fastfeed", 50_000, 40, "ftaes-ecb", False),
    "fastfeed, plain, SHA-1": ("fastfeed", 50_000, 40, None, True),
    "fastfeed, aes-cbc, SHA-1": ("fastfeed", 50_000, 40, "aes-cbc", True),
    "fastfeed, ftaes-ecb, SHA-1": ("fastfeed", 50_000, 40, "ftaes-ecb", True),
    "futu-api, plain, SHA-1": ("futu", 1_000, 7, None, True),
    "futu-api, aes-cbc, SHA-1": ("futu", 1_000, 7, "aes-cbc", True),
    "futu-api, ftaes-ecb, SHA-1": ("futu", 1_000, 7, "ftaes-ecb", True),
}
#: Of bodies: a tick, a book, a long reply.
LENGTHS = (112, 1600, 100_000)


@cache
def stream(packets: int, mode: Mode | None) -> bytes:
    """The bytes of a sample as they are on the wire."""
    plain = sample("ticks", SYMBOLS, packets).stream()
    return OpendCipher(mode, KEY, IV).encrypt_packets(plain) if mode else plain


@pytest.fixture(autouse=True, scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let futu-api write its log somewhere else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


class Fastfeed:
    """`fastfeed.Decoder` on pieces of 256 KiB."""

    def __init__(self, packets: int, mode: Mode | None, check_sha1: bool) -> None:
        self._decoder = ff.Decoder("opend", check_sha1=check_sha1)
        if mode:
            self._decoder._machine.set_cipher(OpendCipher(mode, KEY, IV))
        self._pieces = pieces(stream(packets, mode))
        self._count = packets

    def run(self) -> None:
        feed = self._decoder.feed
        for piece in self._pieces:
            feed(piece)

    def sequences(self) -> list[int]:
        """Of the last run's ticks."""
        assert self._decoder.stats()["rejected"] == {}
        return self._decoder.ticks.latest(self._count)["seq"].tolist()


class Futu:
    """futu-api's `parse_rsp`, as its receiving thread calls it."""

    def __init__(self, packets: int, mode: Mode | None, check_sha1: bool) -> None:
        futu()
        from futu.common.conn_mng import FutuConnMng
        from futu.common.utils import ParseRspErr, parse_rsp

        FutuConnMng.add_conn(
            {
                "conn_id": CONNECTION,
                "login_user_id": 1,
                "conn_key": KEY.decode(),
                "conn_iv": IV.decode() if mode == "aes-cbc" else None,
            }
        )
        self._connections = dict(FutuConnMng.All_Conn_Dict)
        self._manager, self._parse, self._errors = FutuConnMng, parse_rsp, ParseRspErr
        self._stream, self._encrypted = stream(packets, mode), mode is not None
        self._messages: list[Any] = []

    def run(self) -> None:
        self._manager.All_Conn_Dict = self._connections
        received, parse, encrypted = bytearray(self._stream), self._parse, self._encrypted
        messages = self._messages = []
        while True:
            result = parse(received, CONNECTION, encrypted)
            if result.err == self._errors.NOT_ENOUGH_DATA:
                break
            del received[: result.total_len]
            messages.append(result.rsp_pb)

    def sequences(self) -> list[int]:
        """Of the last run's ticks."""
        return [t.sequence for message in self._messages for t in message.s2c.tickerList]


@pytest.mark.filterwarnings("ignore")  # futu-api's
@pytest.mark.parametrize("name", CANDIDATES)
def test_packets(name: str, rounds_of: Callable[..., list[float]], report: Any) -> None:
    whose, packets, rounds, mode, check_sha1 = CANDIDATES[name]
    try:
        candidate = (Fastfeed if whose == "fastfeed" else Futu)(packets, mode, check_sha1)
    except ImportError as error:
        pytest.skip(str(error))
    plain = Fastfeed(packets, None, True)
    for each in (plain, candidate):
        each.run()
    assert candidate.sequences() == plain.sequences()
    seconds = rounds_of(candidate.run, rounds=rounds, group="encryption, one tick a packet")
    ns = [each / packets * 1e9 for each in seconds]
    reference = f"{name.split(',', maxsplit=1)[0]}, plain" + (", SHA-1" if check_sha1 else "")
    first = report.get("encryption", reference, "ns/packet") or statistics.median(ns)
    more = [each - first for each in ns]
    report.add("encryption", name, **{"ns/packet": ns, "more than plain": more})
    report.note(
        f"A packet has {len(stream(50_000, None)) / 50_000:.0f} bytes on average with its header, "
        f"{len(stream(50_000, 'aes-cbc')) / 50_000:.0f} in aes-cbc."
    )


@pytest.mark.parametrize("portable", [False, True], ids=["hardware", "portable"])
@pytest.mark.parametrize("mode", ["aes-cbc", "ftaes-ecb"])
@pytest.mark.parametrize("length", LENGTHS)
def test_cipher(
    mode: Mode, portable: bool, length: int, rounds_of: Callable[..., list[float]], report: Any
) -> None:
    cipher = OpendCipher(mode, KEY, IV, portable=portable)
    body = Random(1).randbytes(length)
    encrypted = cipher.encrypt(body)
    assert cipher.decrypt(encrypted) == body
    times = max(1, 200_000 // length)

    def run() -> None:
        for _ in range(times):
            cipher.decrypt(encrypted)

    ns = [each / times * 1e9 for each in rounds_of(run, rounds=20, group="one body")]
    report.add(
        "decrypt, from Python",
        f"{mode}, {'portable' if portable else 'hardware'}, {length} bytes",
        **{"ns": ns, "MB/s": [length / each * 1e3 for each in ns]},
    )
