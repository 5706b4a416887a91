"""The measuring instrument behind ``fastfeed bench``: fastfeed beside its peers, on this machine.

`Plan` says what to measure, `run` does it, `Results` is what it found, as in ``results.json``.
"""

from fastfeed.bench.plan import Plan
from fastfeed.bench.results import Results
from fastfeed.bench.run import run

__all__ = ["Plan", "Results", "run"]
