/*
 * uv.c - the same server on libuv, prefork by hand: a listener for all workers.
 */
#define _GNU_SOURCE
#include "prefork.h"

#include <uv.h>

struct client {
    uv_tcp_t tcp; /* first: a handle is a client */
    uv_write_t write;
    struct conn conn;
};

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void hang_up(struct client *client)
{
    if (!uv_is_closing((uv_handle_t *)client))
        uv_close((uv_handle_t *)client, closed);
}

static void buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    struct conn *conn = &((struct client *)handle)->conn;

    (void)suggested;
    *ret_buffer =
        uv_buf_init(conn->buf + conn->used, (unsigned int)(sizeof conn->buf - conn->used));
}

static void incoming(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void written(uv_write_t *request, int status)
{
    struct client *client = (struct client *)request->handle;

    client->conn.left = 0;
    if (status < 0 || uv_read_start((uv_stream_t *)client, buffer, incoming) != 0)
        hang_up(client);
}

/* Nothing is read while an answer is on its way: its bytes may be in the same buffer. */
static void incoming(uv_stream_t *stream, ssize_t n, const uv_buf_t *unused)
{
    struct client *client = (struct client *)stream;
    struct conn *conn = &client->conn;
    uv_buf_t out;
    int sent;

    (void)unused;
    if (n <= 0) {
        if (n < 0)
            hang_up(client);
        return;
    }
    conn->used += (size_t)n;
    work_answer(conn);
    if (conn->left == 0)
        return;
    out = uv_buf_init((char *)conn->out, (unsigned int)conn->left);
    sent = uv_try_write(stream, &out, 1);
    if (sent == (int)conn->left) {
        conn->left = 0;
        return;
    }
    out.base += sent > 0 ? sent : 0;
    out.len -= sent > 0 ? (size_t)sent : 0;
    uv_read_stop(stream);
    if (uv_write(&client->write, stream, &out, 1, written) != 0)
        hang_up(client);
}

static void connection(uv_stream_t *listener, int status)
{
    struct client *client = status == 0 ? malloc(sizeof *client) : NULL;

    if (!client)
        return;
    client->conn.left = client->conn.used = 0;
    uv_tcp_init(listener->loop, &client->tcp);
    if (uv_accept(listener, (uv_stream_t *)client) != 0 ||
        uv_read_start((uv_stream_t *)client, buffer, incoming) != 0)
        hang_up(client);
}

static void serve(int fd)
{
    uv_loop_t loop;
    uv_tcp_t listener;

    uv_loop_init(&loop);
    uv_tcp_init(&loop, &listener);
    if (uv_tcp_open(&listener, fd) != 0 ||
        uv_listen((uv_stream_t *)&listener, WORK_BACKLOG, connection) != 0)
        _exit(1);
    uv_run(&loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    return prefork(argc, argv, serve);
}
