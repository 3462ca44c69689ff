/* Players by the thousand in one thread: each one's every packet is checked, and what each one feels is measured.
 *
 *   load --port P --path '/ace/getstream?id={}' [--channels 1] [--clients N] [--slow K --slow-bps 1e6] [--frozen K]
 *        [--ramp-s 1] [--warm-s 3] [--measure-s 10] [--nap-us 0]
 *        [--joiners J --join-every-ms 50 --stay-s 1 --stay-most-s 1]
 *
 * `{}` becomes the 40 digits of a channel; clients go over the channels in turn, joiners by chance. The first K clients
 * are the slow ones (read at --slow-bps), then come the frozen ones (read nothing after the head). Joiners come one
 * after the other during the measured time and leave again. SIGTERM ends the window early; after it, clients go on
 * until another SIGTERM, or for 10 s. Prints "window begins" and "window ends" as they happen, and one JSON document
 * at the end; times are in milliseconds, ages are those of packets of ordinary clients within the window.
 */
#include "stats.h"
#include "verify.h"
#include <signal.h>
#include <sys/epoll.h>

enum { READ_SIZE = 256 << 10, HEAD_LIMIT = 4096, SLOW_MS = 50, HOLD_S = 10 };
enum kind { ORDINARY, SLOW, FROZEN, JOINER };
enum state { WAITING, ASKING, BODY, OVER };

typedef struct {
    enum kind kind;
    enum state state;
    int fd, channel, chunked, head_used;
    char *head;
    uint64_t start_ns, leave_ns, asked_ns, first_ns, last_ns, longest_ns, window_bytes, bytes;
    double allowance;
    long chunk_left; /* of chunked framing; -1 while a size line is read */
    char size_line[20];
    int size_used;
    verifier_t v;
} client_t;

static client_t *clients;
static int count, epoll_fd, port, channels, refused, ended_early, failed, last_status, live;
static uint64_t window_from, window_to;
static volatile sig_atomic_t asked_to_end;
static double slow_bps;
static const char *path;
static histogram_t ages;
static uint8_t buffer[READ_SIZE];

static void finish(client_t *c) {
    if (c->fd >= 0) close(c->fd);
    live -= c->state == BODY;
    c->fd = -1;
    c->state = OVER;
    free(c->head);
    c->head = NULL;
}

static void connect_client(client_t *c, uint64_t now) {
    struct sockaddr_in a = loopback(port);
    char digits[41], request[1024], target[512];
    const char *hole = strstr(path, "{}");
    snprintf(digits, sizeof digits, "%040x", c->channel + 1);
    if (hole) snprintf(target, sizeof target, "%.*s%s%s", (int)(hole - path), path, digits, hole + 2);
    else snprintf(target, sizeof target, "%s", path);
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n", target);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->asked_ns = now;
    c->head = malloc(HEAD_LIMIT);
    verifier_begin(&c->v);
    /* connecting to the loopback is done at once or the backlog is full, which is a fault */
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) || send(c->fd, request, (size_t)n, 0) != n) {
        failed++;
        return finish(c);
    }
    set_nonblocking(c->fd);
    c->state = ASKING;
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)(c - clients)};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

typedef struct {
    uint64_t now;
} age_context_t;

static void add_age(void *context, uint64_t sent_ns) {
    uint64_t now = ((age_context_t *)context)->now;
    histogram_add(&ages, now > sent_ns ? now - sent_ns : 0);
}

static void drop_age(void *context, uint64_t sent_ns) { (void)context, (void)sent_ns; }

/* Take bytes of the broadcast. */
static void take(client_t *c, const uint8_t *p, size_t n, uint64_t now) {
    if (!c->first_ns) c->first_ns = c->last_ns = now;
    int inside = now >= window_from && now < window_to;
    uint64_t since = c->last_ns > window_from ? c->last_ns : window_from, until = inside ? now : window_to;
    if (now >= window_from && until > since && until - since > c->longest_ns) c->longest_ns = until - since;
    if (inside) c->window_bytes += n;
    c->last_ns = now;
    c->bytes += n;
    age_context_t context = {now};
    verify(&c->v, p, n, now, inside && c->kind == ORDINARY ? add_age : drop_age, &context);
}

