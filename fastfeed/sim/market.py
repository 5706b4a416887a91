"""A market made from ticks: quotes, bars, books, broker queues. Nothing here knows a vendor.

Ticks are only indexed as they pass, in C; all else is derived for a symbol when somebody asks. What
ticks do not say (the past, books, queues, terms of an option) is made up from the symbol and the
seed, the same in every run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeed._core.tick_index import DAY_FIELDS, index_ticks, pick
from fastfeed.sim import calendar
from fastfeed.sim.bars import BAR, Bars, Past, Rehab, adjusted
from fastfeed.sim.instruments import (
    Instrument,
    Plate,
    chance,
    expiries,
    instrument,
    option_symbols,
    plates,
    relatives,
)
from fastfeed.sim.playback import Source

__all__ = ["BROKERS", "Level", "Market", "Place", "Point", "Quote"]

_DAY = np.dtype(DAY_FIELDS)
_LEVELS = 60
_PLACES = 40
_OTHERS = 4096  # symbols that never trade, of which something is kept
#: Numbers and names.
BROKERS = tuple(
    (1000 + 57 * i, name)
    for i, name in enumerate(
        (
            "Alder Securities", "Birch Capital", "Cedar & Sons", "Dogwood", "Elm Brokers",
            "Fir Trading", "Ginkgo 銀杏證券", "Hazel", "Ivy Partners", "Juniper",
        )
    )
)  # fmt: skip
_KINDS_WITH_REHABS = {"stock", "etf"}


@dataclass(frozen=True, slots=True)
class Quote:
    """What a symbol has come to, today."""

    time_ns: int
    last: float
    open: float
    high: float
    low: float
    prev_close: float
    volume: float
    turnover: float
    side: int


class Level(NamedTuple):
    """A price of a book."""

    price: float
    volume: float
    orders: tuple[tuple[int, float], ...]
    """Their numbers and volumes."""


class Place(NamedTuple):
    """A place in a broker queue."""

    id: int
    name: str
    level: int
    order: int
    volume: float


class Point(NamedTuple):
    """A minute of the day's line, at its end."""

    time_s: int
    minute: int
    blank: bool
    price: float
    average: float
    volume: float
    turnover: float


