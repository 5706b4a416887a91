from libc.stdint cimport int32_t, int64_t, uint32_t


# What the ticks of one symbol have come to, today.
cdef struct sim_day:
    int64_t start_ns    # the market's midnight before the last tick, and the one after it
    int64_t end_ns
    int64_t newest      # position of the last tick, -1 = none
    int64_t count       # of all ticks ever
    int64_t time_ns     # of the last tick
    double open
    double high
    double low
    double last
    double prev_close   # NaN = no day before
    double volume
    double turnover
    uint32_t midnights_start  # the market's midnights in the array of all of them
    uint32_t midnights_end
    int32_t side        # of the last tick
    int32_t days        # how many days had ticks
