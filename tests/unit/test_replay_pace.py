"""When what was received then is played."""

from fastfeed.feeds.replay import _Pace

NOON = 1_764_158_400_000_000_000
S = 1_000_000_000


class Clock:
    now = 50.0

    def time(self):
        return self.now


def test_a_clock_that_was_set_back_takes_no_time():
    clock = Clock()
    pace = _Pace(clock, 2)
    assert pace.wait_s(NOON) == 0
    assert pace.wait_s(NOON + 4 * S) == 2
    clock.now += 2
    day_before = NOON - 86_400 * S
    assert pace.wait_s(day_before) == 0
    assert pace.wait_s(day_before + 6 * S) == 3
    clock.now += 3
    assert pace.wait_s(day_before + 10 * S) == 2


def test_disorder_between_connections_moves_nothing():
    clock = Clock()
    pace = _Pace(clock, 1)
    assert pace.wait_s(NOON) == 0
    clock.now += 1
    for _ in range(1000):
        assert pace.wait_s(NOON + S) == 0
        assert pace.wait_s(NOON + S - 5000) == 0
    assert pace.wait_s(NOON + 3 * S) == 2


def test_at_full_speed_nothing_waits():
    pace = _Pace(Clock(), "max")
    assert [pace.wait_s(at) for at in (NOON, NOON + S, 0)] == [0, 0, 0]
