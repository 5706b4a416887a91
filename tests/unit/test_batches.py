"""Requests for many symbols against a vendor that refuses some of them."""

import asyncio
import random

import pytest

import fastfeed as ff
from fastfeed.errors import RequestError
from fastfeed.feeds.batches import in_batches

BATCH = 100


class Vendor:
    """Grants a request for known symbols that fits its quota, or refuses it as a whole."""

    def __init__(self, unknown=(), quota=10_000):
        self.unknown = set(unknown)
        self.quota = quota
        self.granted = []
        self.asked = []
        self.under_way = self.most_under_way = 0

    async def ask(self, batch):
        self.asked.append(batch)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.unknown & set(batch):
            raise RequestError("unknown", code=1, text="unknown")
        if len(batch) > self.quota:
            raise RequestError("no quota", code=2, text="no quota")
        self.quota -= len(batch)
        self.granted += batch

    async def room(self):
        await asyncio.sleep(0)
        return self.quota


def refused(vendor, symbols, room=True):
    """Return the symbols of the error."""

    async def main():
        await in_batches(
            "OpenD", "subscribe", symbols, vendor.ask, vendor.room if room else None, size=BATCH
        )

    try:
        asyncio.run(main())
    except ff.SubscriptionError as error:
        return error.symbols
    return ()


def names(n):
    return [f"{i}.HK" for i in range(n)]


def test_everything_is_granted_in_batches_a_few_at_a_time():
    vendor = Vendor()
    assert refused(vendor, names(950)) == ()
    assert sorted(vendor.granted) == sorted(names(950))
    assert [len(batch) for batch in vendor.asked] == [BATCH] * 9 + [50]
    assert vendor.most_under_way == 4
    assert refused(vendor, []) == ()


@pytest.mark.parametrize("seed", range(20))
def test_the_reason_is_found_by_dividing(seed):
    chance = random.Random(seed)
    symbols = names(chance.randrange(1, 350))
    vendor = Vendor(unknown=chance.sample(symbols, min(len(symbols), chance.randrange(5))))
    assert set(refused(vendor, symbols)) == vendor.unknown
    assert set(vendor.granted) == set(symbols) - vendor.unknown
    assert len(vendor.asked) <= 4 + 16 * len(vendor.unknown)


@pytest.mark.parametrize("quota", [0, 1, 99, 100, 101, 249])
def test_the_quota_is_used_up(quota):
    vendor = Vendor(quota=quota)
    named = refused(vendor, names(250))
    assert len(named) == 250 - quota
    assert set(named) | set(vendor.granted) == set(names(250))
    assert len(vendor.asked) < 20


def test_without_room_a_request_is_refused_as_a_whole():
    vendor = Vendor(unknown=["3.HK"])
    assert refused(vendor, names(150), room=False) == tuple(names(BATCH))
    assert vendor.granted == names(150)[BATCH:]


@pytest.mark.parametrize("error", [ff.ConnectError("lost"), ff.RateLimitError("too many")])
def test_other_errors_are_raised_once_all_have_ended(error):
    vendor = Vendor(unknown=["3.HK"])

    async def ask(batch):
        if "120.HK" in batch:
            raise error
        await vendor.ask(batch)

    with pytest.raises(type(error)) as caught:
        asyncio.run(in_batches("OpenD", "subscribe", names(300), ask, size=BATCH))
    assert caught.value is error
    assert "besides, 0.HK, 1.HK" in error.__notes__[0]
    assert vendor.granted == names(300)[200:]
