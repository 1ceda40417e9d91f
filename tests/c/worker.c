#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int32_t (*more_requests)(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                         size_t size);

/* This worker. */
static struct kid *me;
static bool served;

enum input read_lines(int fd, struct lines *lines)
{
    memmove(lines->text, lines->text + lines->taken, lines->len - lines->taken);
    lines->len -= lines->taken;
    lines->taken = 0;
    for (;;) {
        size_t room = sizeof lines->text - lines->len;
        if (room == 0)
            return INPUT_BROKEN;
        ssize_t n = recv(fd, lines->text + lines->len, room, MSG_DONTWAIT);
        if (n > 0)
            lines->len += (size_t)n;
        else if (n == 0)
            return INPUT_END;
        else if (errno == EAGAIN)
            return INPUT_MORE;
        else if (errno != EINTR)
            return INPUT_BROKEN;
    }
}

char *next_line(struct lines *lines)
{
    char *from = lines->text + lines->taken;
    char *end = memchr(from, '\n', lines->len - lines->taken);
    if (!end)
        return NULL;
    *end = 0;
    lines->taken += (size_t)(end - from) + 1;
    return from;
}

bool put_line(int fd, const char *line)
{
    char text[2048];
    int n = snprintf(text, sizeof text, "%s\n", line);
    return send(fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

static void pause_for_ever(void)
{
    for (;;)
        pause();
}

static int32_t on_init(dtm_t *rt, void *user_data)
{
    CHECK(user_data == shared);
    dtm_self_t self;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    CHECK_EQ(self.role, DTM_ROLE_WORKER);
    CHECK_EQ(self.pid, getpid());
    CHECK_EQ(self.master_pid, shared->host);
    me = kid_of(self.spawn);
    me->index = self.index;
    ADD(me->inits, 1);
    if (self.generation < shared->init_generation || self.index < shared->init_index ||
        (GET(shared->init_only) && self.index + 1 != GET(shared->init_only)))
        return 0;
    if (shared->init_trouble)
        dtm_log(rt, DTM_LOG_ERROR, "the init callback has trouble");
    switch (shared->init_trouble) {
    case FAIL: return -EIO;
    case ABORT: abort();
    case HANG: pause_for_ever(); break;
    case EXIT: exit(shared->exit_status);
    }
    return 0;
}

static void on_exit_of_worker(dtm_t *rt, void *user_data)
{
    (void)rt, (void)user_data;
    ADD(me->exits, 1);
}

static void on_drain(dtm_t *rt, void *user_data)
{
    (void)user_data;
    if (dtm_draining(rt) != 1)
        ADD(shared->wrong_calls, 1);
    ADD(me->drains, 1);
}

static void on_tick(dtm_t *rt, void *user_data)
{
    (void)rt, (void)user_data;
    ADD(me->ticks, 1);
}

static int32_t on_health(dtm_t *rt, void *user_data)
{
    (void)rt, (void)user_data;
    return take(&shared->health_fails) ? -EIO : 0;
}

static int32_t on_message(dtm_t *rt, const void *data, size_t len, void *user_data)
{
    (void)rt, (void)user_data;
    char text[64];
    unsigned long long spawn;
    snprintf(text, sizeof text, "%.*s", (int)(len < 63 ? len : 63), (const char *)data);
    if (take(&shared->message_refusals) || !strcmp(text, "refuse"))
        return -EPERM;
    sscanf(text, "version %d", &me->version);
    if (sscanf(text, "for %llu", &spawn) == 1 && spawn != me->spawn)
        ADD(shared->stale, 1);
    ADD(me->messages, 1);
    return 0;
}

static int32_t on_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    (void)rt, (void)user_data;
    ADD(shared->opened, 1);
    ADD(me->opened, 1);
    if (!served)
        SET(me->opened_with, me->version);
    served = true;
    CHECK(!dtm_client_data(client));
    CHECK_EQ(dtm_client_set_data(client, calloc(1, sizeof(struct lines))), DTM_OK);
    if (!GET(shared->open_busy))
        CHECK_EQ(dtm_client_set_busy(client, 0), DTM_OK);
    return GET(shared->open_says);
}

static int32_t answer(dtm_t *rt, dtm_client_t *client, const char *line)
{
    char reply[1024] = "ok";
    int32_t result = DTM_READ;
    bool busy = false;
    unsigned number = 0;
    dtm_self_t self;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);

    if (more_requests &&
        (result = more_requests(rt, client, line, reply, sizeof reply)) != NOT_MINE) {
        if (result == NO_REPLY)
            return DTM_KEEP;
    } else if (!strcmp(line, "who")) {
        snprintf(reply, sizeof reply, "%d %u %u %llu %d", self.pid, self.slot, self.generation,
                 (unsigned long long)self.spawn, me->version);
    } else if (!strncmp(line, "echo ", 5)) {
        snprintf(reply, sizeof reply, "%s", line + 5);
    } else if (!strcmp(line, "tag")) {
        snprintf(reply, sizeof reply, "%d %llu", dtm_client_listener(client),
                 (unsigned long long)dtm_client_tag(client));
    } else if (!strcmp(line, "peer")) {
        dtm_client_peer(client, reply, sizeof reply);
    } else if (!strcmp(line, "clients")) {
        snprintf(reply, sizeof reply, "%u", self.clients);
    } else if (!strcmp(line, "draining")) {
        snprintf(reply, sizeof reply, "%d", dtm_draining(rt));
    } else if (!strcmp(line, "busy")) {
        busy = true;
    } else if (!strcmp(line, "wait")) {
        dtm_client_set_busy(client, 1);
        return DTM_READ;
    } else if (!strcmp(line, "block")) {
        for (ADD(shared->blocked, 1); !GET(shared->unblock);)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    } else if (sscanf(line, "timeout %u", &number) == 1) {
        CHECK_EQ(dtm_client_set_timeout(client, number), DTM_OK);
    } else if (!strncmp(line, "answer ", 7)) {
        snprintf(reply, sizeof reply, "%d", dtm_answer(rt, line + 7, strlen(line + 7)));
    } else if (!strncmp(line, "log ", 4)) {
        snprintf(reply, sizeof reply, "%d", dtm_log(rt, DTM_LOG_WARN, line + 4));
    } else if (sscanf(line, "load %u", &number) == 1) {
        CHECK_EQ(dtm_set_load(rt, number), DTM_OK);
    } else if (!strcmp(line, "leave")) {
        snprintf(reply, sizeof reply, "%d", dtm_leave(rt));
    } else if (!strcmp(line, "done")) {
        result = DTM_DONE;
    } else if (!strcmp(line, "error")) {
        return -EIO;
    } else if (!strcmp(line, "close")) {
        put_line(dtm_client_fd(client), reply);
        CHECK_EQ(dtm_client_close(client), DTM_OK);
        return DTM_KEEP;
    } else if (!strcmp(line, "abort")) {
        abort();
    } else if (sscanf(line, "exit %u", &number) == 1) {
        exit((int)number);
    } else if (strcmp(line, "idle") != 0) {
        snprintf(reply, sizeof reply, "what is '%s'?", line);
    }
    if (result == NOT_MINE)
        result = DTM_READ;
    if (!put_line(dtm_client_fd(client), reply))
        return DTM_DONE;
    CHECK_EQ(dtm_client_set_busy(client, busy), DTM_OK);
    return result;
}

