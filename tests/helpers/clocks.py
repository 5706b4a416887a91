"""Time that tests move on."""

import asyncio


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
