"""What tests of every kind use: packets, and the folder of recorded data that is not part of the project.

That folder is $FASTFEED_TEST_DATA, or `shared` beside the repository. Tests that want it are skipped
where it is missing.
"""

import hashlib
import os
import pathlib
import signal
import struct
import tempfile

import hypothesis
import pytest

from fastfeed.protocols.opend_messages import message_class

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("fastfeed", deadline=None)
hypothesis.settings.load_profile("fastfeed")

_BESIDE = pathlib.Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def signals():
    """Let commands under test see signals that this process was started to ignore (nohup, a background job)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            usual = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if usual else signal.SIG_DFL)


@pytest.fixture(scope="session")
def samples():
    """Return the folder with recorded data; skip where there is none."""
    folder = pathlib.Path(os.environ.get("FASTFEED_TEST_DATA") or _BESIDE)
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}: set FASTFEED_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def packet():
    """Return a function (protocol id, body, serial, ...) -> whole packet; made without our own packer."""

    def make(proto_id, body, serial=1, *, magic=b"FT", length=None, digest=None, fmt=0):
        length = len(body) if length is None else length
        digest = hashlib.sha1(body).digest() if digest is None else digest
        return (
            magic
            + struct.pack("<IBBII", proto_id, fmt, 0, serial, length)
            + digest
            + bytes(8)
            + body
        )

    return make


@pytest.fixture(scope="session")
def ticker_push():
    """Return a function (security, rows) -> body of a push of ticks; a row is a dict of its fields."""

    def make(market=1, code="00700", rows=({},), name="NAME", ret_type=0):
        message = message_class("QotUpdateTicker.Response")(retType=ret_type)
        message.s2c.security.market = market
        message.s2c.security.code = code
        message.s2c.name = name
        for row in rows:
            message.s2c.tickerList.add(**DEFAULT_ROW | row)
        return message.SerializeToString()

    return make


DEFAULT_ROW = {
    "time": "2023-11-15 09:00:00.123",
    "sequence": 1700010000 << 32 | 1,
    "dir": 1,
    "price": 310.2,
    "volume": 100,
    "turnover": 31020.0,
    "recvTime": 1700010000.25,
    "type": 1,
    "typeSign": 32,
    "pushDataType": 1,
    "timestamp": 1700010000.123,
    "hpVolume": 100.0,
}


@pytest.fixture
def shm(monkeypatch):
    """Return a folder in memory in which named hubs of this test and its processes lie."""
    with tempfile.TemporaryDirectory(prefix="fastfeed-test-", dir="/dev/shm") as folder:
        pathlib.Path(folder).chmod(0o755)
        monkeypatch.setenv("FASTFEED_SHM", folder)
        yield pathlib.Path(folder)
