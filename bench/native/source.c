/* A fake engine that costs next to nothing: one thread, epoll, paced or unlimited media with marks in its packets.
 *
 *   source [--port 0] [--bitrate 8e6] [--chunk-ms 10] [--unlimited 1] [--limit-gb 0]
 *   source --file PATH --seconds 30 [--bitrate 8e6]       write the broadcast to a file and leave
 *
 * Answers get_version, JSON starts, stat and stop as engine-api section 3, 5, 7 and 8 have them, and delivers each
 * playback's media on /ace/r/INFOHASH/KEY. A start without format=json delivers at once. /bench/hang?on=1 makes every
 * API call hang from then on while media goes on; /bench/stats tells what was done.
 */
#include "broadcast.h"
#include <signal.h>
#include <sys/epoll.h>

enum { IN_LIMIT = 4096, OUT_LIMIT = 256 << 10, MAX_FD = 4096, TICK_MS = 2 };

typedef struct {
    int fd, media, used, hung;
    char in[IN_LIMIT];
    uint8_t *out;
    int out_at, out_end;
    broadcast_t broadcast;
    uint64_t next_at, began_ns;
    char key[33];
} conn_t;

static conn_t *conns[MAX_FD];
static int epoll_fd, port, unlimited, hanging, top_fd, media_open;
static double bitrate, limit_bytes;
static uint64_t chunk_ns, starts, stops, keys, media_bytes, blocked, media_served;

static void close_conn(conn_t *c) {
    conns[c->fd] = NULL;
    media_open -= c->media;
    close(c->fd);
    free(c->out);
    free(c);
}

static void watch(conn_t *c, uint32_t events) {
    struct epoll_event e = {.events = events, .data.fd = c->fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

/* Send an answer; answers are small and sockets fresh, so it fits. */
static void answer(conn_t *c, const char *status, const char *body) {
    char text[2048];
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %s\r\nServer: BaseHTTP/0.6 Python/3.8.16\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     status, strlen(body), body);
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n) perror("answer");
    close_conn(c);
}

static void begin_media(conn_t *c, const char *digits, const char *key) {
    static const char head[] = "HTTP/1.1 200 OK\r\nServer: BaseHTTP/0.6 Python/3.8.16\r\n"
                               "Content-Type: video/mp2t\r\nConnection: close\r\n\r\n";
    if (send(c->fd, head, sizeof head - 1, MSG_NOSIGNAL) < 0) return close_conn(c);
    c->media = 1;
    c->out = malloc(OUT_LIMIT);
    c->broadcast = (broadcast_t){.channel = channel_of(digits, 40), .per_frame = packets_per_frame(bitrate)};
    c->began_ns = now_ns();
    c->next_at = c->began_ns + media_served % 8 * (chunk_ns / 8); /* streams do not tick together */
    snprintf(c->key, sizeof c->key, "%s", key);
    media_open++, media_served++;
    watch(c, unlimited ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void start(conn_t *c, const char *target) {
    char id[64], infohash[64], format[16] = "", body[1500];
    if (query_value(target, "infohash", infohash, sizeof infohash) && strlen(infohash) == 40) {
    } else if ((query_value(target, "id", id, sizeof id) || query_value(target, "content_id", id, sizeof id)) &&
               strlen(id) == 40) {
        for (int i = 0; i <= 40; i++) { /* another number with the same digits' count, the same one for each id */
            const char *hex = "0123456789abcdef", *at = id[i] ? strchr(hex, id[i]) : NULL;
            infohash[i] = id[i] && at ? hex[(at - hex) ^ 5] : id[i];
        }
    } else {
        return answer(c, "200 OK", "{\"response\": null, \"error\": \"failed to load content\"}");
    }
    if (!query_value(target, "format", format, sizeof format) || strcmp(format, "json"))
        return begin_media(c, infohash, "");
    char key[33], at[160];
    keys++;
    snprintf(key, sizeof key, "%016llx%016llx", (unsigned long long)(keys * 0x9E3779B97F4A7C15ull),
             (unsigned long long)keys);
    snprintf(at, sizeof at, "%s/%s", infohash, key);
    snprintf(body, sizeof body,
             "{\"response\": {\"playback_url\": \"http://127.0.0.1:%d/ace/r/%s\", "
             "\"stat_url\": \"http://127.0.0.1:%d/ace/stat/%s\", \"command_url\": \"http://127.0.0.1:%d/ace/cmd/%s\", "
             "\"infohash\": \"%s\", \"playback_session_id\": \"%s00000000\", \"is_live\": 1, \"is_encrypted\": 0, "
             "\"client_session_id\": -1}, \"error\": null}",
             port, at, port, at, port, at, infohash, key);
    starts++;
    answer(c, "200 OK", body);
}

static void stop(conn_t *c, const char *target) {
    const char *key = strrchr(target, '/');
    for (int fd = 0; fd <= top_fd; fd++)
        if (conns[fd] && conns[fd]->media && key && strncmp(conns[fd]->key, key + 1, 32) == 0) close_conn(conns[fd]);
    stops++;
    answer(c, "200 OK", "{\"response\": \"ok\", \"error\": null}");
}

static void tell_stats(conn_t *c) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"starts\": %llu, \"stops\": %llu, \"media_open\": %d, \"media_served\": %llu, \"media_bytes\": %llu, "
             "\"blocked_ticks\": %llu, \"cpu_s\": %.3f}",
             (unsigned long long)starts, (unsigned long long)stops, media_open, (unsigned long long)media_served,
             (unsigned long long)media_bytes, (unsigned long long)blocked, cpu_s());
    answer(c, "200 OK", body);
}

