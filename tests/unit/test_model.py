"""The protocols in shared memory, as models in native/model, hold in every state; mutations fail.

But for the largest ones, which take as long as all others: ``make model`` has those too.
"""

import runpy
from pathlib import Path

import pytest

MODEL = runpy.run_path(str(Path(__file__).parents[2] / "native" / "model" / "run.py"))

pytestmark = pytest.mark.skipif(
    bool(MODEL["missing"]()), reason=f"not installed: {' '.join(MODEL['missing']())}"
)


LARGEST = {"ring ROWS=4", "bell PUBLISHES=2", "bell TSO PUBLISHES=2"}
CASES = [case for case in MODEL["CASES"] if case.name not in LARGEST]
assert len(CASES) == len(MODEL["CASES"]) - len(LARGEST)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_model(case):
    MODEL["check"](case)
