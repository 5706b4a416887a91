"""The encryption of packets, beside the package `cryptography` and the official client's vectors."""

import copy
import json
import pickle
import struct

import pytest
from ciphers import encrypt
from hypothesis import given
from hypothesis import strategies as st

from fastfeed._core.opend_cipher import OpendCipher

KEY, IV = b"0123456789abcdef", b"fedcba9876543210"
MODES = ("aes-cbc", "ftaes-ecb")
BOTH = pytest.mark.parametrize("portable", [False, True], ids=["hardware", "portable"])


@BOTH
@pytest.mark.parametrize("mode", MODES)
@given(
    key=st.binary(min_size=16, max_size=16), iv=st.binary(min_size=16, max_size=16), data=st.data()
)
def test_every_length(mode, portable, key, iv, data):
    cipher = OpendCipher(mode, key, iv, portable=portable)
    whole = data.draw(st.binary(min_size=200, max_size=200))
    for length in range(201):
        body = whole[:length]
        encrypted = cipher.encrypt(body)
        assert encrypted == encrypt(mode, key, iv, body)
        assert cipher.decrypt(encrypted) == body


@BOTH
def test_vectors(samples, portable):
    vectors = json.loads((samples / "protocols" / "opend" / "vectors.json").read_text())
    raw = vectors["aes_raw"]
    for mode, name in zip(MODES, ("aes_cbc", "ftaes_ecb"), strict=True):
        cipher = OpendCipher(
            mode, raw["key_ascii"].encode(), raw["iv_ascii"].encode(), portable=portable
        )
        cases = raw["cases"].values() if isinstance(raw["cases"], dict) else raw["cases"]
        for case in cases:
            plain, encrypted = bytes.fromhex(case["plain"]), bytes.fromhex(case[name])
            assert cipher.encrypt(plain) == encrypted
            assert cipher.decrypt(encrypted) == plain
        plain = bytes.fromhex(vectors["keepalive_request_plain"]["frame_hex"])
        frame = bytes.fromhex(vectors[f"keepalive_request_{name}"]["frame_hex"])
        assert cipher.encrypt_packets(plain) == frame


@pytest.mark.parametrize("mode", MODES)
@given(body=st.binary(max_size=100) | st.integers(0, 6).map(lambda n: bytes(16 * n)))
def test_any_bytes_are_decrypted_or_refused(mode, body):
    cipher = OpendCipher(mode, KEY, IV)
    try:
        plain = cipher.decrypt(body)
    except ValueError:
        pass
    else:
        again = cipher.encrypt(plain)
        assert len(again) == len(body) > 0
        assert len(body) % 16 == 0
        if mode == "aes-cbc":  # of ECB the padding itself is not looked at
            assert again == body


@pytest.mark.parametrize("mode", MODES)
@given(bodies=st.lists(st.binary(max_size=70), max_size=12))
def test_runs_of_packets(mode, packet, bodies):
    cipher = OpendCipher(mode, KEY, IV)
    plain = b"".join(packet(3011, body, i) for i, body in enumerate(bodies))
    want = b""
    for i, body in enumerate(bodies):
        encrypted = encrypt(mode, KEY, IV, body)
        header = bytearray(packet(3011, body, i)[:44])
        header[12:16] = struct.pack("<I", len(encrypted))
        want += bytes(header) + encrypted
    assert cipher.encrypt_packets(plain) == want


def test_what_is_no_run_of_packets_is_refused(packet):
    cipher = OpendCipher("aes-cbc", KEY, IV)
    whole = packet(3011, b"body") * 2
    for wrong in (whole[:-1], whole + b"F", b"XX" + whole[2:], packet(1, b"", length=2**32 - 1)):
        with pytest.raises(ValueError, match="whole packets"):
            cipher.encrypt_packets(wrong)
    assert cipher.encrypt_packets(b"") == b""


def test_nothing_shows_the_key():
    cipher = OpendCipher("aes-cbc", KEY, IV)
    assert repr(cipher) == str(cipher) == "<OpendCipher aes-cbc>"
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied") as info:
            copier(cipher)
        assert KEY.decode() not in str(info.value)
    for arguments in (("aes-cbc", KEY[1:], IV), ("aes-cbc", KEY, IV[1:]), ("aes", KEY, IV)):
        with pytest.raises(ValueError, match="expected") as info:
            OpendCipher(*arguments)
        assert KEY.decode()[1:] not in str(info.value)
        assert IV.decode()[1:] not in str(info.value)
    with pytest.raises(TypeError):
        OpendCipher("aes-cbc", KEY.decode(), IV)
