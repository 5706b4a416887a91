"""What feeds measure, seen from other processes, and `fastfeed top`."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import commands
import pytest
from alltick_feeds import quick_feed
from feeds import quick, until
from longport_gateway import KEY, SECRET, TOKEN
from waiting import wait_until

import fastfeed as ff
from fastfeed._core.meter import MOST_FEEDS
from fastfeed.sim import AllTickSimulator, LongPortSimulator, OpenDSimulator

ALLTICK = "the-token-of-alltick"
HOUR_NS = 3600 * 10**9

pytestmark = pytest.mark.usefixtures("shm")


@contextlib.contextmanager
def python(code, *args, **options):
    """Run a program; it is killed if the test leaves it running."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *args], stdout=subprocess.PIPE, text=True, **options
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


STATS = "import json, sys, fastfeed as ff; print(json.dumps(ff.attach('md').stats()))"


async def seen_elsewhere():
    """Return what another process sees of the hub."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STATS, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    assert child.returncode == 0
    return json.loads(out)


def check_latency(latency, count):
    assert latency["count"] + latency["negative"] == count
    known = [latency[name] for name in ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")]
    if latency["count"]:
        assert known == sorted(known)
        assert known[0] >= 0
        assert known[-1] < HOUR_NS
    else:
        assert known == [None] * 5


def test_a_feed_is_measured(run):
    async def main():
        async with OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=2000) as sim:
            with ff.Hub("md", capacity=1 << 14) as hub:
                feed = ff.connect(sim.url, hub=hub, **quick())
                assert hub.stats()["feeds"] == []
                async with feed:
                    (before,) = hub.stats()["feeds"]
                    assert (before["state"], before["connections"]) == ("connected", 0)
                    await feed.subscribe(["700.HK", "AAPL.US"], "ticks", "quotes", "books")
                    await until(lambda: hub.ticks.count > 500)
                    (found,) = (await seen_elsewhere())["feeds"]
                    assert found["url"] == feed.url
                    assert found["state"] == "connected"
                    assert before["since_ns"] <= found["since_ns"] <= found["last_recv_ns"]
                    assert found["last_recv_ns"] <= time.time_ns()
                    check_latency(found["receive_to_publish"], found["rows"])
                    assert found["receive_to_publish"]["negative"] == 0
                    live = found["gateway_to_receive"]["count"]
                    check_latency(found["gateway_to_receive"], live)
                    assert 0 < live <= found["rows"]

                    # Counters follow soon.
                    def caught_up():
                        counts, one = feed.stats(), hub.stats()["feeds"][0]
                        return one["connections"] == 1 and 0 < one["packets"] <= counts["packets"]

                    await until(caught_up)
                    await sim.disconnect_all()
                    await until(lambda: hub.stats()["feeds"][0]["state"] == "disconnected")
                    await until(lambda: hub.stats()["feeds"][0]["gaps"] > 0)
                    await until(lambda: hub.stats()["feeds"][0]["connections"] == 2)
                    assert hub.stats()["feeds"][0]["state"] == "connected"
                (after,) = hub.stats()["feeds"]
                counts = feed.stats()
                assert after["state"] == "closed"
                assert after["bytes"] == counts["bytes"] > 10_000
                assert after["packets"] == counts["packets"]
                rows = sum(stream.count for stream in hub.streams)
                assert after["rows"] == rows
                assert after["receive_to_publish"]["count"] == rows
                assert (await seen_elsewhere())["feeds"] == [after]

    run(main())


def test_feeds_of_other_vendors(run):
    credentials = {"app_key": KEY, "app_secret": SECRET, "access_token": TOKEN}

    async def main():
        async with (
            LongPortSimulator(
                rate=500, rate_limits=False, key=KEY, secret=SECRET, token=TOKEN
            ) as longport,
            AllTickSimulator(
                rate=500, market="crypto", rate_limits=False, token=ALLTICK
            ) as alltick,
        ):
            with ff.Hub("md", capacity=1 << 14) as hub:
                one = ff.LongPort(
                    url=longport.url, http_url=longport.http_url, hub=hub, **credentials
                )
                other = quick_feed(alltick.url, token=ALLTICK, hub=hub)
                async with one, other:
                    await one.subscribe(longport.symbols, "ticks", "quotes")
                    await other.subscribe(alltick.symbols[:2], "ticks")

                    def is_measured():
                        feeds = hub.stats()["feeds"]
                        return all(feed["rows"] > 50 and feed["packets"] > 50 for feed in feeds)

                    await until(is_measured)
                    found = (await seen_elsewhere())["feeds"]
                    assert [feed["state"] for feed in found] == ["connected"] * 2
                    for feed in found:
                        check_latency(feed["receive_to_publish"], feed["rows"])
                    text = json.dumps(found)
                    assert not any(secret in text for secret in (KEY, SECRET, TOKEN, ALLTICK))

    run(main())


def test_more_feeds_than_slots(run):
    async def main():
        async with OpenDSimulator(symbols=["700.HK"], rate=2000) as sim:
            hub = ff.Hub(capacity=1 << 14)
            others = [hub.meters.take("other") for _ in range(MOST_FEEDS)]
            async with ff.connect(sim.url, hub=hub) as feed:
                await feed.subscribe("700.HK", "ticks")
                await until(lambda: hub.ticks.count > 10)
                assert {found["url"] for found in hub.stats()["feeds"]} == {"other"}
                assert feed.stats()["connected"]
            others.pop().close()
            async with ff.connect(sim.url, hub=hub) as feed:
                assert hub.stats()["feeds"][-1]["url"] == feed.url

    run(main())


def test_a_feed_that_cannot_connect_is_closed(run):
    async def main():
        hub = ff.Hub(capacity=64)
        with pytest.raises(ff.ConnectError):
            await ff.connect("opend://127.0.0.1:9", hub=hub).open()
        (found,) = hub.stats()["feeds"]
        assert (found["state"], found["connections"], found["rows"]) == ("closed", 0, 0)

    run(main())


READER = """
import sys, fastfeed as ff
hub = ff.attach("md", wait_s=20)
reader = hub.ticks.reader("oldest", measure=True)
print("ready", flush=True)
if sys.argv[1] == "reads":
    for rows in reader:
        pass
