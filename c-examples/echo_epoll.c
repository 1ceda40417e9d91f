/*
 * echo_epoll.c - the echo service on an epoll loop of its own.
 *
 * libdtm accepts, drains and takes orders through one fd in that loop; what the
 * clients do is the service's business. docs/loops.md tells the rules.
 */
#define _GNU_SOURCE
#include "echo_main.h"

#include <sys/epoll.h>
#include <unistd.h>

static int loop = -1; /* this worker's own */

struct conn {
    dtm_client_t *client;
    uint32_t waits;    /* EPOLLIN or EPOLLOUT */
    size_t used, sent; /* buf[sent..used] still has to go out */
    char buf[16384];
};

static int loop_control(int op, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};

    return epoll_ctl(loop, op, fd, &event);
}

/* ---- One client ---------------------------------------------------------- */

static int32_t client_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct conn *conn = malloc(sizeof *conn);

    (void)rt, (void)user_data;
    if (!conn)
        return -ENOMEM;
    conn->client = client;
    conn->waits = EPOLLIN;
    conn->used = conn->sent = 0;
    if (loop_control(EPOLL_CTL_ADD, dtm_client_fd(client), EPOLLIN, conn) != 0) {
        free(conn);
        return -errno;
    }
    dtm_client_set_data(client, conn);
    return DTM_TAKEN;
}

/* close() alone would leave it in the epoll as long as the master, which may have
 * passed it on, holds it, too. */
static void conn_end(struct conn *conn)
{
    int fd = dtm_client_release(conn->client);

    loop_control(EPOLL_CTL_DEL, fd, 0, NULL);
    close(fd);
    free(conn);
}

/* A drain closes it, or client_open() refused it. */
static void client_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    struct conn *conn = dtm_client_data(client);

    (void)rt, (void)reason, (void)user_data;
    if (conn)
        conn_end(conn);
}

static void conn_wait(struct conn *conn, uint32_t events)
{
    if (events == conn->waits)
        return;
    conn->waits = events;
    loop_control(EPOLL_CTL_MOD, dtm_client_fd(conn->client), events, conn);
}

/* Reads only when all was sent: a client that does not read its echo is not read either. */
static void conn_step(struct conn *conn)
{
    int fd = dtm_client_fd(conn->client);
    ssize_t n;

    if (conn->sent == conn->used) {
        n = recv(fd, conn->buf, sizeof conn->buf, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            conn_end(conn);
            return;
        }
        conn->used = (size_t)n;
        conn->sent = 0;
    }
    n = send(fd, conn->buf + conn->sent, conn->used - conn->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_end(conn);
        return;
    }
    if (n > 0)
        conn->sent += (size_t)n;
    /* Busy: bytes are on their way back. A drain waits for those, not for idle clients. */
    dtm_client_set_busy(conn->client, conn->sent < conn->used);
    conn_wait(conn, conn->sent < conn->used ? EPOLLOUT : EPOLLIN);
}

/* ---- The loop ------------------------------------------------------------ */

static int32_t worker_main(dtm_t *rt, void *user_data)
{
    struct epoll_event events[64];
    int32_t status = DTM_OK;
    int i, n, due;

    (void)user_data;
    loop = epoll_create1(EPOLL_CLOEXEC);
    if (loop < 0 || loop_control(EPOLL_CTL_ADD, dtm_loop_fd(rt), EPOLLIN, NULL) != 0)
        return DTM_EXIT_INIT;
    while (status == DTM_OK) {
        n = epoll_wait(loop, events, 64, -1);
        for (due = 0, i = 0; i < n; i++) {
            if (events[i].data.ptr)
                conn_step(events[i].data.ptr);
            else
                due = 1;
        }
        if (due) /* last: it may close clients, and events[] names them */
            status = dtm_loop_dispatch(rt, 0);
    }
    close(loop);
    return status == DTM_EGONE ? 0 : DTM_EXIT_BROKEN;
}

int main(int argc, char **argv)
{
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;

    callbacks.worker_main = worker_main;
    callbacks.client_open = client_open;
    callbacks.client_close = client_close;
    return echo_main("echo_epoll", &callbacks, argc, argv);
}
