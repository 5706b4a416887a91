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

#if defined(HAS_X86) || defined(HAS_ARM)

#if defined(HAS_X86)
#define TARGET __attribute__((target("sse4.2")))
#define STEP_8(crc, word) ((uint32_t)_mm_crc32_u64(crc, word))
#define STEP_1(crc, byte) _mm_crc32_u8(crc, byte)
#else
#define TARGET __attribute__((target("+crc")))
#define STEP_8(crc, word) __crc32cd(crc, word)
#define STEP_1(crc, byte) __crc32cb(crc, byte)
#endif

enum { WORTH = 1024 }; /* bytes that are taken in three parts */

static bool has_instruction(void) {
#if defined(HAS_X86)
    return __builtin_cpu_supports("sse4.2");
#else
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
}

/* The product of two polynomials, modulo that of the CRC; the highest power is bit 0. */
static uint32_t product(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        if ((a & bit) != 0)
            sum ^= b;
        b = (b & 1) != 0 ? b >> 1 ^ 0x82f63b78 : b >> 1;
    }
    return sum;
}

/* What a CRC becomes by so many bytes of zeros behind: times x to the power of their bits. */
static uint32_t shifted(uint32_t crc, size_t bytes) {
    uint32_t power = UINT32_C(1) << 23; /* x^8 */
    for (; bytes > 0; bytes >>= 1) {
        if ((bytes & 1) != 0)
            crc = product(power, crc);
        power = product(power, power);
    }
    return crc;
}

/* The instruction takes three cycles, and one can be begun in each: three parts at once. */
TARGET static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t length) {
    crc = ~crc;
    if (length >= WORTH) {
        const size_t part = length / 24 * 8;
        uint32_t second = 0, third = 0;
        for (size_t i = 0; i < part; i += 8) {
            crc = STEP_8(crc, ff_load_u64(p + i));
            second = STEP_8(second, ff_load_u64(p + part + i));
            third = STEP_8(third, ff_load_u64(p + 2 * part + i));
        }
        crc = shifted(shifted(crc, part) ^ second, part) ^ third;
        p += 3 * part;
        length -= 3 * part;
    }
    for (; length >= 8; p += 8, length -= 8)
        crc = STEP_8(crc, ff_load_u64(p));
    for (; length > 0; p++, length--)
        crc = STEP_1(crc, *p);
    return ~crc;
}

#endif

uint32_t ff_crc32c(uint32_t crc, const void *data, size_t length) {
#if defined(HAS_X86) || defined(HAS_ARM)
    if (has_instruction())
        return by_instruction(crc, data, length);
#endif
    return ff_crc32c_by_table(crc, data, length);
}
