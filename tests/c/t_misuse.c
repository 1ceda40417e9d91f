/*
 * Calls that a service must not make, and what it gets for them: I01 to I03 and I10 of the
 * fault list.
 */
#include "peer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t some_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)rt, (void)client, (void)events, (void)user_data;
    return DTM_DONE;
}

static int32_t try_new(const dtm_config_t *config, const dtm_callbacks_t *callbacks)
{
    dtm_t *rt = (dtm_t *)&rt, *before = rt;
    int32_t code = dtm_new(config, callbacks, NULL, &rt);
    if (code == DTM_OK)
        dtm_free(rt);
    else
        CHECK(rt == before && dtm_last_error()[0]); /* nothing was written but why */
    return code;
}

/* I01, I02: structs. */
static void bad_structs(void)
{
    struct {
        dtm_config_t config;
        char tail[64];
    } newer = {.config = DTM_CONFIG_INIT};
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT, none = DTM_CALLBACKS_INIT;
    dtm_t *rt = NULL;
    char room[sizeof config + 8];
    config.log_target = "off";
    callbacks.client_step = some_step;

    CHECK_EQ(try_new(NULL, &callbacks), DTM_EINVAL);
    CHECK_EQ(try_new(&config, NULL), DTM_EINVAL);
    CHECK_EQ(dtm_new(&config, &callbacks, NULL, NULL), DTM_EINVAL);
    CHECK_EQ(try_new(&config, &none), DTM_EINVAL);
    static const size_t sizes[] = {0, 1, 7, (size_t)1 << 30, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        config.size = sizes[i];
        CHECK_EQ(try_new(&config, &callbacks), DTM_EABI);
        config.size = sizeof config;
        callbacks.size = sizes[i];
        CHECK_EQ(try_new(&config, &callbacks), DTM_EABI);
        callbacks.size = sizeof callbacks;
    }
    memcpy(room + 1, &config, sizeof config);
    CHECK_EQ(try_new((const dtm_config_t *)(const void *)(room + 1), &callbacks), DTM_EABI);

    newer.config.log_target = "off";
    newer.config.size = sizeof newer;
    CHECK_EQ(try_new(&newer.config, &callbacks), DTM_OK);
    newer.tail[40] = 1; /* asks for what this library does not know */
    CHECK_EQ(try_new(&newer.config, &callbacks), DTM_ENOTSUP);

    config.flags = (uint64_t)1 << 60;
    CHECK(try_new(&config, &callbacks) < 0);
    config.flags = 0;
    config.workers = 100000;
    CHECK(try_new(&config, &callbacks) < 0);
    config.workers = 0;

    /* And with all of that refused, it works. */
    CHECK_EQ(dtm_new(&config, &callbacks, NULL, &rt), DTM_OK);
    dtm_listen_t listen = DTM_LISTEN_INIT;
    dtm_func_t func = DTM_FUNC_INIT;
    CHECK_EQ(dtm_listen(rt, NULL), DTM_EINVAL);
    CHECK_EQ(dtm_listen(rt, &listen), DTM_EINVAL);
    listen.size = 3;
    CHECK_EQ(dtm_listen(rt, &listen), DTM_EABI);
    CHECK_EQ(dtm_func_register(rt, NULL), DTM_EINVAL);
    CHECK_EQ(dtm_func_register(rt, &func), DTM_EINVAL);
    dtm_free(rt);
}

/* I10: twice, and the wrong handle. */
static void two_runtimes(void)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_t *rt = NULL, *second = NULL;
    dtm_self_t self;
    int rubbish[64] = {0};
    config.log_target = "off";
    callbacks.client_step = some_step;
    CHECK_EQ(dtm_run(NULL, NULL, 0), DTM_EINVAL);
    CHECK_EQ(dtm_run((dtm_t *)rubbish, NULL, 0), DTM_ESTATE);
    CHECK_EQ(dtm_new(&config, &callbacks, NULL, &rt), DTM_OK);
    CHECK_EQ(dtm_new(&config, &callbacks, NULL, &second), DTM_ESTATE);
    CHECK_EQ(dtm_self((dtm_t *)rubbish, &self, sizeof self), DTM_EINVAL);
    CHECK_EQ(dtm_self(rt, &self, 0), DTM_EABI);
    CHECK_EQ(dtm_self(rt, NULL, sizeof self), DTM_EINVAL);
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    CHECK_EQ(self.role, DTM_ROLE_HOST);
    CHECK_EQ(dtm_listen_port(rt, 0), -ENOENT);
    dtm_free(rt);
    dtm_free(NULL);
    CHECK_EQ(dtm_new(&config, &callbacks, NULL, &rt), DTM_OK); /* one after the other */
    dtm_free(rt);
}

