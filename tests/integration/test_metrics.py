"""Metrics and health by HTTP: of feeds, of the commands, of clients that misbehave; and the dashboard's queries."""

import asyncio
import contextlib
import importlib.resources
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading

import commands
import pytest
from alltick_feeds import TOKEN as ALLTICK
from alltick_feeds import quick_feed
from feeds import quick, until
from longport_gateway import KEY, SECRET, TOKEN
from metrics import FakeHub, announced, fetch, samples, value
from nats_server import NatsServer, programs
from waiting import wait_until

import fastfeed as ff
from fastfeed.sim import AllTickSimulator, LongPortSimulator, OpenDSimulator
from fastfeed.sinks import metrics_server, sight
from fastfeed.sinks.metrics import FAMILIES


async def get(server, path, **headers):
    url = server.url.removesuffix("/metrics") + path
    return await asyncio.to_thread(fetch, url, **headers)


async def health(server, query=""):
    status, _, text = await get(server, f"/healthz{query}")
    return status, json.loads(text)["problems"]


# feeds


def test_counters_are_those_of_the_hub(run):
    async def main():
        async with OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=2000) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                with ff.serve_metrics(0, feed.hub, feeds=[feed]) as server:
                    await feed.subscribe(sim.symbols, "ticks", "books")
                    await until(lambda: feed.ticks.count > 200 and feed.books.count > 20)
                    await feed.unsubscribe(sim.symbols)
                    url = feed.url

                    def is_quiet():
                        (slot,) = feed.hub.stats()["feeds"]
                        counts = feed.stats()
                        return slot["bytes"] == counts["bytes"] and slot["rows"] == sum(
                            stream.count for stream in feed.hub.streams
                        )

                    await until(is_quiet)
                    status, headers, text = await get(server, "/metrics")
                    assert status == 200
                    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
                    found = samples(text)
                    hub = feed.hub.stats()
                    (slot,) = hub["feeds"]
                    for stream in ("ticks", "books"):
                        rows = hub["streams"][stream]["rows"]
                        assert value(found, "fastfeed_rows_total", stream=stream) == rows
                    for name, key in (
                        ("connections_total", "connections"), ("received_bytes_total", "bytes"),
                        ("packets_total", "packets"), ("rows_total", "rows"), ("gaps_total", "gaps"),
                    ):  # fmt: skip
                        assert value(found, f"fastfeed_feed_{name}", feed=url) == slot[key], name
                    count = value(found, "fastfeed_feed_receive_to_publish_seconds_count", feed=url)
                    assert count == slot["receive_to_publish"]["count"] == slot["rows"]
                    assert value(found, "fastfeed_symbols") == 2
                    last = value(found, "fastfeed_feed_last_row_timestamp_seconds", feed=url)
                    assert abs(last - slot["last_recv_ns"] / 1e9) < 1e-3
                    assert value(found, "process_cpu_seconds_total") > 0
                    _, headers, text = await get(
                        server, "/metrics", Accept="application/openmetrics-text; version=1.0.0"
                    )
                    assert headers["Content-Type"].startswith("application/openmetrics-text")
                    assert text.endswith("# EOF\n")

    run(main())


def test_health_of_a_feed(run):
    async def main():
        async with OpenDSimulator(symbols=["BTCUSDT.CC"], rate=500) as sim:
            feed = ff.connect(sim.url, **quick())
            with ff.serve_metrics(0, feed.hub, feeds=[feed]) as server:
                assert await health(server) == (503, [f"{feed.url}: not connected"])
                async with feed:
                    await feed.subscribe("BTCUSDT.CC", "ticks")
                    await until(lambda: feed.ticks.count > 10)
                    assert await health(server) == (200, [])
                    await sim.pause_listening()
                    await sim.disconnect_all()
                    await until(lambda: not feed.connected)
                    assert await health(server) == (200, [])  # not for long yet
                    await asyncio.sleep(0.1)
                    status, problems = await health(server, "?down=0.05")
                    assert status == 503
                    assert problems == [f"{feed.url}: disconnected for 0 s"]
                    await sim.resume_listening()
                    await until(lambda: feed.connected)
                    assert await health(server, "?silent=inf") == (200, [])
                    await feed.unsubscribe("BTCUSDT.CC")
                    await feed.subscribe("BTCUSDT.CC", "quotes")
                    await feed.unsubscribe("BTCUSDT.CC", "quotes")
                    assert (await health(server))[0] == 200
                status, problems = await health(server, "?down=1e-9")
                assert status == 503
                assert problems == [f"{feed.url}: closed for 0 s"]

    run(main())


