/*
 * operator.h - the examples' controller: one operator per connection, one
 * command per line, one closing line "ok ..." or "error ..." per command.
 *
 * Included once per example; a service has its own here, or none at all: a
 * control listener without callbacks speaks libdtm's ready-made console.
 */
#ifndef OPERATOR_H
#define OPERATOR_H

#include "lines.h"

#include <dtm.h>

#include <stdio.h>
#include <stdlib.h>

#define OPERATOR_WORKERS 1024 /* the largest process table */

struct op {
    dtm_client_t *client; /* NULL when the operator has hung up */
    int waiting;          /* commands that are not answered yet */
    struct lines in;
};

/* The service's own commands, or NULL; returns 0 for a line that is none of them. */
typedef int (*operator_more_cb)(dtm_t *rt, struct op *op, char *line);
static operator_more_cb operator_more;

static const struct {
    const char *name;
    uint32_t kind;
} operator_commands[] = {
    {"reload", DTM_CMD_RELOAD},     {"loadconf", DTM_CMD_LOADCONF},
    {"stop", DTM_CMD_STOP},         {"start", DTM_CMD_START},
    {"scale", DTM_CMD_SCALE},       {"nofork", DTM_CMD_NOFORK},
    {"fork", DTM_CMD_FORK},         {"shutdown now", DTM_CMD_SHUTDOWN_NOW},
    {"shutdown", DTM_CMD_SHUTDOWN},
};

/* Answers fit the socket's buffer: an operator who never reads them is cut off. */
static void operator_answer(struct op *op, const char *text)
{
    size_t len = strlen(text);

    if (send(dtm_client_fd(op->client), text, len, MSG_NOSIGNAL) != (ssize_t)len)
        dtm_client_close(op->client);
}

/* The end of a command that took its time. The operator may have left meanwhile. */
static void operator_finish(struct op *op, int32_t status, const char *detail)
{
    char text[512];

    op->waiting--;
    if (op->client) {
        snprintf(text, sizeof text, "%s %s\n", status == DTM_OK ? "ok" : "error", detail);
        dtm_client_wake(op->client); /* this may be all it waited for, see operator_step() */
        operator_answer(op, text);   /* last: it may close the client, and with it op */
    } else if (op->waiting == 0) {
        free(op);
    }
}

static void operator_done(dtm_t *rt, uint64_t id, int32_t status, const char *detail,
                          void *data)
{
    (void)rt, (void)id;
    operator_finish(data, status, detail);
}

static void operator_status(dtm_t *rt, struct op *op)
{
    static const char *const state[] = {"unknown", "starting", "ready", "updated",
                                        "open",    "draining", "dead",  "failed"};
    static dtm_worker_t workers[OPERATOR_WORKERS];
    static char text[OPERATOR_WORKERS * 64];
    uint32_t count = 0, i;
    size_t len = 0;

    dtm_workers(rt, workers, sizeof workers[0], OPERATOR_WORKERS, &count);
    for (i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%u %d %u %s %u\n",
                                workers[i].slot, (int)workers[i].pid, workers[i].generation,
                                state[workers[i].state % 8], workers[i].clients);
    snprintf(text + len, sizeof text - len,
             "ok %u workers: slot pid generation state clients\n", count);
    operator_answer(op, text);
}

static void operator_command(dtm_t *rt, struct op *op, char *line)
{
    dtm_command_t cmd = DTM_COMMAND_INIT;
    size_t i, len;
    char *end;

    if (strcmp(line, "status") == 0) {
        operator_status(rt, op);
        return;
    }
    if (operator_more && operator_more(rt, op, line))
        return;
    for (i = 0; i < sizeof operator_commands / sizeof operator_commands[0]; i++) {
        len = strlen(operator_commands[i].name);
        if (strncmp(line, operator_commands[i].name, len) != 0)
            continue;
        cmd.kind = operator_commands[i].kind;
        cmd.arg = strtoul(line + len, &end, 10);
        if (*end != '\0' || (line[len] != '\0' && line[len] != ' '))
            continue;
        op->waiting++;
        if (dtm_command(rt, &cmd, operator_done, op, NULL) != DTM_OK)
            operator_finish(op, DTM_EFAILED, dtm_last_error());
        return;
    }
    operator_answer(op,
                    "error unknown command; there are: status, reload, loadconf, stop, start, "
                    "scale N, nofork MS, fork, shutdown, shutdown now\n");
}

static int32_t operator_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct op *op = calloc(1, sizeof *op);

    (void)rt, (void)user_data;
    if (!op)
        return -ENOMEM;
    op->client = client;
    dtm_client_set_data(client, op);
    return DTM_READ;
}

static int32_t operator_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    struct op *op = dtm_client_data(client);
    int32_t status = lines_read(&op->in, dtm_client_fd(client));
    char *line;

    (void)user_data;
    if (status < 0)
        return status;
    while ((line = lines_next(&op->in)))
        operator_command(rt, op, line);
    dtm_client_set_busy(client, op->waiting > 0);
    if (status > 0)
        return DTM_READ;
    /* "echo reload | nc": it sends no more, but waits for the answer. */
    return op->waiting > 0 && !(events & DTM_HUP) ? DTM_WAIT : DTM_DONE;
}

static void operator_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    struct op *op = dtm_client_data(client);

    (void)rt, (void)reason, (void)user_data;
    if (op && op->waiting > 0)
        op->client = NULL; /* operator_finish() frees it */
    else
        free(op);
}

/* Give the controller its callbacks and, after dtm_new(), its listener. */
static void operator_callbacks(dtm_callbacks_t *callbacks, operator_more_cb more)
{
    operator_more = more;
    callbacks->control_open = operator_open;
    callbacks->control_step = operator_step;
    callbacks->control_close = operator_close;
}

static int32_t operator_listen(dtm_t *rt, const char *path)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;
    char address[128];

    snprintf(address, sizeof address, "unix:%s", path);
    listen.address = address;
    return dtm_listen_control(rt, &listen);
}

#endif
