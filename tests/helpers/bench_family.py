"""`fastfeed bench`, as a script, with a family "decode" that is quickly measured, or never, or goes wrong.

What happens in its second table says $FASTFEED_TEST_BENCH: "fine", "slow", "disagree", "break", "die" or
"full". A worker that
has begun a slow round makes the file "slow" in the temporary folder.
"""

import errno
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from fastfeed.bench.plan import Case
from fastfeed.bench.results import Row, Table, figure, ratio
from fastfeed.bench.turns import Candidate, take_turns, worker_cores

HERE = str(Path(__file__).parent)


class Sleeper:
    """A candidate."""

    def __init__(self, what):
        self.what = what

    def check(self):
        return {"price": "other" if self.what == "disagree" else "same"}

    def round(self):
        if self.what == "slow":
            Path(tempfile.gettempdir(), "slow").touch()
            time.sleep(600)
        if self.what == "break":
            raise ValueError("broken")
        if self.what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"seconds": 0.001}


def cases(plan):
    for kind, what in (("ticks", "fine"), ("books", os.environ["FASTFEED_TEST_BENCH"])):
        candidates = [
            Candidate(
                "fastfeed",
                "bench_family:Sleeper",
                {"what": what if what == "die" else "fine"},
                path=[HERE],
            ),
            Candidate("json", "bench_family:Sleeper", {"what": what}, "json", path=[HERE]),
            Candidate("gone", "bench_family:Sleeper", {"what": what}, "fastfeed-none", path=[HERE]),
        ]
        candidates = plan.chosen(candidates)
        yield Case(
            f"decode opend {kind}", plan.steps(candidates), measuring(plan, kind, candidates)
        )


def measuring(plan, kind, candidates):
    def run(step):
        with take_turns(candidates, {}, worker_cores()[0]) as (turns, missing):
            turns.agree()
            if kind == "books" and os.environ["FASTFEED_TEST_BENCH"] == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full")
            rounds = turns.rounds(plan.effort, step)
        values = {n: [each["seconds"] for each in found] for n, found in rounds.items()}
        rows = [
            Row(n, {"ns/push": figure(v), "x fastfeed": ratio(v, values["fastfeed"])})
            for n, v in values.items()
        ]
        return Table(f"decode opend {kind}", "decode", rows, "opend", "ns/push"), missing

    return run


if __name__ == "__main__":
    import bench_family

    from fastfeed.cli.main import main

    sys.modules["fastfeed.bench.decode"] = bench_family
    main()