@pytest.mark.parametrize(("symbol", "is_open"), [("BTCUSDT.CC", True), ("1.M99", False)])
def test_health_of_a_feed_that_is_silent(run, symbol, is_open):
    async def main():
        async with OpenDSimulator(symbols=[symbol], rate=0.001) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                with ff.serve_metrics(0, feed.hub, feeds=[feed], silent_s=0.2) as server:
                    await feed.subscribe(symbol, "ticks")
                    await asyncio.sleep(0.3)
                    status, problems = await health(server)
                    if is_open:
                        assert status == 503
                        assert problems == [f"{feed.url}: no row for 0 s while CC is open"]
                        assert await health(server, "?silent=600") == (200, [])
                    else:
                        assert (status, problems) == (200, [])

    run(main())


def test_a_loop_that_hangs(run, monkeypatch):
    monkeypatch.setattr(sight.Observed.look, "__defaults__", (0.2,))
    found = []

    async def main():
        async with OpenDSimulator(symbols=["700.HK"], rate=100) as sim:
            async with ff.connect(sim.url) as feed:
                with ff.serve_metrics(0, feed.hub, feeds=[feed]) as server:
                    base = server.url.removesuffix("/metrics")
                    assert (await health(server, "?silent=inf"))[0] == 200

                    def ask():
                        found.extend(fetch(f"{base}{path}") for path in ("/healthz", "/metrics"))

                    thread = threading.Thread(target=ask)
                    thread.start()
                    thread.join(15)  # the loop waits for it, and cannot answer meanwhile
                    assert not thread.is_alive()
                    assert (await health(server, "?silent=inf"))[0] == 200

    run(main())
    (status, _, text), (_, _, metrics) = found
    assert (status, json.loads(text)["problems"]) == (503, ["the event loop does not answer"])
    assert value(samples(metrics), "fastfeed_event_loop_up") == 0
    assert value(samples(metrics), "fastfeed_feed_up") == 1


def test_no_credentials_in_any_output(run):
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
            hub = ff.Hub(capacity=1 << 12)
            one = ff.LongPort(url=longport.url, http_url=longport.http_url, hub=hub, **credentials)
            other = quick_feed(alltick.url, token=ALLTICK, hub=hub)
            with ff.serve_metrics(0, hub, feeds=[one, other], down_s=1e-9) as server:
                async with one, other:
                    await one.subscribe(longport.symbols, "ticks", "quotes")
                    await other.subscribe(alltick.symbols[:2], "ticks")
                    await until(lambda: hub.ticks.count > 50)
                    texts = [(await get(server, path))[2] for path in ("/metrics", "/healthz")]
                texts.append((await get(server, "/healthz"))[2])
                assert one.url in texts[0]
                assert one.url in texts[2]
                assert other.url in texts[2]
                for text in texts:
                    assert not any(secret in text for secret in (KEY, SECRET, TOKEN, ALLTICK))

    run(main())


# HTTP


@pytest.fixture
def server():
    with ff.serve_metrics(0, FakeHub()) as server:
        yield server


def port_of(server):
    return int(re.search(r":(\d+)/metrics$", server.url)[1])


def test_paths(server):
    base = server.url.removesuffix("/metrics")
    assert fetch(f"{base}/")[0] == 200
    assert fetch(f"{base}/x")[0] == 404
    status, headers, text = fetch(f"{base}/grafana.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(text)["title"] == "fastfeed"
    assert fetch(f"{base}/healthz?down=30&silent=inf")[0] == 200
    for query in ("down=0", "down=x", "silent=nan", "silent=-1", "other=1"):
        status, _, text = fetch(f"{base}/healthz?{query}")
        assert (status, text) == (400, "expected down and silent in seconds, more than 0\n")
    assert fetch(server.url, Accept="application/openmetrics-text; version=x")[0] == 200


def test_raw_requests(server):
    def ask(data):
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as sock:
            sock.sendall(data)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    head = ask(b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert head.endswith(b"\r\n\r\n")
    assert ask(b"POST /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.0 501")
    assert b"400" in ask(b"\x00\xff\r\n\r\n")
    assert b" 404 " in ask(b"GET http://[/metrics HTTP/1.1\r\n\r\n")
    assert b" 414 " in ask(b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n")
    assert fetch(server.url)[0] == 200


def threads():
    return [t for t in threading.enumerate() if "process_request_thread" in t.name]


def test_slow_and_many_clients(server, monkeypatch):
    monkeypatch.setattr(metrics_server, "_REQUEST_S", 0.5)
    address = ("127.0.0.1", port_of(server))
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(20)
        ]
        refused = 0
        for sock in slow:
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"GET /met")
        wait_until(lambda: not threads())  # though each could wait for more
        for sock in slow:
            with contextlib.suppress(ConnectionError):
                refused += sock.recv(1) == b""
                continue
            refused += 1
        assert refused == len(slow)
    wait_until(lambda: not threads())
    assert fetch(server.url)[0] == 200


def test_there_are_only_so_many_threads(server):
    address = ("127.0.0.1", port_of(server))
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(socket.create_connection(address, timeout=10))
        wait_until(lambda: len(threads()) == metrics_server._MOST_REQUESTS)
    wait_until(lambda: not threads())
    assert fetch(server.url)[0] == 200


def test_closing_drops_who_waits():
    server = ff.serve_metrics(0, FakeHub())
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as sock:
        wait_until(threads)
        server.close()
        assert sock.recv(1) == b""
    wait_until(lambda: not threads())
    assert "fastfeed metrics" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=10)


