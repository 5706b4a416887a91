"""Relays and feeds with a real nats-server, which is killed, held, and started again.

Rows prove themselves: the ticks of each symbol are numbered from 0 in `seq`. What a feed delivers of a symbol must be
these numbers, each once and in their order, but for what an event tells of.
"""

import asyncio
import contextlib
import datetime
import io
import ssl
import time

import numpy as np
import pytest
from certificates import make_certificate
from nats_server import nats_server, programs

import fastfeed as ff
from fastfeed.protocols.relay_messages import FIRST, LOST, RUN, PayloadCodec, subject_of
from fastfeed.sinks.relay import shard_of

SYMBOLS = [f"{i}.HK" for i in range(20)]
QUICK = {"backoff": ff.Backoff(0.02, 0.2)}


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in ("USER", "PASSWORD", "TOKEN", "CREDS"):
        monkeypatch.delenv(f"NATS_{name}", raising=False)
    with nats_server(tmp_path) as server:
        yield server


def go(main):
    return ff.run(asyncio.wait_for(main, 40))


async def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def plain_client(server):
    """Connect without fastfeed."""
    import nats

    client = await nats.connect(server.url)
    try:
        yield client
    finally:
        await client.close()


class Source:
    """A hub whose ticks are numbered by symbol."""

    def __init__(self, symbols=SYMBOLS, **options):
        self.hub = ff.Hub(**options)
        self.symbols = symbols
        self.numbers = dict.fromkeys(symbols, 0)

    def write(self, rows=1, symbols=None):
        """Write so many ticks of each symbol, mixed."""
        ticks = self.hub.ticks
        made = np.zeros(rows * len(symbols or self.symbols), ticks.dtype)
        for i, symbol in enumerate((symbols or self.symbols) * rows):
            made[i]["symbol"] = self.hub.symbols.intern(symbol)
            made[i]["seq"] = self.numbers[symbol]
            made[i]["recv_ns"] = time.time_ns()
            made[i]["time_ns"] = 1 + self.numbers[symbol]
            made[i]["price"] = 0.1 * self.numbers[symbol]
            self.numbers[symbol] += 1
        ticks.ring.write(made.view(np.uint8))

    async def keep_writing(self, seconds, rows=2):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.write(rows)
            await asyncio.sleep(0.002)

    @property
    def total(self):
        return sum(self.numbers.values())


class Taker:
    """What a feed delivers, by symbol, and what it tells."""

    def __init__(self, feed, kind="ticks"):
        self.feed = feed
        self.seqs = {}
        self.rows = []
        self.events = []
        feed.on_event(self.events.append)
        feed.stream(kind).on_batch(self._take)

    def _take(self, rows):
        self.rows.append(rows.copy())
        for symbol, seq in zip(rows["symbol"].tolist(), rows["seq"].tolist(), strict=True):
            self.seqs.setdefault(self.feed.symbols[symbol], []).append(seq)

    @property
    def count(self):
        return sum(map(len, self.seqs.values()))

    def of(self, kind):
        return [event for event in self.events if event.kind == kind]

    def check(self, source):
        """Everything came, once and in order, and nothing was told as missing."""
        for symbol, count in source.numbers.items():
            assert self.seqs.get(symbol, []) == list(range(count)), symbol
        assert self.of("gap") == []
        assert self.feed.stats()["rejected"] == {}


@contextlib.asynccontextmanager
async def both(server, source, *, relay=None, **options):
    """Run a relay and a feed of everything."""
    async with ff.Relay(source.hub, server.url, **(QUICK | (relay or {}))) as running:
        async with ff.connect(f"{server.url}/md", **(QUICK | options)) as feed:
            taker = Taker(feed)
            await feed.subscribe("*", "ticks")
            yield running, taker


