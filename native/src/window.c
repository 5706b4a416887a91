#include "fastfeed/window.h"

#include <stdlib.h>
#include <string.h>

#include "fastfeed/status.h"

int ff_window_init(ff_window *w, size_t bytes) {
    *w = (ff_window){.data = malloc(bytes), .size = bytes, .first_size = bytes};
    return w->data != NULL ? 0 : -FF_ENOMEM;
}

void ff_window_free(ff_window *w) {
    free(w->data);
    w->data = NULL;
}

uint8_t *ff_window_space(ff_window *w, size_t want, size_t *room) {
    if (w->start > 0) {
        memmove(w->data, w->data + w->start, w->end - w->start);
        w->end -= w->start;
        w->start = 0;
    }
    if (FF_UNLIKELY(w->size > w->first_size && w->end == 0)) {
        /* A long packet has passed: the window need not stay as large. */
        uint8_t *data = realloc(w->data, w->first_size);
        if (data != NULL) {
            w->data = data;
            w->size = w->first_size;
        }
    }
    if (w->size - w->end < want) {
        /* Doubling: a header alone cannot make the window as large as it says. */
        size_t size = w->size * 2 > w->end + want ? w->size * 2 : w->end + want;
        uint8_t *data = realloc(w->data, size);
        if (data == NULL)
            return NULL;
        w->data = data;
        w->size = size;
    }
    *room = w->size - w->end;
    return w->data + w->end;
}
