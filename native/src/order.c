#include "fastfeed/order.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_COUNT = 256 };

void ff_order_init(ff_order *order) {
    memset(order, 0, sizeof *order);
}

void ff_order_free(ff_order *order) {
    free(order->symbols);
    memset(order, 0, sizeof *order);
}

int ff_order_grow(ff_order *order, uint32_t id) {
    size_t count = order->count != 0 ? order->count : FIRST_COUNT;
    while (count <= id)
        count *= 2;
    ff_order_symbol *symbols = realloc(order->symbols, count * sizeof *symbols);
    if (symbols == NULL)
        return -FF_ENOMEM;
    for (size_t i = order->count; i < count; i++)
        symbols[i] = (ff_order_symbol){.last = -1};
    order->symbols = symbols;
    order->count = count;
    return 0;
}
