/*
 * raw.c - a prefork server by hand on epoll, with nothing that is not needed: the
 * limit that the others are held against.
 *
 * "token" is the limit of a schedule that hands the turn on: half of the workers stand
 * in the listener's queue, and who accepts puts the next one there and leaves it. The
 * next one is simply the next one: no load is looked at, no death is thought of.
 */
#define _GNU_SOURCE
#include "prefork.h"

#include <sys/epoll.h>

#define EVENTS 64

struct client {
    int fd, waits_for;
    struct conn conn;
};

static int epoll, epolls[WORKERS_MAX], token;

static void watch(int operation, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};

    if (epoll_ctl(epoll, operation, fd, &event) != 0) {
        perror("epoll_ctl");
        _exit(1);
    }
}

/* One per report, so that the other workers get their share. */
static int accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *client;

    if (fd < 0)
        return 0;
    client = malloc(sizeof *client);
    client->fd = fd;
    client->waits_for = WORK_READ;
    client->conn.left = client->conn.used = 0;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, client);
    return 1;
}

/* The two system calls that a schedule by tokens cannot do without. */
static void hand_on(int listener)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    int tokens = prefork_workers > 1 ? prefork_workers / 2 : 1;
    int next = (prefork_index + tokens) % prefork_workers;

    if (next != prefork_index && epoll_ctl(epolls[next], EPOLL_CTL_ADD, listener, &event) == 0)
        epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL);
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

    epoll = token ? epolls[prefork_index] : epoll_create1(EPOLL_CLOEXEC);
    if (!token || prefork_index < prefork_workers / 2 || prefork_index == 0)
        watch(EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLEXCLUSIVE, NULL);
    for (;;) {
        n = epoll_wait(epoll, events, EVENTS, -1);
        for (i = 0; i < n; i++)
            if (events[i].data.ptr)
                go_on(events[i].data.ptr);
            else if (accept_one(listener) && token)
                hand_on(listener);
    }
}

int main(int argc, char **argv)
{
    int i;

    token = argc == 4 && strcmp(argv[3], "token") == 0;
    for (i = 0; token && i < WORKERS_MAX; i++)
        epolls[i] = epoll_create1(EPOLL_CLOEXEC); /* everybody can reach everybody's */
    return prefork(argc, argv, serve);
}
