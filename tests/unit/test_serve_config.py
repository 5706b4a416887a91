"""The file of `fastfeed serve`: what it may say, and every mistake told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import fastfeed as ff
from fastfeed.cli import serve_config
from fastfeed.cli.main import cli
from fastfeed.cli.serve_config import HubConfig, load

SECRET = "hush-hush-1234"
OPEND = '[[feeds]]\nurl = "opend://h"\n'
ALLTICK = f'[[feeds]]\nurl = "alltick://crypto"\nsymbols = ["BTCUSDT"]\noptions = {{ token = "{SECRET}" }}\n'


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALLTICK_TOKEN", "FUTU_OPEND_RSA_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def shm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where hubs would be made; none may be, by a mistake in a file."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setenv("FASTFEED_SHM", str(folder))
    return folder


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "feeds.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def checked(folder: Path, text: str) -> HubConfig:
    config = load(written(folder, text))
    config.check()
    return config


FULL = f"""
name = "md"
capacity = 1024
max_symbols = 100
book_depth = 5
mode = 0o640

[[feeds]]
url = "opend://h:1234?wait_s=3"
options = {{ client_id = "me", session = "ALL", check_sha1 = true, request_timeout_s = 5 }}
[[feeds.subscriptions]]
symbols = ["HK.00700", "AAPL.US", "700.HK"]
kinds = ["ticks", "bars:1m"]
[[feeds.subscriptions]]
symbols_file = "us.txt"

