"""Rings and their readers, as Python sees them."""

import gc

import numpy as np
import pytest

from fastfeed._core.ring import BlockingReader, Ring, RingReader
from fastfeed.schema import dtype

TICK = dtype("ticks")
CAPACITY = 64


def rows(first, n):
    made = np.zeros(n, TICK)
    made["seq"] = np.arange(first, first + n)
    return made


@pytest.fixture
def ring():
    return Ring(64, CAPACITY)


def write(ring, n):
    ring.write(rows(ring.published, n).view("u1"))


def reader_of(ring, position=0):
    return RingReader(ring, np.frombuffer(ring, TICK), position)


@pytest.mark.parametrize(
    ("row_size", "capacity"),
    [(64, 0), (64, 1), (64, 32), (64, 63), (64, 96), (0, 64), (63, 64), (100, 4096), (64, 2**33)],
)
def test_geometries_that_cannot_be(row_size, capacity):
    with pytest.raises(ValueError, match=f"power of two.* got {capacity}"):
        Ring(row_size, capacity)


@pytest.mark.parametrize("capacity", [-1, 2**64, "64", None])
def test_capacities_that_are_no_numbers(capacity):
    with pytest.raises((TypeError, OverflowError)):
        Ring(64, capacity)


@pytest.mark.parametrize(("row_size", "capacity"), [(64, 64), (64, 4096), (128, 32), (4096, 1)])
def test_geometry(row_size, capacity):
    ring = Ring(row_size, capacity)
    assert ring.capacity == capacity
    assert ring.published == ring.oldest == 0
    view = memoryview(ring)
    assert (view.nbytes, view.itemsize, view.format) == (2 * row_size * capacity, 1, "B")
    assert view.readonly
    assert view.c_contiguous


def test_the_buffer_is_read_only(ring):
    array = np.frombuffer(ring, TICK)
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array["price"] = 1.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    with pytest.raises(TypeError, match="cannot modify"):
        memoryview(ring)[0] = 1
    write(ring, 3)
    view = reader_of(ring).read()
    assert not view.flags.writeable


def test_both_halves_are_the_same_memory(ring):
    array = np.frombuffer(ring, TICK)
    assert len(array) == 2 * CAPACITY
    write(ring, CAPACITY - 1)
    write(ring, 3)
    assert (array[:CAPACITY] == array[CAPACITY:]).all()
    assert array["seq"][CAPACITY - 1 : CAPACITY + 2].tolist() == [63, 64, 65]


def test_reading_does_not_copy(ring):
    array = np.frombuffer(ring, TICK)
    reader = RingReader(ring, array, 0)
    write(ring, 60)
    first = reader.read()
    assert np.shares_memory(first, array)
    write(ring, 10)  # over the end: still one piece
    second = reader.read()
    assert np.shares_memory(second, array)
    assert second.flags.c_contiguous
    assert second["seq"].tolist() == list(range(60, 70))


def test_every_window_over_many_laps(ring):
    reader = reader_of(ring)
    for n in [*range(CAPACITY + 1), *range(CAPACITY, 0, -7)] * 2:
        write(ring, n)
        assert reader.ready == n
        first = reader.position
        got = reader.read()
        assert got["seq"].tolist() == list(range(first, first + n))
        assert reader.intact()
        assert reader.position == ring.published
        assert reader.ready == 0
        assert len(reader.read()) == 0
    assert reader.lost == 0


def test_limit(ring):
    reader = reader_of(ring)
    write(ring, 10)
    assert reader.read(0)["seq"].tolist() == []
    assert reader.read(4)["seq"].tolist() == [0, 1, 2, 3]
    assert reader.ready == 6
    assert reader.read(limit=np.int64(1))["seq"].tolist() == [4]
    assert reader.read(2**63)["seq"].tolist() == [5, 6, 7, 8, 9]
    with pytest.raises(ValueError, match="got -1"):
        reader.read(-1)
    with pytest.raises(TypeError):
        reader.read("3")


