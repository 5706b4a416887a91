"""Bytes to rows: the instrument's tables, with hand-written loops in C beside the candidates that are always there."""

from __future__ import annotations

from typing import Any

import pytest
from loops import in_c

from fastfeed.bench.decode import cases
from fastfeed.bench.plan import Case, Plan


@pytest.mark.parametrize("case", [*cases(Plan(), in_c)], ids=lambda case: case.name)
def test_decode(case: Case, measure: Any) -> None:
    measure(case)