@pytest.mark.parametrize("program", programs() or [None])
@pytest.mark.parametrize("runner", [asyncio.run, ff.run])
def test_rows_come_as_they_are(program, runner, tmp_path):
    odd = ["700.HK", "BRK.B.US", "BTCUSDT", "a b*>%é\t.X", "-.-", "Silver"]

    async def main(server):
        source = Source(odd)
        own = ff.Hub()
        own.symbols.intern("FIRST.US")  # so that ids are others
        async with both(server, source, hub=own) as (relay, taker):
            for _ in range(50):
                source.write(2)
                await asyncio.sleep(0.002)
            await until(lambda: taker.count == source.total)
            taker.check(source)
            assert list(taker.feed.symbols) != list(source.hub.symbols)
            sent = source.hub.ticks.latest(source.total).copy()
            got = np.concatenate(taker.rows)

            def key(rows, hub):
                fields = [name for name in rows.dtype.names if name != "symbol"]
                return sorted(
                    (hub.symbols[row["symbol"]], *(row[f].tobytes() for f in fields))
                    for row in rows
                )

            assert key(sent, source.hub) == key(got, taker.feed.hub)
            stats = relay.stats()
            assert stats["rows"] == {"ticks": source.total}
            assert (stats["in_flight"], stats["lag_rows"], stats["retries"]) == (0, 0, 0)
            assert taker.feed.hub.stats()["feeds"][0]["rows"] == source.total

    with nats_server(tmp_path, program=program) as server:
        runner(asyncio.wait_for(main(server), 40))


@pytest.mark.parametrize("kind", ["quotes", "books", "bars", "brokers", "timeshare", "odd_books"])
def test_other_kinds(server, kind):
    async def main():
        hub = ff.Hub(capacity=4096, book_depth=5)
        hub.symbols.intern("X.US")
        rows = np.zeros(4, hub.stream(kind).dtype)
        raw = rows.view(np.uint8)
        raw[:] = np.arange(len(raw)) % 251
        rows["symbol"], rows["session"] = hub.symbols.intern("A.US"), 1
        if kind == "bars":
            rows["interval_s"] = [60, 300, 60, 300]
        async with ff.Relay(hub, server.url, kinds=["ticks", kind]):
            own = ff.Hub(capacity=4096, book_depth=5)
            async with ff.connect(f"{server.url}/md", hub=own) as feed:
                wanted = ("bars:1m",) if kind == "bars" else (kind,)
                await feed.subscribe("A.US", *wanted)
                hub.stream(kind).ring.write(raw)
                expected = rows[rows["interval_s"] == 60] if kind == "bars" else rows
                await until(lambda: feed.stream(kind).count == len(expected))
                got = feed.stream(kind).latest(len(expected))
                for name in rows.dtype.names:
                    if name != "symbol":
                        assert got[name].tobytes() == expected[name].tobytes(), name
                last = feed.stream(kind).latest("A.US", ff.Session.REGULAR)
                assert last["recv_ns"] == expected["recv_ns"][-1]

    go(main())


def test_some_symbols_few_and_many(server):
    async def main():
        source = Source()
        async with ff.Relay(source.hub, server.url), ff.connect(f"{server.url}/md") as feed:
            taker = Taker(feed)
            await feed.subscribe(["0.HK", "HK.00001"], "ticks")  # a consumer each
            await feed.subscribe([f"{i}.HK" for i in range(2, 15)], "ticks")  # one for all
            assert len(feed.subscribed("ticks")) == 15
            source.write(3)
            await until(lambda: taker.count == 45)
            await feed.unsubscribe(["0.HK", "5.HK"], "ticks")
            source.write(3)
            await until(lambda: taker.count == 45 + 39)
            await feed.subscribe(["0.HK"], "ticks")
            source.write(1)
            await until(lambda: taker.count == 84 + 14)
            assert taker.seqs["0.HK"] == [0, 1, 2, 6]
            assert taker.of("gap") == []  # it was not wanted meanwhile
            assert "15.HK" not in taker.seqs
            await feed.unsubscribe(["0.HK", *[f"{i}.HK" for i in range(1, 15)]])
            assert feed.subscribed("ticks") == ()

    go(main())


