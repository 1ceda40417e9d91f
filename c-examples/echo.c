/*
 * echo.c - the reference service: every byte that a client sends comes back.
 *
 * The client's state machine is all that a service must have. echo_main() puts it
 * together with listeners and with the operators' protocol of operator.h.
 */
#define _GNU_SOURCE
#include "echo_main.h"

struct conn {
    size_t used, sent; /* buf[sent..used] still has to go out */
    char buf[16384];
};

static int32_t client_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct conn *conn = malloc(sizeof *conn);

    (void)rt, (void)user_data;
    if (!conn)
        return -ENOMEM;
    conn->used = conn->sent = 0;
    dtm_client_set_data(client, conn);
    return DTM_READ;
}

/* Reads only when all was sent: a client that does not read its echo is not read either. */
static int32_t client_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    struct conn *conn = dtm_client_data(client);
    int fd = dtm_client_fd(client);
    ssize_t n;

    (void)rt, (void)events, (void)user_data;
    if (conn->sent == conn->used) {
        n = recv(fd, conn->buf, sizeof conn->buf, 0);
        if (n == 0)
            return DTM_DONE;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? DTM_KEEP : -errno;
        conn->used = (size_t)n;
        conn->sent = 0;
    }
    n = send(fd, conn->buf + conn->sent, conn->used - conn->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return -errno;
    if (n > 0)
        conn->sent += (size_t)n;
    /* Busy: bytes are on their way back. A drain waits for those, not for idle clients. */
    dtm_client_set_busy(client, conn->sent < conn->used);
    return conn->sent < conn->used ? DTM_WRITE : DTM_READ;
}

static void client_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)reason, (void)user_data;
    free(dtm_client_data(client));
}

int main(int argc, char **argv)
{
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;

    callbacks.client_open = client_open;
    callbacks.client_step = client_step;
    callbacks.client_close = client_close;
    return echo_main("echo", &callbacks, argc, argv);
}