def test_a_port_in_use(server):
    port = port_of(server)
    with pytest.raises(ff.ConfigError) as caught:
        ff.serve_metrics(port, FakeHub())
    assert str(caught.value) == f"cannot serve metrics on 127.0.0.1:{port}: Address already in use"


@pytest.mark.parametrize("option", ["down_s", "silent_s"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_limits_that_cannot_be(option, seconds):
    with pytest.raises(ValueError, match=f"expected {option} in seconds, more than 0"):
        ff.serve_metrics(0, FakeHub(), **{option: seconds})


def test_what_fails_is_told_in_the_log_only(caplog):
    class Hub(FakeHub):
        def measured(self):
            raise RuntimeError("a secret")

    with ff.serve_metrics(0, Hub()) as server:
        status, _, text = fetch(server.url)
    assert (status, text) == (500, "it failed; the log says why\n")
    assert "a secret" in caplog.text


# commands


def test_watch():
    with commands.simulator("--symbols", "700.HK", "--rate", "500") as (url, _):
        args = ("watch", url, "700.HK", "--format", "csv", "--metrics", "0")
        with commands.process(*args, stdout=subprocess.DEVNULL) as child:
            base = announced(child)
            wait_until(lambda: fetch(f"{base}/healthz")[0] == 200)
            wait_until(
                lambda: value(samples(fetch(f"{base}/metrics")[2]), "fastfeed_rows_total") > 10
            )
            child.terminate()
            assert child.wait(10) == 0


@pytest.mark.parametrize(
    ("listen", "code", "words"),
    [
        ("x", 2, "expected a port such as 9000 or 0.0.0.0:9000, got 'x'"),
        (":9000", 2, "expected a port such as 9000 or 0.0.0.0:9000, got ':9000'"),
        ("70000", 2, "expected a port such as 9000"),
        ("nowhere.invalid:9000", 1, "cannot serve metrics on nowhere.invalid:9000: "),
    ],
)
def test_where_it_cannot_listen(listen, code, words):
    done = commands.run("watch", "opend://127.0.0.1:9", "700.HK", "--metrics", listen)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use_on_the_command_line(server, shm):
    args = ("serve", "--name", "md", "opend://127.0.0.1:9", "700.HK")
    done = commands.run(*args, "--metrics", f"127.0.0.1:{port_of(server)}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"fastfeed: cannot serve metrics on 127.0.0.1:{port_of(server)}: Address already in use\n"
    )


# the dashboard


def dashboard():
    return json.loads((importlib.resources.files("fastfeed.sinks") / "grafana.json").read_bytes())


def targets():
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel, target


_WORDS = {
    "sum", "by", "rate", "increase", "histogram_quantile", "time", "on", "group_left", "job", "instance",
}  # fmt: skip
_ADDED = {"job", "instance"}  # by Prometheus


def parsed(expr):
    """Return the metrics of a query, and the labels that it groups by."""
    selectors = dict(re.findall(r"([a-z_]\w*)(\{[^}]*\})", expr))
    rest = re.sub(r"\{[^}]*\}|\[\$__rate_interval\]", "", expr)
    grouped = {
        label for group in re.findall(r"by \(([^)]*)\)", rest) for label in group.split(", ")
    }
    rest = re.sub(r"by \([^)]*\)", "", rest)
    words = set(re.findall(r"[a-z_]\w*", rest))
    assert words <= _WORDS | set(selectors), f"{expr}: what is {words - _WORDS - set(selectors)}?"
    assert rest.count("(") == rest.count(")")
    for text in selectors.values():
        assert text == '{job=~"$job",instance=~"$instance"}', (
            "it is not one of the instances chosen"
        )
    return set(selectors), grouped


@pytest.fixture(scope="module")
def scrapes(tmp_path_factory):
    """Return {name: set of labels} of what serve, record and relay tell, and of a capture's counters."""
    program = next(iter(programs()), None)
    folder = tmp_path_factory.mktemp("metrics")
    found = {}

    def add(text):
        for name, each in samples(text).items():
            for labels, _ in each:
                found.setdefault(name, set()).update(labels)

    def rows(base, name):
        return value_sum(samples(fetch(f"{base}/metrics")[2]), name) > 100

    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        memory = stack.enter_context(_shared_memory())
        patch.setenv("FASTFEED_SHM", memory)
        url, _ = stack.enter_context(commands.simulator("--symbols", "700.HK", "--rate", "500"))
        serving = stack.enter_context(
            commands.process("serve", "--name", "md", url, "700.HK", "--metrics", "0")
        )
        bases = [announced(serving)]
        hub = stack.enter_context(ff.attach("md", wait_s=20))
        reader = hub.ticks.reader(measure=True)
        recording = stack.enter_context(
            commands.process(
                *("record", "--hub", "md", "--out", str(folder / "rows"), "--flush", "0.1"),
                *("--metrics", "0"),
            )
        )
        bases.append(announced(recording))
        wait_until(lambda: rows(bases[1], "fastfeed_recording_rows_total"))
        if program is not None:
            with_nats = NatsServer(program, folder)
            with_nats.start()
            stack.callback(with_nats.kill)
            relaying = stack.enter_context(
                commands.process("relay", "--hub", "md", with_nats.url, "--metrics", "0")
            )
            bases.append(announced(relaying))
            wait_until(lambda: rows(bases[2], "fastfeed_relay_rows_total"))
        assert reader.wait(10)
        reader.read()
        wait_until(lambda: fetch(f"{bases[0]}/healthz?silent=inf")[0] == 200)
        for base in bases:
            assert fetch(f"{base}/healthz?silent=inf")[0] == 200
            add(fetch(f"{base}/metrics")[2])
        for child in reversed((serving, recording)):
            child.terminate()
            assert child.wait(20) == 0
    capture = {
        "bytes": 1, "stored_bytes": 1, "records": 1, "gaps": 0, "lost_bytes": 0, "segments": 1, "failing": None,
    }  # fmt: skip
    part = type("Part", (), {"stats": lambda self: capture})()
    with ff.serve_metrics(0, FakeHub(), parts={"capture": part}) as server:
        add(fetch(server.url)[2])
    found.setdefault("fastfeed_feed_rejected_total", {"feed", "reason"})  # nothing was
    return found, program is not None


def value_sum(found, name):
    return sum(v for _, v in found.get(name, ()))


@contextlib.contextmanager
def _shared_memory():
    with tempfile.TemporaryDirectory(prefix="fastfeed-test-", dir="/dev/shm") as folder:
        yield folder


def test_queries_name_what_there_is(scrapes):
    found, with_relay = scrapes
    if not with_relay:
        pytest.skip("no nats-server")
    for panel, target in targets():
        names, grouped = parsed(target["expr"])
        assert names, target
        for name in names:
            assert name in found, f"{panel['title']}: there is no {name}"
            labels = found[name] | _ADDED
            assert grouped <= labels, f"{panel['title']}: {name} has no {grouped - labels}"
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown <= (grouped or labels), f"{panel['title']}: {shown} cannot be shown"


def test_every_metric_is_shown():
    used = {name for _, target in targets() for name in parsed(target["expr"])[0]}
    for name, family in FAMILIES.items():
        suffix = {"counter": "_total", "info": "_info", "histogram": "_bucket"}.get(family.kind, "")
        assert f"{name}{suffix}" in used


def test_histograms_are_read_by_bucket():
    for panel, target in targets():
        if "_bucket" in target["expr"]:
            assert re.match(r"histogram_quantile\(0\.\d+, sum by \(le, ", target["expr"]), panel[
                "title"
            ]
        names, _ = parsed(target["expr"])
        for name in names:
            is_counter = name.endswith(("_total", "_bucket"))
            has_rate = re.search(rf"(rate|increase)\({name}\{{", target["expr"]) is not None
            is_sum = name in (
                "fastfeed_recording_sealed_files_total",
                "fastfeed_capture_segments_total",
            )
            assert has_rate == (is_counter and not is_sum), target["expr"]


def test_the_dashboard_as_such():
    found = dashboard()
    assert found["schemaVersion"] >= 36
    assert found["uid"] == "fastfeed"
    names = [variable["name"] for variable in found["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids)
    places = set()
    for panel in found["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not places & cells, f"{panel['title']} lies on another one"
        places |= cells
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_prometheus_takes_it(scrapes):
    if shutil.which("promtool") is None:
        pytest.skip("no promtool")
    with ff.serve_metrics(0, FakeHub()) as server:
        text = fetch(server.url)[2]
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
