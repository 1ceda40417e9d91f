/*
 * The master is gone, without a word: so is everybody else, and the port is free.
 * flow: M1, M8
 * faults: A14, A15, O1, O2
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void kill_master(void)
{
    kill(shared->host, SIGKILL);
    WAIT(ended(shared->host, NULL));
}

/* Nobody is left, and the next master gets port and socket files at once. */
static void all_gone(void)
{
    char address[32];
    WAIT(survivors(NULL, 0) == 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", shared->port[0]);
    struct service next = a_service();
    next.listen[0] = address;
    start(&next);
    CHECK(serves());
    finish();
}

static void idle_service(void)
{
    struct service service = a_service();
    start(&service);
    kill_master();
    all_gone();
}

static void under_load(void)
{
    struct service service = a_service();
    start(&service);
    struct load *load = load_start(3);
    kill_master();
    load_stop(load);
    all_gone();
}

/* DTM_ORPHAN_DRAIN: a busy client may finish; nothing new is accepted. */
static void busy_clients_finish(void)
{
    struct service service = a_service();
    service.config.orphan = DTM_ORPHAN_DRAIN;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    ask(fd, "busy");
    kill_master();
    WAIT(GET(kid->drains) == 1);
    CHECK(!strcmp(ask(fd, "echo still here"), "still here"));
    CHECK(!hear(fd));
    hang_up(fd);
    all_gone();
}

static void exit_at_once(void)
{
    struct service service = a_service();
    service.config.orphan = DTM_ORPHAN_EXIT;
    start(&service);
    int fd = dial(shared->port[0]);
    ask(fd, "busy");
    kill_master();
    CHECK(!hear(fd));
    hang_up(fd);
    all_gone();
}

/* A worker that hangs, and one that is stopped, cannot notice: the kernel does it.
 * Where orphans may drain, a stopped one leaves when it is continued. */
static void hung_and_stopped(uint32_t orphan)
{
    struct service service = a_service();
    service.config.orphan = orphan;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *hung = kid_at(fd);
    struct kid *stopped = nth_open(0) == hung ? nth_open(1) : nth_open(0);
    say(fd, "block");
    WAIT(shared->blocked == 1);
    kill(stopped->pid, SIGSTOP);
    WAIT(state_of(stopped->pid) == 'T');
    kill_master();
    if (orphan == DTM_ORPHAN_DRAIN)
        kill(stopped->pid, SIGCONT);
    hang_up(fd);
    all_gone();
}

static void hung_and_stopped_exit(void)
{
    hung_and_stopped(DTM_ORPHAN_EXIT);
}

static void hung_and_stopped_drain(void)
{
    hung_and_stopped(DTM_ORPHAN_DRAIN);
}

/* A busy client that never ends does not keep its worker alive for ever. */
static void drain_has_an_end(void)
{
    struct service service = a_service();
    service.config.orphan = DTM_ORPHAN_DRAIN;
    start(&service);
    int fd = dial(shared->port[0]);
    ask(fd, "busy");
    kill_master();
    CHECK(!hear(fd)); /* after 5 s */
    hang_up(fd);
    all_gone();
}

static void in_a_reload(void)
{
    struct service service = a_service();
    service.config.start_timeout_ms = DTM_OFF;
    service.config.canary = DTM_OFF;
    start(&service);
    shared->init_trouble = HANG;
    shared->init_generation = 2;
    kill(shared->host, SIGHUP);
    WAIT(count_role(DTM_ROLE_WORKER) == 6);
    kill_master();
    all_gone();
}

/* Between fork and the child's request to die with its parent. */
static void just_after_fork(void)
{
    for (int n = 1; n <= 4; n++) {
        char fault[64];
        struct service service = a_service();
        snprintf(fault, sizeof fault, "child.born=sleep:300@%d", n);
        service.fault = fault;
        launch(&service);
        WAIT(shared->last_spawn >= (uint64_t)n);
        kill_master();
        all_gone();
    }
}

static void before_ready(void)
{
    for (int n = 1; n <= 4; n++) {
        char fault[64];
        struct service service = a_service();
        snprintf(fault, sizeof fault, "child.ready=sleep:300@%d", n);
        service.fault = fault;
        launch(&service);
        WAIT(shared->last_spawn >= (uint64_t)n);
        kill_master();
        all_gone();
    }
}

/* A stopped master is no dead one: nobody leaves, everybody serves. */
static void stopped_master(void)
{
    struct service service = a_service();
    start(&service);
    uint64_t spawns = shared->last_spawn;
    kill(shared->host, SIGSTOP);
    WAIT(state_of(shared->host) == 'T');
    for (int i = 0; i < 20; i++)
        CHECK(serves());
    observe(300); /* whoever took it for dead would have left by now */
    kill(shared->host, SIGCONT);
    CHECK_EQ(command("reopen"), DTM_OK);
    CHECK_EQ(shared->last_spawn, spawns);
    CHECK_EQ(count_open(1), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static const struct test tests[] = {
    {"master killed: idle service", idle_service},
    {"master killed: under load", under_load},
    {"master killed: busy clients finish", busy_clients_finish},
    {"master killed: everybody leaves at once", exit_at_once},
    {"master killed: hung and stopped workers", hung_and_stopped_exit},
    {"master killed: hung and stopped workers, drain", hung_and_stopped_drain},
    {"master killed: the drain has an end", drain_has_an_end},
    {"master killed: in a reload", in_a_reload},
    {"master killed: just after a fork", just_after_fork},
    {"master killed: before a child is ready", before_ready},
    {"master stopped and continued", stopped_master},
};
TEST_MAIN(tests)
