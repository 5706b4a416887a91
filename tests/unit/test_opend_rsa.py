"""InitConnect's RSA: the official client's vectors, other sizes of keys, what cannot be a key."""

import contextlib
import hashlib
import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from keys import new_key, write_key

import fastfeed as ff
from fastfeed.protocols.opend_rsa import load_rsa_key

#: A throw-away key of 512 bits, which today's packages read and do not make.
SMALL_KEY = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIIBOQIBAAJBAJNzx1bg2kKeAwG1sMPVNRmAlrw5WEN1OLR9s8AZk8e9xTI1LYKQ
Qt7NZSzOly2BhiPi9xFICVtJSbzQEaaG4DcCAwEAAQJATsfSHknecy9HPfecLNVS
HIEGiCQ/UzNjC5QJoL5JpbKf9z7ERoEcuku0cbzzVILqNMc+Xy+c+unomEug2bq8
YQIhAMNPkz0Y2fLkYmuGMaMlQOZoA6zm6otu6jMf4HJqHDBxAiEAwUUwWWgK2X2d
A76KJCLgu6KumKmFWAD7ffoDPnwi7ycCIEMXpdu6GryeidSn/4sss/OyTXjqxi1p
x5gSXjbPjqlxAiBCKtLbuSAFx9iKoKAgsQQpmQ+XWmo5b9SqE38q1EsNfwIgbydV
wafsz5EcQclFNzHW5Vs8QJPbuJpqHMifNknVDog=
-----END RSA PRIVATE KEY-----
"""


@pytest.fixture
def key_of(tmp_path):
    """Return a function: size -> a new key."""

    def make(bits):
        path = tmp_path / f"{bits}.pem"
        if bits == 512:
            path.write_bytes(SMALL_KEY)
        else:
            write_key(path, new_key(bits))
        return load_rsa_key(path)

    return make


def test_vectors(samples, tmp_path):
    vectors = json.loads((samples / "protocols" / "opend" / "vectors.json").read_text())
    n, e, d = (int(str(vectors["rsa_key"][name]), 16 if name != "e" else 10) for name in "ned")
    p, q = rsa.rsa_recover_prime_factors(n, e, d)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(e, n),
    )  # fmt: skip
    key = load_rsa_key(write_key(tmp_path / "key.pem", numbers.private_key()))
    for name in ("init_request_rsa", "init_reply_rsa", "init_reply_rsa_two_blocks"):
        body = bytes.fromhex(vectors[name]["frame_hex"])[44:]
        plain = bytes.fromhex(vectors[name]["plain_body_hex"])
        assert key.decrypt(body) == plain
        assert hashlib.sha1(plain).hexdigest() == vectors[name]["sha1"]
        assert len(key.encrypt(plain)) == len(body)
        assert key.decrypt(key.encrypt(plain)) == plain


@pytest.mark.parametrize(("bits", "piece"), [(512, 53), (1024, 100), (2048, 100)])
def test_pieces(key_of, bits, piece):
    key = key_of(bits)
    for length in (1, piece, piece + 1, 3 * piece):
        body = bytes(i % 256 for i in range(length))
        encrypted = key.encrypt(body)
        assert len(encrypted) == -(-length // piece) * bits // 8
        assert key.decrypt(encrypted) == body
    assert str(bits) in repr(key)


def test_what_cannot_be_decrypted(key_of):
    key, other = key_of(1024), key_of(1032)
    encrypted = key.encrypt(b"a body")
    for wrong in (b"", encrypted[1:], encrypted + b"x", other.encrypt(b"a body"), b"\xff" * 128):
        with pytest.raises(ValueError, match="expected"):
            key.decrypt(wrong)
    tampered = bytearray(encrypted)
    tampered[5] ^= 1
    with contextlib.suppress(ValueError):  # newer packages give any bytes instead of an error
        assert key.decrypt(bytes(tampered)) != b"a body"


def test_files_that_are_no_key(tmp_path):
    path = tmp_path / "key.pem"
    with pytest.raises(ff.ConfigError, match=r"cannot read the RSA key .*key\.pem.*No such file"):
        load_rsa_key(path)
    with pytest.raises(ff.ConfigError, match="cannot read"):
        load_rsa_key(tmp_path)
    for content in (b"", b"SECRET", b"-----BEGIN RSA PRIVATE KEY-----\nSECRET\n"):
        path.write_bytes(content)
        with pytest.raises(ff.ConfigError, match="expected an RSA private key") as info:
            load_rsa_key(path)
        assert "SECRET" not in str(info.value)
    write_key(path, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ff.ConfigError, match="another kind of key"):
        load_rsa_key(path)
    write_key(path, new_key(), password=b"secret")
    with pytest.raises(ff.ConfigError, match="without a password"):
        load_rsa_key(path)


def test_without_the_package(tmp_path):
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import fastfeed as ff\n"
        "try: ff.connect('opend://127.0.0.1', rsa_key='key.pem')\n"
        "except ff.ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "pip install 'fastfeed[crypto]'" in done.stdout


def test_options(tmp_path, monkeypatch):
    path = write_key(tmp_path / "key.pem", new_key())
    monkeypatch.delenv("FUTU_OPEND_RSA_KEY", raising=False)
    url = "opend://127.0.0.1"
    with pytest.raises(ff.ConfigError, match="needs OpenD's key as rsa_key"):
        ff.connect(url, encryption="aes-cbc")
    with pytest.raises(ff.ConfigError, match="expected an encryption"):
        ff.connect(url, encryption="rot13", rsa_key=path)
    with pytest.raises(ff.ConfigError, match="cannot read the RSA key 'missing'"):
        ff.connect(url, rsa_key="missing")
    for options in ({"rsa_key": path}, {"rsa_key": path, "encryption": "none"}, {}):
        assert path not in repr(ff.connect(url, **options))
    ff.connect(f"{url}?rsa_key={path}&encryption=ftaes-ecb")
    monkeypatch.setenv("FUTU_OPEND_RSA_KEY", "missing")
    with pytest.raises(ff.ConfigError, match="missing"):
        ff.connect(url)
    ff.connect(url, rsa_key="")
    ff.connect(url, rsa_key=path)
