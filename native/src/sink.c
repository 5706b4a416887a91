#include "fastfeed/sink.h"

unsigned ff_sink_publish(ff_sink *sink) {
    unsigned dirty = sink->dirty;
    for (unsigned left = dirty; left != 0; left &= left - 1)
        ff_ring_publish(sink->rings[__builtin_ctz(left)]);
    sink->dirty = 0;
    sink->full = false;
    return dirty;
}
