/*
 * What may come in between while a generation starts.
 * faults: D03, D04, D09, D10, D11, D13, R3
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* D03, R3: most are ready, one hangs; whoever asked is told which one. */
static void one_hangs(void)
{
    struct service service = a_service();
    service.config.workers = 4;
    service.config.start_timeout_ms = 2000;
    start(&service);
    struct kid *old[4];
    for (uint32_t i = 0; i < 4; i++)
        old[i] = nth_open(i);
    shared->init_trouble = HANG;
    shared->init_generation = 2;
    shared->init_index = 3;
    CHECK_EQ(command("reload"), DTM_EFAILED);
    CHECK(strstr(detail, "worker 3 of the new generation (pid "));
    CHECK(strstr(detail, "was not ready in time; generation 1 serves on"));
    CHECK(strstr(detail, "its last words: the init callback has trouble"));
    WAIT(count_role(DTM_ROLE_WORKER) == 4);
    for (uint32_t i = 0; i < 4; i++)
        CHECK(nth_open(i) == old[i]);
    CHECK_EQ(count_events(DTM_EVENT_OPEN, DTM_ROLE_WORKER), 4);
    finish();
}

/* What cannot start at all costs one process: the rest is not forked. */
static void the_canary(void)
{
    struct service service = a_service();
    service.config.workers = 6;
    start(&service);
    uint64_t forks = shared->last_spawn;
    shared->init_trouble = FAIL;
    CHECK_EQ(command("reload"), DTM_EFAILED);
    CHECK(strstr(detail, "worker 0 of the new generation failed in its init callback"));
    CHECK_EQ(shared->last_spawn, forks + 1);
    shared->init_trouble = NO_TROUBLE;
    shared->health_fails = 1; /* not healthy at first: asked again */
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(count_open(3), 6);
    finish();
}

/* D04: 100 requests while one runs are one more run. */
static void coalesced(void)
{
    struct service service = a_service();
    start(&service);
    shared->init_trouble = HANG;
    shared->init_generation = 2;
    int first = ask_command("reload");
    WAIT(count_role(DTM_ROLE_WORKER) == 4);
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(kill(shared->host, SIGHUP), 0);
        CHECK_EQ(command("reload"), -EBUSY);
    }
    CHECK_EQ(shared->config_loads, 2); /* at the start, and by the one that runs */
    SET(shared->init_trouble, NO_TROUBLE);
    end_kid(kid_of(shared->last_spawn), SIGKILL);
    CHECK_EQ(command_answer(first), DTM_EFAILED);
    WAIT(GET(shared->reloads) == 2);
    CHECK_EQ(shared->reload_status, DTM_OK);
    CHECK_EQ(shared->config_loads, 3);
    CHECK_EQ(count_open(3), 3);
    finish();
    CHECK_EQ(shared->result.reloads, 1);
}

/* A reload that stands where `stage` says. */
static void reload_at(int stage, uint32_t grace_ms)
{
    struct service service = a_service();
    service.config.start_timeout_ms = DTM_OFF;
    service.config.kill_grace_ms = grace_ms;
    start(&service);
    int load = dial(shared->port[0]);
    ask(load, "busy"); /* the old generation has something to finish */
    switch (stage) {
    case 0: /* its init hangs */
        shared->init_trouble = HANG;
        shared->init_generation = 2;
        break;
    case 1: /* it never gets its update */ shared->update_agains = 1 << 30; break;
    case 2: /* it is never healthy */ shared->health_fails = 1 << 30; break;
    case 3: /* the canary is fine, the others hang */
        shared->init_trouble = HANG;
        shared->init_generation = 2;
        shared->init_index = 1;
        break;
    case 4: /* it is over, the old one drains */ break;
    }
    kill(shared->host, SIGHUP);
    switch (stage) {
    case 0: WAIT(count_role(DTM_ROLE_WORKER) == 4); break;
    case 1:
    case 2: WAIT(count_events(DTM_EVENT_READY, DTM_ROLE_WORKER) == 4); break;
    case 3: WAIT(count_role(DTM_ROLE_WORKER) == 6); break;
    case 4: WAIT(GET(shared->reloads) == 1); break;
    }
}

