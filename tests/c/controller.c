#include "worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A control client and the answers that it waits for; each may end first. */
struct request {
    struct lines lines;
    dtm_client_t *client;
    int waiting;
};

static const struct {
    const char *name;
    uint32_t kind;
} commands[] = {
    {"loadconf", DTM_CMD_LOADCONF}, {"reload", DTM_CMD_RELOAD},
    {"start", DTM_CMD_START},       {"stop", DTM_CMD_STOP},
    {"scale", DTM_CMD_SCALE},       {"nofork", DTM_CMD_NOFORK},
    {"fork", DTM_CMD_FORK},         {"upgrade", DTM_CMD_UPGRADE},
    {"shutdown", DTM_CMD_SHUTDOWN}, {"now", DTM_CMD_SHUTDOWN_NOW},
    {"reopen", DTM_CMD_REOPEN_LOG}, {"recycle", DTM_CMD_RECYCLE},
    {"mode", DTM_CMD_ACCEPT_MODE},  {"tokens", DTM_CMD_ACCEPT_TOKENS},
    {"reset", DTM_CMD_RESET},
};

static void reply(struct request *request, int32_t status, const char *detail)
{
    char text[512];
    snprintf(text, sizeof text, "%d %s", status, detail ? detail : "");
    if (request->client)
        put_line(dtm_client_fd(request->client), text);
}

static void release(struct request *request)
{
    if (!request->client && !request->waiting)
        free(request);
}

/* The answer that it waited for. */
static void answered(struct request *request, int32_t status, const char *detail)
{
    request->waiting--;
    reply(request, status, detail);
    if (request->client)
        CHECK_EQ(dtm_client_set_busy(request->client, request->waiting > 0), DTM_OK);
    release(request);
}

static void on_done(dtm_t *rt, uint64_t id, int32_t status, const char *detail, void *data)
{
    (void)rt, (void)id;
    answered(data, status, detail);
}

static void on_begun(dtm_t *rt, uint64_t id, int32_t status, const char *detail, void *data)
{
    (void)rt;
    answered(data, status == DTM_OK ? (int32_t)id : status, detail);
}

static void on_history(dtm_t *rt, uint64_t id, int32_t status, const char *detail, void *data)
{
    (void)rt, (void)id;
    snprintf(shared->history, sizeof shared->history, "%s", detail);
    answered(data, status == DTM_OK ? (int32_t)strlen(detail) : status, "");
}

/* It is answered later, if it was taken. */
static void awaits(struct request *request, int32_t code)
{
    if (code == DTM_OK)
        request->waiting++;
    else
        reply(request, code, dtm_last_error());
}

static void list_workers(dtm_t *rt, struct request *request)
{
    dtm_worker_t workers[64];
    char text[1800];
    uint32_t count = 0;
    int32_t code = dtm_workers(rt, workers, sizeof workers[0], 64, &count);
    int len = snprintf(text, sizeof text, "%d", code);
    for (uint32_t i = 0; code == 0 && i < count && len < 1700; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, " %" PRIu64 ":%u:%u:%u:%d:%u",
                        workers[i].spawn, workers[i].slot, workers[i].generation,
                        workers[i].state, workers[i].pid, workers[i].clients);
    put_line(dtm_client_fd(request->client), text);
}

/* How the schedule stands at one listener, and each worker's share. */
static void tell_accept(dtm_t *rt, struct request *request, uint32_t listener)
{
    uint32_t room = sizeof shared->worker / sizeof shared->worker[0];
    int32_t code = dtm_accept_stats(rt, listener, &shared->accept, sizeof shared->accept);
    if (code == DTM_OK)
        code = dtm_workers(rt, shared->worker, sizeof shared->worker[0], room,
                           &shared->worker_count);
    reply(request, code, code == DTM_OK ? "" : dtm_last_error());
}

static void act(dtm_t *rt, struct request *request, const char *line)
{
    char name[16] = "", text[256] = "", args[256] = "";
    unsigned long long number = 0;
    int bytes = 0;
    sscanf(line, "%15s %llu", name, &number);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        dtm_command_t command = DTM_COMMAND_INIT;
        command.kind = commands[i].kind;
        command.arg = number;
        awaits(request, dtm_command(rt, &command, on_done, request, NULL));
        return;
    }
    if (sscanf(line, "send %llu %255[^\n]", &number, text) == 2) {
        reply(request, dtm_send(rt, number, text, strlen(text)), "");
    } else if (sscanf(line, "big %llu %d", &number, &bytes) == 2) {
        static char zeros[DTM_MESSAGE_MAX + 1];
        reply(request, dtm_send(rt, number, zeros, (size_t)bytes), "");
    } else if (sscanf(line, "all %llu %255[^\n]", &number, text) == 2) {
        uint32_t count = 0;
        int32_t code = dtm_send_all(rt, (uint32_t)number, text, strlen(text), &count);
        snprintf(text, sizeof text, "%u", count);
        reply(request, code, text);
    } else if (sscanf(line, "action %32s %200[^\n]", text, args) >= 1) {
        dtm_str_t words = {args, strlen(args)};
        awaits(request, dtm_action_start(rt, text, words, on_begun, request, NULL));
    } else if (sscanf(line, "verb %llu %d", &number, &bytes) == 2) {
        awaits(request, dtm_action_control(rt, number, (uint32_t)bytes, on_done, request));
    } else if (sscanf(line, "wake %llu %d", &number, &bytes) == 2) {
        reply(request, dtm_action_wake(rt, number, bytes), "");
    } else if (sscanf(line, "history %llu", &number) == 1) {
        awaits(request, dtm_action_history(rt, number, on_history, request));
    } else if (!strcmp(name, "store")) {
        int32_t code = dtm_store_status(rt);
        reply(request, code, code < 0 ? dtm_last_error() : "");
    } else if (!strcmp(name, "accept")) {
        tell_accept(rt, request, (uint32_t)number);
    } else if (!strcmp(name, "pid")) {
        reply(request, getpid(), "");
    } else if (!strcmp(name, "workers")) {
        list_workers(rt, request);
    } else {
        reply(request, -EINVAL, "what?");
    }
}

