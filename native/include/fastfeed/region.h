#ifndef FASTFEED_REGION_H
#define FASTFEED_REGION_H

/* A file in memory, mapped whole: of this process alone, or with a name, for others to map.
 *
 * The addresses of its largest size are taken at once, so that nothing in it ever moves;
 * memory only where ff_region_take() was asked for it, so that a lack of memory is an error of
 * that call and not a signal at the first access. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ff_region {
    uint8_t *base; /* NULL: closed */
    size_t size;
    int fd; /* of a writer's region; -1 of a reader's */
} ff_region;

/* Map `size` bytes of a new file of this process alone. Returns 0, or -1 with errno set. */
int ff_region_create(ff_region *region, size_t size);

/* Map the file fd, of which a copy is kept, as its writer: it becomes `size` bytes long,
 * and must not be longer. Returns 0, or -1 with errno set. */
int ff_region_map(ff_region *region, int fd, size_t size);

/* Map the file fd for reading; it has to be `size` bytes long already, and its writer has to
 * have begun: its first eight bytes are not zero. fd may be closed afterwards. Returns 0, or
 * -1 with errno set. */
int ff_region_attach(ff_region *region, int fd, size_t size);

/* The same for reading and writing a file that another process has made, with memory behind
 * all of it, and that others write too; it may hold zeros. */
int ff_region_join(ff_region *region, int fd, size_t size);

/* Let this process only read from now on; writing is a signal. */
void ff_region_protect(ff_region *region);

/* Unmap. Safe on a zeroed region. */
void ff_region_close(ff_region *region);

/* Have memory behind `length` bytes from `offset` on, and what lies between in their pages;
 * zeros where it is new. Returns 0 or -FF_ENOMEM. */
int ff_region_take(ff_region *region, size_t offset, size_t length);

/* The same for a file; a signal does not end it. Returns 0 or an errno. */
int ff_file_take(int fd, size_t offset, size_t length);

/* Whole pages that hold n bytes. */
size_t ff_whole_pages(size_t n);

#endif
