#define _GNU_SOURCE
/* Just enough of OpenD to measure its clients: answers requests with ready-made packets, and
 * after a subscription (3001) sends ready-made pushes.
 *
 *   sender REPLIES         nothing but answers
 *   sender REPLIES blast BLOCK REPEAT AT
 *                          the packets of the file BLOCK, REPEAT times, as fast as the
 *                          client reads; AT is where in a packet the sequence is
 *   sender REPLIES paced   a schedule that comes over stdin after "subscribed" was printed:
 *                          records of i64 time (CLOCK_REALTIME ns), i64 length, bytes;
 *                          time 0 ends it
 *
 * The schedule is an open loop: a late packet does not delay the times of those after it. In
 * between, requests are answered.
 *
 * REPLIES holds whole packets; the one with the request's protocol id is sent with its serial
 * number. Requests without one are passed over. Prints its port, serves one client after the
 * other, ends when stdin does or when it is killed. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 44, QOT_SUB = 3001, SPIN_NS = 150000 };

typedef struct bytes {
    uint8_t *at;
    size_t length;
} bytes;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint32_t u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static bytes load(const char *path) {
    bytes all = {NULL, 0};
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        die(path);
    all.length = (size_t)ftell(file);
    rewind(file);
    all.at = malloc(all.length);
    if (all.at == NULL || fread(all.at, 1, all.length, file) != all.length)
        die(path);
    fclose(file);
    return all;
}

/* Both return 0, or -1 when the peer is gone. */
static int send_all(int fd, const uint8_t *p, size_t length) {
    while (length > 0) {
        ssize_t n = send(fd, p, length < 1 << 20 ? length : 1 << 20, MSG_NOSIGNAL);
        if (n <= 0) {
            if (n < 0 && errno == EINTR)
                continue;
            return -1;
        }
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Send the packets of a block again and again.
 *
 * Whoever keeps ticks in order drops those that come twice, so every repetition adds one to
 * bits 42 to 55 of the sequences, which are equal in all packets; the digest is right in the
 * first one only. Pieces are sent while they are in the cache. */
static void blast(int fd, bytes block, long repeat, size_t sequence_at) {
    enum { PIECE = 1 << 17 };
    uint8_t *end = block.at + block.length, *high = block.at + sequence_at + 6;
    const long first = (high[0] & 0x7f) | (high[1] & 0x7f) << 7;
    for (long i = first; i < first + repeat; i++) {
        for (uint8_t *p = block.at, *from = p; p < end;) {
            p[sequence_at + 6] = (uint8_t)(i | 0x80);
            p[sequence_at + 7] = (uint8_t)(i >> 7 | 0x80);
            p += HEADER + u32(p + 12);
            if (p - from < PIECE && p < end)
                continue;
            if (send_all(fd, from, (size_t)(p - from)) < 0)
                return;
            from = p;
        }
    }
}

static int read_all(int fd, uint8_t *p, size_t length) {
    while (length > 0) {
        ssize_t n = read(fd, p, length);
        if (n <= 0) {
            if (n < 0 && errno == EINTR)
                continue;
            return -1;
        }
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

static int answer(int fd, bytes replies, const uint8_t *request) {
    for (size_t at = 0; at + HEADER <= replies.length;) {
        uint8_t *reply = replies.at + at;
        size_t length = HEADER + u32(reply + 12);
        if (u32(reply + 2) == u32(request + 2)) {
            memcpy(reply + 8, request + 8, 4);
            return send_all(fd, reply, length);
        }
        at += length;
    }
    return 0;
}

/* Read a request and answer it. Returns its protocol id, or -1. */
static int64_t serve(int fd, bytes replies) {
    uint8_t request[HEADER + 65536];
    if (read_all(fd, request, HEADER) < 0 || u32(request + 12) > 65536 ||
        read_all(fd, request + HEADER, u32(request + 12)) < 0 ||
        answer(fd, replies, request) < 0)
        return -1;
    return u32(request + 2);
}

/* Serve requests until a subscription was answered. */
static int until_subscribed(int fd, bytes replies) {
    for (;;) {
        int64_t id = serve(fd, replies);
        if (id < 0 || id == QOT_SUB)
            return id < 0 ? -1 : 0;
    }
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Answer requests until shortly before a time, and wait for it. Returns 0, or -1 when the peer
 * is gone. */
static int serve_until(int fd, bytes replies, int64_t at_ns) {
    for (;;) {
        int64_t left = at_ns - SPIN_NS - now_ns();
        if (left <= 0)
            break;
        struct pollfd request = {fd, POLLIN, 0};
        struct timespec timeout = {left / 1000000000, left % 1000000000};
        if (ppoll(&request, 1, &timeout, NULL) > 0 && serve(fd, replies) < 0)
            return -1;
    }
    while (now_ns() < at_ns)
        ;
    return 0;
}

static int read_number(int64_t *value) {
    return read_all(0, (uint8_t *)value, sizeof *value);
}

static int paced(int fd, bytes replies) {
    size_t used = 0, size = 1 << 20;
    uint8_t *schedule = malloc(size);
    int64_t at_ns, length;
    puts("subscribed");
    fflush(stdout);
    for (;;) {
        if (schedule == NULL || read_number(&at_ns) < 0)
            exit(0);
        if (at_ns == 0)
            break;
        if (read_number(&length) < 0 || length > 65536)
            exit(1);
        if (size - used < (size_t)length + 16)
            schedule = realloc(schedule, size *= 2);
        if (schedule == NULL)
            die("schedule");
        memcpy(schedule + used, &at_ns, 8);
        memcpy(schedule + used + 8, &length, 8);
        if (read_all(0, schedule + used + 16, (size_t)length) < 0)
            exit(1);
        used += 16 + (size_t)length;
    }
    int rc = 0;
    for (size_t at = 0; at < used && rc == 0; at += 16 + (size_t)length) {
        memcpy(&at_ns, schedule + at, 8);
        memcpy(&length, schedule + at + 8, 8);
        rc = serve_until(fd, replies, at_ns);
        if (rc == 0)
            rc = send_all(fd, schedule + at + 16, (size_t)length);
    }
    free(schedule);
    return rc;
}

int main(int argc, char **argv) {
    prctl(PR_SET_PDEATHSIG, 9);
    prctl(PR_SET_TIMERSLACK, 1);
    if (argc < 2)
        return 2;
    bytes replies = load(argv[1]), block = {NULL, 0}, original = block;
    if (argc == 6) {
        block = load(argv[3]);
        original = load(argv[3]);
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 ||
        listen(listener, 8) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        die("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            die("accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (argc == 2) {
            while (serve(fd, replies) >= 0)
                ;
        } else if (until_subscribed(fd, replies) == 0) {
            if (argc == 6) {
                blast(fd, block, atol(argv[4]), (size_t)atol(argv[5]));
                memcpy(block.at, original.at, block.length);
            } else {
                paced(fd, replies);
            }
        }
        /* Whatever the client still says, until it hangs up. */
        uint8_t rest[4096];
        while (read(fd, rest, sizeof rest) > 0)
            ;
        close(fd);
    }
}
