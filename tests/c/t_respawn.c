/*
 * What follows a death: a replacement at once or after a while, or none any more.
 * faults: A05, A06, A07, A18, C1, C2
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>

/* The delays that the master has announced for a slot, in order. */
static int delays_of(uint32_t slot, int *ret_ms, int capacity)
{
    char which[32];
    int count = 0, ms;
    snprintf(which, sizeof which, "worker slot %u ", slot);
    for (uint32_t i = 0; i < GET(shared->log_count) && i < LOG_LINES; i++) {
        const char *follows = strstr(shared->log[i], "a replacement follows in ");
        if (follows && strstr(shared->log[i], which) && count < capacity &&
            sscanf(follows, "a replacement follows in %d ms", &ms) == 1)
            ret_ms[count++] = ms;
    }
    return count;
}

/* C1, A05: the delays double, then the slot is given up, and the others have served all
 * along; a reset gives it another chance. */
static void crash_loop(void)
{
    int delays[8];
    struct service service = a_service();
    service.config.respawn_budget = 5;
    service.config.respawn_delay_ms = 50;
    service.config.respawn_delay_max_ms = 5000;
    shared->init_trouble = ABORT;
    shared->init_only = 2;
    launch(&service);
    WAIT(count_open(1) == 2 && controller());
    WAIT(count_events(DTM_EVENT_FAILED, DTM_ROLE_WORKER) == 1);
    CHECK(serves());
    dtm_worker_t *given_up = NULL; /* an event is a moment ahead of what others are shown */
    WAIT((given_up = listed(1)) && given_up->state == DTM_WORKER_FAILED);
    CHECK_EQ(given_up->slot_class, DTM_CLASS_NOT_STARTED);
    CHECK_EQ(given_up->spawn, 0);
    CHECK_EQ(given_up->fork_ms, DTM_OFF);
    CHECK_EQ(given_up->forks, 5);
    CHECK_EQ(given_up->deaths, 5);
    CHECK_EQ(given_up->crashes, 5);
    CHECK_EQ(given_up->reason, DTM_REASON_SIGNAL);
    CHECK_EQ(given_up->status & 0x7f, SIGABRT);
    CHECK_EQ(delays_of(given_up->slot, delays, 8), 3); /* after the first: at once */
    for (int i = 0, ms = 50; i < 3; i++, ms *= 2)
        CHECK(delays[i] <= ms && delays[i] >= ms * 9 / 10);
    CHECK_EQ(logged("given up after 5 deaths in 60 s"), 1);
    CHECK_EQ(count_role(DTM_ROLE_WORKER), 2);
    SET(shared->init_trouble, NO_TROUBLE);
    CHECK_EQ(command("reset"), DTM_OK);
    CHECK(strstr(detail, "1 slot has another chance"));
    WAIT(count_open(1) == 3);
    WAIT(listed(1)->state == DTM_WORKER_OPEN);
    finish();
    CHECK_EQ(shared->result.deaths, 5);
}

/* Who has served for `respawn_reset` is healthy: its next death is a first one. */
static void healthy_again(void)
{
    struct service service = a_service();
    service.config.respawn_reset_ms = 3000;
    start(&service);
    uint32_t slot = nth_open(0)->slot;
    for (int death = 1; death <= 3; death++) {
        if (death == 3)
            observe(5500); /* moments in which the master stood still do not count */
        end_kid(in_slot(slot), SIGKILL);
        WAIT(count_open(1) == 3);
        CHECK_EQ(logged("a replacement follows at once"), death == 3 ? 2 : 1);
    }
    finish();
    CHECK_EQ(shared->result.deaths, 3);
}

/* A reload starts anew. */
static void reload_after_giving_up(void)
{
    struct service service = a_service();
    service.config.respawn_budget = 2;
    shared->init_trouble = FAIL;
    shared->init_only = 1;
    launch(&service);
    WAIT(count_events(DTM_EVENT_FAILED, DTM_ROLE_WORKER) == 1 && controller());
    SET(shared->init_trouble, NO_TROUBLE);
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(count_open(2), 3);
    finish();
}

/* A06: they all die, none is given up, and they come back by themselves. */
static void all_crash(void)
{
    struct service service = a_service();
    service.config.respawn_budget = 3;
    service.config.respawn_delay_ms = service.config.respawn_delay_max_ms = 200;
    shared->init_trouble = FAIL;
    launch(&service);
    WAIT(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) > 15 && controller());
    CHECK_EQ(command("reopen"), DTM_OK); /* master and controller are at work */
    CHECK(listed(0)->deaths > 3);
    CHECK_EQ(count_events(DTM_EVENT_FAILED, DTM_ROLE_WORKER), 0);
    /* None is under way: one that failed when another serves already would be given up. */
    WAIT(count_role(DTM_ROLE_WORKER) == 0);
    SET(shared->init_trouble, NO_TROUBLE);
    WAIT(count_open(1) == 3);
    CHECK(serves());
    finish();
}

/* C2, A07: who asks not to be replaced is not, but for the last one. */
static void no_restart(void)
{
    char request[16];
    struct service service = a_service();
    snprintf(request, sizeof request, "exit %d", DTM_EXIT_NO_RESTART);
    start(&service);
    for (uint32_t left = 3; left > 0; left--) {
        int fd = dial_worker(nth_open(0));
        struct kid *kid = kid_at(fd);
        say(fd, request);
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK_EQ(kid->status, DTM_EXIT_NO_RESTART << 8);
        hang_up(fd);
        CHECK_EQ(command("reopen"), DTM_OK); /* the master has decided */
        if (left > 1)
            CHECK_EQ(count_role(DTM_ROLE_WORKER), left - 1);
    }
    CHECK_EQ(logged("no replacement is wanted"), 2);
    WAIT(count_open(1) == 1);
    CHECK(serves());
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(count_open(2), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 3);
}

/* A18: the workers serve while controllers die, and the last one acts. */
static void controller_crash_loop(void)
{
    struct service service = a_service();
    service.config.respawn_budget = 3;
    start(&service);
    SET(shared->controller_init_fails, 12);
    end_kid(controller(), SIGKILL);
    while (GET(shared->controller_init_fails) > 0)
        CHECK(serves());
    WAIT(controller());
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(count_open(2), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 13);
}

static const struct test tests[] = {
    {"one crashes in its init", crash_loop},
    {"healthy again", healthy_again},
    {"given up until a reload", reload_after_giving_up},
    {"all crash in their init", all_crash},
    {"asked not to be replaced", no_restart},
    {"controllers crash", controller_crash_loop},
};
TEST_MAIN(tests)
