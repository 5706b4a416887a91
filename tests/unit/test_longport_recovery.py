"""How trades that were pulled and trades that came live make one sequence, each once."""

import random

import numpy as np
import pytest

import fastfeed as ff
from fastfeed.feeds.longport_recovery import merged

SECOND = 10**9


def rows_of(*trades):
    """Return rows of (second, price) or (second, price, seq)."""
    rows = np.zeros(len(trades), ff.dtype("ticks"))
    for row, (second, price, *seq) in zip(rows, trades, strict=True):
        row["time_ns"], row["price"], row["volume"] = second * SECOND, price, 1
        row["seq"] = seq[0] if seq else -1
    return rows


def told(rows):
    return [(int(row["time_ns"]) // SECOND, float(row["price"])) for row in rows]


def test_what_came_live_is_taken_instead_of_what_was_pulled():
    pulled = rows_of((1, 1), (2, 2), (3, 3), (4, 4))
    waited = rows_of((3, 3, 30), (4, 4, 40), (5, 5, 50))
    missed, late, rows = merged(pulled, waited, 1 * SECOND, 1)
    assert (told(missed), told(late)) == ([(2, 2)], [])
    assert told(rows) == [(2, 2), (3, 3), (4, 4), (5, 5)]
    assert rows["seq"].tolist() == [-1, 30, 40, 50]


def test_pushes_may_lag_behind_the_pull():
    pulled = rows_of((1, 1), (2, 2), (3, 3), (4, 4))
    for waited, late in (
        (rows_of((2, 2)), [(3, 3), (4, 4)]),
        (rows_of(), [(2, 2), (3, 3), (4, 4)]),
        (rows_of((4, 4)), []),
        (rows_of((9, 9)), [(2, 2), (3, 3), (4, 4)]),  # nothing is known of when the pull was made
    ):
        _, may_come, rows = merged(pulled, waited, 1 * SECOND, 1)
        assert told(may_come) == late
        assert told(rows)[:3] == [(2, 2), (3, 3), (4, 4)]


def test_trades_that_say_the_same_are_as_many_as_there_were():
    """Of one second: seven were missed, three of the pull came live as well, and then three that are not in it."""
    of_second = [5, 6, 5, 5, 6, 5, 7, 6, 6, 7, 5, 5, 6]
    pulled = rows_of((1, 1), *((2, price) for price in of_second[:10]))
    waited = rows_of(*((2, price) for price in of_second[7:]))
    missed, late, rows = merged(pulled, waited, 1 * SECOND, 1)
    assert told(rows) == [(2, price) for price in of_second]
    assert told(missed) == [(2, price) for price in of_second[:7]]
    assert len(late) == 0  # so the next one that says the same is delivered


def test_what_waited_since_an_earlier_interruption_comes_before_the_pull():
    """The pull does not reach back to it, or something is missing between the two."""
    waited = rows_of((2, 2), (3, 3), (8, 8), (9, 9))
    _, _, rows = merged(rows_of((7, 7), (8, 8)), waited, 1 * SECOND, 1)
    assert told(rows) == [(2, 2), (3, 3), (7, 7), (8, 8), (9, 9)]
    # Also in one second.
    waited = rows_of((2, 2), (2, 3), (2, 8), (2, 9))
    _, _, rows = merged(rows_of((2, 8)), waited, 1 * SECOND, 1)
    assert told(rows) == [(2, 2), (2, 3), (2, 8), (2, 9)]


def test_pieces_are_no_run():
    """The first of them says what the last one that was pulled says too."""
    pulled = rows_of((1, 1), (2, 5), (2, 6), (2, 7), (2, 8), (2, 5))
    waited = rows_of((2, 5), (2, 7), (2, 8), (2, 5), (2, 9))
    for in_pieces, count in ((True, 6), (False, 9)):
        missed, _, rows = merged(pulled, waited, 1 * SECOND, 1, in_pieces=in_pieces)
        assert len(rows) == count
    missed, _, rows = merged(pulled, waited, 1 * SECOND, 1, in_pieces=True)
    assert told(missed) == [(2, 6)]
    assert told(rows) == [*told(pulled)[1:], (2, 9)]


@pytest.mark.parametrize("seed", range(20))
def test_any_number_of_pieces_of_a_sequence(seed):
    """Whatever waited, in the end each trade is there once and in its place."""
    rng = random.Random(seed)
    trades = [(second, 100 + i) for i, second in enumerate(sorted(rng.choices(range(1, 9), k=60)))]
    first = rng.randrange(1, 20)
    last_second = trades[first - 1][0]
    delivered = sum(second == last_second for second, _ in trades[:first])
    pulled_to = rng.randrange(first, len(trades) + 1)
    kept = [i for i in range(first, len(trades)) if rng.random() < 0.5 or i >= pulled_to]
    _, late, rows = merged(
        rows_of(*trades[:pulled_to]),
        rows_of(*(trades[i] for i in kept)),
        last_second * SECOND,
        delivered,
        in_pieces=True,
    )
    assert told(rows) == trades[first:]
    after = max((i for i in kept if i < pulled_to), default=first - 1) + 1
    assert told(late) == [trades[i] for i in range(after, pulled_to)]