def test_where_a_feed_begins(server):
    async def main():
        source = Source(["A.US"])
        async with ff.Relay(source.hub, server.url) as relay:

            async def write(number):
                before = relay.stats()["rows"]["ticks"]
                source.write(number)
                await until(lambda: relay.stats()["rows"]["ticks"] == before + number)

            await write(10)
            await asyncio.sleep(0.05)
            between = datetime.datetime.now(datetime.UTC)
            await write(10)
            expected = {
                "oldest": list(range(20)),
                between: list(range(10, 20)),
                between.isoformat(): list(range(10, 20)),
                int(between.timestamp() * 1e6) * 1000: list(range(10, 20)),
                "now": [],
            }
            for start, seqs in expected.items():
                async with ff.connect(f"{server.url}/md", start=start) as feed:
                    taker = Taker(feed)
                    await feed.subscribe("A.US", "ticks")
                    first = len(source.hub.ticks.latest(1)) and source.total
                    await write(1)
                    wanted = [*seqs, *range(20, first + 1)] if seqs else [first]
                    await until(lambda taker=taker, wanted=wanted: taker.count >= len(wanted))
                    assert taker.seqs["A.US"] == wanted, start
                    assert taker.of("gap") == []

    go(main())


def test_a_consumer_goes_on_with_its_sequence(server):
    async def main():
        source = Source()
        async with ff.Relay(source.hub, server.url):
            seqs = {}
            sequence = 1
            for _ in range(3):
                async with ff.connect(f"{server.url}/md", sequence=sequence) as feed:
                    taker = Taker(feed)
                    await feed.subscribe("*", "ticks")
                    for _ in range(20):
                        source.write(1)
                        await asyncio.sleep(0.002)
                    already = sum(map(len, seqs.values()))
                    await until(lambda n=already, t=taker: n + t.count == source.total)
                    sequence = feed.stats()["sequence"] + 1
                    assert taker.of("gap") == []
                for symbol, some in taker.seqs.items():
                    seqs.setdefault(symbol, []).extend(some)
                source.write(5)  # while nobody listens
            for symbol, some in seqs.items():
                assert some == list(range(len(some))), symbol

    go(main())


def test_a_sequence_that_the_stream_does_not_have(server):
    async def main():
        source = Source(["A.US"])

        async def told(sequence, seqs):
            feed = ff.connect(f"{server.url}/md", sequence=sequence, **QUICK)
            taker = Taker(feed)
            async with feed:
                await feed.subscribe("*", "ticks")
                source.write(1)
                await until(lambda: taker.count)
                await until(lambda: taker.seqs["A.US"][-1] == source.total - 1)
                assert taker.seqs["A.US"] == list(range(seqs, source.total))
                return [(event.text, event.details["sequence"]) for event in taker.of("gap")]

        async with both(server, source) as (_, taker), plain_client(server) as other:
            for count in range(1, 11):  # a message each
                source.write(1)
                await until(lambda: taker.count == count)  # noqa: B023 - it is called at once
            assert await told(11, 10) == []  # the next one
            await other.jetstream().purge_stream("md", seq=6)
            assert await told(6, 5) == []
            ((text, sequence),) = await told(3, 5)
            assert (
                text == "3 messages from 3 on, of any symbols, are not in the stream 'md' any more"
            )
            assert sequence == 6
            ((text, sequence),) = await told(100, 5)
            assert text.startswith("the stream 'md' has no message 99, so it began anew")
            assert sequence == 6

    go(main())


@pytest.mark.parametrize("program", programs() or [None])
def test_a_server_that_is_killed_and_comes_back(program, tmp_path):
    async def main(server):
        source = Source()
        async with both(server, source) as (relay, taker):
            for _ in range(3):
                await source.keep_writing(0.3)
                server.kill()
                await source.keep_writing(0.3)
                server.start()
                await until(lambda: relay.connected and taker.feed.connected)
            await source.keep_writing(0.2)
            await until(lambda: taker.count == source.total)
            taker.check(source)
            assert relay.stats()["reconnects"] == 3
            assert len(taker.of("disconnected")) == 3
            assert len(taker.of("resubscribed")) == 3
            assert relay.stats()["lost"] == {"ticks": 0}

    with nats_server(tmp_path, program=program) as server:
        go(main(server))


def test_a_server_that_is_held(server):
    async def main():
        source = Source()
        async with both(server, source, relay={"ack_timeout_s": 0.5}) as (relay, taker):
            await source.keep_writing(0.2)
            server.hold()
            await source.keep_writing(1.5)
            assert relay.stats()["in_flight"] <= 512
            server.go_on()
            await source.keep_writing(0.2)
            await until(lambda: taker.count == source.total)
            taker.check(source)
            assert relay.stats()["retries"] > 0

    go(main())


