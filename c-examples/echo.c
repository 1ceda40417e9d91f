/*
 * echo.c - the reference service: every byte that a client sends comes back.
 *
 * The client's state machine is all that a service must have. main() puts it
 * together with listeners and with the operators' protocol of operator.h.
 */
#define _GNU_SOURCE
#include "operator.h"
#include "options.h"

#include <dtm.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- Worker: one client ------------------------------------------------ */

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

/* ---- main --------------------------------------------------------------- */

static void fail(dtm_t *rt, const char *what)
{
    fprintf(stderr, "echo: %s: %s\n", what, dtm_last_error());
    dtm_free(rt);
    exit(1);
}

/* "A,B": every address gets its own listener. */
static void listen_on(dtm_t *rt, const char *addresses)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;
    char address[128];
    int32_t index;

    while (*addresses) {
        size_t len = strcspn(addresses, ",");

        snprintf(address, sizeof address, "%.*s", (int)len, addresses);
        listen.address = address;
        index = dtm_listen(rt, &listen);
        if (index < 0)
            fail(rt, "--listen");
        printf("echo: listening on %s, port %d\n", address,
               (int)dtm_listen_port(rt, (uint32_t)index));
        addresses += len + (addresses[len] == ',');
    }
}

static const char help[] =
    "echo - sends every byte back\n"
    "  --listen ADDR[,ADDR...]  127.0.0.1:7000, [::1]:7000, *:7000, unix:/path (127.0.0.1:7000)\n"
    "  --workers N              number of workers (one per CPU)\n"
    "  --control PATH           Unix socket for operators: status, reload, scale N, shutdown, ...\n"
    "  --config FILE            file with a [dtm] section\n"
    "  --log TARGET             stderr, syslog, file:/path or off (stderr)\n"
    "Signals: TERM stop gracefully, INT stop at once, HUP reload.\n";

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_result_t result;
    dtm_t *rt = NULL;
    const char *addresses = "127.0.0.1:7000", *control = NULL;
    const struct option options[] = {
        {"--listen", &addresses, NULL, NULL},
        {"--workers", NULL, &config.workers, NULL},
        {"--control", &control, NULL, NULL},
        {"--config", &config.config_file, NULL, NULL},
        {"--log", &config.log_target, NULL, NULL},
        {NULL, NULL, NULL, NULL},
    };

    config.name = "echo";
    options_parse(argc, argv, options, help);
    callbacks.client_open = client_open;
    callbacks.client_step = client_step;
    callbacks.client_close = client_close;
    operator_callbacks(&callbacks, NULL);

    if (dtm_new(&config, &callbacks, NULL, &rt) != DTM_OK)
        fail(rt, "configuration");
    listen_on(rt, addresses);
    if (control && operator_listen(rt, control) < 0)
        fail(rt, "--control");
    fflush(stdout);

    if (dtm_run(rt, &result, sizeof result) != DTM_OK)
        fail(rt, "run");
    printf("echo: ended; %llu forks, %llu deaths, %llu reloads\n",
           (unsigned long long)result.forks, (unsigned long long)result.deaths,
           (unsigned long long)result.reloads);
    dtm_free(rt);
    return 0;
}
