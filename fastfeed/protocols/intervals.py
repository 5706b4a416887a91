"""Names of the lengths of bars, which all vendors share: ``1m`` is a minute, ``1M`` a month."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

__all__ = ["DAY_S", "interval_of"]

T = TypeVar("T")

DAY_S = 86400

_OTHER_NAMES = {"60m": "1h", "120m": "2h", "180m": "3h", "240m": "4h"}


def interval_of(intervals: Mapping[str, T], name: str) -> T:
    """Return the interval of a name such as ``5m``, or of another name of the same, such as ``60m``.

    Raises
    ------
    ValueError
        It is none of them.
    """
    found = intervals.get(_OTHER_NAMES.get(name, name))
    if found is None:
        raise ValueError(f"expected an interval ({', '.join(intervals)}), got {name!r}")
    return found
