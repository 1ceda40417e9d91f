/*
 * Birth, life and end of a service.
 * flow: M1, M2, M3, M6, M8, M9, M11, M12, M13, M14, M20, M21, W1, W3, W4, W5, W6, W8, W9, W10,
 * flow: C1, C2, C3, C6, C13, L4, L6
 * valgrind: yes (which has no pidfds: deaths are seen without them)
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* M1, M6: every worker is forked once, opens, accepts and answers. */
static void every_worker_serves(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(count_role(DTM_ROLE_WORKER), 3);
    CHECK_EQ(count_role(DTM_ROLE_CONTROLLER), 1);
    for (uint32_t i = 0; i < 3; i++) {
        struct kid *kid = nth_open(i);
        int fd = dial_worker(kid);
        struct who answer = who(fd);
        CHECK_EQ(answer.pid, kid->pid);
        CHECK_EQ(answer.slot, kid->slot);
        CHECK_EQ(answer.generation, 1);
        CHECK_EQ(kid->inits, 1);
        CHECK(has(kid, DTM_EVENT_READY));
        CHECK(!strcmp(ask(fd, "echo a b c"), "a b c"));
        hang_up(fd);
    }
    CHECK(nth_open(0)->index + nth_open(1)->index + nth_open(2)->index == 0 + 1 + 2);
    finish();
    CHECK_EQ(shared->result.forks, 4);
    CHECK_EQ(shared->result.deaths, 0);
    CHECK_EQ(shared->result.killed, 0);
}

/* M21, W9, W10, C13: asked to end, every process leaves by itself, in order. */
static void ends_gracefully(void)
{
    char address[128];
    struct stat st;
    struct service service = a_service();
    snprintf(address, sizeof address, "unix:%s/service", scratch());
    service.listen[1] = address;
    start(&service);
    int fd = dial(shared->port[0]), unix_fd = dial_address(address);
    who(fd), who(unix_fd);
    finish();
    CHECK(!hear(fd) && !hear(unix_fd));
    hang_up(fd), hang_up(unix_fd);
    CHECK_EQ(shared->opened, 2);
    CHECK_EQ(shared->closed[DTM_CLOSE_DRAIN], 2);
    CHECK_EQ(shared->controller_exits, 1);
    for (uint64_t spawn = 1; spawn <= shared->last_spawn; spawn++) {
        struct kid *kid = kid_of(spawn);
        CHECK(WIFEXITED(kid->status) && WEXITSTATUS(kid->status) == 0);
        CHECK_EQ(kid->exits, kid->role == DTM_ROLE_WORKER);
        CHECK(!runs(kid->pid));
    }
    CHECK(stat(address + 5, &st) < 0 && errno == ENOENT);
    CHECK(stat(control_path(), &st) < 0 && errno == ENOENT);
    CHECK_EQ(shared->result.deaths, 0);
}

/* A fast end waits for nobody, but clients still get their close callback. */
static void ends_fast(void)
{
    struct service service = a_service();
    start(&service);
    int fd = dial(shared->port[0]);
    ask(fd, "busy");
    kill(shared->host, SIGINT);
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_FAST);
    CHECK_EQ(shared->result.signal, SIGINT);
    CHECK_EQ(shared->closed[DTM_CLOSE_SHUTDOWN], 1);
    hang_up(fd);
}

/* A second request to end does not wait for busy clients any more. */
static void second_request_is_fast(void)
{
    struct service service = a_service();
    service.config.drain_timeout_ms = DTM_OFF;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    ask(fd, "busy");
    kill(shared->host, SIGTERM);
    WAIT(kid->drains == 1 && count_role(DTM_ROLE_WORKER) == 1);
    kill(shared->host, SIGTERM);
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_FAST);
    hang_up(fd);
}

/* M21: who does not leave is killed at the deadline, and dtm_run() returns. */
static void kills_at_the_deadline(void)
{
    struct service service = a_service();
    service.config.drain_timeout_ms = 1000;
    service.config.kill_grace_ms = 1000;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    say(fd, "block");
    WAIT(shared->blocked == 1);
    finish();
    CHECK(WIFSIGNALED(kid->status) && WTERMSIG(kid->status) == SIGKILL);
    CHECK_EQ(shared->result.killed, 1);
    hang_up(fd);
}