static void serve(conn_t *c) {
    char *target = strchr(c->in, ' ');
    if (!target) return close_conn(c);
    target++;
    target[strcspn(target, " \r\n")] = 0;
    if (strncmp(target, "/bench/hang", 11) == 0) {
        hanging = strstr(target, "on=1") != NULL;
        answer(c, "200 OK", "{}");
    } else if (strncmp(target, "/bench/stats", 12) == 0) {
        tell_stats(c);
    } else if (strncmp(target, "/ace/r/", 7) == 0 && strlen(target) > 48) {
        begin_media(c, target + 7, target + 48);
    } else if (hanging) {
        c->hung = 1;
    } else if (strncmp(target, "/ace/getstream", 14) == 0) {
        start(c, target);
    } else if (strncmp(target, "/ace/stat/", 10) == 0) {
        answer(c, "200 OK", "{\"response\": {\"status\": \"dl\", \"peers\": 12, \"speed_down\": 1000, \"speed_up\": 100, "
               "\"downloaded\": 16384000, \"uploaded\": 163840, \"total_progress\": 0, \"is_live\": 1, "
               "\"is_encrypted\": 0}, \"error\": null}");
    } else if (strncmp(target, "/ace/cmd/", 9) == 0) {
        stop(c, strtok(target, "?"));
    } else if (strstr(target, "method=get_version")) {
        answer(c, "200 OK", "{\"result\": {\"code\": 3020300, \"platform\": \"linux\", \"version\": \"3.2.3\"}, "
               "\"error\": null}");
    } else {
        answer(c, "404 Not Found", "{\"result\": null, \"error\": \"unknown\"}");
    }
}

