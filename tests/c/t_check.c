/*
 * dtm_check(): asks as dtm_run() does, and leaves nothing behind. And what dtm_run() is asked
 * for before it has forked anybody.
 */
#include "peer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHECKS, FAILS };

static int32_t nobodys_main(dtm_t *rt, void *data)
{
    (void)rt, (void)data;
    return 0;
}

/* Only the host may do any of this, and the one that asks is a master. */
static void misuse(dtm_t *rt)
{
    dtm_func_t func = DTM_FUNC_INIT;
    func.name = "late";
    func.main = nobodys_main;
    CHECK_EQ(dtm_func_register(rt, &func), DTM_EROLE);
    CHECK_EQ(dtm_counter_register(rt, "late"), DTM_EROLE);
    CHECK_EQ(dtm_run(rt, NULL, 0), DTM_ESTATE);
    CHECK_EQ(dtm_check(rt), DTM_EROLE);
    dtm_free(rt);
}

static const char *file_address(void)
{
    static char address[128];
    snprintf(address, sizeof address, "unix:%s/checked", scratch());
    return address;
}

static int32_t load_in_master(dtm_t *rt, const char *path, void *user_data)
{
    dtm_self_t self;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    (void)path, (void)user_data;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role == DTM_ROLE_CONTROLLER)
        return 0;
    CHECK_EQ(self.role, DTM_ROLE_MASTER);
    CHECK_EQ(self.master_pid, getpid());
    misuse(rt);
    if (shared->custom[CHECKS] == 0) /* dtm_run(): all is as the host has left it */
        return 0;
    listen.address = file_address();
    CHECK_EQ(dtm_listen(rt, &listen), 1);
    listen.address = "unix:@dtm-test-check";
    CHECK_EQ(dtm_listen(rt, &listen), 2);
    CHECK_EQ(dtm_unlisten(rt, 2), DTM_OK);
    CHECK_EQ(dtm_unlisten(rt, 0), DTM_OK);
    return shared->custom[FAILS] ? -EIO : 0;
}

static int32_t check_and_run(dtm_t *rt)
{
    dtm_self_t self;
    size_t fds = count_fds(getpid());
    shared->custom[CHECKS] = 1;
    for (int fails = 0; fails < 2; fails++) {
        shared->custom[FAILS] = fails;
        CHECK_EQ(dtm_check(rt), fails ? DTM_ECONFIG : DTM_OK);
        CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
        CHECK_EQ(self.role, DTM_ROLE_HOST);
        CHECK_EQ(dtm_listen_port(rt, 0), shared->port[0]);
        CHECK_EQ(dtm_listen_port(rt, 1), -ENOENT);
        CHECK_EQ(count_fds(getpid()), fds);
        CHECK(access(file_address() + strlen("unix:"), F_OK) != 0);
    }
    shared->custom[CHECKS] = 0;
    CHECK_EQ(dtm_counter_register(rt, "in_time"), 0);
    return dtm_run(rt, &shared->result, sizeof shared->result);
}

static void check_leaves_nothing(void)
{
    struct service service = a_service();
    service.callbacks.config_load = load_in_master;
    service.run = check_and_run;
    start(&service);
    CHECK(serves());
    finish();
}

static int32_t load_and_ask_to_end(dtm_t *rt, const char *path, void *user_data)
{
    (void)rt, (void)path, (void)user_data;
    errno = ERANGE;
    CHECK_EQ(dtm_request(DTM_CMD_SHUTDOWN), DTM_OK);
    CHECK_EQ(errno, ERANGE);
    return 0;
}

/* What dtm_request() has taken is done, even before there is a loop to wake. */
static void asked_to_end_at_once(void)
{
    struct service service = a_service();
    service.callbacks.config_load = load_and_ask_to_end;
    launch(&service);
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
}

static int32_t run_with_results(dtm_t *rt)
{
    dtm_result_t result;
    memset(&result, 0xee, sizeof result);
    CHECK_EQ(dtm_run(rt, &result, 3), DTM_EABI); /* nothing has begun */
    int32_t code = dtm_run(rt, &shared->result, sizeof shared->result);
    CHECK_EQ(dtm_run(rt, &result, sizeof result), DTM_ESTATE);
    CHECK_EQ(result.size, sizeof result);
    CHECK_EQ(result.reason, DTM_END_START_FAILED);
    CHECK_EQ(result.forks, 0);
    return code;
}

static void results_are_written(void)
{
    struct service service = a_service();
    service.run = run_with_results;
    start(&service);
    CHECK(serves());
    finish();
}

static void *idle_thread(void *data)
{
    while (pause() < 0)
        ;
    return data;
}

static void start_thread(void)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, idle_thread, NULL), 0);
}

static int32_t load_and_start_a_thread(dtm_t *rt, const char *path, void *user_data)
{
    dtm_self_t self;
    (void)path, (void)user_data;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role == DTM_ROLE_MASTER && ADD(shared->config_loads, 1) > shared->custom[0])
        start_thread();
    return 0;
}

/* I08: a thread that config_load starts. */
static void thread_of_config_load(void)
{
    struct service service = a_service();
    service.callbacks.config_load = load_and_start_a_thread;
    launch(&service);
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->run_code, DTM_ETHREADS);
    CHECK_EQ(shared->last_spawn, 0);

    service = a_service();
    service.callbacks.config_load = load_and_start_a_thread;
    shared->custom[0] = 1;
    start(&service);
    CHECK_EQ(command("reload"), DTM_ETHREADS);
    CHECK_EQ(shared->config_reverts, 1);
    CHECK_EQ(command("loadconf"), DTM_ETHREADS);
    CHECK_EQ(count_open(1), 3);
    CHECK(serves());
    finish();
}

static dtm_event_cb base_event;

static void event_with_a_thread(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    base_event(rt, event, user_data);
    if (event->kind == DTM_EVENT_OPEN && event->role == DTM_ROLE_CONTROLLER)
        start_thread();
}

/* And one of the event callback: the next load tells. */
static void thread_of_an_event(void)
{
    struct service service = a_service();
    base_event = service.callbacks.event;
    service.callbacks.event = event_with_a_thread;
    start(&service);
    CHECK_EQ(command("reload"), DTM_ETHREADS);
    CHECK(serves());
    finish();
}

static const struct test tests[] = {
    {"dtm_check() leaves nothing", check_leaves_nothing},
    {"asked to end at once", asked_to_end_at_once},
    {"ret_result is always written", results_are_written},
    {"I08 a thread of config_load", thread_of_config_load},
    {"I08 a thread of an event", thread_of_an_event},
};
TEST_MAIN(tests)
