/* The limits that a super-server is measured against, each as bare as C can be: no set-up of the child, no log, no
 * limits, no errors handled beyond what the loop needs.
 *
 *   bare vfork PORT PROGRAM   accept, vfork, exec; the dead found by waitpid(-1), which walks the live children
 *   bare reapless PORT PROGRAM  the same with SIGCHLD ignored: the kernel reaps, and nobody learns how a child ended
 *   bare fork PORT            a forked child echoes
 *   bare thread PORT          a thread of one process echoes
 *   bare epoll PORT           one process echoes for all */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listener(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096))
        die("listen");
    return fd;
}

/* False when the client is gone. */
static int echo_once(int fd)
{
    char buffer[16384];
    ssize_t n = read(fd, buffer, sizeof buffer);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    for (ssize_t sent = 0, w; sent < n; sent += w)
        if ((w = write(fd, buffer + sent, n - sent)) <= 0)
            return 0;
    return n > 0;
}

static void reap(void)
{
    int status;
    while (waitpid(-1, &status, WNOHANG) > 0)
        ;
}

/* Only wakes accept, so that the dead are reaped when nobody comes. */
static void on_child(int signal) { (void)signal; }

static void serve_program(int fd, char *program, int statuses)
{
    char *argv[] = {program, NULL}, *envp[] = {NULL};

    for (;;) {
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection >= 0) {
            if (vfork() == 0) {
                dup2(connection, 0);
                dup2(connection, 1);
                execve(program, argv, envp);
                _exit(127);
            }
            close(connection);
        }
        if (statuses)
            reap();
    }
}

static void serve_fork(int fd)
{
    for (;;) {
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection >= 0) {
            if (fork() == 0) {
                close(fd);
                while (echo_once(connection))
                    ;
                _exit(0);
            }
            close(connection);
        }
        reap();
    }
}

static void *echo_all(void *connection)
{
    int fd = (intptr_t)connection;

    while (echo_once(fd))
        ;
    close(fd);
    return NULL;
}

static void serve_thread(int fd)
{
    pthread_attr_t small;
    pthread_t thread;

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        intptr_t connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection >= 0 && pthread_create(&thread, &small, echo_all, (void *)connection))
            close(connection);
    }
}

static void serve_epoll(int fd)
{
    struct epoll_event ready[64], event = {.events = EPOLLIN, .data.fd = fd};
    int set = epoll_create1(EPOLL_CLOEXEC);

    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    for (;;) {
        int n = epoll_wait(set, ready, 64, -1);
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == fd) {
                event.data.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (event.data.fd >= 0)
                    epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
            } else if (!echo_once(ready[i].data.fd)) {
                close(ready[i].data.fd);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return fprintf(stderr, "usage: bare vfork|reapless PORT PROGRAM | fork|thread|epoll PORT\n"), 64;
    int fd = listener(atoi(argv[2]));
    struct rlimit files;
    struct sigaction action = {.sa_handler = on_child};

    if (!strcmp(argv[1], "reapless"))
        action.sa_handler = SIG_IGN;
    sigaction(SIGCHLD, &action, NULL);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc == 4 && (!strcmp(argv[1], "vfork") || !strcmp(argv[1], "reapless")))
        serve_program(fd, argv[3], argv[1][0] == 'v');
    else if (!strcmp(argv[1], "fork"))
        serve_fork(fd);
    else if (!strcmp(argv[1], "thread"))
        serve_thread(fd);
    else if (!strcmp(argv[1], "epoll"))
        serve_epoll(fd);
    return 64;
}
