"""A candidate in a process of its own, so that nothing of another is in its way: its imports, its garbage, its threads.

    python -m fastfeed.bench.worker

The first line on stdin is a `turns.Job`; "ready" is the answer once the candidate is made. Then each line asks for
one thing, and gets a line of JSON: ``check`` the digests of the rows that it makes of the sample, ``round`` what it
measured in one round.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
import traceback
from typing import Any

import msgspec

from fastfeed.bench.process import end_with_parent
from fastfeed.bench.turns import Job

__all__: list[str] = []


def main() -> None:
    """Serve until stdin ends."""
    end_with_parent()
    # Packages write where they like, futu-api from several threads: the answers go another way.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    sys.path[:0] = job.path
    try:
        module, _, name = job.factory.partition(":")
        candidate = getattr(importlib.import_module(module), name)(**job.options)
        answer: dict[str, Any] = {"ready": True}
    except Exception as error:
        answer = _failed(error)
    _say(answers, answer)
    for line in sys.stdin:
        try:
            what = json.loads(line)
            if what["do"] == "round":
                answer = _round(candidate, **what["with"])
            else:
                answer = getattr(candidate, what["do"])(**what["with"])
        except Exception as error:
            answer = _failed(error)
        _say(answers, answer)


def _round(candidate: Any, **options: Any) -> dict[str, Any]:
    gc.collect()
    collections = _collections()
    cpu = time.process_time()
    found: dict[str, Any] = candidate.round(**options)
    found["cpu_s"] = time.process_time() - cpu
    found["collections"] = _collections() - collections
    found["peak_kb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def _failed(error: Exception) -> dict[str, Any]:
    traceback.print_exc()
    return {"error": " ".join(f"{type(error).__name__}: {error}".split())}


def _say(answers: Any, answer: dict[str, Any]) -> None:
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
