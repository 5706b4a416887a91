#include "fastfeed/load.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "fastfeed/clock.h"

#define EVERY_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* ---- sequences
 *
 * A step is added to eight digits at once, and the addition itself carries from one byte to
 * the next: those of a varint have their highest bit set, and ASCII digits get what they lack
 * to 256. */

static uint64_t little(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}

static void put_little(uint8_t *p, uint64_t v) {
    v = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

int ff_load_step_init(ff_load_step *step, ff_load_form form, uint64_t number) {
    uint64_t base = form == FF_LOAD_AS_VARINT ? 128 : 10;
    memset(step, 0, sizeof *step);
    step->form = form;
    for (unsigned i = 0; i < sizeof step->part; i++) {
        step->part[i / 8] |= number % base << 8 * (i % 8);
        number /= base;
    }
    uint64_t over = form == FF_LOAD_AS_VARINT ? step->part[1] >> 8 : step->part[2] >> 24;
    return over == 0 ? 0 : -ERANGE;
}

static void add_to_varint(const ff_load_step *step, uint8_t *p) {
    uint64_t sum;
    unsigned carry = __builtin_add_overflow(little(p), step->part[0], &sum);
    put_little(p, sum | EVERY_BYTE(0x80));
    p[8] = (uint8_t)(p[8] + step->part[1] + carry);
}

/* Eight ASCII digits, the last one lowest, plus digits and a carry, which is set anew. */
static uint64_t add_digits(uint64_t text, uint64_t digits, unsigned *carry) {
    uint64_t sum;
    /* '0' + 9 + 0xc6 is 255: the next one makes a carry, and leaves 0. */
    unsigned more = __builtin_add_overflow(text, digits + EVERY_BYTE(0xc6) + *carry, &sum);
    *carry = more;
    uint64_t alone = (sum >> 7 & EVERY_BYTE(1)) * 0xff; /* bytes that made none */
    return sum - (alone & EVERY_BYTE(0xc6)) + (~alone & EVERY_BYTE('0'));
}

static void add_to_digits(const ff_load_step *step, uint8_t *p) {
    unsigned carry = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *word = p + FF_LOAD_DIGITS - 8 * (i + 1);
        uint64_t text = __builtin_bswap64(little(word));
        put_little(word, __builtin_bswap64(add_digits(text, step->part[i], &carry)));
    }
    for (unsigned i = 3; i-- > 0;) {
        unsigned more = (unsigned)(step->part[2] >> 8 * (2 - i) & 15);
        unsigned digit = p[i] - (unsigned)'0' + more + carry;
        carry = digit > 9;
        p[i] = (uint8_t)('0' + (carry ? digit - 10 : digit));
    }
}

void ff_load_step_add(const ff_load_step *step, uint8_t *sequence) {
    if (step->form == FF_LOAD_AS_VARINT)
        add_to_varint(step, sequence);
    else
        add_to_digits(step, sequence);
}

int64_t ff_load_sequence(const uint8_t *sequence, ff_load_form form) {
    uint64_t value = 0;
    if (form == FF_LOAD_AS_VARINT) {
        for (unsigned i = 0; i < FF_LOAD_VARINT; i++) {
            if (sequence[i] >> 7 != (i < FF_LOAD_VARINT - 1))
                return -EINVAL;
            value |= (uint64_t)(sequence[i] & 0x7f) << 7 * i;
        }
        return (int64_t)value;
    }
    for (unsigned i = 0; i < FF_LOAD_DIGITS; i++) {
        if (sequence[i] < '0' || sequence[i] > '9')
            return -EINVAL;
        value = value * 10 + (sequence[i] - (unsigned)'0');
    }
    return value <= INT64_MAX ? (int64_t)value : -EINVAL;
}

/* ---- sockets */

/* Wait until a descriptor is ready. Returns FF_LOAD_DONE: something is the matter with it, or
 * time is up; FF_LOAD_AGAIN: a signal came; FF_LOAD_STOPPED; -errno. `*found`: its events. */
static int wait_for(int fd, short events, int stop_fd, int64_t timeout_ns, short *found) {
    struct pollfd both[2] = {{fd, events, 0}, {stop_fd, POLLIN, 0}};
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    *found = 0;
    if (ppoll(both, stop_fd < 0 ? 1 : 2, &timeout, NULL) < 0)
        return errno == EINTR ? FF_LOAD_AGAIN : -errno;
    if (both[1].revents != 0)
        return FF_LOAD_STOPPED;
    *found = both[0].revents;
    return FF_LOAD_DONE;
}

