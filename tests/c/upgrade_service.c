/*
 * The service that t_upgrade replaces while it runs: a program of its own, compiled in
 * several versions. `upgrade_service DIRECTORY PORT [MODE [WORKERS]]`: listens there and at
 * DIRECTORY/socket, with a console at DIRECTORY/control, metrics at DIRECTORY/metrics, a
 * pid file and a log.
 *
 * One line per request: `who`, `done`, `busy`, `hits`; `loop` is answered by nobody. Trouble
 * is asked for by a file DIRECTORY/trouble with `init`, `hang`, `update`, `late` or `later` in
 * it, a short drain by a file DIRECTORY/drain with its milliseconds, `orphan = drain` by a file
 * DIRECTORY/orphan, a store for the actions
 * `walk` and `doze` by a file DIRECTORY/store with its URI.
 */
#define _DEFAULT_SOURCE
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WALK = 200 }; /* phases: a second or more */

static const char *directory;
static uint32_t hits;

static const char *in_directory(const char *name)
{
    static char path[16][200];
    static int next;
    char *to = path[next++ % 16];
    snprintf(to, sizeof path[0], "%s/%s", directory, name);
    return to;
}

static bool trouble(const char *what)
{
    char text[32] = "";
    FILE *file = fopen(in_directory("trouble"), "re");
    if (!file)
        return false;
    bool is = fgets(text, sizeof text, file) && !strcmp(text, what);
    fclose(file);
    return is;
}

/* What DIRECTORY/drain says; 0: as by default. */
static uint32_t drain_ms(void)
{
    char text[32] = "";
    FILE *file = fopen(in_directory("drain"), "re");
    if (!file)
        return 0;
    bool is = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    return is ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

/* The address in DIRECTORY/extra, as long as it is there. */
static int32_t on_config(dtm_t *rt, const char *path, void *user_data)
{
    static int32_t extra = -1;
    char address[220] = "";
    dtm_self_t self;
    (void)path, (void)user_data;
    dtm_self(rt, &self, sizeof self);
    if (self.role != DTM_ROLE_MASTER)
        return 0;
    FILE *file = fopen(in_directory("extra"), "re");
    if (file) {
        dtm_listen_t listen = DTM_LISTEN_INIT;
        bool is = fgets(address, sizeof address, file) != NULL;
        fclose(file);
        listen.address = address;
        extra = is ? dtm_listen(rt, &listen) : -EIO;
        return extra < 0 ? extra : 0;
    }
    int32_t code = extra < 0 ? 0 : dtm_unlisten(rt, (uint32_t)extra);
    extra = -1;
    return code;
}

static int32_t on_init(dtm_t *rt, void *user_data)
{
    (void)user_data;
    if (trouble("init")) {
        dtm_log(rt, DTM_LOG_ERROR, "there is no database");
        return -EIO;
    }
    while (trouble("hang"))
        usleep(5000);
    return 0;
}

static int32_t on_health(dtm_t *rt, void *user_data)
{
    (void)rt, (void)user_data;
    return trouble("update") ? -EIO : 0;
}

static int32_t on_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    (void)rt, (void)user_data;
    dtm_client_set_data(client, calloc(1, sizeof(struct lines)));
    return DTM_READ;
}

static int32_t on_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)events, (void)user_data;
    struct lines *lines = dtm_client_data(client);
    int fd = dtm_client_fd(client);
    enum input input = read_lines(fd, lines);
    for (char *line; (line = next_line(lines));) {
        char reply[128] = "ok";
        dtm_self_t self;
        dtm_self(rt, &self, sizeof self);
        if (!strcmp(line, "who")) {
            dtm_counter_add(rt, hits, 1);
            snprintf(reply, sizeof reply, "%d %u %u %llu %d", self.pid, self.slot,
                     self.generation, (unsigned long long)self.spawn, VERSION);
        } else if (!strcmp(line, "hits")) {
            uint64_t value = 0;
            dtm_counter_get(rt, hits, DTM_OFF, &value);
            snprintf(reply, sizeof reply, "%llu", (unsigned long long)value);
        } else if (!strcmp(line, "done")) {
            return DTM_DONE;
        } else if (!strcmp(line, "loop")) {
            for (;;) /* no signal helps */
                pause();
        }
        if (!put_line(fd, reply))
            return DTM_DONE;
        dtm_client_set_busy(client, !strcmp(line, "busy"));
    }
    return input == INPUT_MORE ? DTM_READ : DTM_DONE;
}

