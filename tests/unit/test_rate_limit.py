"""The sliding window and the bucket of tokens against a clock of our own."""

import asyncio

import pytest
from clocks import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeed.errors import RateLimitError
from fastfeed.feeds.rate_limit import RateLimit, TokenBucket


def limit(clock, calls=3, window=30.0):
    return RateLimit(calls, window, name="snapshots", clock=clock, sleep=clock.sleep)


def test_calls_within_the_limit_do_not_wait():
    async def main():
        clock = Clock()
        limiter = limit(clock)
        for _ in range(3):
            await limiter.acquire(0)
        with pytest.raises(RateLimitError, match=r"snapshots.*3 calls in 30 s.*30\.0 s") as raised:
            await limiter.acquire(29.9)
        assert clock.now == 100.0
        assert raised.value.code is None
        clock.now = 130.0
        await limiter.acquire(0)

    asyncio.run(main())


def test_those_who_wait_are_served_in_order():
    async def main():
        clock = Clock()
        limiter = limit(clock)
        served = []

        async def call(name):
            await limiter.acquire(1000)
            served.append((name, clock.now))

        tasks = []
        for name in range(8):
            tasks.append(asyncio.create_task(call(name)))
            await clock.advance(100.0 + name)
        await clock.advance(300.0)
        await asyncio.gather(*tasks)
        assert [name for name, _ in served] == list(range(8))
        assert [at for _, at in served] == [100, 100, 101, 130, 130, 131, 160, 160]

    asyncio.run(main())


def test_a_refused_call_takes_no_place():
    async def main():
        clock = Clock()
        limiter = limit(clock, calls=1)
        await limiter.acquire(0)
        for _ in range(5):
            with pytest.raises(RateLimitError):
                await limiter.acquire(10)
        task = asyncio.create_task(limiter.acquire(30))
        await clock.advance(130.0)
        await task

    asyncio.run(main())


def test_a_cancelled_call_gives_its_place_back():
    async def main():
        clock = Clock()
        limiter = limit(clock, calls=1)
        await limiter.acquire(0)
        waiting = asyncio.create_task(limiter.acquire(30))
        await clock.advance(101.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        task = asyncio.create_task(limiter.acquire(30))
        await clock.advance(130.0)
        await task

    asyncio.run(main())


async def called(clock, limiter, steps):
    """Make calls that may be cancelled, in steps of time; return when those were made that were not refused."""
    made = []

    async def call(number, most):
        came = clock.now
        try:
            await limiter.acquire(most)
        except RateLimitError:
            return
        assert clock.now - came <= most + 1e-6
        made.append((number, clock.now))

    tasks = []
    for number, (pause, most, cancel) in enumerate(steps):
        task = asyncio.create_task(call(number, most))
        tasks.append(task)
        await clock.advance(clock.now + pause)
        if cancel:
            task.cancel()
    await clock.advance(clock.now + 10_000)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [number for number, _ in made] == sorted(number for number, _ in made)
    assert len(limiter._taken) <= len(steps)
    return [at for _, at in made]


@settings(deadline=None)
@given(
    calls=st.integers(1, 4),
    steps=st.lists(
        st.tuples(st.floats(0, 40), st.floats(0, 100), st.booleans()), min_size=1, max_size=30
    ),
)
def test_no_window_ever_holds_more(calls, steps):
    async def main():
        clock = Clock()
        limiter = limit(clock, calls)
        times = await called(clock, limiter, steps)
        for first, beyond in zip(times, times[calls:], strict=False):
            assert beyond - first >= 30.0 - 1e-6

    asyncio.run(main())


def bucket(clock, per_s=2, burst=3):
    return TokenBucket(per_s, burst, name="bucket", clock=clock, sleep=clock.sleep)


def test_a_bucket_is_full_at_first_and_then_gives_as_much_as_flows_in():
    async def main():
        clock = Clock()
        limiter = bucket(clock)
        made = []

        async def call():
            await limiter.acquire(1000)
            made.append(clock.now)

        tasks = [asyncio.create_task(call()) for _ in range(6)]
        await clock.advance(101.0)
        assert made == [100, 100, 100, 100.5, 101]
        with pytest.raises(RateLimitError, match=r"bucket.*2 calls a second, 3 at once.*1\.0 s"):
            await limiter.acquire(0.9)
        await clock.advance(110.0)
        await asyncio.gather(*tasks)
        tasks = [asyncio.create_task(call()) for _ in range(4)]
        await clock.advance(120.0)
        await asyncio.gather(*tasks)
        assert made[5:] == [101.5, 110, 110, 110, 110.5]  # never more than full

    asyncio.run(main())


def test_a_cancelled_call_gives_its_token_back():
    async def main():
        clock = Clock()
        limiter = bucket(clock, 1, 1)
        await limiter.acquire(0)
        waiting = asyncio.create_task(limiter.acquire(1))
        await clock.advance(100.5)
        with pytest.raises(RateLimitError):
            await limiter.acquire(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        task = asyncio.create_task(limiter.acquire(0.5))
        await clock.advance(101.0)
        await task

    asyncio.run(main())


@settings(deadline=None)
@given(
    per_s=st.integers(1, 4),
    burst=st.integers(1, 4),
    steps=st.lists(
        st.tuples(st.floats(0, 2), st.floats(0, 10), st.booleans()), min_size=1, max_size=30
    ),
)
def test_no_call_is_made_without_a_token(per_s, burst, steps):
    async def main():
        clock = Clock()
        limiter = bucket(clock, per_s, burst)
        made = await called(clock, limiter, steps)
        tokens, at = float(burst), 100.0
        for now in made:
            tokens = min(burst, tokens + (now - at) * per_s) - 1
            at = now
            assert tokens >= -1e-6

    asyncio.run(main())


@pytest.mark.parametrize(("per_s", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_buckets_that_cannot_be(per_s, burst):
    with pytest.raises(ValueError):
        TokenBucket(per_s, burst)


def test_a_call_cancelled_as_its_moment_passes():
    async def main():
        clock = Clock()
        limiter = bucket(clock, 1, 1)
        await limiter.acquire(0)
        waiting = asyncio.create_task(limiter.acquire(1))
        await clock.advance(100.5)
        clock.now = 101.0  # without waking it
        next_one = asyncio.create_task(limiter.acquire(1))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await clock.advance(102.0)
        await next_one

    asyncio.run(main())


@pytest.mark.parametrize(("calls", "window"), [(0, 30), (1, 0), (1, float("inf")), (1, -1)])
def test_limits_that_cannot_be(calls, window):
    with pytest.raises(ValueError):
        RateLimit(calls, window)


def test_the_real_clock_and_sleep():
    async def main():
        limiter = RateLimit(2, 0.05)
        loop = asyncio.get_running_loop()
        since = loop.time()
        for _ in range(5):
            await limiter.acquire(1)
        assert loop.time() - since >= 0.099

    asyncio.run(main())
