/*
 * echo_uv.c - the echo service on libuv: each client is a uv_tcp_t.
 *
 * libdtm accepts, drains and takes orders through one uv_poll_t in the loop.
 * docs/loops.md tells the rules.
 */
#define _GNU_SOURCE
#include "echo_main.h"

#include <uv.h>

static uv_loop_t loop; /* this worker's own */

struct conn {
    uv_tcp_t io; /* on Linux a Unix socket is one as well as TCP */
    uv_write_t rest;
    dtm_client_t *client;
    char *unsent; /* what the kernel did not take at once */
};

static char bytes[65536]; /* of the client that is read now */

/* ---- One client ---------------------------------------------------------- */

static void on_closed(uv_handle_t *io)
{
    struct conn *conn = io->data;

    free(conn->unsent);
    free(conn);
}

/* uv_close() closes the descriptor: libdtm gives it away. */
static void conn_end(struct conn *conn)
{
    dtm_client_release(conn->client);
    uv_close((uv_handle_t *)&conn->io, on_closed);
}

static void on_buffer(uv_handle_t *io, size_t size, uv_buf_t *buf)
{
    (void)io, (void)size;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_read(uv_stream_t *io, ssize_t n, const uv_buf_t *buf);

/* The rest was sent. */
static void on_written(uv_write_t *rest, int status)
{
    struct conn *conn = rest->data;

    if (status == UV_ECANCELED)
        return; /* by conn_end() */
    free(conn->unsent);
    conn->unsent = NULL;
    if (status < 0 || uv_read_start((uv_stream_t *)&conn->io, on_buffer, on_read) != 0)
        conn_end(conn);
    else
        dtm_client_set_busy(conn->client, 0);
}

/* Until it is sent nothing else is read: who does not read its echo is not read either. */
static int send_later(struct conn *conn, const char *from, size_t len)
{
    uv_stream_t *io = (uv_stream_t *)&conn->io;
    uv_buf_t rest;

    conn->unsent = malloc(len);
    if (!conn->unsent)
        return UV_ENOMEM;
    memcpy(conn->unsent, from, len);
    rest = uv_buf_init(conn->unsent, (unsigned)len);
    uv_read_stop(io);
    return uv_write(&conn->rest, io, &rest, 1, on_written);
}

static void on_read(uv_stream_t *io, ssize_t n, const uv_buf_t *buf)
{
    struct conn *conn = io->data;
    uv_buf_t echo;
    int sent;

    if (n < 0)
        conn_end(conn);
    if (n <= 0)
        return;
    echo = uv_buf_init(buf->base, (unsigned)n);
    sent = uv_try_write(io, &echo, 1);
    if (sent < 0)
        sent = 0;
    /* Busy: bytes are on their way back. A drain waits for those, not for idle clients. */
    dtm_client_set_busy(conn->client, sent < n);
    if (sent < n && send_later(conn, buf->base + sent, (size_t)(n - sent)) != 0)
        conn_end(conn);
}

static int32_t client_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct conn *conn = malloc(sizeof *conn);

    (void)rt, (void)user_data;
    if (!conn)
        return -ENOMEM;
    uv_tcp_init(&loop, &conn->io);
    conn->io.data = conn->rest.data = conn;
    conn->client = client;
    conn->unsent = NULL;
    if (uv_tcp_open(&conn->io, dtm_client_fd(client)) != 0) {
        uv_close((uv_handle_t *)&conn->io, on_closed);
        return -ENOTSUP;
    }
    dtm_client_set_data(client, conn);
    if (uv_read_start((uv_stream_t *)&conn->io, on_buffer, on_read) != 0)
        conn_end(conn);
    return DTM_TAKEN;
}

/* A drain closes it, or client_open() refused it. */
static void client_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    struct conn *conn = dtm_client_data(client);

    (void)rt, (void)reason, (void)user_data;
    if (conn)
        conn_end(conn);
}

/* ---- The loop ------------------------------------------------------------ */

static void on_libdtm(uv_poll_t *libdtm, int status, int events)
{
    (void)status, (void)events;
    if (dtm_loop_dispatch(libdtm->data, 0) != DTM_OK)
        uv_close((uv_handle_t *)libdtm, NULL); /* the last one: uv_run() returns */
}

static int32_t worker_main(dtm_t *rt, void *user_data)
{
    uv_poll_t libdtm;

    (void)user_data;
    if (uv_loop_init(&loop) != 0 || uv_poll_init(&loop, &libdtm, dtm_loop_fd(rt)) != 0)
        return DTM_EXIT_INIT;
    libdtm.data = rt;
    if (uv_poll_start(&libdtm, UV_READABLE, on_libdtm) != 0)
        return DTM_EXIT_INIT;
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? 0 : DTM_EXIT_BROKEN;
}

int main(int argc, char **argv)
{
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;

    callbacks.worker_main = worker_main;
    callbacks.client_open = client_open;
    callbacks.client_close = client_close;
    return echo_main("echo_uv", &callbacks, argc, argv);
}