sys.stdin.read()
"""

WRITER = """
import asyncio, sys, fastfeed as ff
async def main():
    with ff.Hub("md", capacity=1 << 12) as hub:
        async with ff.connect(sys.argv[1], hub=hub, wait_s=10) as feed:
            await feed.subscribe("700.HK", "ticks")
            print("ready", flush=True)
            await asyncio.sleep(1000)
asyncio.run(main())
"""


def ready(child):
    assert child.stdout.readline() == "ready\n"


def test_readers_are_seen_until_they_are_killed(shm):
    with (
        commands.simulator("--symbols", "700.HK", "--rate", "2000") as (url, _),
        python(WRITER, url) as writer,
    ):
        ready(writer)
        with (
            python(READER, "reads", stdin=subprocess.PIPE) as fast,
            python(READER, "waits", stdin=subprocess.PIPE) as slow,
            ff.attach("md") as hub,
        ):
            ready(fast)
            ready(slow)

            def readers():
                return {reader["pid"]: reader for reader in hub.stats()["readers"]}

            def is_measured():
                found = readers()
                return (
                    found[slow.pid]["lag"] > 1000
                    and found[fast.pid]["publish_to_read"]["count"] > 100
                )

            wait_until(is_measured)
            found = readers()
            assert set(found) == {fast.pid, slow.pid}
            check_latency(
                found[fast.pid]["publish_to_read"], found[fast.pid]["publish_to_read"]["count"]
            )
            assert found[fast.pid]["position"] > 1000
            assert found[slow.pid]["position"] == 0
            assert found[slow.pid]["publish_to_read"]["count"] == 0

            fast.kill()
            fast.wait()
            assert set(readers()) == {slow.pid}
            slow.stdin.close()
            assert slow.wait(timeout=10) == 0
            assert readers() == {}
            # The file of the one that was killed is there until the writer looks.
            names = os.listdir(next(shm.glob("*/md/readers")))
            assert sorted(name.partition("-")[0] for name in names) == sorted(
                map(str, (fast.pid, os.getpid()))
            )


# top


@pytest.fixture
def writing():
    with commands.simulator("--symbols", "700.HK", "--rate", "2000") as (url, _):
        with python(WRITER, url) as writer:
            ready(writer)
            yield url, writer


def test_top_without_a_terminal(writing):
    url, writer = writing
    with python(READER, "waits", stdin=subprocess.PIPE) as slow:
        ready(slow)
        done = commands.run("top", "md", "--interval", "0.5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines[0].startswith(f"process {writer.pid}, -c, since 20")
    words = [line.split() for line in lines]
    assert words[2][:2] == [url, "connected"]
    assert float(words[2][2].replace(",", "")) > 0
    assert "µs" in lines[2]
    assert words[4][0] == "ticks"
    assert words[6][:3] == [str(slow.pid), "-c", "ticks"]


def test_top_as_json(writing):
    url, writer = writing
    done = commands.run("top", "md", "--interval", "0.5", "--once", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["name"], found["pid"], found["alive"]) == ("md", writer.pid, True)
    (feed,) = found["feeds"]
    assert feed["url"] == url
    assert feed["rows_per_s"] > 0
    assert 0 < feed["receive_to_publish"]["count"] < feed["rows"]
    assert found["streams"]["ticks"]["rows_per_s"] > 0
    with commands.process("top", "md", "--interval", "0.1", "--format", "json") as child:
        for _ in range(3):
            assert json.loads(child.stdout.readline())["name"] == "md"
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=10) == 0


def test_top_in_a_terminal_goes_on_with_the_next_writer(writing):
    url, writer = writing
    with commands.terminal("top", "md", "--interval", "0.2", width=130) as (child, screen):
        commands.until(screen, "connected")
        commands.until(screen, "● alive")
        writer.kill()
        commands.until(screen, "the writer is dead; waiting for the next one")
        commands.until(screen, "gone")
        with python(WRITER, url) as other:
            commands.until(screen, f"process {other.pid} writes it now", 20)
            commands.until(screen, "connected")
            child.send_signal(signal.SIGINT)
            text = commands.until(screen, "")
            assert child.wait(timeout=10) == 0
            after = text.rpartition("\x1b[?1049l")[2]
            assert f"process {other.pid}" in after
            assert "Traceback" not in text


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["nix"], 1, "there is no hub 'nix' in "),
        (["a b"], 2, "expected the name of a hub"),
        (["nix", "--user", "nobody-has-this-name"], 1, "expected a user of this machine"),
        (["nix", "--interval", "0"], 2, "expected more than 0 seconds"),
        (["nix", "--format", "csv"], 2, "'csv' is not one of"),
    ],
)
def test_top_errors(args, code, words):
    done = commands.run("top", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_top_of_a_dead_hub(writing):
    _, writer = writing
    writer.kill()
    writer.wait()
    done = commands.run("top", "md")
    assert done.returncode == 1
    assert "is dead: its writer" in done.stderr
