/*
 * Positive results of callbacks for which they mean nothing: each is a failure, and named.
 */
#include "worker.h"

#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

/* How often each is to be wrong yet. */
enum { INIT, CONTROLLER_INIT, LOAD, HEALTH, MESSAGE, UPDATE };

static dtm_callbacks_t base;

static int32_t result(int which, int32_t right)
{
    return take(&shared->custom[which]) ? EAGAIN : right;
}

static int32_t wrong_init(dtm_t *rt, void *user_data)
{
    return result(INIT, base.worker_init(rt, user_data));
}

static int32_t wrong_controller_init(dtm_t *rt, void *user_data)
{
    return result(CONTROLLER_INIT, base.controller_init(rt, user_data));
}

static int32_t wrong_load(dtm_t *rt, const char *path, void *user_data)
{
    return result(LOAD, base.config_load(rt, path, user_data));
}

static int32_t wrong_health(dtm_t *rt, void *user_data)
{
    return result(HEALTH, base.worker_health(rt, user_data));
}

static int32_t wrong_message(dtm_t *rt, const void *data, size_t len, void *user_data)
{
    return result(MESSAGE, base.worker_message(rt, data, len, user_data));
}

static int32_t wrong_update(dtm_t *rt, const dtm_worker_t *worker, void *user_data)
{
    return result(UPDATE, base.update_new_worker(rt, worker, user_data));
}

static struct service wrong(int which)
{
    struct service service = a_service();
    base = service.callbacks;
    service.callbacks.worker_init = wrong_init;
    service.callbacks.controller_init = wrong_controller_init;
    service.callbacks.config_load = wrong_load;
    service.callbacks.worker_health = wrong_health;
    service.callbacks.worker_message = wrong_message;
    service.callbacks.update_new_worker = wrong_update;
    shared->custom[which] = 1;
    return service;
}

static void named(const char *callback)
{
    char text[96];
    snprintf(text, sizeof text, "%s returned 11, which means nothing", callback);
    CHECK_EQ(logged(text), 1);
}

static void dies_of_it(int which, const char *callback, uint32_t role)
{
    struct service service = wrong(which);
    start(&service);
    named(callback);
    int deaths = 0;
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++) {
        struct kid *kid = kid_of(spawn);
        if (has(kid, DTM_EVENT_EXIT)) {
            CHECK_EQ(kid->role, role);
            CHECK(WIFEXITED(kid->status) && WEXITSTATUS(kid->status) == DTM_EXIT_INIT);
            deaths++;
        }
    }
    CHECK_EQ(deaths, 1);
    finish();
}

static void init(void)
{
    dies_of_it(INIT, "worker_init", DTM_ROLE_WORKER);
}

static void controller_init(void)
{
    dies_of_it(CONTROLLER_INIT, "controller_init", DTM_ROLE_CONTROLLER);
}

static void load(void)
{
    struct service service = wrong(LOAD);
    launch(&service);
    refused_with("config_load");
    CHECK_EQ(shared->run_code, DTM_ECONFIG);
}

/* What keeps the gate shut is tried again. */
static void tried_again(int which, const char *callback, int refusals)
{
    struct service service = wrong(which);
    start(&service);
    named(callback);
    CHECK_EQ(shared->refusals, refusals);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static void health(void)
{
    tried_again(HEALTH, "worker_health", 1);
}

static void message(void)
{
    tried_again(MESSAGE, "worker_message", 1);
}

static void update(void)
{
    tried_again(UPDATE, "update_new_worker", 0);
}

static const struct test tests[] = {
    {"worker_init", init},       {"controller_init", controller_init},
    {"config_load", load},       {"worker_health", health},
    {"worker_message", message}, {"update_new_worker", update},
};
TEST_MAIN(tests)