/* I03, A16: calls that belong to another process. */
static void from_the_host(dtm_t *rt)
{
    dtm_command_t command = DTM_COMMAND_INIT;
    dtm_watch_t *watch;
    dtm_timer_t *timer;
    uint32_t count;
    uint64_t value;
    command.kind = DTM_CMD_RELOAD;
    CHECK_EQ(dtm_send(rt, 1, "x", 1), DTM_EROLE);
    CHECK_EQ(dtm_send_all(rt, 0, "x", 1, &count), DTM_EROLE);
    CHECK_EQ(dtm_command(rt, &command, NULL, NULL, NULL), DTM_EROLE);
    CHECK_EQ(dtm_answer(rt, "x", 1), DTM_EROLE);
    CHECK_EQ(dtm_leave(rt), DTM_EROLE);
    CHECK_EQ(dtm_counter_get(rt, 0, DTM_OFF, &value), DTM_EROLE);
    CHECK_EQ(dtm_loop_dispatch(rt, 0), DTM_EROLE);
    CHECK_EQ(dtm_timer_add(rt, 1, 1, NULL, NULL, &timer), DTM_EROLE);
    CHECK_EQ(dtm_watch_add(rt, 0, DTM_READ, NULL, NULL, NULL, &watch), DTM_EROLE);
}

struct owned {
    dtm_t *rt;
    dtm_client_t *client;
};

static void *from_a_thread(void *data)
{
    struct owned *owned = data;
    dtm_self_t self;
    CHECK_EQ(dtm_client_fd(owned->client), DTM_EROLE);
    CHECK(!dtm_client_data(owned->client));
    CHECK_EQ(dtm_client_set_busy(owned->client, 0), DTM_EROLE);
    CHECK_EQ(dtm_client_set_busy(owned->client, 1), DTM_EROLE);
    intptr_t code = dtm_self(owned->rt, &self, sizeof self);
    return (void *)code;
}

static dtm_client_t *stale;

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    int code = 0;
    if (!strcmp(line, "roles")) {
        dtm_listen_t listen = DTM_LISTEN_INIT;
        dtm_command_t command = DTM_COMMAND_INIT;
        dtm_t *second;
        uint32_t count;
        listen.address = "127.0.0.1:0";
        dtm_config_t config = DTM_CONFIG_INIT;
        dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
        callbacks.client_step = some_step;
        CHECK_EQ(dtm_listen(rt, &listen), DTM_EROLE);
        CHECK_EQ(dtm_run(rt, NULL, 0), DTM_EROLE);
        CHECK_EQ(dtm_check(rt), DTM_EROLE);
        CHECK_EQ(dtm_send(rt, 1, "x", 1), DTM_EROLE);
        CHECK_EQ(dtm_send_all(rt, 0, "x", 1, &count), DTM_EROLE);
        CHECK_EQ(dtm_command(rt, &command, NULL, NULL, NULL), DTM_EROLE);
        CHECK_EQ(dtm_counter_register(rt, "x"), DTM_EROLE);
        CHECK_EQ(dtm_request(DTM_CMD_RELOAD), DTM_EROLE);
        CHECK(dtm_new(&config, &callbacks, NULL, &second) < 0);
        dtm_free(rt); /* not here */
    } else if (!strcmp(line, "thread")) {
        struct owned owned = {rt, client};
        pthread_t thread;
        void *result;
        CHECK_EQ(pthread_create(&thread, NULL, from_a_thread, &owned), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        code = (int)(intptr_t)result;
    } else if (!strcmp(line, "handles")) {
        int rubbish[64] = {0};
        char text[8];
        CHECK_EQ(dtm_client_fd(NULL), DTM_EINVAL);
        CHECK_EQ(dtm_client_wake((dtm_client_t *)rubbish), DTM_EINVAL);
        CHECK_EQ(dtm_client_close((dtm_client_t *)((char *)client + 1)), DTM_EINVAL);
        CHECK_EQ(dtm_client_release((dtm_client_t *)rubbish), DTM_EINVAL);
        CHECK_EQ(dtm_client_set_interest(client, 0x8000), DTM_EINVAL);
        CHECK_EQ(dtm_client_peer(client, NULL, 8), DTM_EINVAL);
        CHECK(dtm_client_peer(client, text, sizeof text) > 8);
        CHECK_EQ(text[7], 0);
    } else if (!strcmp(line, "keep")) {
        stale = client;
    } else if (!strcmp(line, "stale")) {
        CHECK_EQ(dtm_client_close(stale), DTM_EGONE);
        CHECK_EQ(dtm_client_release(stale), DTM_EGONE);
        CHECK_EQ(dtm_client_wake(stale), DTM_EGONE);
        CHECK_EQ(dtm_client_fd(stale), DTM_EGONE);
        CHECK_EQ(dtm_client_id(stale), 0);
        CHECK(!dtm_client_data(stale));
    } else {
        return NOT_MINE;
    }
    snprintf(reply, size, "%d", code);
    return DTM_READ;
}