def test_a_ring_that_overruns_is_told_everywhere(server):
    async def main():
        source = Source(["A.US", "B.US"], capacity=256)
        told = []
        async with both(server, source) as (relay, taker):
            relay.on_event(told.append)
            source.write(20)
            await until(lambda: taker.count == 40)
            server.kill()
            for _ in range(20):
                source.write(50)
            await until(lambda: relay.stats()["lost"]["ticks"] > 0)
            server.start()
            await until(lambda: relay.connected and taker.feed.connected)
            await until(lambda: relay.stats()["lag_rows"] == 0)
            source.write(1)
            await until(lambda: taker.count + relay.stats()["lost"]["ticks"] == source.total)
            lost = relay.stats()["lost"]["ticks"]
            assert sum(e.details["rows"] for e in told if e.kind == "gap") == lost
            assert sum(e.details["rows"] for e in taker.of("gap")) == lost
            for seqs in taker.seqs.values():
                assert seqs == sorted(set(seqs))

    go(main())


def test_a_relay_that_begins_anew(server):

    async def with_relays():
        source = Source(["A.US", "B.US"])
        async with ff.Relay(source.hub, server.url):
            feed = await ff.connect(f"{server.url}/md").open()
            taker = Taker(feed)
            await feed.subscribe("*", "ticks")
            source.write(5)
        await until(lambda: taker.count == 10)  # closing has published what was there
        source.write(5)  # between the runs
        async with ff.Relay(source.hub, server.url):
            source.write(5)
            await until(lambda: taker.count == 20)
        assert taker.seqs["A.US"] == [*range(5), *range(10, 15)]
        (gap,) = taker.of("gap")
        assert "began anew" in gap.text
        assert set(gap.symbols) == {"A.US", "B.US"}
        async with ff.Relay(source.hub, server.url, start="oldest"):  # all over again
            await until(lambda: taker.count == 20 + 30)
        assert len(taker.of("gap")) == 2
        await feed.close()

    go(with_relays())


def test_several_relays_of_one_hub_are_no_losses(server):
    async def main():
        source = Source(["A.US"])
        async with (
            both(server, source) as (_, taker),
            ff.Relay(source.hub, server.url),
            ff.Relay(source.hub, server.url),
        ):
            for round in range(1, 6):
                source.write(10)
                await until(lambda: taker.count == 30 * round)  # noqa: B023 - it is called at once
            assert taker.feed.stats()["missing_rows"] == 0
            assert len(taker.of("gap")) == 2  # of the second relay, and of the third
            assert sorted(taker.seqs["A.US"]) == sorted(3 * list(range(50)))

    go(main())


def test_what_the_stream_dropped_is_told_exactly(server):
    async def main():
        source = Source(["A.US", "B.US"])
        async with both(server, source) as (relay, taker):
            source.write(4)
            await until(lambda: taker.count == 8)
            # Messages that come while the feed's connection is down, and go before it is back.
            consumer_server = taker.feed._server
            taker.feed._backoff = ff.Backoff(1.0, 1.0)
            await consumer_server.client.close()
            source.write(3, ["A.US"])
            await until(lambda: relay.stats()["lag_rows"] == 0)
            async with plain_client(server) as other:
                await other.jetstream().purge_stream("md")
            await until(lambda: taker.feed.connected and taker.of("resubscribed"))
            source.write(1)
            await until(lambda: taker.count == 10)
            assert taker.seqs == {"A.US": [0, 1, 2, 3, 7], "B.US": [0, 1, 2, 3, 4]}
            (gap,) = taker.of("gap")
            assert gap.symbols == ("A.US",)
            assert gap.details["rows"] == 3
            assert (gap.start_ns, gap.end_ns) == (4, 8)  # times of the rows around it
            last = np.concatenate(taker.rows)[-2:]
            flags = {taker.feed.symbols[r["symbol"]]: r["flags"] for r in last}
            assert flags == {"A.US": ff.Flags.GAP, "B.US": 0}

    go(main())