/* Read a request; of a connection that has asked already only the end is of interest. */
static void readable(conn_t *c) {
    char rest[1024];
    int done = c->media || c->hung;
    ssize_t n = done ? recv(c->fd, rest, sizeof rest, 0)
                     : recv(c->fd, c->in + c->used, (size_t)(IN_LIMIT - 1 - c->used), 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return close_conn(c);
    if (done) return;
    c->used += (int)n;
    c->in[c->used] = 0;
    if (strstr(c->in, "\r\n\r\n")) return serve(c);
    if (c->used == IN_LIMIT - 1) close_conn(c);
}

/* Send what is made; 0 if the socket is full, -1 if the connection is gone. */
static int flush(conn_t *c) {
    while (c->out_at < c->out_end) {
        ssize_t n = send(c->fd, c->out + c->out_at, (size_t)(c->out_end - c->out_at), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->out_at += (int)n;
        media_bytes += (uint64_t)n;
    }
    c->out_at = c->out_end = 0;
    return 1;
}

static void make(conn_t *c, uint64_t packets) {
    uint64_t now = now_ns();
    for (; packets && c->out_end + PACKET <= OUT_LIMIT; packets--, c->out_end += PACKET)
        next_packet(&c->broadcast, c->out + c->out_end, now);
}

static void send_unlimited(conn_t *c) {
    for (int round = 0; round < 8; round++) {
        int sent = flush(c);
        if (sent < 0) return close_conn(c);
        if (!sent) return;
        if (limit_bytes > 0 && (double)c->broadcast.index * PACKET >= limit_bytes) return watch(c, EPOLLIN);
        make(c, OUT_LIMIT / PACKET);
    }
}

static void send_paced(conn_t *c, uint64_t now) {
    int sent = flush(c);
    if (sent < 0) return close_conn(c);
    if (!sent) {
        blocked++;
        return;
    }
    if (now < c->next_at) return;
    c->next_at = now - c->next_at > chunk_ns ? now + chunk_ns : c->next_at + chunk_ns;
    double per_s = (double)c->broadcast.per_frame * FPS;
    uint64_t due = (uint64_t)((double)(now - c->began_ns) / 1e9 * per_s) + 1;
    if (due > c->broadcast.index) make(c, due - c->broadcast.index);
    if (flush(c) < 0) close_conn(c);
}

static void admit(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conns[fd] = calloc(1, sizeof(conn_t));
        conns[fd]->fd = fd;
        if (fd > top_fd) top_fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

static void write_file(const char *path, double seconds) {
    FILE *file = fopen(path, "wb");
    broadcast_t b = {.channel = 0, .per_frame = packets_per_frame(bitrate)};
    uint8_t packet[PACKET];
    if (!file) die(path);
    for (uint64_t left = (uint64_t)(seconds * FPS) * (uint64_t)b.per_frame; left; left--) {
        next_packet(&b, packet, 0);
        if (fwrite(packet, PACKET, 1, file) != 1) die(path);
    }
    if (fclose(file)) die(path);
}

int main(int argc, char **argv) {
    raise_limits();
    signal(SIGPIPE, SIG_IGN);
    prepare_broadcast();
    bitrate = option_number(argc, argv, "--bitrate", 8e6);
    const char *file = option(argc, argv, "--file", NULL);
    if (file) return write_file(file, option_number(argc, argv, "--seconds", 30)), 0;
    unlimited = (int)option_number(argc, argv, "--unlimited", 0);
    limit_bytes = option_number(argc, argv, "--limit-gb", 0) * 1e9;
    chunk_ns = (uint64_t)(option_number(argc, argv, "--chunk-ms", 10) * 1e6);
    int listener = listen_on((int)option_number(argc, argv, "--port", 0));
    struct sockaddr_in a;
    socklen_t size = sizeof a;
    getsockname(listener, (struct sockaddr *)&a, &size);
    port = ntohs(a.sin_port);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(epoll_fd, ready, 256, media_open && !unlimited ? TICK_MS : 1000);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) admit(listener);
            if (fd != listener && conns[fd] && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(conns[fd]);
            if (fd != listener && conns[fd] && conns[fd]->media && ready[i].events & EPOLLOUT) send_unlimited(conns[fd]);
        }
        uint64_t now = now_ns();
        for (int fd = 0; !unlimited && media_open && fd <= top_fd; fd++)
            if (conns[fd] && conns[fd]->media) send_paced(conns[fd], now);
    }
}
