"""Waiting for something to come true."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def wait_until(condition: Callable[[], object]) -> None:
    """Ask again and again, for so long at most that a failure is one."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
