#!/usr/bin/env python3
"""Check the models of the protocols in shared memory with spin.

Each case is a model with its sizes. A case with a mutation lacks a fence or a check of the C
code, and has to fail: so it is seen that the model can.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
TOOLS = ("spin", "gcc")
# Seconds for one step of one case, and the memory of the search in MB: enough for all of them many
# times over.
LIMIT_S = 600
MEMORY_MB = 4000


class Case(NamedTuple):
    """A model, its sizes, and what is taken out of it."""

    model: str
    sizes: tuple[str, ...]
    mutation: str | None = None

    @property
    def name(self) -> str:
        """Return what to call it."""
        return " ".join((self.model, *self.sizes, *([self.mutation] if self.mutation else [])))


RING = ("ROWS=4",)
BELL = ("TSO", "PUBLISHES=2")
CASES = [
    Case("ring", RING),
    Case("ring", ("ROWS=3", "KILLS=2")),
    *(
        Case("ring", RING, mutation)
        for mutation in (
            "CLAIM_LATE",
            "NO_CLAIM_FENCE",
            "NO_PUBLISH_RELEASE",
            "NO_CLAMP",
            "NO_OLDEST",
            "NO_INTACT",
            "NO_INTACT_FENCE",
            "FORGET_CLAIM",
        )
    ),
    Case("ring", ("ROWS=3",), "NO_FRONT"),
    Case("latest", ()),
    *(
        Case("latest", (), mutation)
        for mutation in (
            "ONE_ROW",
            "NO_BEGIN_FENCE",
            "NO_END_RELEASE",
            "NO_CHECK",
            "NO_COPY_FENCE",
        )
    ),
    Case("bell", ("PUBLISHES=2",)),
    Case("bell", BELL),
    Case("bell", ("TSO", "PUBLISHES=1", "READERS=3", "READER_KILLS=0", "WRITER_KILLS=0")),
    *(
        Case("bell", BELL, mutation)
        for mutation in (
            "NO_PUBLISH_FENCE",
            "NO_SLEEP_FENCE",
            "NO_RUNG_ACQUIRE",
            "NO_RUNG_RELEASE",
            "NO_WANTED",
            "NO_SECOND_LOOK",
            "RUNG_LATE",
            "NO_COMPARE",
            "NO_WAKE_AT_START",
        )
    ),
]


def missing() -> list[str]:
    """Return the programs that are needed and not there."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def run(command: list[str], directory: str) -> str:
    """Return what a command prints; it has to end well."""
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def check(case: Case) -> int:
    """Search all states of a case; return how many there are.

    Raises
    ------
    RuntimeError
        An assertion of a model fails, none of a mutation does, or the search was cut short.
    """
    defines = [f"-D{define}" for define in case.sizes]
    if case.mutation:
        defines.append(f"-D{case.mutation}")
    with tempfile.TemporaryDirectory() as directory:
        run(["spin", "-a", *defines, str(HERE / f"{case.model}.pml")], directory)
        optimise = "-O1" if case.mutation else "-O2"
        compiler = ["gcc", optimise, "-w", "-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB}"]
        run([*compiler, "-o", "pan", "pan.c"], directory)
        said = run(["./pan", "-m1000000"], directory)
    states = re.search(r"(\d+) states, stored", said)
    errors = re.search(r"errors: (\d+)", said)
    if states is None or errors is None or "depth too small" in said:
        raise RuntimeError(f"{case.name}: the search was not finished:\n{said}")
    failed = "assertion violated" in said
    if case.mutation is None and (errors[1] != "0" or "Search not completed" in said):
        raise RuntimeError(f"{case.name}: wrong, or not searched to the end:\n{said}")
    if case.mutation is not None and not failed:
        raise RuntimeError(f"{case.name}: nothing fails, though it should:\n{said}")
    return int(states[1])


def main() -> int:
    """Run the cases whose names contain a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only cases with this in their name")
    word = parser.parse_args().word
    if tools := missing():
        print(f"The models need {' and '.join(tools)}: apt-get install {' '.join(tools)}")
        return 2
    failures = 0
    for case in CASES:
        if word not in case.name:
            continue
        begin = time.monotonic()
        try:
            states = check(case)
            verdict = "fails, as it must," if case.mutation else "holds in all"
            print(
                f"{case.name}: {verdict} {'after ' if case.mutation else ''}{states:,} states "
                f"({time.monotonic() - begin:.1f} s)",
                flush=True,
            )
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            failures += 1
            print(error, flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
