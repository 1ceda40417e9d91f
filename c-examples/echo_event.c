/*
 * echo_event.c - the echo service on libevent: each client is a bufferevent.
 *
 * libdtm accepts, drains and takes orders through one event in the base.
 * docs/loops.md tells the rules.
 */
#define _GNU_SOURCE
#include "echo_main.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

static struct event_base *base; /* this worker's own */

/* ---- One client ---------------------------------------------------------- */

/* bufferevent_free() closes the descriptor: libdtm gives it away. */
static void conn_end(struct bufferevent *io, dtm_client_t *client)
{
    dtm_client_release(client);
    bufferevent_free(io);
}

/* A client that does not read its echo is not read either, once so much waits for it. */
#define UNSENT_MAX 65536

static void on_read(struct bufferevent *io, void *client)
{
    dtm_client_set_busy(client, 1);
    bufferevent_write_buffer(io, bufferevent_get_input(io));
    if (evbuffer_get_length(bufferevent_get_output(io)) >= UNSENT_MAX)
        bufferevent_disable(io, EV_READ);
}

/* All was sent. Until here the client was busy: a drain waits for it, not for idle ones. */
static void on_written(struct bufferevent *io, void *client)
{
    if (!(bufferevent_get_enabled(io) & EV_READ))
        bufferevent_enable(io, EV_READ);
    dtm_client_set_busy(client, 0);
}

/* The peer has ended, or the connection is broken. What is still to be sent goes out first:
 * then on_written() reads on, and here we are again. */
static void on_end(struct bufferevent *io, short what, void *client)
{
    if (!(what & BEV_EVENT_EOF) || evbuffer_get_length(bufferevent_get_output(io)) == 0)
        conn_end(io, client);
}

static int32_t client_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct bufferevent *io =
        bufferevent_socket_new(base, dtm_client_fd(client), BEV_OPT_CLOSE_ON_FREE);

    (void)rt, (void)user_data;
    if (!io)
        return -ENOMEM;
    bufferevent_setcb(io, on_read, on_written, on_end, client);
    bufferevent_enable(io, EV_READ);
    dtm_client_set_data(client, io);
    return DTM_TAKEN;
}

/* A drain closes it, or client_open() refused it. */
static void client_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    struct bufferevent *io = dtm_client_data(client);

    (void)rt, (void)reason, (void)user_data;
    if (io)
        conn_end(io, client);
}

/* ---- The loop ------------------------------------------------------------ */

static void on_libdtm(evutil_socket_t fd, short what, void *rt)
{
    (void)fd, (void)what;
    if (dtm_loop_dispatch(rt, 0) != DTM_OK)
        event_base_loopbreak(base);
}

static int32_t worker_main(dtm_t *rt, void *user_data)
{
    struct event *libdtm;

    (void)user_data;
    base = event_base_new();
    if (!base)
        return DTM_EXIT_INIT;
    libdtm = event_new(base, dtm_loop_fd(rt), EV_READ | EV_PERSIST, on_libdtm, rt);
    if (!libdtm || event_add(libdtm, NULL) != 0)
        return DTM_EXIT_INIT;
    event_base_dispatch(base);
    event_free(libdtm);
    event_base_free(base);
    return 0;
}

int main(int argc, char **argv)
{
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;

    callbacks.worker_main = worker_main;
    callbacks.client_open = client_open;
    callbacks.client_close = client_close;
    return echo_main("echo_event", &callbacks, argc, argv);
}