/* Take bytes of a body in chunked framing. */
static void take_chunked(client_t *c, const uint8_t *p, size_t n, uint64_t now) {
    while (n) {
        if (c->chunk_left > 0) {
            size_t part = (size_t)c->chunk_left < n ? (size_t)c->chunk_left : n;
            take(c, p, part, now);
            c->chunk_left -= (long)part, p += part, n -= part;
            if (!c->chunk_left) c->chunk_left = -1, c->size_used = 0;
            continue;
        }
        char byte = (char)*p++;
        n--;
        if (byte != '\n' && c->size_used < (int)sizeof c->size_line - 1) c->size_line[c->size_used++] = byte;
        c->size_line[c->size_used] = 0;
        if (byte == '\n' && strtol(c->size_line, NULL, 16) > 0) c->chunk_left = strtol(c->size_line, NULL, 16);
        if (byte == '\n') c->size_used = 0;
    }
}

static void take_body(client_t *c, const uint8_t *p, size_t n, uint64_t now) {
    if (!n) return;
    if (c->chunked) take_chunked(c, p, n, now);
    else take(c, p, n, now);
}

/* Take the response's head; true once the body has begun. */
static void take_head(client_t *c, uint64_t now) {
    ssize_t n = recv(c->fd, c->head + c->head_used, (size_t)(HEAD_LIMIT - 1 - c->head_used), 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        ended_early++;
        return finish(c);
    }
    c->head_used += (int)n;
    c->head[c->head_used] = 0;
    char *end = memmem(c->head, (size_t)c->head_used, "\r\n\r\n", 4);
    if (!end) {
        if (c->head_used >= HEAD_LIMIT - 1) finish(c), failed++;
        return;
    }
    *end = 0;
    int status = atoi(c->head + 9);
    if (status != 200) {
        refused++, last_status = status;
        return finish(c);
    }
    c->chunked = strcasestr(c->head, "transfer-encoding: chunked") != NULL;
    c->chunk_left = -1;
    c->state = BODY;
    live++;
    take_body(c, (uint8_t *)end + 4, (size_t)(c->head + c->head_used - end - 4), now);
    free(c->head);
    c->head = NULL;
    if (c->kind == SLOW || c->kind == FROZEN) {
        c->last_ns = now;
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
    }
}

/* Read at most `most` bytes; returns how many there were. */
static size_t read_body(client_t *c, size_t most, uint64_t now) {
    ssize_t n = recv(c->fd, buffer, most < READ_SIZE ? most : READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) {
        ended_early++;
        finish(c);
        return 0;
    }
    take_body(c, buffer, (size_t)n, now);
    return (size_t)n;
}

static void read_slow(uint64_t now) {
    for (int i = 0; i < count && clients[i].kind != ORDINARY; i++) {
        client_t *c = &clients[i];
        if (c->kind != SLOW || c->state != BODY) continue;
        c->allowance += slow_bps / 8 * SLOW_MS / 1000;
        while (c->allowance >= 1 && c->state == BODY) {
            size_t n = read_body(c, (size_t)c->allowance, now);
            if (!n) break;
            c->allowance -= (double)n;
        }
    }
}

static double uniform(void) { return (double)(random() & 0xFFFFFF) / 0x1000000; }

