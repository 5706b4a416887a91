from typing import Any

import numpy.typing as npt

DAY_FIELDS: Any

def index_ticks(
    rows: npt.NDArray[Any],
    first: int,
    links: npt.NDArray[Any],
    days: npt.NDArray[Any],
    midnights: npt.NDArray[Any],
) -> None: ...
def pick(links: npt.NDArray[Any], newest: int, limit: int, since: int, before: int) -> bytes: ...
