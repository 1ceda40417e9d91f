/*
 * rollout.c - a value that all workers serve, changed by a durable action: first in one
 * worker, and only when that one is well in all; otherwise the old value comes back.
 *
 * "ACTIONS START rollout VALUE" on the console (redis-cli -s rollout.sock) starts it. A
 * client that says anything gets the value. Workers refuse what begins with "bad", and a
 * rollout of it ends as failed. Kill the controller or the whole service at any moment:
 * the rollout goes on where it stood.
 */
#define _GNU_SOURCE
#include "options.h"

#include <dtm.h>
#ifdef WITH_POSTGRES
#include "store_postgres.h"
#endif

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VALUE_MAX = 100, TAG_MAX = 80, WORKERS_MAX = 1024, WORD_MAX = 256 };
enum { CANARY, WATCH, SAVE, REST, PHASES };

static uint32_t watch_ms = 300;
static const dtm_str_t value_key = {"value", 5};

/* ---- Worker -------------------------------------------------------------- */

static char value[VALUE_MAX + 1] = "none";

/* "TAG VALUE", at the gate and later. What is refused changes nothing. The answer is the
 * tag: so who asked knows which question it answers. */
static int32_t worker_message(dtm_t *rt, const void *data, size_t len, void *user_data)
{
    const char *text = data, *space = memchr(data, ' ', len);
    size_t tag = space ? (size_t)(space - text) : 0;
    size_t rest = len - tag - 1;

    (void)user_data;
    if (!space || rest > VALUE_MAX || (rest >= 3 && memcmp(space + 1, "bad", 3) == 0))
        return DTM_EUSER;
    memcpy(value, space + 1, rest);
    value[rest] = 0;
    return tag ? dtm_answer(rt, text, tag) : 0;
}

static int32_t client_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    char line[VALUE_MAX + 2], in[WORD_MAX];
    int fd = dtm_client_fd(client), len = snprintf(line, sizeof line, "%s\n", value);

    (void)rt, (void)events, (void)user_data;
    if (read(fd, in, sizeof in) <= 0 || send(fd, line, (size_t)len, MSG_NOSIGNAL) != len)
        return DTM_DONE;
    dtm_client_set_busy(client, 0);
    return DTM_READ;
}

/* ---- Controller ----------------------------------------------------------- */

/* The step that waits for answers of workers. */
static struct {
    uint64_t id;
    char tag[TAG_MAX];
    int answers;
} asking;

/* A message without a tag asks for no answer. */
static int32_t send_value(dtm_t *rt, uint64_t spawn, const char *tag, dtm_str_t text)
{
    char line[TAG_MAX + VALUE_MAX + 1];
    int len = snprintf(line, sizeof line, "%s %.*s", tag, (int)text.len, text.ptr);

    return dtm_send(rt, spawn, line, (size_t)len);
}

/* What is in force: read from the database once, when this controller's first worker
 * needs it; from then on this controller is the one that changes it. */
static struct {
    enum { UNKNOWN, ASKED, KNOWN } state;
    size_t len;
    char text[VALUE_MAX];
} in_force;

static void set_in_force(dtm_str_t text)
{
    in_force.state = KNOWN;
    in_force.len = text.len < VALUE_MAX ? text.len : VALUE_MAX;
    if (in_force.len)
        memcpy(in_force.text, text.ptr, in_force.len);
}

static void found_in_force(dtm_t *rt, int32_t status, dtm_str_t text, void *data)
{
    (void)rt, (void)data;
    if (in_force.state == ASKED)
        in_force.state = UNKNOWN;
    if (in_force.state == UNKNOWN && (status == DTM_OK || status == -ENOENT))
        set_in_force(text);
}

/* A new worker gets what is in force. The database may not be open yet. */
static int32_t update_new_worker(dtm_t *rt, const dtm_worker_t *worker, void *user_data)
{
    (void)user_data;
    if (in_force.state == UNKNOWN &&
        dtm_store_get(rt, value_key, found_in_force, NULL) == DTM_OK)
        in_force.state = ASKED;
    if (in_force.state != KNOWN)
        return -EAGAIN;
    if (!in_force.len)
        return 0;
    return send_value(rt, worker->spawn, "", (dtm_str_t){in_force.text, in_force.len});
}

/* A refusal carries no tag: one of an update fails the rollout that is under way, which is
 * on the safe side. An answer to an earlier attempt, or to another action, is not ours. */
static void worker_answer(dtm_t *rt, const dtm_worker_t *worker, int32_t status,
                          const void *data, size_t len, void *user_data)
{
    (void)worker, (void)user_data;
    if (asking.answers == 0 ||
        (status == 0 && (len != strlen(asking.tag) || memcmp(data, asking.tag, len) != 0)))
        return;
    if (status != 0 || --asking.answers == 0) {
        asking.answers = 0;
        dtm_action_wake(rt, asking.id, status);
    }
}

/* Send to the first worker that serves, or to all that may have been brought up to date
 * before; the phase is called again when they have answered. */
