"""Generated trades: the same for the same seed, at the rate asked for, plausible."""

import numpy as np
import pytest

from fastfeed.protocols.opend_codes import canonical, security
from fastfeed.sim.generator import TickGenerator, symbol_names


def take(generator, elapsed_ns):
    """Return all rows due."""
    parts = []
    while len(rows := generator.until(elapsed_ns)):
        parts.append(rows.copy())
    return np.concatenate(parts) if parts else np.zeros(0)


def test_the_same_seed_gives_the_same_trades_however_they_are_taken():
    names = symbol_names(7)
    whole = take(TickGenerator(names, 10_000, seed=5), 1_000_000_000)
    generator = TickGenerator(names, 10_000, seed=5)
    pieces = np.concatenate(
        [piece for at in range(0, 1_000_000_001, 1_000_000) if len(piece := take(generator, at))]
    )
    assert np.array_equal(whole, pieces)
    other = take(TickGenerator(names, 10_000, seed=6), 1_000_000_000)
    assert not np.array_equal(whole["price"][:100], other["price"][:100])


@pytest.mark.parametrize("rate", [0.5, 100, 250_000])
def test_the_rate_is_the_one_asked_for_at_any_time(rate):
    generator = TickGenerator(symbol_names(10), rate)
    count = 0
    for percent in range(1, 101):
        elapsed_ns = percent * int(1e9 * 5000 / rate) // 100
        count += len(take(generator, elapsed_ns))
        assert abs(count - elapsed_ns * 1e-9 * rate) <= 64


def test_arrivals_are_ordered_and_irregular():
    times = take(TickGenerator(symbol_names(3), 1000, seed=1), 10_000_000_000)["time_ns"]
    gaps = np.diff(times)
    assert gaps.min() >= 0
    assert 0.9 < gaps.std() / gaps.mean() < 1.1  # 1 for a Poisson process


def test_prices_walk_on_their_grid():
    names = symbol_names(50)
    rows = take(TickGenerator(names, 100_000, seed=2), 2_000_000_000)
    assert set(rows["symbol"]) == set(range(50))
    for i in range(50):
        price = rows["price"][rows["symbol"] == i]
        assert [float(f"{value:.2f}") for value in price[:200]] == price[:200].tolist()
        assert np.abs(np.diff(np.log(price))).max() < 0.02  # no jumps, not even between blocks
        assert len(set(price)) > 2
    assert rows["volume"].min() > 0
    crypto = rows["volume"][rows["symbol"] == names.index("BTCUSDT.CC")]
    assert (crypto % 1 > 0).any()
    shares = rows["volume"][rows["symbol"] == 0]
    assert (shares % 1 == 0).all()
    assert np.unique(rows["side"]).tolist() == [-1, 0, 1]


def test_runs_are_of_one_symbol_at_one_time():
    rows = take(TickGenerator(symbol_names(20), 1000, run=4), 4_000_000_000)
    assert 3900 < len(rows) < 4100
    groups = rows[: len(rows) // 4 * 4].reshape(-1, 4)
    assert (groups["symbol"] == groups["symbol"][:, :1]).all()
    assert (groups["time_ns"] == groups["time_ns"][:, :1]).all()


def test_names_are_canonical_and_different():
    names = symbol_names(20_000)
    assert len(set(names)) == 20_000
    assert names[:2] == ("AAPL.US", "700.HK")
    assert symbol_names(3) == names[:3]
    assert all(canonical(*security(name)) == name for name in names)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="at least one symbol"):
        TickGenerator([], 1.0)
    for rate in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="expected a positive rate"):
            TickGenerator(["A.US"], rate)
