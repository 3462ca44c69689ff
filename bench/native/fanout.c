/* The reference: the least that a fan-out must do. One upstream, one ring, `send` from the ring to each client.
 *
 *   fanout --engine-port P [--port 0] [--mode coalesce|chunk] [--batch-bytes 131072] [--tick-ms 100]
 *
 * coalesce: clients get their turn when --batch-bytes have come, or --tick-ms after the first unsent byte, as AceProxy's
 * pump does it. chunk: with every piece that arrives. Any GET becomes a client of the one stream; it starts at the
 * newest packet, there are no tables sent first. Skips of clients that fall off the ring are not made clean.
 */
#include "bench.h"
#include <signal.h>
#include <sys/epoll.h>

enum { RING = 32 << 20, MAX_FD = 16384, READ_SIZE = 256 << 10, PIECE = 1 << 20 };

typedef struct {
    int open, waits; /* waits: for its socket to take more */
    uint64_t at;
} client_t;

static uint8_t *ring;
static client_t clients[MAX_FD];
static int list[MAX_FD], listed, epoll_fd, upstream = -1, engine_port;
static uint64_t head, delivered, first_unsent_at;

static void drop(int fd) {
    close(fd);
    clients[fd].open = 0;
    for (int i = 0; i < listed; i++)
        if (list[i] == fd) {
            list[i] = list[--listed];
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
    if (head - c->at > RING - READ_SIZE) c->at = head - head % PACKET;
    while (c->at < head) {
        uint64_t from = c->at % RING, n = head - c->at;
        if (n > RING - from) n = RING - from;
        if (n > PIECE) n = PIECE;
        ssize_t sent = send(fd, ring + from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
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

static void give_all(void) {
    for (int i = listed - 1; i >= 0; i--)
        if (!clients[list[i]].waits && !give(list[i])) drop(list[i]);
    delivered = head;
}

static void open_upstream(const char *target) {
    char id[64] = "", request[256], answer[1024];
    struct sockaddr_in a = loopback(engine_port);
    query_value(target, "id", id, sizeof id);
    int n = snprintf(request, sizeof request, "GET /ace/getstream?id=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id), used = 0;
    upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(upstream, (struct sockaddr *)&a, sizeof a) || send(upstream, request, (size_t)n, 0) != n) die("engine");
    while (!memmem(answer, (size_t)used, "\r\n\r\n", 4)) { /* byte by byte: what follows belongs to the ring */
        if (used >= 1000 || recv(upstream, answer + used, 1, 0) != 1) die("engine's answer");
        used++;
    }
    set_nonblocking(upstream);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = upstream};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, upstream, &e);
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
        if (upstream < 0) open_upstream(request);
        set_nonblocking(fd);
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (send(fd, ok, sizeof ok - 1, MSG_NOSIGNAL) < 0) {
            close(fd);
            continue;
        }
        clients[fd] = (client_t){.open = 1, .at = head - head % PACKET};
        list[listed++] = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

/* Read what has come from upstream. */
static void fill(uint64_t now) {
    uint64_t from = head % RING, room = RING - from < READ_SIZE ? RING - from : READ_SIZE;
    ssize_t n = recv(upstream, ring + from, room, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) exit(0);
    if (head == delivered) first_unsent_at = now;
    head += (uint64_t)n;
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
    int coalesce = strcmp(option(argc, argv, "--mode", "coalesce"), "chunk") != 0;
    uint64_t batch = (uint64_t)option_number(argc, argv, "--batch-bytes", 128 << 10);
    uint64_t tick_ns = (uint64_t)(option_number(argc, argv, "--tick-ms", 100) * 1e6);
    ring = malloc(RING);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on((int)option_number(argc, argv, "--port", 0));
    fcntl(listener, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ready[1024];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        uint64_t now = now_ns(), due = first_unsent_at + tick_ns;
        int wait_ms = head == delivered ? 1000 : due > now ? (int)((due - now) / 1000000) + 1 : 0;
        int n = epoll_wait(epoll_fd, ready, 1024, wait_ms);
        now = now_ns();
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) admit(listener);
            else if (fd == upstream) fill(now);
            else if (clients[fd].open) hear(fd, ready[i].events);
        }
        if (head != delivered && (!coalesce || head - delivered >= batch || now - first_unsent_at >= tick_ns)) give_all();
    }
}