static dtm_init_cb base_init;

static int32_t from_the_controller(dtm_t *rt, void *user_data)
{
    CHECK_EQ(dtm_listen_port(rt, 0), DTM_EROLE);
    return base_init(rt, user_data);
}

static struct service misused(void)
{
    struct service service = a_service();
    service.request = request;
    return service;
}

static void wrong_role(void)
{
    struct service service = misused();
    service.setup = from_the_host;
    base_init = service.callbacks.controller_init;
    service.callbacks.controller_init = from_the_controller;
    start(&service);
    int fd = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(fd, "roles")), 0);
    CHECK_EQ(atoi(ask(fd, "thread")), DTM_EROLE);
    CHECK_EQ(atoi(ask(fd, "handles")), 0);
    who(fd);
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static void stale_handle(void)
{
    struct service service = misused();
    service.config.workers = 1;
    start(&service);
    int a = dial(shared->port[0]), b = dial(shared->port[0]);
    ask(a, "keep");
    hang_up(a);
    WAIT(GET(shared->closed[DTM_CLOSE_DONE]) == 1);
    CHECK_EQ(atoi(ask(b, "stale")), 0);
    int c = dial(shared->port[0]); /* where the first one was, but another one */
    CHECK_EQ(atoi(ask(c, "stale")), 0);
    hang_up(b), hang_up(c);
    WAIT(GET(shared->closed[DTM_CLOSE_DONE]) == 3);
    finish();
}

static dtm_t *the_runtime;

static void on_prof(int sig)
{
    dtm_self_t self;
    (void)sig;
    SET(shared->custom[0], dtm_self(the_runtime, &self, sizeof self));
}

static void catch_prof(void)
{
    signal(SIGPROF, on_prof);
}

static void note_runtime(dtm_t *rt)
{
    the_runtime = rt;
}

/* I03: a handler of the service's own interrupts libdtm and calls it. */
static void signal_handler(void)
{
    struct service service = misused();
    service.before = catch_prof;
    service.setup = note_runtime;
    start(&service);
    struct kid *kid = nth_open(0);
    WAIT(state_of(kid->pid) == 'S');
    kill(kid->pid, SIGPROF);
    WAIT(GET(shared->custom[0]) == DTM_EROLE);
    CHECK(serves());
    finish();
}

static const struct test tests[] = {
    {"I01, I02 structs and required callbacks", bad_structs},
    {"I10 two runtimes, wrong handles", two_runtimes},
    {"I03 wrong process, wrong thread", wrong_role},
    {"I03 stale handle", stale_handle},
    {"I03 signal handler", signal_handler},
};
TEST_MAIN(tests)
