"""Decimals as texts. Every text is exact: it reads back as the number it was."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

__all__ = ["fixed", "plain"]


def plain(number: float) -> str:
    """Return the shortest exact text of a number, without an exponent."""
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def fixed(digits: int) -> Callable[[float], str]:
    """Return a function that writes numbers with so many digits, where that is exact."""

    def write(number: float) -> str:
        text = f"{number:.{digits}f}"
        return text if float(text) == number else plain(number)

    return write
