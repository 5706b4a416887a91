"""Where the ticks of each symbol are in a simulation, and what its day has come to."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from fastfeed._core.opend_encode cimport sim_tick

__all__ = ["DAY_FIELDS", "index_ticks", "pick"]

#: What `numpy.dtype` makes the days of the symbols from.
DAY_FIELDS = {
    "names": ["start_ns", "end_ns", "newest", "count", "time_ns", "open", "high", "low", "last",
              "prev_close", "volume", "turnover", "midnights_start", "midnights_end", "side", "days"],
    "formats": ["<i8", "<i8", "<i8", "<i8", "<i8", "<f8", "<f8", "<f8", "<f8",
                "<f8", "<f8", "<f8", "<u4", "<u4", "<i4", "<i4"],
    "offsets": [
        <size_t>&(<sim_day *>NULL).start_ns,
        <size_t>&(<sim_day *>NULL).end_ns,
        <size_t>&(<sim_day *>NULL).newest,
        <size_t>&(<sim_day *>NULL).count,
        <size_t>&(<sim_day *>NULL).time_ns,
        <size_t>&(<sim_day *>NULL).open,
        <size_t>&(<sim_day *>NULL).high,
        <size_t>&(<sim_day *>NULL).low,
        <size_t>&(<sim_day *>NULL).last,
        <size_t>&(<sim_day *>NULL).prev_close,
        <size_t>&(<sim_day *>NULL).volume,
        <size_t>&(<sim_day *>NULL).turnover,
        <size_t>&(<sim_day *>NULL).midnights_start,
        <size_t>&(<sim_day *>NULL).midnights_end,
        <size_t>&(<sim_day *>NULL).side,
        <size_t>&(<sim_day *>NULL).days,
    ],
    "itemsize": sizeof(sim_day),
}


cdef void begin_day(sim_day *day, int64_t time_ns, const int64_t *midnights) noexcept nogil:
    cdef size_t low = day.midnights_start, high = day.midnights_end, middle
    while high - low > 1:
        middle = low + (high - low) // 2
        if midnights[middle] <= time_ns:
            low = middle
        else:
            high = middle
    day.start_ns = midnights[low]
    day.end_ns = midnights[low + 1] if low + 1 < day.midnights_end else <int64_t>1 << 62
    day.days += 1
    if day.count:
        day.prev_close = day.last
    day.volume = 0
    day.turnover = 0


def index_ticks(const sim_tick[::1] rows not None, int64_t first, int64_t[::1] links not None,
                sim_day[::1] days not None, const int64_t[::1] midnights not None):
    """Note where ticks are, and add them to the days of their symbols.

    Parameters
    ----------
    rows : buffer
        Rows of a simulation.
    first : int
        Position of the first of them.
    links : buffer of int64
        For each position (modulo the length) that of the tick before, of the same symbol. Changed.
    days : buffer
        Rows of the dtype of `DAY_FIELDS`, one for each symbol. Changed.
    midnights : buffer of int64
        Midnights of the markets in UTC, nanoseconds; of each market in ascending order.
    """
    cdef Py_ssize_t i, n = rows.shape[0]
    cdef int64_t size = links.shape[0], at = first % size if size else 0
    cdef sim_day *day
    if not size or not midnights.shape[0]:
        raise ValueError("expected room for links, and midnights")
    for i in range(n):
        if rows[i].symbol >= <size_t>days.shape[0]:
            raise ValueError(f"expected symbols below {days.shape[0]}, got {rows[i].symbol}")
        day = &days[rows[i].symbol]
        if not day.midnights_start < day.midnights_end <= <size_t>midnights.shape[0]:
            raise ValueError(f"expected midnights of symbol {rows[i].symbol}")
    with nogil:
        for i in range(n):
            day = &days[rows[i].symbol]
            links[at] = day.newest
            at = at + 1 if at + 1 < size else 0
            day.newest = first + i
            # A tape that starts again goes back in time.
            if rows[i].time_ns >= day.end_ns or rows[i].time_ns < day.start_ns:
                begin_day(day, rows[i].time_ns, &midnights[0])
                day.open = day.high = day.low = rows[i].price
            day.high = max(day.high, rows[i].price)
            day.low = min(day.low, rows[i].price)
            day.last = rows[i].price
            day.volume += rows[i].volume
            day.turnover += rows[i].price * rows[i].volume
            day.time_ns = rows[i].time_ns
            day.side = rows[i].side
            day.count += 1


def pick(const int64_t[::1] links not None, int64_t newest, int64_t limit, int64_t since, int64_t before):
    """Return the positions of the last ticks of one symbol, oldest first, as int64.

    Parameters
    ----------
    links : buffer of int64
        As `index_ticks` left it.
    newest : int
        Position of the symbol's last tick, -1: none.
    limit : int
        Most positions.
    since, before : int
        Only positions from `since` on and before `before`; `since` is one whose link is still there.
    """
    cdef int64_t size = links.shape[0], found = 0, room
    cdef int64_t *out
    if limit <= 0:
        return b""
    since = max(since, 0)
    while newest >= before and newest >= since:
        newest = links[newest % size]
    room = max(min(limit, newest - since + 1), 0)
    out = <int64_t *>malloc((room + 1) * sizeof(int64_t))
    if out == NULL:
        raise MemoryError
    try:
        with nogil:
            while newest >= since and found < room:
                found += 1
                out[room - found] = newest
                newest = links[newest % size]
        return PyBytes_FromStringAndSize(<char *>(out + room - found), found * sizeof(int64_t))
    finally:
        free(out)
