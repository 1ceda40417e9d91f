/*
 * The controller: what it does for new workers, and what its death costs. Nothing.
 * flow: W2, C1, C2, C3, C4, C5, C7, C13, M3, M7, L10, L11
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Killed at one step of bringing a worker up to date, at the start of everything:
 * its successor takes up what is pending, and every gate opens. */
static void killed_at(const char *fault)
{
    struct service service = a_service();
    service.fault = fault;
    start(&service);
    CHECK_EQ(shared->controller_inits, 2);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(nth_open(i)->version, 1);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 1); /* no worker died of it */
}

static void killed_before_update(void)
{
    killed_at("update.begin=kill@2");
}

static void killed_after_send(void)
{
    killed_at("update.sent=kill@2");
}

static void killed_after_update(void)
{
    killed_at("update.done=kill@2");
}

/* The same during a reload under load. */
static void killed_in_reload_at(const char *fault)
{
    struct service service = a_service();
    service.fault = fault;
    start(&service);
    struct load *load = load_start(2);
    kill(shared->host, SIGHUP);
    WAIT(shared->reloads == 1);
    WAIT(count_open(0) == 3 && count_role(DTM_ROLE_WORKER) == 3 && controller());
    CHECK_EQ(shared->controller_inits, 2);
    load_stop(load);
    CHECK_EQ(load->refused + load->reset + load->lost + load->wrong, 0);
    CHECK_EQ(shared->reload_status, DTM_OK);
    CHECK_EQ(count_open(2), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

static void killed_in_reload(void)
{
    killed_in_reload_at("update.begin=kill@5");
    killed_in_reload_at("update.sent=kill@5");
    killed_in_reload_at("update.done=kill@5");
}

/* Workers serve on while there is no controller, or while it is stopped. */
static void workers_serve_without_it(void)
{
    struct service service = a_service();
    start(&service);
    struct kid *boss = controller();
    kill(boss->pid, SIGSTOP);
    WAIT(state_of(boss->pid) == 'T');
    for (int i = 0; i < 20; i++)
        CHECK(serves());
    kill(boss->pid, SIGKILL);
    for (int i = 0; i < 20; i++)
        CHECK(serves());
    WAIT(has(boss, DTM_EVENT_EXIT) && controller());
    CHECK_EQ(count_open(1), 3);
    CHECK_EQ(shared->result.deaths, 0);
    CHECK_EQ(command("pid"), controller()->pid);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

/* It crashes again and again: restarted with back-off, workers untouched. */
static void crash_loop(void)
{
    struct service service = a_service();
    start(&service);
    shared->controller_init_fails = 6;
    end_kid(controller(), SIGKILL);
    CHECK(serves());
    WAIT(shared->controller_inits == 8 && controller());
    CHECK_EQ(count_open(1), 3);
    CHECK_EQ(command("reload"), DTM_OK);
    finish();
}

/* A restarted controller finds every worker, and brings the open ones up to date too. */
static void takes_over(void)
{
    struct service service = a_service();
    start(&service);
    SET(shared->version, 7);
    end_kid(controller(), SIGKILL);
    for (uint32_t i = 0; i < 3; i++)
        WAIT(nth_open(i)->version == 7);
    CHECK_EQ(count_open(1), 3);
    CHECK_EQ(shared->updates, 6);
    WAIT(controller());
    char expected[64];
    snprintf(expected, sizeof expected, "send %llu x", (unsigned long long)nth_open(1)->spawn);
    CHECK_EQ(command("%s", expected), DTM_OK);
    finish();
}

/* -EAGAIN and failures keep the gate shut, and are tried again. */
static void again_later(void)
{
    struct service service = a_service();
    shared->update_agains = 5;
    start(&service);
    CHECK_EQ(shared->updates, 3 + 5);
    shared->update_fails = 2;
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(0) == 3);
    CHECK_EQ(shared->updates, 3 + 5 + 1 + 2);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
}

/* W2: a worker that refuses what it is sent stays shut until it takes it. */
static void refusal(void)
{
    struct service service = a_service();
    shared->message_refusals = 2;
    start(&service);
    WAIT(shared->refusals == 2);
    CHECK_EQ(shared->updates, 3 + 2);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(nth_open(i)->version, 1);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* While the gate is shut a worker accepts nothing, though it is ready. */
static void the_gate(void)
{
    struct service service = a_service();
    shared->update_agains = 1 << 30;
    launch(&service);
    WAIT(count_events(DTM_EVENT_READY, DTM_ROLE_WORKER) == 3 && shared->updates >= 6);
    int fd = dial(shared->port[0]); /* the kernel's queue has it */
    say(fd, "who");
    CHECK_EQ(count_open(0), 0);
    CHECK_EQ(shared->opened, 0);
    SET(shared->version, 9);
    SET(shared->update_agains, 0);
    struct who answer;
    CHECK(sscanf(hear(fd), "%d %u %u %*u %d", &answer.pid, &answer.slot, &answer.generation,
                 &answer.version) == 4);
    CHECK_EQ(answer.version, 9);
    WAIT(count_open(0) == 3);
    hang_up(fd);
    finish();
}

/* C4: each pass sees the newest list. */
static void knows_the_workers(void)
{
    struct service service = a_service();
    start(&service);
    char mark[32];
    int fd = ask_command("workers");
    CHECK(hear(fd));
    for (uint32_t i = 0; i < 3; i++) {
        struct kid *kid = nth_open(i);
        snprintf(mark, sizeof mark, " %llu:%u:1:%d:%d:", (unsigned long long)kid->spawn,
                 kid->slot, DTM_WORKER_OPEN, kid->pid);
        WAIT(strstr(ask(fd, "workers"), mark));
    }
    struct kid *dead = nth_open(0);
    end_kid(dead, SIGKILL);
    WAIT(count_open(1) == 3);
    struct kid *young = in_slot(dead->slot);
    snprintf(mark, sizeof mark, " %llu:%u:1:%d:%d:", (unsigned long long)young->spawn,
             young->slot, DTM_WORKER_OPEN, young->pid);
    WAIT(strstr(ask(fd, "workers"), mark));
    snprintf(mark, sizeof mark, ":%d:", dead->pid);
    WAIT(!strstr(ask(fd, "workers"), mark));
    hang_up(fd);
    finish();
}

/* L10: 20 controllers one after the other, some of them while they act. Each
 * checks that no other one is alive when it acts. */
static void never_two(void)
{
    struct service service = a_service();
    service.config.controller_tick_ms = 1;
    start(&service);
    for (int i = 0; i < 20; i++) {
        int passes = GET(shared->passes);
        WAIT(GET(shared->passes) > passes + 2);
        end_kid(controller(), i % 2 ? SIGKILL : SIGTERM);
        WAIT(controller());
    }
    CHECK_EQ(count_open(1), 3);
    finish();
}

static const struct test tests[] = {
    {"killed before it updates a worker", killed_before_update},
    {"killed when the update is sent", killed_after_send},
    {"killed when the update is done", killed_after_update},
    {"killed at each step during a reload", killed_in_reload},
    {"workers serve without it", workers_serve_without_it},
    {"crash loop", crash_loop},
    {"its successor takes over", takes_over},
    {"update later, update failed", again_later},
    {"update refused by the worker", refusal},
    {"the gate", the_gate},
    {"it knows the workers", knows_the_workers},
    {"never two at once", never_two},
};
TEST_MAIN(tests)
