"""Writers and readers of named hubs, each a process of its own; what they write says whether it is whole.

Run as ``python hub_process.py ROLE NAME ...``; it prints a line when it is ready.
"""

import gc
import os
import signal
import sys
import time

import numpy as np

import fastfeed as ff

_MIX = np.array([1, 3, 5, 7, 11, 13, 17], np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def checked_rows(first, count, size, generation):
    """Make rows that prove themselves: number, generation, words made of the number, and a checksum."""
    words = np.zeros((count, size // 8), np.uint64)
    words[:, 0] = np.arange(first, first + count)
    words[:, 1] = generation
    for at in range(2, size // 8 - 1):
        words[:, at] = words[:, 0] * _MIX[at % 7] + np.uint64(at)
    words[:, -1] = np.bitwise_xor.reduce(words[:, :-1], axis=1)
    return words


def words_of(rows):
    """Return the words of rows, a row in each line."""
    return np.ascontiguousarray(rows).view(np.uint64).reshape(len(rows), rows.dtype.itemsize // 8)


def open_files():
    """Return the descriptors that this process has open, and that are not garbage."""
    gc.collect()
    return set(os.listdir("/proc/self/fd"))


def torn(words):
    """Return how many rows are not whole."""
    return int(np.count_nonzero(np.bitwise_xor.reduce(words, axis=1)))


def write(name, batch="4096", capacity="16384", rounds="0", pause_s="0"):
    """Write ticks, rows of symbols and symbols as fast as it can, until killed or for so many rounds."""
    batch = int(batch)
    with ff.Hub(name, capacity=int(capacity), max_symbols=1 << 16) as hub:
        generation = time.time_ns() & 0xFFFFFFFF
        ticks, books = hub.ticks, hub.books
        size, book_size = ticks.dtype.itemsize, books.dtype.itemsize
        blocks = [checked_rows(0, batch, size, generation) for _ in range(2)]
        number = done = 0
        print(os.getpid(), generation, flush=True)
        while not int(rounds) or done < int(rounds):
            block = blocks[done % 2]
            step = np.uint64(number) - block[0, 0]
            block[:] = checked_rows(number, batch, size, generation) if step else block
            ticks.ring.write(block.tobytes())
            kept = checked_rows(number, 64, book_size, generation)
            for place in range(64):
                books.table.put(place + (done // 50) % 4 * 64, kept[place].tobytes())
            if done % 10 == 0 and len(hub.symbols) < 30_000:
                hub.symbols.intern(f"{len(hub.symbols)}.{generation}")
            number += batch
            done += 1
            time.sleep(float(pause_s))
        print("done", number, flush=True)
        sys.stdin.readline()


def pound(name):
    """Do nothing but write rows, a quarter of the ring at a time, rows of symbols and symbols, until killed."""
    with ff.Hub(name, capacity=1 << 15, max_symbols=1 << 16) as hub:
        generation = time.time_ns() & 0xFFFFFFFF
        ring, table, size = hub.ticks.ring, hub.books.table, hub.books.dtype.itemsize
        # Three for four quarters: no row is overwritten by the same one.
        blocks = [checked_rows(n, 1 << 13, 64, generation).tobytes() for n in (1, 2, 3)]
        books = [checked_rows(n, 1, size, generation).tobytes() for n in range(128)]
        print(os.getpid(), generation, flush=True)
        while True:
            for block in blocks:
                ring.write(block)
            for place in range(0, 256, 4):
                table.put(place, books[ring.published // (1 << 13) % 2 + place // 4])
            if len(hub.symbols) < 30_000:
                hub.symbols.intern(f"{len(hub.symbols)}.{generation}")


def read(name, way="hybrid", count="0", pause_s="0"):
    """Check every row; print how many came, were lost and torn when so many came, or the writer is gone."""
    hub = ff.attach(name, wait=way, wait_s=10, follow=False)
    reader = hub.ticks.reader("oldest")
    print("ready", flush=True)
    begin = reader.position
    seen = bad = lapped = out_of_order = 0
    while reader.wait(10):
        rows = words_of(reader.read()).copy()
        if not reader.intact():
            lapped += len(rows)
            continue
        bad += torn(rows)
        numbers = rows[:, 0].astype(np.int64)
        first = reader.position - len(rows)
        out_of_order += int(np.count_nonzero(numbers != np.arange(first, first + len(rows))))
        seen += len(rows)
        if int(count) and reader.position >= int(count):
            break
        time.sleep(float(pause_s))
    for place in range(256):
        row = hub.books.table.row(place)
        bad += row is not None and torn(np.frombuffer(row, np.uint64)[None])
    names = list(hub.symbols)
    bad += names != [f"{n}.{names[0].rpartition('.')[2]}" for n in range(len(names))]
    lost = lapped + reader.lost
    uncounted = reader.position - begin - seen - lost
    print(seen, lost, bad, out_of_order, uncounted, flush=True)


def hold(name, how="wait", mode="384"):
    """Have a hub with three ticks until told to end, in one way or another."""
    hub = ff.Hub(name, capacity=64, mode=int(mode))
    hub.symbols.intern("0.HK")
    hub.ticks.ring.write(checked_rows(0, 3, 64, 0).tobytes())
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    if how == "exit":
        sys.exit(3)
    elif how == "exception":
        raise RuntimeError("the program fails")
    elif how == "signal":
        signal.raise_signal(signal.SIGTERM)
    elif how == "close":
        hub.close()
    elif how == "thread":  # the last reference goes in a thread
        del hub


def contend(name, rounds="50"):
    """Make and close a hub again and again beside others; nobody else may have it meanwhile."""
    made = 0
    marker = os.path.join(os.environ["FASTFEED_SHM"], "marker")
    print("ready", flush=True)
    sys.stdin.readline()
    while made < int(rounds):
        try:
            hub = ff.Hub(name, capacity=64)
        except ff.HubError as error:
            if "is written by another process" not in str(error):
                raise
            continue
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        if ff.attach(name).writer_pid != os.getpid():
            raise AssertionError("another one's hub")
        os.unlink(marker)
        hub.close()
        made += 1
    print(made, flush=True)


if __name__ == "__main__":
    {f.__name__: f for f in (write, pound, read, hold, contend)}[sys.argv[1]](*sys.argv[2:])