static void plan(int argc, char **argv) {
    int ordinary = (int)option_number(argc, argv, "--clients", 1), slow = (int)option_number(argc, argv, "--slow", 0);
    int frozen = (int)option_number(argc, argv, "--frozen", 0), joiners = (int)option_number(argc, argv, "--joiners", 0);
    double ramp = option_number(argc, argv, "--ramp-s", 1), warm = option_number(argc, argv, "--warm-s", 3);
    double every_ms = option_number(argc, argv, "--join-every-ms", 50), stay = option_number(argc, argv, "--stay-s", 1);
    double most = option_number(argc, argv, "--stay-most-s", stay);
    uint64_t begin = now_ns() + 10000000;
    window_from = begin + (uint64_t)((ramp + warm) * 1e9);
    window_to = window_from + (uint64_t)(option_number(argc, argv, "--measure-s", 10) * 1e9);
    count = ordinary + joiners;
    clients = calloc((size_t)count + 1, sizeof *clients);
    for (int i = 0; i < count; i++) {
        client_t *c = &clients[i];
        int nth = i - ordinary;
        c->fd = -1;
        c->channel = i < ordinary ? i % channels : (int)(uniform() * channels);
        c->kind = i >= ordinary ? JOINER : i < slow ? SLOW : i < slow + frozen ? FROZEN : ORDINARY;
        c->start_ns = i < ordinary ? begin + (uint64_t)(ramp * 1e9 * i / (ordinary ? ordinary : 1))
                                   : window_from + (uint64_t)(nth * every_ms * 1e6);
        if (c->kind == JOINER) c->leave_ns = c->start_ns + (uint64_t)((stay + (most - stay) * uniform()) * 1e9);
    }
}

static void leave(uint64_t now) {
    for (int i = count - 1; i >= 0 && clients[i].kind == JOINER; i--)
        if (clients[i].state != OVER && clients[i].state != WAITING && now >= clients[i].leave_ns) finish(&clients[i]);
}

static void print_lists(void) {
    double *rates = calloc((size_t)count + 1, 8), *stalls = calloc((size_t)count + 1, 8);
    double *slow_rates = calloc((size_t)count + 1, 8), *firsts = calloc((size_t)count + 1, 8);
    double *keys = calloc((size_t)count + 1, 8), *join_firsts = calloc((size_t)count + 1, 8);
    double *join_keys = calloc((size_t)count + 1, 8), window_s = (double)(window_to - window_from) / 1e9;
    int n = 0, slow = 0, f = 0, k = 0, jf = 0, jk = 0;
    for (int i = 0; i < count; i++) {
        client_t *c = &clients[i];
        double rate = (double)c->window_bytes * 8 / window_s, first = (double)(c->first_ns - c->asked_ns) / 1e6;
        double key = (double)(c->v.first_key_ns - c->asked_ns) / 1e6;
        if (c->kind == ORDINARY) {
            uint64_t since = c->last_ns > window_from ? c->last_ns : window_from;
            uint64_t silent = since < window_to ? window_to - since : 0;
            rates[n] = rate;
            stalls[n++] = (double)(silent > c->longest_ns ? silent : c->longest_ns) / 1e6;
        } else if (c->kind == SLOW) {
            slow_rates[slow++] = rate;
        }
        if (c->first_ns && c->kind == JOINER) join_firsts[jf++] = first;
        else if (c->first_ns) firsts[f++] = first;
        if (c->v.first_key_ns && c->kind == JOINER) join_keys[jk++] = key;
        else if (c->v.first_key_ns) keys[k++] = key;
    }
    print_list("rate_bps", rates, n);
    print_list("slow_rate_bps", slow_rates, slow);
    print_list("stall_ms", stalls, n);
    print_list("first_byte_ms", firsts, f);
    print_list("first_key_ms", keys, k);
    print_list("join_first_byte_ms", join_firsts, jf);
    print_list("join_first_key_ms", join_keys, jk);
    free(rates), free(stalls), free(slow_rates), free(firsts), free(keys), free(join_firsts), free(join_keys);
}

