"""Groups of securities that a user watches: those of the system, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["Watchlists"]

# Regions of the groups that go by them.
_REGIONS = {"HK": ("HK",), "US": ("US",), "CN": ("SH", "SZ")}
_SYSTEM = ("All", "CN", "HK", "US", "Options", "HK options", "US options", "Starred", "Futures")
_REGION_OF = {"HK options": "HK", "US options": "US"}


class Watchlists:
    """The groups of one user.

    Parameters
    ----------
    watched : sequence of str
        What the group All has.
    custom : mapping
        The user's groups.
    kinds : mapping
        What the watched symbols are; groups such as Options go by it.
    """

    def __init__(
        self, watched: Sequence[str], custom: Mapping[str, Sequence[str]], kinds: Mapping[str, str]
    ) -> None:
        self._watched = dict.fromkeys([*watched, *(s for group in custom.values() for s in group)])
        self._custom = {name: dict.fromkeys(group) for name, group in custom.items()}
        self._kinds = kinds

    def names(self) -> list[tuple[str, bool]]:
        """Return the names of the groups, and which are the user's."""
        return [(name, False) for name in _SYSTEM] + [(name, True) for name in self._custom]

    def symbols(self, name: str) -> list[str] | None:
        """Return what a group has, None: there is no such group."""
        if name in self._custom and name not in _SYSTEM:
            return list(self._custom[name])
        if name not in _SYSTEM:
            return None
        if name == "All":
            return list(self._watched)
        if name == "Starred":
            return list(self._watched)[:1]
        kind = "option" if "ptions" in name else "future" if name == "Futures" else None
        regions = _REGIONS.get(_REGION_OF.get(name, name))
        return [
            symbol
            for symbol in self._watched
            if (kind is None or self._kinds.get(symbol) == kind)
            and (regions is None or symbol.rpartition(".")[2] in regions)
        ]

    def is_custom(self, name: str) -> bool:
        """Say whether the user may change a group."""
        return name in self._custom and name not in _SYSTEM

    def add(self, name: str, symbols: Sequence[str]) -> None:
        """Add securities to a group of the user's."""
        self._custom[name] |= dict.fromkeys(symbols)
        self._watched |= dict.fromkeys(symbols)

    def move_out(self, name: str, symbols: Sequence[str]) -> None:
        """Take securities out of one group."""
        for symbol in symbols:
            self._custom[name].pop(symbol, None)

    def delete(self, symbols: Sequence[str]) -> None:
        """Watch securities no more, in any group."""
        for group in (self._watched, *self._custom.values()):
            for symbol in symbols:
                group.pop(symbol, None)
