/*
 * before.c PORT - an echo service with a prefork main of its own, as many are
 * written: one listener, four workers, an accept lock, fork again on SIGCHLD.
 * after.c is the same service with libdtm; ../porting.md goes from one to the other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, LISTENER_WAIT_MS = 500, LOCK_WAIT_MS = 10 };

static volatile sig_atomic_t stop;

/* ---- One client -------------------------------------------------------- */

struct conn {
    int fd;
    size_t used, sent; /* buf[sent..used] still has to go out */
    char buf[4096];
};

/* What to wait for next; 0: the end. */
static uint32_t step(struct conn *c)
{
    ssize_t n;

    if (c->sent == c->used) {
        n = recv(c->fd, c->buf, sizeof c->buf, 0);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR) ? EPOLLIN : 0;
        c->used = (size_t)n;
        c->sent = 0;
    }
    n = send(c->fd, c->buf + c->sent, c->used - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return 0;
    c->sent += n > 0 ? (size_t)n : 0;
    return c->sent < c->used ? EPOLLOUT : EPOLLIN;
}

static void conn_open(int epoll_fd, int listener)
{
    struct conn *c = calloc(1, sizeof *c);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    if (!c)
        return;
    c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c->fd < 0)
        free(c);
    else
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void conn_go_on(int epoll_fd, struct conn *c)
{
    struct epoll_event event = {.events = step(c), .data.ptr = c};

    if (event.events) {
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    } else {
        close(c->fd);
        free(c);
    }
}

/* ---- Worker ------------------------------------------------------------ */

/* Whoever has the lock waits for new clients; it is given back before any work is done. */
static void worker(int listener, const char *lock_path)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int lock = open(lock_path, O_RDWR | O_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[64];

    while (!stop) {
        int i, mine = flock(lock, LOCK_EX | LOCK_NB) == 0;
        int n;

        if (mine)
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
        n = epoll_wait(epoll_fd, ready, 64, mine ? LISTENER_WAIT_MS : LOCK_WAIT_MS);
        for (i = 0; i < n; i++)
            if (!ready[i].data.ptr)
                conn_open(epoll_fd, listener);
        if (mine) {
            epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listener, NULL);
            flock(lock, LOCK_UN);
        }
        for (i = 0; i < n; i++)
            if (ready[i].data.ptr)
                conn_go_on(epoll_fd, ready[i].data.ptr);
    }
    _exit(0);
}

/* ---- Master ------------------------------------------------------------ */

static void on_signal(int sig)
{
    if (sig == SIGTERM)
        stop = 1;
}

static pid_t spawn(int listener, const char *lock_path, const sigset_t *before)
{
    pid_t pid = fork();

    if (pid == 0) {
        sigprocmask(SIG_SETMASK, before, NULL);
        worker(listener, lock_path);
    }
    return pid;
}

static int listen_on(const char *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    socklen_t len = sizeof in;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&in, sizeof in) < 0 || listen(fd, 511) < 0) {
        perror("listen");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&in, &len);
    printf("port %d\n", ntohs(in.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    char lock_path[] = "/tmp/before-XXXXXX";
    struct sigaction action = {.sa_handler = on_signal};
    pid_t pid, pids[WORKERS];
    sigset_t block, before;
    int i, listener = listen_on(argc > 1 ? argv[1] : "7000");

    close(mkstemp(lock_path));
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &before);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGCHLD, &action, NULL);
    for (i = 0; i < WORKERS; i++)
        pids[i] = spawn(listener, lock_path, &before);
    while (!stop) {
        sigsuspend(&before);
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            for (i = 0; i < WORKERS && !stop; i++)
                if (pids[i] == pid)
                    pids[i] = spawn(listener, lock_path, &before);
    }
    for (i = 0; i < WORKERS; i++)
        kill(pids[i], SIGTERM);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    unlink(lock_path);
    return 0;
}
