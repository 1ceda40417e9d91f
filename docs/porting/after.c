/*
 * after.c PORT - the echo service of before.c with libdtm.
 */
#define _GNU_SOURCE
#include <dtm.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- One client -------------------------------------------------------- */

struct conn {
    size_t used, sent; /* buf[sent..used] still has to go out */
    char buf[4096];
};

static int32_t conn_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct conn *c = calloc(1, sizeof *c);

    (void)rt, (void)user_data;
    if (!c)
        return -ENOMEM;
    dtm_client_set_data(client, c);
    return DTM_READ;
}

/* What to wait for next; DTM_DONE: the end. */
static int32_t step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    struct conn *c = dtm_client_data(client);
    int fd = dtm_client_fd(client);
    ssize_t n;

    (void)rt, (void)events, (void)user_data;
    if (c->sent == c->used) {
        n = recv(fd, c->buf, sizeof c->buf, 0);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR) ? DTM_READ : DTM_DONE;
        c->used = (size_t)n;
        c->sent = 0;
    }
    n = send(fd, c->buf + c->sent, c->used - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return DTM_DONE;
    c->sent += n > 0 ? (size_t)n : 0;
    dtm_client_set_busy(client, c->sent < c->used); /* new: what a drain must wait for */
    return c->sent < c->used ? DTM_WRITE : DTM_READ;
}

static void conn_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)reason, (void)user_data;
    free(dtm_client_data(client));
}

/* ---- main -------------------------------------------------------------- */

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    char address[64];
    dtm_t *rt;

    config.workers = 4;
    callbacks.client_open = conn_open;
    callbacks.client_step = step;
    callbacks.client_close = conn_close;
    snprintf(address, sizeof address, "127.0.0.1:%s", argc > 1 ? argv[1] : "7000");
    listen.address = address;
    if (dtm_new(&config, &callbacks, NULL, &rt) != DTM_OK || dtm_listen(rt, &listen) < 0) {
        fprintf(stderr, "after: %s\n", dtm_last_error());
        return 1;
    }
    printf("port %d\n", (int)dtm_listen_port(rt, 0));
    fflush(stdout);
    if (dtm_run(rt, NULL, 0) != DTM_OK) {
        fprintf(stderr, "after: %s\n", dtm_last_error());
        return 1;
    }
    dtm_free(rt);
    return 0;
}
