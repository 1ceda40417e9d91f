/*
 * dtm.c - the same server on libdtm. Usage: dtm PORT CONFIG_FILE
 *
 * Prints a line for each life event, with its time: the bench waits for workers
 * to open, for the end of reloads, and counts forks.
 */
#define _GNU_SOURCE
#include "work.h"

#include <dtm.h>

#include <inttypes.h>
#include <stdint.h>

static void event(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    struct timespec time;
    char line[128];
    int len;

    (void)rt, (void)user_data;
    clock_gettime(CLOCK_MONOTONIC, &time);
    len = snprintf(line, sizeof line, "%lld.%09ld %u %u %u %u %d %d\n", (long long)time.tv_sec,
                   time.tv_nsec, event->kind, event->role, event->slot, event->generation,
                   event->pid, event->status);
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        dtm_log(rt, DTM_LOG_WARN, "a line about an event was lost");
}

static int32_t worker_init(dtm_t *rt, void *user_data)
{
    (void)rt, (void)user_data;
    work_init();
    return 0;
}

static int32_t client_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct conn *conn = work_open();

    (void)rt, (void)user_data;
    if (!conn)
        return -ENOMEM;
    dtm_client_set_data(client, conn);
    return DTM_READ;
}

static int32_t client_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    struct conn *conn = dtm_client_data(client);
    int next;

    (void)rt, (void)user_data;
    if (events == DTM_DRAIN) /* its request is still to come, or its answer to go out */
        return DTM_KEEP;
    next = work_step(conn, dtm_client_fd(client));
    if (next == WORK_DONE)
        return DTM_DONE;
    /* An idle client of a worker that drains need not be waited for. */
    dtm_client_set_busy(client, next == WORK_WRITE || conn->used > 0);
    return next == WORK_READ ? DTM_READ : DTM_WRITE;
}

static void client_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)reason, (void)user_data;
    free(dtm_client_data(client));
}

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    char address[32];
    dtm_t *rt = NULL;
    int failed;

    if (argc != 3) {
        fprintf(stderr, "usage: %s PORT CONFIG_FILE\n", argv[0]);
        return 2;
    }
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    config.config_file = argv[2];
    listen.address = address;
    listen.backlog = WORK_BACKLOG;
    callbacks.event = event;
    callbacks.worker_init = worker_init;
    callbacks.client_open = client_open;
    callbacks.client_step = client_step;
    callbacks.client_close = client_close;
    failed = dtm_new(&config, &callbacks, NULL, &rt) != DTM_OK || dtm_listen(rt, &listen) < 0 ||
             dtm_run(rt, NULL, 0) != DTM_OK;
    if (failed)
        fprintf(stderr, "%s\n", dtm_last_error());
    dtm_free(rt);
    return failed;
}
