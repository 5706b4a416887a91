"""Feeds that are captured: the same rows, bit for bit, whatever happens; and nothing that is a secret.

Besides, every test with the fixture `receive` captures its feeds and compares.
"""

import asyncio
import dataclasses

import pytest
from alltick_feeds import TOKEN, quick_feed
from captures import BUFFER, assert_same, check, played
from feeds import listen, quick, until

import fastfeed as ff
from fastfeed._core import player as records
from fastfeed.captures import CaptureFile, Player, capture
from fastfeed.sim import (
    AllTickFaults,
    AllTickSimulator,
    Faults,
    LongPortFaults,
    LongPortSimulator,
    OpenDSimulator,
    opend_client,
)
from fastfeed.sim.longport_sessions import Sessions

LONGPORT = {"app_key": "KEY-of-mine", "app_secret": "a-secret", "access_token": "TOKEN-of-mine"}
ways = pytest.mark.parametrize("way", ["loop", "thread"])


def run(main):
    """Run a coroutine on uvloop, with a limit; the loop is no matter here."""
    return ff.run(asyncio.wait_for(main, 30))


async def capture_all(feed, path, symbols, kinds, *, rows, disconnect=None, times=2, **options):
    """Subscribe, let the connection break some times, and wait for rows after each; then compare."""
    with capture(feed, path, buffer_bytes=BUFFER, flush_s=0.1, **options) as written:
        async with feed:
            await feed.subscribe(symbols, *kinds)
            for _ in range(times):
                before = feed.ticks.count
                await until(lambda before=before: feed.ticks.count > before + rows)
                if disconnect is not None:
                    connections = feed.stats()["connections"]
                    await disconnect()
                    await until(lambda n=connections: feed.stats()["connections"] > n)
            before = feed.ticks.count
            await until(lambda: feed.ticks.count > before + rows)
    assert written.stats()["gaps"] == 0
    assert written.stats()["failing"] is None
    return check(feed, path)


def assert_without(path, secrets):
    data = b"".join(segment.read_bytes() for segment in CaptureFile(path).segments)
    assert secrets
    for secret in secrets:
        assert secret.encode() not in data, secret


@ways
@pytest.mark.parametrize("encryption", ["none", "aes-cbc", "ftaes-ecb"])
def test_opend(reports, monkeypatch, tmp_path, key_file, way, encryption):
    secrets = []
    good = opend_client._good

    def note(name, **fields):
        if name == "InitConnect":
            secrets.extend([fields["connAESKey"], fields["aesCBCiv"]])
        return good(name, **fields)

    monkeypatch.setattr(opend_client, "_good", note)

    async def main():
        listen(reports)
        faults = Faults(bad_sha1=9, garbage_body=7, empty_list=5, error_push=11, split=37)
        async with OpenDSimulator(
            symbols=["700.HK", "9988.HK", "5.HK"],
            rate=600,
            rsa_key=key_file if encryption != "none" else None,
            faults=faults,
        ) as sim:
            key = {} if encryption == "none" else {"rsa_key": key_file, "encryption": encryption}
            feed = ff.connect(sim.url, receive=way, check_sha1=True, **key, **quick())
            kinds = [kind if kind != "bars" else "bars:1m" for kind in ff.OpenD.kinds]
            player = await capture_all(
                feed, tmp_path / "a", sim.symbols, kinds, rows=100, disconnect=sim.disconnect_all
            )
        streams = {stream.name: stream.count for stream in player.hub.streams}
        for name in ("ticks", "quotes", "books", "bars", "timeshare"):
            assert streams[name] > 0, streams
        assert feed.stats()["rejected"]

    run(main())
    assert len(secrets) >= 3 * 2
    assert_without(tmp_path / "a", secrets)


