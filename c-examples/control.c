/*
 * control.c - workers that always know the newest routing table.
 *
 * A client sends keys and gets "VERSION ADDRESS" for each. An operator sends
 * "route KEY ADDRESS": the controller saves the next version, sends it to all
 * workers, and says "ok" when they have it; new ones get it before their gate
 * opens. After that "ok" nobody is served with an older version.
 */
#define _GNU_SOURCE
#include "daemon.h"
#include "operator.h"
#include "routes.h"

static const char *table_file = "routes.txt";

/* ---- Worker -------------------------------------------------------------- */

/* One path, before the gate opens and after. What is refused changes nothing. */
static int32_t worker_message(dtm_t *rt, const void *data, size_t len, void *user_data)
{
    int32_t status = routes_take(data, len);

    (void)user_data;
    return status ? status : dtm_answer(rt, &routes.version, sizeof routes.version);
}

static int32_t client_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    struct lines *in = calloc(1, sizeof *in);

    (void)rt, (void)user_data;
    if (!in)
        return -ENOMEM;
    dtm_client_set_data(client, in);
    return DTM_READ;
}

/* Replies are short: a client that does not read them is cut off. */
static int32_t reply(int fd, const char *key)
{
    const char *address = "-";
    size_t found = routes_find(key, &address);
    char text[ROUTE_MAX + 32];
    int len = snprintf(text, sizeof text, "%" PRIu64 " %.*s\n", routes.version,
                       found ? (int)found : 1, address);

    return send(fd, text, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -EPIPE;
}

static int32_t client_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    struct lines *in = dtm_client_data(client);
    int fd = dtm_client_fd(client);
    int32_t status = lines_read(in, fd);
    char *key;

    (void)rt, (void)events, (void)user_data;
    if (status <= 0)
        return status < 0 ? status : DTM_DONE;
    while ((key = lines_next(in)))
        if (reply(fd, key) != 0)
            return -EPIPE;
    dtm_client_set_busy(client, in->begin < in->end); /* half a request: let it come */
    return DTM_READ;
}

static void client_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)reason, (void)user_data;
    free(dtm_client_data(client));
}

/* ---- Controller ----------------------------------------------------------- */

static struct {
    uint64_t spawn, version; /* who was sent the table, and what it answered that it has */
} told[OPERATOR_WORKERS];    /* by slot */

static struct op *pushing; /* waits until every worker has the new version */

/* A controller that replaces a dead one goes on with what that one saved. */
static int32_t controller_init(dtm_t *rt, void *user_data)
{
    (void)rt, (void)user_data;
    return routes_load(table_file);
}

static int32_t update_new_worker(dtm_t *rt, const dtm_worker_t *worker, void *user_data)
{
    (void)user_data;
    told[worker->slot].spawn = worker->spawn;
    told[worker->slot].version = 0;
    return dtm_send(rt, worker->spawn, routes.text, routes.len);
}

static void worker_answer(dtm_t *rt, const dtm_worker_t *worker, int32_t status,
                          const void *data, size_t len, void *user_data)
{
    (void)user_data;
    if (status != 0)
        dtm_log(rt, DTM_LOG_WARN, "a worker refused its routing table");
    else if (len == sizeof(uint64_t) && worker->state != DTM_WORKER_DEAD) {
        told[worker->slot].spawn = worker->spawn;
        memcpy(&told[worker->slot].version, data, len);
    }
}

/* May this worker serve with an older version? */
static int lags(const dtm_worker_t *worker)
{
    if (worker->state == DTM_WORKER_DEAD || worker->state == DTM_WORKER_FAILED)
        return 0;
    if (told[worker->slot].spawn == worker->spawn)
        return told[worker->slot].version < routes.version;
    return worker->state > DTM_WORKER_READY; /* if not, its update is still to come */
}

static void controller_pass(dtm_t *rt, void *user_data)
{
    static dtm_worker_t workers[OPERATOR_WORKERS];
    uint32_t count = 0;
    char text[64];

    (void)user_data;
    if (!pushing)
        return;
    dtm_workers(rt, workers, sizeof workers[0], OPERATOR_WORKERS, &count);
    while (count > 0)
        if (lags(&workers[--count]))
            return;
    snprintf(text, sizeof text, "version %" PRIu64 " is in force", routes.version);
    operator_finish(pushing, DTM_OK, text);
    pushing = NULL;
}

static int operator_route(dtm_t *rt, struct op *op, char *line)
{
    char key[201], address[201];
    int32_t sent;

    if (sscanf(line, "route %200s %200s", key, address) != 2)
        return 0;
    op->waiting++;
    if (pushing)
        operator_finish(op, -EBUSY, "another version is on its way");
    else if (routes_set(key, address, table_file) != 0)
        operator_finish(op, -EIO, "the new table cannot be saved");
    else if ((sent = dtm_send_all(rt, 0, routes.text, routes.len, NULL)) && sent != DTM_EGONE)
        operator_finish(op, sent, "not every worker can be reached");
    else
        pushing = op; /* see controller_pass() */
    return 1;
}

/* ---- main ------------------------------------------------------------------ */

static const char help[] =
    "control - answers KEY with VERSION ADDRESS, from a table that operators change\n"
    "  --listen ADDR   127.0.0.1:7000, [::1]:7000, *:7000, unix:/path (127.0.0.1:7000)\n"
    "  --workers N     number of workers (one per CPU)\n"
    "  --control PATH  Unix socket for operators: route KEY ADDRESS, status, ... (control.sock)\n"
    "  --table FILE    where the table is kept (routes.txt)\n" DAEMON_HELP;

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    struct daemon daemon = {NULL, 0, 0};
    dtm_result_t result;
    const char *control = "control.sock";
    const struct option options[] = {
        {"--listen", &listen.address, NULL, NULL},
        {"--workers", NULL, &config.workers, NULL},
        {"--control", &control, NULL, NULL},
        {"--table", &table_file, NULL, NULL},
        DAEMON_OPTIONS(daemon, config),
        {NULL, NULL, NULL, NULL},
    };
    dtm_t *rt = NULL;
    int failed;

    config.name = "control";
    listen.address = "127.0.0.1:7000";
    options_parse(argc, argv, options, help);
    callbacks.worker_message = worker_message;
    callbacks.client_open = client_open;
    callbacks.client_step = client_step;
    callbacks.client_close = client_close;
    callbacks.controller_init = controller_init;
    callbacks.controller_pass = controller_pass;
    callbacks.update_new_worker = update_new_worker;
    callbacks.worker_answer = worker_answer;
    operator_callbacks(&callbacks, operator_route);

    failed = daemon_new(&daemon, &config, &callbacks, NULL, &rt) != DTM_OK ||
             daemon_failed(&daemon, dtm_listen(rt, &listen)) ||
             daemon_failed(&daemon, operator_listen(rt, control)) ||
             daemon_run(&daemon, config.name, rt, &result) != DTM_OK;
    if (failed)
        fprintf(stderr, "control: %s\n", dtm_last_error());
    dtm_free(rt);
    return failed;
}
