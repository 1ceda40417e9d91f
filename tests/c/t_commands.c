/*
 * What the controller can ask of the master, and what it hears.
 * flow: M15, M16, M18, M19, C7, C8, L3, L7, L8
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>

/* L8: a stop spares the controller; a start acts only when nothing runs. */
static void stop_and_start(void)
{
    struct service service = a_service();
    start(&service);
    struct kid *boss = controller();
    int idle = dial(shared->port[0]);
    who(idle);
    CHECK_EQ(command("stop"), DTM_OK);
    CHECK_EQ(count_role(DTM_ROLE_WORKER), 0);
    CHECK(!hear(idle));
    hang_up(idle);
    CHECK_EQ(command("pid"), boss->pid);

    int early = dial(shared->port[0]); /* the listener is the master's: it queues */
    say(early, "who");
    CHECK_EQ(command("start"), DTM_OK);
    WAIT(count_open(0) == 3);
    CHECK(hear(early));
    hang_up(early);

    uint64_t spawns = shared->last_spawn;
    CHECK_EQ(command("start"), DTM_OK); /* they run: nothing to do */
    CHECK_EQ(shared->last_spawn, spawns);
    CHECK_EQ(command("pid"), boss->pid);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static void scale(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("scale 6"), DTM_OK);
    WAIT(count_open(0) == 6);
    CHECK_EQ(command("scale 1"), DTM_OK);
    WAIT(count_open(0) == 1 && count_role(DTM_ROLE_WORKER) == 1);
    CHECK(serves());
    CHECK_EQ(command("scale 0"), DTM_EINVAL);
    CHECK_EQ(command("scale 100000"), DTM_EINVAL);
    CHECK_EQ(command("scale 100"), -ENOSPC); /* max_processes is 32 */
    CHECK_EQ(count_open(0), 1);
    CHECK_EQ(command("scale 2"), DTM_OK);
    WAIT(count_open(0) == 2);
    /* A number that was set by hand holds until the configuration is loaded again. */
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_open(0) == 3 && count_role(DTM_ROLE_WORKER) == 3);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* L3: the master loads; when it fails, why is in the answer and nothing changes. */
static void loadconf(void)
{
    struct service service = a_service();
    start(&service);
    uint64_t spawns = shared->last_spawn;
    int loads = shared->config_loads, at_controller = shared->controller_loads;
    CHECK_EQ(command("loadconf"), DTM_OK);
    CHECK_EQ(shared->config_loads, loads + 1);
    WAIT(shared->controller_loads == at_controller + 1);
    shared->config_fails = 1;
    CHECK(command("loadconf") < 0);
    CHECK(detail[0]);
    CHECK(shared->config_status < 0);
    CHECK_EQ(shared->last_spawn, spawns);
    CHECK_EQ(command("loadconf"), DTM_OK);
    CHECK_EQ(shared->config_status, DTM_OK);
    finish();
}

static void the_others(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("recycle 1"), DTM_EGONE); /* the controller is no worker */
    CHECK_EQ(command("reopen"), DTM_OK);
    CHECK_EQ(command("fork"), DTM_OK);
    finish();
}

static void shutdown_(void)
{
    struct service service = a_service();
    start(&service);
    int busy = dial(shared->port[0]);
    ask(busy, "busy");
    int asked = ask_command("shutdown");
    WAIT(count_role(DTM_ROLE_WORKER) == 1);
    who(busy); /* and is idle now */
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
    CHECK_EQ(shared->result.signal, 0);
    CHECK_EQ(shared->closed[DTM_CLOSE_DRAIN], 1);
    hang_up(asked), hang_up(busy);
}

static void shutdown_now(void)
{
    struct service service = a_service();
    start(&service);
    int busy = dial(shared->port[0]);
    ask(busy, "busy");
    int asked = ask_command("now");
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_FAST);
    CHECK_EQ(shared->closed[DTM_CLOSE_SHUTDOWN], 1);
    hang_up(asked), hang_up(busy);
}

/* The operator hangs up before the answer is there; the next one is served. */
static void impatient_operator(void)
{
    struct service service = a_service();
    start(&service);
    hang_up(ask_command("reload"));
    WAIT(shared->reloads == 1 && count_open(2) == 3);
    CHECK_EQ(command("pid"), controller()->pid);
    finish();
}

/* Several at a time on one connection: each is answered exactly once. */
static void many_at_once(void)
{
    struct service service = a_service();
    start(&service);
    int fd = ask_command("loadconf\nscale 4\nreopen\nfork\npid");
    int answers = 0;
    while (answers < 5) {
        CHECK(hear(fd));
        answers++;
    }
    say(fd, "pid");
    CHECK_EQ(atoi(hear(fd)), controller()->pid);
    hang_up(fd);
    finish();
}

/* Stop, start, kill, scale: the slots are found again each time. */
static void again_and_again(void)
{
    struct service service = a_service();
    start(&service);
    size_t fds = 0;
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(command("stop"), DTM_OK);
        CHECK_EQ(command("start"), DTM_OK);
        WAIT(count_open(0) == 3);
        if (i == 4)
            fds = count_fds(shared->host);
    }
    CHECK_EQ(count_fds(shared->host), fds);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static const struct test tests[] = {
    {"stop spares the controller, start acts once", stop_and_start},
    {"scale", scale},
    {"loadconf", loadconf},
    {"recycle, reopen, fork", the_others},
    {"shutdown", shutdown_},
    {"shutdown now", shutdown_now},
    {"an operator that hangs up", impatient_operator},
    {"each command is answered once", many_at_once},
    {"stop and start 20 times", again_and_again},
};
TEST_MAIN(tests)
