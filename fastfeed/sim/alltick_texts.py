"""The messages of a simulated AllTick as JSON text, made by hand: a trade takes about a microsecond."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfeed.sim.alltick_codes import Code, Formats, formats
from fastfeed.sim.alltick_knobs import AllTickKnobs
from fastfeed.sim.market import Level
from fastfeed.sim.playback import Rows

__all__ = ["BOOK_PUSH", "TICK_PUSH", "Sequences", "Shape", "Texts", "data_of", "field_writer"]

TICK_PUSH = 22998
BOOK_PUSH = 22999
_CACHED = 1 << 14  # texts of numbers kept, of each code
_DIRECTIONS = ("0", "1", "2")  # by side: 0, 1, and -1, which is the last one
_PREFIX = len('{"cmd_id":22998,"data":')  # what stands before the data of a push

Integers = npt.NDArray[np.int64]


class Sequences:
    """The seq of trades, a function of the position: the same for all listeners and over HTTP.

    Parameters
    ----------
    mode : str
        See `AllTickKnobs.seq_mode`.
    lead_ms : int
        How far the vendor's clock is ahead of the times of the trades.
    length, period_ms : int
        Of a tape that repeats.
    """

    def __init__(
        self, mode: str, lead_ms: int, *, length: int = 1 << 62, period_ms: int = 0
    ) -> None:
        self._mode = mode
        self._lead_ms = lead_ms
        self._length = length
        self._period_ms = period_ms

    def of(self, positions: Integers, times_ms: Integers) -> Integers:
        """Return the sequences of trades; that of a book is `book` after its trade's."""
        if self._mode == "counter":
            return 1_000_001 + 2 * positions
        clock_ms = times_ms + (self._lead_ms + positions // self._length * self._period_ms)
        return clock_ms if self._mode == "ms" else clock_ms * 1000 + positions % 1000

    @property
    def book(self) -> int:
        return 1 if self._mode == "counter" else 0


class _Cache(dict[float, str]):
    """Texts of numbers."""

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[float], str]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, number: float) -> str:
        if len(self) >= _CACHED:
            self.clear()
        text = self[number] = self._write(number)
        return text


class Texts:
    """Makes the pushes of some codes.

    Parameters
    ----------
    codes : sequence of Code
        By the index that trades have.
    knobs : AllTickKnobs
    sequences : Sequences
    """

    def __init__(self, codes: Sequence[Code], knobs: AllTickKnobs, sequences: Sequences) -> None:
        self._knobs = knobs
        self._sequences = sequences
        self._codes = [json.dumps(found.code) for found in codes]
        self._formats = [formats(found) for found in codes]
        self._fx = [found.region == "FX" for found in codes]
        self._heads = [
            f'{{"cmd_id":{TICK_PUSH},"data":{{"code":{text},"seq":' for text in self._codes
        ]
        self._prices = [_Cache(f.price) for f in self._formats]
        self._volumes = [
            _Cache(field_writer("volume", f.volume, knobs.fx_volume if fx else "present"))
            for f, fx in zip(self._formats, self._fx, strict=True)
        ]
        self._turnovers = [
            field_writer("turnover", f.turnover, knobs.fx_turnover if fx else "present")
            for f, fx in zip(self._formats, self._fx, strict=True)
        ]
        fixed = (str(knobs.fx_direction),) * 3
        self._directions = [fixed if fx else _DIRECTIONS for fx in self._fx]
        self._unit = 1000 if knobs.time_unit == "s" else 1
        self._mixed = knobs.int_mode == "mixed"
        self._quote = '"' if knobs.int_mode == "str" else ""

    def formats(self, number: int) -> Formats:
        """Return how the numbers of a code are written."""
        return self._formats[number]

    def ticks(self, rows: Rows, positions: Integers, *, older_ms: int = 0) -> list[str]:
        """Return the pushes of trades, whose times are `older_ms` before what they are."""
        times = rows["time_ns"] // 1_000_000
        seqs = self._sequences.of(positions, times)
        numbers, prices, volumes = rows["symbol"], rows["price"], rows["volume"]
        turnovers, sides = prices * volumes, rows["side"]
        if self._knobs.coalesce and len(rows) > 1:
            new = (numbers[1:] != numbers[:-1]) | (times[1:] != times[:-1])
            first = np.flatnonzero(np.r_[True, new])
            last = np.r_[first[1:], len(rows)] - 1
            volumes = np.add.reduceat(volumes, first)
            turnovers = np.add.reduceat(turnovers, first)
            numbers, prices, sides = numbers[last], prices[last], sides[last]
            times, seqs = times[last], seqs[last]
        times = (times - older_ms) // self._unit
        heads, price_texts, volume_texts = self._heads, self._prices, self._volumes
        turnover_texts, directions = self._turnovers, self._directions
        q = self._quote
        columns = (c.tolist() for c in (numbers, seqs, times, prices, volumes, turnovers, sides))
        if not self._mixed:
            return [
                f'{heads[n]}{q}{seq}{q},"tick_time":{q}{time}{q},"price":"{price_texts[n][price]}"'
                f'{volume_texts[n][volume]}{turnover_texts[n](turnover)},"trade_direction":{directions[n][side]}}}}}'
                for n, seq, time, price, volume, turnover, side in zip(*columns, strict=True)
            ]
        return [
            f'{heads[n]}{_mixed(seq, seq, 0)},"tick_time":{_mixed(time, seq, 1)},"price":"{price_texts[n][price]}"'
            f'{volume_texts[n][volume]}{turnover_texts[n](turnover)},"trade_direction":{directions[n][side]}}}}}'
            for n, seq, time, price, volume, turnover, side in zip(*columns, strict=True)
        ]

    def book(
        self,
        number: int,
        position: int,
        time_ns: int,
        sides: tuple[Sequence[Level], Sequence[Level]],
        levels: int,
        *,
        older_ms: int = 0,
    ) -> str:
        """Return the push of a book; `position` is that of its newest trade."""
        time_ms = time_ns // 1_000_000
        seq = int(self._sequences.of(np.array([position]), np.array([time_ms]))[0])
        seq += self._sequences.book
        time = (time_ms - older_ms) // self._unit
        if self._mixed:
            head = f'{_mixed(seq, seq, 0)},"tick_time":{_mixed(time, seq, 1)}'
        else:
            q = self._quote
            head = f'{q}{seq}{q},"tick_time":{q}{time}{q}'
        text = "".join(
            self._side(number, name, side, levels)
            for name, side in zip(("bids", "asks"), sides, strict=True)
        )
        return (
            f'{{"cmd_id":{BOOK_PUSH},"data":{{"code":{self._codes[number]},"seq":{head}{text}}}}}'
        )

    def _side(self, number: int, name: str, side: Sequence[Level], levels: int) -> str:
        write, knobs = self._formats[number], self._knobs
        if side:
            volume = field_writer(
                "volume", write.volume, knobs.fx_book_volume if self._fx[number] else "present"
            )
            texts = [
                f'{{"price":"{write.price(level.price)}"{volume(level.volume)}}}' for level in side
            ]
        elif knobs.empty_side == "absent":
            return ""
        elif knobs.empty_side == "list":
            texts = []
        else:
            texts = [f'{{"price":"{write.price(0.0)}","volume":"0"}}'] * levels
        return f',"{name}":[{",".join(texts)}]'


