"""The protocols in shared memory, as models in native/model, hold in every state; mutations fail."""

import runpy
from pathlib import Path

import pytest

MODEL = runpy.run_path(str(Path(__file__).parents[2] / "native" / "model" / "run.py"))

pytestmark = pytest.mark.skipif(
    bool(MODEL["missing"]()), reason=f"not installed: {' '.join(MODEL['missing']())}"
)


@pytest.mark.parametrize("case", MODEL["CASES"], ids=lambda case: case.name)
def test_model(case):
    MODEL["check"](case)
