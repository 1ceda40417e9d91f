/*
 * A slot reused 1,000 times: what was meant for an old spawn never reaches a new
 * one, and nothing grows.
 * flow: M2, M13, M20, L6
 * faults: F06
 */
#include "peer.h"

#include <unistd.h>

enum { DEATHS = 1000 };

static void reused(void)
{
    struct service service = a_service();
    service.config.respawn_delay_max_ms = 1;
    service.config.controller_tick_ms = 1;
    start(&service);
    SET(shared->chatter, 1); /* each message names the spawn that it is for */
    struct kid *kid = nth_open(0), *boss = controller();
    uint32_t slot = kid->slot;
    size_t fds = 0, boss_fds = 0, maps = 0, boss_maps = 0;
    for (int i = 0; i < DEATHS; i++) {
        if (i % 10 == 0) { /* with messages waiting for it */
            int passes = GET(shared->passes);
            kill(kid->pid, SIGSTOP);
            WAIT(GET(shared->passes) > passes + 3);
        }
        kill(kid->pid, SIGKILL);
        WAIT(has(kid, DTM_EVENT_EXIT));
        WAIT(in_slot(slot) != kid);
        kid = in_slot(slot);
        WAIT(has(kid, DTM_EVENT_OPEN));
        if (i == DEATHS / 10) {
            fds = count_fds(shared->host), boss_fds = count_fds(boss->pid);
            maps = count_maps(shared->host), boss_maps = count_maps(boss->pid);
        }
    }
    SET(shared->chatter, 0);
    CHECK_EQ(GET(shared->stale), 0);
    CHECK_EQ(controller()->spawn, boss->spawn);
    WAIT(count_fds(shared->host) == fds);
    WAIT(count_fds(boss->pid) == boss_fds); /* the last one who asked may be leaving still */
#ifndef __SANITIZE_ADDRESS__                /* whose quarantine maps more and more */
    CHECK(count_maps(shared->host) <= maps + 1);
    CHECK(count_maps(boss->pid) <= boss_maps + 1);
#else
    (void)maps, (void)boss_maps;
#endif
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, DEATHS);
    CHECK_EQ(shared->result.forks, 4 + DEATHS);
}

/* Every slot at once, again and again. */
static void all_at_once(void)
{
    struct service service = a_service();
    service.config.workers = 8;
    start(&service);
    for (int i = 0; i < 20; i++) {
        struct kid *kids[8];
        for (uint32_t w = 0; w < 8; w++)
            kids[w] = nth_open(w);
        for (int w = 0; w < 8; w++)
            kill(kids[w]->pid, SIGKILL);
        for (int w = 0; w < 8; w++)
            WAIT(has(kids[w], DTM_EVENT_EXIT));
        WAIT(count_open(1) == 8);
    }
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 160);
    CHECK_EQ(shared->result.forks, 9 + 160);
}

static const struct test tests[] = {
    {"one slot 1,000 times", reused},
    {"8 workers at once, 20 times", all_at_once},
};
TEST_MAIN(tests)
