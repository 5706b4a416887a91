"""The protocols in shared memory, as models in native/model, hold in every state; mutations fail.

But for the largest one, which takes as long as all others: ``make model`` has that too.
"""

import runpy
from pathlib import Path

import pytest

MODEL = runpy.run_path(str(Path(__file__).parents[2] / "native" / "model" / "run.py"))

pytestmark = pytest.mark.skipif(
    bool(MODEL["missing"]()), reason=f"not installed: {' '.join(MODEL['missing']())}"
)


CASES = [case for case in MODEL["CASES"] if case.name != "ring ROWS=4"]
assert len(CASES) == len(MODEL["CASES"]) - 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_model(case):
    MODEL["check"](case)
