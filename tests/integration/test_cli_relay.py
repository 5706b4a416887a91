"""The commands about NATS as processes, with a real server."""

import json
import re

import numpy as np
import pytest
from commands import process, run, terminal, until
from nats_server import nats_server
from waiting import wait_until

import fastfeed as ff


@pytest.fixture
def server(tmp_path, shm, monkeypatch):
    for name in ("USER", "PASSWORD", "TOKEN", "CREDS"):
        monkeypatch.delenv(f"NATS_{name}", raising=False)
    with nats_server(tmp_path) as server:
        yield server


def write(hub, first, count):
    rows = np.zeros(count, hub.ticks.dtype)
    rows["symbol"] = hub.symbols.intern("700.HK")
    rows["seq"] = np.arange(first, first + count)
    rows["price"] = 1.5
    hub.ticks.ring.write(rows.view(np.uint8))


def readers(hub):
    return len(hub.stats()["readers"])


def test_from_a_hub_to_another_machine(server):
    url = f"{server.url}/md"
    with ff.Hub("md") as hub, process("relay", "--hub", "md", server.url) as relay:
        wait_until(lambda: readers(hub) == 1)
        write(hub, 0, 2)
        show = ("--kinds", "ticks", "--format", "jsonl", "--limit", "5")
        with process("watch", f"{url}?start=oldest", "700.HK", *show) as watch:
            first = [json.loads(watch.stdout.readline()) for _ in range(2)]
            with process("serve", "--name", "there", url, "*") as serve:
                assert "1 feed, 1 symbol" in serve.stdout.readline()
                write(hub, 2, 3)
                out, err = watch.communicate(timeout=20)
                assert watch.returncode == 0, err
                found = [*first, *map(json.loads, out.splitlines())]
                assert [row["seq"] for row in found] == [0, 1, 2, 3, 4]
                assert {row["symbol"] for row in found} == {"700.HK"}
                with ff.attach("there") as there:
                    wait_until(lambda: there.ticks.count == 3)
                    assert there.symbols[0] == "700.HK"
                serve.terminate()
                serve.communicate(timeout=20)
        doctor = run("doctor", url)
        assert doctor.returncode == 0, doctor.stdout
        for words in ("NATS 2.", "md with md.>: 2 messages of 1 subject", "All is well."):
            assert words in doctor.stdout
        relay.terminate()
        out, err = relay.communicate(timeout=20)
    assert (relay.returncode, out) == (0, "")
    assert re.search(r"nats://127\.0\.0\.1:\d+: 5 rows in .* 2 messages, .* 0 rows lost\.", err)


def test_in_a_terminal(server):
    with ff.Hub("md") as hub, terminal("relay", "--hub", "md", server.url) as (child, screen):
        wait_until(lambda: readers(hub) == 1)
        write(hub, 0, 1234)
        until(screen, "1,234 rows, ")
        server.kill()
        until(screen, "reconnecting")
        server.start()
        until(screen, ": connected", 20)
        child.terminate()
        shown = until(screen, "", 20)
        assert "1,234 rows in" in shown
        assert child.wait(20) == 0


def test_what_is_lost_is_told(server):
    with ff.Hub("md", capacity=64) as hub:
        with process("relay", "--hub", "md", server.url) as relay:
            wait_until(lambda: readers(hub) == 1)
            for first in range(0, 6400, 64):
                write(hub, first, 64)
            relay.terminate()
            _, err = relay.communicate(timeout=20)
    assert relay.returncode == 1
    assert "rows were overwritten in the hub before they could be published" in err
    assert re.search(r"^fastfeed: [\d,]+ rows were overwritten before they", err, re.MULTILINE)


def test_it_ends_with_its_hub(server):
    with ff.Hub("md") as hub:
        with process("relay", "--hub", "md", server.url, "--no-follow") as relay:
            wait_until(lambda: readers(hub) == 1)
            write(hub, 0, 5)
            hub.close()
            _, err = relay.communicate(timeout=20)
    assert relay.returncode == 0
    assert "5 rows in" in err


def test_what_goes_wrong_is_a_line(server, tmp_path):
    with ff.Hub("md"), ff.Hub("deep", book_depth=1000):
        nobody = "nats://me:secret@127.0.0.1:1"
        cases = {
            ("--hub", "other", server.url): (1, "there is no hub 'other'"),
            ("--hub", "md", nobody): (1, "nothing listens at 127.0.0.1:1"),
            ("--hub", "md", "http://127.0.0.1"): (2, "expected addresses of NATS"),
            ("--hub", "md", server.url, "--kinds", "trades"): (2, "expected a kind"),
            ("--hub", "md", server.url, "--shard", "3/2"): (2, "a shard such as 1/4"),
            ("--hub", "md", server.url, "--creds", "nowhere"): (2, "credentials nowhere"),
        }
        for arguments, (code, words) in cases.items():
            done = run("relay", *arguments)
            assert (done.returncode, done.stdout) == (code, ""), done.stderr
            assert words in done.stderr
            assert done.stderr.count("\n") == 1
            assert "secret" not in done.stderr
        assert run("relay", "--hub", "md", server.url, "--duration", "0.2").returncode == 0
        done = run("relay", "--hub", "md", server.url, "--max-age", "60", "--storage", "memory")
        assert done.returncode == 2
        assert "max age 86400 s, and not 60 s; storage file, and not memory" in done.stderr
        assert "--update-stream" in done.stderr
    doctor = run("doctor", nobody)
    assert doctor.returncode == 1
    assert "nothing listens" in doctor.stdout
    for arguments in (("ticks", "700.HK"), ("--help",)):
        asked = run("get", f"{server.url}/md", *arguments)
        assert (asked.returncode, asked.stdout) == (2, "")
        assert asked.stderr.startswith("fastfeed get: NATS answers no questions")
    watch = run("watch", f"{server.url}/other", "700.HK", "--format", "csv")
    assert watch.returncode == 1
    assert "there is no stream 'other'" in watch.stderr


def test_wrong_credentials(tmp_path, shm, monkeypatch):
    with nats_server(tmp_path, "--user", "me", "--pass", "secret") as server, ff.Hub("md"):
        place = server.url.removeprefix("nats://")
        for url in (server.url, f"nats://me:wrong@{place}"):
            done = run("relay", "--hub", "md", url)
            assert done.returncode == 1
            assert f"NATS at {place} refused the credentials" in done.stderr
            assert done.stderr.count("\n") == 1
            assert "wrong" not in done.stderr
        monkeypatch.setenv("NATS_USER", "me")
        monkeypatch.setenv("NATS_PASSWORD", "secret")
        assert run("relay", "--hub", "md", server.url, "--duration", "0.2").returncode == 0
