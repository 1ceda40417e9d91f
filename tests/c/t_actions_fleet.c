/*
 * One host of a fleet, and what others write meanwhile into the records that they share.
 * flow: C10, C12
 */
#include "memory.h"

#include <stdio.h>
#include <string.h>

static const char entry[] = "x/entry/0000000000000001/a";

/* The fleet's action 1 begins here; the instance that it comes to. */
static uint64_t begin_part(const char *args)
{
    char text[VALUE];
    WAIT(command("store") == DTM_OK);
    snprintf(text, sizeof text,
             "dtm-fleet 1\nid 1\nname steps\nstate active\npolicy block\nunavailable 1\n"
             "begun 0\nhosts a\n\n%s",
             args);
    plant("x/fleet/0000000000000001", text);
    WAIT(planted(entry, text));
    int id = 0;
    CHECK_EQ(sscanf(text, "running %d", &id), 1);
    WAIT(effects_of((uint64_t)id, 1) == 1);
    return (uint64_t)id;
}

static void completes(void)
{
    char text[VALUE];
    struct service service = with_shared_memory();
    start(&service);
    uint64_t id = begin_part("");
    WAIT_STATE(id, DTM_INSTANCE_DONE);
    check_promise(id, 3);
    WAIT(planted(entry, text) && strcmp(text, "done") == 0);
    finish();
}

/* A host that was skipped does not go on with what it had in the background. */
static void skipped_in_the_background(void)
{
    struct service service = with_shared_memory();
    start(&service);
    uint64_t id = begin_part("pending");
    plant(entry, "skipped");
    CHECK_EQ(command("wake %d 0", (int)id), DTM_OK);
    WAIT_STATE(id, DTM_INSTANCE_CANCELLED);
    CHECK_EQ(effects_of(id, 1), 1);
    CHECK(strstr(action_of(id)->text, "skipped this host"));
    finish();
}

/* Skipped while its callback runs: what that has done in its transaction is taken back. */
static void skipped_in_a_phase(void)
{
    struct service service = with_shared_memory();
    service.config.hang_timeout_ms = DTM_OFF;
    start(&service);
    uint64_t id = begin_part("hang 1");
    int rollbacks = GET(memory->rollbacks);
    plant(entry, "skipped");
    SET(ledger->release, 1);
    WAIT_STATE(id, DTM_INSTANCE_CANCELLED);
    CHECK_EQ(GET(memory->rollbacks), rollbacks + 1);
    CHECK_EQ(effects_of(id, -1), 2);
    finish();
}

/* A controller that is replaced keeps the lease for the next one; the last one gives it
 * back. */
static void lease_is_given_back(void)
{
    struct service service = with_shared_memory();
    start(&service);
    WAIT(command("store") == DTM_OK);
    int leases = GET(memory->leases);
    end_kid(controller(), SIGTERM);
    WAIT(GET(memory->leases) > leases);
    WAIT(command("store") == DTM_OK);
    CHECK_EQ(GET(memory->given_back), 0);
    CHECK_EQ(GET(memory->opened), 2);
    finish();
    CHECK_EQ(GET(memory->given_back), 1);
}

static const struct test tests[] = {
    {"completes", completes},
    {"skipped in the background", skipped_in_the_background},
    {"skipped in a phase", skipped_in_a_phase},
    {"the lease is given back", lease_is_given_back},
};
TEST_MAIN(tests)
