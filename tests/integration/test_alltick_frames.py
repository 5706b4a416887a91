"""What a server may send over WebSocket, good and bad, into the live feed: the samples, and every broken frame."""

import asyncio
import json
import math

import numpy as np
import pytest
from alltick_feeds import Server, Watcher, frame, quick_feed, tick
from feeds import until

import fastfeed as ff


def numbers(texts):
    return [math.nan if text is None else float(text) for text in texts]


def assert_row(row, item, kind, symbols, market="crypto"):
    """Compare a row with the index of the samples."""
    assert symbols[int(row["symbol"])] == item["code"]
    assert row["seq"] == item["seq"]
    assert row["time_ns"] == (item["time_ns"] or 0)
    if kind == "tick":
        values = [row[name] for name in ("price", "volume", "turnover")]
        wanted = numbers(item[name] for name in ("price", "volume", "turnover"))
        np.testing.assert_array_equal(values, wanted)
        # Of forex, metals and energy the direction says nothing.
        sided = item["code"].endswith("USDT") or market == "stock"
        assert row["side"] == ({0: 0, 1: 1, 2: -1}[item["direction"]] if sided else 0)
        return
    for side in ("bid", "ask"):
        levels = item[f"{side}s"]
        assert row[f"{side}s"] == len(levels)
        for name, at in (("price", 0), ("volume", 1)):
            got = row[f"{side}_{name}"]
            np.testing.assert_array_equal(got[: len(levels)], numbers(x[at] for x in levels))
            assert np.isnan(got[len(levels) :]).all()


@pytest.mark.parametrize("market", ["stock", "crypto"])
@pytest.mark.parametrize("fragment", [0, 37])
def test_every_sample(run, samples, market, fragment):
    folder = samples / "protocols" / "alltick"
    lines = (folder / "pushes.jsonl").read_bytes().splitlines()
    index = json.loads((folder / "pushes.index.json").read_text())
    assert len(lines) == len(index) == 200
    items = [(entry, item) for entry in index if "items" in entry for item in entry["items"]]
    codes = sorted({item["code"] for _, item in items})
    if market == "crypto":
        codes = [code for code in codes if "." not in code]
    wanted = [(entry["kind"], item) for entry, item in items if item["code"] in codes]
    refusing = {entry["line"] for entry in index if entry.get("ret") in (401, 403)}

    def pieces(data):
        if not fragment:
            return frame(data)
        parts = [data[i : i + fragment] for i in range(0, len(data), fragment)]
        last = len(parts) - 1
        return b"".join(
            frame(part, 0 if i else 1, fin=i == last) + frame(b"between", 9)
            for i, part in enumerate(parts)
        )

    async def main():
        async with Server() as server, quick_feed(server.url, market) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(codes, "ticks", "books")
            for number, (data, entry) in enumerate(zip(lines, index, strict=True), 1):
                if number not in refusing:
                    server.peer.writer.write(pieces(data))
                assert number == entry["line"]
            server.peer.writer.write(pieces((folder / "pretty_push.json").read_bytes()))
            server.peer.send(tick(codes[0], price="77", seq=4))
            await watcher.until_price(77)
            ticks = iter(watcher.ticks)
            books = iter(watcher.books)
            for kind, item in wanted:
                assert_row(
                    next(ticks if kind == "tick" else books), item, kind, feed.symbols, market
                )
            left = [feed.symbols[int(row["symbol"])] for row in ticks]
            pretty = json.loads((folder / "pretty_push.json").read_text())["data"]["code"]
            assert left == [code for code in (pretty, codes[0]) if code in codes]
            assert next(books, None) is None
            stats = feed.stats()
            assert stats["rejected"] == {}
            assert stats["connections"] == 1
            assert stats["unmatched_replies"] == 200 - len(refusing) - sum(
                "items" in entry for entry in index
            ) - sum(e.get("cmd_id") == 22001 and e["ret"] == 200 for e in index if "ret" in e)

    run(main())