static int32_t go_on(dtm_t *rt, dtm_client_t *client, uint32_t events)
{
    struct lines *lines = dtm_client_data(client);
    if (events & DTM_HUP)
        ADD(shared->hups, 1);
    if (events & DTM_DRAIN) {
        ADD(shared->drains, 1);
        if (!(events & DTM_READ))
            return DTM_KEEP;
    }
    if (events & DTM_WRITE)
        put_line(dtm_client_fd(client), "hello");
    enum input input = read_lines(dtm_client_fd(client), lines);
    for (char *line; (line = next_line(lines));) {
        int32_t result = answer(rt, client, line);
        if (result != DTM_READ)
            return result;
    }
    return input == INPUT_MORE ? DTM_READ : DTM_DONE;
}

static int32_t on_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)user_data;
    int32_t result = go_on(rt, client, events);
    ADD(shared->steps, 1);
    return result;
}

static void on_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)user_data;
    struct lines *lines = dtm_client_data(client);
    CHECK(lines); /* a second close of the same client would find NULL */
    free(lines);
    dtm_client_set_data(client, NULL);
    CHECK(reason > 0 && reason < REASONS);
    ADD(shared->closed[reason], 1);
}

void worker_callbacks(dtm_callbacks_t *callbacks)
{
    callbacks->worker_init = on_init;
    callbacks->worker_exit = on_exit_of_worker;
    callbacks->worker_message = on_message;
    callbacks->worker_tick = on_tick;
    callbacks->worker_drain = on_drain;
    callbacks->worker_health = on_health;
    callbacks->client_open = on_open;
    callbacks->client_step = on_step;
    callbacks->client_close = on_close;
}
