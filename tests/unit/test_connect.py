"""URLs and options."""

import os

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


LONGPORT = {"app_key": "key0123", "app_secret": "secret0123", "access_token": "token0123"}


@pytest.fixture
def no_environment(monkeypatch):
    """Remove what the environment says about LongPort."""
    for name in os.environ:
        if name.startswith(("LONGPORT_", "LONGBRIDGE_")):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_environment")
def test_longport_by_keyword_query_and_environment(monkeypatch):
    feed = ff.connect("longport://", **LONGPORT)
    assert isinstance(feed, ff.LongPort)
    assert feed.url == "longport://?url=wss://openapi-quote.longbridge.com/v2"
    assert feed.settings.http_url == "https://openapi.longbridge.com"
    query = "&".join(f"{name}={value}" for name, value in LONGPORT.items())
    feed = ff.connect(f"longport://?{query}&transport=tcp&region=cn&overnight=true&language=zh-HK")
    assert feed.url == "longport://?url=tcp://openapi-quote.longbridge.cn:2020"
    assert (feed.settings.overnight, feed.settings.language) == (True, "zh-HK")
    for prefix, number in (("LONGPORT", 1), ("LONGBRIDGE", 2)):  # the newer name wins
        for name, value in LONGPORT.items():
            monkeypatch.setenv(f"{prefix}_{name.upper()}", value)
        monkeypatch.setenv(f"{prefix}_QUOTE_WS_URL", f"ws://h{number}/v2")
        monkeypatch.setenv(f"{prefix}_HTTP_URL", f"http://h{number}/")
        feed = ff.connect("longport://")
        assert feed.url == f"longport://?url=ws://h{number}/v2"
        assert feed.settings.http_url == f"http://h{number}"
    assert ff.connect("longport://", url="ws://h3").url == "longport://?url=ws://h3"
    assert feed.session_expires_ns is None


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize("missing", LONGPORT)
def test_longport_says_which_credential_is_missing(missing):
    given = {name: value for name, value in LONGPORT.items() if name != missing}
    with pytest.raises(ff.ConfigError, match=f"{missing} is missing") as info:
        ff.connect("longport://", **given)
    assert f"LONGBRIDGE_{missing.upper()} or LONGPORT_{missing.upper()}" in str(info.value)


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("longport://h", "expected a URL such as"),
        ("longport://h:1", "expected a URL such as"),
        ("longport://key0123:secret0123@h", "expected a URL such as"),
        ("longport:///path", "expected a URL such as"),
        ("longport://?transport=udp", "ws, tcp"),
        ("longport://?region=us", "global, cn"),
        ("longport://?language=de", "en, zh-CN, zh-HK"),
        ("longport://?overnight=perhaps", "overnight"),
        ("longport://?url=https://h", "expected url to be a"),
        ("longport://?http_url=wss://h", "expected http_url to be"),
        ("longport://?oauth_token=token0123", "some of both"),
        ("longport://?app_key=key%200123", "app_key as printable ASCII without blanks"),
        ("longport://?token=token0123", "got 'token' in the URL"),
        ("longport://?window_bytes=-1", "window_bytes"),
        ("longport://?wait_s=-1", "wait_s"),
    ],
)
def test_longport_urls_that_cannot_be_used(url, words):
    options = {name: value for name, value in LONGPORT.items() if f"{name}=" not in url}
    with pytest.raises(ff.ConfigError) as info:
        ff.connect(url, **options)
    assert words in str(info.value)
    assert not any(value in str(info.value) for value in LONGPORT.values())


@pytest.mark.usefixtures("no_environment")
def test_credentials_of_longport_are_shown_nowhere():
    feed = ff.connect("longport://", **LONGPORT)
    shown = [repr(feed), str(feed), feed.url, repr(feed.settings), repr(feed._credentials)]
    assert not any(value in text for value in LONGPORT.values() for text in shown)
    feed = ff.connect("longport://", **LONGPORT, url="wss://proxy/v2?ticket=a-secret")
    assert feed.url == "longport://?url=wss://proxy/v2"
    assert "a-secret" not in repr(feed)


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
        (
            "longport://?app_key=a&app_secret=b&access_token=c&oauth_token=d&url=ws://h",
            "longport://?app_key=***&app_secret=***&access_token=***&oauth_token=***&url=ws://h",
        ),
    ],
)
def test_masked(text, shown):
    assert masked(text) == shown


def test_vendor_of_a_url():
    assert vendor_of("opend://h") is ff.OpenD
    assert vendor_of("alltick://x?token=a") is ff.AllTick
    assert vendor_of("longport://") is vendor_of("longport://?url=ws://h") is ff.LongPort
    assert vendor_of("http://h") is vendor_of("opend://[") is vendor_of("URL") is None