/* M11 to M14, L6: a death that nobody asked for: same slot, same role, a new spawn. */
static void replaces_the_dead(void)
{
    struct service service = a_service();
    start(&service);
    for (int i = 0; i < 6; i++) {
        struct kid *old = i % 2 ? controller() : nth_open((uint32_t)i / 2);
        end_kid(old, SIGKILL);
        CHECK(WIFSIGNALED(old->status) && WTERMSIG(old->status) == SIGKILL);
        WAIT(has(in_slot(old->slot), DTM_EVENT_OPEN) && in_slot(old->slot) != old);
        struct kid *young = in_slot(old->slot);
        CHECK_EQ(young->role, old->role);
        CHECK_EQ(young->generation, old->generation);
        CHECK_EQ(young->index, old->index);
        CHECK(young->spawn > old->spawn);
        CHECK(!has(old, DTM_EVENT_DRAINING));
    }
    CHECK_EQ(count_open(1), 3);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 6);
    CHECK_EQ(shared->result.forks, 10);
}

/* exit(), even with 0, and abort() are deaths, and cost only that worker's clients. */
static void every_exit_is_a_death(void)
{
    static const char *ways[] = {"exit 0", "exit 3", "abort"};
    static const int statuses[] = {0, 3 << 8, SIGABRT};
    struct service service = a_service();
    start(&service);
    int safe = dial_worker(nth_open(2));
    for (int i = 0; i < 3; i++) {
        int fd = dial_worker(nth_open(0));
        struct kid *kid = kid_at(fd);
        say(fd, ways[i]);
        WAIT(has(kid, DTM_EVENT_EXIT));
        CHECK_EQ(kid->status & ~0x80, statuses[i]); /* 0x80: dumped core */
        WAIT(count_open(1) == 3);
        hang_up(fd);
    }
    who(safe);
    hang_up(safe);
    finish();
    CHECK_EQ(shared->result.deaths, 3);
}

/* A worker told by signal to drain leaves in order, and is replaced. */
static void a_worker_that_leaves_is_replaced(void)
{
    struct service service = a_service();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *asked = kid_at(fd);
    CHECK_EQ(atoi(ask(fd, "leave")), DTM_OK);
    WAIT(has(asked, DTM_EVENT_EXIT) && count_open(1) == 3);
    struct kid *told = nth_open(1);
    kill(told->pid, SIGUSR1);
    WAIT(has(told, DTM_EVENT_EXIT) && count_open(1) == 3);
    CHECK_EQ(asked->status, 0);
    CHECK_EQ(told->status, 0);
    CHECK(asked->drains == 1 && asked->exits == 1 && told->drains == 1 && told->exits == 1);
    hang_up(fd);
    finish();
}

static size_t common(const uint64_t *a, size_t n, const uint64_t *b, size_t m)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++)
            count += a[i] == b[j];
    return count;
}

/* W1, C1, M20: of all the pairs a worker keeps one end, the controller the masters' ends. */
static void keeps_only_its_own_ends(void)
{
    uint64_t inodes[3][256];
    size_t count[3];
    struct service service = a_service();
    start(&service);
    CHECK_EQ(count_role(DTM_ROLE_WORKER), 3);
    count[0] = sockets_of(nth_open(0)->pid, inodes[0], 256);
    count[1] = sockets_of(nth_open(1)->pid, inodes[1], 256);
    count[2] = sockets_of(controller()->pid, inodes[2], 256);
    CHECK_EQ(count[0], 3); /* the listener, a socket of its own for that, its channel */
    CHECK_EQ(count[1], 3);
    CHECK_EQ(common(inodes[0], 3, inodes[1], 3), 1); /* the listener */
    CHECK_EQ(common(inodes[0], 3, inodes[2], count[2]), 0);
    CHECK(count[2] >= service.config.max_processes); /* to reach every worker to come */
    finish();
}

/* M9, C6: with nothing to do, nobody wakes up. */
static void sleeps_when_idle(void)
{
    struct service service = a_service();
    if (getenv("DTM_EINTR"))
        return; /* signals wake it all the time, see around.sh */
    start(&service);
    CHECK(serves());
    uint64_t before = settled_switches(100); /* what the start had left to do is done */
    observe(600);                            /* the original would have polled 30 times */
    CHECK(switches_of_all() - before <= 5);
    finish();
}

static const struct test tests[] = {
    {"every worker serves", every_worker_serves},
    {"a graceful end leaves nothing behind", ends_gracefully},
    {"a fast end closes busy clients", ends_fast},
    {"a second request to end is a fast one", second_request_is_fast},
    {"a hung worker is killed at the deadline", kills_at_the_deadline},
    {"the dead are replaced in their slots", replaces_the_dead},
    {"every unasked exit is a death", every_exit_is_a_death},
    {"a worker that leaves is replaced", a_worker_that_leaves_is_replaced},
    {"each process keeps only its own ends", keeps_only_its_own_ends},
    {"an idle service sleeps", sleeps_when_idle},
};
TEST_MAIN(tests)
