"""What a simulated AllTick answers over HTTP: last trades, books, bars, static data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfeed.protocols.alltick_codes import INTERVALS, MARKETS, MOST_BARS, MOST_BARS_OF_MANY
from fastfeed.sim.alltick_replies import BAD_DATA, BAD_HEADER, Refused, wanted_codes
from fastfeed.sim.alltick_texts import Texts, data_of, field_writer
from fastfeed.sim.instruments import instrument
from fastfeed.sim.limits import Window
from fastfeed.sim.tape import TICK
from fastfeed.sim.terms import CURRENCIES, EXCHANGES, Fundamentals

if TYPE_CHECKING:
    from fastfeed.sim.alltick import AllTickSimulator

__all__ = ["Endpoints"]

_MILLISECONDS = 100_000_000_000  # larger times are taken for milliseconds


class Endpoints:
    """The methods of one side; they read the same market that is pushed."""

    def __init__(self, simulator: AllTickSimulator) -> None:
        self._sim = simulator
        knobs = simulator.knobs
        # Integers are always quoted here, times always in milliseconds.
        self._texts = Texts(
            simulator.codes,
            replace(knobs, int_mode="str", time_unit="ms", coalesce=False),
            simulator.sequences,
        )
        self._methods: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
            "trade-tick": ("GET", self._trades),
            "depth-tick": ("GET", self._books),
            "kline": ("GET", self._bars),
            "batch-kline": ("POST", self._batch),
        }
        if simulator.side == "stock":
            self._methods["static_info"] = ("GET", self._static)
        self._intervals = {INTERVALS[name]: name for name in MARKETS[simulator.side].intervals}
        plan = simulator.plan
        self._windows = {
            name: Window(*(plan.batch if name == "batch-kline" else plan.request))
            for name in self._methods
        }
        self._totals = (Window(plan.per_minute, 60.0), Window(plan.per_day, 86_400.0))

    def answer(self, method: str, name: str, query: str | None, body: bytes) -> tuple[int, str]:
        """Answer a request with a good token; return the status and a JSON text."""
        sim = self._sim
        sim.counts["http_requests"] += 1
        if name not in self._methods:
            return 404, '{"ret":404,"msg":"not found"}'
        wanted, do = self._methods[name]
        if method != wanted:
            return 405, '{"ret":405,"msg":"method not allowed"}'
        trace = ""
        try:
            self._pace(name)
            request = _parsed(query) if method == "GET" else _parsed_body(body)
            trace = request["trace"]
            sim.catch_up()
            data = do(request["data"])
        except Refused as refused:
            sim.counts["http_refused"] += 1
            text = json.dumps(
                {"ret": refused.ret, "msg": str(refused), "trace": trace, "data": {}},
                separators=(",", ":"),
            )
            return 429 if refused.ret == 429 else 200, text
        return 200, f'{{"ret":200,"msg":"ok","trace":{json.dumps(trace)},"data":{{{data}}}}}'

    def _pace(self, name: str) -> None:
        if self._sim.rate_limits:
            if not all(total.take() for total in self._totals):
                raise Refused(429)
            if not self._windows[name].take():
                raise Refused(605)

    def _numbers(self, data: dict[str, Any]) -> list[int]:
        sim = self._sim
        codes = sim.admitted(wanted_codes(data), most=sim.plan.http_codes)
        return [sim.numbers[code] for code in codes if code in sim.numbers]

    def _trades(self, data: dict[str, Any]) -> str:
        items = []
        for number in self._numbers(data):
            positions = self._sim.market.ticks(number, 1)
            if len(positions):
                rows = self._sim.rows_at(positions)
            else:  # it has not traded yet: the close before
                quote = self._sim.market.quote(self._sim.codes[number].symbol)
                positions = np.zeros(1, np.int64)
                rows = np.array([(quote.time_ns, quote.last, 0.0, number, 0)], TICK)
            items += [data_of(text) for text in self._texts.ticks(rows, positions)]
        return f'"tick_list":[{",".join(items)}]'

    def _books(self, data: dict[str, Any]) -> str:
        sim = self._sim
        items = [
            data_of(sim.book(self._texts, number, sim.codes[number].levels))
            for number in self._numbers(data)
        ]
        return f'"tick_list":[{",".join(items)}]'

    def _bars(self, data: dict[str, Any]) -> str:
        code, kind, bars = self._bars_of(data, MOST_BARS)
        return f'"code":{json.dumps(code)},"kline_type":{kind},"kline_list":[{bars}]'

    def _batch(self, data: dict[str, Any]) -> str:
        listed = data.get("data_list")
        if not isinstance(listed, list) or not listed:
            raise Refused(400, BAD_DATA)
        if len(listed) > self._sim.plan.groups:
            raise Refused(603)
        groups = []
        for item in listed:
            if not isinstance(item, dict):
                raise Refused(400, BAD_DATA)
            code, kind, bars = self._bars_of(item, MOST_BARS_OF_MANY)
            groups.append(
                f'{{"code":{json.dumps(code)},"kline_type":{kind},"kline_data":[{bars}]}}'
            )
        return f'"kline_list":[{",".join(groups)}]'

    def _bars_of(self, data: dict[str, Any], most: int) -> tuple[str, int, str]:
        sim = self._sim
        code = data.get("code")
        kind, end, count, _ = (
            _natural(data.get(key))
            for key in ("kline_type", "kline_timestamp_end", "query_kline_num", "adjust_type")
        )
        if not isinstance(code, str):
            raise Refused(400, BAD_DATA)
        if (
            kind not in self._intervals
            or count == 0
            or (sim.side == "stock" and end)  # they cannot be paged
            or end >= _MILLISECONDS * 1000
        ):
            raise Refused(400, BAD_DATA)
        sim.admitted({code: None})
        if (number := sim.numbers.get(code)) is None:
            return code, kind, ""
        wrong_unit = end >= _MILLISECONDS
        until_s = end // 1000 if wrong_unit else end
        bars = sim.market.bars(sim.codes[number].symbol).last(
            self._intervals[kind], min(count, most), until_s or None
        )
        knobs, fx = sim.knobs, sim.codes[number].region == "FX"
        write = self._texts.formats(number)
        volume, turnover = (
            field_writer(name, writer, getattr(knobs, f"fx_{name}") if fx else "present")
            for name, writer in (("volume", write.volume), ("turnover", write.turnover))
        )
        price = write.price
        texts = [
            f'{{"timestamp":"{start}","open_price":"{price(first)}","close_price":"{price(last)}",'
            f'"high_price":"{price(high)}","low_price":"{price(low)}"'
            f"{volume(bar_volume)}{turnover(bar_turnover)}}}"
            for start, first, high, low, last, bar_volume, bar_turnover in bars.tolist()
        ]
        if wrong_unit:  # newest first, and the last one twice
            texts = [*texts[::-1], *texts[:1]]
        return code, kind, ",".join(texts)

    def _static(self, data: dict[str, Any]) -> str:
        items = []
        for number in self._numbers(data):
            found = self._sim.codes[number]
            terms = Fundamentals.of(self._sim.market, instrument(found.symbol))
            values = {
                "board": "Main",
                "bps": f"{terms.bps:.4f}",
                "circulating_shares": str(terms.circulating),
                "currency": CURRENCIES[found.region],
                "dividend_yield": f"{terms.dividend_yield:.4f}",
                "eps": f"{terms.eps:.4f}",
                "eps_ttm": f"{terms.eps_ttm:.4f}",
                "exchange": EXCHANGES[found.region],
                "hk_shares": str(terms.shares if found.region == "HK" else 0),
                "lot_size": str(instrument(found.symbol).lot_size),
                "name_cn": f"模拟证券 {found.code}",
                "name_en": f"{found.code} simulated",
                "name_hk": f"模擬證券 {found.code}",
                "symbol": found.code,
                "total_shares": str(terms.shares),
            }
            items.append(json.dumps(values, ensure_ascii=False, separators=(",", ":")))
        return f'"static_info_list":[{",".join(items)}]'


def _natural(value: object) -> int:
    if type(value) is not int or value < 0:
        raise Refused(400, BAD_DATA)
    return value


def _parsed(query: str | None) -> dict[str, Any]:
    try:
        request = json.loads(query or "")
    except (ValueError, RecursionError):
        raise Refused(402) from None
    return _checked(request)


def _parsed_body(body: bytes) -> dict[str, Any]:
    if not body:
        raise Refused(601)
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, BAD_HEADER) from None
    return _checked(request)


def _checked(request: Any) -> dict[str, Any]:
    if (
        not isinstance(request, dict)
        or not isinstance(request.get("trace"), str)
        or not isinstance(request.get("data"), dict)
    ):
        raise Refused(400, BAD_HEADER)
    return request