static void report(double own_cpu_s) {
    faults_t sum = {0};
    uint64_t bytes = 0, all = 0, served = 0, clean = 0;
    for (int i = 0; i < count; i++) {
        const uint64_t *from = (const uint64_t *)&clients[i].v.faults;
        for (size_t j = 0; j < sizeof sum / sizeof *from; j++) ((uint64_t *)&sum)[j] += from[j];
        bytes += clients[i].window_bytes, all += clients[i].bytes;
        served += clients[i].first_ns != 0, clean += (uint64_t)clients[i].v.clean_start;
    }
    printf("{\"clients\": %d, \"served\": %llu, \"clean_starts\": %llu, \"refused\": %d, \"last_status\": %d, "
           "\"failed\": %d, \"ended_early\": %d, \"window_s\": %.3f, \"window_bytes\": %llu, \"bytes\": %llu, ",
           count, (unsigned long long)served, (unsigned long long)clean, refused, last_status, failed, ended_early,
           (double)(window_to - window_from) / 1e9, (unsigned long long)bytes, (unsigned long long)all);
    printf("\"packets\": %llu, \"sync_lost\": %llu, \"foreign\": %llu, \"cc_errors\": %llu, \"repeats\": %llu, "
           "\"skips_clean\": %llu, \"skips_dirty\": %llu, \"nulls\": %llu, \"breaks\": %llu, ",
           (unsigned long long)sum.packets, (unsigned long long)sum.sync_lost, (unsigned long long)sum.foreign,
           (unsigned long long)sum.cc_errors, (unsigned long long)sum.repeats, (unsigned long long)sum.skips_clean,
           (unsigned long long)sum.skips_dirty, (unsigned long long)sum.nulls, (unsigned long long)sum.breaks);
    print_lists();
    print_histogram("age_ms", &ages);
    printf("\"own_cpu_s\": %.3f}\n", own_cpu_s);
    fflush(stdout);
}

static void say(const char *what) {
    printf("%s\n", what);
    fflush(stdout);
}

/* Run until told to end, or HOLD_S after the window; returns our own processor time within the window. */
static double run(uint64_t nap_ns) {
    struct epoll_event ready[1024];
    uint64_t slow_at = now_ns();
    double cpu_from = 0, spent = 0;
    int next_start = 0, begun = 0, ended = 0;
    for (;;) {
        uint64_t now = now_ns();
        if (!begun && now >= window_from) begun = 1, cpu_from = cpu_s(), say("window begins");
        if (asked_to_end && now < window_to) window_to = now, asked_to_end = 0;
        if (!ended && now >= window_to) ended = 1, spent = cpu_s() - cpu_from, say("window ends");
        if (ended && (asked_to_end || now >= window_to + HOLD_S * 1000000000ull)) return spent;
        for (; next_start < count && clients[next_start].start_ns <= now; now = now_ns())
            connect_client(&clients[next_start++], now);
        leave(now);
        if (now >= slow_at) read_slow(now), slow_at += SLOW_MS * 1000000ull;
        int n = epoll_wait(epoll_fd, ready, 1024, 1);
        for (int i = 0; i < n; i++) {
            client_t *c = &clients[ready[i].data.u32];
            now = now_ns();
            if (c->state == ASKING) take_head(c, now);
            else if (c->state == BODY) read_body(c, READ_SIZE, now);
        }
        if (nap_ns) nanosleep(&(struct timespec){0, (long)nap_ns}, NULL);
    }
}

static void on_signal(int number) { asked_to_end = number; }

int main(int argc, char **argv) {
    raise_limits();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    port = (int)option_number(argc, argv, "--port", 6880);
    path = option(argc, argv, "--path", "/ace/getstream?id={}");
    channels = (int)option_number(argc, argv, "--channels", 1);
    slow_bps = option_number(argc, argv, "--slow-bps", 1e6);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    srandom(1);
    plan(argc, argv);
    report(run((uint64_t)(option_number(argc, argv, "--nap-us", 0) * 1e3)));
    return 0;
}
