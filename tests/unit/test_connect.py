"""URLs and options."""

import pytest

import fastfeed as ff
from fastfeed.connect import masked, vendor_of


def test_url_names_host_and_port():
    assert ff.connect("opend://10.1.2.3:22222").url == "opend://10.1.2.3:22222"
    assert ff.connect("opend://localhost").url == "opend://localhost:11111"
    assert ff.connect("opend://[::1]:5").url == "opend://[::1]:5"
    assert isinstance(ff.connect("opend://localhost"), ff.OpenD)


def test_options_by_query_and_keyword():
    hub = ff.Hub(capacity=64)
    feed = ff.connect("opend://h?wait_s=2.5&session=ALL&check_sha1=true", hub=hub, wait_s=1)
    assert feed.hub is hub
    assert feed._wait_s == 1
    assert feed._check_sha1 is True


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:11111",
        "http://127.0.0.1",
        "opend://",
        "opend://h:0",
        "opend://h:99999",
        "opend://h:port",
        "opend://a..b",
        f"opend://{'h' * 64}",
        "opend://h/path",
        "opend://user:secret@h",
        "opend://h?colour=red",
        "opend://h?wait_s=long",
        "opend://h?session=NIGHT",
        "opend://h?window_bytes=1",
        "opend://h?window_bytes=-1",
        f"opend://h?limit_bytes={1 << 63}",
        "opend://h?wait_s=nan",
        "opend://h?request_timeout_s=-1",
        "opend://h?connect_timeout_s=0",
        None,
        7,
    ],
)
def test_what_cannot_be_used_is_a_config_error(url):
    with pytest.raises(ff.ConfigError) as info:
        ff.connect(url)
    assert "expected" in str(info.value) or "option" in str(info.value)
    assert isinstance(info.value, ValueError)


def test_credentials_are_not_repeated():
    for url in ("opend://user:secret@h", "opend://secret@h:1", "other://user:secret@h"):
        with pytest.raises(ff.ConfigError) as info:
            ff.connect(url)
        assert "secret" not in str(info.value)
        assert "secret" not in repr(info.value.__cause__)


def test_unknown_option():
    with pytest.raises(ff.ConfigError, match=r"expected an option \(hub, .*got 'colour'"):
        ff.connect("opend://h", colour="red")


def test_run_uses_uvloop():
    import asyncio

    async def main():
        return type(asyncio.get_running_loop()).__module__

    assert ff.run(main()).startswith("uvloop")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("wss://h/p?token=abc&x=1", "wss://h/p?token=***&x=1"),
        ("'alltick://crypto?Token=abc', got", "'alltick://crypto?Token=***', got"),
        ("?url=wss%3A%2F%2Fh%3Ftoken%3Dabc", "?url=wss%3A%2F%2Fh%3Ftoken%3D***"),
        ("opend://a:b@h and wss://c@h", "opend://***@h and wss://***@h"),
        ("give token=, or", "give token=, or"),
    ],
)
def test_masked(text, shown):
    assert masked(text) == shown


def test_vendor_of_a_url():
    assert vendor_of("opend://h") is ff.OpenD
    assert vendor_of("alltick://x?token=a") is ff.AllTick
    assert vendor_of("http://h") is vendor_of("opend://[") is vendor_of("URL") is None
