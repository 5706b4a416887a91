#include "fastfeed/crc32c.h"

#include <stdbool.h>

#include "fastfeed/wire.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <nmmintrin.h>
#define HAS_X86 1
#elif defined(__aarch64__) && defined(__GNUC__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define HAS_ARM 1
#endif

/* Of four bits: two steps a byte, and no 1 KiB to be made at the start. */
static const uint32_t table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
    0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t ff_crc32c_by_table(uint32_t crc, const void *data, size_t length) {
    const uint8_t *p = data;
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

#if defined(HAS_X86)

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const uint8_t *p, size_t length) {
    uint64_t word = ~crc;
    for (; length >= 8; p += 8, length -= 8)
        word = _mm_crc32_u64(word, ff_load_u64(p));
    crc = (uint32_t)word;
    for (; length > 0; p++, length--)
        crc = _mm_crc32_u8(crc, *p);
    return ~crc;
}

static bool has_instruction(void) {
    return __builtin_cpu_supports("sse4.2");
}

#elif defined(HAS_ARM)

__attribute__((target("+crc"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p,
                                                               size_t length) {
    crc = ~crc;
    for (; length >= 8; p += 8, length -= 8)
        crc = __crc32cd(crc, ff_load_u64(p));
    for (; length > 0; p++, length--)
        crc = __crc32cb(crc, *p);
    return ~crc;
}

static bool has_instruction(void) {
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#endif

uint32_t ff_crc32c(uint32_t crc, const void *data, size_t length) {
#if defined(HAS_X86) || defined(HAS_ARM)
    if (has_instruction())
        return by_instruction(crc, data, length);
#endif
    return ff_crc32c_by_table(crc, data, length);
}
