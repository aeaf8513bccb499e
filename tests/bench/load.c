/* The load: clients on loopback, one process, epoll. Each connection comes from another address of 127.0.0.0/8, sends
 * 32 bytes, and the reply is checked byte for byte, so that a server that drops or garbles shows up as an error.
 *
 *   load run PORT CLIENTS COUNT SECONDS   CLIENTS at once until COUNT are done: connect, send, read the echo, shut
 *       down, read to EOF (the shutdown comes late because ncat drops a reply that is under way at EOF).
 *       prints: done errors seconds p50_us p99_us   (from connect to EOF)
 *   load hold PORT SECONDS                reads totals from stdin; opens held connections (16 at once under way) until
 *       there are so many, each proved by an echoed byte; ends at EOF or after SECONDS for one line.
 *       prints: held errors seconds [seconds of each 500]
 *   load stream PORT STREAMS BYTES SECONDS  STREAMS at once, each of BYTES out and back
 *       prints: done seconds                  (done: came back whole, to the end of file)
 *   load slow PORT COUNT SECONDS          COUNT clients who send until nobody takes it, and read nothing, until EOF on stdin
 *       prints: held                        (when nobody takes any more) */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { TEXT = 32, BATCH = 500 };
static const char text[TEXT + 1] = "0123456789abcdefghijklmnopqrstuv";

struct client {
    int fd;
    int sent;
    int got;
    double began;
};

static int port, set;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* A new source for each connection: 127.16.0.1 onwards, over the pid so that two runs do not meet in TIME_WAIT. */
static in_addr_t next_source(void)
{
    static unsigned k;
    if (k == 0)
        k = getpid() * 4099u;
    k = (k + 1) % (200u << 16);
    return htonl(0x7f100000u + k + 1);
}

static int start(struct client *c)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = next_source()};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    int on = 1;

    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .began = now()};
    if (c->fd < 0)
        return -1;
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) ||
        (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) ||
        epoll_ctl(set, EPOLL_CTL_ADD, c->fd, &event)) {
        close(c->fd);
        return -1;
    }
    return 0;
}

/* One step of a client: 0 goes on, 1 done, -1 failed. `length` bytes are sent; with `to_end` the server must close too. */
static int step(struct client *c, int length, int to_end)
{
    char buffer[256];
    ssize_t n;

    if (!c->sent) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (send(c->fd, text, length, MSG_NOSIGNAL) != length)
            return -1;
        c->sent = 1;
        epoll_ctl(set, EPOLL_CTL_MOD, c->fd, &event);
        return 0;
    }
    n = read(c->fd, buffer, sizeof buffer);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    if (n == 0)
        return c->got == length ? 1 : -1;
    if (c->got + n > length || memcmp(buffer, text + c->got, n))
        return -1;
    c->got += n;
    if (to_end && c->got == length)
        shutdown(c->fd, SHUT_WR);
    return !to_end && c->got == length;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(int clients, int count, double seconds)
{
    struct client *all = calloc(clients, sizeof *all);
    double *times = calloc(count + 1, sizeof *times), began = now(), end = began;
    struct epoll_event ready[64];
    int started = 0, done = 0, errors = 0, active = 0;

    for (; active < clients && started < count; active++, started++)
        if (start(&all[active]))
            exit(1);
    while (active > 0 && now() - began < seconds) {
        int n = epoll_wait(set, ready, 64, 100);
        for (int i = 0; i < n; i++) {
            struct client *c = ready[i].data.ptr;
            int result = step(c, TEXT, 1);
            if (!result)
                continue;
            end = now();
            if (result > 0)
                times[done++] = end - c->began;
            else
                errors++;
            close(c->fd);
            active--;
            if (started < count && !start(c))
                active++, started++;
        }
    }
    qsort(times, done, sizeof *times, by_value);
    printf("%d %d %.6f %.0f %.0f\n", done, errors + active, (active ? now() : end) - began,
           done ? times[done / 2] * 1e6 : 0, done ? times[done * 99 / 100] * 1e6 : 0);
}

static void hold(double seconds)
{
    enum { UNDER_WAY = 16 };
    struct client all[UNDER_WAY];
    int idle[UNDER_WAY], free_slots = UNDER_WAY, held = 0;
    struct epoll_event ready[64];
    char line[64];

    for (int i = 0; i < UNDER_WAY; i++)
        idle[i] = i;
    while (fgets(line, sizeof line, stdin)) {
        int total = atoi(line), errors = 0, batches = 0;
        double began = now(), mark = began, batch[128];

        while (held < total && errors < 100 && now() - began < seconds) {
            while (free_slots > 0 && held + UNDER_WAY - free_slots < total) {
                if (start(&all[idle[free_slots - 1]])) {
                    errors++;
                    break;
                }
                free_slots--;
            }
            int n = epoll_wait(set, ready, 64, 100);
            for (int i = 0; i < n; i++) {
                struct client *c = ready[i].data.ptr;
                int result = step(c, 1, 0);
                if (!result)
                    continue;
                epoll_ctl(set, EPOLL_CTL_DEL, c->fd, NULL);
                idle[free_slots++] = c - all;
                if (result < 0) {
                    errors++;
                    close(c->fd);
                } else if (++held % BATCH == 0 && batches < 128) {
                    batch[batches++] = now() - mark;
                    mark = now();
                }
            }
        }
        printf("%d %d %.6f", held, errors, now() - began);
        for (int i = 0; i < batches; i++)
            printf(" %.6f", batch[i]);
        printf("\n");
        fflush(stdout);
    }
}