{ALLTICK}
"""


def test_everything_that_a_file_can_say(tmp_path: Path) -> None:
    (tmp_path / "us.txt").write_text("# some\nTSLA.US\n\n  NVDA.US  # chips\r\n")
    config = checked(tmp_path, FULL)
    with config.new_hub(None) as hub:
        assert (hub.capacity, hub.symbols.capacity, hub.book_depth) == (1024, 100, 5)
        first, second = config.plans(hub)
        assert isinstance(first.feed, ff.OpenD)
        assert isinstance(second.feed, ff.AllTick)
        assert first.feed.url == "opend://h:1234"
        assert first.feed.hub is second.feed.hub is hub
        assert first.wanted == [
            (["700.HK", "AAPL.US"], ("ticks", "bars:1m")),
            (["TSLA.US", "NVDA.US"], ("ticks",)),
        ]
        assert first.symbols == {"700.HK", "AAPL.US", "TSLA.US", "NVDA.US"}
        assert second.wanted == [(["BTCUSDT"], ("ticks",))]
        another = first.make()
        assert another is not first.feed
        assert another.url == first.feed.url


def test_how_long_feeds_try_to_connect(tmp_path: Path) -> None:
    symbols = 'symbols = ["700.HK"]\n'
    config = checked(
        tmp_path,
        f'name = "md"\n{OPEND}{symbols}{OPEND.replace("//h", "//h?wait_s=3")}{symbols}'
        f"{OPEND}{symbols}options = {{ wait_s = 4 }}",
    )
    with config.new_hub(None) as hub:
        assert [plan.feed._wait_s for plan in config.plans(hub)] == [1e9, 3, 4]
        assert [plan.feed._wait_s for plan in config.plans(hub, 2.0)] == [2, 3, 4]


@pytest.mark.parametrize("mode", ['"0640"', '"640"', '"0o640"', "0o640", "416"])
def test_permissions(tmp_path: Path, shm: Path, mode: str) -> None:
    config = checked(tmp_path, f'name = "md"\nmode = {mode}\n{ALLTICK}')
    with config.new_hub("md"):
        [folder] = shm.iterdir()
        assert (folder / "md" / "hub").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = x\n", "(at line 1, column 8)"),
        (b"name = '\xff'", "utf-8"),
        (f"capacity = {'1' * 5000}", "5000 digits"),
        ("x = 1", "unknown field `x`"),
        ("name = 1", "Expected `str | null`, got `int` - at `$.name`"),
        ('capacity = "big"', "got `str` - at `$.capacity`"),
        ('receive = "both"', "'both' - at `$.receive`"),
        ("spin = 1", "at `$.spin`"),
        ("feeds = 1", "Expected `array`, got `int` - at `$.feeds`"),
        ("[[feeds]]", "missing required field `url` - at `$.feeds[0]`"),
        (f"{OPEND}[[feeds]]\nurl = 1", "Expected `str`, got `int` - at `$.feeds[1].url`"),
        (f"{OPEND}symbol = []", "unknown field `symbol` - at `$.feeds[0]`"),
        (f"{OPEND}symbols = ['700.HK', 5]", "got `int` - at `$.feeds[0].symbols[1]`"),
        (f"{OPEND}kinds = 'ticks'", "got `str` - at `$.feeds[0].kinds`"),
        (f"{OPEND}options = 1", "Expected `object`, got `int` - at `$.feeds[0].options`"),
        (
            f"{OPEND}[[feeds.subscriptions]]\nsymbols = ['700.HK']\nkind = []",
            "unknown field `kind` - at `$.feeds[0].subscriptions[0]`",
        ),
        (
            f"{OPEND}symbols = ['700.HK']\n[[feeds.subscriptions]]\nsymbols = ['700.HK']",
            "either here or in subscriptions - at `$.feeds[0]`",
        ),
        (f"{OPEND}symbols_file = 'none.txt'", "none.txt: No such file"),
        (f"{OPEND}symbols_file = '.'", "directory"),
        (f'{OPEND}symbols_file = "a\\u0000b"', "cannot read"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str | bytes, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ff.ConfigError) as caught:
        load(path)
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ALLTICK, "expected the name of the hub: give --name"),
        (f'name = "../md"\n{ALLTICK}', "expected the name of a hub"),
        ('name = "md"', "expected at least one feed"),
        (f'name = "md"\ncapacity = 1000\n{ALLTICK}', "a power of two"),
        (f'name = "md"\nbook_depth = 0\n{ALLTICK}', "a depth of 1 to 1000"),
        (f'name = "md"\nmax_symbols = 0\n{ALLTICK}', "capacity of 1 to"),
        (f'name = "md"\nmax_symbols = {10**30}\n{ALLTICK}', "capacity of 1 to"),
        (f'name = "md"\nmode = "rw"\n{ALLTICK}', "permissions such as 0640, got 'rw'"),
        (f'name = "md"\nspin = true\n{ALLTICK}', "expected receive thread"),
        (f'name = "md"\nreceive = "loop"\ncpu = 1\n{ALLTICK}', "expected receive thread"),
        (f'name = "md"\n{OPEND}', "expected at least one symbol - at `$.feeds[0]`"),
        (f'name = "md"\n{OPEND}subscriptions = []', "expected symbols - at `$.feeds[0]`"),
        (f'name = "md"\n{OPEND}symbols = ["700"]', "expected a symbol"),
        (f'name = "md"\n{OPEND}symbols = ["700.HK"]\nkinds = ["tocks"]', "got 'tocks'"),
        (f'name = "md"\n{OPEND}symbols = ["700.HK"]\nkinds = []', "at least one kind"),
        (
            f'name = "md"\nmax_symbols = 2\n{OPEND}symbols = ["1.HK", "2.HK", "3.HK"]',
            "expected at most 2 symbols, got 3: raise max_symbols",
        ),
        ('name = "md"\n[[feeds]]\nurl = "http://x"', "expected a URL"),
        ('name = "md"\n[[feeds]]\nurl = "http://[x"', "expected a URL"),
        ('name = "md"\n[[feeds]]\nurl = "alltick://crypto"\nsymbols = ["X"]', "expected a token"),
        (f'name = "md"\n{OPEND}options = {{ wait = 1 }}', "expected an option"),
        (f'name = "md"\n{OPEND}options = {{ hub = 1 }}', "the option hub cannot stand in a file"),
        (f'name = "md"\n{OPEND}options = {{ book_depth = 5 }}', "the hub has its own"),
        (
            f'name = "md"\n{OPEND}options = {{ wait_s = "1" }}',
            "Expected `float`, got `str` - at `$.feeds[0].options.wait_s`",
        ),
        (
            f'name = "md"\n{OPEND}options = {{ session = "DAY" }}',
            "'DAY' - at `$.feeds[0].options.session`",
        ),
        (f'name = "md"\n{OPEND}options = {{ wait_s = nan }}', "wait_s in seconds"),
    ],
)
def test_mistakes_in_what_it_says(tmp_path: Path, shm: Path, text: str, words: str) -> None:
    config = load(written(tmp_path, text))
    with pytest.raises(ff.ConfigError) as caught:
        config.check()
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
    assert list(shm.iterdir()) == []


def test_wrong_permissions_are_told_before_a_hub_is_made(tmp_path: Path, shm: Path) -> None:
    config = load(written(tmp_path, f'name = "md"\nmode = 640\n{ALLTICK}'))
    with pytest.raises(ff.ConfigError, match="permissions such as"):
        config.check()
    assert list(shm.iterdir()) == []


def test_a_file_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_config, "_MOST_BYTES", 1 << 10)
    with pytest.raises(ff.ConfigError, match="expected at most"):
        load(Path("/dev/zero"))
    with pytest.raises(ff.ConfigError, match="expected at most"):
        load(written(tmp_path, f"{OPEND}symbols_file = '/dev/zero'"))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "expected URL and SYMBOLs, or --config FILE"),
        (["opend://h"], "expected URL and SYMBOLs, or --config FILE"),
        (["opend://h", "700.HK"], "expected the name of the hub"),
        (["--name", "a/b", "opend://h", "700.HK"], "expected the name of a hub"),
        (["--name", "md", "opend://h", "700"], "expected a symbol"),
        (["--name", "md", "http://h", "700.HK"], "expected a URL"),
        (["--name", "md", "opend://h", "700.HK", "--kinds", "tocks"], "got 'tocks'\n"),
        (["--name", "md", "opend://h", "700.HK", "--capacity", "3"], "a power of two"),
        (["--name", "md", "opend://h", "700.HK", "--mode", "9"], "permissions"),
        (["--name", "md", "opend://h", "700.HK", "--mode", "0400"], "permissions"),
        (["--name", "md", "opend://h", "700.HK", "--spin"], "expected receive thread"),
        (["--name", "md", "opend://h", "700.HK", "--cpu", "0"], "expected receive thread"),
        (["--name", "md", "opend://h", "700.HK", "--wait", "-1"], "0 or more seconds"),
        (["--name", "md", "opend://h", "700.HK", "--duration", "0"], "more than 0 seconds"),
        (["--name", "md", "alltick://crypto", "X", "--rsa-key", "f"], "AllTick has no --rsa-key"),
        (["--config", "nowhere.toml"], "cannot read nowhere.toml: No such file"),
        (["--config", "nowhere.toml", "opend://h", "700.HK"], "got both"),
        (["--config", "nowhere.toml", "--kinds", "ticks"], "--kinds is about URL"),
        (["--config", "nowhere.toml", "--encryption", "none"], "--encryption is about URL"),
    ],
)
def test_wrong_arguments_are_one_clear_line(shm: Path, args: list[str], words: str) -> None:
    result = CliRunner().invoke(cli, ["serve", *args], prog_name="fastfeed")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert list(shm.iterdir()) == []


def test_a_mistake_in_the_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    path = written(tmp_path, f'name = "md"\n{ALLTICK}kinds = ["tocks"]')
    result = CliRunner().invoke(cli, ["serve", "--config", str(path)], prog_name="fastfeed")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"fastfeed: {path}: expected a kind")
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.stderr
