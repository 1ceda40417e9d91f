/*
 * Workers that are replaced although nothing is wrong with them, and as many of them as
 * are needed.
 * faults: Q1
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct service recycling(void)
{
    struct service service = a_service();
    service.config.recycle_min_age_ms = 1;
    service.config.hang_timeout_ms = 200; /* looked at each 20 ms */
    return service;
}

static uint32_t recycled(void)
{
    return count_events(DTM_EVENT_RECYCLE, DTM_ROLE_WORKER);
}

/* Asks one worker again and again until it has been replaced. */
static void use_up(struct kid *kid)
{
    while (!has(kid, DTM_EVENT_DRAINING)) {
        int fd = dial(shared->port[0]);
        who(fd);
        hang_up(fd);
    }
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK_EQ(kid->status, 0);
}

/* Q1: while all are replaced, one after the other, there are never fewer than all that
 * take clients, and nothing is lost. */
static void all_of_eight(void)
{
    struct service service = recycling();
    service.config.workers = 8;
    service.config.max_processes = 40;
    service.config.recycle_requests = 30;
    start(&service);
    struct kid *first[8];
    for (uint32_t i = 0; i < 8; i++)
        first[i] = nth_open(i);
    struct load *load = load_start(4);
    for (int gone = 0; gone < 8;) {
        CHECK(count_open(1) >= 8);
        CHECK_LE(GET(load->answered), 20000);
        WAIT(GET(load->answered) > 0);
        for (gone = 0; gone < 8 && has(first[gone], DTM_EVENT_EXIT);)
            gone++;
    }
    load_stop(load);
    CHECK_EQ(load->refused + load->reset + load->lost + load->wrong, 0);
    CHECK(recycled() >= 8);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(first[i]->status, 0);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* None is replaced before its shortest life, however small the limit is: no storm. */
static void not_too_young(void)
{
    struct service service = recycling();
    service.config.workers = 1;
    service.config.recycle_age_ms = 50;
    service.config.recycle_min_age_ms = 1500;
    uint64_t begun = now_ms();
    start(&service);
    for (uint32_t i = 1; i <= 2; i++) {
        WAIT(recycled() >= i);
        CHECK(now_ms() - begun >= i * 1500);
    }
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* Clients, too; and the totals of the slots tell of it. */
static void after_clients(void)
{
    struct service service = recycling();
    service.config.workers = 2;
    service.config.recycle_clients = 10;
    start(&service);
    struct kid *one = nth_open(0), *two = nth_open(1);
    use_up(one);
    use_up(two);
    WAIT(count_open(1) >= 2);
    CHECK_EQ(command("accept 0"), DTM_OK);
    CHECK(logged("recycled (recycle_clients)") >= 2);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* At an age, and when idle for long: in a service that does nothing at all. */
static void old_or_idle(void)
{
    for (int idle = 0; idle < 2; idle++) {
        struct service service = recycling();
        *(idle ? &service.config.recycle_idle_ms : &service.config.recycle_age_ms) = 500;
        start(&service);
        struct kid *first[3] = {nth_open(0), nth_open(1), nth_open(2)};
        for (int i = 0; i < 3; i++)
            WAIT(has(first[i], DTM_EVENT_EXIT));
        CHECK(logged(idle ? "recycled (recycle_idle)" : "recycled (recycle_age)") >= 3);
        finish();
        CHECK_EQ(shared->result.deaths, 0);
    }
}

/* Nobody is idle who has a client. */
static void not_idle(void)
{
    struct service service = recycling();
    service.config.workers = 1;
    service.config.recycle_idle_ms = 300;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    observe(1500);
    CHECK_EQ(kid_at(fd)->pid, kid->pid);
    CHECK(!has(kid, DTM_EVENT_RECYCLE));
    hang_up(fd);
    WAIT(has(kid, DTM_EVENT_RECYCLE));
    finish();
}

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    (void)rt, (void)reply, (void)size;
    unsigned mib;
    if (sscanf(line, "eat %u", &mib) != 1)
        return NOT_MINE;
    char *memory = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 1, (size_t)mib << 20);
    CHECK_EQ(dtm_client_set_busy(client, 1), DTM_OK);
    CHECK(write(dtm_client_fd(client), "ok\n", 3) == 3);
    return NO_REPLY; /* it stays busy */
}

/* Above the soft limit it is replaced, its client served to the end; above the hard one it
 * is killed, and a report tells why. */
static void memory(void)
{
    struct service service = recycling();
    service.request = request;
    service.config.hang_timeout_ms = DTM_OFF; /* to touch all that takes its time */
    service.config.memory_soft_mib = 100;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    CHECK(!strcmp(ask(fd, "eat 120"), "ok"));
    WAIT(has(kid, DTM_EVENT_DRAINING));
    CHECK_EQ(count_open(1), 3);
    CHECK(!strcmp(ask(fd, "echo still here"), "still here"));
    hang_up(fd);
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK_EQ(kid->status, 0);
    CHECK_EQ(logged("recycled (memory_soft)"), 1);
    finish();

    service = recycling();
    service.request = request;
    service.config.hang_timeout_ms = DTM_OFF;
    service.config.memory_hard_mib = 200;
    start(&service);
    fd = dial(shared->port[0]);
    kid = kid_at(fd);
    say(fd, "eat 250");
    WAIT(has(kid, DTM_EVENT_EXIT));
    CHECK_EQ(WTERMSIG(kid->status), SIGKILL);
    CHECK_EQ(logged("killed: it uses more than memory_hard"), 1);
    hang_up(fd);
    WAIT(count_open(1) == 3);
    CHECK_EQ(command("accept 0"), DTM_OK);
    bool told = false;
    for (uint32_t i = 0; i < shared->worker_count; i++)
        told |= shared->worker[i].reason == DTM_REASON_MEMORY && shared->worker[i].deaths == 1;
    CHECK(told);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

/* The operator's command. */
static void on_demand(void)
{
    struct service service = a_service();
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    ask(fd, "busy");
    CHECK_EQ(command("recycle %llu", (unsigned long long)kid->spawn), DTM_OK);
    WAIT(has(kid, DTM_EVENT_DRAINING));
    CHECK(has(kid, DTM_EVENT_RECYCLE));
    CHECK_EQ(count_open(1), 3);
    CHECK_EQ(command("recycle %llu", (unsigned long long)kid->spawn), DTM_EGONE);
    CHECK_EQ(command("recycle 999999"), DTM_EGONE);
    CHECK(!strcmp(ask(fd, "echo to the end"), "to the end"));
    hang_up(fd);
    WAIT(has(kid, DTM_EVENT_EXIT));
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* Without a free slot there can be no successor: nobody is told to go. */
static void no_room(void)
{
    struct service service = a_service();
    service.config.max_processes = 4;
    start(&service);
    CHECK_EQ(command("recycle %llu", (unsigned long long)nth_open(0)->spawn), -ENOSPC);
    CHECK_EQ(count_open(1), 3);
    finish();
}

/* As many workers as there are clients, and some more; down again when they have gone. */
static void scales(void)
{
    enum { CLIENTS = 5 };
    int fds[CLIENTS];
    struct service service = a_service();
    service.config.workers = 2;
    service.config.workers_min = 2;
    service.config.workers_max = 6;
    service.config.workers_spare = 1;
    service.config.scale_period_ms = 50;
    start(&service);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = dial(shared->port[0]);
        who(fds[i]);
        WAIT(count_open(1) >= (uint32_t)i + 2 || count_open(1) == 6);
    }
    WAIT(count_open(1) == 6);
    CHECK_EQ(shared->scaled_to, 6);
    for (int i = 0; i < CLIENTS; i++) {
        who(fds[i]); /* nobody lost one */
        hang_up(fds[i]);
    }
    WAIT(count_role(DTM_ROLE_WORKER) == 2);
    CHECK_EQ(shared->scaled_to, 2);
    CHECK(logged("too few are idle") > 0 && logged("more are idle than wanted") > 0);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* Numbers that contradict each other are refused, and named. */
static void contradictions(void)
{
    struct service service = a_service();
    service.config.workers_min = 5;
    service.config.workers_max = 4;
    launch(&service);
    refused_with("workers_min = 5: above workers_max = 4");
    service = a_service();
    service.config.workers_max = 4;
    launch(&service);
    refused_with("workers_max is set, workers_min is not");
    service = a_service();
    service.config.memory_soft_mib = 300;
    service.config.memory_hard_mib = 200;
    launch(&service);
    refused_with("memory_soft = 300 MiB: above memory_hard = 200 MiB");
}

static const struct test tests[] = {
    {"all of eight under load", all_of_eight},
    {"not too young", not_too_young},
    {"after so many clients", after_clients},
    {"old or idle", old_or_idle},
    {"with a client it is not idle", not_idle},
    {"memory", memory},
    {"on demand", on_demand},
    {"no room for a successor", no_room},
    {"scaling", scales},
    {"contradictions", contradictions},
};
TEST_MAIN(tests)
