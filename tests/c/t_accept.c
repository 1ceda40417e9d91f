/*
 * The accept schedule: even, and nobody's death, stop or stall holds it up.
 * flow: M5, M11, W3, W5, W6, L5, L12
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANY = 60, CROWD = 5 * MANY };

/* Open connections, and on which worker each of them is. */
struct crowd {
    int fd[CROWD], size, count[4];
};

static void settle(struct crowd *crowd, int fd)
{
    crowd->fd[crowd->size++] = fd;
    crowd->count[kid_at(fd)->index]++;
}

static bool is_even(const struct crowd *crowd)
{
    for (int w = 0; w < 4; w++)
        if (abs(crowd->count[w] - crowd->size / 4) > 1)
            return false;
    return true;
}

/* One after the other, until all workers have the same. */
static void settle_evenly(struct crowd *crowd)
{
    while (crowd->size < CROWD && !(crowd->size % MANY == 0 && is_even(crowd)))
        settle(crowd, dial(shared->port[0]));
    if (!is_even(crowd))
        fail_at(__FILE__, __LINE__, "%d %d %d %d", crowd->count[0], crowd->count[1],
                crowd->count[2], crowd->count[3]);
}

static void leave(struct crowd *crowd)
{
    while (crowd->size)
        hang_up(crowd->fd[--crowd->size]);
    finish();
}

static void with_four_workers(void)
{
    struct service service = a_service();
    service.config.workers = 4;
    start(&service);
    for (uint32_t i = 0; i < 4; i++)
        hang_up(dial_worker(nth_open(i))); /* each has opened its gate */
}

/* M5: the least loaded worker has the turn. */
static void even(void)
{
    struct crowd crowd = {.size = 0};
    with_four_workers();
    settle(&crowd, dial(shared->port[0]));
    settle_evenly(&crowd);
    leave(&crowd);
}

/* A burst is shared by those who run; one that did not catches up afterwards. */
static void even_after_a_burst(void)
{
    struct crowd crowd = {.size = 0};
    int burst[MANY];
    with_four_workers();
    struct kid *stopped = nth_open(2);
    kill(stopped->pid, SIGSTOP);
    WAIT(state_of(stopped->pid) == 'T');
    for (int i = 0; i < MANY; i++)
        who(burst[i] = dial(shared->port[0]));
    kill(stopped->pid, SIGCONT);
    for (int i = 0; i < MANY; i++)
        settle(&crowd, burst[i]);
    CHECK_EQ(crowd.count[stopped->index], 0);
    settle_evenly(&crowd);
    leave(&crowd);
}

/* L5, M11: with one token some worker has it. Stop all but one, in turn: at
 * least in two rounds of three the holder is among the stopped. */
static void holders_stopped(void)
{
    struct service service = a_service();
    service.config.accept_tokens = 1;
    start(&service);
    for (uint32_t left = 0; left < 3; left++) {
        for (uint32_t i = 0; i < 3; i++) {
            if (i == left)
                continue;
            kill(nth_open(i)->pid, SIGSTOP);
            WAIT(state_of(nth_open(i)->pid) == 'T');
        }
        for (int i = 0; i < 10; i++) {
            int fd = dial(shared->port[0]);
            CHECK_EQ(kid_at(fd)->spawn, nth_open(left)->spawn);
            hang_up(fd);
        }
        for (uint32_t i = 0; i < 3; i++)
            kill(nth_open(i)->pid, SIGCONT);
    }
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* The same with SIGKILL, under a ban on forks so that nobody comes back. */
static void holders_killed(void)
{
    for (uint32_t left = 0; left < 3; left++) {
        struct service service = a_service();
        service.config.accept_tokens = 1;
        start(&service);
        struct kid *kids[3] = {nth_open(0), nth_open(1), nth_open(2)};
        CHECK_EQ(command("nofork 0"), DTM_OK);
        for (uint32_t i = 0; i < 3; i++)
            if (i != left)
                kill(kids[i]->pid, SIGKILL);
        for (int i = 0; i < 10; i++) {
            int fd = dial(shared->port[0]);
            CHECK_EQ(kid_at(fd)->spawn, kids[left]->spawn);
            hang_up(fd);
        }
        finish();
    }
}

/* Killed right after it has armed its successor, and at the accept itself. */
static void killed_while_passing_the_token(void)
{
    for (int n = 1; n <= 5; n++) {
        char fault[64];
        struct service service = a_service();
        snprintf(fault, sizeof fault, "token.armed=kill@%d", n);
        service.config.accept_tokens = 1;
        service.fault = fault;
        start(&service);
        /* Each dial may hit the worker that is killed; the next one is answered. */
        struct load *load = load_start(2);
        WAIT(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER) == 1 && count_open(1) == 3);
        int answered = GET(load->answered);
        WAIT(GET(load->answered) > answered + 50);
        load_stop(load);
        CHECK_EQ(load->refused, 0);
        CHECK(load->reset + load->lost <= 2); /* at most those inside the killed worker */
        finish();
        CHECK_EQ(shared->result.deaths, 1);
    }
}

/* L12: client work is done without the token. All but one are blocked in a step. */
static void blocked_workers(void)
{
    struct service service = a_service();
    service.config.accept_tokens = 1;
    start(&service);
    int blocked[2], count = 0;
    while (count < 2) {
        say(blocked[count] = dial(shared->port[0]), "block");
        count++;
        WAIT(GET(shared->blocked) == count);
    }
    for (int i = 0; i < 20; i++)
        CHECK(serves());
    SET(shared->unblock, 1);
    for (int i = 0; i < 2; i++) {
        CHECK(hear(blocked[i]));
        hang_up(blocked[i]);
    }
    finish();
}

/* All of them are: what has arrived meanwhile is served when they are back. */
static void all_blocked(void)
{
    struct service service = a_service();
    start(&service);
    int blocked[3], waiting[10];
    for (int i = 0; i < 3; i++) {
        say(blocked[i] = dial(shared->port[0]), "block");
        WAIT(GET(shared->blocked) == i + 1);
    }
    for (int i = 0; i < 10; i++)
        say(waiting[i] = dial(shared->port[0]), "who");
    observe(50); /* the master looks at the queue meanwhile: nobody can be given a turn */
    CHECK_EQ(GET(shared->opened), 3);
    SET(shared->unblock, 1);
    for (int i = 0; i < 10; i++) {
        CHECK(hear(waiting[i]));
        hang_up(waiting[i]);
    }
    for (int i = 0; i < 3; i++)
        hang_up(blocked[i]);
    finish();
}

/* Workers killed at random under load: only requests inside them may fail. */
static void kills_under_load(void)
{
    struct service service = a_service();
    start(&service);
    struct load *load = load_start(4);
    for (uint32_t i = 0; i < 60; i++) {
        int answered = GET(load->answered);
        end_kid(nth_open(i % 3), SIGKILL);
        WAIT(count_open(1) == 3);
        WAIT(GET(load->answered) > answered + 10);
    }
    load_stop(load);
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->wrong, 0);
    CHECK(load->reset + load->lost <= 60 * 4);
    finish();
    CHECK_EQ(shared->result.deaths, 60);
}

static const struct test tests[] = {
    {"connections are spread evenly", even},
    {"even again after a burst", even_after_a_burst},
    {"token holders stopped", holders_stopped},
    {"token holders killed", holders_killed},
    {"killed while it passes the token on", killed_while_passing_the_token},
    {"blocked workers hold nothing up", blocked_workers},
    {"all workers blocked for a while", all_blocked},
    {"60 kills under load", kills_under_load},
};
TEST_MAIN(tests)