/* Send what there is room for. Returns how much, 0 = there is no room, or -errno. */
static ssize_t send_some(int fd, const uint8_t *p, size_t length) {
    ssize_t n = send(fd, p, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* ---- blast */

int ff_blast_init(ff_blast *blast, uint8_t *block, size_t length, const uint64_t *places,
                  size_t count, ff_load_form form, uint64_t step, uint64_t repeat) {
    size_t width = form == FF_LOAD_AS_VARINT ? FF_LOAD_VARINT : FF_LOAD_DIGITS;
    uint64_t more, end = 0;
    memset(blast, 0, sizeof *blast);
    if (ff_load_step_init(&blast->step, form, step) < 0 ||
        __builtin_mul_overflow(step, repeat, &more) || more > INT64_MAX)
        return -ERANGE;
    for (size_t i = 0; i < count; i++) {
        if (places[i] < end || places[i] > length || length - places[i] < width)
            return -EINVAL;
        int64_t sequence = ff_load_sequence(block + places[i], form);
        if (sequence < 0)
            return -EINVAL;
        if (sequence > INT64_MAX - (int64_t)more)
            return -ERANGE;
        end = places[i] + width;
    }
    blast->block = block;
    blast->length = length;
    blast->places = places;
    blast->count = count;
    blast->repeat = length > 0 ? repeat : 0;
    return 0;
}

/* Write the sequences of the next piece. */
static void prepare_piece(ff_blast *blast) {
    size_t left = blast->length - blast->piece;
    blast->piece += left < FF_LOAD_PIECE ? left : FF_LOAD_PIECE;
    for (; blast->next < blast->count && blast->places[blast->next] < blast->piece;
         blast->next++)
        if (blast->turn > 0)
            ff_load_step_add(&blast->step, blast->block + blast->places[blast->next]);
}

int ff_blast_run(ff_blast *blast, int fd, int stop_fd) {
    int64_t now = ff_clock_ns(CLOCK_MONOTONIC), until = now + FF_LOAD_AGAIN_NS;
    if (blast->began_ns == 0)
        blast->began_ns = now;
    short found; /* a receiver that is faster never lets it wait, where it would see this */
    if (wait_for(-1, 0, stop_fd, 0, &found) == FF_LOAD_STOPPED)
        return FF_LOAD_STOPPED;
    while (blast->turn < blast->repeat) {
        if (blast->at == blast->piece) {
            now = ff_clock_ns(CLOCK_MONOTONIC);
            if (now >= until)
                return FF_LOAD_AGAIN;
            if (blast->piece == blast->length) {
                blast->turn++;
                blast->at = blast->piece = blast->next = 0;
                continue;
            }
            prepare_piece(blast);
        }
        ssize_t n = send_some(fd, blast->block + blast->at, blast->piece - blast->at);
        if (n < 0)
            return (int)n;
        blast->at += (size_t)n;
        blast->bytes += (uint64_t)n;
        if (n > 0)
            continue;
        now = ff_clock_ns(CLOCK_MONOTONIC);
        if (now >= until)
            return FF_LOAD_AGAIN;
        int rc = wait_for(fd, POLLOUT, stop_fd, until - now, &found);
        blast->waited_ns += ff_clock_ns(CLOCK_MONOTONIC) - now;
        if (rc != FF_LOAD_DONE)
            return rc;
    }
    blast->ended_ns = ff_clock_ns(CLOCK_MONOTONIC);
    return FF_LOAD_DONE;
}

/* ---- paced */

static size_t start_of(const ff_paced *paced, size_t i) {
    return i > 0 ? paced->ends[i - 1] : 0;
}

/* Send the packets that are due, at least the next one, until the last of them has gone or
 * it is time to come back. */
static int send_due(ff_paced *paced, int fd, int stop_fd, int64_t now, int64_t until) {
    size_t at = start_of(paced, paced->next) + paced->begun, last = paced->next;
    while (last + 1 < paced->count && paced->times[last + 1] <= now &&
           paced->ends[last + 1] - at <= FF_LOAD_TOGETHER)
        last++;
    for (;;) {
        ssize_t n = send_some(fd, paced->data + at, paced->ends[last] - at);
        if (n < 0)
            return (int)n;
        at += (size_t)n;
        for (; paced->next <= last && paced->ends[paced->next] <= at; paced->next++)
            paced->late[paced->next] = now - paced->times[paced->next];
        paced->begun = at - start_of(paced, paced->next);
        if (paced->next > last)
            return FF_LOAD_DONE;
        short found;
        int rc = wait_for(fd, POLLOUT, stop_fd, FF_LOAD_AGAIN_NS, &found);
        if (rc != FF_LOAD_DONE)
            return rc;
        now = ff_clock_ns(CLOCK_REALTIME);
        if (now >= until)
            return FF_LOAD_AGAIN;
    }
}

static int run_paced(ff_paced *paced, int fd, int stop_fd) {
    int64_t now = ff_clock_ns(CLOCK_REALTIME), until = now + FF_LOAD_AGAIN_NS, looked = 0;
    while (paced->next < paced->count) {
        int64_t due = paced->times[paced->next], left = due - FF_LOAD_SPIN_NS - now;
        /* The peer has to wait for what is due, but not for ever; and for whole packets. */
        if (paced->begun == 0 && (left > 0 || now - looked > FF_LOAD_LOOK_NS)) {
            if (left > FF_LOAD_AGAIN_NS)
                left = FF_LOAD_AGAIN_NS;
            short found;
            int rc = wait_for(fd, POLLIN, stop_fd, left > 0 ? left : 0, &found);
            if (rc != FF_LOAD_DONE)
                return rc;
            if (found != 0)
                return FF_LOAD_ASKED;
            looked = now = ff_clock_ns(CLOCK_REALTIME);
        }
        /* No longer than that: somebody may set the clock back. */
        while (now < due && due - now <= FF_LOAD_SPIN_NS)
            now = ff_clock_ns(CLOCK_REALTIME);
        if (now >= due || paced->begun > 0) {
            int rc = send_due(paced, fd, stop_fd, now, until);
            if (rc != FF_LOAD_DONE)
                return rc;
            now = ff_clock_ns(CLOCK_REALTIME);
        }
        if (now >= until && paced->next < paced->count)
            return FF_LOAD_AGAIN;
    }
    return FF_LOAD_DONE;
}

int ff_paced_run(ff_paced *paced, int fd, int stop_fd) {
    int slack = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, 1UL);
    int rc = run_paced(paced, fd, stop_fd);
    prctl(PR_SET_TIMERSLACK, slack > 0 ? (unsigned long)slack : 0UL);
    return rc;
}

/* ---- beside it */

int ff_drain_run(ff_drain *drain, int fd) {
    int64_t until = ff_clock_ns(CLOCK_MONOTONIC) + FF_LOAD_AGAIN_NS;
    while (drain->left > 0) {
        size_t most = drain->left < drain->size ? (size_t)drain->left : drain->size;
        ssize_t n = recv(fd, drain->window, most, 0);
        if (n == 0)
            return -ECONNRESET;
        if (n < 0) {
            if (errno == EINTR)
                return FF_LOAD_AGAIN;
            if (errno != EAGAIN)
                return -errno;
            short found;
            int rc = wait_for(fd, POLLIN, -1, FF_LOAD_AGAIN_NS, &found);
            if (rc != FF_LOAD_DONE)
                return rc;
            if (found == 0)
                return FF_LOAD_AGAIN;
            continue;
        }
        drain->left -= (uint64_t)n;
        drain->reads++;
        if (drain->left > 0 && ff_clock_ns(CLOCK_MONOTONIC) >= until)
            return FF_LOAD_AGAIN;
    }
    return FF_LOAD_DONE;
}

int ff_jitter_run(ff_jitter *jitter) {
    int64_t began = ff_clock_ns(CLOCK_MONOTONIC), before = began, now = began;
    int64_t most = jitter->left_ns < FF_LOAD_AGAIN_NS ? jitter->left_ns : FF_LOAD_AGAIN_NS;
    while (now - began < most) {
        now = ff_clock_ns(CLOCK_MONOTONIC);
        int64_t pause = now - before;
        if (pause > FF_LOAD_PAUSE_NS)
            jitter->stolen_ns += pause;
        if (pause > jitter->longest_ns)
            jitter->longest_ns = pause;
        before = now;
    }
    jitter->left_ns -= now - began;
    return jitter->left_ns > 0 ? FF_LOAD_AGAIN : FF_LOAD_DONE;
}
