/* Runs a fuzz target without libFuzzer.
 *
 *   fuzz_X FILE...               replays files (crashes, a corpus)
 *   fuzz_X -runs=N [-seed=S]     N pseudo-random mutations of the built-in seeds, the same
 * ones for the same S fuzz_X -write=FOLDER         writes the seeds, as a corpus to begin with
 *
 * A failing input of the second kind is left in ./fuzz-crash. */

#include <signal.h>
#include <unistd.h>

#include "fuzz.h"

enum { MAX_SEEDS = 64, MAX_BYTES = 16384 };

static bytes current;

static void on_abort(int number) {
    (void)number;
    FILE *file = fopen("fuzz-crash", "wb");
    if (file != NULL) {
        fwrite(current.data, 1, current.length, file);
        fclose(file);
    }
    _exit(1);
}

static void run(void) {
    uint8_t *input = exact_copy(current.data, current.length);
    LLVMFuzzerTestOneInput(input, current.length);
    free(input);
}

static void mutate(const bytes *seeds, size_t count, uint64_t *random) {
    static const uint8_t special[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x08, 0x0a, 0x12, 0x22};
    uint64_t changes = 1 + next_random(random) % 8;
    for (uint64_t i = 0; i < changes; i++) {
        size_t n = current.length, at = n == 0 ? 0 : (size_t)(next_random(random) % n);
        uint64_t r = next_random(random);
        switch (next_random(random) % 8) {
        case 0:
            if (n > 0)
                current.data[at] ^= (uint8_t)(1u << r % 8);
            break;
        case 1:
            if (n > 0)
                current.data[at] = (uint8_t)r;
            break;
        case 2:
            if (n > 0)
                current.data[at] = special[r % sizeof special];
            break;
        case 3: /* one more or one less: lengths */
            if (n > 0)
                current.data[at] = (uint8_t)(current.data[at] + (r % 2 == 0 ? 1 : -1));
            break;
        case 4: { /* drop some */
            size_t m = (size_t)(r % 16) < n - at ? (size_t)(r % 16) : n - at;
            memmove(current.data + at, current.data + at + m, n - at - m);
            current.length -= m;
            break;
        }
        case 5: { /* repeat some behind themselves */
            uint8_t some[64];
            size_t m = (size_t)(r % 64) < n - at ? (size_t)(r % 64) : n - at;
            if (m == 0 || n + m > MAX_BYTES)
                break;
            memcpy(some, current.data + at, m);
            put(&current, some, m);
            memmove(current.data + at + m, current.data + at, n - at);
            memcpy(current.data + at, some, m);
            break;
        }
        case 6: /* cut the end off */
            if (r % 4 == 0)
                current.length = at;
            break;
        default: { /* a piece of another seed */
            const bytes *other = &seeds[r % count];
            size_t from = other->length == 0 ? 0 : (size_t)(r >> 8) % other->length;
            size_t m = other->length - from;
            m = m < 200 ? m : 200;
            if (n + m <= MAX_BYTES)
                put(&current, other->data + from, m);
        }
        }
    }
}

static int replay(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    current.length = 0;
    for (int byte; (byte = fgetc(file)) != EOF;)
        put_u8(&current, (unsigned)byte);
    fclose(file);
    run();
    return 0;
}

static int write_seeds(const char *folder, const bytes *seeds, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/seed-%zu", folder, i);
        FILE *file = fopen(path, "wb");
        if (file == NULL) {
            perror(path);
            return 1;
        }
        fwrite(seeds[i].data, 1, seeds[i].length, file);
        fclose(file);
    }
    return 0;
}

int main(int argc, char **argv) {
    unsigned long long runs = 0, random = 1;
    const char *folder = NULL;
    bytes seeds[MAX_SEEDS] = {{0}};
    size_t count = 0;
    while (count < MAX_SEEDS && fuzz_seed(count, &seeds[count]))
        count++;
    signal(SIGABRT, on_abort);
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-runs=", 6) == 0)
            runs = strtoull(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "-seed=", 6) == 0)
            random = strtoull(argv[i] + 6, NULL, 10) | 1;
        else if (strncmp(argv[i], "-write=", 7) == 0)
            folder = argv[i] + 7;
        else
            failed |= replay(argv[i]);
    }
    if (folder != NULL)
        failed |= write_seeds(folder, seeds, count);
    uint64_t state = random;
    for (unsigned long long i = 0; i < runs; i++) {
        const bytes *seed = &seeds[i % count];
        current.length = 0;
        put(&current, seed->data, seed->length);
        if (i >= count) /* the seeds themselves first */
            mutate(seeds, count, &state);
        run();
    }
    for (size_t i = 0; i < MAX_SEEDS; i++)
        free(seeds[i].data);
    free(current.data);
    return failed;
}