def hostile(folder):
    for line in (folder / "bad.jsonl").read_text().splitlines():
        case = json.loads(line)
        escaped = case.get("frame_escaped")
        data = case["frame"].encode() if escaped is None else escaped.encode("latin-1")
        if "expand" in case:
            expand = case["expand"]
            data = data.replace(
                expand["marker"].encode(), expand["text"].encode() * expand["times"], 1
            )
        yield case, data


def is_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


IGNORED = ("non_json", "unknown_codes", "unknown_numbers")
LOSSY = {
    "seq_overflow": "odd_sequences",
    "time_negative": "unreadable_times",
    "time_far_future": "unreadable_times",
    "direction_unknown": "odd_directions",
    "levels_5000": "cut_levels",
}


@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_every_hostile_message(run, samples, opcode):
    cases = list(hostile(samples / "protocols" / "alltick"))
    assert len(cases) == 60

    async def main():
        async with Server() as server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("BTCUSDT", "ticks", "books")
            for number, (case, data) in enumerate(cases):
                name, expect = case["name"], case["expect"]
                before, peers = feed.stats(), len(server.peers)
                ticks, books = len(watcher.ticks), len(watcher.books)
                good = tick(price=str(number), seq=number + 10)
                # RFC 6455 allows neither text that is no UTF-8 nor, here, more than 1 MiB.
                closes = len(data) > 1 << 20 or (opcode == 1 and not is_utf8(data))
                server.peer.send(data, opcode)
                if closes:
                    assert "close" in case["also_ok"] or name == "gzip_bytes"
                    await server.peer.ended.wait()
                    close = [payload for kind, payload in server.peer.frames if kind == 8]
                    code = 1009 if len(data) > 1 << 20 else 1007
                    assert [int.from_bytes(p[:2], "big") for p in close] == [code], name
                    await server.until_peers(peers + 1)
                    await watcher.until_events("resubscribed", peers)
                server.peer.send(good, opcode)
                await watcher.until_price(number)
                stats = feed.stats()
                assert len(server.peers) == peers + closes, name
                new = {
                    key: count - before["rejected"].get(key, 0)
                    for key, count in stats["rejected"].items()
                    if count != before["rejected"].get(key, 0)
                }
                ignored = sum(stats[key] - before[key] for key in IGNORED)
                rows = watcher.ticks[ticks:-1], watcher.books[books:]
                if expect.startswith("reject") or closes:
                    assert list(new.values()) == [1], name
                    assert rows == ([], [])
                    assert ignored == closes * (name == "gzip_bytes")
                elif expect == "ignore":
                    assert (new, ignored, rows) == ({}, 1, ([], [])), name
                else:
                    assert (new, ignored) == ({}, 0), name
                    decoded = case["decoded"]
                    (row,) = rows[0] + rows[1]
                    assert len(rows[0]) == (decoded["kind"] == "tick")
                    assert_row(row, decoded["items"][0], decoded["kind"], feed.symbols)
                    if expect == "accept_lossy":
                        assert stats[LOSSY[name]] > before[LOSSY[name]], name
            assert list(feed.symbols) == ["BTCUSDT"]
            assert not watcher.of("error")

    run(main())


# WebSocket itself


BROKEN = [
    ("masked", frame(tick(), mask=b"abcd"), "frame", 1002),
    ("reserved", frame(tick(), reserved=4), "frame", 1002),
    ("opcode", frame(tick(), 3), "frame", 1002),
    ("long ping", frame(b"x" * 126, 9), "frame", 1002),
    ("long length", b"\x81\x7e\x00\x05hello", "frame", 1002),
    ("oversize", frame(b"", length=(1 << 20) + 1), "length", 1009),
    ("endless", frame(b"", length=(1 << 63) - 1), "length", 1009),
    ("negative", frame(b"", length=1 << 63), "frame", 1002),
    ("utf8", frame(b'{"cmd_id":22998,"data":"\xff"}'), "utf8", 1007),
    ("cut code", frame(b"\x03", 8), "close", 1002),
    ("continuation", frame(tick(), 0), "fragment", 1002),
    ("interrupted", frame(b"{", fin=False) + frame(tick()), "fragment", 1002),
    ("not a frame", b"HTTP/1.1 200 OK\r\n\r\n", "frame", 1002),
]


