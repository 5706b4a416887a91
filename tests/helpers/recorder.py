"""A hub's writer that is recorded, and may be killed: ``python recorder.py ROLE ...``."""

import os
import signal
import sys
import time

import numpy as np

import fastfeed as ff


def ticks(first, count, recv_ns, symbols=3):
    """Return ticks whose sequence is their number."""
    rows = np.zeros(count, ff.dtype("ticks"))
    rows["seq"] = np.arange(first, first + count)
    rows["recv_ns"] = recv_ns
    rows["time_ns"] = np.where(rows["seq"] % 7, recv_ns - rows["seq"], 0)
    rows["symbol"] = rows["seq"] % symbols
    rows["price"] = np.where(rows["seq"] % 5, rows["seq"] / 7, np.nan)
    rows["volume"] = rows["seq"] % 1000
    rows["side"] = rows["seq"] % 3 - 1
    rows["kind"] = rows["seq"] % 256
    return rows


def hub_of(symbols=3, **options):
    """Return a hub of some symbols."""
    hub = ff.Hub(**options)
    for number in range(symbols):
        hub.symbols.intern(f"{number}.HK")
    return hub


def put(hub, rows):
    """Publish rows of any stream."""
    name = next(name for name in ("ticks", "books", "bars") if ff.dtype(name) == rows.dtype)
    hub.stream(name).ring.write(np.ascontiguousarray(rows).view(np.uint8))


def run(out, flush_s, segment_bytes):
    """Record a hub of one's own until killed; say after each publication how many rows there were."""
    hub = hub_of()
    with ff.record(hub, out, flush_s=float(flush_s), segment_bytes=int(segment_bytes)):
        number = 0
        while True:
            put(hub, ticks(number, 100, time.time_ns()))
            number += 100
            os.write(1, f"{number} {time.monotonic()}\n".encode())
            time.sleep(0.001)


def die(out, where):
    """Record some rows and be killed while they are sealed, at a call of the system's."""
    kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    name, _, number = where.partition(":")
    usual, calls = getattr(os, name), []

    def replaced(*arguments, **options):
        calls.append(arguments)
        if len(calls) == int(number):
            kill()
        return usual(*arguments, **options)

    hub = hub_of()
    recording = ff.record(hub, out)
    put(hub, ticks(0, 1000, 1_700_000_000_000_000_000))
    setattr(os, name, replaced)  # pathlib calls these as well
    recording.close()
    print("alive", flush=True)


if __name__ == "__main__":
    {"run": run, "die": die}[sys.argv[1]](*sys.argv[2:])
