"""From the moment at which a tick should be sent to the callback that gets its row: the instrument's tables."""

from __future__ import annotations

from typing import Any

import pytest

from fastfeed.bench.latency import cases
from fastfeed.bench.plan import Case, Plan


@pytest.mark.parametrize("case", [*cases(Plan())], ids=lambda case: case.name)
def test_latency(case: Case, measure: Any) -> None:
    measure(case)