def test_shards_share_the_symbols(server):
    async def main():
        source = Source()
        ours = {"shard": (1, 2)}
        async with both(server, source, relay=ours) as (one, taker):
            async with ff.Relay(source.hub, server.url, shard=(2, 2)) as two:
                for _ in range(50):
                    source.write(2)
                    await asyncio.sleep(0.002)
                await until(lambda: taker.count == source.total)
                taker.check(source)
                first = sum(n for s, n in source.numbers.items() if shard_of(s, 2) == 0)
                assert one.stats()["rows"]["ticks"] == first > 0
                assert two.stats()["rows"]["ticks"] == source.total - first > 0

    go(main())


def test_a_relay_of_some_symbols_and_of_long_batches(server):
    async def main():
        source = Source(["A.US", "B.US"])
        relay = {"symbols": ["US.A"], "max_in_flight": 2}
        async with both(server, source, relay=relay) as (_, taker):
            source.write(50_000)  # more of a symbol than a message may have
            await until(lambda: taker.count == 50_000)
            source.numbers["B.US"] = 0
            taker.check(source)

    go(main())


def test_credentials(tmp_path, monkeypatch):
    async def main(server):
        hub = ff.Hub()
        place = server.url.removeprefix("nats://")
        for url in (server.url, f"nats://me:wrong@{place}"):
            for one in (ff.Relay(hub, url), ff.connect(f"{url}/md")):
                with pytest.raises(ff.AuthError) as caught:
                    await one.open()
                assert "refused the credentials" in str(caught.value)
                assert "wrong" not in str(caught.value)
        async with ff.Relay(hub, f"nats://me:secret@{place}"):
            pass
        monkeypatch.setenv("NATS_USER", "me")
        monkeypatch.setenv("NATS_PASSWORD", "secret")
        async with ff.Relay(hub, server.url), ff.connect(f"{server.url}/md") as feed:
            assert feed.connected

    for name in ("USER", "PASSWORD", "TOKEN", "CREDS"):
        monkeypatch.delenv(f"NATS_{name}", raising=False)
    with nats_server(tmp_path, "--user", "me", "--pass", "secret") as server:
        go(main(server))


def test_tls(tmp_path):
    path = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=path)
    tls = ("--tls", "--tlscert", path, "--tlskey", path)

    async def main(server):
        url = server.url.replace("nats://", "tls://")
        with pytest.raises(ff.ConnectError, match="TLS"):
            await ff.Relay(ff.Hub(), url).open()  # nobody vouches for it
        source = Source(["A.US"])
        async with ff.Relay(source.hub, url, ssl_context=context):
            async with ff.connect(f"{url}/md", ssl_context=context) as feed:
                taker = Taker(feed)
                await feed.subscribe("A.US", "ticks")
                source.write(10)
                await until(lambda: taker.count == 10)
                taker.check(source)

    with nats_server(tmp_path, *tls) as server:
        go(main(server))


def test_no_server_and_others(server):
    async def silent(reader, writer):
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async def chatty(reader, writer):
        with contextlib.suppress(OSError):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            await reader.read()
        writer.close()

    async def main():
        quiet = await asyncio.start_server(silent, "127.0.0.1", 0)
        loud = await asyncio.start_server(chatty, "127.0.0.1", 0)
        ports = [s.sockets[0].getsockname()[1] for s in (quiet, loud)]
        hub = ff.Hub()
        cases = {1: ff.ConnectError, ports[0]: ff.RequestTimeout, ports[1]: ff.ConnectError}
        for port, error in cases.items():
            url = f"nats://127.0.0.1:{port}"
            options = {"connect_timeout_s": 0.5}
            for one in (ff.Relay(hub, url, **options), ff.connect(f"{url}/md", **options)):
                with pytest.raises(error, match=str(port)):
                    await one.open()
        with pytest.raises(ff.ConnectError, match="there is no stream 'md'"):
            await ff.connect(f"{server.url}/md").open()
        several = f"nats://127.0.0.1:1,127.0.0.1:{server.port}"
        async with ff.Relay(hub, several), ff.connect(f"{several}/md"):
            pass
        for one in (quiet, loud):
            one.close()

    go(main())


