// What a served program can see and do, with as little of its own as possible. The first argument chooses.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// Every open descriptor, without opening one to find out.
static void fds(void) {
    for (int fd = 0; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0) dprintf(1, "%d ", fd);
    dprintf(1, "\n");
}

// Signals that are blocked, ignored or caught, and the file flags of the connection.
static void signals(void) {
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int sig = 1; sig < 65; sig++) {
        struct sigaction action;
        if (sigismember(&blocked, sig) == 1) dprintf(1, "blocked %d ", sig);
        if (sigaction(sig, NULL, &action) == 0 && action.sa_handler != SIG_DFL) dprintf(1, "changed %d ", sig);
    }
    for (int fd = 0; fd < 2; fd++)
        if (fcntl(fd, F_GETFL) & O_NONBLOCK) dprintf(1, "nonblocking %d ", fd);
    dprintf(1, "end\n");
}

static void limits(void) {
    static const struct { const char *name; int resource; } all[] = {
        {"open_files", RLIMIT_NOFILE}, {"processes", RLIMIT_NPROC}, {"cpu_time", RLIMIT_CPU},
        {"address_space", RLIMIT_AS}, {"data", RLIMIT_DATA}, {"stack", RLIMIT_STACK},
        {"file_size", RLIMIT_FSIZE}, {"core", RLIMIT_CORE}, {"locked_memory", RLIMIT_MEMLOCK}};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        struct rlimit limit;
        getrlimit(all[i].resource, &limit);
        dprintf(1, "%s=%lld/%lld\n", all[i].name, (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    dprintf(1, "nice=%d\n", getpriority(PRIO_PROCESS, 0));
    mode_t mask = umask(0);
    dprintf(1, "umask=%04o\n", (unsigned)mask);
    dprintf(1, "leader=%d\n", getsid(0) == getpid());
}

// Everything that one super-server may do otherwise than another, a line each.
static void report(int argc, char **argv) {
    // What is left unread would cost the other servers' clients the end of the answer.
    for (char bytes[512]; read(0, bytes, sizeof bytes) > 0;) {}
    for (int i = 0; i < argc; i++) dprintf(1, "argv[%d]=%s\n", i, argv[i]);
    dprintf(1, "uid=%d/%d gid=%d/%d groups=", getuid(), geteuid(), getgid(), getegid());
    gid_t groups[64];
    int count = getgroups(64, groups);
    for (int least = -1, i = 0; i < count; i++) { // in order
        int next = 1 << 30;
        for (int k = 0; k < count; k++)
            if ((int)groups[k] > least && (int)groups[k] < next) next = groups[k];
        if (next == 1 << 30) break;
        dprintf(1, "%d ", next);
        least = next;
    }
    char cwd[4096] = "?";
    if (!getcwd(cwd, sizeof cwd)) strcpy(cwd, "?");
    dprintf(1, "\ncwd=%s\nfds=", cwd);
    fds();
    for (int fd = 0; fd < 3; fd++) {
        struct stat is;
        fstat(fd, &is);
        dprintf(1, "fd %d is %s\n", fd, S_ISSOCK(is.st_mode) ? "a socket" : "no socket");
    }
    static const char *names[] = {"REMOTE_HOST", "ONE", "TWO", "THREE"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) dprintf(1, "%s=%s\n", names[i], getenv(names[i]));
    limits();
    signals();
}

int main(int argc, char **argv) {
    char self[4096] = "";
    if (readlink("/proc/self/exe", self, sizeof self - 1) > 7 && !strcmp(strrchr(self, '/'), "/report")) {
        report(argc, argv);
        return 0;
    }
    const char *what = argc > 1 ? argv[1] : "hello";
    if (!strcmp(what, "hello")) return write(1, "hello\n", 6) != 6;
    if (!strcmp(what, "fds")) fds();
    if (!strcmp(what, "signals")) signals();
    if (!strcmp(what, "limits")) limits();
    if (!strcmp(what, "name")) dprintf(1, "%s\n", argv[0]);
    if (!strcmp(what, "hold")) { // until the client goes
        char byte;
        dprintf(1, "%d\n", getpid());
        while (read(0, &byte, 1) > 0) {}
    }
    if (!strcmp(what, "stubborn")) { // until KILL
        signal(SIGTERM, SIG_IGN);
        dprintf(1, "%d\n", getpid());
        for (;;) pause();
    }
    if (!strcmp(what, "patient")) { // until TERM
        dprintf(1, "%d\n", getpid());
        for (;;) pause();
    }
    if (!strcmp(what, "run")) // in the place of the daemon: never says a word
        for (;;) pause();
    if (!strcmp(what, "raise")) raise(atoi(argv[2]));
    if (!strcmp(what, "nonblock")) fcntl(0, F_SETFL, O_NONBLOCK);
    return argc > 2 ? atoi(argv[2]) : 0;
}
