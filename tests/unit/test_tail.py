"""`fastfeed tail`: rows that are overwritten while they are taken."""

from recorder import hub_of, put, ticks

import fastfeed as ff
from fastfeed.cli.tail import _Followed

NOON_NS = 1_728_043_200_000_000_000


class Overtaken:
    """A reader whose rows the writer partly overwrites before they are looked at."""

    def __init__(self, reader, hub, rows):
        self._reader, self._hub, self._rows = reader, hub, rows

    def __getattr__(self, name):
        return getattr(self._reader, name)

    def read(self, most):
        rows = self._reader.read(most).copy()
        put(self._hub, self._rows)
        return rows


def test_only_what_was_overwritten_is_lost(shm):
    with hub_of(name="md", capacity=64) as hub, ff.attach("md") as attached:
        put(hub, ticks(0, 40, NOON_NS))
        source = _Followed(attached, ["ticks"], [], "jsonl", "oldest")
        source._readers["ticks"] = Overtaken(source._readers["ticks"], hub, ticks(40, 34, NOON_NS))
        count, text = source.take(40)
        assert (count, source.lost) == (30, 10)
        assert len(text.splitlines()) == 30
        assert b'"seq":10,' in text.splitlines()[0]
