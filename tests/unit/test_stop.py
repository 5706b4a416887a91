"""Requests to end."""

import asyncio
import signal

import pytest

from fastfeed.cli.stop import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_two_signals_at_once_are_one_request(number):
    """As timeout(1) sends them: to the process, and to its group."""

    async def main():
        before = signal.getsignal(number)
        with Stop() as stop:
            signal.raise_signal(number)
            signal.raise_signal(number)
            assert stop.requested
            assert signal.getsignal(number) == stop._on_signal
            async with asyncio.timeout(10):
                while signal.getsignal(number) != signal.SIG_DFL:  # the next one ends the process
                    await asyncio.sleep(0.01)
        assert signal.getsignal(number) == before

    asyncio.run(main())