static int32_t ask_workers(dtm_t *rt, const dtm_phase_t *phase, dtm_str_t text, int only_one)
{
    static dtm_worker_t workers[WORKERS_MAX];
    uint32_t count = 0, i, from = only_one ? DTM_WORKER_OPEN : DTM_WORKER_READY;

    asking.id = phase->id;
    asking.answers = 0;
    snprintf(asking.tag, sizeof asking.tag, "%.*s/%u", (int)phase->token.len, phase->token.ptr,
             phase->attempt);
    dtm_workers(rt, workers, sizeof workers[0], WORKERS_MAX, &count);
    for (i = 0; i < count && !(only_one && asking.answers); i++)
        if (workers[i].state >= from && workers[i].state <= DTM_WORKER_OPEN &&
            send_value(rt, workers[i].spawn, asking.tag, text) == DTM_OK)
            asking.answers++;
    if (asking.answers == 0)
        return -EAGAIN;
    dtm_action_wait(phase, DTM_WAIT_TIME, 5000); /* no answer: that attempt has failed */
    return DTM_ACTION_PENDING;
}

static int32_t verdict(int32_t status)
{
    if (status == -ETIMEDOUT)
        return status;
    return status == 0 ? DTM_ACTION_NEXT : DTM_ACTION_FAIL;
}

static int32_t rollout(dtm_t *rt, const dtm_phase_t *phase, void *data)
{
    (void)data;
    switch (phase->phase) {
    case CANARY:
        if (phase->args.len == 0 || phase->args.len > VALUE_MAX)
            return DTM_ACTION_FAIL;
        if (!phase->resumed)
            return ask_workers(rt, phase, phase->args, 1);
        dtm_action_wait(phase, DTM_WAIT_TIME, watch_ms);
        return verdict(phase->status);
    case WATCH: /* has it died of it? Then its replacement has to come back */
        dtm_action_wait(phase, DTM_WAIT_UPDATED, 5000);
        return DTM_ACTION_NEXT;
    case SAVE: /* from here on new workers get the new value, exactly when this commits */
        return phase->timed_out ? DTM_ACTION_FAIL
                                : dtm_txn_put(phase->txn, value_key, phase->args);
    default:
        if (phase->resumed)
            return verdict(phase->status);
        set_in_force(phase->args);
        return ask_workers(rt, phase, phase->args, 0);
    }
}

/* The canary has not taken it: it gets back what is in force. */
static int32_t give_back(dtm_t *rt, const dtm_phase_t *phase, void *data)
{
    static dtm_worker_t workers[WORKERS_MAX];
    char text[VALUE_MAX] = "none";
    size_t len = 4;
    int32_t status = dtm_txn_fetch(phase->txn, value_key);
    uint32_t count = 0, i;

    (void)data;
    if (status == -EAGAIN) /* called again when it has been read */
        return DTM_ACTION_PENDING;
    if (status == DTM_OK)
        status = dtm_txn_get(phase->txn, value_key, text, sizeof text, &len);
    if (status != DTM_OK && status != -ENOENT)
        return status;
    dtm_workers(rt, workers, sizeof workers[0], WORKERS_MAX, &count);
    for (i = 0; i < count; i++) /* one that is gone comes back up to date */
        if (workers[i].state >= DTM_WORKER_READY && workers[i].state <= DTM_WORKER_OPEN)
            send_value(rt, workers[i].spawn, "", (dtm_str_t){text, len});
    return DTM_ACTION_NEXT;
}

/* ---- main ------------------------------------------------------------------ */

static const char help[] =
    "rollout - serves a value that a durable action changes in all workers\n"
    "  --listen ADDR   127.0.0.1:7000, [::1]:7000, *:7000, unix:/path (127.0.0.1:7000)\n"
    "  --workers N     number of workers (one per CPU)\n"
    "  --control ADDR  console for redis-cli (unix:rollout.sock)\n"
    "  --store URI     sqlite:/absolute/path, or etcd://host:port for a fleet\n"
    "  --watch MS      how long the canary is watched (300)\n"
    "  --config FILE   more of libdtm's settings, in a section [dtm]\n";

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_listen_t listen = DTM_LISTEN_INIT, control = DTM_LISTEN_INIT;
    dtm_action_t action = DTM_ACTION_INIT;
    const struct option options[] = {
        {"--listen", &listen.address, NULL, NULL},
        {"--workers", NULL, &config.workers, NULL},
        {"--control", &control.address, NULL, NULL},
        {"--store", &config.store, NULL, NULL},
        {"--watch", NULL, &watch_ms, NULL},
        {"--config", &config.config_file, NULL, NULL},
        {NULL, NULL, NULL, NULL},
    };
    dtm_t *rt = NULL;
    int failed;

    config.name = "rollout";
    listen.address = "127.0.0.1:7000";
    control.address = "unix:rollout.sock";
    options_parse(argc, argv, options, help);
    callbacks.worker_message = worker_message;
    callbacks.client_step = client_step;
    callbacks.update_new_worker = update_new_worker;
    callbacks.worker_answer = worker_answer;
    action.name = "rollout";
    action.phases = PHASES;
    action.action = rollout;
    action.failed = give_back;

    failed = dtm_new(&config, &callbacks, NULL, &rt) != DTM_OK || dtm_listen(rt, &listen) < 0 ||
             dtm_listen_control(rt, &control) < 0 ||
#ifdef WITH_POSTGRES
             store_postgres_register(rt) != DTM_OK ||
#endif
             dtm_action_register(rt, &action) != DTM_OK || dtm_run(rt, NULL, 0) != DTM_OK;
    if (failed)
        fprintf(stderr, "rollout: %s\n", dtm_last_error());
    dtm_free(rt);
    return failed;
}