class Market:
    """The market of some symbols.

    Parameters
    ----------
    symbols : sequence of str
        Canonical symbols, by the index that ticks have.
    source : Source
        Where the ticks come from.
    span_s : (int, int)
        Of the times of the ticks, epoch seconds; may be longer.
    seed : int, default 0
    clock_ns : callable, optional
        Epoch nanoseconds, for ticks whose times are those of a clock.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        source: Source,
        span_s: tuple[int, int],
        *,
        seed: int = 0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clock_ns = clock_ns
        self.symbols = tuple(symbols)
        self.position = 0
        """How many ticks have passed."""
        self._numbers = {symbol: i for i, symbol in enumerate(self.symbols)}
        self._others = {s: instrument(s) for s in relatives(self.symbols) if s not in self._numbers}
        self._source = source
        self._seed = seed
        self._since_s = span_s[0]
        self._links = np.full(len(source.store), -1, np.int64)
        self.days = np.zeros(len(self.symbols), _DAY)
        """Of each symbol; `count` changes with every tick."""
        self.days["newest"] = -1
        self.days["start_ns"] = 1 << 62
        self.days["prev_close"] = np.nan
        self._midnights: dict[str, npt.NDArray[np.int64]] = {}
        regions = [symbol.rpartition(".")[2] for symbol in self.symbols]
        parts: dict[str, npt.NDArray[np.int64]] = {}
        where: dict[str, tuple[int, int]] = {}
        for region in dict.fromkeys(regions):
            parts[region] = np.array(calendar.midnights_ns(region, *span_s), np.int64)
            self._midnights[region] = parts[region] // 10**9
            start = max((end for _, end in where.values()), default=0)
            where[region] = (start, start + len(parts[region]))
        self._all_midnights = np.concatenate(list(parts.values()))
        bounds = np.array([where[region] for region in regions])
        self.days["midnights_start"], self.days["midnights_end"] = bounds.T
        self._bars: dict[str, tuple[Bars, int]] = {}
        self._anchors: dict[str, float] = {}

    # Ticks.

    def advance(self, position: int) -> None:
        """Let the ticks before `position` pass."""
        source = self._source
        self.position = max(self.position, source.oldest)  # some may have gone unseen
        while self.position < position:
            rows = source.rows(self.position)[: position - self.position]
            index_ticks(rows, self.position, self._links, self.days, self._all_midnights)
            self.position += len(rows)

    def ticks(
        self, number: int, limit: int, *, since: int = 0, before: int | None = None
    ) -> npt.NDArray[np.int64]:
        """Return the positions of the last ticks of symbol `number`, oldest first."""
        since = max(since, self._source.oldest, self.position - len(self._links))
        before = self.position if before is None else before
        return np.frombuffer(
            pick(self._links, int(self.days["newest"][number]), limit, since, before), np.int64
        )

    def now_s(self) -> float:
        """Return the time of the market: of the clock, or of the tape."""
        if self._source.live:
            return self._clock_ns() / 1e9
        if not self.position:
            return float(self._since_s)
        return int(self._source.rows(self.position - 1)["time_ns"][0]) / 1e9

    def today(self, region: str) -> date:
        """Return the day in a region."""
        return calendar.local(region, self.now_s()).date()

    # What there is.

    def find(self, symbol: str) -> Instrument | None:
        """Return the security of a symbol: one that trades, or that belongs to one that does."""
        if symbol in self._numbers:
            return instrument(symbol)
        if symbol in self._others:
            return self._others[symbol]
        found = instrument(symbol)
        if found.kind == "option" and found.owner in self._numbers:
            return found
        if found.kind == "plate" and self.members(symbol) is not None:
            return found
        return None

    def number(self, symbol: str) -> int | None:
        """Return the index of a symbol that trades."""
        return self._numbers.get(symbol)

    def instruments(self, region: str | None = None, kind: str | None = None) -> list[Instrument]:
        """Return the securities of a region and a kind; options are found by their chains."""
        return [
            found
            for symbol in (*self.symbols, *self._others)
            if (region is None or symbol.endswith("." + region))
            and (found := instrument(symbol))
            and (kind is None or found.kind == kind)
        ]

    def plates(self, region: str, kind: int = 0) -> list[Plate]:
        """Return the plates of a region: 0 all, 1 industries, 2 regions, 3 concepts."""
        if not any(symbol.endswith("." + region) for symbol in self.symbols):
            return []
        return [plate for plate in plates(region) if kind in {0, plate.kind}]

    def members(self, plate: str) -> list[Instrument] | None:
        """Return the securities of a plate: number i is in plate number n if n divides i."""
        region = plate.rpartition(".")[2]
        known = [found.symbol for found in self.plates(region)]
        if plate not in known:
            return None
        stocks = [
            found for found in self.instruments(region) if found.kind in {"stock", "etf", "crypto"}
        ]
        return stocks[:: known.index(plate) + 1]

    def chain(
        self, owner: str, first: date, last: date
    ) -> Iterator[tuple[date, Instrument, Instrument]]:
        """Yield the options of an underlying that expire from `first` to `last`: calls and puts."""
        underlying = self.find(owner)
        if underlying is None:
            return
        price = self.anchor(owner)
        for day in expiries(self.today(underlying.region)):
            if first <= day <= last:
                for call, put in option_symbols(underlying, day, price):
                    yield day, instrument(call), instrument(put)

    def rehabs(self, symbol: str) -> list[Rehab]:
        """Return what happened to a stock, up to today."""
        found = self.find(symbol)
        if found is None or found.kind not in _KINDS_WITH_REHABS:
            return []
        dividend = round(self.anchor(symbol) * 0.01, 2) or 0.01
        all_of_them = (
            Rehab(date(2012, 5, 16), split=2),
            Rehab(date(2023, 6, 14), dividend=dividend),
        )
        today = self.today(found.region)
        return [rehab for rehab in all_of_them if rehab.day <= today]

    # Prices.

    def anchor(self, symbol: str) -> float:
        """Return the price where the past of a symbol meets its ticks."""
        number = self._numbers.get(symbol)
        if number is None:
            return instrument(symbol).price
        if symbol not in self._anchors:
            found = self._source.first_price(number)
            self._anchors[symbol] = instrument(symbol).price if found is None else found
        return self._anchors[symbol]

    def quote(self, symbol: str) -> Quote:
        """Return the state of a symbol."""
        bars, prev_close = self._at_rest(symbol)
        number = self._numbers.get(symbol)
        if number is None or not self.days["count"][number]:
            price = bars.past.last
            return Quote(self._since_s * 10**9, price, price, price, price, prev_close, 0.0, 0.0, 0)
        day = self.days[number]
        if not math.isnan(day["prev_close"]):
            prev_close = float(day["prev_close"])
        return Quote(
            int(day["time_ns"]),
            float(day["last"]),
            float(day["open"]),
            float(day["high"]),
            float(day["low"]),
            prev_close,
            float(day["volume"]),
            float(day["turnover"]),
            int(day["side"]),
        )

    def _at_rest(self, symbol: str) -> tuple[Bars, float]:
        """Return the bars of a symbol, and the close of the day before its first tick."""
        if symbol not in self._bars:
            if len(self._bars) >= len(self.symbols) + _OTHERS:
                self._bars = {s: bars for s, bars in self._bars.items() if s in self._numbers}
            found = instrument(symbol)
            region = found.region
            price = self.anchor(symbol)
            past = Past(found, self._since_s, price, self._seed)
            if region not in self._midnights:
                span = (self._since_s, self._since_s + 86400)
                self._midnights[region] = (
                    np.array(calendar.midnights_ns(region, *span), np.int64) // 10**9
                )
            bars = Bars(found, past, self._since_s, self._midnights[region])
            self._bars[symbol] = (bars, 0)
        bars = self._bars[symbol][0]
        if bars.prev_close is None:
            today = calendar.local(bars.region, self._since_s).date()
            before = calendar.midnight_s(bars.region, today) - 1
            bars.prev_close = float(bars.last("1d", 1, before)["close"][0])
        return bars, bars.prev_close

    def bars(self, symbol: str) -> Bars:
        """Return the bars of a symbol."""
        bars, _ = self._at_rest(symbol)
        number = self._numbers.get(symbol)
        if number is not None and self.days["count"][number]:
            position = self._bars[symbol][1]
            if position < self.position:
                picked = self.ticks(number, 1 << 62, since=position)
                rows = self._source.store.take(picked, mode="wrap")
                bars.add(rows["time_ns"], rows["price"], rows["volume"])
                self._bars[symbol] = (bars, self.position)
            day = self.days[number]
            bars.set_today(
                (
                    int(day["start_ns"]) // 10**9,
                    *(float(day[n]) for n in ("open", "high", "low", "last", "volume", "turnover")),
                )
            )
        return bars

    def last_bars(
        self, symbol: str, interval: str, count: int, adjust: int = 0, until_s: int | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        """Return the last bars of a symbol that begin until `until_s`, and the close before each."""
        found = self.bars(symbol).last(interval, count + 1, until_s)
        return self._with_closes(symbol, found, adjust, count)

    def newest_bar(self, symbol: str, interval: str, adjust: int = 0) -> npt.NDArray[Any]:
        """Return the running bar of a symbol, as an array of one."""
        bars = self.bars(symbol).last(interval, 1)
        return adjusted(bars, self.rehabs(symbol), symbol.rpartition(".")[2], adjust)

    def bars_between(
        self,
        symbol: str,
        interval: str,
        begin_s: int,
        end_s: int,
        limit: int | None,
        adjust: int = 0,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        """Return the bars that begin from `begin_s` to `end_s`, and the close before each."""
        bars = self.bars(symbol)
        found = bars.between(interval, begin_s, end_s, limit)
        before = bars.last(interval, 1, begin_s - 1)
        return self._with_closes(symbol, np.concatenate((before, found)), adjust, len(found))

    def _with_closes(
        self, symbol: str, bars: npt.NDArray[Any], adjust: int, count: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        region = symbol.rpartition(".")[2]
        bars = adjusted(bars, self.rehabs(symbol), region, adjust)
        if not len(bars):
            return np.zeros(0, BAR), np.zeros(0)
        # The first of all has none before.
        closes = np.concatenate((bars["open"][:1], bars["close"][:-1]))
        return bars[max(0, len(bars) - count) :], closes[max(0, len(bars) - count) :]

    def minute_line(self, symbol: str, *, newest: bool = False) -> list[Point]:
        """Return the day's line, minute by minute, or its end; minutes without a tick are blank."""
        minutes = self.bars(symbol).minutes
        if not len(minutes):
            return []
        midnight = int(self.days["start_ns"][self._numbers[symbol]]) // 10**9
        minutes = minutes[minutes["start_s"] >= midnight]
        volumes = minutes["volume"].cumsum()
        averages = minutes["close"].copy()  # where nothing but empty trades was
        np.divide(minutes["turnover"].cumsum(), volumes, out=averages, where=volumes > 0)
        first = len(minutes) - 1 if newest else 0
        points: list[Point] = []
        for (start, _, _, _, close, volume, turnover), average in zip(
            minutes[first:].tolist(), averages[first:].tolist(), strict=True
        ):
            while points and points[-1].time_s < start:
                points.append(
                    points[-1]._replace(
                        time_s=points[-1].time_s + 60,
                        minute=points[-1].minute + 1,
                        blank=True,
                        volume=0.0,
                        turnover=0.0,
                    )
                )
            end = start + 60
            points.append(
                Point(end, (end - midnight) // 60, False, close, average, volume, turnover)
            )
        return points

    # Made up around the price.

    def book(
        self, symbol: str, depth: int, *, odd_lots: bool = False
    ) -> tuple[list[Level], list[Level]]:
        """Return bids and asks, best first."""
        found = instrument(symbol)
        quote = self.quote(symbol)
        digits = max(0, round(-math.log10(found.spread)))
        lot = max(found.lot_size, 1)
        # The last trade took from one side.
        best = round(quote.last / found.spread) - (quote.side > 0)
        sides: tuple[list[Level], list[Level]] = ([], [])
        mix = found.id * 0x9E3779B1
        for side, (start, step) in enumerate(((best, -1), (best + 1, 1))):
            for i in range(min(depth, _LEVELS)):
                tick = start + step * i
                if tick <= 0:
                    break
                draw = (tick * 0x85EBCA6B ^ mix) >> 5 & 0xFFFF
                count = 1 + draw % 4
                unit = float(1 + draw % max(lot - 1, 1) if odd_lots else lot * (1 + draw % 9))
                sign = 1
                if found.kind == "crypto":
                    unit = (1 + draw % 9999) / 1e4
                    sign = 1 - 2 * (draw & 1)
                orders = tuple(((tick << 8 | k << 1 | side) * sign, unit) for k in range(count))
                sides[side].append(
                    Level(round(tick * found.spread, digits), round(unit * count, 4), orders)
                )
        return sides

    def brokers(self, symbol: str) -> tuple[list[Place], list[Place]]:
        """Return the broker queues of bids and asks; only Hong Kong has them."""
        if not symbol.endswith(".HK"):
            return [], []
        queues = []
        for side in self.book(symbol, 10):
            queue = [
                Place(
                    *BROKERS[(round(level.price * 1000) + order) % len(BROKERS)], i, order, volume
                )
                for i, level in enumerate(side, 1)
                for order, volume in level.orders
            ]
            queues.append(queue[:_PLACES])
        return queues[0], queues[1]

    def figure(self, symbol: str, name: str, low: float, high: float, digits: int = 2) -> float:
        """Return a made-up number about a symbol, which never changes."""
        return round(low + (high - low) * chance(symbol, name, self._seed), digits)

    def days_to(self, found: Instrument) -> int:
        """Return how many days a security has to its expiry."""
        return ((found.expiry or date(1970, 1, 1)) - self.today(found.region)) // timedelta(1)
