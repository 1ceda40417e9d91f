/*
 * Very many actions at once: those that have something to do, and those that wait.
 * flow: C10
 * Faults: G12.
 */
#include "actions.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* G12: many at once: a phase each, all in turn. */
static void many_at_once(void)
{
    enum { MANY = 200 };
    start_acting();
    uint64_t first = begin_action("steps hang 1");
    WAIT(effects_of(first, 1) == 1);
    char lines[MANY * 8] = "action steps";
    for (int i = 1; i < MANY / 2; i++)
        strcat(lines, "\naction steps");
    int operators[] = {ask_command(lines), ask_command(lines)};
    SET(ledger->release, 1);
    for (int i = 0; i < MANY; i++)
        CHECK(hear(operators[i % 2]));
    hang_up(operators[0]);
    hang_up(operators[1]);
    WAIT_STATE(first + MANY, DTM_INSTANCE_DONE);
    for (uint64_t id = first + 1; id <= first + MANY; id++)
        check_promise(id, 3);
    /* From when all are there: nobody has two turns before somebody who is not done has one. */
    int at[MANY + 1] = {0}, turns[MANY + 1] = {0};
    uint32_t from = 0;
    while (ledger->effect[from].id != first + MANY)
        from++;
    for (uint32_t i = 0; i < GET(ledger->count); i++) {
        uint64_t id = ledger->effect[i].id;
        if (id <= first)
            continue;
        at[id - first] = ledger->effect[i].phase + 1;
        turns[id - first] += i > from;
        for (int other = 1; i > from && other <= MANY; other++)
            CHECK(at[other] == PHASES || turns[id - first] - turns[other] <= 1);
    }
    finish_acting();
}

/* What a pass costs with so many that wait: printed, for the documents. */
static double pass_us(uint32_t passes)
{
    char path[64];
    unsigned long long before = 0, after = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", controller()->pid);
    FILE *file = fopen(path, "re");
    CHECK(file && fscanf(file, "%llu", &before) == 1);
    fclose(file);
    uint32_t from = (uint32_t)GET(shared->passes);
    WAIT((uint32_t)GET(shared->passes) - from >= passes);
    uint32_t done = (uint32_t)GET(shared->passes) - from;
    CHECK((file = fopen(path, "re")) && fscanf(file, "%llu", &after) == 1);
    fclose(file);
    return (double)(after - before) / 1000 / done;
}

/* G12: many wait; those that do not have their turns all the same. */
static void ten_thousand(void)
{
    struct service service = acting_service();
    service.config.controller_tick_ms = 1;
    start(&service);
    uint64_t id = begin_until(DTM_INSTANCE_DONE, "steps");
    SET(shared->wants_actions, 0);
    double none = pass_us(1000);
    finish();
    FILE *other = sqlite("w");
    fprintf(other,
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) "
            "INSERT INTO kv SELECT CAST(printf('i/%%016x', i) AS BLOB), CAST(printf('"
            "dtm-instance 1\nid %%d\nname steps\nstate waiting\nstage action\nphase 0\n"
            "step 1\nattempt 0\nforgiven 0\nfall -\nfalls 0\nbefore 0\n"
            "wait %%s 3600000 9000000000000\ntimed-out 0\ncause 0\nfleet 0\nlines 0\n"
            "started 1\nchanged 1\ntext \n\n', i, CASE i %% 2 WHEN 0 THEN 'time' ELSE 'go' END)"
            " AS BLOB), (SELECT n FROM revision) FROM n;"
            "UPDATE kv SET value = '10001' WHERE CAST(key AS TEXT) = 'sequence';");
    CHECK_EQ(pclose(other), 0);
    start_again(&service);
    WAIT(logged("10000 actions to go on with"));
    double many = pass_us(1000);
    printf("# a pass: %.1f us with none, %.1f us with 10,000 that wait\n", none, many);
    SET(shared->wants_actions, 1);
    WAIT(GET(shared->action_count) == 10001);
    SET(ledger->count, 0);
    id = begin_action("steps");
    CHECK_EQ(id, 10002);
    WAIT(effects_of(id, 2) == 1);
    CHECK_EQ(GET(ledger->count), 3); /* nobody else had a turn */
    finish_acting();
}

static const struct test tests[] = {
    {"many at once", many_at_once},
    {"10,000 that wait", ten_thousand},
};
TEST_MAIN(tests)
