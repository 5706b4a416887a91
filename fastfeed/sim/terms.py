"""Made-up terms of securities that more than one vendor tells."""

from __future__ import annotations

from typing import NamedTuple

from fastfeed.sim.instruments import Instrument
from fastfeed.sim.market import Market

__all__ = ["CURRENCIES", "EXCHANGES", "Fundamentals", "OptionTerms", "WarrantTerms"]

CURRENCIES = {"HK": "HKD", "US": "USD", "SH": "CNY", "SZ": "CNY", "SG": "SGD"}
EXCHANGES = {"HK": "SEHK", "US": "NASD", "SH": "SH", "SZ": "SZ", "SG": "SGX"}


class Fundamentals(NamedTuple):
    """Of a company."""

    shares: int
    circulating: int
    bps: float
    dividend_yield: float
    eps: float
    eps_ttm: float

    @classmethod
    def of(cls, market: Market, found: Instrument) -> Fundamentals:
        """Return those of a security."""
        symbol, figure = found.symbol, market.figure
        shares = int(figure(symbol, "shares", 1e8, 1e10, 0))
        return cls(
            shares=shares,
            circulating=shares * 9 // 10,
            bps=figure(symbol, "bps", 1, 90, 4),
            dividend_yield=figure(symbol, "dividend", 0, 5, 4),
            eps=figure(symbol, "eps", 0, 20, 4),
            eps_ttm=figure(symbol, "eps_ttm", 0, 20, 4),
        )


class OptionTerms(NamedTuple):
    """Of an option; the volatility and the premium in percent."""

    open_interest: int
    implied_volatility: float
    premium: float
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float

    @classmethod
    def of(cls, market: Market, found: Instrument) -> OptionTerms:
        """Return those of a security."""
        symbol, figure = found.symbol, market.figure
        return cls(
            open_interest=int(figure(symbol, "interest", 100, 1e5, 0)),
            implied_volatility=figure(symbol, "volatility", 15, 90),
            premium=figure(symbol, "premium", 0, 30),
            delta=(1 if found.right == "call" else -1) * figure(symbol, "delta", 0, 1, 4),
            gamma=figure(symbol, "gamma", 0, 0.1, 4),
            vega=figure(symbol, "vega", 0, 1, 4),
            theta=-figure(symbol, "theta", 0, 1, 4),
            rho=figure(symbol, "rho", 0, 1, 4),
        )


class WarrantTerms(NamedTuple):
    """Of a warrant; ratios, the volatility and the premium in percent."""

    conversion: float
    recovery_price: float
    """0: it has none."""
    outstanding: int
    outstanding_ratio: float
    delta: float
    implied_volatility: float
    premium: float
    leverage: float
    in_the_money: float
    break_even: float
    to_recovery: float

    @classmethod
    def of(cls, market: Market, found: Instrument) -> WarrantTerms:
        """Return those of a security."""
        symbol, figure = found.symbol, market.figure
        return cls(
            conversion=100.0,
            recovery_price=found.strike * 1.02 if found.right in {"bull", "bear"} else 0.0,
            outstanding=int(figure(symbol, "street", 1e3, 1e7, 0)),
            outstanding_ratio=figure(symbol, "streetRate", 0, 50),
            delta=figure(symbol, "delta", 0.1, 0.9, 3),
            implied_volatility=figure(symbol, "volatility", 20, 80),
            premium=figure(symbol, "premium", 1, 20),
            leverage=figure(symbol, "leverage", 1, 20),
            in_the_money=figure(symbol, "ipop", -10, 10),
            break_even=round(found.strike * 1.05, 3),
            to_recovery=figure(symbol, "recovery", 0, 10),
        )
