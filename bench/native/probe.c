/* The API's latency, felt by a client that costs next to nothing.
 *
 *   probe --port P [--rate 20] [--seconds 10] --routes '/api/health /api/aceproxy/stats'
 *
 * An open loop: each route has a connection and a schedule of its own. A time counts from when the request was sent, or
 * from when it was due where the answer before it was still awaited: what holds up the next ones is felt in theirs, but
 * not that this process was woken late. That is told apart as late_p99. An answer must be a 200 with a length. Prints
 * one JSON document, times in milliseconds.
 */
#include "stats.h"
#include <poll.h>
#include <signal.h>

enum { MOST_ROUTES = 16, HEAD_LIMIT = 4096, READ_SIZE = 256 << 10 };
#define ANSWER_NS 10000000000ull

typedef struct {
    const char *route;
    int fd, sent, answered, errors, head_used;
    uint64_t first_ns, began_ns, ended_ns, answer_bytes;
    int64_t left; /* of the body; -1 while the head is read */
    char head[HEAD_LIMIT];
    double *times, *late;
    int late_count;
} probe_t;

static int port, total;
static uint64_t period_ns;
static char buffer[READ_SIZE];

static uint64_t due_ns(const probe_t *p) { return p->first_ns + (uint64_t)p->sent * period_ns; }

static int waits(const probe_t *p) { return p->sent > p->answered; }

/* An answer is complete, or will not come. */
static void finish(probe_t *p, uint64_t now, int failed) {
    p->times[p->answered++] = (double)(now - p->began_ns) / 1e6;
    p->errors += failed;
    p->ended_ns = now;
    if (failed && p->fd >= 0) close(p->fd), p->fd = -1;
}

static void ask(probe_t *p) {
    char request[1024];
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", p->route, port);
    uint64_t due = due_ns(p), now = now_ns();
    if (p->ended_ns > due) p->began_ns = due; /* the answer before took that long */
    else p->began_ns = now, p->late[p->late_count++] = (double)(now - due) / 1e6;
    p->sent++;
    p->left = -1, p->head_used = 0, p->answer_bytes = 0;
    if (p->fd < 0) {
        struct sockaddr_in a = loopback(port);
        p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&a, sizeof a)) return finish(p, now_ns(), 1);
        setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    }
    if (send(p->fd, request, (size_t)n, MSG_DONTWAIT) != n) finish(p, now_ns(), 1);
}

/* Read the head as far as it is there; false if it is none that we take. */
static int read_head(probe_t *p, const char *bytes, size_t n, size_t *used) {
    size_t room = HEAD_LIMIT - 1 - (size_t)p->head_used, part = n < room ? n : room;
    memcpy(p->head + p->head_used, bytes, part);
    int before = p->head_used;
    p->head_used += (int)part;
    p->head[p->head_used] = 0;
    char *end = strstr(p->head, "\r\n\r\n"), *length;
    *used = part;
    if (!end) return p->head_used < HEAD_LIMIT - 1;
    *end = 0;
    *used = (size_t)(end + 4 - p->head) - (size_t)before;
    length = strcasestr(p->head, "\ncontent-length:");
    if (strncmp(p->head, "HTTP/1.1 200", 12) || !length) return 0;
    p->left = strtoll(length + 16, NULL, 10);
    return 1;
}

static void receive(probe_t *p) {
    ssize_t n = recv(p->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 || !waits(p)) {
        if (waits(p)) finish(p, now_ns(), 1);
        else close(p->fd), p->fd = -1; /* a rest that is over for the server: asked anew when it is due */
        return;
    }
    size_t used = 0;
    if (p->left < 0 && !read_head(p, buffer, (size_t)n, &used)) return finish(p, now_ns(), 1);
    p->answer_bytes += (size_t)n - used;
    if (p->left >= 0 && p->answer_bytes >= (uint64_t)p->left) finish(p, now_ns(), 0);
}

static void run(probe_t *probes, int count) {
    for (int open = 1; open;) {
        struct pollfd waiting[MOST_ROUTES];
        uint64_t now = now_ns(), next = now + 100000000;
        open = 0;
        for (int i = 0; i < count; i++) {
            probe_t *p = &probes[i];
            if (waits(p) && now > p->began_ns + ANSWER_NS) finish(p, now, 1);
            if (!waits(p) && p->sent < total && due_ns(p) <= now) ask(p);
            if (!waits(p) && p->sent < total && due_ns(p) < next) next = due_ns(p);
            open |= p->answered < total;
            waiting[i] = (struct pollfd){p->fd, POLLIN, 0};
        }
        now = now_ns();
        uint64_t rest = next > now ? next - now : 0;
        struct timespec pause = {(time_t)(rest / 1000000000), (long)(rest % 1000000000)};
        if (open && ppoll(waiting, (nfds_t)count, &pause, NULL) > 0)
            for (int i = 0; i < count; i++)
                if (waiting[i].revents) receive(&probes[i]);
    }
}

static void report(probe_t *probes, int count) {
    printf("{\"own_cpu_s\": %.3f, \"routes\": {", cpu_s());
    for (int i = 0; i < count; i++) {
        probe_t *p = &probes[i];
        int n = p->answered, late = p->late_count;
        qsort(p->times, (size_t)n, sizeof *p->times, by_size);
        qsort(p->late, (size_t)late, sizeof *p->late, by_size);
        printf("%s\"%s\": {\"count\": %d, \"errors\": %d, \"answer_bytes\": %llu, \"p50\": %.3f, \"p99\": %.3f, "
               "\"max\": %.3f, \"late_p99\": %.3f}",
               i ? ", " : "", p->route, n, p->errors, (unsigned long long)p->answer_bytes, p->times[n / 2],
               p->times[(int)(n * .99)], p->times[n - 1], late ? p->late[(int)(late * .99)] : 0.0);
    }
    printf("}}\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    static probe_t probes[MOST_ROUTES];
    double rate = option_number(argc, argv, "--rate", 20);
    char *routes = strdup(option(argc, argv, "--routes", "/api/health"));
    int count = 0;
    signal(SIGPIPE, SIG_IGN);
    port = (int)option_number(argc, argv, "--port", 6878);
    period_ns = (uint64_t)(1e9 / rate);
    total = (int)(rate * option_number(argc, argv, "--seconds", 10));
    total = total < 1 ? 1 : total;
    for (char *route = strtok(routes, " "); route && count < MOST_ROUTES; route = strtok(NULL, " "))
        probes[count++] = (probe_t){.route = route, .fd = -1, .left = -1};
    uint64_t start = now_ns() + 100000000;
    for (int i = 0; i < count; i++) {
        probes[i].first_ns = start + period_ns * (uint64_t)i / (uint64_t)count;
        probes[i].times = calloc((size_t)total, sizeof(double));
        probes[i].late = calloc((size_t)total, sizeof(double));
    }
    run(probes, count);
    report(probes, count);
    free(routes);
    return 0;
}