def test_lost_rows_are_counted_exactly(ring):
    reader, slow = reader_of(ring), reader_of(ring)
    for n in (64, 1, 5, 64, 64, 30):
        write(ring, n)
        reader.read()
    assert reader.lost == 0
    assert ring.oldest == 228 - CAPACITY
    assert slow.ready == CAPACITY
    assert slow.read(10)["seq"].tolist() == list(range(164, 174))
    assert (slow.lost, slow.position) == (164, 174)
    write(ring, 20)
    assert slow.read()["seq"].tolist() == list(range(184, 248))
    assert slow.lost == 174


def test_intact_until_the_writer_comes_round(ring):
    reader = reader_of(ring)
    assert reader.intact()
    write(ring, 10)
    view = reader.read()
    copy = view.copy()
    write(ring, CAPACITY - 10)
    assert reader.intact()
    assert (view == copy).all()
    write(ring, 1)
    assert not reader.intact()
    assert (view != copy).any()
    assert reader.read()["seq"][0] == 10
    assert reader.intact()


def test_readers_do_not_disturb_each_other(ring):
    array = np.frombuffer(ring, TICK)
    write(ring, 5)
    readers = [RingReader(ring, array, start) for start in (0, 2, 5)]
    assert [len(reader.read()) for reader in readers] == [5, 3, 0]
    write(ring, 1)
    assert [reader.read()["seq"].tolist() for reader in readers] == [[5], [5], [5]]


def test_a_view_keeps_the_ring_alive():
    ring = Ring(64, CAPACITY)
    write(ring, 7)
    view = reader_of(ring).read()
    raw = memoryview(ring)
    del ring
    gc.collect()
    others = [Ring(64, CAPACITY) for _ in range(50)]  # would take the addresses
    for other in others:
        write(other, CAPACITY)
    assert view["seq"].tolist() == list(range(7))
    assert np.frombuffer(raw, TICK)["seq"][6] == 6


def test_a_position_that_does_not_exist_yet(ring):
    write(ring, 3)
    assert len(reader_of(ring, 3).read()) == 0
    with pytest.raises(ValueError, match="at most 3"):
        reader_of(ring, 4)
    with pytest.raises(OverflowError):
        reader_of(ring, -1)
    with pytest.raises(TypeError):
        RingReader(None, None, 0)


def test_write_takes_whole_rows(ring):
    ring.write(b"")
    assert ring.published == 0
    for data in (bytes(63), bytes(65), bytes(64 * (CAPACITY + 1))):
        with pytest.raises(ValueError, match="whole rows"):
            ring.write(data)
    assert ring.published == 0
    with pytest.raises(TypeError):
        ring.write(None)
    write(ring, CAPACITY)
    assert ring.published == CAPACITY


class Waiter(BlockingReader):
    """Waits in vain `empty` times, then somebody writes, then it is over."""

    def __init__(self, ring, rows, position):
        self.empty, self.ring_written = 2, ring

    def wait(self):
        if self.empty == 0:
            return False
        self.empty -= 1
        if self.empty == 0:
            write(self.ring_written, 3)
        return True


def test_a_blocking_reader_is_an_iterator(ring):
    reader = Waiter(ring, np.frombuffer(ring, TICK), 0)
    write(ring, 2)
    assert next(reader)["seq"].tolist() == [0, 1]
    assert [batch["seq"].tolist() for batch in reader] == [[2, 3, 4]]
    assert (reader.empty, reader.position) == (0, 5)


def test_the_rows_that_are_not_there_yet_are_no_window_that_grows(ring):
    reader = reader_of(ring)
    nothing = reader.read()
    write(ring, 1)
    assert (len(nothing), nothing.dtype, reader.intact()) == (0, TICK, True)
    assert len(reader.read()) == 1
    assert len(reader.read(5)) == 0


def test_a_row_that_was_prepared_is_the_one_that_comes(ring):
    reader = reader_of(ring)
    for n, skipped in (
        (1, False),
        (2, False),
        (1, True),
        (CAPACITY + 5, False),
        (1, False),
        (1, False),
    ):
        assert len(reader.read()) == 0
        if skipped:
            write(ring, 3)
            reader.skip()
        at = ring.published
        for _ in range(n):
            write(ring, 1)
        assert reader.read()["seq"].tolist() == list(range(max(at, at + n - CAPACITY), at + n))
