"""The list of codes that a connection to AllTick is subscribed to, against a vendor that is a few lines."""

import asyncio
import gc

import pytest

import fastfeed as ff
from fastfeed.feeds.alltick_codes_list import CodeList

TICKS, BOOKS, CANCEL = 22004, 22002, 22006


class Vendor:
    """Grants and refuses lists; a request may be held until `go` is set."""

    def __init__(self, kind="ticks", pauses_s=(0.0, 0.0, 0.0)):
        self.bad = {}  # code: ret
        self.rets = []  # of the next requests, before anything else
        self.limit = 1000
        self.lists = []  # asked for; [] is a cancelled one
        self.set = []
        self.firsts = []
        self.given_up = []
        self.pauses = []
        self.lost = None
        self.go = asyncio.Event()
        self.go.set()
        self.turn_open = asyncio.Event()
        self.turn_open.set()
        self.codes = CodeList(kind, self.request, self.turn, self.given_up.append, pauses_s)

    async def turn(self, pause_s):
        self.pauses.append(pause_s)
        await asyncio.sleep(0)
        await self.turn_open.wait()
        if self.lost:
            raise self.lost

    async def request(self, number, data, is_first):
        wanted = [item["code"] for item in data.get("symbol_list", ())]
        self.lists.append(wanted)
        self.firsts.append(is_first)
        self.last = (number, data)
        await asyncio.sleep(0)
        await self.go.wait()
        if self.lost:
            raise self.lost
        ret = self.rets.pop(0) if self.rets else 200
        if ret == 200 and len(wanted) > self.limit:
            ret = 603
        for code in wanted if ret == 200 else ():
            ret = self.bad.get(code, ret)
        if ret != 200:
            self.set = None
            raise ff.RequestError(f"refused: {ret}", code=ret, text=str(ret))
        self.set = wanted


def run(main):
    return asyncio.run(asyncio.wait_for(main(), 10))


def test_changes_add_up_and_each_sends_the_whole_list():
    async def main():
        vendor = Vendor()
        assert await vendor.codes.change(add=["A", "B"]) == {}
        await vendor.codes.change(add=["C"])
        await vendor.codes.change(remove=["A"])
        await vendor.codes.change(add=["B"])  # is there already
        await vendor.codes.change(remove=["nothing"])
        assert vendor.lists == [["A", "B"], ["A", "B", "C"], ["B", "C"]]
        assert "B" in vendor.codes
        assert "A" not in vendor.codes
        assert vendor.firsts == [True, False, False]

    run(main)


@pytest.mark.parametrize(
    ("kind", "number", "item", "cancel"),
    [("ticks", TICKS, {"code": "A"}, 2), ("books", BOOKS, {"code": "A", "depth_level": 10}, 1)],
)
def test_the_requests_of_each_kind(kind, number, item, cancel):
    async def main():
        vendor = Vendor(kind)
        await vendor.codes.change(add=["A"])
        assert vendor.last == (number, {"symbol_list": [item]})
        await vendor.codes.change(remove=["A"])
        assert vendor.last == (CANCEL, {"cancel_type": cancel})
        await vendor.codes.change(add=["A"])
        assert vendor.firsts == [True, False, True]

    run(main)


def test_a_thousand_changes_make_few_requests():
    async def main():
        vendor = Vendor()
        await asyncio.gather(*(vendor.codes.change(add=[f"C{i}"]) for i in range(500)))
        assert len(vendor.lists) == 1
        await asyncio.gather(
            *(vendor.codes.change(add=[f"D{i}"]) for i in range(500)),
            *(vendor.codes.change(remove=[f"C{i}"]) for i in range(500)),
        )
        assert len(vendor.lists) == 2
        assert vendor.set == [f"D{i}" for i in range(500)]

    run(main)


def test_the_last_of_several_changes_counts():
    async def main():
        vendor = Vendor()
        await asyncio.gather(
            vendor.codes.change(add=["A", "B"]),
            vendor.codes.change(remove=["A"]),
            vendor.codes.change(add=["C"]),
            vendor.codes.change(remove=["C"]),
            vendor.codes.change(add=["C"]),
        )
        assert vendor.lists == [["B", "C"]]

    run(main)


def test_changes_while_a_request_is_under_way_make_the_next_one():
    async def main():
        vendor = Vendor()
        vendor.go.clear()
        first = asyncio.ensure_future(vendor.codes.change(add=["A"]))
        while not vendor.lists:
            await asyncio.sleep(0)
        others = [
            asyncio.ensure_future(vendor.codes.change(add=["B"])),
            asyncio.ensure_future(vendor.codes.change(remove=["A"])),
        ]
        await asyncio.sleep(0)
        assert "A" not in vendor.codes
        vendor.go.set()
        assert await asyncio.gather(first, *others) == [{}, {}, {}]
        assert vendor.lists == [["A"], ["B"]]
        assert "A" not in vendor.codes

    run(main)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
@pytest.mark.parametrize("ret", [600, 604])
def test_bad_codes_are_found_and_the_good_ones_stay(count, ret):
    async def main():
        vendor = Vendor()
        await vendor.codes.change(add=["GOOD"])
        codes = [f"C{i}" for i in range(count)]
        vendor.bad = dict.fromkeys(codes[::5], ret)
        refused = await vendor.codes.change(add=codes)
        assert list(refused) == codes[::5]
        assert {error.code for error in refused.values()} == {ret}
        assert vendor.set == ["GOOD", *(code for code in codes if code not in vendor.bad)]
        assert all(code in vendor.codes for code in vendor.set)
        assert not vendor.codes.needs("C0")
        assert not vendor.given_up

    run(main)