def test_without_jetstream(tmp_path):
    async def main(server):
        with pytest.raises(ff.ConnectError, match="JetStream"):
            await ff.Relay(ff.Hub(), server.url).open()

    with nats_server(tmp_path, jetstream=False) as server:
        go(main(server))


def test_a_stream_with_other_settings(server):
    async def main():
        hub = ff.Hub()
        async with ff.Relay(hub, server.url, max_age_s=60.0, max_bytes=1 << 20):
            pass
        async with ff.Relay(hub, server.url):  # nothing was asked for
            pass
        async with ff.Relay(hub, server.url, max_age_s=60.0, storage="file", replicas=1):
            pass
        asked = {"max_age_s": 90.0, "storage": "memory"}
        with pytest.raises(ff.ConfigError) as caught:
            await ff.Relay(hub, server.url, **asked).open()
        assert "max age 60 s, and not 90 s; storage file, and not memory" in str(caught.value)
        with pytest.raises(ff.ConfigError, match="cannot change"):
            await ff.Relay(hub, server.url, update_stream=True, **asked).open()
        with pytest.raises(ff.ConfigError, match=r"the subjects md.>, and not other.>"):
            await ff.Relay(hub, server.url, prefix="other", stream="md").open()
        async with ff.Relay(hub, server.url, max_age_s=90.0, update_stream=True):
            pass
        async with ff.Relay(hub, server.url, max_age_s=90.0):
            pass
        with pytest.raises(ff.ConfigError, match="overlap"):
            await ff.Relay(hub, server.url, stream="second").open()

    go(main())


def test_a_stream_that_is_full_and_has_room_again(server):
    from nats.js.api import DiscardPolicy

    async def main():
        source = Source(["A.US"])
        told = []
        async with plain_client(server) as other:
            js = other.jetstream()
            settings = {"max_msgs": 10, "discard": DiscardPolicy.NEW}
            await js.add_stream(name="md", subjects=["md.>"], **settings)
            async with both(server, source) as (relay, taker):
                relay.on_event(told.append)
                for _ in range(30):
                    source.write(1)
                    await asyncio.sleep(0.01)
                await until(lambda: any(event.kind == "error" for event in told))
                config = (await js.stream_info("md")).config
                await js.update_stream(config.evolve(max_msgs=-1))
                await until(lambda: taker.count == 30)
                taker.check(source)
                assert relay.stats()["refused"] > 0

    go(main())


def test_what_is_overwritten_while_nothing_is_taken_is_told_then(server):
    from nats.js.api import DiscardPolicy

    async def main():
        source = Source(["A.US"], capacity=256)
        told = []
        async with plain_client(server) as other:
            js = other.jetstream()
            settings = {"max_msgs": 1, "discard": DiscardPolicy.NEW}
            await js.add_stream(name="md", subjects=["md.>"], **settings)
            async with both(server, source) as (relay, taker):
                relay.on_event(told.append)
                source.write(1)
                await until(lambda: taker.count == 1)
                assert relay.stats()["failing"] is None
                source.write(1)
                await until(lambda: relay.stats()["refused"])
                assert relay.stats()["failing"].endswith("messages: maximum messages exceeded")
                source.write(200)
                source.write(200)
                await until(lambda: any(event.kind == "gap" for event in told))
                config = (await js.stream_info("md")).config
                await js.update_stream(config.evolve(max_msgs=-1))
                await until(lambda: relay.stats()["lag_rows"] == 0)
                assert relay.stats()["failing"] is None
                lost = relay.stats()["lost"]["ticks"]
                await until(lambda: taker.count == source.total - lost)
                assert sum(e.details["rows"] for e in told if e.kind == "gap") == lost
                assert sum(e.details["rows"] for e in taker.of("gap")) == lost

    go(main())


