/*
 * Processes that only seem not to get on: nobody is ended for it.
 * faults: A12, H2, H3
 */
#include "hangs.h"

#include <stdio.h>
#include <sys/ptrace.h>
#include <unistd.h>

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    unsigned ms;
    (void)client, (void)reply, (void)size;
    if (sscanf(line, "extend %u", &ms) == 1) {
        CHECK_EQ(dtm_extend(rt, ms), DTM_OK);
        ADD(shared->blocked, 1);
        while (!GET(shared->unblock))
            usleep(1000);
        return DTM_READ;
    }
    return NOT_MINE;
}

static int32_t (*next_init)(dtm_t *rt, void *user_data);

/* H3: an init that takes longer than hang_timeout, but not than start_timeout. */
static int32_t slow_init(dtm_t *rt, void *user_data)
{
    usleep(900000);
    return next_init(rt, user_data);
}

static void long_init(void)
{
    struct service service = hanging();
    next_init = service.callbacks.worker_init;
    service.callbacks.worker_init = slow_init;
    launch(&service);
    WAIT(count_events(DTM_EVENT_OPEN, DTM_ROLE_WORKER) == 3);
    CHECK_EQ(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER), 0);
    kill(shared->host, SIGTERM);
    ended_well();
}

static int32_t extending_init(dtm_t *rt, void *user_data)
{
    CHECK_EQ(dtm_extend(rt, 60000), DTM_OK);
    usleep(1500000);
    return next_init(rt, user_data);
}

/* dtm_extend(): in an init, and in a step; for that one only. */
static void more_time(void)
{
    struct service service = hanging();
    next_init = service.callbacks.worker_init;
    service.callbacks.worker_init = extending_init;
    service.config.start_timeout_ms = 1000;
    launch(&service);
    WAIT(count_events(DTM_EVENT_OPEN, DTM_ROLE_WORKER) == 3);
    CHECK_EQ(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER), 0);
    kill(shared->host, SIGTERM);
    ended_well();

    service = hanging();
    service.request = request;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "extend 60000");
    WAIT(GET(shared->blocked) == 1);
    observe(1200);
    SET(shared->unblock, 1);
    CHECK(hear(fd));
    CHECK(!has(kid, DTM_EVENT_HANG));
    SET(shared->unblock, 0);
    say(fd, "block");
    WAIT(has(kid, DTM_EVENT_HANG));
    WAIT(count_open(1) == 3);
    hang_up(fd);
    finish();
}

/* A client whose step is at work until shared->unblock. */
static int start_at_work(const struct service *service, struct kid **ret_kid)
{
    start(service);
    int fd = dial(shared->port[0]);
    *ret_kid = kid_at(fd);
    say(fd, "block");
    WAIT(GET(shared->blocked) == 1);
    return fd;
}

static void finish_without_deaths(int fd)
{
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* A12: the master is stopped for longer than that. */
static void stopped_master(void)
{
    struct service service = hanging();
    service.config.hang_timeout_ms = 1000;
    service.request = request;
    struct kid *kid;
    int fd = start_at_work(&service, &kid);
    kill(shared->host, SIGSTOP);
    WAIT(state_of(shared->host) == 'T');
    observe(2500);
    SET(shared->unblock, 1);
    kill(shared->host, SIGCONT);
    CHECK(hear(fd));
    CHECK_EQ(command("reopen"), DTM_OK);
    observe(300);
    CHECK(!has(kid, DTM_EVENT_HANG));
    CHECK_EQ(count_open(1), 3);
    finish_without_deaths(fd);
}

/* H2: everybody is stopped and continued, as by a frozen cgroup or a suspended
 * machine: the longest wins, and nobody is killed. */
static void everybody_frozen(void)
{
    struct service service = hanging();
    service.config.hang_timeout_ms = 1000;
    struct kid *kid;
    int fd = start_at_work(&service, &kid);
    pid_t pids[8];
    size_t count = survivors(pids, 8);
    kill(shared->host, SIGSTOP);
    for (size_t i = 0; i < count; i++)
        kill(pids[i], SIGSTOP);
    for (size_t i = 0; i < count; i++)
        WAIT(state_of(pids[i]) == 'T');
    observe(2500);
    SET(shared->unblock, 1);
    for (size_t i = 0; i < count; i++)
        kill(pids[i], SIGCONT);
    CHECK(hear(fd));
    CHECK(serves());
    CHECK_EQ(command("reopen"), DTM_OK);
    CHECK(!has(kid, DTM_EVENT_HANG));
    finish_without_deaths(fd);
}

/* Many slow steps in a row are no hang. */
static void slow_but_moving(void)
{
    struct service service = hanging();
    service.config.hang_timeout_ms = 1000;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    SET(shared->unblock, 0);
    for (int i = 0; i < 12; i++) {
        int blocked = GET(shared->blocked);
        SET(shared->unblock, 0);
        say(fd, "block");
        WAIT(GET(shared->blocked) > blocked);
        observe(100);
        SET(shared->unblock, 1);
        CHECK(hear(fd));
    }
    CHECK(!has(kid, DTM_EVENT_HANG));
    finish_without_deaths(fd);
}

/* A debugger may take its time. */
static void traced(void)
{
    struct service service = hanging();
    struct kid *kid;
    int fd = start_at_work(&service, &kid);
    CHECK_EQ(ptrace(PTRACE_SEIZE, kid->pid, NULL, NULL), 0);
    CHECK_EQ(ptrace(PTRACE_INTERRUPT, kid->pid, NULL, NULL), 0);
    WAIT(state_of(kid->pid) == 't');
    WAIT(logged("a debugger has it") >= 2);
    CHECK(!has(kid, DTM_EVENT_HANG));
    SET(shared->unblock, 1);
    CHECK_EQ(ptrace(PTRACE_DETACH, kid->pid, NULL, NULL), 0);
    CHECK(hear(fd));
    finish_without_deaths(fd);
}

static const struct test tests[] = {
    {"a long init", long_init},
    {"more time", more_time},
    {"the master is stopped", stopped_master},
    {"everybody is frozen", everybody_frozen},
    {"slow, but it gets on", slow_but_moving},
    {"a debugger", traced},
};
TEST_MAIN(tests)
