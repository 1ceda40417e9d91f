#define _GNU_SOURCE
/*
 * Everything goes wrong, again and again, in an order that a seed decides, while clients of
 * all kinds are at work; and nothing is lost that could have been kept.
 *
 *   chaos [smoke | full | soak]     DTM_CHAOS_SEED=N   DTM_CHAOS_SECONDS=N
 *
 * Waits are for conditions, never for times. What must hold is checked at each rest (every
 * ten events: the load pauses, and everything must add up) and at the end. The last line
 * is one JSON object.
 */
#include "events.h"
#include "ledger.h"
#include "space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t seconds = 60, seed;

static void tell(uint64_t begun)
{
    printf("{\"seed\":%u,\"seconds\":%u,\"events\":%u", seed,
           (unsigned)((now_ms() - begun) / 1000), chaos.events);
    for (size_t i = 0; i < event_count; i++)
        printf(",\"%s\":%u", events[i].name, events[i].done);
    printf(",\"connects\":%llu,\"answered\":%llu,\"lost_with_killed\":%llu,\"unowned\":%llu,"
           "\"outage\":%llu,\"unexplained\":%llu,\"rests\":%u,\"worst_orphan_ms\":%u}\n",
           (unsigned long long)LOAD_SUM(connects), (unsigned long long)LOAD_SUM(answered),
           (unsigned long long)LOAD_SUM(killed), (unsigned long long)LOAD_SUM(unowned),
           (unsigned long long)LOAD_SUM(outage), (unsigned long long)LOAD_SUM(unexplained),
           chaos.rests, chaos.worst_orphan_ms);
}

static void everything(void)
{
    uint64_t begun = now_ms();
    alarm(seconds + 240);
    chaos_begin(seed);
    while (now_ms() - begun < (uint64_t)seconds * 1000) {
        chaos_event();
        if (chaos.events % 10 == 0)
            chaos_rest();
    }
    chaos_rest();
    chaos_end();
    tell(begun);
}

static const struct test tests[] = {
    {"chaos", everything},
};

int main(int argc, char **argv)
{
    const char *given = getenv("DTM_CHAOS_SEED"), *time = getenv("DTM_CHAOS_SECONDS");
    const char *profile = argc > 1 ? argv[1] : "smoke";
    seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)now_ms() ^ (uint32_t)getpid();
    seconds = !strcmp(profile, "soak") ? 8 * 3600 : !strcmp(profile, "full") ? 1800 : 60;
    if (time)
        seconds = (uint32_t)strtoul(time, NULL, 10);
    printf("# the same order of events again: DTM_CHAOS_SEED=%u\n", seed);
    fflush(stdout);
    enter_space();
    return harness_main(1, argv, tests, 1);
}
