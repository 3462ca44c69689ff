/* The reference: the least that a fan-out must do. One ring per stream, `send` from the ring to each of its clients.
 *
 *   fanout --engine-port P [--port 0] [--mode coalesce|chunk|receive] [--batch-bytes 131072] [--tick-ms 100] [--ring-mb 8]
 *
 * coalesce: a stream's clients get their turn when --batch-bytes have come, or at the next multiple of --tick-ms, which
 * is when AceProxy's pump sends. chunk: with every piece that arrives. receive: nobody gets anything; each stream is
 * read at the multiples of --tick-ms, which is the least that a proxy must do for a stream. A client starts at the newest packet, there are no
 * tables sent first, and skips of clients that fall off the ring are not made clean.
 */
#include "bench.h"
#include <signal.h>
#include <sys/epoll.h>

enum { MAX_FD = 16384, MAX_STREAMS = 256, READ_SIZE = 256 << 10, PIECE = 1 << 20 };

typedef struct {
    char id[64];
    int upstream, listed, list[MAX_FD];
    uint8_t *ring;
    uint64_t head, delivered, first_unsent_at;
} stream_t;

typedef struct {
    int open, waits; /* waits: for its socket to take more */
    uint64_t at;
    stream_t *stream;
} client_t;

static client_t clients[MAX_FD];
static stream_t *streams[MAX_STREAMS], *by_upstream[MAX_FD];
static int stream_count, epoll_fd, engine_port, only_receive;
static uint64_t ring_size;

static void drop(int fd) {
    stream_t *s = clients[fd].stream;
    close(fd);
    clients[fd].open = 0;
    for (int i = 0; i < s->listed; i++)
        if (s->list[i] == fd) {
            s->list[i] = s->list[--s->listed];
            break;
        }
}

static void watch(int fd, uint32_t events) {
    struct epoll_event e = {.events = events, .data.fd = fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &e);
}

/* Send what there is; 0 if the connection is gone. */
static int give(int fd) {
    client_t *c = &clients[fd];
    const stream_t *s = c->stream;
    if (s->head - c->at > ring_size - READ_SIZE) c->at = s->head - s->head % PACKET;
    while (c->at < s->head) {
        uint64_t from = c->at % ring_size, n = s->head - c->at;
        if (n > ring_size - from) n = ring_size - from;
        if (n > PIECE) n = PIECE;
        ssize_t sent = send(fd, s->ring + from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno != EAGAIN) return 0;
            if (!c->waits) c->waits = 1, watch(fd, EPOLLIN | EPOLLOUT);
            return 1;
        }
        c->at += (uint64_t)sent;
    }
    if (c->waits) c->waits = 0, watch(fd, EPOLLIN);
    return 1;
}

static void give_all(stream_t *s) {
    for (int i = s->listed - 1; i >= 0; i--)
        if (!clients[s->list[i]].waits && !give(s->list[i])) drop(s->list[i]);
    s->delivered = s->head;
}

/* Return the stream that a request asks for, opened if it is not; NULL if there are too many. */
static stream_t *stream_of(const char *target) {
    char id[64] = "", request[256], answer[1024];
    query_value(target, "id", id, sizeof id);
    for (int i = 0; i < stream_count; i++)
        if (strcmp(streams[i]->id, id) == 0) return streams[i];
    if (stream_count == MAX_STREAMS) return NULL;
    struct sockaddr_in a = loopback(engine_port);
    int n = snprintf(request, sizeof request, "GET /ace/getstream?id=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id), used = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) || send(fd, request, (size_t)n, 0) != n) die("engine");
    while (!memmem(answer, (size_t)used, "\r\n\r\n", 4)) { /* byte by byte: what follows belongs to the ring */
        if (used >= 1000 || recv(fd, answer + used, 1, 0) != 1) die("engine's answer");
        used++;
    }
    set_nonblocking(fd);
    stream_t *s = streams[stream_count++] = by_upstream[fd] = calloc(1, sizeof *s);
    memcpy(s->id, id, sizeof id);
    s->upstream = fd;
    s->ring = malloc(ring_size);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    if (!only_receive) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    return s;
}

static void admit(int listener) {
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        char request[2048];
        struct timeval limit = {1, 0}; /* the request comes with the connection or never */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ssize_t n = fd < MAX_FD ? recv(fd, request, sizeof request - 1, 0) : -1;
        if (n <= 0) {
            close(fd);
            continue;
        }
        request[n] = 0;
        request[strcspn(request, "\r\n")] = 0;
        stream_t *s = stream_of(request);
        if (!s) {
            close(fd);
            continue;
        }
        set_nonblocking(fd);
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (send(fd, ok, sizeof ok - 1, MSG_NOSIGNAL) < 0) {
            close(fd);
            continue;
        }
        clients[fd] = (client_t){.open = 1, .at = s->head - s->head % PACKET, .stream = s};
        s->list[s->listed++] = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

/* Read what has come from upstream. */
static void fill(stream_t *s, uint64_t now) {
    uint64_t from = s->head % ring_size, room = ring_size - from < READ_SIZE ? ring_size - from : READ_SIZE;
    ssize_t n = recv(s->upstream, s->ring + from, room, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) exit(0);
    if (s->head == s->delivered) s->first_unsent_at = now;
    s->head += (uint64_t)n;
}

static void hear(int fd, uint32_t events) {
    char rubbish[256];
    if (events & (EPOLLERR | EPOLLHUP)) return drop(fd);
    if (events & EPOLLIN && recv(fd, rubbish, sizeof rubbish, MSG_DONTWAIT) == 0) return drop(fd);
    if (events & EPOLLOUT && !give(fd)) drop(fd);
}

int main(int argc, char **argv) {
    raise_limits();
    signal(SIGPIPE, SIG_IGN);
    engine_port = (int)option_number(argc, argv, "--engine-port", 6878);
    const char *mode = option(argc, argv, "--mode", "coalesce");
    int coalesce = strcmp(mode, "chunk") != 0;
    only_receive = strcmp(mode, "receive") == 0;
    uint64_t batch = (uint64_t)option_number(argc, argv, "--batch-bytes", 128 << 10);
    uint64_t tick_ns = (uint64_t)(option_number(argc, argv, "--tick-ms", 100) * 1e6);
    ring_size = (uint64_t)option_number(argc, argv, "--ring-mb", 8) << 20;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on((int)option_number(argc, argv, "--port", 0)), wait_ms = 1000;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ready[1024];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    for (uint64_t beat = 0;;) {
        int n = epoll_wait(epoll_fd, ready, 1024, wait_ms);
        uint64_t now = now_ns(), next = now + 1000000000;
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) admit(listener);
            else if (by_upstream[fd]) fill(by_upstream[fd], now);
            else if (clients[fd].open) hear(fd, ready[i].events);
        }
        if (only_receive) {
            next = (now / tick_ns + 1) * tick_ns;
            for (int i = 0; i < stream_count && now / tick_ns != beat; i++) fill(streams[i], now);
            beat = now / tick_ns;
        }
        for (int i = 0; i < stream_count && !only_receive; i++) {
            stream_t *s = streams[i];
            if (s->head == s->delivered) continue;
            /* in beats, as the proxy does: a rest counted from the first unsent byte would grow by the time that
               sending takes, and fewer but larger pieces would be compared with more but smaller ones */
            uint64_t due = (s->first_unsent_at / tick_ns + 1) * tick_ns;
            if (!coalesce || s->head - s->delivered >= batch || now >= due) give_all(s);
            else if (due < next) next = due;
        }
        wait_ms = next > now ? (int)((next - now) / 1000000) + 1 : 0;
    }
}
