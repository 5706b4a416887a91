"""Options of simulators that are written NAME=VALUE, and the command of the simulated AllTick."""

import re

import pytest
from click.testing import CliRunner

import fastfeed.sim
from fastfeed.cli.sim import sim
from fastfeed.errors import ConfigError
from fastfeed.sim import AllTickFaults, AllTickKnobs, AllTickSimulator
from fastfeed.sim.alltick_codes import code, names, plain


def test_knobs_are_parsed():
    assert AllTickKnobs.parse([]) == AllTickKnobs()
    texts = [
        "int_mode=str", "fx_direction=0", "heartbeat_counts=yes", "request_gap_s=0.2", "data_array=5",
        "reconnect_gap_s=0", "limit_up=700.HK,9988.HK", "header_ret=201", "rate_violation=605",
    ]  # fmt: skip
    assert AllTickKnobs.parse(texts) == AllTickKnobs(
        int_mode="str",
        fx_direction=0,
        heartbeat_counts=True,
        request_gap_s=0.2,
        data_array=5,
        reconnect_gap_s=0.0,
        limit_up="700.HK,9988.HK",
        header_ret=201,
        rate_violation="605",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing=1", "expected one of int_mode"),
        ("int_mode", "expected int_mode=VALUE"),
        ("int_mode=float", "expected one of int, str, mixed for int_mode, got 'float'"),
        ("fx_direction=2", "expected one of 0, 1"),
        ("fx_direction=x", "expected one of 0, 1"),
        ("heartbeat_counts=true", "expected yes or no"),
        ("request_gap_s=-1", "expected a number"),
        ("request_gap_s=inf", "expected a number"),
        ("data_array=1.5", "expected a number"),
    ],
)
def test_bad_knobs_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        AllTickKnobs.parse([text])


def test_knobs_are_checked_where_they_are_not_parsed():
    with pytest.raises(ValueError, match="for seq_mode, got 'clock'"):
        AllTickKnobs(seq_mode="clock")


def test_faults_are_parsed():
    texts = ["drop_after", "stall=5", "deflate", "error_reply=22002:600", "ping=0.5"]
    assert AllTickFaults.parse(texts) == AllTickFaults(
        drop_after=100, stall=5, deflate=True, error_reply="22002:600", ping=0.5
    )
    for text in ("deflate=1", "fragment=x", "error_reply=a:b", "nothing"):
        with pytest.raises(ValueError):
            AllTickFaults.parse([text])


def test_codes_belong_to_a_side():
    assert code("700.HK", "stock").levels == 10
    assert code("BRK.A.US", "stock").levels == 1
    assert code("EPpC.US", "stock").code == "EPpC.US"
    assert code(".DJI.US", "stock").region == "US"
    assert code("BTCUSDT", "crypto").symbol == code("BTCUSDT.CC", "crypto").symbol == "BTCUSDT.CC"
    assert [code(c, "crypto").region for c in ("EURUSD", "Silver", "XAUEUR", "SOLUSDT")] == [
        "FX", "FX", "FX", "CC",
    ]  # fmt: skip
    for text, side in (
        ("0700.HK", "stock"), ("BTCUSDT", "stock"), ("7203.JP", "stock"), (".HK", "stock"),
        ("700.HK", "crypto"), ("", "crypto"), ("A B", "crypto"), ("X" * 17, "crypto"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected a code such as"):
            code(text, side)
    for side in ("stock", "crypto"):
        assert len({code(name, side).code for name in names(200, side)}) == 200


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.1, "0.1"), (1e-7, "0.0000001"), (5.0, "5"), (1e22, "1" + "0" * 22), (-0.5, "-0.5")],
)
def test_the_shortest_text_has_no_exponent(number, text):
    assert plain(number) == text
    assert float(text) == number


@pytest.fixture
def made(monkeypatch):
    """Run the command with some arguments; return what the simulator would have been made with."""
    calls = []

    def make(*args, **options):
        calls.append((args, options))
        raise ConfigError("not made")

    def run(*arguments):
        calls.clear()
        done = CliRunner().invoke(sim, ["alltick", *arguments])
        return calls[0] if calls else done

    monkeypatch.setattr(fastfeed.sim, "AllTickSimulator", make)
    return run


def test_the_command_has_the_defaults_of_the_class(made):
    address, options = made()
    assert address == ("127.0.0.1", 11112)
    assert options == {
        "market": None, "tape": None, "capture": None, "speed": 1.0, "loop": False, "symbols": 10, "rate": 100.0,
        "seed": 0, "token": "testtoken", "plan": "professional", "connections": None, "codes": None,
        "rate_limits": True, "knobs": AllTickKnobs(), "faults": AllTickFaults(),
    }  # fmt: skip
    defaults = AllTickSimulator.__init__.__kwdefaults__
    assert {k: v for k, v in options.items() if k not in ("knobs", "faults")} == {
        k: defaults[k] for k in options if k not in ("knobs", "faults")
    }


def test_the_command_takes_everything(made):
    address, options = made(
        *(
            "--listen",
            "[::1]:0",
            "--market",
            "crypto",
            "--symbols",
            "BTCUSDT,GOLD",
            "--rate",
            "5e3",
        ),
        *("--seed", "7", "--token", "abc-c-app", "--plan", "free", "--connections", "2"),
        *("--codes", "9", "--no-rate-limits", "--set", "int_mode=str", "--set", "time_unit=s"),
        *("--fault", "stall=3", "--fault", "deflate"),
    )
    assert address == ("::1", 0)
    assert options["symbols"] == ["BTCUSDT", "GOLD"]
    assert (options["market"], options["rate"], options["seed"]) == ("crypto", 5000.0, 7)
    assert (options["token"], options["plan"]) == ("abc-c-app", "free")
    assert (options["connections"], options["codes"], options["rate_limits"]) == (2, 9, False)
    assert options["knobs"] == AllTickKnobs(int_mode="str", time_unit="s")
    assert options["faults"] == AllTickFaults(stall=3, deflate=True)
    _, options = made("--tape", "x.csv", "--speed", "max", "--loop")
    assert (options["tape"], options["speed"], options["loop"]) == ("x.csv", "max", True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--market", "bonds"], "'bonds' is not one of"),
        (["--symbols", "BTCUSDT"], "expected a code such as 700.HK"),
        (["--symbols", "700.HK", "--market", "crypto"], "expected a code such as BTCUSDT"),
        (["--symbols", "0"], "expected 1 to 1000000 symbols"),
        (["--speed", "max"], "--speed needs --tape"),
        (["--tape", "x", "--rate", "1"], "--rate cannot be used together with --tape"),
        (["--set", "int_mode=x"], "Invalid value for '--set': expected one of int, str, mixed"),
        (["--fault", "x"], "Invalid value for '--fault': expected one of drop_after"),
        (["--rate", "0"], "expected a number above 0"),
        (["--listen", "x"], "expected HOST:PORT"),
    ],
)
def test_the_command_refuses_what_is_wrong(made, arguments, words):
    done = made(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())


def test_help_names_every_setting_and_fault():
    done = CliRunner().invoke(sim, ["alltick", "--help"])
    for kind in (AllTickKnobs, AllTickFaults):
        for usage, _ in kind.describe():
            name = usage.partition("=")[0]
            assert re.search(rf"^  {name}\b", done.output, re.MULTILINE), name


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr("fastfeed.sim.alltick.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"aiohttp: pip install 'fastfeed\[sim\]'"):
        AllTickSimulator()
