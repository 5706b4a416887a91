#ifndef FASTFEED_CRC32C_H
#define FASTFEED_CRC32C_H

/* CRC-32C (Castagnoli), as iSCSI has it: with the processor's instruction for it where there
 * is one, otherwise by a table. */

#include <stddef.h>
#include <stdint.h>

/* The CRC of what `crc` is the CRC of (0: nothing) and the bytes behind it. */
uint32_t ff_crc32c(uint32_t crc, const void *data, size_t length);

/* The same by the table, whatever the processor has. */
uint32_t ff_crc32c_by_table(uint32_t crc, const void *data, size_t length);

#endif