def test_one_bad_code_among_many_costs_few_requests():
    async def main():
        vendor = Vendor()
        codes = [f"C{i}" for i in range(1000)]
        vendor.bad = {"C777": 600}
        assert list(await vendor.codes.change(add=codes)) == ["C777"]
        assert len(vendor.lists) < 25
        assert len(vendor.set) == 999

    run(main)


def test_a_code_that_was_refused_can_be_asked_for_again():
    async def main():
        vendor = Vendor()
        vendor.bad = {"A": 600}
        vendor.go.clear()
        first = asyncio.ensure_future(vendor.codes.change(add=["A"]))
        while not vendor.lists:
            await asyncio.sleep(0)
        second = asyncio.ensure_future(vendor.codes.change(add=["A", "B"]))
        await asyncio.sleep(0)
        vendor.go.set()
        assert list(await first) == ["A"]
        assert list(await second) == ["A"]  # not silently passed over
        vendor.bad = {}
        assert await vendor.codes.change(add=["A"]) == {}
        assert vendor.set == ["B", "A"]

    run(main)


def test_more_than_the_plan_has():
    async def main():
        vendor = Vendor()
        vendor.limit = 3
        await vendor.codes.change(add=["A", "B"])
        refused = await vendor.codes.change(add=["C", "D"])
        assert {code: error.code for code, error in refused.items()} == {"C": 603, "D": 603}
        assert vendor.set == ["A", "B"]  # asked for again

    run(main)


@pytest.mark.parametrize("ret", [429, 605])
def test_too_fast_is_tried_again(ret):
    async def main():
        vendor = Vendor(pauses_s=(1.0, 2.0, 3.0))
        vendor.rets = [ret, ret]
        assert await vendor.codes.change(add=["A"]) == {}
        assert vendor.lists == [["A"]] * 3
        assert vendor.pauses == [0.0, 1.0, 2.0]

    run(main)


@pytest.mark.parametrize(("ret", "times"), [(605, 4), (400, 1), (606, 1), (999, 1)])
def test_other_refusals_are_told_and_the_former_list_is_restored(ret, times):
    async def main():
        vendor = Vendor()
        await vendor.codes.change(add=["A"])
        vendor.rets = [ret] * times
        with pytest.raises(ff.RequestError) as refused:
            await vendor.codes.change(add=["B"])
        assert refused.value.code == ret
        assert vendor.set == ["A"]
        assert "B" not in vendor.codes
        assert not vendor.codes.needs("B")
        assert not vendor.given_up
        await vendor.codes.change(add=["B"])
        assert vendor.set == ["A", "B"]

    run(main)


def test_a_list_that_cannot_be_restored_ends_the_connection():
    async def main():
        vendor = Vendor()
        await vendor.codes.change(add=["A"])
        vendor.rets = [400, 401]
        with pytest.raises(ff.RequestError) as refused:
            await vendor.codes.change(add=["B"])
        assert refused.value.code == 400
        assert [error.code for error in vendor.given_up] == [401]
        vendor = Vendor()
        await vendor.codes.change(add=["A"])
        vendor.rets = [600]
        with pytest.raises(ff.RequestError):
            await vendor.codes.change(remove=["A"])
        assert [error.code for error in vendor.given_up] == [600]

    run(main)


def test_the_end_of_the_connection_reaches_all_who_wait():
    async def main():
        vendor = Vendor()
        await vendor.codes.change(add=["OLD"])
        vendor.go.clear()
        first = asyncio.ensure_future(vendor.codes.change(add=["A"]))
        while len(vendor.lists) < 2:
            await asyncio.sleep(0)
        second = asyncio.ensure_future(vendor.codes.change(add=["B"]))
        await asyncio.sleep(0)
        vendor.lost = ff.ConnectError("gone")
        vendor.go.set()
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert outcomes == [vendor.lost] * 2
        assert "A" not in vendor.codes
        assert not vendor.codes.needs("A")

    run(main)


@pytest.mark.parametrize("failing", [False, True])
def test_cancelling_those_who_wait_leaves_a_list_that_is_known(failing):
    reports = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        vendor = Vendor()
        vendor.go.clear()
        tasks = [asyncio.ensure_future(vendor.codes.change(add=[name])) for name in "AB"]
        while not vendor.lists:
            await asyncio.sleep(0)
        tasks += [asyncio.ensure_future(vendor.codes.change(add=[name])) for name in "CD"]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        if failing:
            vendor.lost = ff.ConnectError("gone")
        assert all(
            isinstance(outcome, asyncio.CancelledError)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True)
        )
        vendor.go.set()
        while vendor.codes._next is not None or vendor.codes._changing.locked():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not failing:
            assert vendor.set == ["A", "B", "C", "D"]
            assert await vendor.codes.change(remove=["A", "B", "C", "D"]) == {}
            assert vendor.set == []
        gc.collect()
        await asyncio.sleep(0)

    run(main)
    assert reports == []