@pytest.mark.parametrize(
    ("data", "reason", "code"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
@pytest.mark.parametrize("early", [False, True], ids=["later", "behind the upgrade"])
def test_a_broken_stream_is_told_and_made_again(run, data, reason, code, early):
    async def on_connect(peer):
        await peer.shake_hands()
        if early and len(server.peers) == 2:
            peer.writer.write(data)

    async def main():
        async with server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("BTCUSDT", "ticks")
            peer = server.peer
            if early:
                peer.writer.transport.abort()
                await until(lambda: len(server.peers) > 1)
                peer = server.peers[1]
            else:
                peer.writer.write(frame(tick()) + data + frame(tick(price="666", seq=2)))
            await peer.ended.wait()
            assert [(k, p) for k, p in peer.frames if k == 8] == [(8, code.to_bytes(2, "big"))]
            await until(lambda: watcher.of("resubscribed"))
            server.peer.send(tick(price="2.5", seq=3))
            await watcher.until_price(2.5)
            assert 666 not in watcher.prices()
            assert feed.stats()["rejected"] == {reason: 1}
            assert reason in watcher.of("disconnected")[early].text
            assert len(server.peers) == 2 + early

    server = Server(on_connect=on_connect)
    run(main())


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1013, 3000, 4999, None])
def test_a_close_is_answered_and_the_connection_made_again(run, code):
    payload = b"" if code is None else code.to_bytes(2, "big") + b"that is all"

    async def main():
        async with Server() as server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("BTCUSDT", "ticks")
            peer = server.peer
            peer.send(tick(price="1"))
            peer.send(payload, 8)
            peer.send(tick(price="666"))
            await peer.ended.wait()
            answer = b"\x03\xea" if code == 1006 else payload[:2]
            assert [(k, p) for k, p in peer.frames if k == 8] == [(8, answer)]
            await until(lambda: watcher.of("resubscribed"))
            server.peer.send(tick(price="2", seq=2))
            await until(lambda: watcher.prices() == [1.0, 2.0])
            text = watcher.of("disconnected")[0].text
            assert ("close" if code == 1006 else f"{code or 1005}") in text

    run(main())


def test_control_frames_between_fragments(run):
    async def main():
        async with Server() as server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("BTCUSDT", "ticks")
            data = tick(price="8.25").encode()
            for i in range(0, len(data), 20):
                server.peer.send(data[i : i + 20], 0 if i else 1, fin=i + 20 >= len(data))
                server.peer.send(b"p%d" % i, 9)
                server.peer.send(b"unasked", 10)
                await asyncio.sleep(0.002)
            await until(lambda: watcher.prices() == [8.25])
            pongs = [(10, b"p%d" % i) for i in range(0, len(data), 20)]
            await until(lambda: [f for f in server.peer.frames if f[0] != 1] == pongs)
            assert feed.stats()["connections"] == 1

    run(main())


def test_a_truncated_frame_is_a_lost_connection(run):
    async def main():
        async with Server() as server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("BTCUSDT", "ticks")
            server.peer.writer.write(frame(tick(price="1")) + frame(tick(price="666"))[:-3])
            server.peer.writer.close()
            await until(lambda: watcher.of("resubscribed"))
            server.peer.send(tick(price="2", seq=2))
            await until(lambda: watcher.prices() == [1.0, 2.0])
            assert feed.stats()["rejected"] == {}
            assert "closed by the peer" in watcher.of("disconnected")[0].text
            assert watcher.of("gap")[0].symbols == ("BTCUSDT",)
            assert [bool(row["flags"] & int(ff.Flags.GAP)) for row in watcher.ticks] == [
                False,
                True,
            ]

    run(main())
