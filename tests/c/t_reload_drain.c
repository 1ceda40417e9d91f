/*
 * How the old generation ends: idle clients, deadlines, too many generations.
 * faults: D12, R5, R6
 */
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A client whose request never ends, at the generation that serves. */
static int stuck_client(void)
{
    int fd = dial(shared->port[0]);
    ask(fd, "busy");
    return fd;
}

/* The list of workers shows it as one that drains, with its client. */
static bool is_named(const struct kid *kid)
{
    CHECK_EQ(command("accept 0"), DTM_OK);
    for (uint32_t i = 0; i < shared->worker_count; i++)
        if (shared->worker[i].spawn == kid->spawn)
            return shared->worker[i].clients == 1 &&
                   shared->worker[i].state == DTM_WORKER_DRAINING;
    return false;
}

/* R5, D12: it is named while it holds its worker up, then closed, and counted. */
static void closed_at_the_deadline(void)
{
    struct service service = a_service();
    service.config.drain_timeout_ms = 2000;
    start(&service);
    int stuck = stuck_client();
    struct kid *old = kid_at(stuck);
    ask(stuck, "busy");
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(is_named(old));
    CHECK(!hear(stuck));
    WAIT(has(old, DTM_EVENT_EXIT));
    CHECK_EQ(old->status, 0);
    CHECK_EQ(shared->closed[DTM_CLOSE_DEADLINE], 1);
    CHECK_EQ(logged("127.0.0.1:"), 3); /* the listener; still busy; closed */
    CHECK_EQ(logged("is still busy"), 1);
    CHECK_EQ(logged("1 busy clients have"), 1);
    CHECK_EQ(logged("is closed at the drain's deadline"), 1);
    hang_up(stuck);
    finish();
    CHECK_EQ(shared->result.late_clients, 1);
    CHECK_EQ(shared->result.killed, 0);
}

/* Generations of which a worker lives. */
static uint32_t generations(void)
{
    uint64_t alive = 0;
    for (uint64_t spawn = 1; spawn <= GET(shared->last_spawn); spawn++) {
        struct kid *kid = kid_of(spawn);
        if (kid->role == DTM_ROLE_WORKER && runs(kid->pid))
            alive |= 1ull << kid->generation;
    }
    return (uint32_t)__builtin_popcountll(alive);
}

/* R6: never more than two old ones. */
static void the_oldest_makes_room(void)
{
    struct service service = a_service();
    service.config.drain_timeout_ms = 600000;
    start(&service);
    int stuck[5];
    for (int i = 0; i < 5; i++) {
        stuck[i] = stuck_client();
        CHECK_EQ(who(stuck[i]).generation, i + 1);
        ask(stuck[i], "busy");
        CHECK_EQ(command("reload"), DTM_OK);
        CHECK_LE(generations(), 3);
    }
    /* Those of generations 1 to 3 were closed, the others are served still. */
    for (int i = 0; i < 3; i++)
        CHECK(!hear(stuck[i]));
    CHECK_EQ(shared->closed[DTM_CLOSE_DEADLINE], 3);
    for (int i = 3; i < 5; i++)
        CHECK_EQ(who(stuck[i]).generation, i + 1);
    for (int i = 0; i < 5; i++)
        hang_up(stuck[i]);
    finish();
    CHECK_EQ(shared->result.late_clients, 3);
    CHECK_EQ(shared->result.reloads, 5);
}

/* The oldest does not react: it is killed, and the reload goes on. */
static void a_deaf_one_makes_room(void)
{
    struct service service = a_service();
    service.config.workers = 1;
    service.config.old_generations = 1;
    service.config.kill_grace_ms = 300;
    start(&service);
    int stuck = stuck_client();
    struct kid *old = kid_at(stuck);
    ask(stuck, "busy");
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK_EQ(kill(old->pid, SIGSTOP), 0);
    int other = stuck_client();
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK(has(old, DTM_EVENT_EXIT));
    CHECK_LE(generations(), 2);
    CHECK_EQ(who(other).generation, 2);
    hang_up(stuck), hang_up(other);
    finish();
    CHECK_EQ(shared->result.killed, 1);
    CHECK_EQ(shared->result.late_clients, 1); /* it was not there to count it */
}

/* A reload that fails closes nobody. */
static void a_failing_one_makes_no_room(void)
{
    struct service service = a_service();
    service.config.workers = 1;
    service.config.old_generations = 1;
    start(&service);
    int stuck = stuck_client();
    CHECK_EQ(command("reload"), DTM_OK);
    int other = stuck_client();
    shared->init_trouble = FAIL;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(command("reload"), DTM_EFAILED);
    CHECK_EQ(who(stuck).generation, 1);
    CHECK_EQ(who(other).generation, 2);
    hang_up(stuck), hang_up(other);
    finish();
}

static int idle_client(void)
{
    int fd = dial(shared->port[0]);
    ask(fd, "idle");
    return fd;
}

/* DTM_IDLE_KEEP: an idle client has its next request answered, and is closed then. */
static void idle_ones_are_kept(void)
{
    struct service service = a_service();
    service.config.drain_idle = DTM_IDLE_KEEP;
    service.config.drain_timeout_ms = 600000;
    start(&service);
    int idle[8];
    for (int i = 0; i < 8; i++)
        idle[i] = idle_client();
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(logged("told to leave") == 3);
    observe(100);
    CHECK_EQ(shared->closed[DTM_CLOSE_DRAIN], 0);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(who(idle[i]).generation, 1);
        CHECK(!hear(idle[i]));
        hang_up(idle[i]);
    }
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    CHECK_EQ(shared->closed[DTM_CLOSE_DRAIN], 8);
    finish();
}

/* ... or until the deadline; that is not late. */
static void kept_ones_go_at_the_deadline(void)
{
    struct service service = a_service();
    service.config.drain_idle = DTM_IDLE_KEEP;
    service.config.drain_timeout_ms = 500;
    start(&service);
    int idle = idle_client();
    CHECK_EQ(command("reload"), DTM_OK);
    CHECK(!hear(idle));
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    CHECK_EQ(shared->closed[DTM_CLOSE_DRAIN], 1);
    hang_up(idle);
    finish();
    CHECK_EQ(shared->result.late_clients, 0);
    CHECK_EQ(shared->result.killed, 0);
}

static const struct test tests[] = {
    {"closed at the deadline", closed_at_the_deadline},
    {"the oldest generation makes room", the_oldest_makes_room},
    {"a deaf one makes room", a_deaf_one_makes_room},
    {"a failing reload makes no room", a_failing_one_makes_no_room},
    {"idle clients are kept", idle_ones_are_kept},
    {"kept ones go at the deadline", kept_ones_go_at_the_deadline},
};
TEST_MAIN(tests)