static void on_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)reason, (void)user_data;
    free(dtm_client_data(client));
}

/* Many short phases. What they do outside of the store is a line each, in DIRECTORY/walked.
 * With data: the first attempt begins in the background, for three seconds. */
static int32_t on_walk(dtm_t *rt, const dtm_phase_t *phase, void *data)
{
    char line[64];
    (void)rt;
    if (data && phase->step == 0 && phase->attempt == 1 && !phase->resumed) {
        dtm_action_wait(phase, DTM_WAIT_TIME, 3000);
        return DTM_ACTION_PENDING;
    }
    FILE *walked = fopen(in_directory("walked"), "ae");
    if (!walked)
        return -EIO;
    snprintf(line, sizeof line, "%u %u %d\n", phase->phase, phase->attempt, VERSION);
    fputs(line, walked);
    fclose(walked);
    usleep(3000);
    return DTM_ACTION_NEXT;
}

static int must(int code)
{
    if (code < 0) {
        fprintf(stderr, "version %d: %s\n", VERSION, dtm_last_error());
        exit(2);
    }
    return code;
}

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    dtm_result_t result = {.size = sizeof result};
    dtm_t *rt = NULL;
    char address[220], log[220], metrics[220], store[220] = "";
    if (argc < 3)
        return 2;
    directory = argv[1];
    snprintf(log, sizeof log, "file:%s", in_directory("log"));
    snprintf(metrics, sizeof metrics, "unix:%s", in_directory("metrics"));
    config.name = "upgraded";
    config.metrics_listen = metrics;
    config.workers = argc > 4 ? (uint32_t)atoi(argv[4]) : 3;
    config.max_processes = 64;
    config.accept_mode = argc > 3 ? (uint32_t)atoi(argv[3]) : DTM_ACCEPT_AUTO;
    config.log_target = log;
    config.log_level = DTM_LOG_DEBUG;
    config.pid_file = in_directory("pid");
    if (trouble("winch"))
        config.signals = DTM_SIGNALS_DTM_UPGRADE;
    config.drain_timeout_ms = drain_ms();
    if (access(in_directory("orphan"), F_OK) == 0)
        config.orphan = DTM_ORPHAN_DRAIN;
    config.upgrade_timeout_ms = trouble("late") ? 1000 : trouble("later") ? 4000 : 20000;
    FILE *uri = fopen(in_directory("store"), "re");
    if (uri) {
        if (fgets(store, sizeof store, uri))
            config.store = store;
        fclose(uri);
    }
    callbacks.config_load = on_config;
    callbacks.worker_init = on_init;
    callbacks.worker_health = on_health;
    callbacks.client_open = on_open;
    callbacks.client_step = on_step;
    callbacks.client_close = on_close;
    must(dtm_new(&config, &callbacks, NULL, &rt));
    hits = (uint32_t)must(dtm_counter_register(rt, "hits"));
    if (config.store) {
        dtm_action_t walk = DTM_ACTION_INIT;
        walk.name = "walk";
        walk.phases = WALK;
        walk.action = on_walk;
        must(dtm_action_register(rt, &walk));
        walk.name = "doze";
        walk.phases = 2;
        walk.data = &hits;
        must(dtm_action_register(rt, &walk));
    }
    listen.address = address;
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[2]);
    must(dtm_listen(rt, &listen));
    snprintf(address, sizeof address, "unix:%s", in_directory("socket"));
    must(dtm_listen(rt, &listen));
    snprintf(address, sizeof address, "unix:%s", in_directory("control"));
    must(dtm_listen_control(rt, &listen));
    int code = dtm_run(rt, &result, sizeof result);
    if (code < 0)
        fprintf(stderr, "version %d: %s\n", VERSION, dtm_last_error());
    dtm_free(rt);
    /* For the test: what became of it. */
    char line[200];
    FILE *ends = fopen(in_directory("ends"), "ae");
    snprintf(line, sizeof line, "%d %d %u %llu %llu %llu\n", VERSION, code, result.reason,
             (unsigned long long)result.forks, (unsigned long long)result.reloads,
             (unsigned long long)result.deaths);
    if (ends) {
        fputs(line, ends);
        fclose(ends);
    }
    return code < 0;
}
