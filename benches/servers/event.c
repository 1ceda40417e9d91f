/*
 * event.c - the same server on libevent, prefork by hand: a listener for all workers.
 */
#define _GNU_SOURCE
#include "prefork.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

static void hang_up(struct bufferevent *bev, struct conn *conn)
{
    bufferevent_free(bev);
    free(conn);
}

static void incoming(struct bufferevent *bev, void *data)
{
    struct conn *conn = data;

    conn->used += bufferevent_read(bev, conn->buf + conn->used, sizeof conn->buf - conn->used);
    work_answer(conn);
    if (conn->left > 0 && bufferevent_write(bev, conn->out, conn->left) != 0)
        hang_up(bev, conn);
    else
        conn->left = 0; /* it was copied */
}

static void ended(struct bufferevent *bev, short what, void *data)
{
    (void)what;
    hang_up(bev, data);
}

static void connection(struct evconnlistener *listener, evutil_socket_t fd,
                       struct sockaddr *address, int len, void *data)
{
    struct event_base *base = evconnlistener_get_base(listener);
    struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    struct conn *conn = work_open();

    (void)address, (void)len, (void)data;
    if (!bev || !conn)
        _exit(1);
    bufferevent_setcb(bev, incoming, NULL, ended, conn);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void serve(int fd)
{
    struct event_base *base = event_base_new();

    if (!base || !evconnlistener_new(base, connection, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd))
        _exit(1);
    event_base_dispatch(base);
}

int main(int argc, char **argv)
{
    return prefork(argc, argv, serve);
}
