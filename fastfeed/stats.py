"""What `Hub.stats` and `AttachedHub.stats` tell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastfeed._core.meter import Latency, Meters
from fastfeed.readers import readers_of
from fastfeed.stream import RowStream

__all__ = ["measured", "plain"]


def measured(
    *,
    name: str | None,
    generation: int,
    pid: int,
    program: str,
    alive: bool,
    streams: Iterable[RowStream],
    meters: Meters | None,
    folder: Path | None,
) -> dict[str, Any]:
    """Return what is known of a hub, latencies as `Latency`."""
    found = {stream.name: {"rows": stream.count, "capacity": stream.capacity} for stream in streams}
    readers = readers_of(folder) if folder is not None else []
    for reader in readers:
        rows = found.get(reader["stream"], {"rows": 0})["rows"]
        reader["lag"] = max(rows - reader["position"], 0)
    return {
        "name": name,
        "generation": generation,
        "pid": pid,
        "program": program,
        "alive": alive,
        "streams": found,
        "feeds": meters.feeds() if meters is not None else [],
        "readers": readers,
    }


def plain(found: dict[str, Any]) -> dict[str, Any]:
    """Return the same with latencies as dicts."""

    def value_of(value: Any) -> Any:
        return value.as_dict() if isinstance(value, Latency) else value

    return {
        **found,
        **{
            part: [{k: value_of(v) for k, v in one.items()} for one in found[part]]
            for part in ("feeds", "readers")
        },
    }