def data_of(push: str) -> str:
    """Return the data of a push."""
    return push[_PREFIX:-1]


def field_writer(name: str, write: Callable[[float], str], given: str) -> Callable[[float], str]:
    """Return a function that writes a field, or what stands for it."""
    if given == "present":
        start = f',"{name}":"'
        return lambda number: f'{start}{write(number)}"'
    text = {"absent": "", "empty": f',"{name}":""', "zero": f',"{name}":"0"'}[given]
    return lambda number: text


def _mixed(value: int, seq: int, bit: int) -> str:
    """Return an integer, quoted or not as its push has it."""
    return f'"{value}"' if (seq * 0x9E3779B1 >> 20 + bit) & 1 else str(value)


class Shape:
    """Gives messages another shape than the documented one.

    Parameters
    ----------
    knobs : AllTickKnobs
    seed : int
        Decides on the order of keys.
    """

    def __init__(self, knobs: AllTickKnobs, seed: int) -> None:
        self._knobs = knobs
        self._random = random.Random(seed)

    def pushes(self, texts: Sequence[str]) -> list[str]:
        """Return pushes in this shape."""
        if not (size := self._knobs.data_array):
            return [self.message(json.loads(text)) for text in texts]
        out = []
        for start in range(0, len(texts), size):
            by_number: dict[int, list[Any]] = {}
            for text in texts[start : start + size]:
                push = json.loads(text)
                by_number.setdefault(push["cmd_id"], []).append(push["data"])
            out += [
                self.message({"cmd_id": number, "data": data}) for number, data in by_number.items()
            ]
        return out

    def message(self, value: Mapping[str, Any]) -> str:
        """Return a message in this shape."""
        knobs = self._knobs
        changed = self._changed(value) if knobs.extra_keys or knobs.key_order == "random" else value
        if knobs.whitespace == "indented":
            return json.dumps(changed, indent="\t")
        return json.dumps(
            changed, separators=(", ", ": ") if knobs.whitespace == "spaces" else (",", ":")
        )

    def _changed(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._changed(item) for item in value]
        if not isinstance(value, dict):
            return value
        items = [(key, self._changed(item)) for key, item in value.items()]
        if self._knobs.extra_keys:
            for extra in (
                ("ext", {"a": [1, {"b": None}], "s": "\\\"}]\u4e00"}), ("ver", -1.5e-3), ("ok", True),
            ):  # fmt: skip
                items.insert(self._random.randint(0, len(items)), extra)
        if self._knobs.key_order == "random":
            self._random.shuffle(items)
        return dict(items)
