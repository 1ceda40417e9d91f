/*
 * raw.c - a prefork server by hand on epoll, with nothing that is not needed: the
 * limit that the others are held against.
 */
#define _GNU_SOURCE
#include "prefork.h"

#include <sys/epoll.h>

#define EVENTS 64

struct client {
    int fd, waits_for;
    struct conn conn;
};

static int epoll;

static void watch(int operation, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};

    if (epoll_ctl(epoll, operation, fd, &event) != 0) {
        perror("epoll_ctl");
        _exit(1);
    }
}

/* One per report, so that the other workers get their share. */
static void accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *client;

    if (fd < 0)
        return;
    client = malloc(sizeof *client);
    client->fd = fd;
    client->waits_for = WORK_READ;
    client->conn.left = client->conn.used = 0;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, client);
}

static void go_on(struct client *client)
{
    int next = work_step(&client->conn, client->fd);

    if (next == WORK_DONE) {
        close(client->fd);
        free(client);
    } else if (next != client->waits_for) {
        watch(EPOLL_CTL_MOD, client->fd, next == WORK_READ ? EPOLLIN : EPOLLOUT, client);
        client->waits_for = next;
    }
}

static void serve(int listener)
{
    struct epoll_event events[EVENTS];
    int i, n;

    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLEXCLUSIVE, NULL);
    for (;;) {
        n = epoll_wait(epoll, events, EVENTS, -1);
        for (i = 0; i < n; i++)
            if (events[i].data.ptr)
                go_on(events[i].data.ptr);
            else
                accept_one(listener);
    }
}

int main(int argc, char **argv)
{
    return prefork(argc, argv, serve);
}
