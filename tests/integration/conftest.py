"""Fixtures of several integration tests."""

import asyncio
import importlib.util

import pytest
from keys import new_key, write_key

import fastfeed as ff


@pytest.fixture(params=[asyncio.run, ff.run], ids=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine on the standard loop and on uvloop, with a limit."""
    return lambda main: request.param(asyncio.wait_for(main, 30))


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
