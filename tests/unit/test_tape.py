"""Tapes: what a file says is what is played; what is wrong with it is named with its line."""

import gzip

import numpy as np
import pytest

from fastfeed.errors import ConfigError
from fastfeed.sim.tape import TICK, Tape

HEADER = "time_ns,symbol,price,volume,side\n"
LINES = (
    "1381152600000000000,SPY.US,167.42,100,buy\n"
    "1381152600123456789,BTCUSDT,0.1000000000000000055,0.00012,sell\n"
    "1381152600123456789,SPY.US,1e2,3,\n"
)


def write(tmp_path, text, name="tape.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def check(tape):
    assert tape.symbols == ("SPY.US", "BTCUSDT")
    assert tape.rows.tolist() == [
        (1381152600000000000, 167.42, 100.0, 0, 1),
        (1381152600123456789, 0.1, 0.00012, 1, -1),
        (1381152600123456789, 100.0, 3.0, 0, 0),
    ]


def test_plain_compressed_and_dos_files_are_read(tmp_path):
    check(Tape.load(write(tmp_path, HEADER + LINES)))
    check(Tape.load(str(write(tmp_path, (HEADER + LINES).replace("\n", "\r\n")))))
    check(Tape.load(write(tmp_path, (HEADER + LINES).rstrip("\n"))))
    compressed = tmp_path / "tape.csv.gz"
    compressed.write_bytes(gzip.compress((HEADER + LINES).encode()))
    check(Tape.load(compressed))


@pytest.mark.parametrize(
    "line",
    [
        "1381152600123456789,SPY.US,1.0,1,buy,more",
        "1381152600123456789,SPY.US,1.0,1",
        "1381152600.5,SPY.US,1.0,1,buy",
        "1381152600123456789,SPY.US,,1,buy",
        "1381152600123456789,SPY.US,1.0,1,BUY",
        "1381152600123456789,SPY.US,nan,1,buy",
        "1381152600123456789,SPY.US,inf,1,buy",
        "1381152600123456789,SPY.US,1.0,-1,buy",
        "1381152600123456788,SPY.US,1.0,1,buy",
        "-5,SPY.US,1.0,1,buy",
        "9000000000000000000,SPY.US,1.0,1,buy",
        "",
    ],
)
def test_a_broken_line_is_named(tmp_path, line):
    path = write(tmp_path, HEADER + LINES + line + "\n" + "1381152700000000000,X,1,1,\n")
    with pytest.raises(ConfigError, match=rf"{path}:5: expected "):
        Tape.load(path)


def test_a_time_beyond_64_bits_is_refused(tmp_path):
    path = write(tmp_path, HEADER + "99999999999999999999,SPY.US,1.0,1,buy\n")
    with pytest.raises(ConfigError, match="expected times in nanoseconds"):
        Tape.load(path)


def test_the_first_of_several_wrong_lines_is_named(tmp_path):
    lines = "5,A.US,1,-1,\n6,A.US,nan,1,\n"
    with pytest.raises(ConfigError, match=r":2: expected a finite volume"):
        Tape.load(write(tmp_path, HEADER + lines))


def test_files_that_are_no_tapes(tmp_path):
    with pytest.raises(ConfigError, match=r"tape\.csv:1: expected the header"):
        Tape.load(write(tmp_path, "a,b\n1,2\n"))
    with pytest.raises(ConfigError, match="has no trades"):
        Tape.load(write(tmp_path, HEADER))
    with pytest.raises(ConfigError, match=r":1: expected the header"):
        Tape.load(write(tmp_path, ""))
    with pytest.raises(ConfigError, match=r"cannot read the tape .*: No such file"):
        Tape.load(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"cannot read the tape .*directory"):
        Tape.load(tmp_path)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress((HEADER + LINES * 1000).encode())[:60])
    with pytest.raises(ConfigError, match="cannot read the tape"):
        Tape.load(cut)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Tape.load(binary)


def test_a_tape_of_arrays_is_checked_too():
    rows = np.zeros(2, TICK)
    assert len(Tape(["A.US"], rows)) == 2
    rows["symbol"][1] = 1
    with pytest.raises(ConfigError, match="row 1 of the tape: expected a symbol below 1"):
        Tape(["A.US"], rows)
    with pytest.raises(ConfigError, match="at least one trade"):
        Tape(["A.US"], rows[:0])
    with pytest.raises(TypeError, match="expected rows of"):
        Tape(["A.US"], np.zeros(2))


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + LINES).encode())
    assert len(Tape.load(path)) == LINES.count("\n")


def test_an_empty_symbol_is_named(tmp_path):
    path = write(tmp_path, HEADER + LINES + "1381152700000000000,,1,1,\n")
    with pytest.raises(ConfigError, match=rf"{path}:5: expected a symbol"):
        Tape.load(path)