def test_a_server_that_takes_shorter_messages_than_before(tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("max_payload: 1MB\n")

    async def main(server):
        source = Source(["A.US", "B.US"])
        told = []
        async with both(server, source) as (relay, taker):
            relay.on_event(told.append)
            source.write(5)
            await until(lambda: taker.count == 10)
            server.hold()
            source.write(100)  # on its way
            await until(lambda: relay.stats()["in_flight"])
            source.write(100)
            server.kill()
            settings.write_text("max_payload: 600\n")  # no row fits
            server.start()
            await until(lambda: any("raise max_payload there" in event.text for event in told))
            assert not relay.connected
            server.kill()
            settings.write_text("max_payload: 3KB\n")
            server.start()
            await until(lambda: taker.count == source.total)
            taker.check(source)

    with nats_server(tmp_path, "-c", str(settings)) as server:
        go(main(server))


def test_a_stream_that_takes_shorter_messages_than_before(server):
    async def main():
        source = Source(["A.US", "B.US"])
        async with both(server, source) as (_, taker), plain_client(server) as other:
            source.write(5)
            await until(lambda: taker.count == 10)
            js = other.jetstream()
            config = (await js.stream_info("md")).config
            await js.update_stream(config.evolve(max_msg_size=3000))
            source.write(100)
            await until(lambda: taker.count == source.total)
            taker.check(source)

    go(main())


def test_a_cancellation_that_is_kept_back(server):
    async def main():
        source = Source(["A.US"])

        async def publish(*args, **options):  # as nats-py does where much waits to be sent
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

        async with both(server, source) as (relay, taker):
            connection = relay._server
            connection.client.publish = publish
            source.write(5)
            await until(lambda: relay.stats()["in_flight"])
            connection.lost.set_result(None)
            await until(lambda: taker.count == 5)
            relay._server.client.publish = publish
            source.write(5)
            await until(lambda: relay.stats()["in_flight"])
            await relay.close(0.1)

    go(main())


def test_a_stream_that_is_deleted_is_made_again(server):
    async def main():
        source = Source(["A.US"])
        options = {"ack_timeout_s": 2.0}
        async with (
            both(server, source, relay=options) as (_, taker),
            plain_client(server) as other,
        ):
            source.write(5)
            await until(lambda: taker.count == 5)
            await other.jetstream().delete_stream("md")
            source.write(5)
            await until(lambda: taker.count == 10)
            assert taker.seqs["A.US"] == list(range(10))
            assert "the stream 'md' began anew" in taker.of("gap")[0].text

    go(main())


def test_a_stream_that_is_deleted_and_made_again(server):
    async def main():
        source = Source(["A.US"])
        async with both(server, source) as (_, taker), plain_client(server) as other:
            source.write(5)
            await until(lambda: taker.count == 5)
            await other.jetstream().delete_stream("md")
            source.write(5)
            await other.jetstream().add_stream(name="md", subjects=["md.>"])
            await until(lambda: taker.count == 10)
            assert taker.seqs["A.US"] == list(range(10))
            assert "the stream 'md' began anew" in taker.of("gap")[0].text

    go(main())


def test_messages_of_others_are_counted_and_passed_over(server):
    async def main():
        source = Source(["A.US"])
        async with both(server, source) as (_, taker), plain_client(server) as other:
            subject = subject_of("md", "ticks", "A.US")
            good = PayloadCodec(ff.dtype("ticks")).encode(np.zeros(1, ff.dtype("ticks")))
            await other.publish(subject, b"nonsense")
            await other.publish(subject, good)  # without headers
            await other.publish("md.ticks.x", good)
            await other.publish("md.ticks.HK.%41", good)
            await other.flush()
            source.write(3)
            await until(lambda: taker.count == 3)
            assert taker.feed.stats()["rejected"] == {"unreadable message": 4}

    go(main())


@pytest.mark.parametrize(
    "head",
    [
        *(f"NATS/1.0\r\nStatus: {status}\r\n\r\n" for status in (100, 404, 409, 503)),
        "NATS/1.0 409 Consumer Deleted\r\n\r\n",
        "no headers at all",
        "NATS/1.0\r\nno colon\r\n\r\n",
    ],
)
def test_headers_of_others_do_not_end_it(server, head):
    """They look like what JetStream says itself, or are such as nats-py cannot read."""

    async def main():
        source = Source(["A.US"])
        async with both(server, source) as (_, taker), plain_client(server) as other:
            source.write(2)
            await until(lambda: taker.count == 2)
            command = f"HPUB md.ticks.US.A {len(head)} {len(head)}\r\n{head}\r\n"
            await other._send_command(command.encode())
            await other.flush()
            source.write(3)
            await until(lambda: taker.count == 5)
            assert taker.feed.stats()["rejected"] == {"unreadable message": 1}
            assert taker.feed.stats()["connections"] == 1
            assert taker.events == []
            consumers = await other.jetstream().consumers_info("md")
            assert len(consumers) == 1

    go(main())


def test_consumers_are_not_left_behind(server):
    async def main():
        source = Source(["A.US"])
        async with both(server, source) as (_, taker), plain_client(server) as other:
            (consumer,) = taker.feed._consumers
            for number in range(3):
                name = consumer.name
                consumer.received += 1  # as if messages had been dropped on the way
                source.write(1)
                await until(lambda: consumer.running and consumer.name not in ("", name))  # noqa: B023
                await until(lambda: taker.count == number + 1)  # noqa: B023
            consumers = await other.jetstream().consumers_info("md")
            assert [found.name for found in consumers] == [consumer.name]

    go(main())


def test_doubles_that_jetstream_does_not_know(server):
    """As after an outage that is longer than the stream's window, or where two windows overlap."""

    async def main():
        rows = np.zeros(10, ff.dtype("ticks"))
        rows["seq"] = np.arange(10)
        codec, subject = PayloadCodec(rows.dtype), subject_of("md", "ticks", "A.US")
        async with both(server, Source(["X.US"])) as (_, taker), plain_client(server) as other:
            for run, first, last in (
                *(("a", 0, 4), ("a", 0, 4), ("a", 2, 6), ("a", 0, 1), ("a", 8, 10)),
                *(("b", 0, 2), ("a", 8, 10), ("b", 2, 3), ("b", 1, 3), ("b", 5, 6)),
            ):
                headers = {RUN: run, FIRST: str(first), LOST: "0"}
                await other.publish(subject, codec.encode(rows[first:last]), headers=headers)
            await other.flush()
            await until(lambda: taker.feed.stats()["messages"] == 10)
            await until(lambda: taker.count == 12)
            assert taker.seqs["A.US"] == [0, 1, 2, 3, 4, 5, 8, 9, 0, 1, 2, 5]
            assert taker.feed.stats()["duplicate_rows"] == 4 + 2 + 1 + 2 + 2
            assert [gap.details.get("rows") for gap in taker.of("gap")] == [2, None, 2]
            flags = np.concatenate(taker.rows)["flags"].tolist()
            assert flags == [0] * 6 + [ff.Flags.GAP, 0, 0, 0, 0, ff.Flags.GAP]

    go(main())


def test_anybody_can_read_it(server):
    """The lines of the README, without fastfeed."""

    async def main():
        source = Source(["700.HK"])
        async with ff.Relay(source.hub, server.url), plain_client(server) as client:
            pull = await client.jetstream().pull_subscribe("md.ticks.>", stream="md")
            source.write(4)
            (message,) = await pull.fetch(1, timeout=10)
            rows = np.load(io.BytesIO(message.data))
            assert message.subject == "md.ticks.HK.700"
            assert rows["seq"].tolist() == [0, 1, 2, 3]
            assert message.headers[FIRST] == "0"

    go(main())


def test_a_hub_of_another_process_that_begins_anew(server, shm):
    async def main():
        with ff.Hub("md", capacity=4096) as first, ff.attach("md") as attached:
            source = Source(["A.US", "B.US"], capacity=4096)
            source.hub = first
            async with ff.Relay(attached, server.url, **QUICK) as relay:
                async with ff.connect(f"{server.url}/md") as feed:
                    taker = Taker(feed)
                    await feed.subscribe("*", "ticks")
                    source.write(5)
                    await until(lambda: taker.count == 10)
                    first.close()
                    with ff.Hub("md", capacity=4096) as second:
                        source.hub = second
                        second.symbols.intern("C.US")  # ids are others now
                        await until(lambda: attached.look() and attached.alive)
                        source.write(5)
                        await until(lambda: taker.count == 20)
                        assert taker.seqs == {s: list(range(10)) for s in ("A.US", "B.US")}
                        assert "began anew" in taker.of("gap")[0].text
                        assert relay.stats()["rows"] == {"ticks": 20}

    go(main())
