"""Time that tests move on."""

import asyncio
import datetime
import time


class Clock:
    """Time that goes on when everybody sleeps, to the first who wakes."""

    def __init__(self):
        self.now = 100.0
        self.sleepers = []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        future = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + seconds, len(self.sleepers), future))
        await future

    async def advance(self, until):
        """Go on to a time, waking the sleepers on the way."""
        while True:
            for _ in range(5):
                await asyncio.sleep(0)
            due = sorted(s for s in self.sleepers if s[0] <= until and not s[2].done())
            if not due:
                self.now = until
                return
            self.now = max(self.now, due[0][0])
            due[0][2].set_result(None)


def clock_in_new_york_hours():
    """Return a clock in epoch nanoseconds that stands in the regular hours of New York, whenever it is."""
    now_ns = time.time_ns()
    day = datetime.datetime.fromtimestamp(now_ns / 1e9, datetime.UTC).date()
    noon = datetime.datetime.combine(day + datetime.timedelta(1), datetime.time(16), datetime.UTC)
    while noon.weekday() > 4:
        noon += datetime.timedelta(1)
    ahead_ns = int(noon.timestamp()) * 10**9 - now_ns
    return lambda: time.time_ns() + ahead_ns
