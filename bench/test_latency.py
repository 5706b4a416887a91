"""From the moment at which a tick should be sent to the callback that gets its row: the instrument's tables."""

from __future__ import annotations

from typing import Any

import pytest
from test_wire import measure

from fastfeed.bench.latency import cases
from fastfeed.bench.plan import Case, Plan


@pytest.mark.parametrize("measured", [*cases(Plan())], ids=lambda each: each.name)
def test_latency(measured: Case, benchmark: Any, report: Any) -> None:
    measure(measured, benchmark, report)