@ways
@pytest.mark.parametrize("gzip", [None, 0])
def test_longport(run_it, transport, reports, monkeypatch, tmp_path, way, gzip):
    secrets = [*LONGPORT.values()]
    new = Sessions._id

    def note(sessions):
        secrets.append(new(sessions))
        return secrets[-1]

    monkeypatch.setattr(Sessions, "_id", note)

    async def main():
        listen(reports)
        account = dict(zip(("key", "secret", "token"), LONGPORT.values(), strict=True))
        async with LongPortSimulator(
            symbols=["700.HK", "AAPL.US", "9988.HK"], rate=400, rate_limits=False,
            faults=LongPortFaults(gzip=gzip), **account,
        ) as sim:  # fmt: skip
            url = sim.tcp_url if transport == "tcp" else sim.url
            feed = ff.LongPort(**LONGPORT, url=url, http_url=sim.http_url, receive=way, **quick())
            player = await capture_all(
                feed, tmp_path / "a", ["700.HK", "AAPL.US", "9988.HK"], ff.LongPort.kinds,
                rows=100, disconnect=sim.disconnect_all,
            )  # fmt: skip
        for name in ff.LongPort.kinds:
            assert player.hub.stream(name).count > 0, name
        assert (feed.stats()["compressed"] > 100) == (gzip == 0)

    run_it(main())
    assert len(secrets) > 5
    assert_without(tmp_path / "a", secrets)


@ways
@pytest.mark.parametrize("fragment", [0, 29])
def test_alltick(reports, tmp_path, way, fragment):
    async def main():
        listen(reports)
        faults = AllTickFaults(
            drop_after=150, times=2, fragment=fragment, garbage=7, unknown_cmd=9, unknown_code=5
        )
        async with AllTickSimulator(
            market="crypto", rate=500, token=TOKEN, rate_limits=False, faults=faults
        ) as sim:
            feed = quick_feed(sim.url, receive=way)
            player = await capture_all(
                feed, tmp_path / "a", list(sim.symbols)[:3], ["ticks", "books"], rows=150, times=2
            )
        assert player.hub.ticks.count > 300
        assert player.hub.books.count > 0

    run(main())
    assert_without(tmp_path / "a", [TOKEN])


def test_alltick_on_several_connections(reports, tmp_path):
    """Each has a machine of its own, which the player makes as well; rows are in the order in which they came."""

    async def main():
        listen(reports)
        async with AllTickSimulator(
            market="crypto", rate=300, token=TOKEN, rate_limits=False, plan="premium"
        ) as sim:
            feed = quick_feed(sim.url, plan="premium")
            feed.plan = dataclasses.replace(feed.plan, codes=1)
            symbols = list(sim.symbols)[:2]
            with capture(feed, tmp_path / "a", buffer_bytes=BUFFER) as written:
                async with feed:
                    await feed.subscribe(symbols, "ticks")
                    await until(lambda: feed.ticks.count > 200)
            assert written.stats()["gaps"] == 0
        player = check(feed, tmp_path / "a")
        assert len(player.stats()["connections"]) == 2
        assert all(one["ticks"] > 20 for one in player.stats()["connections"])

    run(main())


def test_a_record_less_is_noticed(tmp_path):
    """The comparison of these tests can fail."""

    async def main():
        async with OpenDSimulator(symbols=5, rate=500) as sim:
            feed = ff.connect(sim.url)
            await capture_all(feed, tmp_path / "a", sim.symbols, ["ticks"], rows=50, times=1)
        return feed

    feed = run(main())
    found = CaptureFile(tmp_path / "a")
    player = Player(found)
    of_bytes = [record for record in found if record.type == records.BYTES]
    ticks = [record for record in of_bytes if b"FT\xc3\x0b" in bytes(record.payload)]
    for record in found:
        if bytes(record.data) != bytes(ticks[3].data):
            player.play(record)
    with pytest.raises(AssertionError, match="ticks: "):
        assert_same(feed.hub, player.hub)
    assert_same(feed.hub, played(tmp_path / "a").hub)


@ways
def test_a_capture_that_ends_before_its_feed(reports, tmp_path, way):
    async def main():
        listen(reports)
        async with OpenDSimulator(symbols=5, rate=500) as sim:
            feed = ff.connect(sim.url, receive=way)
            with capture(feed, tmp_path / "a", buffer_bytes=BUFFER):
                await feed.open()
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 100)
            n = feed.ticks.count
            await until(lambda: feed.ticks.count > n + 100)
            await feed.close()
            again = played(tmp_path / "a").hub.ticks
            assert 100 < again.count < feed.ticks.count
            assert feed.ticks.latest(feed.ticks.count)[: again.count].tobytes() == (
                again.latest(again.count).tobytes()
            )

    run(main())
