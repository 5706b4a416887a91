"""The machine: what it is, and how quiet it was while it was measured."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from fastfeed._core import opend
from fastfeed._core.load import jitter
from fastfeed.bench.doubt import restless
from fastfeed.bench.results import Noise, Results
from fastfeed.bench.turns import worker_cores

__all__ = ["Watch", "describe", "watched"]

_PACKAGES = (
    *("fastfeed", "numpy", "uvloop", "msgspec", "protobuf", "futu-api", "pandas", "longport"),
    *("picows", "websockets", "aiohttp", "orjson", "pyzmq"),
)
_CPU = "sys/devices/system/cpu"

_JITTER_S = 0.2
_HASHED = bytes(range(256)) * 2048  # 512 KiB: some processor's work
_PASSED_BYTES = 1 << 23  # and a pass over more memory than most have in their second cache
_REPEATS = 7


def describe(packages: Sequence[str] = (), root: Path = Path("/")) -> dict[str, Any]:
    """Return what is known of processor, system and versions.

    Parameters
    ----------
    packages : sequence of str
        Distributions whose versions are of interest, besides those that always are.
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    versions = {}
    for name in (*_PACKAGES, *packages):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    model, flags = _processor(root)
    known: dict[str, Any] = {
        "cpu": model,
        "cores": os.cpu_count(),
        "usable_cores": sorted(os.sched_getaffinity(0)),
        "virtual": "hypervisor" in flags,
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python_compiler": platform.python_compiler(),
        "extension": Path(opend.__file__).name,
        "load_before": os.getloadavg()[0],
        "packages": versions,
    }
    if governor := _line(root / _CPU / "cpu0/cpufreq/scaling_governor"):
        known["governor"] = governor
    if no_turbo := _line(root / _CPU / "intel_pstate/no_turbo"):
        known["turbo"] = no_turbo == "0"
    elif boost := _line(root / _CPU / "cpufreq/boost"):
        known["turbo"] = boost == "1"
    return known


def _processor(root: Path) -> tuple[str, list[str]]:
    """Return the processor's name and what it can do, where Linux tells."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    return found.get("model name") or platform.machine(), found.get("flags", "").split()


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


class Watch:
    """Looks at the machine now and then: how much of a core others take, and how long a fixed piece of work lasts.

    It looks from the core on which candidates are measured.
    """

    def __init__(self) -> None:
        self._memory = np.ones(_PASSED_BYTES // 8)
        self._stolen_ns = self._longest_ns = 0
        self._seconds = 0.0
        self._work_us: list[float] = []

    def look(self) -> None:
        """Measure for some 0.3 seconds."""
        usable = os.sched_getaffinity(0)
        os.sched_setaffinity(0, worker_cores()[0] or usable)  # of this thread only
        try:
            stolen_ns, longest_ns = jitter(_JITTER_S)
            # The best of some: what interrupts it is in `stolen`, this is for the clock rate and the memory.
            work_us = min(self._work() for _ in range(_REPEATS))
        finally:
            os.sched_setaffinity(0, usable)
        self._stolen_ns += stolen_ns
        self._longest_ns = max(self._longest_ns, longest_ns)
        self._seconds += _JITTER_S
        self._work_us.append(work_us)

    def _work(self) -> float:
        began = time.perf_counter_ns()
        blake2b(_HASHED)
        self._memory.sum()
        return (time.perf_counter_ns() - began) / 1e3

    def noise(self) -> Noise | None:
        """Return what was seen; None before the first look."""
        if not self._work_us:
            return None
        typical = statistics.median(self._work_us)
        return Noise(
            stolen=self._stolen_ns / 1e9 / self._seconds,
            longest_us=self._longest_ns / 1e3,
            drift=(max(self._work_us) - min(self._work_us)) / typical,
            work_us=typical,
        )


@contextmanager
def watched(results: Results) -> Iterator[Callable[[], None]]:
    """Measure the machine's noise before and after a run, and enter it.

    Yields
    ------
    look : callable
        Measures it once more; to be called between two tables.
    """
    watch = Watch()

    def look() -> None:
        watch.look()
        results.noise = watch.noise()

    look()
    try:
        yield look
        look()
    finally:  # an interrupted run has what was seen until then
        if text := restless(results.noise):
            results.notes.append(text)