/* L10: never two controllers act at once. */
static void note_acting(void)
{
    uint64_t self = identity_of(getpid()),
             other = __atomic_exchange_n(&shared->acting, self, __ATOMIC_SEQ_CST);
    if (other && other != self && identity_of((pid_t)(uint32_t)other) == other)
        ADD(shared->wrong_calls, 1);
}

/* What becomes of the actions, in the memory that all share. */
static void note_actions(dtm_t *rt)
{
    static dtm_action_info_t infos[ACTIONS];
    uint32_t count = 0;
    if (!GET(shared->wants_actions))
        return;
    int32_t code = dtm_action_list(rt, infos, sizeof infos[0], ACTIONS, &count);
    CHECK(code == DTM_OK || code == -ENOSPC);
    for (uint32_t i = 0; i < count && i < ACTIONS; i++) {
        struct action *action = &shared->action[infos[i].id % ACTIONS];
        SET(action->phase, (int)infos[i].phase);
        SET(action->attempt, (int)infos[i].attempt);
        SET(action->step, (int)infos[i].step);
        SET(action->wait, (int)infos[i].wait);
        snprintf(action->text, sizeof action->text, "%s", infos[i].text);
        SET(action->state, (int)infos[i].state);
        SET(action->id, infos[i].id);
    }
    SET(shared->action_count, count);
}

static int32_t on_init(dtm_t *rt, void *user_data)
{
    (void)user_data;
    dtm_self_t self;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    CHECK_EQ(self.role, DTM_ROLE_CONTROLLER);
    ADD(shared->controller_inits, 1);
    return take(&shared->controller_init_fails) ? -EIO : 0;
}

static void on_exit_of_controller(dtm_t *rt, void *user_data)
{
    (void)rt, (void)user_data;
    ADD(shared->controller_exits, 1);
}

static void on_pass(dtm_t *rt, void *user_data)
{
    (void)user_data;
    dtm_worker_t workers[64];
    uint32_t count = 0;
    ADD(shared->passes, 1);
    note_acting();
    note_actions(rt);
    if (!GET(shared->chatter))
        return;
    CHECK_EQ(dtm_workers(rt, workers, sizeof workers[0], 64, &count), DTM_OK);
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "for %" PRIu64, workers[i].spawn);
        if (workers[i].pid)
            dtm_send(rt, workers[i].spawn, text, (size_t)len);
    }
}

static int32_t on_update(dtm_t *rt, const dtm_worker_t *worker, void *user_data)
{
    (void)user_data;
    char text[32];
    CHECK_EQ(worker->size, sizeof *worker);
    note_acting();
    SET(shared->update_spawn, worker->spawn);
    ADD(shared->updates, 1);
    if (take(&shared->update_agains))
        return -EAGAIN;
    if (take(&shared->update_fails))
        return -EIO;
    int len = snprintf(text, sizeof text, "version %d", GET(shared->version));
    int32_t code = dtm_send(rt, worker->spawn, text, (size_t)len);
    return code == DTM_EGONE ? 0 : code;
}

static void on_answer(dtm_t *rt, const dtm_worker_t *worker, int32_t status, const void *data,
                      size_t len, void *user_data)
{
    (void)rt, (void)user_data;
    CHECK(worker && worker->spawn);
    if (status == 0)
        snprintf(shared->answer, sizeof shared->answer, "%.*s", (int)len, (const char *)data);
    else
        CHECK_EQ(len, 0);
    ADD(*(status == 0 ? &shared->answers : &shared->refusals), 1);
}

static int32_t on_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    (void)rt, (void)user_data;
    struct request *request = calloc(1, sizeof *request);
    request->client = client;
    dtm_client_set_data(client, request);
    return DTM_READ;
}

static int32_t on_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)events, (void)user_data;
    struct request *request = dtm_client_data(client);
    enum input input = read_lines(dtm_client_fd(client), &request->lines);
    for (char *line; (line = next_line(&request->lines));)
        act(rt, request, line);
    CHECK_EQ(dtm_client_set_busy(client, request->waiting > 0), DTM_OK);
    return input == INPUT_MORE ? DTM_READ : DTM_DONE;
}

static void on_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)reason, (void)user_data;
    struct request *request = dtm_client_data(client);
    request->client = NULL;
    release(request);
}

void controller_callbacks(dtm_callbacks_t *callbacks)
{
    callbacks->controller_init = on_init;
    callbacks->controller_exit = on_exit_of_controller;
    callbacks->controller_pass = on_pass;
    callbacks->update_new_worker = on_update;
    callbacks->worker_answer = on_answer;
    callbacks->control_open = on_open;
    callbacks->control_step = on_step;
    callbacks->control_close = on_close;
}
