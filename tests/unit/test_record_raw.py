"""What `fastfeed record --raw` tells while it goes on."""

import asyncio
import io

import pytest

import fastfeed as ff
from fastfeed.cli import record_raw
from fastfeed.cli.progress import Progress


class Failing:
    """A capture that cannot be written for a while."""

    def __init__(self):
        self.reasons = iter([None, "No space left on device", "No space left on device", None])

    def stats(self):
        return {"bytes": 0, "stored_bytes": 0, "gaps": 0, "failing": next(self.reasons)}


def test_a_disk_that_is_full_is_told_once_and_its_end(monkeypatch):
    monkeypatch.setattr(record_raw, "_REFRESH_S", 0)
    said = []
    showing = record_raw._show(ff.Hub(), Failing(), Progress(io.StringIO()), said.append)
    with pytest.raises(RuntimeError, match="StopIteration"):  # of the last reason
        asyncio.run(showing)
    assert said == [
        "cannot write: No space left on device; the feed lives on",
        "writing again",
    ]
