/* What the bench's programs share: the clock, the marks in the packets, the smallest HTTP.
 *
 * Every video packet that source.c makes is an ordinary transport packet (ISO/IEC 13818-1 2.4.3) whose adaptation field
 * carries 24 bytes of private data: a magic, the channel, a sequence number that counts the video packets of one
 * playback, and the monotonic time at which it was written. So each can be checked by itself, wherever it turns up.
 * PAT and PMT are plain, and equal but for their counters, as they are in real broadcasts.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PACKET = 188, PID_PAT = 0, PID_PMT = 0x1000, PID_VIDEO = 0x100, PID_NULL = 0x1FFF };
enum { FPS = 25, MARK_AT = 7, MARK_AT_PCR = 13 };
#define MAGIC 0x31425041u /* "APB1" */

typedef struct {
    uint32_t magic, channel;
    uint64_t seq, sent_ns;
} mark_t;

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline int pid_of(const uint8_t *p) { return (p[1] & 0x1F) << 8 | p[2]; }

/* Packets of one frame, so that the bitrate is met or just exceeded: all packets count, tables included. */
static inline int packets_per_frame(double bitrate_bps) {
    int n = (int)((bitrate_bps + PACKET * 8 * FPS - 1) / (PACKET * 8 * FPS));
    return n < 4 ? 4 : n;
}

/* The channel of a link: a hash of its 40 digits, equal in source and load. */
static inline uint32_t channel_of(const char *digits, size_t n) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)digits[i]) * 16777619u;
    return h;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline void raise_limits(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static inline void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* Listen on the loopback; port 0 takes a free one. Says "listening PORT" on standard output. */
static inline int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in a = loopback(port);
    socklen_t size = sizeof a;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) die("listen");
    getsockname(fd, (struct sockaddr *)&a, &size);
    printf("listening %d\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

/* Take the value of a query parameter from a request line; false if it is not there. */
static inline int query_value(const char *target, const char *name, char *value, size_t size) {
    size_t n = strlen(name);
    for (const char *p = strchr(target, '?'); p; p = strchr(p, '&')) {
        p++;
        if (strncmp(p, name, n) == 0 && p[n] == '=') {
            size_t length = strcspn(p + n + 1, "& ");
            if (length >= size) length = size - 1;
            memcpy(value, p + n + 1, length);
            value[length] = 0;
            return 1;
        }
    }
    return 0;
}

/* The command line: --name value, or a default. */
static inline const char *option(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return argv[i + 1];
    return otherwise;
}

static inline double option_number(int argc, char **argv, const char *name, double otherwise) {
    const char *text = option(argc, argv, name, NULL);
    return text ? strtod(text, NULL) : otherwise;
}

#endif
