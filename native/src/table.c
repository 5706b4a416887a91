#include "fastfeed/table.h"

#include <stdlib.h>

enum { FIRST_PLACES = 256, FIRST_ROWS = 16 };

void ff_table_init(ff_table *table, size_t row_size) {
    memset(table, 0, sizeof *table);
    table->row_size = row_size;
}

void ff_table_free(ff_table *table) {
    free(table->index);
    free(table->rows);
    memset(table, 0, sizeof *table);
}

void ff_table_clear(ff_table *table) {
    if (table->places > 0)
        memset(table->index, 0, table->places * sizeof *table->index);
    table->used = 0;
}

int ff_table_grow(ff_table *table, size_t place) {
    if (place >= table->places) {
        size_t places = table->places != 0 ? table->places : FIRST_PLACES;
        while (places <= place) {
            if (places > SIZE_MAX / 2 / sizeof *table->index)
                return -FF_ENOMEM;
            places *= 2;
        }
        uint32_t *index = realloc(table->index, places * sizeof *index);
        if (index == NULL)
            return -FF_ENOMEM;
        memset(index + table->places, 0, (places - table->places) * sizeof *index);
        table->index = index;
        table->places = places;
    }
    if (table->index[place] != 0)
        return 0;
    if (table->used == table->max_used) {
        if (table->max_used > UINT32_MAX / 2)
            return -FF_ENOMEM;
        uint32_t max_used = table->max_used != 0 ? table->max_used * 2 : FIRST_ROWS;
        uint8_t *rows = realloc(table->rows, max_used * table->row_size);
        if (rows == NULL)
            return -FF_ENOMEM;
        table->rows = rows;
        table->max_used = max_used;
    }
    table->index[place] = ++table->used;
    return 0;
}
