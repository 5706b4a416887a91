"""Kinds by which rows of a hub are read: one rule for all who do."""

import pytest

import fastfeed as ff
from fastfeed.schema import STREAMS, streams_of
from fastfeed.sinks.relay import Relay


def test_bars_of_a_length_are_in_the_stream_of_all_bars(tmp_path):
    assert streams_of(["bars:1m", "ticks", "bars", "bars:1d"]) == ("bars", "ticks")
    assert streams_of(STREAMS) == STREAMS
    with ff.Hub() as hub:
        assert Relay(hub, "nats://127.0.0.1", kinds=["bars:1m", "ticks"]).kinds == ("bars", "ticks")
        with ff.record(hub, tmp_path, "bars:1m", "ticks") as recording:
            assert list(recording.stats()["rows"]) == ["bars", "ticks"]


@pytest.mark.parametrize("kinds", [[], ["trades"], ["ticks:1m"], [""]])
def test_others_are_refused(kinds, tmp_path):
    with pytest.raises(ValueError, match="expected a kind"):
        streams_of(kinds)
    with ff.Hub() as hub, pytest.raises(ff.ConfigError, match="expected a kind"):
        Relay(hub, "nats://127.0.0.1", kinds=kinds)