/* STREAMS at once, each of `length` bytes out and back, in a pattern that is checked. */
static void stream(int streams, long length, double seconds)
{
    enum { CHUNK = 65536, PERIOD = 251 };
    struct pipe {
        struct client c;
        long sent, got;
    } *all = calloc(streams, sizeof *all);
    static char pattern[CHUNK + PERIOD], buffer[CHUNK];
    struct epoll_event ready[64];
    int active = 0, done = 0;
    double began = now();

    for (int i = 0; i < CHUNK + PERIOD; i++)
        pattern[i] = i % PERIOD;
    for (; active < streams; active++)
        if (start(&all[active].c))
            exit(1);
    while (active > 0 && now() - began < seconds) {
        int n = epoll_wait(set, ready, 64, 100);
        for (int i = 0; i < n; i++) {
            struct pipe *p = ready[i].data.ptr;
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
            ssize_t w, r = 0;
            if (ready[i].events & EPOLLOUT) {
                long left = length - p->sent;
                w = send(p->c.fd, pattern + p->sent % PERIOD, left < CHUNK ? left : CHUNK, MSG_NOSIGNAL);
                if (w > 0 && (p->sent += w) == length) {
                    shutdown(p->c.fd, SHUT_WR);
                    epoll_ctl(set, EPOLL_CTL_MOD, p->c.fd, &event);
                } else if (w > 0 && p->sent == w) {
                    event.events = EPOLLIN | EPOLLOUT;
                    epoll_ctl(set, EPOLL_CTL_MOD, p->c.fd, &event);
                }
            }
            if (!(ready[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
                continue;
            r = recv(p->c.fd, buffer, CHUNK, MSG_DONTWAIT);
            if (r < 0 && errno == EAGAIN)
                continue;
            if (r > 0 && p->got + r <= p->sent && !memcmp(buffer, pattern + p->got % PERIOD, r)) {
                p->got += r;
                continue;
            }
            done += r == 0 && p->got == length;
            close(p->c.fd);
            active--;
        }
    }
    printf("%d %.6f\n", done, now() - began);
}

/* COUNT clients who send until nobody takes it, and read nothing, until the end of standard input. */
static void slow(int count, double seconds)
{
    enum { CHUNK = 8192 };
    static char buffer[CHUNK];
    struct client c;
    int *fds = calloc(count, sizeof *fds), small = 2048, held = 0;
    double began = now();

    for (; held < count && now() - began < seconds; held++) {
        if (start(&c))
            break;
        epoll_ctl(set, EPOLL_CTL_DEL, c.fd, NULL);
        setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        fds[held] = c.fd;
    }
    /* Round after round, so that nobody is asked before he can have answered; done when a round moves nothing. */
    for (long moved = 1, quiet = 0; quiet < 3 && now() - began < seconds; quiet = moved ? 0 : quiet + 1) {
        moved = 0;
        for (int i = 0; i < held; i++) {
            ssize_t w = send(fds[i], buffer, CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT);
            moved += w > 0 ? w : 0;
        }
        usleep(20000);
    }
    printf("%d\n", held);
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

int main(int argc, char **argv)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    set = epoll_create1(EPOLL_CLOEXEC);
    if (argc == 6 && !strcmp(argv[1], "run")) {
        port = atoi(argv[2]);
        run(atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
    } else if (argc == 4 && !strcmp(argv[1], "hold")) {
        port = atoi(argv[2]);
        hold(atof(argv[3]));
    } else if (argc == 6 && !strcmp(argv[1], "stream")) {
        port = atoi(argv[2]);
        stream(atoi(argv[3]), atol(argv[4]), atof(argv[5]));
    } else if (argc == 5 && !strcmp(argv[1], "slow")) {
        port = atoi(argv[2]);
        slow(atoi(argv[3]), atof(argv[4]));
    } else {
        fprintf(stderr, "usage: load run PORT CLIENTS COUNT SECONDS | load hold PORT SECONDS"
                        " | load stream PORT STREAMS BYTES SECONDS | load slow PORT COUNT SECONDS\n");
        return 64;
    }
    return 0;
}