enum { STAGES = 5 };

/* D09: both generations stop, and nothing is left. */
static void end_at(int stage)
{
    reload_at(stage, 300);
    kill(shared->host, SIGINT);
    ended_well();
}

static void shutdown_at_each_stage(void)
{
    for (int stage = 0; stage < STAGES; stage++)
        end_at(stage);
}

/* D10: so do they without their master. */
static void master_killed_at_each_stage(void)
{
    for (int stage = 0; stage < STAGES; stage++) {
        reload_at(stage, 300);
        int port = shared->port[0];
        CHECK_EQ(kill(shared->host, SIGKILL), 0);
        wait_host();
        WAIT(survivors(NULL, 0) == 0);
        struct service next = a_service();
        char address[64];
        snprintf(address, sizeof address, "127.0.0.1:%d", port);
        next.listen[0] = address;
        start(&next);
        CHECK(serves());
        finish();
    }
}

/* D09, D10: at moments that nobody has chosen. */
static void at_any_moment(void)
{
    for (uint32_t ms = 0; ms < 24; ms++) {
        struct service service = a_service();
        start(&service);
        kill(shared->host, SIGHUP);
        observe(ms / 2);
        if (ms % 2) {
            finish();
            continue;
        }
        CHECK_EQ(kill(shared->host, SIGKILL), 0);
        wait_host();
        WAIT(survivors(NULL, 0) == 0);
        unlink(control_path());
    }
}

/* D11: in its init, hung, stopped: each is killed at the deadline. */
static void who_does_not_react_is_killed(void)
{
    struct service service = a_service();
    service.config.start_timeout_ms = DTM_OFF;
    service.config.drain_timeout_ms = 200;
    service.config.kill_grace_ms = 200;
    service.config.canary = DTM_OFF;
    start(&service);
    int hung = dial(shared->port[0]);
    say(hung, "block");
    WAIT(GET(shared->blocked) == 1);
    struct kid *stopped = kid_at(dial(shared->port[0]));
    CHECK_EQ(kill(stopped->pid, SIGSTOP), 0);
    shared->init_trouble = HANG;
    shared->init_generation = 2;
    kill(shared->host, SIGHUP);
    WAIT(count_role(DTM_ROLE_WORKER) == 6);
    finish();
    CHECK_EQ(shared->result.killed, 5);
}

static void leave_a_mark(void)
{
    if (shared->host != getpid())
        ADD(shared->custom[0], 1);
}

static void register_exit(void)
{
    atexit(leave_a_mark);
}

/* D13: a failed process that runs exit handlers takes nothing of the master's along. */
static void exit_handlers_are_harmless(void)
{
    struct service service = a_service();
    char address[160];
    snprintf(address, sizeof address, "unix:%s/socket", scratch());
    service.config.flags = DTM_F_CHILD_ATEXIT;
    service.listen[1] = address;
    service.before = register_exit;
    start(&service);
    shared->init_trouble = EXIT;
    shared->exit_status = 3;
    shared->init_generation = 2;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(command("reload"), DTM_EFAILED);
        CHECK(strstr(detail, "exited with status 3"));
    }
    CHECK_EQ(GET(shared->custom[0]), 3);
    CHECK_EQ(access(address + strlen("unix:"), F_OK), 0);
    CHECK_EQ(access(control_path(), F_OK), 0);
    int fd = dial_address(address);
    CHECK_EQ(who(fd).generation, 1);
    hang_up(fd);
    CHECK(serves());
    shared->init_trouble = NO_TROUBLE;
    CHECK_EQ(command("reload"), DTM_OK);
    finish();
    CHECK(access(address + strlen("unix:"), F_OK) != 0);
}

static const struct test tests[] = {
    {"one of four hangs", one_hangs},
    {"the canary", the_canary},
    {"100 requests are one more run", coalesced},
    {"shutdown at each stage", shutdown_at_each_stage},
    {"master killed at each stage", master_killed_at_each_stage},
    {"the end at any moment", at_any_moment},
    {"who does not react is killed", who_does_not_react_is_killed},
    {"exit handlers are harmless", exit_handlers_are_harmless},
};
TEST_MAIN(tests)
