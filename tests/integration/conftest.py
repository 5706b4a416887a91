"""Fixtures of several integration tests."""

import asyncio
import gc
import importlib.util

import pytest
from captures import all_captured
from keys import new_key, write_key

import fastfeed as ff


@pytest.fixture(params=[asyncio.run, ff.run], ids=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine on the standard loop and on uvloop, with a limit."""
    return lambda main: request.param(asyncio.wait_for(main, 30))


@pytest.fixture(params=["ws", "tcp"])
def transport(request):
    """Return what carries LongPort's packets."""
    return request.param


@pytest.fixture
def run_it(transport):
    """Run a coroutine on one of the loops, another for each transport; both on both would take too long."""
    runner = ff.run if transport == "ws" else asyncio.run
    return lambda main: runner(asyncio.wait_for(main, 30))


@pytest.fixture(params=["loop", "thread"])
def receive(request, monkeypatch, tmp_path):
    """Let feeds receive in this way where a test does not say in which; what a capture of them gives is the same."""
    for vendor in (ff.OpenD, ff.LongPort, ff.AllTick):
        monkeypatch.setitem(vendor.__init__.__kwdefaults__, "receive", request.param)
    with all_captured(monkeypatch, tmp_path):
        yield request.param


@pytest.fixture
def reports():
    """Return what the loop's exception handler was told, see `feeds.listen`; it must stay empty."""
    found = []
    yield found
    gc.collect()
    assert found == []


@pytest.fixture(params=["futu", "moomoo"])
def package(request):
    """Return the name of a vendor's package that is installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param}-api is not installed")
    return request.param


@pytest.fixture(scope="session")
def key_file(tmp_path_factory):
    """Return the path of a new RSA key, as OpenD takes it."""
    return write_key(tmp_path_factory.mktemp("key") / "opend.pem", new_key())
